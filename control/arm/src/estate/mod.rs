//! The desired state: every resource as ARM has it, and what only this host can say beside them.
//!
//! An [`Estate`] is a value: a copy costs nothing, as the trees are shared and a change copies only
//! the path to what it touches. It changes by way of a [`Stage`].

mod adopt;
mod allocate;
mod conditions;
mod gate;
mod group;
mod index;
mod quota;
mod read;
mod refer;
mod settings;
mod settle;
mod show;
mod stage;
#[cfg(test)]
mod tests;
mod write;

pub use conditions::Conditions;
pub use gate::{Ask, Gate};
pub use quota::Quotas;
pub use read::Found;
pub use settings::{AnythingGoes, Knowledge, Settings};
pub use stage::{Put, Stage};

use crate::document::{Document, Group};
use crate::id::Scope;
use index::Index;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::Bound;
use std::sync::Arc;

/// A map in the order of its keys that is shared with its copies.
type Tree<V> = RedBlackTreeMapSync<String, Arc<V>>;

/// Everything that is desired.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    groups: Tree<Group>,
    documents: Tree<Document>,
    bindings: Tree<Map<String, Value>>,
    host: Arc<Map<String, Value>>,
    version: u64,
    index: Index,
}

/// An estate in pieces, as a store keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// The resource groups.
    pub groups: Vec<Group>,
    /// The resources.
    pub documents: Vec<Document>,
    /// What ARM cannot say of resources, each with the key of its ID.
    pub bindings: Vec<(String, Map<String, Value>)>,
    /// What the configuration file says of this host.
    pub host: Map<String, Value>,
    /// The last version that was given to a document.
    pub version: u64,
}

/// One entry that differs between two estates; at least one of the two is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<T> {
    /// The key of its ID.
    pub key: String,
    /// What was there.
    pub old: Option<Arc<T>>,
    /// What is there.
    pub new: Option<Arc<T>>,
}

/// A resource that differs between two estates.
pub type ResourceChange = Change<Document>;

impl PartialEq for Estate {
    /// Two estates are equal when they say the same; the number of the last version does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.groups == other.groups
            && self.documents == other.documents
            && self.bindings == other.bindings
            && self.host == other.host
    }
}

impl Estate {
    /// Returns the estate of these parts.
    #[must_use]
    pub fn from_parts(parts: Parts) -> Self {
        let mut estate = Self {
            host: Arc::new(parts.host),
            version: parts.version,
            ..Self::default()
        };
        for group in parts.groups {
            estate.version = estate.version.max(group.version);
            estate.groups.insert_mut(group.scope.key(), Arc::new(group));
        }
        for document in parts.documents {
            estate.keep(document);
        }
        for (key, binding) in parts.bindings {
            estate.bindings.insert_mut(key, Arc::new(binding));
        }
        estate
    }

    /// Takes a document as it is, without the rules that a [`Stage`] has: what was kept comes back so.
    pub fn keep(&mut self, document: Document) {
        self.version = self.version.max(document.version);
        self.insert(Arc::new(document));
    }

    /// Returns the pieces of the estate.
    #[must_use]
    pub fn to_parts(&self) -> Parts {
        let binding =
            |(key, binding): (&String, &Arc<Map<_, _>>)| (key.clone(), (**binding).clone());
        Parts {
            groups: self
                .groups
                .values()
                .map(|group| (**group).clone())
                .collect(),
            documents: self
                .documents
                .values()
                .map(|document| (**document).clone())
                .collect(),
            bindings: self.bindings.iter().map(binding).collect(),
            host: (*self.host).clone(),
            version: self.version,
        }
    }

    /// Returns the resource groups in the order of their keys.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// Returns the resource group.
    #[must_use]
    pub fn group(&self, scope: &Scope) -> Option<&Arc<Group>> {
        self.groups.get(&scope.key())
    }

    /// Returns all documents in the order of their keys.
    pub fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.documents.values()
    }

    /// Returns all documents with their keys, in the order of these.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Arc<Document>)> {
        self.documents.iter()
    }

    /// Returns the documents in the scope: of its resource group, or children and extensions of its
    /// resource.
    pub fn documents_in(&self, scope: &Scope) -> impl Iterator<Item = &Arc<Document>> {
        let prefix = match scope {
            Scope::Tenant => "/".to_owned(),
            scope => format!("{}/", scope.key()),
        };
        self.with_prefix(prefix)
    }

    /// Returns what ARM cannot say of a resource, by the key of its ID.
    #[must_use]
    pub fn binding(&self, key: &str) -> Option<&Arc<Map<String, Value>>> {
        self.bindings.get(key)
    }

    /// Returns what ARM cannot say of resources, with the keys of their IDs.
    pub fn bindings(&self) -> impl Iterator<Item = (&String, &Arc<Map<String, Value>>)> {
        self.bindings.iter()
    }

    /// Returns what the configuration file says of this host.
    #[must_use]
    pub fn host(&self) -> &Arc<Map<String, Value>> {
        &self.host
    }

    /// Returns the last version that was given to something.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the resources that differ from those of `old`, in the order of their keys.
    pub fn changes_since(&self, old: &Self) -> impl Iterator<Item = ResourceChange> + use<> {
        changes(&old.documents, &self.documents).into_iter()
    }

    /// Returns the resource groups that differ from those of `old`.
    pub fn group_changes_since(&self, old: &Self) -> impl Iterator<Item = Change<Group>> + use<> {
        changes(&old.groups, &self.groups).into_iter()
    }

    /// Returns the bindings that differ from those of `old`.
    pub fn binding_changes_since(
        &self,
        old: &Self,
    ) -> impl Iterator<Item = Change<Map<String, Value>>> + use<> {
        changes(&old.bindings, &self.bindings).into_iter()
    }

    /// Returns the documents whose keys begin so.
    fn with_prefix(&self, prefix: String) -> impl Iterator<Item = &Arc<Document>> {
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        self.documents
            .range::<String, _>(from)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(_, document)| document)
    }

    fn insert(&mut self, document: Arc<Document>) {
        let key = document.id.key();
        let old = self.documents.get(&key).cloned();
        self.index.replace(old.as_deref(), Some(&document));
        self.documents.insert_mut(key, document);
    }

    fn remove(&mut self, key: &str) -> Option<Arc<Document>> {
        let old = self.documents.get(key).cloned()?;
        self.index.replace(Some(&old), None);
        self.documents.remove_mut(key);
        self.bindings.remove_mut(key);
        Some(old)
    }
}

/// Returns what differs between two trees: shared entries cost a comparison of pointers.
fn changes<T: PartialEq>(old: &Tree<T>, new: &Tree<T>) -> Vec<Change<T>> {
    let mut found = Vec::new();
    if old.ptr_eq(new) {
        return found;
    }
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let side = match (olds.peek(), news.peek()) {
            (None, None) => return found,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let old = if side.is_le() { olds.next() } else { None };
        let new = if side.is_ge() { news.next() } else { None };
        let is_same = match (old, new) {
            (Some((_, old)), Some((_, new))) => Arc::ptr_eq(old, new) || old == new,
            _ => false,
        };
        if let (false, Some((key, _))) = (is_same, old.or(new)) {
            found.push(Change {
                key: key.clone(),
                old: old.map(|(_, old)| Arc::clone(old)),
                new: new.map(|(_, new)| Arc::clone(new)),
            });
        }
    }
}

/// Returns the same GUID for the same words.
pub(crate) fn guid(words: &[&str]) -> String {
    // FNV-1a, 128 bits: the value has to be stable, not secret.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in words.iter().flat_map(|word| word.bytes().chain([0])) {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    uuid::Uuid::from_u128(hash).to_string()
}
