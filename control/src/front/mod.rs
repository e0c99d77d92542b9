//! The service's door: who calls, whom, and whether that is allowed.

pub mod ca;
pub mod caller;
pub mod date;
pub mod http;
pub mod refusal;
pub mod sni;
