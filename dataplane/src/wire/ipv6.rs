//! IPv6 (RFC 8200), as far as transposed packets have it: no extension headers.

use super::WireError;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Length of the header.
pub const LEN: usize = 40;
/// The protocol number of a fragment header.
pub const FRAGMENT: u8 = 44;
/// The protocol number of ICMPv6.
pub const ICMP: u8 = 58;

/// Where the length of the payload is.
pub const PAYLOAD_LENGTH: usize = 4;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;

/// A checked view of an IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a> {
    header: &'a [u8; LEN],
    payload: &'a [u8],
}

impl<'a> Ipv6View<'a> {
    /// Checks lengths and returns the view. The packet must be as long as its payload length says.
    ///
    /// # Errors
    ///
    /// [`WireError::NotIp`] or [`WireError::Length`].
    pub fn parse(packet: &'a [u8]) -> Result<Self, WireError> {
        let view = Self::parse_quoted(packet)?;
        if usize::from(view.payload_len()) == view.payload.len()
            && packet.len() == LEN + view.payload.len()
        {
            Ok(view)
        } else {
            Err(error(packet))
        }
    }

    /// Like [`Self::parse`], for a packet that an ICMPv6 error quotes: it may be cut short anywhere
    /// after its header.
    ///
    /// # Errors
    ///
    /// [`WireError::NotIp`] or [`WireError::Length`].
    pub fn parse_quoted(packet: &'a [u8]) -> Result<Self, WireError> {
        if packet.first().map(|byte| byte >> 4) != Some(6) {
            return Err(WireError::NotIp);
        }
        let (header, rest) = packet.split_first_chunk::<LEN>().ok_or(error(packet))?;
        let mut view = Self {
            header,
            payload: rest,
        };
        let end = usize::from(view.payload_len()).min(rest.len());
        view.payload = rest.get(..end).unwrap_or_default();
        Ok(view)
    }

    /// Returns the length of the payload, in bytes, as the header gives it.
    #[must_use]
    #[inline]
    pub fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.header[PAYLOAD_LENGTH], self.header[PAYLOAD_LENGTH + 1]])
    }

    /// Returns the traffic class.
    #[must_use]
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        self.header[0] << 4 | self.header[1] >> 4
    }

    /// Returns the protocol of the payload.
    #[must_use]
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.header[NEXT_HEADER]
    }

    /// Returns the hop limit.
    #[must_use]
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.header[HOP_LIMIT]
    }

    /// Returns the source address.
    #[must_use]
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        let (_, addresses) = self.header.split_at(8);
        address(addresses, 0)
    }

    /// Returns the destination address.
    #[must_use]
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        let (_, addresses) = self.header.split_at(8);
        address(addresses, 16)
    }

    /// Returns what follows the header.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

fn address(bytes: &[u8], at: usize) -> Ipv6Addr {
    let octets = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>);
    octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}

/// Returns the IPv4 address that a transposed one ends with.
#[must_use]
pub fn low_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

fn error(packet: &[u8]) -> WireError {
    WireError::Length {
        header: "IPv6",
        len_bytes: packet.len(),
    }
}

/// What a header says beside its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Fields {
    /// The traffic class.
    pub traffic_class: u8,
    /// Bytes of payload.
    pub payload_len: u16,
    /// The protocol of the payload.
    pub next_header: u8,
    /// The hop limit.
    pub hop_limit: u8,
}

impl Ipv6Fields {
    /// Returns the header's bytes; the flow label is 0.
    #[must_use]
    #[inline]
    pub fn header(self, source: Ipv6Addr, destination: Ipv6Addr) -> [u8; LEN] {
        let mut header = [0; LEN];
        let [l0, l1] = self.payload_len.to_be_bytes();
        let first = [
            0x60 | self.traffic_class >> 4,
            self.traffic_class << 4,
            0,
            0,
            l0,
            l1,
            self.next_header,
            self.hop_limit,
        ];
        let (head, addresses) = header.split_at_mut(8);
        head.copy_from_slice(&first);
        let (from, to) = addresses.split_at_mut(16);
        from.copy_from_slice(&source.octets());
        to.copy_from_slice(&destination.octets());
        header
    }
}
