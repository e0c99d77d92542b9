//! The oracle cuts the slow way, into new vectors, and sums byte by byte: it shares no code with
//! what it judges, not even the parser.

use super::*;
use crate::wire::vnet_hdr;
use proptest::prelude::*;

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const CWR: u8 = 0x80;

/// What a sender hands over, before any offload.
#[derive(Clone, Debug)]
struct Sample {
    is_udp: bool,
    ip_options: Vec<u8>,
    tcp_options: Vec<u8>,
    ident: u16,
    dont_fragment: bool,
    addresses: [u8; 8],
    ports: [u8; 4],
    sequence: u32,
    flags: u8,
    rest: [u8; 6],
    payload: Vec<u8>,
}

fn slow_sum(bytes: &[u8]) -> u32 {
    let mut sum = 0u32;
    for (at, &byte) in bytes.iter().enumerate() {
        sum += if at % 2 == 0 {
            u32::from(byte) * 256
        } else {
            u32::from(byte)
        };
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum
}

fn pseudo(packet: &[u8], ip_len: usize) -> Vec<u8> {
    let mut bytes = packet[12..20].to_vec();
    bytes.extend([0, packet[9]]);
    bytes.extend(u16::try_from(packet.len() - ip_len).unwrap().to_be_bytes());
    bytes
}

impl Sample {
    fn ip_len(&self) -> usize {
        20 + self.ip_options.len()
    }

    fn transport_len(&self) -> usize {
        if self.is_udp {
            8
        } else {
            20 + self.tcp_options.len()
        }
    }

    fn checksum_at(&self) -> usize {
        self.ip_len() + if self.is_udp { 6 } else { 16 }
    }

    /// The packet that carries `payload` of this sample, with whole checksums.
    fn packet(&self, ident: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let transport_len = self.transport_len() + payload.len();
        let total = u16::try_from(self.ip_len() + transport_len)
            .unwrap()
            .to_be_bytes();
        let mut packet = vec![0x40 | u8::try_from(self.ip_len() / 4).unwrap(), 0x02];
        packet.extend(total);
        packet.extend(ident.to_be_bytes());
        packet.extend([if self.dont_fragment { 0x40 } else { 0 }, 0]);
        packet.extend([63, if self.is_udp { 17 } else { 6 }, 0, 0]);
        packet.extend(self.addresses);
        packet.extend(&self.ip_options);
        let sum = !u16::try_from(slow_sum(&packet)).unwrap();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());

        packet.extend(self.ports);
        if self.is_udp {
            packet.extend(u16::try_from(transport_len).unwrap().to_be_bytes());
            packet.extend([0, 0]);
        } else {
            packet.extend(sequence.to_be_bytes());
            packet.extend(&self.rest[..4]);
            packet.extend([u8::try_from(self.transport_len() / 4).unwrap() << 4, flags]);
            packet.extend(&self.rest[4..]);
            packet.extend([0, 0, 0, 0]);
            packet.extend(&self.tcp_options);
        }
        packet.extend(payload);
        let mut covered = pseudo(&packet, self.ip_len());
        covered.extend(&packet[self.ip_len()..]);
        let sum = match !u16::try_from(slow_sum(&covered)).unwrap() {
            0 => 0xffff,
            sum => sum,
        };
        let at = self.checksum_at();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn whole(&self) -> Vec<u8> {
        self.packet(self.ident, self.sequence, self.flags, &self.payload)
    }

    /// The whole packet as the kernel hands it over: its checksum field has the pseudo-header only.
    fn partial(&self) -> Vec<u8> {
        let mut packet = self.whole();
        let sum = u16::try_from(slow_sum(&pseudo(&packet, self.ip_len()))).unwrap();
        let at = self.checksum_at();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn header(&self, gso_type: GsoType, gso_size: u16) -> VnetHdr {
        VnetHdr {
            needs_csum: true,
            gso_type,
            gso_ecn: self.flags & CWR != 0,
            hdr_len: 0xdead,
            gso_size,
            csum_start: u16::try_from(self.ip_len()).unwrap(),
            csum_offset: if self.is_udp { 6 } else { 16 },
        }
    }

    fn super_header(&self, gso_size: u16) -> VnetHdr {
        self.header(
            if self.is_udp {
                GsoType::UdpL4
            } else {
                GsoType::TcpV4
            },
            gso_size,
        )
    }

    fn reference(&self, size: usize) -> Vec<Vec<u8>> {
        let mut chunks: Vec<&[u8]> = self.payload.chunks(size).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let mut packets = Vec::new();
        let mut sequence = self.sequence;
        for (index, chunk) in chunks.iter().enumerate() {
            let mut flags = self.flags;
            if index > 0 {
                flags &= !CWR;
            }
            if index + 1 < chunks.len() {
                flags &= !(FIN | PSH);
            }
            let ident = self.ident.wrapping_add(u16::try_from(index).unwrap());
            packets.push(self.packet(ident, sequence, flags, chunk));
            sequence = sequence.wrapping_add(u32::try_from(chunk.len()).unwrap());
        }
        packets
    }
}

fn cut(vnet: &VnetHdr, packet: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
    let mut packet = packet.to_vec();
    let mut segments = Segments::new(vnet, &mut packet)?;
    let mut packets = Vec::new();
    while let Some(packet) = segments.next_packet() {
        packets.push(packet.to_vec());
    }
    assert!(segments.next_packet().is_none(), "the end is the end");
    Ok(packets)
}

/// Verifies every checksum of a packet from its bytes alone.
fn assert_checksums(packet: &[u8]) {
    let ip_len = usize::from(packet[0] & 15) * 4;
    assert_eq!(
        usize::from(u16::from_be_bytes([packet[2], packet[3]])),
        packet.len()
    );
    assert_eq!(slow_sum(&packet[..ip_len]), 0xffff, "IPv4 header checksum");
    let mut covered = pseudo(packet, ip_len);
    covered.extend(&packet[ip_len..]);
    assert_eq!(slow_sum(&covered), 0xffff, "transport checksum");
    if packet[9] == 17 {
        assert_ne!(
            packet[ip_len + 6..ip_len + 8],
            [0, 0],
            "zero means no checksum"
        );
        let len = u16::from_be_bytes([packet[ip_len + 4], packet[ip_len + 5]]);
        assert_eq!(usize::from(len), packet.len() - ip_len);
    }
}

/// TCP options as bytes of any kind: nothing here reads them.
fn words(max: usize) -> impl Strategy<Value = Vec<u8>> {
    (0..=max).prop_flat_map(|words| prop::collection::vec(any::<u8>(), words * 4))
}

/// IP options that may pass: router alerts with any value.
fn alerts(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let value = prop::collection::vec(any::<[u8; 2]>(), 0..=max);
    value.prop_map(|values| values.iter().flat_map(|&[a, b]| [148, 4, a, b]).collect())
}

fn samples(payload: usize) -> impl Strategy<Value = Sample> {
    (
        (
            any::<bool>(),
            alerts(10),
            words(10),
            any::<u16>(),
            any::<bool>(),
        ),
        (
            any::<[u8; 8]>(),
            any::<[u8; 4]>(),
            any::<u32>(),
            any::<u8>(),
            any::<[u8; 6]>(),
        ),
        prop::collection::vec(any::<u8>(), 0..payload),
    )
        .prop_map(|(first, second, payload)| {
            let (is_udp, ip_options, tcp_options, ident, dont_fragment) = first;
            let (addresses, ports, sequence, flags, rest) = second;
            Sample {
                is_udp,
                ip_options,
                tcp_options,
                ident,
                dont_fragment,
                addresses,
                ports,
                sequence,
                flags,
                rest,
                payload,
            }
        })
}

fn plain_tcp(payload: usize) -> Sample {
    Sample {
        is_udp: false,
        ip_options: Vec::new(),
        tcp_options: vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        ident: 0xfffe,
        dont_fragment: true,
        addresses: [10, 0, 1, 4, 20, 60, 16, 5],
        ports: [0xc4, 0x88, 0x01, 0xbb],
        sequence: 0xffff_ff00,
        flags: ACK | PSH | FIN | CWR,
        rest: [1, 2, 3, 4, 0xff, 0xfe],
        payload: (0..payload)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect(),
    }
}

#[test]
fn largest_tcp_super_frame_is_cut_at_the_segment_size() {
    let sample = plain_tcp(65535 - 20 - 32);
    let packets = cut(&sample.super_header(1448), &sample.partial()).unwrap();
    assert_eq!(packets.len(), 65483_usize.div_ceil(1448));
    assert_eq!(packets, sample.reference(1448));
    let flags: Vec<u8> = packets.iter().map(|packet| packet[33]).collect();
    assert_eq!(flags.first(), Some(&(ACK | CWR)), "CWR on the first only");
    assert!(flags[1..flags.len() - 1].iter().all(|&flags| flags == ACK));
    assert_eq!(
        flags.last(),
        Some(&(ACK | PSH | FIN)),
        "FIN and PSH on the last only"
    );
}

#[test]
fn segments_smaller_than_the_headers_are_cut_too() {
    let sample = plain_tcp(300);
    for size in [1, 7, 51, 52, 53, 299, 300, 301] {
        let packets = cut(&sample.super_header(size), &sample.partial()).unwrap();
        assert_eq!(packets, sample.reference(usize::from(size)), "{size}");
    }
}

#[test]
fn super_frame_without_payload_is_one_packet() {
    let sample = plain_tcp(0);
    assert_eq!(
        cut(&sample.super_header(100), &sample.partial()).unwrap(),
        vec![sample.whole()]
    );
}

#[test]
fn finished_packet_passes_byte_for_byte() {
    let mut packet = plain_tcp(10).whole();
    packet[36] ^= 0x55;
    assert_eq!(
        cut(&VnetHdr::default(), &packet).unwrap(),
        vec![packet.clone()],
        "wrong stays wrong"
    );
    let other = vec![1, 2, 3];
    assert_eq!(
        cut(&VnetHdr::default(), &other).unwrap(),
        vec![other.clone()],
        "never looked at"
    );
}

#[test]
fn udp_checksum_of_zero_is_sent_as_all_ones() {
    let mut sample = Sample {
        is_udp: true,
        payload: vec![0; 2],
        ..plain_tcp(0)
    };
    // Choose the payload so that the sum comes out as 0xffff and its complement as 0.
    let mut covered = pseudo(&sample.whole(), 20);
    covered.extend(&sample.whole()[20..26]);
    let missing = 0xffff - u16::try_from(slow_sum(&covered)).unwrap();
    sample.payload = missing.to_be_bytes().to_vec();
    for vnet in [sample.header(GsoType::None, 0), sample.super_header(1000)] {
        let packets = cut(&vnet, &sample.partial()).unwrap();
        assert_eq!(packets[0][26..28], [0xff, 0xff]);
        assert_checksums(&packets[0]);
    }
}

#[test]
fn header_that_contradicts_the_packet_is_refused() {
    let tcp = plain_tcp(3000);
    let udp = Sample {
        is_udp: true,
        ..tcp.clone()
    };
    let good = tcp.super_header(1000);
    let refused = |vnet: VnetHdr, packet: &[u8]| cut(&vnet, packet).unwrap_err();
    let offload = WireError::Offload;
    assert_eq!(
        refused(
            VnetHdr {
                gso_size: 0,
                ..good
            },
            &tcp.partial()
        ),
        offload
    );
    assert_eq!(
        refused(
            VnetHdr {
                needs_csum: false,
                ..good
            },
            &tcp.partial()
        ),
        offload
    );
    assert_eq!(
        refused(
            VnetHdr {
                csum_start: 24,
                ..good
            },
            &tcp.partial()
        ),
        offload
    );
    assert_eq!(
        refused(
            VnetHdr {
                csum_offset: 6,
                ..good
            },
            &tcp.partial()
        ),
        offload
    );
    assert_eq!(
        refused(
            VnetHdr {
                gso_type: GsoType::TcpV6,
                ..good
            },
            &tcp.partial()
        ),
        offload
    );
    assert_eq!(refused(good, &udp.partial()), offload);
    assert_eq!(refused(udp.super_header(1000), &tcp.partial()), offload);
    let mut fragment = tcp.partial();
    fragment[6] = 0x20;
    assert_eq!(refused(good, &fragment), offload);
    assert!(matches!(
        refused(good, &tcp.partial()[..100]),
        WireError::Length { .. }
    ));
    assert!(matches!(refused(good, &[]), WireError::NotIp));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn super_frame_is_cut_as_the_reference_cuts_it(sample in samples(6_000), size in 1u16..2_000) {
        let packets = cut(&sample.super_header(size), &sample.partial()).unwrap();
        for packet in &packets {
            assert_checksums(packet);
        }
        prop_assert_eq!(packets, sample.reference(usize::from(size)));
    }

    #[test]
    fn partial_checksum_is_finished(sample in samples(2_000)) {
        let packets = cut(&sample.header(GsoType::None, 0), &sample.partial()).unwrap();
        assert_checksums(&packets[0]);
        prop_assert_eq!(packets, vec![sample.whole()]);
    }

    #[test]
    fn any_bytes_are_cut_or_refused(
        header in any::<[u8; vnet_hdr::LEN]>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(vnet) = VnetHdr::parse(header) {
            let _ = cut(&vnet, &bytes);
        }
    }

    #[test]
    fn damaged_super_frame_is_cut_or_refused(
        sample in samples(400), size in any::<u16>(),
        damage in prop::collection::vec((0usize..60, any::<u8>()), 1..4),
    ) {
        let mut packet = sample.partial();
        for (at, byte) in damage {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        if let Ok(packets) = cut(&sample.super_header(size), &packet) {
            let longest = sample.ip_len().max(60) + 60 + usize::from(size);
            prop_assert!(packets.iter().all(|packet| packet.len() <= longest));
        }
    }
}
