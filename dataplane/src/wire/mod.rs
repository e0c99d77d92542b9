//! Views over the bytes of a packet: IPv4, IPv6, TCP, UDP, ICMP, their checksums and `virtio_net_hdr`.
//!
//! # Panic contract
//!
//! Nothing here panics, whatever the bytes. A view is made by a function that checks every length
//! once and returns a [`WireError`] if the packet is shorter than its own fields say; from then on
//! the headers are arrays of fixed size, so that an accessor cannot be out of bounds. Rewriting
//! works on the same terms: a place that is not there is not written.
//!
//! Bytes in network order live only in this module; everything that leaves it is in host order.
//! Checksums are not verified: a wrong one arrives just as wrong (RFC 1624 keeps the error).

pub mod checksum;
mod ends;
pub mod fragment;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod options;
pub mod packet;
pub mod tcp;
pub mod udp;
pub mod vnet_hdr;

pub(crate) use ends::Ends;
pub use packet::{Fragment, Headers, Transport};
pub use vnet_hdr::{GsoType, VnetHdr};

/// IANA protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IANA protocol number of TCP.
pub const TCP: u8 = 6;
/// IANA protocol number of UDP.
pub const UDP: u8 = 17;
/// IANA protocol number of the encapsulating security payload (RFC 4303).
pub const ESP: u8 = 50;
/// IANA protocol number of the authentication header (RFC 4302).
pub const AH: u8 = 51;
/// IANA protocol numbers of packets within packets: IPv4 (RFC 2003) and IPv6 (RFC 4213) as they are,
/// and GRE (RFC 2784).
const ENCAPSULATED: [u8; 3] = [4, 41, 47];

/// Why bytes are not a packet that can be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The version is neither 4 nor 6, or there is no first byte.
    #[error("not an IP packet")]
    NotIp,
    /// The version is 6.
    #[error("an IPv6 packet")]
    Ipv6,
    /// A fragment of an IPv6 packet.
    #[error("a fragment of an IPv6 packet")]
    Ipv6Fragment,
    /// A length field contradicts the bytes that are there.
    #[error("{header} header: length fields contradict the {len_bytes} bytes that are there")]
    Length {
        /// The header at fault.
        header: &'static str,
        /// How many bytes there are from its start on.
        len_bytes: usize,
    },
    /// A first fragment does not hold the whole transport header, or a later one of TCP begins inside of
    /// it (RFC 1858, RFC 3128).
    #[error("fragments part inside the transport header")]
    TinyFragment,
    /// An IPv4 option names the way of the packet.
    #[error("an IPv4 option names a source route")]
    SourceRoute,
    /// An IPv4 option records addresses on the way.
    #[error("IPv4 option {0} records addresses, and is not carried")]
    Option(u8),
    /// The protocol is none of TCP, UDP, ICMP, ESP and AH.
    #[error("protocol {0} is not carried")]
    Protocol(u8),
    /// The packet holds another packet, as it is or in GRE.
    #[error("protocol {0} holds a packet, which is not carried")]
    Encapsulated(u8),
    /// The ICMP type is neither echo nor a translatable error.
    #[error("ICMP type {0} is not carried")]
    IcmpType(u8),
    /// `virtio_net_hdr` asks for something that the packet is not.
    #[error("virtio_net_hdr does not fit the packet")]
    Offload,
}

/// Writes a 16-bit field in network order at `at`, if there is one.
#[inline]
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
        *field = value.to_be_bytes();
    }
}

/// Reads a 16-bit field in network order at `at`.
#[inline]
pub(crate) fn get_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk::<2>()
        .map(|field| u16::from_be_bytes(*field))
}
