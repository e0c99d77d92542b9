//! Where a packet of a network interface goes next: Azure's "next hop".

use crate::catalog::Catalog;
use crate::compile::{Entry, Hop, entries, rivals, standing_routes, table_of};
use crate::model::{Learned, Model, NetworkInterface, RouteTable};
use ipnet::Ipv4Net;
use postern_dataplane::policy::Standing;
use std::net::Ipv4Addr;

/// The next hop of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its type, as effective routes name it; `None` also where no route covers the destination.
    pub kind: &'static str,
    /// The address that it leads to, where there is one.
    pub address: Option<Ipv4Addr>,
    /// The route table that has the route; none for a route of the platform or of a gateway.
    pub route_table: Option<String>,
}

/// Returns the next hop of a TCP packet from a NIC: the endpoint's route where one decides, else the one
/// with the longest prefix. A NIC that is in no network of the model has none.
#[must_use]
pub fn next_hop(
    (model, learned): (&Model, &Learned),
    catalog: &Catalog,
    nic: &NetworkInterface,
    destination: Ipv4Addr,
) -> Option<NextHop> {
    let (vnet, subnet) = model.subnet_of(nic)?;
    let table = table_of(model, subnet).ok()?;
    let entries = entries(model, learned, catalog, vnet, table).ok()?;
    let covers = |prefix: &Ipv4Net| prefix.contains(&destination);
    let endpoint = subnet.service_endpoints.iter().flat_map(|service| {
        let locations = subnet.locations(service, &vnet.location);
        catalog.prefixes(service, &locations)
    });
    let endpoint = endpoint.filter(covers).max_by_key(Ipv4Net::prefix_len);
    if let Some(endpoint) = endpoint {
        let rivals = rivals(&entries, model.settings.vse_precedence);
        let rivals = rivals.into_iter().filter(|(prefix, ..)| covers(prefix));
        let rival = rivals.max_by_key(|(prefix, ..)| prefix.prefix_len());
        let beats = |(prefix, _, standing): &(Ipv4Net, usize, Standing)| match standing {
            Standing::Longer => prefix.prefix_len() > endpoint.prefix_len(),
            Standing::AsLong => prefix.prefix_len() >= endpoint.prefix_len(),
            Standing::Never => false,
        };
        let Some((_, at, _)) = rival.filter(beats) else {
            return Some(NextHop {
                kind: "VirtualNetworkServiceEndpoint",
                address: None,
                route_table: None,
            });
        };
        return Some(of(entries.get(at)?, table, vnet));
    }
    let routes = standing_routes(&entries).into_iter();
    let route = routes
        .filter(|(prefix, _)| covers(prefix))
        .max_by_key(|(prefix, _)| prefix.prefix_len());
    Some(match route.and_then(|(_, at)| entries.get(at)) {
        Some(entry) => of(entry, table, vnet),
        None => NextHop {
            kind: "None",
            address: None,
            route_table: None,
        },
    })
}

fn of(
    entry: &Entry<'_>,
    table: Option<&RouteTable>,
    vnet: &crate::model::VirtualNetwork,
) -> NextHop {
    NextHop {
        kind: entry.next_hop_type(vnet),
        address: match entry.hop {
            Hop::Appliance(address) => Some(address),
            _ => None,
        },
        route_table: entry.route.and(table).map(|table| table.name.clone()),
    }
}
