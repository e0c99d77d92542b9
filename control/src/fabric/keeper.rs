//! The keys on the disk, kept in step with the policy in force.

use crate::keys::Keys;
use crate::keys::file::{KeyFile, StateError};
use tracing::warn;

/// The file of the keys, if there is one, and what it holds.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    file: Option<KeyFile>,
    written: Keys,
}

impl Keeper {
    pub(super) fn new(file: KeyFile, written: Keys) -> Self {
        let file = Some(file);
        Self { file, written }
    }

    /// Writes down the keys of a change before it comes into force, beside those that are in force:
    /// the change may yet fail, and the process may end in the middle of it.
    pub(super) fn prepare(&mut self, new: &Keys, old: &Keys) -> Result<(), StateError> {
        self.write(new.with_older(old))
    }

    /// Writes down the keys in force. Failing that, the file still holds keys that are gone, which
    /// the next start forgets.
    pub(super) fn settle(&mut self, keys: &Keys) {
        if let Err(error) = self.write(keys.clone()) {
            let error = crate::chain(&error);
            warn!(%error, "the state directory still holds keys of what is gone");
        }
    }

    fn write(&mut self, keys: Keys) -> Result<(), StateError> {
        if let Some(file) = &self.file
            && self.written != keys
        {
            file.write(&keys)?;
            self.written = keys;
        }
        Ok(())
    }
}
