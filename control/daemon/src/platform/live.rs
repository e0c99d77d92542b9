//! What runs: the policy in force and the store, changed together.
//!
//! # The order of a change
//!
//! What was acknowledged is on the disk, and what was refused never acts on a packet. So a change is
//!
//! 1. compiled and checked, which touches nothing;
//! 2. written and synchronised: a disk that is full or fails refuses it here;
//! 3. brought into force at the host, and then acknowledged.
//!
//! Of the third step the worker refuses nothing, but a device or the socket of a front can. The host is then
//! set back and the old estate is written again. A disk that refuses even that has the change for good: it
//! is in force then, the ports that refuse it wait as those do whose namespace is missing, and the answer
//! is that it was made. A crash after the second step leaves a change that nobody was told of, whole.
//!
//! # Who waits for whom
//!
//! Whoever changes what runs has the turn for as long as it takes. Compiling and writing are done under
//! a lock that readers share; alone is only who hands the result to the host, which is short. So no reader
//! waits for a compiler or for the disk.

use super::{Side, effects, explain};
use crate::clock::processor_time;
use crate::fabric::{Applied, Draft, Fabric, FabricError, Seen, Watched};
use crate::protocol::view::TagsChangesView;
use crate::protocol::{Fault, FaultCode};
use crate::store::{Commit, Store, StoreError};
use postern_arm::clock::ProcessorTime;
use postern_arm::document::Origin;
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use postern_arm::platform::Platform;
use postern_dataplane::policy::PortId;
use postern_host::learn::Source;
use postern_network::catalog::Catalog;
use postern_network::model::GatewayRoutes;
use postern_network::spelling::{self, Refused};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Notify;
use tracing::error;

/// The policy in force and the store.
#[derive(Debug)]
pub(crate) struct Live {
    /// Held by who changes, from the first look to the end.
    turn: Mutex<()>,
    /// Written by who has the turn alone, so that to others it stands still between two looks of theirs.
    fabric: RwLock<Fabric>,
    store: Arc<Store>,
    /// Told when the model may be another one.
    pub(crate) changed: Notify,
    #[cfg(test)]
    pub(crate) hold: super::hold::Hold,
}

/// What a change says to its commit beside the estate, and what that says back. Both run on one
/// thread, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    /// What the file is known by that is applied.
    pub(crate) file: Option<String>,
    /// The epoch in force, and what was done.
    pub(crate) applied: Option<(u32, Applied)>,
    /// Why nothing was done, in the words of the command line.
    pub(crate) fault: Option<Fault>,
}

thread_local! {
    static TICKET: RefCell<Ticket> = RefCell::default();
}

impl Ticket {
    /// Runs a change and returns what its commit said.
    pub(crate) fn with<R>(file: Option<String>, change: impl FnOnce() -> R) -> (R, Self) {
        TICKET.set(Self {
            file,
            ..Self::default()
        });
        let result = change();
        (result, TICKET.take())
    }
}

impl Live {
    pub(crate) fn new(fabric: Fabric, store: Arc<Store>) -> Self {
        Self {
            turn: Mutex::default(),
            fabric: RwLock::new(fabric),
            store,
            changed: Notify::new(),
            #[cfg(test)]
            hold: super::hold::Hold::default(),
        }
    }

    /// Returns the fabric, to read it. One look at a time for each thread: a second one would wait for a
    /// change that waits for the first.
    pub(crate) fn fabric(&self) -> RwLockReadGuard<'_, Fabric> {
        // A change that panicked is reported where it happened; reading goes on.
        self.fabric.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the fabric, to change it. For who has the turn.
    fn fabric_alone(&self) -> RwLockWriteGuard<'_, Fabric> {
        self.fabric.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at namespaces and devices, as [`Fabric::look_with`] does, and returns what is to be watched.
    pub(crate) fn look(&self, touched: &[PortId]) -> (Result<Seen, FabricError>, Vec<Watched>) {
        let _turn = self.turn();
        let drafted = self.fabric().draft_strays();
        let mut fabric = self.fabric_alone();
        let seen = drafted.and_then(|draft| fabric.look_with(draft.as_ref(), touched));
        (seen, fabric.watched())
    }

    /// Brings into force what a gateway has learned; nothing if it does not learn there any more.
    pub(crate) fn learn(
        &self,
        source: &Source,
        routes: GatewayRoutes,
    ) -> Result<Option<Applied>, FabricError> {
        let _turn = self.turn();
        let lesson = self.fabric().draft_learned(source, routes)?;
        let applied = lesson.map(|lesson| self.fabric_alone().enact_learned(lesson));
        applied.transpose()
    }

    /// Puts another service-tag file in the place of the one in use. Returns the epoch in force then, too.
    pub(crate) fn reload_tags(
        &self,
        catalog: Catalog,
    ) -> Result<(u32, TagsChangesView, Applied), FabricError> {
        let _turn = self.turn();
        let (tags, retag) = self.fabric().draft_tags(catalog)?;
        let mut fabric = self.fabric_alone();
        let applied = fabric.enact_tags(retag)?;
        Ok((fabric.epoch().0, tags, applied))
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        let _turn = self.turn();
        self.fabric_alone().stop();
    }

    /// Returns the catalogue in use.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(self.fabric().catalog())
    }

    /// Makes ready what a change of the estate amounts to; nothing if packets do not notice.
    fn draft(&self, next: &Estate) -> Result<(MutexGuard<'_, ()>, Option<Draft>), ArmError> {
        // Without the turn: it takes its time, and what happens at the host is looked at meanwhile.
        let catalog = self.catalog();
        let mut model = spelling::load(next, &catalog).map_err(untold)?;
        let turn = self.turn();
        let fabric = self.fabric();
        if !Arc::ptr_eq(fabric.catalog(), &catalog) {
            model = spelling::load(next, fabric.catalog()).map_err(untold)?;
        }
        let is_file = TICKET.with_borrow(|ticket| ticket.file.is_some());
        let tagged = tagged(next);
        // Who applies a file writes its bindings again, but not those that others wrote as tags.
        let is_rebound = |owner: &str| is_file && !tagged.contains(owner);
        let draft = fabric.draft(model, &is_rebound);
        #[cfg(test)]
        self.hold.held();
        Ok((turn, draft.map_err(|error| refused(next, &error))?))
    }

    /// Brings into force what is on the disk, or takes it off the disk again with `take_back`.
    fn enact(
        &self,
        draft: &Draft,
        take_back: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Applied, FabricError> {
        let mut fabric = self.fabric_alone();
        let refusal = match fabric.enact(draft) {
            Ok(applied) => return Ok(applied),
            Err(error) => error,
        };
        let Err(error) = take_back() else {
            return Err(refusal);
        };
        let (error, refusal) = (
            postern_network::chain(&error),
            postern_network::chain(&refusal),
        );
        error!(
            error,
            refusal, "the host refuses a change that the disk does not give back: it is in force"
        );
        fabric.enact_kept(draft)
    }
}

impl Platform for Live {
    fn authorise(&self, now: &Estate, next: &Estate) -> Result<Vec<ResourceId>, ArmError> {
        let fabric = self.fabric();
        spelling::authorise(now, next, fabric.model(), fabric.catalog())
    }

    fn commit(&self, now: &Estate, next: &Estate) -> Result<(), ArmError> {
        let (_turn, draft) = self.draft(next)?;
        let before = self.fabric().keys().clone();
        let file = TICKET.with_borrow_mut(|ticket| ticket.file.take());
        let was = self.store.file();
        let kept = self.store.commit(&Commit {
            old: now,
            new: next,
            keys: draft.as_ref().map_or(&before, Draft::keys),
            file: file.as_deref(),
        });
        kept.map_err(|error| {
            let text = postern_network::chain(&error);
            ArmError::new(500, "InternalServerError", text)
        })?;
        let take_back = || {
            self.store.commit(&Commit {
                old: next,
                new: now,
                keys: &before,
                // A daemon that runs has written one.
                file: was.as_deref(),
            })
        };
        let applied = match &draft {
            Some(draft) => self.enact(draft, take_back),
            None => Ok(Applied::Unchanged),
        };
        let applied = applied.map_err(|error| refused(next, &error))?;
        let epoch = self.fabric().epoch().0;
        TICKET.with_borrow_mut(|ticket| ticket.applied = Some((epoch, applied)));
        self.changed.notify_one();
        Ok(())
    }

    fn preview(&self, now: &Estate, next: &Estate) -> Result<Value, ArmError> {
        let catalog = self.catalog();
        let model = spelling::load(next, &catalog).map_err(untold)?;
        let (present, learned) = {
            let fabric = self.fabric();
            let checked = fabric.check(&model);
            checked.map_err(|error| untold(explain(next, &error)))?;
            (fabric.model().clone(), fabric.learned().clone())
        };
        let before = Side::new(&present, &learned, &catalog, now);
        let after = Side::new(&model, &learned, &catalog, next);
        Ok(effects(before, after))
    }

    fn action(
        &self,
        now: &Estate,
        id: &ResourceId,
        action: &str,
        body: &Value,
    ) -> Result<Value, ArmError> {
        super::action(&self.fabric(), now, id, action, body)
    }

    fn regional(&self, location: &str, what: &str) -> Result<Value, ArmError> {
        let catalog = self.catalog();
        spelling::regional(&catalog, location, what)
    }

    fn processor_time(&self) -> ProcessorTime {
        processor_time
    }

    fn locations(&self) -> Vec<String> {
        spelling::locations(&self.catalog())
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
    let arm = untold(explain(next, error));
    let code = Fault::from(error).code;
    TICKET.with_borrow_mut(|ticket| {
        if let Some(fault) = &mut ticket.fault {
            fault.code = code;
        }
    });
    arm
}
