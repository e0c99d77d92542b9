//! What runs: the policy in force and the store, changed together.
//!
//! A change of the estate is brought into force first and then written; it is acknowledged after
//! both. If it cannot be written, the old model comes into force again with the keys that it had.

use crate::catalog::Catalog;
use crate::estate::{self, Refused};
use crate::fabric::{Applied, Fabric, FabricError};
use crate::keys::Keys;
use crate::model::Model;
use crate::server::protocol::{Fault, FaultCode};
use crate::store::{Commit, Store};
use postern_arm::document::Origin;
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use postern_arm::platform::Platform;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tracing::error;

/// The policy in force and the store.
#[derive(Debug)]
pub(super) struct Live {
    fabric: Mutex<Fabric>,
    store: Arc<Store>,
    /// Told when the model may be another one.
    pub(super) changed: Notify,
}

/// What a change says to its commit beside the estate, and what that says back. Both run on one
/// thread, one after the other.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    /// What the file is known by that is applied.
    pub(super) file: Option<String>,
    /// The epoch in force, and what was done.
    pub(super) applied: Option<(u32, Applied)>,
    /// Why nothing was done, in the words of the command line.
    pub(super) fault: Option<Fault>,
}

thread_local! {
    static TICKET: RefCell<Ticket> = RefCell::default();
}

impl Ticket {
    /// Runs a change and returns what its commit said.
    pub(super) fn with<R>(file: Option<String>, change: impl FnOnce() -> R) -> (R, Self) {
        TICKET.set(Self {
            file,
            ..Self::default()
        });
        let result = change();
        (result, TICKET.take())
    }
}

impl Live {
    pub(super) fn new(fabric: Fabric, store: Arc<Store>) -> Self {
        Self {
            fabric: Mutex::new(fabric),
            store,
            changed: Notify::new(),
        }
    }

    /// Returns the fabric, to read it or to change what is not of the estate.
    pub(super) fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // A change that panicked is reported where it happened; reading goes on.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the catalogue in use.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(self.fabric().catalog())
    }

    /// Goes back to what was in force before a change that could not be kept.
    fn go_back(fabric: &mut Fabric, model: Model, keys: Keys) {
        if let Err(error) = fabric.go_back(model, keys) {
            let error = crate::chain(&error);
            // Nothing is left to try: what is in force is not what is on the disk.
            error!(%error, "a change could neither be kept nor undone: restart postern");
        }
    }
}

impl Platform for Live {
    fn authorise(&self, now: &Estate, next: &Estate) -> Result<Vec<ResourceId>, ArmError> {
        let fabric = self.fabric();
        estate::authorise(now, next, fabric.model(), fabric.catalog())
    }

    fn commit(&self, now: &Estate, next: &Estate) -> Result<(), ArmError> {
        // Without the fabric: it takes its time, and others look meanwhile.
        let catalog = self.catalog();
        let mut model = estate::load(next, &catalog).map_err(untold)?;
        let mut fabric = self.fabric();
        if !Arc::ptr_eq(fabric.catalog(), &catalog) {
            model = estate::load(next, fabric.catalog()).map_err(untold)?;
        }
        let before = (fabric.model().clone(), fabric.keys().clone());
        let file = TICKET.with_borrow_mut(|ticket| ticket.file.take());
        let tagged = tagged(next);
        // Who applies a file writes its bindings again, but not those that others wrote as tags.
        let is_rebound = |owner: &str| file.is_some() && !tagged.contains(owner);
        let applied = fabric
            .apply_rebound(model, &is_rebound)
            .map_err(|error| refused(next, &error))?;
        let kept = self.store.commit(&Commit {
            old: now,
            new: next,
            keys: fabric.keys(),
            file: file.as_deref(),
        });
        if let Err(error) = kept {
            if matches!(applied, Applied::Changed { .. }) {
                Self::go_back(&mut fabric, before.0, before.1);
            }
            let text = crate::chain(&error);
            return Err(ArmError::new(500, "InternalServerError", text));
        }
        let epoch = fabric.epoch().0;
        drop(fabric);
        TICKET.with_borrow_mut(|ticket| ticket.applied = Some((epoch, applied)));
        self.changed.notify_one();
        Ok(())
    }

    fn preview(&self, now: &Estate, next: &Estate) -> Result<Value, ArmError> {
        let catalog = self.catalog();
        let model = estate::load(next, &catalog).map_err(untold)?;
        let (present, learned) = {
            let fabric = self.fabric();
            let checked = fabric.check(&model);
            checked.map_err(|error| untold(estate::explain(next, &error)))?;
            (fabric.model().clone(), fabric.learned().clone())
        };
        let before = estate::Side::new(&present, &learned, &catalog, now);
        let after = estate::Side::new(&model, &learned, &catalog, next);
        Ok(estate::effects(before, after))
    }

    fn action(
        &self,
        now: &Estate,
        id: &ResourceId,
        action: &str,
        body: &Value,
    ) -> Result<Value, ArmError> {
        estate::action(&self.fabric(), now, id, action, body)
    }

    fn regional(&self, location: &str, what: &str) -> Result<Value, ArmError> {
        let catalog = self.catalog();
        estate::regional(&catalog, location, what)
    }

    fn locations(&self) -> Vec<String> {
        estate::locations(&self.catalog())
    }
}

/// Returns why an estate makes no model, and keeps it in the words of the command line.
fn untold(refused: Refused) -> ArmError {
    let fault = Fault::new(FaultCode::Refused, refused.keys);
    TICKET.with_borrow_mut(|ticket| ticket.fault = Some(fault));
    *refused.arm
}

/// Returns what has a namespace by a tag of a request, as the fabric calls it.
fn tagged(estate: &Estate) -> HashSet<String> {
    let is_binding = |tag: &String| {
        let tag = tag.to_ascii_lowercase();
        tag == "postern-namespace" || tag == "postern-front-namespace"
    };
    let documents = estate.documents().filter(|document| {
        let tags = document.body.get("tags").and_then(Value::as_object);
        document.origin != Origin::File && tags.is_some_and(|tags| tags.keys().any(is_binding))
    });
    let owners = documents.flat_map(|document| {
        let name = document.alias.to_ascii_lowercase();
        ["nic", "service", "front", "gateway"].map(|kind| format!("{kind}/{name}"))
    });
    owners.collect()
}

/// Returns why a change did not come into force, and keeps it in the words of the command line.
fn refused(next: &Estate, error: &FabricError) -> ArmError {
    let arm = untold(estate::explain(next, error));
    let code = Fault::from(error).code;
    TICKET.with_borrow_mut(|ticket| {
        if let Some(fault) = &mut ticket.fault {
            fault.code = code;
        }
    });
    arm
}
