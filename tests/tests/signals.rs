//! What signals do: some end it cleanly, SIGHUP reads the file again, the others change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, PUBLIC_VM0, STORAGE, TcpServer, World, at, binary, privileged, until,
};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::Path;
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

/// Returns the process that was started with this argument.
fn process_with(argument: &Path) -> Pid {
    let argument = argument.to_str().unwrap();
    let has_it = |entry: &std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == argument.as_bytes())
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
    let found = processes.find(has_it).expect("it runs");
    let number = found.file_name().to_str().unwrap().parse().unwrap();
    Pid::from_raw(number).unwrap()
}

#[test]
fn a_signal_while_it_starts_does_not_end_it() {
    if !privileged() {
        return;
    }
    let tags = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/service-tags.json");
    let tags = std::fs::read(tags).unwrap();
    let mut fabric = Fabric::prepare(&World::default().to_string());
    // It waits for the service tags until they are written: what it reads first.
    let pipe = fabric.dir().path().join("tags.json");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fabric.run_with(&["--service-tags", pipe.to_str().unwrap()]);
    for _ in 0..3 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut file = std::fs::File::create(&pipe).unwrap();
                let process = process_with(&pipe);
                for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM] {
                    for _ in 0..20 {
                        kill_process(process, signal).unwrap();
                    }
                }
                file.write_all(&tags).unwrap();
            });
            fabric.run();
        });
        // They are heeded once it runs.
        until_logged(&fabric, 1, &["SIGHUP: reading the file again"]);
        until_logged(&fabric, 1, &["the file changes nothing"]);
        until_logged(&fabric, 1, &["SIGUSR1", "without a meaning"]);
        assert!(fabric.stop(Signal::TERM).success());
    }
    // Who does not want to wait for the tags need not: nobody writes them.
    let mut waiting = Command::new(binary());
    waiting.args(["run", "-c", "none.toml", "--service-tags"]);
    let mut waiting = waiting.arg(&pipe).spawn().unwrap();
    let _file = std::fs::File::create(&pipe).unwrap();
    let process = process_with(&pipe);
    kill_process(process, Signal::TERM).unwrap();
    let ended = waiting.wait().unwrap();
    assert!(ended.success(), "{ended}");
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
