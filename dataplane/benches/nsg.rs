//! What an NSG verdict costs by the number of rules, and what its index costs to build.
//!
//! `cargo bench -p postern-dataplane --bench nsg`. Four prefixes a rule on each side, half of the
//! tuples match a rule somewhere in the group, the rest fall to the last one. Times are of one
//! core of the machine at hand.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark is no interface"
)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{
    Access, AddrSet, Direction, Nsg, PortSet, Protocol, Rule, RuleId, Tuple,
};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

fn random(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state ^ *state >> 15
}

fn rules(count: u32) -> Vec<Rule> {
    let mut state = 1;
    let mut set = || {
        Arc::new(AddrSet::from_prefixes((0..4).map(|_| {
            let len = [16, 20, 24, 28][random(&mut state) as usize % 4];
            Ipv4Net::new(Ipv4Addr::from(random(&mut state)), len)
                .unwrap()
                .trunc()
        })))
    };
    let mut rules: Vec<Rule> = (0..count)
        .map(|n| Rule {
            id: RuleId(n),
            priority: 100 + n as u16,
            protocol: [Protocol::Any, Protocol::Number(6)][n as usize % 2],
            source: set(),
            source_ports: PortSet::Any,
            destination: set(),
            destination_ports: PortSet::Ranges(vec![n as u16..=n as u16 + 100, 40_000..=50_000]),
            access: Access::Allow,
        })
        .collect();
    rules.push(Rule {
        id: RuleId(count),
        priority: 65_500,
        protocol: Protocol::Any,
        source: Arc::new(AddrSet::any()),
        source_ports: PortSet::Any,
        destination: Arc::new(AddrSet::any()),
        destination_ports: PortSet::Any,
        access: Access::Deny,
    });
    rules
}

/// Tuples of which every other one is in a rule's prefixes and ports.
fn tuples(rules: &[Rule]) -> Vec<Tuple> {
    let mut state = 7;
    (0..4096)
        .map(|n| {
            let rule = &rules[random(&mut state) as usize % rules.len()];
            let within = |set: &AddrSet| Ipv4Addr::from(set.ranges()[0].0);
            let hit = n % 2 == 0;
            let mut other = || Ipv4Addr::from(random(&mut state));
            Tuple {
                protocol: 6,
                source: if hit { within(&rule.source) } else { other() },
                source_port: 50_000,
                destination: if hit {
                    within(&rule.destination)
                } else {
                    other()
                },
                destination_port: 45_000,
            }
        })
        .collect()
}

fn verdict(c: &mut Criterion) {
    let mut group = c.benchmark_group("nsg verdict");
    for count in [10, 20, 30, 50, 100, 1_000] {
        let rules = rules(count);
        let tuples = tuples(&rules);
        let nsg = Nsg::new(Vec::new(), rules);
        let mut at = 0;
        let name = format!("{count} rules, {} KiB", nsg.index_bytes().div_ceil(1024));
        group.bench_function(name, |b| {
            b.iter(|| {
                at = (at + 1) % tuples.len();
                nsg.evaluate(Direction::Outbound, black_box(&tuples[at]))
            });
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("nsg build");
    group.sample_size(20);
    for count in [10, 100, 1_000] {
        let rules = rules(count);
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| Nsg::new(Vec::new(), rules.clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, verdict, build);
criterion_main!(benches);
