//! The counters of the keys on the disk, ahead of the policy in force.

use crate::store::{Store, StoreError};
use postern_network::keys::Keys;
use std::sync::Arc;

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
}
