//! From ARM's documents to the configuration's spelling.
//!
//! Names become aliases, references by ID become names, inline children become tables. What means
//! nothing here is left out; what the loader has to refuse is passed on as it is.

mod bindings;
mod network;
mod security;
mod service;

pub use bindings::tags;
pub(super) use bindings::{bindings, tag_of_key, tagged, unknown};

use super::dialect::ServiceType;
use super::json::{self, Object};
use super::kinds;
use crate::config::RESOURCE_NAME;
use postern_arm::document::Document;
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use std::collections::HashMap;
use std::sync::Arc;
use toml::{Table, Value};

/// The types without an effect of their own that others refer to.
const REFERRED: [&str; 2] = [kinds::PUBLIC_IP, kinds::PUBLIC_IP_PREFIX];

/// Returns the configuration that an estate amounts to; resources are in the order of their aliases.
#[must_use]
pub fn lower(estate: &Estate) -> Table {
    let lowerer = Lowerer::new(estate);
    let mut table = json::table_from(estate.host());
    for kind in &kinds::DECLARED {
        let mut sections = Vec::new();
        for (id, document) in lowerer.of(kind.arm) {
            sections.extend(lowerer.section(kind.key, id, document));
        }
        put_list(&mut table, kind.key, sections);
    }
    let mut services = Vec::new();
    for (kind, id, document) in lowerer.services() {
        services.push(lowerer.service(kind, id, document));
    }
    put_list(&mut table, kinds::SERVICE, services);
    table
}

/// Returns the resources whose type has no effect here: they are kept, and that is all.
#[must_use]
pub fn without_effect(estate: &Estate) -> Vec<ResourceId> {
    let documents = estate.documents();
    let without = documents.filter(|document| {
        let arm = document.id.kind();
        let is = |known: &str| known.eq_ignore_ascii_case(&arm);
        !kinds::DECLARED.iter().any(|kind| is(kind.arm))
            && !REFERRED.iter().any(|known| is(known))
            && ServiceType::find(&arm).is_none()
    });
    without.map(|document| document.id.clone()).collect()
}

/// A document with its key.
type Keyed<'e> = (&'e str, &'e Arc<Document>);

/// The state of lowering one estate.
struct Lowerer<'e> {
    estate: &'e Estate,
    /// Documents by their type in lower case, in the order of their aliases.
    by_kind: HashMap<String, Vec<Keyed<'e>>>,
}

impl<'e> Lowerer<'e> {
    fn new(estate: &'e Estate) -> Self {
        let mut by_kind: HashMap<String, Vec<Keyed<'e>>> = HashMap::new();
        for (key, document) in estate.entries() {
            let kind = document.id.kind().to_ascii_lowercase();
            by_kind.entry(kind).or_default().push((key, document));
        }
        for documents in by_kind.values_mut() {
            documents.sort_by_cached_key(|(_, document)| document.alias.to_ascii_lowercase());
        }
        Self { estate, by_kind }
    }

    fn of(&self, arm: &str) -> Vec<Keyed<'e>> {
        let found = self.by_kind.get(&arm.to_ascii_lowercase());
        found.cloned().unwrap_or_default()
    }

    /// Returns the resources of services, in the order of their aliases whatever their types.
    fn services(&self) -> Vec<(ServiceType, &'e str, &'e Arc<Document>)> {
        let mut services: Vec<_> = self
            .by_kind
            .iter()
            .filter_map(|(arm, documents)| Some((ServiceType::find(arm)?, documents)))
            .flat_map(|(kind, documents)| documents.iter().map(move |at| (kind, at.0, at.1)))
            .collect();
        services.sort_by_cached_key(|(kind, _, document)| {
            (document.alias.to_ascii_lowercase(), kind.arm)
        });
        services
    }

    /// Returns the table of a resource, if there is one to make.
    fn section(&self, key: &str, id: &str, document: &Document) -> Option<Value> {
        let section = match key {
            _ if key == kinds::VNET.key => self.vnet(id, document),
            _ if key == kinds::NIC.key => self.nic(id, document)?,
            _ if key == kinds::NAT_GATEWAY.key => self.nat_gateway(id, document)?,
            _ if key == kinds::NSG.key => self.nsg(document),
            _ if key == kinds::ROUTE_TABLE.key => self.route_table(document),
            _ if key == kinds::POLICY.key => self.policy(id, document),
            _ => {
                let mut section = declared(document);
                place(document, &mut section);
                section
            }
        };
        Some(Value::Table(section))
    }

    /// Returns the document that an ID names.
    fn find(&self, id: &str) -> Option<&'e Arc<Document>> {
        self.estate.document_by_key(&id.to_ascii_lowercase())
    }

    /// Returns what the configuration calls a resource. An ID that names none stays an ID: the loader
    /// says that there is no such resource.
    fn alias(&self, id: &str) -> String {
        let found = self.find(id);
        found.map_or_else(|| id.to_owned(), |document| document.alias.clone())
    }

    /// Returns what the configuration calls a subnet and its network.
    fn subnet_alias(&self, id: &str) -> Option<(String, String)> {
        let (vnet, subnet) = split_child(id, "/subnets/")?;
        let vnet = self.find(vnet)?;
        let properties = json::properties(&vnet.body);
        let mut subnets = json::objects(properties, "subnets");
        let name = |child: &'e Object| json::text(child, "name");
        let found =
            subnets.find_map(|child| name(child).filter(|it| it.eq_ignore_ascii_case(subnet)));
        Some((vnet.alias.clone(), found?.to_owned()))
    }

    /// Returns a subnet as a rule of a service names it: one that is gone by its ID.
    fn subnet_of_rule(&self, id: &str) -> String {
        let found = self.subnet_alias(id);
        found.map_or_else(
            || id.to_owned(),
            |(vnet, subnet)| format!("{vnet}/{subnet}"),
        )
    }

    /// Sets a key to the alias of the resource that a property refers to.
    fn refer(&self, from: &Object, key: &str, into: &mut Table) {
        if let Some(id) = json::reference(from, key) {
            put_text(into, key, self.alias(id));
        }
    }

    /// Sets a key to the aliases of the resources that a list refers to.
    fn refer_all(&self, from: &Object, key: &str, into: &mut Table) {
        let ids = json::objects(from, key).filter_map(|item| json::text(item, "id"));
        let names: Vec<_> = ids.map(|id| Value::String(self.alias(id))).collect();
        put_list(into, key, names);
    }
}

/// Splits the ID of a child into that of its parent and its name.
fn split_child<'i>(id: &'i str, marker: &str) -> Option<(&'i str, &'i str)> {
    let at = id.to_ascii_lowercase().rfind(marker)?;
    let (parent, rest) = id.split_at_checked(at)?;
    Some((parent, rest.get(marker.len()..)?))
}

/// Returns the table of a resource, with what it is called here and, where that is another name, in ARM.
fn declared(document: &Document) -> Table {
    let (alias, name) = (&document.alias, document.id.name());
    let mut section = named(alias);
    if alias != name {
        put_text(&mut section, RESOURCE_NAME, name);
    }
    section
}

/// Returns a table with a name.
fn named(name: &str) -> Table {
    let mut section = Table::new();
    put_text(&mut section, "name", name);
    section
}

fn put_text(into: &mut Table, key: &str, text: impl Into<String>) {
    into.insert(key.to_owned(), Value::String(text.into()));
}

/// Sets a key to a list, if there is anything in it.
fn put_list(into: &mut Table, key: &str, items: Vec<Value>) {
    if !items.is_empty() {
        into.insert(key.to_owned(), Value::Array(items));
    }
}

/// Copies properties that the configuration spells as ARM does; null, empty texts and empty lists say
/// nothing.
fn copy(from: &Object, keys: &[&str], into: &mut Table) {
    for key in keys {
        let value = json::field(from, key).and_then(json::to_toml);
        let says_something = |value: &Value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        if let Some(value) = value.filter(says_something) {
            into.insert((*key).to_owned(), value);
        }
    }
}

/// Says where a resource is filed and, where the body does, in which region it is.
fn place(document: &Document, into: &mut Table) {
    if let Some(location) = json::text(&document.body, "location") {
        put_text(into, "location", location);
    }
    file(document, into);
}

/// Says where a resource is filed.
fn file(document: &Document, into: &mut Table) {
    let scope = &document.id.scope;
    if let (Some(subscription), Some(group)) = (scope.subscription(), scope.group()) {
        put_text(into, "subscription", subscription);
        put_text(into, "resourceGroup", group);
    }
}
