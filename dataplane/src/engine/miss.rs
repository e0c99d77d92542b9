//! The slow path: a packet without a flow goes through the layers and opens one.

use super::bind::Binding;
use super::evaluate::{NsgMode, Path, Request, Source};
use super::ownership::is_host;
use super::{Context, Dropped, Engine, Network, Unsent, make};
use crate::flow::{
    Ended, FlowKey, InsertError, Life, Opener, Opening, PairId, RouteKind, Side, SourceKind,
    TcpTrack, Why,
};
use crate::policy::{Direction, PortId, PortKind, PublicAddress, Snapshot, SourceId, Tuple};
use crate::stats::DropReason;
use crate::wire::{Fragment, Transport};
use core::time::Duration;

impl Engine {
    /// Opens a flow for a packet that has none. `earlier` is the public port to prefer.
    pub(super) fn miss(
        &mut self,
        context: &mut Context<'_, '_>,
        key: FlowKey,
        earlier: Option<Binding>,
    ) -> Result<PortId, Unsent> {
        if let Network::V6(_) = context.network {
            // Nothing that a service sends opens a flow.
            return Err(context.dropped(DropReason::StNoFlow).into());
        }
        self.count_opening(context)?;
        let headers = &context.headers;
        if !is_host(headers.destination) {
            return Err(context.dropped(DropReason::Multicast).into());
        }
        let snapshot = self.snapshot.clone();
        let path = Request {
            snapshot: &snapshot,
            ingress: context.ingress,
            tuple: tuple_of(key),
            is_fragment: headers.fragment != Fragment::Whole,
            nsg: NsgMode::Enforce,
        }
        .evaluate()
        .inspect_err(|denied| self.reset_from_outside(context, denied.reason))?;
        let tcp = self.opening(context, &path)?;
        let size = self.size_up(context, path.egress, path.tunnel.is_some())?;
        self.take_places(context, path.egress)?;
        let opened = self.open(context, key, &path, (tcp, earlier));
        let id = opened.inspect_err(|_| self.give_places_back([context.ingress, path.egress]))?;
        self.pass(context, id, Side::Initiator);
        self.send(context, path.egress, size)
    }

    /// Returns whose flow it is that comes in by `ingress`: of a NIC its own, of the other ports one
    /// of many hosts'.
    fn opener(&self, ingress: PortId, path: &Path) -> Opener {
        if path.route == RouteKind::Platform {
            return Opener::to_platform(ingress);
        }
        let kind = |port| self.snapshot.port(port).map(|port| &port.kind);
        match (kind(ingress), kind(path.egress)) {
            (Some(PortKind::Nic(_)) | None, _) => Opener::host(ingress),
            // One port has the addresses of many services.
            (_, Some(PortKind::Service)) => Opener::many(ingress, path.destination.to_bits()),
            // No address of a host is as small as the number of a port.
            _ => Opener::many(ingress, u32::from(path.egress.0) + 1),
        }
    }

    /// Returns the state that the packet opens a TCP connection in, none for another protocol, and
    /// refuses what opens no flow.
    fn opening(
        &mut self,
        context: &Context<'_, '_>,
        path: &Path,
    ) -> Result<Option<TcpTrack>, Dropped> {
        match &context.headers.transport {
            Transport::Tcp(segment) if !segment.flags.opens() => {
                if let Source::Shared(id) = path.source {
                    self.reset_unknown(context, id);
                }
                Err(context.dropped(DropReason::TcpNoFlow))
            }
            Transport::Tcp(segment) => Ok(Some(TcpTrack::open(segment))),
            Transport::Echo { request: false } => Err(context.dropped(DropReason::NoFlow)),
            _ => Ok(None),
        }
    }

    /// Opens the pair of a flow that may take `path`, with its source bound.
    fn open(
        &mut self,
        context: &Context<'_, '_>,
        key: FlowKey,
        path: &Path,
        (tcp, earlier): (Option<TcpTrack>, Option<Binding>),
    ) -> Result<PairId, Dropped> {
        let (lease, source, source_port) = self.bind(context, key, path, earlier)?;
        let admission = match self.admit(context, path, source) {
            Ok(admission) => admission,
            Err(refused) => {
                self.release(lease);
                return Err(refused);
            }
        };
        let snapshot = &self.snapshot;
        let idle_timeout = tcp_idle(snapshot, path)
            .filter(|_| tcp.is_some())
            .or_else(|| idle_timeout(snapshot, context.ingress, path));
        let why = Why {
            route: path.route,
            service: path.service,
            source: path.source.kind(),
            public: (path.source != Source::Unchanged).then_some(source),
            egress: path.egress,
            destination: path.destination,
            tunnel: path.tunnel,
            rules: path.rules,
            admission,
        };
        let sent = key.translated(source, source_port, path.destination);
        let answered = sent.reply(why.egress);
        let reply = match why.tunnel {
            None => answered,
            Some(_) => answered.tunnelled(),
        };
        let opening = Opening {
            keys: [key, reply],
            opener: self.opener(context.ingress, path),
            why,
            epoch: snapshot.epoch,
            idle_timeout,
            tcp,
            lease,
            now: context.now,
        };
        self.insert(context, opening)
    }

    /// Answers a TCP segment from outside that belongs to no flow, if a NAT gateway has its
    /// destination.
    fn reset_from_outside(&mut self, context: &Context<'_, '_>, reason: DropReason) {
        let destination = &context.headers.destination;
        if matches!(reason, DropReason::NoFlow | DropReason::ServiceInitiated)
            && let Some(&PublicAddress::Shared(id)) = self.snapshot.publics.get(destination)
        {
            self.reset_unknown(context, id);
        }
    }

    /// Answers a TCP segment that belongs to no flow with a reset, if its shared source does so. A
    /// SYN from outside gets no answer: it could only come from a stranger.
    fn reset_unknown(&mut self, context: &Context<'_, '_>, id: SourceId) {
        let resets = self
            .snapshot
            .source(id)
            .is_some_and(|source| source.resets_unknown);
        if resets
            && let Transport::Tcp(segment) = &context.headers.transport
            && !segment.flags.opens()
            && let Some(packet) = make::reset_for(&context.headers, segment)
        {
            self.emit(context.ingress, packet);
        }
    }

    /// Counts a flow at both ends before it is opened, so that several engines keep to one limit.
    /// Refuses that of a NIC which has as many as it may have; but where another port has taken most of
    /// what a receiver may have, with flows that nobody answered, one of those gives way.
    fn take_places(&mut self, context: &Context<'_, '_>, egress: PortId) -> Result<(), Dropped> {
        let most_of = |port| match self.snapshot.nic(port) {
            Some(_) => self.snapshot.settings.max_nic_flows,
            None => u32::MAX,
        };
        let ingress = context.ingress;
        let (most_out, most_in) = (most_of(ingress), most_of(egress));
        let refused = |port, direction| Dropped {
            port,
            direction,
            reason: DropReason::NicFlowLimit,
        };
        let counts = self.share.flow_counts();
        if !counts.take(ingress, Side::Initiator, most_out) {
            return Err(refused(ingress, Direction::Outbound));
        }
        if counts.take(egress, Side::Responder, most_in) {
            return Ok(());
        }
        if let Some(ended) = self.flows.make_room_towards(ingress, egress) {
            self.evict(ended);
            if self
                .share
                .flow_counts()
                .take(egress, Side::Responder, most_in)
            {
                return Ok(());
            }
        }
        self.share.flow_counts().give_back(ingress, Side::Initiator);
        Err(refused(egress, Direction::Inbound))
    }

    /// Gives back what a flow between these ports took of their numbers.
    fn give_places_back(&self, [ingress, egress]: [PortId; 2]) {
        let counts = self.share.flow_counts();
        counts.give_back(ingress, Side::Initiator);
        counts.give_back(egress, Side::Responder);
    }

    /// Gives back what a flow had that is no more: its public port and its places.
    pub(super) fn settle(&self, ended: Ended) {
        self.release(ended.lease);
        self.give_places_back(ended.keys.map(FlowKey::port));
    }

    /// Ends a flow that gives way to another.
    pub(super) fn evict(&mut self, ended: Ended) {
        if ended.life == Life::Live {
            let [key, _] = ended.keys;
            self.counters.flow_evicted(key.port());
        }
        self.settle(ended);
    }

    /// Inserts a pair, in a full table in the place of another; if it is not taken, its lease goes back.
    fn insert(&mut self, context: &Context<'_, '_>, opening: Opening) -> Result<PairId, Dropped> {
        if self.flows.is_full()
            && let Some(ended) = self.flows.make_room(opening.opener)
        {
            self.evict(ended);
        }
        let timers = &self.snapshot.settings.timers;
        let patience = self.flows.unanswered(opening.patience(timers), timers);
        match self.flows.insert(opening, context.now.plus(patience)) {
            Ok(id) => {
                self.counters.flows_opened += 1;
                Ok(id)
            }
            Err((error, lease)) => {
                self.release(lease);
                Err(context.dropped(match error {
                    InsertError::Full => DropReason::FlowTableFull,
                    InsertError::ForwardTaken | InsertError::ReplyTaken => {
                        DropReason::ReplyTupleTaken
                    }
                }))
            }
        }
    }

    /// Replaces a pair that is over by a new flow of the same tuple, with the same public port if
    /// the policy still gives that address. Only its initiator does so: its responder would take
    /// the tuple, and the public port, from it.
    pub(super) fn reopen(
        &mut self,
        context: &mut Context<'_, '_>,
        key: FlowKey,
        id: PairId,
        side: Side,
    ) -> Result<PortId, Unsent> {
        if let Network::V6(_) = context.network {
            return Err(context.dropped(DropReason::StNoFlow).into());
        }
        if side == Side::Responder {
            return Err(context.dropped(DropReason::FlowClosed).into());
        }
        let mut earlier = None;
        if let Some(ended) = self.flows.remove(id) {
            earlier = ended.lease.as_ref().map(Binding::of);
            if ended.life == Life::Live {
                self.counters.flows_ended += 1;
            }
            self.settle(ended);
        }
        self.miss(context, key, earlier)
    }
}

/// Returns how long the source of a flow lets it be idle, if it says so itself.
fn tcp_idle(snapshot: &Snapshot, path: &Path) -> Option<Duration> {
    match path.source {
        Source::Shared(id) => snapshot.source(id)?.tcp_idle,
        Source::Unchanged | Source::OneToOne(_) => None,
    }
}

/// Returns how long the flow lives when it is idle, if the network of its NIC says so: of the
/// sender's, else of the receiver's. A leased port is the shared source's to time.
pub(super) fn idle_timeout(snapshot: &Snapshot, ingress: PortId, path: &Path) -> Option<Duration> {
    if path.source.kind() == SourceKind::Shared {
        return None;
    }
    let vnet = snapshot
        .vnet_of(ingress)
        .or_else(|| snapshot.vnet_of(path.egress))?;
    vnet.flow_timeout
}

/// Returns what the policy compares of a flow: ICMP has no ports.
pub(super) fn tuple_of(key: FlowKey) -> Tuple {
    let has_ports = key.protocol() != crate::wire::ICMP;
    Tuple {
        protocol: key.protocol(),
        source: key.source(),
        source_port: if has_ports { key.source_port() } else { 0 },
        destination: key.destination(),
        destination_port: if has_ports { key.destination_port() } else { 0 },
    }
}
