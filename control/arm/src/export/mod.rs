//! From resources back to a template that deploys them.
//!
//! Values are as they are in force, addresses that were allocated included. What is in the template is
//! referred to by `resourceId()`, so that it can go into another resource group; what is not, by its ID.

mod order;

use crate::document::{Document, Group};
use crate::estate::Estate;
use crate::id::{ResourceId, Scope};
use order::order;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SCHEMA: &str = "https://schema.management.azure.com/schemas";
const GROUP: &str = "2019-04-01/deploymentTemplate.json#";
const SUBSCRIPTION: &str = "2018-05-01/subscriptionDeploymentTemplate.json#";
const PEERINGS: &str = "virtualNetworkPeerings";

/// Returns what of a resource is no part of it in ARM, as tags.
pub type Tags<'a> = dyn Fn(&Document) -> Map<String, Value> + 'a;

/// Returns the template of one resource group.
#[must_use]
pub fn group(estate: &Estate, scope: &Scope, tags: &Tags<'_>) -> Value {
    group_of(estate, scope, tags, |_| true)
}

/// Returns the template of what of a resource group somebody may see.
#[must_use]
pub fn group_of(
    estate: &Estate,
    scope: &Scope,
    tags: &Tags<'_>,
    is_seen: impl Fn(&ResourceId) -> bool,
) -> Value {
    let resources = resources(estate, tags, |id| id.scope == *scope && is_seen(id));
    let keys: BTreeSet<String> = resources.iter().map(Resource::key).collect();
    let tangled = order(&resources).tangled;
    let resources = resources.iter().map(|resource| {
        let key = resource.key();
        let waits = |need: &String| {
            let is_parent = key.starts_with(&format!("{need}/"));
            keys.contains(need)
                && (is_parent || !(tangled.contains(&key) && tangled.contains(need)))
        };
        resource.show(waits)
    });
    template(GROUP, resources.collect())
}

/// Returns the template of every resource group, for a deployment at a subscription.
#[must_use]
pub fn all(estate: &Estate, tags: &Tags<'_>) -> Value {
    let mut outer = Outer::default();
    for group in estate.groups() {
        outer.group(group);
    }
    let resources = resources(estate, tags, |_| true);
    for level in order(&resources).levels {
        outer.level(level);
    }
    template(SUBSCRIPTION, outer.resources)
}

/// A template that deploys into several resource groups, one step after the other.
#[derive(Debug, Default)]
struct Outer {
    /// Where it is deployed itself.
    subscription: Option<String>,
    resources: Vec<Value>,
    /// The names of what the next step has to wait for.
    before: Vec<String>,
}

impl Outer {
    fn group(&mut self, group: &Group) {
        let (Some(subscription), Some(name)) = (group.scope.subscription(), group.scope.group())
        else {
            return;
        };
        let mut fields = Map::new();
        fields.insert(
            "type".to_owned(),
            "Microsoft.Resources/resourceGroups".into(),
        );
        fields.insert("apiVersion".to_owned(), "2022-09-01".into());
        fields.insert("name".to_owned(), name.into());
        fields.extend(group.body.clone());
        let resource = escape(&Value::Object(fields));
        let own = self
            .subscription
            .get_or_insert_with(|| subscription.to_owned());
        if own.eq_ignore_ascii_case(subscription) {
            self.before.push(name.to_owned());
            self.resources.push(resource);
            return;
        }
        let step = self.name(&group.scope);
        self.before.push(step.clone());
        let location = group.body.get("location").cloned().unwrap_or_default();
        let place = [
            ("subscriptionId", subscription.into()),
            ("location", location),
        ];
        let inner = template(SUBSCRIPTION, vec![resource]);
        self.resources.push(nested(&step, place, &[], inner));
    }

    fn level(&mut self, level: Vec<&Resource>) {
        let mut places: BTreeMap<String, (Scope, Vec<&Resource>)> = BTreeMap::new();
        for resource in level {
            let scope = resource.id.scope.clone();
            let place = places.entry(scope.key()).or_insert((scope, Vec::new()));
            place.1.push(resource);
        }
        let mut here = Vec::new();
        for (scope, resources) in places.into_values() {
            // What they need is there by then, but for parents and what they need of each other.
            let own: BTreeSet<String> = resources.iter().map(|one| one.key()).collect();
            let inner = resources.iter().map(|resource| {
                let parent = resource.id.parent().map(|parent| parent.key());
                resource.show(|need| parent.as_ref() == Some(need) && own.contains(need))
            });
            let name = self.name(&scope);
            let place = [
                ("subscriptionId", scope.subscription().into()),
                ("resourceGroup", scope.group().into()),
            ];
            let inner = template(GROUP, inner.collect());
            self.resources
                .push(nested(&name, place, &self.before, inner));
            here.push(name);
        }
        self.before = here;
    }

    /// Returns a name for the next step.
    fn name(&self, scope: &Scope) -> String {
        let (number, group) = (self.resources.len(), scope.group().unwrap_or_default());
        format!("export-{number}-{group}")
            .chars()
            .take(64)
            .collect()
    }
}

fn template(schema: &str, resources: Vec<Value>) -> Value {
    json!({
        "$schema": format!("{SCHEMA}/{schema}"),
        "contentVersion": "1.0.0.0",
        "resources": resources,
    })
}

/// Returns a deployment inside of a template, which goes to another place.
fn nested(name: &str, place: [(&str, Value); 2], before: &[String], template: Value) -> Value {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), "Microsoft.Resources/deployments".into());
    fields.insert("apiVersion".to_owned(), "2022-09-01".into());
    fields.insert("name".to_owned(), name.into());
    for (key, value) in place {
        fields.insert(key.to_owned(), value);
    }
    fields.insert("dependsOn".to_owned(), json!(before));
    let properties = json!({
        "mode": "Incremental",
        "expressionEvaluationOptions": { "scope": "inner" },
        "template": template,
    });
    fields.insert("properties".to_owned(), properties);
    Value::Object(fields)
}

/// A resource of a template.
#[derive(Debug)]
struct Resource {
    id: ResourceId,
    body: Map<String, Value>,
    /// The keys of what it needs.
    needs: BTreeSet<String>,
}

/// Returns the resources that a template can have, in the order of their IDs.
fn resources(
    estate: &Estate,
    tags: &Tags<'_>,
    is_wanted: impl Fn(&ResourceId) -> bool,
) -> Vec<Resource> {
    let mut found = Vec::new();
    for document in estate.documents() {
        let is_filed = matches!(document.id.scope, Scope::Group(..));
        // Deployments are what was done and not what is.
        let is_history = document
            .id
            .provider
            .eq_ignore_ascii_case("Microsoft.Resources");
        if is_filed && !is_history && is_wanted(&document.id) {
            take(document, tags, &mut found);
        }
    }
    found
}

fn take(document: &Document, tags: &Tags<'_>, into: &mut Vec<Resource>) {
    let mut body = document.body.clone();
    let mut all = tags(document);
    if let Some(Value::Object(own)) = body.get("tags") {
        all.extend(own.clone());
    }
    if !all.is_empty() {
        body.insert("tags".to_owned(), Value::Object(all));
    }
    let properties = body.get_mut("properties").and_then(Value::as_object_mut);
    // Two networks may be peers of each other: each is there before either peering is.
    let peerings = properties.and_then(|properties| properties.remove(PEERINGS));
    into.push(Resource::new(document.id.clone(), body));
    let peerings = peerings.as_ref().and_then(Value::as_array);
    for peering in peerings.into_iter().flatten() {
        let (Some(name), Some(properties)) = (
            peering.get("name").and_then(Value::as_str),
            peering.get("properties"),
        ) else {
            continue;
        };
        let id = document.id.child(PEERINGS, name);
        let body = Map::from_iter([("properties".to_owned(), properties.clone())]);
        into.push(Resource::new(id, body));
    }
}

impl Resource {
    fn new(id: ResourceId, body: Map<String, Value>) -> Self {
        let mut needs = BTreeSet::new();
        for value in body.values() {
            refer(value, &mut needs);
        }
        needs.extend(id.parent().map(|parent| parent.key()));
        needs.remove(&id.key());
        Self { id, body, needs }
    }

    fn key(&self) -> String {
        self.id.key()
    }

    /// Returns the resource as a template has it; `waits` tells of the key of something that it needs
    /// whether it has to wait for it.
    fn show(&self, waits: impl Fn(&String) -> bool) -> Value {
        let names: Vec<&str> = self
            .id
            .segments
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        let mut shown = Map::new();
        shown.insert("type".to_owned(), self.id.kind().into());
        shown.insert(
            "apiVersion".to_owned(),
            api_version(&self.id.provider).into(),
        );
        shown.insert("name".to_owned(), names.join("/").into());
        for (key, value) in &self.body {
            shown.insert(key.clone(), self.value(value));
        }
        let needs = self.needs.iter().filter(|key| waits(key));
        let needs: Vec<Value> = needs
            .filter_map(|key| key.parse::<ResourceId>().ok())
            .map(|id| expression(&id).into())
            .collect();
        if !needs.is_empty() {
            shown.insert("dependsOn".to_owned(), Value::Array(needs));
        }
        Value::Object(shown)
    }

    /// Returns a value in which what is of the same resource group is referred to by name.
    fn value(&self, value: &Value) -> Value {
        map(value, &|text| {
            let id = text.parse::<ResourceId>().ok();
            let near = id.filter(|id| id.scope == self.id.scope);
            near.map_or_else(|| escaped(text), |id| expression(&id))
        })
    }
}

/// Adds the keys of the resources that a value names: whole ones, not their children.
fn refer(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.starts_with('/') => {
            let id = text.parse::<ResourceId>();
            into.extend(id.ok().map(|id| id.root().key()));
        }
        Value::Array(items) => items.iter().for_each(|item| refer(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| refer(field, into)),
        _ => {}
    }
}

/// Returns the value with other texts.
fn map(value: &Value, text: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(old) => Value::String(text(old)),
        Value::Array(items) => items.iter().map(|item| map(item, text)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), map(field, text)))
            .collect(),
        other => other.clone(),
    }
}

/// Returns a value as a template has to write it, so that none of its texts is an expression.
#[must_use]
pub fn escape(value: &Value) -> Value {
    map(value, &escaped)
}

/// Returns a text that is no expression.
fn escaped(text: &str) -> String {
    if text.starts_with('[') && text.ends_with(']') {
        format!("[{text}")
    } else {
        text.to_owned()
    }
}

fn expression(id: &ResourceId) -> String {
    let names: Vec<&str> = id.segments.iter().map(|(_, name)| name.as_str()).collect();
    call("resourceId", &id.kind(), &names)
}

fn call(function: &str, kind: &str, names: &[&str]) -> String {
    let words = std::iter::once(&kind).chain(names);
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.replace('\'', "''")))
        .collect();
    format!("[{function}({})]", words.join(", "))
}

/// Returns a version of the API that has all that is written here. The dates are from memory.
fn api_version(provider: &str) -> &'static str {
    let known = [
        ("Microsoft.Network", "2024-05-01"),
        ("Microsoft.Storage", "2023-05-01"),
        ("Microsoft.Sql", "2023-08-01"),
        ("Microsoft.KeyVault", "2023-07-01"),
        ("Microsoft.ServiceBus", "2022-10-01-preview"),
        ("Microsoft.EventHub", "2024-01-01"),
        ("Microsoft.DocumentDB", "2024-05-15"),
        ("Microsoft.Web", "2023-12-01"),
        ("Microsoft.ContainerRegistry", "2023-07-01"),
        ("Microsoft.CognitiveServices", "2023-05-01"),
    ];
    let found = known
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(provider));
    found.map_or("2023-01-01", |(_, version)| version)
}
