use super::*;
use crate::flow::FlowKey;
use crate::wire::{AH, ESP, Fragment, Headers, ICMP, TCP, Transport, UDP, VnetHdr, ipv6};
use proptest::prelude::*;

const PORT: PortId = PortId(3);
/// Of four workers it never owns what it reads, unless nobody else does.
const READER: usize = 77;

fn share(workers: usize) -> Share {
    let config = EngineConfig {
        max_flows: 10,
        seed: 1,
    };
    Share::new(&config, workers)
}

fn at(millis: u64) -> Now {
    Now::from_millis(millis)
}

fn v4(protocol: u8, words: u8, flags: u16, ident: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = usize::from(words) * 4;
    let mut packet = vec![0; header_len];
    packet[0] = 0x40 | words;
    let len = u16::try_from(header_len + payload.len()).unwrap();
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[4..6].copy_from_slice(&ident.to_be_bytes());
    packet[6..8].copy_from_slice(&flags.to_be_bytes());
    packet[9] = protocol;
    packet[12..20].copy_from_slice(&[10, 0, 0, 4, 8, 8, 8, 8]);
    packet.extend(payload);
    packet
}

fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; ipv6::LEN];
    packet[0] = 0x60;
    let len = u16::try_from(payload.len()).unwrap();
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6] = next_header;
    packet.extend(payload);
    packet
}

/// Makes of some bytes the transport header that a protocol has, as far as lengths go.
fn segment(protocol: u8, kind: u8, mut bytes: Vec<u8>) -> Vec<u8> {
    match protocol {
        TCP => bytes[12] = 0x50,
        UDP => {
            let len = u16::try_from(bytes.len()).unwrap();
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
        }
        ICMP => bytes[0] = kind,
        _ => {}
    }
    bytes
}

fn arbitrary_segment() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let protocol = prop::sample::select(vec![TCP, UDP, ICMP, ESP, AH, 47]);
    let kind = prop::sample::select(vec![0, 8, 3, 5, 11, 12]);
    let bytes = prop::collection::vec(any::<u8>(), 20..60);
    (protocol, kind, bytes)
        .prop_map(|(protocol, kind, bytes)| (protocol, segment(protocol, kind, bytes)))
}

fn arbitrary_v4() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop::sample::select(vec![0, 0, 0, 0x4000, 0x2000, 0x2003, 3]);
    (arbitrary_segment(), 5u8..=15, flags, any::<u16>()).prop_map(
        |((protocol, segment), words, flags, ident)| v4(protocol, words, flags, ident, &segment),
    )
}

fn arbitrary_packet() -> impl Strategy<Value = Vec<u8>> {
    let error = |next_header| {
        move |(mut head, quoted): ([u8; 8], Vec<u8>)| {
            head[0] = 3;
            let message = [&head[..], &quoted].concat();
            match next_header {
                ICMP => v4(ICMP, 5, 0, 0, &message),
                _ => v6(next_header, &message),
            }
        }
    };
    let tcp6 = || {
        prop::collection::vec(any::<u8>(), 20..60)
            .prop_map(|bytes| v6(TCP, &segment(TCP, 0, bytes)))
    };
    prop_oneof![
        4 => arbitrary_v4(),
        2 => (any::<[u8; 8]>(), arbitrary_v4()).prop_map(error(ICMP)),
        1 => tcp6(),
        1 => (any::<[u8; 8]>(), tcp6()).prop_map(error(ipv6::ICMP)),
        1 => prop::collection::vec(any::<u8>(), 0..80),
    ]
}

/// Returns the key by which the engine looks for the flow of a packet, if it looks.
fn key_of(packet: &[u8]) -> Option<FlowKey> {
    let vnet = VnetHdr::default();
    if packet.first()? >> 4 == 6 {
        let headers = Headers::parse_v6(&vnet, packet).ok()?;
        if headers.transport != Transport::IcmpError {
            return Some(FlowKey::of(PORT, &headers));
        }
        let quoted = ipv6::Ipv6View::parse_quoted(packet.get(48..)?).ok()?;
        let &[a, b, c, d, ..] = quoted.payload().first_chunk::<8>()?;
        let ports = [[a, b], [c, d]].map(u16::from_be_bytes);
        let tunnel = crate::flow::Tunnel {
            client: quoted.source(),
            service: quoted.destination(),
        };
        return (quoted.next_header() == TCP)
            .then(|| FlowKey::tcp_answer(PORT, &tunnel, ports.into()));
    }
    let headers = Headers::parse(&vnet, packet).ok()?;
    match (headers.transport, headers.fragment) {
        (_, Fragment::Later) => None,
        (Transport::IcmpError, _) => {
            let quoted = Headers::parse_quoted(packet.get(headers.ip_header_len + 8..)?).ok()?;
            Some(FlowKey::of(PORT, &quoted))
        }
        _ => Some(FlowKey::of(PORT, &headers)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever the engine would look for, the owner is the one that follows from that key; and no
    /// bytes whatever have an owner that does not exist.
    #[test]
    fn owner_is_that_of_the_key_that_the_engine_looks_for(
        packet in arbitrary_packet(),
        workers in 1usize..6,
    ) {
        let share = share(workers);
        let owner = share.owner(at(0), PORT, &packet, workers - 1);
        prop_assert!(owner < workers);
        if let Some(key) = key_of(&packet) {
            let expected = share.classes().owner(key.source_port(), key.destination_port());
            prop_assert_eq!(owner, expected, "{:?}", key);
        }
    }
}

#[test]
fn kinds_of_packets_have_the_owner_of_their_ports() {
    let share = share(4);
    let classes = share.classes();
    let owner = |packet: &[u8]| share.owner(at(0), PORT, packet, READER);
    let mut seen = std::collections::HashSet::new();
    for port in 40_000..40_032u16 {
        let [a, b] = port.to_be_bytes();
        let expected = classes.owner(port, 443);
        seen.insert(expected);
        let there = segment(TCP, 0, [&[a, b, 1, 0xbb], &[0; 16][..]].concat());
        let back = segment(TCP, 0, [&[1, 0xbb, a, b], &[0; 16][..]].concat());
        for segment in [&there, &back] {
            let packet = v4(TCP, 6, 0, 0, segment);
            assert_eq!(owner(&packet), expected);
            assert_eq!(owner(&v6(TCP, segment)), expected, "over IPv6");
            let quote = packet.get(..24 + 8).unwrap();
            let error = [&[11, 0, 0, 0, 0, 0, 0, 0], quote].concat();
            assert_eq!(owner(&v4(ICMP, 5, 0, 0, &error)), expected, "an error");
            let error = [&[2, 0, 0, 0, 0, 0, 0, 0], &v6(TCP, segment)[..]].concat();
            assert_eq!(owner(&v6(ipv6::ICMP, &error)), expected, "one over IPv6");
        }
        for kind in [0, 8] {
            let echo = v4(ICMP, 5, 0, 0, &[kind, 0, 0, 0, a, b, 0, 1]);
            assert_eq!(owner(&echo), classes.owner(port, 0), "an echo");
        }
    }
    assert_eq!(seen.len(), 4, "every worker has some");
    for protocol in [ESP, AH] {
        assert_eq!(owner(&v4(protocol, 5, 0, 0, &[7; 16])), 0, "no ports");
    }
    for refused in [
        v4(47, 5, 0, 0, &[7; 16]),
        v6(UDP, &[7; 16]),
        vec![],
        vec![0x45; 19],
    ] {
        assert_eq!(owner(&refused), READER, "{refused:?}");
    }
}

/// A port whose flow to port 53 worker 2 of four owns.
fn first_fragment(ident: u16) -> Vec<u8> {
    let classes = Classes::new(4);
    let port = (1024..).find(|&port| classes.owner(port, 53) == 2).unwrap();
    let [a, b] = u16::to_be_bytes(port);
    let datagram = segment(UDP, 0, [&[a, b, 0, 53], &[0; 20][..]].concat());
    v4(UDP, 5, 0x2000, ident, &datagram)
}

fn later_fragment(ident: u16) -> Vec<u8> {
    v4(UDP, 5, 3, ident, &[7; 16])
}

#[test]
fn later_fragments_follow_the_first_whoever_reads_them() {
    let share = share(4);
    let owner = |now, port, packet: &[u8]| share.owner(at(now), port, packet, READER);
    assert_eq!(
        owner(0, PORT, &later_fragment(9)),
        READER,
        "none came before"
    );
    assert_eq!(owner(0, PORT, &first_fragment(9)), 2);
    assert_eq!(owner(1, PORT, &later_fragment(9)), 2);
    assert_eq!(
        owner(1, PORT, &later_fragment(8)),
        READER,
        "of another datagram"
    );
    assert_eq!(
        owner(1, PortId(4), &later_fragment(9)),
        READER,
        "by another port"
    );
    assert_eq!(owner(15_000, PORT, &later_fragment(9)), 2);
    assert_eq!(owner(15_001, PORT, &later_fragment(9)), READER, "too late");
}

#[test]
fn the_oldest_datagram_gives_way() {
    let share = share(4);
    for ident in 0..=4096u16 {
        assert_eq!(share.owner(at(0), PORT, &first_fragment(ident), 1), 2);
    }
    let owner = |ident| share.owner(at(1), PORT, &later_fragment(ident), 1);
    assert_eq!([owner(0), owner(1), owner(4096)], [1, 2, 2]);
}

#[test]
fn one_worker_owns_everything() {
    let share = share(1);
    for packet in [first_fragment(1), later_fragment(2), vec![]] {
        assert_eq!(share.owner(at(0), PORT, &packet, 0), 0);
    }
}

#[test]
fn room_is_shared_out_evenly_and_all_of_it() {
    for workers in 1..12 {
        let share = share(workers);
        let rooms: Vec<u32> = (0..workers).map(|index| share.room(index)).collect();
        assert_eq!(rooms.iter().sum::<u32>(), 10);
        let (least, most) = (rooms.iter().min().unwrap(), rooms.iter().max().unwrap());
        assert!(most - least <= 1, "{rooms:?}");
    }
}
