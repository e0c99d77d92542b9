//! What `scripts/bench.sh` loads a path with: datagrams, requests and connections.
//!
//! One program with a role for each end: `load ROLE KEY=VALUE...`. A server prints `listening` when
//! it does, ends when its standard input does, and prints what it saw as one line of JSON; a client
//! prints what it did. Rates are taken from what the receiver counted, never from what was sent.
#![allow(
    clippy::indexing_slicing,
    reason = "a load generator stops where its surroundings fail"
)]

mod datagrams;
mod options;
mod spread;
mod streams;
#[allow(unsafe_code)]
mod sys;
mod witness;

use options::{Failure, Options};
use std::process::ExitCode;

fn run(role: &str, options: &Options) -> Result<serde_json::Value, Failure> {
    options.pin()?;
    match role {
        "witness" => witness::witness(options),
        "knock" => witness::knock(options),
        "udp-receive" => datagrams::receive(options),
        "udp-send" => datagrams::send(options),
        "udp-spread" => spread::spread(options),
        "serve" => streams::serve(options),
        "ask" => streams::ask(options),
        "connect" => streams::connect(options),
        _ => Err(format!("no such role: {role}").into()),
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let role = words.next().unwrap_or_default();
    let result = Options::read(words).and_then(|options| run(&role, &options));
    match result {
        Ok(seen) => {
            println!("{seen}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load {role}: {error}");
            ExitCode::FAILURE
        }
    }
}
