//! The service's door: who calls, whom, and whether that is allowed.

pub mod http;
pub mod sni;
