//! Why the store cannot be used.

use super::keys_file::StateError;
use postern_network::keys::rows::Damage;
use std::io;
use std::path::PathBuf;

/// Why the store cannot be opened, or did not take a change.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused a step.
    #[error("{}: cannot {step}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was to be done.
        step: &'static str,
        /// Why it was not.
        source: io::Error,
    },
    /// Another process works with the directory.
    #[error(
        "{}: another postern keeps its state there; accepted: a state directory of its own \
         (--state-dir DIR), or the end of the other", .0.display()
    )]
    InUse(PathBuf),
    /// Others may write into the directory.
    #[error(
        "{}: others may write into the state directory; accepted: one that only its owner writes \
         (chmod go-w), who is root or runs postern", .0.display()
    )]
    Open(PathBuf),
    /// The keys that an earlier version left cannot be taken over.
    #[error(transparent)]
    Keys(#[from] StateError),
    /// The file is no store, or parts of it are not what was written. It is left as it is.
    #[error(
        "{}: not a store of postern, or damaged: {problem}; accepted: the file from a backup, or its \
         removal, which loses every resource that is not in the configuration file and gives every \
         network and subnet a new identity", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The file is of a later version of this program. It is left as it is.
    #[error("{}: has schema {found}; accepted: a postern that knows it, this one knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: u64,
        /// The last schema that this program knows.
        known: u64,
    },
    /// The change is not on the disk: the store is as it was.
    #[error("{}: cannot write the change to the disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// A resource is of a form that could not be read back. The store is as it was.
    #[error("{what} cannot be kept: {problem}")]
    Unfit {
        /// The resource.
        what: String,
        /// Why.
        problem: String,
    },
    /// The file cannot be opened for writing, at the start or since a failed write.
    #[error(
        "{}: cannot be written; accepted: the change again once the disk takes it, or a restart then",
        .0.display()
    )]
    Lost(PathBuf),
}

impl StoreError {
    /// Returns whether the disk takes no writing, and nothing is wrong with what is on it.
    pub(super) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Io { source, .. } if takes_nothing(source))
    }
}

/// Returns whether the disk is full, or not to be written to.
fn takes_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        QuotaExceeded | ReadOnlyFilesystem | StorageFull
    )
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file itself: its header, its pages, their checksums, its tables.
    #[error("{0}")]
    File(Box<redb::Error>),
    /// A row is not what this program writes.
    #[error("{table} {key:?}: {problem}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The keys contradict each other.
    #[error("{0}")]
    Keys(Damage),
}

impl Problem {
    /// Returns what the system said if the disk takes no writing, which is no damage.
    pub(super) fn of_the_disk(self) -> Result<io::Error, Self> {
        match self {
            Self::File(error) => match *error {
                redb::Error::Io(error) if takes_nothing(&error) => Ok(error),
                error => Err(Self::File(Box::new(error))),
            },
            other => Err(other),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::File(Box::new(error.into()))
    }
}
