//! Virtual networks without a host: resources become policy, and answers about it.
//!
//! No I/O, no clock, no socket: `clippy.toml` forbids them, and no dependency has them. Dependencies point one way: `catalog <- model <- keys, config <- compile
//! <- diagnose <- spelling`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read samples"))]

// Fixtures call it by its name, as they do in other crates.
#[cfg(test)]
extern crate self as postern_network;

mod chain;

pub mod catalog;
pub mod compile;
pub mod config;
pub mod diagnose;
pub mod keys;
pub mod model;
pub mod spelling;

pub use chain::chain;
