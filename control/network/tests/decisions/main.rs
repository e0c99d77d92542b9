//! Every decision of Postern against an oracle: random topologies and flows, compiled and evaluated
//! as the packet path does it, and judged by a plain reading of the reference that shares nothing
//! with the compiler or the policy. Verdict, reason, place, rules, route, next hop, service and
//! source have to be the same.
//!
//! Seeds are fixed. `ORACLE_SEED=N` takes other ones, `ORACLE_ONLY=N` one topology alone.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod flows;
mod generate;
mod oracle;
mod prefix;
mod random;
mod render;
mod subject;
mod tally;
mod topology;

use flows::Aims;
use generate::TagFile;
use oracle::Oracle;
use random::Random;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use subject::Subject;
use tally::Tally;

const TOPOLOGIES: usize = 500;
const FLOWS: usize = 2_500;
/// One topology of so many has the bundled service tags.
const BUNDLED_EVERY: usize = 25;
const SEED: u64 = 20_251_028;

#[test]
fn a_million_flows_are_judged_as_the_reference_says() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed: u64 = number("ORACLE_SEED").unwrap_or(SEED);
    let only = number("ORACLE_ONLY").map(|only: u64| only as usize);
    println!("seed {seed}, {TOPOLOGIES} topologies, {FLOWS} flows in each");
    let next = AtomicUsize::new(only.unwrap_or(0));
    let end = only.map_or(TOPOLOGIES, |only| only + 1);
    let all = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= end {
                        break;
                    }
                    compare(seed, at, &mut tally);
                }
                all.lock().unwrap().add(&tally);
            });
        }
    });
    let tally = all.into_inner().unwrap();
    println!("{tally}");
    if only.is_none() {
        assert_eq!(tally.flows(), TOPOLOGIES * FLOWS);
        tally.expect_everything();
    }
}

/// Judges the flows of one topology by both.
fn compare(seed: u64, at: usize, tally: &mut Tally) {
    let seed = seed ^ (at as u64) << 32;
    let file = match at % BUNDLED_EVERY {
        0 => TagFile::Bundled,
        _ => TagFile::Random,
    };
    let topology = generate::topology(seed, file);
    let tags = match file {
        TagFile::Bundled => generate::BUNDLED.clone(),
        TagFile::Random => render::tags(&topology),
    };
    let subject = Subject::new(&topology, &tags);
    let oracle = Oracle::new(&topology);
    let aims = Aims::new(&topology);
    let mut random = Random::new(!seed);
    for _ in 0..FLOWS {
        let flow = aims.flow(&mut random, &topology);
        let (expected, found) = (oracle.judge(&flow), subject.judge(&flow));
        if expected != found {
            let folder = env!("CARGO_TARGET_TMPDIR");
            for (name, text) in [("toml", &render::configuration(&topology)), ("json", &tags)] {
                std::fs::write(format!("{folder}/decisions-{at}.{name}"), text).unwrap();
            }
            let (from, to) = (flow.source.to_be_bytes(), flow.destination.to_be_bytes());
            panic!(
                "topology {at}: {flow:?}, {from:?} to {to:?}\nexpected {expected:?}\n   found \
                 {found:?}\nits files are {folder}/decisions-{at}.*"
            );
        }
        tally.count(&topology, &flow, &expected, oracle.take_notes());
    }
}
