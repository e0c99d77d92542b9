//! What a change of a large estate costs before packets obey it: a thousand networks of ten subnets
//! are lowered, loaded, compared and compiled.
//!
//! `cargo bench -p postern-network --bench estate`. Times are of one core of the machine at hand.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark is no interface, and stops where its surroundings fail"
)]

mod large;

use criterion::{Criterion, criterion_group, criterion_main};
use large::{NETWORKS, estate};
use postern_dataplane::policy::Epoch;
use postern_network::catalog::Catalog;
use postern_network::compile::{PortNumbers, compile};
use postern_network::config::parse_table;
use postern_network::spelling::lower;
use std::hint::black_box;

fn change(c: &mut Criterion) {
    let catalog = Catalog::bundled().unwrap();
    let estate = estate();
    let table = lower(&estate);
    let model = parse_table(&table, &catalog).unwrap();
    let mut changed = model.clone();
    for subnet in changed.vnets.iter_mut().skip(NETWORKS / 2).take(1) {
        subnet.subnets.pop();
    }
    let mut numbers = PortNumbers::default();
    compile(&model, &catalog, Epoch(1), &mut numbers).unwrap();
    let mut group = c.benchmark_group("1,000 networks of 10 subnets");
    group.sample_size(10);
    group.bench_function("lower", |b| b.iter(|| lower(black_box(&estate))));
    group.bench_function("load", |b| {
        b.iter(|| parse_table(&table, &catalog).unwrap())
    });
    group.bench_function("diff", |b| b.iter(|| model.diff(black_box(&changed))));
    group.bench_function("compile", |b| {
        b.iter(|| compile(&model, &catalog, Epoch(2), &mut numbers.clone()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, change);
criterion_main!(benches);
