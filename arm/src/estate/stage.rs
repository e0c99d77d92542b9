//! A change of the estate under way.

use super::{Conditions, Estate, Settings, group, index, refer};
use crate::document::{Document, Origin};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::types::{self, Child, Context, Place};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A change under way: an estate of its own, which becomes the desired one when all is done.
///
/// Writes may come in any order, as what a resource names is looked for by [`Stage::check`] at the end.
/// A write that fails leaves the stage as it was.
#[derive(Clone, Debug)]
pub struct Stage {
    base: Estate,
    now: Estate,
    settings: Arc<Settings>,
    /// The keys of the documents that may differ from those of `base`.
    touched: BTreeSet<String>,
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

    pub(super) fn now(&self) -> &Estate {
        &self.now
    }

    pub(super) fn now_mut(&mut self) -> &mut Estate {
        &mut self.now
    }

    pub(super) fn touched(&self) -> &BTreeSet<String> {
        &self.touched
    }

    /// Makes a resource or replaces it: what the body does not say is not so any more.
    ///
    /// # Errors
    ///
    /// The group or the parent is not there, a condition does not hold, or the body is not as it must
    /// be for its type.
    pub fn put(
        &mut self,
        id: &ResourceId,
        body: Value,
        conditions: &Conditions,
        origin: Origin,
    ) -> Result<Put, ArmError> {
        let body = object(body)?;
        self.place_is_there(id)?;
        let old = self.now.find(id);
        let created = old.is_none();
        conditions.check(old.map(|old| old.document.etag()).as_deref())?;
        if created && origin == Origin::Api {
            types::check_name(id)?;
        }
        let before = self.now.version;
        let undo = self.now.clone();
        let done = match types::place(id) {
            Place::Own => self.write(id, body, origin),
            Place::Inline(parent, child) => self.write_child(&parent, child, id, body, origin),
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
        self.put(id, Value::Object(merged), &Conditions::none(), origin)
            .map(|put| put.value)
    }

    /// Removes a resource, with its children and extensions; returns whether it was there.
    ///
    /// # Errors
    ///
    /// A condition does not hold, or something else needs it.
    pub fn delete(&mut self, id: &ResourceId, conditions: &Conditions) -> Result<bool, ArmError> {
        let Some(found) = self.now.find(id) else {
            return Ok(false);
        };
        conditions.check(Some(&found.document.etag()))?;
        let undo = self.clone();
        let result = self.remove(id).and_then(|was| {
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

    /// Returns the region that a body asks for, in its programmatic name. `was` is where it is now.
    pub(super) fn location(
        &self,
        body: &Map<String, Value>,
        was: Option<&str>,
        kind: &str,
    ) -> Result<String, ArmError> {
        let written = match body.get("location") {
            Some(Value::String(text)) => text.replace(' ', "").to_ascii_lowercase(),
            None | Some(Value::Null) => match was {
                Some(was) => was.to_owned(),
                None => String::new(),
            },
            Some(_) => String::new(),
        };
        if written.is_empty() {
            let message = "The location property is required for this definition.";
            return Err(ArmError::bad_request("LocationRequired", message));
        }
        let knowledge = &self.settings.knowledge;
        if was != Some(written.as_str()) && !knowledge.is_region(&written) {
            let message = format!(
                "The provided location '{written}' is not available for resource type '{kind}'. List \
                 of available regions for the resource type is '{}'.",
                knowledge.regions().join(",")
            );
            return Err(ArmError::bad_request(
                "LocationNotAvailableForResourceType",
                message,
            ));
        }
        Ok(written)
    }

    /// Writes a document from what a client sent.
    pub(super) fn write(
        &mut self,
        id: &ResourceId,
        mut body: Map<String, Value>,
        origin: Origin,
    ) -> Result<(), ArmError> {
        let old = self.now.documents.get(&id.key()).cloned();
        let id = old.as_ref().map_or(id, |old| &old.id);
        body.retain(|name, value| !value.is_null() && name != "name");
        if body
            .get("tags")
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
        {
            body.remove("tags");
        }
        let was = old
            .as_ref()
            .map(|old| old.text("location"))
            .filter(|was| !was.is_empty());
        let kind = types::find(&id.kind());
        if id.segments.len() == 1 && (kind.is_some() || body.contains_key("location")) {
            self.relocate(id, &mut body, was, kind.is_some())?;
        }
        match kind {
            Some(kind) => {
                if origin == Origin::Api {
                    types::carry(kind, &mut body, old.as_deref().map(|old| &old.body));
                }
                let location = body
                    .get("location")
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned();
                let context = Context {
                    knowledge: &*self.settings.knowledge,
                    location: &location,
                };
                types::normalise(
                    kind,
                    id,
                    &mut body,
                    old.as_deref().map(|old| &old.body),
                    context,
                )?;
            }
            None => types::plain(&id.kind(), &mut body),
        }
        self.complete(id, body, origin)
    }

    /// Checks where the resource is to be and writes its region as Azure spells it.
    fn relocate(
        &self,
        id: &ResourceId,
        body: &mut Map<String, Value>,
        was: Option<&str>,
        is_known: bool,
    ) -> Result<(), ArmError> {
        let location = match is_known {
            true => self
                .location(body, was, &id.kind())
                .map_err(|error| error.at(id.to_string()))?,
            // Resources such as zones of names are in the region `global`.
            false => match body.get("location").and_then(Value::as_str) {
                Some(text) => text.replace(' ', "").to_ascii_lowercase(),
                None => return Ok(()),
            },
        };
        if let Some(was) = was.filter(|was| *was != location) {
            let name = id.name();
            let group = id.scope.group().unwrap_or("");
            let message = format!(
                "The resource '{name}' already exists in location '{was}' in resource group \
                 '{group}'. A resource with the same name cannot be created in location \
                 '{location}'. Please select a new resource name."
            );
            return Err(ArmError::new(409, "InvalidResourceLocation", message).at(id.to_string()));
        }
        body.insert("location".to_owned(), Value::from(location));
        Ok(())
    }

    /// Writes an inline child from what a client sent.
    fn write_child(
        &mut self,
        parent: &ResourceId,
        child: &'static Child,
        id: &ResourceId,
        mut item: Map<String, Value>,
        origin: Origin,
    ) -> Result<(), ArmError> {
        let Some(old) = self.now.documents.get(&parent.key()).cloned() else {
            return Err(not_found(parent));
        };
        item.retain(|_, value| !value.is_null());
        let found = self
            .now
            .find(id)
            .and_then(|found| found.child)
            .map(|(_, item)| item);
        let name = found.map_or(id.name(), types::name_of).to_owned();
        item.insert("name".to_owned(), Value::from(name.as_str()));
        let context = Context {
            knowledge: &*self.settings.knowledge,
            location: old.text("location"),
        };
        let id = old.id.child(child.segment, &name);
        types::normalise(
            child.kind,
            &id,
            &mut item,
            found.filter(|_| child.only.is_none()),
            context,
        )?;
        let mut body = old.body.clone();
        let properties = body
            .entry("properties")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(properties) = properties {
            if child.only.is_some() {
                let inner = item.remove("properties").unwrap_or_default();
                properties.insert(child.at.to_owned(), inner);
            } else {
                let list = properties
                    .entry(child.at)
                    .or_insert_with(|| Value::Array(Vec::new()));
                place_item(list, &name, item);
            }
        }
        // A child that is written by a request does not take its parent from the file.
        self.complete(
            parent,
            body,
            if origin == Origin::File {
                origin
            } else {
                old.origin
            },
        )
    }

    /// Allocates what the document needs, checks it, and takes it into the estate if it says anything new.
    pub(super) fn complete(
        &mut self,
        id: &ResourceId,
        mut body: Map<String, Value>,
        origin: Origin,
    ) -> Result<(), ArmError> {
        let key = id.key();
        let old = self.now.documents.get(&key).cloned();
        let id = old.as_ref().map_or(id, |old| &old.id);
        let kind = types::find(&id.kind());
        if let Some(kind) = kind {
            self.adopt(id, &mut body, origin)?;
            self.allocate(kind, &key, &mut body, old.as_deref())?;
            types::check(kind, id, &body)?;
        }
        // What the file declares stays its own when a request changes it.
        let origin = match &old {
            Some(old) if old.origin == Origin::File => Origin::File,
            _ => origin,
        };
        let same = |old: &&Arc<Document>| types::is_same(&old.body, &body, kind.is_some());
        self.touched.insert(key.clone());
        if let Some(old) = old.as_ref().filter(same) {
            if old.origin != origin {
                let kept = Document {
                    origin,
                    ..(**old).clone()
                };
                self.now.insert(Arc::new(kept));
            }
            return Ok(());
        }
        // A change that is undone within the stage is none.
        let base = self.base.documents.get(&key).filter(|base| {
            let created = old.as_ref().map(|old| old.created);
            created == Some(base.created) && base.origin == origin
        });
        if let Some(base) = base.filter(same).cloned() {
            self.now.insert(base);
            return Ok(());
        }
        let version = self.next_version();
        let document = Document {
            id: id.clone(),
            alias: match &old {
                Some(old) => old.alias.clone(),
                None => self.alias(id),
            },
            origin,
            created: old.as_ref().map_or(version, |old| old.created),
            created_at: old.as_ref().map_or(self.settings.now, |old| old.created_at),
            version,
            body,
        };
        self.now.insert(Arc::new(document));
        Ok(())
    }

    /// Returns a name that no other resource of the type has.
    fn alias(&self, id: &ResourceId) -> String {
        let name = id.name().to_owned();
        if id.segments.len() > 1 {
            return name;
        }
        let family = types::family(&id.kind());
        let is_free = |alias: &String| self.now.index.with_alias(&family, alias).is_none();
        if is_free(&name) {
            return name;
        }
        let filed = format!("{name}.{}", id.scope.group().unwrap_or("subscription"));
        if is_free(&filed) {
            return filed;
        }
        let mut others = (2_u64..).map(|number| format!("{filed}.{number}"));
        others.find(is_free).unwrap_or(filed)
    }
}

/// Puts a child into the list of its parent.
fn place_item(list: &mut Value, name: &str, item: Map<String, Value>) {
    let Value::Array(list) = list else {
        return;
    };
    let is_it = |other: &&mut Value| {
        let found = other.get("name").and_then(Value::as_str);
        found.is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    match list.iter_mut().find(is_it) {
        Some(old) => *old = Value::Object(item),
        None => list.push(Value::Object(item)),
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
fn not_found(id: &ResourceId) -> ArmError {
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

impl Stage {
    /// Checks what only the whole can tell: that everything that is named is there, that nothing that is
    /// in use went, and that no two have one address. Addresses that could not be given before, as their
    /// subnet came later, are given now.
    ///
    /// Only what was touched is looked at, so that the size of the estate does not matter.
    ///
    /// # Errors
    ///
    /// The first that is wrong.
    pub fn check(&mut self) -> Result<(), ArmError> {
        self.settle()?;
        for key in &self.touched {
            let (old, new) = (self.base.documents.get(key), self.now.documents.get(key));
            if old.is_some() {
                refer::unused(&self.now, &self.base, key)?;
            }
            if let Some(new) = new {
                refer::present(&self.now, old.map(|old| &**old), new)?;
                self.leases_are_free(new)?;
            }
        }
        Ok(())
    }

    /// Checks that nobody else has the addresses of the document.
    fn leases_are_free(&self, document: &Document) -> Result<(), ArmError> {
        for lease in index::leases(Some(document)) {
            self.lease_is_free(&lease)?;
        }
        Ok(())
    }
}
