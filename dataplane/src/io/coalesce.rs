//! What may leave as one super-frame: pure rules, no I/O, no payload copied.
//!
//! A [`Train`] is the first frame of a flow and what was joined to it. Whatever cuts the super-frame
//! again (the kernel, or [`segment`](super::segment)) has to give back the packets as they came: same
//! bytes, same order, same number. So only packets are joined that differ in nothing but what the
//! cutter writes itself:
//!
//! - **lengths**: all payloads are equally long, but for the last, which may be shorter and ends the train;
//! - **TCP**: sequence numbers follow each other; PSH is set on the last packet at most, and ends the train.
//!   A packet with SYN, FIN, RST, URG or CWR is never part of one, nor is one without payload;
//!   acknowledgement, window, ECE and options are equal (RFC 9293, RFC 3168, RFC 7323);
//! - **IP**: time to live, traffic class with its ECN bits, flow label and "don't fragment" are equal; no
//!   options, no fragments;
//! - **IPv4 identification**: the cutter counts up from the first. Without "don't fragment" it must
//!   have been so, because a fragment is known by it. With it, the packet is atomic and the field means
//!   nothing: any value may be sent and none may be relied on (RFC 6864 sections 4 and 4.1), so it
//!   is not looked at, and the receiver may see another one;
//! - **checksums**: a super-frame's is partial, and the cutter computes the rest afresh. A checksum that
//!   is wrong has to arrive wrong, so only packets are joined whose checksums are right as they stand,
//!   whole or partial. UDP without one (RFC 768) stays alone. A whole one of TCP that was sent as 0 may
//!   arrive as 0xffff, which is the same number.

use crate::wire::checksum::{Sum, pseudo_header, pseudo_header_v6};
use crate::wire::ipv4::{self, Ipv4View};
use crate::wire::ipv6::{self, Ipv6View};
use crate::wire::tcp::Flags;
use crate::wire::{GsoType, TCP, UDP, VnetHdr, get_u16, put_u16, tcp, udp, vnet_hdr};

/// Datagrams in one super-frame: what every kernel that knows USO takes.
const MAX_DATAGRAMS: usize = 64;
/// Bytes of the packet of a super-frame.
const MAX_LEN: usize = 65535;
/// The longest header of a super-frame: that of its frame, IPv6 and TCP with options.
const HEADER_MAX: usize = vnet_hdr::LEN + ipv6::LEN + 60;

const PSH: u8 = Flags::PSH.0;

/// One direction of a connection: addresses, ports, protocol and IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Ports, protocol and version: what differs most often is compared first.
    rest: u64,
    source: u128,
    destination: u128,
}

/// What a frame is to the others of its batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// It does not say whose packet it is, as a fragment: its order to every other one matters.
    Unknown,
    /// It is of this flow and leaves by itself.
    Alone(Flow),
    /// It is of this flow and may be joined with others.
    Part(Flow, Part<'a>),
}

/// A frame that may be joined with others of its flow: one packet, or a super-frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    packet: &'a [u8],
    /// What a super-frame of this flow is.
    kind: GsoType,
    ip_len: usize,
    header_len: usize,
    /// Bytes of payload in each of its packets but the last; all of them if it is one packet.
    size: usize,
    is_partial: bool,
}

/// Says what a frame is to the others of its batch.
#[inline]
pub(super) fn place<'a>(vnet: &VnetHdr, packet: &'a [u8]) -> Place<'a> {
    let known = match packet.first().map(|byte| byte >> 4) {
        Some(4) => look_v4(packet),
        Some(6) => look_v6(packet),
        _ => None,
    };
    let Some(Ip {
        flow,
        protocol,
        ip_len,
        is_plain,
    }) = known
    else {
        return Place::Unknown;
    };
    let part = match protocol {
        _ if !is_plain => None,
        TCP => Part::tcp(packet, ip_len),
        _ => Part::udp(vnet, packet, ip_len),
    };
    match part.and_then(|part| part.offloaded(vnet)) {
        Some(part) => Place::Part(flow, part),
        None => Place::Alone(flow),
    }
}

/// What the IP header says.
struct Ip {
    flow: Flow,
    protocol: u8,
    ip_len: usize,
    /// Whether there is nothing about it that a cutter would not write again.
    is_plain: bool,
}

fn look_v4(packet: &[u8]) -> Option<Ip> {
    let ip = Ipv4View::parse_quoted(packet).ok()?;
    if ip.more_fragments() || ip.fragment_offset() != 0 {
        return None;
    }
    let ip_len = ip.header_len();
    let is_reserved = get_u16(packet, ipv4::FLAGS)? & !ipv4::DONT_FRAGMENT != 0;
    Some(Ip {
        flow: Flow::new(
            u32::from(ip.source()).into(),
            u32::from(ip.destination()).into(),
            packet.get(ip_len..)?,
            ip.protocol(),
            4,
        )?,
        protocol: ip.protocol(),
        ip_len,
        is_plain: ip_len == ipv4::MIN_LEN
            && !is_reserved
            && usize::from(ip.total_len()) == packet.len(),
    })
}

fn look_v6(packet: &[u8]) -> Option<Ip> {
    let ip = Ipv6View::parse_quoted(packet).ok()?;
    Some(Ip {
        flow: Flow::new(
            ip.source().into(),
            ip.destination().into(),
            packet.get(ipv6::LEN..)?,
            ip.next_header(),
            6,
        )?,
        protocol: ip.next_header(),
        ip_len: ipv6::LEN,
        // The engine forwards no UDP over IPv6, so there is no rule for it here.
        is_plain: ip.next_header() == TCP
            && ipv6::LEN + usize::from(ip.payload_len()) == packet.len(),
    })
}

impl Flow {
    /// `None` for a protocol without ports, or a packet that ends before them.
    #[inline]
    fn new(
        source: u128,
        destination: u128,
        transport: &[u8],
        protocol: u8,
        version: u8,
    ) -> Option<Self> {
        let ports = u32::from_be_bytes(*transport.first_chunk()?);
        matches!(protocol, TCP | UDP).then_some(Self {
            rest: u64::from(ports) << 16 | u64::from(protocol) << 8 | u64::from(version),
            source,
            destination,
        })
    }
}

impl<'a> Part<'a> {
    fn tcp(packet: &'a [u8], ip_len: usize) -> Option<Self> {
        let header = packet.get(ip_len..)?.first_chunk::<{ tcp::MIN_LEN }>()?;
        let header_len = ip_len + usize::from(header[12] >> 4) * 4;
        let flags = header[tcp::FLAGS];
        let is_data = flags & !(PSH | Flags::ECE.0) == Flags::ACK.0
            && header_len >= ip_len + tcp::MIN_LEN
            && header_len < packet.len();
        is_data.then_some(Self {
            packet,
            kind: if ip_len == ipv6::LEN {
                GsoType::TcpV6
            } else {
                GsoType::TcpV4
            },
            ip_len,
            header_len,
            size: packet.len() - header_len,
            is_partial: false,
        })
    }

    fn udp(vnet: &VnetHdr, packet: &'a [u8], ip_len: usize) -> Option<Self> {
        let header = packet.get(ip_len..)?.first_chunk::<{ udp::LEN }>()?;
        let header_len = ip_len + udp::LEN;
        let has_checksum = vnet.needs_csum || get_u16(header, udp::CHECKSUM) != Some(0);
        let is_whole = usize::from(get_u16(header, udp::LENGTH)?) == packet.len() - ip_len;
        (has_checksum && is_whole && header_len < packet.len()).then_some(Self {
            packet,
            kind: GsoType::UdpL4,
            ip_len,
            header_len,
            size: packet.len() - header_len,
            is_partial: false,
        })
    }

    /// Takes in what the frame's header says; `None` if that is not what the packet is.
    #[inline]
    fn offloaded(mut self, vnet: &VnetHdr) -> Option<Self> {
        if vnet.needs_csum {
            self.is_partial = true;
            let is_here = usize::from(vnet.csum_start) == self.ip_len
                && self.ip_len + usize::from(vnet.csum_offset) == self.checksum_at();
            if !is_here {
                return None;
            }
        }
        if vnet.gso_type != GsoType::None {
            self.size = usize::from(vnet.gso_size);
            if vnet.gso_type != self.kind || self.size == 0 || !self.is_partial {
                return None;
            }
        }
        (self.len() <= MAX_LEN && !vnet.gso_ecn).then_some(self)
    }

    /// What a super-frame of this flow is.
    pub(super) fn kind(&self) -> GsoType {
        self.kind
    }

    /// What follows the headers.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.packet.get(self.header_len..).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.packet.len()
    }

    fn payload_len(&self) -> usize {
        self.packet.len() - self.header_len
    }

    /// Of how many packets it is.
    fn segments(&self) -> usize {
        self.payload_len().div_ceil(self.size)
    }

    fn checksum_at(&self) -> usize {
        self.ip_len
            + match self.kind {
                GsoType::UdpL4 => udp::CHECKSUM,
                _ => tcp::CHECKSUM,
            }
    }

    fn tcp_flags(&self) -> u8 {
        match self.kind {
            GsoType::UdpL4 => 0,
            _ => self.byte(self.ip_len + tcp::FLAGS),
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.packet.get(at).copied().unwrap_or_default()
    }

    fn u32(&self, at: usize) -> u32 {
        let field = self.packet.get(at..).and_then(<[u8]>::first_chunk::<4>);
        field.map_or(0, |field| u32::from_be_bytes(*field))
    }

    fn pseudo_header(&self, transport_len: usize) -> Sum {
        let len = u16::try_from(transport_len).unwrap_or(u16::MAX);
        if self.ip_len == ipv6::LEN {
            Ipv6View::parse_quoted(self.packet).map_or(Sum::default(), |ip| {
                pseudo_header_v6(ip.source(), ip.destination(), ip.next_header(), len)
            })
        } else {
            Ipv4View::parse_quoted(self.packet).map_or(Sum::default(), |ip| {
                pseudo_header(ip.source(), ip.destination(), ip.protocol(), len)
            })
        }
    }

    /// Returns whether the checksums are right, or partial ones what they should be.
    fn is_sound(&self) -> bool {
        let Some((ip, transport)) = self.packet.split_at_checked(self.ip_len) else {
            return false;
        };
        if self.ip_len == ipv4::MIN_LEN && Sum::default().bytes(ip).fold() != 0xffff {
            return false;
        }
        let pseudo = self.pseudo_header(transport.len());
        if self.is_partial {
            let field = get_u16(self.packet, self.checksum_at()).unwrap_or_default();
            // 0 and 0xffff are one number.
            field % 0xffff == pseudo.fold() % 0xffff
        } else {
            pseudo.bytes(transport).fold() == 0xffff
        }
    }

    /// Returns whether `other` has the same headers, but for what a cutter writes itself.
    fn is_alike(&self, other: &Self) -> bool {
        if self.header_len != other.header_len || self.kind != other.kind {
            return false;
        }
        let same = |from: usize, to: usize| {
            let (a, b) = (self.packet.get(from..to), other.packet.get(from..to));
            a.is_some() && a == b
        };
        let ip = if self.ip_len == ipv6::LEN {
            // Version, traffic class and flow label; next header and hop limit, addresses.
            same(0, ipv6::PAYLOAD_LENGTH) && same(6, ipv6::LEN)
        } else {
            // Version and traffic class; flags; time to live and protocol; addresses.
            same(0, ipv4::TOTAL_LENGTH)
                && same(ipv4::FLAGS, ipv4::CHECKSUM)
                && same(ipv4::CHECKSUM + 2, ipv4::MIN_LEN)
        };
        let at = self.ip_len;
        ip && match self.kind {
            GsoType::UdpL4 => same(at, at + udp::LENGTH),
            // Ports; acknowledgement and length of the header; flags; window; urgent pointer and options.
            _ => {
                same(at, at + tcp::SEQUENCE)
                    && same(at + 8, at + tcp::FLAGS)
                    && (self.tcp_flags() ^ other.tcp_flags()) & !PSH == 0
                    && same(at + tcp::FLAGS + 1, at + tcp::CHECKSUM)
                    && same(at + tcp::CHECKSUM + 2, self.header_len)
            }
        }
    }
}

/// Frames of one flow that leave as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Train<'a> {
    head: Part<'a>,
    payload_len: usize,
    segments: usize,
    /// Whether anything may follow.
    is_open: bool,
    /// Whether the checksums of the first frame were looked at: only when a second one comes.
    is_checked: bool,
    /// PSH, if the last packet has it.
    push: u8,
}

impl<'a> Train<'a> {
    /// Returns a train of one frame.
    pub(super) fn new(head: Part<'a>) -> Self {
        let push = head.tcp_flags() & PSH;
        Self {
            payload_len: head.payload_len(),
            segments: head.segments(),
            is_open: push == 0 && head.payload_len().is_multiple_of(head.size),
            is_checked: false,
            push,
            head,
        }
    }

    /// Joins a frame of the same flow, if it may stand behind what is here.
    pub(super) fn join(&mut self, part: &Part<'_>) -> bool {
        let is_joined = self.has_room(part)
            && self.is_next(part)
            && self.head.is_alike(part)
            && self.is_head_sound()
            && part.is_sound();
        if is_joined {
            self.payload_len += part.payload_len();
            self.segments += part.segments();
            self.push = part.tcp_flags() & PSH;
            self.is_open = self.push == 0 && self.payload_len.is_multiple_of(self.head.size);
        }
        is_joined
    }

    fn has_room(&self, part: &Part<'_>) -> bool {
        let is_packet = part.payload_len() == part.size;
        let has_size =
            part.size == self.head.size || (is_packet && part.payload_len() < self.head.size);
        let is_short =
            self.head.kind != GsoType::UdpL4 || self.segments + part.segments() <= MAX_DATAGRAMS;
        self.is_open
            && has_size
            && is_short
            && self.head.header_len + self.payload_len + part.payload_len() <= MAX_LEN
    }

    /// Returns whether `part` continues what the cutter counts.
    fn is_next(&self, part: &Part<'_>) -> bool {
        let head = &self.head;
        if head.kind != GsoType::UdpL4 {
            let at = head.ip_len + tcp::SEQUENCE;
            let len = u32::try_from(self.payload_len).unwrap_or(u32::MAX);
            if part.u32(at) != head.u32(at).wrapping_add(len) {
                return false;
            }
        }
        if head.ip_len == ipv6::LEN || is_atomic(head.packet) {
            return true;
        }
        let count = u16::try_from(self.segments).unwrap_or(u16::MAX);
        let ident = get_u16(head.packet, ipv4::IDENT).map(|ident| ident.wrapping_add(count));
        ident == get_u16(part.packet, ipv4::IDENT)
    }

    fn is_head_sound(&mut self) -> bool {
        if !self.is_checked {
            self.is_checked = true;
            self.is_open = self.head.is_sound();
        }
        self.is_open
    }

    /// Returns the headers of the super-frame, from that of its frame on.
    pub(super) fn header(&self) -> Header {
        let Part {
            packet,
            kind,
            ip_len,
            header_len,
            size,
            ..
        } = self.head;
        let mut header = Header {
            bytes: [0; HEADER_MAX],
            len: vnet_hdr::LEN + header_len,
        };
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let vnet = VnetHdr {
            needs_csum: true,
            gso_type: kind,
            gso_ecn: false,
            hdr_len: short(header_len),
            gso_size: short(size),
            csum_start: short(ip_len),
            csum_offset: short(self.head.checksum_at() - ip_len),
        };
        let (front, rest) = header.bytes.split_at_mut(vnet_hdr::LEN);
        front.copy_from_slice(&vnet.to_bytes());
        if let (Some(to), Some(from)) = (rest.get_mut(..header_len), packet.get(..header_len)) {
            to.copy_from_slice(from);
            self.write_header(to);
        }
        header
    }

    /// Writes what a super-frame has other than its first packet.
    fn write_header(&self, header: &mut [u8]) {
        let ip_len = self.head.ip_len;
        let transport_len = self.head.header_len - ip_len + self.payload_len;
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        if ip_len == ipv6::LEN {
            put_u16(header, ipv6::PAYLOAD_LENGTH, short(transport_len));
        } else if let Some(ip) = header.get_mut(..ip_len) {
            put_u16(ip, ipv4::TOTAL_LENGTH, short(ip_len + transport_len));
            put_u16(ip, ipv4::CHECKSUM, 0);
            let checksum = Sum::default().bytes(ip).checksum();
            put_u16(ip, ipv4::CHECKSUM, checksum);
        }
        if self.head.kind == GsoType::UdpL4 {
            put_u16(header, ip_len + udp::LENGTH, short(transport_len));
        } else if let Some(flags) = header.get_mut(ip_len + tcp::FLAGS) {
            // The cutter takes it from all but the last.
            *flags |= self.push;
        }
        let pseudo = self.head.pseudo_header(transport_len).fold();
        put_u16(header, self.head.checksum_at(), pseudo);
    }
}

/// Returns whether the identification of an IPv4 packet that is no fragment means nothing.
fn is_atomic(packet: &[u8]) -> bool {
    get_u16(packet, ipv4::FLAGS).is_some_and(|flags| flags & ipv4::DONT_FRAGMENT != 0)
}

/// The headers of a super-frame, that of its frame first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    bytes: [u8; HEADER_MAX],
    len: usize,
}

impl Header {
    /// Returns their bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
