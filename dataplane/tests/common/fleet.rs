//! Several engines that share the work, and one alone that does all of it.

use super::packets::*;
use super::world::*;
use postern_dataplane::engine::{
    Emitted, Engine, EngineConfig, FlowView, Frame, Share, SweepReport, Verdict,
};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_dataplane::snat::PoolView;
use postern_dataplane::stats::Counters;
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Engines of which each packet goes to the one that owns it, whoever reads it.
pub struct Fleet {
    pub engines: Vec<Engine>,
    pub share: Share,
    /// How many packets were read: the reader is another one each time.
    read: usize,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// The packet as it left, or as it came.
    pub packet: Vec<u8>,
    /// What engines made or cut.
    pub emitted: Vec<Emitted>,
}

impl Fleet {
    pub fn new(config: EngineConfig, snapshot: &Arc<Snapshot>, workers: usize) -> Self {
        let share = Share::new(&config, workers);
        let engine = |index| Engine::with_share(config, Arc::clone(snapshot), &share, index);
        Self {
            engines: (0..workers).map(engine).collect(),
            share,
            read: 0,
        }
    }

    /// Returns one engine alone.
    pub fn one(config: EngineConfig, snapshot: &Arc<Snapshot>) -> Self {
        Self {
            engines: vec![Engine::new(config, Arc::clone(snapshot))],
            share: Share::new(&config, 1),
            read: 0,
        }
    }

    /// Processes a packet that came in by `port`. What is forwarded must have the same owner before and
    /// after, unless it is a fragment: later ones do not tell.
    #[track_caller]
    pub fn process(&mut self, now: u64, port: PortId, packet: &[u8]) -> Outcome {
        let now = Now::from_millis(now);
        self.read += 1;
        let reader = self.read % self.engines.len();
        let owner = self.share.owner(now, port, packet, reader);
        let mut bytes = [&[0; Frame::HEADROOM], packet].concat();
        let mut frame = Frame::with_room(VnetHdr::default(), &mut bytes, Frame::HEADROOM);
        let verdict = self.engines[owner].process(now, port, &mut frame);
        let left = frame.packet().to_vec();
        if let Verdict::Forward(out) = verdict {
            assert_checksums(&left);
            let place = u16::from_be_bytes([left[6], left[7]]) & 0x3fff;
            let is_fragment = left[0] >> 4 == 4 && place != 0;
            if !is_fragment {
                let after = self.share.owner(now, out, &left, reader);
                assert_eq!(after, owner, "answers have another owner");
            }
        }
        Outcome {
            verdict,
            packet: left,
            emitted: self.emitted(),
        }
    }

    /// Returns what was made, in no order.
    pub fn emitted(&mut self) -> Vec<Emitted> {
        let engines = self.engines.iter_mut();
        engines
            .flat_map(|engine| std::iter::from_fn(|| engine.take_emitted()))
            .collect()
    }

    pub fn pass_time(&mut self, now: u64) {
        for engine in &mut self.engines {
            engine.advance(Now::from_millis(now), usize::MAX);
        }
    }

    /// Puts a policy in force and returns the reports, added up.
    pub fn install(&mut self, now: u64, snapshot: &Arc<Snapshot>) -> SweepReport {
        let mut sum: Option<SweepReport> = None;
        for engine in &mut self.engines {
            engine.install(Arc::clone(snapshot));
            let report = engine.advance(Now::from_millis(now), usize::MAX).unwrap();
            sum = Some(sum.map_or(report, |sum| sum.merged(report)));
        }
        sum.unwrap()
    }

    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for engine in &self.engines {
            sum.add(engine.counters());
        }
        sum
    }

    pub fn snat(&self) -> Vec<PoolView> {
        self.engines[0].snat()
    }

    /// Returns every flow, with 0 for public ports and for those of native flows, which are chosen.
    pub fn flows(&self) -> Vec<String> {
        let views = self.engines.iter();
        let views = views.flat_map(|engine| engine.flows(None, usize::MAX));
        let mut texts: Vec<String> = views
            .map(|mut view: FlowView| {
                if is_public(*view.translated_source.ip()) || view.egress == SVC {
                    view.translated_source.set_port(0);
                }
                format!("{view:?}")
            })
            .collect();
        texts.sort();
        texts
    }
}

/// Addresses of the shared source.
pub const PUBLIC: [&str; 2] = [POOL, "20.200.0.2"];

fn is_public(address: Ipv4Addr) -> bool {
    PUBLIC.iter().any(|public| ip(public) == address)
}

/// Returns a packet that leaves by `out` without what a random choice decided: the port of a public
/// address, that of a native flow on the service's side, and the sum over it.
pub fn masked(out: PortId, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        mask(&mut packet, out == SVC);
    }
    packet
}

/// Masks a packet, and returns whether there was anything to mask.
fn mask(packet: &mut [u8], is_service: bool) -> bool {
    if u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff != 0 {
        return false;
    }
    let (from, to) = (is_public(source(packet)), is_public(destination(packet)));
    let is_masked = from || to || is_service;
    let kind = (packet[9], packet[20]);
    let mut clear = |is_masked: bool, at: usize| {
        if is_masked && let Some(field) = packet.get_mut(at..at + 2) {
            field.fill(0);
        }
    };
    match kind {
        (protocol @ (6 | 17), _) => {
            clear(from || is_service, 20);
            clear(to || is_service, 22);
            clear(is_masked, if protocol == 6 { 36 } else { 26 });
            is_masked
        }
        (1, 0 | 8) => {
            clear(is_masked, 24);
            clear(is_masked, 22);
            is_masked
        }
        (1, _) => {
            let is_masked = mask(&mut packet[28..], is_service);
            packet[22..24].fill(0);
            is_masked
        }
        _ => false,
    }
}
