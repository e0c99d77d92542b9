//! Test packets, built and checked by code that is not ours (etherparse) or is slow and plain.

use etherparse::{IcmpEchoHeader, Icmpv4Type, PacketBuilder, SlicedPacket, TransportSlice};
use postern_dataplane::wire::{GsoType, VnetHdr};
use std::net::{Ipv4Addr, SocketAddrV4};

pub fn addr(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

pub fn tcp(from: &str, to: &str, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (addr(from), addr(to));
    let mut builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64).tcp(
        from.port(),
        to.port(),
        seq,
        1000,
    );
    if flags & FIN != 0 {
        builder = builder.fin();
    }
    if flags & SYN != 0 {
        builder = builder.syn();
    }
    if flags & RST != 0 {
        builder = builder.rst();
    }
    if flags & ACK != 0 {
        builder = builder.ack(ack);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

pub fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (addr(from), addr(to));
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64)
        .udp(from.port(), to.port())
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

pub fn echo(from: &str, to: &str, request: bool, id: u16) -> Vec<u8> {
    let header = IcmpEchoHeader { id, seq: 1 };
    let kind = match request {
        true => Icmpv4Type::EchoRequest(header),
        false => Icmpv4Type::EchoReply(header),
    };
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(ip(from).octets(), ip(to).octets(), 64)
        .icmpv4(kind)
        .write(&mut bytes, b"abcdefgh")
        .unwrap();
    bytes
}

/// An ICMP error: type 3 with this code, quoting the first `quote` bytes of `about`.
pub fn unreachable(from: &str, to: &str, code: u8, about: &[u8], quote: usize) -> Vec<u8> {
    let about = &about[..about.len().min(quote)];
    let mut message = vec![3, code, 0, 0, 0, 0, 0x05, 0x78];
    message.extend(about);
    let checksum = !slow_sum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ipv4(from, to, 1, 0, 0, &message)
}

/// An IPv4 packet of any protocol; `flags` are the three flag bits and the offset.
pub fn ipv4(from: &str, to: &str, protocol: u8, ident: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap();
    let mut bytes = vec![0x45, 0];
    bytes.extend(len.to_be_bytes());
    bytes.extend(ident.to_be_bytes());
    bytes.extend(flags.to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(ip(from).octets());
    bytes.extend(ip(to).octets());
    let checksum = !slow_sum(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Cuts a packet into fragments of at most `len` payload bytes, a multiple of 8.
pub fn fragments(packet: &[u8], ident: u16, len: usize) -> Vec<Vec<u8>> {
    let (from, to) = (source(packet), destination(packet));
    let payload = &packet[20..];
    let count = payload.len().div_ceil(len);
    (0..count)
        .map(|at| {
            let part = &payload[at * len..payload.len().min((at + 1) * len)];
            let more = if at + 1 < count { 0x2000 } else { 0 };
            let flags = more | u16::try_from(at * len / 8).unwrap();
            let (from, to) = (from.to_string(), to.to_string());
            ipv4(&from, &to, packet[9], ident, flags, part)
        })
        .collect()
}

/// Sets or clears "don't fragment".
pub fn with_df(mut packet: Vec<u8>, df: bool) -> Vec<u8> {
    packet[6] = packet[6] & !0x40 | if df { 0x40 } else { 0 };
    packet[10..12].fill(0);
    let checksum = !slow_sum(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Puts the fragments of one datagram together, as a receiver does; they may come in any order. The
/// header is the first fragment's. No IP options.
pub fn reassembled(parts: &[Vec<u8>]) -> Vec<u8> {
    let place = |part: &[u8]| u16::from_be_bytes([part[6], part[7]]);
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_key(|part| place(part) & 0x1fff);
    let mut whole = parts[0][..20].to_vec();
    for (at, part) in parts.iter().enumerate() {
        assert_eq!(part[4..6], parts[0][4..6], "one identification");
        assert_eq!(
            usize::from(place(part) & 0x1fff) * 8,
            whole.len() - 20,
            "no hole"
        );
        assert_eq!(
            place(part) & 0x2000 == 0,
            at + 1 == parts.len(),
            "the last one is marked"
        );
        whole.extend(&part[20..]);
    }
    let len = u16::try_from(whole.len()).unwrap();
    whole[2..4].copy_from_slice(&len.to_be_bytes());
    whole[6..8].fill(0);
    with_df(whole, false)
}

pub fn source(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15])
}

pub fn destination(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19])
}

/// Source and destination with ports of a packet without IP options.
pub fn ends(packet: &[u8]) -> (SocketAddrV4, SocketAddrV4) {
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (
        SocketAddrV4::new(source(packet), port(20)),
        SocketAddrV4::new(destination(packet), port(22)),
    )
}

pub fn tcp_flags(packet: &[u8]) -> u8 {
    packet[33]
}

pub fn tcp_seq_ack(packet: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
    (word(24), word(28))
}

/// Ones' complement sum, word by word.
pub fn slow_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    u16::try_from(sum).unwrap()
}

/// The pseudo-header, over IPv4 without options or over IPv6.
pub fn pseudo(packet: &[u8]) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        let len = u16::try_from(packet.len() - 40).unwrap();
        let mut bytes = packet[8..40].to_vec();
        bytes.extend([0, packet[6]]);
        bytes.extend(len.to_be_bytes());
        return bytes;
    }
    let len = u16::try_from(packet.len() - 20).unwrap();
    let mut bytes = packet[12..20].to_vec();
    bytes.extend([0, packet[9]]);
    bytes.extend(len.to_be_bytes());
    bytes
}

/// Makes the frame that a kernel with offload would hand over: the transport checksum field holds
/// the pseudo-header's sum only.
pub fn partial(packet: &[u8], gso: GsoType, gso_size: u16) -> (VnetHdr, Vec<u8>) {
    let mut bytes = packet.to_vec();
    let offset = if packet[9] == 6 { 16 } else { 6 };
    let sum = slow_sum(&pseudo(packet));
    bytes[20 + offset..22 + offset].copy_from_slice(&sum.to_be_bytes());
    let vnet = VnetHdr {
        needs_csum: true,
        gso_type: gso,
        gso_ecn: false,
        hdr_len: 40,
        gso_size,
        csum_start: 20,
        csum_offset: u16::try_from(offset).unwrap(),
    };
    (vnet, bytes)
}

/// Does what the receiving kernel or device would do for a frame that needs its checksum.
pub fn completed(vnet: VnetHdr, packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    if vnet.needs_csum {
        let start = usize::from(vnet.csum_start);
        let at = start + usize::from(vnet.csum_offset);
        let sum = !slow_sum(&bytes[start..]);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// Asserts that the IPv4 header checksum and, for a whole datagram, the transport's are right.
#[track_caller]
pub fn assert_checksums(packet: &[u8]) {
    if packet[0] >> 4 == 6 {
        assert!(matches!(packet[6], 6 | 58), "TCP or ICMPv6");
        let bytes = [pseudo(packet), packet[40..].to_vec()].concat();
        assert_eq!(slow_sum(&bytes), 0xffff, "checksum over IPv6");
        return;
    }
    let header_len = usize::from(packet[0] & 15) * 4;
    assert_eq!(
        slow_sum(&packet[..header_len]),
        0xffff,
        "IPv4 header checksum"
    );
    if u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0 {
        return;
    }
    match packet[9] {
        6 => {
            let mut bytes = pseudo(packet);
            bytes.extend(&packet[header_len..]);
            assert_eq!(slow_sum(&bytes), 0xffff, "TCP checksum");
        }
        17 if packet[header_len + 6..header_len + 8] != [0, 0] => {
            let mut bytes = pseudo(packet);
            bytes.extend(&packet[header_len..]);
            assert_eq!(slow_sum(&bytes), 0xffff, "UDP checksum");
        }
        1 => assert_eq!(slow_sum(&packet[header_len..]), 0xffff, "ICMP checksum"),
        _ => {}
    }
}

/// Asserts that another parser takes the packet, and returns its ports.
#[track_caller]
pub fn assert_parses(packet: &[u8]) -> (u16, u16) {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    }
}
