//! What the fabric does to the host: devices in namespaces, and the workers that move the packets.
//!
//! A trait, because the transaction logic is the same over the real host and over the one in the
//! tests, which fails where it is told to.

use super::fronts::Fronts;
use crate::attach::{self, AttachError, NamespaceId};
use crate::compile::PortSpec;
use crate::front::door::Doors;
use crate::front::{FrontError, Prepared};
use crate::model::NamespaceRef;
use postern_dataplane::engine::SweepReport;
use postern_dataplane::io::{Tun, WorkerGone, WorkerHandle};
use postern_dataplane::policy::{PortId, Snapshot};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Devices and the worker.
pub trait Host {
    /// An attached device; dropping it removes the device with its addresses and routes.
    type Device;

    /// Listeners of fronts that were made and do not accept yet; dropping them closes them.
    type Listeners;

    /// Checks that a namespace is there.
    ///
    /// # Errors
    ///
    /// It is not, or is none.
    fn check(&self, namespace: &NamespaceRef) -> Result<(), AttachError>;

    /// Returns which namespace it is.
    ///
    /// # Errors
    ///
    /// It is not there.
    fn identify(&self, namespace: &NamespaceRef) -> Result<NamespaceId, AttachError>;

    /// Makes and configures the device of a port.
    ///
    /// # Errors
    ///
    /// A step failed; nothing is left behind.
    fn attach(&self, spec: &PortSpec) -> Result<Self::Device, AttachError>;

    /// Changes the addresses, routes and MTU of an attached device.
    ///
    /// # Errors
    ///
    /// A step failed; the caller goes back by the reverse update.
    fn update(&self, old: &PortSpec, new: &PortSpec) -> Result<(), AttachError>;

    /// Returns the ports that have a device; one may have lost it to somebody else.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    fn devices(&self) -> Result<Vec<PortId>, WorkerGone>;

    /// Makes the listeners that the fronts of a policy need and that are not there.
    ///
    /// # Errors
    ///
    /// One cannot be made; none is left behind.
    fn prepare_fronts(&self, doors: &Doors) -> Result<Self::Listeners, FrontError>;

    /// Brings the fronts of a policy into force, whose listeners were made.
    fn commit_fronts(&self, listeners: Self::Listeners, doors: Doors);

    /// Hands a policy with its new devices to the worker, and takes devices from it.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    fn install(
        &self,
        snapshot: Arc<Snapshot>,
        attach: Vec<(PortId, Self::Device)>,
        detach: Vec<PortId>,
    ) -> Result<Receiver<SweepReport>, WorkerGone>;
}

/// The host that this process runs on.
#[derive(Debug)]
pub struct LinuxHost {
    worker: WorkerHandle,
    fronts: Fronts,
}

impl LinuxHost {
    /// Returns the host whose packets this worker moves, and whose services have these fronts.
    #[must_use]
    pub fn new(worker: WorkerHandle, fronts: Fronts) -> Self {
        Self { worker, fronts }
    }

    /// Returns the fronts.
    #[must_use]
    pub fn fronts(&self) -> &Fronts {
        &self.fronts
    }

    /// Returns the worker.
    #[must_use]
    pub fn worker(&self) -> &WorkerHandle {
        &self.worker
    }
}

impl Host for LinuxHost {
    type Device = Tun;

    type Listeners = Prepared;

    fn check(&self, namespace: &NamespaceRef) -> Result<(), AttachError> {
        attach::check(namespace)
    }

    fn identify(&self, namespace: &NamespaceRef) -> Result<NamespaceId, AttachError> {
        attach::identify(namespace)
    }

    fn attach(&self, spec: &PortSpec) -> Result<Tun, AttachError> {
        attach::attach(spec, self.worker.workers()).map(|attachment| attachment.tun)
    }

    fn update(&self, old: &PortSpec, new: &PortSpec) -> Result<(), AttachError> {
        attach::update(old, new)
    }

    fn devices(&self) -> Result<Vec<PortId>, WorkerGone> {
        self.worker.devices()
    }

    fn prepare_fronts(&self, doors: &Doors) -> Result<Prepared, FrontError> {
        self.fronts.prepare(doors)
    }

    fn commit_fronts(&self, listeners: Prepared, doors: Doors) {
        self.fronts.commit(listeners, doors);
    }

    fn install(
        &self,
        snapshot: Arc<Snapshot>,
        attach: Vec<(PortId, Tun)>,
        detach: Vec<PortId>,
    ) -> Result<Receiver<SweepReport>, WorkerGone> {
        self.worker.install(snapshot, attach, detach)
    }
}
