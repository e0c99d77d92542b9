//! The harness itself: what a case relies on, without `postern`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, EchoTap, End, Netns, TcpServer, UdpServer, UdpSocketPair, at, ping, privileged,
    within,
};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn peers_report_what_they_see() {
    if !privileged() {
        return;
    }
    let namespace = Netns::create("peers");
    let server = TcpServer::start(&namespace, at(HERE, 443));
    let mut connection = Connection::open(&namespace, at(HERE, 443)).unwrap();
    assert_eq!(connection.source, connection.local);
    connection.expect_alive();
    let quiet = connection.wait_end(Duration::from_millis(20));
    assert_eq!(quiet, End::Failed(std::io::ErrorKind::WouldBlock));
    let source = connection.source;
    connection.close().unwrap();
    assert_eq!(server.wait_end(source, Duration::from_secs(1)), End::Closed);

    let _udp = UdpServer::start(&namespace, at(HERE, 443));
    let datagrams = UdpSocketPair::open(&namespace, at(HERE, 443)).unwrap();
    assert_eq!(datagrams.source(), datagrams.source());

    let tap = EchoTap::start(&namespace);
    assert!(ping(&namespace, HERE), "no answer");
    assert_eq!(tap.next_source(), HERE);
    assert_eq!(namespace.snmp("Tcp", "InCsumErrors"), 0);
}

#[test]
fn a_server_that_stops_frees_its_address() {
    if !privileged() {
        return;
    }
    let namespace = Netns::create("stop");
    drop(TcpServer::start(&namespace, at(HERE, 443)));
    let refused = || Connection::open(&namespace, at(HERE, 443)).is_err();
    assert!(
        within(Duration::from_secs(1), refused),
        "somebody still listens"
    );
}

#[test]
fn a_namespace_goes_with_its_guard_also_after_a_panic() {
    if !privileged() {
        return;
    }
    let mut name = String::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let namespace = Netns::create("guard");
        namespace.name().clone_into(&mut name);
        assert!(Path::new("/run/netns").join(&name).exists());
        let before = namespace.inventory();
        assert_eq!(namespace.inventory(), before);
        namespace.enter(|| panic!("as a failing case does"));
    }));
    assert!(result.is_err(), "the panic comes through");
    assert!(
        !Path::new("/run/netns").join(&name).exists(),
        "{name} is still there"
    );
}
