//! What stands behind the resources.

use crate::error::ArmError;
use crate::estate::Estate;
use crate::id::ResourceId;
use serde_json::Value;

/// The host that gives the resources their effect: packets, devices, the disk.
///
/// Calls block. [`Platform::commit`] is called by one thread at a time.
pub trait Platform: Send + Sync {
    /// Brings `next` into force in the place of `now` and writes it to the disk. When it returns,
    /// packets obey `next` and a crash does not lose it.
    ///
    /// # Errors
    ///
    /// It cannot be: everything is as it was, `now` in force and on the disk.
    fn commit(&self, now: &Estate, next: &Estate) -> Result<(), ArmError>;

    /// Returns what [`Platform::commit`] would change beyond the resources, such as routes and rules
    /// of NICs; changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Platform::commit`], as far as that can be told beforehand.
    fn preview(&self, now: &Estate, next: &Estate) -> Result<Value, ArmError>;

    /// Answers a POST to a resource, such as `effectiveRouteTable` of a NIC or `ipFlowVerify` of a
    /// network watcher.
    ///
    /// # Errors
    ///
    /// There is no such action, or its body is not as it must be.
    fn action(
        &self,
        estate: &Estate,
        id: &ResourceId,
        action: &str,
        body: &Value,
    ) -> Result<Value, ArmError>;

    /// Answers a GET of a list that is about a region, such as `serviceTags` or
    /// `virtualNetworkAvailableEndpointServices`.
    ///
    /// # Errors
    ///
    /// There is no such list or region.
    fn regional(&self, location: &str, what: &str) -> Result<Value, ArmError>;

    /// Returns the names of the regions.
    fn locations(&self) -> Vec<String>;
}
