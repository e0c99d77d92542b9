//! What tags stand for, as addresses.

use crate::catalog::Catalog;
use crate::model::{
    Destination, Gateway, Learned, Model, NOT_PUBLIC, PLATFORM, Peer, RuleTag, Subnet,
    VirtualNetwork,
};
use ipnet::{Ipv4Net, Ipv4Subnets};
use postern_dataplane::policy::AddrSet;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Expands tags from the view of virtual networks; equal expansions are shared.
pub(crate) struct Tags<'c> {
    catalog: &'c Catalog,
    any: Arc<AddrSet>,
    services: HashMap<String, Arc<AddrSet>>,
}

/// What the tags that depend on a virtual network, and on the routes of a subnet of it, stand for
/// there, and which addresses its application security groups have.
#[derive(Clone)]
pub(crate) struct VnetTags {
    vnet: Arc<AddrSet>,
    internet: Arc<AddrSet>,
    probes: Arc<AddrSet>,
    /// Addresses of members by the name of the group in lower case.
    groups: HashMap<String, AddrSet>,
}

/// Returns the prefixes that routes of a subnet add to `VirtualNetwork` there: ranges of peered
/// networks, what gateways reach, and those that its user routes have (reference section 4.4).
/// Routes by service tag add nothing: their prefixes stay in the tag. A gateway's route for every
/// address adds them all only where the subnet takes routes of gateways; its other prefixes are
/// the network's on-premises side whether or not a subnet has a route to it.
pub(super) fn routed_prefixes(
    model: &Model,
    learned: &Learned,
    vnet: &VirtualNetwork,
    subnet: &Subnet,
) -> Vec<Ipv4Net> {
    let peers = model
        .peers(vnet)
        .flat_map(|peer| peer.vnet.address_prefixes.iter().copied());
    let is_own = |gateway: &&Gateway| gateway.vnet.eq_ignore_ascii_case(&vnet.name);
    let gateways = model.gateways.iter().filter(is_own);
    let table = subnet
        .route_table
        .as_ref()
        .and_then(|name| model.route_table(name));
    let is_cut_off = table.is_some_and(|table| table.disable_bgp_route_propagation);
    let behind = gateways.flat_map(|gateway| learned.behind(gateway));
    let behind = behind.filter(|prefix| prefix.prefix_len() > 0 || !is_cut_off);
    let routes = table.into_iter().flat_map(|table| &table.routes);
    let of_users = routes.filter_map(|route| match &route.destination {
        Destination::Prefix(prefix) => Some(*prefix),
        Destination::Tag(_) => None,
    });
    let is_taken = |prefix: &Ipv4Net| {
        prefix.prefix_len() > 0 || model.settings.vnet_tag_includes_default_route
    };
    peers
        .chain(behind)
        .chain(of_users)
        .filter(is_taken)
        .collect()
}

impl VnetTags {
    /// Returns the expansions in a subnet of `vnet`.
    pub(crate) fn new(
        model: &Model,
        learned: &Learned,
        vnet: &VirtualNetwork,
        subnet: &Subnet,
    ) -> Self {
        Self::with_routed(model, vnet, &routed_prefixes(model, learned, vnet, subnet))
    }

    /// Returns the expansions in a subnet of `vnet` whose routes add `routed` to its tags.
    /// `VirtualNetwork` is the network's ranges, the platform address and what is routed; prefixes
    /// of services are not a part of it, whether or not an endpoint is on. `Internet` is what is
    /// public and outside of `VirtualNetwork`, so a route for every address leaves nothing of it.
    pub(super) fn with_routed(model: &Model, vnet: &VirtualNetwork, routed: &[Ipv4Net]) -> Self {
        let own = vnet.address_prefixes.iter().chain(routed).copied();
        let own = AddrSet::from_prefixes(own.chain([PLATFORM]));
        let not_public = AddrSet::from_prefixes(NOT_PUBLIC.iter().copied());
        Self {
            internet: Arc::new(not_public.union(&own).complement()),
            vnet: Arc::new(own),
            probes: Arc::new(AddrSet::from_prefixes([PLATFORM])),
            groups: groups(model, vnet),
        }
    }
}

/// Returns the addresses of the members of each group in `vnet`.
fn groups(model: &Model, vnet: &VirtualNetwork) -> HashMap<String, AddrSet> {
    let is_here = |name: &str| name.eq_ignore_ascii_case(&vnet.name);
    let mut members: HashMap<String, Vec<Ipv4Net>> = HashMap::new();
    for nic in model.nics.iter().filter(|nic| is_here(&nic.vnet)) {
        for asg in &nic.asgs {
            let addresses = members.entry(asg.to_ascii_lowercase()).or_default();
            addresses.push(nic.private_address.into());
        }
    }
    members
        .into_iter()
        .map(|(name, addresses)| (name, AddrSet::from_prefixes(addresses)))
        .collect()
}

impl<'c> Tags<'c> {
    pub(crate) fn new(catalog: &'c Catalog) -> Self {
        Self {
            catalog,
            any: Arc::new(AddrSet::any()),
            services: HashMap::new(),
        }
    }

    /// Returns the addresses of one side of a rule; none for a tag that the catalogue lacks.
    pub(crate) fn expand(&mut self, peer: &Peer, vnet: &VnetTags) -> Option<Arc<AddrSet>> {
        Some(match peer {
            Peer::Any => Arc::clone(&self.any),
            Peer::Prefixes(prefixes) => Arc::new(AddrSet::from_prefixes(prefixes.iter().copied())),
            Peer::Groups(names) => {
                let members = names
                    .iter()
                    .filter_map(|name| vnet.groups.get(&name.to_ascii_lowercase()));
                Arc::new(members.fold(AddrSet::default(), |all, some| all.union(some)))
            }
            Peer::Tag(
                tag @ (RuleTag::AzurePlatformDns
                | RuleTag::AzurePlatformImds
                | RuleTag::AzurePlatformLkm),
            ) => {
                let addresses = tag.platform_addresses().unwrap_or_default();
                Arc::new(AddrSet::from_prefixes(addresses.iter().copied()))
            }
            Peer::Tag(RuleTag::VirtualNetwork) => Arc::clone(&vnet.vnet),
            Peer::Tag(RuleTag::Internet) => Arc::clone(&vnet.internet),
            Peer::Tag(RuleTag::AzureLoadBalancer) => Arc::clone(&vnet.probes),
            Peer::Tag(RuleTag::Service(name)) => match self.services.get(name) {
                Some(known) => Arc::clone(known),
                None => {
                    let tag = self.catalog.tag(name)?;
                    let set = Arc::new(AddrSet::from_prefixes(tag.prefixes.iter().copied()));
                    self.services.insert(name.clone(), Arc::clone(&set));
                    set
                }
            },
        })
    }
}

/// Returns the shortest list of prefixes that is the set, in ascending order.
pub(crate) fn prefixes(set: &AddrSet) -> Vec<Ipv4Net> {
    let ranges = set.ranges().iter();
    ranges
        .flat_map(|&(first, last)| Ipv4Subnets::new(Ipv4Addr::from(first), Ipv4Addr::from(last), 0))
        .collect()
}
