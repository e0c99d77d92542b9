//! Floods at full rate, from guests and from the public side: others open their flows all the same,
//! and established ones lose nothing.
//!
//! A flood lasts until it has filled a table that is small, so that any machine fills it, and then for as
//! long as the others take; with `POSTERN_FLOOD_SECONDS=10` for so long before them too. How long an
//! opening took is printed and not held against anything: it says as much of the machine as of Postern.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, Flood, Flooding, INTERNET, Netns, PUBLIC_VM0, STORAGE, TcpServer,
    UdpServer, VM0, VM1, VM2, World, at, privileged, serial, until,
};
use serde_json::Value;
use std::env;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer may take on a machine that is busy with a flood.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits for an answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How many flows others open, by each of two protocols, and how many of all may fail.
const EACH: usize = 500;
const MAY_FAIL: usize = EACH / 5;
/// A table that is full soon.
const SMALL: &str = "[settings]\nmaxFlows = 65536\n";

/// How long a flood lasts at least before anything is measured in it.
fn long_run() -> Duration {
    let seconds = env::var("POSTERN_FLOOD_SECONDS").unwrap_or_default();
    Duration::from_secs(seconds.parse().unwrap_or(0))
}

/// Opens connections and asks questions, each from a socket of its own; returns how long those took that
/// succeeded. It gives up when more have failed than may.
fn open_flows(namespace: &Netns, tcp: SocketAddrV4, udp: SocketAddrV4) -> Vec<Duration> {
    let connect = || {
        let mut connection = Connection::open_here(tcp).ok()?;
        connection.echo().ok()
    };
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.set_read_timeout(Some(ASK_AGAIN)).ok()?;
        socket.connect(udp).ok()?;
        let begun = Instant::now();
        loop {
            socket.send(b"who am I").ok()?;
            if socket.recv(&mut [0; 64]).is_ok() {
                return Some(());
            }
            if begun.elapsed() >= PATIENCE {
                return None;
            }
        }
    };
    let mut failed = 0;
    namespace.enter(|| {
        let flows = (0..EACH).map(|_| timed(connect));
        flows
            .chain((0..EACH).map(|_| timed(ask)))
            .take_while(|took| {
                failed += usize::from(took.is_none());
                failed <= MAY_FAIL
            })
            .flatten()
            .collect()
    })
}

/// Returns how long something took, if it was done.
fn timed(mut something: impl FnMut() -> Option<()>) -> Option<Duration> {
    let begun = Instant::now();
    something()?;
    Some(begun.elapsed())
}

fn report(what: &str, mut took: Vec<Duration>) -> usize {
    took.sort();
    let at = |part: usize| {
        took.get(took.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what}: {} of {} opened, median {:?}, 99th of 100 {:?}",
        took.len(),
        2 * EACH,
        at(50),
        at(99)
    );
    took.len()
}

/// Tells threads to stop, also when the case fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends numbered questions on one flow until it is told to stop; returns how many had no answer.
fn ask_on(socket: &UdpSocket, stop: &AtomicBool) -> (u32, u32) {
    let (mut asked, mut lost) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        asked += 1;
        let mut answer = [0; 64];
        socket.send(b"still there?").unwrap();
        if socket.recv(&mut answer).is_err() {
            lost += 1;
        }
    }
    (asked, lost)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Waits until the table is full or, of several workers, the part of the one that owns the flood; in a
/// long run for its time too.
fn wait_for_flood(fabric: &Fabric) {
    let begun = Instant::now();
    until("the table is full", Duration::from_secs(60), || {
        let flows = &fabric.json(&["stats"])["flows"];
        number(&flows["count"]) == number(&flows["max"]) || number(&flows["evicted"]) > 0
    });
    // What is waited for is the time itself.
    let time = long_run();
    until("the time of the flood is over", time * 2 + PATIENCE, || {
        begun.elapsed() >= time
    });
}

/// Floods from namespaces, and asserts that `vm1` opens 1,000 flows and loses none.
fn survives(what: &str, floods: &[(&str, Flood)]) {
    if !privileged() {
        return;
    }
    let _alone = serial();
    let world = World {
        head: SMALL.to_owned(),
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let (inet, svc) = (fabric.namespace("inet"), fabric.namespace("svc"));
    let tcp = [443, 444].map(|port| at(INTERNET, port));
    let udp = [53, 54].map(|port| at(INTERNET, port));
    let _tcp = tcp.map(|address| TcpServer::start(inet, address));
    let _udp = udp.map(|address| UdpServer::start(inet, address));
    let _service = UdpServer::start(svc, at(STORAGE, 7));
    let vm1 = fabric.namespace("vm1");

    let idle = report(&format!("{what}, before"), open_flows(vm1, tcp[0], udp[0]));
    assert_eq!(idle, 2 * EACH);
    let mut connection = Connection::open(vm1, tcp[0]).expect("connect");
    connection.echo().expect("an echo");
    let flow = vm1.enter(|| {
        UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.connect(at(STORAGE, 7))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })
    });
    let flow = flow.expect("a socket");

    let stop = AtomicBool::new(false);
    let (asked, lost) = thread::scope(|scope| {
        let told = Stop(&stop);
        let asking = scope.spawn(|| ask_on(&flow, &stop));
        let floods: Vec<Flooding> = floods
            .iter()
            .map(|&(from, flood)| Flooding::start(fabric.namespace(from), flood))
            .collect();
        let begun = Instant::now();
        wait_for_flood(&fabric);
        let opened = report(
            &format!("{what}, in the flood"),
            open_flows(vm1, tcp[1], udp[1]),
        );
        for _ in 0..100 {
            connection.echo().expect("the connection lives on");
        }
        let sent: u64 = floods.iter().map(Flooding::sent).sum();
        println!("{what}: {sent} packets in {:?}", begun.elapsed());
        drop(floods);
        drop(told);
        assert!(opened >= 2 * EACH - MAY_FAIL, "{what}: {opened} opened");
        asking.join().expect("an answer")
    });
    println!("{what}: {lost} of {asked} questions on an established flow had no answer");
    assert_eq!(lost, 0, "{what}: of {asked}");
    connection.echo().expect("the connection lives on");
    let stats = fabric.json(&["stats"]);
    println!("{what}: {}", stats["flows"]);
    let of = |name: &str, key: &str| {
        let ports = stats["ports"].as_array().expect("ports");
        let port = ports.iter().find(|port| port["name"] == name);
        number(&port.expect("the port")[key])
    };
    assert_eq!(of("nic/vm1", "evicted"), 0, "{what}");
}

#[test]
fn a_guest_that_floods_with_connections() {
    survives("one guest, SYN", &[("vm2", Flood::Connections(VM2))]);
}

#[test]
fn two_guests_that_flood() {
    let floods = [
        ("vm2", Flood::Datagrams(VM2)),
        ("vm0", Flood::Connections(VM0)),
    ];
    survives("two guests", &floods);
}

#[test]
fn strangers_that_flood_a_service() {
    let flood = Flood::Strangers(at(STORAGE, 9));
    survives("public side, datagrams", &[("inet", flood)]);
}

#[test]
fn strangers_that_flood_a_guest() {
    let flood = Flood::StrangersConnect(at(PUBLIC_VM0, 9));
    survives("public side, SYN", &[("inet", flood)]);
}

#[test]
fn a_guest_that_asks_for_every_port_of_one_destination_stalls_nobody() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    let fabric = Fabric::start(&World::default().to_string());
    let (vm1, vm2) = (fabric.namespace("vm1"), fabric.namespace("vm2"));
    let server = at(INTERNET, 53);
    let _server = UdpServer::start(fabric.namespace("inet"), server);
    let ask =
        |socket: &UdpSocket| socket.send(b"who am I").is_ok() && socket.recv(&mut [0; 64]).is_ok();
    let open = |namespace: &Netns| {
        let socket = namespace.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        socket.connect(server).unwrap();
        socket
    };
    let held: Vec<(UdpSocket, bool)> = (0..1100)
        .map(|_| open(vm2))
        .map(|socket| {
            let is_answered = ask(&socket);
            (socket, is_answered)
        })
        .collect();
    let answered = held.iter().filter(|(_, is_answered)| *is_answered).count();
    assert_eq!(answered, 1024, "what the platform gives each NIC");
    assert!(ask(&open(vm1)), "others have theirs: {VM1}");
    let drops = fabric.drops();
    let wanted = "nic/vm2 Outbound snat_exhausted: 76";
    assert!(drops.iter().any(|drop| drop == wanted), "{drops:?}");
}
