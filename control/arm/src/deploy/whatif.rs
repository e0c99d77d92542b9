//! What-if: the difference that a deployment makes, in Azure's shape.

use super::context::{Access, DeployContext, Resources};
use super::log::{Change, Log};
use crate::id::{ResourceId, Scope};
use crate::template::budget::Budget;
use crate::template::instance::DEPLOYMENTS;
use crate::template::problem::Problem;
use crate::template::value::digest;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet, VecDeque};

/// Shows what a deployment would change.
pub(super) struct Shower<'a, R> {
    /// The resources as they would be.
    pub(super) resources: &'a R,
    /// What is left for that.
    pub(super) budget: &'a Budget,
    /// Who may see what.
    pub(super) ctx: &'a DeployContext<'a>,
    /// Whether IDs alone are of interest.
    pub(super) ids_only: bool,
}

impl<R: Resources> Shower<'_, R> {
    /// Returns the changes: resources of the template in its order, then those of the group that are
    /// deleted or left alone. Who may write a resource and not read it is told of the write and of nothing
    /// that is there; what is left alone and cannot be read is not told of.
    ///
    /// # Errors
    ///
    /// They are more than there is room for.
    pub(super) fn changes(&self, id: &ResourceId, log: &mut Log) -> Result<Vec<Value>, Problem> {
        let mut shown = Vec::new();
        let mut known: HashSet<String> = log.roots();
        known.extend(log.deleted.iter().map(|change| change.id.key()));
        for change in &mut log.written {
            let after = self.resources.show(&change.id);
            let ids_only = self.ids_only || !self.is_read(&change.id);
            shown.push(self.changed(change, after, ids_only)?);
        }
        for change in &mut log.deleted {
            let mut fields = Map::new();
            fields.insert("resourceId".to_owned(), change.id.to_string().into());
            fields.insert("changeType".to_owned(), "Delete".into());
            if !self.ids_only && self.is_read(&change.id) {
                let before = change.before.take();
                fields.insert("before".to_owned(), view(change, before));
            }
            shown.push(self.kept(fields)?);
        }
        if let Scope::Group(..) = id.scope {
            for other in self.resources.in_group(&id.scope) {
                let is_known = known.contains(&other.key()) || other.is(DEPLOYMENTS);
                if is_known || !self.is_read(&other) {
                    continue;
                }
                let mut fields = Map::new();
                fields.insert("resourceId".to_owned(), other.to_string().into());
                fields.insert("changeType".to_owned(), "Ignore".into());
                if !self.ids_only
                    && let Some(value) = self.resources.show(&other)
                {
                    let value = shown_value(value, None);
                    self.budget.charge(&value)?;
                    fields.insert("before".to_owned(), value.clone());
                    fields.insert("after".to_owned(), value);
                }
                shown.push(self.kept(fields)?);
            }
        }
        Ok(shown)
    }

    fn is_read(&self, id: &ResourceId) -> bool {
        (self.ctx.authorize)(&Access::Read(id)).is_ok()
    }

    /// Takes the room for a change, in the answer and in its text.
    fn kept(&self, fields: Map<String, Value>) -> Result<Value, Problem> {
        self.budget.keep_fields(&fields, 2)?;
        Ok(Value::Object(fields))
    }

    fn changed(
        &self,
        change: &mut Change,
        after: Option<Value>,
        ids_only: bool,
    ) -> Result<Value, Problem> {
        let before = change.before.take();
        let (before, after) = (
            before.map(|value| shown_value(value, change.api_version.as_deref())),
            after.map(|value| shown_value(value, change.api_version.as_deref())),
        );
        let delta = match (&before, &after) {
            (Some(before), Some(after)) => {
                self.budget.walk(before)?;
                self.budget.walk(after)?;
                Difference {
                    budget: self.budget,
                }
                .properties(before, after)?
            }
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
        self.kept(fields)
    }
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

/// Finds what differs, as far as there is room to tell it.
struct Difference<'a> {
    budget: &'a Budget,
}

impl Difference<'_> {
    /// Returns the changes from one object to another, by property.
    fn properties(&self, before: &Value, after: &Value) -> Result<Vec<Value>, Problem> {
        let none = Map::new();
        let before = before.as_object().unwrap_or(&none);
        let after = after.as_object().unwrap_or(&none);
        let mut changes = Vec::new();
        for (name, old) in before {
            match after.get(name) {
                None => changes.push(self.leaf(name, "Delete", Some(old), None)?),
                Some(new) => changes.extend(self.property(name, old, new)?),
            }
        }
        for (name, new) in after {
            if !before.contains_key(name) {
                changes.push(self.leaf(name, "Create", None, Some(new))?);
            }
        }
        Ok(changes)
    }

    /// Returns the changes of one property: those of an object's fields have the path to them.
    fn property(&self, path: &str, old: &Value, new: &Value) -> Result<Vec<Value>, Problem> {
        match (old, new) {
            (old, new) if old == new => Ok(Vec::new()),
            (Value::Object(_), Value::Object(_)) => {
                let mut changes = self.properties(old, new)?;
                // The objects in each other are compared once for each that they are in.
                self.budget.walk(old)?;
                for change in &mut changes {
                    if let Some(Value::String(inner)) = change.get_mut("path") {
                        self.budget.keep(path.len())?;
                        self.budget.read(path.len().saturating_add(inner.len()))?;
                        *inner = format!("{path}.{inner}");
                    }
                }
                Ok(changes)
            }
            (Value::Array(before), Value::Array(after)) => {
                let children = self.elements(before, after)?;
                Ok(match children.is_empty() {
                    true => Vec::new(),
                    false => vec![Value::Object(Map::from_iter([
                        ("path".to_owned(), path.into()),
                        ("propertyChangeType".to_owned(), "Array".into()),
                        ("before".to_owned(), Value::Null),
                        ("after".to_owned(), Value::Null),
                        ("children".to_owned(), children.into()),
                    ]))],
                })
            }
            (old, new) => Ok(vec![self.leaf(path, "Modify", Some(old), Some(new))?]),
        }
    }

    /// Returns the changes from one array to another. The order does not count: on the platform it means
    /// nothing in any of the resources here.
    fn elements(&self, before: &[Value], after: &[Value]) -> Result<Vec<Value>, Problem> {
        let mut left: Vec<Option<&Value>> = before.iter().map(Some).collect();
        let mut unmatched = Vec::new();
        for (at, new) in after.iter().enumerate() {
            // Mostly it is where it was.
            match left.get_mut(at).filter(|slot| **slot == Some(new)) {
                Some(slot) => *slot = None,
                None => unmatched.push((at, new)),
            }
        }
        let mut places: HashMap<u64, VecDeque<usize>> = HashMap::new();
        for (at, old) in left.iter().enumerate() {
            if let Some(old) = old {
                self.budget.walk(old)?;
                places.entry(digest(old, "")).or_default().push_back(at);
            }
        }
        let mut others = Vec::new();
        for (at, new) in unmatched {
            self.budget.walk(new)?;
            let same = places.get_mut(&digest(new, ""));
            let slot = same
                .and_then(VecDeque::pop_front)
                .and_then(|at| left.get_mut(at));
            match slot {
                Some(slot) if *slot == Some(new) => *slot = None,
                _ => others.push((at, new)),
            }
        }
        self.pairs(left, others)
    }

    /// Returns the changes of elements that are nowhere as they were: by what tells them apart.
    fn pairs(
        &self,
        mut left: Vec<Option<&Value>>,
        others: Vec<(usize, &Value)>,
    ) -> Result<Vec<Value>, Problem> {
        let mut named: HashMap<String, VecDeque<usize>> = HashMap::new();
        for (at, old) in left.iter().enumerate() {
            if let Some(key) = old.and_then(identity) {
                named.entry(key).or_default().push_back(at);
            }
        }
        let mut changes = Vec::new();
        for (at, new) in others {
            let old = identity(new)
                .and_then(|key| named.get_mut(&key)?.pop_front())
                .and_then(|at| left.get_mut(at)?.take());
            let Some(old) = old else {
                changes.push(self.leaf(&at.to_string(), "Create", None, Some(new))?);
                continue;
            };
            let children = self.properties(old, new)?;
            if !children.is_empty() {
                let mut change = self.leaf(&at.to_string(), "Modify", Some(old), Some(new))?;
                if let Some(fields) = change.as_object_mut() {
                    fields.insert("children".to_owned(), children.into());
                }
                changes.push(change);
            }
        }
        for (at, old) in left.into_iter().enumerate() {
            if let Some(old) = old {
                changes.push(self.leaf(&at.to_string(), "Delete", Some(old), None)?);
            }
        }
        Ok(changes)
    }

    fn leaf(
        &self,
        path: &str,
        kind: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Result<Value, Problem> {
        for value in before.into_iter().chain(after) {
            self.budget.keep_value(value, 2)?;
        }
        self.budget.keep(path.len().saturating_add(LEAF))?;
        self.budget.read(path.len().saturating_add(LEAF))?;
        Ok(json!({
            "path": path,
            "propertyChangeType": kind,
            "before": before,
            "after": after,
            "children": null,
        }))
    }
}

/// What a change takes beside its values, in bytes.
const LEAF: usize = 900;

/// Returns what an element of an array is told apart by; those without compare as a whole.
fn identity(value: &Value) -> Option<String> {
    ["name", "id", "service"]
        .into_iter()
        .find_map(|name| value.get(name)?.as_str())
        .map(str::to_ascii_lowercase)
}
