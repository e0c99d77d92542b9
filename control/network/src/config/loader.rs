//! The order in which a configuration is read, and what is known on the way.

use super::names::{Names, own_name};
use super::network::VNET_KEYS;
use super::problem::Problem;
use super::rules::NSG_KEYS;
use super::section::{Errors, Section};
use super::{access, api, policies};
use super::{front, groups, resources, routing, rules, settings};
use crate::catalog::{Catalog, Location};
use crate::model::{Model, NOT_PUBLIC, NamespaceRef, Scope, VirtualNetwork};
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use toml::{Table, Value};

pub(super) const ROOT_KEYS: &[&str] = &[
    "location",
    "subscription",
    "resourceGroup",
    "tenant",
    "settings",
    "timers",
    "internet",
    "platform",
    "defaultOutbound",
    "natGateway",
    "routeTable",
    "serviceEndpointPolicy",
    "virtualNetwork",
    "gateway",
    "networkInterface",
    "applicationSecurityGroup",
    "networkSecurityGroup",
    "service",
    "dns",
    "bind",
    "publicIPPool",
    "api",
    "servicePrincipal",
    "roleDefinition",
    "roleAssignment",
];

const A_REGION: &str = "the name of an Azure region such as \"koreacentral\", here or at the top";

/// What is used once, and by which key.
pub(super) struct Claims<T>(HashMap<T, String>);

impl<T> Default for Claims<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Hash + Eq> Claims<T> {
    /// Returns whether a key has claimed `thing`.
    pub(super) fn has(&self, thing: &T) -> bool {
        self.0.contains_key(thing)
    }

    /// Claims `thing` for `key`.
    ///
    /// # Errors
    ///
    /// Another key has it; that key.
    pub(super) fn claim(&mut self, thing: T, key: &str) -> Result<(), String> {
        match self.0.get(&thing) {
            Some(other) => Err(other.clone()),
            None => {
                self.0.insert(thing, key.to_owned());
                Ok(())
            }
        }
    }
}

/// The names of what can be referred to.
pub(super) struct Declared {
    pub(super) nsgs: Names,
    pub(super) asgs: Names,
    pub(super) gateways: Names,
    pub(super) route_tables: Names,
    pub(super) policies: Names,
    pub(super) vnets: Names,
    /// Names of subnets by the name of their network.
    pub(super) subnets: HashMap<String, Names>,
}

/// The state of reading one configuration.
pub(super) struct Loader<'f> {
    table: &'f Table,
    pub(super) errors: &'f Errors,
    pub(super) catalog: &'f Catalog,
    pub(super) declared: Declared,
    pub(super) model: Model,
    /// Where networks are in the model, by their names.
    pub(super) vnet_places: HashMap<String, usize>,
    /// Public, service and internet addresses.
    pub(super) addresses: Claims<Ipv4Addr>,
    /// Private addresses by network.
    pub(super) private: Claims<(String, Ipv4Addr)>,
    pub(super) namespaces: Claims<NamespaceRef>,
    /// The IDs of resources.
    pub(super) ids: Claims<String>,
}

impl<'f> Loader<'f> {
    pub(super) fn new(table: &'f Table, errors: &'f Errors, catalog: &'f Catalog) -> Self {
        Self {
            table,
            errors,
            catalog,
            declared: declared(table),
            model: Model::default(),
            vnet_places: HashMap::new(),
            addresses: Claims::default(),
            private: Claims::default(),
            namespaces: Claims::default(),
            ids: Claims::default(),
        }
    }

    /// Reads everything: networks before NICs and public addresses, which are held against them.
    /// NICs and services are read in `completed`, where they are there.
    pub(super) fn load(mut self, completed: &'f Table) -> Model {
        let root = Section::open(self.table, String::new(), self.errors, ROOT_KEYS);
        let completed = Section::open(completed, String::new(), self.errors, ROOT_KEYS);
        let root_of = |key| {
            if completed.has(key) {
                &completed
            } else {
                &root
            }
        };
        self.model.location = if root.has("location") {
            self.location(&root)
        } else {
            None
        };
        self.model.scope = access::scope(&root, &Scope::default());
        self.model.settings = settings::settings(&root);
        self.model.timers = settings::timers(&root);
        self.route_tables(&root);
        self.endpoint_policies(&root);
        self.vnets(&root);
        self.security(&root);
        self.internet(&root);
        self.platform(&root);
        self.default_outbound(&root);
        self.public_pool(&root);
        let mut names = Claims::default();
        for section in root.sections("natGateway", resources::GATEWAY_KEYS) {
            let gateway = self.nat_gateway(&section, &mut names);
            self.model.nat_gateways.extend(gateway);
        }
        let mut names = Claims::default();
        for section in root_of("networkInterface").sections("networkInterface", resources::NIC_KEYS)
        {
            let nic = self.nic(&section, &mut names);
            self.model.nics.extend(nic);
        }
        let (mut names, mut networks) = (Claims::default(), Claims::default());
        for section in root.sections("gateway", routing::VNET_GATEWAY_KEYS) {
            let gateway = self.vnet_gateway(&section, &mut names, &mut networks);
            self.model.gateways.extend(gateway);
        }
        self.services(root_of("service"));
        self.dns(&root);
        api::api(&mut self, &root);
        if self.errors.is_empty() {
            groups::check(&self.model, self.errors);
            access::check_hosts(&self.model, self.errors);
            front::check(&self.model, self.errors);
        }
        self.model
    }

    /// Reads application and network security groups.
    fn security(&mut self, root: &Section<'_>) {
        let (mut names, key) = (Claims::default(), "applicationSecurityGroup");
        let sections = root.sections(key, groups::GROUP_KEYS);
        root.limit(key, sections.len(), groups::MOST_GROUPS);
        for section in sections {
            let asg = self.asg(&section, &mut names);
            self.model.asgs.extend(asg);
        }
        let (mut names, key) = (Claims::default(), "networkSecurityGroup");
        let sections = root.sections(key, NSG_KEYS);
        root.limit(key, sections.len(), rules::MOST_NSGS);
        for section in sections {
            let known = (self.catalog, &self.declared.asgs);
            let nsg = rules::nsg(&section, &mut names, known);
            let name = nsg.as_ref().map(|nsg| nsg.name.as_str());
            self.filed_anywhere(&section, "Microsoft.Network/networkSecurityGroups", name);
            self.model.nsgs.extend(nsg);
        }
    }

    fn endpoint_policies(&mut self, root: &Section<'_>) {
        let (mut names, key) = (Claims::default(), "serviceEndpointPolicy");
        let sections = root.sections(key, policies::POLICY_KEYS);
        root.limit(key, sections.len(), policies::MOST_POLICIES);
        for section in sections {
            let policy = self.policy(&section, &mut names);
            self.model.policies.extend(policy);
        }
    }

    /// Reads the networks, then holds their peerings against each other.
    fn vnets(&mut self, root: &Section<'_>) {
        let (mut names, mut links) = (Claims::default(), Vec::new());
        for section in root.sections("virtualNetwork", VNET_KEYS) {
            let Some(mut vnet) = self.vnet(&section, &mut names) else {
                continue;
            };
            vnet.peerings = self.peerings(&section, &vnet, &mut links);
            let place = self.model.vnets.len();
            self.vnet_places.insert(vnet.name.clone(), place);
            self.model.vnets.push(vnet);
        }
        self.check_peerings(&links);
    }

    /// Returns the network of this name, in the spelling of its declaration.
    pub(super) fn known_vnet(&self, name: &str) -> Option<&VirtualNetwork> {
        self.model.vnets.get(*self.vnet_places.get(name)?)
    }

    /// Returns the region of a resource: its own, else that of the file.
    pub(super) fn location(&self, section: &Section<'_>) -> Option<Location> {
        if !section.has("location") {
            // A file location that could not be read was reported there.
            if self.model.location.is_none() && !self.table.contains_key("location") {
                section.refuse("location", Problem::Missing(A_REGION));
            }
            return self.model.location.clone();
        }
        let location = Location::new(section.text("location", A_REGION)?);
        if self.catalog.knows(&location) {
            return Some(location);
        }
        let similar = self.catalog.similar_locations(&location);
        let similar: Vec<_> = similar.iter().map(ToString::to_string).collect();
        section.refuse("location", Problem::UnknownRegion(similar.join(", ")));
        None
    }

    /// Returns the name that `key` refers to, as it is spelled where it is declared.
    pub(super) fn reference(
        section: &Section<'_>,
        key: &str,
        kind: &'static str,
        known: &Names,
    ) -> Option<String> {
        let name = section.text(key, "the name of a resource of this file")?;
        let found = known.find(name);
        if found.is_none() {
            let known = known.listed(kind);
            section.refuse(key, Problem::UnknownReference { kind, known });
        }
        found.cloned()
    }

    /// Claims a public, service or internet address for a key.
    pub(super) fn claim_address(&mut self, address: Ipv4Addr, key: &str) {
        if let Err(other) = self.addresses.claim(address, key) {
            self.refuse_address(key, address, Problem::AddressInUse(other));
        }
    }

    /// Checks that an address is public and claims it.
    pub(super) fn claim_public(&mut self, address: Ipv4Addr, key: &str) {
        let block = NOT_PUBLIC.iter().find(|block| block.contains(&address));
        if let Some(block) = block {
            self.refuse_address(key, address, Problem::NotPublic(*block));
            return;
        }
        let holds = |prefix: &Ipv4Net| prefix.contains(&address);
        let vnet = self
            .model
            .vnets
            .iter()
            .find(|vnet| vnet.address_prefixes.iter().any(holds));
        if let Some(vnet) = vnet {
            self.refuse_address(key, address, Problem::InsideVnet(vnet.name.clone()));
        }
        self.claim_address(address, key);
    }

    fn refuse_address(&self, key: &str, address: Ipv4Addr, problem: Problem) {
        self.errors
            .add(key, Some(format!("\"{address}\"")), problem);
    }
}

/// Reads the name of a resource and claims it among those of its kind.
pub(super) fn name(section: &Section<'_>, names: &mut Claims<String>) -> Option<String> {
    section.require("name", "a name");
    let name = section.text("name", "a name")?;
    if !is_name(name) {
        section.refuse("name", Problem::BadName);
        return None;
    }
    if let Err(other) = names.claim(name.to_ascii_lowercase(), &section.key("name")) {
        section.refuse("name", Problem::DuplicateName(other));
        return None;
    }
    Some(name.to_owned())
}

/// Returns whether a resource can be called so.
pub(super) fn is_name(name: &str) -> bool {
    const LONGEST: usize = 80;
    let (first, last) = (name.chars().next(), name.chars().next_back());
    (1..=LONGEST).contains(&name.len())
        && first.is_some_and(|letter| letter.is_ascii_alphanumeric())
        && last.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}

fn declared(table: &Table) -> Declared {
    let vnets = tables(table, "virtualNetwork").into_iter();
    let subnets = vnets.filter_map(|vnet| Some((own_name(vnet)?, Names::of(vnet, "subnet"))));
    let names = |key| Names::of(table, key);
    Declared {
        nsgs: names("networkSecurityGroup"),
        asgs: names("applicationSecurityGroup"),
        gateways: names("natGateway"),
        route_tables: names("routeTable"),
        policies: names("serviceEndpointPolicy"),
        vnets: names("virtualNetwork"),
        subnets: subnets.collect(),
    }
}

pub(super) fn tables<'t>(table: &'t Table, key: &str) -> Vec<&'t Table> {
    let values = table
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    values.iter().filter_map(Value::as_table).collect()
}
