//! What the RFCs ask of a NAT: RFC 4787 (UDP), 5382 (TCP), 5508 (ICMP), 7857 (updates). One test for
//! each requirement that a packet can show; `docs/nat-conformance.md` lists all of them. A name with
//! `not_kept` holds what Azure does instead.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::Rig;
use common::nat::*;
use common::packets::*;
use common::world::*;
use postern_dataplane::policy::{PublicAddress, Snapshot, SourceId};
use postern_dataplane::stats::DropReason;
use std::collections::HashSet;
use std::time::Duration;

const CLIENT: &str = "10.0.1.5:5000";
const DNS: &str = "8.8.8.8:53";
const WEB: &str = "8.8.8.8:443";
const MINUTE: u64 = 60_000;

fn rig() -> Rig {
    Rig::new(world(1, &[]))
}

/// The world whose shared source translates pings and fragments.
fn lenient() -> Snapshot {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].icmp = true;
    snapshot.sources[0].fragments = true;
    snapshot
}

fn ask(rig: &mut Rig, from: &str, to: &str) -> String {
    ends(&rig.forward(VM1, &udp(from, to, b"q"), INET))
        .0
        .to_string()
}

#[test]
fn rfc4787_req1_not_kept_each_destination_has_its_own_port() {
    let mut rig = rig();
    let ports: HashSet<_> = (1..=8)
        .map(|n| ask(&mut rig, CLIENT, &format!("8.8.8.{n}:53")))
        .collect();
    assert_eq!(ports.len(), 8);
}

#[test]
fn rfc4787_req2_one_sender_has_one_address() {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].addresses = (1..=4).map(|n| ip(&format!("20.200.0.{n}"))).collect();
    for address in snapshot.sources[0].addresses.clone() {
        snapshot
            .publics
            .insert(address, PublicAddress::Shared(SourceId(0)));
    }
    let mut rig = Rig::new(snapshot);
    let addresses: HashSet<_> = (1..=50)
        .map(|n| *addr(&ask(&mut rig, &format!("10.0.1.5:{n}"), DNS)).ip())
        .collect();
    assert_eq!(addresses.len(), 1);
}

#[test]
fn rfc4787_req3_ports_are_not_overloaded_and_never_well_known() {
    let mut rig = rig();
    let mut seen = HashSet::new();
    for port in 1..=2000 {
        let public = addr(&ask(&mut rig, &format!("10.0.1.5:{port}"), DNS));
        assert!(public.port() >= 1024 && seen.insert(public));
    }
}

#[test]
fn rfc4787_req5_udp_mapping_lives_four_minutes_and_is_configurable() {
    let mut rig = rig();
    let public = ask(&mut rig, CLIENT, DNS);
    rig.pass_time(4 * MINUTE - 1000);
    rig.forward(INET, &udp(DNS, &public, b"r"), VM1);
    let mut snapshot = world(1, &[]);
    snapshot.settings.timers.udp_idle = Duration::from_secs(600);
    let mut rig = Rig::new(snapshot);
    let public = ask(&mut rig, CLIENT, DNS);
    rig.pass_time(10 * MINUTE - 1000);
    rig.forward(INET, &udp(DNS, &public, b"r"), VM1);
}

#[test]
fn rfc4787_req6_both_directions_refresh() {
    let mut rig = rig();
    let public = ask(&mut rig, CLIENT, DNS);
    for _ in 0..3 {
        rig.pass_time(3 * MINUTE);
        assert_eq!(ask(&mut rig, CLIENT, DNS), public);
    }
    for _ in 0..3 {
        rig.pass_time(3 * MINUTE);
        rig.forward(INET, &udp(DNS, &public, b"r"), VM1);
    }
}

#[test]
fn rfc4787_req8_not_kept_only_the_peer_gets_in() {
    let mut rig = rig();
    let public = ask(&mut rig, CLIENT, DNS);
    rig.forward(INET, &udp(DNS, &public, b"r"), VM1);
    for stranger in ["8.8.8.8:54", "8.8.4.4:53"] {
        rig.drop(INET, &udp(stranger, &public, b"r"), DropReason::NoFlow);
    }
}

#[test]
fn rfc4787_req9_rfc5382_req8_hairpin_to_an_instance_address_shows_the_public_source() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, "20.0.0.9:53", b"q"), VM0);
    let (from, to) = ends(&seen);
    assert_eq!((*from.ip(), to), (ip(POOL), addr("10.0.1.4:53")));
    let answer = udp("10.0.1.4:53", &from.to_string(), b"r");
    let back = rig.forward(VM0, &answer, VM1);
    assert_eq!(ends(&back), (addr("20.0.0.9:53"), addr(CLIENT)));
    // A shared address has no inside to reach: Azure's takes nothing in.
    let public = ask(&mut rig, CLIENT, DNS);
    rig.drop(VM2, &udp("10.0.2.4:1", &public, b"q"), DropReason::NoFlow);
}

#[test]
fn rfc4787_req10_rfc5382_req6_payload_is_never_touched() {
    let mut rig = rig();
    open(&mut rig, VM1, CLIENT, "8.8.8.8:21");
    let command = b"PORT 10,0,1,5,19,136\r\n";
    let sent = tcp(CLIENT, "8.8.8.8:21", ACK, 101, 501, command);
    assert_eq!(rig.forward(VM1, &sent, INET)[40..], *command);
}

#[test]
fn rfc4787_req12_rfc5382_req10_errors_end_no_mapping() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, DNS, b"q"), INET);
    for code in [0, 1, 2, 3, 13] {
        rig.forward(INET, &unreachable("8.8.8.8", POOL, code, &seen, 28), VM1);
    }
    let public = ends(&seen).0.to_string();
    rig.forward(INET, &udp(DNS, &public, b"r"), VM1);
    let seen = rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 100, 0, &[]), INET);
    rig.forward(INET, &unreachable("8.8.8.8", POOL, 3, &seen, 28), VM1);
    let public = ends(&seen).0.to_string();
    rig.forward(INET, &tcp(WEB, &public, SYN | ACK, 500, 101, &[]), VM1);
}

#[test]
fn rfc4787_req13_large_packet_that_forbids_fragments_is_answered() {
    let mut snapshot = world(1, &[]);
    snapshot.ports[usize::from(VM1.0)].as_mut().unwrap().mtu = 9000;
    let mut rig = Rig::new(snapshot);
    rig.drop(VM1, &udp(CLIENT, DNS, &[1; 2000]), DropReason::TooBig);
    let made = rig.made();
    assert_eq!(
        (made[0].port, made[0].packet[20..22].to_vec()),
        (VM1, vec![3, 4])
    );
}

#[test]
fn rfc4787_req14_fragments_pass_in_any_order_after_the_first() {
    let mut rig = Rig::new(lenient());
    let parts = fragments(&udp("10.0.1.5:9", "8.8.8.8:9", &[7; 4000]), 77, 1480);
    for at in [0, 2, 1] {
        assert_eq!(source(&rig.forward(VM1, &parts[at], INET)), ip(POOL));
    }
}

#[test]
fn rfc5382_req2_three_way_and_simultaneous_open() {
    let mut rig = rig();
    open(&mut rig, VM1, CLIENT, WEB);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
    let mut rig = self::rig();
    let public = begin(&mut rig, VM1, CLIENT, WEB);
    rig.forward(INET, &tcp(WEB, &public, SYN, 500, 0, &[]), VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, SYN | ACK, 100, 501, &[]), INET);
    rig.forward(INET, &tcp(WEB, &public, SYN | ACK, 500, 101, &[]), VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 101, 501, b"x"), INET);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
    rig.pass_time(2 * MINUTE);
    assert_eq!(rig.engine.flow_count(), 1);
}

#[test]
fn rfc5382_req4_unsolicited_syn_is_never_answered() {
    let mut rig = Rig::new(gateway_world(1, &[]));
    let syn = tcp("8.8.8.8:1", "65.52.1.1:22", SYN, 1, 0, &[]);
    for _ in 0..10 {
        rig.drop(INET, &syn, DropReason::NoFlow);
        rig.pass_time(1000);
    }
    assert_eq!(rig.made(), []);
}

#[test]
fn rfc5382_req5_not_kept_by_default_but_the_timer_can_be_124_minutes() {
    let mut snapshot = world(1, &[]);
    snapshot.settings.timers.tcp_idle = Duration::from_secs(124 * 60);
    let mut rig = Rig::new(snapshot);
    open(&mut rig, VM1, CLIENT, WEB);
    rig.pass_time(124 * MINUTE - 1000);
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 101, 501, &[]), INET);
}

#[test]
fn rfc5382_req7_tcp_ports_are_not_overloaded() {
    let mut rig = rig();
    let ports: HashSet<_> = (1..=1000)
        .map(|n| begin(&mut rig, VM1, &format!("10.0.1.5:{n}"), WEB))
        .collect();
    assert_eq!(ports.len(), 1000);
}

#[test]
fn rfc5382_req9_rfc5508_req4_error_is_translated_outside_and_inside() {
    let mut rig = rig();
    let syn = tcp(CLIENT, WEB, SYN, 100, 0, &[]);
    let seen = rig.forward(VM1, &syn, INET);
    let back = rig.forward(INET, &unreachable("203.0.113.1", POOL, 4, &seen, 576), VM1);
    assert_eq!(
        (destination(&back), &back[28..]),
        (ip("10.0.1.5"), &syn[..])
    );
}

#[test]
fn rfc5508_req1_not_kept_by_default_pings_are_dropped() {
    rig().drop(
        VM1,
        &echo("10.0.1.5", "8.8.8.8", true, 7),
        DropReason::NotTranslatable,
    );
    let mut rig = Rig::new(lenient());
    rig.forward(VM1, &echo("10.0.1.5", "8.8.8.8", true, 7), INET);
}

#[test]
fn rfc5508_req2_rfc7857_s11_query_mapping_lives_a_minute() {
    let mut rig = Rig::new(lenient());
    let seen = rig.forward(VM1, &echo("10.0.1.5", "8.8.8.8", true, 7), INET);
    let ident = u16::from_be_bytes([seen[24], seen[25]]);
    rig.pass_time(59_000);
    rig.forward(INET, &echo("8.8.8.8", POOL, false, ident), VM1);
}

#[test]
fn rfc5508_req3_error_with_a_wrong_sum_is_dropped() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, DNS, b"q"), INET);
    let mut wrong = unreachable("8.8.8.8", POOL, 3, &seen, 28);
    wrong[23] ^= 1;
    rig.drop(INET, &wrong, DropReason::IcmpChecksum);
    // The quoted header counts too.
    let mut quote = seen.clone();
    quote[11] ^= 1;
    let wrong = unreachable("8.8.8.8", POOL, 3, &quote, 28);
    rig.drop(INET, &wrong, DropReason::IcmpChecksum);
    rig.forward(INET, &unreachable("8.8.8.8", POOL, 3, &seen, 28), VM1);
}

#[test]
fn rfc5508_req3_error_in_fragments_is_dropped_as_its_sum_cannot_be_checked() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, DNS, &[1; 200]), INET);
    let error = unreachable("8.8.8.8", POOL, 3, &seen, 228);
    let first = &fragments(&error, 9, 64)[0];
    rig.drop(INET, first, DropReason::IcmpChecksum);
}

#[test]
fn an_error_goes_to_whoever_sent_what_it_quotes() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, DNS, b"q"), INET);
    // To another public address than the one that the quoted packet came from.
    let stray = unreachable("8.8.8.8", "20.0.0.9", 3, &seen, 28);
    rig.drop(INET, &stray, DropReason::IcmpNoFlow);
    rig.forward(INET, &unreachable("8.8.8.8", POOL, 3, &seen, 28), VM1);
}

#[test]
fn rfc5508_req5_error_from_inside_bears_the_public_address() {
    let mut rig = rig();
    let public = ask(&mut rig, CLIENT, DNS);
    let answer = udp(DNS, &public, b"answer");
    let delivered = rig.forward(INET, &answer, VM1);
    let error = unreachable("10.0.1.5", "8.8.8.8", 3, &delivered, 576);
    let out = rig.forward(VM1, &error, INET);
    assert_eq!((source(&out), &out[28..]), (ip(POOL), &answer[..]));
}

#[test]
fn rfc5508_req6_rfc7857_s7_errors_do_not_refresh() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, DNS, b"q"), INET);
    rig.pass_time(3 * MINUTE);
    rig.forward(INET, &unreachable("8.8.8.8", POOL, 3, &seen, 28), VM1);
    rig.pass_time(MINUTE + 1000);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "held");
}

#[test]
fn rfc5508_req7_rfc7857_s12_error_takes_the_hairpin_too() {
    let mut rig = rig();
    let sent = udp(CLIENT, "20.0.0.9:53", b"q");
    let delivered = rig.forward(VM1, &sent, VM0);
    let error = unreachable("10.0.1.4", POOL, 3, &delivered, 576);
    let back = rig.forward(VM0, &error, VM1);
    assert_eq!(
        (source(&back), destination(&back)),
        (ip("20.0.0.9"), ip("10.0.1.5"))
    );
    assert_eq!(back[28..], sent);
}

#[test]
fn rfc5508_req8_not_kept_a_refused_flow_is_silent() {
    let mut rig = rig();
    rig.drop(
        VM1,
        &udp(CLIENT, "10.9.0.1:53", b"q"),
        DropReason::RouteNone,
    );
    assert_eq!(rig.made(), []);
}

#[test]
fn rfc5508_req11_other_messages_are_dropped() {
    let mut rig = rig();
    let seen = rig.forward(VM1, &udp(CLIENT, DNS, b"q"), INET);
    for kind in [4, 5, 9, 10, 13, 15, 17] {
        let mut other = unreachable("8.8.8.8", POOL, 0, &seen, 28);
        other[20] = kind;
        rig.drop(INET, &other, DropReason::IcmpUnsupported);
    }
}

#[test]
fn rfc7857_s2_1_partly_open_and_closing_have_their_own_timers() {
    let mut snapshot = world(1, &[]);
    snapshot.settings.timers.tcp_half_open = Duration::from_secs(10);
    snapshot.settings.timers.tcp_closing = Duration::from_secs(20);
    let mut rig = Rig::new(snapshot);
    begin(&mut rig, VM1, CLIENT, WEB);
    rig.pass_time(10_500);
    assert_eq!(rig.engine.flow_count(), 0);
    let public = open(&mut rig, VM1, CLIENT, WEB);
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK | FIN, 101, 501, &[]), INET);
    rig.forward(INET, &tcp(WEB, &public, ACK, 501, 102, &[]), VM1);
    rig.pass_time(19_000);
    assert_eq!(rig.engine.flow_count(), 1);
    rig.pass_time(1500);
    assert_eq!(rig.engine.flow_count(), 0);
}

#[test]
fn rfc7857_s2_2_reset_outside_the_window_ends_nothing_and_a_real_one_leaves_a_rest() {
    let mut rig = rig();
    let public = open(&mut rig, VM1, CLIENT, WEB);
    // Nor does one in the window that is not exact (RFC 5961).
    for seq in [900_000, 502, 600] {
        rig.forward(INET, &tcp(WEB, &public, RST, seq, 0, &[]), VM1);
    }
    assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
    rig.forward(INET, &tcp(WEB, &public, RST, 501, 0, &[]), VM1);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "reset");
    // Its receiver saw it otherwise and goes on.
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 101, 501, b"x"), INET);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
}

#[test]
fn rfc7857_s3_ports_are_shared_between_destinations_only() {
    let mut engine = roomy(world(1, &[]));
    let mut to_one = HashSet::new();
    for n in 0..64_512u32 {
        let query = udp(&format!("10.0.1.5:{}", 1 + n), DNS, b"q");
        assert!(to_one.insert(quick(&mut engine, 1000, VM1, &query).1));
    }
    let elsewhere = udp(CLIENT, "8.8.4.4:53", b"q");
    assert!(to_one.contains(&quick(&mut engine, 1000, VM1, &elsewhere).1));
}

#[test]
fn rfc7857_s9_ports_are_random() {
    let mut rig = rig();
    let ports: Vec<u16> = (1..=50)
        .map(|n| addr(&ask(&mut rig, &format!("10.0.1.5:{n}"), DNS)).port())
        .collect();
    let steps = ports
        .windows(2)
        .filter(|pair| pair[1].wrapping_sub(pair[0]) == 1);
    assert!(steps.count() < 5, "{ports:?}");
}
