//! The doors of a model, and the fronts of this host.

use postern_dataplane::policy::ResourceId;
use postern_host::front::ca::LocalCa;
use postern_host::front::door::{Door, Doors, Judge};
use postern_host::front::limits::Limits;
use postern_host::front::refusal::Dialect;
use postern_host::front::{Front, FrontError, Prepared};
use postern_network::compile::Compiled;
use postern_network::keys::Keys;
use postern_network::model::Model;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::error;

/// Returns the doors of the services that have a front.
pub(super) fn doors(model: &Model, compiled: &Compiled, keys: &Keys) -> Doors {
    let with_front = model.services.iter().filter_map(|service| {
        let front = service.front.clone()?;
        Some((service, front))
    });
    let doors: Vec<Door> = with_front
        .filter_map(|(service, front)| {
            Some(Door {
                name: service.name.clone(),
                resource: compiled.names.resource_id(&service.id())?,
                host: service.resource.host.clone(),
                address: service.address,
                dialect: Dialect::of(service.resource.kind),
                namespace: service.device.namespace.clone(),
                front,
            })
        })
        .collect();
    let judge = judge(model, compiled, keys, &doors);
    Doors::new(doors, judge)
}

fn judge(model: &Model, compiled: &Compiled, keys: &Keys, doors: &[Door]) -> Judge {
    let table = Arc::clone(&compiled.snapshot.access);
    let named = |id: ResourceId| {
        let rules = table.resource(id).map(|known| known.rules.rules.as_slice());
        let rules = rules.unwrap_or_default().iter();
        let named =
            rules.map(|rule| Some((rule.id, compiled.names.access_rule(rule.id)?.to_owned())));
        named.flatten().collect::<Vec<_>>()
    };
    let subnets = model.vnets.iter().flat_map(|vnet| {
        vnet.subnets.iter().filter_map(move |subnet| {
            let id = keys.subnet(&vnet.name, &subnet.name)?;
            Some((id, format!("{}/{}", vnet.name, subnet.name)))
        })
    });
    Judge {
        rules: doors.iter().flat_map(|door| named(door.resource)).collect(),
        subnets: subnets.collect(),
        table: Arc::clone(&table),
    }
}

/// The fronts of this host: none until the first door is there.
#[derive(Debug)]
pub struct Fronts {
    /// Where the local certificate authority is.
    authority: PathBuf,
    front: Mutex<Option<Front>>,
}

impl Fronts {
    /// Returns fronts that are trusted by the authority in this directory.
    #[must_use]
    pub fn new(authority: PathBuf) -> Self {
        Self {
            authority,
            front: Mutex::default(),
        }
    }

    /// Lets `act` work with the front, if there is one.
    pub fn with<R>(&self, act: impl FnOnce(&mut Front) -> R) -> Option<R> {
        let mut front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
        front.as_mut().map(act)
    }

    /// Makes the listeners that these doors need, as far as they can be made.
    ///
    /// # Errors
    ///
    /// The authority cannot be opened.
    pub(super) fn prepare(&self, doors: &Doors) -> Result<Prepared, FrontError> {
        let mut front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
        match front.as_ref() {
            Some(front) => Ok(front.prepare(doors)),
            None if doors.iter().next().is_none() => Ok(Prepared::default()),
            None => {
                let ca = Arc::new(LocalCa::open(&self.authority)?);
                let started = Front::start(ca, Limits::default())?;
                let prepared = started.prepare(doors);
                *front = Some(started);
                Ok(prepared)
            }
        }
    }

    /// Brings doors into force.
    pub(super) fn commit(&self, prepared: Prepared, doors: Doors) {
        let committed = self.with(|front| front.commit(prepared, doors));
        if let Some(Err(error)) = committed {
            // The listener was open: only this process having run out of something leads here.
            error!(%error, "a service front does not listen");
        }
    }

    /// Closes every socket.
    pub(super) fn stop(&self) {
        let front = self
            .front
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(front);
    }
}
