//! What routes a subnet has, and which of those with one prefix stands.
//!
//! The answer to "effective routes" and the tables of the packet path are made of the same entries.
//! Sections 3.1 to 3.4 of the reference: system routes, peerings, the gateway's prefixes unless the
//! route table keeps them out, and the user's routes.

use super::{CompileError, missing};
use crate::catalog::Catalog;
use crate::model::{
    Destination, Learned, Model, NetworkPeer, RouteTable, Subnet, UNROUTED, UserNextHop, UserRoute,
    VirtualNetwork, VsePrecedence,
};
use ipnet::Ipv4Net;
use postern_dataplane::policy::Standing;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Who made a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The platform.
    Default,
    /// The network's gateway.
    Gateway,
    /// A user.
    User,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hop<'m> {
    VnetLocal,
    Peering(NetworkPeer<'m>),
    Gateway,
    Internet,
    Appliance(Ipv4Addr),
    None,
}

/// A route with all its prefixes.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'m> {
    pub(crate) origin: Origin,
    /// The user's route, if it is one.
    pub(crate) route: Option<&'m UserRoute>,
    pub(crate) prefixes: Vec<Ipv4Net>,
    pub(crate) hop: Hop<'m>,
}

/// Returns the routes of a subnet, but for those of its endpoints: ranges of the network, peers,
/// the gateway's, the Internet, the blocks that lead nowhere, the user's.
///
/// The gateway's are those that were written down and those that it has learned.
///
/// A block that the network has as a range, or holds inside of one, is not unrouted; a range inside
/// of a block stands beside it, and the longer prefix decides. A user's route for everything takes
/// the place of all such blocks; a gateway's does so by a setting.
pub(crate) fn entries<'m>(
    model: &'m Model,
    learned: &Learned,
    catalog: &Catalog,
    vnet: &'m VirtualNetwork,
    table: Option<&'m RouteTable>,
) -> Result<Vec<Entry<'m>>, CompileError> {
    let one = |origin, prefix, hop| Entry {
        origin,
        route: None,
        prefixes: vec![prefix],
        hop,
    };
    let mut entries = Vec::new();
    let local = vnet.address_prefixes.iter();
    entries.extend(local.map(|&prefix| one(Origin::Default, prefix, Hop::VnetLocal)));
    for peer in model.peers(vnet) {
        let ranges = peer.vnet.address_prefixes.iter();
        entries.extend(ranges.map(|&prefix| one(Origin::Default, prefix, Hop::Peering(peer))));
    }
    let mut is_default_behind = false;
    if !table.is_some_and(|table| table.disable_bgp_route_propagation) {
        let gateway = model.gateway_of(vnet).into_iter();
        for prefix in gateway.flat_map(|gateway| learned.behind(gateway)) {
            is_default_behind |= prefix.prefix_len() == 0;
            entries.push(one(Origin::Gateway, prefix, Hop::Gateway));
        }
    }
    entries.push(one(Origin::Default, Ipv4Net::default(), Hop::Internet));
    let everything = Destination::Prefix(Ipv4Net::default());
    let routes = table.map_or(&[][..], |table| &table.routes);
    let by_user = routes.iter().any(|route| route.destination == everything);
    let by_gateway = is_default_behind && model.settings.learned_default_removes_none;
    if !by_user && !by_gateway {
        let covered =
            |block: &&Ipv4Net| vnet.address_prefixes.iter().any(|own| own.contains(*block));
        let nowhere = UNROUTED.iter().filter(|block| !covered(block));
        entries.extend(nowhere.map(|&prefix| one(Origin::Default, prefix, Hop::None)));
    }
    for route in routes {
        entries.push(user(route, catalog)?);
    }
    Ok(entries)
}

/// Returns the route table of a subnet.
pub(crate) fn table_of<'m>(
    model: &'m Model,
    subnet: &Subnet,
) -> Result<Option<&'m RouteTable>, CompileError> {
    let Some(name) = &subnet.route_table else {
        return Ok(None);
    };
    let table = model.route_table(name);
    table.map(Some).ok_or_else(|| missing("routeTable", name))
}

fn user<'m>(route: &'m UserRoute, catalog: &Catalog) -> Result<Entry<'m>, CompileError> {
    let prefixes = match &route.destination {
        Destination::Prefix(prefix) => vec![*prefix],
        Destination::Tag(name) => {
            let tag = catalog.tag(name);
            let tag = tag.ok_or_else(|| missing("service tag", name))?;
            tag.prefixes.clone()
        }
    };
    Ok(Entry {
        origin: Origin::User,
        route: Some(route),
        prefixes,
        hop: match route.next_hop {
            UserNextHop::VirtualNetworkGateway => Hop::Gateway,
            UserNextHop::VnetLocal => Hop::VnetLocal,
            UserNextHop::Internet => Hop::Internet,
            UserNextHop::VirtualAppliance(address) => Hop::Appliance(address),
            UserNextHop::None => Hop::None,
        },
    })
}

impl Entry<'_> {
    /// Returns the rank among routes with one prefix: a user's before a gateway's before the
    /// platform's; of a user's a prefix, then `Tag.Region`, `Tag`, `AzureCloud.Region`,
    /// `AzureCloud`.
    fn rank(&self) -> u8 {
        let destination = self.route.map(|route| &route.destination);
        match (self.origin, destination) {
            (Origin::Default, _) => 0,
            (Origin::Gateway, _) => 1,
            (Origin::User, Some(Destination::Tag(tag))) => {
                let (service, region) = tag.split_once('.').unwrap_or((tag, ""));
                let of_service = if service.eq_ignore_ascii_case("AzureCloud") {
                    2
                } else {
                    4
                };
                of_service + u8::from(!region.is_empty())
            }
            (Origin::User, _) => 6,
        }
    }

    /// Returns the type of the next hop as Azure's answers name it, in a subnet of `vnet`.
    pub(crate) fn next_hop_type(&self, vnet: &VirtualNetwork) -> &'static str {
        match self.hop {
            Hop::VnetLocal => "VnetLocal",
            Hop::Peering(peer) if peer.vnet.location == vnet.location => "VNetPeering",
            Hop::Peering(_) => "VNetGlobalPeering",
            Hop::Gateway => "VirtualNetworkGateway",
            Hop::Internet => "Internet",
            Hop::Appliance(_) => "VirtualAppliance",
            Hop::None => "None",
        }
    }

    /// Returns whether it is a route of the platform into a virtual network.
    fn is_inside(&self) -> bool {
        self.origin == Origin::Default && matches!(self.hop, Hop::VnetLocal | Hop::Peering(_))
    }

    /// Returns how the route stands against an endpoint, or nothing if it does not stand at all.
    fn standing(&self, precedence: VsePrecedence) -> Option<Standing> {
        match (self.origin, precedence, self.hop) {
            (Origin::Gateway, ..) | (Origin::User, VsePrecedence::Strict, _) => None,
            // Inside a network's own address space the network's route wins a tie.
            (Origin::Default, _, Hop::VnetLocal | Hop::Peering(_)) => Some(Standing::AsLong),
            (Origin::User, VsePrecedence::Observed, Hop::Internet) => Some(Standing::Never),
            (
                Origin::User,
                VsePrecedence::Observed,
                Hop::Appliance(_) | Hop::Gateway | Hop::None,
            ) => Some(Standing::AsLong),
            (Origin::Default | Origin::User, ..) => Some(Standing::Longer),
        }
    }
}

/// Returns for each prefix the entry that stands for it, by its position, in the order of the
/// entries. A prefix of the gateway inside of a network's own or peered range never does.
pub(crate) fn standing_routes(entries: &[Entry<'_>]) -> Vec<(Ipv4Net, usize)> {
    let inside: Vec<Ipv4Net> = entries
        .iter()
        .filter(|entry| entry.is_inside())
        .flat_map(|entry| entry.prefixes.iter().copied())
        .collect();
    let is_hidden = |entry: &Entry<'_>, prefix: &Ipv4Net| {
        entry.origin == Origin::Gateway && inside.iter().any(|range| range.contains(prefix))
    };
    winners(entries, |entry, prefix| !is_hidden(entry, prefix))
}

/// Returns the routes that an endpoint is held against, and how they stand.
pub(crate) fn rivals(
    entries: &[Entry<'_>],
    precedence: VsePrecedence,
) -> Vec<(Ipv4Net, usize, Standing)> {
    let rivals = winners(entries, |entry, _| entry.standing(precedence).is_some());
    let standing = |(prefix, at)| {
        let entry: &Entry<'_> = entries.get(at)?;
        Some((prefix, at, entry.standing(precedence)?))
    };
    rivals.into_iter().filter_map(standing).collect()
}

fn winners<'e>(
    entries: &'e [Entry<'e>],
    is_wanted: impl Fn(&Entry<'_>, &Ipv4Net) -> bool,
) -> Vec<(Ipv4Net, usize)> {
    let mut best: HashMap<Ipv4Net, (u8, usize)> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let rank = entry.rank();
        for &prefix in entry
            .prefixes
            .iter()
            .filter(|prefix| is_wanted(entry, prefix))
        {
            let place = best.entry(prefix).or_insert((rank, at));
            if place.0 < rank {
                *place = (rank, at);
            }
        }
    }
    let mut routes: Vec<_> = best
        .into_iter()
        .map(|(prefix, (_, at))| (prefix, at))
        .collect();
    routes.sort_unstable_by_key(|&(prefix, at)| (at, prefix));
    routes
}

#[cfg(test)]
mod tests;
