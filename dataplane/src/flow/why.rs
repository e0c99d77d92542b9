//! Why a flow is as it is.

use super::Tunnel;
use crate::policy::{AccessRuleId, PortId, ResourceId, RuleId, ServiceId};
use std::net::Ipv4Addr;

/// The kind of route that the initiator's packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The initiator's own address.
    Private,
    /// The public address that belongs to the NIC alone.
    OneToOne,
    /// A leased port of a public address that NICs share.
    Shared,
}

/// Why a flow is as it is: what is compared when the policy changes, and printed when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Admission {
    /// The resource.
    pub resource: ResourceId,
    /// The rule that allowed; none where that is the default.
    pub rule: Option<AccessRuleId>,
    /// Whether an endpoint policy would have refused, but only audits.
    pub audited: bool,
}
