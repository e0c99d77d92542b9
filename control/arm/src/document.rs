//! A resource as it is kept: what its owner wrote, and nothing that can be worked out.

use crate::id::{ResourceId, Scope};
use crate::seal::Seal;
use crate::types::secret::{self, Digests};
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

/// A resource that is kept on its own. Children that Azure shows inside of their parent (subnets,
/// rules, routes) are in its `properties`; other children (rules of a database server) have a
/// document each.
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
    /// The version of the estate in which it was made: another one when it is removed and made again.
    pub created: u64,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// A number that is another one after every change.
    pub version: u64,
    /// Everything else as ARM has it: `location`, `tags`, `sku`, `kind`, `properties`; without `id`,
    /// `name`, `type`, `etag` and whatever else is for reading alone. Names are spelled as Azure does,
    /// defaults are filled in, and addresses that were allocated are written down.
    pub body: Map<String, Value>,
    /// What is known of the secrets that were written, which are not in the body: digests under a key
    /// of the host, by the places that they had.
    #[serde(default, skip_serializing_if = "Digests::is_empty")]
    pub sealed: Digests,
}

impl Document {
    /// Takes the secrets out that are in the body, and leaves digests; for what was kept before there
    /// were any.
    pub fn seal(&mut self, seal: &Seal) {
        let taken = secret::take(&self.id, &mut self.body, seal);
        self.sealed.extend(taken);
    }

    /// Returns `properties`, if there are any.
    #[must_use]
    pub fn properties(&self) -> Option<&Map<String, Value>> {
        self.body.get("properties")?.as_object()
    }

    /// Returns a text of the outer level, such as `location`; empty if there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// Returns the ETag, which is another one after every change. Inline children share it, as on the
    /// platform.
    #[must_use]
    pub fn etag(&self) -> String {
        let guid = crate::estate::guid(&[&self.id.key(), &self.version.to_string(), "etag"]);
        format!("W/\"{guid}\"")
    }
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its ID, spelled as when it was made.
    pub scope: Scope,
    /// A number that is another one after every change.
    pub version: u64,
    /// `location`, `tags` and what else its owner wrote, without what is for reading alone.
    pub body: Map<String, Value>,
}
