//! What a policy costs: lookups by real and by many prefixes, building, loading.
//!
//! `cargo bench -p postern-network`. Times are of one core of the machine at hand.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark is no interface, and stops where its surroundings fail"
)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ipnet::Ipv4Net;
use postern_dataplane::lpm::Lpm;
use postern_dataplane::policy::{Endpoint, EndpointTable, Epoch};
use postern_network::catalog::{Catalog, Service};
use postern_network::compile::{PortNumbers, compile};
use postern_network::config;
use std::collections::HashSet;
use std::fmt::Write as _;
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
    let text = include_str!("../../../config/two-subnets.toml");
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

/// A large policy: 32 NICs, each with a group of 1,000 rules of its own, in 13 subnets with 400 user
/// routes each, 5,200 in all, beside every endpoint and so 5,000 prefixes of services.
fn large() -> String {
    let mut text = "location = \"koreacentral\"\n".to_owned();
    let mut state = 3;
    let mut prefix = || {
        let length = 16 + random(&mut state) % 13;
        let address = Ipv4Addr::from(random(&mut state) | 1 << 24);
        Ipv4Net::new(address, length as u8).unwrap().trunc()
    };
    for table in 0..SUBNETS {
        writeln!(text, "[[routeTable]]\nname = \"t{table}\"").unwrap();
        let mut seen = HashSet::new();
        while seen.len() < 400 {
            let to = prefix();
            if seen.insert(to) {
                let at = seen.len();
                writeln!(
                    text,
                    "[[routeTable.route]]\nname = \"r{at}\"\naddressPrefix = \"{to}\"\n\
                     nextHopType = \"VirtualAppliance\"\nnextHopIpAddress = \"10.0.0.4\""
                )
                .unwrap();
            }
        }
    }
    text += "[[virtualNetwork]]\nname = \"v\"\naddressPrefixes = [\"10.0.0.0/16\"]\n";
    for subnet in 0..SUBNETS {
        let endpoints: Vec<&str> = Service::all()
            .iter()
            .map(|service| service.name)
            .filter(|name| *name != "Microsoft.Storage")
            .collect();
        writeln!(
            text,
            "[[virtualNetwork.subnet]]\nname = \"n{subnet}\"\nrouteTable = \"t{subnet}\"\n\
             addressPrefix = \"10.0.{subnet}.0/24\"\nserviceEndpoints = {endpoints:?}"
        )
        .unwrap();
    }
    for nic in 0..NICS {
        let (subnet, host) = (nic % SUBNETS, 4 + nic / SUBNETS);
        writeln!(
            text,
            "[[networkInterface]]\nname = \"vm{nic}\"\nvirtualNetwork = \"v\"\n\
             subnet = \"n{subnet}\"\nprivateIPAddress = \"10.0.{subnet}.{host}\"\n\
             networkSecurityGroup = \"g{nic}\"\nenableIPForwarding = true\n\
             namespace = \"vm{nic}\"\n[[networkSecurityGroup]]\nname = \"g{nic}\""
        )
        .unwrap();
        for rule in 0..1_000 {
            let (from, to) = (prefix(), prefix());
            let direction = ["Inbound", "Outbound"][rule % 2];
            writeln!(
                text,
                "[[networkSecurityGroup.securityRule]]\nname = \"r{rule}\"\naccess = \"Allow\"\n\
                 priority = {}\ndirection = \"{direction}\"\nprotocol = \"Tcp\"\n\
                 sourceAddressPrefix = \"{from}\"\ndestinationAddressPrefix = \"{to}\"\n\
                 destinationPortRange = \"{rule}-{}\"",
                100 + rule,
                rule + 9
            )
            .unwrap();
        }
    }
    text
}

const NICS: usize = 32;
const SUBNETS: usize = 13;

fn large_policy(c: &mut Criterion) {
    let catalog = Catalog::bundled().unwrap();
    let model = config::parse(Path::new("large.toml"), &large(), &catalog).unwrap();
    let numbers = PortNumbers::default();
    let mut kept = None;
    let used = allocation_counter::measure(|| {
        kept = Some(compile(&model, &catalog, Epoch(1), &mut numbers.clone()).unwrap());
    });
    println!(
        "large policy: {} KiB stay, {} KiB at most while it is compiled, {} allocations",
        used.bytes_current / 1024,
        used.bytes_max / 1024,
        used.count_total
    );
    drop(kept);
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("32 NICs, 1,000 rules each, 5,200 routes", |b| {
        b.iter(|| compile(&model, &catalog, Epoch(1), &mut numbers.clone()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, lookups, builds, large_policy);
criterion_main!(benches);
