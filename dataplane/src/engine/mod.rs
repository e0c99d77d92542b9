//! The engine: a frame and the time come in, a verdict and a rewritten frame go out.
//!
//! No I/O, no clock, no privileges. A *hit* is one lookup and one
//! [`Transposition`](crate::flow::Transposition); a *miss* goes through the layers of [`evaluate`] and installs both directions
//! at once. A hit by an older policy is judged again first ([`mod@reconcile`]), and a bounded
//! sweep does the same for flows without traffic. A hit allocates nothing and locks nothing.
//!
//! Several engines can do the work of one ([`Share`]): each has its own flows, and a packet goes to
//! the engine that has its flow.

mod admission;
mod bind;
mod cut;
pub mod evaluate;
mod flow_counts;
mod fragments;
mod frame;
mod icmp_error;
mod make;
mod miss;
mod openings;
mod ownership;
pub mod reconcile;
mod share;
mod sweep;
mod tunnel;
mod tunnel_error;
mod view;

pub use admission::{AccessEvent, merged_access};
pub use frame::Frame;
pub use share::Share;
pub use sweep::SweepReport;
pub use view::FlowView;

use crate::flow::{FlowKey, FlowTable, FragmentTable, Life, Pair, PairId, Parts, Side};
use crate::policy::{CloseMode, Direction, PortId, PortKind, Snapshot};
use crate::snat::PoolView;
use crate::stats::{Counters, DropReason};
use crate::time::Now;
use crate::wire::{Fragment, Headers, Transport, WireError};
use admission::AccessLog;
use openings::Openings;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::sync::Arc;
use sweep::Sweep;

pub use crate::flow::{Admission, RouteKind, ShareView, SourceKind, Tunnel};

/// What stays the same for an engine's life.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// How many flow pairs are taken at once, by all engines that share the work together.
    pub max_flows: u32,
    /// Where randomness begins: the flow table's hash and the choice of public ports. Secret, and
    /// new for each process, except in tests.
    pub seed: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_flows: 1 << 20,
            seed: 0,
        }
    }
}

/// What is to be done with a frame; it is counted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves by this port.
    Forward(PortId),
    /// It leaves by this port in fragments, which [`Engine::take_emitted`] returns.
    Cut(PortId),
    /// It does not leave.
    Drop(DropReason),
}

/// A packet that the engine made itself, or a fragment that it cut: complete, with its checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The port to leave by.
    pub port: PortId,
    /// The IP packet.
    pub packet: Vec<u8>,
}

/// The engine of one worker: it owns its flows and counters, and shares public ports with others.
#[derive(Debug)]
pub struct Engine {
    snapshot: Arc<Snapshot>,
    flows: FlowTable,
    /// Whose later fragments are whose, and which of them have passed.
    fragments: FragmentTable<((PairId, Side), Parts)>,
    share: Share,
    counters: Counters,
    emitted: VecDeque<Emitted>,
    access_log: AccessLog,
    openings: Openings,
    sweep: Option<Sweep>,
    rng: StdRng,
    /// When time was last let pass.
    advanced: Now,
    /// Whether flows may be due that there was no budget for then.
    has_due: bool,
}

/// Where a packet is dropped, and why.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    port: PortId,
    direction: Direction,
    reason: DropReason,
}

/// Why a frame does not leave as one.
#[derive(Clone, Copy, Debug)]
enum Unsent {
    /// It is dropped.
    Dropped(Dropped),
    /// It leaves by this port in fragments.
    Cut(PortId),
}

impl From<Dropped> for Unsent {
    fn from(dropped: Dropped) -> Self {
        Self::Dropped(dropped)
    }
}

impl From<evaluate::Denied> for Unsent {
    fn from(denied: evaluate::Denied) -> Self {
        Self::Dropped(denied.into())
    }
}

impl From<evaluate::Denied> for Dropped {
    fn from(denied: evaluate::Denied) -> Self {
        Self {
            port: denied.port,
            direction: denied.direction,
            reason: denied.reason,
        }
    }
}

/// Over what a packet came.
#[derive(Clone, Copy, Debug)]
enum Network {
    /// IPv4.
    V4,
    /// IPv6, from a service: between these addresses.
    V6(Tunnel),
}

/// The packet at hand and where it came from.
struct Context<'a, 'b> {
    now: Now,
    ingress: PortId,
    direction: Direction,
    headers: Headers,
    network: Network,
    frame: &'a mut Frame<'b>,
}

impl Context<'_, '_> {
    fn dropped(&self, reason: DropReason) -> Dropped {
        Dropped {
            port: self.ingress,
            direction: self.direction,
            reason,
        }
    }
}

impl Engine {
    /// Returns an engine without flows that decides by `snapshot`, and does all of the work.
    #[must_use]
    pub fn new(config: EngineConfig, snapshot: Arc<Snapshot>) -> Self {
        Self::with_share(config, snapshot, &Share::new(&config, 1), 0)
    }

    /// Returns the engine of worker `index` of those that have `share` in common, which was made of
    /// the same `config`. It must be given the packets that it owns, and no others:
    /// [`Share::owner`].
    #[must_use]
    pub fn with_share(
        config: EngineConfig,
        snapshot: Arc<Snapshot>,
        share: &Share,
        index: usize,
    ) -> Self {
        debug_assert!(index < share.workers(), "workers count from zero");
        Self {
            snapshot,
            flows: FlowTable::new(share.room(index), config.seed),
            fragments: FragmentTable::default(),
            share: share.clone(),
            counters: Counters::default(),
            emitted: VecDeque::new(),
            access_log: AccessLog::default(),
            openings: Openings::default(),
            sweep: None,
            // Engines that chose alike would try for the same public ports.
            rng: StdRng::seed_from_u64(config.seed.wrapping_add(index as u64)),
            advanced: Now::default(),
            has_due: false,
        }
    }

    /// Looks ahead at packets that came in by `port` and are about to be processed, at best some dozens:
    /// what memory holds of their flows is fetched for all of them at once. It changes nothing, and
    /// is worth nothing but time.
    pub fn anticipate<'p>(&self, port: PortId, packets: impl Iterator<Item = &'p [u8]>) {
        self.flows
            .touch(packets.filter_map(|packet| FlowKey::guess(port, packet)));
    }

    /// Decides on a frame that came in by `port`, rewrites it if it is forwarded, and counts it.
    ///
    /// The packet is left as it came if it is dropped. Afterwards [`Self::take_emitted`] may have
    /// packets of the engine's own.
    #[inline]
    pub fn process(&mut self, now: Now, port: PortId, frame: &mut Frame<'_>) -> Verdict {
        let len = frame.packet().len() as u64;
        if let Some(counters) = self.counters.port_mut(port) {
            counters.received_frames += 1;
            counters.received_bytes += len;
        }
        match self.decide(now, port, frame) {
            Ok(egress) => {
                if let Some(counters) = self.counters.port_mut(egress) {
                    counters.sent_frames += 1;
                    counters.sent_bytes += frame.packet().len() as u64;
                }
                Verdict::Forward(egress)
            }
            Err(Unsent::Cut(egress)) => Verdict::Cut(egress),
            Err(Unsent::Dropped(Dropped {
                port,
                direction,
                reason,
            })) => {
                self.counters.drop(port, direction, reason);
                Verdict::Drop(reason)
            }
        }
    }

    #[inline]
    fn decide(
        &mut self,
        now: Now,
        ingress: PortId,
        frame: &mut Frame<'_>,
    ) -> Result<PortId, Unsent> {
        let direction = self.direction(ingress);
        let headers = match Headers::parse(&frame.vnet, frame.packet()) {
            Ok(headers) => headers,
            Err(WireError::Ipv6) => return self.decide_v6(now, ingress, direction, frame),
            Err(error) => {
                let reason = reason_of(error);
                let port = ingress;
                return Err(Dropped {
                    port,
                    direction,
                    reason,
                }
                .into());
            }
        };
        let mut context = Context {
            now,
            ingress,
            direction,
            headers,
            network: Network::V4,
            frame,
        };
        if headers.transport == Transport::IcmpError {
            return self.translate_error(&mut context);
        }
        match headers.fragment {
            Fragment::Whole => {}
            Fragment::First => self.check_first(&context)?,
            Fragment::Later => return self.follow_fragment(&mut context),
        }
        let key = FlowKey::of(ingress, &headers);
        match self.flows.find(key) {
            Some((id, side)) => self.hit(&mut context, key, id, side),
            None => self.miss(&mut context, key, None),
        }
    }

    /// Returns which way a packet goes that came in by `port`.
    #[inline]
    fn direction(&self, port: PortId) -> Direction {
        match self.snapshot.port(port).map(|port| &port.kind) {
            Some(PortKind::Nic(_)) => Direction::Outbound,
            _ => Direction::Inbound,
        }
    }

    #[inline]
    fn hit(
        &mut self,
        context: &mut Context<'_, '_>,
        key: FlowKey,
        id: PairId,
        side: Side,
    ) -> Result<PortId, Unsent> {
        let epoch = self.snapshot.epoch;
        let Some(pair) = self.flows.get(id) else {
            return Err(context.dropped(DropReason::NoFlow).into());
        };
        if pair.life != Life::Live {
            return self.refuse(context, key, id, side);
        }
        let (egress, is_tunnelled) = (pair.egress(side), pair.is_tunnelled());
        if pair.epoch != epoch && !self.revisit(context.now, id) {
            // The flow is gone, or closed: look again, without its help.
            return match self.find(context, key) {
                Some((id, side)) => self.refuse(context, key, id, side),
                None => self.miss(context, key, None),
            };
        }
        let size = self.size_up(context, egress, is_tunnelled)?;
        let mut seen = None;
        let Some(pair) = self.flows.get_mut(id) else {
            return Err(context.dropped(DropReason::NoFlow).into());
        };
        if let Transport::Tcp(segment) = &context.headers.transport
            && let Some(tcp) = &mut pair.tcp
        {
            if segment.flags.opens() && tcp.may_reopen() {
                return self.reopen(context, key, id, side);
            }
            if context.headers.fragment == Fragment::First {
                tcp.cut(side);
            }
            let before = tcp.state();
            if !tcp.observe(side, segment) {
                seen = Some(pair.seen);
            } else if tcp.state() != before {
                let timers = &self.snapshot.settings.timers;
                if let Some(patience) = self.flows.patience(id, timers) {
                    self.flows.rearm(id, context.now.plus(patience));
                }
                if self.flows.get(id).is_some_and(Pair::is_open) {
                    self.flows.answered(id);
                }
            }
        } else if side == Side::Responder && pair.is_unanswered() {
            self.flows.answered(id);
        }
        self.pass(context, id, side);
        if let Some(seen) = seen {
            self.unsee(id, seen);
        }
        self.send(context, egress, size)
    }

    /// Takes back that a packet was seen which anybody could have sent: the flow lives no longer by it.
    #[cold]
    fn unsee(&mut self, id: PairId, seen: Now) {
        if let Some(pair) = self.flows.get_mut(id) {
            pair.seen = seen;
        }
    }

    /// Counts a packet in its flow and rewrites it.
    #[inline]
    fn pass(&mut self, context: &mut Context<'_, '_>, id: PairId, side: Side) {
        let Some(pair) = self.flows.get_mut(id) else {
            return;
        };
        pair.count(side, context.now, context.frame.packet().len());
        if pair.is_tunnelled() {
            return self.transpose(context, id, side);
        }
        let Context { headers, frame, .. } = context;
        let vnet = frame.vnet;
        if !pair.is_identity() {
            pair.rewrite(side).apply(&vnet, headers, frame.packet_mut());
        }
        if headers.fragment == Fragment::First {
            self.follow_later(context, (id, side));
        }
    }

    /// Rewrites a packet of a tunnelled flow.
    fn transpose(&self, context: &mut Context<'_, '_>, id: PairId, side: Side) {
        if let (Some(pair), Some(tunnel)) = (self.flows.get(id), self.flows.tunnel(id)) {
            let limits = self.limits(pair.egress(Side::Initiator), pair.egress(side));
            tunnel::transpose(context, pair, &tunnel, limits);
        }
    }

    /// Returns the pair that a packet of this key belongs to.
    fn find(&self, context: &Context<'_, '_>, key: FlowKey) -> Option<(PairId, Side)> {
        match &context.network {
            Network::V4 => self.flows.find(key),
            Network::V6(tunnel) => self.flows.find_tunnelled(key, tunnel),
        }
    }

    /// Handles a packet of a flow that is not live: the initiator opens it anew, what is late is
    /// refused.
    fn refuse(
        &mut self,
        context: &mut Context<'_, '_>,
        key: FlowKey,
        id: PairId,
        side: Side,
    ) -> Result<PortId, Unsent> {
        let closed = context.dropped(DropReason::FlowClosed);
        let life = self.flows.get(id).ok_or(closed)?.life;
        match context.headers.transport {
            Transport::Tcp(segment) if segment.flags.opens() => self.reopen(context, key, id, side),
            Transport::Tcp(segment) => {
                if life == Life::Tombstone
                    && self.snapshot.settings.close_mode == CloseMode::Rst
                    && let Some(packet) = reset_for(context, &segment)
                {
                    self.emit(context.ingress, packet);
                }
                Err(closed.into())
            }
            _ if life == Life::Held && side == Side::Initiator => {
                self.reopen(context, key, id, side)
            }
            _ => Err(closed.into()),
        }
    }

    /// Puts a packet of the engine's own on its way, unless its port was detached.
    fn emit(&mut self, port: PortId, packet: Vec<u8>) {
        if self.snapshot.port(port).is_none() {
            return;
        }
        if let Some(counters) = self.counters.port_mut(port) {
            counters.made_frames += 1;
        }
        self.emitted.push_back(Emitted { port, packet });
    }

    /// Takes the next packet that the engine made. Call it until it returns `None`.
    pub fn take_emitted(&mut self) -> Option<Emitted> {
        self.emitted.pop_front()
    }

    /// Counts a frame that was forwarded to `port` but that its device did not take.
    pub fn output_failed(&mut self, port: PortId) {
        let direction = match self.direction(port) {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        self.counters
            .drop(port, direction, DropReason::OutputFailed);
    }

    /// Counts a frame of `len` bytes that came in by `port` and that its owner's worker did not take.
    pub fn not_handed_over(&mut self, port: PortId, len: usize) {
        if let Some(counters) = self.counters.port_mut(port) {
            counters.received_frames += 1;
            counters.received_bytes += len as u64;
        }
        let direction = self.direction(port);
        self.counters
            .drop(port, direction, DropReason::HandOverFull);
    }

    /// Returns the policy in force.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Returns the counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns how many flow pairs there are, resting ones included.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// Returns how many flow pairs this engine takes at once.
    #[must_use]
    pub fn max_flows(&self) -> usize {
        self.flows.max()
    }

    /// Returns how many flows each port has that it opened, and how many of them give way when the table
    /// is full. A port may be named twice: what it opened to the platform is counted apart.
    #[must_use]
    pub fn shares(&self) -> Vec<ShareView> {
        self.flows.shares()
    }

    /// Returns the use of every shared public address, by all engines that share the work.
    #[must_use]
    pub fn snat(&self) -> Vec<PoolView> {
        self.share.pools().view()
    }
}

/// Returns the reset that answers a late segment, over what it came over.
fn reset_for(context: &Context<'_, '_>, segment: &crate::wire::tcp::Segment) -> Option<Vec<u8>> {
    match &context.network {
        Network::V4 => make::reset_for(&context.headers, segment),
        Network::V6(tunnel) => make::reset_for_answer(tunnel, &context.headers, segment),
    }
}

fn reason_of(error: WireError) -> DropReason {
    match error {
        WireError::NotIp => DropReason::NotIp,
        WireError::Ipv6 => DropReason::Ipv6,
        WireError::Ipv6Fragment => DropReason::StFragment,
        WireError::Length { .. } => DropReason::Malformed,
        WireError::TinyFragment => DropReason::FragmentTiny,
        WireError::SourceRoute => DropReason::SourceRoute,
        WireError::Option(_) => DropReason::IpOption,
        WireError::Protocol(_) => DropReason::ProtocolUnsupported,
        WireError::Encapsulated(_) => DropReason::Encapsulated,
        WireError::IcmpType(_) => DropReason::IcmpUnsupported,
        WireError::Offload => DropReason::BadOffload,
    }
}
