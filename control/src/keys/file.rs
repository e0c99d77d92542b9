//! The file that keeps the keys: `keys.json` in the state directory.
//!
//! It is written whole beside its place, synchronised, and renamed into it, so that after a crash
//! there is the old one or the new one. It is written *before* a policy that uses a new key comes
//! into force. A file that is not as it must be is refused: to guess would be to issue a key twice.

use super::{Keys, Network};
use crate::catalog::Location;
use postern_dataplane::identity::{SubnetKey, VnetKey};
use postern_dataplane::policy::SubnetId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the state is kept unless told otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/postern";

/// The shape of the file that this program reads and writes.
const SCHEMA: u32 = 1;
const FILE: &str = "keys.json";

/// Why the state cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
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
        "{}: another postern keeps its keys there; accepted: a state directory of its own \
         (--state-dir DIR), or the end of the other", .0.display()
    )]
    InUse(PathBuf),
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

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is no JSON, or has other members.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// A number is no key.
    #[error("{what} has the key {key}, which is none")]
    NotAKey {
        /// The network or subnet.
        what: String,
        /// The number.
        key: u32,
    },
    /// A key is one that is yet to be issued.
    #[error("{what} has the key {key}, which is not issued yet")]
    NotIssued {
        /// The network or subnet.
        what: String,
        /// The number.
        key: u32,
    },
    /// Two have the same key or name.
    #[error("{what} is there twice, or has the key of another")]
    Twice {
        /// The network or subnet.
        what: String,
    },
}

/// The file as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    schema: u32,
    next_vnet_key: u32,
    virtual_networks: Vec<NetworkDocument>,
    network_rules: Vec<GrantDocument>,
}

/// A rule of a resource that names a subnet, and the subnet that it was granted to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GrantDocument {
    resource: String,
    subnet: String,
    vnet_key: u32,
    subnet_key: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetworkDocument {
    name: String,
    location: String,
    key: u32,
    next_subnet_key: u32,
    subnets: Vec<SubnetDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubnetDocument {
    name: String,
    key: u32,
}

/// Reads only the schema: a later one may have other members.
#[derive(Debug, Deserialize)]
struct AnySchema {
    schema: u32,
}

/// The place where keys are kept.
#[derive(Debug)]
pub struct KeyFile {
    dir: PathBuf,
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl KeyFile {
    /// Opens the state directory, which is made if it is not there, and reads the keys, none if it
    /// is new.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, is another process's, or holds a file that is not as it must be.
    pub fn open(dir: &Path) -> Result<(Self, Keys), StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(failed(dir, "make the state directory"))?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path, "open"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path, "lock")(error)),
        }
        let path = dir.join(FILE);
        let keys = read(&path)?;
        let file = Self {
            dir: dir.to_owned(),
            path,
            _lock: lock,
        };
        Ok((file, keys))
    }

    /// Puts the keys in the place of those that are there; they are on the disk when it returns.
    ///
    /// # Errors
    ///
    /// A step failed; the file that was there is still there.
    pub fn write(&self, keys: &Keys) -> Result<(), StateError> {
        let fresh = self.path.with_extension("json.new");
        let text = encode(keys).map_err(|error| failed(&fresh, "encode the keys")(error.into()))?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed(&fresh, "make"))?;
        file.write_all(&text).map_err(failed(&fresh, "write"))?;
        file.sync_all()
            .map_err(failed(&fresh, "write to the disk"))?;
        fs::rename(&fresh, &self.path)
            .map_err(failed(&self.path, "put the new keys in place of"))?;
        // Until the directory is on the disk too, a crash may bring the old name back.
        let dir = File::open(&self.dir).and_then(|dir| dir.sync_all());
        dir.map_err(failed(&self.dir, "write to the disk"))
    }
}

fn failed(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, step, source }
}

fn read(path: &Path) -> Result<Keys, StateError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keys::default()),
        Err(error) => return Err(failed(path, "read")(error)),
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
    let document = serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?;
    decode(document).map_err(damaged)
}

fn encode(keys: &Keys) -> serde_json::Result<Vec<u8>> {
    let subnet = |(name, key): (&String, &SubnetKey)| SubnetDocument {
        name: name.clone(),
        key: key.get().into(),
    };
    let networks = keys.vnets.iter().map(|(name, network)| NetworkDocument {
        name: name.clone(),
        location: network.location.to_string(),
        key: network.key.get(),
        next_subnet_key: network.next,
        subnets: network.subnets.iter().map(subnet).collect(),
    });
    let grant = |((resource, subnet), (vnet_key, subnet_key)): (&(String, String), &SubnetId)| {
        GrantDocument {
            resource: resource.clone(),
            subnet: subnet.clone(),
            vnet_key: vnet_key.get(),
            subnet_key: subnet_key.get().into(),
        }
    };
    let document = Document {
        schema: SCHEMA,
        next_vnet_key: keys.next,
        virtual_networks: networks.collect(),
        network_rules: keys.grants.0.iter().map(grant).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

fn decode(document: Document) -> Result<Keys, Damage> {
    let mut keys = Keys {
        next: document.next_vnet_key,
        ..Keys::default()
    };
    let mut used = BTreeSet::new();
    for network in document.virtual_networks {
        let what = format!("virtual network {:?}", network.name);
        let key = VnetKey::new(network.key);
        let key = check(key, network.key, document.next_vnet_key, &what)?;
        let name = network.name.clone();
        let is_new = used.insert(key);
        let before = keys.vnets.insert(name, decode_network(network, key)?);
        if before.is_some() || !is_new {
            return Err(Damage::Twice { what });
        }
    }
    for grant in document.network_rules {
        let what = format!("the rule of {:?} for {:?}", grant.resource, grant.subnet);
        let vnet = VnetKey::new(grant.vnet_key);
        let vnet = check(vnet, grant.vnet_key, document.next_vnet_key, &what)?;
        let number = grant.subnet_key;
        let subnet = u16::try_from(number).ok().and_then(SubnetKey::new);
        // The network may be gone, and with it the number that would be next.
        let subnet = check(subnet, number, u32::MAX, &what)?;
        let place = (grant.resource, grant.subnet);
        if keys.grants.0.insert(place, (vnet, subnet)).is_some() {
            return Err(Damage::Twice { what });
        }
    }
    Ok(keys)
}

fn decode_network(document: NetworkDocument, key: VnetKey) -> Result<Network, Damage> {
    let mut network = Network {
        key,
        location: Location::new(&document.location),
        subnets: Default::default(),
        next: document.next_subnet_key,
    };
    let mut used = BTreeSet::new();
    for subnet in document.subnets {
        let what = format!("subnet {:?} of {:?}", subnet.name, document.name);
        let key = u16::try_from(subnet.key).ok().and_then(SubnetKey::new);
        let key = check(key, subnet.key, document.next_subnet_key, &what)?;
        let is_new = used.insert(key);
        if network.subnets.insert(subnet.name, key).is_some() || !is_new {
            return Err(Damage::Twice { what });
        }
    }
    Ok(network)
}

/// Returns the key, if it is one that was issued.
fn check<K>(key: Option<K>, number: u32, next: u32, what: &str) -> Result<K, Damage> {
    let what = || what.to_owned();
    match key {
        None => Err(Damage::NotAKey {
            what: what(),
            key: number,
        }),
        Some(_) if number >= next => Err(Damage::NotIssued {
            what: what(),
            key: number,
        }),
        Some(key) => Ok(key),
    }
}
