//! The desired state: every resource as ARM has it, and what only this host can say beside them.

use crate::document::Document;
use crate::id::ResourceId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is desired. Cheap to copy: documents are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estate {
    /// Resource groups by the key of their scope, as ARM has them (`location`, `tags`).
    pub groups: BTreeMap<String, Arc<Map<String, Value>>>,
    /// Resources by the key of their ID.
    pub documents: BTreeMap<String, Arc<Document>>,
    /// What ARM cannot express of a resource, by the key of its ID: the namespace of a NIC, the
    /// backend of a service.
    pub bindings: BTreeMap<String, Arc<Map<String, Value>>>,
    /// What the configuration file says of this host: `settings`, `internet`, `dns`, `bind`, `api`.
    pub host: Arc<Map<String, Value>>,
    /// The last version that was given to a document.
    pub version: u64,
}

impl Estate {
    /// Returns the document that has the resource: its own, or that of which it is a child.
    #[must_use]
    pub fn document(&self, id: &ResourceId) -> Option<&Arc<Document>> {
        self.documents.get(&id.root().key())
    }
}
