//! ESP and AH, which have no ports; packets within packets; the port that is the host's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

mod common;

use common::Rig;
use common::packets::{destination, fragments, ip, ipv4, source, udp, unreachable, with_df};
use common::world::{FAR, INET, POOL, STORAGE, SVC, VM0, VM1, VM2, nic_mut, world};
use postern_dataplane::policy::{
    Access, AddrSet, Direction, Nsg, Port, PortId, PortKind, PortSet, Protocol, Rule, RuleId,
};
use postern_dataplane::stats::DropReason;
use postern_dataplane::wire::VnetHdr;
use std::sync::Arc;

const PLATFORM: PortId = PortId(6);
const ESP: u8 = 50;
const AH: u8 = 51;

/// A packet that begins with SPI and sequence number.
fn secured(protocol: u8, from: &str, to: &str) -> Vec<u8> {
    let payload = [&[0, 0, 1, 0, 0, 0, 0, 1][..], b"nobody reads this"].concat();
    ipv4(from, to, protocol, 7, 0x4000, &payload)
}

fn esp(from: &str, to: &str) -> Vec<u8> {
    secured(ESP, from, to)
}

/// A group that allows one protocol in and out, and nothing else.
fn only(protocol: u8) -> Arc<Nsg> {
    let rule = Rule {
        id: RuleId(1),
        priority: 100,
        protocol: Protocol::Number(protocol),
        source: Arc::new(AddrSet::any()),
        source_ports: PortSet::Ranges(vec![1..=1]),
        destination: Arc::new(AddrSet::any()),
        destination_ports: PortSet::Ranges(vec![1..=1]),
        access: Access::Allow,
    };
    Arc::new(Nsg::new(vec![rule.clone()], vec![rule]))
}

/// The payload behind the IP header is as it was.
fn assert_payload_kept(before: &[u8], after: &[u8]) {
    assert_eq!(before[20..], after[20..]);
}

#[test]
fn both_pass_between_nics_as_one_flow_for_both_directions() {
    let mut rig = Rig::new(world(1, &[]));
    for protocol in [ESP, AH] {
        let out = secured(protocol, "10.0.1.4", "10.0.2.4");
        let back = secured(protocol, "10.0.2.4", "10.0.1.4");
        assert_eq!(rig.forward(VM0, &out, VM2), out);
        assert_eq!(rig.forward(VM2, &back, VM0), back);
    }
    let flows = rig.engine.flows(None, 10);
    assert_eq!(flows.len(), 2);
    assert!(flows.iter().all(|flow| flow.frames == [1, 1]));
}

#[test]
fn a_rule_for_one_of_them_decides_whatever_its_ports() {
    let mut snapshot = world(1, &[]);
    nic_mut(&mut snapshot, VM0).nsg = Some(only(ESP));
    nic_mut(&mut snapshot, VM2).nsg = Some(only(AH));
    let mut rig = Rig::new(snapshot);
    rig.forward(VM0, &esp("10.0.1.4", "10.0.1.5"), VM1);
    let denied = secured(AH, "10.0.1.4", "10.0.1.5");
    rig.drop(VM0, &denied, DropReason::NsgDeniedOut);
    rig.forward(VM1, &secured(AH, "10.0.1.5", "10.0.2.4"), VM2);
    let inward = (VM2, Direction::Inbound, DropReason::NsgDeniedIn);
    let refused = esp("10.0.1.5", "10.0.2.4");
    rig.drop_at(VM1, VnetHdr::default(), &refused, inward);
}

#[test]
fn an_instance_address_translates_esp_both_ways_and_refuses_ah() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let sent = esp("10.0.1.4", "8.8.8.8");
    let seen = rig.forward(VM0, &sent, INET);
    assert_eq!(
        (source(&seen), destination(&seen)),
        (ip("20.0.0.9"), ip("8.8.8.8"))
    );
    assert_payload_kept(&sent, &seen);
    let back = rig.forward(INET, &esp("8.8.8.8", "20.0.0.9"), VM0);
    assert_eq!(back, esp("8.8.8.8", "10.0.1.4"));

    // From outside first, and to a service, where an endpoint carries TCP only.
    let first = rig.forward(INET, &esp("8.8.4.4", "20.0.0.9"), VM0);
    assert_eq!(destination(&first), ip("10.0.1.4"));
    let service = rig.forward(VM0, &esp("10.0.1.4", "52.239.0.10"), SVC);
    assert_eq!(source(&service), ip("20.0.0.9"));

    let outward = secured(AH, "10.0.1.4", "8.8.8.8");
    rig.drop(VM0, &outward, DropReason::NotTranslatable);
    let inward = secured(AH, "8.8.8.8", "20.0.0.9");
    rig.drop(INET, &inward, DropReason::NotTranslatable);
}

#[test]
fn a_shared_source_refuses_both_whatever_else_it_translates() {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].icmp = true;
    snapshot.sources[0].fragments = true;
    let mut rig = Rig::new(snapshot);
    for protocol in [ESP, AH] {
        let out = secured(protocol, "10.0.1.5", "8.8.8.8");
        rig.drop(VM1, &out, DropReason::NotTranslatable);
    }
    rig.drop(INET, &esp("8.8.8.8", POOL), DropReason::NoFlow);
    assert_eq!(rig.engine.flow_count(), 0);
}

#[test]
fn fragments_errors_and_large_packets_are_as_with_other_protocols() {
    let mut rig = Rig::new(world(1, &[]));
    let large = ipv4("10.0.1.4", "8.8.8.8", ESP, 7, 0, &[1; 64]);
    for part in fragments(&large, 9, 32) {
        let seen = rig.forward(VM0, &part, INET);
        assert_eq!(source(&seen), ip("20.0.0.9"));
        assert_payload_kept(&part, &seen);
    }
    // The last one of a datagram whose first was not seen.
    let stray = fragments(&large, 10, 32).pop().unwrap();
    rig.drop(VM0, &stray, DropReason::FragmentStray);
    let tiny = ipv4("10.0.1.4", "8.8.8.8", ESP, 11, 0x2000, &[1; 4]);
    rig.drop(VM0, &tiny, DropReason::FragmentTiny);
    let short = ipv4("10.0.1.4", "8.8.8.8", ESP, 11, 0, &[1; 4]);
    rig.drop(VM0, &short, DropReason::Malformed);

    let sent = esp("10.0.1.4", "8.8.8.8");
    let seen = rig.forward(VM0, &sent, INET);
    let error = unreachable("8.8.8.8", "20.0.0.9", 2, &seen, 28);
    let back = rig.forward(INET, &error, VM0);
    assert_eq!(back, unreachable("8.8.8.8", "10.0.1.4", 2, &sent, 28));

    let mut snapshot = world(2, &[]);
    snapshot.ports[usize::from(INET.0)].as_mut().unwrap().mtu = 600;
    rig.apply(snapshot);
    let huge = ipv4("10.0.1.4", "8.8.8.8", ESP, 12, 0, &[1; 1000]);
    assert_eq!(rig.cut(VM0, VnetHdr::default(), &huge, INET).len(), 2);
    rig.drop(VM0, &with_df(huge, true), DropReason::TooBig);
    assert_eq!(rig.made().len(), 1, "the sender is told");
}

#[test]
fn an_idle_flow_ends_with_the_time_of_udp() {
    let mut rig = Rig::new(world(1, &[]));
    rig.forward(VM0, &esp("10.0.1.4", "8.8.8.8"), INET);
    rig.pass_time(239_000);
    assert_eq!(rig.engine.flow_count(), 1);
    rig.pass_time(2_000);
    assert_eq!(rig.engine.flow_count(), 0);
}

#[test]
fn where_two_networks_meet_the_second_is_refused_as_no_port_tells_it_apart() {
    let mut snapshot = world(1, &[]);
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Platform,
    }));
    snapshot.platform = [(ip("168.63.129.16"), PLATFORM)].into_iter().collect();
    let mut rig = Rig::new(snapshot);
    let sent = esp("10.0.1.4", "168.63.129.16");
    assert_eq!(rig.forward(VM0, &sent, PLATFORM), sent);
    rig.drop(FAR, &sent, DropReason::ReplyTupleTaken);
}

#[test]
fn packets_within_packets_are_dropped_under_their_own_reason() {
    let mut rig = Rig::new(world(1, &[]));
    for protocol in [4, 41, 47] {
        for to in ["10.0.2.4", "8.8.8.8"] {
            let packet = ipv4("10.0.1.4", to, protocol, 1, 0, &[0x45; 40]);
            rig.drop(VM0, &packet, DropReason::Encapsulated);
            let later = ipv4("10.0.1.4", to, protocol, 1, 3, &[0x45; 40]);
            rig.drop(VM0, &later, DropReason::Encapsulated);
        }
        let inward = ipv4("8.8.8.8", "20.0.0.9", protocol, 1, 0, &[0x45; 40]);
        rig.drop(INET, &inward, DropReason::Encapsulated);
    }
}

#[test]
fn the_hosts_port_is_no_guests() {
    let mut rig = Rig::new(world(1, &[]));
    for to in ["8.8.8.8:53", "10.0.2.4:53"] {
        let out = udp("10.0.1.4:65330", to, b"x");
        rig.drop(VM0, &out, DropReason::ReservedPort);
    }
    // Its answers could not leave; and elsewhere it is a port as any other.
    let inward = udp("8.8.8.8:53", "20.0.0.9:65330", b"x");
    let at_nic = (VM0, Direction::Inbound, DropReason::ReservedPort);
    rig.drop_at(INET, VnetHdr::default(), &inward, at_nic);
    rig.forward(VM0, &udp("10.0.1.4:53", "8.8.8.8:65330", b"x"), INET);
    rig.forward(VM0, &udp("10.0.1.4:65331", "8.8.8.8:53", b"x"), INET);
}
