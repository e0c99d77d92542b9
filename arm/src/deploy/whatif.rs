//! What-if: the difference that a deployment makes, in Azure's shape.

use super::context::{Access, DeployContext, Resources};
use super::log::{Change, Log};
use crate::id::{ResourceId, Scope};
use crate::template::instance::DEPLOYMENTS;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Returns the changes: resources of the template in its order, then those of the group that are
/// deleted or left alone. Who may write a resource and not read it is told of the write and of nothing
/// that is there; what is left alone and cannot be read is not told of.
pub(super) fn changes<R: Resources>(
    resources: &R,
    id: &ResourceId,
    log: &mut Log,
    ids_only: bool,
    ctx: &DeployContext<'_>,
) -> Vec<Value> {
    let mut shown = Vec::new();
    let is_read = |id: &ResourceId| (ctx.authorize)(&Access::Read(id)).is_ok();
    let mut known: HashSet<String> = log.roots();
    known.extend(log.deleted.iter().map(|change| change.id.key()));
    for change in &mut log.written {
        let after = resources.show(&change.id);
        let ids_only = ids_only || !is_read(&change.id);
        shown.push(changed(change, after, ids_only));
    }
    for change in &mut log.deleted {
        let mut fields = Map::new();
        fields.insert("resourceId".to_owned(), change.id.to_string().into());
        fields.insert("changeType".to_owned(), "Delete".into());
        if !ids_only && is_read(&change.id) {
            let before = change.before.take();
            fields.insert("before".to_owned(), view(change, before));
        }
        shown.push(Value::Object(fields));
    }
    if let Scope::Group(..) = id.scope {
        for other in resources.in_group(&id.scope) {
            if known.contains(&other.key()) || other.is(DEPLOYMENTS) || !is_read(&other) {
                continue;
            }
            let mut fields = Map::new();
            fields.insert("resourceId".to_owned(), other.to_string().into());
            fields.insert("changeType".to_owned(), "Ignore".into());
            if !ids_only && let Some(value) = resources.show(&other) {
                let value = shown_value(value, None);
                fields.insert("before".to_owned(), value.clone());
                fields.insert("after".to_owned(), value);
            }
            shown.push(Value::Object(fields));
        }
    }
    shown
}

fn changed(change: &mut Change, after: Option<Value>, ids_only: bool) -> Value {
    let before = change.before.take();
    let (before, after) = (
        before.map(|value| shown_value(value, change.api_version.as_deref())),
        after.map(|value| shown_value(value, change.api_version.as_deref())),
    );
    let delta = match (&before, &after) {
        (Some(before), Some(after)) => properties(before, after),
        _ => Vec::new(),
    };
    let kind = match (&before, ids_only) {
        (_, true) => "Deploy",
        (None, false) => "Create",
        (Some(_), false) if delta.is_empty() => "NoChange",
        (Some(_), false) => "Modify",
    };
    let mut fields = Map::new();
    fields.insert("resourceId".to_owned(), change.id.to_string().into());
    fields.insert("changeType".to_owned(), kind.into());
    if !ids_only {
        if let Some(before) = before {
            fields.insert("before".to_owned(), before);
        }
        if let Some(after) = after {
            fields.insert("after".to_owned(), after);
        }
        if !delta.is_empty() {
            fields.insert("delta".to_owned(), delta.into());
        }
    }
    Value::Object(fields)
}

fn view(change: &Change, value: Option<Value>) -> Value {
    value.map_or(Value::Null, |value| {
        shown_value(value, change.api_version.as_deref())
    })
}

/// Returns a resource without what changes with every write or is never written.
fn shown_value(mut value: Value, api_version: Option<&str>) -> Value {
    without_state(&mut value);
    if let Value::Object(fields) = &mut value {
        // `az` prints it behind every resource and needs it there.
        let version = Value::from(api_version.unwrap_or("2024-01-01"));
        fields.insert("apiVersion".to_owned(), version);
    }
    value
}

fn without_state(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                name != "etag" && name != "provisioningState" && name != "resourceGuid"
            });
            fields.values_mut().for_each(without_state);
        }
        Value::Array(items) => items.iter_mut().for_each(without_state),
        _ => {}
    }
}

/// Returns the changes from one object to another, by property.
fn properties(before: &Value, after: &Value) -> Vec<Value> {
    let none = Map::new();
    let before = before.as_object().unwrap_or(&none);
    let after = after.as_object().unwrap_or(&none);
    let mut changes = Vec::new();
    for (name, old) in before {
        match after.get(name) {
            None => changes.push(leaf(name, "Delete", Some(old), None)),
            Some(new) => changes.extend(property(name, old, new)),
        }
    }
    for (name, new) in after {
        if !before.contains_key(name) {
            changes.push(leaf(name, "Create", None, Some(new)));
        }
    }
    changes
}

/// Returns the changes of one property: those of an object's fields have the path to them.
fn property(path: &str, old: &Value, new: &Value) -> Vec<Value> {
    match (old, new) {
        (old, new) if old == new => Vec::new(),
        (Value::Object(_), Value::Object(_)) => properties(old, new)
            .into_iter()
            .map(|mut change| {
                if let Some(Value::String(inner)) = change.get_mut("path") {
                    *inner = format!("{path}.{inner}");
                }
                change
            })
            .collect(),
        (Value::Array(before), Value::Array(after)) => {
            let children = elements(before, after);
            match children.is_empty() {
                true => Vec::new(),
                false => vec![json!({
                    "path": path,
                    "propertyChangeType": "Array",
                    "before": null,
                    "after": null,
                    "children": children,
                })],
            }
        }
        (old, new) => vec![leaf(path, "Modify", Some(old), Some(new))],
    }
}

/// Returns what an element of an array is told apart by; those without compare as a whole.
fn identity(value: &Value) -> Option<String> {
    ["name", "id", "service"]
        .into_iter()
        .find_map(|name| value.get(name)?.as_str())
        .map(str::to_ascii_lowercase)
}

/// Returns the changes from one array to another. The order does not count: on the platform it means
/// nothing in any of the resources here.
fn elements(before: &[Value], after: &[Value]) -> Vec<Value> {
    let mut left: Vec<Option<&Value>> = before.iter().map(Some).collect();
    let mut changes = Vec::new();
    let mut unmatched = Vec::new();
    for (at, new) in after.iter().enumerate() {
        // Mostly it is where it was.
        let same = match left.get(at).is_some_and(|slot| *slot == Some(new)) {
            true => left.get_mut(at),
            false => left.iter_mut().find(|slot| **slot == Some(new)),
        };
        match same {
            Some(slot) => *slot = None,
            None => unmatched.push((at, new)),
        }
    }
    for (at, new) in unmatched {
        let key = identity(new);
        let old = left
            .iter_mut()
            .find(|slot| key.is_some() && slot.is_some_and(|old| identity(old) == key))
            .and_then(Option::take);
        match old {
            Some(old) => {
                let children = properties(old, new);
                if !children.is_empty() {
                    changes.push(json!({
                        "path": at.to_string(),
                        "propertyChangeType": "Modify",
                        "before": old,
                        "after": new,
                        "children": children,
                    }));
                }
            }
            None => changes.push(leaf(&at.to_string(), "Create", None, Some(new))),
        }
    }
    for (at, old) in left.into_iter().enumerate() {
        if let Some(old) = old {
            changes.push(leaf(&at.to_string(), "Delete", Some(old), None));
        }
    }
    changes
}

fn leaf(path: &str, kind: &str, before: Option<&Value>, after: Option<&Value>) -> Value {
    json!({
        "path": path,
        "propertyChangeType": kind,
        "before": before,
        "after": after,
        "children": null,
    })
}
