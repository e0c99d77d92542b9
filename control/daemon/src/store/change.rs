//! What one change writes: exactly the rows that differ.

use super::error::StoreError;
use super::schema::{
    BINDINGS, DOCUMENTS, GRANTS, GROUPS, HOST, ISSUED, MARK, META, NETWORKS, PINS, SEQUENCE,
    VERSION, number,
};
use postern_arm::estate::{Change, Estate};
use postern_network::keys::Keys;
use postern_network::keys::rows::{self, GrantPlace};
use redb::{TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A change of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The estate that the store has.
    pub old: &'a Estate,
    /// The estate that it is to have.
    pub new: &'a Estate,
    /// The keys that are in force with it.
    pub keys: &'a Keys,
    /// What the configuration file is known by, if one was applied: [`super::mark`].
    pub file: Option<&'a str>,
}

/// A row that is another one, or gone.
type Row<K> = (K, Option<Vec<u8>>);

/// The rows of a change, encoded.
#[derive(Debug, Default)]
pub(super) struct Rows {
    groups: Vec<Row<String>>,
    documents: Vec<Row<String>>,
    bindings: Vec<Row<String>>,
    meta: Vec<(&'static str, Vec<u8>)>,
    networks: Vec<Row<String>>,
    grants: Vec<Row<GrantPlace>>,
    /// Counters of networks that are gone: their keys come never again.
    closed: Vec<u32>,
    issued: Vec<(u32, u32)>,
}

impl Rows {
    /// Returns what `commit` changes where `keys` are written and the counters are at `issued`.
    ///
    /// # Errors
    ///
    /// A resource could not be read back.
    pub(super) fn of(
        commit: &Commit<'_>,
        keys: &Keys,
        issued: &BTreeMap<u32, u32>,
    ) -> Result<Self, StoreError> {
        let (old, new) = (commit.old, commit.new);
        let mut rows = Self {
            groups: differences("resource group", new.group_changes_since(old))?,
            documents: differences("resource", new.changes_since(old))?,
            bindings: differences("binding", new.binding_changes_since(old))?,
            ..Self::reservation(commit.keys, issued)
        };
        if !Arc::ptr_eq(old.host(), new.host()) && old.host() != new.host() {
            rows.meta.push((HOST, encode("host", "", &**new.host())?));
        }
        if old.version() != new.version() {
            rows.meta.push((VERSION, new.version().to_string().into()));
        }
        if let Some(mark) = commit.file {
            rows.meta.push((MARK, mark.into()));
        }
        if keys.pins != commit.keys.pins {
            rows.meta
                .push((PINS, encode("pins", "", &commit.keys.pins)?));
        }
        for (name, network) in rows::network_changes(keys, commit.keys) {
            let row = network.map(|row| encode("virtual network", &name, &row));
            rows.networks.push((name, row.transpose()?));
        }
        for (place, grant) in rows::grant_changes(keys, commit.keys) {
            let row = grant.map(|row| encode("rule of", &place.0, &row));
            rows.grants.push((place, row.transpose()?));
        }
        let there = rows::issued(commit.keys);
        let gone = issued.keys().filter(|key| !there.contains_key(key));
        rows.closed = gone.copied().collect();
        Ok(rows)
    }

    /// Returns the counters of `keys` that are ahead of `issued`.
    pub(super) fn reservation(keys: &Keys, issued: &BTreeMap<u32, u32>) -> Self {
        let is_ahead = |(key, next): &(u32, u32)| issued.get(key).is_none_or(|known| known < next);
        Self {
            issued: rows::issued(keys).into_iter().filter(is_ahead).collect(),
            ..Self::default()
        }
    }

    /// Returns whether nothing differs.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.documents.is_empty()
            && self.bindings.is_empty()
            && self.meta.is_empty()
            && self.networks.is_empty()
            && self.grants.is_empty()
            && self.closed.is_empty()
            && self.issued.is_empty()
    }

    /// Makes the rows part of a transaction, with the number of the change.
    pub(super) fn write(
        &self,
        transaction: &WriteTransaction,
        sequence: u64,
    ) -> Result<(), redb::Error> {
        put(transaction, GROUPS, &self.groups)?;
        put(transaction, DOCUMENTS, &self.documents)?;
        put(transaction, BINDINGS, &self.bindings)?;
        put(transaction, NETWORKS, &self.networks)?;
        if !self.grants.is_empty() {
            let mut table = transaction.open_table(GRANTS)?;
            for ((resource, subnet), row) in &self.grants {
                let place = (resource.as_str(), subnet.as_str());
                match row {
                    Some(bytes) => table.insert(place, bytes.as_slice())?,
                    None => table.remove(place)?,
                };
            }
        }
        if !(self.issued.is_empty() && self.closed.is_empty()) {
            let mut table = transaction.open_table(ISSUED)?;
            for (key, next) in &self.issued {
                table.insert(key, next)?;
            }
            for key in &self.closed {
                table.remove(key)?;
            }
        }
        if !self.meta.is_empty() {
            let mut table = transaction.open_table(META)?;
            for (key, bytes) in &self.meta {
                table.insert(*key, bytes.as_slice())?;
            }
        }
        number(transaction, SEQUENCE, sequence)
    }
}

fn put(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    rows: &[Row<String>],
) -> Result<(), redb::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(table)?;
    for (key, row) in rows {
        match row {
            Some(bytes) => table.insert(key.as_str(), bytes.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    Ok(())
}

/// Returns the rows of what differs.
fn differences<V: Serialize + DeserializeOwned + PartialEq>(
    what: &'static str,
    changes: impl Iterator<Item = Change<V>>,
) -> Result<Vec<Row<String>>, StoreError> {
    changes
        .map(|change| {
            let row = change.new.map(|new| encode(what, &change.key, &*new));
            Ok((change.key, row.transpose()?))
        })
        .collect()
}

/// Returns a value as it is kept. It is read back at once: what a later start could not read, such
/// as one that is nested too deeply, must not get into the store.
fn encode<V: Serialize + DeserializeOwned + PartialEq>(
    what: &'static str,
    key: &str,
    value: &V,
) -> Result<Vec<u8>, StoreError> {
    let unfit = |problem: String| StoreError::Unfit {
        what: format!("{what} {key}"),
        problem,
    };
    let bytes = serde_json::to_vec(value).map_err(|error| unfit(error.to_string()))?;
    let back: V = serde_json::from_slice(&bytes).map_err(|error| unfit(error.to_string()))?;
    if back != *value {
        return Err(unfit("it would be read back as another one".to_owned()));
    }
    Ok(bytes)
}
