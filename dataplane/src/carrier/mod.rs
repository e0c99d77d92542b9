//! What carries an identity from the dataplane to a service, as bytes (wire-identity reference,
//! sections 2 to 5). Encoders write, decoders check every length before they use it; nothing here
//! does I/O, and nothing is trusted because it arrived.
//!
//! | carrier | what the service's end gets | here |
//! |---|---|---|
//! | `st6` | IPv6, no tunnel; the engine's own | [`st6`] |
//! | `st6-nvgre`, `st6-vxlan` | IPv6 in a tunnel with a key | [`nvgre`], [`vxlan`] |
//! | `geneve`, `vxlan-gbp` | the guest's IPv4 packet | [`geneve`], [`vxlan`] |
//! | `proxy2` | a byte stream behind a header | [`proxy2`] |
//!
//! Each decoder looks at the outer source first, then at the headers, then at the key; who is inside
//! comes last.

pub mod geneve;
pub mod nvgre;
mod outer;
pub mod proxy2;
pub mod st6;
pub mod vxlan;

pub use outer::{Call, ETHERNET_LEN, Ends, Guest, Key, Macs, Refused, Way};

#[cfg(test)]
mod tests;
