//! Ports that wait for their device, and devices that somebody changed.
//!
//! A namespace that is missing stops nothing: its ports are in the policy, have no device and wait.
//! [`Fabric::look_with`] is called whenever something may have happened, and at least every second. It
//! takes the device out of a namespace that has gone or that is another one by now, makes devices
//! where they can be made, and puts back what was taken off a device.

use super::draft::Draft;
use super::host::{Host, Shut};
use super::plan::same_device;
use super::{Cause, Fabric, FabricError};
use crate::protocol::view::DetachedView;
use ipnet::Ipv4Net;
use postern_dataplane::policy::PortId;
use postern_host::attach::{AttachError, NamespaceId};
use postern_network::compile::PortSpec;
use postern_network::model::NamespaceRef;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How many devices are tried, or looked at, in one look: it holds up requests.
const MOST: usize = 16;

/// How long until a device that could not be made is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a device may be gone by its name before it counts as taken elsewhere: of one that was
/// deleted the packet path knows soon.
const SHORTLY: Duration = Duration::from_millis(500);

/// What is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Why ports have no device.
    pub(super) away: BTreeMap<PortId, String>,
    /// What is wrong with devices that are there.
    pub(super) impaired: BTreeMap<PortId, String>,
    /// Devices that are not found by their name, though the packet path has them, and since when.
    vanished: HashMap<PortId, Instant>,
    /// Those of them that somebody renamed or took elsewhere: they are to be made anew.
    pub(super) taken: HashSet<PortId>,
    /// Devices that are to be looked at closely.
    touched: BTreeSet<PortId>,
    /// When a device was tried last.
    tried: HashMap<PortId, Instant>,
    /// Where fronts cannot listen, and why.
    pub(super) shut: Vec<Shut>,
    /// When that was tried last.
    shut_tried: Option<Instant>,
}

/// What a look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether a device came or went.
    pub has_changed: bool,
    /// Whether there is more to do at once.
    pub has_more: bool,
}

/// A port as it is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its number.
    pub port: PortId,
    /// Its namespace.
    pub namespace: NamespaceRef,
    /// Which one that is, if the port has a device.
    pub place: Option<NamespaceId>,
    /// The device.
    pub device: String,
    /// The routes to the device.
    pub routes: Vec<Ipv4Net>,
}

impl<H: Host> Fabric<H> {
    /// Looks at namespaces and devices, as the two halves do.
    #[cfg(test)]
    pub(super) fn look(&mut self, touched: &[PortId]) -> Result<Seen, FabricError> {
        let draft = self.draft_strays()?;
        self.look_with(draft.as_ref(), touched)
    }

    /// Looks at namespaces and devices, and at these ones closely; does what is to be done. `draft` is
    /// what [`Fabric::draft_strays`] made ready.
    ///
    /// # Errors
    ///
    /// The worker has ended, or a policy that is needed for it cannot be brought into force.
    pub fn look_with(
        &mut self,
        draft: Option<&Draft>,
        touched: &[PortId],
    ) -> Result<Seen, FabricError> {
        let mut seen = Seen::default();
        if let Some(draft) = draft {
            self.enact(draft)?;
            seen.has_changed = true;
        }
        self.lost = self.missing()?;
        if !self.lost.is_empty() {
            seen.has_more = self.attach_waiting(&mut seen.has_changed)?;
        }
        if !self.trouble.shut.is_empty() || seen.has_changed {
            self.open_fronts(seen.has_changed);
        }
        self.trouble.touched.extend(touched);
        seen.has_more |= self.mend();
        Ok(seen)
    }

    /// Returns every port that has a namespace, to be watched.
    #[must_use]
    pub fn watched(&self) -> Vec<Watched> {
        let ports = self.ports.iter().map(|spec| Watched {
            port: spec.id,
            namespace: spec.namespace.clone(),
            place: self.places.get(&spec.id).copied(),
            device: spec.device.clone(),
            routes: spec.routes.clone(),
        });
        ports.collect()
    }

    /// Returns the ports that wait for their device, and why.
    #[must_use]
    pub fn detached(&self) -> Vec<DetachedView> {
        let lost = self.missing().unwrap_or_default();
        let lost = self.ports.iter().filter(|spec| lost.contains(&spec.id));
        let view = |spec: &PortSpec| DetachedView {
            port: spec.name.clone(),
            namespace: spec.namespace.to_string(),
            reason: self.why_away(spec),
        };
        lost.map(view).collect()
    }

    /// Returns why a port has no device.
    pub(super) fn why_away(&self, spec: &PortSpec) -> String {
        let known = self.trouble.away.get(&spec.id).cloned();
        known.unwrap_or_else(|| format!("device {} is gone", spec.device))
    }

    /// Returns the ports that have a device which is not where it belongs: its namespace is gone or is
    /// another one of the name by now, or somebody took the device out of it. `lost` have none.
    pub(super) fn strays(&self, lost: &[PortId]) -> Vec<PortId> {
        let is_stray = |spec: &&PortSpec| {
            if lost.contains(&spec.id) {
                return false;
            }
            let place = self.places.get(&spec.id);
            match self.host.identify(&spec.namespace) {
                Ok(now) => place != Some(&now) || self.trouble.taken.contains(&spec.id),
                // What cannot be looked at for another reason is left alone.
                Err(error) => error.is_absence(),
            }
        };
        let strays = self.ports.iter().filter(is_stray);
        strays.map(|spec| spec.id).collect()
    }

    /// Returns whether one of the ports that have no device might get one now.
    pub(super) fn might_attach(&self, lost: &[PortId]) -> bool {
        let mut lost = lost.iter();
        lost.any(|id| {
            let spec = self.ports.iter().find(|spec| spec.id == *id);
            spec.is_some_and(|spec| self.host.identify(&spec.namespace).is_ok())
        })
    }

    /// Returns whether a port may wait for its device: its namespace is missing, or the change is not
    /// about its device. Otherwise the change is refused.
    pub(super) fn may_wait(&self, spec: &PortSpec, error: &AttachError, cause: Cause<'_>) -> bool {
        let was_there = || {
            let mut ports = self.ports.iter();
            ports.any(|old| old.name == spec.name && same_device(old, spec))
        };
        let is_missing = |error: AttachError| error.is_absence();
        error.is_absence()
            || cause.is_forced()
            || self.is_first()
            || was_there()
            || self.host.identify(&spec.namespace).is_err_and(is_missing)
    }

    /// Notes why a port has no device, and says it if that is news.
    pub(super) fn note_away(&mut self, spec: &PortSpec, reason: String) {
        let before = self.trouble.away.insert(spec.id, reason.clone());
        if before.as_ref() != Some(&reason) {
            let (port, namespace) = (&spec.name, &spec.namespace);
            warn!(port, %namespace, "detached: {reason}");
        }
        self.places.remove(&spec.id);
        self.trouble.impaired.remove(&spec.id);
        self.trouble.vanished.remove(&spec.id);
        self.trouble.taken.remove(&spec.id);
    }

    /// Notes that a port has its device.
    pub(super) fn note_attached(&mut self, spec: &PortSpec, place: NamespaceId) {
        if self.trouble.away.remove(&spec.id).is_some() {
            let (port, namespace) = (&spec.name, &spec.namespace);
            info!(port, %namespace, "attached");
        }
        self.trouble.tried.remove(&spec.id);
        self.trouble.taken.remove(&spec.id);
        self.trouble.vanished.remove(&spec.id);
        self.places.insert(spec.id, place);
    }

    /// Forgets what was noted of ports that are there no more.
    pub(super) fn forget_gone_ports(&mut self) {
        let there: HashSet<PortId> = self.ports.iter().map(|spec| spec.id).collect();
        let trouble = &mut self.trouble;
        trouble.away.retain(|id, _| there.contains(id));
        trouble.impaired.retain(|id, _| there.contains(id));
        trouble.vanished.retain(|id, _| there.contains(id));
        trouble.taken.retain(|id| there.contains(id));
        trouble.touched.retain(|id| there.contains(id));
        trouble.tried.retain(|id, _| there.contains(id));
        self.places.retain(|id, _| there.contains(id));
    }

    /// Makes the devices that can be made, under the policy that is in force. Returns whether some
    /// were left for the next time.
    fn attach_waiting(&mut self, has_changed: &mut bool) -> Result<bool, FabricError> {
        let lost: Vec<PortSpec> = self
            .ports
            .iter()
            .filter(|spec| self.lost.contains(&spec.id))
            .cloned()
            .collect();
        let (mut devices, mut attached, mut tries, mut has_more) =
            (Vec::new(), Vec::new(), 0, false);
        for spec in lost {
            if let Err(error) = self.host.identify(&spec.namespace) {
                self.trouble.tried.remove(&spec.id);
                self.note_away(&spec, error.reason());
                continue;
            }
            let tried = self.trouble.tried.get(&spec.id);
            if tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
                continue;
            }
            if tries == MOST {
                has_more = true;
                break;
            }
            tries += 1;
            self.trouble.tried.insert(spec.id, Instant::now());
            match self.host.attach(&spec) {
                Ok((device, place)) => {
                    devices.push((spec.id, device));
                    attached.push((spec, place));
                }
                Err(error) => self.note_away(&spec, error.reason()),
            }
        }
        if !devices.is_empty() {
            self.host
                .install(Arc::clone(&self.snapshot), devices, Vec::new())?;
            for (spec, place) in attached {
                self.note_attached(&spec, place);
            }
            // Who has sockets in the namespaces opens them anew.
            self.models.send_replace(Arc::new(self.model.clone()));
            *has_changed = true;
        }
        Ok(has_more)
    }

    /// Opens the fronts that could not listen so far.
    fn open_fronts(&mut self, is_due: bool) {
        let tried = self.trouble.shut_tried;
        if !is_due && tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return;
        }
        self.trouble.shut_tried = Some(Instant::now());
        match self.host.prepare_fronts(&self.doors) {
            Ok((listeners, shut)) => {
                self.host.commit_fronts(listeners, self.doors.clone());
                self.note_shut(shut);
            }
            Err(error) => error!(
                error = postern_network::chain(&error),
                "fronts cannot listen"
            ),
        }
    }

    /// Notes where fronts cannot listen, and says what is news: where one cannot, and where one can by now.
    pub(super) fn note_shut(&mut self, shut: Vec<Shut>) {
        for door in &shut {
            if !self.trouble.shut.contains(door) {
                let (namespace, port, reason) = (&door.namespace, door.port, &door.reason);
                warn!(%namespace, port, "a front cannot listen and waits: {reason}");
            }
        }
        for Shut {
            namespace, port, ..
        } in self.opened(&shut)
        {
            info!(%namespace, port, "the front listens");
        }
        self.trouble.shut = shut;
    }

    /// Returns where fronts waited that are still wanted and can listen now, where these cannot.
    pub(super) fn opened(&self, shut: &[Shut]) -> Vec<&Shut> {
        let doors = self.doors.sockets();
        let is_open = |door: &&Shut| {
            let is_same =
                |other: &Shut| other.namespace == door.namespace && other.port == door.port;
            doors.contains(&(door.namespace.clone(), door.port)) && !shut.iter().any(is_same)
        };
        self.trouble.shut.iter().filter(is_open).collect()
    }

    /// Puts back what was taken off the devices that were touched, and off those that are impaired.
    /// Returns whether some were left for the next time.
    fn mend(&mut self) -> bool {
        let trouble = &self.trouble;
        let is_due = |id: &PortId| {
            let tried = trouble.tried.get(id);
            trouble.touched.contains(id)
                || (trouble.impaired.contains_key(id) || trouble.vanished.contains_key(id))
                    && tried.is_none_or(|tried| tried.elapsed() >= SHORTLY)
        };
        let due: Vec<(PortSpec, NamespaceId)> = self
            .ports
            .iter()
            .filter(|spec| is_due(&spec.id))
            .filter_map(|spec| Some((spec.clone(), *self.places.get(&spec.id)?)))
            .collect();
        let is_all = due.len() <= MOST;
        for (spec, place) in due.into_iter().take(MOST) {
            self.trouble.touched.remove(&spec.id);
            let port = &spec.name;
            match self.host.mend(&spec, place) {
                Ok(back) => {
                    if !back.is_empty() {
                        let (device, back) = (&spec.device, back.join(", "));
                        warn!(
                            port,
                            device, "somebody changed the device; put back: {back}"
                        );
                    }
                    self.trouble.vanished.remove(&spec.id);
                    if self.trouble.impaired.remove(&spec.id).is_some() {
                        info!(port, "the device is as it should be again");
                    }
                }
                Err(AttachError::Gone { .. }) => self.note_vanished(&spec),
                // The next look finds the namespace gone.
                Err(error) if error.is_absence() => {}
                Err(error) => self.note_impaired(&spec, error.reason()),
            }
        }
        if is_all {
            // Those that have no device now.
            self.trouble.touched.clear();
        }
        !is_all
    }

    fn note_impaired(&mut self, spec: &PortSpec, reason: String) {
        self.trouble.tried.insert(spec.id, Instant::now());
        let before = self.trouble.impaired.insert(spec.id, reason.clone());
        if before.as_ref() != Some(&reason) {
            let (port, device) = (&spec.name, &spec.device);
            warn!(port, device, "somebody changed the device: {reason}");
        }
    }

    /// A device that is not there by its name was deleted, which the packet path finds out, or is
    /// elsewhere.
    fn note_vanished(&mut self, spec: &PortSpec) {
        let since = *self
            .trouble
            .vanished
            .entry(spec.id)
            .or_insert_with(Instant::now);
        if since.elapsed() >= SHORTLY {
            let (port, device) = (&spec.name, &spec.device);
            warn!(
                port,
                device, "somebody renamed the device or took it elsewhere"
            );
            self.trouble.taken.insert(spec.id);
        }
    }
}
