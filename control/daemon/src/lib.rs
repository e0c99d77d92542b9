//! What runs: the fabric and the store, changed together, and all who ask for changes.
//!
//! Dependencies point one way: `protocol <- fabric, store <- platform <- https, daemon <- cli`; `cli`
//! sees of the others what `protocol` has. Nothing here touches a packet.

mod background;
pub mod cli;
mod clock;
pub mod daemon;
pub mod fabric;
#[cfg(test)]
mod fixtures;
pub mod https;
mod memory;
pub mod platform;
pub mod protocol;
pub mod store;
