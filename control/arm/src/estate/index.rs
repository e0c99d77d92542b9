//! What is found quickly: who refers to whom, which names and addresses are taken.
//!
//! The index is a function of the documents; every change of one changes its entries and no others.

use super::quota::{self, Usage};
use crate::document::Document;
use crate::types::{self, Kind, Reference};
use ipnet::Ipv4Net;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Bound;

/// One resource names another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    /// The key of what is named.
    pub(super) target: String,
    /// The key of what names it: a document or an inline child.
    pub(super) source: String,
    /// How.
    pub(super) by: &'static Reference,
}

/// An address that something in a subnet has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lease {
    /// The key of the subnet; empty for public addresses.
    pub(super) subnet: String,
    /// The first address.
    pub(super) first: Ipv4Addr,
    /// The last address.
    pub(super) last: Ipv4Addr,
    /// The key of what has it.
    pub(super) by: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    edges: RedBlackTreeSetSync<Edge>,
    leases: RedBlackTreeSetSync<Lease>,
    /// Keys by family and alias.
    aliases: RedBlackTreeMapSync<(String, String), String>,
    /// Keys by the names that all subscriptions share, with their domains.
    names: RedBlackTreeMapSync<(&'static str, String), String>,
    /// How much there is, by what is counted.
    usage: RedBlackTreeMapSync<String, Usage>,
}

/// What a document puts into the index.
#[derive(Default)]
struct Entries {
    edges: BTreeSet<Edge>,
    leases: BTreeSet<Lease>,
    alias: Option<(String, String)>,
    name: Option<(&'static str, String)>,
}

impl Index {
    /// Takes `new` into the index in the place of `old`.
    pub(super) fn replace(&mut self, old: Option<&Document>, new: Option<&Document>) {
        self.count(old, new);
        let was = old.map(|old| old.id.key());
        let was = was.as_ref();
        let (old, entries) = (entries(old), entries(new));
        for edge in old.edges.difference(&entries.edges) {
            self.edges.remove_mut(edge);
        }
        for lease in old.leases.difference(&entries.leases) {
            self.leases.remove_mut(lease);
        }
        if old.alias != entries.alias
            && let Some(alias) = &old.alias
        {
            self.aliases.remove_mut(alias);
        }
        for edge in entries.edges.difference(&old.edges) {
            self.edges.insert_mut(edge.clone());
        }
        for lease in entries.leases.difference(&old.leases) {
            self.leases.insert_mut(lease.clone());
        }
        if let (Some(alias), Some(new)) = (entries.alias, new) {
            self.aliases.insert_mut(alias, new.id.key());
        }
        // A store of an earlier version may have two resources of one name.
        if let Some(name) = old.name.filter(|_| new.is_none())
            && self.names.get(&name) == was
        {
            self.names.remove_mut(&name);
        }
        if let (Some(name), Some(new)) = (entries.name, new) {
            self.names.insert_mut(name, new.id.key());
        }
    }

    fn count(&mut self, old: Option<&Document>, new: Option<&Document>) {
        let Some(either) = old.or(new) else {
            return;
        };
        let bytes = |document: Option<&Document>| document.map_or(0, |it| quota::size(&it.body));
        let (less, more) = (bytes(old), bytes(new));
        if old.is_some() && new.is_some() && less == more {
            return;
        }
        for name in quota::counts(&either.id) {
            let mut usage = self.usage(&name);
            usage.count = usage.count.saturating_add(usize::from(new.is_some()));
            usage.count = usage.count.saturating_sub(usize::from(old.is_some()));
            usage.bytes = usage.bytes.saturating_add(more).saturating_sub(less);
            match usage.count {
                0 => self.usage.remove_mut(&name),
                _ => {
                    self.usage.insert_mut(name, usage);
                    true
                }
            };
        }
    }

    /// Returns how much there is of what is counted under a name of [`quota::counts`].
    pub(super) fn usage(&self, name: &str) -> Usage {
        self.usage.get(name).copied().unwrap_or_default()
    }

    /// Returns the key of the document of the family that has the alias.
    pub(super) fn with_alias(&self, family: &str, alias: &str) -> Option<&String> {
        self.aliases
            .get(&(family.to_owned(), alias.to_ascii_lowercase()))
    }

    /// Returns whether a resource has the name, which all subscriptions share, in the domain.
    pub(super) fn has_name(&self, name: &(&'static str, String)) -> bool {
        self.names.contains_key(name)
    }

    /// Returns who names exactly this resource.
    pub(super) fn naming<'i>(&'i self, target: &'i str) -> impl Iterator<Item = &'i Edge> {
        self.edges_from(target)
            .take_while(move |edge| edge.target == target)
    }

    /// Returns who names something inside of this resource.
    pub(super) fn naming_inside<'i>(&'i self, target: &'i str) -> impl Iterator<Item = &'i Edge> {
        let prefix = format!("{target}/");
        self.edges_from(&prefix)
            .take_while(move |edge| edge.target.starts_with(&prefix))
    }

    fn edges_from(&self, target: &str) -> impl Iterator<Item = &Edge> + use<'_> {
        // No path is before the empty one.
        static FIRST: Reference = Reference {
            path: "",
            to: "",
            binds: false,
            form: types::Form::Pure,
        };
        let from = Edge {
            target: target.to_owned(),
            source: String::new(),
            by: &FIRST,
        };
        self.edges
            .range::<Edge, _>((Bound::Included(from), Bound::Unbounded))
    }

    /// Returns the leases of the subnet, or the public ones, that begin at the address or behind it.
    pub(super) fn leases<'i>(
        &'i self,
        subnet: &'i str,
        first: Ipv4Addr,
    ) -> impl Iterator<Item = &'i Lease> {
        let from = Lease {
            subnet: subnet.to_owned(),
            first,
            last: Ipv4Addr::UNSPECIFIED,
            by: String::new(),
        };
        self.leases
            .range::<Lease, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(move |lease| lease.subnet == subnet)
    }
}

/// Returns what the document and its inline children name.
pub(super) fn edges(document: Option<&Document>) -> BTreeSet<Edge> {
    entries(document).edges
}

/// Returns what the edge names as its document spells it.
pub(super) fn spelled_target(document: &Document, edge: &Edge) -> String {
    fn find(value: &Value, key: &str) -> Option<String> {
        match value {
            Value::String(text) => text.eq_ignore_ascii_case(key).then(|| text.clone()),
            Value::Array(items) => items.iter().find_map(|item| find(item, key)),
            Value::Object(fields) => fields.values().find_map(|value| find(value, key)),
            _ => None,
        }
    }
    let mut values = document.body.values();
    let found = values.find_map(|value| find(value, &edge.target));
    found.unwrap_or_else(|| edge.target.clone())
}

/// Returns the addresses that the document and its inline children have.
pub(super) fn leases(document: Option<&Document>) -> BTreeSet<Lease> {
    entries(document).leases
}

#[cfg(test)]
impl Index {
    /// Returns all that it has, to compare two.
    pub(super) fn contents(&self) -> (Vec<Edge>, Vec<Lease>, Vec<String>) {
        let aliases = self
            .aliases
            .iter()
            .map(|(alias, key)| format!("{alias:?} {key}"));
        let names = self.names.iter();
        let names = names.map(|(name, key)| format!("{name:?} {key}"));
        (
            self.edges.iter().cloned().collect(),
            self.leases.iter().cloned().collect(),
            aliases.chain(names).collect(),
        )
    }
}

fn entries(document: Option<&Document>) -> Entries {
    let Some(document) = document else {
        return Entries::default();
    };
    let mut entries = Entries::default();
    if document.id.segments.len() == 1 {
        let family = types::family(&document.id.kind());
        entries.alias = Some((family, document.alias.to_ascii_lowercase()));
    }
    entries.name = types::global_name(&document.id);
    if let (Some(kind), Some(properties)) =
        (types::find(&document.id.kind()), document.properties())
    {
        element(kind, &document.id.key(), properties, &mut entries);
    }
    entries
}

/// Takes the properties of a document or of an inline child.
fn element(kind: &'static Kind, key: &str, properties: &Map<String, Value>, into: &mut Entries) {
    for by in kind.references {
        types::named(properties, by, &mut |text| {
            into.edges.insert(Edge {
                target: text.to_ascii_lowercase(),
                source: key.to_owned(),
                by,
            });
        });
    }
    into.leases.extend(lease(kind, key, properties));
    for child in kind.children {
        if let Some(only) = child.only {
            if let Some(inner) = properties.get(child.at).and_then(Value::as_object) {
                element(child.kind, &child_key(key, child, only), inner, into);
            }
            continue;
        }
        for item in types::items(Some(properties), child) {
            if let Some(inner) = item.get("properties").and_then(Value::as_object) {
                let key = child_key(key, child, types::name_of(item));
                element(child.kind, &key, inner, into);
            }
        }
    }
}

/// Returns the key of an inline child of what has the key.
pub(super) fn child_key(key: &str, child: &types::Child, name: &str) -> String {
    format!("{key}/{}/{name}", child.segment).to_ascii_lowercase()
}

/// Returns the address that the element has.
fn lease(kind: &Kind, key: &str, properties: &Map<String, Value>) -> Option<Lease> {
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    let (subnet, first, last) = match kind.name {
        "Microsoft.Network/networkInterfaces/ipConfigurations" => {
            let address: Ipv4Addr = text("privateIPAddress")?.parse().ok()?;
            let subnet = properties.get("subnet")?.get("id")?.as_str()?;
            (subnet.to_ascii_lowercase(), address, address)
        }
        "Microsoft.Network/publicIPAddresses" => {
            let address: Ipv4Addr = text("ipAddress")?.parse().ok()?;
            // Its prefix has the lease.
            if properties.contains_key("publicIPPrefix") {
                let prefix = properties.get("publicIPPrefix")?.get("id")?.as_str()?;
                return Some(Lease {
                    subnet: prefix.to_ascii_lowercase(),
                    first: address,
                    last: address,
                    by: key.to_owned(),
                });
            }
            (String::new(), address, address)
        }
        "Microsoft.Network/publicIPPrefixes" => {
            let prefix: Ipv4Net = text("ipPrefix")?.parse().ok()?;
            (String::new(), prefix.network(), prefix.broadcast())
        }
        _ => return None,
    };
    Some(Lease {
        subnet,
        first,
        last,
        by: key.to_owned(),
    })
}
