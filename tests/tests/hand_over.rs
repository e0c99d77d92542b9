//! Several workers under a load that the kernel cannot steer: nobody answers, so that it never learns
//! which worker a flow belongs to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Fabric, INTERNET, Netns, PUBLIC_DEFAULT, World, at, open_many_files, privileged, serial,
};
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

const FLOWS: usize = 1_000;
const EACH: u32 = 1_000;
/// Datagrams between two looks at the credit, and how many such steps may be under way: less than a
/// queue of a device or a socket holds.
const STEP: usize = 50;
const STEPS_AHEAD: usize = 2;

fn sockets(namespace: &Netns) -> Vec<UdpSocket> {
    namespace.enter(|| {
        let open = |_| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(at(INTERNET, 9))?;
            Ok(socket)
        };
        (0..FLOWS).map(open).collect::<io::Result<_>>().unwrap()
    })
}

/// Sends every datagram, the flows in turn, each with its flow and its number in the flow.
fn send(sockets: &[UdpSocket], credit: &Receiver<()>) {
    let mut sent = 0;
    for number in 0..EACH {
        for (flow, socket) in (0u32..).zip(sockets) {
            let [a, b, c, d] = flow.to_be_bytes();
            let [e, f, g, h] = number.to_be_bytes();
            socket.send(&[a, b, c, d, e, f, g, h]).unwrap();
            sent += 1;
            if sent % STEP == 0 {
                credit.recv().expect("the receiver goes on");
            }
        }
    }
}

/// Receives one datagram, also if the process is stopped for a while meanwhile.
fn receive(server: &UdpSocket, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    loop {
        match server.recv_from(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

#[test]
fn a_million_datagrams_of_a_thousand_flows_arrive_once_in_order_and_translated() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    open_many_files();
    let mut fabric = Fabric::prepare(&World::default().to_string());
    fabric.run_with(&["--workers", "4"]);
    fabric.run();
    let server = fabric
        .namespace("inet")
        .enter(|| UdpSocket::bind(SocketAddr::from(at(INTERNET, 9))).unwrap());
    server
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let sockets = sockets(fabric.namespace("vm1"));
    let (give, credit) = sync_channel(FLOWS * EACH as usize / STEP + STEPS_AHEAD);
    for _ in 0..STEPS_AHEAD {
        give.send(()).unwrap();
    }
    let mut seen: Vec<(u32, Option<SocketAddr>)> = vec![(0, None); FLOWS];
    std::thread::scope(|scope| {
        // Dropped if the receiver fails, so that nobody waits for it.
        let give = give;
        let sockets = &sockets;
        scope.spawn(move || send(sockets, &credit));
        for received in 1..=FLOWS * EACH as usize {
            let mut bytes = [0; 16];
            let (length, source) = receive(&server, &mut bytes).expect("none is lost");
            assert_eq!(length, 8);
            let [a, b, c, d, e, f, g, h, ..] = bytes;
            let (next, known) = &mut seen[u32::from_be_bytes([a, b, c, d]) as usize];
            assert_eq!(
                u32::from_be_bytes([e, f, g, h]),
                *next,
                "in order, and once"
            );
            assert_eq!(*known.get_or_insert(source), source, "by one public port");
            *next += 1;
            if received % STEP == 0 {
                // Whoever has sent everything takes no more credit.
                let _ = give.send(());
            }
        }
    });
    server.set_nonblocking(true).unwrap();
    assert!(server.recv(&mut [0; 16]).is_err(), "none arrives twice");
    let sources: HashSet<_> = seen.iter().map(|(_, source)| source.unwrap()).collect();
    assert_eq!(sources.len(), FLOWS, "no two flows share a public port");
    assert!(sources.iter().all(|source| source.ip() == PUBLIC_DEFAULT));
    let workers = fabric.json(&["status"])["workers"].clone();
    let counts = workers.as_array().unwrap().iter();
    let handed_over: u64 = counts
        .map(|worker| worker["handedOver"].as_u64().unwrap())
        .sum();
    // Three flows of four have another owner than queue, give or take the luck of the hashes.
    assert!(handed_over > 500_000, "{workers}");
    assert_eq!(fabric.drops(), Vec::<String>::new());
}
