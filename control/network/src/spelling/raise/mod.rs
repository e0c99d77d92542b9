//! From the configuration file to ARM's documents.
//!
//! The file is a short spelling: a name stands for a resource ID, a list of addresses for public IP
//! resources, a table for a child. What ARM has no property for becomes a binding of the resource,
//! and what is of the host and not of a resource stays as it is.

mod network;
mod security;
mod service;

pub(super) use network::{FOLLOWS_TIMER, NIC_BINDINGS};
pub(super) use service::SERVICE_BINDINGS;

use super::json::{self, Object};
use super::kinds::{self, Kind};
use crate::config::name_in_arm;
use crate::model;
use postern_arm::id::{ResourceId, Scope};
use serde_json::Value;
use std::collections::HashMap;
use toml::Table;

/// What a configuration file declares, in ARM's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raised {
    /// Its resources, with their bodies; what others refer to comes before what refers.
    pub documents: Vec<(ResourceId, Object)>,
    /// What ARM cannot express of some of them.
    pub bindings: Vec<(ResourceId, Object)>,
    /// What the file says of the host.
    pub host: Object,
}

/// Raises a configuration that the loader accepts.
#[must_use]
pub fn raise(table: &Table) -> Raised {
    let mut raiser = Raiser::new(table);
    let sections = |kind: &Kind| sections(table, kind.key);
    for section in sections(&kinds::ROUTE_TABLE) {
        raiser.route_table(section);
    }
    for section in sections(&kinds::POLICY) {
        raiser.policy(section);
    }
    for section in sections(&kinds::ASG) {
        raiser.asg(section);
    }
    for section in sections(&kinds::NSG) {
        raiser.nsg(section);
    }
    for section in sections(&kinds::NAT_GATEWAY) {
        raiser.nat_gateway(section);
    }
    for section in sections(&kinds::VNET) {
        raiser.vnet(section);
    }
    for section in sections(&kinds::NIC) {
        raiser.nic(section);
    }
    for section in table_list(table, kinds::SERVICE) {
        raiser.service(section);
    }
    raiser.out
}

/// A resource of the file by its kind and its name in lower case.
type Named<'t> = HashMap<(&'static str, String), (ResourceId, &'t Table)>;

/// The state of raising one file.
struct Raiser<'t> {
    /// Where resources are filed that do not say so.
    scope: model::Scope,
    /// The region of those that do not name one.
    location: Option<&'t str>,
    named: Named<'t>,
    out: Raised,
}

impl<'t> Raiser<'t> {
    fn new(table: &'t Table) -> Self {
        let is_resource =
            |key: &str| key == kinds::SERVICE || kinds::DECLARED.iter().any(|kind| kind.key == key);
        let host = table.iter().filter(|(key, _)| !is_resource(key));
        let host = host.map(|(key, value)| (key.clone(), json::from_toml(value)));
        let mut raiser = Self {
            scope: scope(table, &model::Scope::default()),
            location: text(table, "location"),
            named: HashMap::new(),
            out: Raised {
                host: host.collect(),
                ..Raised::default()
            },
        };
        for kind in &kinds::DECLARED {
            for section in sections(table, kind.key) {
                let (id, name) = (raiser.id(section, kind.arm), name(section));
                let place = (kind.key, name.to_ascii_lowercase());
                raiser.named.insert(place, (id, section));
            }
        }
        raiser
    }

    /// Returns the ID of the resource that a section declares.
    fn id(&self, section: &Table, kind: &str) -> ResourceId {
        let name = name_in_arm(section).unwrap_or_default();
        self.id_of(&scope(section, &self.scope), kind, name)
    }

    #[allow(clippy::unused_self, reason = "an ID is the raiser's to make")]
    fn id_of(&self, scope: &model::Scope, kind: &str, name: &str) -> ResourceId {
        let (provider, own) = kind.split_once('/').unwrap_or((kind, ""));
        let group = Scope::Group(scope.subscription.clone(), scope.resource_group.clone());
        group.resource(provider, &[(own, name)])
    }

    /// Returns a resource of the file by its name.
    fn find(&self, kind: &Kind, name: &str) -> Option<&(ResourceId, &'t Table)> {
        self.named.get(&(kind.key, name.to_ascii_lowercase()))
    }

    /// Returns a reference to the resource that a key names.
    fn refer(&self, section: &Table, key: &str, kind: &Kind) -> Option<Value> {
        let (id, _) = self.find(kind, text(section, key)?)?;
        Some(json::refer(id))
    }

    /// Returns references to the resources that a list names.
    fn refer_all(&self, section: &Table, key: &str, kind: &Kind) -> Option<Value> {
        let names = section.get(key)?.as_array()?;
        let ids = names
            .iter()
            .filter_map(|name| self.find(kind, name.as_str()?));
        Some(ids.map(|(id, _)| json::refer(id)).collect())
    }

    /// Returns the ID of the subnet that a rule names shortly or by its ID.
    fn subnet_id(&self, written: &str) -> String {
        let Some((vnet, subnet)) = written
            .split_once('/')
            .filter(|(vnet, subnet)| !vnet.is_empty() && !subnet.contains('/'))
        else {
            return format!("/{}", written.trim_start_matches('/'));
        };
        let found = self.find(&kinds::VNET, vnet);
        let subnet = found
            .and_then(|(_, section)| child_named(section, "subnet", subnet))
            .unwrap_or(subnet);
        let vnet = found.map_or_else(
            || self.id_of(&self.scope, kinds::VNET.arm, vnet),
            |(id, _)| id.clone(),
        );
        vnet.child("subnets", subnet).to_string()
    }

    /// Adds a document; its region is the section's own, else that of the file.
    fn add(&mut self, id: ResourceId, section: &Table, properties: Object) {
        self.add_with(id, section, properties, Object::new());
    }

    /// As [`Self::add`], with what stands beside the properties.
    fn add_with(&mut self, id: ResourceId, section: &Table, properties: Object, beside: Object) {
        let mut body = Object::new();
        if let Some(location) = text(section, "location").or(self.location) {
            body.insert("location".to_owned(), location.into());
        }
        body.extend(beside);
        body.insert("properties".to_owned(), properties.into());
        self.out.documents.push((id, body));
    }

    /// Keeps keys of a section as bindings of a resource.
    fn bind(&mut self, id: &ResourceId, section: &Table, keys: &[&str]) {
        let mut bound = Object::new();
        copy(section, keys, &mut bound);
        if !bound.is_empty() {
            self.out.bindings.push((id.clone(), bound));
        }
    }
}

/// Returns where a section is filed; what it does not say is as in `outer`.
fn scope(section: &Table, outer: &model::Scope) -> model::Scope {
    let read = |key, outer: &String| text(section, key).unwrap_or(outer).to_owned();
    model::Scope {
        subscription: read("subscription", &outer.subscription),
        resource_group: read("resourceGroup", &outer.resource_group),
        tenant: read("tenant", &outer.tenant),
    }
}

fn text<'t>(section: &'t Table, key: &str) -> Option<&'t str> {
    section.get(key)?.as_str()
}

fn name(section: &Table) -> &str {
    text(section, "name").unwrap_or_default()
}

fn sections<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    table_list(table, key)
}

fn table_list<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    let values = table.get(key).and_then(toml::Value::as_array);
    let values = values.map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(toml::Value::as_table)
}

/// Returns the name of a child in the spelling of its declaration.
fn child_named<'t>(section: &'t Table, key: &str, wanted: &str) -> Option<&'t str> {
    let mut names = table_list(section, key).map(name);
    names.find(|name| name.eq_ignore_ascii_case(wanted))
}

/// Copies keys that ARM spells as the file does.
fn copy(section: &Table, keys: &[&str], into: &mut Object) {
    for key in keys {
        if let Some(value) = section.get(*key) {
            into.insert((*key).to_owned(), json::from_toml(value));
        }
    }
}

/// Copies a key whose values ARM spells in one way, and the file in any case.
fn copy_choice(section: &Table, key: &str, choices: &[&str], into: &mut Object) {
    if let Some(written) = text(section, key) {
        let mut choices = choices.iter();
        let found = choices.find(|choice| choice.eq_ignore_ascii_case(written));
        into.insert(key.to_owned(), (*found.unwrap_or(&written)).into());
    }
}

/// Sets a property, if there is a value.
fn set(into: &mut Object, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        into.insert(key.to_owned(), value);
    }
}
