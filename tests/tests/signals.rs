//! What signals do: some end it cleanly, SIGHUP reads the file again, the others change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, PUBLIC_VM0, STORAGE, TcpServer, World, at, privileged, until,
};
use rustix::process::Signal;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A NIC in a namespace of its own, to append to the file.
const BOX: &str = "[[networkInterface]]\nname = \"box\"\nvirtualNetwork = \"VNet1\"\n\
     subnet = \"subnet1\"\nprivateIPAddress = \"10.0.1.77\"\nnamespace = \"box\"\n";

fn with_box() -> String {
    let world = World {
        tail: BOX.to_owned(),
        ..World::default()
    };
    world.to_string()
}

fn has_box(fabric: &Fabric) -> bool {
    let status = fabric.json(&["status"]);
    let ports = status["ports"].as_array().unwrap();
    ports.iter().any(|port| port["name"] == "nic/box")
}

/// Waits until the log has so many lines with all of these words.
#[track_caller]
fn until_logged(fabric: &Fabric, times: usize, words: &[&str]) {
    let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
    let what = format!("{times} lines with {words:?}");
    until(&what, PATIENCE, || {
        fabric.log().lines().filter(has_all).count() >= times
    });
}

#[test]
fn a_hangup_reads_the_file_again_whole_or_not_at_all() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let mut bystander = Connection::open(fabric.namespace("vm0"), storage).unwrap();
    assert_eq!(*bystander.source.ip(), PUBLIC_VM0);

    fabric.write("postern.toml", &with_box());
    fabric.signal(Signal::HUP);
    until("the new NIC is there", PATIENCE, || has_box(&fabric));
    until_logged(&fabric, 1, &["add", "networkInterface", "box"]);
    until_logged(&fabric, 1, &["the file is in force", "postern.toml"]);
    bystander.expect_alive();

    // A file that cannot be in force, one that is no TOML, none at all, and a pipe.
    let epoch = fabric.epoch();
    let overlapping = with_box().replace("10.0.2.0/24", "10.0.0.0/22");
    fabric.write("postern.toml", &overlapping);
    fabric.signal(Signal::HUP);
    until_logged(&fabric, 1, &["ERROR", "postern.toml", "10.0.0.0/22"]);
    until_logged(&fabric, 1, &["refused: the running policy stays"]);
    fabric.write("postern.toml", "= nonsense");
    fabric.signal(Signal::HUP);
    until_logged(&fabric, 1, &["ERROR", "postern.toml", "not TOML"]);
    until_logged(&fabric, 2, &["refused: the running policy stays"]);
    // What an editor leaves for a moment takes nothing away.
    fabric.write("postern.toml", "# to be written\n");
    fabric.signal(Signal::HUP);
    until_logged(&fabric, 1, &["ERROR", "the file is empty"]);
    std::fs::remove_file(fabric.config()).unwrap();
    fabric.signal(Signal::HUP);
    until_logged(&fabric, 1, &["ERROR", "No such file"]);
    let made = Command::new("mkfifo").arg(fabric.config()).status();
    assert!(made.unwrap().success());
    fabric.signal(Signal::HUP);
    until_logged(&fabric, 1, &["ERROR", "not a regular file"]);
    std::fs::remove_file(fabric.config()).unwrap();
    assert_eq!(fabric.epoch(), epoch);
    assert!(has_box(&fabric));
    bystander.expect_alive();

    // And back, after which the same file again is no change.
    fabric.write("postern.toml", &World::default().to_string());
    fabric.signal(Signal::HUP);
    until("the NIC is gone", PATIENCE, || !has_box(&fabric));
    fabric.signal(Signal::HUP);
    until_logged(&fabric, 1, &["the file changes nothing"]);
    bystander.expect_alive();
    assert!(fabric.stop(Signal::TERM).success());
}

/// Sends a signal by its number: not all have a name that the library knows.
fn send(fabric: &Fabric, number: i32) {
    let pid = fabric.json(&["status"])["pid"].to_string();
    let sent = Command::new("kill")
        .args([&format!("-{number}"), &pid])
        .status();
    assert!(sent.unwrap().success(), "signal {number}");
}

#[test]
fn signals_without_a_meaning_change_nothing() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let mut bystander = Connection::open(fabric.namespace("vm0"), storage).unwrap();
    let named = [
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::VTALARM, "SIGVTALRM"),
        (Signal::PROF, "SIGPROF"),
        (Signal::IO, "SIGIO"),
        (Signal::STKFLT, "SIGSTKFLT"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::SYS, "SIGSYS"),
        (Signal::XFSZ, "SIGXFSZ"),
    ];
    for (signal, name) in named {
        send(&fabric, signal.as_raw());
        until_logged(&fabric, 1, &[name]);
    }
    for number in [34, 35, 50, 64] {
        send(&fabric, number);
        until_logged(&fabric, 1, &[&format!("real-time signal {number}")]);
    }
    for quiet in [Signal::PIPE, Signal::CHILD, Signal::WINCH, Signal::URG] {
        send(&fabric, quiet.as_raw());
    }
    bystander.expect_alive();
    assert_eq!(fabric.epoch(), 1);
    assert!(fabric.stop(Signal::TERM).success());
    assert!(!fabric.socket().exists());
}

#[test]
fn two_signals_end_it_and_leave_no_socket() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    for _ in 0..5 {
        fabric.run();
        fabric.signal(Signal::TERM);
        let ended = fabric.stop(Signal::INT);
        // The second one may come when the first one has done its work, and either may be the first.
        assert!(
            matches!(ended.code(), Some(0 | 130 | 143)),
            "not by the signal itself: {ended}"
        );
        assert!(!fabric.socket().exists());
    }
    fabric.run();
}
