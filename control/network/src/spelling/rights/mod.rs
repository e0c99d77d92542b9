//! What is the host's to say, and not a role's.
//!
//! Whoever may write a resource may not, by that, put a device into any namespace of this host, lead a
//! front to any of its servers, or take a name or an address that somebody else has. A request of a
//! principal is held against what was there before: what it leaves as it is stays, what it brings has to
//! be allowed by the file (`allow` of `[[bind]]`, `[publicIPPool]`).

mod moved;
mod names;
mod public;
mod shares;
mod spaces;
mod tags;

pub(super) use names::check as check_names;

use crate::catalog::Catalog;
use crate::model::{Model, Scope};
use postern_arm::error::ArmError;
use postern_arm::estate::{Estate, ResourceChange};
use postern_arm::id::ResourceId;

/// Azure's code for what an administrator's policy refuses; which policy is in the message.
const CODE: &str = "RequestDisallowedByPolicy";

/// A change of a principal, and what was there before.
struct Asked<'a> {
    now: &'a Estate,
    next: &'a Estate,
    /// The resources that differ.
    changes: Vec<ResourceChange>,
    /// What is in force.
    in_force: &'a Model,
}

/// Checks what a request of a principal brings; `in_force` is what `now` amounts to. Returns the resources
/// whose bindings it changes.
///
/// # Errors
///
/// It brings what the file does not allow.
pub fn authorise(
    now: &Estate,
    next: &Estate,
    in_force: &Model,
    catalog: &Catalog,
) -> Result<Vec<ResourceId>, ArmError> {
    let asked = Asked {
        now,
        next,
        changes: next.changes_since(now).collect(),
        in_force,
    };
    if asked.changes.is_empty() {
        return Ok(Vec::new());
    }
    let (bound, mut refused) = tags::check(&asked);
    refused.extend(public::check(&asked));
    refused.extend(shares::check(&asked));
    refused.extend(spaces::check(&asked));
    sum(refused)?;
    moved::check(&asked, catalog)?;
    Ok(bound)
}

/// Returns one error for several.
fn sum(mut errors: Vec<ArmError>) -> Result<(), ArmError> {
    if errors.len() > 1 {
        let message = "The request brings what the administrator of this host does not allow. Please \
                       see details.";
        return Err(ArmError::new(403, CODE, message).with(errors));
    }
    errors.pop().map_or(Ok(()), Err)
}

/// Returns the error for a resource that would have what the file does not allow.
fn disallowed(id: &ResourceId, property: &str, why: &str) -> ArmError {
    let message = format!("Resource '{}' was disallowed by policy: {why}", id.name());
    ArmError::new(403, CODE, message).at(format!("{id}#{property}"))
}

/// Returns whether a resource is filed in the resource group.
fn is_in(scope: &Scope, id: &ResourceId) -> bool {
    let is = |own: &str, other: Option<&str>| other.is_some_and(|it| it.eq_ignore_ascii_case(own));
    is(&scope.subscription, id.scope.subscription()) && is(&scope.resource_group, id.scope.group())
}
