//! What a change of the estate would change beyond its resources.

use super::place::Ids;
use super::{Refused, explain, kinds, load};
use crate::catalog::Catalog;
use crate::diagnose::effective_routes;
use crate::fabric::nsg::EffectiveNsgs;
use crate::fabric::{Fabric, Host};
use crate::model::{Learned, Model, NetworkInterface};
use postern_arm::estate::Estate;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Returns what would change in the fabric if it went from its present model to that of `next`: the
/// model itself, and the effective routes and security rules of NICs.
///
/// # Errors
///
/// As applying it, as far as that can be told beforehand.
pub fn preview<H: Host>(fabric: &Fabric<H>, now: &Estate, next: &Estate) -> Result<Value, Refused> {
    let model = load(next, fabric.catalog())?;
    fabric
        .check(&model)
        .map_err(|error| explain(next, &error))?;
    let changes = fabric.model().diff(&model);
    let changes = serde_json::to_value(&changes).unwrap_or_default();
    let (mut before, mut after) = (
        Seen::new(fabric.model(), fabric.learned(), fabric.catalog(), now),
        Seen::new(&model, fabric.learned(), fabric.catalog(), next),
    );
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    let keys: BTreeSet<String> = before
        .nics
        .keys()
        .chain(after.nics.keys())
        .cloned()
        .collect();
    for key in keys {
        let (old, new) = (before.routes(&key), after.routes(&key));
        routes.extend(difference(&key, &old, &new));
        let (old, new) = (before.rules(&key), after.rules(&key));
        rules.extend(difference(&key, &old, &new));
    }
    Ok(json!({ "changes": changes, "effectiveRoutes": routes, "effectiveSecurityRules": rules }))
}

/// Rows by what tells them apart, with their prefixes.
type Rows = BTreeMap<String, (Map<String, Value>, BTreeSet<String>)>;

/// What a model makes NICs see.
struct Seen<'m> {
    model: &'m Model,
    learned: &'m Learned,
    catalog: &'m Catalog,
    /// NICs by their IDs.
    nics: BTreeMap<String, &'m NetworkInterface>,
    /// The routes of subnets, which all their NICs have.
    routes: HashMap<(&'m str, &'m str), Rows>,
    groups: HashMap<(&'m str, &'m str, Option<&'m str>), Rows>,
}

impl<'m> Seen<'m> {
    fn new(model: &'m Model, learned: &'m Learned, catalog: &'m Catalog, estate: &Estate) -> Self {
        let ids = Ids::new(estate);
        let nics = model.nics.iter();
        let nics = nics.map(|nic| (ids.named(kinds::NIC.arm, &nic.name), nic));
        Self {
            model,
            learned,
            catalog,
            nics: nics.collect(),
            routes: HashMap::new(),
            groups: HashMap::new(),
        }
    }

    fn routes(&mut self, nic: &str) -> Rows {
        let Some(nic) = self.nics.get(nic) else {
            return Rows::new();
        };
        let place = (nic.vnet.as_str(), nic.subnet.as_str());
        let (model, learned, catalog) = (self.model, self.learned, self.catalog);
        let rows = self.routes.entry(place).or_insert_with(|| {
            let routes = effective_routes(model, learned, catalog, nic);
            let active = routes.value.into_iter().filter(|row| row.state == "Active");
            rows(
                active.filter_map(|row| serde_json::to_value(row).ok()),
                "addressPrefix",
            )
        });
        rows.clone()
    }

    fn rules(&mut self, nic: &str) -> Rows {
        let Some(nic) = self.nics.get(nic) else {
            return Rows::new();
        };
        let place = (nic.vnet.as_str(), nic.subnet.as_str(), nic.nsg.as_deref());
        let (model, learned, catalog) = (self.model, self.learned, self.catalog);
        let found = self.groups.entry(place).or_insert_with(|| {
            let groups: EffectiveNsgs = crate::fabric::nsg::effective(model, learned, catalog, nic);
            let rules = groups.value.into_iter().flat_map(|group| {
                let nsg = group.network_security_group.id;
                let rules = group.effective_security_rules.into_iter();
                rules.filter_map(move |rule| {
                    let mut rule = serde_json::to_value(rule).ok()?;
                    let fields = rule.as_object_mut()?;
                    fields.insert("networkSecurityGroup".to_owned(), nsg.as_str().into());
                    Some(rule)
                })
            });
            rows(rules, "")
        });
        found.clone()
    }
}

/// Groups rows by all their fields but the one that lists prefixes.
fn rows(values: impl Iterator<Item = Value>, prefixes: &str) -> Rows {
    let mut rows = Rows::new();
    for value in values {
        let Value::Object(mut fields) = value else {
            continue;
        };
        let listed = fields.remove(prefixes);
        let key = Value::Object(fields.clone()).to_string();
        let row = rows.entry(key).or_insert((fields, BTreeSet::new()));
        let listed = listed
            .as_ref()
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        row.1
            .extend(listed.filter_map(Value::as_str).map(str::to_owned));
    }
    rows
}

/// Returns what a NIC sees no more and what it sees newly; nothing if that is the same.
fn difference(nic: &str, old: &Rows, new: &Rows) -> Option<Value> {
    let (removed, added) = (beyond(old, new), beyond(new, old));
    let is_same = removed.is_empty() && added.is_empty();
    (!is_same).then(|| json!({ "networkInterface": nic, "added": added, "removed": removed }))
}

/// Returns the rows of one side with the prefixes that the other one does not have there.
fn beyond(rows: &Rows, other: &Rows) -> Vec<Value> {
    let beyond = rows.iter().filter_map(|(key, (fields, prefixes))| {
        let there = other.get(key);
        let rest: Vec<&String> = match there {
            Some((_, known)) => prefixes.difference(known).collect(),
            None => prefixes.iter().collect(),
        };
        if there.is_some() && rest.is_empty() {
            return None;
        }
        let mut fields = fields.clone();
        if !prefixes.is_empty() {
            fields.insert("addressPrefix".to_owned(), json!(rest));
        }
        Some(Value::Object(fields))
    });
    beyond.collect()
}
