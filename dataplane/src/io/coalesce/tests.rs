//! Each rule by itself: two packets that are joined, and the one change that forbids it.

use super::*;
use crate::io::packets::{Checksum, Sample, cut, essence};

/// Joins frames behind the first one as far as they go; returns the super-frame and their number.
fn train(samples: &[Sample]) -> (Vec<u8>, usize) {
    let frames: Vec<_> = samples.iter().map(Sample::frame).collect();
    let parts = frames
        .iter()
        .map_while(|frame| part(frame).map(|part| part.1));
    let mut parts = parts.collect::<Vec<_>>().into_iter();
    let Some(first) = parts.next() else {
        return (vec![], 0);
    };
    let mut train = Train::new(first);
    let joined: Vec<_> = parts.take_while(|part| train.join(part)).collect();
    let payloads = std::iter::once(first).chain(joined.clone());
    let bytes = payloads.flat_map(|part| part.payload().to_vec());
    let header = train.header().as_bytes().to_vec();
    (header.into_iter().chain(bytes).collect(), 1 + joined.len())
}

fn part(frame: &[u8]) -> Option<(Flow, Part<'_>)> {
    let (header, packet) = frame.split_first_chunk::<{ vnet_hdr::LEN }>().unwrap();
    match place(&VnetHdr::parse(*header).unwrap(), packet) {
        Place::Part(flow, part) => Some((flow, part)),
        _ => None,
    }
}

fn joined(samples: &[Sample]) -> usize {
    train(samples).1
}

/// Asserts that all are joined, and that cut again they are what they were.
#[track_caller]
fn assert_whole(samples: &[Sample]) {
    let (frame, count) = train(samples);
    assert_eq!(count, samples.len());
    let original = samples.iter().flat_map(|sample| cut(&sample.frame()));
    let original: Vec<_> = original.map(|packet| essence(&packet)).collect();
    let again: Vec<_> = cut(&frame).iter().map(|packet| essence(packet)).collect();
    assert_eq!(again, original);
}

/// What is done to a packet, and its name.
type Change = (&'static str, fn(&mut Sample));

/// Asserts that a pair is joined, and no longer with any of these changes to the second packet.
#[track_caller]
fn assert_forbidden(pair: [Sample; 2], changes: &[Change]) {
    assert_whole(&pair);
    for (what, change) in changes {
        let mut changed = pair.clone();
        change(&mut changed[1]);
        assert!(joined(&changed) < 2, "{what}");
    }
}

fn datagrams(lengths: &[usize]) -> Vec<Sample> {
    let number = 100..;
    number
        .zip(lengths)
        .map(|(ident, &len)| Sample::udp(ident, &vec![ident.to_be_bytes()[1]; len]))
        .collect()
}

/// Segments that follow each other.
fn segments(lengths: &[usize]) -> Vec<Sample> {
    let mut sequence = u32::MAX - 20;
    let mut ident = 9u16;
    lengths
        .iter()
        .map(|&len| {
            let mut sample = Sample::tcp(sequence, &vec![ident.to_be_bytes()[1]; len]);
            sample.ident = ident;
            ident += 1;
            sequence = sequence.wrapping_add(u32::try_from(len).unwrap());
            sample
        })
        .collect()
}

fn pair(samples: Vec<Sample>) -> [Sample; 2] {
    samples.try_into().unwrap()
}

#[test]
fn datagrams_are_joined_if_nothing_tells_them_apart() {
    let changes: [Change; 15] = [
        ("traffic class", |s| s.traffic_class = 4),
        ("congestion experienced", |s| s.traffic_class = 3),
        ("time to live", |s| s.hop_limit = 63),
        ("don't fragment", |s| s.dont_fragment = true),
        ("identification repeated", |s| s.ident -= 1),
        ("identification with a gap", |s| s.ident += 1),
        ("a longer payload", |s| s.payload.push(1)),
        ("no payload", |s| s.payload.clear()),
        ("no checksum", |s| s.checksum = Checksum::Absent),
        ("wrong checksum", |s| s.checksum = Checksum::WrongWhole),
        ("wrong partial sum", |s| s.checksum = Checksum::WrongPartial),
        ("wrong sum of the IP header", |s| s.is_ip_sum_wrong = true),
        ("IP options", |s| s.ip_options = vec![1; 4]),
        ("bytes behind the datagram", |s| s.udp_length_off = -1),
        ("a fragment", |s| s.fragment = 0x2000),
    ];
    assert_forbidden(pair(datagrams(&[30, 30])), &changes);
    assert_forbidden(
        pair(datagrams(&[30, 30])),
        &[("a reserved flag", |s| s.fragment = 0x8000)],
    );
}

#[test]
fn flows_are_told_apart_by_all_that_names_them() {
    let flow = |change: fn(&mut Sample)| {
        let mut sample = Sample::udp(1, &[1; 20]);
        change(&mut sample);
        part(&sample.frame()).unwrap().0
    };
    let flows = [
        flow(|_| ()),
        flow(|s| s.hosts = [5, 4]),
        flow(|s| s.hosts[0] = 6),
        flow(|s| s.hosts[1] = 6),
        flow(|s| s.ports[0] += 1),
        flow(|s| s.ports[1] += 1),
        flow(|s| *s = Sample::tcp(1, &[1; 20])),
        flow(|s| {
            *s = Sample::tcp(1, &[1; 20]);
            s.is_v6 = true;
        }),
    ];
    for (at, one) in flows.iter().enumerate() {
        assert_eq!(flows.iter().position(|flow| flow == one), Some(at));
    }
}

#[test]
fn shorter_datagram_ends_the_train() {
    assert_whole(&datagrams(&[30, 30, 29]));
    assert_whole(&datagrams(&[30, 1]));
    assert_eq!(joined(&datagrams(&[30, 29, 30])), 2);
    assert_eq!(joined(&datagrams(&[30, 29, 29])), 2);
    assert_eq!(joined(&datagrams(&[29, 30])), 1);
}

#[test]
fn whole_and_partial_checksums_mix() {
    let mut samples = datagrams(&[31, 31, 31, 9]);
    samples[1].checksum = Checksum::Whole;
    samples[3].checksum = Checksum::Whole;
    assert_whole(&samples);
    samples[0].checksum = Checksum::Whole;
    assert_whole(&samples);
    for wrong in [Checksum::WrongWhole, Checksum::WrongPartial] {
        samples[0].checksum = wrong;
        assert_eq!(joined(&samples), 1, "the first one is looked at too");
    }
    samples[0].checksum = Checksum::Whole;
    samples[0].is_ip_sum_wrong = true;
    assert_eq!(joined(&samples), 1);
}

#[test]
fn identification_means_nothing_where_fragments_are_forbidden() {
    let mut samples = datagrams(&[30, 30, 30]);
    for (sample, ident) in samples.iter_mut().zip([7, 7, 0]) {
        sample.dont_fragment = true;
        sample.ident = ident;
    }
    assert_whole(&samples);
    // Else it counts on, also over its end.
    let mut samples = datagrams(&[30, 30, 30]);
    for (sample, ident) in samples.iter_mut().zip([0xfffe, 0xffff, 0]) {
        sample.ident = ident;
    }
    assert_whole(&samples);
}

#[test]
fn train_has_64_datagrams_and_65_535_bytes_at_most() {
    assert_eq!(joined(&datagrams(&[20; 70])), 64);
    // 45 of 1,400 bytes and 28 of headers are 63,028; 46 are 64,428; 47 are more than fit.
    assert_eq!(joined(&datagrams(&[1400; 60])), 46);
    assert_whole(&datagrams(&[65_535 - 28 - 500, 500]));
    assert_eq!(joined(&datagrams(&[65_535 - 28 - 500, 501])), 1);
}

#[test]
fn datagrams_join_super_frames_of_their_size() {
    let super_frame = |ident, len| Sample {
        gso_size: Some(30),
        ..Sample::udp(ident, &vec![8; len])
    };
    let single = |ident, len| Sample::udp(ident, &vec![9; len]);
    assert_whole(&[
        super_frame(1, 90),
        super_frame(4, 60),
        single(6, 30),
        super_frame(7, 45),
    ]);
    assert_whole(&[single(1, 30), super_frame(2, 60), single(4, 3)]);
    assert_eq!(
        joined(&[super_frame(1, 90), super_frame(3, 60)]),
        1,
        "identification"
    );
    assert_eq!(
        joined(&[super_frame(1, 70), single(4, 30)]),
        1,
        "its last one is short"
    );
    assert_eq!(joined(&[single(1, 29), super_frame(2, 60)]), 1);
    assert_eq!(joined(&[single(1, 31), super_frame(2, 60)]), 1);
    assert_eq!(joined(&[super_frame(1, 60 * 30), super_frame(61, 150)]), 1);
    assert_whole(&[super_frame(1, 60 * 30), super_frame(61, 120)]);
}

const TCP_CHANGES: [Change; 22] = [
    ("a gap", |s| s.sequence += 1),
    ("a repetition", |s| s.sequence -= 1),
    ("acknowledgement", |s| s.acknowledgement += 1),
    ("window", |s| s.window += 1),
    ("timestamp", |s| s.options[7] += 1),
    ("fewer options", |s| s.options.truncate(8)),
    ("reserved bit", |s| s.reserved = 1),
    ("FIN", |s| s.flags |= 0x01),
    ("SYN", |s| s.flags |= 0x02),
    ("RST", |s| s.flags |= 0x04),
    ("no ACK", |s| s.flags = 0),
    ("URG", |s| s.flags |= 0x20),
    ("ECE", |s| s.flags |= 0x40),
    ("CWR", |s| s.flags |= 0x80),
    ("a longer payload", |s| s.payload.push(1)),
    ("no payload", |s| s.payload.clear()),
    ("wrong checksum", |s| s.checksum = Checksum::WrongWhole),
    ("wrong partial sum", |s| s.checksum = Checksum::WrongPartial),
    ("congestion experienced", |s| s.traffic_class = 3),
    ("traffic class", |s| s.traffic_class = 0x20),
    ("hop limit", |s| s.hop_limit += 1),
    ("an ECN mark of the super-frame", |s| {
        s.gso_size = Some(30);
        s.is_gso_ecn = true;
    }),
];

#[test]
fn segments_are_joined_if_they_continue_each_other() {
    assert_forbidden(pair(segments(&[30, 30])), &TCP_CHANGES);
    assert_forbidden(
        pair(segments(&[30, 30])),
        &[
            ("don't fragment", |s| s.dont_fragment = false),
            ("IP options", |s| s.ip_options = vec![1; 4]),
            ("wrong sum of the IP header", |s| s.is_ip_sum_wrong = true),
        ],
    );
    let mut samples = segments(&[30, 30]);
    for sample in &mut samples {
        sample.dont_fragment = false;
    }
    assert_whole(&samples);
    samples[1].ident += 1;
    assert_eq!(
        joined(&samples),
        1,
        "identification, where it means something"
    );
}

#[test]
fn segments_over_ipv6_are_joined_by_the_same_rules() {
    let over_v6 = |mut samples: Vec<Sample>| {
        for sample in &mut samples {
            sample.is_v6 = true;
        }
        pair(samples)
    };
    assert_forbidden(over_v6(segments(&[30, 30])), &TCP_CHANGES);
    assert_forbidden(
        over_v6(segments(&[30, 30])),
        &[("flow label", |s| s.flow_label = 1)],
    );
    let mut datagrams = datagrams(&[30, 30]);
    for sample in &mut datagrams {
        sample.is_v6 = true;
    }
    assert_eq!(joined(&datagrams), 0, "there is no rule for UDP over IPv6");
}

#[test]
fn push_ends_the_train_and_stays_at_its_end() {
    let mut samples = segments(&[30, 30, 30]);
    samples[1].flags |= 0x08;
    assert_eq!(joined(&samples), 2);
    assert_whole(&samples[..2]);
    samples[1].flags &= !0x08;
    samples[2].flags |= 0x08;
    assert_whole(&samples);
    samples[0].flags |= 0x08;
    assert_eq!(joined(&samples), 1);
}

#[test]
fn echo_of_congestion_stays_on_every_segment() {
    let mut samples = segments(&[30, 30, 7]);
    for sample in &mut samples {
        sample.flags |= 0x40;
    }
    assert_whole(&samples);
}

#[test]
fn segments_join_super_frames_that_end_whole() {
    let mut samples = segments(&[90, 60, 30, 40]);
    for at in [0, 1, 3] {
        samples[at].gso_size = Some(30);
    }
    assert_whole(&samples);
    let mut samples = segments(&[80, 30]);
    samples[0].gso_size = Some(30);
    assert_eq!(
        joined(&samples),
        1,
        "the last segment of the first is short"
    );
    let mut samples = segments(&[30, 60]);
    samples[1].gso_size = Some(20);
    assert_eq!(joined(&samples), 1, "another size");
    // A short connection's whole transfer is longer than 64 segments, which is UDP's limit alone.
    assert_whole(&segments(&[1; 200]));
}

#[test]
fn packets_without_ports_are_not_told_apart() {
    let mut fragment = Sample::udp(1, &[1; 40]);
    fragment.fragment = 3;
    let mut icmp = Sample::udp(1, &[1; 40]).frame();
    icmp[vnet_hdr::LEN + 9] = 1;
    for frame in [fragment.frame(), icmp, vec![0; 15], vec![0; 10]] {
        let place = place(&VnetHdr::default(), &frame[vnet_hdr::LEN..]);
        assert!(matches!(place, Place::Unknown), "{place:?}");
    }
}

#[test]
fn headers_that_contradict_the_packet_keep_it_alone() {
    let frame = Sample::udp(1, &[1; 40]).frame();
    let vnet = VnetHdr::parse(*frame.first_chunk().unwrap()).unwrap();
    let packet = &frame[vnet_hdr::LEN..];
    assert!(matches!(place(&vnet, packet), Place::Part(..)));
    let strange = [
        VnetHdr {
            csum_start: 24,
            ..vnet
        },
        VnetHdr {
            csum_offset: 16,
            ..vnet
        },
        VnetHdr {
            gso_type: GsoType::TcpV4,
            gso_size: 20,
            ..vnet
        },
        VnetHdr {
            gso_type: GsoType::UdpL4,
            gso_size: 0,
            ..vnet
        },
        VnetHdr {
            gso_type: GsoType::UdpL4,
            gso_size: 20,
            needs_csum: false,
            ..vnet
        },
    ];
    for vnet in strange {
        assert!(matches!(place(&vnet, packet), Place::Alone(_)), "{vnet:?}");
    }
    for len in 0..packet.len() {
        let place = place(&vnet, &packet[..len]);
        assert!(!matches!(place, Place::Part(..)), "cut off at {len}");
    }
}
