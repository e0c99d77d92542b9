//! What a deployment read and changed, so that it can be done again on another estate without evaluating
//! the template once more.

use super::context::Resources;
use crate::error::ArmError;
use crate::estate::Stage;
use crate::id::{ResourceId, Scope};
use crate::template::value::digest;
use serde_json::Value;
use std::cell::RefCell;

/// A change under way that remembers its steps.
#[derive(Debug)]
pub struct Journal {
    stage: Stage,
    steps: RefCell<Vec<Step>>,
}

/// Something that was read or done. What was read is kept as a number that stands for it; versions do
/// not count, as others' changes move them.
#[derive(Clone, Debug)]
enum Step {
    Showed(ResourceId, Option<u64>),
    ShowedGroup(Scope, Option<u64>),
    Listed(Scope, Vec<ResourceId>),
    Put(ResourceId, Value),
    PutGroup(Scope, Value),
    Removed(ResourceId),
}

/// The steps of a [`Journal`].
#[derive(Debug)]
pub struct Steps(Vec<Step>);

impl Journal {
    /// Begins a journal on a change.
    #[must_use]
    pub fn new(stage: Stage) -> Self {
        Self {
            stage,
            steps: RefCell::default(),
        }
    }

    /// Returns the change as it is now.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Ends the journal.
    #[must_use]
    pub fn into_parts(self) -> (Stage, Steps) {
        (self.stage, Steps(self.steps.into_inner()))
    }

    fn note(&self, step: Step) {
        self.steps.borrow_mut().push(step);
    }
}

impl Steps {
    /// Does the steps on another change; returns whether all was there that they rest on. If not, the
    /// change is to be dropped.
    #[must_use]
    pub fn again(self, stage: &mut Stage) -> bool {
        self.0.into_iter().all(|step| match step {
            Step::Showed(id, seen) => number(Resources::show(stage, &id).as_ref()) == seen,
            Step::ShowedGroup(scope, seen) => {
                number(Resources::show_group(stage, &scope).as_ref()) == seen
            }
            Step::Listed(scope, ids) => stage.in_group(&scope) == ids,
            Step::Put(id, body) => Resources::put(stage, &id, body).is_ok(),
            Step::PutGroup(scope, body) => Resources::put_group(stage, &scope, body).is_ok(),
            Step::Removed(id) => Resources::remove(stage, &id).is_ok(),
        })
    }
}

fn number(value: Option<&Value>) -> Option<u64> {
    value.map(|value| digest(value, "etag"))
}

impl Resources for Journal {
    fn show(&self, id: &ResourceId) -> Option<Value> {
        let value = Resources::show(&self.stage, id);
        self.note(Step::Showed(id.clone(), number(value.as_ref())));
        value
    }

    fn put(&mut self, id: &ResourceId, body: Value) -> Result<Value, ArmError> {
        let put = Resources::put(&mut self.stage, id, body.clone());
        self.note(Step::Put(id.clone(), body));
        put
    }

    fn remove(&mut self, id: &ResourceId) -> Result<bool, ArmError> {
        self.note(Step::Removed(id.clone()));
        Resources::remove(&mut self.stage, id)
    }

    fn show_group(&self, scope: &Scope) -> Option<Value> {
        let value = Resources::show_group(&self.stage, scope);
        self.note(Step::ShowedGroup(scope.clone(), number(value.as_ref())));
        value
    }

    fn put_group(&mut self, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        let put = Resources::put_group(&mut self.stage, scope, body.clone());
        self.note(Step::PutGroup(scope.clone(), body));
        put
    }

    fn in_group(&self, scope: &Scope) -> Vec<ResourceId> {
        let ids = Resources::in_group(&self.stage, scope);
        self.note(Step::Listed(scope.clone(), ids.clone()));
        ids
    }

    fn has_effect(&self, kind: &str) -> bool {
        self.stage.has_effect(kind)
    }

    fn check(&mut self) -> Result<(), ArmError> {
        Resources::check(&mut self.stage)
    }
}
