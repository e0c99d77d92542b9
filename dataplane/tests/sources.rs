//! Which source a flow gets, and that the reply finds its way back: reference sections 2, 3 and 9.

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{EngineConfig, Frame, Verdict};
use postern_dataplane::policy::{
    Direction, PortId, PublicAddress, PublicSource, SharedSource, SourceId,
};
use postern_dataplane::stats::DropReason;
use postern_dataplane::time::Now;
use postern_dataplane::wire::{GsoType, VnetHdr};
use std::collections::HashSet;

#[test]
fn service_sees_the_public_source_without_an_endpoint_and_the_private_one_with_it() {
    let mut rig = Rig::new(world(1, &[]));
    let syn = tcp("10.0.1.4:5000", "52.239.0.10:443", SYN, 1, 0, &[]);
    let seen = rig.forward(VM0, &syn, SVC);
    assert_eq!(
        ends(&seen),
        (addr("20.0.0.9:5000"), addr("52.239.0.10:443"))
    );
    assert_parses(&seen);
    let answer = tcp("52.239.0.10:443", "20.0.0.9:5000", SYN | ACK, 9, 2, &[]);
    let back = rig.forward(SVC, &answer, VM0);
    assert_eq!(
        ends(&back),
        (addr("52.239.0.10:443"), addr("10.0.1.4:5000"))
    );

    let mut rig = Rig::new(world(1, &[STORAGE]));
    let seen = rig.forward(VM0, &syn, SVC);
    assert_eq!(seen, syn, "an endpoint changes nothing in the packet");
    let answer = tcp("52.239.0.10:443", "10.0.1.4:5000", SYN | ACK, 9, 2, &[]);
    assert_eq!(rig.forward(SVC, &answer, VM0), answer);
}

#[test]
fn only_tcp_rides_the_endpoint() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let datagram = udp("10.0.1.4:5000", "52.239.0.10:443", b"quic");
    assert_eq!(source(&rig.forward(VM0, &datagram, SVC)), ip("20.0.0.9"));
    let ping = echo("10.0.1.4", "52.239.0.10", true, 77);
    assert_eq!(source(&rig.forward(VM0, &ping, SVC)), ip("20.0.0.9"));
    let pong = echo("52.239.0.10", "20.0.0.9", false, 77);
    assert_eq!(destination(&rig.forward(SVC, &pong, VM0)), ip("10.0.1.4"));
}

#[test]
fn sibling_subnet_and_other_service_keep_the_public_source() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let sibling = tcp("10.0.2.4:5000", "52.239.0.10:443", SYN, 1, 0, &[]);
    assert_eq!(source(&rig.forward(VM2, &sibling, SVC)), ip(POOL));
    let other = tcp("10.0.1.4:5000", "40.79.0.10:1433", SYN, 1, 0, &[]);
    assert_eq!(source(&rig.forward(VM0, &other, SVC)), ip("20.0.0.9"));
}

#[test]
fn endpoint_prefix_without_a_service_is_not_sent_to_the_internet_with_a_private_source() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let syn = tcp("10.0.1.4:5000", "52.239.9.9:443", SYN, 1, 0, &[]);
    rig.drop(VM0, &syn, DropReason::NoSuchService);
    let mut rig = Rig::new(world(1, &[]));
    assert_eq!(source(&rig.forward(VM0, &syn, INET)), ip("20.0.0.9"));
}

#[test]
fn shared_source_gives_each_flow_to_one_destination_its_own_port() {
    let mut rig = Rig::new(world(1, &[]));
    let mut seen = HashSet::new();
    for port in 1000..2000 {
        for (vm, address) in [(VM1, "10.0.1.5"), (VM2, "10.0.2.4"), (FAR, "10.0.1.4")] {
            let from = format!("{address}:{port}");
            let sent = rig.forward(vm, &udp(&from, "8.8.8.8:53", b"q"), INET);
            let (public, to) = ends(&sent);
            assert_eq!((*public.ip(), to), (ip(POOL), addr("8.8.8.8:53")));
            assert!(public.port() >= 1024 && seen.insert(public.port()));
            let reply = udp("8.8.8.8:53", &public.to_string(), b"r");
            assert_eq!(ends(&rig.forward(INET, &reply, vm)).1, addr(&from));
        }
    }
    assert_eq!(rig.engine.snat()[0].udp, 3000);
}

#[test]
fn equal_addresses_in_two_networks_never_meet() {
    let mut rig = Rig::new(world(1, &[]));
    let syn = tcp("10.0.1.4:5000", "8.8.8.8:443", SYN, 1, 0, &[]);
    let near = ends(&rig.forward(VM0, &syn, INET)).0;
    let far = ends(&rig.forward(FAR, &syn, INET)).0;
    assert_ne!(near, far);
    let answer = |to: String| tcp("8.8.8.8:443", &to, SYN | ACK, 9, 2, &[]);
    assert_eq!(
        ends(&rig.forward(INET, &answer(near.to_string()), VM0)).1,
        addr("10.0.1.4:5000")
    );
    assert_eq!(
        ends(&rig.forward(INET, &answer(far.to_string()), FAR)).1,
        addr("10.0.1.4:5000")
    );
}

#[test]
fn shared_source_without_icmp_and_fragments_drops_them() {
    let mut rig = Rig::new(world(1, &[]));
    rig.drop(
        VM1,
        &echo("10.0.1.5", "8.8.8.8", true, 7),
        DropReason::NotTranslatable,
    );
    let datagram = udp("10.0.1.5:9", "8.8.8.8:9", &[1; 64]);
    let parts = fragments(&datagram, 5, 32);
    rig.drop(VM1, &parts[0], DropReason::NotTranslatable);
    rig.drop(VM1, &parts[1], DropReason::FragmentStray);
}

#[test]
fn shared_source_with_icmp_translates_the_identifier() {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].icmp = true;
    let mut rig = Rig::new(snapshot);
    let mut seen = HashSet::new();
    for (vm, address) in [(VM1, "10.0.1.5"), (VM2, "10.0.2.4")] {
        let sent = rig.forward(vm, &echo(address, "8.8.8.8", true, 7), INET);
        let ident = u16::from_be_bytes([sent[24], sent[25]]);
        assert!(seen.insert(ident));
        let back = rig.forward(INET, &echo("8.8.8.8", POOL, false, ident), vm);
        assert_eq!(
            (destination(&back), [back[24], back[25]]),
            (ip(address), [0, 7])
        );
    }
}

#[test]
fn private_subnet_reaches_the_service_but_not_the_internet() {
    let mut snapshot = world(1, &[STORAGE]);
    nic_mut(&mut snapshot, VM1).public = PublicSource::None;
    let mut rig = Rig::new(snapshot);
    rig.drop(
        VM1,
        &tcp("10.0.1.5:5000", "8.8.8.8:443", SYN, 1, 0, &[]),
        DropReason::NoPublicSource,
    );
    rig.forward(
        VM1,
        &tcp("10.0.1.5:5000", "52.239.0.10:443", SYN, 1, 0, &[]),
        SVC,
    );
}

#[test]
fn second_public_address_serves_when_the_first_is_exhausted() {
    let mut snapshot = world(1, &[]);
    snapshot.sources[0].addresses = vec![ip(POOL), ip("20.200.0.2")];
    let mut rig = Rig::with(
        EngineConfig {
            max_flows: 70_000,
            seed: 3,
        },
        snapshot,
    );
    let mut seen = HashSet::new();
    for n in 0..65_000u32 {
        let from = format!("10.0.1.5:{}", 1 + n % 60_000);
        // Two destination ports of one address would be two destinations: use one, two senders.
        let (vm, from) = match n < 60_000 {
            true => (VM1, from),
            false => (VM2, from.replace("10.0.1.5", "10.0.2.4")),
        };
        let mut bytes = udp(&from, "8.8.8.8:53", b"q");
        let mut frame = Frame::new(VnetHdr::default(), &mut bytes);
        let now = Now::from_millis(5);
        let verdict = rig.engine.process(now, vm, &mut frame);
        assert_eq!(verdict, Verdict::Forward(INET), "flow {n}");
        assert!(seen.insert(ends(&bytes).0));
    }
    let used: u32 = rig.engine.snat().iter().map(|pool| pool.udp).sum();
    assert_eq!(used, 65_000);
}

#[test]
fn exhaustion_fails_the_new_flow_only() {
    let mut rig = Rig::with(
        EngineConfig {
            max_flows: 1000,
            seed: 3,
        },
        world(1, &[]),
    );
    for port in 1..=1000 {
        rig.forward(
            VM1,
            &udp(&format!("10.0.1.5:{port}"), "8.8.8.8:53", b"q"),
            INET,
        );
    }
    rig.drop(
        VM1,
        &udp("10.0.1.5:1001", "8.8.8.8:53", b"q"),
        DropReason::FlowTableFull,
    );
    assert_eq!(
        rig.engine.snat()[0].udp,
        1000,
        "the failed flow's lease went back"
    );
    rig.forward(VM1, &udp("10.0.1.5:1", "8.8.8.8:53", b"q"), INET);
}

#[test]
fn vnet_local_and_hairpin_and_inbound() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let local = tcp("10.0.2.4:5000", "10.0.1.4:22", SYN, 1, 0, &[]);
    assert_eq!(rig.forward(VM2, &local, VM0), local);
    let inbound = tcp("93.184.216.34:4000", "20.0.0.9:22", SYN, 1, 0, &[]);
    let seen = rig.forward(INET, &inbound, VM0);
    assert_eq!(
        ends(&seen),
        (addr("93.184.216.34:4000"), addr("10.0.1.4:22"))
    );
    let answer = tcp("10.0.1.4:22", "93.184.216.34:4000", SYN | ACK, 5, 2, &[]);
    assert_eq!(
        ends(&rig.forward(VM0, &answer, INET)).0,
        addr("20.0.0.9:22")
    );
    // VM2 calls VM0 by its public address: both ends are translated.
    let hairpin = tcp("10.0.2.4:6000", "20.0.0.9:22", SYN, 1, 0, &[]);
    let (from, to) = ends(&rig.forward(VM2, &hairpin, VM0));
    assert_eq!((*from.ip(), to), (ip(POOL), addr("10.0.1.4:22")));
    let answer = tcp("10.0.1.4:22", &from.to_string(), SYN | ACK, 5, 2, &[]);
    assert_eq!(
        ends(&rig.forward(VM0, &answer, VM2)),
        (addr("20.0.0.9:22"), addr("10.0.2.4:6000"))
    );
    rig.drop(
        INET,
        &tcp("93.184.216.34:4000", "20.200.0.1:22", SYN, 1, 0, &[]),
        DropReason::NoFlow,
    );
    rig.drop(
        SVC,
        &tcp("52.239.0.10:4000", "10.0.1.4:22", SYN, 1, 0, &[]),
        DropReason::ServiceInitiated,
    );
}

#[test]
fn who_may_send_what() {
    let mut rig = Rig::new(world(1, &[]));
    let udp_to = |to: &str| udp("10.0.1.4:5000", to, b"x");
    rig.drop(
        VM0,
        &udp("10.0.1.9:5000", "8.8.8.8:53", b"x"),
        DropReason::SourceNotOwned,
    );
    rig.drop(VM0, &udp_to("10.5.0.1:53"), DropReason::RouteNone);
    rig.drop(VM0, &udp_to("10.0.1.200:53"), DropReason::NoSuchNic);
    rig.drop(VM0, &udp_to("10.0.1.4:53"), DropReason::Land);
    rig.drop(VM0, &udp_to("224.0.0.251:53"), DropReason::Multicast);
    rig.drop(VM0, &udp_to("255.255.255.255:67"), DropReason::Multicast);
    let mut v6 = vec![0x60; 48];
    v6[4..6].copy_from_slice(&8u16.to_be_bytes());
    rig.drop(VM0, &v6, DropReason::Ipv6);
    rig.drop(VM0, &[0x10; 40], DropReason::NotIp);
    rig.drop(VM0, &[], DropReason::NotIp);
    let gre = ipv4("10.0.1.4", "8.8.8.8", 47, 1, 0, &[0; 16]);
    rig.drop(VM0, &gre, DropReason::Encapsulated);
    let sctp = ipv4("10.0.1.4", "8.8.8.8", 132, 1, 0, &[0; 16]);
    rig.drop(VM0, &sctp, DropReason::ProtocolUnsupported);
    let mut redirect = unreachable("10.0.1.4", "8.8.8.8", 0, &gre, 28);
    redirect[20] = 5;
    rig.drop(VM0, &redirect, DropReason::IcmpUnsupported);
    rig.drop(
        VM0,
        &tcp("10.0.1.4:1", "8.8.8.8:2", ACK, 1, 1, &[]),
        DropReason::TcpNoFlow,
    );
    rig.drop(UNKNOWN, &udp_to("8.8.8.8:53"), DropReason::NoPort);
    assert_eq!(rig.engine.flow_count(), 0);
}

const UNKNOWN: PortId = PortId(40);

#[test]
fn partial_and_full_checksums_and_super_frames_are_right_after_translation() {
    let mut rig = Rig::new(world(1, &[]));
    let syn = tcp("10.0.1.5:5000", "8.8.8.8:443", SYN, 1, 0, &[]);
    let public = ends(&rig.forward(VM1, &syn, INET)).0.to_string();
    rig.forward(
        INET,
        &tcp("8.8.8.8:443", &public, SYN | ACK, 7, 2, &[]),
        VM1,
    );
    let big: Vec<u8> = (0..40_001u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let (vnet, frame) = partial(
        &tcp("10.0.1.5:5000", "8.8.8.8:443", ACK, 2, 8, &big),
        GsoType::TcpV4,
        1460,
    );
    let sent = rig.forward_frame(VM1, vnet, &frame, INET);
    assert_eq!(ends(&sent).0.to_string(), public);
    let (vnet, frame) = partial(
        &tcp("8.8.8.8:443", &public, ACK, 8, 2, &big),
        GsoType::TcpV4,
        1448,
    );
    assert_eq!(
        ends(&rig.forward_frame(INET, vnet, &frame, VM1)).1,
        addr("10.0.1.5:5000")
    );
    let (vnet, frame) = partial(
        &udp("10.0.1.5:7", "8.8.8.8:7", &big[..30_000]),
        GsoType::UdpL4,
        1400,
    );
    rig.forward_frame(VM1, vnet, &frame, INET);
}

#[test]
fn udp_without_a_checksum_stays_without() {
    let mut rig = Rig::new(world(1, &[]));
    let mut datagram = udp("10.0.1.5:7", "8.8.8.8:7", b"hello");
    datagram[26..28].fill(0);
    let sent = rig.forward(VM1, &datagram, INET);
    assert_eq!(sent[26..28], [0, 0]);
}

#[test]
fn offload_that_does_not_fit_is_refused() {
    let mut rig = Rig::new(world(1, &[]));
    let datagram = udp("10.0.1.5:7", "8.8.8.8:7", &[9; 3000]);
    let (right, frame) = partial(&datagram, GsoType::UdpL4, 1000);
    let at = (VM1, Direction::Outbound, DropReason::BadOffload);
    for wrong in [
        VnetHdr {
            gso_type: GsoType::TcpV4,
            ..right
        },
        VnetHdr {
            gso_type: GsoType::TcpV6,
            ..right
        },
        VnetHdr {
            gso_size: 0,
            ..right
        },
        VnetHdr {
            csum_start: 24,
            ..right
        },
        VnetHdr {
            csum_offset: 16,
            ..right
        },
        VnetHdr {
            needs_csum: false,
            ..right
        },
    ] {
        rig.drop_at(VM1, wrong, &frame, at);
    }
    rig.forward_frame(VM1, right, &frame, INET);
}

#[test]
fn second_source_id_is_independent() {
    let mut snapshot = world(1, &[]);
    snapshot.sources.push(SharedSource {
        addresses: vec![ip("20.200.0.7")],
        ..SharedSource::default()
    });
    snapshot
        .publics
        .insert(ip("20.200.0.7"), PublicAddress::Shared(SourceId(1)));
    nic_mut(&mut snapshot, VM2).public = PublicSource::Shared(SourceId(1));
    let mut rig = Rig::new(snapshot);
    rig.forward(VM1, &udp("10.0.1.5:7", "8.8.8.8:7", b"x"), INET);
    let sent = rig.forward(VM2, &udp("10.0.2.4:7", "8.8.8.8:7", b"x"), INET);
    assert_eq!(source(&sent), ip("20.200.0.7"));
    let used: Vec<_> = rig
        .engine
        .snat()
        .iter()
        .map(|pool| (pool.address, pool.udp))
        .collect();
    assert_eq!(used, [(ip(POOL), 1), (ip("20.200.0.7"), 1)]);
}
