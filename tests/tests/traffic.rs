//! Load: throughput, whole files, many connections. One case at a time, so that they do not measure
//! each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, INTERNET, Netns, PUBLIC_DEFAULT, STORAGE, TcpServer, TempDir, VM0, VM1,
    World, at, privileged, run, serial, until,
};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running `iperf3 -s`, killed on drop.
struct IperfServer(Child);

impl IperfServer {
    fn start(namespace: &Netns, address: SocketAddrV4) -> Self {
        let mut command = namespace.command("iperf3");
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["-s", "--forceflush", "-B", &ip, "-p", &port]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("start iperf3");
        let said = BufReader::new(child.stdout.take().expect("a piped output"));
        let mut lines = said.lines().map_while(Result::ok);
        let listens = lines.any(|line| line.contains("listening"));
        let server = Self(child);
        assert!(listens, "iperf3 does not listen at {address}");
        // Its pipe is read to the end, or it would stop on a full one.
        thread::spawn(move || lines.for_each(drop));
        server
    }
}

impl Drop for IperfServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn iperf(from: &Netns, to: SocketAddrV4, arguments: &[&str]) -> Value {
    let mut command = from.command("iperf3");
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    command
        .args(["-J", "-t", "6", "-c", &ip, "-p", &port])
        .args(arguments);
    let output = run(&mut command).expect_success();
    let report: Value = serde_json::from_str(&output.stdout).expect("a report");
    assert_eq!(report["error"], Value::Null, "{output}");
    report["end"].clone()
}

/// Runs TCP both ways and UDP through the three kinds of path, the paths side by side.
fn iperf_runs_clean(mtu: u16) {
    let world = World {
        mtu,
        endpoints2: vec!["Microsoft.Storage"],
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let paths = [
        ("NIC to NIC", "vm1", "vm0", at(VM0, 5201)),
        ("NIC to Internet", "vm1", "inet", at(INTERNET, 5202)),
        ("NIC to service", "vm1", "svc", at(STORAGE, 5203)),
    ];
    let _servers =
        paths.map(|(_, _, to, address)| IperfServer::start(fabric.namespace(to), address));
    let modes: [(&str, &[&str]); 3] = [
        ("TCP", &[]),
        ("TCP back", &["-R"]),
        ("UDP", &["-u", "-b", "20M"]),
    ];
    for (mode, arguments) in modes {
        let reports = thread::scope(|scope| {
            let runs = paths.map(|(path, from, _, address)| {
                let namespace = fabric.namespace(from);
                (
                    path,
                    scope.spawn(move || iperf(namespace, address, arguments)),
                )
            });
            runs.map(|(path, run)| (path, run.join().expect("a report")))
        });
        for (path, end) in reports {
            let received = &end["sum_received"];
            let received = if received.is_null() {
                &end["sum"]
            } else {
                received
            };
            let rate = received["bits_per_second"].as_f64().unwrap_or(0.0);
            println!("MTU {mtu}, {path}, {mode}: {:.0} Mbit/s", rate / 1e6);
            // Far below what any machine does, far above what a path with losses would.
            assert!(rate > 15e6, "MTU {mtu}, {path}, {mode}: {end}");
            if mode == "UDP" {
                let count = |key| end["sum"][key].as_u64().expect("a count");
                let (lost, sent) = (count("lost_packets"), count("packets"));
                // What a slow receiver's socket had no room for did arrive. A full queue of a busy
                // machine may lose one in a hundred; the order has no such excuse.
                let (_, _, to, _) = paths.iter().find(|of| of.0 == path).expect("a path");
                let overflowed = fabric.namespace(to).snmp("Udp", "RcvbufErrors");
                assert!(
                    lost <= overflowed + sent / 100,
                    "MTU {mtu}, {path}: {lost} of {sent} lost, {overflowed} by the receiver"
                );
                let reordered = &end["streams"][0]["udp"]["out_of_order"];
                assert_eq!(reordered, &Value::from(0), "MTU {mtu}, {path}");
            }
        }
    }
    expect_checksums_right(&fabric);
    // A segment that is late after its connection was reset is no loss.
    let lost: Vec<_> = fabric
        .drops()
        .into_iter()
        .filter(|drop| !drop.contains("tcp_no_flow"))
        .collect();
    assert!(lost.is_empty(), "dropped: {lost:?}");
}

#[track_caller]
fn expect_checksums_right(fabric: &Fabric) {
    for namespace in fabric.namespaces() {
        for group in ["Tcp", "Udp"] {
            let wrong = namespace.snmp(group, "InCsumErrors");
            assert_eq!(wrong, 0, "{group} in {}", namespace.name());
        }
    }
}

#[test]
fn iperf3_runs_clean_with_mtu_1500() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    iperf_runs_clean(1500);
}

#[test]
fn iperf3_runs_clean_with_mtu_9000() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    iperf_runs_clean(9000);
}

const FILE_SIZE: u64 = 256 * 1024 * 1024;

/// How long a transfer may stand still.
const STALL: Duration = Duration::from_secs(10);

fn sha256(mut from: impl Read) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start sha256sum");
    let mut input = child.stdin.take().expect("a piped input");
    let copied = io::copy(&mut from, &mut input);
    drop(input);
    let output = child.wait_with_output().expect("a sum");
    assert_eq!(copied.expect("all bytes"), FILE_SIZE);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn send(file: &Path, mut to: &TcpStream) {
    let mut file = File::open(file).expect("open the file");
    assert_eq!(
        io::copy(&mut file, &mut to).expect("send the file"),
        FILE_SIZE
    );
    to.shutdown(Shutdown::Write).expect("end the file");
}

/// Sends the file over one connection, up (from the client) or down, and returns its hash as it
/// arrived.
fn transfer(file: &Path, client: &Netns, server: &Netns, to: SocketAddrV4, up: bool) -> String {
    let listener = server.enter(|| TcpListener::bind(to)).expect("listen");
    let near = client
        .enter(|| TcpStream::connect_timeout(&SocketAddr::V4(to), STALL))
        .expect("connect");
    let (far, _) = listener.accept().expect("accept");
    for stream in [&near, &far] {
        stream
            .set_read_timeout(Some(STALL))
            .expect("set a time limit");
        stream
            .set_write_timeout(Some(STALL))
            .expect("set a time limit");
    }
    let (from, into) = if up { (near, far) } else { (far, near) };
    thread::scope(|scope| {
        scope.spawn(|| send(file, &from));
        sha256(&into)
    })
}

#[test]
fn a_file_arrives_unchanged_whoever_has_offloads() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    let dir = TempDir::create();
    let path = dir.path().join("random");
    let mut random = File::open("/dev/urandom").expect("open").take(FILE_SIZE);
    io::copy(&mut random, &mut File::create(&path).expect("create")).expect("fill the file");
    let hash = sha256(File::open(&path).expect("open"));

    let cases: [(&str, &[&str]); 4] = [
        ("offloads on", &[]),
        ("offloads off", &["vm0", "vm1", "vm2", "inet", "svc"]),
        ("servers' offload off", &["inet", "svc"]),
        ("client's offload off", &["vm1"]),
    ];
    for (name, off) in cases {
        let world = World {
            offload_off: off.to_vec(),
            endpoints2: vec!["Microsoft.Storage"],
            ..World::default()
        };
        let fabric = Fabric::start(&world.to_string());
        let client = fabric.namespace("vm1");
        for (server, address, up) in [
            ("inet", INTERNET, true),
            ("inet", INTERNET, false),
            ("svc", STORAGE, true),
            ("svc", STORAGE, false),
        ] {
            let begun = Instant::now();
            let server = fabric.namespace(server);
            let arrived = transfer(&path, client, server, at(address, 9000 + u16::from(up)), up);
            assert_eq!(arrived, hash, "{name}, {address}, up: {up}");
            println!("{name}, {address}, up: {up}: {:?}", begun.elapsed());
        }
        expect_checksums_right(&fabric);
    }
}

/// How long a public port rests after its connection closed, in the case below.
const HOLD: Duration = Duration::from_secs(5);

/// One short connection: who connected, as whom it was seen, and between which points in time it
/// certainly held its public port.
struct Short {
    source: SocketAddrV4,
    seen: SocketAddrV4,
    connected: Instant,
    closing: Instant,
}

fn short_connection() -> io::Result<Short> {
    let mut connection = Connection::open_here(at(INTERNET, 443))?;
    let connected = Instant::now();
    connection.echo()?;
    let (source, seen, closing) = (connection.local, connection.source, Instant::now());
    connection.close()?;
    Ok(Short {
        source,
        seen,
        connected,
        closing,
    })
}

#[test]
fn ten_thousand_short_connections_share_one_address() {
    const WORKERS: usize = 8;
    const EACH: usize = 625;
    if !privileged() {
        return;
    }
    let _alone = serial();
    let world = World {
        instance_address: false,
        // One NIC has more of them than the platform would give it.
        head: format!(
            "[settings]\ndefaultOutboundPortsPerNic = 64512\n[timers]\ntcpFinHold = \"{}s\"\n",
            HOLD.as_secs()
        ),
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let server = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    assert_eq!(fabric.leases(), 0);

    let mut all: Vec<Short> = thread::scope(|scope| {
        let workers: Vec<_> = ["vm0", "vm1"]
            .into_iter()
            .flat_map(|vm| std::iter::repeat_n(fabric.namespace(vm), WORKERS))
            .map(|namespace| {
                let connect_all = || (0..EACH).map(|_| short_connection()).collect();
                scope.spawn(move || namespace.enter(connect_all))
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| -> Vec<Short> {
                let result: io::Result<Vec<Short>> = worker.join().expect("a worker");
                result.expect("no connection fails")
            })
            .collect()
    });
    assert!(
        fabric.leases() > 0,
        "closed connections still hold their ports"
    );
    assert_eq!(all.len(), 2 * WORKERS * EACH);
    assert_eq!(server.seen().len(), all.len());
    for address in [VM0, VM1] {
        let from = all
            .iter()
            .filter(|short| *short.source.ip() == address)
            .count();
        assert_eq!(from, WORKERS * EACH);
    }

    all.sort_by_key(|short| (short.seen, short.connected));
    for pair in all.windows(2) {
        let [first, second] = pair else { continue };
        assert_eq!(*first.seen.ip(), PUBLIC_DEFAULT);
        let rested = second.connected >= first.closing + HOLD;
        assert!(
            first.seen != second.seen || rested,
            "{} and {} were both {}",
            first.source,
            second.source,
            first.seen
        );
    }
    until(
        "all leases are back",
        HOLD + Duration::from_secs(10),
        || fabric.leases() == 0,
    );
}
