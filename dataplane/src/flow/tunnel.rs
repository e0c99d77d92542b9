//! The ends of a connection that reaches its service with an identity.

use std::net::Ipv6Addr;

/// Both ends as the service sees them: the client's address is its subnet's identity and its own
/// address, the service's is its code and its public address (see [`crate::identity`]).
///
/// The key of such a flow's replies has only the low 32 bits of each; the table tells flows with
/// equal keys apart by these addresses, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// The client.
    pub client: Ipv6Addr,
    /// The service.
    pub service: Ipv6Addr,
}
