//! The effective routes of a network interface.

use crate::catalog::Catalog;
use crate::compile::{Entry, Hop, Origin, entries, rivals, standing_routes, table_of};
use crate::model::{Destination, Learned, Model, NetworkInterface, VirtualNetwork};
use ipnet::Ipv4Net;
use postern_dataplane::policy::Standing;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// The answer of Azure's `effectiveRouteTable`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRoutes {
    /// The routes: those of the platform and of users, then one for each service endpoint.
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
    /// Who made it: `Default` for the platform, `VirtualNetworkGateway` or `User`.
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

/// Returns the effective routes of a network interface: those of the platform and the gateway,
/// those of users, then those of endpoints. A NIC that is in no network of the model has none.
///
/// A route is beaten where another one with the same prefix stands (reference section 3.6): those
/// prefixes are a row of their own, with the state `Invalid`.
#[must_use]
pub fn effective_routes(
    model: &Model,
    learned: &Learned,
    catalog: &Catalog,
    nic: &NetworkInterface,
) -> EffectiveRoutes {
    let value = rows(model, learned, catalog, nic).unwrap_or_default();
    EffectiveRoutes {
        value,
        next_link: None,
    }
}

fn rows(
    model: &Model,
    learned: &Learned,
    catalog: &Catalog,
    nic: &NetworkInterface,
) -> Option<Vec<EffectiveRoute>> {
    let (vnet, subnet) = model.subnet_of(nic)?;
    let table = table_of(model, subnet).ok()?;
    let entries = entries(model, learned, catalog, vnet, table).ok()?;
    let precedence = model.settings.vse_precedence;
    // Where an endpoint loses against a route with the same prefix.
    let over_endpoints: HashSet<Ipv4Net> = rivals(&entries, precedence)
        .into_iter()
        .filter(|(_, _, standing)| *standing == Standing::AsLong)
        .map(|(prefix, ..)| prefix)
        .collect();
    let endpoints: Vec<Vec<Ipv4Net>> = subnet
        .service_endpoints
        .iter()
        .map(|service| {
            let mut prefixes =
                catalog.prefixes(service, &subnet.locations(service, &vnet.location));
            prefixes.reverse();
            prefixes
        })
        .collect();
    let covered: HashSet<Ipv4Net> = endpoints
        .iter()
        .flatten()
        .filter(|prefix| !over_endpoints.contains(*prefix))
        .copied()
        .collect();
    let winners: HashMap<Ipv4Net, usize> = standing_routes(&entries).into_iter().collect();
    let mut rows = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let is_active =
            |prefix: &Ipv4Net| winners.get(prefix) == Some(&at) && !covered.contains(prefix);
        let is_hidden = |prefix: &Ipv4Net| {
            // Inside of a network's range, but with no rival of its own prefix.
            entry.origin == Origin::Gateway && !winners.contains_key(prefix)
        };
        let has_bgp_override = entry.origin == Origin::Default
            && entry.prefixes.iter().any(|prefix| {
                let winner = winners.get(prefix).and_then(|at| entries.get(*at));
                winner.is_some_and(|winner| winner.origin == Origin::Gateway)
            });
        let row = EffectiveRoute {
            has_bgp_override,
            ..entry_row(entry, vnet)
        };
        split(&mut rows, row, |prefix| {
            is_active(prefix) || is_hidden(prefix)
        });
    }
    for prefixes in endpoints {
        let row = row(prefixes, "VirtualNetworkServiceEndpoint");
        split(&mut rows, row, |prefix| !over_endpoints.contains(prefix));
    }
    let is_kept_out = table.is_some_and(|table| table.disable_bgp_route_propagation);
    for row in &mut rows {
        row.disable_bgp_route_propagation = is_kept_out;
    }
    Some(rows)
}

/// Adds a row with those of its prefixes that are active and one with those that are not.
fn split(
    rows: &mut Vec<EffectiveRoute>,
    row: EffectiveRoute,
    is_active: impl Fn(&Ipv4Net) -> bool,
) {
    let (active, beaten) = row
        .address_prefix
        .iter()
        .partition(|prefix| is_active(prefix));
    let parts: [(Vec<Ipv4Net>, &str); 2] = [(active, "Active"), (beaten, "Invalid")];
    rows.extend(
        parts
            .into_iter()
            .filter(|(prefixes, _)| !prefixes.is_empty())
            .map(|(address_prefix, state)| EffectiveRoute {
                address_prefix,
                state: state.to_owned(),
                ..row.clone()
            }),
    );
}

fn entry_row(entry: &Entry<'_>, vnet: &VirtualNetwork) -> EffectiveRoute {
    let source = match entry.origin {
        Origin::Default => "Default",
        Origin::Gateway => "VirtualNetworkGateway",
        Origin::User => "User",
    };
    let appliance = match entry.hop {
        Hop::Appliance(address) => Some(address),
        _ => None,
    };
    let tag = match entry.route.map(|route| &route.destination) {
        Some(Destination::Tag(tag)) => Some(tag.clone()),
        _ => None,
    };
    EffectiveRoute {
        name: entry.route.map(|route| route.name.clone()),
        source: source.to_owned(),
        next_hop_ip_address: appliance.into_iter().collect(),
        destination_service_tags: tag.into_iter().collect(),
        ..row(entry.prefixes.clone(), entry.next_hop_type(vnet))
    }
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
