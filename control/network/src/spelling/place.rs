//! Which resource a key of a lowered configuration is of.

use super::dialect::ServiceType;
use super::kinds;
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use std::collections::HashMap;
use toml::{Table, Value};

/// The key of a child's table, and the type of the child.
const CHILDREN: [(&str, &str); 7] = [
    ("subnet", "subnets"),
    ("securityRule", "securityRules"),
    ("route", "routes"),
    ("definition", "serviceEndpointPolicyDefinitions"),
    ("peering", "virtualNetworkPeerings"),
    ("virtualNetworkRules", "virtualNetworkRules"),
    ("firewallRules", "firewallRules"),
];

/// A place in a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The resource, or its child.
    pub id: ResourceId,
    /// The property, as the configuration calls it; empty for the resource as a whole.
    pub property: String,
}

/// An estate and what it was lowered to.
pub struct Places<'e> {
    ids: Ids<'e>,
    table: &'e Table,
}

impl Place {
    /// Returns the place as the target of an error.
    pub fn target(&self) -> String {
        if self.property.is_empty() {
            self.id.to_string()
        } else {
            format!("{}#{}", self.id, self.property)
        }
    }
}

impl<'e> Places<'e> {
    /// `table` is what the estate was lowered to.
    pub fn new(estate: &'e Estate, table: &'e Table) -> Self {
        let ids = Ids::new(estate);
        Self { ids, table }
    }

    /// Returns the place that a key means, such as `virtualNetwork[3].subnet[1].addressPrefix`.
    pub fn find(&self, key: &str) -> Option<Place> {
        let mut parts = key.split('.');
        let (list, at) = item(parts.next()?)?;
        let section = self.table.get(list)?.as_array()?.get(at)?;
        let mut place = Place {
            id: self.resource(list, section)?.clone(),
            property: String::new(),
        };
        let mut section = Some(section);
        for part in parts {
            section = match item(part) {
                None => section.and_then(|section| section.get(part)),
                Some((list, at)) => section.and_then(|it| it.get(list)?.as_array()?.get(at)),
            };
            let child = item(part).and_then(|(list, _)| {
                let (_, kind) = CHILDREN.iter().find(|(key, _)| *key == list)?;
                Some((*kind, section.and_then(name)?))
            });
            match child.filter(|_| place.property.is_empty()) {
                Some((kind, name)) => place.id = place.id.child(kind, name),
                None if place.property.is_empty() => part.clone_into(&mut place.property),
                None => place.property = format!("{}.{part}", place.property),
            }
        }
        Some(place)
    }

    /// Returns the resource that a port is of, such as `nic/vm0`.
    pub fn port(&self, port: &str) -> Option<Place> {
        let alias = port.strip_prefix("nic/")?;
        Some(Place {
            id: self.ids.get(kinds::NIC.arm, alias)?.clone(),
            property: "namespace".to_owned(),
        })
    }

    fn resource(&self, list: &str, section: &Value) -> Option<&ResourceId> {
        let alias = name(section)?;
        if list == kinds::SERVICE {
            let kind = ServiceType::find(section.get("type")?.as_str()?)?;
            return self.ids.get(kind.arm, alias);
        }
        let kind = kinds::DECLARED.iter().find(|kind| kind.key == list)?;
        self.ids.get(kind.arm, alias)
    }
}

/// The IDs behind the names of the model.
pub struct Ids<'e>(HashMap<(String, String), &'e ResourceId>);

impl<'e> Ids<'e> {
    /// Returns the IDs of an estate's resources.
    #[must_use]
    pub fn new(estate: &'e Estate) -> Self {
        let documents = estate.documents();
        let named = documents.map(|document| {
            let (kind, alias) = (document.id.kind(), &document.alias);
            (key(&kind, alias), &document.id)
        });
        Self(named.collect())
    }

    /// Returns the resource of a type that is called so here.
    pub fn get(&self, arm: &str, alias: &str) -> Option<&'e ResourceId> {
        self.0.get(&key(arm, alias)).copied()
    }

    /// Returns the ID of a resource of the model; one without a resource keeps its name.
    pub fn named(&self, arm: &str, alias: &str) -> String {
        let found = self.get(arm, alias);
        found.map_or_else(|| alias.to_owned(), ToString::to_string)
    }

    /// Returns the ID of a subnet of the model, which is written `VNET/SUBNET`.
    pub fn subnet(&self, name: &str) -> String {
        let (vnet, subnet) = name.split_once('/').unwrap_or((name, ""));
        let found = self.get(kinds::VNET.arm, vnet);
        found.map_or_else(
            || name.to_owned(),
            |vnet| vnet.child("subnets", subnet).to_string(),
        )
    }
}

fn key(arm: &str, alias: &str) -> (String, String) {
    (arm.to_ascii_lowercase(), alias.to_ascii_lowercase())
}

fn name(section: &Value) -> Option<&str> {
    section.get("name")?.as_str()
}

/// Splits `list[3]`.
fn item(part: &str) -> Option<(&str, usize)> {
    let (list, rest) = part.split_once('[')?;
    Some((list, rest.strip_suffix(']')?.parse().ok()?))
}
