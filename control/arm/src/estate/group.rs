//! Resource groups.

use super::stage::{Put, Stage};
use super::{Ask, Estate, read, refer};
use crate::document::Group;
use crate::error::ArmError;
use crate::id::Scope;
use crate::types;
use serde_json::{Map, Value};
use std::sync::Arc;

impl Stage {
    /// Makes a resource group, or replaces what is written of it.
    ///
    /// # Errors
    ///
    /// The scope is no group, the body is not as it must be, or the group is in another region.
    pub fn put_group(&mut self, scope: &Scope, body: Value) -> Result<Put, ArmError> {
        self.ask(&Ask::WriteGroup(scope))?;
        self.set_group(scope, body)
    }

    fn set_group(&mut self, scope: &Scope, body: Value) -> Result<Put, ArmError> {
        let mut body = super::stage::object(body)?;
        let old = self.now.group(scope).cloned();
        for name in ["id", "name", "type", "properties"] {
            body.remove(name);
        }
        let named = scope.group().filter(|_| matches!(scope, Scope::Group(..)));
        let name = named.ok_or_else(|| super::stage::no_such_place(scope))?;
        check_name(name)?;
        types::check_tags(&body, old.as_ref().map(|old| &old.body))
            .map_err(|error| super::stage::at_tags(error, &scope.to_string()))?;
        let was = old
            .as_ref()
            .and_then(|group| group.body.get("location")?.as_str());
        let location = self.location(&body, was, "Microsoft.Resources/resourceGroups")?;
        if let Some(was) = was.filter(|was| *was != location) {
            let message = format!(
                "Invalid resource group location '{location}'. The Resource group already exists in \
                 location '{was}'."
            );
            return Err(ArmError::new(409, "InvalidResourceGroupLocation", message));
        }
        body.insert("location".to_owned(), Value::from(location));
        if old.is_none() {
            self.has_room_for_group(scope)?;
        }
        let changed = old.as_ref().is_none_or(|old| old.body != body);
        if changed {
            let group = Group {
                scope: old
                    .as_ref()
                    .map_or_else(|| scope.clone(), |old| old.scope.clone()),
                version: self.next_version(),
                body,
            };
            self.now.groups.insert_mut(scope.key(), Arc::new(group));
        }
        let shown = self.now.group(scope).map(|group| read::show_group(group));
        Ok(Put {
            created: old.is_none(),
            changed,
            value: shown.unwrap_or_default(),
        })
    }

    /// Changes what the body says of a resource group.
    ///
    /// # Errors
    ///
    /// There is no such group, or the body is not as it must be.
    pub fn patch_group(&mut self, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        self.ask(&Ask::WriteGroup(scope))?;
        self.merge_group(scope, body)
    }

    pub(super) fn merge_group(&mut self, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        let old = self.now.group(scope).ok_or_else(|| no_group(scope))?;
        let mut merged: Map<String, Value> = old.body.clone();
        for (name, value) in super::stage::object(body)? {
            merged.insert(name, value);
        }
        self.set_group(scope, Value::Object(merged))
            .map(|put| put.value)
    }

    /// Removes a resource group and all that is in it. What is elsewhere and needs something of it is found by
    /// [`Stage::check`].
    ///
    /// # Errors
    ///
    /// Something in another group needs what is in this one.
    pub fn delete_group(&mut self, scope: &Scope) -> Result<bool, ArmError> {
        self.ask(&Ask::DeleteGroup(scope))?;
        if self.now.group(scope).is_none() {
            return Ok(false);
        }
        let undo = self.clone();
        let keys: Vec<String> = self
            .now
            .documents_in(scope)
            .map(|one| one.id.key())
            .collect();
        for key in &keys {
            self.remove_key(key);
        }
        self.now.groups.remove_mut(&scope.key());
        for key in &keys {
            if let Err(error) = refer::unused(&self.now, &undo.now, key) {
                *self = undo;
                return Err(error);
            }
        }
        Ok(true)
    }
}

/// Returns how many resource groups the subscription of a scope has.
pub(super) fn count_in(estate: &Estate, scope: &Scope) -> usize {
    let own = scope.subscription().unwrap_or_default();
    let is_own = |group: &&Arc<Group>| {
        let subscription = group.scope.subscription();
        subscription.is_some_and(|known| known.eq_ignore_ascii_case(own))
    };
    estate.groups().filter(is_own).count()
}

/// Says that there is no such resource group.
pub(super) fn no_group(scope: &Scope) -> ArmError {
    let name = scope.group().unwrap_or("");
    let message = format!("Resource group '{name}' could not be found.");
    ArmError::new(404, "ResourceGroupNotFound", message)
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let fits = !name.is_empty()
        && name.chars().count() <= 90
        && !name.ends_with('.')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.()".contains(c));
    if fits {
        return Ok(());
    }
    let message = format!(
        "The provided resource group name '{name}' has these invalid characters or is too long. The \
         name can only be a letter, digit, '-', '.', '(', ')' or '_', at most 90 of them, and not end \
         with '.'."
    );
    Err(ArmError::bad_request("InvalidResourceGroup", message))
}
