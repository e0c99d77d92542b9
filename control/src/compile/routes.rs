//! Routes that the platform gives every subnet, and the prefixes of its endpoints.

use crate::catalog::{Catalog, Locations};
use crate::model::{Subnet, UNROUTED, VirtualNetwork};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{Endpoint, EndpointTable, NextHop, Route};
use std::collections::HashMap;
use std::sync::Arc;

/// Returns the system routes of every subnet of a network: its ranges, the Internet, and the
/// private blocks that lead nowhere.
///
/// A block that the network has as a range, or holds inside of one, is not unrouted; a range inside
/// of a block stands beside it, and the longer prefix decides.
pub(crate) fn system_routes(vnet: &VirtualNetwork) -> Vec<Route> {
    let local = vnet.address_prefixes.iter().copied();
    let covered = |block: &&Ipv4Net| vnet.address_prefixes.iter().any(|own| own.contains(*block));
    let nowhere = UNROUTED.iter().filter(|block| !covered(block)).copied();
    let route = |next_hop| move |prefix| Route { prefix, next_hop };
    local
        .map(route(NextHop::VnetLocal))
        .chain([Ipv4Net::default()].map(route(NextHop::Internet)))
        .chain(nowhere.map(route(NextHop::None)))
        .collect()
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
            .map(|&service| (service, service.locations(&vnet.location)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Location;

    /// System routes of a network with this address space, as text.
    fn routes(space: &[&str]) -> Vec<String> {
        let vnet = VirtualNetwork {
            name: "v".into(),
            location: Location::new("eastus"),
            address_prefixes: space.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            flow_timeout: None,
            subnets: Vec::new(),
        };
        let text = |route: &Route| {
            let next_hop = match route.next_hop {
                NextHop::VnetLocal => "local",
                NextHop::Internet => "internet",
                NextHop::None => "none",
            };
            format!("{} {next_hop}", route.prefix)
        };
        system_routes(&vnet).iter().map(text).collect()
    }

    #[test]
    fn a_range_inside_a_reserved_block_stands_beside_it() {
        assert_eq!(
            routes(&["10.0.0.0/16", "172.16.0.0/24"]),
            [
                "10.0.0.0/16 local",
                "172.16.0.0/24 local",
                "0.0.0.0/0 internet",
                "10.0.0.0/8 none",
                "172.16.0.0/12 none",
                "192.168.0.0/16 none",
                "100.64.0.0/10 none",
            ]
        );
    }

    #[test]
    fn a_range_equal_to_or_around_a_reserved_block_replaces_it() {
        let rest = [
            "0.0.0.0/0 internet",
            "172.16.0.0/12 none",
            "192.168.0.0/16 none",
            "100.64.0.0/10 none",
        ];
        for space in ["10.0.0.0/8", "10.0.0.0/7"] {
            let mut wanted = vec![format!("{space} local")];
            wanted.extend(rest.iter().map(ToString::to_string));
            assert_eq!(routes(&[space]), wanted);
        }
    }
}
