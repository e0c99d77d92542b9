//! Addresses of services that a request would take from others without naming them.
//!
//! A service without an address gets one that follows from its name, and another one where that is taken
//! or inside of a virtual network. So a name, an address or an address space can be chosen that makes the
//! service of somebody else move; its connections would be lost.

use super::{Asked, is_in};
use crate::catalog::Catalog;
use crate::model::{Model, ServiceInstance};
use crate::spelling::dialect::ServiceType;
use crate::spelling::json;
use crate::spelling::kinds;
use crate::spelling::lower::tagged;
use postern_arm::document::Document;
use postern_arm::error::ArmError;
use postern_arm::estate::ResourceChange;
use serde_json::Value;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Checks that no service of another resource group gets another address because its own went to what
/// the request writes.
pub(super) fn check(asked: &Asked<'_>, catalog: &Catalog) -> Result<(), ArmError> {
    let Some(cause) = asked.changes.iter().find_map(moves) else {
        return Ok(());
    };
    let next = crate::spelling::load(asked.next, catalog).map_err(|refused| *refused.arm)?;
    let places: HashMap<_, _> = next.services.iter().map(|it| (key(it), it)).collect();
    for service in &asked.in_force.services {
        let is_touched = |change: &ResourceChange| {
            let documents = change.old.iter().chain(&change.new);
            let mut ids = documents.map(|document| &document.id);
            ids.any(|id| is_in(&service.resource.scope, id))
        };
        let after = places.get(&key(service));
        let has_moved = after.is_some_and(|after| after.address != service.address);
        if has_moved && is_taken(&next, service.address) && !asked.changes.iter().any(is_touched) {
            let message = format!(
                "Resource '{}' would take the address {}, which a resource of another resource group \
                 has; accepted: another name, address or address space.",
                cause.id.name(),
                service.address
            );
            return Err(ArmError::new(409, "AddressInUse", message).at(cause.id.to_string()));
        }
    }
    Ok(())
}

/// Returns the resource that a change may take an address for, if it is one.
fn moves(change: &ResourceChange) -> Option<&Document> {
    let (old, new) = (change.old.as_deref(), change.new.as_deref()?);
    let kind = new.id.kind();
    if kind.eq_ignore_ascii_case(kinds::VNET.arm) {
        return (old.and_then(space) != space(new)).then_some(new);
    }
    ServiceType::find(&kind)?;
    let address = |document: &Document| tagged(document).remove("address");
    let is_new = old.is_none_or(|old| address(old) != address(new));
    is_new.then_some(new)
}

fn space(vnet: &Document) -> Option<&Value> {
    json::field(json::properties(&vnet.body), "addressSpace")
}

fn key(service: &ServiceInstance) -> (&str, &str) {
    (service.resource.kind, service.name.as_str())
}

/// Returns whether something has the address, or a network holds it.
fn is_taken(model: &Model, address: Ipv4Addr) -> bool {
    let mut services = model.services.iter();
    let mut vnets = model.vnets.iter();
    services.any(|service| service.address == address)
        || vnets.any(|vnet| vnet.address_prefixes.iter().any(|it| it.contains(&address)))
}
