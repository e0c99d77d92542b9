//! The immutable policy: what `control` compiles and the engine reads.
//!
//! A [`Snapshot`] holds everything that one epoch decides by: ports, NICs, NSGs, routes, endpoint
//! prefixes, public sources and service addresses. It is built once, never changed, and shared by
//! `Arc`; its epoch is inside it, so that nobody can see tables of one epoch with the number of
//! another. Names are not kept here: a [`RuleId`] or [`ServiceId`] is a number that `control` can
//! turn back into the name it came from.

mod access;
mod nsg;
mod ports;
mod routes;
mod settings;

pub use access::{
    AccessRule, AccessRuleId, AccessTable, Caller, DeniedBy, EndpointPolicy, NetworkRules, Refusal,
    Resource, ResourceId, Ruling, SubnetId, Who,
};
pub use nsg::{Access, AddrSet, Decision, Direction, Nsg, PortSet, Protocol, Rule, RuleId, Tuple};
pub use ports::{
    Delivery, Gateway, Nic, Port, PortId, PortKind, PublicSource, ServiceAddress, SharedSource,
    SourceId,
};
pub use routes::{
    Appliance, Endpoint, EndpointTable, NextHop, Peer, Route, RouteTable, ServiceId, Standing,
};
pub use settings::{CloseMode, Settings, Timers};

use crate::identity::Identity;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The number of a policy; every applied change has a greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// An index into [`Snapshot::vnets`], valid within one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VnetIndex(pub u16);

/// An index into [`Snapshot::subnets`], valid within one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubnetIndex(pub u16);

/// Values by address. Which addresses there are is the configuration's to say, not a packet's: the hash
/// can be one that is quick and known.
pub type AddressMap<V> = HashMap<Ipv4Addr, V, foldhash::fast::FixedState>;

/// A virtual network: which NIC has which of its private addresses.
#[derive(Clone, Debug, Default)]
pub struct Vnet {
    /// Every address of every NIC in this network. Addresses of two networks may be equal.
    pub nics: AddressMap<PortId>,
    /// How long an idle flow of its NICs lives, where the network sets it.
    pub flow_timeout: Option<Duration>,
}

/// A subnet: what its NICs share.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// The network that the subnet is part of.
    pub vnet: VnetIndex,
    /// What its packets carry where a service sees them.
    pub identity: Identity,
    /// The subnet's NSG; none allows everything.
    pub nsg: Option<Arc<Nsg>>,
    /// Routes of every kind but endpoint routes.
    pub routes: Arc<RouteTable>,
    /// Those of them that an endpoint is held against where it covers the destination: which, and
    /// how they stand, is the precedence that `control` was told to compile.
    pub rivals: Arc<RouteTable>,
    /// Prefixes of the services whose endpoint this subnet has; subnets with equal sets share one.
    pub endpoints: Arc<EndpointTable>,
}

/// What a public address is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicAddress {
    /// It belongs to one NIC, both ways, ports unchanged.
    OneToOne(PortId),
    /// It is one of the addresses of a shared source.
    Shared(SourceId),
}

/// The whole policy of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The number of this policy.
    pub epoch: Epoch,
    /// Switches and timers.
    pub settings: Settings,
    /// Every port, at the index of its [`PortId`]; a port that was detached leaves `None`.
    pub ports: Vec<Option<Port>>,
    /// The port that stands for the Internet.
    pub internet: Option<PortId>,
    /// Virtual networks.
    pub vnets: Vec<Vnet>,
    /// Subnets of all networks.
    pub subnets: Vec<Subnet>,
    /// Shared public sources, at the index of their [`SourceId`].
    pub sources: Vec<SharedSource>,
    /// Every public address that Postern owns.
    pub publics: AddressMap<PublicAddress>,
    /// Every service address and the port behind which it lives.
    pub services: AddressMap<ServiceAddress>,
    /// Resources of services, who may use them, and endpoint policies. Shared with the fronts.
    pub access: Arc<AccessTable>,
    /// Every address of the platform's own and the port behind which it lives. No table routes
    /// them, and nobody else may send from them.
    pub platform: AddressMap<PortId>,
    /// What is ours beside those: the ranges of virtual networks, and what is behind gateways. Nobody
    /// on the public side has such an address.
    pub inside: Arc<AddrSet>,
}

impl Snapshot {
    /// Returns the port with this number, if it is attached.
    #[must_use]
    pub fn port(&self, id: PortId) -> Option<&Port> {
        self.ports.get(usize::from(id.0))?.as_ref()
    }

    /// Returns the NIC with this port number, if it is one.
    #[must_use]
    pub fn nic(&self, id: PortId) -> Option<&Nic> {
        match &self.port(id)?.kind {
            PortKind::Nic(nic) => Some(nic),
            PortKind::Internet | PortKind::Gateway(_) | PortKind::Service | PortKind::Platform => {
                None
            }
        }
    }

    /// Returns the subnet at this index.
    #[must_use]
    pub fn subnet(&self, index: SubnetIndex) -> Option<&Subnet> {
        self.subnets.get(usize::from(index.0))
    }

    /// Returns the virtual network at this index.
    #[must_use]
    pub fn vnet(&self, index: VnetIndex) -> Option<&Vnet> {
        self.vnets.get(usize::from(index.0))
    }

    /// Returns the virtual network of the NIC with this port number, if it is one.
    #[must_use]
    pub fn vnet_of(&self, id: PortId) -> Option<&Vnet> {
        self.vnet(self.subnet(self.nic(id)?.subnet)?.vnet)
    }

    /// Returns the shared public source with this number.
    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<&SharedSource> {
        self.sources.get(usize::from(id.0))
    }
}
