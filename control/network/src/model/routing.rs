//! Route tables of users, peerings between networks, gateways.

use super::{Device, Model, VirtualNetwork};
use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

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
    /// Which routes of its namespace it learns; none if what is behind it is only `address_prefixes`.
    pub learned_routes: Option<LearnedRoutes>,
    /// Addresses that the device gets, with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
    /// Its device.
    pub device: Device,
}

/// The routes of a namespace that a routing daemon put there and that a gateway learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedRoutes {
    /// The kernel's table that they are in.
    pub table: u32,
    /// Who put them there; empty for every routing daemon.
    pub protocols: Vec<RouteProtocol>,
}

impl LearnedRoutes {
    /// The kernel's main table.
    pub const MAIN_TABLE: u32 = 254;

    /// Returns whether routes of this origin are learned. Without a list: all but those of the
    /// kernel, of its administrator and of programs that configure hosts, which no daemon learned.
    #[must_use]
    pub fn takes(&self, protocol: RouteProtocol) -> bool {
        if self.protocols.is_empty() {
            protocol.is_learnable() && !RouteProtocol::OF_HOSTS.contains(&protocol)
        } else {
            self.protocols.contains(&protocol)
        }
    }
}

impl fmt::Display for LearnedRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table)?;
        let names: Vec<_> = self.protocols.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            Ok(())
        } else {
            write!(f, " [{}]", names.join(", "))
        }
    }
}

/// Who put a route into the kernel: its `rtm_protocol`, named as `ip route` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteProtocol(pub u8);

impl RouteProtocol {
    /// Those with a name.
    pub const NAMES: [(&str, Self); 14] = [
        ("boot", Self(3)),
        ("static", Self(4)),
        ("ra", Self(9)),
        ("zebra", Self(11)),
        ("bird", Self(12)),
        ("dhcp", Self(16)),
        ("keepalived", Self(18)),
        ("babel", Self(42)),
        ("openr", Self(99)),
        ("bgp", Self(186)),
        ("isis", Self(187)),
        ("ospf", Self(188)),
        ("rip", Self(189)),
        ("eigrp", Self(192)),
    ];

    /// Those of administrators and of programs that configure hosts.
    const OF_HOSTS: [Self; 5] = [Self(3), Self(4), Self(9), Self(16), Self(18)];

    /// Returns whether a route of it can be learned: what the kernel makes itself, for connected
    /// networks and its own addresses, never is.
    #[must_use]
    pub fn is_learnable(self) -> bool {
        self.0 > 2
    }
}

/// Not the name or number of a routing protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a routing protocol")]
pub struct NotAProtocol;

impl FromStr for RouteProtocol {
    type Err = NotAProtocol;

    fn from_str(text: &str) -> Result<Self, NotAProtocol> {
        let mut names = Self::NAMES.iter();
        let named = names.find(|(name, _)| name.eq_ignore_ascii_case(text));
        let number = || text.parse().ok().map(Self);
        let found = named.map(|&(_, protocol)| protocol).or_else(number);
        found
            .filter(|protocol| protocol.is_learnable())
            .ok_or(NotAProtocol)
    }
}

impl fmt::Display for RouteProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, protocol)| protocol == self) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
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
