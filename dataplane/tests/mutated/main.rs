//! Packets that are wrong in ways that their structure allows, through an engine with everything: no
//! panic, every packet accounted for, and what leaves is a packet.
//!
//! A million packets here; `scripts/mutated.sh` sends a hundred million. `POSTERN_PACKETS` says how many,
//! `POSTERN_SEED` where randomness begins. Should it fail, it prints the seed, the step and the packet.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code: what is not as it should be stops the test"
)]

#[path = "../common/mod.rs"]
mod common;
mod craft;
mod sums;

use common::rich::{POLICIES, rich};
use craft::{Input, is_v4, word};
use postern_dataplane::engine::{Engine, EngineConfig, Frame, SourceKind, Verdict};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_dataplane::time::Now;
use postern_dataplane::wire::{GsoType, VnetHdr};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// Packets of one engine; then another one begins, with another seed.
const PER_ENGINE: u64 = 100_000;
const MAX_FLOWS: u32 = 300;
/// How many of the last packets are answered, repeated and quoted.
const REMEMBERED: usize = 48;

/// What became of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    received: u64,
    received_bytes: u64,
    sent: u64,
    sent_bytes: u64,
    made: u64,
    drops: BTreeMap<&'static str, u64>,
}

struct Lab {
    seed: u64,
    step: u64,
    rng: StdRng,
    engine: Engine,
    now: u64,
    epoch: u32,
    policies: Vec<Arc<Snapshot>>,
    queue: VecDeque<Input>,
    /// What left and came of late.
    left: Vec<(u16, Vec<u8>)>,
    came: Vec<Input>,
    at_hand: Option<Input>,
    expected: Tally,
    /// Forwarded, cut and dropped.
    verdicts: [u64; 3],
    reasons: BTreeMap<&'static str, u64>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "POSTERN_SEED={} step {}: {:x?}",
                self.seed, self.step, self.at_hand
            );
        }
    }
}

impl Lab {
    fn new(seed: u64) -> Self {
        let config = EngineConfig {
            max_flows: MAX_FLOWS,
            seed,
        };
        Self {
            seed,
            step: 0,
            rng: StdRng::seed_from_u64(seed),
            engine: Engine::new(config, Arc::new(rich(0))),
            now: 1_000,
            epoch: 0,
            policies: (0..POLICIES).map(|kind| Arc::new(rich(kind))).collect(),
            queue: VecDeque::new(),
            left: vec![],
            came: vec![],
            at_hand: None,
            expected: Tally::default(),
            verdicts: [0; 3],
            reasons: BTreeMap::new(),
        }
    }

    fn next(&mut self) -> Input {
        if let Some(input) = self.queue.pop_front() {
            return input;
        }
        let rng = &mut self.rng;
        let of_late = |rng: &mut StdRng, left: &[(u16, Vec<u8>)]| {
            let at = rng.random_range(0..left.len().max(1));
            left.get(at).cloned()
        };
        let made = match rng.random_range(0..100) {
            0..40 => {
                of_late(rng, &self.left).and_then(|(port, got)| craft::answer(rng, port, &got))
            }
            40..50 => {
                of_late(rng, &self.left).and_then(|(port, got)| craft::error(rng, port, &got))
            }
            50..57 => {
                let at = rng.random_range(0..self.came.len().max(1));
                self.came.get(at).cloned()
            }
            57..60 => Some(craft::from_service(rng)),
            60..65 => {
                let whole = craft::fresh(rng);
                self.queue.extend(craft::fragments(rng, &whole));
                self.queue.pop_front()
            }
            _ => None,
        };
        let mut input = made.unwrap_or_else(|| craft::fresh(rng));
        if rng.random_bool(0.55) {
            for _ in 0..rng.random_range(1..4) {
                craft::mutate(rng, &mut input);
            }
            // A wrong sum hides all other wrongs.
            if rng.random_bool(0.7) {
                sums::fix_header(&mut input.packet);
            }
            if rng.random_bool(0.5) && !input.vnet.needs_csum {
                sums::fix(&mut input.packet);
            }
        }
        input
    }

    fn send(&mut self) {
        self.step += 1;
        let input = self.next();
        self.at_hand = Some(input.clone());
        let before = &input.packet;
        let mut bytes = [&[0; Frame::HEADROOM], &before[..]].concat();
        let mut frame = Frame::with_room(input.vnet, &mut bytes, Frame::HEADROOM);
        let now = Now::from_millis(self.now);
        let verdict = self.engine.process(now, PortId(input.port), &mut frame);
        self.expected.received += 1;
        self.expected.received_bytes += before.len() as u64;
        match verdict {
            Verdict::Forward(out) => {
                self.verdicts[0] += 1;
                let (vnet, packet) = (frame.vnet, frame.packet().to_vec());
                self.expected.sent += 1;
                self.expected.sent_bytes += packet.len() as u64;
                self.check_left(&input, out, vnet, &packet);
                remember(&mut self.rng, &mut self.left, (out.0, packet));
            }
            Verdict::Cut(out) => self.take_pieces(out),
            Verdict::Drop(reason) => {
                self.verdicts[2] += 1;
                *self.reasons.entry(reason.name()).or_default() += 1;
                *self.expected.drops.entry(reason.name()).or_default() += 1;
                assert_eq!(
                    frame.packet(),
                    before,
                    "a dropped packet is left as it came"
                );
                assert_eq!(frame.vnet, input.vnet);
            }
        }
        self.take_made();
        remember(&mut self.rng, &mut self.came, input);
    }

    /// What leaves is a packet, and its sums are right if they were right when it came.
    fn check_left(&self, input: &Input, out: PortId, vnet: VnetHdr, packet: &[u8]) {
        let port = self.engine.snapshot().port(out).unwrap();
        assert_ne!(out.0, input.port, "nothing goes back where it came from");
        let headers = self.check_shape(vnet, packet);
        let len = match vnet.gso_type {
            GsoType::None => packet.len(),
            _ => packet.len().min(headers + usize::from(vnet.gso_size)),
        };
        assert!(len <= usize::from(port.mtu), "{len} does not fit");
        let came = sums::are_right(input.vnet.needs_csum, &input.packet);
        let left = sums::are_right(vnet.needs_csum, packet);
        // A header that was made anew has a right sum whatever the old one had.
        let is_same_family = is_v4(&input.packet) == is_v4(packet);
        if came.0 == Some(true) || !is_same_family {
            assert_ne!(left.0, Some(false), "sum of the header");
        }
        if came.1 == Some(true) {
            assert_ne!(left.1, Some(false), "sum of the segment");
        }
    }

    /// Returns the length of the headers.
    fn check_shape(&self, vnet: VnetHdr, packet: &[u8]) -> usize {
        let (start, protocol) = if is_v4(packet) {
            assert_eq!(usize::from(word(packet, 2)), packet.len());
            let start = usize::from(packet[0] & 15) * 4;
            assert!((20..=packet.len()).contains(&start));
            let (source, destination) = craft::addresses(packet).unwrap();
            assert!(source != destination, "nobody talks to himself");
            assert!(!source.is_multicast() && !source.is_loopback() && !source.is_broadcast());
            (start, packet[9])
        } else {
            assert_eq!(packet[0] >> 4, 6);
            assert_eq!(usize::from(word(packet, 4)) + 40, packet.len());
            assert_eq!(packet[6], 6, "TCP alone goes over IPv6");
            (40, packet[6])
        };
        if vnet.needs_csum {
            assert_eq!(usize::from(vnet.csum_start), start);
            assert!(start + usize::from(vnet.csum_offset) + 2 <= packet.len());
        }
        let is_later = is_v4(packet) && word(packet, 6) & 0x1fff != 0;
        let of_segment = match protocol {
            _ if is_later => 0,
            6 => usize::from(packet[start + 12] >> 4) * 4,
            _ => 8,
        };
        assert!(start + of_segment <= packet.len(), "headers are all there");
        start + of_segment
    }

    fn take_pieces(&mut self, out: PortId) {
        self.verdicts[1] += 1;
        let mtu = self.engine.snapshot().port(out).unwrap().mtu;
        let mut any = false;
        let mut made = vec![];
        while let Some(emitted) = self.engine.take_emitted() {
            let packet = emitted.packet;
            let is_piece = is_v4(&packet) && word(&packet, 6) & 0x3fff != 0;
            if !is_piece || emitted.port != out {
                made.push((emitted.port.0, packet));
                continue;
            }
            assert!(packet.len() <= usize::from(mtu));
            self.check_shape(VnetHdr::default(), &packet);
            assert_eq!(sums::are_right(false, &packet).0, Some(true));
            self.expected.sent += 1;
            self.expected.sent_bytes += packet.len() as u64;
            any = true;
        }
        assert!(any, "what is cut leaves in pieces");
        for (port, packet) in made {
            self.take_one_made(port, packet);
        }
    }

    fn take_made(&mut self) {
        while let Some(emitted) = self.engine.take_emitted() {
            self.take_one_made(emitted.port.0, emitted.packet);
        }
    }

    fn take_one_made(&mut self, port: u16, packet: Vec<u8>) {
        assert!(self.engine.snapshot().port(PortId(port)).is_some());
        let (header, body) = sums::are_right(false, &packet);
        assert!(header != Some(false) && body == Some(true), "{packet:x?}");
        self.expected.made += 1;
        remember(&mut self.rng, &mut self.left, (port, packet));
    }

    /// Lets time pass and policies change.
    fn go_on(&mut self) {
        self.now += match self.rng.random_range(0..2_000) {
            0 => self.rng.random_range(10_000..400_000),
            1..20 => self.rng.random_range(100..20_000),
            _ => self.rng.random_range(0..40),
        };
        if self.step.is_multiple_of(32) {
            let budget = self.rng.random_range(1..64);
            self.engine.advance(Now::from_millis(self.now), budget);
            self.take_made();
        }
        if self.rng.random_range(0..1_500) == 0 {
            let kind = self.rng.random_range(0..POLICIES);
            self.change_to(kind);
            if self.rng.random() {
                self.sweep();
            }
        }
    }

    fn sweep(&mut self) {
        while self.engine.is_sweeping() {
            self.engine.advance(Now::from_millis(self.now), 1_000);
            self.take_made();
        }
    }

    /// Returns what the engine counted, at one port or at all of them.
    fn counted(&self, ports: impl Iterator<Item = u16>) -> Tally {
        let mut counted = Tally::default();
        for port in ports {
            let Some(counters) = self.engine.counters().port(PortId(port)) else {
                continue;
            };
            counted.received += counters.received_frames;
            counted.received_bytes += counters.received_bytes;
            counted.sent += counters.sent_frames;
            counted.sent_bytes += counters.sent_bytes;
            counted.made += counters.made_frames;
            for (_, reason, count) in counters.drops() {
                *counted.drops.entry(reason.name()).or_default() += count;
            }
        }
        counted
    }

    /// Compares counters with what was seen, flows with what was opened, and leases with flows.
    fn audit(&self) {
        assert_eq!(self.counted(0..64), self.expected, "counters");
        let [forwarded, cut, dropped] = self.verdicts;
        assert_eq!(
            self.step,
            forwarded + cut + dropped,
            "in is out and dropped"
        );
        assert!(self.engine.flow_count() <= MAX_FLOWS as usize);
        let flows = self.engine.flows(None, usize::MAX);
        assert_eq!(flows.len(), self.engine.flow_count());
        let rests = ["cut", "denied", "held"];
        let live = flows.iter().filter(|flow| !rests.contains(&flow.state));
        let counters = self.engine.counters();
        assert_eq!(
            counters.flows_opened,
            counters.flows_ended
                + counters.flows_closed
                + counters.flows_evicted
                + live.count() as u64,
            "flows"
        );
        let mut leases = BTreeMap::<(u32, u8), HashSet<u16>>::new();
        for flow in flows
            .iter()
            .filter(|flow| flow.source_kind == SourceKind::Shared)
        {
            let at = (u32::from(*flow.translated_source.ip()), flow.protocol);
            leases
                .entry(at)
                .or_default()
                .insert(flow.translated_source.port());
        }
        for pool in self.engine.snat() {
            for (protocol, count) in [(6, pool.tcp), (17, pool.udp), (1, pool.icmp)] {
                let at = (u32::from(pool.address), protocol);
                let of_flows = leases.remove(&at).unwrap_or_default();
                assert_eq!(of_flows.len(), count as usize, "leases of {at:?}");
            }
        }
        assert!(leases.is_empty(), "every lease is in a pool");
    }

    /// Takes away what is counted of ports that come back and count from zero.
    fn forget_ports(&mut self, next: &Snapshot) {
        let old = Arc::clone(self.engine.snapshot());
        let anew =
            |port: &u16| next.port(PortId(*port)).is_some() && old.port(PortId(*port)).is_none();
        let gone = self.counted((0..64).filter(anew));
        self.expected.received -= gone.received;
        self.expected.received_bytes -= gone.received_bytes;
        self.expected.sent -= gone.sent;
        self.expected.sent_bytes -= gone.sent_bytes;
        self.expected.made -= gone.made;
        for (reason, count) in gone.drops {
            if let Some(all) = self.expected.drops.get_mut(reason) {
                *all -= count;
                if *all == 0 {
                    self.expected.drops.remove(reason);
                }
            }
        }
    }

    /// Lets everything end: no flow and no lease is left, and a NIC opens as many flows as it may.
    fn finish(&mut self) {
        self.queue.clear();
        self.change_to(7);
        self.sweep();
        for _ in 0..50 {
            self.now += 60_000;
            self.engine.advance(Now::from_millis(self.now), usize::MAX);
            self.take_made();
        }
        self.audit();
        assert_eq!(self.engine.flow_count(), 0, "flows are left");
        let leased = self.engine.snat();
        assert!(
            leased
                .iter()
                .all(|pool| pool.tcp + pool.udp + pool.icmp == 0)
        );
        let most = self.engine.snapshot().settings.max_nic_flows;
        for n in 0..most + 5 {
            let to = format!("8.8.8.8:{}", 1 + n);
            let packet = common::packets::udp("10.0.1.5:5000", &to, b"x");
            self.queue.push_back(Input {
                port: common::world::VM1.0,
                vnet: VnetHdr::default(),
                packet,
            });
            self.send();
        }
        assert_eq!(self.engine.flow_count(), most as usize, "places of a NIC");
    }

    fn change_to(&mut self, kind: u32) {
        self.audit();
        self.epoch += 1;
        let mut next = Snapshot::clone(&self.policies[kind as usize]);
        next.epoch.0 = self.epoch;
        self.forget_ports(&next);
        self.engine.install(Arc::new(next));
    }
}

fn remember<T>(rng: &mut StdRng, of_late: &mut Vec<T>, item: T) {
    if of_late.len() < REMEMBERED {
        of_late.push(item);
    } else {
        let at = rng.random_range(0..REMEMBERED);
        of_late[at] = item;
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn packets_are_forwarded_or_counted_whatever_is_wrong_with_them() {
    let all = number("POSTERN_PACKETS", 1_000_000);
    let first = number("POSTERN_SEED", 20_261_129);
    let (mut verdicts, mut reasons) = ([0; 3], BTreeMap::<&str, u64>::new());
    let (mut made, mut flows) = (0, 0);
    for n in 0..all.div_ceil(PER_ENGINE) {
        let mut lab = Lab::new(first + n);
        for _ in 0..PER_ENGINE.min(all - n * PER_ENGINE) {
            lab.send();
            lab.go_on();
        }
        lab.finish();
        for (sum, count) in verdicts.iter_mut().zip(lab.verdicts) {
            *sum += count;
        }
        for (reason, count) in &lab.reasons {
            *reasons.entry(reason).or_default() += count;
        }
        made += lab.expected.made;
        flows += lab.engine.counters().flows_opened;
    }
    let [forwarded, cut, dropped] = verdicts;
    println!(
        "first seed {first}: {all} packets, {forwarded} forwarded, {cut} cut, {dropped} dropped"
    );
    println!("{made} made of late, {flows} flows, dropped for {reasons:#?}");
    assert!(
        forwarded > all / 10 && cut > all / 5_000,
        "most of it is not refused at the door"
    );
    if all >= 500_000 {
        let never: Vec<_> = EXPECTED
            .iter()
            .filter(|name| !reasons.contains_key(*name))
            .collect();
        assert!(never.is_empty(), "never dropped for {never:?}");
    }
}

/// What has to happen for the test to be worth something.
const EXPECTED: &[&str] = &[
    "malformed",
    "bad_offload",
    "ipv6",
    "forged_identity",
    "bad_identity",
    "st_no_flow",
    "st_fragment",
    "not_ip",
    "protocol_unsupported",
    "encapsulated",
    "multicast",
    "icmp_unsupported",
    "no_port",
    "source_not_owned",
    "source_not_outside",
    "land",
    "nsg_denied_out",
    "route_none",
    "no_such_nic",
    "service_denied",
    "snat_exhausted",
    "nic_flow_limit",
    "tcp_no_flow",
    "no_flow",
    "service_initiated",
    "flow_closed",
    "icmp_no_flow",
    "icmp_checksum",
    "fragment_stray",
    "fragment_tiny",
    "fragment_overlap",
    "source_route",
    "ip_option",
    "too_big",
];
