//! Deployments.

use super::call::{Answer, Call};
use crate::id::{ResourceId, Scope};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Resources/deployments";
/// The type of what a deployment did.
pub(crate) const OPERATIONS: &str = "Microsoft.Resources/deployments/operations";

pub(crate) fn deployment(call: &Call<'_>, _: &ResourceId) -> Answer {
    Err(call.no_such_path())
}
pub(crate) fn list(call: &Call<'_>, _: &Scope) -> Answer {
    Err(call.no_such_path())
}
pub(crate) fn below(call: &Call<'_>, _: &ResourceId, _: &str) -> Answer {
    Err(call.no_such_path())
}
pub(crate) fn export(call: &Call<'_>, _: &Scope) -> Answer {
    Err(call.no_such_path())
}
pub(crate) fn without_provider(call: &Call<'_>, _: &Scope, _: &[&str]) -> Answer {
    Err(call.no_such_path())
}
