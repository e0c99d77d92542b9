//! Limits are met exactly by engines that share the work, one after the other and all at once.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::fleet::Fleet;
use common::nat::{gateway_world, quick};
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{Engine, EngineConfig, Verdict};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_dataplane::stats::DropReason;
use postern_dataplane::time::Now;
use std::sync::{Arc, Barrier};

const CONFIG: EngineConfig = EngineConfig {
    max_flows: 40_000,
    seed: 3,
};
const WORKERS: usize = 4;
const OK: Verdict = Verdict::Forward(INET);
const SERVER: &str = "8.8.8.8:53";

fn fleet(snapshot: Snapshot) -> Fleet {
    Fleet::new(CONFIG, &Arc::new(snapshot), WORKERS)
}

fn query(n: u16, to: &str) -> Vec<u8> {
    udp(&format!("10.0.0.1:{}", 2000 + n), to, b"q")
}

/// Returns how many of `count` flows to a server were refused, and why.
fn refused(fleet: &mut Fleet, now: u64, flows: core::ops::Range<u16>, to: &str) -> Vec<DropReason> {
    let verdicts = flows.map(|n| fleet.process(now, VM1, &query(n, to)).verdict);
    let reasons = verdicts.filter_map(|verdict| match verdict {
        Verdict::Drop(reason) => Some(reason),
        _ => None,
    });
    reasons.collect()
}

fn limited(per_destination: Option<u32>, in_all: Option<u32>, of_nic: u32) -> Snapshot {
    let mut snapshot = gateway_world(1, &[]);
    snapshot.sources[0].max_flows_per_destination = per_destination;
    snapshot.sources[0].max_flows = in_all;
    snapshot.settings.max_nic_flows = of_nic;
    snapshot
}

#[test]
fn a_destination_takes_its_limit_and_no_flow_more() {
    let mut fleet = fleet(limited(Some(100), None, 1000));
    assert_eq!(refused(&mut fleet, 1, 0..100, SERVER), []);
    assert!(fleet.engines.iter().all(|engine| engine.flow_count() > 0));
    let exhausted = vec![DropReason::SnatExhausted; 50];
    assert_eq!(refused(&mut fleet, 1, 100..150, SERVER), exhausted);
    assert_eq!(
        refused(&mut fleet, 1, 0..100, SERVER),
        [],
        "live flows go on"
    );
    assert_eq!(
        refused(&mut fleet, 1, 0..100, "8.8.4.4:53"),
        [],
        "another one"
    );

    // All end, rest and are gone: there is room for as many again.
    let idle = 240_000 + 1000;
    fleet.pass_time(idle);
    assert_eq!(
        refused(&mut fleet, idle, 100..101, SERVER).len(),
        1,
        "they rest"
    );
    fleet.pass_time(idle + 66_000);
    assert_eq!(fleet.snat()[0].udp, 0);
    assert_eq!(refused(&mut fleet, idle + 66_000, 50..150, SERVER), []);
    assert_eq!(
        refused(&mut fleet, idle + 66_000, 150..151, SERVER).len(),
        1
    );
}

#[test]
fn a_gateway_takes_its_limit_and_no_flow_more() {
    let mut fleet = fleet(limited(None, Some(150), 1000));
    assert_eq!(refused(&mut fleet, 1, 0..100, SERVER), []);
    assert_eq!(refused(&mut fleet, 1, 0..50, "8.8.4.4:53"), []);
    let exhausted = vec![DropReason::SnatExhausted; 30];
    assert_eq!(refused(&mut fleet, 1, 0..30, "9.9.9.9:53"), exhausted);
    assert_eq!(fleet.snat()[0].udp, 150);
}

#[test]
fn a_nic_opens_its_limit_of_flows_and_no_more_and_takes_as_many_in() {
    let mut fleet = fleet(limited(None, None, 60));
    assert_eq!(refused(&mut fleet, 1, 0..60, SERVER), []);
    let full = vec![DropReason::NicFlowLimit; 20];
    assert_eq!(refused(&mut fleet, 1, 60..80, SERVER), full);
    assert_eq!(fleet.snat()[0].udp, 60, "what is refused leases nothing");
    let in_to = |n: u16| udp(&format!("10.0.2.4:{}", 2000 + n), "10.0.0.1:22", b"in");
    for n in 0..60 {
        assert_eq!(
            fleet.process(1, VM2, &in_to(n)).verdict,
            Verdict::Forward(VM1)
        );
    }
    for n in 0..20 {
        // The sender has 60 as well: its own limit comes first.
        let verdict = fleet.process(1, VM2, &in_to(60 + n)).verdict;
        assert_eq!(verdict, Verdict::Drop(DropReason::NicFlowLimit));
        let from_vm0 = udp(&format!("10.0.1.4:{}", 2000 + n), "10.0.0.1:22", b"in");
        let verdict = fleet.process(1, VM0, &from_vm0).verdict;
        assert_eq!(
            verdict,
            Verdict::Drop(DropReason::NicFlowLimit),
            "the receiver's"
        );
    }
    // A place that was taken at one end and not at the other came back.
    for n in 0..60 {
        let out = udp(&format!("10.0.1.4:{}", 3000 + n), SERVER, b"out");
        assert_eq!(fleet.process(1, VM0, &out).verdict, OK);
    }
    fleet.pass_time(300_000);
    fleet.pass_time(400_000);
    assert_eq!(
        refused(&mut fleet, 400_000, 100..160, SERVER),
        [],
        "all ended"
    );
    assert_eq!(refused(&mut fleet, 400_000, 160..161, SERVER).len(), 1);
}

/// How many flows each engine tries to open at once with the others.
const EACH: usize = 4000;

/// Lets every engine open the flows that it owns on a thread of its own, and returns how many were.
fn opened_at_once(fleet: Fleet, flows: u16) -> (usize, Vec<Engine>) {
    let Fleet { engines, share, .. } = fleet;
    let barrier = Barrier::new(WORKERS);
    let open = |index: usize, mut engine: Engine| {
        let owned = (0..flows).map(|n| query(n, SERVER));
        let owned: Vec<_> = owned
            .filter(|packet| share.owner(Now::from_millis(1), VM1, packet, 0) == index)
            .collect();
        let mut opened = 0;
        // In step, so that all come to the limit together however many cores there are.
        for some in owned[..EACH].chunks(EACH / 40) {
            barrier.wait();
            for packet in some {
                opened += usize::from(quick(&mut engine, 1, VM1, packet).0 == OK);
            }
        }
        (opened, engine)
    };
    let open = &open;
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(engines)
            .map(|(index, engine)| scope.spawn(move || open(index, engine)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let opened = results.iter().map(|(opened, _)| opened).sum();
    (
        opened,
        results.into_iter().map(|(_, engine)| engine).collect(),
    )
}

#[test]
fn engines_at_work_at_once_meet_a_limit_exactly() {
    for (snapshot, limit) in [
        (limited(Some(5000), None, 100_000), 5000),
        (limited(None, Some(5001), 100_000), 5001),
        (limited(None, None, 5002), 5002),
    ] {
        let (opened, engines) = opened_at_once(fleet(snapshot), 20_000);
        assert_eq!(opened, limit);
        let flows: usize = engines.iter().map(Engine::flow_count).sum();
        assert_eq!(flows, limit);
        assert_eq!(engines[0].snat()[0].udp as usize, limit);
        for engine in &engines {
            let sent = engine.counters().port(PortId(INET.0));
            assert!(
                sent.is_some_and(|port| port.sent_frames > 0),
                "all had a part"
            );
        }
    }
}

/// Each engine has an even share of the room, and refuses what goes beyond its own.
#[test]
fn room_for_flows_is_shared_out() {
    let config = EngineConfig {
        max_flows: 102,
        seed: 3,
    };
    let mut fleet = Fleet::new(config, &Arc::new(gateway_world(1, &[])), WORKERS);
    let rooms: Vec<usize> = fleet.engines.iter().map(Engine::max_flows).collect();
    assert_eq!(rooms, [26, 26, 25, 25]);
    let refusals = refused(&mut fleet, 1, 0..1000, SERVER);
    assert_eq!(refusals, vec![DropReason::FlowTableFull; 1000 - 102]);
    let full: Vec<usize> = fleet.engines.iter().map(Engine::flow_count).collect();
    assert_eq!(full, rooms);
    assert_eq!(
        fleet.snat()[0].udp,
        102,
        "a flow without room gives its port back"
    );
}
