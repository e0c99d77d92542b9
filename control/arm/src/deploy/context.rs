//! What a deployment needs from outside: the resources it changes, who may change them, and facts of
//! the host.

use crate::cancel::Cancel;
use crate::clock::ProcessorTime;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::template::limits::Limits;
use serde_json::Value;
use std::time::Duration;

/// The resources that a deployment reads and changes: a change under way that its caller brings into
/// force or drops.
pub trait Resources {
    /// Returns a resource as GET shows it.
    fn show(&self, id: &ResourceId) -> Option<Value>;

    /// Puts a resource and returns it as GET shows it.
    ///
    /// # Errors
    ///
    /// It cannot be.
    fn put(&mut self, id: &ResourceId, body: Value) -> Result<Value, ArmError>;

    /// Removes a resource and returns whether there was one. Whether anything still needs it is found by
    /// [`Resources::check`].
    ///
    /// # Errors
    ///
    /// It cannot be.
    fn remove(&mut self, id: &ResourceId) -> Result<bool, ArmError>;

    /// Returns a resource group as GET shows it.
    fn show_group(&self, scope: &Scope) -> Option<Value>;

    /// Puts a resource group.
    ///
    /// # Errors
    ///
    /// It cannot be.
    fn put_group(&mut self, scope: &Scope, body: Value) -> Result<Value, ArmError>;

    /// Returns the resources of a group that are no children, in the order of their IDs.
    fn in_group(&self, scope: &Scope) -> Vec<ResourceId>;

    /// Returns whether this host does anything with resources of the type. Others are kept and have no
    /// effect.
    fn has_effect(&self, kind: &str) -> bool;

    /// Checks the whole: references between resources, in whatever order they were put or removed.
    ///
    /// # Errors
    ///
    /// Something is referred to that is not there.
    fn check(&mut self) -> Result<(), ArmError>;
}

/// What a deployment is about to do.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// Read a resource that the template does not deploy.
    Read(&'a ResourceId),
    /// Put a resource.
    Write(&'a ResourceId, &'a Value),
    /// Put a resource group.
    WriteGroup(&'a Scope),
    /// Delete a resource that a complete deployment does not have.
    Delete(&'a ResourceId),
    /// Do an action, such as `listKeys`, on a resource.
    Action(&'a ResourceId, &'a str),
}

/// Tells whether the principal that deploys may do something; its error is the answer.
pub type Authorize<'a> = dyn Fn(&Access<'_>) -> Result<(), ArmError> + 'a;

/// Answers `listKeys` and its kin: the resource as GET shows it, the action, and the body of the call.
pub type List<'a> = dyn Fn(&ResourceId, &Value, &str, &Value) -> Result<Value, ArmError> + 'a;

/// What a deployment knows beside its request.
pub struct DeployContext<'a> {
    /// What `tenant()` returns: the tenant as ARM lists it, with `tenantId`.
    pub tenant: Value,
    /// The subscriptions as ARM lists them, with `subscriptionId`, `displayName` and `tenantId`.
    pub subscriptions: Vec<Value>,
    /// What `environment()` returns: the URLs of this host.
    pub environment: Value,
    /// What `deployer()` returns: `objectId` and `tenantId` of the principal.
    pub deployer: Value,
    /// The time since 1970.
    pub now: Duration,
    /// What the client calls the request, for `correlationId`.
    pub correlation: String,
    /// A random number, of which `newGuid()` is made.
    pub entropy: u128,
    /// Who may do what.
    pub authorize: &'a Authorize<'a>,
    /// What answers `listKeys` and its kin.
    pub list: &'a List<'a>,
    /// What the deployment may take.
    pub limits: Limits,
    /// The clock that its time is bounded by.
    pub clock: ProcessorTime,
    /// Whether the client still waits.
    pub cancel: Cancel,
}
