//! Route tables of users, peerings between networks, gateways.

use super::{Device, Model, VirtualNetwork};
use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;

/// Which of a service endpoint and a user's route decides; contested (reference section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VsePrecedence {
    /// The endpoint, whatever the user's route.
    #[default]
    Strict,
    /// The longer prefix; of equal ones the endpoint.
    Tie,
    /// The longer prefix; of equal ones the user's route if it leads to an appliance, a gateway or
    /// nowhere. A user's route to the Internet never stands before an endpoint.
    Observed,
}

impl VsePrecedence {
    /// Every precedence with its name.
    pub const ALL: [(&str, Self); 3] = [
        ("strict", Self::Strict),
        ("tie", Self::Tie),
        ("observed", Self::Observed),
    ];
}

impl fmt::Display for VsePrecedence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = Self::ALL.iter().find(|(_, value)| value == self);
        f.write_str(own.map_or("", |(name, _)| name))
    }
}

/// A user's route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// Its name.
    pub name: String,
    /// Its routes, no two with the same destination.
    pub routes: Vec<UserRoute>,
    /// Whether routes from gateways are kept out of its subnets.
    pub disable_bgp_route_propagation: bool,
}

/// A user's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRoute {
    /// Its name, unique in the table.
    pub name: String,
    /// What it covers.
    pub destination: Destination,
    /// Where it leads.
    pub next_hop: UserNextHop,
}

/// What a user's route covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A prefix.
    Prefix(Ipv4Net),
    /// The prefixes of a service tag of the catalogue.
    Tag(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Tag(tag) => f.write_str(tag),
        }
    }
}

/// Where a user's route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserNextHop {
    /// The network's gateway.
    VirtualNetworkGateway,
    /// The virtual network.
    VnetLocal,
    /// The public side.
    Internet,
    /// The NIC that has this address, if it forwards.
    VirtualAppliance(Ipv4Addr),
    /// Nowhere.
    None,
}

impl fmt::Display for UserNextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VirtualNetworkGateway => f.write_str("VirtualNetworkGateway"),
            Self::VnetLocal => f.write_str("VnetLocal"),
            Self::Internet => f.write_str("Internet"),
            Self::VirtualAppliance(address) => write!(f, "VirtualAppliance {address}"),
            Self::None => f.write_str("None"),
        }
    }
}

/// One side of a peering between two networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peering {
    /// The name of the other network.
    pub remote: String,
    /// Whether packets come in from the other network that did not begin there.
    pub allow_forwarded_traffic: bool,
}

/// Whether packets pass over a peering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeeringState {
    /// The other side has none yet: they do not.
    Initiated,
    /// Both sides have it.
    Connected,
}

impl fmt::Display for PeeringState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initiated => "Initiated",
            Self::Connected => "Connected",
        })
    }
}

/// The gateway of a virtual network to the on-premises side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The name of its virtual network, which has no other one.
    pub vnet: String,
    /// What is known to be behind it.
    pub address_prefixes: Vec<Ipv4Net>,
    /// Addresses that the device gets, with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
    /// Its device.
    pub device: Device,
}

/// The subnet whose routes the gateway follows for what comes in from its other side.
pub const GATEWAY_SUBNET: &str = "GatewaySubnet";

/// A peering that packets pass over, as the network sees it that they leave.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'m> {
    /// The position of the other network among all.
    pub index: usize,
    /// The other network.
    pub vnet: &'m VirtualNetwork,
    /// Whether the other network takes packets that did not begin in this one.
    pub takes_forwarded: bool,
}

impl Model {
    /// Returns the route table with this name.
    #[must_use]
    pub fn route_table(&self, name: &str) -> Option<&RouteTable> {
        self.route_tables
            .iter()
            .find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// Returns the gateway of a network.
    #[must_use]
    pub fn gateway_of(&self, vnet: &VirtualNetwork) -> Option<&Gateway> {
        self.gateways
            .iter()
            .find(|gateway| gateway.vnet.eq_ignore_ascii_case(&vnet.name))
    }

    /// Returns the networks that packets of `vnet` reach by a peering, in the order of its own.
    pub fn peers<'m>(&'m self, vnet: &'m VirtualNetwork) -> impl Iterator<Item = Peer<'m>> {
        vnet.peerings.iter().filter_map(|peering| {
            let is_remote =
                |other: &&VirtualNetwork| other.name.eq_ignore_ascii_case(&peering.remote);
            let index = self.vnets.iter().position(|other| is_remote(&other))?;
            let remote = self.vnets.get(index)?;
            let back = remote.peering(&vnet.name)?;
            Some(Peer {
                index,
                vnet: remote,
                takes_forwarded: back.allow_forwarded_traffic,
            })
        })
    }

    /// Returns the state of one side of a peering.
    #[must_use]
    pub fn peering_state(&self, vnet: &VirtualNetwork, peering: &Peering) -> PeeringState {
        let remote = self.vnet(&peering.remote);
        match remote.and_then(|remote| remote.peering(&vnet.name)) {
            Some(_) => PeeringState::Connected,
            None => PeeringState::Initiated,
        }
    }
}

impl VirtualNetwork {
    /// Returns this network's side of its peering with another one.
    #[must_use]
    pub fn peering(&self, remote: &str) -> Option<&Peering> {
        self.peerings
            .iter()
            .find(|peering| peering.remote.eq_ignore_ascii_case(remote))
    }
}
