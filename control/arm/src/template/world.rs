//! What expressions ask of the resources.

use super::problem::Problem;
use serde_json::Value;

/// The resources as a template sees them while it is deployed.
pub trait World {
    /// Returns a resource as GET shows it, for `reference`. `name` is its ID, its name or its symbolic
    /// name; `is_outside` tells that it need not be of the template, as an API version is given.
    ///
    /// # Errors
    ///
    /// There is none; or it is still to be deployed: [`Problem::NotYet`].
    fn resource(&self, name: &str, is_outside: bool) -> Result<Value, Problem>;

    /// Answers `listKeys` and its kin.
    ///
    /// # Errors
    ///
    /// There is no such resource or action; or it is still to be deployed: [`Problem::NotYet`].
    fn list(&self, name: &str, action: &str, body: &Value) -> Result<Value, Problem>;

    /// Returns `id`, `name`, `type` and `apiVersion` of what the template declares under a symbolic
    /// name, deployed or not.
    fn info(&self, symbol: &str) -> Option<Value>;

    /// Returns the IDs of what a loop under a symbolic name makes, in order.
    fn collection(&self, symbol: &str) -> Option<Vec<String>>;
}

/// Where there are no resources: what is worked out before anything is deployed.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl World for Nowhere {
    fn resource(&self, name: &str, _: bool) -> Result<Value, Problem> {
        Err(Problem::Template(format!(
            "the resource '{name}' cannot be read before it is deployed"
        )))
    }

    fn list(&self, name: &str, _: &str, _: &Value) -> Result<Value, Problem> {
        self.resource(name, false)
    }

    fn info(&self, _: &str) -> Option<Value> {
        None
    }

    fn collection(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}
