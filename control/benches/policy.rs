//! What a policy costs: lookups by real and by many prefixes, building, loading.
//!
//! `cargo bench -p postern-control`. Times are of one core of the machine at hand.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark is no interface, and stops where its surroundings fail"
)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ipnet::Ipv4Net;
use postern_control::catalog::{Catalog, Service};
use postern_control::compile::{PortNumbers, compile};
use postern_control::config;
use postern_dataplane::lpm::Lpm;
use postern_dataplane::policy::{Endpoint, EndpointTable, Epoch};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;

/// The prefixes of every service that has endpoints, in every region.
fn real(catalog: &Catalog) -> Vec<Ipv4Net> {
    let services = Service::all().iter();
    let mut prefixes: Vec<Ipv4Net> = services
        .filter_map(|service| catalog.tag(service.tags[0]))
        .flat_map(|tag| tag.prefixes.iter().copied())
        .collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

fn random(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state ^ *state >> 15
}

/// Prefixes spread over the whole space, mostly /24, as in a full Internet table.
fn many(count: usize) -> Vec<Ipv4Net> {
    let mut state = 1;
    (0..count)
        .map(|_| {
            let len = [16, 20, 22, 23, 24, 24, 24, 24, 24, 28][random(&mut state) as usize % 10];
            Ipv4Net::new(Ipv4Addr::from(random(&mut state)), len)
                .unwrap()
                .trunc()
        })
        .collect()
}

fn lookups(c: &mut Criterion) {
    let catalog = Catalog::bundled().unwrap();
    let mut group = c.benchmark_group("lpm lookup");
    for prefixes in [real(&catalog), many(100_000)] {
        let lpm = Lpm::new(prefixes.iter().copied().zip(0..));
        let mut state = 7;
        // Half of the addresses are covered.
        let addresses: Vec<Ipv4Addr> = (0..65_536)
            .map(|n| match n % 2 {
                0 => prefixes[random(&mut state) as usize % prefixes.len()].broadcast(),
                _ => Ipv4Addr::from(random(&mut state)),
            })
            .collect();
        let mut at = 0;
        let name = format!(
            "{} prefixes, {} KiB",
            prefixes.len(),
            lpm.size_bytes() / 1024
        );
        group.bench_function(name, |b| {
            b.iter(|| {
                at = (at + 1) % addresses.len();
                lpm.lookup(black_box(addresses[at]))
            });
        });
    }
    group.finish();
}

fn builds(c: &mut Criterion) {
    let catalog = Catalog::bundled().unwrap();
    let mut group = c.benchmark_group("build");
    group.sample_size(20);
    for prefixes in [real(&catalog), many(100_000)] {
        let id = BenchmarkId::new("endpoint table", prefixes.len());
        group.bench_function(id, |b| {
            b.iter(|| {
                let service = Service::all()[0].id();
                let entries = prefixes.iter().map(|&prefix| Endpoint { prefix, service });
                EndpointTable::new(entries.collect())
            });
        });
    }
    let text = include_str!("../../config/two-subnets.toml");
    let file = Path::new("two-subnets.toml");
    let model = config::parse(file, text, &catalog).unwrap();
    group.bench_function("snapshot of config/two-subnets.toml", |b| {
        b.iter(|| compile(&model, &catalog, Epoch(1), &mut PortNumbers::default()).unwrap());
    });
    group.bench_function("bundled service-tag file", |b| {
        b.iter(|| Catalog::bundled().unwrap())
    });
    group.finish();
}

criterion_group!(benches, lookups, builds);
criterion_main!(benches);
