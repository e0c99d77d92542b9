//! What tags stand for, as addresses.

use crate::catalog::Catalog;
use crate::model::{NOT_PUBLIC, PLATFORM, Peer, RuleTag, VirtualNetwork};
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

/// What the tags that depend on a virtual network stand for in it.
#[derive(Clone)]
pub(crate) struct VnetTags {
    vnet: Arc<AddrSet>,
    internet: Arc<AddrSet>,
    probes: Arc<AddrSet>,
}

impl VnetTags {
    /// Returns the expansions in `vnet`. `VirtualNetwork` is the network's ranges and the platform
    /// address; prefixes of services are not a part of it, whether or not an endpoint is on.
    /// `Internet` is what is public and outside of `VirtualNetwork`.
    pub(crate) fn new(vnet: &VirtualNetwork) -> Self {
        let own = vnet.address_prefixes.iter().copied().chain([PLATFORM]);
        let own = AddrSet::from_prefixes(own);
        let not_public = AddrSet::from_prefixes(NOT_PUBLIC.iter().copied());
        Self {
            internet: Arc::new(not_public.union(&own).complement()),
            vnet: Arc::new(own),
            probes: Arc::new(AddrSet::from_prefixes([PLATFORM])),
        }
    }
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
