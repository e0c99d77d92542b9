//! What touches this host for a virtual network: namespaces and devices, routes of routing daemons, the
//! resolver, and the fronts of services.
//!
//! Dependencies point one way: `attach <- learn, dns, front`.

pub mod attach;
pub mod dns;
pub mod front;
pub mod learn;
