//! A change of the estate under way.

use super::{Ask, Conditions, Estate, Gate, ResourceChange, Settings, group, refer};
use crate::document::Origin;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::types::{self, Place, secret};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A change under way: an estate of its own, which becomes the desired one when all is done.
///
/// Writes may come in any order, as what a resource names is looked for by [`Stage::check`] at the end.
/// A write that fails leaves the stage as it was.
#[derive(Clone, Debug)]
pub struct Stage {
    pub(super) base: Estate,
    pub(super) now: Estate,
    pub(super) settings: Arc<Settings>,
    /// The keys of the documents that may differ from those of `base`.
    pub(super) touched: BTreeSet<String>,
    /// Who is asked before each write; nobody for the host's own changes.
    pub(super) gate: Option<Arc<dyn Gate>>,
}

/// What became of a PUT.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Whether the resource was not there before.
    pub created: bool,
    /// Whether anything is another than before.
    pub changed: bool,
    /// The resource as a GET shows it.
    pub value: Value,
}

impl Stage {
    /// Begins a change of `base`.
    #[must_use]
    pub fn new(base: &Estate, settings: &Settings) -> Self {
        Self {
            base: base.clone(),
            now: base.clone(),
            settings: Arc::new(settings.clone()),
            touched: BTreeSet::new(),
            gate: None,
        }
    }

    /// Returns the estate as it would be.
    #[must_use]
    pub fn estate(&self) -> &Estate {
        &self.now
    }

    /// Returns the estate that the change began with.
    #[must_use]
    pub fn base(&self) -> &Estate {
        &self.base
    }

    /// Returns the resources that differ from those that the change began with, in the order of their keys.
    #[must_use]
    pub fn changes(&self) -> Vec<ResourceChange> {
        let change = |key: &String| {
            let of = |estate: &Estate| estate.document_by_key(key).cloned();
            let (old, new) = (of(&self.base), of(&self.now));
            let key = key.clone();
            (old != new).then_some(ResourceChange { key, old, new })
        };
        self.touched.iter().filter_map(change).collect()
    }

    /// Returns the settings of the change.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Ends the change. [`Stage::check`] comes before.
    #[must_use]
    pub fn into_estate(self) -> Estate {
        self.now
    }

    /// Makes a resource or replaces it: what the body does not say is not so any more.
    ///
    /// # Errors
    ///
    /// The group or the parent is not there, a condition does not hold, the body is not as it must
    /// be for its type, or whoever asks for it may not.
    pub fn put(
        &mut self,
        id: &ResourceId,
        body: Value,
        conditions: &Conditions,
        origin: Origin,
    ) -> Result<Put, ArmError> {
        self.ask(&Ask::Write(id))?;
        self.set(id, body, conditions, origin)
    }

    /// Does what [`Stage::put`] does, for who was asked already.
    fn set(
        &mut self,
        id: &ResourceId,
        body: Value,
        conditions: &Conditions,
        origin: Origin,
    ) -> Result<Put, ArmError> {
        let mut body = object(body)?;
        // Before anything else looks at the body: no error quotes them either.
        let secrets = secret::take(id, &mut body, &self.settings.seal);
        self.place_is_there(id)?;
        let (id, body) = self.admit(id, body)?;
        let id = &id;
        let old = self.now.find(id);
        let created = old.is_none();
        let before = old.as_ref().filter(|old| old.child.is_none());
        types::check_tags(&body, before.map(|old| &old.document.body))
            .map_err(|error| at_tags(error, &id.to_string()))?;
        conditions.check(old.map(|old| old.document.etag()).as_deref())?;
        if created && origin == Origin::Api {
            types::check_name(id)?;
        }
        let before = self.now.version;
        let undo = self.now.clone();
        let done = match types::place(id) {
            Place::Own => self.write(id, body, origin, secrets),
            Place::Inline(parent, child) => {
                let place = match child.only {
                    Some(_) => format!("/properties/{}", child.at),
                    None => secret::place_of(child.at, id.name()),
                };
                let secrets = secret::below(&place, child.only.is_some(), secrets);
                self.write_child((&parent, child), id, body, origin, secrets)
            }
        };
        if let Err(error) = done {
            self.now = undo;
            return Err(error);
        }
        Ok(Put {
            created,
            changed: self.now.version != before,
            value: self.now.show(id).unwrap_or_default(),
        })
    }

    /// Changes what the body says of a resource: `tags` are replaced, `properties` merged.
    ///
    /// # Errors
    ///
    /// There is no such resource, a condition does not hold, or what comes of it cannot stand.
    pub fn patch(
        &mut self,
        id: &ResourceId,
        body: Value,
        conditions: &Conditions,
    ) -> Result<Value, ArmError> {
        self.ask(&Ask::Write(id))?;
        self.merge(id, body, conditions)
    }

    /// Replaces the tags of a resource or a resource group, which is a right of its own.
    ///
    /// # Errors
    ///
    /// There is nothing that has tags at the scope, or as [`Stage::patch`].
    pub fn tag(&mut self, scope: &Scope, tags: Map<String, Value>) -> Result<Value, ArmError> {
        self.ask(&Ask::Tag(scope))?;
        let is_role = |of: &ResourceId| of.provider.eq_ignore_ascii_case("Microsoft.Authorization");
        if matches!(scope, Scope::Resource(of) if is_role(of)) {
            let message = "Roles and locks have no tags; accepted: the scope of a resource group or of \
                           another resource.";
            return Err(ArmError::bad_request("InvalidTagScope", message));
        }
        let body = Value::Object(Map::from_iter([("tags".to_owned(), Value::Object(tags))]));
        match scope {
            Scope::Resource(of) => self.merge(of, body, &Conditions::none()),
            scope => self.merge_group(scope, body),
        }
    }

    fn merge(
        &mut self,
        id: &ResourceId,
        body: Value,
        conditions: &Conditions,
    ) -> Result<Value, ArmError> {
        let mut body = object(body)?;
        let found = self.now.find(id).ok_or_else(|| not_found(id))?;
        conditions.check(Some(&found.document.etag()))?;
        let origin = found.document.origin;
        let mut merged = match found.child {
            None => found.document.body.clone(),
            Some((child, item)) if child.only.is_none() => item.clone(),
            Some((_, inner)) => {
                Map::from_iter([("properties".to_owned(), Value::Object(inner.clone()))])
            }
        };
        types::spell(&id.kind(), &mut body)?;
        for (name, value) in body {
            match (merged.get_mut(&name), value) {
                (_, Value::Null) => {
                    merged.remove(&name);
                }
                (Some(Value::Object(old)), Value::Object(new)) if name != "tags" => merge(old, new),
                (_, value) => {
                    merged.insert(name, value);
                }
            }
        }
        self.set(id, Value::Object(merged), &Conditions::none(), origin)
            .map(|put| put.value)
    }

    /// Removes a resource, with its children and extensions; returns whether it was there.
    ///
    /// # Errors
    ///
    /// A condition does not hold, or something else needs it.
    pub fn delete(&mut self, id: &ResourceId, conditions: &Conditions) -> Result<bool, ArmError> {
        self.ask(&Ask::Delete(id))?;
        let id = &self.kept(id);
        let Some(found) = self.now.find(id) else {
            return Ok(false);
        };
        conditions.check(Some(&found.document.etag()))?;
        let undo = self.clone();
        let result = self.take(id).and_then(|was| {
            refer::unused(&self.now, &undo.now, &id.key())?;
            Ok(was)
        });
        if result.is_err() {
            *self = undo;
        }
        result
    }

    /// Removes a resource as [`Stage::delete`] does, and leaves it to [`Stage::check`] whether anything
    /// needs it: for changes in which what needs it goes later.
    ///
    /// # Errors
    ///
    /// What is left of its parent cannot stand.
    pub fn remove(&mut self, id: &ResourceId) -> Result<bool, ArmError> {
        self.ask(&Ask::Delete(id))?;
        let id = self.kept(id);
        self.take(&id)
    }

    fn take(&mut self, id: &ResourceId) -> Result<bool, ArmError> {
        if self.now.find(id).is_none() {
            return Ok(false);
        }
        let key = id.key();
        let inside: Vec<String> = self
            .now
            .documents_in(&Scope::Resource(Box::new(id.clone())))
            .map(|document| document.id.key())
            .collect();
        inside.iter().for_each(|key| self.remove_key(key));
        match types::place(id) {
            Place::Own => self.remove_key(&key),
            Place::Inline(parent, child) => {
                let Some(old) = self.now.documents.get(&parent.key()).cloned() else {
                    return Ok(false);
                };
                let mut body = old.body.clone();
                if let Some(Value::Object(properties)) = body.get_mut("properties") {
                    match properties.get_mut(child.at) {
                        Some(Value::Array(items)) => items.retain(|item| {
                            let name = item.get("name").and_then(Value::as_str);
                            !name.is_some_and(|name| name.eq_ignore_ascii_case(id.name()))
                        }),
                        _ => {
                            properties.remove(child.at);
                        }
                    }
                }
                self.complete(&parent, body, old.origin)?;
                self.now.bindings.remove_mut(&key);
            }
        }
        Ok(true)
    }

    /// Writes what ARM cannot say of a resource; nothing removes it.
    pub fn bind(&mut self, id: &ResourceId, binding: Option<Map<String, Value>>) {
        let key = id.key();
        let old = self.now.bindings.get(&key);
        match binding.filter(|binding| !binding.is_empty()) {
            Some(binding) if old.is_some_and(|old| **old == binding) => {}
            Some(binding) => self.now.bindings.insert_mut(key, Arc::new(binding)),
            None => {
                self.now.bindings.remove_mut(&key);
            }
        }
    }

    /// Writes what the configuration file says of this host.
    pub fn set_host(&mut self, host: Map<String, Value>) {
        if *self.now.host != host {
            self.now.host = Arc::new(host);
        }
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.now.version += 1;
        self.now.version
    }

    pub(super) fn remove_key(&mut self, key: &str) {
        if self.now.remove(key).is_some() {
            self.touched.insert(key.to_owned());
            self.next_version();
        }
    }

    /// Checks that the resource group and the parent of the resource are there.
    fn place_is_there(&self, id: &ResourceId) -> Result<(), ArmError> {
        if let (Some(subscription), Some(name)) = (id.scope.subscription(), id.scope.group()) {
            let scope = Scope::Group(subscription.to_owned(), name.to_owned());
            if self.now.group(&scope).is_none() {
                return Err(group::no_group(&scope));
            }
        }
        if id.segments.len() > 1 && !self.now.documents.contains_key(&id.root().key()) {
            let root = id.root();
            let message = format!(
                "Can not perform requested operation on nested resource. Parent resource '{}' not \
                 found.",
                root.name()
            );
            return Err(ArmError::new(404, "ParentResourceNotFound", message).at(root.to_string()));
        }
        Ok(())
    }
}

/// Merges as RFC 7396 has it: lists are replaced, `null` removes.
fn merge(old: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        match (old.get_mut(&name), value) {
            (_, Value::Null) => {
                old.remove(&name);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                old.insert(name, value);
            }
        }
    }
}

/// Says of which resource or group the tags are that an error is about.
pub(super) fn at_tags(error: ArmError, of: &str) -> ArmError {
    let place = error.target.clone().unwrap_or_default();
    error.at(format!("{of}#{place}"))
}

/// Returns the body of a write, which is an object.
pub(super) fn object(body: Value) -> Result<Map<String, Value>, ArmError> {
    match body {
        Value::Object(fields) => Ok(fields),
        _ => Err(ArmError::bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: it is no JSON object.",
        )),
    }
}

/// Says that there is no such resource.
pub(super) fn not_found(id: &ResourceId) -> ArmError {
    let path: Vec<String> = id
        .segments
        .iter()
        .map(|(kind, name)| format!("{kind}/{name}"))
        .collect();
    let message = format!(
        "The Resource '{}/{}' under resource group '{}' was not found. For more details please go to \
         https://aka.ms/ARMResourceNotFoundFix",
        id.provider,
        path.join("/"),
        id.scope.group().unwrap_or("<null>")
    );
    ArmError::new(404, "ResourceNotFound", message).at(id.to_string())
}

/// Says that the scope is not one of a resource group.
pub(super) fn no_such_place(scope: &Scope) -> ArmError {
    let message = format!("'{scope}' is not the ID of a resource group.");
    ArmError::bad_request("InvalidResourceGroup", message)
}
