//! Postern's packet path: packets in, packets out.
//!
//! Dependencies point one way: `wire <- lpm, identity, policy <- flow, snat <- engine <- io`, and
//! `identity <- carrier`. Everything but [`io`] does no I/O and reads no clock: frames and time come
//! in as arguments, so that whole ports run in unit tests without privileges. This crate knows no
//! JSON, no HTTP and no Azure names.

pub mod carrier;
mod class;
pub mod engine;
pub mod flow;
pub mod identity;
mod index;
#[cfg(feature = "io")]
pub mod io;
pub mod lpm;
pub mod policy;
pub mod snat;
pub mod stats;
pub mod time;
pub mod wire;

// Tests of the crate's own parts use the packets and networks of those of the whole, which name it.
#[cfg(test)]
extern crate self as postern_dataplane;
