//! The routes of one kernel table, as far as a gateway learns them.
//!
//! Pure: netlink messages come in as values. The kernel tells what it adds and takes away; where a
//! message does not say which of several routes it meant, the table asks to be read anew.

use ipnet::Ipv4Net;
use postern_network::model::{LearnedRoute, LearnedRoutes, RouteProtocol};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteType,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What a gateway never learns, whoever announces it: addresses that no network of the platform may
/// have (reference section 3.5), and its own two.
const NEVER: [Ipv4Net; 6] = [
    net(0, 0, 0, 0, 8),
    net(127, 0, 0, 0, 8),
    net(169, 254, 0, 0, 16),
    net(168, 63, 129, 16, 32),
    net(224, 0, 0, 0, 4),
    net(240, 0, 0, 0, 4),
];

const fn net(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

/// By what the kernel tells routes of a table apart; of one prefix the lowest metric decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    prefix: Ipv4Net,
    metric: u32,
}

/// A route's way: routes with one key may differ in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    protocol: RouteProtocol,
    hops: Vec<Hop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    router: Option<Ipv4Addr>,
    device: u32,
}

/// What a message did to the table, by how much has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Nothing: the message is about other routes.
    None,
    /// Routes came or went.
    Changed,
    /// Only a new reading tells.
    Unclear,
}

/// Routes of one table of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Table {
    wanted: LearnedRoutes,
    /// The index of the gateway's own device, if it is there.
    own: Option<u32>,
    routes: BTreeMap<Key, Vec<Way>>,
}

impl Table {
    pub(super) fn new(wanted: LearnedRoutes) -> Self {
        Self {
            wanted,
            own: None,
            routes: BTreeMap::new(),
        }
    }

    /// Begins anew with what the kernel has now.
    pub(super) fn read(&mut self, own: Option<u32>, messages: &[RouteMessage]) {
        self.own = own;
        self.routes.clear();
        for message in messages {
            self.add(message, false);
        }
    }

    /// Takes a route that the kernel added; `replaces` is whether another one went for it.
    pub(super) fn add(&mut self, message: &RouteMessage, replaces: bool) -> Effect {
        let Some((key, way)) = self.route(message) else {
            return Effect::None;
        };
        if replaces && self.routes.contains_key(&key) {
            // Which one went is not told, and it may be one that is not learned.
            return Effect::Unclear;
        }
        let Some(way) = way else {
            return Effect::None;
        };
        let ways = self.routes.entry(key).or_default();
        if ways.contains(&way) {
            return Effect::None;
        }
        ways.push(way);
        Effect::Changed
    }

    /// Takes the end of a route.
    pub(super) fn remove(&mut self, message: &RouteMessage) -> Effect {
        let Some((key, Some(way))) = self.route(message) else {
            return Effect::None;
        };
        let Some(ways) = self.routes.get_mut(&key) else {
            return Effect::None;
        };
        let Some(at) = ways.iter().position(|known| *known == way) else {
            return Effect::Unclear;
        };
        ways.remove(at);
        if ways.is_empty() {
            self.routes.remove(&key);
        }
        Effect::Changed
    }

    /// Returns the routes in the order of their prefixes; of one prefix the one that the kernel
    /// takes.
    pub(super) fn learned(&self) -> Vec<LearnedRoute> {
        let mut learned: Vec<LearnedRoute> = Vec::with_capacity(self.routes.len());
        for (key, ways) in &self.routes {
            let is_known = learned.last().is_some_and(|last| last.prefix == key.prefix);
            if let (false, Some(way)) = (is_known, ways.first()) {
                learned.push(LearnedRoute {
                    prefix: key.prefix,
                    next_hop: way.hops.iter().find_map(|hop| hop.router),
                    protocol: way.protocol,
                    metric: key.metric,
                });
            }
        }
        learned
    }

    /// Reads a route of the table; without its way if it is not one that is learned.
    fn route(&self, message: &RouteMessage) -> Option<(Key, Option<Way>)> {
        let header = &message.header;
        let attributes = &message.attributes;
        let table = attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        // A route for some packets only, by their service class, says little of the prefix.
        let is_here = header.address_family == AddressFamily::Inet
            && table.unwrap_or(header.table.into()) == self.wanted.table
            && header.tos == 0;
        if !is_here {
            return None;
        }
        let address = attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
            _ => None,
        });
        // A default route has no destination.
        let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let prefix = Ipv4Net::new(address, header.destination_prefix_length).ok()?;
        let metric = attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        });
        let key = Key {
            prefix: prefix.trunc(),
            metric: metric.unwrap_or_default(),
        };
        let way = Way {
            protocol: RouteProtocol(header.protocol.into()),
            hops: hops(attributes),
        };
        Some((
            key,
            self.takes(header.kind, key.prefix, &way).then_some(way),
        ))
    }

    fn takes(&self, kind: RouteType, prefix: Ipv4Net, way: &Way) -> bool {
        kind == RouteType::Unicast
            && self.wanted.takes(way.protocol)
            && !NEVER.iter().any(|never| never.contains(&prefix))
            // Into the virtual network, and not out of it: packets would go round.
            && !way.hops.iter().any(|hop| Some(hop.device) == self.own)
    }
}

fn hops(attributes: &[RouteAttribute]) -> Vec<Hop> {
    for attribute in attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            let hop = |hop: &RouteNextHop| Hop {
                router: router(&hop.attributes),
                device: hop.interface_index,
            };
            return hops.iter().map(hop).collect();
        }
    }
    let device = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(device) => Some(*device),
        _ => None,
    });
    let hop = device.map(|device| Hop {
        router: router(attributes),
        device,
    });
    hop.into_iter().collect()
}

fn router(attributes: &[RouteAttribute]) -> Option<Ipv4Addr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(router)) => Some(*router),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
