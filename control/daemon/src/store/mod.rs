//! The desired state on the disk: one file that holds every resource, and the keys that were issued.
//!
//! A change is one transaction, synchronised before it acts on packets and so before it is acknowledged:
//! after a crash it is there whole or not at all, and whatever was acknowledged is there. Keys are never issued twice: before a
//! policy that carries a new key comes into force, [`Store::reserve`] has put the counter past it.
//! A crash between that and [`Store::commit`] loses the number, which nobody misses.
//!
//! The database is redb's, in one file; this process has it alone. A file that is damaged, foreign or
//! of a later version is refused and left as it is.
//!
//! A disk that is full or takes no writing stops no start: what is on it is read and comes into force, and
//! changes are refused until it takes them.
//!
//! No secret is kept, nor the text of the configuration file, which has some: digests under a key of
//! the state directory stand for them. A file of an earlier version, which kept them, is written anew
//! without them when it is opened, and the old one is overwritten.

mod change;
mod error;
mod files;
mod keys_file;
mod memory;
mod read;
mod schema;
mod secrets;
#[cfg(test)]
mod tests;

pub use change::Commit;
pub use error::{Problem, StoreError};
pub use read::Saved;
pub use secrets::{mark, seal_host};
#[cfg(test)]
pub(crate) use tests::Disk;

use change::Rows;
use memory::Memory;
use postern_arm::estate::Estate;
use postern_arm::seal::Seal;
use postern_network::keys::{Keys, rows};
use read::Contents;
use redb::{Builder, Database, DatabaseError, WriteTransaction};
use schema::Schema;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::error;

/// Where the state is kept unless told otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/postern";

/// The name of the store in the state directory.
pub const FILE: &str = "store.redb";

/// The database is read once, at the start; what it may keep in memory after that is for writing.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How to open the database, which is done again after a failed write.
type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The open store.
pub struct Store {
    path: PathBuf,
    open: Open,
    schema: Schema,
    inner: Mutex<Inner>,
    /// Held for its lock on the state directory.
    _lock: Option<File>,
}

/// The database, and what of it is looked at with every change.
#[derive(Debug)]
struct Inner {
    /// Nothing while it cannot be opened for writing.
    database: Option<Database>,
    sequence: u64,
    /// The keys that are written.
    keys: Keys,
    /// The counters that are written.
    issued: BTreeMap<u32, u32>,
    /// What the configuration file is known by that is written.
    file: Option<String>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish()
    }
}

impl Store {
    /// Opens the store of a state directory, both made if they are not there, and reads all of it. A
    /// new one takes over the keys that an earlier version kept in a file of their own. `seal` is the
    /// key of the digests in it.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, is another process's, or the store in it is not as it must be; it
    /// is then left as it is.
    pub fn open(dir: &Path, seal: &Seal) -> Result<(Self, Saved), StoreError> {
        Self::open_as(dir, seal, Schema::CURRENT)
    }

    fn open_as(dir: &Path, seal: &Seal, schema: Schema) -> Result<(Self, Saved), StoreError> {
        let lock = files::lock(dir)?;
        let path = dir.join(FILE);
        let opened = match Self::open_to_write(dir, &path, seal, schema) {
            Err(error) if error.is_of_the_disk() && path.exists() => {
                let error = postern_network::chain(&error);
                error!(error, "the state can be read only: changes are refused");
                Self::open_to_read(&path, schema)
            }
            opened => opened,
        };
        let (store, contents) = opened?;
        let _lock = Some(lock);
        Ok((Self { _lock, ..store }, contents.saved))
    }

    fn open_to_write(
        dir: &Path,
        path: &Path,
        seal: &Seal,
        schema: Schema,
    ) -> Result<(Self, Contents), StoreError> {
        files::erase_left(path)?;
        if !path.exists() {
            create(dir, path, schema)?;
        }
        let open = || Self::with(path.to_owned(), open_at(path), schema);
        let (mut store, mut contents) = open()?;
        if !contents.is_clean() {
            drop(store);
            clean(dir, path, schema, seal, contents)?;
            (store, contents) = open()?;
        }
        // Taken over by now: it must not be taken for new if ever the store is.
        files::retire(&dir.join(keys_file::FILE))?;
        Ok((store, contents))
    }

    /// Reads a store that cannot be opened for writing, which reading needs too, from a copy.
    fn open_to_read(path: &Path, schema: Schema) -> Result<(Self, Contents), StoreError> {
        let bytes = std::fs::read(path).map_err(|source| StoreError::Io {
            path: path.to_owned(),
            step: "read",
            source,
        })?;
        let bytes = Mutex::new(Some(bytes));
        let copy = Box::new(move || {
            let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner).take();
            builder().create_with_backend(Memory::new(bytes.unwrap_or_default()))
        });
        let (mut store, contents) = Self::with(path.to_owned(), copy, schema)?;
        store.open = open_at(path);
        store.inner().database = None;
        Ok((store, contents))
    }

    fn with(path: PathBuf, open: Open, schema: Schema) -> Result<(Self, Contents), StoreError> {
        let damaged = |problem: Problem| match problem.of_the_disk() {
            Ok(source) => StoreError::Io {
                path: path.clone(),
                step: "open for writing",
                source,
            },
            Err(problem) => StoreError::Damaged {
                path: path.clone(),
                problem,
            },
        };
        let database = open().map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.clone()),
            error => damaged(error.into()),
        })?;
        if let Err(found) = schema.prepare(&database).map_err(damaged)? {
            let (path, known) = (path.clone(), schema.version());
            return Err(StoreError::Newer { path, found, known });
        }
        let contents = read::read(&database).map_err(damaged)?;
        let inner = Mutex::new(Inner {
            database: Some(database),
            sequence: contents.sequence,
            keys: contents.saved.keys.clone(),
            issued: rows::issued(&contents.saved.keys),
            file: contents.saved.file.clone(),
        });
        let _lock = None;
        let store = Self {
            path,
            open,
            schema,
            inner,
            _lock,
        };
        Ok((store, contents))
    }

    /// Makes sure that no number that these keys have issued is issued again, whatever happens. It is
    /// on the disk when it returns.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn reserve(&self, keys: &Keys) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let rows = Rows::reservation(keys, &inner.issued);
        self.write(&mut inner, &rows)?;
        for (key, next) in rows::issued(keys) {
            let known = inner.issued.entry(key).or_insert(next);
            *known = next.max(*known);
        }
        Ok(())
    }

    /// Writes a change. All of it is on the disk when it returns.
    ///
    /// # Errors
    ///
    /// It cannot be written; the store is as it was.
    pub fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let rows = Rows::of(commit, &inner.keys, &inner.issued)?;
        self.write(&mut inner, &rows)?;
        inner.keys = commit.keys.clone();
        if let Some(file) = commit.file {
            inner.file = Some(file.to_owned());
        }
        let before = std::mem::take(&mut inner.issued);
        inner.issued = rows::issued(commit.keys);
        for (key, next) in &mut inner.issued {
            // A change that failed may have taken the counter further than these keys know.
            *next = before.get(key).copied().unwrap_or(0).max(*next);
        }
        Ok(())
    }

    /// Returns what the configuration file is known by that was applied last.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        self.inner().file.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Its members change together, after everything that can fail.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, inner: &mut Inner, rows: &Rows) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let database = match inner.database.take() {
            Some(database) => database,
            None => self.open_again(inner.sequence)?,
        };
        let database = inner.database.insert(database);
        let next = inner.sequence.saturating_add(1);
        let written = attempt(database, |transaction| rows.write(transaction, next));
        if let Err(error) = written {
            self.recover(inner, next, error)?;
        }
        inner.sequence = next;
        Ok(())
    }

    /// Opens the database that could not be opened for writing so far, if it is still what is in force.
    fn open_again(&self, sequence: u64) -> Result<Database, StoreError> {
        let lost = || StoreError::Lost(self.path.clone());
        let database = (self.open)().map_err(|_| lost())?;
        let prepared = self.schema.prepare(&database);
        let is_ours = matches!(prepared, Ok(Ok(())))
            && read::sequence(&database).is_ok_and(|found| found == sequence);
        if is_ours { Ok(database) } else { Err(lost()) }
    }

    /// Opens the database again after a failed write, which it demands, and looks whether the change
    /// got to the disk nevertheless: then it is done.
    fn recover(
        &self,
        inner: &mut Inner,
        wanted: u64,
        error: redb::Error,
    ) -> Result<(), StoreError> {
        // Closed first: the file is locked.
        inner.database = None;
        let lost = || StoreError::Lost(self.path.clone());
        let database = (self.open)().map_err(|_| lost())?;
        let found = read::sequence(&database).map_err(|_| lost())?;
        inner.database = Some(database);
        if found == wanted {
            return Ok(());
        }
        Err(StoreError::Write {
            path: self.path.clone(),
            source: Box::new(error),
        })
    }
}

/// Returns how the database at a path is opened.
fn open_at(path: &Path) -> Open {
    let path = path.to_owned();
    Box::new(move || builder().open(&path))
}

/// Returns how databases are opened. All of it is read anyway, so that every checksum may as well be
/// looked at: damage is then an error here, and no surprise later.
fn builder() -> Builder {
    let mut builder = Database::builder();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

/// Makes a new store, with the keys that an earlier version left.
fn create(dir: &Path, path: &Path, schema: Schema) -> Result<(), StoreError> {
    let old = keys_file::read(&dir.join(keys_file::FILE))?;
    let fresh = make(
        path,
        schema,
        &Estate::default(),
        &old.unwrap_or_default(),
        None,
    )?;
    files::publish(&fresh, path, dir)
}

/// Writes a store that has secrets in it anew without them, and overwrites the old one: what was
/// replaced in it may still be in pages that are not in use.
fn clean(
    dir: &Path,
    path: &Path,
    schema: Schema,
    seal: &Seal,
    contents: Contents,
) -> Result<(), StoreError> {
    let Saved { estate, keys, file } = contents.saved;
    let mut parts = estate.to_parts();
    seal_host(seal, &mut parts.host);
    for document in &mut parts.documents {
        document.seal(seal);
    }
    let table = contents.text.as_deref().map(str::parse::<toml::Table>);
    // One that cannot be read any more is known by nothing.
    let table = table.and_then(Result::ok);
    let mark = table.map(|table| mark(seal, &table)).or(file);
    let estate = Estate::from_parts(parts);
    let fresh = make(path, schema, &estate, &keys, mark.as_deref())?;
    files::replace(&fresh, path, dir)
}

/// Makes a store beside its place, to be moved there when it is complete, so that a crash leaves no
/// half of one. Returns where it is.
fn make(
    path: &Path,
    schema: Schema,
    estate: &Estate,
    keys: &Keys,
    file: Option<&str>,
) -> Result<PathBuf, StoreError> {
    let fresh = path.with_extension("redb.new");
    files::make(&fresh)?;
    let place = fresh.clone();
    let open = Box::new(move || builder().create(&place));
    let (store, contents) = Store::with(fresh.clone(), open, schema)?;
    store.commit(&Commit {
        old: &contents.saved.estate,
        new: estate,
        keys,
        file,
    })?;
    Ok(fresh)
}

fn attempt(
    database: &Database,
    act: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    act(&transaction)?;
    Ok(transaction.commit()?)
}
