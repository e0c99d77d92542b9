//! The file that kept the keys before the store did: `keys.json` in the state directory.
//!
//! It is read once, when a store is made beside it. A file that is not as it must be is refused: to
//! guess would be to issue a key twice.

use postern_network::keys::Keys;
use postern_network::keys::rows::{self, Damage, GrantDocument, NetworkDocument};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Its name in the state directory.
pub(crate) const FILE: &str = "keys.json";
/// The shape of the file that this program reads.
const SCHEMA: u32 = 1;

/// Why the keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused to read the file.
    #[error("{}: cannot read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error(
        "{}: damaged, {problem}; accepted: the file from a backup, or its removal, which gives every \
         network and subnet a new identity", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Damage,
    },
    /// The file is of another version of this program.
    #[error("{}: has schema {found}; accepted: a postern that knows it, this one knows {SCHEMA}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: u32,
    },
}

/// The file as JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    /// Looked at beforehand; here because nothing else may be.
    #[serde(rename = "schema")]
    _schema: u32,
    next_vnet_key: u32,
    virtual_networks: Vec<NetworkDocument>,
    network_rules: Vec<GrantDocument>,
}

/// Reads only the schema: a later one may have other members.
#[derive(Debug, Deserialize)]
struct AnySchema {
    schema: u32,
}

/// Returns the keys of the file; nothing if it is not there.
///
/// # Errors
///
/// The file is not as it must be.
pub(crate) fn read(path: &Path) -> Result<Option<Keys>, StateError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(StateError::Io { path, source });
        }
    };
    let damaged = |problem| StateError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let AnySchema { schema } =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?;
    if schema != SCHEMA {
        let (path, found) = (path.to_owned(), schema);
        return Err(StateError::Schema { path, found });
    }
    let document: Document =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?;
    let Document {
        next_vnet_key,
        virtual_networks,
        network_rules,
        ..
    } = document;
    rows::decode(next_vnet_key, virtual_networks, network_rules)
        .map(Some)
        .map_err(damaged)
}
