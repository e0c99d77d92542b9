//! The counters of the keys on the disk, ahead of the policy in force.

use crate::keys::Keys;
use crate::store::{Commit, Store, StoreError};
use postern_arm::estate::Estate;
use std::sync::Arc;
use tracing::warn;

/// Where the numbers that were issued are kept, if anywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeper(Option<Arc<Store>>);

impl Keeper {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self(Some(store))
    }

    /// Writes down that the numbers of a change are issued, before it comes into force. Who has which
    /// is written with the change itself.
    pub(super) fn reserve(&self, keys: &Keys) -> Result<(), StoreError> {
        self.0.as_ref().map_or(Ok(()), |store| store.reserve(keys))
    }

    /// Writes down the keys in force. Failing that, the store still has those that are gone, which the
    /// next start forgets.
    pub(super) fn settle(&self, keys: &Keys) {
        let Some(store) = &self.0 else { return };
        let estate = Estate::default();
        let written = store.commit(&Commit {
            old: &estate,
            new: &estate,
            keys,
            file: None,
        });
        if let Err(error) = written {
            let error = crate::chain(&error);
            warn!(%error, "the store still holds keys of what is gone");
        }
    }
}
