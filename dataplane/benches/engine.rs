//! What a packet costs in the engine: parse, hit, miss, and a policy's swap and sweep.
//!
//! `cargo bench -p postern-dataplane`. Times are of one core of the machine at hand.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark is no interface"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::packets::*;
use common::world::*;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use ipnet::Ipv4Net;
use postern_dataplane::engine::{Engine, EngineConfig, Frame, Share, Verdict};
use postern_dataplane::policy::{Access, NextHop, PortId, Route, RouteTable, Snapshot};
use postern_dataplane::time::Now;
use postern_dataplane::wire::{Headers, VnetHdr};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// As many packets as are looked ahead at.
const BATCH: usize = 32;

fn engine(flows: u32) -> Engine {
    let mut snapshot = world(1, &[STORAGE]);
    snapshot.settings.max_nic_flows = flows;
    Engine::new(
        EngineConfig {
            max_flows: flows,
            seed: 1,
        },
        Arc::new(snapshot),
    )
}

fn process(engine: &mut Engine, port: PortId, packet: &mut [u8]) -> Verdict {
    let mut frame = Frame::new(VnetHdr::default(), packet);
    engine.process(Now::from_millis(1), port, &mut frame)
}

/// Writes source port and the third octet of the destination, and brings nothing else up to date:
/// the engine trusts checksums. Ports stay in the lower half: one of the upper is the host's own,
/// and nothing that comes from it passes.
fn spread(packet: &mut [u8], n: u32) {
    let [_, high, b, a] = (n << 1).to_be_bytes();
    let [b, a] = (u16::from_be_bytes([b, a]) >> 1).to_be_bytes();
    packet[20] = b;
    packet[21] = a;
    packet[18] = high;
}

fn parse(c: &mut Criterion) {
    let packet = tcp("10.0.1.5:5000", "8.8.8.8:443", ACK, 2, 1, &[7; 100]);
    c.bench_function("parse", |b| {
        b.iter(|| Headers::parse(&VnetHdr::default(), black_box(&packet)));
    });
}

/// What it takes to know whose a packet is, among so many workers.
fn owner(c: &mut Criterion) {
    let packet = tcp("10.0.1.5:5000", "8.8.8.8:443", ACK, 2, 1, &[7; 100]);
    for workers in [1, 4] {
        let share = Share::new(&EngineConfig::default(), workers);
        c.bench_function(&format!("owner among {workers}"), |b| {
            b.iter(|| share.owner(Now::from_millis(1), VM1, black_box(&packet), 0));
        });
    }
}

/// Both directions of a flow that its service gets over IPv6.
fn tunnel_hits(group: &mut BenchmarkGroup<'_, WallTime>) {
    const ROOM: usize = Frame::HEADROOM;
    let (from, to) = ("10.0.1.4:5000", "52.239.0.10:443");
    let config = EngineConfig {
        max_flows: 1024,
        seed: 1,
    };
    let mut engine = Engine::new(config, Arc::new(tunnel_world(1)));
    let mut cross = |port: PortId, packet: &[u8], bytes: &mut [u8]| {
        let head = packet.len().min(60);
        bytes[ROOM..ROOM + head].copy_from_slice(&packet[..head]);
        let mut frame = Frame::with_room(VnetHdr::default(), bytes, ROOM);
        let verdict = engine.process(Now::from_millis(1), port, &mut frame);
        (verdict, frame.room())
    };
    let padded = |packet: &[u8]| [&[0; ROOM], packet].concat();
    let syn = tcp(from, to, SYN, 1, 0, &[]);
    let (verdict, _) = cross(VM0, &syn, &mut padded(&syn));
    assert_eq!(verdict, Verdict::Forward(SVC));
    let packet = tcp(from, to, ACK, 2, 1, &[7; 100]);
    let mut bytes = padded(&packet);
    group.bench_function("tcp endpoint over IPv6, out", |b| {
        b.iter(|| cross(VM0, &packet, &mut bytes));
    });
    let (_, start) = cross(VM0, &packet, &mut bytes);
    let mut answer = bytes[start..].to_vec();
    let (client, service) = (
        bytes[start + 8..start + 24].to_vec(),
        bytes[start + 24..start + 40].to_vec(),
    );
    answer[8..40].copy_from_slice(&[service, client].concat());
    let ports = [&answer[42..44], &answer[40..42]].concat();
    answer[40..44].copy_from_slice(&ports);
    let mut bytes = padded(&answer);
    let (verdict, _) = cross(SVC, &answer, &mut bytes);
    assert_eq!(verdict, Verdict::Forward(VM0));
    group.bench_function("tcp endpoint over IPv6, back", |b| {
        b.iter(|| cross(SVC, &answer, &mut bytes));
    });
}

fn hit(c: &mut Criterion) {
    let mut group = c.benchmark_group("hit");
    group.throughput(Throughput::Elements(1));
    for (name, port, from, to) in [
        (
            "tcp endpoint, unchanged",
            VM1,
            "10.0.1.5:5000",
            "52.239.0.10:443",
        ),
        ("tcp shared source", VM1, "10.0.1.5:5000", "8.8.8.8:443"),
    ] {
        let mut engine = engine(1024);
        let mut syn = tcp(from, to, SYN, 1, 0, &[]);
        assert!(matches!(
            process(&mut engine, port, &mut syn),
            Verdict::Forward(_)
        ));
        let packet = tcp(from, to, ACK, 2, 1, &[7; 100]);
        let mut bytes = packet.clone();
        group.bench_function(name, |b| {
            b.iter(|| {
                bytes[..40].copy_from_slice(&packet[..40]);
                process(&mut engine, port, &mut bytes)
            });
        });
    }
    tunnel_hits(&mut group);
    for flows in [1_000u32, 1_000_000] {
        let mut engine = engine(flows + 1);
        let query = udp("10.0.1.4:5000", "8.8.0.8:53", b"query");
        let mut bytes = query.clone();
        for n in 0..flows {
            bytes.copy_from_slice(&query);
            spread(&mut bytes, n);
            assert!(matches!(
                process(&mut engine, VM0, &mut bytes),
                Verdict::Forward(_)
            ));
        }
        let mut n = 0u32;
        let mut batch = vec![query.clone(); BATCH];
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(
            BenchmarkId::new("udp instance address, batch of random flows of", flows),
            |b| {
                b.iter(|| {
                    for bytes in &mut batch {
                        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        bytes[..32].copy_from_slice(&query[..32]);
                        spread(bytes, (n >> 8) % flows);
                    }
                    engine.anticipate(VM0, batch.iter().map(Vec::as_slice));
                    for bytes in &mut batch {
                        process(&mut engine, VM0, bytes);
                    }
                });
            },
        );
        group.throughput(Throughput::Elements(1));
        group.bench_function(
            BenchmarkId::new("udp instance address, random flow of", flows),
            |b| {
                b.iter(|| {
                    n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    bytes[..32].copy_from_slice(&query[..32]);
                    spread(&mut bytes, (n >> 8) % flows);
                    process(&mut engine, VM0, &mut bytes)
                });
            },
        );
    }
    group.finish();
}

fn miss(c: &mut Criterion) {
    let mut group = c.benchmark_group("miss");
    for (name, port, from) in [
        ("udp instance address", VM0, "10.0.1.4:5000"),
        ("udp shared source", VM1, "10.0.1.5:5000"),
    ] {
        let query = udp(from, "8.8.0.8:53", b"query");
        group.throughput(Throughput::Elements(50_000));
        group.sample_size(20);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (engine(60_000), query.clone()),
                |(engine, bytes)| {
                    for n in 0..50_000 {
                        bytes.copy_from_slice(&query);
                        spread(bytes, n);
                        black_box(process(engine, port, bytes));
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A policy of 100,000 routes to the Internet and a group of 1,000 rules of which the last one allows.
fn large_policy() -> Snapshot {
    let mut snapshot = world(1, &[STORAGE]);
    snapshot.settings.max_nic_flows = u32::MAX;
    let (mut routes, mut state) = (snapshot.subnets[0].routes.routes().to_vec(), 1u32);
    for n in 0..100_000u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let address = Ipv4Addr::from(130 << 24 | state >> 3 & 0x1fff_ffff);
        let prefix = Ipv4Net::new(address, [20, 24, 26, 28][n as usize % 4]);
        routes.push(Route::new(prefix.unwrap().trunc(), NextHop::Internet));
    }
    let routes = Arc::new(RouteTable::new(routes));
    let deny = (0..999).map(|n| (n, 100 + n as u16, Access::Deny, 10_000 + n as u16));
    let rules: Vec<_> = deny.chain([(999, 4_000, Access::Allow, 443)]).collect();
    let subnet = &mut snapshot.subnets[0];
    subnet.nsg = Some(nsg(&rules));
    (subnet.routes, subnet.rivals) = (Arc::clone(&routes), routes);
    snapshot
}

fn miss_large(c: &mut Criterion) {
    let mut group = c.benchmark_group("miss, 100,000 routes and 1,000 rules");
    group.throughput(Throughput::Elements(50_000));
    group.sample_size(20);
    let snapshot = Arc::new(large_policy());
    for (name, port, from) in [
        ("tcp instance address", VM0, "10.0.1.4:5000"),
        ("tcp shared source", VM1, "10.0.1.5:5000"),
    ] {
        let syn = tcp(from, "130.0.0.1:443", SYN, 1, 0, &[]);
        let config = EngineConfig {
            max_flows: 60_000,
            seed: 1,
        };
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (Engine::new(config, Arc::clone(&snapshot)), syn.clone()),
                |(engine, bytes)| {
                    let mut state = 1u32;
                    for _ in 0..50_000 {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        bytes.copy_from_slice(&syn);
                        let to = 130 << 24 | state >> 3 & 0x1fff_ffff;
                        bytes[16..20].copy_from_slice(&to.to_be_bytes());
                        let verdict = process(engine, port, bytes);
                        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn swap(c: &mut Criterion) {
    let mut group = c.benchmark_group("swap");
    let mut engine = engine(100_000);
    let query = udp("10.0.1.4:5000", "8.8.0.8:53", b"query");
    let mut bytes = query.clone();
    for n in 0..100_000 {
        bytes.copy_from_slice(&query);
        spread(&mut bytes, n);
        process(&mut engine, VM0, &mut bytes);
    }
    let mut epoch = 1;
    group.bench_function("install alone", |b| {
        b.iter_batched(
            || {
                epoch += 1;
                Arc::new(world(epoch, &[STORAGE]))
            },
            |snapshot| engine.install(snapshot),
            BatchSize::PerIteration,
        );
    });
    group.sample_size(20);
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("sweep of 100,000 kept flows", |b| {
        b.iter(|| {
            epoch += 1;
            engine.install(Arc::new(world(epoch, &[STORAGE])));
            while engine.advance(Now::from_millis(1), 4096).is_none() {}
        });
    });
    group.finish();
}

criterion_group!(benches, parse, owner, hit, miss, miss_large, swap);
criterion_main!(benches);
