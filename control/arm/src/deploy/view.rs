//! What the expressions of a template see of the resources while it is deployed.

use super::context::{Access, DeployContext, Resources};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::template::instance::{Fate, Instance};
use crate::template::order::{Directory, Meant};
use crate::template::problem::Problem;
use crate::template::world::World;
use serde_json::{Value, json};
use std::collections::HashMap;

/// How far a template is deployed.
pub(super) struct State<'a> {
    /// Where its resources are filed.
    pub(super) target: Scope,
    /// Its resources.
    pub(super) instances: &'a [Instance],
    /// How it calls them.
    pub(super) directory: &'a Directory,
    /// Which of them are deployed.
    pub(super) done: Vec<bool>,
    /// What became of its nested deployments.
    pub(super) nested: HashMap<usize, Value>,
    /// Where its resources are, in the world.
    pub(super) locations: Vec<Value>,
    /// The template in whose names this one is written, if it is nested.
    pub(super) outer: Option<&'a State<'a>>,
}

/// The state together with the resources.
pub(super) struct View<'a, R> {
    pub(super) state: &'a State<'a>,
    pub(super) resources: &'a R,
    pub(super) ctx: &'a DeployContext<'a>,
}

impl<R: Resources> View<'_, R> {
    /// Returns an instance as GET shows it.
    fn instance(&self, state: &State<'_>, at: usize) -> Result<Value, Problem> {
        let Some(instance) = state.instances.get(at) else {
            return Err(Problem::Template("there is no such resource".to_owned()));
        };
        let is_done = state.done.get(at).copied().unwrap_or_default();
        match instance.fate {
            Fate::Deployed if !is_done => Err(Problem::NotYet(instance.number)),
            Fate::Deployed => match state.nested.get(&at) {
                Some(value) => Ok(value.clone()),
                None => self.stored(&instance.id),
            },
            Fate::Existing | Fate::Left => self.read(&instance.id),
        }
    }

    /// Reads a resource that the template does not deploy, as far as the principal may.
    fn read(&self, id: &ResourceId) -> Result<Value, Problem> {
        (self.ctx.authorize)(&Access::Read(id)).map_err(failed)?;
        self.stored(id)
    }

    fn stored(&self, id: &ResourceId) -> Result<Value, Problem> {
        self.resources.show(id).ok_or_else(|| failed(not_found(id)))
    }

    /// Finds a name among the resources of the template and of those that it is nested in.
    fn find(&self, name: &str) -> Option<(&State<'_>, Meant)> {
        let mut state = Some(self.state);
        while let Some(at) = state {
            match at.directory.find(&at.target, name, None) {
                Meant::Nothing => state = at.outer,
                meant => return Some((at, meant)),
            }
        }
        None
    }

    /// Returns the ID that a name stands for which is not of the template.
    fn outside(&self, name: &str) -> Option<ResourceId> {
        match name.starts_with('/') {
            true => name.trim_end_matches('/').parse().ok(),
            false => format!("{}/providers/{name}", self.state.target)
                .parse()
                .ok(),
        }
    }

    /// Waits for a resource of the template of which the one asked for is a child: it may come with it.
    fn await_parent(&self, id: &ResourceId) -> Result<(), Problem> {
        let mut parent = id.parent();
        while let Some(id) = parent {
            if let Some((state, Meant::One(at))) = self.find(&id.to_string()) {
                self.instance(state, at)?;
            }
            parent = id.parent();
        }
        Ok(())
    }
}

impl<R: Resources> World for View<'_, R> {
    fn resource(&self, name: &str, _: bool) -> Result<Value, Problem> {
        match self.find(name) {
            Some((state, Meant::One(at))) => return self.instance(state, at),
            Some((_, Meant::Many)) => {
                return Err(Problem::Template(format!(
                    "The resource reference '{name}' is ambiguous: more than one resource of the template has the name. Please use its resource ID"
                )));
            }
            Some((_, Meant::Loop(_))) => {
                return Err(Problem::Template(format!(
                    "The resource reference '{name}' is a loop; accepted: the name of one of its resources"
                )));
            }
            Some((_, Meant::Nothing)) | None => {}
        }
        let Some(id) = self.outside(name) else {
            return Err(Problem::Template(format!(
                "The resource '{name}' is not defined in the template. Please see https://aka.ms/arm-template for usage details"
            )));
        };
        if self.resources.show(&id).is_none() {
            self.await_parent(&id)?;
        }
        self.read(&id)
    }

    fn list(&self, name: &str, action: &str, body: &Value) -> Result<Value, Problem> {
        let shown = self.resource(name, true)?;
        let id = shown.get("id").and_then(Value::as_str).unwrap_or(name);
        let id: ResourceId = id
            .parse()
            .map_err(|error| Problem::Template(format!("{error}")))?;
        (self.ctx.authorize)(&Access::Action(&id, action)).map_err(failed)?;
        (self.ctx.list)(&id, &shown, action, body).map_err(failed)
    }

    fn info(&self, symbol: &str) -> Option<Value> {
        match self.find(symbol)? {
            (state, Meant::One(at)) => {
                let one = state.instances.get(at)?;
                Some(json!({
                    "id": one.id,
                    "name": one.name,
                    "type": one.id.kind(),
                    "apiVersion": one.api_version,
                }))
            }
            _ => None,
        }
    }

    fn collection(&self, symbol: &str) -> Option<Vec<String>> {
        match self.find(symbol)? {
            (state, Meant::Loop(number)) => {
                let members = state.directory.members(number).iter();
                let ids = members.filter_map(|at| state.instances.get(*at));
                Some(ids.map(|one| one.id.to_string()).collect())
            }
            _ => None,
        }
    }
}

fn failed(error: ArmError) -> Problem {
    Problem::Resource(Box::new(error))
}

/// Returns the error that there is no such resource.
pub(super) fn not_found(id: &ResourceId) -> ArmError {
    let group = id.scope.group().unwrap_or_default();
    ArmError::new(
        404,
        "ResourceNotFound",
        format!(
            "The Resource '{}/{}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            id.kind(),
            id.name()
        ),
    )
    .at(id.to_string())
}
