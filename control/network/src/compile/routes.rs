//! The route tables of the packet path, and the prefixes of endpoints.

use super::entries::{Entry, Hop, Origin, entries, rivals, standing_routes, table_of};
use super::{CompileError, index, ports};
use crate::catalog::{Catalog, Locations};
use crate::model::{Learned, Model, Subnet, VirtualNetwork};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{
    Appliance, Endpoint, EndpointTable, NextHop, Peer, PortId, Route, RouteTable, Standing,
    VnetIndex,
};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where next hops are.
pub(super) struct Places {
    /// NICs that forward, by the position of their network and their address.
    appliances: HashMap<(usize, Ipv4Addr), PortId>,
    /// Gateways, by the position of their network.
    gateways: HashMap<usize, PortId>,
}

impl Places {
    pub(super) fn new(model: &Model, ids: &HashMap<&str, PortId>) -> Self {
        let at = |name: &str| {
            let mut vnets = model.vnets.iter();
            vnets.position(|vnet| vnet.name.eq_ignore_ascii_case(name))
        };
        let nics = model.nics.iter().filter(|nic| nic.ip_forwarding);
        let gateways = model.gateways.iter();
        Self {
            appliances: nics
                .filter_map(|nic| {
                    let port = ids.get(ports::nic_name(&nic.name).as_str())?;
                    Some(((at(&nic.vnet)?, nic.private_address), *port))
                })
                .collect(),
            gateways: gateways
                .filter_map(|gateway| {
                    let port = ids.get(ports::gateway_name(&gateway.name).as_str())?;
                    Some((at(&gateway.vnet)?, *port))
                })
                .collect(),
        }
    }
}

/// The tables of a subnet.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) routes: Arc<RouteTable>,
    pub(super) rivals: Arc<RouteTable>,
}

/// Builds route tables; subnets of a network with the same user routes share them.
pub(super) struct Routes<'m> {
    model: &'m Model,
    learned: &'m Learned,
    catalog: &'m Catalog,
    places: Places,
    tables: HashMap<(usize, Option<&'m str>), Tables>,
}

impl<'m> Routes<'m> {
    pub(super) fn new(
        model: &'m Model,
        learned: &'m Learned,
        catalog: &'m Catalog,
        places: Places,
    ) -> Self {
        Self {
            model,
            learned,
            catalog,
            places,
            tables: HashMap::new(),
        }
    }

    /// Returns what gateways have learned.
    pub(super) fn learned(&self) -> &'m Learned {
        self.learned
    }

    /// Returns the tables of a subnet of the network at position `at`.
    pub(super) fn get(
        &mut self,
        at: usize,
        vnet: &'m VirtualNetwork,
        subnet: &Subnet,
    ) -> Result<Tables, CompileError> {
        let table = table_of(self.model, subnet)?;
        let key = (at, table.map(|table| table.name.as_str()));
        if let Some(done) = self.tables.get(&key) {
            return Ok(done.clone());
        }
        let entries = entries(self.model, self.learned, self.catalog, vnet, table)?;
        let standing = standing_routes(&entries).into_iter();
        let routes = standing.map(|(prefix, place)| (prefix, place, Standing::default()));
        let rivals = rivals(&entries, self.model.settings.vse_precedence);
        let done = Tables {
            routes: self.table(at, vnet, &entries, routes)?,
            rivals: self.table(at, vnet, &entries, rivals.into_iter())?,
        };
        self.tables.insert(key, done.clone());
        Ok(done)
    }

    /// Returns the routes of what comes in by the gateway of a network: those into the network, and
    /// those of users. It is no way to peers, the Internet or endpoints.
    pub(super) fn of_gateway(
        &self,
        at: usize,
        vnet: &'m VirtualNetwork,
        subnet: Option<&Subnet>,
    ) -> Result<Arc<RouteTable>, CompileError> {
        let table = match subnet {
            Some(subnet) => table_of(self.model, subnet)?,
            None => None,
        };
        let mut entries = entries(self.model, self.learned, self.catalog, vnet, table)?;
        entries.retain(|entry| entry.origin == Origin::User || matches!(entry.hop, Hop::VnetLocal));
        let standing = standing_routes(&entries).into_iter();
        let routes = standing.map(|(prefix, place)| (prefix, place, Standing::default()));
        self.table(at, vnet, &entries, routes)
    }

    fn table(
        &self,
        at: usize,
        vnet: &'m VirtualNetwork,
        entries: &[Entry<'_>],
        standing: impl Iterator<Item = (Ipv4Net, usize, Standing)>,
    ) -> Result<Arc<RouteTable>, CompileError> {
        let hops: Vec<NextHop> = entries
            .iter()
            .map(|entry| self.next_hop(at, vnet, entry.hop))
            .collect::<Result<_, _>>()?;
        let routes = standing.filter_map(|(prefix, place, standing)| {
            Some(Route {
                prefix,
                next_hop: *hops.get(place)?,
                standing,
            })
        });
        Ok(Arc::new(RouteTable::new(routes.collect())))
    }

    fn next_hop(
        &self,
        at: usize,
        vnet: &'m VirtualNetwork,
        hop: Hop<'_>,
    ) -> Result<NextHop, CompileError> {
        Ok(match hop {
            Hop::VnetLocal => NextHop::VnetLocal,
            Hop::Internet => NextHop::Internet,
            Hop::None => NextHop::None,
            Hop::Peering(peer) => NextHop::VnetPeering(Peer {
                vnet: VnetIndex(index("virtual networks", peer.index)?),
                takes_forwarded: peer.takes_forwarded,
            }),
            Hop::Gateway => NextHop::VirtualNetworkGateway(self.places.gateways.get(&at).copied()),
            Hop::Appliance(address) => NextHop::VirtualAppliance(self.appliance(at, vnet, address)),
        })
    }

    /// Returns the NIC that forwards and has the address, in the network or in a peered one.
    fn appliance(
        &self,
        at: usize,
        vnet: &'m VirtualNetwork,
        address: Ipv4Addr,
    ) -> Option<Appliance> {
        let own = std::iter::once((at, true));
        let peers = self.model.peers(vnet);
        let mut places = own.chain(peers.map(|peer| (peer.index, peer.takes_forwarded)));
        places.find_map(|(place, takes_forwarded)| {
            let port = *self.places.appliances.get(&(place, address))?;
            Some(Appliance {
                port,
                takes_forwarded,
            })
        })
    }
}

/// What an endpoint table is made of: equal keys mean equal tables.
type EndpointKey = Vec<(&'static str, Locations)>;

/// Builds endpoint tables; subnets whose endpoints cover the same share one.
pub(super) struct Endpoints<'c> {
    catalog: &'c Catalog,
    tables: HashMap<EndpointKey, Arc<EndpointTable>>,
}

impl<'c> Endpoints<'c> {
    pub(super) fn new(catalog: &'c Catalog) -> Self {
        Self {
            catalog,
            tables: HashMap::new(),
        }
    }

    pub(super) fn get(&mut self, vnet: &VirtualNetwork, subnet: &Subnet) -> Arc<EndpointTable> {
        let mut covered: Vec<_> = subnet
            .service_endpoints
            .iter()
            .map(|&service| (service, subnet.locations(service, &vnet.location)))
            .collect();
        // Of equal prefixes the later one stands, and the first name has to.
        covered.sort_unstable_by_key(|(service, _)| std::cmp::Reverse(service.name));
        let key = covered
            .iter()
            .map(|(service, at)| (service.name, at.clone()))
            .collect();
        let catalog = self.catalog;
        let build = || {
            let endpoints = covered.iter().flat_map(|(service, locations)| {
                let prefixes = catalog.prefixes(service, locations).into_iter();
                prefixes.map(|prefix| Endpoint {
                    prefix,
                    service: service.id(),
                })
            });
            Arc::new(EndpointTable::new(endpoints.collect()))
        };
        Arc::clone(self.tables.entry(key).or_insert_with(build))
    }
}
