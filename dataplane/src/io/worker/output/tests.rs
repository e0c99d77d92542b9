//! What leaves, against a reference that sends packet by packet. Both are cut by the tests' own cutter.

use super::*;
use crate::io::packets::{self, Checksum, Sample, cut, essence, ip_len, is_sound, protocol};
use proptest::prelude::*;

const OFFLOAD: PortId = PortId(0);
/// Takes super-frames of TCP, not of UDP.
const NO_USO: PortId = PortId(1);
/// Takes finished packets only.
const PLAIN: PortId = PortId(2);

/// Notes what is written.
#[derive(Debug, Default)]
struct Notes {
    /// Port, frame, and how many pushed ones it is made of.
    written: Vec<(PortId, Vec<u8>, usize)>,
    /// Pushed frames in writes that were refused.
    lost: usize,
    /// Which writes are refused: those whose number has this remainder by three.
    refused: Option<usize>,
    number: usize,
}

impl Egress for Notes {
    fn has_vnet_hdr(&self, port: PortId) -> bool {
        port != PLAIN
    }

    fn takes(&self, port: PortId, kind: GsoType) -> bool {
        port == OFFLOAD || (port == NO_USO && kind != GsoType::UdpL4)
    }

    fn write(&mut self, port: PortId, parts: &[IoSlice<'_>], count: usize) {
        assert_ne!(port, PLAIN);
        self.note(
            port,
            parts.iter().flat_map(|part| part.to_vec()).collect(),
            count,
        );
    }

    fn write_cut(&mut self, port: PortId, vnet: &VnetHdr, frame: &mut [u8]) {
        assert_eq!(port, PLAIN);
        assert_eq!(frame[..vnet_hdr::LEN], vnet.to_bytes());
        self.note(port, frame.to_vec(), 1);
    }
}

impl Notes {
    fn note(&mut self, port: PortId, frame: Vec<u8>, count: usize) {
        self.number += 1;
        if self.refused == Some(self.number % 3) {
            self.lost += count;
        } else {
            self.written.push((port, frame, count));
        }
    }
}

/// Pushes frames of one batch, and what is read of it at once.
fn push_all(notes: &mut Notes, frames: &mut [(PortId, Vec<u8>)]) {
    let mut output = Output::new();
    for (port, frame) in frames {
        let vnet = VnetHdr::parse(*frame.first_chunk().unwrap()).unwrap();
        output.push(notes, *port, &vnet, frame);
    }
    output.flush(notes);
}

/// Returns how many frames each write was made of.
fn counts(port: PortId, samples: &[Sample]) -> Vec<usize> {
    let mut notes = Notes::default();
    let frames = samples.iter().map(|sample| (port, sample.frame()));
    push_all(&mut notes, &mut frames.collect::<Vec<_>>());
    let packets = notes.written.iter().flat_map(|(_, frame, _)| cut(frame));
    assert!(packets.into_iter().all(|packet| is_sound(&packet)));
    notes.written.iter().map(|(.., count)| *count).collect()
}

fn datagram(port: u16, ident: u16) -> Sample {
    Sample {
        ports: [port, 53],
        ..Sample::udp(ident, &[7; 64])
    }
}

fn segment(sequence: u32, len: usize) -> Sample {
    Sample::tcp(sequence, &vec![7; len])
}

#[test]
fn flows_that_alternate_leave_as_one_frame_each() {
    let samples: Vec<_> = (0..64).map(|n| datagram(n % 8, n / 8)).collect();
    assert_eq!(counts(OFFLOAD, &samples), [8; 8]);
    assert_eq!(counts(NO_USO, &samples), [1; 64], "the kernel refused USO");
    assert_eq!(counts(PLAIN, &samples), [1; 64]);
}

#[test]
fn full_output_is_written_and_goes_on() {
    let samples: Vec<_> = (0..200).map(|n| datagram(0, n)).collect();
    assert_eq!(counts(OFFLOAD, &samples), [64, 64, 64, 8]);
    let samples: Vec<_> = (0..200).map(|n| datagram(n, n)).collect();
    assert_eq!(counts(OFFLOAD, &samples), [1; 200]);
    let samples: Vec<_> = (0..200).map(|n| datagram(n % 2, n / 2)).collect();
    assert_eq!(counts(OFFLOAD, &samples), [32, 32, 32, 32, 32, 32, 4, 4]);
}

#[test]
fn acknowledgement_keeps_its_place_among_data() {
    let samples = [
        segment(0, 100),
        segment(100, 100),
        segment(200, 0),
        segment(200, 100),
        segment(300, 100),
        segment(400, 10),
        segment(410, 100),
    ];
    assert_eq!(counts(OFFLOAD, &samples), [2, 1, 3, 1]);
    assert_eq!(counts(NO_USO, &samples), [2, 1, 3, 1]);
    // That of another flow waits for nothing and nothing for it.
    let mut other = segment(0, 0);
    other.ports = [9, 9];
    let samples = [segment(0, 100), other, segment(100, 100)];
    assert_eq!(counts(OFFLOAD, &samples), [1, 2]);
}

#[test]
fn frame_of_unknown_flow_comes_after_all_that_came_before_it() {
    let mut fragment = datagram(1, 9);
    fragment.fragment = 100;
    let samples = [
        datagram(1, 1),
        datagram(2, 1),
        fragment,
        datagram(1, 2),
        datagram(2, 2),
    ];
    assert_eq!(counts(OFFLOAD, &samples), [1; 5]);
    let mut notes = Notes::default();
    let fragment = samples[2].frame();
    push_all(
        &mut notes,
        &mut [
            (NO_USO, segment(0, 10).frame()),
            (OFFLOAD, samples[0].frame()),
            (OFFLOAD, fragment.clone()),
            (NO_USO, segment(10, 10).frame()),
        ],
    );
    assert_eq!(notes.written[1], (OFFLOAD, fragment, 1));
    assert_eq!(
        notes.written[2].2, 2,
        "another port's frames go on being held"
    );
}

#[test]
fn frame_alone_is_written_as_it_is() {
    // With what the engine or the sender left in its header, even in a field that is only a hint.
    let frame = datagram(1, 1).frame();
    let mut notes = Notes::default();
    push_all(&mut notes, &mut [(OFFLOAD, frame.clone())]);
    assert_eq!(notes.written, [(OFFLOAD, frame.clone(), 1)]);
    let vnet = VnetHdr::parse(*frame.first_chunk().unwrap()).unwrap();
    Output::write_through(&mut notes, OFFLOAD, &vnet, &mut frame.clone());
    Output::write_through(&mut notes, PLAIN, &vnet, &mut frame.clone());
    assert_eq!(
        notes.written[1..],
        [(OFFLOAD, frame.clone(), 1), (PLAIN, frame, 1)]
    );
}

#[test]
fn refused_write_costs_every_frame_in_it() {
    let mut notes = Notes {
        refused: Some(1),
        ..Notes::default()
    };
    let samples = (0..30).map(|n| (OFFLOAD, datagram(n % 3, n / 3).frame()));
    push_all(&mut notes, &mut samples.collect::<Vec<_>>());
    assert_eq!((notes.written.len(), notes.lost), (2, 10));
}

#[test]
fn nothing_is_allocated() {
    #[derive(Default)]
    struct Count {
        writes: usize,
        frames: usize,
    }
    impl Egress for Count {
        fn has_vnet_hdr(&self, _: PortId) -> bool {
            true
        }
        fn takes(&self, _: PortId, _: GsoType) -> bool {
            true
        }
        fn write(&mut self, _: PortId, _: &[IoSlice<'_>], count: usize) {
            self.writes += 1;
            self.frames += count;
        }
        fn write_cut(&mut self, _: PortId, _: &VnetHdr, _: &mut [u8]) {}
    }
    let mut frames: Vec<_> = (0..200).map(|n| datagram(n % 5, n / 5).frame()).collect();
    let vnet = VnetHdr::parse(*frames[0].first_chunk().unwrap()).unwrap();
    let mut count = Count::default();
    let info = allocation_counter::measure(|| {
        let mut output = Output::new();
        for frame in &mut frames {
            output.push(&mut count, OFFLOAD, &vnet, frame);
        }
        output.flush(&mut count);
    });
    assert_eq!((count.writes, count.frames), (20, 200));
    assert_eq!(info.count_total, 0);
}

/// One step of a random sender: mostly it goes on as a sender does, and sometimes not.
#[derive(Clone, Debug)]
struct Step {
    flow: usize,
    /// How many packets' worth it hands over at once.
    packets: usize,
    is_short: bool,
    push: bool,
    is_whole: bool,
    is_bare_ack: bool,
    oddity: Option<(u8, u8)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..FLOWS.len(),
        prop_oneof![6 => Just(1usize), 1 => 2usize..5, 1 => 20usize..40],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.15, (any::<u8>(), any::<u8>())),
    );
    let step = step.prop_map(
        |(flow, packets, is_short, push, is_whole, is_bare_ack, oddity)| Step {
            flow,
            packets,
            is_short,
            push,
            is_whole,
            is_bare_ack,
            oddity,
        },
    );
    prop::collection::vec(step, 1..180)
}

/// A flow of the random sender: where it goes, and what it is.
struct Kind {
    port: PortId,
    is_udp: bool,
    is_v6: bool,
    dont_fragment: bool,
    size: usize,
}

const FLOWS: [Kind; 8] = {
    const fn kind(
        port: PortId,
        is_udp: bool,
        is_v6: bool,
        dont_fragment: bool,
        size: usize,
    ) -> Kind {
        Kind {
            port,
            is_udp,
            is_v6,
            dont_fragment,
            size,
        }
    }
    [
        kind(OFFLOAD, true, false, false, 64),
        kind(OFFLOAD, true, false, true, 1400),
        kind(OFFLOAD, false, false, true, 1448),
        kind(OFFLOAD, false, true, true, 101),
        kind(OFFLOAD, false, false, false, 8),
        kind(NO_USO, true, false, true, 64),
        kind(NO_USO, false, false, true, 500),
        kind(PLAIN, false, false, true, 90),
    ]
};

/// What a flow has sent so far.
#[derive(Clone, Copy, Default)]
struct Sent {
    sequence: u32,
    ident: u16,
    byte: u8,
}

/// Does to a packet what a sender seldom does.
fn distort(sample: &mut Sample, what: u8, by: u8) {
    match what % 17 {
        0 => sample.traffic_class ^= by,
        1 => sample.hop_limit ^= by,
        2 => sample.ident = sample.ident.wrapping_add(u16::from(by)),
        3 => sample.dont_fragment ^= true,
        4 => sample.flags ^= by & 0xf7,
        5 => sample.acknowledgement ^= u32::from(by),
        6 => sample.window ^= u16::from(by),
        7 => sample.sequence = sample.sequence.wrapping_add(u32::from(by)),
        8 => sample.options = vec![1; usize::from(by % 10) * 4],
        9 => sample.checksum = Checksum::WrongPartial,
        10 if sample.gso_size.is_none() => sample.checksum = Checksum::WrongWhole,
        11 if sample.gso_size.is_none() && sample.is_udp => sample.checksum = Checksum::Absent,
        12 if sample.gso_size.is_none() && !sample.is_v6 => sample.fragment = u16::from(by % 4),
        13 if sample.gso_size.is_none() => sample.is_ip_sum_wrong = true,
        14 if !sample.is_v6 => sample.ip_options = vec![1; usize::from(by % 4) * 4],
        15 => sample.reserved = by & 1,
        16 => sample.flow_label = by,
        _ => {}
    }
}

fn samples(steps: &[Step]) -> Vec<(PortId, Sample)> {
    let mut sent = [Sent::default(); FLOWS.len()];
    let make = |step: &Step| {
        let (kind, sent) = (&FLOWS[step.flow], &mut sent[step.flow]);
        let mut len = kind.size * step.packets.min(60_000 / kind.size);
        if step.is_short {
            len = len - kind.size + 1 + usize::from(sent.byte) % kind.size;
        }
        if step.is_bare_ack && !kind.is_udp {
            len = 0;
        }
        sent.byte = sent.byte.wrapping_mul(31).wrapping_add(7);
        let payload: Vec<u8> = (0..len).map(|at| sent.byte ^ at.to_le_bytes()[0]).collect();
        let mut sample = if kind.is_udp {
            Sample::udp(sent.ident, &payload)
        } else {
            Sample::tcp(sent.sequence, &payload)
        };
        sample.is_v6 = kind.is_v6;
        sample.ident = sent.ident;
        sample.dont_fragment = kind.dont_fragment;
        sample.ports = [5000 + u16::try_from(step.flow).unwrap(), 443];
        if step.push && !kind.is_udp {
            sample.flags |= 8;
        }
        if len > kind.size {
            sample.gso_size = Some(u16::try_from(kind.size).unwrap());
        } else if step.is_whole {
            sample.checksum = Checksum::Whole;
        }
        let packets = u16::try_from(len.div_ceil(kind.size).max(1)).unwrap();
        sent.ident = sent.ident.wrapping_add(packets);
        sent.sequence = sent.sequence.wrapping_add(u32::try_from(len).unwrap());
        if let Some((what, by)) = step.oddity {
            distort(&mut sample, what, by);
        }
        (kind.port, sample)
    };
    steps.iter().map(make).collect()
}

/// By what a receiver knows a flow; `None` for a fragment that is not the first.
fn flow_of(packet: &[u8]) -> Option<Vec<u8>> {
    let at = ip_len(packet);
    if packet[0] >> 4 == 6 {
        return Some([&packet[6..7], &packet[8..44]].concat());
    }
    if packet[6] & 0x3f != 0 || packet[7] != 0 {
        return None;
    }
    let ports = &packet[at..at + 4];
    Some([&[protocol(packet)], &packet[12..20], ports].concat())
}

/// The packets of one flow towards one port between two packets that do not say whose they are.
type Stretch = (PortId, usize, Vec<u8>, Vec<Vec<u8>>);

fn stretches<'f>(frames: impl Iterator<Item = (PortId, &'f [u8])>) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    let mut strays = [0; 3];
    for (port, frame) in frames {
        for packet in cut(frame) {
            let strays = &mut strays[usize::from(port.0)];
            let flow = flow_of(&packet);
            *strays += usize::from(flow.is_none());
            let flow = flow.unwrap_or_default();
            let packet = essence(&packet);
            let found = all
                .iter_mut()
                .find(|of| (of.0, of.1, &of.2) == (port, *strays, &flow));
            match found {
                Some(of) => of.3.push(packet),
                None => all.push((port, *strays, flow, vec![packet])),
            }
        }
    }
    all.sort();
    all
}

/// Frames, how many leave, and how many packets are joined.
fn compare(steps: &[Step], batch: usize) -> (usize, usize) {
    let samples = samples(steps);
    let original: Vec<_> = samples
        .iter()
        .map(|(port, sample)| (*port, sample.frame()))
        .collect();
    let mut notes = Notes::default();
    for frames in original.clone().chunks_mut(batch) {
        push_all(&mut notes, frames);
    }
    let pushed = original
        .iter()
        .map(|(port, frame)| (*port, frame.as_slice()));
    let written = notes
        .written
        .iter()
        .map(|(port, frame, _)| (*port, frame.as_slice()));
    assert_eq!(stretches(written), stretches(pushed.clone()));
    let count: usize = notes.written.iter().map(|(.., count)| count).sum();
    assert_eq!(count, original.len(), "each frame is counted once");
    for (port, frame, count) in &notes.written {
        if *count > 1 {
            assert!(cut(frame).iter().all(|packet| is_sound(packet)));
            assert!(frame.len() <= vnet_hdr::LEN + 65_535);
            let is_udp = protocol(&frame[vnet_hdr::LEN..]) == 17;
            assert!(*port == OFFLOAD || (*port == NO_USO && !is_udp));
            assert!(!is_udp || cut(frame).len() <= 64);
            assert!(!packets::payload(&frame[vnet_hdr::LEN..]).is_empty());
        }
    }

    let mut refusing = Notes {
        refused: Some(1),
        ..Notes::default()
    };
    for frames in original.clone().chunks_mut(batch) {
        push_all(&mut refusing, frames);
    }
    let count: usize = refusing.written.iter().map(|(.., count)| count).sum();
    assert_eq!(
        count + refusing.lost,
        original.len(),
        "taken or counted as lost"
    );
    (original.len(), notes.written.len())
}

#[test]
fn sender_that_does_nothing_odd_has_most_of_it_joined() {
    let step = |n: usize| Step {
        flow: n % 5,
        packets: 1,
        is_short: false,
        push: false,
        is_whole: n.is_multiple_of(3),
        is_bare_ack: false,
        oddity: None,
    };
    let steps: Vec<_> = (0..160).map(step).collect();
    assert_eq!(
        compare(&steps, 64),
        (160, 15),
        "three batches of five flows"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn packets_leave_as_if_sent_one_by_one(steps in steps(), batch in 1usize..180) {
        compare(&steps, batch);
    }
}
