//! A resource as it is kept: what its owner wrote, and nothing that can be worked out.

use crate::id::ResourceId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who declares a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The configuration file: it goes when the file does not declare it any more.
    File,
    /// A request or a deployment.
    Api,
}

/// A resource that is no child. Children (subnets, rules, routes) are inside it, in `properties`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Its ID, spelled as when it was made.
    pub id: ResourceId,
    /// What the command line and the policy call it: its name, or that with its resource group where
    /// another resource of the type had the name first. It never changes, as keys hang on it.
    pub alias: String,
    /// Who declares it.
    pub origin: Origin,
    /// A number that is another one after every change.
    pub version: u64,
    /// Everything else as ARM has it: `location`, `tags`, `sku`, `kind`, `properties`; without `id`,
    /// `name`, `type`, `etag` and whatever else is for reading alone.
    pub body: Map<String, Value>,
}
