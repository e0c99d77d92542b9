//! Which processes the bindings of a model mean: a number alone may be another process's by now.

use super::host::Host;
use postern_network::keys::Pins;
use postern_network::model::{Model, NamespaceRef, Pin, Pinned, Process};
use std::collections::HashMap;

/// Puts into every binding to a process which one is meant: the one that is remembered, or, where the
/// binding is a new one or `is_rebound` says so of what is bound, the one that has the number now.
/// What is remembered is then that of this model alone.
pub(super) fn pin<H: Host>(
    model: &mut Model,
    pins: &mut Pins,
    host: &H,
    is_rebound: &dyn Fn(&str) -> bool,
) {
    let mut kept = Pins::default();
    let mut found: HashMap<u32, Option<Process>> = HashMap::new();
    each(model, |owner, namespace| {
        let Some(pid) = namespace.pid() else {
            return;
        };
        let known = pins.0.get(&owner).filter(|pin| pin.pid == pid);
        let known = known.filter(|_| !is_rebound(&owner)).cloned();
        let pin = known.unwrap_or_else(|| Pin {
            pid,
            process: found
                .entry(pid)
                .or_insert_with(|| host.process(pid))
                .clone(),
        });
        kept.0.insert(owner, pin.clone());
        let written = namespace.written().clone();
        *namespace = NamespaceRef::Pinned(Box::new(Pinned { written, pin }));
    });
    agree(model);
    *pins = kept;
}

/// Returns whether any binding means another process in `new` than in `old`.
pub(super) fn differ(old: &Pins, new: &Pins) -> bool {
    let is_other = |(owner, pin): (&String, &Pin)| old.0.get(owner).is_some_and(|was| was != pin);
    new.0.iter().any(is_other)
}

/// Services of one namespace have one port. Those that mean different processes by one number have
/// none, until they are bound again: none is to get what another one's binding means.
fn agree(model: &mut Model) {
    let mut meant: HashMap<u32, Vec<Pin>> = HashMap::new();
    for service in &model.services {
        if let NamespaceRef::Pinned(pinned) = &service.device.namespace {
            let pin = &pinned.pin;
            let pins = meant.entry(pin.pid).or_default();
            if !pins.contains(pin) {
                pins.push(pin.clone());
            }
        }
    }
    for service in &mut model.services {
        if let NamespaceRef::Pinned(pinned) = &mut service.device.namespace
            && meant
                .get(&pinned.pin.pid)
                .is_some_and(|pins| pins.len() > 1)
        {
            pinned.pin.process = None;
        }
    }
}

/// Shows every namespace of a model, and what is bound to it.
fn each(model: &mut Model, mut show: impl FnMut(String, &mut NamespaceRef)) {
    let name = |kind: &str, name: &str| format!("{kind}/{}", name.to_ascii_lowercase());
    if let Some(internet) = &mut model.internet {
        show("internet".to_owned(), &mut internet.device.namespace);
    }
    show("platform".to_owned(), &mut model.platform.device.namespace);
    for nic in &mut model.nics {
        show(name("nic", &nic.name), &mut nic.device.namespace);
    }
    for gateway in &mut model.gateways {
        show(
            name("gateway", &gateway.name),
            &mut gateway.device.namespace,
        );
    }
    for service in &mut model.services {
        show(
            name("service", &service.name),
            &mut service.device.namespace,
        );
        let backend = service.front.as_mut().map(|front| &mut front.backend);
        if let Some(namespace) = backend.and_then(|backend| backend.namespace.as_mut()) {
            show(name("front", &service.name), namespace);
        }
    }
}
