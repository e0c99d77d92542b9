//! What a change of the estate would change beyond its resources.

use super::explain;
use crate::fabric::{Fabric, Host};
use postern_arm::estate::Estate;
use postern_network::catalog::Catalog;
use postern_network::diagnose::effective_routes;
use postern_network::diagnose::nsg::EffectiveNsgs;
use postern_network::model::{Learned, Model, NetworkInterface};
use postern_network::spelling::{Ids, Refused, kinds, load};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

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
    Ok(effects(
        Side::new(fabric.model(), fabric.learned(), fabric.catalog(), now),
        Side::new(&model, fabric.learned(), fabric.catalog(), next),
    ))
}

/// How many rows of NICs a preview lists: a rule of a group is a row of each NIC that the group is on.
const MOST_ROWS: usize = 20_000;

/// Returns what differs from one side to the other.
#[must_use]
pub fn effects(mut before: Side<'_>, mut after: Side<'_>) -> Value {
    let changes = before.model.diff(after.model);
    let changes = serde_json::to_value(&changes).unwrap_or_default();
    let keys: BTreeSet<String> = before
        .nics
        .keys()
        .chain(after.nics.keys())
        .cloned()
        .collect();
    let (mut routes, mut rules) = (Differences::default(), Differences::default());
    for key in &keys {
        routes.add(key, before.routes(key), after.routes(key));
        rules.add(key, before.rules(key), after.rules(key));
    }
    let mut effects = json!({
        "changes": changes,
        "effectiveRoutes": routes.shown,
        "effectiveSecurityRules": rules.shown,
    });
    let left_out = routes.left_out.saturating_add(rules.left_out);
    if let (Some(fields), 1..) = (effects.as_object_mut(), left_out) {
        // Rather than an answer of any length.
        fields.insert("leftOut".to_owned(), left_out.into());
    }
    effects
}

/// The rows that are gone and those that are new.
type RemovedAdded = Arc<(Vec<Value>, Vec<Value>)>;

/// What NICs see no more and see newly.
#[derive(Default)]
struct Differences {
    shown: Vec<Value>,
    rows: usize,
    /// NICs with a difference that is not shown.
    left_out: usize,
    /// Many NICs have the same rows before, and the same after.
    known: HashMap<(*const Rows, *const Rows), Option<RemovedAdded>>,
    /// Kept, so that nothing else gets their place in memory.
    seen: Vec<Arc<Rows>>,
}

impl Differences {
    fn add(&mut self, nic: &str, old: Arc<Rows>, new: Arc<Rows>) {
        let key = (Arc::as_ptr(&old), Arc::as_ptr(&new));
        let found = self.known.entry(key).or_insert_with(|| {
            let (removed, added) = (beyond(&old, &new), beyond(&new, &old));
            let is_same = removed.is_empty() && added.is_empty();
            self.seen.extend([old, new]);
            (!is_same).then(|| Arc::new((removed, added)))
        });
        let Some((removed, added)) = found.as_deref() else {
            return;
        };
        self.rows = self
            .rows
            .saturating_add(weight(removed))
            .saturating_add(weight(added));
        if self.rows > MOST_ROWS {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.shown
            .push(json!({ "networkInterface": nic, "added": added, "removed": removed }));
    }
}

/// Returns how many rows these are, each of whose prefixes counts.
fn weight(rows: &[Value]) -> usize {
    let prefixes = |row: &Value| {
        row.get("addressPrefix")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    rows.iter().map(|row| prefixes(row).saturating_add(1)).sum()
}

/// Rows by what tells them apart, with their prefixes.
type Rows = BTreeMap<String, (Map<String, Value>, BTreeSet<String>)>;

/// What a model makes NICs see.
#[derive(Debug)]
pub struct Side<'m> {
    model: &'m Model,
    learned: &'m Learned,
    catalog: &'m Catalog,
    /// NICs by their IDs.
    nics: BTreeMap<String, &'m NetworkInterface>,
    /// The routes of subnets, which all their NICs have.
    routes: HashMap<(&'m str, &'m str), Arc<Rows>>,
    groups: HashMap<(&'m str, &'m str, Option<&'m str>), Arc<Rows>>,
    none: Arc<Rows>,
}

impl<'m> Side<'m> {
    /// Returns what a model makes of the NICs of an estate.
    #[must_use]
    pub fn new(
        model: &'m Model,
        learned: &'m Learned,
        catalog: &'m Catalog,
        estate: &Estate,
    ) -> Self {
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
            none: Arc::default(),
        }
    }

    fn routes(&mut self, nic: &str) -> Arc<Rows> {
        let Some(nic) = self.nics.get(nic) else {
            return Arc::clone(&self.none);
        };
        let place = (nic.vnet.as_str(), nic.subnet.as_str());
        let (model, learned, catalog) = (self.model, self.learned, self.catalog);
        let rows = self.routes.entry(place).or_insert_with(|| {
            let routes = effective_routes(model, learned, catalog, nic);
            let active = routes.value.into_iter().filter(|row| row.state == "Active");
            Arc::new(rows(
                active.filter_map(|row| serde_json::to_value(row).ok()),
                "addressPrefix",
            ))
        });
        Arc::clone(rows)
    }

    fn rules(&mut self, nic: &str) -> Arc<Rows> {
        let Some(nic) = self.nics.get(nic) else {
            return Arc::clone(&self.none);
        };
        let place = (nic.vnet.as_str(), nic.subnet.as_str(), nic.nsg.as_deref());
        let (model, learned, catalog) = (self.model, self.learned, self.catalog);
        let found = self.groups.entry(place).or_insert_with(|| {
            let groups: EffectiveNsgs =
                postern_network::diagnose::nsg::effective(model, learned, catalog, nic);
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
            Arc::new(rows(rules, ""))
        });
        Arc::clone(found)
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
