//! What carries an identity from the dataplane to a service, as bytes (wire-identity reference,
//! sections 2, 4 and 5). Encoders write, decoders check every length before they use it; nothing
//! here does I/O, and nothing is trusted because it arrived.

pub mod proxy2;
pub mod st6;
