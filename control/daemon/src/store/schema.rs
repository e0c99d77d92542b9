//! The tables of the store, and how those of an earlier version become those of this one.

use super::error::Problem;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

/// What is there once: [`SCHEMA`], [`SEQUENCE`], [`HOST`], [`VERSION`], [`MARK`], [`CLEAN`]. Its form never
/// changes, so that every version of this program can tell which one wrote a file.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Resource groups, by the key of their scope.
pub(super) const GROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("groups");
/// Resources with their children, by the key of their ID.
pub(super) const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");
/// What ARM cannot say of a resource, by the key of its ID.
pub(super) const BINDINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bindings");
/// The keys of virtual networks and their subnets, by name.
pub(super) const NETWORKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("networks");
/// The subnets that rules were granted to, by resource and subnet.
pub(super) const GRANTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("grants");
/// The first number that was never issued, by the key of the network that issues them; 0 is that of
/// the networks themselves.
pub(super) const ISSUED: TableDefinition<'_, u32, u32> = TableDefinition::new("issued");

/// The version of the tables, a number in JSON.
pub(super) const SCHEMA: &str = "schema";
/// How many changes were written, a number in JSON.
pub(super) const SEQUENCE: &str = "sequence";
/// What the configuration file says of the host, JSON.
pub(super) const HOST: &str = "host";
/// The last version that a document got, a number in JSON.
pub(super) const VERSION: &str = "version";
/// What the configuration file is known by that was applied last, a text.
pub(super) const MARK: &str = "mark";
/// Written by earlier versions alone: the text of that file, as it is.
pub(super) const TEXT: &str = "file";
/// What was never written to this file, a number in JSON: [`KEEPS_NONE`].
pub(super) const CLEAN: &str = "clean";
/// The processes that bindings were written for, JSON; not there in a file of an earlier version.
pub(super) const PINS: &str = "pins";
/// No secret of the configuration file and none of a resource.
pub(super) const KEEPS_NONE: u64 = 2;

/// Turns the tables of one version into those of the next.
pub(super) type Step = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The versions that this program knows: version 1, and what leads from each to the next.
///
/// A step runs in one transaction with the number of its version: after a crash in the middle of it
/// the file is of the version before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema(pub(super) &'static [Step]);

impl Schema {
    /// The schema of this program.
    pub(super) const CURRENT: Self = Self(&[]);

    /// Returns the number of the last version.
    pub(super) fn version(self) -> u64 {
        u64::try_from(self.0.len()).map_or(u64::MAX, |steps| steps.saturating_add(1))
    }

    /// Makes the tables of a new file, or brings those of an old one up to date. Returns a version
    /// that is too new; nothing is changed then.
    pub(super) fn prepare(self, database: &redb::Database) -> Result<Result<(), u64>, Problem> {
        let transaction = database.begin_write()?;
        let found = match version(&transaction)? {
            None => {
                create(&transaction)?;
                self.version()
            }
            Some(found) => found,
        };
        if found > self.version() {
            transaction.abort()?;
            return Ok(Err(found));
        }
        // Version 1 has no step that leads to it.
        let done = usize::try_from(found.saturating_sub(1)).unwrap_or(usize::MAX);
        for step in self.0.iter().skip(done) {
            step(&transaction).map_err(|error| Problem::File(Box::new(error)))?;
        }
        number(&transaction, SCHEMA, self.version())?;
        transaction.commit()?;
        Ok(Ok(()))
    }
}

/// Returns the version of the tables; nothing in a new file.
fn version(transaction: &WriteTransaction) -> Result<Option<u64>, Problem> {
    let is_new = transaction.list_tables()?.next().is_none();
    if is_new {
        return Ok(None);
    }
    let meta = transaction.open_table(META)?;
    let found = meta.get(SCHEMA)?;
    let found = found.and_then(|bytes| serde_json::from_slice(bytes.value()).ok());
    match found {
        Some(0) | None => Err(Problem::Row {
            table: "meta",
            key: SCHEMA.to_owned(),
            problem: "no schema".to_owned(),
        }),
        found => Ok(found),
    }
}

/// Makes the tables, so that later each of them can be read.
fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?;
    for table in [GROUPS, DOCUMENTS, BINDINGS, NETWORKS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(GRANTS)?;
    transaction.open_table(ISSUED)?;
    number(transaction, CLEAN, KEEPS_NONE)?;
    number(transaction, SEQUENCE, 0)
}

/// Writes a number of [`META`].
pub(super) fn number(
    transaction: &WriteTransaction,
    key: &str,
    number: u64,
) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert(key, number.to_string().as_bytes())?;
    Ok(())
}
