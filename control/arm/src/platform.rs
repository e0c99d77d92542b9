//! What stands behind the resources.

use crate::clock::ProcessorTime;
use crate::error::ArmError;
use crate::estate::Estate;
use crate::id::ResourceId;
use serde_json::Value;

/// The host that gives the resources their effect: packets, devices, the disk.
///
/// Calls block. [`Platform::commit`] is called by one thread at a time.
pub trait Platform: Send + Sync {
    /// Checks that a request leaves alone what is the host's to say: which namespaces, addresses and
    /// names of this host a resource is bound to. It is asked for every change of a caller who is not the
    /// host's own, of a preview too. Returns the resources that are bound in another way than before, to
    /// each of which the caller needs the right to write it.
    ///
    /// A platform that binds resources to nothing has nothing to check.
    ///
    /// # Errors
    ///
    /// The request brings what the host does not allow.
    fn authorise(&self, _now: &Estate, _next: &Estate) -> Result<Vec<ResourceId>, ArmError> {
        Ok(Vec::new())
    }

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

    /// Returns the clock that the work of a request is bounded by.
    fn processor_time(&self) -> ProcessorTime;

    /// Returns the names of the regions.
    fn locations(&self) -> Vec<String>;
}
