//! Routes of a subnet, and the service prefixes that its endpoints cover.
//!
//! The two are apart because an endpoint carries TCP only: for every other protocol the lookup is
//! done without endpoint routes (reference section 0, step 5).

use super::{PortId, VnetIndex};
use crate::lpm::Lpm;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// The number of a service; `control` knows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceId(pub u16);

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The NIC of the same virtual network that has the destination address.
    VnetLocal,
    /// The NIC of a peered virtual network that has the destination address.
    VnetPeering(Peer),
    /// A NIC that forwards; none if no such NIC has the next hop's address, and then packets are
    /// lost: the route does not fall back.
    VirtualAppliance(Option<Appliance>),
    /// The port of the network's gateway; none if the network has no gateway.
    VirtualNetworkGateway(Option<PortId>),
    /// The public side: services, other public addresses, the Internet.
    Internet,
    /// Nowhere: the packet is dropped without an answer.
    None,
}

/// A peered virtual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The network.
    pub vnet: VnetIndex,
    /// Whether it takes packets from here that did not begin here.
    pub takes_forwarded: bool,
}

/// A NIC that forwards for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appliance {
    /// Its port.
    pub port: PortId,
    /// Whether its network takes packets from here that did not begin here; its own network does.
    pub takes_forwarded: bool,
}

/// When a route stands before an endpoint that covers the destination too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// If its prefix is longer.
    #[default]
    Longer,
    /// If its prefix is at least as long.
    AsLong,
    /// Never, however long its prefix is.
    Never,
}

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations that it covers.
    pub prefix: Ipv4Net,
    /// Where it leads.
    pub next_hop: NextHop,
    /// How it stands against an endpoint; counts in [`super::Subnet::rivals`] only.
    pub standing: Standing,
}

impl Route {
    /// Returns the route that stands before an endpoint by a longer prefix only.
    #[must_use]
    pub fn new(prefix: Ipv4Net, next_hop: NextHop) -> Self {
        Self {
            prefix,
            next_hop,
            standing: Standing::Longer,
        }
    }

    /// Returns whether the route decides where `endpoint` covers the destination too.
    #[must_use]
    pub fn beats(&self, endpoint: &Endpoint) -> bool {
        let (own, other) = (self.prefix.prefix_len(), endpoint.prefix.prefix_len());
        match self.standing {
            Standing::Longer => own > other,
            Standing::AsLong => own >= other,
            Standing::Never => false,
        }
    }
}

/// Routes, looked up by longest prefix.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    lpm: Lpm,
}

impl RouteTable {
    /// Builds the table. Of two routes with the same prefix the later one stands: precedence among
    /// equals is the caller's to decide.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        let lpm = Lpm::new(
            routes
                .iter()
                .zip(0u32..)
                .map(|(route, at)| (route.prefix, at)),
        );
        Self { routes, lpm }
    }

    /// Returns the route with the longest prefix that covers `destination`.
    #[must_use]
    pub fn lookup(&self, destination: Ipv4Addr) -> Option<&Route> {
        self.routes
            .get(usize::try_from(self.lpm.lookup(destination)?).ok()?)
    }

    /// Returns the routes in the order in which they were given.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

/// A service prefix that an endpoint covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The addresses.
    pub prefix: Ipv4Net,
    /// The service that they belong to.
    pub service: ServiceId,
}

/// Service prefixes that a set of endpoints covers, looked up by longest prefix.
#[derive(Clone, Debug, Default)]
pub struct EndpointTable {
    endpoints: Vec<Endpoint>,
    lpm: Lpm,
}

impl EndpointTable {
    /// Builds the table. Of two equal prefixes the later one stands.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        let lpm = Lpm::new(
            endpoints
                .iter()
                .zip(0u32..)
                .map(|(entry, at)| (entry.prefix, at)),
        );
        Self { endpoints, lpm }
    }

    /// Returns the longest service prefix that covers `destination`.
    #[must_use]
    pub fn lookup(&self, destination: Ipv4Addr) -> Option<&Endpoint> {
        self.endpoints
            .get(usize::try_from(self.lpm.lookup(destination)?).ok()?)
    }

    /// Returns how many prefixes the table holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Returns whether no endpoint is on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
}
