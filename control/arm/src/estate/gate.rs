//! Who is asked before a change of the estate is staged.

use super::{Estate, Stage};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// What a change is about to do.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Make a resource, or write it anew.
    Write(&'a ResourceId),
    /// Remove a resource with all that is in it.
    Delete(&'a ResourceId),
    /// Make a resource group, or write it anew.
    WriteGroup(&'a Scope),
    /// Remove a resource group with all that is in it.
    DeleteGroup(&'a Scope),
    /// Write the tags of a resource or a group, and nothing else of it.
    Tag(&'a Scope),
}

/// What stands before every write of a stage, whichever way it comes: a request, a template, a template
/// inside of one. A stage without a gate is the host's own.
pub trait Gate: Send + Sync + fmt::Debug {
    /// Tells whether that may be done; `now` is the estate with what was staged before.
    ///
    /// # Errors
    ///
    /// It may not.
    fn ask(&self, now: &Estate, ask: &Ask<'_>) -> Result<(), ArmError>;

    /// Returns under which ID a resource is kept.
    fn kept(&self, now: &Estate, id: &ResourceId) -> ResourceId;

    /// Returns under which ID a resource is kept that is written so, and as what.
    ///
    /// # Errors
    ///
    /// It cannot be so.
    fn admit(
        &self,
        now: &Estate,
        id: &ResourceId,
        body: Map<String, Value>,
    ) -> Result<(ResourceId, Map<String, Value>), ArmError>;
}

impl Stage {
    /// Puts a gate before the stage.
    #[must_use]
    pub fn behind(mut self, gate: Arc<dyn Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Asks the gate, if there is one.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<(), ArmError> {
        match &self.gate {
            Some(gate) => gate.ask(&self.now, ask),
            None => Ok(()),
        }
    }

    /// Returns under which ID the resource is kept.
    pub(crate) fn kept(&self, id: &ResourceId) -> ResourceId {
        match &self.gate {
            Some(gate) => gate.kept(&self.now, id),
            None => id.clone(),
        }
    }

    /// Returns under which ID a resource is kept that is written so, and as what.
    pub(super) fn admit(
        &self,
        id: &ResourceId,
        body: Map<String, Value>,
    ) -> Result<(ResourceId, Map<String, Value>), ArmError> {
        match &self.gate {
            Some(gate) => gate.admit(&self.now, id, body),
            None => Ok((id.clone(), body)),
        }
    }
}
