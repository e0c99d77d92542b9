//! Which right something needs, and at which scope.

use crate::deploy::Access;
use crate::estate::Ask;
use crate::id::{ResourceId, Scope};
use crate::rest::{groups, tags};
use crate::roles::{ASSIGNMENTS, DEFINITIONS};

/// A right at a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    /// What has to be allowed, such as `Microsoft.Network/virtualNetworks/write`.
    pub(crate) action: String,
    /// Where.
    pub(crate) at: Scope,
}

/// Returns the right for a verb, such as `read` or `listKeys/action`, on a resource.
pub(crate) fn on(id: &ResourceId, verb: &str) -> Right {
    // Roles and tags are of what they are at: nothing can be given on them alone.
    let of_its_scope = [DEFINITIONS, ASSIGNMENTS, tags::KIND];
    let at = match of_its_scope.iter().any(|kind| id.is(kind)) {
        true => id.scope.clone(),
        false => Scope::Resource(Box::new(id.clone())),
    };
    let action = format!("{}/{verb}", id.kind());
    Right { action, at }
}

/// Returns the right for a verb on a resource group.
pub(crate) fn on_group(scope: &Scope, verb: &str) -> Right {
    Right {
        action: format!("{}/{verb}", groups::KIND),
        at: scope.clone(),
    }
}

/// Returns the right for a step of a change.
pub(crate) fn of(ask: &Ask<'_>) -> Right {
    match ask {
        Ask::Write(id) => on(id, "write"),
        Ask::Delete(id) => on(id, "delete"),
        Ask::WriteGroup(scope) => on_group(scope, "write"),
        Ask::DeleteGroup(scope) => on_group(scope, "delete"),
        Ask::Tag(scope) => Right {
            action: format!("{}/write", tags::KIND),
            at: (*scope).clone(),
        },
    }
}

/// Returns the right for a step of a deployment.
pub(crate) fn of_access(access: &Access<'_>) -> Right {
    match access {
        Access::Read(id) => on(id, "read"),
        Access::Write(id, _) => on(id, "write"),
        Access::Delete(id) => on(id, "delete"),
        Access::Action(id, verb) => on(id, &format!("{verb}/action")),
        Access::WriteGroup(scope) => on_group(scope, "write"),
    }
}
