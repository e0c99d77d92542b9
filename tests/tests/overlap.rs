//! Networks with equal addresses. The case named `t16_` is the line of the conformance checklist,
//! where the service gets native packets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, INTERNET, Netns, STORAGE, TcpServer, UdpServer, at, open_many_files,
    privileged,
};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// The address of a NIC in either network.
const NIC: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// Where the platform's resolver would be.
const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// The first of the source ports that both NICs use.
const FIRST_PORT: u16 = 20_000;

/// Two networks that are alike but for their names, each with one NIC and the endpoint.
fn twins() -> String {
    let mut text = format!(
        r#"
location = "koreacentral"
[internet]
addresses = ["{INTERNET}/24"]
namespace = "inet"
[platform]
namespace = "platform"
[dns]
enabled = false
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "{STORAGE}"
namespace = "svc"
"#
    );
    for network in ["near", "far"] {
        text += &format!(
            r#"
[[virtualNetwork]]
name = "{network}"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "work"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage"]
[[networkInterface]]
name = "{network}"
virtualNetwork = "{network}"
subnet = "work"
privateIPAddress = "{NIC}"
namespace = "{network}"
"#
        );
    }
    text
}

#[test]
fn t16_two_networks_with_equal_addresses_and_ports_stay_distinct_at_a_native_service() {
    const EACH: u16 = 1_000;
    if !privileged() {
        return;
    }
    open_many_files();
    let fabric = Fabric::start(&twins());
    let server = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let networks = [fabric.namespace("near"), fabric.namespace("far")];
    let mut connections = Vec::new();
    for network in networks {
        for port in FIRST_PORT..FIRST_PORT + EACH {
            let opened = Connection::open_from(network, at(NIC, port), at(STORAGE, 443));
            connections.push(opened.unwrap_or_else(|error| panic!("port {port}: {error}")));
        }
    }
    for connection in &mut connections {
        assert_eq!(*connection.source.ip(), NIC, "the private source arrives");
        connection.expect_alive();
    }
    let seen: HashSet<_> = server.seen().iter().map(|seen| seen.peer).collect();
    assert_eq!(seen.len(), usize::from(EACH) * 2, "each is seen as itself");
    let heard: HashSet<_> = connections.iter().map(|one| one.source).collect();
    assert_eq!(heard, seen);
    let kept = |one: &&Connection| one.source.port() == one.local.port();
    assert_eq!(
        connections.iter().filter(kept).count(),
        usize::from(EACH),
        "the first network keeps its ports, which the other one cannot have as well"
    );
    // A policy that changes nothing for them disturbs none; then the near network's endpoint goes,
    // and its connections alone with it.
    fabric
        .postern(&["endpoint", "enable", "near/work", "Microsoft.Sql"])
        .expect_success();
    connections.iter_mut().for_each(Connection::expect_alive);
    fabric
        .postern(&["endpoint", "disable", "near/work", "Microsoft.Storage"])
        .expect_success();
    let (near, far) = connections.split_at_mut(usize::from(EACH));
    far.iter_mut().for_each(Connection::expect_alive);
    for one in near {
        assert!(one.echo().is_err(), "{} lives on", one.local);
    }
    assert_eq!(fabric.drops_of("reply_tuple_taken"), 0);
}

/// Asks from a socket until the answer to this very question comes.
fn ask(socket: &UdpSocket, question: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut bytes = [0; 512];
    while Instant::now() < deadline {
        socket.send(question.as_bytes()).unwrap();
        if let Ok(length) = socket.recv(&mut bytes) {
            return String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
    }
    panic!("no answer to {question}");
}

fn socket(network: &Netns, from: SocketAddrV4, to: SocketAddrV4) -> UdpSocket {
    let socket = network.enter(|| UdpSocket::bind(from)).unwrap();
    socket.connect(to).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    socket
}

#[test]
fn datagrams_of_two_networks_to_the_platform_stay_distinct() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&twins());
    let resolver = at(WIRE_SERVER, 53);
    let _server = UdpServer::answering(fabric.namespace("platform"), resolver, |question, peer| {
        let question = String::from_utf8_lossy(question);
        format!("{question} {peer}").into_bytes()
    });
    let mut seen = HashSet::new();
    let mut sockets = Vec::new();
    for port in FIRST_PORT..FIRST_PORT + 50 {
        for name in ["near", "far"] {
            let socket = socket(fabric.namespace(name), at(NIC, port), resolver);
            let question = format!("{name}-{port}");
            let answer = ask(&socket, &question);
            let (echoed, peer) = answer.split_once(' ').unwrap();
            assert_eq!(echoed, question);
            assert!(seen.insert(peer.to_owned()), "{peer} is seen twice");
            sockets.push((socket, question, answer));
        }
    }
    for (socket, question, answer) in &sockets {
        assert_eq!(&ask(socket, question), answer, "the tuple stays");
    }
}
