//! Two networks with equal addresses and ports at one service and at the platform: their flows stay
//! apart, by another source port where they would meet.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

mod common;

use common::Rig;
use common::nat::{quick, roomy};
use common::packets::{
    ACK, SYN, addr, assert_checksums, echo, ends, fragments, ip, tcp, udp, unreachable,
};
use common::world::{FAR, INET, STORAGE, SVC, VM0, VM1, nic_mut, world};
use postern_dataplane::engine::{SourceKind, Verdict};
use postern_dataplane::policy::{Port, PortId, PortKind, Snapshot};
use postern_dataplane::stats::DropReason;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::SocketAddrV4;

const PLATFORM: PortId = PortId(6);
const DNS: &str = "168.63.129.16";

/// The world in which both networks have the endpoint, NICs with the same two addresses, and the
/// platform.
fn twins(epoch: u32) -> Snapshot {
    let mut snapshot = world(epoch, &[STORAGE]);
    snapshot.subnets[2].endpoints = snapshot.subnets[0].endpoints.clone();
    nic_mut(&mut snapshot, FAR).addresses = vec![ip("10.0.1.4"), ip("10.0.1.5")];
    snapshot.vnets[1].nics.insert(ip("10.0.1.5"), FAR);
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Platform,
    }));
    snapshot.platform = [(ip(DNS), PLATFORM)].into_iter().collect();
    snapshot
}

#[test]
fn the_second_connection_with_an_equal_tuple_gets_another_port_and_its_own_answers() {
    let mut rig = Rig::new(twins(1));
    let (client, server) = ("10.0.1.4:5000", "52.239.0.10:443");
    let syn = tcp(client, server, SYN, 1, 0, &[]);
    assert_eq!(rig.forward(VM0, &syn, SVC), syn, "nothing is in the way");
    let (seen, to) = ends(&rig.forward(FAR, &syn, SVC));
    assert_eq!((*seen.ip(), to), (ip("10.0.1.4"), addr(server)));
    assert!(seen.port() != 5000 && seen.port() >= 1024);

    // Both go on, each by itself.
    for (vm, seen) in [(VM0, addr(client)), (FAR, seen)] {
        let answer = tcp(server, &seen.to_string(), SYN | ACK, 9, 2, &[]);
        let back = ends(&rig.forward(SVC, &answer, vm));
        assert_eq!(back, (addr(server), addr(client)));
        let data = tcp(client, server, ACK, 2, 10, b"hello");
        assert_eq!(ends(&rig.forward(vm, &data, SVC)), (seen, addr(server)));
    }
    for flow in rig.engine.flows(None, 10) {
        assert_eq!(flow.source_kind, SourceKind::Private);
    }
    assert!(rig.engine.snat().is_empty(), "no public port is taken");
}

#[test]
fn datagrams_and_pings_to_the_platform_stay_apart_too() {
    let mut rig = Rig::new(twins(1));
    let (client, server) = ("10.0.1.4:5000", "168.63.129.16:53");
    let question = udp(client, server, b"?");
    rig.forward(VM0, &question, PLATFORM);
    let seen = ends(&rig.forward(FAR, &question, PLATFORM)).0;
    assert_ne!(seen.port(), 5000);
    let answer = udp(server, &seen.to_string(), b"!");
    assert_eq!(
        rig.forward(PLATFORM, &answer, FAR),
        udp(server, client, b"!")
    );

    let ping = echo("10.0.1.4", DNS, true, 7);
    rig.forward(VM0, &ping, PLATFORM);
    let sent = rig.forward(FAR, &ping, PLATFORM);
    let ident = u16::from_be_bytes([sent[24], sent[25]]);
    assert_ne!(ident, 7);
    let pong = echo(DNS, "10.0.1.4", false, ident);
    let mine = echo(DNS, "10.0.1.4", false, 7);
    assert_eq!(rig.forward(PLATFORM, &pong, FAR), mine);
    assert_eq!(rig.forward(PLATFORM, &mine, VM0), mine);

    // Fragments follow their first one, and an error finds the port that was sent from.
    let large = udp(client, server, &[1; 64]);
    for part in fragments(&large, 5, 32) {
        rig.forward(FAR, &part, PLATFORM);
    }
    let delivered = rig.forward(FAR, &question, PLATFORM);
    let error = unreachable(DNS, "10.0.1.4", 3, &delivered, 28);
    let wanted = unreachable(DNS, "10.0.1.4", 3, &question, 28);
    assert_eq!(rig.forward(PLATFORM, &error, FAR), wanted);
}

#[test]
fn a_policy_that_changes_nothing_for_a_flow_leaves_its_other_port() {
    let mut rig = Rig::new(twins(1));
    let (client, server) = ("10.0.1.4:5000", "52.239.0.10:443");
    let syn = tcp(client, server, SYN, 1, 0, &[]);
    rig.forward(VM0, &syn, SVC);
    let seen = ends(&rig.forward(FAR, &syn, SVC)).0;
    let report = rig.apply(twins(2));
    assert_eq!((report.kept, report.closed), (2, 0));
    let again = ends(&rig.forward(FAR, &syn, SVC)).0;
    assert_eq!(again, seen);

    // The endpoint of the first network goes: its flow is cut, the other keeps its port.
    let mut off = twins(3);
    off.subnets[0].endpoints = Default::default();
    let report = rig.apply(off);
    assert_eq!((report.kept, report.closed), (1, 1));
    assert_eq!(rig.made().len(), 2);
    assert_eq!(ends(&rig.forward(FAR, &syn, SVC)).0, seen);
}

#[test]
fn between_nics_and_to_the_internet_no_port_changes() {
    let mut snapshot = twins(1);
    nic_mut(&mut snapshot, VM1).ip_forwarding = true;
    let mut rig = Rig::new(snapshot);
    // VM1 forwards a packet with the source of VM0, which then sends one of its own.
    let forwarded = tcp("10.0.1.4:5000", "10.0.2.4:80", SYN, 1, 0, &[]);
    rig.forward(VM1, &forwarded, common::world::VM2);
    rig.drop(VM0, &forwarded, DropReason::ReplyTupleTaken);
    let outward = tcp("10.0.1.4:5000", "8.8.8.8:443", SYN, 1, 0, &[]);
    assert_eq!(ends(&rig.forward(VM0, &outward, INET)).0.port(), 5000);
}

#[test]
fn without_a_free_port_the_flow_is_refused_and_a_port_that_frees_is_found() {
    let mut engine = roomy(twins(1));
    let server = "52.239.0.10:443";
    let syn = |port: u16| tcp(&format!("10.0.1.4:{port}"), server, SYN, 1, 0, &[]);
    for port in 1024..=u16::MAX {
        let (verdict, seen) = quick(&mut engine, 1_000, VM0, &syn(port));
        assert_eq!((verdict, seen.port()), (Verdict::Forward(SVC), port));
    }
    let (verdict, _) = quick(&mut engine, 1_000, FAR, &syn(5000));
    assert_eq!(verdict, Verdict::Drop(DropReason::ReplyTupleTaken));
    // Its own port is free, so that is the one it gets.
    let (verdict, seen) = quick(&mut engine, 1_000, FAR, &syn(80));
    assert_eq!((verdict, seen.port()), (Verdict::Forward(SVC), 80));
}

/// What a sender does next: which network, address, port, destination and protocol.
#[derive(Clone, Copy, Debug)]
struct Step {
    far: bool,
    address: u8,
    port: u16,
    server_port: u16,
    protocol: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<bool>(), 4u8..6, 5000u16..5006, 53u16..56, 0u8..3);
    let step = step.prop_map(|(far, address, port, server_port, protocol)| Step {
        far,
        address,
        port,
        server_port,
        protocol,
    });
    proptest::collection::vec(step, 1..200)
}

impl Step {
    fn sender(self) -> PortId {
        match (self.far, self.address) {
            (true, _) => FAR,
            (false, 4) => VM0,
            (false, _) => VM1,
        }
    }

    fn egress(self) -> PortId {
        if self.protocol == 0 { SVC } else { PLATFORM }
    }

    fn server(self) -> String {
        let host = if self.protocol == 0 {
            "52.239.0.10"
        } else {
            DNS
        };
        format!("{host}:{}", self.server_port)
    }

    fn client(self) -> String {
        format!("10.0.1.{}:{}", self.address, self.port)
    }

    fn request(self) -> Vec<u8> {
        match self.protocol {
            0 => tcp(&self.client(), &self.server(), SYN, 1, 0, &[]),
            1 => udp(&self.client(), &self.server(), b"?"),
            _ => echo(&format!("10.0.1.{}", self.address), DNS, true, self.port),
        }
    }

    fn reply(self, to: SocketAddrV4) -> Vec<u8> {
        match self.protocol {
            0 => tcp(&self.server(), &to.to_string(), SYN | ACK, 9, 2, &[]),
            1 => udp(&self.server(), &to.to_string(), b"!"),
            _ => echo(DNS, &to.ip().to_string(), false, to.port()),
        }
    }
}

/// The source of a packet; the identifier of an echo request is its port.
fn source(packet: &[u8]) -> SocketAddrV4 {
    let mut source = ends(packet).0;
    if packet[9] == 1 {
        source.set_port(u16::from_be_bytes([packet[24], packet[25]]));
    }
    source
}

proptest! {
    #[test]
    fn every_reply_goes_back_to_its_own_sender(steps in steps()) {
        let mut rig = Rig::new(twins(1));
        // What the far side sees, against who sent it.
        let mut seen: HashMap<(u8, SocketAddrV4, String), Step> = HashMap::new();
        for step in steps {
            let sent = rig.forward(step.sender(), &step.request(), step.egress());
            let from = source(&sent);
            prop_assert_eq!(from.ip().octets(), [10, 0, 1, step.address]);
            let server = if step.protocol == 2 { DNS.to_owned() } else { step.server() };
            let known = seen.entry((step.protocol, from, server)).or_insert(step);
            prop_assert_eq!(known.sender(), step.sender(), "two senders behind one tuple");
            prop_assert_eq!(known.port, step.port);
        }
        for ((_, from, _), step) in seen {
            let back = rig.forward(step.egress(), &step.reply(from), step.sender());
            assert_checksums(&back);
            prop_assert_eq!(back, step.reply(addr(&step.client())));
        }
    }
}
