//! Fragments that would show a receiver other headers than were judged, and IPv4 options that name or
//! record a way.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::policy::Access;
use postern_dataplane::stats::DropReason;

/// VM2 lets nothing in to port 22 from anybody.
fn guarded() -> Rig {
    let mut snapshot = world(1, &[]);
    let group = nsg(&[(1, 100, Access::Deny, 22), (2, 200, Access::Allow, 80)]);
    nic_mut(&mut snapshot, VM2).nsg = Some(group);
    Rig::new(snapshot)
}

/// The bytes of a SYN to a port of VM2 from its TCP header on.
fn segment(port: u16) -> Vec<u8> {
    let to = format!("10.0.2.4:{port}");
    tcp("10.0.1.5:4000", &to, SYN, 1, 0, &[7; 64])[20..].to_vec()
}

/// A fragment of TCP from VM1 to VM2, from byte `at` of the segment on.
fn part(ident: u16, at: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let flags = u16::try_from(at / 8).unwrap() | if more { 0x2000 } else { 0 };
    ipv4("10.0.1.5", "10.0.2.4", 6, ident, flags, bytes)
}

#[test]
fn no_part_of_a_header_comes_in_a_later_fragment() {
    let mut rig = guarded();
    let (open, shut) = (segment(80), segment(22));
    // A first one too short for the header (RFC 1858).
    for len in [8, 16] {
        let tiny = part(1, 0, true, &shut[..len]);
        rig.drop(VM1, &tiny, DropReason::FragmentTiny);
    }
    // One that begins inside of the header (RFC 3128), before the first one and behind it.
    for round in 0..2 {
        for at in [8, 16] {
            for more in [true, false] {
                let inside = part(2, at, more, &shut[at..at + 24]);
                rig.drop(VM1, &inside, DropReason::FragmentTiny);
            }
        }
        if round == 0 {
            rig.forward(VM1, &part(2, 0, true, &open[..24]), VM2);
        }
    }
    rig.forward(VM1, &part(2, 24, true, &open[24..48]), VM2);
    rig.forward(VM1, &part(2, 48, false, &open[48..]), VM2);
}

#[test]
fn options_of_tcp_are_part_of_the_header() {
    let mut rig = guarded();
    let mut syn = segment(80);
    syn[12] = 0x80;
    rig.drop(VM1, &part(1, 0, true, &syn[..24]), DropReason::FragmentTiny);
    rig.forward(VM1, &part(2, 0, true, &syn[..32]), VM2);
    // It overlaps the options.
    let inside = part(2, 24, false, &syn[24..]);
    rig.drop(VM1, &inside, DropReason::FragmentOverlap);
    // Of a datagram whose parts overlap nothing more passes.
    rig.drop(
        VM1,
        &part(2, 32, false, &syn[32..]),
        DropReason::FragmentStray,
    );
}

#[test]
fn parts_that_overlap_or_come_twice_do_not_pass() {
    let mut rig = guarded();
    let (open, shut) = (segment(80), segment(22));
    let first = part(3, 0, true, &open[..40]);
    rig.forward(VM1, &first, VM2);
    // Twice, as it was: the datagram goes on.
    rig.drop(VM1, &first, DropReason::FragmentOverlap);
    let second = part(3, 40, true, &open[40..64]);
    rig.forward(VM1, &second, VM2);
    rig.drop(VM1, &second, DropReason::FragmentOverlap);
    rig.forward(VM1, &part(3, 64, false, &open[64..]), VM2);
    // All of it has passed: the identification may come again.
    rig.forward(VM1, &first, VM2);
    // Another header for the same datagram: neither it nor what follows passes.
    let other = part(3, 0, true, &shut[..48]);
    rig.drop(VM1, &other, DropReason::FragmentOverlap);
    rig.drop(VM1, &second, DropReason::FragmentStray);

    rig.forward(VM1, &part(4, 0, true, &open[..40]), VM2);
    rig.forward(VM1, &part(4, 48, true, &open[48..64]), VM2);
    let across = part(4, 40, true, &open[40..56]);
    rig.drop(VM1, &across, DropReason::FragmentOverlap);
    rig.drop(
        VM1,
        &part(4, 40, true, &open[40..48]),
        DropReason::FragmentStray,
    );

    // Behind the end.
    rig.forward(VM1, &part(5, 0, true, &open[..40]), VM2);
    rig.forward(VM1, &part(5, 40, false, &open[40..]), VM2);
    rig.drop(
        VM1,
        &part(5, 88, true, &[1; 8]),
        DropReason::FragmentOverlap,
    );
}

#[test]
fn datagrams_of_udp_keep_to_the_same() {
    let mut rig = Rig::new(world(1, &[]));
    let whole = udp("10.0.1.4:5000", "10.0.2.4:53", &[1; 100]);
    let parts = fragments(&whole, 9, 32);
    for part in &parts {
        assert_eq!(&rig.forward(VM0, part, VM2), part);
    }
    rig.forward(VM0, &fragments(&whole, 10, 32)[0], VM2);
    // The same identification with another port: a header that replaces the one that was judged.
    let other = udp("10.0.1.4:5000", "10.0.2.4:22", &[1; 100]);
    let other = &fragments(&other, 10, 40)[0];
    rig.drop(VM0, other, DropReason::FragmentOverlap);
}

#[test]
fn fragments_that_no_datagram_can_have_are_malformed() {
    let mut rig = Rig::new(world(1, &[]));
    let whole = udp("10.0.1.4:5000", "10.0.2.4:53", &[1; 100]);
    let first = &fragments(&whole, 9, 32)[0];
    rig.forward(VM0, first, VM2);
    for (flags, len) in [
        // Longer than a datagram can be: the ping of death.
        (0x1fff, 1400),
        (0x1ffe, 8),
        // Not cut at eight bytes, and empty.
        (0x2004, 13),
        (0x0004, 0),
        (0x2004, 0),
    ] {
        let bad = ipv4("10.0.1.4", "10.0.2.4", 17, 9, flags, &vec![1; len]);
        rig.drop(VM0, &bad, DropReason::Malformed);
    }
    let bad = ipv4("10.0.1.4", "10.0.2.4", 17, 8, 0x2000, &whole[20..41]);
    rig.drop(VM0, &bad, DropReason::Malformed);
}

/// A flood of one NIC does not push out what is followed for others.
#[test]
fn a_flood_of_first_fragments_takes_nothing_from_others() {
    let mut rig = Rig::new(world(1, &[]));
    let whole = udp("10.0.1.4:9", "10.0.2.4:9", &[0; 64]);
    let parts = fragments(&whole, 77, 32);
    rig.forward(VM0, &parts[0], VM2);
    let flood = udp("10.0.1.5:1", "10.0.2.4:9", &[0; 64]);
    for ident in 0..5_000u16 {
        rig.forward(VM1, &fragments(&flood, ident, 32)[0], VM2);
    }
    rig.forward(VM0, &parts[1], VM2);
}

/// Puts options into a packet without any.
fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut packet = [&packet[..20], options, &packet[20..]].concat();
    packet[0] += u8::try_from(options.len() / 4).unwrap();
    let len = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let header = 20 + options.len();
    let checksum = !slow_sum(&packet[..header]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

const LOOSE: [u8; 8] = [131, 7, 4, 10, 0, 1, 4, 0];
const STRICT: [u8; 8] = [137, 7, 4, 10, 0, 1, 4, 0];
const RECORD: [u8; 8] = [7, 7, 4, 0, 0, 0, 0, 0];
const STAMP: [u8; 8] = [68, 8, 5, 0, 0, 0, 0, 0];
const ALERT: [u8; 4] = [148, 4, 0, 0];

#[test]
fn no_source_route_passes_from_anywhere() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let to_service = tcp("10.0.1.4:5000", "52.239.0.10:443", SYN, 1, 0, &[]);
    let to_neighbour = udp("10.0.1.4:5000", "10.0.2.4:53", &[1; 64]);
    let inward = tcp("9.9.9.9:5000", "20.0.0.9:22", SYN, 1, 0, &[]);
    let ping = echo("10.0.1.4", "8.8.8.8", true, 7);
    // The last two are without the bit that has them copied into fragments.
    let ways = [
        &LOOSE[..],
        &STRICT,
        &[1, 1, 1, 1, 131, 3, 4, 0],
        &[3, 7, 4, 8, 8, 8, 8, 0],
        &[9, 3, 4, 0],
    ];
    for options in ways {
        for (port, packet) in [
            (VM0, &to_service),
            (VM0, &to_neighbour),
            (INET, &inward),
            (VM0, &ping),
        ] {
            rig.drop(
                port,
                &with_options(packet, options),
                DropReason::SourceRoute,
            );
        }
    }
    for options in [RECORD, STAMP] {
        rig.drop(
            VM0,
            &with_options(&to_service, &options),
            DropReason::IpOption,
        );
    }
    // What nobody knows may hide one in its body.
    let hidden = with_options(&to_service, &[94, 8, 131, 7, 4, 8, 8, 8]);
    rig.drop(VM0, &hidden, DropReason::IpOption);
    // Wrong lengths, and one behind the end.
    for options in [&[148, 9, 0, 0][..], &[0, 131, 7, 4, 8, 8, 8, 8]] {
        let lying = with_options(&to_service, options);
        rig.drop(VM0, &lying, DropReason::Malformed);
    }
    assert_eq!(rig.engine.flow_count(), 0);
    // To alert routers is nobody's way.
    let plain = ipv4("10.0.1.4", "10.0.2.4", 50, 1, 0, &[1; 64]);
    let alert = with_options(&plain, &ALERT);
    assert_eq!(rig.forward(VM0, &alert, VM2), alert);
}

#[test]
fn no_source_route_passes_in_a_live_flow_or_in_fragments() {
    let mut rig = Rig::new(world(1, &[]));
    let whole = udp("10.0.1.4:5000", "10.0.2.4:53", &[1; 64]);
    rig.forward(VM0, &whole, VM2);
    rig.drop(VM0, &with_options(&whole, &LOOSE), DropReason::SourceRoute);
    let parts = fragments(&whole, 5, 32);
    rig.drop(
        VM0,
        &with_options(&parts[0], &STRICT),
        DropReason::SourceRoute,
    );
    rig.forward(VM0, &parts[0], VM2);
    rig.drop(
        VM0,
        &with_options(&parts[1], &LOOSE),
        DropReason::SourceRoute,
    );
    rig.forward(VM0, &parts[1], VM2);
}

#[test]
fn an_error_does_not_bring_a_source_route_either() {
    let mut rig = Rig::new(world(1, &[]));
    let sent = rig.forward(VM0, &udp("10.0.1.4:5000", "8.8.8.8:53", b"q"), INET);
    let quoted = with_options(&sent, &LOOSE);
    let error = unreachable("8.8.8.8", "20.0.0.9", 3, &quoted, 60);
    rig.drop(INET, &error, DropReason::IcmpNoFlow);
    let error = unreachable("8.8.8.8", "20.0.0.9", 3, &sent, 60);
    rig.drop(INET, &with_options(&error, &LOOSE), DropReason::SourceRoute);
    rig.forward(INET, &error, VM0);
}
