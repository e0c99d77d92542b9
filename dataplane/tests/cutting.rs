//! Packets that are larger than their output: cut where they allow it (RFC 791).

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::policy::{Direction, Snapshot};
use postern_dataplane::stats::DropReason;
use postern_dataplane::wire::{GsoType, VnetHdr};
use proptest::prelude::*;

/// The world with NICs whose MTU is 9000; the outside takes 1500.
fn jumbo_world() -> Snapshot {
    let mut snapshot = world(1, &[]);
    for port in [VM0, VM1] {
        snapshot.ports[usize::from(port.0)].as_mut().unwrap().mtu = 9000;
    }
    snapshot
}

fn big(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

#[test]
fn packet_that_allows_fragments_is_cut_and_its_sum_is_right_at_the_receiver() {
    let mut rig = Rig::new(jumbo_world());
    let datagram = with_df(udp("10.0.1.4:9", "8.8.8.8:9", &big(4000)), false);
    // The first packet of a flow, and a later one.
    for _ in 0..2 {
        let parts = rig.cut(VM0, VnetHdr::default(), &datagram, INET);
        let lengths: Vec<_> = parts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1500, 1500, 4008 + 20 - 2 * 1480]);
        let whole = reassembled(&parts);
        assert_checksums(&whole);
        assert_eq!(ends(&whole), (addr("20.0.0.9:9"), addr("8.8.8.8:9")));
        assert_eq!(whole[28..], datagram[28..]);
    }
    assert_eq!(rig.engine.flow_count(), 1);
}

#[test]
fn partial_checksum_is_completed_before_the_cut() {
    let mut rig = Rig::new(jumbo_world());
    let datagram = with_df(udp("10.0.1.5:9", "8.8.8.8:9", &big(3001)), false);
    let (vnet, frame) = partial(&datagram, GsoType::None, 0);
    assert!(vnet.needs_csum);
    for _ in 0..2 {
        let parts = rig.cut(VM1, vnet, &frame, INET);
        let whole = reassembled(&parts);
        assert_ne!(whole[26..28], [0, 0]);
        assert_checksums(&whole);
        assert_eq!((source(&whole), &whole[28..]), (ip(POOL), &datagram[28..]));
    }
}

#[test]
fn tcp_segment_that_is_cut_still_moves_its_connection() {
    let mut rig = Rig::new(jumbo_world());
    let (client, server) = ("10.0.1.5:5000", "8.8.8.8:443");
    let syn = tcp(client, server, SYN, 100, 0, &[]);
    let public = ends(&rig.forward(VM1, &syn, INET)).0.to_string();
    rig.forward(INET, &tcp(server, &public, SYN | ACK, 500, 101, &[]), VM1);
    let segment = with_df(tcp(client, server, ACK, 101, 501, &big(2000)), false);
    let whole = reassembled(&rig.cut(VM1, VnetHdr::default(), &segment, INET));
    assert_checksums(&whole);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "established");
}

#[test]
fn fragment_that_is_too_large_is_cut_further() {
    let mut rig = Rig::new(jumbo_world());
    let datagram = udp("10.0.1.4:9", "8.8.8.8:9", &big(5000));
    let mut parts = vec![];
    for part in fragments(&datagram, 77, 2400) {
        if part.len() > 1500 {
            parts.extend(rig.cut(VM0, VnetHdr::default(), &part, INET));
        } else {
            parts.push(rig.forward(VM0, &part, INET));
        }
    }
    assert_eq!(parts.len(), 5);
    let whole = reassembled(&parts);
    assert_checksums(&whole);
    assert_eq!(whole[28..], datagram[28..]);
}

#[test]
fn super_frame_and_odd_offload_are_never_cut() {
    let mut rig = Rig::new(jumbo_world());
    let datagram = with_df(udp("10.0.1.4:9", "8.8.8.8:9", &big(3000)), false);
    let at = (VM0, Direction::Outbound, DropReason::TooBig);
    let (vnet, frame) = partial(&datagram, GsoType::UdpL4, 1473);
    rig.drop_at(VM0, vnet, &frame, at);
    let (vnet, frame) = partial(&datagram, GsoType::UdpL4, 1472);
    rig.forward_frame(VM0, vnet, &frame, INET);
    // A checksum that is to be put over a part of the datagram only.
    let (vnet, _) = partial(&datagram, GsoType::None, 0);
    rig.drop_at(VM0, vnet, &fragments(&datagram, 7, 2400)[0], at);
    assert_eq!(
        rig.made(),
        [],
        "fragments are allowed: nobody is told of an MTU"
    );
}

#[test]
fn error_that_is_too_large_is_cut_too() {
    let mut snapshot = world(1, &[]);
    snapshot.ports[usize::from(INET.0)].as_mut().unwrap().mtu = 9000;
    let mut rig = Rig::new(snapshot);
    let sent = udp("10.0.1.4:5000", "8.8.8.8:53", &big(1400));
    let seen = rig.forward(VM0, &sent, INET);
    let mut quote = seen.clone();
    quote.extend(big(400));
    let error = unreachable("203.0.113.1", "20.0.0.9", 3, &quote, 1800);
    let whole = reassembled(&rig.cut(INET, VnetHdr::default(), &error, VM0));
    assert_checksums(&whole);
    assert_eq!(destination(&whole), ip("10.0.1.4"));
    assert_eq!(whole[28..28 + sent.len()], sent);
}

proptest! {
    #[test]
    fn what_is_put_together_is_what_was_sent(
        payload in prop::collection::vec(any::<u8>(), 0..8000),
        mtu in 68u16..1600,
        is_partial: bool,
    ) {
        let mut snapshot = jumbo_world();
        snapshot.ports[usize::from(INET.0)].as_mut().unwrap().mtu = mtu;
        let mut rig = Rig::new(snapshot);
        let datagram = with_df(udp("10.0.1.4:9", "8.8.8.8:9", &payload), false);
        let (vnet, frame) = match is_partial {
            true => partial(&datagram, GsoType::None, 0),
            false => (VnetHdr::default(), datagram.clone()),
        };
        if datagram.len() <= usize::from(mtu) {
            rig.forward_frame(VM0, vnet, &frame, INET);
            return Ok(());
        }
        let parts = rig.cut(VM0, vnet, &frame, INET);
        prop_assert!(parts.iter().all(|part| part.len() <= usize::from(mtu)));
        let whole = reassembled(&parts);
        assert_checksums(&whole);
        prop_assert_eq!(&whole[28..], &datagram[28..]);
    }
}
