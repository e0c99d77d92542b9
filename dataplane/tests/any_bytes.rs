//! Whatever comes in: no panic, and every packet is either forwarded or counted under a reason.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;

use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{Engine, EngineConfig, Frame, Verdict};
use postern_dataplane::policy::PortId;
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Packets a case: together with the cases a run sends a bit more than a million.
const PER_CASE: usize = 4_200;
const CASES: u32 = 256;

struct Tally {
    received: u64,
    forwarded: u64,
    dropped: u64,
}

fn tally(engine: &Engine) -> Tally {
    let mut tally = Tally {
        received: 0,
        forwarded: 0,
        dropped: 0,
    };
    for port in 0..64 {
        let Some(counters) = engine.counters().port(PortId(port)) else {
            continue;
        };
        tally.received += counters.received_frames;
        tally.forwarded += counters.sent_frames;
        tally.dropped += counters.drops().map(|(_, _, count)| count).sum::<u64>();
    }
    tally
}

/// Good packets of every kind, to be damaged.
fn templates() -> Vec<Vec<u8>> {
    let datagram = udp("10.0.1.5:53", "8.8.8.8:53", &[3; 64]);
    let mut all = vec![
        tcp("10.0.1.4:5000", "52.239.0.10:443", SYN, 1, 0, &[]),
        tcp("10.0.1.4:5000", "52.239.0.10:443", ACK, 2, 2, b"data"),
        tcp("52.239.0.10:443", "10.0.1.4:5000", SYN | ACK, 1, 2, &[]),
        tcp("52.239.0.10:443", "20.0.0.9:5000", SYN | ACK, 1, 2, &[]),
        tcp("10.0.2.4:5000", "10.0.1.4:22", SYN, 1, 0, &[]),
        tcp("10.0.1.4:5000", "52.239.0.10:443", RST, 2, 0, &[]),
        tcp("10.0.1.4:5000", "52.239.0.10:443", FIN | ACK, 2, 2, &[]),
        tcp("9.9.9.9:5000", "20.0.0.9:22", SYN, 1, 0, &[]),
        udp("8.8.8.8:53", "20.200.0.1:2000", b"answer"),
        echo("10.0.1.4", "8.8.8.8", true, 7),
        echo("8.8.8.8", "20.0.0.9", false, 7),
        unreachable(
            "8.8.8.8",
            "20.0.0.9",
            3,
            &echo("20.0.0.9", "8.8.8.8", true, 7),
            60,
        ),
        unreachable(
            "10.0.1.4",
            "8.8.8.8",
            4,
            &udp("8.8.8.8:1", "10.0.1.4:2", b"abc"),
            28,
        ),
        ipv4("10.0.1.4", "8.8.8.8", 50, 1, 0, &[0; 16]),
        over_ipv6(
            6,
            &tcp("52.239.0.10:443", "10.0.1.4:5000", SYN | ACK, 1, 2, &[])[20..],
        ),
        over_ipv6(
            6,
            &tcp("52.239.0.10:443", "10.0.1.4:5000", ACK, 2, 2, b"data")[20..],
        ),
        over_ipv6(58, &icmpv6_error()),
        datagram.clone(),
    ];
    all.extend(fragments(&datagram, 4, 24));
    all
}

/// What a service sends to 10.0.1.4 over IPv6.
fn over_ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let service: Ipv6Addr = "fd41:1:1a:2a3::34ef:a".parse().unwrap();
    let client: Ipv6Addr = "fd40:0:2a:7:1a:274:a00:104".parse().unwrap();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(service.octets());
    packet.extend(client.octets());
    packet.extend(payload);
    packet
}

/// "Too big", about a segment that 10.0.1.4 sent; its checksum is right.
fn icmpv6_error() -> Vec<u8> {
    let segment = &tcp("10.0.1.4:5000", "52.239.0.10:443", ACK, 2, 2, b"data")[20..];
    let mut quoted = over_ipv6(6, segment);
    let ends = [&quoted[24..40], &quoted[8..24]].concat();
    quoted[8..40].copy_from_slice(&ends);
    let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
    message.extend(quoted);
    let packet = over_ipv6(58, &message);
    let checksum = !slow_sum(&[pseudo(&packet), message.clone()].concat());
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

fn damage(rng: &mut StdRng, templates: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = match rng.random_range(0..10) {
        0 => (0..rng.random_range(0..120))
            .map(|_| rng.random())
            .collect(),
        _ => templates[rng.random_range(0..templates.len())].clone(),
    };
    for _ in 0..rng.random_range(0..4) {
        if packet.is_empty() {
            break;
        }
        // Headers more often than payload.
        let at = rng.random_range(0..packet.len().min(60));
        packet[at] = match rng.random_range(0..3) {
            0 => rng.random(),
            1 => packet[at] ^ (1 << rng.random_range(0..8)),
            _ => [0, 0xff, 0x45, 0x40][rng.random_range(0..4)],
        };
    }
    if rng.random_range(0..8) == 0 {
        packet.truncate(rng.random_range(0..=packet.len()));
    }
    packet
}

fn header(rng: &mut StdRng) -> VnetHdr {
    if rng.random_range(0..4) != 0 {
        return VnetHdr::default();
    }
    let mut bytes: [u8; 10] = rng.random();
    bytes[1] = [0, 1, 4, 5, 0x81][rng.random_range(0..5)];
    bytes[6..10].copy_from_slice(&[20, 0, 16, 0]);
    VnetHdr::parse(bytes).unwrap_or_default()
}

fn is_fragment(packet: &[u8]) -> bool {
    packet[0] >> 4 == 4 && u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn forwarded_or_counted(seed in any::<u64>()) {
        let mut rng = StdRng::seed_from_u64(seed);
        let templates = templates();
        let config = EngineConfig { max_flows: 64, seed };
        let mut engine = Engine::new(config, Arc::new(tunnel_world(1)));
        let (mut now, mut forwarded, mut dropped) = (0, 0, 0);
        for n in 0..PER_CASE {
            let before = damage(&mut rng, &templates);
            let mut packet = [&[0; Frame::HEADROOM], &before[..]].concat();
            let vnet = header(&mut rng);
            let port = PortId(rng.random_range(0..7));
            // Looking ahead at anything is harmless.
            engine.anticipate(port, [&before[..], &templates[n % templates.len()]].into_iter());
            let mut frame = Frame::with_room(vnet, &mut packet, Frame::HEADROOM);
            match engine.process(Now::from_millis(now), port, &mut frame) {
                Verdict::Forward(_) => forwarded += 1,
                // Its fragments are counted as they come.
                Verdict::Cut(_) => {}
                Verdict::Drop(_) => {
                    dropped += 1;
                    prop_assert_eq!(frame.packet(), &before, "a dropped packet is left as it came");
                }
            }
            while let Some(emitted) = engine.take_emitted() {
                assert_checksums(&emitted.packet);
                forwarded += u64::from(is_fragment(&emitted.packet));
            }
            now += rng.random_range(0..200);
            if n % 64 == 0 {
                engine.advance(Now::from_millis(now), 16);
            }
            if n % 500 == 499 {
                let on = [&[STORAGE][..], &[], &[STORAGE, SQL]][n / 500 % 3];
                let mut snapshot = world(u32::try_from(n).unwrap(), on);
                if n % 1_000 == 999 {
                    snapshot.services = tunnel_world(1).services;
                }
                engine.install(Arc::new(snapshot));
            }
        }
        let sums = tally(&engine);
        prop_assert_eq!(sums.received, PER_CASE as u64);
        prop_assert_eq!((sums.forwarded, sums.dropped), (forwarded, dropped));
        prop_assert!(engine.flow_count() <= 64);
    }
}
