//! Guests that share a public address: one cannot use up a destination for all, and what it is
//! refused costs the others nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod common;

use common::Rig;
use common::fleet::Fleet;
use common::nat::{close, gateway_world, open, quick, roomy};
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{EngineConfig, Verdict};
use postern_dataplane::policy::{Direction, Port, PortId, PortKind, Snapshot};
use postern_dataplane::stats::DropReason;
use std::sync::Arc;

const OK: Verdict = Verdict::Forward(INET);
const EXHAUSTED: Verdict = Verdict::Drop(DropReason::SnatExhausted);
const SERVER: &str = "8.8.8.8:53";

/// The world whose guests have so many ports of the default outbound address for a destination.
fn limited(epoch: u32, most: Option<u32>) -> Snapshot {
    let mut snapshot = world(epoch, &[]);
    snapshot.sources[0].max_flows_per_guest = most;
    snapshot
}

fn query(from: &str, n: u32, to: &str) -> Vec<u8> {
    udp(&format!("{from}:{}", 1024 + n), to, b"q")
}

#[test]
fn one_guest_cannot_use_up_a_destination() {
    let mut rig = Rig::new(limited(1, Some(3)));
    for n in 0..3 {
        rig.forward(VM1, &query("10.0.1.5", n, SERVER), INET);
    }
    for n in 3..9 {
        rig.drop(
            VM1,
            &query("10.0.1.5", n, SERVER),
            DropReason::SnatExhausted,
        );
    }
    // Live ones go on, another destination, port or protocol is another one, and others have theirs.
    rig.forward(VM1, &query("10.0.1.5", 2, SERVER), INET);
    rig.forward(VM1, &query("10.0.1.5", 3, "8.8.4.4:53"), INET);
    rig.forward(VM1, &query("10.0.1.5", 3, "8.8.8.8:54"), INET);
    let syn = tcp("10.0.1.5:1027", SERVER, SYN, 1, 0, &[]);
    rig.forward(VM1, &syn, INET);
    for n in 0..3 {
        rig.forward(VM2, &query("10.0.2.4", n, SERVER), INET);
        rig.forward(FAR, &query("10.0.1.4", n, SERVER), INET);
    }
    rig.drop(
        VM2,
        &query("10.0.2.4", 3, SERVER),
        DropReason::SnatExhausted,
    );
    let counters = rig.engine.counters().port(VM1).unwrap();
    assert_eq!(
        counters.dropped(Direction::Outbound, DropReason::SnatExhausted),
        6
    );
    // What is idle rests, and then there is room.
    rig.pass_time(241_000);
    rig.drop(
        VM1,
        &query("10.0.1.5", 9, SERVER),
        DropReason::SnatExhausted,
    );
    rig.pass_time(66_000);
    rig.forward(VM1, &query("10.0.1.5", 9, SERVER), INET);
}

#[test]
fn a_limit_that_comes_later_finds_true_numbers_and_ends_nothing() {
    let mut rig = Rig::new(limited(1, None));
    let clients: Vec<String> = (1..=4).map(|n| format!("10.0.1.5:{n}")).collect();
    let publics: Vec<String> = clients
        .iter()
        .map(|client| open(&mut rig, VM1, client, SERVER))
        .collect();
    rig.apply(limited(2, Some(4)));
    let syn = |n: u16| tcp(&format!("10.0.1.5:{n}"), SERVER, SYN, 1, 0, &[]);
    rig.drop(VM1, &syn(5), DropReason::SnatExhausted);
    close(&mut rig, VM1, &clients[0], SERVER, &publics[0]);
    rig.drop(VM1, &syn(5), DropReason::SnatExhausted);
    rig.pass_time(66_000);
    rig.forward(VM1, &syn(5), INET);
    rig.forward(VM1, &tcp(&clients[1], SERVER, ACK, 101, 501, b"x"), INET);
    rig.apply(limited(3, None));
    rig.forward(VM1, &syn(6), INET);
}

/// The attack: all ports of one destination, then ever more datagrams to it.
#[test]
fn a_guest_that_tries_all_ports_leaves_the_destination_to_others() {
    let mut engine = roomy(limited(1, Some(1024)));
    let mut opened = 0;
    for n in 0..64_000 {
        let verdict = quick(&mut engine, 1, VM1, &query("10.0.1.5", n, SERVER)).0;
        opened += usize::from(verdict == OK);
        assert!(verdict == OK || verdict == EXHAUSTED);
    }
    assert_eq!(opened, 1024);
    assert_eq!(engine.snat()[0].udp, 1024);
    for (vm, from) in [(VM2, "10.0.2.4"), (FAR, "10.0.1.4")] {
        for n in 0..1024 {
            assert_eq!(quick(&mut engine, 1, vm, &query(from, n, SERVER)).0, OK);
        }
        let one_more = quick(&mut engine, 1, vm, &query(from, 1024, SERVER)).0;
        assert_eq!(one_more, EXHAUSTED);
    }
}

#[test]
fn workers_keep_to_one_number_for_a_guest() {
    for workers in [2, 4] {
        let config = EngineConfig {
            max_flows: 40_000,
            seed: 3,
        };
        let mut fleet = Fleet::new(config, &Arc::new(limited(1, Some(100))), workers);
        let mut opened = 0;
        for n in 0..1000 {
            let verdict = fleet.process(1, VM1, &query("10.0.1.5", n, SERVER)).verdict;
            opened += usize::from(verdict == OK);
        }
        assert_eq!(opened, 100);
        assert_eq!(
            fleet.process(1, VM2, &query("10.0.2.4", 1, SERVER)).verdict,
            OK
        );
    }
}

/// A NAT gateway gives all its ports to whoever asks, as Azure's does, unless it is told otherwise.
#[test]
fn a_gateway_limits_a_guest_only_where_it_is_told_to() {
    for (most, expected) in [(None, 40), (Some(30), 30)] {
        let mut snapshot = gateway_world(1, &[]);
        snapshot.sources[0].max_flows_per_destination = Some(50);
        snapshot.sources[0].max_flows_per_guest = most;
        let mut rig = Rig::new(snapshot);
        let verdicts = (0..40).map(|n| rig.send_any(VM1, &query("10.0.0.1", n, SERVER)));
        assert_eq!(verdicts.filter(|&verdict| verdict == OK).count(), expected);
        rig.check();
    }
}

/// Two guests with equal addresses in different networks: one that takes every port towards the
/// platform does not take it from the other.
#[test]
fn a_guest_cannot_take_all_ports_of_an_address_that_another_has_too() {
    const PLATFORM: PortId = PortId(6);
    const DNS: &str = "168.63.129.16:53";
    let mut snapshot = world(1, &[]);
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Platform,
    }));
    snapshot.platform = [(ip("168.63.129.16"), PLATFORM)].into_iter().collect();
    for is_answered in [false, true] {
        let mut engine = roomy(snapshot.clone());
        for n in 1..=u16::MAX {
            let (verdict, _) = quick(
                &mut engine,
                1,
                VM0,
                &udp(&format!("10.0.1.4:{n}"), DNS, b"q"),
            );
            let is_host_port = verdict == Verdict::Drop(DropReason::ReservedPort);
            assert!(verdict == Verdict::Forward(PLATFORM) || is_host_port);
            if is_answered {
                let answer = udp(DNS, &format!("10.0.1.4:{n}"), b"a");
                let _ = quick(&mut engine, 1, PLATFORM, &answer);
            }
        }
        for n in 0..1000 {
            let query = udp(&format!("10.0.1.4:{}", 2000 + n), DNS, b"q");
            let (verdict, asked) = quick(&mut engine, 200, FAR, &query);
            assert_eq!(verdict, Verdict::Forward(PLATFORM), "question {n}");
            let answer = udp(DNS, &asked.to_string(), b"a");
            let (verdict, _) = quick(&mut engine, 200, PLATFORM, &answer);
            assert_eq!(verdict, Verdict::Forward(FAR));
        }
    }
}
