//! A plan at the host: what can fail comes before what cannot be undone.

use super::host::Host;
use super::plan::{Plan, Update};
use super::{Cause, Fabric, FabricError};
use postern_dataplane::engine::SweepReport;
use postern_dataplane::io::WorkerGone;
use postern_dataplane::policy::{PortId, Snapshot};
use postern_host::attach::{AttachError, NamespaceId};
use postern_network::compile::PortSpec;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use tracing::warn;

/// What became of the devices of a change.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// The namespaces of those that were made.
    pub(super) places: Vec<(PortId, NamespaceId)>,
    /// Ports that wait, and why.
    pub(super) away: Vec<(PortId, String)>,
    /// Of these, ports that had a device until now.
    gone: Vec<PortId>,
}

impl<H: Host> Fabric<H> {
    /// Takes the host through the plan. What can fail comes before what cannot be undone.
    pub(super) fn execute(
        &mut self,
        plan: &Plan,
        snapshot: &Arc<Snapshot>,
        cause: Cause<'_>,
        placed: &mut Placed,
    ) -> Result<Receiver<SweepReport>, FabricError> {
        let mut devices = Vec::new();
        for spec in &plan.attach {
            devices.extend(self.attach(spec, cause, placed)?);
        }
        self.update(&plan.update, cause, placed)?;
        if let Err(error) = self.replace(plan, cause, &mut devices, placed) {
            self.revert(&plan.update);
            return Err(error);
        }
        let gone = plan.detach.iter().map(|spec| spec.id);
        let gone = gone.chain(placed.gone.iter().copied()).collect();
        Ok(self.host.install(Arc::clone(snapshot), devices, gone)?)
    }

    /// Makes the device of a port; none if the port has to wait for it.
    fn attach(
        &self,
        spec: &PortSpec,
        cause: Cause<'_>,
        placed: &mut Placed,
    ) -> Result<Option<(PortId, H::Device)>, FabricError> {
        match self.host.attach(spec) {
            Ok((device, place)) => {
                placed.places.push((spec.id, place));
                Ok(Some((spec.id, device)))
            }
            Err(error) if self.may_wait(spec, &error, cause) => {
                placed.away.push((spec.id, error.reason()));
                Ok(None)
            }
            Err(source) => Err(failed(spec)(source)),
        }
    }

    /// Changes live devices, all of them or none. One that has gone meanwhile waits to be made anew; so
    /// does one that refuses a change that cannot be taken back.
    fn update(
        &self,
        updates: &[Update],
        cause: Cause<'_>,
        placed: &mut Placed,
    ) -> Result<(), FabricError> {
        let may_wait = |error: &AttachError| {
            cause.is_kept() || error.is_absence() || matches!(error, AttachError::Gone { .. })
        };
        for (at, update) in updates.iter().enumerate() {
            match self.host.update(&update.old, &update.new) {
                Ok(()) => {}
                Err(error) if may_wait(&error) => {
                    placed.away.push((update.new.id, error.reason()));
                    placed.gone.push(update.new.id);
                }
                Err(source) => {
                    // The failed one too: it may have got halfway.
                    self.revert(updates.get(..=at).unwrap_or(updates));
                    return Err(failed(&update.new)(source));
                }
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
        cause: Cause<'_>,
        devices: &mut Vec<(PortId, H::Device)>,
        placed: &mut Placed,
    ) -> Result<(), FabricError> {
        if plan.evict.is_empty() {
            return Ok(());
        }
        let evicted = plan.evict.iter().map(|spec| spec.id).collect();
        self.host
            .install(Arc::clone(&self.snapshot), Vec::new(), evicted)?;
        let mut fresh = Vec::new();
        for spec in &plan.replace {
            match self.attach(spec, cause, placed) {
                Ok(device) => fresh.extend(device),
                Err(error) => {
                    // Their devices must be gone before the old ones can return.
                    drop(fresh);
                    self.restore(&plan.evict)?;
                    return Err(error);
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
                Ok((device, place)) => {
                    devices.push((spec.id, device));
                    self.note_attached(spec, place);
                }
                Err(error) => {
                    self.note_away(spec, error.reason());
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
