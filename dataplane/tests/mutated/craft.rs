//! Packets that a network with everything could see, and what can be wrong with them.

use super::sums;
use postern_dataplane::wire::{GsoType, VnetHdr};
use rand::RngExt;
use rand::rngs::StdRng;
use std::net::{Ipv4Addr, Ipv6Addr};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// Addresses that mean something there, and some that mean nothing.
pub const ADDRESSES: [[u8; 4]; 24] = [
    [10, 0, 1, 4],
    [10, 0, 1, 5],
    [10, 0, 2, 4],
    [10, 0, 1, 99],
    [20, 0, 0, 9],
    [20, 200, 0, 1],
    [20, 200, 0, 2],
    [52, 239, 0, 10],
    [40, 79, 0, 10],
    [52, 239, 0, 77],
    [8, 8, 8, 8],
    [9, 9, 9, 9],
    [9, 1, 1, 1],
    [93, 184, 216, 34],
    [192, 168, 7, 9],
    [192, 168, 8, 9],
    [168, 63, 129, 16],
    [169, 254, 169, 254],
    [127, 0, 0, 1],
    [0, 0, 0, 0],
    [224, 0, 0, 1],
    [255, 255, 255, 255],
    [172, 16, 0, 1],
    [10, 1, 0, 4],
];

/// Ports of a guest, and others.
const PORTS: [u16; 9] = [443, 80, 53, 22, 5000, 5001, 5002, 65_330, 0];

/// A packet and the port that it comes in by.
#[derive(Clone, Debug)]
pub struct Input {
    pub port: u16,
    pub vnet: VnetHdr,
    pub packet: Vec<u8>,
}

pub fn pick<T: Copy>(rng: &mut StdRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())]
}

pub fn is_v4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| byte >> 4 == 4)
}

pub fn word(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

fn put(packet: &mut [u8], at: usize, value: u16) {
    if let Some(to) = packet.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

/// An IPv4 packet around a payload, its sums to be put.
pub fn v4(rng: &mut StdRng, protocol: u8, ends: [[u8; 4]; 2], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x45, rng.random::<u8>() & 3];
    packet.extend(len.to_be_bytes());
    packet.extend(rng.random_range(0..40u16).to_be_bytes());
    packet.extend([
        if rng.random_bool(0.4) { 0x40 } else { 0 },
        0,
        64,
        protocol,
        0,
        0,
    ]);
    packet.extend(ends[0]);
    packet.extend(ends[1]);
    packet.extend(payload);
    packet
}

pub fn tcp(
    rng: &mut StdRng,
    ports: [u16; 2],
    flags: u8,
    numbers: [u32; 2],
    payload: usize,
) -> Vec<u8> {
    let mut segment = Vec::with_capacity(40 + payload);
    segment.extend(ports[0].to_be_bytes());
    segment.extend(ports[1].to_be_bytes());
    segment.extend(numbers[0].to_be_bytes());
    segment.extend(numbers[1].to_be_bytes());
    let options: &[u8] = match flags & SYN != 0 && rng.random() {
        true => &[2, 4, 5, 0xb4, 1, 3, 3, 7],
        false => &[],
    };
    segment.push(u8::try_from(5 + options.len() / 4).unwrap() << 4);
    segment.push(flags);
    segment.extend(rng.random::<u16>().to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(options);
    segment.resize(segment.len() + payload, 7);
    segment
}

fn udp(ports: [u16; 2], payload: usize) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload);
    datagram.extend(ports[0].to_be_bytes());
    datagram.extend(ports[1].to_be_bytes());
    datagram.extend(u16::try_from(8 + payload).unwrap().to_be_bytes());
    datagram.extend([0; 2]);
    datagram.resize(8 + payload, 9);
    datagram
}

fn echo(kind: u8, ident: u16) -> Vec<u8> {
    let [a, b] = ident.to_be_bytes();
    [&[kind, 0, 0, 0, a, b, 0, 1][..], &[3; 16]].concat()
}

/// What a guest, the public side or the premises could begin with, or say without having begun.
pub fn fresh(rng: &mut StdRng) -> Input {
    let guests = [
        (0, [10, 0, 1, 4]),
        (1, [10, 0, 1, 5]),
        (2, [10, 0, 2, 4]),
        (5, [10, 0, 1, 4]),
    ];
    let others = [(3, [9, 9, 9, 9]), (3, [8, 8, 8, 8]), (6, [192, 168, 7, 9])];
    let (port, from) = match rng.random_range(0..6) {
        0 => pick(rng, &others),
        _ => pick(rng, &guests),
    };
    let to = ADDRESSES[rng.random_range(0..15)];
    let ports = [rng.random_range(5000..5006), pick(rng, &[443, 80, 53])];
    let size = match rng.random_range(0..20) {
        0 => rng.random_range(500..1460),
        1 => rng.random_range(1400..2000),
        _ => rng.random_range(0..40),
    };
    let (protocol, payload) = match rng.random_range(0..10) {
        0..5 => {
            let flags = pick(rng, &[SYN, SYN, SYN, ACK, SYN | ACK, FIN | ACK, RST]);
            let numbers = [rng.random_range(0..2000), rng.random_range(0..2000)];
            (
                6,
                tcp(
                    rng,
                    ports,
                    flags,
                    numbers,
                    if flags == SYN { 0 } else { size },
                ),
            )
        }
        5..8 => (17, udp(ports, size)),
        8 => (1, echo(8, ports[0])),
        _ => (pick(rng, &[50, 51, 47, 4, 132]), vec![5; 24]),
    };
    let packet = v4(rng, protocol, [from, to], &payload);
    let mut input = Input {
        port,
        vnet: VnetHdr::default(),
        packet,
    };
    sums::fix(&mut input.packet);
    if rng.random_bool(0.1) {
        offload(rng, &mut input);
    }
    input
}

/// Makes a packet one as a kernel with offloads hands over, a super-frame perhaps.
pub fn offload(rng: &mut StdRng, input: &mut Input) {
    let packet = &mut input.packet;
    let is_v4 = is_v4(packet);
    let (start, protocol) = match is_v4 {
        true if packet.len() > 40 => (usize::from(packet[0] & 15) * 4, packet[9]),
        false if packet.len() > 60 => (40, packet[6]),
        _ => return,
    };
    let at = match protocol {
        6 => 16,
        17 => 6,
        _ => return,
    };
    if rng.random_bool(0.4) && packet.len() < 2000 {
        packet.resize(packet.len() + rng.random_range(1..6_000), 1);
        let len = packet.len();
        put(
            packet,
            if is_v4 { 2 } else { 4 },
            u16::try_from(len - if is_v4 { 0 } else { 40 }).unwrap(),
        );
        if protocol == 17 {
            put(packet, start + 4, u16::try_from(len - start).unwrap());
        }
        sums::fix(packet);
        input.vnet.gso_size = pick(rng, &[1, 100, 536, 1000, 1400, 1460, 9000]);
        input.vnet.gso_type = match (protocol, is_v4) {
            (17, _) => GsoType::UdpL4,
            (_, true) => GsoType::TcpV4,
            _ => GsoType::TcpV6,
        };
    }
    input.vnet.needs_csum = true;
    input.vnet.csum_start = u16::try_from(start).unwrap();
    input.vnet.csum_offset = at;
    input.vnet.hdr_len = u16::try_from(start + 20).unwrap();
    if let Some(sum) = sums::partial(packet) {
        put(packet, start + usize::from(at), sum);
    }
}

/// What the receiver of a packet could answer.
pub fn answer(rng: &mut StdRng, port: u16, got: &[u8]) -> Option<Input> {
    let mut packet = got.to_vec();
    let start = match is_v4(got) {
        true if got.len() >= 28 => {
            packet[12..16].copy_from_slice(&got[16..20]);
            packet[16..20].copy_from_slice(&got[12..16]);
            if word(got, 6) & 0x1fff != 0 {
                return None;
            }
            usize::from(got[0] & 15) * 4
        }
        false if got.len() >= 60 => {
            packet[8..24].copy_from_slice(&got[24..40]);
            packet[24..40].copy_from_slice(&got[8..24]);
            40
        }
        _ => return None,
    };
    let protocol = if start == 40 && !is_v4(got) {
        got[6]
    } else {
        got[9]
    };
    match protocol {
        6 if packet.len() >= start + 20 => {
            let (from, to) = (word(got, start), word(got, start + 2));
            put(&mut packet, start, to);
            put(&mut packet, start + 2, from);
            let number = |at: usize| u32::from_be_bytes(got[at..at + 4].try_into().unwrap());
            let (seq, ack, flags) = (number(start + 4), number(start + 8), got[start + 13]);
            let payload =
                packet.len() - start - usize::from(got[start + 12] >> 4) * 4 % packet.len();
            let next = seq
                .wrapping_add(u32::try_from(payload & 0x3fff).unwrap())
                .wrapping_add(u32::from(flags & 3 != 0));
            let seq = if flags & SYN != 0 { 7000 } else { ack };
            packet[start + 4..start + 8].copy_from_slice(&seq.to_be_bytes());
            packet[start + 8..start + 12].copy_from_slice(&next.to_be_bytes());
            packet[start + 13] = match flags {
                SYN => SYN | ACK,
                _ => pick(rng, &[ACK, ACK, ACK, FIN | ACK, RST, RST | ACK, SYN]),
            };
        }
        17 if packet.len() >= start + 8 => {
            put(&mut packet, start, word(got, start + 2));
            put(&mut packet, start + 2, word(got, start));
        }
        1 if packet[start] == 8 => packet[start] = 0,
        _ => {}
    }
    let mut input = Input {
        port,
        vnet: VnetHdr::default(),
        packet,
    };
    sums::fix(&mut input.packet);
    if rng.random_bool(0.15) {
        offload(rng, &mut input);
    }
    Some(input)
}

/// An error of the receiver of a packet, or of a router on the way, about it.
pub fn error(rng: &mut StdRng, port: u16, got: &[u8]) -> Option<Input> {
    let most = pick(rng, &[20, 28, 40, 60, 300, 548, 1200]);
    let quote = &got[..got.len().min(most)];
    let mtu = pick(rng, &[0, 68, 576, 1280, 1400, 65_535]);
    let packet = if is_v4(got) {
        let (kind, code) = pick(
            rng,
            &[
                (3, 0),
                (3, 1),
                (3, 3),
                (3, 4),
                (3, 13),
                (11, 0),
                (12, 0),
                (5, 1),
            ],
        );
        let mut message = vec![kind, code, 0, 0, 0, 0];
        message.extend(u16::to_be_bytes(mtu));
        message.extend(quote);
        let mut from: [u8; 4] = got.get(16..20)?.try_into().unwrap();
        if rng.random_bool(0.3) {
            from = pick(rng, &ADDRESSES);
        }
        v4(
            rng,
            1,
            [from, got.get(12..16)?.try_into().unwrap()],
            &message,
        )
    } else {
        let (kind, code) = pick(rng, &[(1, 0), (1, 4), (2, 0), (3, 0), (4, 1), (135, 0)]);
        let mut message = vec![kind, code, 0, 0, 0, 0];
        message.extend(u16::to_be_bytes(mtu));
        message.extend(quote);
        v6(58, [got.get(24..40)?, got.get(8..24)?], &message)
    };
    let mut packet = packet;
    sums::fix(&mut packet);
    Some(Input {
        port,
        vnet: VnetHdr::default(),
        packet,
    })
}

fn v6(next_header: u8, ends: [&[u8]; 2], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(ends[0]);
    packet.extend(ends[1]);
    packet.extend(payload);
    packet
}

/// What a service that gets identities could send, to anybody who has one.
pub fn from_service(rng: &mut StdRng) -> Input {
    let service: Ipv6Addr = "fd41:1:1a:2a3::34ef:a".parse().unwrap();
    let client: Ipv6Addr = pick(
        rng,
        &["fd40:0:2a:7:1a:274:a00:104", "fd40:0:2b:7:1a:273:a00:104"],
    )
    .parse()
    .unwrap();
    let ports = [443, rng.random_range(5000..5006)];
    let flags = pick(rng, &[SYN, ACK, SYN | ACK, RST, FIN | ACK]);
    let segment = tcp(rng, ports, flags, [7001, 2], 12);
    let mut packet = v6(6, [&service.octets(), &client.octets()], &segment);
    sums::fix(&mut packet);
    Input {
        port: pick(rng, &[4, 4, 4, 0, 3, 6]),
        vnet: VnetHdr::default(),
        packet,
    }
}

/// Cuts a packet into fragments, which may overlap, be tiny, come twice, out of order or not at all.
pub fn fragments(rng: &mut StdRng, input: &Input) -> Vec<Input> {
    let packet = &input.packet;
    if !is_v4(packet) || packet.len() < 44 || word(packet, 6) & 0x3fff != 0 || packet[0] != 0x45 {
        return vec![input.clone()];
    }
    let (head, payload) = packet.split_at(20);
    let size = pick(rng, &[8, 16, 24, 24, 32, 64, 512]);
    let ident: u16 = rng.random_range(0..30);
    let count = payload.len().div_ceil(size);
    let mut parts: Vec<Input> = (0..count.min(40))
        .map(|at| {
            let mut from = at * size;
            if rng.random_bool(0.05) {
                from = from.saturating_sub(8);
            }
            let to = payload.len().min(from + size);
            let mut packet = [head, &payload[from..to]].concat();
            let more = if at + 1 < count { 0x2000 } else { 0 };
            let len = u16::try_from(packet.len()).unwrap();
            put(&mut packet, 2, len);
            put(&mut packet, 4, ident);
            put(&mut packet, 6, more | u16::try_from(from / 8).unwrap());
            sums::fix(&mut packet);
            Input {
                port: input.port,
                vnet: VnetHdr::default(),
                packet,
            }
        })
        .collect();
    for _ in 0..rng.random_range(0..3) {
        let (a, b) = (
            rng.random_range(0..parts.len()),
            rng.random_range(0..parts.len()),
        );
        match rng.random_range(0..4) {
            0 => parts.swap(a, b),
            1 => parts.push(parts[a].clone()),
            2 if parts.len() > 1 => drop(parts.remove(a)),
            _ => {}
        }
    }
    parts
}

/// Spoils a packet in one way, with regard to what it is.
pub fn mutate(rng: &mut StdRng, input: &mut Input) {
    let packet = &mut input.packet;
    if packet.len() < 20 || rng.random_range(0..8) == 0 {
        return raw(rng, packet);
    }
    if !is_v4(packet) {
        return mutate_v6(rng, input);
    }
    let start = (usize::from(packet[0] & 15) * 4).min(packet.len());
    match rng.random_range(0..17) {
        0 => {
            let len = word(packet, 2);
            put(
                packet,
                2,
                len.wrapping_add(pick(rng, &[1, 8, 0xffff, 0xfff8, 400])),
            );
        }
        1 => packet[0] = pick(rng, &[0x44, 0x46, 0x4f, 0x40, 0x55, 0x65, 0x45]),
        2 => put(packet, 6, rng.random()),
        3 => {
            let place = pick(
                rng,
                &[
                    0, 0x2000, 1, 0x2001, 2, 3, 0x1fff, 0x3fff, 0x4000, 0x8000, 0x6000,
                ],
            );
            put(packet, 6, place);
        }
        4 => options(rng, packet),
        5 => packet[12..16].copy_from_slice(&pick(rng, &ADDRESSES)),
        6 => packet[16..20].copy_from_slice(&pick(rng, &ADDRESSES)),
        7 => packet[9] = pick(rng, &[6, 17, 1, 50, 51, 47, 4, 41, 58, 0, 255]),
        8 => put(packet, start + pick(rng, &[0, 2]), pick(rng, &PORTS)),
        9 => set(packet, start + 13, rng.random()),
        10 => {
            let at = start + pick(rng, &[4, 6, 8, 10]);
            put(packet, at, rng.random());
        }
        11 => set(
            packet,
            start + 12,
            pick(rng, &[0x50, 0x40, 0x60, 0xf0, 0x00]),
        ),
        12 => put(
            packet,
            start + pick(rng, &[4, 14]),
            rng.random_range(0..2_000),
        ),
        13 => lengthen(rng, packet),
        14 => input.port = rng.random_range(0..10),
        15 => lie(rng, &mut input.vnet),
        _ => {
            // Inside of what an error quotes.
            if packet[9] == 1 && packet.len() > start + 28 {
                let at = rng.random_range(start..packet.len().min(start + 36));
                packet[at] = rng.random();
            } else {
                set(packet, start, pick(rng, &[0, 3, 5, 8, 11, 12, 13]));
            }
        }
    }
}

fn set(packet: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = packet.get_mut(at) {
        *byte = value;
    }
}

fn mutate_v6(rng: &mut StdRng, input: &mut Input) {
    let packet = &mut input.packet;
    match rng.random_range(0..7) {
        0 => put(packet, 4, rng.random_range(0..200)),
        1 => set(packet, 6, pick(rng, &[6, 58, 17, 44, 43, 0, 60, 59, 41])),
        2 => {
            let at = rng.random_range(8..40).min(packet.len() - 1);
            packet[at] ^= 1 << rng.random_range(0..8);
        }
        3 => put(packet, 40 + pick(rng, &[0, 2]), pick(rng, &PORTS)),
        4 => lengthen(rng, packet),
        5 => lie(rng, &mut input.vnet),
        _ => input.port = rng.random_range(0..10),
    }
}

fn raw(rng: &mut StdRng, packet: &mut Vec<u8>) {
    if packet.is_empty() || rng.random_range(0..5) == 0 {
        packet.resize(rng.random_range(0..80), 0x45);
        return;
    }
    let at = rng.random_range(0..packet.len().min(80));
    packet[at] = rng.random();
    if rng.random_bool(0.2) {
        packet.truncate(at);
    }
}

/// Adds bytes or takes some, and says so in the header or does not.
fn lengthen(rng: &mut StdRng, packet: &mut Vec<u8>) {
    let len = rng.random_range(0..packet.len() + 60);
    packet.resize(len, 3);
    if rng.random() && is_v4(packet) && packet.len() >= 20 {
        put(packet, 2, u16::try_from(len).unwrap_or(u16::MAX));
    }
}

/// Puts options before the payload.
fn options(rng: &mut StdRng, packet: &mut Vec<u8>) {
    let all: [&[u8]; 12] = [
        &[1, 1, 1, 0],
        &[131, 7, 4, 8, 8, 8, 8, 0],
        &[137, 7, 4, 10, 0, 1, 4, 0],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[68, 8, 5, 0, 0, 0, 0, 0],
        &[148, 4, 0, 0],
        &[130, 4, 0, 0],
        &[131, 40, 4, 0],
        &[1, 131, 3, 4],
        &[94, 1, 0, 0],
        &[94, 0, 0, 0],
        &[94, 4, 1, 2],
    ];
    let some = pick(rng, &all);
    let end = (usize::from(packet[0] & 15) * 4).clamp(20, packet.len());
    if end + some.len() > 60 {
        return;
    }
    packet.splice(end..end, some.iter().copied());
    packet[0] = 0x40 | u8::try_from((end + some.len()) / 4).unwrap();
    let len = packet.len();
    put(packet, 2, u16::try_from(len).unwrap_or(u16::MAX));
}

/// An offload header that is not the packet's.
fn lie(rng: &mut StdRng, vnet: &mut VnetHdr) {
    let kinds = [
        GsoType::None,
        GsoType::TcpV4,
        GsoType::TcpV6,
        GsoType::UdpL4,
    ];
    match rng.random_range(0..7) {
        0 => vnet.needs_csum = !vnet.needs_csum,
        1 => vnet.gso_type = pick(rng, &kinds),
        2 => vnet.gso_size = pick(rng, &[0, 1, 8, 1460, 65_535]),
        3 => vnet.csum_start = rng.random_range(0..100),
        4 => vnet.csum_offset = pick(rng, &[0, 6, 16, 2, 65_535]),
        5 => vnet.hdr_len = rng.random(),
        _ => {
            vnet.needs_csum = true;
            vnet.csum_start = pick(rng, &[0, 20, 24, 40, 60]);
            vnet.csum_offset = pick(rng, &[6, 16]);
            vnet.gso_type = pick(rng, &kinds);
            vnet.gso_size = pick(rng, &[0, 1, 1000]);
        }
    }
}

pub fn addresses(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let at = |at: usize| -> Option<Ipv4Addr> {
        Some(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?.into())
    };
    Some((at(12)?, at(16)?))
}
