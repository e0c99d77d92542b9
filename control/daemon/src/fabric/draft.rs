//! A change that is made ready: all of it that can be told without touching the host.

use super::plan::same_device;
use super::{Cause, Fabric, FabricError, Host, fronts, pins};
use postern_dataplane::policy::{Epoch, PortId, Snapshot};
use postern_host::front::door::Doors;
use postern_network::catalog::Catalog;
use postern_network::compile::{
    CompileError, Compiled, Names, PortNumbers, PortSpec, compile_learned,
};
use postern_network::keys::Keys;
use postern_network::model::{Change, Learned, Model};
use std::sync::Arc;

/// A model, compiled and checked, that is not in force yet.
#[derive(Debug)]
pub struct Draft {
    is_forced: bool,
    pub(super) catalog: Arc<Catalog>,
    pub(super) model: Model,
    pub(super) learned: Learned,
    pub(super) numbers: PortNumbers,
    pub(super) names: Names,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) ports: Vec<PortSpec>,
    pub(super) unattached: Vec<PortSpec>,
    pub(super) doors: Doors,
    pub(super) changes: Vec<Change>,
}

impl Draft {
    /// Returns the keys that its networks and subnets would have.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        self.numbers.keys()
    }

    pub(super) fn cause(&self) -> Cause<'_> {
        match self.is_forced {
            true => Cause::Forced,
            false => Cause::Change(&|_| false),
        }
    }
}

/// What a model is compiled with.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) catalog: &'a Arc<Catalog>,
    pub(super) learned: &'a Learned,
}

impl<H: Host> Fabric<H> {
    /// Makes a model ready to come into force; nothing if all of it is in force. Bindings to processes
    /// are written again of what `is_rebound` tells, such as `nic/vm0`: they mean the processes that have
    /// the numbers now.
    ///
    /// # Errors
    ///
    /// The model does not compile, or a setting cannot change.
    pub fn draft(
        &self,
        model: Model,
        is_rebound: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Draft>, FabricError> {
        self.draft_on(self.ground(), model, Cause::Change(is_rebound))
    }

    /// Makes the policy ready in which ports move that have their device where it does not belong;
    /// nothing if there are none.
    ///
    /// # Errors
    ///
    /// The worker has ended, or the model does not compile.
    pub fn draft_strays(&self) -> Result<Option<Draft>, FabricError> {
        if self.strays(&self.missing()?).is_empty() {
            return Ok(None);
        }
        self.draft_on(self.ground(), self.model.clone(), Cause::Forced)
    }

    pub(super) fn ground(&self) -> Ground<'_> {
        Ground {
            catalog: &self.catalog,
            learned: &self.learned,
        }
    }

    pub(super) fn draft_on(
        &self,
        on: Ground<'_>,
        mut model: Model,
        cause: Cause<'_>,
    ) -> Result<Option<Draft>, FabricError> {
        let mut numbers = self.numbers.clone();
        let is_rebound = |owner: &str| cause.is_rebound(owner);
        pins::pin(&mut model, numbers.pins(), &self.host, &is_rebound);
        let changes = self.model.diff(&model);
        let lost = self.missing()?;
        let strays = self.strays(&lost);
        let is_other = cause.is_forced()
            || self.is_first()
            || pins::differ(&self.numbers.keys().pins, &numbers.keys().pins);
        if changes.is_empty() && !is_other && strays.is_empty() && !self.might_attach(&lost) {
            return Ok(None);
        }
        self.check_size(&model)?;
        let learned = self.still_learned(on.learned, &model, &strays);
        let ground = Ground {
            learned: &learned,
            ..on
        };
        let compiled = self.compile(ground, &model, &strays, &mut numbers)?;
        let doors = fronts::doors(&model, &compiled, numbers.keys());
        Ok(Some(Draft {
            is_forced: cause.is_forced(),
            catalog: Arc::clone(on.catalog),
            model,
            learned,
            numbers,
            names: compiled.names,
            snapshot: Arc::new(compiled.snapshot),
            ports: compiled.ports,
            unattached: compiled.unattached,
            doors,
            changes,
        }))
    }

    /// Compiles the model under the next epoch. A port whose device cannot be kept gets a new
    /// number, so that no flow of the old device is taken for one of the new.
    pub(super) fn compile(
        &self,
        on: Ground<'_>,
        model: &Model,
        strays: &[PortId],
        numbers: &mut PortNumbers,
    ) -> Result<Compiled, CompileError> {
        let epoch = Epoch(self.epoch().0.saturating_add(1));
        let compiled = compile_learned(model, on.learned, on.catalog, epoch, numbers)?;
        let moved: Vec<_> = self
            .ports
            .iter()
            .filter(|old| {
                let is_kept = |new| same_device(old, new) && !strays.contains(&old.id);
                compiled
                    .ports
                    .iter()
                    .any(|new| new.id == old.id && !is_kept(new))
            })
            .collect();
        if moved.is_empty() {
            return Ok(compiled);
        }
        for port in moved {
            numbers.release(&port.name);
        }
        compile_learned(model, on.learned, on.catalog, epoch, numbers)
    }

    /// Takes a draft for what is in force, whose policy the worker has.
    pub(super) fn take(&mut self, draft: &Draft) {
        self.catalog = Arc::clone(&draft.catalog);
        self.model = draft.model.clone();
        self.learned = draft.learned.clone();
        self.numbers = draft.numbers.clone();
        self.names = draft.names.clone();
        self.ports = draft.ports.clone();
        self.unattached = draft.unattached.clone();
        self.snapshot = Arc::clone(&draft.snapshot);
        self.doors = draft.doors.clone();
    }
}
