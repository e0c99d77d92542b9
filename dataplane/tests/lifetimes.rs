//! How long flows and leases live, fragments, ICMP errors and packet sizes.

#![allow(clippy::indexing_slicing, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use core::time::Duration;
use postern_dataplane::policy::{Direction, Snapshot};
use postern_dataplane::stats::DropReason;
use postern_dataplane::time::Now;
use postern_dataplane::wire::GsoType;
use std::sync::Arc;

fn translated_world() -> Snapshot {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].fragments = true;
    snapshot.sources[0].icmp = true;
    snapshot
}

#[test]
fn public_port_rests_after_fin_and_the_same_client_may_come_back() {
    let mut rig = Rig::new(world(1, &[]));
    let (client, server) = ("10.0.1.5:5000", "8.8.8.8:443");
    let syn = tcp(client, server, SYN, 100, 0, &[]);
    let public = ends(&rig.forward(VM1, &syn, INET)).0.to_string();
    rig.forward(INET, &tcp(server, &public, SYN | ACK, 500, 101, &[]), VM1);
    rig.forward(VM1, &tcp(client, server, ACK | FIN, 101, 501, &[]), INET);
    rig.forward(INET, &tcp(server, &public, ACK | FIN, 501, 102, &[]), VM1);
    rig.forward(VM1, &tcp(client, server, ACK, 102, 502, &[]), INET);
    rig.pass_time(60_000);
    assert_eq!(rig.engine.snat()[0].tcp, 1, "65 s of rest");
    // A late copy of the last segments still passes.
    rig.forward(VM1, &tcp(client, server, ACK, 102, 502, &[]), INET);
    // The same client again: same public port, new connection.
    let again = rig.forward(VM1, &tcp(client, server, SYN, 9000, 0, &[]), INET);
    assert_eq!(ends(&again).0.to_string(), public);
    rig.forward(INET, &tcp(server, &public, RST | ACK, 0, 9001, &[]), VM1);
    rig.pass_time(15_000);
    assert_eq!(rig.engine.snat()[0].tcp, 1);
    rig.pass_time(2_000);
    assert_eq!(rig.engine.snat()[0].tcp, 0, "16 s after a reset");
    assert_eq!(rig.engine.flow_count(), 0);
    rig.drop(
        INET,
        &tcp(server, &public, ACK, 1, 1, &[]),
        DropReason::NoFlow,
    );
}

#[test]
fn engine_is_behind_until_all_that_is_due_has_ended() {
    let mut rig = Rig::new(world(1, &[]));
    for n in 0..10 {
        let client = format!("10.0.1.5:{}", 5000 + n);
        rig.forward(VM1, &tcp(&client, "8.8.8.8:443", SYN, 1, 0, &[]), INET);
    }
    assert!(!rig.engine.is_behind());
    let now = Now::from_millis(60_000);
    for left in [7, 4, 1] {
        rig.engine.advance(now, 3);
        assert_eq!(rig.engine.flow_count(), left);
        assert!(rig.engine.is_behind());
    }
    rig.engine.advance(now, 3);
    assert_eq!(
        (rig.engine.flow_count(), rig.engine.is_behind()),
        (0, false)
    );
    rig.engine.install(Arc::new(world(2, &[])));
    assert!(rig.engine.is_behind());
    assert!(rig.engine.advance(now, 10).is_some());
    assert!(!rig.engine.is_behind());
}

#[test]
fn half_open_and_idle_connections_end() {
    let mut rig = Rig::new(world(1, &[]));
    rig.forward(VM1, &tcp("10.0.1.5:1", "8.8.8.8:443", SYN, 1, 0, &[]), INET);
    rig.pass_time(29_000);
    assert_eq!(rig.engine.flow_count(), 1);
    rig.pass_time(2_000);
    assert_eq!(rig.engine.flow_count(), 0);
    assert_eq!(rig.engine.snat()[0].tcp, 0);

    let syn = tcp("10.0.1.5:2", "8.8.8.8:443", SYN, 100, 0, &[]);
    let public = ends(&rig.forward(VM1, &syn, INET)).0.to_string();
    rig.forward(
        INET,
        &tcp("8.8.8.8:443", &public, SYN | ACK, 500, 101, &[]),
        VM1,
    );
    let ack = tcp("10.0.1.5:2", "8.8.8.8:443", ACK, 101, 501, &[]);
    rig.forward(VM1, &ack, INET);
    for _ in 0..5 {
        rig.pass_time(200_000);
        rig.forward(VM1, &ack, INET);
    }
    rig.pass_time(241_000);
    assert_eq!(rig.engine.flow_count(), 0);
    rig.drop(VM1, &ack, DropReason::TcpNoFlow);
}

#[test]
fn udp_port_rests_and_its_sender_may_come_back() {
    let mut rig = Rig::new(world(1, &[]));
    let query = udp("10.0.1.5:5000", "8.8.8.8:53", b"q");
    let public = ends(&rig.forward(VM1, &query, INET)).0.to_string();
    rig.pass_time(241_000);
    assert_eq!(rig.engine.snat()[0].udp, 1, "held for 65 s");
    rig.drop(
        INET,
        &udp("8.8.8.8:53", &public, b"r"),
        DropReason::FlowClosed,
    );
    let again = rig.forward(VM1, &query, INET);
    assert_eq!(ends(&again).0.to_string(), public);
    rig.pass_time(241_000);
    rig.pass_time(66_000);
    assert_eq!((rig.engine.snat()[0].udp, rig.engine.flow_count()), (0, 0));
}

#[test]
fn later_fragments_follow_the_first_and_strays_are_dropped() {
    let mut rig = Rig::new(translated_world());
    let datagram = udp("10.0.1.5:9", "8.8.8.8:9", &[7; 4000]);
    let parts = fragments(&datagram, 77, 1480);
    assert_eq!(parts.len(), 3);
    rig.drop(VM1, &parts[1], DropReason::FragmentStray);
    let mut whole = Vec::new();
    for part in [&parts[0], &parts[2], &parts[1]] {
        let sent = rig.forward(VM1, part, INET);
        assert_eq!(source(&sent), ip(POOL));
        let offset = usize::from(u16::from_be_bytes([sent[6], sent[7]]) & 0x1fff) * 8;
        whole.resize(whole.len().max(offset + sent.len() - 20), 0);
        whole[offset..offset + sent.len() - 20].copy_from_slice(&sent[20..]);
    }
    // Put together at the receiver, the datagram's checksum is right.
    assert_checksums(&ipv4(POOL, "8.8.8.8", 17, 77, 0, &whole));
    rig.pass_time(20_000);
    rig.drop(VM1, &parts[1], DropReason::FragmentStray);
    let mut tiny = parts[0].clone();
    tiny.truncate(20 + 4);
    tiny[2..4].copy_from_slice(&24u16.to_be_bytes());
    rig.drop(VM1, &tiny, DropReason::FragmentTiny);
}

#[test]
fn fragments_pass_between_nics_and_by_an_instance_address() {
    let mut rig = Rig::new(world(1, &[]));
    for (to, out) in [("10.0.2.4:9", VM2), ("8.8.8.8:9", INET)] {
        for part in fragments(&udp("10.0.1.4:9", to, &[7; 3000]), 9, 1480) {
            rig.forward(VM0, &part, out);
        }
    }
    let big = fragments(&echo("10.0.1.4", "8.8.8.8", true, 3), 10, 8);
    for part in &big {
        rig.forward(VM0, part, INET);
    }
}

#[test]
fn error_about_a_translated_packet_is_translated_outside_and_inside() {
    let mut rig = Rig::new(world(1, &[]));
    let sent = udp("10.0.1.5:5000", "8.8.8.8:53", b"payload of a query");
    let seen = rig.forward(VM1, &sent, INET);
    for quote in [28, 40, 500] {
        let error = unreachable("203.0.113.1", POOL, 3, &seen, quote);
        let back = rig.forward(INET, &error, VM1);
        assert_eq!(
            (source(&back), destination(&back)),
            (ip("203.0.113.1"), ip("10.0.1.5"))
        );
        assert_eq!(
            back[28..],
            sent[..quote.min(sent.len())],
            "quoted as it was sent"
        );
    }
    let from_server = unreachable("8.8.8.8", POOL, 3, &seen, 28);
    assert_eq!(source(&rig.forward(INET, &from_server, VM1)), ip("8.8.8.8"));
}

#[test]
fn error_about_a_tcp_segment_keeps_the_quoted_checksum_right() {
    let mut rig = Rig::new(world(1, &[]));
    let syn = tcp("10.0.1.5:5000", "8.8.8.8:443", SYN, 100, 0, &[]);
    let seen = rig.forward(VM1, &syn, INET);
    let back = rig.forward(INET, &unreachable("203.0.113.1", POOL, 4, &seen, 576), VM1);
    assert_eq!(back[28..], syn);
    assert_eq!(
        back[26..28],
        [0x05, 0x78],
        "the MTU that the router told stays"
    );
    let back = rig.forward(INET, &unreachable("203.0.113.1", POOL, 4, &seen, 28), VM1);
    assert_eq!(back[28..], syn[..28]);
}

#[test]
fn error_from_a_nic_about_an_answer_bears_the_public_address() {
    let mut rig = Rig::new(world(1, &[]));
    let query = udp("10.0.1.5:5000", "8.8.8.8:53", b"q");
    let public = ends(&rig.forward(VM1, &query, INET)).0.to_string();
    let answer = udp("8.8.8.8:53", &public, b"answer");
    let delivered = rig.forward(INET, &answer, VM1);
    let error = unreachable("10.0.1.5", "8.8.8.8", 3, &delivered, 576);
    let out = rig.forward(VM1, &error, INET);
    assert_eq!((source(&out), destination(&out)), (ip(POOL), ip("8.8.8.8")));
    assert_eq!(out[28..], answer, "quoted as the server sent it");
    let spoofed = unreachable("10.0.1.77", "8.8.8.8", 3, &delivered, 576);
    rig.drop(VM1, &spoofed, DropReason::SourceNotOwned);
}

#[test]
fn error_without_a_flow_is_dropped() {
    let mut rig = Rig::new(world(1, &[]));
    let stranger = udp("20.200.0.1:5000", "8.8.8.8:53", b"q");
    rig.drop(
        INET,
        &unreachable("8.8.8.8", POOL, 3, &stranger, 28),
        DropReason::IcmpNoFlow,
    );
    rig.drop(
        INET,
        &unreachable("8.8.8.8", POOL, 3, &stranger, 20),
        DropReason::IcmpNoFlow,
    );
    rig.drop(
        INET,
        &unreachable("8.8.8.8", POOL, 3, &[0xff; 40], 40),
        DropReason::IcmpNoFlow,
    );
    let seen = rig.forward(VM1, &udp("10.0.1.5:5000", "8.8.8.8:53", b"q"), INET);
    let nested = unreachable("8.8.8.8", POOL, 3, &seen, 28);
    rig.drop(
        INET,
        &unreachable("8.8.8.8", POOL, 3, &nested, 56),
        DropReason::IcmpNoFlow,
    );
}

#[test]
fn error_about_a_ping_restores_the_identifier() {
    let mut rig = Rig::new(translated_world());
    let ping = echo("10.0.1.5", "8.8.8.8", true, 7);
    let seen = rig.forward(VM1, &ping, INET);
    let back = rig.forward(INET, &unreachable("203.0.113.1", POOL, 1, &seen, 576), VM1);
    assert_eq!(back[28..], ping);
}

#[test]
fn packet_too_big_for_the_output_is_dropped_and_its_sender_is_told() {
    let mut snapshot = world(1, &[]);
    snapshot.ports[0].as_mut().unwrap().mtu = 9000;
    let mut rig = Rig::new(snapshot);
    let big = udp("10.0.1.4:9", "8.8.8.8:9", &[1; 3000]);
    // etherparse sets "don't fragment".
    assert_eq!(big[6] & 0x40, 0x40);
    rig.drop(VM0, &big, DropReason::TooBig);
    let made = rig.made();
    assert_eq!((made.len(), made[0].port), (1, VM0));
    let error = &made[0].packet;
    assert_eq!(
        (source(error), destination(error)),
        (ip("8.8.8.8"), ip("10.0.1.4"))
    );
    assert_eq!(
        (error[20], error[21], &error[26..28]),
        (3, 4, &1500u16.to_be_bytes()[..])
    );
    assert_eq!(error[28..], big[..error.len() - 28]);
    assert!(error.len() <= 576);
    assert_eq!(rig.engine.flow_count(), 0);
    // Within a flow likewise, and a super-frame is measured by its segments.
    rig.forward(VM0, &udp("10.0.1.4:9", "8.8.8.8:9", &[1; 100]), INET);
    rig.drop(VM0, &big, DropReason::TooBig);
    assert_eq!(rig.made().len(), 1);
    let (vnet, frame) = partial(&big, GsoType::UdpL4, 1472);
    rig.forward_frame(VM0, vnet, &frame, INET);
    let (vnet, frame) = partial(&big, GsoType::UdpL4, 1473);
    rig.drop_at(
        VM0,
        vnet,
        &frame,
        (VM0, Direction::Outbound, DropReason::TooBig),
    );
}

#[test]
fn hop_limit_is_left_alone() {
    let mut rig = Rig::new(world(1, &[]));
    let mut query = udp("10.0.1.5:5000", "8.8.8.8:53", b"q");
    query[8] = 1;
    let sum = !slow_sum(&[&query[..10], &[0, 0], &query[12..20]].concat());
    query[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(rig.forward(VM1, &query, INET)[8], 1);
}

#[test]
fn the_flow_timeout_of_a_network_sets_the_idle_time_of_its_flows() {
    let with = |epoch, minutes: Option<u64>| {
        let mut snapshot = world(epoch, &[]);
        snapshot.vnets[0].flow_timeout = minutes.map(|minutes| Duration::from_secs(minutes * 60));
        snapshot
    };
    let mut rig = Rig::new(with(1, Some(10)));
    rig.forward(VM0, &udp("10.0.1.4:5", "8.8.8.8:53", b"q"), INET);
    rig.forward(INET, &udp("8.8.4.4:9", "20.0.0.9:7", b"q"), VM0);
    rig.forward(VM0, &udp("10.0.1.4:5", "10.0.2.4:53", b"q"), VM2);
    rig.forward(VM1, &udp("10.0.1.5:5", "8.8.8.8:53", b"q"), INET);
    rig.pass_time(400_000);
    rig.pass_time(199_000);
    assert_eq!(
        rig.engine.flow_count(),
        3,
        "a leased port is not the network's to time"
    );
    rig.pass_time(2_000);
    assert_eq!(rig.engine.flow_count(), 0);
    // An edit acts on flows that there are.
    rig.forward(VM0, &udp("10.0.1.4:5", "8.8.8.8:53", b"q"), INET);
    rig.apply(with(2, Some(4)));
    rig.pass_time(241_000);
    assert_eq!(rig.engine.flow_count(), 0);
    rig.forward(VM0, &udp("10.0.1.4:5", "8.8.8.8:53", b"q"), INET);
    rig.apply(with(3, Some(30)));
    rig.pass_time(1_799_000);
    assert_eq!(rig.engine.flow_count(), 1);
    rig.apply(with(4, None));
    rig.pass_time(1_000);
    assert_eq!(rig.engine.flow_count(), 0, "idle for longer than without");
}

#[test]
fn a_nic_has_a_limit_of_flows_each_way() {
    let mut snapshot = world(1, &[]);
    snapshot.settings.max_nic_flows = 2;
    let mut rig = Rig::new(snapshot);
    let ask = |from: &str, port: u16| udp(&format!("{from}:{port}"), "8.8.8.8:53", b"q");
    for port in [1, 2] {
        rig.forward(VM1, &ask("10.0.1.5", port), INET);
    }
    rig.drop(VM1, &ask("10.0.1.5", 3), DropReason::NicFlowLimit);
    rig.forward(VM1, &ask("10.0.1.5", 2), INET);
    // Flows to a NIC are counted apart from those that it opens.
    for port in [1, 2] {
        let packet = udp(&format!("10.0.2.4:{port}"), "10.0.1.5:80", b"q");
        rig.forward(VM2, &packet, VM1);
    }
    rig.drop_at(
        VM0,
        Default::default(),
        &udp("10.0.1.4:9", "10.0.1.5:80", b"q"),
        (VM1, Direction::Inbound, DropReason::NicFlowLimit),
    );
    rig.forward(VM0, &ask("10.0.1.4", 9), INET);
    // What ended counts no more.
    rig.pass_time(250_000);
    rig.pass_time(70_000);
    rig.forward(VM1, &ask("10.0.1.5", 3), INET);
}
