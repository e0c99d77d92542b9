//! Sizes and errors of flows that a service gets over IPv6: super-frames, packets that do not fit,
//! and what ICMPv6 says of them (wire-identity reference, sections 3 and 7).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use common::packets::*;
use common::tunnel::*;
use common::world::*;
use postern_dataplane::engine::Emitted;
use postern_dataplane::policy::Direction;
use postern_dataplane::stats::DropReason;
use postern_dataplane::wire::{GsoType, VnetHdr};

#[test]
fn a_packet_that_does_not_fit_is_told_of_in_the_guest_s_terms() {
    let mut rig = connected(with_mtu(1400));
    let fits = tcp(CA, VIP, ACK, 101, 501, &[7; 1340]);
    let (_, sent) = rig.cross(VM0, VnetHdr::default(), &fits, SVC);
    assert_eq!(sent.len(), 1400);
    for df in [false, true] {
        let large = with_df(tcp(CA, VIP, ACK, 101, 501, &[7; 1341]), df);
        rig.drop(VM0, &large, DropReason::TooBig);
        let made = rig.made();
        let [Emitted { port, packet }] = &made[..] else {
            panic!("one error, not {made:?}");
        };
        assert_eq!((*port, source(packet)), (VM0, ip("52.239.0.10")));
        assert_eq!(packet[20..22], [3, 4]);
        assert_eq!(packet[26..28], 1380u16.to_be_bytes());
        assert_eq!(packet[28..48], large[..20]);
    }
}

#[test]
fn a_service_is_told_what_a_guest_takes() {
    let mut snapshot = tunnel_world(1);
    snapshot.ports[usize::from(VM0.0)].as_mut().unwrap().mtu = 1400;
    let mut rig = connected(snapshot);
    let fits = tcp6(SERVICE, CLIENT, ACK, 501, 101, &[7; 1360]);
    rig.cross(SVC, VnetHdr::default(), &fits, VM0);
    let large = tcp6(SERVICE, CLIENT, ACK, 501, 101, &[7; 1361]);
    rig.drop(SVC, &large, DropReason::TooBig);
    let made = rig.made();
    let [Emitted { port, packet }] = &made[..] else {
        panic!("one error, not {made:?}");
    };
    assert_eq!(*port, SVC);
    assert_eq!(packet[6], 58);
    assert_eq!(packet[40..42], [2, 0]);
    assert_eq!(packet[44..48], 1420u32.to_be_bytes());
    assert_eq!(packet[48..], large[..1232]);
    assert_eq!(packet.len(), 1280);
}

/// The segments of a super-frame, cut by plain code: none of the dataplane's.
fn segments(whole: &[u8], header_len: usize, size: usize) -> Vec<Vec<u8>> {
    let is_v6 = whole[0] >> 4 == 6;
    let ip_len = if is_v6 { 40 } else { 20 };
    let payload = &whole[header_len..];
    let count = payload.len().div_ceil(size);
    let cut = |(at, part): (usize, &[u8])| {
        let mut packet = [&whole[..header_len], part].concat();
        let len = u16::try_from(packet.len()).unwrap();
        if is_v6 {
            packet[4..6].copy_from_slice(&(len - 40).to_be_bytes());
        } else {
            packet[2..4].copy_from_slice(&len.to_be_bytes());
            packet[10..12].fill(0);
            let checksum = !slow_sum(&packet[..20]);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        let seq = u32::from_be_bytes(packet[ip_len + 4..ip_len + 8].try_into().unwrap());
        let seq = seq + u32::try_from(at * size).unwrap();
        packet[ip_len + 4..ip_len + 8].copy_from_slice(&seq.to_be_bytes());
        if at + 1 < count {
            packet[ip_len + 13] &= !0x09;
        }
        packet[ip_len + 16..ip_len + 18].fill(0);
        let sum = pseudo(&packet);
        let checksum = !slow_sum(&[&sum, &packet[ip_len..]].concat());
        packet[ip_len + 16..ip_len + 18].copy_from_slice(&checksum.to_be_bytes());
        packet
    };
    payload.chunks(size).enumerate().map(cut).collect()
}

#[test]
fn a_super_frame_is_its_segments() {
    let payload: Vec<u8> = (0..40_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let whole = with_df(tcp(CA, VIP, ACK | 0x08, 101, 501, &payload), true);
    let mut rig = connected(tunnel_world(1));
    let (vnet, frame) = partial(&whole, GsoType::TcpV4, 1400);
    let vnet = VnetHdr {
        gso_ecn: true,
        ..vnet
    };
    let (after, sent) = rig.cross(VM0, vnet, &frame, SVC);
    let expected = VnetHdr {
        gso_type: GsoType::TcpV6,
        hdr_len: 60,
        csum_start: 40,
        ..vnet
    };
    assert_eq!(after, expected, "uncut, its ECN mark kept");
    assert_eq!(
        sent[40..],
        frame[20..],
        "the segment untouched, its partial sum too"
    );
    let one_by_one: Vec<_> = segments(&whole, 40, 1400)
        .iter()
        .map(|packet| rig.cross(VM0, VnetHdr::default(), packet, SVC).1)
        .collect();
    assert_eq!(segments(&sent, 60, 1400), one_by_one);

    // Back.
    let whole = tcp6(SERVICE, CLIENT, ACK | 0x08, 501, 101, &payload);
    let mut frame = whole.clone();
    let sum = slow_sum(&pseudo(&whole));
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    let vnet = VnetHdr {
        needs_csum: true,
        gso_type: GsoType::TcpV6,
        gso_ecn: false,
        hdr_len: 0,
        gso_size: 1400,
        csum_start: 40,
        csum_offset: 16,
    };
    let (after, sent) = rig.cross(SVC, vnet, &frame, VM0);
    let expected = VnetHdr {
        gso_type: GsoType::TcpV4,
        csum_start: 20,
        ..vnet
    };
    assert_eq!(after, expected, "no length of headers where there was none");
    let one_by_one: Vec<_> = segments(&whole, 60, 1400)
        .iter()
        .map(|packet| rig.cross(SVC, VnetHdr::default(), packet, VM0).1)
        .collect();
    assert_eq!(segments(&sent, 40, 1400), one_by_one);
}

#[test]
fn segments_that_do_not_fit_are_made_smaller() {
    let mut rig = connected(with_mtu(1400));
    let whole = with_df(tcp(CA, VIP, ACK, 101, 501, &[7; 10_000]), true);
    let (vnet, frame) = partial(&whole, GsoType::TcpV4, 1460);
    let (after, sent) = rig.cross(VM0, vnet, &frame, SVC);
    assert_eq!(after.gso_size, 1340, "MTU less both headers");
    assert!(
        segments(&sent, 60, 1340)
            .iter()
            .all(|packet| packet.len() <= 1400)
    );
    // A kind of super-frame that is not the packet's.
    let wrong = VnetHdr {
        gso_type: GsoType::TcpV6,
        ..vnet
    };
    let place = (VM0, Direction::Outbound, DropReason::BadOffload);
    rig.drop_at(VM0, wrong, &frame, place);
    let answer = tcp6(SERVICE, CLIENT, ACK, 501, 101, b"data");
    let place = (SVC, Direction::Inbound, DropReason::BadOffload);
    rig.drop_at(SVC, vnet, &answer, place);
}

#[test]
fn errors_of_a_service_reach_the_guest_as_its_own() {
    let mut rig = connected(tunnel_world(1));
    let sent = tcp(CA, VIP, ACK, 101, 501, b"data");
    let (_, delivered) = rig.cross(VM0, VnetHdr::default(), &sent, SVC);
    for (kind, code, word, expected) in [
        (2, 0, 1280, [3, 4, 0, 0, 0x04, 0xec]),
        (2, 0, 10, [3, 4, 0, 0, 0, 0]),
        (1, 4, 0, [3, 3, 0, 0, 0, 0]),
        (1, 0, 0, [3, 1, 0, 0, 0, 0]),
        (1, 1, 0, [3, 1, 0, 0, 0, 0]),
        (3, 1, 0, [11, 1, 0, 0, 0, 0]),
    ] {
        for quote in [48, 1000] {
            let error = error6(kind, code, word, &delivered, quote);
            let (_, back) = rig.cross(SVC, VnetHdr::default(), &error, VM0);
            assert_eq!(
                (source(&back), destination(&back)),
                (ip("52.239.0.10"), ip("10.0.1.4"))
            );
            assert_eq!([&back[20..22], &back[24..28]].concat(), expected);
            let quoted = &back[28..];
            assert_eq!(slow_sum(&quoted[..20]), 0xffff);
            assert_eq!(ends(quoted), (addr(CA), addr(VIP)));
            assert_eq!(
                quoted[2..4],
                sent[2..4],
                "the length of the packet that was sent"
            );
            assert_eq!(quoted[20..], sent[20..sent.len().min(20 + quote - 40)]);
        }
    }
}

#[test]
fn errors_without_a_right_quote_are_dropped() {
    let mut rig = connected(tunnel_world(1));
    let sent = tcp(CA, VIP, ACK, 101, 501, b"data");
    let (_, delivered) = rig.cross(VM0, VnetHdr::default(), &sent, SVC);
    for (kind, code) in [(4, 0), (128, 0), (135, 0)] {
        let other = error6(kind, code, 0, &delivered, 1000);
        rig.drop(SVC, &other, DropReason::IcmpUnsupported);
    }
    let unreachable = |about: &[u8], quote| error6(1, 4, 0, about, quote);
    for quote in [0, 39, 40, 47] {
        rig.drop(SVC, &unreachable(&delivered, quote), DropReason::IcmpNoFlow);
    }
    let other = tcp6("[fd40:0:2a:7:1a:274:a00:104]:1", SERVICE, ACK, 1, 1, &[]);
    rig.drop(SVC, &unreachable(&other, 1000), DropReason::IcmpNoFlow);
    let swapped = tcp6(SERVICE, CLIENT, ACK, 1, 1, &[]);
    rig.drop(SVC, &unreachable(&swapped, 1000), DropReason::IcmpNoFlow);
    let mut damaged = unreachable(&delivered, 1000);
    damaged[100] ^= 1;
    rig.drop(SVC, &damaged, DropReason::IcmpChecksum);
    // A guest's errors about what the service sent end here.
    let answer = tcp6(SERVICE, CLIENT, ACK, 501, 105, b"answer");
    let (_, got) = rig.cross(SVC, VnetHdr::default(), &answer, VM0);
    let error = common::packets::unreachable("10.0.1.4", "52.239.0.10", 3, &got, 28);
    rig.drop(VM0, &error, DropReason::IcmpUnsupported);
}
