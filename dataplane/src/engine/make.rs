//! Packets that the engine makes itself: resets and "fragmentation needed".

use crate::flow::{Pair, Side, Tunnel};
use crate::wire::checksum::{Sum, pseudo_header, pseudo_header_v6};
use crate::wire::ipv6::{self, Ipv6Fields};
use crate::wire::tcp::{Flags, Segment};
use crate::wire::{Fragment, Headers, ICMP, TCP, Transport, VnetHdr, icmp, ipv4};
use std::net::{Ipv4Addr, Ipv6Addr};

const TTL: u8 = 64;
/// How much of a packet an error quotes, so that it stays below 576 bytes (RFC 1812 section
/// 4.3.2.3).
const MAX_QUOTE: usize = 576 - ipv4::MIN_LEN - icmp::LEN;

/// The ends of a packet that is made.
#[derive(Clone, Copy)]
enum Ends {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

struct Reset {
    /// Source and destination.
    ends: Ends,
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    flags: Flags,
}

/// Returns the reset that tells `side` of a pair, whose service gets it between the ends of `tunnel`,
/// that its connection is over.
pub(super) fn reset_of(pair: &Pair, tunnel: Option<Tunnel>, side: Side) -> Option<Vec<u8>> {
    let key = pair.key(side);
    let (seq, ack) = pair.tcp.as_ref()?.reset_numbers(side);
    let ends = match (side, tunnel) {
        (Side::Responder, Some(tunnel)) => Ends::V6(tunnel.client, tunnel.service),
        _ => Ends::V4(key.destination(), key.source()),
    };
    Some(reset(&Reset {
        ends,
        ports: (key.destination_port(), key.source_port()),
        seq,
        ack,
        flags: Flags(Flags::RST.0 | Flags::ACK.0),
    }))
}

/// Returns the reset that answers a segment without a connection (RFC 9293 section 3.10.7.1), or
/// nothing if the segment is itself a reset.
pub(super) fn reset_for(headers: &Headers, segment: &Segment) -> Option<Vec<u8>> {
    let ends = Ends::V4(headers.destination, headers.source);
    answer(ends, headers, segment)
}

/// Returns the reset that answers a segment which a service sent over IPv6.
pub(super) fn reset_for_answer(
    tunnel: &Tunnel,
    headers: &Headers,
    segment: &Segment,
) -> Option<Vec<u8>> {
    answer(Ends::V6(tunnel.client, tunnel.service), headers, segment)
}

fn answer(ends: Ends, headers: &Headers, segment: &Segment) -> Option<Vec<u8>> {
    if segment.flags.has(Flags::RST) {
        return None;
    }
    let (seq, ack, flags) = if segment.flags.has(Flags::ACK) {
        (segment.ack, 0, Flags::RST)
    } else {
        let syn = u32::from(segment.flags.has(Flags::SYN));
        let fin = u32::from(segment.flags.has(Flags::FIN));
        let end = segment
            .seq
            .wrapping_add(segment.payload_len)
            .wrapping_add(syn + fin);
        (0, end, Flags(Flags::RST.0 | Flags::ACK.0))
    };
    Some(reset(&Reset {
        ends,
        ports: (headers.destination_port, headers.source_port),
        seq,
        ack,
        flags,
    }))
}

fn reset(reset: &Reset) -> Vec<u8> {
    let [s0, s1] = reset.ports.0.to_be_bytes();
    let [d0, d1] = reset.ports.1.to_be_bytes();
    let [q0, q1, q2, q3] = reset.seq.to_be_bytes();
    let [a0, a1, a2, a3] = reset.ack.to_be_bytes();
    let mut segment = [
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        0x50,
        reset.flags.0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let pseudo = match reset.ends {
        Ends::V4(source, destination) => pseudo_header(source, destination, TCP, 20),
        Ends::V6(source, destination) => pseudo_header_v6(source, destination, TCP, 20),
    };
    let checksum = pseudo.bytes(&segment).checksum();
    crate::wire::put_u16(&mut segment, crate::wire::tcp::CHECKSUM, checksum);
    match reset.ends {
        Ends::V4(source, destination) => network(source, destination, TCP, &segment),
        Ends::V6(source, destination) => network_v6(source, destination, TCP, &segment),
    }
}

/// Returns the error that tells the sender of `packet` to send at most `mtu` bytes (RFC 1191).
pub(super) fn fragmentation_needed(packet: &[u8], mtu: usize) -> Option<Vec<u8>> {
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
    error(packet, icmp::FRAGMENTATION_NEEDED, mtu)
}

/// Returns the error that tells the sender of `packet` that it was not delivered, with this code.
pub(super) fn unreachable(packet: &[u8], code: u8) -> Option<Vec<u8>> {
    error(packet, code, 0)
}

/// Returns the error "destination unreachable" about `packet`, or nothing if there must be none:
/// about errors and later fragments (RFC 1122 section 3.2.2).
///
/// It comes from the address that the sender was talking to: a virtual network shows no routers.
fn error(packet: &[u8], code: u8, mtu: u16) -> Option<Vec<u8>> {
    let headers = Headers::parse_quoted(packet).ok()?;
    if headers.fragment == Fragment::Later || headers.transport == Transport::IcmpError {
        return None;
    }
    let quote = packet.get(..packet.len().min(MAX_QUOTE))?;
    let mut message = vec![icmp::UNREACHABLE, code, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quote);
    let checksum = Sum::default().bytes(&message).checksum();
    crate::wire::put_u16(&mut message, icmp::CHECKSUM, checksum);
    Some(network(headers.destination, headers.source, ICMP, &message))
}

/// Returns the error that tells a service to send at most `mtu` bytes (RFC 4443 section 3.2). It
/// comes from the client that the service was talking to.
pub(super) fn packet_too_big(tunnel: &Tunnel, packet: &[u8], mtu: usize) -> Option<Vec<u8>> {
    const MAX_QUOTE: usize = 1280 - ipv6::LEN - icmp::LEN;
    let quote = packet.get(..packet.len().min(MAX_QUOTE))?;
    let mut message = vec![2, 0, 0, 0];
    message.extend(u32::try_from(mtu).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(quote);
    let len = u16::try_from(message.len()).ok()?;
    let (from, to) = (tunnel.client, tunnel.service);
    let pseudo = pseudo_header_v6(from, to, ipv6::ICMP, len);
    let checksum = pseudo.bytes(&message).checksum();
    crate::wire::put_u16(&mut message, icmp::CHECKSUM, checksum);
    Some(network_v6(from, to, ipv6::ICMP, &message))
}

/// Puts an IPv6 header before `payload`.
fn network_v6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let fields = Ipv6Fields {
        traffic_class: 0,
        payload_len: u16::try_from(payload.len()).unwrap_or(u16::MAX),
        next_header,
        hop_limit: TTL,
    };
    [&fields.header(source, destination)[..], payload].concat()
}

/// Puts an IPv4 header before `payload`.
fn network(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total_len = u16::try_from(ipv4::MIN_LEN + payload.len()).unwrap_or(u16::MAX);
    // Identification 0 with DF: an atomic datagram (RFC 6864).
    let fields = ipv4::Ipv4Fields {
        service_type: 0,
        total_len,
        ident: 0,
        flags: ipv4::DONT_FRAGMENT,
        ttl: TTL,
        protocol,
    };
    let packet = [&fields.header(source, destination)[..], payload].concat();
    debug_assert!(
        protocol != TCP || Headers::parse(&VnetHdr::default(), &packet).is_ok(),
        "what the engine makes is a packet"
    );
    packet
}
