//! The record of one connection: what every packet of it needs.
//!
//! Two cache lines. What else there is to know of a flow is kept apart (see [`super::FlowTable`]), and
//! what follows from the two keys is not kept at all: where packets go and what is written into them.

use super::decisions::DecisionId;
use super::{FlowKey, TcpState, TcpTrack, Transposition};
use crate::policy::{Epoch, PortId, Timers};
use crate::time::Now;
use crate::wire::checksum::Delta;
use core::time::Duration;

/// Which end of a connection: the one whose packet opened the flow, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Opened the flow.
    Initiator,
    /// Answers.
    Responder,
}

impl Side {
    /// Returns the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// Whether packets of a pair pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// They do.
    Live,
    /// The flow went idle and its public port rests: only the initiator's next packet counts, it
    /// opens the flow again.
    Held,
    /// The policy closed the flow: late segments are answered with a reset.
    Tombstone,
    /// An NSG ended the flow: late packets are dropped without an answer.
    Denied,
}

/// Both directions of one connection. The first cache line is what a packet is decided by.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Pair {
    /// The keys by which packets of the initiator and of the responder come in.
    keys: [FlowKey; 2],
    /// The policy by which the pair was last judged.
    pub epoch: Epoch,
    pub(super) decision: DecisionId,
    /// What their rewrite changes in the sums over packets of the initiator and of the responder.
    deltas: [Deltas; 2],
    /// Whether packets pass.
    pub life: Life,
    /// Whether the initiator's public port is leased.
    pub(super) is_leased: bool,
    /// Whether packets are sent as they came.
    is_identity: bool,
    /// TCP's state.
    pub tcp: Option<TcpTrack>,
    /// When the last packet came.
    pub seen: Now,
    /// Frames from the initiator and from the responder.
    pub frames: [u64; 2],
    /// Their bytes.
    pub bytes: [u64; 2],
}

/// The changes of one direction: of the addresses, and of all that the transport checksum covers.
#[derive(Clone, Copy, Debug)]
struct Deltas {
    network: Delta,
    transport: Delta,
}

impl Deltas {
    fn of([own, other]: [FlowKey; 2]) -> Self {
        let (network, transport) = Transposition::new(own, other.reply(own.port())).deltas();
        Self { network, transport }
    }
}

// More would be a third cache line for every packet.
const _: () = assert!(size_of::<Option<Pair>>() == 128);

impl Pair {
    /// Returns the live pair of these keys, which no packet was counted in.
    pub(super) fn new(
        keys: [FlowKey; 2],
        (epoch, decision): (Epoch, DecisionId),
        tcp: Option<TcpTrack>,
        is_leased: bool,
        now: Now,
    ) -> Self {
        let [initiator, responder] = keys;
        Self {
            keys,
            epoch,
            decision,
            deltas: [
                Deltas::of([initiator, responder]),
                Deltas::of([responder, initiator]),
            ],
            life: Life::Live,
            is_leased,
            is_identity: initiator.mirrors(responder),
            tcp,
            seen: now,
            frames: [0; 2],
            bytes: [0; 2],
        }
    }

    /// Returns both keys, the initiator's first.
    #[must_use]
    pub fn keys(&self) -> [FlowKey; 2] {
        self.keys
    }

    /// Returns the key of `side`.
    #[must_use]
    #[inline]
    pub fn key(&self, side: Side) -> FlowKey {
        let [initiator, responder] = self.keys;
        match side {
            Side::Initiator => initiator,
            Side::Responder => responder,
        }
    }

    /// Returns the rewrite of `side`'s packets: into what the other side's answers are answers to.
    #[must_use]
    #[inline]
    pub fn rewrite(&self, side: Side) -> Transposition {
        let [initiator, responder] = self.deltas;
        let deltas = match side {
            Side::Initiator => initiator,
            Side::Responder => responder,
        };
        let deltas = (deltas.network, deltas.transport);
        Transposition::known(self.key(side.other()), deltas, self.is_identity)
    }

    /// Returns whether the rewrites change nothing.
    #[must_use]
    #[inline]
    pub fn is_identity(&self) -> bool {
        self.is_identity
    }

    /// Returns the port that `side`'s packets leave by: where the other side's come in.
    #[must_use]
    #[inline]
    pub fn egress(&self, side: Side) -> PortId {
        self.key(side.other()).port()
    }

    /// Returns whether the responder gets the packets over IPv6 with an identity.
    #[must_use]
    #[inline]
    pub fn is_tunnelled(&self) -> bool {
        let [_, responder] = self.keys;
        responder.is_tunnelled()
    }

    /// Returns whether the initiator has a leased public port, returned when the pair is removed.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.is_leased
    }

    /// Reads of both cache lines, so that they are near when a packet comes.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        u64::from(self.epoch.0) ^ self.seen.as_millis()
    }

    /// Returns whether the responder has not answered yet; of TCP whether the handshake is not done.
    #[must_use]
    #[inline]
    pub fn is_unanswered(&self) -> bool {
        match &self.tcp {
            Some(tcp) => matches!(tcp.state(), TcpState::SynSent | TcpState::SynReceived),
            None => {
                let [_, answers] = self.frames;
                answers == 0
            }
        }
    }

    /// Returns whether the pair is a TCP connection whose handshake is done.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let state = self.tcp.as_ref().map(TcpTrack::state);
        matches!(
            state,
            Some(TcpState::Established | TcpState::Closing | TcpState::Closed)
        )
    }

    /// Counts a frame of `side` at `now`.
    #[inline]
    pub fn count(&mut self, side: Side, now: Now, len: usize) {
        self.seen = now;
        let at = side as usize;
        if let Some(frames) = self.frames.get_mut(at) {
            *frames += 1;
        }
        if let Some(bytes) = self.bytes.get_mut(at) {
            *bytes += len as u64;
        }
    }

    /// Returns how long the pair stays without a packet, given how long an idle flow of its network
    /// or its public source lives, where that is set.
    #[must_use]
    pub(super) fn patience(&self, idle_timeout: Option<Duration>, timers: &Timers) -> Duration {
        let protocol = self.key(Side::Initiator).protocol();
        patience(self.life, self.tcp.as_ref(), protocol, idle_timeout, timers)
    }

    /// Returns the state's name for people.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match (self.life, self.tcp.map(|tcp| tcp.state())) {
            (Life::Tombstone, _) => "cut",
            (Life::Denied, _) => "denied",
            (Life::Held, _) => "held",
            (Life::Live, None) => "live",
            (Life::Live, Some(state)) => match state {
                TcpState::SynSent => "syn-sent",
                TcpState::SynReceived => "syn-received",
                TcpState::Established => "established",
                TcpState::Closing => "closing",
                TcpState::Closed => "closed",
                TcpState::Reset => "reset",
            },
        }
    }
}

/// Returns how long a flow of this kind stays without a packet.
pub(super) fn patience(
    life: Life,
    tcp: Option<&TcpTrack>,
    protocol: u8,
    idle_timeout: Option<Duration>,
    timers: &Timers,
) -> Duration {
    match (life, tcp.map(TcpTrack::state)) {
        (Life::Tombstone | Life::Denied, _) => timers.tombstone,
        (Life::Held, _) => timers.udp_hold,
        (Life::Live, Some(state)) => match state {
            TcpState::SynSent | TcpState::SynReceived => timers.tcp_half_open,
            TcpState::Established => idle_timeout.unwrap_or(timers.tcp_idle),
            TcpState::Closing => timers.tcp_closing,
            TcpState::Closed => timers.tcp_fin_hold,
            TcpState::Reset => timers.tcp_rst_hold,
        },
        (Life::Live, None) if protocol == crate::wire::ICMP => timers.icmp_idle,
        (Life::Live, None) => idle_timeout.unwrap_or(timers.udp_idle),
    }
}
