//! Deployments on the estate.

use super::context::Resources;
use crate::document::Origin;
use crate::error::ArmError;
use crate::estate::{Conditions, Stage};
use crate::id::{ResourceId, Scope};
use crate::types;
use serde_json::Value;

/// The type of tags that are written on their own.
const TAGS: &str = "Microsoft.Resources/tags";

impl Resources for Stage {
    fn show(&self, id: &ResourceId) -> Option<Value> {
        self.estate().show(&self.kept(id))
    }

    fn put(&mut self, id: &ResourceId, body: Value) -> Result<Value, ArmError> {
        if id.is(TAGS) {
            // They are those of what they are at, and no resource of their own.
            let tags = body.pointer("/properties/tags").unwrap_or(&Value::Null);
            let tags = types::read_tags(tags)?;
            return self.tag(&id.scope, tags).map(|_| body);
        }
        Stage::put(self, id, body, &Conditions::none(), Origin::Api).map(|put| put.value)
    }

    fn remove(&mut self, id: &ResourceId) -> Result<bool, ArmError> {
        Stage::remove(self, id)
    }

    fn show_group(&self, scope: &Scope) -> Option<Value> {
        self.estate().show_group(scope)
    }

    fn put_group(&mut self, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        Stage::put_group(self, scope, body).map(|put| put.value)
    }

    fn in_group(&self, scope: &Scope) -> Vec<ResourceId> {
        let listed = self.estate().resources_in(scope);
        let id = |one: &Value| one.get("id")?.as_str()?.parse().ok();
        listed.iter().filter_map(id).collect()
    }

    fn has_effect(&self, kind: &str) -> bool {
        // Machines have rules of their own, as `az` reads them to find NICs; they have no effect.
        let is_compute = kind.to_ascii_lowercase().starts_with("microsoft.compute/");
        !is_compute && types::find(kind).is_some()
    }

    fn check(&mut self) -> Result<(), ArmError> {
        Stage::check(self)
    }
}
