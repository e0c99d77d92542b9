//! Host names that tags give: each is one resource's, whatever the case and whichever came first.

use crate::config::{claimed_name, own_host};
use crate::model::{Model, ServiceInstance};
use crate::spelling::dialect::ServiceType;
use crate::spelling::lower::tagged;
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;
use std::collections::HashMap;

/// Checks that no name that a tag gives is another resource's: neither one that it has, nor one that
/// follows from what it is called. What the file says of names is its own business, as far as no two
/// resources are called alike.
///
/// # Errors
///
/// A name is two resources'.
pub(in crate::spelling) fn check(estate: &Estate, model: &Model) -> Result<(), ArmError> {
    let documents = estate.documents();
    let named = documents.filter_map(|document| {
        let kind = ServiceType::find(&document.id.kind())?;
        let host = tagged(document).remove("host")?;
        Some((kind.arm, document, host))
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Ok(());
    }
    let mut owners: HashMap<String, Vec<&ServiceInstance>> = HashMap::new();
    for service in &model.services {
        for name in names(service) {
            owners.entry(name).or_default().push(service);
        }
    }
    for (kind, document, host) in named {
        let is_own = |service: &&&ServiceInstance| {
            service.resource.kind == kind && service.name.eq_ignore_ascii_case(&document.alias)
        };
        let owners = owners.get(&claimed_name(&host)).into_iter().flatten();
        if let Some(other) = owners.clone().find(|service| !is_own(service)) {
            let message = format!(
                "The name '{host}', which the tag postern-host gives to '{}', is one of '{}'; \
                 accepted: a name that no other resource has, or would have by what it is called.",
                document.id.name(),
                other.name
            );
            return Err(ArmError::new(409, "HostNameInUse", message).at(document.id.to_string()));
        }
    }
    Ok(())
}

/// Returns what nobody else may be called.
fn names(service: &ServiceInstance) -> Vec<String> {
    let own = claimed_name(&own_host(service.resource.kind, &service.resource.name));
    let told = claimed_name(&service.resource.host);
    match own == told {
        true => vec![own],
        false => vec![own, told],
    }
}
