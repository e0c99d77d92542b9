//! The ends of a connection that reaches its service with an identity.

use super::FlowKey;
use std::net::{Ipv4Addr, Ipv6Addr};

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

/// The bits of an address that the keys of a flow have too.
const LOW: u128 = u32::MAX as u128;

impl Tunnel {
    /// Returns both ends without their low 32 bits: what all flows between a subnet and a service have
    /// in common.
    #[must_use]
    pub(super) fn prefixes(self) -> Self {
        let prefix = |address: Ipv6Addr| Ipv6Addr::from_bits(address.to_bits() & !LOW);
        Self {
            client: prefix(self.client),
            service: prefix(self.service),
        }
    }

    /// Returns both ends, given their prefixes and the key of the answers.
    #[must_use]
    #[inline]
    pub(super) fn completed(self, answer: FlowKey) -> Self {
        let address = |prefix: Ipv6Addr, low: Ipv4Addr| {
            Ipv6Addr::from_bits(prefix.to_bits() | u128::from(low.to_bits()))
        };
        Self {
            client: address(self.client, answer.destination()),
            service: address(self.service, answer.source()),
        }
    }
}
