//! Segments of a stranger who knows the addresses and ports of a connection and nothing else: they change
//! no state, take no lease and keep nothing alive that is over.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::policy::PortId;
use postern_dataplane::stats::DropReason;
use std::time::Duration;

const CLIENT: &str = "10.0.1.5:4000";
const WEB: &str = "8.8.8.8:443";
const VISITOR: &str = "9.9.9.9:5000";
const INSTANCE: &str = "20.0.0.9:22";

/// A world whose shared source keeps idle connections for two hours, as a NAT gateway can.
fn patient() -> Rig {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].tcp_idle = Some(Duration::from_secs(7200));
    Rig::new(snapshot)
}

/// Opens a connection of VM1 and returns its public end. VM1 is at 1001, the server at 5001.
fn open(rig: &mut Rig) -> String {
    let syn = tcp(CLIENT, WEB, SYN, 1000, 0, &[]);
    let public = ends(&rig.forward(VM1, &syn, INET)).0.to_string();
    rig.forward(INET, &tcp(WEB, &public, SYN | ACK, 5000, 1001, &[]), VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 1001, 5001, &[]), INET);
    public
}

fn state(rig: &Rig) -> String {
    let flows = rig.engine.flows(None, 9);
    assert_eq!(flows.len(), 1);
    format!("{} {}", flows[0].state, flows[0].translated_source)
}

fn data(rig: &mut Rig) -> Vec<u8> {
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 1001, 5001, b"x"), INET)
}

/// What the issue saw, and its kin: flags, sequence and acknowledgement number.
const BLIND: [(u8, u32, u32); 12] = [
    (RST, 1, 0),
    (RST, 5101, 0),
    (RST, 5000, 0),
    (RST | ACK, 5002, 1001),
    (SYN, 77, 0),
    (SYN, 5001, 0),
    (SYN | ACK, 77, 77),
    (SYN | ACK, 5001, 1001),
    (FIN | ACK, 1, 1),
    (FIN | ACK, 0x7000_0000, 1001),
    (FIN | ACK, 5001, 0x7000_0000),
    (ACK, 0x7000_0000, 1),
];

#[test]
fn no_blind_segment_changes_a_flow() {
    for (flags, seq, ack) in BLIND {
        let mut rig = patient();
        let public = open(&mut rig);
        let before = state(&rig);
        let blind = tcp(WEB, &public, flags, seq, ack, &[]);
        rig.forward(INET, &blind, VM1);
        assert_eq!(state(&rig), before, "{flags:#x} {seq}");
        assert!(rig.made().is_empty());
        // Much later, as long as the source says.
        rig.pass_time(7_000_000);
        assert_eq!(ends(&data(&mut rig)).0.to_string(), public);
        assert_eq!(state(&rig), before, "{flags:#x} {seq}");
    }
}

#[test]
fn all_of_them_together_change_nothing_and_the_end_is_seen() {
    let mut rig = patient();
    let public = open(&mut rig);
    for (flags, seq, ack) in BLIND {
        rig.forward(INET, &tcp(WEB, &public, flags, seq, ack, &[]), VM1);
    }
    rig.forward(VM1, &tcp(CLIENT, WEB, FIN | ACK, 1001, 5001, &[]), INET);
    assert!(state(&rig).starts_with("established"));
    rig.forward(INET, &tcp(WEB, &public, FIN | ACK, 5001, 1002, &[]), VM1);
    assert!(state(&rig).starts_with("closing"));
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 1002, 5002, &[]), INET);
    assert!(state(&rig).starts_with("closed"));
    // The public port rests 65 s, whatever a stranger sends meanwhile.
    for _ in 0..6 {
        rig.pass_time(10_500);
        for (flags, seq, ack) in [(RST, 5002, 0), (ACK, 7, 7), (FIN | ACK, 1, 1)] {
            rig.forward(INET, &tcp(WEB, &public, flags, seq, ack, &[]), VM1);
        }
        assert!(state(&rig).starts_with("closed"));
    }
    rig.pass_time(3_000);
    assert_eq!(rig.engine.flow_count(), 0);
}

#[test]
fn a_syn_takes_no_live_flow_and_none_from_its_responder_takes_a_closed_one() {
    let mut rig = patient();
    let public = open(&mut rig);
    // Live: both sides.
    rig.forward(INET, &tcp(WEB, &public, SYN, 9, 0, &[]), VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 70_000, 0, &[]), INET);
    assert_eq!(ends(&data(&mut rig)).0.to_string(), public);
    // Reset by the server: over, and at rest.
    rig.forward(INET, &tcp(WEB, &public, RST, 5001, 0, &[]), VM1);
    assert!(state(&rig).starts_with("reset"));
    let stranger = tcp(WEB, &public, SYN, 9, 0, &[]);
    rig.drop(INET, &stranger, DropReason::FlowClosed);
    assert_eq!(state(&rig), format!("reset {public}"));
    assert_eq!(rig.engine.snat()[0].tcp, 1, "the lease stays");
    // The initiator's opens it anew.
    rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 80_000, 0, &[]), INET);
    assert_eq!(state(&rig), format!("syn-sent {public}"));
}

#[test]
fn the_challenge_passes_and_tells_who_is_right() {
    let mut rig = patient();
    let public = open(&mut rig);
    // VM1 was started anew; the server challenges its SYN, and VM1 answers that.
    rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 70_000, 0, &[]), INET);
    rig.forward(INET, &tcp(WEB, &public, ACK, 5001, 1001, &[]), VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, RST, 1001, 0, &[]), INET);
    assert!(state(&rig).starts_with("reset"));
    rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 70_000, 0, &[]), INET);
    assert!(state(&rig).starts_with("syn-sent"));
}

#[test]
fn a_handshake_under_attack_is_finished() {
    let mut rig = patient();
    let syn = tcp(CLIENT, WEB, SYN, 1000, 0, &[]);
    let public = ends(&rig.forward(VM1, &syn, INET)).0.to_string();
    for (flags, seq, ack) in BLIND {
        if ack == 1001 {
            // It acknowledges the SYN: no stranger knows that number.
            continue;
        }
        rig.forward(INET, &tcp(WEB, &public, flags, seq, ack, &[]), VM1);
        assert!(state(&rig).starts_with("syn-sent"), "{flags:#x} {seq}");
    }
    let answer = tcp(WEB, &public, SYN | ACK, 5000, 1001, &[]);
    rig.forward(INET, &answer, VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 1001, 5001, &[]), INET);
    assert!(state(&rig).starts_with("established"));
}

#[test]
fn a_connection_from_outside_is_not_taken_by_who_bears_its_initiators_address() {
    let mut rig = Rig::new(world(1, &[]));
    let visit = |flags, seq, ack| tcp(VISITOR, INSTANCE, flags, seq, ack, &[]);
    let reply = |flags, seq, ack| tcp("10.0.1.4:22", VISITOR, flags, seq, ack, &[]);
    rig.forward(INET, &visit(SYN, 100, 0), VM0);
    // The stranger's attempt, in the middle of the handshake.
    rig.forward(INET, &visit(SYN, 9_000, 0), VM0);
    rig.forward(VM0, &reply(SYN | ACK, 500, 101), INET);
    rig.forward(INET, &visit(ACK, 101, 501), VM0);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
    for (flags, seq, ack) in BLIND {
        rig.forward(INET, &visit(flags, seq, ack), VM0);
        assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
    }
}

/// Between NICs, to a service, over IPv6: the same rules everywhere.
#[test]
fn flows_of_every_kind_are_judged_alike() {
    let kinds: [(&str, PortId); 3] = [
        ("10.0.2.4:443", VM2),
        ("52.239.0.10:443", SVC),
        ("40.79.0.10:443", SVC),
    ];
    for (server, port) in kinds {
        let mut rig = Rig::new(world(1, &[STORAGE]));
        let client = "10.0.1.5:4000";
        let syn = rig.forward(VM1, &tcp(client, server, SYN, 1000, 0, &[]), port);
        let seen = ends(&syn).0.to_string();
        let answer = |flags, seq, ack| tcp(server, &seen, flags, seq, ack, &[]);
        rig.forward(port, &answer(SYN | ACK, 5000, 1001), VM1);
        rig.forward(VM1, &tcp(client, server, ACK, 1001, 5001, &[]), port);
        for (flags, seq, ack) in BLIND {
            rig.forward(port, &answer(flags, seq, ack), VM1);
            assert!(state(&rig).starts_with("established"), "{server}");
        }
    }
}

#[test]
fn an_answer_over_ipv6_is_judged_alike() {
    use common::tunnel::*;
    let mut rig = connected(tunnel_world(1));
    let vnet = postern_dataplane::wire::VnetHdr::default();
    for (flags, seq, ack) in [(RST, 1, 0), (RST, 502, 0), (FIN | ACK, 9, 9), (ACK, 9, 9)] {
        let blind = tcp6(SERVICE, CLIENT, flags, seq, ack, &[]);
        rig.cross(SVC, vnet, &blind, VM0);
        assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
    }
    rig.cross(SVC, vnet, &tcp6(SERVICE, CLIENT, RST, 501, 0, &[]), VM0);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "reset");
    let syn = tcp6(SERVICE, CLIENT, SYN, 1, 0, &[]);
    rig.drop(SVC, &syn, DropReason::StNoFlow);
}

#[test]
fn an_error_about_what_was_never_sent_is_nobodys() {
    let mut rig = patient();
    let public = open(&mut rig);
    let seen = |seq: u32| tcp(&public, WEB, ACK, seq, 5001, b"guessed");
    let error = |quoted: &[u8]| unreachable("203.0.113.1", POOL, 4, quoted, 28);
    // All of what the client sent is acknowledged, and nothing lies before or behind.
    for seq in [1, 1000, 1002, 0x4000_0000, 0x8000_03e9, u32::MAX] {
        rig.drop(INET, &error(&seen(seq)), DropReason::IcmpNoFlow);
    }
    // Of what is under way, and of a probe that comes next.
    let sent = data(&mut rig);
    rig.forward(INET, &error(&sent), VM1);
    rig.forward(INET, &error(&seen(1002)), VM1);
    rig.drop(INET, &error(&seen(1003)), DropReason::IcmpNoFlow);
    // Acknowledged meanwhile: too late.
    rig.forward(INET, &tcp(WEB, &public, ACK, 5001, 1002, b"yz"), VM1);
    rig.drop(INET, &error(&sent), DropReason::IcmpNoFlow);
    // The other way: about what the server sent.
    let about = |seq: u32| {
        let delivered = tcp(WEB, CLIENT, ACK, seq, 1002, b"yz");
        unreachable("10.0.1.5", "8.8.8.8", 3, &delivered, 28)
    };
    rig.forward(VM1, &about(5001), INET);
    rig.drop(VM1, &about(4000), DropReason::IcmpNoFlow);
    rig.drop(VM1, &about(5004), DropReason::IcmpNoFlow);
    assert!(state(&rig).starts_with("established"));
}

#[test]
fn an_error_about_the_first_segment_is_taken() {
    let mut rig = patient();
    let seen = rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 1000, 0, &[]), INET);
    let public = ends(&seen).0.to_string();
    let error = |quoted: &[u8]| unreachable("203.0.113.1", POOL, 1, quoted, 28);
    rig.forward(INET, &error(&seen), VM1);
    let guessed = tcp(&public, WEB, SYN, 77_000, 0, &[]);
    rig.drop(INET, &error(&guessed), DropReason::IcmpNoFlow);
    // Tried anew with another number.
    let again = rig.forward(VM1, &tcp(CLIENT, WEB, SYN, 900_000, 0, &[]), INET);
    rig.forward(INET, &error(&again), VM1);
    // The answer to it, while it is under way to the client.
    let answer = tcp(WEB, &public, SYN | ACK, 5000, 900_001, &[]);
    let delivered = rig.forward(INET, &answer, VM1);
    let about = unreachable("10.0.1.5", "8.8.8.8", 3, &delivered, 28);
    rig.forward(VM1, &about, INET);
}

#[test]
fn a_blind_segment_keeps_no_idle_connection() {
    let mut rig = patient();
    let public = open(&mut rig);
    // As long as the source says, less a moment; then a stranger, then the rest of it.
    rig.pass_time(7_190_000);
    for (flags, seq, ack) in BLIND {
        rig.forward(INET, &tcp(WEB, &public, flags, seq, ack, b"x"), VM1);
    }
    rig.pass_time(20_000);
    assert_eq!(rig.engine.flow_count(), 0);
    // What is of the connection keeps it, an acknowledgement that answers a blind segment too.
    let public = open(&mut rig);
    rig.pass_time(7_190_000);
    rig.forward(INET, &tcp(WEB, &public, ACK, 0x7000_0000, 1, b"x"), VM1);
    rig.forward(VM1, &tcp(CLIENT, WEB, ACK, 1001, 5001, &[]), INET);
    rig.pass_time(20_000);
    assert_eq!(rig.engine.flow_count(), 1);
}
