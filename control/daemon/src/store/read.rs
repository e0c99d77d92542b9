//! Reads all that is kept.

use super::error::Problem;
use super::schema::{
    BINDINGS, CLEAN, DOCUMENTS, GRANTS, GROUPS, HOST, ISSUED, KEEPS_NONE, MARK, META, NETWORKS,
    PINS, SEQUENCE, TEXT, VERSION,
};
use postern_arm::document::{Document, Group};
use postern_arm::estate::{Estate, Parts};
use postern_network::keys::Keys;
use postern_network::keys::rows::{self, VNETS};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// The desired state.
    pub estate: Estate,
    /// The keys of its networks and subnets.
    pub keys: Keys,
    /// What the configuration file is known by that was applied last; nothing if there was none.
    pub file: Option<String>,
}

/// All that is in a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// What is kept.
    pub(super) saved: Saved,
    /// How many changes were written.
    pub(super) sequence: u64,
    /// The text of the configuration file, which earlier versions kept.
    pub(super) text: Option<String>,
    /// Whether only versions wrote to it that keep no secrets, as far as the file itself says.
    is_marked: bool,
}

impl Contents {
    /// Returns whether no secret was ever written to the file.
    pub(super) fn is_clean(&self) -> bool {
        // An earlier version that came back to the file would have written its text.
        self.is_marked && self.text.is_none()
    }
}

/// Returns what is kept.
pub(super) fn read(database: &Database) -> Result<Contents, Problem> {
    let transaction = database.begin_read()?;
    let documents: BTreeMap<_, Document> = table(&transaction, "documents", DOCUMENTS)?;
    if let Some((key, _)) = documents.iter().find(|(key, it)| it.id.key() != **key) {
        return Err(row("documents", key, "it has the ID of another"));
    }
    let groups: BTreeMap<_, Group> = table(&transaction, "groups", GROUPS)?;
    if let Some((key, _)) = groups.iter().find(|(key, it)| it.scope.key() != **key) {
        return Err(row("groups", key, "it has the ID of another"));
    }
    let bindings: BTreeMap<_, _> = table(&transaction, "bindings", BINDINGS)?;
    let meta = |key: &str| -> Result<Option<Vec<u8>>, Problem> {
        let meta = transaction.open_table(META)?;
        Ok(meta.get(key)?.map(|bytes| bytes.value().to_vec()))
    };
    let number = |key: &str| meta(key)?.map_or(Ok(0), |bytes| decode("meta", key, &bytes));
    let host = meta(HOST)?;
    let estate = Estate::from_parts(Parts {
        groups: groups.into_values().collect(),
        documents: documents.into_values().collect(),
        bindings: bindings.into_iter().collect(),
        host: host.map_or(Ok(serde_json::Map::new()), |bytes| {
            decode("meta", HOST, &bytes)
        })?,
        version: number(VERSION)?,
    });
    let text = |key| -> Result<Option<String>, Problem> {
        let text = |bytes| String::from_utf8(bytes).map_err(|_| row("meta", key, "it is no text"));
        meta(key)?.map(text).transpose()
    };
    let mut keys = keys(&transaction)?;
    let pins = meta(PINS)?.map(|bytes| decode("meta", PINS, &bytes));
    keys.pins = pins.transpose()?.unwrap_or_default();
    Ok(Contents {
        saved: Saved {
            estate,
            keys,
            file: text(MARK)?,
        },
        sequence: number(SEQUENCE)?,
        text: text(TEXT)?,
        is_marked: number(CLEAN)? >= KEEPS_NONE,
    })
}

/// Returns how many changes were written.
pub(super) fn sequence(database: &Database) -> Result<u64, Problem> {
    let meta = database.begin_read()?.open_table(META)?;
    let bytes = meta.get(SEQUENCE)?;
    bytes.map_or(Ok(0), |bytes| decode("meta", SEQUENCE, bytes.value()))
}

fn keys(transaction: &ReadTransaction) -> Result<Keys, Problem> {
    let networks: BTreeMap<String, _> = table(transaction, "networks", NETWORKS)?;
    let networks = networks.into_values();
    let mut grants = Vec::new();
    for entry in transaction.open_table(GRANTS)?.iter()? {
        let (place, bytes) = entry?;
        let (resource, subnet) = place.value();
        let place = format!("{resource} {subnet}");
        grants.push(decode("grants", &place, bytes.value())?);
    }
    let mut issued = BTreeMap::new();
    for entry in transaction.open_table(ISSUED)?.iter()? {
        let (key, next) = entry?;
        issued.insert(key.value(), next.value());
    }
    let next = issued.get(&VNETS).copied();
    let next = next.unwrap_or_else(rows::first_vnet);
    let keys = rows::decode(next, networks.collect(), grants);
    let mut keys = keys.map_err(Problem::Keys)?;
    keys.skip(&issued);
    Ok(keys)
}

fn table<V: DeserializeOwned>(
    transaction: &ReadTransaction,
    name: &'static str,
    table: TableDefinition<'_, &str, &[u8]>,
) -> Result<BTreeMap<String, V>, Problem> {
    let mut found = BTreeMap::new();
    for entry in transaction.open_table(table)?.iter()? {
        let (key, bytes) = entry?;
        let value = decode(name, key.value(), bytes.value())?;
        found.insert(key.value().to_owned(), value);
    }
    Ok(found)
}

fn decode<V: DeserializeOwned>(table: &'static str, key: &str, bytes: &[u8]) -> Result<V, Problem> {
    serde_json::from_slice(bytes).map_err(|error| row(table, key, &error.to_string()))
}

fn row(table: &'static str, key: &str, problem: &str) -> Problem {
    Problem::Row {
        table,
        key: key.to_owned(),
        problem: problem.to_owned(),
    }
}
