//! IPv4 (RFC 791): the fields that decide and the ones that a rewrite touches.

use super::{WireError, put_u16};
use crate::wire::checksum::{Delta, Sum};
use std::net::Ipv4Addr;

/// Length of a header without options.
pub const MIN_LEN: usize = 20;

/// Where fields are, from the start of the header.
pub(crate) const TOTAL_LENGTH: usize = 2;
pub(crate) const IDENT: usize = 4;
pub(crate) const FLAGS: usize = 6;
pub(crate) const CHECKSUM: usize = 10;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
pub(crate) const OFFSET: u16 = 0x1fff;
/// The bits of explicit congestion notification in the second byte, as in an IPv6 traffic class.
pub const ECN: u8 = 0x03;

/// A checked view of an IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a> {
    header: &'a [u8; MIN_LEN],
    payload: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// Checks lengths and returns the view. The packet must be as long as its total length says.
    ///
    /// # Errors
    ///
    /// [`WireError::NotIp`], [`WireError::Ipv6`] or [`WireError::Length`].
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<Self, WireError> {
        let view = Self::parse_quoted(packet)?;
        if usize::from(view.total_len()) == packet.len() {
            Ok(view)
        } else {
            Err(WireError::Length {
                header: "IPv4",
                len_bytes: packet.len(),
            })
        }
    }

    /// Like [`Self::parse`], for a packet that an ICMP error quotes: it may be cut short anywhere
    /// after its header.
    ///
    /// # Errors
    ///
    /// [`WireError::NotIp`], [`WireError::Ipv6`] or [`WireError::Length`].
    #[inline]
    pub fn parse_quoted(packet: &'a [u8]) -> Result<Self, WireError> {
        match packet.first().map(|byte| byte >> 4) {
            Some(4) => {}
            Some(6) => return Err(WireError::Ipv6),
            _ => return Err(WireError::NotIp),
        }
        let error = WireError::Length {
            header: "IPv4",
            len_bytes: packet.len(),
        };
        let header = packet.first_chunk::<MIN_LEN>().ok_or(error)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header_len < MIN_LEN || total_len < header_len {
            return Err(error);
        }
        let end = packet.len().min(total_len);
        let payload = packet.get(header_len..end).ok_or(error)?;
        Ok(Self { header, payload })
    }

    /// Returns the length of the header with options, in bytes.
    #[must_use]
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.header[0] & 0x0f) * 4
    }

    /// Returns the length of the whole packet, in bytes, as the header gives it.
    #[must_use]
    #[inline]
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// Returns the identification.
    #[must_use]
    #[inline]
    pub fn ident(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// Returns whether routers must not cut the packet.
    #[must_use]
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.flags() & DONT_FRAGMENT != 0
    }

    /// Returns whether more fragments follow.
    #[must_use]
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.flags() & MORE_FRAGMENTS != 0
    }

    /// Returns the fragment offset in units of 8 bytes.
    #[must_use]
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        self.flags() & OFFSET
    }

    fn flags(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// Returns the two bits of explicit congestion notification (RFC 3168).
    #[must_use]
    #[inline]
    pub fn ecn(&self) -> u8 {
        self.header[1] & ECN
    }

    /// Returns the time to live.
    #[must_use]
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// Returns the protocol number.
    #[must_use]
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// Returns the source address.
    #[must_use]
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Returns the destination address.
    #[must_use]
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Returns what follows the header.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// What a header without options says beside its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Fields {
    /// The byte of DSCP and ECN.
    pub service_type: u8,
    /// Length of the whole packet.
    pub total_len: u16,
    /// The identification.
    pub ident: u16,
    /// The flags and the fragment offset.
    pub flags: u16,
    /// The time to live.
    pub ttl: u8,
    /// The protocol of the payload.
    pub protocol: u8,
}

impl Ipv4Fields {
    /// Returns the header's bytes, with a fresh checksum.
    #[must_use]
    #[inline]
    pub fn header(self, source: Ipv4Addr, destination: Ipv4Addr) -> [u8; MIN_LEN] {
        let [l0, l1] = self.total_len.to_be_bytes();
        let [i0, i1] = self.ident.to_be_bytes();
        let [f0, f1] = self.flags.to_be_bytes();
        let [s0, s1, s2, s3] = source.octets();
        let [d0, d1, d2, d3] = destination.octets();
        let mut header = [
            0x45,
            self.service_type,
            l0,
            l1,
            i0,
            i1,
            f0,
            f1,
            self.ttl,
            self.protocol,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
        let checksum = Sum::default().bytes(&header).checksum();
        put_u16(&mut header, CHECKSUM, checksum);
        header
    }
}

/// Writes both addresses and brings the header checksum up to date by `delta`.
#[inline]
pub fn set_addresses(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, delta: Delta) {
    let Some(header) = packet.first_chunk_mut::<MIN_LEN>() else {
        return;
    };
    let checksum = delta.apply(u16::from_be_bytes([header[CHECKSUM], header[CHECKSUM + 1]]));
    put_u16(header, CHECKSUM, checksum);
    if let Some(field) = header.get_mut(SOURCE..SOURCE + 4) {
        field.copy_from_slice(&source.octets());
    }
    if let Some(field) = header.get_mut(DESTINATION..DESTINATION + 4) {
        field.copy_from_slice(&destination.octets());
    }
}
