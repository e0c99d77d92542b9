//! Virtual networks and their subnets.

use super::filing::RESOURCE_NAME;
use super::loader::{Claims, Loader, name};
use super::problem::Problem;
use super::section::{At, Section};
use crate::catalog::{Location, Service};
use crate::model::{FORBIDDEN, Subnet, VirtualNetwork, in_catalogue_order};
use ipnet::Ipv4Net;
use std::time::Duration;

pub(super) const VNET_KEYS: &[&str] = &[
    "name",
    "location",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "tenant",
    "addressPrefixes",
    "flowTimeoutInMinutes",
    "subnet",
    "peering",
];

const SUBNET_KEYS: &[&str] = &[
    "name",
    "addressPrefix",
    "serviceEndpoints",
    "serviceEndpointPolicies",
    "networkSecurityGroup",
    "routeTable",
    "natGateway",
    "defaultOutboundAccess",
];

const PREFIXES: &str = "a list of IPv4 prefixes such as [\"10.0.0.0/16\"]";
const A_PREFIX: &str = "an IPv4 prefix such as \"10.0.1.0/24\"";
const SERVICES: &str = "a list of service names such as [\"Microsoft.Storage\"], or of ARM's \
                        objects such as [{ service = \"Microsoft.Storage\" }]";
const ENDPOINT_KEYS: &[&str] = &["service", "locations", "provisioningState"];
const LOCATIONS: &str = "a list of regions such as [\"koreacentral\", \"koreasouth\"], or [\"*\"]";
const A_STATE: &str = "a provisioning state such as \"Succeeded\"";

/// The longest prefix: five addresses of each subnet are reserved.
const LONGEST_PREFIX: u8 = 29;

/// What a subnet has to fit into.
struct Parent {
    name: String,
    location: Option<Location>,
    space: Vec<Ipv4Net>,
    /// The subnets read so far, with the keys of their prefixes.
    subnets: Vec<At<Subnet>>,
}

impl Loader<'_> {
    /// Reads a virtual network with its subnets.
    pub(super) fn vnet(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
    ) -> Option<VirtualNetwork> {
        let name = name(section, names);
        let kind = "Microsoft.Network/virtualNetworks";
        let filed = self.filed(section, kind, name.as_deref());
        let mut parent = Parent {
            name: name.clone().unwrap_or_default(),
            location: self.location(section),
            space: self.address_space(section),
            subnets: Vec::new(),
        };
        let mut names = Claims::default();
        for section in section.sections("subnet", SUBNET_KEYS) {
            if let Some(value) = self.subnet(&section, &mut names, &parent) {
                let key = section.key("addressPrefix");
                parent.subnets.push(At { key, value });
            }
        }
        let minutes = section.number("flowTimeoutInMinutes", 4, 30);
        let flow_timeout = minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
        Some(VirtualNetwork {
            name: name?,
            location: parent.location?,
            scope: filed.scope,
            address_prefixes: parent.space,
            flow_timeout,
            subnets: parent
                .subnets
                .into_iter()
                .map(|subnet| subnet.value)
                .collect(),
            peerings: Vec::new(),
        })
    }

    fn address_space(&self, section: &Section<'_>) -> Vec<Ipv4Net> {
        let read: Vec<At<Ipv4Net>> = section.parse_some("addressPrefixes", PREFIXES);
        let mut space: Vec<At<Ipv4Net>> = Vec::new();
        for range in read {
            let value = range.value;
            let refuse = |problem| {
                self.errors
                    .add(&range.key, Some(format!("\"{value}\"")), problem)
            };
            if let Some(problem) = check_prefix(value) {
                refuse(problem);
            }
            if let Some(block) = FORBIDDEN.iter().find(|block| overlaps(**block, value)) {
                refuse(Problem::ForbiddenSpace(*block));
            }
            if let Some(other) = space.iter().find(|other| overlaps(other.value, value)) {
                let (other, prefix) = (other.key.clone(), other.value);
                refuse(Problem::Overlap { other, prefix });
            }
            space.push(range);
        }
        space.into_iter().map(|range| range.value).collect()
    }

    fn subnet(
        &self,
        section: &Section<'_>,
        names: &mut Claims<String>,
        parent: &Parent,
    ) -> Option<Subnet> {
        let name = name(section, names);
        let prefix = section.parse_required::<Ipv4Net>("addressPrefix", A_PREFIX);
        if let Some(prefix) = prefix {
            parent.check(section, prefix);
        }
        let nsgs = &self.declared.nsgs;
        let gateways = &self.declared.gateways;
        let (nsg, gateway) = ("networkSecurityGroup", "natGateway");
        let service_endpoints = self.endpoints(
            section,
            name.as_deref().unwrap_or_default(),
            parent.location.as_ref(),
        );
        let endpoint_policies =
            self.policies(section, parent.location.as_ref(), &service_endpoints);
        let nsg = Self::reference(section, nsg, nsg, nsgs);
        let nat_gateway = Self::reference(section, gateway, gateway, gateways);
        let route_table = self.subnet_routes(section, name.as_deref().unwrap_or_default());
        let default_outbound_access = section.flag("defaultOutboundAccess", true);
        Some(Subnet {
            name: name?,
            prefix: prefix?,
            service_endpoints,
            endpoint_policies,
            nsg,
            route_table,
            nat_gateway,
            default_outbound_access,
        })
    }

    /// Reads the endpoints of a subnet; a service that is named twice counts once. What is written of
    /// its locations and state is the platform's to fill in, as ARM's own answer has it: regions that
    /// exist are read and not kept (reference section 1.3).
    fn endpoints(
        &self,
        section: &Section<'_>,
        subnet: &str,
        location: Option<&Location>,
    ) -> Vec<&'static Service> {
        let mut endpoints: Vec<&'static Service> = Vec::new();
        let named = section.named("serviceEndpoints", "service", ENDPOINT_KEYS, SERVICES);
        for (At { key, value }, item) in named {
            if let Some(item) = item {
                self.check_locations(&item);
            }
            let refuse = |problem| self.errors.add(&key, Some(format!("{value:?}")), problem);
            let Some(service) = Service::find(value) else {
                let subnet = subnet.to_owned();
                let name = value.to_owned();
                refuse(Problem::UnknownEndpoint { subnet, name });
                continue;
            };
            if let Some(present) = endpoints.iter().find(|present| present.excludes(service)) {
                refuse(Problem::ExcludedEndpoint(present.name));
            }
            // Without a readable region there is nothing to look the prefixes up by.
            let lacking =
                location.and_then(|at| self.catalog.lacking(service, &service.locations(at)));
            if let Some(tags) = lacking {
                let catalog = self.catalog.source().to_owned();
                refuse(Problem::NoPrefixes {
                    service: service.name,
                    catalog,
                    tags,
                });
            }
            endpoints.push(service);
        }
        in_catalogue_order(endpoints.into_iter())
    }

    /// Refuses what cannot be an answer of the platform's for an endpoint.
    fn check_locations(&self, endpoint: &Section<'_>) {
        let _ = endpoint.text("provisioningState", A_STATE);
        for At { key, value } in endpoint.texts("locations", LOCATIONS) {
            let location = Location::new(value);
            if value != "*" && !self.catalog.knows(&location) {
                let similar = self.catalog.similar_locations(&location);
                let similar: Vec<_> = similar.iter().map(ToString::to_string).collect();
                let problem = Problem::UnknownRegion(similar.join(", "));
                self.errors.add(key, Some(format!("{value:?}")), problem);
            }
        }
    }
}

impl Parent {
    /// Refuses the prefix of a subnet that is not inside the network or meets another subnet.
    fn check(&self, section: &Section<'_>, prefix: Ipv4Net) {
        let refuse = |problem| section.refuse("addressPrefix", problem);
        if let Some(problem) = check_prefix(prefix) {
            refuse(problem);
        }
        // Without any readable range there is nothing that the subnet could be inside of.
        let is_inside = self.space.iter().any(|range| range.contains(&prefix));
        if !self.space.is_empty() && !is_inside {
            let space: Vec<_> = self.space.iter().map(ToString::to_string).collect();
            let (vnet, space) = (self.name.clone(), space.join(", "));
            refuse(Problem::OutsideVnet { vnet, space });
        }
        let mut siblings = self.subnets.iter();
        if let Some(other) = siblings.find(|other| overlaps(other.value.prefix, prefix)) {
            let (other, prefix) = (other.key.clone(), other.value.prefix);
            refuse(Problem::Overlap { other, prefix });
        }
    }
}

/// Returns what is wrong with a prefix of a network or subnet, taken alone.
fn check_prefix(prefix: Ipv4Net) -> Option<Problem> {
    if prefix != prefix.trunc() {
        return Some(Problem::HostBits(prefix.trunc()));
    }
    (prefix.prefix_len() > LONGEST_PREFIX).then_some(Problem::TooSmall)
}

fn overlaps(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.trunc()) || other.contains(&one.trunc())
}
