//! The running state, and how it changes: all of it, or nothing.
//!
//! A [`Fabric`] owns the model in force, its compiled form and the attached ports. [`Fabric::apply`]
//! takes a new model through compile, attach, install and detach; a step that fails undoes the
//! steps before it, so that packets go on under the policy that was. A namespace that is missing is no
//! failure: its ports wait (`away`). Reading is in `read`, what
//! changes at the devices is decided in `plan`, and what touches the host is behind [`Host`].

mod access_log;
mod away;
mod callers;
mod check;
mod execute;
pub mod front_view;
mod fronts;
mod host;
mod keeper;
mod learned;
mod namespaces;
pub mod nsg;
mod pins;
mod plan;
mod read;
pub mod services;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod view;

pub use away::{Seen, Watched};
pub use fronts::Fronts;
pub use host::{Host, LinuxHost, Shut};
pub use namespaces::{NamespaceError, NamespaceErrors, check_namespaces};
pub use read::ReadError;

use crate::attach::{AttachError, NamespaceId};
use crate::catalog::Catalog;
use crate::compile::{CompileError, Compiled, Names, PortNumbers, PortSpec, compile_learned};
use crate::front::FrontError;
use crate::front::door::Doors;
use crate::keys::Keys;
use crate::model::{Change, Learned, Model, ModelError, SupplyErrors};
use crate::store::{Store, StoreError};
use away::Trouble;
use execute::Placed;
use keeper::Keeper;
use plan::{Plan, same_device};
use postern_dataplane::engine::{Engine, EngineConfig, Share, SweepReport};
use postern_dataplane::io::{IoError, Worker, WorkerGone};
use postern_dataplane::policy::{Epoch, PortId, Snapshot};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use tokio::sync::watch;
use tracing::{debug, error};

/// Why a change was refused. Unless a variant says otherwise the running policy is untouched.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// The change does not fit the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The service-tag file does not supply what the model uses.
    #[error(transparent)]
    Supply(#[from] SupplyErrors),
    /// The keys of the change cannot be kept.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The model does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A port could not be attached or changed.
    #[error("{port}")]
    Attach {
        /// The port's name, such as `nic/vm0`.
        port: String,
        /// Why.
        source: AttachError,
    },
    /// A setting cannot change while packets flow.
    #[error("{key} = {new}: cannot change while postern runs; accepted: {old}, or a restart")]
    NeedsRestart {
        /// The setting.
        key: &'static str,
        /// Its value in force.
        old: u32,
        /// The value asked for.
        new: u32,
    },
    /// A service front cannot listen.
    #[error("a service front cannot listen on port {} of namespace `{}`: {}", .0.port, .0.namespace, .0.reason)]
    Shut(Shut),
    /// There can be no service fronts.
    #[error(transparent)]
    Front(#[from] FrontError),
    /// The worker could not be started: nothing runs.
    #[error("cannot start the packet worker")]
    Start(#[from] IoError),
    /// The worker has ended: no packet flows any more.
    #[error("the packet worker has ended")]
    WorkerGone(#[from] WorkerGone),
}

/// What an apply did.
#[derive(Debug)]
pub enum Applied {
    /// The model in force is the wanted one already.
    Unchanged,
    /// A new policy is in force.
    Changed {
        /// What changed.
        changes: Vec<Change>,
        /// Gets the report once every live flow has been looked at under the new policy; hangs up
        /// without one if a still newer policy came first.
        sweep: Receiver<SweepReport>,
    },
}

/// Why a model is brought into force.
#[derive(Clone, Copy)]
enum Cause<'a> {
    /// Somebody asks for it, and it may be refused. Bindings are written again of what this tells.
    Change(&'a dyn Fn(&str) -> bool),
    /// Something under it is another one by now. Nothing about its devices can refuse it.
    Forced,
}

impl Cause<'_> {
    fn is_forced(&self) -> bool {
        matches!(self, Self::Forced)
    }

    fn is_rebound(&self, owner: &str) -> bool {
        match self {
            Self::Change(is_rebound) => is_rebound(owner),
            Self::Forced => false,
        }
    }
}

/// The running state.
#[derive(Debug)]
pub struct Fabric<H: Host = LinuxHost> {
    host: H,
    catalog: Arc<Catalog>,
    started: Instant,
    model: Model,
    /// What gateways have learned, beside the model.
    learned: Learned,
    /// Tells the model in force to those who follow it.
    models: watch::Sender<Arc<Model>>,
    numbers: PortNumbers,
    keeper: Keeper,
    names: Names,
    snapshot: Arc<Snapshot>,
    /// The ports of the policy in force.
    ports: Vec<PortSpec>,
    /// Ports of the policy in force that have no namespace and so no device.
    unattached: Vec<PortSpec>,
    /// Those of [`Self::ports`] that had no device when it was last looked: the next apply attaches them.
    lost: Vec<PortId>,
    /// The namespaces that the devices are in, to notice one that was made anew under its name.
    places: HashMap<PortId, NamespaceId>,
    trouble: Trouble,
    /// The fronts of the policy in force.
    doors: Doors,
}

impl Fabric<LinuxHost> {
    /// Starts so many workers and brings `model` into force with these keys; packets flow when it
    /// returns.
    ///
    /// # Errors
    ///
    /// As [`Fabric::apply`]; nothing is left behind.
    pub fn start(
        model: Model,
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        keys: Keys,
        fronts: Fronts,
        workers: usize,
    ) -> Result<Self, FabricError> {
        let config = EngineConfig {
            max_flows: model.settings.max_flows,
            seed: random(),
        };
        let share = Share::new(&config, workers);
        let engine = |index| Engine::with_share(config, Arc::default(), &share, index);
        let worker = Worker::start((0..workers).map(engine).collect(), &share)?;
        let mut fabric = Self::new(LinuxHost::new(worker, fronts), catalog);
        fabric.numbers = PortNumbers::with_keys(keys);
        fabric.keeper = Keeper::new(store);
        fabric.model.settings.max_flows = model.settings.max_flows;
        match fabric.apply(model) {
            Ok(_) => Ok(fabric),
            Err(error) => {
                fabric.stop();
                Err(error)
            }
        }
    }

    /// Returns whether the worker still moves packets.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.host.worker().query(|_| ()).is_ok()
    }

    /// Closes the fronts and stops the worker, which removes every device that was made.
    pub fn stop(&mut self) {
        self.host.fronts().stop();
        if let Err(error) = self.host.worker().clone().stop() {
            error!(%error, "the packet worker did not stop cleanly");
        }
    }
}

impl<H: Host> Fabric<H> {
    /// Returns a fabric without any resource, at epoch 0.
    pub fn new(host: H, catalog: Arc<Catalog>) -> Self {
        Self {
            host,
            catalog,
            started: Instant::now(),
            model: Model::default(),
            learned: Learned::default(),
            models: watch::Sender::default(),
            numbers: PortNumbers::default(),
            keeper: Keeper::default(),
            names: Names::default(),
            snapshot: Arc::default(),
            ports: Vec::new(),
            unattached: Vec::new(),
            lost: Vec::new(),
            places: HashMap::new(),
            trouble: Trouble::default(),
            doors: Doors::default(),
        }
    }

    /// Returns the model in force.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns what gateways have learned.
    #[must_use]
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Returns where every model that comes into force is told, the present one at once. It is told
    /// too when only the devices had to be made anew.
    #[must_use]
    pub fn models(&self) -> watch::Receiver<Arc<Model>> {
        self.models.subscribe()
    }

    /// Returns the catalogue in use.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Returns the keys of the networks and subnets in force.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        self.numbers.keys()
    }

    /// Brings a model into force again that was in force before with `keys`, so that its networks and
    /// subnets are the same ones: for a change that came into force and could not be kept. Numbers
    /// that the change issued are not issued again.
    ///
    /// # Errors
    ///
    /// As [`Fabric::apply`].
    pub fn go_back(&mut self, model: Model, keys: Keys) -> Result<Applied, FabricError> {
        self.numbers.restore(keys);
        self.bring(model, Cause::Forced)
    }

    /// Returns the number of the policy in force.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.snapshot.epoch
    }

    /// Switches a service endpoint of a subnet.
    ///
    /// # Errors
    ///
    /// There is no such subnet or service, or as [`Fabric::apply`].
    pub fn set_endpoint(
        &mut self,
        vnet: &str,
        subnet: &str,
        service: &str,
        on: bool,
    ) -> Result<Applied, FabricError> {
        let mut model = self.model.clone();
        if !model.set_endpoint(vnet, subnet, service, on, &self.catalog)? {
            return Ok(Applied::Unchanged);
        }
        self.apply(model)
    }

    /// Brings a model into force. Ports whose namespace is missing wait for it.
    ///
    /// # Errors
    ///
    /// The model does not compile, a device cannot be as it must, or the worker has ended. The running
    /// policy is then untouched.
    pub fn apply(&mut self, model: Model) -> Result<Applied, FabricError> {
        self.apply_rebound(model, &|_| false)
    }

    /// Brings a model into force, in which bindings to processes are written again of what
    /// `is_rebound` tells, such as `nic/vm0`: they mean the processes that have the numbers now.
    ///
    /// # Errors
    ///
    /// As [`Fabric::apply`].
    pub fn apply_rebound(
        &mut self,
        model: Model,
        is_rebound: &dyn Fn(&str) -> bool,
    ) -> Result<Applied, FabricError> {
        self.bring(model, Cause::Change(is_rebound))
    }

    fn is_first(&self) -> bool {
        self.epoch() == Epoch::default()
    }

    fn bring(&mut self, mut model: Model, cause: Cause<'_>) -> Result<Applied, FabricError> {
        let mut numbers = self.numbers.clone();
        let is_rebound = |owner: &str| cause.is_rebound(owner);
        pins::pin(&mut model, numbers.pins(), &self.host, &is_rebound);
        let changes = self.model.diff(&model);
        self.lost = self.missing()?;
        let strays = self.strays();
        let is_other = cause.is_forced()
            || self.is_first()
            || pins::differ(&self.numbers.keys().pins, &numbers.keys().pins);
        if changes.is_empty() && !is_other && strays.is_empty() && !self.might_attach() {
            return Ok(Applied::Unchanged);
        }
        self.check_size(&model)?;
        let learned = self.still_learned(&model, &strays);
        let compiled = self.compile(&model, &learned, &strays, &mut numbers)?;
        let plan = Plan::new(&self.attached(), &compiled.ports);
        let doors = fronts::doors(&model, &compiled, numbers.keys());
        let (listeners, shut) = self.prepare_fronts(&doors, cause)?;
        let snapshot = Arc::new(compiled.snapshot);
        self.keeper.reserve(numbers.keys())?;
        let mut placed = Placed::default();
        let sweep = self.execute(&plan, &snapshot, cause, &mut placed)?;
        debug!(
            epoch = snapshot.epoch.0,
            changes = changes.len(),
            "policy in force"
        );
        self.host.commit_fronts(listeners, doors.clone());
        let sweep = sweep::watch(sweep, snapshot.epoch);
        self.models.send_replace(Arc::new(model.clone()));
        self.model = model;
        self.learned = learned;
        self.numbers = numbers;
        self.names = compiled.names;
        self.ports = compiled.ports;
        self.unattached = compiled.unattached;
        self.snapshot = snapshot;
        self.doors = doors;
        self.lost.clear();
        self.settle(placed, shut);
        Ok(Applied::Changed { changes, sweep })
    }

    /// Notes what became of the devices and fronts of a change.
    fn settle(&mut self, placed: Placed, shut: Vec<Shut>) {
        self.forget_gone_ports();
        let find = |ports: &[PortSpec], id| ports.iter().find(|spec| spec.id == id).cloned();
        for (id, place) in placed.places {
            if let Some(spec) = find(&self.ports, id) {
                self.note_attached(&spec, place);
            }
        }
        for (id, reason) in placed.away {
            if let Some(spec) = find(&self.ports, id) {
                self.note_away(&spec, reason);
            }
        }
        self.note_shut(shut);
    }

    /// Makes the listeners of fronts. One that cannot be made for another reason than a missing
    /// namespace refuses the change that brings it.
    fn prepare_fronts(
        &self,
        doors: &Doors,
        cause: Cause<'_>,
    ) -> Result<(H::Listeners, Vec<Shut>), FabricError> {
        let is_lenient = cause.is_forced() || self.is_first();
        let (listeners, shut) = match self.host.prepare_fronts(doors) {
            Ok(prepared) => prepared,
            Err(error) if is_lenient => {
                error!(error = crate::chain(&error), "there are no service fronts");
                return Ok((H::Listeners::default(), Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        let known = self.doors.sockets();
        let is_refused = |door: &&Shut| {
            !is_lenient && !door.is_absence && !known.contains(&(door.namespace.clone(), door.port))
        };
        match shut.iter().find(is_refused) {
            Some(door) => Err(FabricError::Shut(door.clone())),
            None => Ok((listeners, shut)),
        }
    }

    /// Compiles the model under the next epoch. A port whose device cannot be kept gets a new
    /// number, so that no flow of the old device is taken for one of the new.
    fn compile(
        &self,
        model: &Model,
        learned: &Learned,
        strays: &[PortId],
        numbers: &mut PortNumbers,
    ) -> Result<Compiled, CompileError> {
        let epoch = Epoch(self.epoch().0.saturating_add(1));
        let compiled = compile_learned(model, learned, &self.catalog, epoch, numbers)?;
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
        compile_learned(model, learned, &self.catalog, epoch, numbers)
    }

    /// Returns the ports that have no device: a change took it that failed, or somebody deleted it.
    pub(super) fn missing(&self) -> Result<Vec<PortId>, WorkerGone> {
        let present = self.host.devices()?;
        Ok(self
            .ports
            .iter()
            .map(|spec| spec.id)
            .filter(|id| !present.contains(id))
            .collect())
    }

    fn attached(&self) -> Vec<PortSpec> {
        self.ports
            .iter()
            .filter(|spec| !self.lost.contains(&spec.id))
            .cloned()
            .collect()
    }
}

/// Returns a number that nobody can foresee: the standard library keys its hash maps with secrets
/// of the system.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
