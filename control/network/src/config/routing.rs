//! Route tables, peerings and gateways.

use super::filing::RESOURCE_NAME;
use super::loader::{Claims, Loader, name};
use super::problem::Problem;
use super::rules::similar;
use super::section::{At, Section};
use crate::catalog::Catalog;
use crate::model::{
    Destination, GATEWAY_SUBNET, Gateway, LearnedRoutes, Peering, RouteProtocol, RouteTable,
    UserNextHop, UserRoute, VirtualNetwork,
};
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::net::Ipv4Addr;

pub(super) const TABLE_KEYS: &[&str] = &[
    "name",
    "location",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "disableBgpRoutePropagation",
    "route",
];

pub(super) const VNET_GATEWAY_KEYS: &[&str] = &[
    "name",
    "virtualNetwork",
    "addressPrefixes",
    "learnedRoutes",
    "addresses",
    "namespace",
    "device",
    "mtu",
    "offload",
];

const ROUTE_KEYS: &[&str] = &["name", "addressPrefix", "nextHopType", "nextHopIpAddress"];
const LEARNED_KEYS: &[&str] = &["table", "protocols"];
const PEERING_KEYS: &[&str] = &["remote", "allowForwardedTraffic"];

const A_DESTINATION: &str = "an IPv4 prefix such as \"0.0.0.0/0\" or a service tag";
const A_NEXT_HOP: &str =
    "\"VirtualNetworkGateway\", \"VnetLocal\", \"Internet\", \"VirtualAppliance\" or \"None\"";
const AN_APPLIANCE: &str = "the private IPv4 address of a NIC with enableIPForwarding, because \
                            nextHopType is \"VirtualAppliance\"";
const A_NETWORK: &str = "the name of a virtual network of this file";
const PREFIXES: &str = "a list of IPv4 prefixes such as [\"192.168.0.0/16\"]";
const PROTOCOLS: &str = "a list of routing protocols as `ip route` names them, such as [\"bird\"] or \
                         [\"bgp\", \"ospf\"], or their numbers from \"3\" to \"255\"";
const ADDRESSES: &str = "a list of IPv4 addresses with prefix lengths such as [\"192.168.7.1/24\"]";

/// What only the platform makes routes of.
const OF_THE_PLATFORM: [&str; 4] = [
    "VirtualNetworkServiceEndpoint",
    "VNetPeering",
    "VNetGlobalPeering",
    "InterfaceEndpoint",
];

const MOST_TABLES: usize = 200;
const MOST_ROUTES: usize = 400;
const MOST_TAG_ROUTES: usize = 25;

impl Loader<'_> {
    /// Reads every route table.
    pub(super) fn route_tables(&mut self, root: &Section<'_>) {
        let sections = root.sections("routeTable", TABLE_KEYS);
        if sections.len() > MOST_TABLES {
            root.refuse("routeTable", Problem::TooMany(sections.len(), MOST_TABLES));
        }
        let mut names = Claims::default();
        for section in sections {
            let table = route_table(&section, &mut names, self.catalog);
            let name = table.as_ref().map(|table| table.name.as_str());
            self.filed_anywhere(&section, "Microsoft.Network/routeTables", name);
            self.model.route_tables.extend(table);
        }
    }

    /// Reads the route table of a subnet.
    pub(super) fn subnet_routes(&self, section: &Section<'_>, subnet: &str) -> Option<String> {
        const KEY: &str = "routeTable";
        let table = Self::reference(section, KEY, KEY, &self.declared.route_tables)?;
        let is_cut_off = self
            .model
            .route_table(&table)
            .is_some_and(|table| table.disable_bgp_route_propagation);
        if is_cut_off && subnet.eq_ignore_ascii_case(GATEWAY_SUBNET) {
            section.refuse(KEY, Problem::GatewayCutOff);
        }
        Some(table)
    }

    /// Reads the peerings of a network; [`Loader::check_peerings`] looks at the other sides.
    pub(super) fn peerings(
        &self,
        section: &Section<'_>,
        vnet: &VirtualNetwork,
        links: &mut Vec<At<(String, String)>>,
    ) -> Vec<Peering> {
        let (mut peerings, mut remotes) = (Vec::new(), Claims::default());
        for section in section.sections("peering", PEERING_KEYS) {
            section.require("remote", A_NETWORK);
            let kind = "virtualNetwork";
            let allow_forwarded_traffic = section.flag("allowForwardedTraffic", false);
            let known = &self.declared.vnets;
            let Some(remote) = Self::reference(&section, "remote", kind, known) else {
                continue;
            };
            let key = section.key("remote");
            if remote.eq_ignore_ascii_case(&vnet.name) {
                section.refuse("remote", Problem::PeeredWithItself);
            } else if let Err(other) = remotes.claim(remote.to_ascii_lowercase(), &key) {
                section.refuse("remote", Problem::DuplicatePeering(other));
            } else {
                let value = (vnet.name.clone(), remote.clone());
                links.push(At { key, value });
                peerings.push(Peering {
                    remote,
                    allow_forwarded_traffic,
                });
            }
        }
        peerings
    }

    /// Refuses peerings between networks whose ranges meet: with each other, or with those of
    /// another peer of the same network.
    pub(super) fn check_peerings(&self, links: &[At<(String, String)>]) {
        let mut peers: HashMap<&str, Vec<&str>> = HashMap::new();
        for link in links {
            let (own, remote) = &link.value;
            let others = peers.entry(own).or_insert_with(|| vec![own]);
            for other in others.iter() {
                let (Some(one), Some(two)) = (self.known_vnet(remote), self.known_vnet(other))
                else {
                    continue;
                };
                if let Some(prefixes) = meeting(one, two) {
                    let (remote, other) = (one.name.clone(), two.name.clone());
                    let problem = Problem::PeeringOverlap {
                        remote,
                        other,
                        prefixes,
                    };
                    self.errors
                        .add(&link.key, Some(format!("{:?}", one.name)), problem);
                }
            }
            others.push(remote);
        }
    }

    /// Reads a gateway.
    pub(super) fn vnet_gateway(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
        networks: &mut Claims<String>,
    ) -> Option<Gateway> {
        const NETWORK: &str = "virtualNetwork";
        let name = name(section, names);
        section.require(NETWORK, A_NETWORK);
        let vnet = Self::reference(section, NETWORK, NETWORK, &self.declared.vnets);
        if let Some(vnet) = &vnet
            && let Err(other) = networks.claim(vnet.clone(), &section.key(NETWORK))
        {
            section.refuse(NETWORK, Problem::SecondGateway(other));
        }
        let prefixes = section.parse_list::<Ipv4Net>("addressPrefixes", PREFIXES);
        for At { key, value } in &prefixes {
            if *value != value.trunc() {
                let problem = Problem::HostBits(value.trunc());
                self.errors.add(key, Some(format!("\"{value}\"")), problem);
            }
        }
        let addresses = section.parse_list::<Ipv4Net>("addresses", ADDRESSES);
        let learned_routes = learned_routes(section);
        let device = self.own_device(section);
        Some(Gateway {
            name: name?,
            vnet: vnet?,
            address_prefixes: prefixes.into_iter().map(|prefix| prefix.value).collect(),
            learned_routes,
            addresses: addresses.into_iter().map(|address| address.value).collect(),
            device: device?,
        })
    }
}

/// Reads which routes of its namespace a gateway learns.
fn learned_routes(section: &Section<'_>) -> Option<LearnedRoutes> {
    let section = section.section("learnedRoutes", LEARNED_KEYS)?;
    let table = section.number("table", 1, u32::MAX);
    let protocols = section.parse_list::<RouteProtocol>("protocols", PROTOCOLS);
    let mut protocols: Vec<_> = protocols.into_iter().map(|named| named.value).collect();
    protocols.sort_unstable();
    protocols.dedup();
    Some(LearnedRoutes {
        table: table.unwrap_or(LearnedRoutes::MAIN_TABLE),
        protocols,
    })
}

/// Returns a range of each network that meet, as text.
fn meeting(one: &VirtualNetwork, two: &VirtualNetwork) -> Option<String> {
    let mut pairs = one
        .address_prefixes
        .iter()
        .flat_map(|own| two.address_prefixes.iter().map(move |other| (own, other)));
    let (own, other) = pairs.find(|(own, other)| own.contains(*other) || other.contains(*own))?;
    Some(format!("{own}, {other}"))
}

fn route_table(
    section: &Section<'_>,
    names: &mut Claims<String>,
    catalog: &Catalog,
) -> Option<RouteTable> {
    let name = name(section, names);
    let disable_bgp_route_propagation = section.flag("disableBgpRoutePropagation", false);
    let sections = section.sections("route", ROUTE_KEYS);
    if sections.len() > MOST_ROUTES {
        section.refuse("route", Problem::TooMany(sections.len(), MOST_ROUTES));
    }
    let (mut names, mut prefixes) = (Claims::default(), Claims::default());
    let read = sections.iter().filter_map(|section| {
        let route = route(section, &mut names, catalog)?;
        let (destination, key) = (route.destination.to_string(), section.key("name"));
        if let Err(other) = prefixes.claim(destination, &key) {
            section.refuse("addressPrefix", Problem::DuplicateDestination(other));
        }
        Some(route)
    });
    let routes: Vec<UserRoute> = read.collect();
    let is_tag = |route: &&UserRoute| matches!(route.destination, Destination::Tag(_));
    let tags = routes.iter().filter(is_tag).count();
    if tags > MOST_TAG_ROUTES {
        section.refuse("route", Problem::TooManyTagRoutes(tags, MOST_TAG_ROUTES));
    }
    Some(RouteTable {
        name: name?,
        routes,
        disable_bgp_route_propagation,
    })
}

fn route(
    section: &Section<'_>,
    names: &mut Claims<String>,
    catalog: &Catalog,
) -> Option<UserRoute> {
    let name = name(section, names);
    let destination = destination(section, catalog);
    let next_hop = next_hop(section);
    Some(UserRoute {
        name: name?,
        destination: destination?,
        next_hop: next_hop?,
    })
}

fn destination(section: &Section<'_>, catalog: &Catalog) -> Option<Destination> {
    const KEY: &str = "addressPrefix";
    section.require(KEY, A_DESTINATION);
    let text = section.text(KEY, A_DESTINATION)?;
    if let Ok(prefix) = text.parse::<Ipv4Net>() {
        if prefix != prefix.trunc() {
            section.refuse(KEY, Problem::HostBits(prefix.trunc()));
        }
        return Some(Destination::Prefix(prefix));
    }
    let tag = catalog.tag(text);
    if tag.is_none() {
        let problem = Problem::UnknownDestination {
            catalog: catalog.source().to_owned(),
            similar: similar(text, catalog),
        };
        section.refuse(KEY, problem);
    }
    tag.map(|tag| Destination::Tag(tag.name.clone()))
}

fn next_hop(section: &Section<'_>) -> Option<UserNextHop> {
    const TYPE: &str = "nextHopType";
    const ADDRESS: &str = "nextHopIpAddress";
    section.require(TYPE, A_NEXT_HOP);
    let text = section.text(TYPE, A_NEXT_HOP)?;
    if OF_THE_PLATFORM
        .iter()
        .any(|hop| hop.eq_ignore_ascii_case(text))
    {
        section.refuse(TYPE, Problem::PlatformNextHop(A_NEXT_HOP));
        return None;
    }
    if text.eq_ignore_ascii_case("VirtualAppliance") {
        let address = section.parse_required::<Ipv4Addr>(ADDRESS, AN_APPLIANCE)?;
        return Some(UserNextHop::VirtualAppliance(address));
    }
    let choices = [
        ("VirtualNetworkGateway", UserNextHop::VirtualNetworkGateway),
        ("VnetLocal", UserNextHop::VnetLocal),
        ("Internet", UserNextHop::Internet),
        ("None", UserNextHop::None),
    ];
    let next_hop = section.choice(TYPE, &choices, A_NEXT_HOP);
    if section.has(ADDRESS) && next_hop.is_some() {
        section.refuse(ADDRESS, Problem::NextHopForbidden);
    }
    next_hop
}
