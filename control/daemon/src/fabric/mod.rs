//! The running state, and how it changes: all of it, or nothing.
//!
//! A [`Fabric`] owns the model in force, its compiled form and the attached ports. A change comes in
//! two halves. [`Fabric::draft`] compiles and checks it, which takes its time, and touches nothing: others
//! read meanwhile, and who keeps the change writes it down before the other half. [`Fabric::enact`]
//! takes the draft through attach, install and detach; a step that fails undoes the steps before it, so
//! that packets go on under the policy that was. [`Fabric::apply`] is both. A namespace that is missing is
//! no failure: its ports wait (`away`). Reading is in `read`, what
//! changes at the devices is decided in `plan`, and what touches the host is behind [`Host`].

mod access_log;
mod away;
mod callers;
mod check;
mod draft;
mod execute;
pub mod front_view;
mod fronts;
mod host;
mod keeper;
mod learned;
mod namespaces;
mod pins;
mod plan;
mod read;
pub mod services;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
pub mod verify;

pub use away::{Seen, Watched};
pub use draft::Draft;
pub use fronts::Fronts;
pub use host::{Host, LinuxHost, Shut};
pub use learned::Lesson;
pub use namespaces::{NamespaceError, NamespaceErrors, check_namespaces};
pub use read::ReadError;
pub use tags::Retag;

use crate::store::{Store, StoreError};
use away::Trouble;
use execute::Placed;
use keeper::Keeper;
use plan::Plan;
use postern_dataplane::engine::{Engine, EngineConfig, Share, SweepReport};
use postern_dataplane::io::{IoError, Worker, WorkerGone};
use postern_dataplane::policy::{Epoch, PortId, Snapshot};
use postern_host::attach::{AttachError, NamespaceId};
use postern_host::front::FrontError;
use postern_host::front::door::Doors;
use postern_network::catalog::Catalog;
use postern_network::compile::{CompileError, Names, PortNumbers, PortSpec};
use postern_network::keys::Keys;
use postern_network::model::{Change, Learned, Model, ModelError, SupplyErrors};
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
    /// It is on the disk, and the disk does not give it back. What its devices refuse waits.
    Kept,
}

impl Cause<'_> {
    fn is_forced(&self) -> bool {
        matches!(self, Self::Forced | Self::Kept)
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Kept)
    }

    fn is_rebound(&self, owner: &str) -> bool {
        match self {
            Self::Change(is_rebound) => is_rebound(owner),
            Self::Forced | Self::Kept => false,
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
    /// returns. `keep` is called with the keys of what is to come into force, to write it down, before
    /// anything is.
    ///
    /// # Errors
    ///
    /// As [`Fabric::apply`], or as `keep`; nothing is left behind.
    pub fn start(
        model: Model,
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        keys: Keys,
        fronts: Fronts,
        workers: usize,
        keep: impl FnOnce(&Keys) -> Result<(), StoreError>,
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
        let kept = |fabric: &mut Self| {
            let draft = fabric.draft(model, &|_| false)?;
            keep(draft.as_ref().map_or(fabric.keys(), Draft::keys))?;
            draft.map_or(Ok(Applied::Unchanged), |draft| fabric.enact(&draft))
        };
        match kept(&mut fabric) {
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
        let draft = self.draft(model, &|_| false)?;
        draft.map_or(Ok(Applied::Unchanged), |draft| self.enact(&draft))
    }

    /// As [`Fabric::apply`], where bindings to processes are written again of what `is_rebound` tells.
    ///
    /// # Errors
    ///
    /// As [`Fabric::apply`].
    #[cfg(test)]
    fn apply_rebound(
        &mut self,
        model: Model,
        is_rebound: &dyn Fn(&str) -> bool,
    ) -> Result<Applied, FabricError> {
        let draft = self.draft(model, is_rebound)?;
        draft.map_or(Ok(Applied::Unchanged), |draft| self.enact(&draft))
    }

    fn is_first(&self) -> bool {
        self.epoch() == Epoch::default()
    }

    /// Brings a draft into force. Nothing else may have come into force since it was made.
    ///
    /// # Errors
    ///
    /// A device or a front cannot be as it must, or the worker has ended. The running policy is then
    /// untouched.
    pub fn enact(&mut self, draft: &Draft) -> Result<Applied, FabricError> {
        self.bring(draft, draft.cause())
    }

    /// Brings a draft into force that was written down and that [`Fabric::enact`] refused, as it cannot be
    /// taken back any more: what the host refuses waits, and is tried again.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    pub fn enact_kept(&mut self, draft: &Draft) -> Result<Applied, FabricError> {
        self.bring(draft, Cause::Kept)
    }

    fn bring(&mut self, draft: &Draft, cause: Cause<'_>) -> Result<Applied, FabricError> {
        self.keeper.reserve(draft.keys())?;
        self.lost = self.missing()?;
        let plan = Plan::new(&self.attached(), &draft.ports);
        let (listeners, shut) = self.prepare_fronts(&draft.doors, cause)?;
        let mut placed = Placed::default();
        let sweep = self.execute(&plan, &draft.snapshot, cause, &mut placed)?;
        debug!(
            epoch = draft.snapshot.epoch.0,
            changes = draft.changes.len(),
            "policy in force"
        );
        self.host.commit_fronts(listeners, draft.doors.clone());
        let sweep = sweep::watch(sweep, draft.snapshot.epoch);
        self.models.send_replace(Arc::new(draft.model.clone()));
        self.take(draft);
        self.lost.clear();
        self.settle(placed, shut);
        Ok(Applied::Changed {
            changes: draft.changes.clone(),
            sweep,
        })
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
                error!(
                    error = postern_network::chain(&error),
                    "there are no service fronts"
                );
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
