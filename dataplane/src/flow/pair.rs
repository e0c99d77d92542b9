//! The record of one connection.

use super::{FlowKey, TcpState, TcpTrack, Transposition, Tunnel};
use crate::policy::{AccessRuleId, Epoch, PortId, ResourceId, RuleId, ServiceId, Timers};
use crate::snat::Lease;
use crate::time::Now;
use core::time::Duration;
use std::net::Ipv4Addr;

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

/// The kind of route that the initiator's packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// To a NIC of the same virtual network.
    VnetLocal,
    /// To a NIC of a peered virtual network.
    VnetPeering,
    /// To a NIC that forwards.
    VirtualAppliance,
    /// To the on-premises side.
    VirtualNetworkGateway,
    /// By the public side.
    Internet,
    /// To a service, by an endpoint of the sender's subnet.
    ServiceEndpoint,
    /// From the public side to a NIC's own public address.
    Inbound,
    /// To an address of the platform's own, which no route decides on.
    Platform,
}

/// The kind of source that the responder sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The initiator's own address.
    Private,
    /// The public address that belongs to the NIC alone.
    OneToOne,
    /// A leased port of a public address that NICs share.
    Shared,
}

/// Why a flow is as it is: what is compared when the policy changes, and printed when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// The route.
    pub route: RouteKind,
    /// The service, for [`RouteKind::ServiceEndpoint`].
    pub service: Option<ServiceId>,
    /// The kind of source.
    pub source: SourceKind,
    /// The public address that was given to the initiator, if any.
    pub public: Option<Ipv4Addr>,
    /// The port that the initiator's packets leave by.
    pub egress: PortId,
    /// The address that the initiator's packets are delivered to.
    pub destination: Ipv4Addr,
    /// The ends as the responder sees them, if it gets them over IPv6 with an identity.
    pub tunnel: Option<Tunnel>,
    /// The rules that allowed the flow: the sender's NIC and subnet, the receiver's subnet and NIC.
    pub rules: [Option<RuleId>; 4],
    /// How a resource of a service let it in, where that was asked.
    pub admission: Option<Admission>,
}

/// How a resource of a service let a flow in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The resource.
    pub resource: ResourceId,
    /// The rule that allowed; none where that is the default.
    pub rule: Option<AccessRuleId>,
    /// Whether an endpoint policy would have refused, but only audits.
    pub audited: bool,
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

/// Both directions of one connection.
#[derive(Debug)]
pub struct Pair {
    /// The keys by which packets of the initiator and of the responder come in.
    pub keys: [FlowKey; 2],
    /// How packets of the initiator and of the responder are rewritten.
    pub rewrites: [Transposition; 2],
    /// Why it is so.
    pub why: Why,
    /// The policy by which the pair was last judged.
    pub epoch: Epoch,
    /// Whether packets pass.
    pub life: Life,
    /// How long the flow lives when it is idle, where its network or its public source sets that.
    pub idle_timeout: Option<Duration>,
    /// TCP's state.
    pub tcp: Option<TcpTrack>,
    /// The public port, returned when the pair is removed.
    pub lease: Option<Lease>,
    /// When the pair was made.
    pub opened: Now,
    /// When the last packet came.
    pub seen: Now,
    /// Frames from the initiator and from the responder.
    pub frames: [u64; 2],
    /// Their bytes.
    pub bytes: [u64; 2],
}

impl Pair {
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

    /// Returns the rewrite of `side`'s packets.
    #[must_use]
    #[inline]
    pub fn rewrite(&self, side: Side) -> &Transposition {
        let [initiator, responder] = &self.rewrites;
        match side {
            Side::Initiator => initiator,
            Side::Responder => responder,
        }
    }

    /// Returns the port that `side`'s packets leave by.
    #[must_use]
    #[inline]
    pub fn egress(&self, side: Side) -> PortId {
        match side {
            Side::Initiator => self.why.egress,
            Side::Responder => self.key(Side::Initiator).port(),
        }
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

    /// Returns how long the pair stays without a packet.
    #[must_use]
    pub fn patience(&self, timers: &Timers) -> Duration {
        match (self.life, self.tcp.map(|tcp| tcp.state())) {
            (Life::Tombstone | Life::Denied, _) => timers.tombstone,
            (Life::Held, _) => timers.udp_hold,
            (Life::Live, Some(state)) => match state {
                TcpState::SynSent | TcpState::SynReceived => timers.tcp_half_open,
                TcpState::Established => self.idle_timeout.unwrap_or(timers.tcp_idle),
                TcpState::Closing => timers.tcp_closing,
                TcpState::Closed => timers.tcp_fin_hold,
                TcpState::Reset => timers.tcp_rst_hold,
            },
            (Life::Live, None) if self.keys[0].protocol() == crate::wire::ICMP => timers.icmp_idle,
            (Life::Live, None) => self.idle_timeout.unwrap_or(timers.udp_idle),
        }
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
