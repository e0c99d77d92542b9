//! The state directory: its lock, and how a new store comes into it.

use super::error::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes the directory if it is not there, and locks it for this process until the file is dropped.
///
/// # Errors
///
/// It cannot be made, or is another process's.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(failed(dir, "make the state directory"))?;
    let path = dir.join("lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path, "open"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(&path, "lock")(error)),
    }
}

/// Makes an empty file that only its owner reads, in the place of one that a crash left there.
///
/// # Errors
///
/// As the system.
pub(super) fn make(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(path, "remove")(error));
        }
        _ => {}
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map(drop).map_err(failed(path, "make"))
}

/// Gives a file the name `path`; that is on the disk when it returns.
///
/// # Errors
///
/// As the system.
pub(super) fn publish(fresh: &Path, path: &Path, dir: &Path) -> Result<(), StoreError> {
    fs::rename(fresh, path).map_err(failed(path, "put the new store in place of"))?;
    // Until the directory is on the disk too, a crash may take the name away.
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(failed(dir, "write to the disk"))
}

/// Puts a file that is not needed any more out of the way, if it is there.
///
/// # Errors
///
/// As the system.
pub(super) fn retire(path: &Path) -> Result<(), StoreError> {
    match fs::rename(path, path.with_extension("json.old")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(path, "put away")(error))
        }
        _ => Ok(()),
    }
}

fn failed(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, step, source }
}
