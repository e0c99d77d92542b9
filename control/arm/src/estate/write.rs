//! How a write becomes a document: its normal form, what is allocated, and whether anything changed.

use super::Stage;
use super::stage::not_found;
use crate::document::{Document, Origin};
use crate::error::ArmError;
use crate::id::ResourceId;
use crate::template::budget::fields_size;
use crate::types::secret::{self, Digests};
use crate::types::{self, Child, Context};
use serde_json::{Map, Value};
use std::sync::Arc;

impl Stage {
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
        secrets: Digests,
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
                    origin,
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
        self.complete_with(id, body, origin, secrets)
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
    pub(super) fn write_child(
        &mut self,
        (parent, child): (&ResourceId, &'static Child),
        id: &ResourceId,
        mut item: Map<String, Value>,
        origin: Origin,
        secrets: Digests,
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
            origin,
        };
        let id = old.id.child(child.segment, &name);
        types::normalise(child.kind, &id, &mut item, None, context)?;
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
        let origin = match origin {
            Origin::File => origin,
            Origin::Api => old.origin,
        };
        self.complete_with(parent, body, origin, secrets)
    }

    /// As [`Self::complete_with`], for what is in a document already.
    pub(super) fn complete(
        &mut self,
        id: &ResourceId,
        body: Map<String, Value>,
        origin: Origin,
    ) -> Result<(), ArmError> {
        self.complete_with(id, body, origin, Digests::new())
    }

    /// Allocates what the document needs, checks it, and takes it into the estate if it says anything new.
    /// `secrets` are those that came with it.
    fn complete_with(
        &mut self,
        id: &ResourceId,
        mut body: Map<String, Value>,
        origin: Origin,
        secrets: Digests,
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
        let by_request = origin == Origin::Api;
        // What the file declares stays its own when a request changes it.
        let origin = match &old {
            Some(old) if old.origin == Origin::File => Origin::File,
            _ => origin,
        };
        // Children and PATCHes make a document longer than any one request is.
        if fields_size(&body, MAX_DOCUMENT) > MAX_DOCUMENT {
            return Err(too_large(id));
        }
        let sealed = secret::keep(old.as_ref().map(|old| &old.sealed), secrets, &body);
        let same = |old: &&Arc<Document>| {
            old.sealed == sealed && types::is_same(&old.body, &body, kind.is_some())
        };
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
        if old.is_none() {
            self.name_is_free(id)?;
        }
        if by_request {
            self.has_room(id, &body, old.as_deref())?;
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
            sealed,
        };
        self.now.insert(Arc::new(document));
        Ok(())
    }

    /// Checks that no resource anywhere has the name, where names are the same for all.
    fn name_is_free(&self, id: &ResourceId) -> Result<(), ArmError> {
        match types::global_name(id) {
            Some(name) if self.now.index.has_name(&name) => Err(types::name_taken(id)),
            _ => Ok(()),
        }
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

/// How much memory a document may take: some 4 MiB of JSON, or 100,000 short texts.
const MAX_DOCUMENT: usize = 12 << 20;

fn too_large(id: &ResourceId) -> ArmError {
    let message = format!(
        "The resource '{}' would take more than {} MiB with all that is in it; accepted: less in one \
         resource.",
        id.name(),
        MAX_DOCUMENT >> 20
    );
    ArmError::new(413, "RequestContentTooLarge", message).at(id.to_string())
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
