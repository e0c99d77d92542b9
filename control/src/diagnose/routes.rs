//! The effective routes of a network interface.

use crate::catalog::Catalog;
use crate::compile::system_routes;
use crate::model::{Model, NetworkInterface};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{NextHop, Route};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::Ipv4Addr;

/// The answer of Azure's `effectiveRouteTable`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRoutes {
    /// The routes: those of the platform, then one for each service endpoint.
    pub value: Vec<EffectiveRoute>,
    /// Always null: the answer is whole.
    pub next_link: Option<String>,
}

/// One row of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRoute {
    /// The name; only routes of users have one.
    pub name: Option<String>,
    /// Who made it: `Default` for the platform.
    pub source: String,
    /// `Active`, or `Invalid` for a route that another one beat.
    pub state: String,
    /// The destinations; an endpoint's in descending order.
    pub address_prefix: Vec<Ipv4Net>,
    /// Where it leads.
    pub next_hop_type: String,
    /// The address that it leads to, where there is one.
    pub next_hop_ip_address: Vec<Ipv4Addr>,
    /// Whether routes from gateways are kept out of the table.
    pub disable_bgp_route_propagation: bool,
    /// Whether a route from a gateway has beaten it.
    pub has_bgp_override: bool,
    /// Tags that the route was written with.
    pub destination_service_tags: Vec<String>,
    /// What those tags stand for.
    pub tag_map: Map<String, Value>,
}

/// Returns the effective routes of a network interface. A NIC that is in no network of the model
/// has none.
#[must_use]
pub fn effective_routes(
    model: &Model,
    catalog: &Catalog,
    nic: &NetworkInterface,
) -> EffectiveRoutes {
    let mut value = Vec::new();
    if let Some((vnet, subnet)) = model.subnet_of(nic) {
        value.extend(system_routes(vnet).iter().map(system_row));
        value.extend(subnet.service_endpoints.iter().map(|service| {
            let mut prefixes = catalog.prefixes(service, &service.locations(&vnet.location));
            prefixes.reverse();
            row(prefixes, "VirtualNetworkServiceEndpoint")
        }));
    }
    EffectiveRoutes {
        value,
        next_link: None,
    }
}

fn system_row(route: &Route) -> EffectiveRoute {
    let next_hop = match route.next_hop {
        NextHop::VnetLocal => "VnetLocal",
        NextHop::Internet => "Internet",
        NextHop::None => "None",
    };
    row(vec![route.prefix], next_hop)
}

fn row(address_prefix: Vec<Ipv4Net>, next_hop_type: &str) -> EffectiveRoute {
    EffectiveRoute {
        name: None,
        source: "Default".to_owned(),
        state: "Active".to_owned(),
        address_prefix,
        next_hop_type: next_hop_type.to_owned(),
        next_hop_ip_address: Vec::new(),
        disable_bgp_route_propagation: false,
        has_bgp_override: false,
        destination_service_tags: Vec::new(),
        tag_map: Map::new(),
    }
}
