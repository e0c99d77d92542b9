//! `st6`: a guest's IPv4 packet as IPv6 without a tunnel, the identity in its source address, and
//! back (wire-identity reference, section 3).
//!
//! Between the addresses of [`crate::identity`] the checksum of what follows the header is right over
//! both protocols: it is carried bit for bit, whole or partial, right or wrong. A route with
//! addresses of its own ([`Mapping`]) has to correct it ([`Correction`]).

use crate::wire::checksum::{Delta, Sum};
use crate::wire::ipv4::{ECN, Ipv4Fields, Ipv4View, MIN_LEN};
use crate::wire::ipv6::{self, Ipv6Fields, Ipv6View};
use crate::wire::{GsoType, VnetHdr};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How much longer a packet without options becomes.
pub const ADDED: usize = ipv6::LEN - MIN_LEN;

/// Returns the IPv6 header for an IPv4 packet. Options, identification, the "don't fragment" mark
/// and DSCP are not carried; the hop limit is not lowered.
#[must_use]
#[inline]
pub fn to_v6(ip: &Ipv4View<'_>, source: Ipv6Addr, destination: Ipv6Addr) -> [u8; ipv6::LEN] {
    let header_len = u16::try_from(ip.header_len()).unwrap_or(u16::MAX);
    Ipv6Fields {
        traffic_class: ip.ecn(),
        payload_len: ip.total_len().saturating_sub(header_len),
        next_header: ip.protocol(),
        hop_limit: ip.ttl(),
    }
    .header(source, destination)
}

/// Returns the IPv4 header for an IPv6 packet; nothing if it would be too long for one.
#[must_use]
#[inline]
pub fn to_v4(ip: &Ipv6View<'_>, source: Ipv4Addr, destination: Ipv4Addr) -> Option<[u8; MIN_LEN]> {
    let fields = Ipv4Fields {
        service_type: ip.traffic_class() & ECN,
        total_len: ip.payload_len().checked_add(HEADER_LEN)?,
        ident: 1,
        flags: 0,
        ttl: ip.hop_limit(),
        protocol: ip.next_header(),
    };
    Some(fields.header(source, destination))
}

/// Length of an IPv4 header without options.
const HEADER_LEN: u16 = 20;

/// Returns the `virtio_net_hdr` of a packet whose IP header went from `old` to `new` bytes and whose
/// super-frames are of kind `tcp` now, in segments of at most `segment` bytes of payload.
#[must_use]
#[inline]
pub fn moved(vnet: VnetHdr, old: usize, new: usize, tcp: GsoType, segment: u16) -> VnetHdr {
    let moved = |at: u16| {
        let at = (usize::from(at) + new).saturating_sub(old);
        u16::try_from(at).unwrap_or(u16::MAX)
    };
    let mut after = vnet;
    if vnet.needs_csum {
        after.csum_start = moved(vnet.csum_start);
    }
    if vnet.hdr_len != 0 {
        after.hdr_len = moved(vnet.hdr_len);
    }
    if vnet.gso_type != GsoType::None {
        after.gso_type = tcp;
        after.gso_size = vnet.gso_size.min(segment);
    }
    after
}

/// A route's own addresses: `value` where `mask` has a one, the IPv4 address elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    value: u128,
    mask: u128,
}

impl Mapping {
    /// Returns the mapping; what of `value` is outside of `mask` is cleared.
    #[must_use]
    pub fn new(value: Ipv6Addr, mask: Ipv6Addr) -> Self {
        let mask = u128::from(mask);
        Self {
            value: u128::from(value) & mask,
            mask,
        }
    }

    /// Returns the address that stands for `address`.
    #[must_use]
    pub fn map(self, address: Ipv4Addr) -> Ipv6Addr {
        let address = u128::from(u32::from(address));
        Ipv6Addr::from(address & !self.mask | self.value)
    }

    /// Returns whether all of an IPv4 address is seen in what stands for it: if so at both ends, one
    /// [`Correction`] serves all flows.
    #[must_use]
    pub fn spares_address(self) -> bool {
        self.mask & u128::from(u32::MAX) == 0
    }
}

/// What a pair of own addresses changes in the sum that a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction(Option<Delta>);

impl Correction {
    /// Returns the correction from IPv4 addresses to those that stand for them. Without a difference
    /// it leaves every field as it is, bit for bit.
    #[must_use]
    pub fn new(from: [Ipv4Addr; 2], to: [Ipv6Addr; 2]) -> Self {
        let mut sum = Sum::default();
        for word in to.iter().flat_map(Ipv6Addr::segments) {
            sum = sum.word(word);
        }
        for address in from {
            sum = sum.address(Ipv4Addr::from(!u32::from(address)));
        }
        match sum.fold() {
            0 | u16::MAX => Self(None),
            sum => Self(Some(Delta::default().word(0, sum))),
        }
    }

    /// Returns the correction of the way back.
    #[must_use]
    pub fn back(self) -> Self {
        // In ones' complement the negative of a number is its complement.
        Self(self.0.map(|delta| delta.negative()))
    }

    /// Returns the checksum field after the change.
    #[must_use]
    pub fn apply(self, field: u16) -> u16 {
        self.0.map_or(field, |delta| delta.apply(field))
    }

    /// Returns the partial checksum field after the change.
    #[must_use]
    pub fn apply_partial(self, field: u16) -> u16 {
        self.0.map_or(field, |delta| delta.apply_partial(field))
    }
}

#[cfg(test)]
mod tests;
