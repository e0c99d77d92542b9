//! How long it takes from an endpoint's switch to the last cut, by the number of live connections.
//!
//! `cargo bench -p postern-dataplane --bench endpoint_switch`. Half of the connections are to the
//! service, the other half to the Internet: exactly the first half is cut, which is checked in every
//! round. The engine is driven in slices as the worker does it, without traffic and without devices.
//! Times are of one core of the machine at hand.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark is no interface"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::packets::*;
use common::world::*;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use postern_dataplane::engine::{Engine, EngineConfig, Frame, SweepReport, Verdict};
use postern_dataplane::policy::{Epoch, PortId, ServiceId, Snapshot};
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As many flows as the worker has looked at between two looks at the clock.
const SLICE: usize = 64;

const NOW: Now = Now::from_millis(1);

fn unlimited(epoch: u32, services: &[ServiceId]) -> Arc<Snapshot> {
    let mut snapshot = world(epoch, services);
    snapshot.settings.max_nic_flows = u32::MAX;
    Arc::new(snapshot)
}

fn process(engine: &mut Engine, port: PortId, packet: &mut [u8]) {
    let mut frame = Frame::new(VnetHdr::default(), packet);
    let verdict = engine.process(NOW, port, &mut frame);
    assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
}

/// Returns an engine with established connections, of which every other one is to the service.
fn established(connections: u32) -> Engine {
    let config = EngineConfig {
        max_flows: connections,
        seed: 1,
    };
    let mut engine = Engine::new(config, unlimited(1, &[]));
    for (server, port) in [("52.239.0.10:0", SVC), ("8.8.8.8:0", INET)] {
        let syn = tcp("10.0.1.4:0", server, SYN, 100, 0, &[]);
        let answer = tcp(server, "20.0.0.9:0", SYN | ACK, 500, 101, &[]);
        let ack = tcp("10.0.1.4:0", server, ACK, 101, 501, &[]);
        // Of an odd number one more is to the service.
        let count = (connections + u32::from(port == SVC)) / 2;
        for n in 0..count {
            let [_, high, middle, low] = n.to_be_bytes();
            // The ports, and nothing else is brought up to date: the engine trusts checksums.
            let (client, service) = ([middle, low], [1, high]);
            for (from, packet, [one, other]) in [
                (VM0, &syn, [client, service]),
                (port, &answer, [service, client]),
                (VM0, &ack, [client, service]),
            ] {
                let mut packet = packet.clone();
                packet[20..22].copy_from_slice(&one);
                packet[22..24].copy_from_slice(&other);
                process(&mut engine, from, &mut packet);
            }
        }
    }
    engine
}

/// Switches the endpoint on, and returns how long it took and how long the longest slice was.
fn switch(engine: &mut Engine, connections: u32) -> [Duration; 2] {
    let snapshot = unlimited(2, &[STORAGE]);
    let start = Instant::now();
    let before = engine.install(snapshot);
    let (mut longest, mut resets) = (start.elapsed(), 0);
    let report = loop {
        let slice = Instant::now();
        let report = engine.advance(NOW, SLICE);
        while engine.take_emitted().is_some() {
            resets += 1;
        }
        longest = longest.max(slice.elapsed());
        if let Some(report) = report {
            break report;
        }
    };
    let whole = start.elapsed();
    drop(before);
    let kept = u64::from(connections / 2);
    let closed = u64::from(connections) - kept;
    let expected = SweepReport {
        epoch: Epoch(2),
        kept,
        closed,
        rebound: 0,
        denied: 0,
    };
    assert_eq!((report, resets), (expected, 2 * closed));
    [whole, longest]
}

fn endpoint_switch(c: &mut Criterion) {
    let mut group = c.benchmark_group("endpoint enable to last cut");
    group.sample_size(10);
    for connections in [1, 10_000, 1_000_000] {
        for (at, what) in ["all", "longest slice"].into_iter().enumerate() {
            group.bench_function(BenchmarkId::new(what, connections), |b| {
                b.iter_custom(|rounds| {
                    (0..rounds)
                        .map(|_| switch(&mut established(connections), connections)[at])
                        .sum()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, endpoint_switch);
criterion_main!(benches);
