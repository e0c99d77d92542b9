//! What a deployment did, for its result and for what-if.

use super::context::Resources;
use crate::id::ResourceId;
use crate::template::budget::Budget;
use crate::template::instance::Instance;
use crate::template::problem::Problem;
use serde_json::Value;
use std::collections::HashSet;

/// A resource that was put or deleted.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Its ID.
    pub(super) id: ResourceId,
    /// As it was before the deployment touched it.
    pub(super) before: Option<Value>,
    /// The API version of the template.
    pub(super) api_version: Option<String>,
    /// Whether this host does anything with it.
    pub(super) has_effect: bool,
}

/// What was done, in order.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Resources put, each once.
    pub(super) written: Vec<Change>,
    /// Resources deleted.
    pub(super) deleted: Vec<Change>,
    /// Whether it is of interest what was there before.
    keeps_before: bool,
    seen: HashSet<String>,
    inside: HashSet<String>,
}

impl Log {
    /// Begins a log.
    pub(super) fn new(keeps_before: bool) -> Self {
        Self {
            keeps_before,
            ..Self::default()
        }
    }

    /// Notes that a resource is about to be put.
    pub(super) fn writes<R: Resources>(
        &mut self,
        id: &ResourceId,
        resources: &R,
        has_effect: bool,
        instance: &Instance,
        budget: &Budget,
    ) -> Result<(), Problem> {
        if self.seen.insert(id.key()) {
            let before = self.before(id, resources);
            if let Some(before) = &before {
                budget.keep_value(before, 1)?;
            }
            self.written.push(Change {
                id: id.clone(),
                before,
                api_version: instance.api_version.clone(),
                has_effect,
            });
        }
        Ok(())
    }

    /// Notes the security groups that a network had inside of its subnets: they became resources of
    /// their own (reference arm-clients, section 3.10), and belong to the template as it does.
    pub(super) fn adopted(&mut self, body: &Value, shown: &Value) {
        let group = |subnet: &'_ Value| subnet.pointer("/properties/networkSecurityGroup").cloned();
        let is_inside =
            |subnet: &Value| group(subnet).is_some_and(|group| group.get("id").is_none());
        if !subnets(body).iter().any(is_inside) {
            return;
        }
        for group in subnets(shown).iter().filter_map(group) {
            let id = group.get("id").and_then(Value::as_str);
            self.inside.extend(id.map(str::to_ascii_lowercase));
        }
    }

    /// Notes that a resource is about to be deleted.
    pub(super) fn deletes<R: Resources>(&mut self, id: &ResourceId, resources: &R) {
        self.deleted.push(Change {
            id: id.clone(),
            before: self.before(id, resources),
            api_version: None,
            has_effect: true,
        });
    }

    fn before<R: Resources>(&self, id: &ResourceId, resources: &R) -> Option<Value> {
        match self.keeps_before {
            true => resources.show(id),
            false => None,
        }
    }

    /// Returns the keys of the resources that are no children of which something was put.
    pub(super) fn roots(&self) -> HashSet<String> {
        let root = |change: &Change| root(&change.id).key();
        let written = self.written.iter().map(root);
        written.chain(self.inside.iter().cloned()).collect()
    }
}

fn subnets(value: &Value) -> &[Value] {
    let subnets = value.pointer("/properties/subnets");
    let subnets = subnets.and_then(Value::as_array);
    subnets.map(Vec::as_slice).unwrap_or_default()
}

/// Returns the resource that a resource is filed in: of an extension, what it extends.
pub(super) fn root(id: &ResourceId) -> ResourceId {
    match &id.scope {
        crate::id::Scope::Resource(of) => root(of),
        _ => id.root(),
    }
}
