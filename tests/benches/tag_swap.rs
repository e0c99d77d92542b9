//! How long packets wait while the whole service-tag file is swapped.
//!
//! `cargo build --release && cargo bench -p postern-tests --bench tag_swap`, as root. A client asks
//! a server on UDP every 200 us through a running `postern`; the times of the answers are printed
//! without and with swaps, in turns. Client, server, `postern`'s worker and its compiler share the
//! machine's cores: what is printed is what the machine at hand gives, its scheduler included.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark stops where its surroundings fail"
)]

use postern_tests::{
    Fabric, Probe, UdpServer, WEEKLY_INTERNET, WEEKLY_NETWORK, at, privileged, weekly_files,
};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 4;
const SWAPS: usize = 6;
const PAUSE: Duration = Duration::from_micros(200);

fn main() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(WEEKLY_NETWORK);
    let Some(files) = weekly_files(fabric.dir()) else {
        return;
    };
    let files = files.map(|path| path.to_string_lossy().into_owned());
    fabric.run_with(&["--service-tags", &files[0]]);
    fabric.run();
    let echo = at(WEEKLY_INTERNET, 7);
    let _echo = UdpServer::answering(fabric.namespace("inet"), echo, |bytes, _| bytes.to_vec());
    let mut times = [Vec::new(), Vec::new()];
    let (mut swaps, mut spent) = (0, Duration::ZERO);
    for _ in 0..ROUNDS {
        let probe = Probe::start(fabric.namespace("vm0"), echo, PAUSE);
        let start = Instant::now();
        for _ in 0..SWAPS {
            swaps += 1;
            let _ = fabric.json(&["tags", "reload", &files[swaps % 2]]);
        }
        let took = start.elapsed();
        spent += took;
        times[1].extend(probe.stop());
        let probe = Probe::start(fabric.namespace("vm0"), echo, PAUSE);
        thread::sleep(took);
        times[0].extend(probe.stop());
    }
    let each = spent.as_secs_f64() * 1e3 / swaps as f64;
    println!("{swaps} swaps, each {each:.0} ms from the command to the report of its sweep");
    println!(
        "{:16}{:>9}{:>10}{:>10}{:>10}{:>10}",
        "us", "answers", "p50", "p99", "p99.9", "max"
    );
    for (name, mut times) in ["without swaps", "with swaps"].into_iter().zip(times) {
        times.sort_unstable();
        let at = |thousandths: usize| {
            let place = (times.len() - 1) * thousandths / 1000;
            times[place].as_secs_f64() * 1e6
        };
        let [p50, p99, p999, max] = [500, 990, 999, 1000].map(at);
        let count = times.len();
        println!("{name:16}{count:>9}{p50:>10.0}{p99:>10.0}{p999:>10.0}{max:>10.0}");
    }
}
