//! NAT gateways and default outbound, as section 9 of the reference has them.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::Rig;
use common::nat::*;
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{EngineConfig, Verdict};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_dataplane::stats::DropReason;
use postern_dataplane::time::Now;
use std::collections::HashSet;
use std::time::Duration;

const MINUTE: u64 = 60_000;
const SERVER: &str = "23.53.254.142:80";
const OTHER: &str = "26.108.254.155:80";
/// Ports of one address.
const PORTS: usize = 64_512;

fn with_idle(epoch: u32, minutes: u64) -> Snapshot {
    let mut snapshot = gateway_world(epoch, &[]);
    snapshot.sources[0].tcp_idle = Some(Duration::from_secs(minutes * 60));
    snapshot
}

/// Asserts that exactly one reset was made, to this port, with these ends, and returns its flags,
/// sequence and acknowledgement numbers.
#[track_caller]
fn one_reset(rig: &mut Rig, port: PortId, from: &str, to: &str) -> (u8, u32, u32) {
    let made = rig.made();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0].port, port);
    assert_eq!(ends(&made[0].packet), (addr(from), addr(to)));
    let (seq, ack) = tcp_seq_ack(&made[0].packet);
    (tcp_flags(&made[0].packet), seq, ack)
}

#[test]
fn worked_example_of_section_9() {
    let mut rig = Rig::new(gateway_world(1, &[]));
    let first = open(&mut rig, VM1, "10.0.0.1:4283", SERVER);
    let second = open(&mut rig, VM1, "10.0.0.1:4284", SERVER);
    let third = open(&mut rig, VM1, "10.0.0.1:4285", OTHER);
    for public in [&first, &second, &third] {
        assert_eq!(*addr(public).ip(), ip(GATEWAY));
    }
    assert_ne!(first, second, "one destination: the ports must differ");
    close(&mut rig, VM1, "10.0.0.1:4285", OTHER, &third);
    rig.drop(
        VM1,
        &echo("10.0.0.1", "23.53.254.142", true, 7),
        DropReason::NotTranslatable,
    );

    let before = rig.engine.snat();
    rig.apply(gateway_world(2, &[STORAGE]));
    for port in 1..=100 {
        let client = format!("10.0.0.1:{port}");
        let syn = tcp(&client, "52.239.0.10:443", SYN, 1, 0, &[]);
        assert_eq!(rig.forward(VM1, &syn, SVC), syn, "the private source");
    }
    assert_eq!(rig.engine.snat(), before, "storage draws no ports");
}

/// Opens and closes a connection to the other server; returns its public end. Connections that are
/// never answered do not end, so that they can fill the pool.
fn with_a_closed_port() -> (Rig, std::net::SocketAddrV4) {
    let mut snapshot = gateway_world(1, &[]);
    snapshot.settings.timers.tcp_half_open = Duration::from_secs(3600);
    let config = EngineConfig {
        max_flows: 200_000,
        seed: 5,
    };
    let mut rig = Rig::with(config, snapshot);
    let closed = open(&mut rig, VM1, "10.0.0.1:4285", OTHER);
    close(&mut rig, VM1, "10.0.0.1:4285", OTHER, &closed);
    (rig, addr(&closed))
}

fn syn_from_vm2(n: usize, server: &str) -> Vec<u8> {
    let client = format!("10.0.2.4:{}", 1 + n % 65_535);
    tcp(&client, server, SYN, 1, 0, &[])
}

/// The rest of the example.
#[test]
fn port_of_a_closed_connection_is_barred_to_its_destination_for_65_s() {
    let (mut rig, closed) = with_a_closed_port();
    let (engine, now) = (&mut rig.engine, rig.now);
    let mut seen = HashSet::new();
    for n in 0..PORTS - 1 {
        let (verdict, public) = quick(engine, now, VM2, &syn_from_vm2(n, OTHER));
        assert_eq!(verdict, Verdict::Forward(INET), "flow {n}");
        assert!(public != closed && seen.insert(public));
    }
    engine.advance(Now::from_millis(now + 64_800), usize::MAX);
    let (full, _) = quick(engine, now + 64_800, VM2, &syn_from_vm2(PORTS, OTHER));
    assert_eq!(full, Verdict::Drop(DropReason::SnatExhausted), "barred");
    engine.advance(Now::from_millis(now + 65_300), usize::MAX);
    let (_, public) = quick(engine, now + 65_300, VM2, &syn_from_vm2(PORTS, OTHER));
    assert_eq!(public, closed, "the only free port, after 65 s");
}

#[test]
fn port_of_a_closed_connection_is_free_for_other_destinations() {
    let (mut rig, closed) = with_a_closed_port();
    let mut public = |n, to| quick(&mut rig.engine, rig.now, VM2, &syn_from_vm2(n, to)).1;
    // Once no port is left that nobody holds, held ones are shared.
    for n in 0..PORTS - 1 {
        public(n, OTHER);
    }
    let seen: HashSet<_> = (0..PORTS).map(|n| public(n, SERVER)).collect();
    assert!(seen.contains(&closed));
}

#[test]
fn exhaustion_is_counted_and_fails_new_flows_to_that_destination_only() {
    let mut engine = roomy(gateway_world(1, &[]));
    let query = |n: usize, to: &str| udp(&format!("10.0.0.1:{}", 1 + n % 65_535), to, b"q");
    let mut seen = HashSet::new();
    for n in 0..PORTS {
        let (verdict, public) = quick(&mut engine, 1000, VM1, &query(n, "8.8.8.8:53"));
        assert_eq!(verdict, Verdict::Forward(INET));
        assert!(public.port() >= 1024 && seen.insert(public));
    }
    let one_more = quick(&mut engine, 1000, VM1, &query(PORTS, "8.8.8.8:53")).0;
    assert_eq!(one_more, Verdict::Drop(DropReason::SnatExhausted));
    let counters = engine.counters().port(VM1).unwrap();
    let direction = postern_dataplane::policy::Direction::Outbound;
    assert_eq!(counters.dropped(direction, DropReason::SnatExhausted), 1);
    let ok = Verdict::Forward(INET);
    assert_eq!(quick(&mut engine, 1000, VM1, &query(0, "8.8.8.8:53")).0, ok);
    assert_eq!(
        quick(&mut engine, 1000, VM1, &query(PORTS, "8.8.4.4:53")).0,
        ok
    );
    let syn = tcp("10.0.0.1:7", "8.8.8.8:53", SYN, 1, 0, &[]);
    assert_eq!(
        quick(&mut engine, 1000, VM1, &syn).0,
        ok,
        "TCP has its own ports"
    );
}

#[test]
fn each_gateway_has_its_own_idle_timer() {
    let (client, server) = ("10.0.0.1:4283", SERVER);
    for (minutes, snapshot) in [
        (4, gateway_world(1, &[])),
        (10, with_idle(1, 10)),
        (120, with_idle(1, 120)),
    ] {
        let mut rig = Rig::new(snapshot);
        open(&mut rig, VM1, client, server);
        rig.pass_time(minutes * MINUTE - 1000);
        rig.forward(VM1, &tcp(client, server, ACK, 101, 501, &[]), INET);
        rig.pass_time(minutes * MINUTE - 1000);
        assert_eq!(rig.engine.flow_count(), 1, "{minutes} minutes begin anew");
        rig.pass_time(2000);
        assert_eq!(rig.engine.flow_count(), 0, "{minutes} minutes");
        assert_eq!(rig.engine.snat()[0].tcp, 0);
    }
    // UDP has four minutes whatever the gateway says.
    let mut rig = Rig::new(with_idle(1, 120));
    rig.forward(VM1, &udp("10.0.0.1:9", "8.8.8.8:53", b"q"), INET);
    rig.pass_time(4 * MINUTE + 1000);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "held");
}

#[test]
fn live_connection_keeps_the_timer_that_it_was_opened_with() {
    let mut rig = Rig::new(with_idle(1, 10));
    open(&mut rig, VM1, "10.0.0.1:1", SERVER);
    rig.apply(with_idle(2, 4));
    rig.pass_time(9 * MINUTE);
    assert_eq!(rig.engine.flow_count(), 1);
    open(&mut rig, VM1, "10.0.0.1:2", SERVER);
    rig.pass_time(5 * MINUTE);
    assert_eq!(rig.engine.flow_count(), 0);
}

#[test]
fn next_packet_of_an_idle_connection_is_reset_from_either_side() {
    let mut rig = Rig::new(gateway_world(1, &[]));
    let (client, server) = ("10.0.0.1:4283", SERVER);
    let public = open(&mut rig, VM1, client, server);
    // Long after its timer too.
    rig.pass_time(4 * MINUTE + 1000);
    for later in [0, 60 * MINUTE] {
        rig.pass_time(later);
        rig.drop(
            VM1,
            &tcp(client, server, ACK, 101, 501, b"x"),
            DropReason::TcpNoFlow,
        );
        assert_eq!(one_reset(&mut rig, VM1, server, client), (RST, 501, 0));
        rig.drop(
            INET,
            &tcp(server, &public, ACK, 501, 101, b"y"),
            DropReason::NoFlow,
        );
        assert_eq!(one_reset(&mut rig, INET, &public, server), (RST, 101, 0));
    }
    // The answer is not answered, and nobody outside learns anything by a SYN.
    rig.drop(
        INET,
        &tcp(server, &public, RST, 501, 0, &[]),
        DropReason::NoFlow,
    );
    rig.drop(
        VM1,
        &tcp(client, server, RST | ACK, 101, 501, &[]),
        DropReason::TcpNoFlow,
    );
    rig.drop(
        INET,
        &tcp(server, &public, SYN, 9, 0, &[]),
        DropReason::NoFlow,
    );
    rig.drop(INET, &udp(server, &public, b"x"), DropReason::NoFlow);
    assert_eq!(rig.made(), []);
}

#[test]
fn service_that_answers_late_is_reset_too() {
    let mut rig = Rig::new(gateway_world(1, &[]));
    let (client, service) = ("10.0.0.1:4283", "52.239.0.10:443");
    let seen = rig.forward(VM1, &tcp(client, service, SYN, 100, 0, &[]), SVC);
    let public = ends(&seen).0.to_string();
    rig.pass_time(31_000);
    rig.drop(
        SVC,
        &tcp(service, &public, SYN | ACK, 500, 101, &[]),
        DropReason::ServiceInitiated,
    );
    assert_eq!(one_reset(&mut rig, SVC, &public, service), (RST, 101, 0));
}

#[test]
fn default_outbound_and_instance_addresses_are_silent_after_idle() {
    let mut rig = Rig::new(world(1, &[]));
    let (client, server) = ("10.0.1.5:4283", SERVER);
    let public = open(&mut rig, VM1, client, server);
    open(&mut rig, VM0, "10.0.1.4:1", server);
    rig.pass_time(4 * MINUTE + 1000);
    assert_eq!(rig.engine.flow_count(), 0);
    rig.drop(
        VM1,
        &tcp(client, server, ACK, 101, 501, b"x"),
        DropReason::TcpNoFlow,
    );
    rig.drop(
        INET,
        &tcp(server, &public, ACK, 501, 101, b"y"),
        DropReason::NoFlow,
    );
    rig.drop(
        VM0,
        &tcp("10.0.1.4:1", server, ACK, 101, 501, b"x"),
        DropReason::TcpNoFlow,
    );
    assert_eq!(rig.made(), []);
}

/// What each way to end costs the port before it is free again.
#[test]
fn hold_down_by_kind_of_end() {
    let (client, server) = ("10.0.0.1:4283", SERVER);
    type End = fn(&mut Rig, &str);
    let ends: [(&str, u64, End); 3] = [
        ("FIN", 65_000, |rig, public| {
            let (client, server) = ("10.0.0.1:4283", SERVER);
            rig.forward(INET, &tcp(server, public, SYN | ACK, 500, 101, &[]), VM1);
            rig.forward(VM1, &tcp(client, server, ACK, 101, 501, &[]), INET);
            close(rig, VM1, client, server, public);
        }),
        ("RST", 16_000, |rig, public| {
            let (client, server) = ("10.0.0.1:4283", SERVER);
            rig.forward(INET, &tcp(server, public, SYN | ACK, 500, 101, &[]), VM1);
            rig.forward(VM1, &tcp(client, server, RST | ACK, 101, 501, &[]), INET);
        }),
        ("half-open", 30_000, |_, _| {}),
    ];
    for (kind, rest, end) in ends {
        let mut rig = Rig::new(gateway_world(1, &[]));
        let public = begin(&mut rig, VM1, client, server);
        end(&mut rig, &public);
        rig.pass_time(rest - 500);
        assert_eq!(rig.engine.snat()[0].tcp, 1, "{kind}: still held");
        rig.pass_time(1000);
        assert_eq!(rig.engine.snat()[0].tcp, 0, "{kind}: free after {rest} ms");
    }
    let mut rig = Rig::new(gateway_world(1, &[]));
    rig.forward(VM1, &udp(client, server, b"q"), INET);
    rig.pass_time(4 * MINUTE + 200);
    rig.pass_time(64_000);
    assert_eq!(rig.engine.snat()[0].udp, 1, "UDP: still held");
    rig.pass_time(1500);
    assert_eq!(
        rig.engine.snat()[0].udp,
        0,
        "UDP: free 65 s after it went idle"
    );
}

#[test]
fn fragments_are_dropped_and_counted() {
    let mut rig = Rig::new(gateway_world(1, &[]));
    let parts = fragments(&udp("10.0.0.1:9", "8.8.8.8:9", &[1; 64]), 5, 32);
    rig.drop(VM1, &parts[0], DropReason::NotTranslatable);
    rig.drop(VM1, &parts[1], DropReason::FragmentStray);
}

#[test]
fn t24_ports_stay_flat_under_pure_endpoint_load() {
    let mut engine = roomy(gateway_world(1, &[STORAGE]));
    for n in 1..=50_000u32 {
        let client = format!("10.0.0.1:{n}");
        let syn = tcp(&client, "52.239.0.10:443", SYN, 1, 0, &[]);
        let (verdict, source) = quick(&mut engine, 1000, VM1, &syn);
        assert_eq!((verdict, source), (Verdict::Forward(SVC), addr(&client)));
    }
    assert_eq!(engine.flow_count(), 50_000);
    assert_eq!(engine.snat(), [], "no pool was ever asked");
}
