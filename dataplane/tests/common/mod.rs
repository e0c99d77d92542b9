//! A whole port without privileges: packets in, verdicts, packets and every counter out.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

pub mod fleet;
pub mod nat;
pub mod packets;
pub mod rich;
pub mod tunnel;
pub mod world;

use packets::{assert_checksums, completed};
use postern_dataplane::engine::{Emitted, Engine, EngineConfig, Frame, SweepReport, Verdict};
use postern_dataplane::policy::{Direction, PortId, Snapshot};
use postern_dataplane::stats::{DropReason, PortCounters};
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the counters must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Expected {
    /// Received frames and bytes, sent frames and bytes, made frames, by port.
    ports: BTreeMap<u16, [u64; 5]>,
    drops: BTreeMap<(u16, String, &'static str), u64>,
}

pub struct Rig {
    pub engine: Engine,
    pub now: u64,
    expected: Expected,
    collected: Vec<Emitted>,
}

/// Sends a packet through an engine without looking at checksums or counters; it must leave by
/// `out`. Returns it.
#[track_caller]
pub fn through(engine: &mut Engine, port: PortId, packet: &[u8], out: PortId) -> Vec<u8> {
    let mut bytes = [&[0; Frame::HEADROOM], packet].concat();
    let mut frame = Frame::with_room(VnetHdr::default(), &mut bytes, Frame::HEADROOM);
    let verdict = engine.process(Now::from_millis(1), port, &mut frame);
    assert_eq!(verdict, Verdict::Forward(out));
    frame.packet().to_vec()
}

impl Rig {
    pub fn new(snapshot: Snapshot) -> Self {
        Self::with(
            EngineConfig {
                max_flows: 4096,
                seed: 7,
            },
            snapshot,
        )
    }

    pub fn with(config: EngineConfig, snapshot: Snapshot) -> Self {
        let engine = Engine::new(config, Arc::new(snapshot));
        Self {
            engine,
            now: 1_000,
            expected: Expected::default(),
            collected: vec![],
        }
    }

    fn clock(&self) -> Now {
        Now::from_millis(self.now)
    }

    /// Sends a packet in by `port`; it must leave by `out`, with right checksums. Returns it.
    #[track_caller]
    pub fn forward(&mut self, port: PortId, packet: &[u8], out: PortId) -> Vec<u8> {
        self.forward_frame(port, VnetHdr::default(), packet, out)
    }

    #[track_caller]
    pub fn forward_frame(
        &mut self,
        port: PortId,
        vnet: VnetHdr,
        packet: &[u8],
        out: PortId,
    ) -> Vec<u8> {
        let (after, bytes) = self.cross(port, vnet, packet, out);
        assert_eq!(after, vnet, "the header of the frame stays");
        bytes
    }

    /// Sends a frame in by `port`; it must leave by `out`, with right checksums. Returns it as it
    /// left.
    #[track_caller]
    pub fn cross(
        &mut self,
        port: PortId,
        vnet: VnetHdr,
        packet: &[u8],
        out: PortId,
    ) -> (VnetHdr, Vec<u8>) {
        let mut bytes = [&[0; Frame::HEADROOM], packet].concat();
        let mut frame = Frame::with_room(vnet, &mut bytes, Frame::HEADROOM);
        let verdict = self.engine.process(self.clock(), port, &mut frame);
        assert_eq!(verdict, Verdict::Forward(out));
        let (vnet, sent) = (frame.vnet, frame.packet().to_vec());
        assert_checksums(&completed(vnet, &sent));
        let counts = self.expected.ports.entry(port.0).or_default();
        counts[0] += 1;
        counts[1] += packet.len() as u64;
        let counts = self.expected.ports.entry(out.0).or_default();
        counts[2] += 1;
        counts[3] += sent.len() as u64;
        self.check();
        (vnet, sent)
    }

    /// Sends a packet in by `port`; it must leave by `out` in fragments. Returns them.
    #[track_caller]
    pub fn cut(&mut self, port: PortId, vnet: VnetHdr, packet: &[u8], out: PortId) -> Vec<Vec<u8>> {
        let mut bytes = packet.to_vec();
        let mut frame = Frame::new(vnet, &mut bytes);
        let verdict = self.engine.process(self.clock(), port, &mut frame);
        assert_eq!(verdict, Verdict::Cut(out));
        let counts = self.expected.ports.entry(port.0).or_default();
        counts[0] += 1;
        counts[1] += packet.len() as u64;
        let mut parts = vec![];
        while let Some(Emitted { port, packet }) = self.engine.take_emitted() {
            assert_eq!(port, out);
            assert_checksums(&packet);
            parts.push(packet);
        }
        let counts = self.expected.ports.entry(out.0).or_default();
        counts[2] += parts.len() as u64;
        counts[3] += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        self.check();
        parts
    }

    /// Sends a packet in by `port`; it must be dropped there for `reason`, untouched.
    #[track_caller]
    pub fn drop(&mut self, port: PortId, packet: &[u8], reason: DropReason) {
        let is_nic = self.engine.snapshot().nic(port).is_some();
        let direction = if is_nic {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        self.drop_at(port, VnetHdr::default(), packet, (port, direction, reason));
    }

    #[track_caller]
    pub fn drop_at(
        &mut self,
        port: PortId,
        vnet: VnetHdr,
        packet: &[u8],
        (at, direction, reason): (PortId, Direction, DropReason),
    ) {
        let mut bytes = [&[0; Frame::HEADROOM], packet].concat();
        let mut frame = Frame::with_room(vnet, &mut bytes, Frame::HEADROOM);
        let verdict = self.engine.process(self.clock(), port, &mut frame);
        assert_eq!(verdict, Verdict::Drop(reason));
        assert_eq!(
            frame.packet(),
            packet,
            "a dropped packet is left as it came"
        );
        let counts = self.expected.ports.entry(port.0).or_default();
        counts[0] += 1;
        counts[1] += packet.len() as u64;
        let key = (at.0, format!("{direction:?}"), reason.name());
        *self.expected.drops.entry(key).or_default() += 1;
        self.collect_made();
        self.check();
    }

    /// Sends a packet in by `port`, whatever becomes of it, and counts that. Not every counter is compared:
    /// see [`Self::check`].
    pub fn send_any(&mut self, port: PortId, packet: &[u8]) -> Verdict {
        let mut bytes = [&[0; Frame::HEADROOM], packet].concat();
        let mut frame = Frame::with_room(VnetHdr::default(), &mut bytes, Frame::HEADROOM);
        let verdict = self.engine.process(self.clock(), port, &mut frame);
        let counts = self.expected.ports.entry(port.0).or_default();
        counts[0] += 1;
        counts[1] += packet.len() as u64;
        match verdict {
            Verdict::Forward(out) => {
                let counts = self.expected.ports.entry(out.0).or_default();
                counts[2] += 1;
                counts[3] += frame.packet().len() as u64;
            }
            Verdict::Cut(_) => panic!("a flood is of small packets"),
            Verdict::Drop(reason) => {
                let direction = match self.engine.snapshot().nic(port) {
                    Some(_) => Direction::Outbound,
                    None => Direction::Inbound,
                };
                let key = (port.0, format!("{direction:?}"), reason.name());
                *self.expected.drops.entry(key).or_default() += 1;
            }
        }
        verdict
    }

    /// Takes the packets that the engine made, so that they are counted with what caused them.
    #[track_caller]
    fn collect_made(&mut self) {
        while let Some(emitted) = self.engine.take_emitted() {
            assert_checksums(&emitted.packet);
            self.expected.ports.entry(emitted.port.0).or_default()[4] += 1;
            self.collected.push(emitted);
        }
    }

    /// Returns the packets that the engine made since the last call.
    #[track_caller]
    pub fn made(&mut self) -> Vec<Emitted> {
        self.collect_made();
        self.check();
        std::mem::take(&mut self.collected)
    }

    /// Lets time pass.
    pub fn pass_time(&mut self, millis: u64) {
        self.now += millis;
        let now = self.clock();
        self.engine.advance(now, usize::MAX);
    }

    /// Installs a policy and sweeps.
    pub fn apply(&mut self, snapshot: Snapshot) -> SweepReport {
        self.engine.install(Arc::new(snapshot));
        let now = self.clock();
        loop {
            if let Some(report) = self.engine.advance(now, 3) {
                return report;
            }
        }
    }

    #[track_caller]
    pub fn check(&self) {
        let mut actual = Expected::default();
        for port in 0..64u16 {
            let Some(counters) = self.engine.counters().port(PortId(port)) else {
                continue;
            };
            let &PortCounters {
                received_frames,
                received_bytes,
                sent_frames,
                sent_bytes,
                made_frames,
                ..
            } = counters;
            let counts = [
                received_frames,
                received_bytes,
                sent_frames,
                sent_bytes,
                made_frames,
            ];
            if counts != [0; 5] {
                actual.ports.insert(port, counts);
            }
            for (direction, reason, count) in counters.drops() {
                actual
                    .drops
                    .insert((port, format!("{direction:?}"), reason.name()), count);
            }
        }
        assert_eq!(actual, self.expected);
    }
}
