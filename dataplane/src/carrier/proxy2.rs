//! The PROXY protocol, version 2, with the identity of a subnet (wire-identity reference, section
//! 5): what a service's front writes before the bytes of a connection, for a server that knows
//! nothing of tunnels.
//!
//! ```text
//! signature:12 version|command:8 family:8 length:16
//! source:32 destination:32 source port:16 destination port:16
//! TLVs: kind:8 length:16 value
//!   0x03 CRC32C of the whole header, its own four bytes zero
//!   0xe5 subtype 1, vnet key:32 subnet key:16 region:16 flags:16 zero:16
//!   0xee subtype 1, link id:32, little-endian
//! ```
//!
//! A header is to be believed only on a listener that nobody but the front can reach.

use crate::identity::{Identity, SubnetKey, VnetKey};
use crate::wire::{get_u16, put_u16};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The bytes that every header begins with.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Length of what stands before the addresses: its last two bytes say how much follows.
pub const FIXED_LEN: usize = 16;

const VERSION: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
/// TCP over IPv4.
const FAMILY: u8 = 0x11;
const LENGTH: usize = 14;
const ADDRESSES_LEN: usize = 12;
const TLV_HEADER_LEN: usize = 3;

const TLV_CRC: u8 = 0x03;
const TLV_IDENTITY: u8 = 0xe5;
const TLV_LINK: u8 = 0xee;
/// The only subtype of the identity and of the link id.
const SUBTYPE: u8 = 1;
const CRC_LEN: usize = 4;
const IDENTITY_LEN: usize = 13;
const LINK_LEN: usize = 5;

/// The longest header that [`Header::encode`] makes.
pub const MAX_LEN: usize = FIXED_LEN
    + ADDRESSES_LEN
    + (TLV_HEADER_LEN + CRC_LEN)
    + (TLV_HEADER_LEN + IDENTITY_LEN)
    + (TLV_HEADER_LEN + LINK_LEN);

/// What a front says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client: the customer's own address, or a public one.
    pub source: SocketAddrV4,
    /// The address that the client called: the service's public one, as the guest saw it.
    pub destination: SocketAddrV4,
    /// The client's subnet, if the connection came with one.
    pub identity: Option<Identity>,
    /// The number of the client's subnet for servers written for private endpoints.
    pub link_id: Option<u32>,
}

/// Whether a header bears a checksum of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crc {
    /// It does.
    With,
    /// It does not.
    Without,
}

/// The bytes of a header.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Encoded {
    /// Appends bytes; there is room for all that is ever appended.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Header {
    /// Returns the header's bytes.
    #[must_use]
    pub fn encode(&self, crc: Crc) -> Encoded {
        let mut out = Encoded {
            bytes: [0; MAX_LEN],
            len: 0,
        };
        out.push(&SIGNATURE);
        out.push(&[VERSION | PROXY, FAMILY, 0, 0]);
        out.push(&self.source.ip().octets());
        out.push(&self.destination.ip().octets());
        out.push(&self.source.port().to_be_bytes());
        out.push(&self.destination.port().to_be_bytes());
        if crc == Crc::With {
            out.push(&[TLV_CRC, 0, 4, 0, 0, 0, 0]);
        }
        if let Some(identity) = self.identity {
            out.push(&[TLV_IDENTITY, 0, 13, SUBTYPE]);
            out.push(&identity.vnet.get().to_be_bytes());
            out.push(&identity.subnet.get().to_be_bytes());
            out.push(&identity.region.to_be_bytes());
            out.push(&[0; 4]);
        }
        if let Some(link_id) = self.link_id {
            out.push(&[TLV_LINK, 0, 5, SUBTYPE]);
            out.push(&link_id.to_le_bytes());
        }
        let len = u16::try_from(out.len - FIXED_LEN).unwrap_or(u16::MAX);
        put_u16(&mut out.bytes, LENGTH, len);
        if crc == Crc::With {
            let at = FIXED_LEN + ADDRESSES_LEN + TLV_HEADER_LEN;
            let sum = crc32c([out.as_bytes()]);
            if let Some(field) = out.bytes.get_mut(at..at + CRC_LEN) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        }
        out
    }
}

/// What stands at the start of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A header, as far as it is there: at least so many bytes are needed to say more.
    Partial(usize),
    /// A header of so many bytes.
    Whole {
        /// What it says; nothing for a connection that the sender made for itself.
        header: Option<Header>,
        /// Where the client's bytes begin.
        len: usize,
    },
}

/// Why a header is refused: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The first bytes are not the signature.
    #[error("the stream does not begin with the signature of PROXY protocol version 2")]
    Signature,
    /// The version or the command is not known.
    #[error("version and command are {0:#04x}; accepted: 0x20 (LOCAL) and 0x21 (PROXY)")]
    Command(u8),
    /// The addresses are not those of TCP over IPv4.
    #[error("the address family is {0:#04x}; accepted: 0x11 (TCP over IPv4)")]
    Family(u8),
    /// The header ends within its addresses.
    #[error("the header is too short for its addresses")]
    Short,
    /// A TLV is longer than the header.
    #[error("a TLV is longer than the header")]
    Overrun,
    /// A checksum of the wrong length, or a second one.
    #[error("the CRC32C is not one of 4 bytes, or not the only one")]
    CrcForm,
    /// The checksum is not that of the header.
    #[error("the CRC32C is {found:#010x}, not {wanted:#010x}")]
    Crc {
        /// What is there.
        found: u32,
        /// What belongs there.
        wanted: u32,
    },
    /// A second identity, or a second link id.
    #[error("TLV {0:#04x} is there twice")]
    Twice(u8),
    /// An identity of the wrong length, subtype, flags or keys.
    #[error(
        "the identity is not one; accepted: 13 bytes, subtype 1, keys in their ranges, flags and \
         the last field 0"
    )]
    Identity,
}

/// Reads the header at the start of `stream`.
///
/// # Errors
///
/// [`Refused`] as soon as it is known that no header will come that may be believed.
pub fn read(stream: &[u8]) -> Result<Start, Refused> {
    let known = SIGNATURE.len().min(stream.len());
    if stream.get(..known) != SIGNATURE.get(..known) {
        return Err(Refused::Signature);
    }
    let Some(&[.., command, family, l0, l1]) = stream.first_chunk::<FIXED_LEN>() else {
        return Ok(Start::Partial(FIXED_LEN));
    };
    let is_proxy = match command {
        command if command == VERSION | LOCAL => false,
        command if command == VERSION | PROXY => true,
        other => return Err(Refused::Command(other)),
    };
    let len = FIXED_LEN + usize::from(u16::from_be_bytes([l0, l1]));
    if is_proxy && family != FAMILY {
        return Err(Refused::Family(family));
    }
    if is_proxy && len < FIXED_LEN + ADDRESSES_LEN {
        return Err(Refused::Short);
    }
    let Some(bytes) = stream.get(..len) else {
        return Ok(Start::Partial(len));
    };
    let header = if is_proxy { Some(parse(bytes)?) } else { None };
    Ok(Start::Whole { header, len })
}

/// Reads a header that is all there.
fn parse(bytes: &[u8]) -> Result<Header, Refused> {
    let addresses = bytes.get(FIXED_LEN..).and_then(<[u8]>::first_chunk);
    let &[a, b, c, d, e, f, g, h, s0, s1, d0, d1] = addresses.ok_or(Refused::Short)?;
    let address =
        |octets: [u8; 4], port| SocketAddrV4::new(Ipv4Addr::from(octets), u16::from_be_bytes(port));
    let mut header = Header {
        source: address([a, b, c, d], [s0, s1]),
        destination: address([e, f, g, h], [d0, d1]),
        identity: None,
        link_id: None,
    };
    let mut crc = None;
    let mut at = FIXED_LEN + ADDRESSES_LEN;
    while let Some(&kind) = bytes.get(at) {
        let len = get_u16(bytes, at + 1).ok_or(Refused::Overrun)?;
        let from = at + TLV_HEADER_LEN;
        let value = bytes.get(from..from + usize::from(len));
        let value = value.ok_or(Refused::Overrun)?;
        match (kind, value) {
            (TLV_CRC, &[a, b, c, d]) if crc.is_none() => {
                crc = Some((from, u32::from_be_bytes([a, b, c, d])));
            }
            (TLV_CRC, _) => return Err(Refused::CrcForm),
            (TLV_IDENTITY, value) => {
                let identity = parse_identity(value).ok_or(Refused::Identity)?;
                if header.identity.replace(identity).is_some() {
                    return Err(Refused::Twice(kind));
                }
            }
            (TLV_LINK, &[SUBTYPE, a, b, c, d]) => {
                let link_id = u32::from_le_bytes([a, b, c, d]);
                if header.link_id.replace(link_id).is_some() {
                    return Err(Refused::Twice(kind));
                }
            }
            _ => {}
        }
        at = from + value.len();
    }
    match crc {
        Some((at, found)) => check_crc(bytes, at, found).map(|()| header),
        None => Ok(header),
    }
}

fn parse_identity(value: &[u8]) -> Option<Identity> {
    let &[SUBTYPE, v0, v1, v2, v3, s0, s1, r0, r1, 0, 0, 0, 0] = value else {
        return None;
    };
    Some(Identity {
        vnet: VnetKey::new(u32::from_be_bytes([v0, v1, v2, v3]))?,
        subnet: SubnetKey::new(u16::from_be_bytes([s0, s1]))?,
        region: u16::from_be_bytes([r0, r1]),
    })
}

/// Checks the checksum `found` at `at`.
fn check_crc(bytes: &[u8], at: usize, found: u32) -> Result<(), Refused> {
    let (before, rest) = bytes.split_at_checked(at).unwrap_or_default();
    let after = rest.get(CRC_LEN..).unwrap_or_default();
    let wanted = crc32c([before, &[0; CRC_LEN], after]);
    if found == wanted {
        Ok(())
    } else {
        Err(Refused::Crc { found, wanted })
    }
}

/// Returns the CRC32C (RFC 9260 appendix A) of some bytes in parts. Bit by bit: a connection has
/// one header of some fifty bytes.
fn crc32c<const N: usize>(parts: [&[u8]; N]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for byte in parts.into_iter().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = if crc & 1 == 0 { 0 } else { POLYNOMIAL };
            crc = crc >> 1 ^ carry;
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
