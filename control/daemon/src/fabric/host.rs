//! What the fabric does to the host: devices in namespaces, and the workers that move the packets.
//!
//! A trait, because the transaction logic is the same over the real host and over the one in the
//! tests, which fails where it is told to.

use super::fronts::Fronts;
use postern_dataplane::engine::SweepReport;
use postern_dataplane::io::{Tun, WorkerGone, WorkerHandle};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_host::attach::{self, AttachError, NamespaceId};
use postern_host::front::door::Doors;
use postern_host::front::{FrontError, Prepared};
use postern_network::compile::PortSpec;
use postern_network::model::{NamespaceRef, Process};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Devices and the worker.
pub trait Host {
    /// An attached device; dropping it removes the device with its addresses and routes.
    type Device;

    /// Listeners of fronts that were made and do not accept yet; dropping them closes them.
    type Listeners: Default;

    /// Returns which namespace it is.
    ///
    /// # Errors
    ///
    /// It is not there.
    fn identify(&self, namespace: &NamespaceRef) -> Result<NamespaceId, AttachError>;

    /// Returns the process that has this number now, if there is one.
    fn process(&self, pid: u32) -> Option<Process>;

    /// Makes and configures the device of a port, and tells which namespace it is in.
    ///
    /// # Errors
    ///
    /// A step failed; nothing is left behind.
    fn attach(&self, spec: &PortSpec) -> Result<(Self::Device, NamespaceId), AttachError>;

    /// Changes the addresses, routes and MTU of an attached device.
    ///
    /// # Errors
    ///
    /// A step failed; the caller goes back by the reverse update.
    fn update(&self, old: &PortSpec, new: &PortSpec) -> Result<(), AttachError>;

    /// Puts back what was taken off an attached device, in this very namespace, and tells what.
    ///
    /// # Errors
    ///
    /// The device is gone, or a step failed.
    fn mend(&self, spec: &PortSpec, place: NamespaceId) -> Result<Vec<String>, AttachError>;

    /// Returns the ports that have a device; one may have lost it to somebody else.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    fn devices(&self) -> Result<Vec<PortId>, WorkerGone>;

    /// Makes the listeners that the fronts of a policy need and that are not there; tells where none
    /// can be made.
    ///
    /// # Errors
    ///
    /// There can be no fronts at all.
    fn prepare_fronts(&self, doors: &Doors) -> Result<(Self::Listeners, Vec<Shut>), FrontError>;

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

/// Where a front cannot listen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    /// The namespace.
    pub namespace: NamespaceRef,
    /// The port.
    pub port: u16,
    /// Why.
    pub reason: String,
    /// Whether that is because the namespace is not there.
    pub is_absence: bool,
}

impl Shut {
    /// Returns what is shut for this reason.
    #[must_use]
    pub fn new(namespace: NamespaceRef, port: u16, error: &AttachError) -> Self {
        Self {
            namespace,
            port,
            reason: error.reason(),
            is_absence: error.is_absence(),
        }
    }
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

    fn identify(&self, namespace: &NamespaceRef) -> Result<NamespaceId, AttachError> {
        attach::identify(namespace)
    }

    fn process(&self, pid: u32) -> Option<Process> {
        attach::process(pid)
    }

    fn attach(&self, spec: &PortSpec) -> Result<(Tun, NamespaceId), AttachError> {
        let attached = attach::attach(spec, self.worker.workers())?;
        Ok((attached.tun, attached.place))
    }

    fn update(&self, old: &PortSpec, new: &PortSpec) -> Result<(), AttachError> {
        attach::update(old, new)
    }

    fn mend(&self, spec: &PortSpec, place: NamespaceId) -> Result<Vec<String>, AttachError> {
        attach::mend(spec, place)
    }

    fn devices(&self) -> Result<Vec<PortId>, WorkerGone> {
        self.worker.devices()
    }

    fn prepare_fronts(&self, doors: &Doors) -> Result<(Prepared, Vec<Shut>), FrontError> {
        let mut prepared = self.fronts.prepare(doors)?;
        let shut = std::mem::take(&mut prepared.shut);
        let shut = shut
            .into_iter()
            .map(|(namespace, port, error)| Shut::new(namespace, port, &error));
        Ok((prepared, shut.collect()))
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
