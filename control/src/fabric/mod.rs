//! The running state, and how it changes: all of it, or nothing.
//!
//! A [`Fabric`] owns the model in force, its compiled form and the attached ports. [`Fabric::apply`]
//! takes a new model through compile, attach, install and detach; a step that fails undoes the
//! steps before it, so that packets go on under the policy that was. Reading is in `read`, what
//! changes at the devices is decided in `plan`, and what touches the host is behind [`Host`].

mod access_log;
mod callers;
mod check;
pub mod front_view;
mod fronts;
mod host;
mod keeper;
mod learned;
mod namespaces;
pub mod nsg;
mod plan;
mod read;
pub mod services;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod view;

pub use fronts::Fronts;
pub use host::{Host, LinuxHost};
pub use namespaces::{NamespaceError, NamespaceErrors, check_namespaces};
pub use read::ReadError;

use crate::attach::{AttachError, NamespaceId};
use crate::catalog::Catalog;
use crate::compile::{CompileError, Compiled, Names, PortNumbers, PortSpec, compile_learned};
use crate::front::FrontError;
use crate::keys::Keys;
use crate::model::{Change, Learned, Model, ModelError, NamespaceRef, SupplyErrors};
use crate::store::{Store, StoreError};
use keeper::Keeper;
use plan::{Plan, Update, same_device};
use postern_dataplane::engine::{Engine, EngineConfig, Share, SweepReport};
use postern_dataplane::io::{IoError, Worker, WorkerGone};
use postern_dataplane::policy::{Epoch, PortId, Snapshot};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use tokio::sync::watch;
use tracing::{debug, error, warn};

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
    /// Namespaces are missing, or are none.
    #[error(transparent)]
    Namespaces(#[from] NamespaceErrors),
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
        self.bring(model, true)
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

    /// Brings a model into force.
    ///
    /// # Errors
    ///
    /// The model does not compile, a namespace or device is not as it must be, or the worker has
    /// ended. The running policy is then untouched.
    pub fn apply(&mut self, model: Model) -> Result<Applied, FabricError> {
        self.bring(model, false)
    }

    /// Brings a model into force; `is_forced` is whether the catalogue has changed under it.
    fn bring(&mut self, model: Model, is_forced: bool) -> Result<Applied, FabricError> {
        let changes = self.model.diff(&model);
        let is_first = self.epoch() == Epoch::default();
        self.lost = self.missing()?;
        let stranded = self.stranded();
        let is_whole = self.lost.is_empty() && stranded.is_empty();
        if changes.is_empty() && is_whole && !is_first && !is_forced {
            return Ok(Applied::Unchanged);
        }
        self.check_size(&model)?;
        let mut numbers = self.numbers.clone();
        let learned = self.still_learned(&model, &stranded);
        let compiled = self.compile(&model, &learned, &stranded, &mut numbers)?;
        let plan = Plan::new(&self.attached(), &compiled.ports);
        let is_new = |namespace: &NamespaceRef| {
            plan.attach
                .iter()
                .chain(&plan.replace)
                .any(|spec| spec.namespace == *namespace)
        };
        namespaces::check_new(&model, is_new, &self.host)?;
        let doors = fronts::doors(&model, &compiled, numbers.keys());
        let listeners = self.host.prepare_fronts(&doors)?;
        let places = self.places(&plan);
        let snapshot = Arc::new(compiled.snapshot);
        self.keeper.reserve(numbers.keys())?;
        let sweep = self.execute(&plan, &snapshot)?;
        debug!(
            epoch = snapshot.epoch.0,
            changes = changes.len(),
            "policy in force"
        );
        self.host.commit_fronts(listeners, doors);
        let sweep = sweep::watch(sweep, snapshot.epoch);
        self.models.send_replace(Arc::new(model.clone()));
        self.model = model;
        self.learned = learned;
        self.numbers = numbers;
        self.names = compiled.names;
        self.ports = compiled.ports;
        self.unattached = compiled.unattached;
        self.snapshot = snapshot;
        self.lost.clear();
        self.places.extend(places);
        self.places
            .retain(|id, _| self.ports.iter().any(|spec| spec.id == *id));
        Ok(Applied::Changed { changes, sweep })
    }

    /// Compiles the model under the next epoch. A port whose device cannot be kept gets a new
    /// number, so that no flow of the old device is taken for one of the new.
    fn compile(
        &self,
        model: &Model,
        learned: &Learned,
        stranded: &[PortId],
        numbers: &mut PortNumbers,
    ) -> Result<Compiled, CompileError> {
        let epoch = Epoch(self.epoch().0.saturating_add(1));
        let compiled = compile_learned(model, learned, &self.catalog, epoch, numbers)?;
        let moved: Vec<_> = self
            .ports
            .iter()
            .filter(|old| {
                let is_kept = |new| same_device(old, new) && !stranded.contains(&old.id);
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

    /// Returns the ports whose namespace is not the one of that name any more: it was removed and
    /// made again, and the device is in the old one, which nobody else can see. One that was only
    /// removed is left alone: there is nowhere else to attach.
    fn stranded(&self) -> Vec<PortId> {
        let is_stranded = |spec: &&PortSpec| {
            let now = self.host.identify(&spec.namespace).ok();
            now.is_some()
                && self
                    .places
                    .get(&spec.id)
                    .is_some_and(|then| now != Some(*then))
        };
        let stranded = self.ports.iter().filter(is_stranded);
        stranded.map(|spec| spec.id).collect()
    }

    /// Returns the namespaces in which the plan attaches.
    fn places(&self, plan: &Plan) -> HashMap<PortId, NamespaceId> {
        let specs = plan.attach.iter().chain(&plan.replace);
        specs
            .filter_map(|spec| Some((spec.id, self.host.identify(&spec.namespace).ok()?)))
            .collect()
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

    /// Takes the host through the plan. What can fail comes before what cannot be undone.
    fn execute(
        &mut self,
        plan: &Plan,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Receiver<SweepReport>, FabricError> {
        let mut devices = Vec::new();
        for spec in &plan.attach {
            devices.push((spec.id, self.host.attach(spec).map_err(failed(spec))?));
        }
        self.update(&plan.update)?;
        if let Err(error) = self.replace(plan, &mut devices) {
            self.revert(&plan.update);
            return Err(error);
        }
        let gone = plan.detach.iter().map(|spec| spec.id).collect();
        Ok(self.host.install(Arc::clone(snapshot), devices, gone)?)
    }

    /// Changes live devices, all of them or none.
    fn update(&self, updates: &[Update]) -> Result<(), FabricError> {
        for (at, update) in updates.iter().enumerate() {
            if let Err(source) = self.host.update(&update.old, &update.new) {
                // The failed one too: it may have got halfway.
                self.revert(updates.get(..=at).unwrap_or(updates));
                return Err(failed(&update.new)(source));
            }
        }
        Ok(())
    }

    fn revert(&self, updates: &[Update]) {
        for update in updates.iter().rev() {
            if let Err(error) = self.host.update(&update.new, &update.old) {
                warn!(port = %update.old.name, %error, "cannot set the device back as it was");
            }
        }
    }

    /// Attaches the ports whose namespaces must be freed first. The ports that were there are away
    /// only if all went well, or if even their return failed.
    fn replace(
        &mut self,
        plan: &Plan,
        devices: &mut Vec<(PortId, H::Device)>,
    ) -> Result<(), FabricError> {
        if plan.evict.is_empty() {
            return Ok(());
        }
        let evicted = plan.evict.iter().map(|spec| spec.id).collect();
        self.host
            .install(Arc::clone(&self.snapshot), Vec::new(), evicted)?;
        let mut fresh = Vec::new();
        for spec in &plan.replace {
            match self.host.attach(spec) {
                Ok(device) => fresh.push((spec.id, device)),
                Err(source) => {
                    // Their devices must be gone before the old ones can return.
                    drop(fresh);
                    self.restore(&plan.evict)?;
                    return Err(failed(spec)(source));
                }
            }
        }
        devices.append(&mut fresh);
        Ok(())
    }

    fn restore(&mut self, evicted: &[PortSpec]) -> Result<(), WorkerGone> {
        let mut devices = Vec::new();
        for spec in evicted {
            match self.host.attach(spec) {
                Ok(device) => devices.push((spec.id, device)),
                Err(error) => {
                    error!(port = %spec.name, %error, "cannot attach the port again");
                    self.lost.push(spec.id);
                }
            }
        }
        self.host
            .install(Arc::clone(&self.snapshot), devices, Vec::new())
            .map(drop)
    }
}

fn failed(spec: &PortSpec) -> impl FnOnce(AttachError) -> FabricError {
    let port = spec.name.clone();
    move |source| FabricError::Attach { port, source }
}

/// Returns a number that nobody can foresee: the standard library keys its hash maps with secrets
/// of the system.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
