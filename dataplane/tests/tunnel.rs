//! Flows that a service gets over IPv6 with an identity: what it gets, bit for bit, and what is
//! counted (wire-identity reference, sections 3, 6, 7 and 8).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;

use common::Rig;
use common::packets::*;
use common::tunnel::*;
use common::world::*;
use postern_dataplane::engine::Emitted;
use postern_dataplane::policy::{CloseMode, Delivery, NextHop, Route, RouteTable, Snapshot};
use postern_dataplane::stats::DropReason;
use postern_dataplane::wire::{GsoType, VnetHdr};
use proptest::prelude::*;
use std::sync::Arc;

const GUEST_SYN: &str = "4500002c123440004006f9530a000104143c1005 \
                         c48801bb11223344000000006002faf063470000020405b4";
const ST6_SYN: &str = "6000000000180640 fd400000002a0007001a02740a000104 \
                       fd410001001a02a300000000143c1005 \
                       c48801bb11223344000000006002faf063470000020405b4";
const ST6_REPLY: &str = "6000000000180640 fd410001001a02a300000000143c1005 \
                         fd400000002a0007001a02740a000104 \
                         01bbc488a0b0c0d0112233456012fe88fe300000020405a0";
const GUEST_REPLY: &str = "4500002c0001000040064b87143c10050a000104 \
                           01bbc488a0b0c0d0112233456012fe88fe300000020405a0";

/// The world of the reference's vectors: storage at 20.60.16.5.
fn reference_world(mtu: u16) -> Snapshot {
    let mut snapshot = with_mtu(mtu);
    let storage = snapshot.services[&ip("52.239.0.10")];
    snapshot.services.insert(ip("20.60.16.5"), storage);
    snapshot
}

#[test]
fn packets_of_the_reference_cross_byte_for_byte() {
    let mut rig = Rig::new(reference_world(1520));
    let (_, sent) = rig.cross(VM0, VnetHdr::default(), &bytes(GUEST_SYN), SVC);
    assert_eq!(sent, bytes(ST6_SYN));
    let (_, back) = rig.cross(SVC, VnetHdr::default(), &bytes(ST6_REPLY), VM0);
    assert_eq!(back, bytes(GUEST_REPLY));
}

#[test]
fn segment_size_is_clamped_to_what_fits_the_device() {
    let mut rig = Rig::new(reference_world(1500));
    let (_, sent) = rig.cross(VM0, VnetHdr::default(), &bytes(GUEST_SYN), SVC);
    assert_eq!(sent[56..58], [0x63, 0x5b], "the reference's checksum");
    assert_eq!(sent[62..64], 1440u16.to_be_bytes());
    // 1440 already.
    let (_, back) = rig.cross(SVC, VnetHdr::default(), &bytes(ST6_REPLY), VM0);
    assert_eq!(back, bytes(GUEST_REPLY));

    let mut rig = Rig::new(reference_world(1400));
    // A partial checksum does not cover the option.
    let (vnet, partial) = partial(&bytes(GUEST_SYN), GsoType::None, 0);
    assert_eq!(partial[36..38], [0x2f, 0x63], "the reference's partial sum");
    let (_, sent) = rig.cross(VM0, vnet, &partial, SVC);
    assert_eq!(sent[56..58], [0x2f, 0x63]);
    assert_eq!(sent[62..64], 1340u16.to_be_bytes());
    let (_, back) = rig.cross(SVC, VnetHdr::default(), &bytes(ST6_REPLY), VM0);
    assert_eq!(back[42..44], 1340u16.to_be_bytes());
}

#[test]
fn identification_fragment_marks_options_and_dscp_are_not_carried() {
    let mut rig = connected(tunnel_world(1));
    let segment = tcp(CA, VIP, ACK, 101, 501, b"data")[20..].to_vec();
    // Three no-operations and an end of options; DSCP 46 and ECN "capable"; TTL 17.
    let mut packet = vec![0x46, 0xba];
    packet.extend(u16::try_from(24 + segment.len()).unwrap().to_be_bytes());
    packet.extend([0x77, 0x77, 0x40, 0, 17, 6, 0, 0]);
    packet.extend(source(&tcp(CA, VIP, ACK, 1, 1, &[])).octets());
    packet.extend(destination(&tcp(CA, VIP, ACK, 1, 1, &[])).octets());
    packet.extend([1, 1, 1, 0]);
    let checksum = !slow_sum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(&segment);

    let (_, sent) = rig.cross(VM0, VnetHdr::default(), &packet, SVC);
    let len = u16::try_from(segment.len()).unwrap().to_be_bytes();
    assert_eq!(sent[..8], [0x60, 0x20, 0, 0, len[0], len[1], 6, 17]);
    assert_eq!(sent[40..], segment);

    let mut answer = tcp6(SERVICE, CLIENT, ACK, 501, 105, b"answer");
    answer[0] = 0x6b;
    answer[1] = 0xb0 | 0x0f;
    answer[7] = 18;
    let (_, back) = rig.cross(SVC, VnetHdr::default(), &answer, VM0);
    let len = u16::try_from(back.len()).unwrap().to_be_bytes();
    assert_eq!(
        back[..10],
        [0x45, 0x03, len[0], len[1], 0, 1, 0, 0, 18, 6],
        "ECN stays, identification 1, no flags"
    );
}

#[test]
fn two_networks_with_equal_addresses_and_ports_stay_two_connections() {
    let mut rig = connected(tunnel_world(1));
    let syn = tcp(CA, VIP, SYN, 900, 0, &[]);
    let (_, sent) = rig.cross(FAR, VnetHdr::default(), &syn, SVC);
    assert_eq!(ends6(&sent), (v6(FAR_CLIENT), v6(SERVICE)));
    for (client, port) in [(CLIENT, VM0), (FAR_CLIENT, FAR), (CLIENT, VM0)] {
        let answer = tcp6(SERVICE, client, ACK, 501, 101, client.as_bytes());
        let (_, back) = rig.cross(SVC, VnetHdr::default(), &answer, port);
        assert_eq!(&back[40..], client.as_bytes());
        assert_eq!(ends(&back), (addr(VIP), addr(CA)));
    }
    assert_eq!(rig.engine.flow_count(), 2);
}

#[test]
fn only_the_endpoint_leads_over_ipv6() {
    let mut rig = Rig::new(tunnel_world(1));
    // VM2's subnet has no endpoint, and what comes from the Internet has no identity.
    let sent = rig.forward(VM2, &tcp("10.0.2.4:5000", VIP, SYN, 1, 0, &[]), SVC);
    assert_eq!(source(&sent), ip(POOL));
    rig.forward(INET, &tcp("9.9.9.9:5000", VIP, SYN, 1, 0, &[]), SVC);
    // An endpoint carries TCP alone.
    let sent = rig.forward(VM0, &udp(CA, VIP, b"quic"), SVC);
    assert_eq!(source(&sent), ip("20.0.0.9"));
}

#[test]
fn identities_from_anywhere_but_a_service_are_forged() {
    let mut rig = connected(tunnel_world(1));
    let answer = tcp6(SERVICE, CLIENT, ACK, 501, 101, b"data");
    let request = tcp6(CLIENT, SERVICE, SYN, 1, 0, &[]);
    for port in [VM0, VM1, FAR, INET] {
        for packet in [
            &request,
            &answer,
            &ipv6("fd40::1", "2001:db8::1", 58, &[128, 0, 0, 0]),
            &ipv6("2001:db8::1", "fd41::1", 17, &[0; 8]),
        ] {
            rig.drop(port, packet, DropReason::ForgedIdentity);
        }
        rig.drop(
            port,
            &ipv6("fe80::1", "ff02::2", 58, &[133, 0, 0, 0]),
            DropReason::Ipv6,
        );
        rig.drop(
            port,
            &ipv6("fd42::1", "fd3f::1", 6, &[0; 20]),
            DropReason::Ipv6,
        );
    }
    rig.drop(
        SVC,
        &ipv6("fe80::1", "ff02::2", 58, &[133, 0, 0, 0]),
        DropReason::Ipv6,
    );
    rig.drop(VM0, &[0x60; 39], DropReason::Ipv6);
    // Other tunnels are no protocols that are carried; what is in UDP is payload.
    rig.drop(
        VM0,
        &ipv4("10.0.1.4", "52.239.0.10", 47, 1, 0, &[0; 64]),
        DropReason::Encapsulated,
    );
    rig.drop(
        VM0,
        &ipv4("10.0.1.4", "52.239.0.10", 4, 1, 0, &answer),
        DropReason::Encapsulated,
    );
    rig.drop(
        VM0,
        &ipv4("10.0.1.4", "52.239.0.10", 41, 1, 0, &answer),
        DropReason::Encapsulated,
    );
    let vxlan = udp("10.0.1.4:4789", "52.239.0.10:4789", &request);
    assert_eq!(rig.forward(VM0, &vxlan, SVC)[28..], request);
}

#[test]
fn answers_without_a_flow_are_dropped_without_a_word() {
    let mut rig = connected(tunnel_world(1));
    let drop = |rig: &mut Rig, from: &str, to: &str, reason| {
        for flags in [SYN, SYN | ACK, ACK, RST] {
            rig.drop(SVC, &tcp6(from, to, flags, 501, 101, &[]), reason);
        }
    };
    let other_port = "[fd40:0:2a:7:1a:274:a00:104]:50313";
    drop(&mut rig, SERVICE, other_port, DropReason::StNoFlow);
    drop(
        &mut rig,
        SERVICE,
        "[fd40:0:2a:7:1a:274:a00:105]:50312",
        DropReason::StNoFlow,
    );
    drop(
        &mut rig,
        "[fd41:1:1a:2a3::34ef:b]:443",
        CLIENT,
        DropReason::StNoFlow,
    );
    // The flow is another network's, another subnet's, or with another service's code.
    drop(&mut rig, SERVICE, FAR_CLIENT, DropReason::StAddrMismatch);
    drop(
        &mut rig,
        SERVICE,
        "[fd40:0:2a:8:1a:273:a00:104]:50312",
        DropReason::StAddrMismatch,
    );
    drop(
        &mut rig,
        "[fd41:2:1a:2a2::34ef:a]:443",
        CLIENT,
        DropReason::StAddrMismatch,
    );
    for (from, to) in [
        ("[fd41:1:1a:2a4::34ef:a]:443", CLIENT),
        (SERVICE, "[fd40:0:2a:7:1a:275:a00:104]:50312"),
        (CLIENT, SERVICE),
        ("[2001:db8::1]:443", CLIENT),
        (SERVICE, "[2001:db8::1]:443"),
        ("[fd41:0:1a:2a4::34ef:a]:443", CLIENT),
    ] {
        drop(&mut rig, from, to, DropReason::BadIdentity);
    }
    assert_eq!(rig.made(), []);
    // What it may not send over IPv6 at all.
    let (service, client) = ("fd41:1:1a:2a3::34ef:a", "fd40:0:2a:7:1a:274:a00:104");
    rig.drop(
        SVC,
        &ipv6(service, client, 17, &[0; 8]),
        DropReason::ProtocolUnsupported,
    );
    rig.drop(
        SVC,
        &ipv6(service, client, 44, &[6; 28]),
        DropReason::StFragment,
    );
    rig.drop(
        SVC,
        &ipv6(service, client, 6, &[0; 19]),
        DropReason::Malformed,
    );
    // Over IPv4 the flow does not exist.
    rig.drop(
        SVC,
        &tcp(VIP, CA, ACK, 501, 101, &[]),
        DropReason::ServiceInitiated,
    );
    // And the connection is as it was.
    let answer = tcp6(SERVICE, CLIENT, ACK, 501, 101, b"data");
    rig.cross(SVC, VnetHdr::default(), &answer, VM0);
}

#[test]
fn a_service_does_not_open_its_flow_again() {
    let mut rig = connected(tunnel_world(1));
    let reset = tcp(CA, VIP, RST, 101, 0, &[]);
    rig.cross(VM0, VnetHdr::default(), &reset, SVC);
    let syn = tcp6(SERVICE, CLIENT, SYN, 900, 0, &[]);
    rig.drop(SVC, &syn, DropReason::StNoFlow);
    assert_eq!(rig.engine.flow_count(), 1, "it rests");
    rig.cross(
        VM0,
        VnetHdr::default(),
        &tcp(CA, VIP, SYN, 2_000, 0, &[]),
        SVC,
    );
    assert_eq!(rig.engine.flow_count(), 1);
}

#[test]
fn fragments_are_not_transposed() {
    let mut rig = connected(tunnel_world(1));
    for part in fragments(&tcp(CA, VIP, ACK, 101, 501, &[7; 400]), 9, 64) {
        rig.drop(VM0, &part, DropReason::StFragment);
    }
    for part in fragments(&tcp("10.0.1.4:1", VIP, SYN, 101, 0, &[7; 400]), 9, 64) {
        rig.drop(VM0, &part, DropReason::StFragment);
    }
    // Another way there, or another protocol, is not this one's to refuse.
    let stray = &fragments(&udp(CA, VIP, &[7; 400]), 9, 64)[1];
    rig.drop(VM0, stray, DropReason::FragmentStray);
    let stray = &fragments(&tcp("10.0.2.4:1", VIP, SYN, 1, 0, &[7; 400]), 9, 64)[1];
    rig.drop(VM2, stray, DropReason::FragmentStray);
    assert_eq!(rig.engine.flow_count(), 1);
}

#[test]
fn switching_the_endpoint_resets_both_sides_over_what_each_speaks() {
    let mut rig = connected(tunnel_world(1));
    let report = rig.apply(Snapshot {
        epoch: postern_dataplane::policy::Epoch(2),
        ..tunnel_world(1)
    });
    assert_eq!((report.kept, report.closed), (1, 0));
    let mut off = world(3, &[]);
    off.services = tunnel_world(1).services;
    let report = rig.apply(off);
    assert_eq!((report.kept, report.closed), (0, 1));

    let made = rig.made();
    let [to_guest, to_service] = &made[..] else {
        panic!("two resets, not {made:?}");
    };
    assert_eq!(to_guest.port, VM0);
    assert_eq!(ends(&to_guest.packet), (addr(VIP), addr(CA)));
    assert_eq!(tcp_flags(&to_guest.packet), RST | ACK);
    assert_eq!(tcp_seq_ack(&to_guest.packet), (501, 101));
    assert_eq!(to_service.port, SVC);
    assert_eq!(ends6(&to_service.packet), (v6(CLIENT), v6(SERVICE)));
    assert_eq!(to_service.packet[53], RST | ACK);
    assert_eq!(to_service.packet[44..52], [0, 0, 0, 101, 0, 0, 1, 0xf5]);

    // Late segments, of either side.
    rig.drop(
        SVC,
        &tcp6(SERVICE, CLIENT, ACK, 501, 101, b"late"),
        DropReason::FlowClosed,
    );
    let [Emitted { port, packet }] = &rig.made()[..] else {
        panic!("one reset");
    };
    assert_eq!((*port, ends6(packet)), (SVC, (v6(CLIENT), v6(SERVICE))));
    assert_eq!((packet[53], &packet[44..48]), (RST, &[0, 0, 0, 101][..]));
    rig.drop(
        VM0,
        &tcp(CA, VIP, ACK, 101, 501, b"late"),
        DropReason::FlowClosed,
    );
    assert_eq!(ends(&rig.made()[0].packet), (addr(VIP), addr(CA)));
    rig.drop(
        SVC,
        &tcp6(SERVICE, CLIENT, SYN, 1, 0, &[]),
        DropReason::StNoFlow,
    );
    // Nothing is left once the rest is over.
    rig.pass_time(31_000);
    rig.drop(
        SVC,
        &tcp6(SERVICE, CLIENT, ACK, 501, 101, &[]),
        DropReason::StNoFlow,
    );
    assert_eq!(rig.made(), []);
}

#[test]
fn a_change_of_delivery_or_identity_ends_the_connection() {
    let mut native = tunnel_world(2);
    native
        .services
        .get_mut(&ip("52.239.0.10"))
        .unwrap()
        .delivery = Delivery::Native;
    let mut renewed = tunnel_world(2);
    renewed.subnets[0].identity = identity(42, 9);
    let mut routed = tunnel_world(2);
    let to_internet = Route::new(net("52.239.0.10/32"), NextHop::Internet);
    routed.subnets[0].rivals = Arc::new(RouteTable::new(vec![to_internet]));
    for (after, is_over) in [
        (native, true),
        (renewed, true),
        (routed, true),
        (tunnel_world(2), false),
    ] {
        let mut rig = connected(tunnel_world(1));
        let report = rig.apply(after);
        assert_eq!(report.closed, u64::from(is_over));
        assert_eq!(rig.made().len(), if is_over { 2 } else { 0 });
    }
    let mut silent = tunnel_world(2);
    silent.settings.close_mode = CloseMode::Silent;
    silent.subnets[0].identity = identity(42, 9);
    let mut rig = connected(tunnel_world(1));
    rig.apply(silent);
    // By a packet of the service, before any sweep.
    rig.drop(
        SVC,
        &tcp6(SERVICE, CLIENT, ACK, 501, 101, &[]),
        DropReason::FlowClosed,
    );
    assert_eq!(rig.made(), []);
}

/// Any TCP segment of a connection that is open, in a header of any looks.
fn segment() -> impl Strategy<Value = (Vec<u8>, u8, u8, Option<u16>)> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    let flags = prop::sample::select(vec![0x10u8, 0x18, 0x50, 0xd8]);
    let wrong = prop::option::of(prop_oneof![Just(0u16), Just(0xffff), any::<u16>()]);
    (payload, flags, any::<u8>(), any::<u8>(), wrong).prop_map(
        |(payload, flags, tos, ttl, wrong)| {
            let mut packet = tcp(CA, VIP, ACK, 101, 501, &payload);
            packet[33] = flags;
            (packet, tos, ttl, wrong)
        },
    )
}

/// Puts the TCP checksum of a packet right.
fn put_checksum(packet: &mut [u8]) {
    let at = if packet[0] >> 4 == 6 { 40 } else { 20 };
    packet[at + 16..at + 18].fill(0);
    let checksum = !slow_sum(&[&pseudo(packet), &packet[at..]].concat());
    packet[at + 16..at + 18].copy_from_slice(&checksum.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_segment_crosses_untouched_and_its_checksum_is_right_on_both_sides(
        (mut packet, tos, ttl, wrong) in segment(), vnet_key in 1u32..=0xff_fffe,
        subnet_key in 1u16.., region: u16,
    ) {
        let mut snapshot = tunnel_world(1);
        let identity = postern_dataplane::identity::Identity {
            region,
            ..identity(vnet_key, subnet_key)
        };
        snapshot.subnets[0].identity = identity;
        let mut engine = common::nat::roomy_for(snapshot, 16);
        let syn = tcp(CA, VIP, SYN, 100, 0, &[]);
        common::through(&mut engine, VM0, &syn, SVC);

        packet[1] = tos;
        packet[8] = ttl;
        packet[10..12].fill(0);
        let checksum = !slow_sum(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        put_checksum(&mut packet);
        if let Some(wrong) = wrong {
            packet[36..38].copy_from_slice(&wrong.to_be_bytes());
        }
        let sent = common::through(&mut engine, VM0, &packet, SVC);
        prop_assert_eq!(&sent[40..], &packet[20..]);
        prop_assert_eq!((sent[1] >> 4, sent[7]), (tos & 3, ttl));
        let mut right = sent.clone();
        put_checksum(&mut right);
        prop_assert!(wrong.is_some() || right == sent);

        // The same segment as the service would send it.
        let mut answer = sent.clone();
        let (ports, sequence) = ([&sent[42..44], &sent[40..42]].concat(), [0, 0, 1, 0xf5]);
        answer[8..24].copy_from_slice(&sent[24..40]);
        answer[24..40].copy_from_slice(&sent[8..24]);
        answer[40..44].copy_from_slice(&ports);
        answer[44..48].copy_from_slice(&sequence);
        if wrong.is_none() {
            put_checksum(&mut answer);
        }
        let back = common::through(&mut engine, SVC, &answer, VM0);
        prop_assert_eq!(&back[20..], &answer[40..]);
        prop_assert_eq!(slow_sum(&back[..20]), 0xffff);
        let mut right = back.clone();
        put_checksum(&mut right);
        prop_assert!(wrong.is_some() || right == back);
    }
}
