//! What carriers between hosts have in common: the outer IPv4 and UDP headers, and the Ethernet
//! header of the packet inside (wire-identity reference, section 4).

use crate::identity::{BadIdentity, Identity, ServicePrefix};
use crate::stats::DropReason;
use crate::wire::checksum::pseudo_header;
use crate::wire::ipv4::{Ipv4Fields, Ipv4View, MIN_LEN};
use crate::wire::ipv6::{self, Ipv6View};
use crate::wire::udp;
use crate::wire::{UDP, get_u16};
use std::net::Ipv4Addr;

/// Length of an Ethernet header.
pub const ETHERNET_LEN: usize = 14;
/// Length of the outer headers of a carrier over UDP, up to its own.
pub(super) const UDP_LEN: usize = MIN_LEN + udp::LEN;
/// Transparent Ethernet bridging: how GRE and Geneve call an Ethernet frame.
pub(super) const BRIDGED: u16 = 0x6558;

const TTL: u8 = 64;
/// The first of the source ports that spread flows over paths, and how many there are.
const FIRST_PORT: u16 = 49152;
const PORTS: u32 = 16384;

/// The number that a tunnel is told by: 24 bits. 253 and 254 are those of the platform's redirect
/// messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u32);

impl Key {
    /// The published platform's.
    pub const PLATFORM: Self = Self(100);

    /// Returns the key with this number, if it is one.
    #[must_use]
    pub const fn new(key: u32) -> Option<Self> {
        match key {
            253 | 254 | 0x0100_0000.. => None,
            key => Some(Self(key)),
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Between whom a carrier passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The outer source: the gateway address of the host, or of the service's end.
    pub source: Ipv4Addr,
    /// The outer destination.
    pub destination: Ipv4Addr,
    /// The NIC that sends, and the front that receives.
    pub macs: Macs,
}

/// The ends of the Ethernet frame inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Macs {
    /// The source.
    pub source: [u8; 6],
    /// The destination.
    pub destination: [u8; 6],
}

/// What an Ethernet frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EtherType {
    V4,
    V6,
}

impl EtherType {
    const fn number(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }
}

/// Why a packet is not taken out of its carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The outer source is none of the listed ones.
    #[error("the outer source {0} is no peer")]
    UntrustedPeer(Ipv4Addr),
    /// The headers are not those of the carrier.
    #[error("the {0} header is not one of this carrier")]
    BadEncap(&'static str),
    /// The tunnel has another key.
    #[error("the key is {found}, not {wanted}")]
    BadKey {
        /// The key that is there.
        found: u32,
        /// The key that is configured.
        wanted: u32,
    },
    /// What is inside bears no right identity.
    #[error(transparent)]
    BadIdentity(#[from] BadIdentity),
}

impl Refused {
    /// Returns the reason under which the packet is counted.
    #[must_use]
    pub const fn reason(&self) -> DropReason {
        match self {
            Self::UntrustedPeer(_) => DropReason::UntrustedPeer,
            Self::BadEncap(_) => DropReason::BadEncap,
            Self::BadKey { .. } => DropReason::BadKey,
            Self::BadIdentity(_) => DropReason::BadIdentity,
        }
    }
}

/// Appends bytes to an array that has room for all of them.
pub(super) struct Header<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Header<N> {
    /// Begins with the outer IPv4 header of a packet of `N` bytes of headers and `inner` of payload.
    pub(super) fn new(ends: &Ends, protocol: u8, inner: &[u8]) -> Option<Self> {
        let fields = Ipv4Fields {
            service_type: 0,
            total_len: u16::try_from(N + inner.len()).ok()?,
            ident: 1,
            flags: 0,
            ttl: TTL,
            protocol,
        };
        let mut header = Self {
            bytes: [0; N],
            len: 0,
        };
        header.push(&fields.header(ends.source, ends.destination));
        Some(header)
    }

    /// As [`Self::new`], with the UDP header behind. The source port comes from a hash of the inner
    /// flow.
    pub(super) fn over_udp(ends: &Ends, port: u16, hash: u32, inner: &[u8]) -> Option<Self> {
        let mut header = Self::new(ends, UDP, inner)?;
        let offset = u16::try_from(hash % PORTS).ok()?;
        let len = u16::try_from(N + inner.len() - MIN_LEN).ok()?;
        header.push(&(FIRST_PORT + offset).to_be_bytes());
        header.push(&port.to_be_bytes());
        header.push(&len.to_be_bytes());
        // No checksum: that of the packet inside is whole.
        header.push(&[0, 0]);
        Some(header)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// Ends with the Ethernet header of the packet inside.
    pub(super) fn ethernet(mut self, ends: &Ends, kind: EtherType) -> [u8; N] {
        self.push(&ends.macs.destination);
        self.push(&ends.macs.source);
        self.push(&kind.number().to_be_bytes());
        debug_assert_eq!(self.len, N, "every byte is written");
        self.bytes
    }
}

/// Returns what follows the outer IPv4 header of a packet from one of `peers`.
pub(super) fn open<'a>(
    packet: &'a [u8],
    peers: &[Ipv4Addr],
    protocol: u8,
) -> Result<(Ipv4View<'a>, &'a [u8]), Refused> {
    let ip = Ipv4View::parse(packet).map_err(|_| Refused::BadEncap("outer IPv4"))?;
    if !peers.contains(&ip.source()) {
        return Err(Refused::UntrustedPeer(ip.source()));
    }
    let is_fragment = ip.more_fragments() || ip.fragment_offset() != 0;
    if is_fragment || ip.protocol() != protocol {
        return Err(Refused::BadEncap("outer IPv4"));
    }
    Ok((ip, ip.payload()))
}

/// Returns what follows the outer UDP header of a packet from one of `peers` to `port`.
pub(super) fn open_udp<'a>(
    packet: &'a [u8],
    peers: &[Ipv4Addr],
    port: u16,
) -> Result<&'a [u8], Refused> {
    const BAD: Refused = Refused::BadEncap("outer UDP");
    let (ip, datagram) = open(packet, peers, UDP)?;
    let field = |at| get_u16(datagram, at).ok_or(BAD);
    let (len, checksum) = (field(4)?, field(udp::CHECKSUM)?);
    if field(2)? != port || usize::from(len) != datagram.len() {
        return Err(BAD);
    }
    let pseudo = pseudo_header(ip.source(), ip.destination(), UDP, len);
    if checksum != 0 && pseudo.bytes(datagram).checksum() != 0 {
        return Err(BAD);
    }
    datagram.get(udp::LEN..).ok_or(BAD)
}

/// Returns the IP packet in an Ethernet frame, without padding.
pub(super) fn inner(frame: &[u8], kind: EtherType) -> Result<&[u8], Refused> {
    const BAD: Refused = Refused::BadEncap("inner Ethernet");
    let (header, packet) = frame.split_at_checked(ETHERNET_LEN).ok_or(BAD)?;
    if get_u16(header, ETHERNET_LEN - 2) != Some(kind.number()) {
        return Err(BAD);
    }
    let len = match kind {
        EtherType::V4 => Ipv4View::parse_quoted(packet).map(|ip| usize::from(ip.total_len())),
        EtherType::V6 => {
            Ipv6View::parse_quoted(packet).map(|ip| ipv6::LEN + usize::from(ip.payload_len()))
        }
    };
    let len = len.map_err(|_| Refused::BadEncap("inner IP"))?;
    packet.get(..len).ok_or(Refused::BadEncap("inner IP"))
}

/// Returns the 24-bit number at the start of `bytes`.
pub(super) fn number24(bytes: &[u8]) -> Option<u32> {
    let &[a, b, c] = bytes.first_chunk::<3>()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// Compares a tunnel's key with the configured one.
pub(super) fn check_key(found: u32, wanted: Key) -> Result<(), Refused> {
    if found == wanted.0 {
        Ok(())
    } else {
        Err(Refused::BadKey {
            found,
            wanted: wanted.0,
        })
    }
}

/// Who calls whom in a packet of `st6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The subnet of the caller.
    pub identity: Identity,
    /// The caller's own address.
    pub client: Ipv4Addr,
    /// The service.
    pub service: ServicePrefix,
    /// Its public address.
    pub address: Ipv4Addr,
}

/// Which way a packet of `st6` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the service.
    Request,
    /// Back.
    Reply,
}

impl Call {
    /// Reads the ends of an IPv6 packet; both have to bear what they must.
    ///
    /// # Errors
    ///
    /// [`Refused::BadIdentity`], or [`Refused::BadEncap`] if it is no IPv6 packet.
    pub fn of(packet: &[u8], way: Way) -> Result<Self, Refused> {
        let ip = Ipv6View::parse(packet).map_err(|_| Refused::BadEncap("inner IP"))?;
        let (client, service) = match way {
            Way::Request => (ip.source(), ip.destination()),
            Way::Reply => (ip.destination(), ip.source()),
        };
        let (identity, client) = Identity::parse(client)?;
        let (service, address) = ServicePrefix::parse(service)?;
        Ok(Self {
            identity,
            client,
            service,
            address,
        })
    }
}

/// Writes a 24-bit number and a zero byte.
pub(super) fn word24(number: u32) -> [u8; 4] {
    (number << 8).to_be_bytes()
}

/// A guest's IPv4 packet as it came out of its carrier, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest<'a> {
    /// The subnet.
    pub identity: Identity,
    /// The packet; its source is the customer's own address.
    pub packet: &'a [u8],
}
