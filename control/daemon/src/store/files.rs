//! The state directory: its lock, and how a new store comes into it, in the place of an old one too.

use super::error::StoreError;
use rustix::fs::OFlags;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Makes the directory if it is not there, and locks it for this process until the file is dropped.
///
/// # Errors
///
/// It cannot be made, or is another process's.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(failed(dir, "make the state directory"))?;
    let found = fs::metadata(dir).map_err(failed(dir, "look at"))?;
    let own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    if !own || found.mode() & 0o022 != 0 {
        return Err(StoreError::Open(dir.to_owned()));
    }
    let path = dir.join("lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        // A disk that takes no writing has it from before.
        .or_else(|error| match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            _ => Err(error),
        })
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

/// Puts a file into the place of another one, which is overwritten: what was in it is not to be found on
/// the disk any more, as far as a file system says where it writes.
///
/// # Errors
///
/// As the system; the old file is there until the new one is.
pub(super) fn replace(fresh: &Path, path: &Path, dir: &Path) -> Result<(), StoreError> {
    let old = old_name(path);
    // A name of its own, so that it is still overwritten after a crash; not every file system has those.
    let is_named = fs::hard_link(path, &old).is_ok();
    let opened = OpenOptions::new().write(true).open(path);
    let mut left = opened.map_err(failed(path, "open"))?;
    publish(fresh, path, dir)?;
    overwrite(&mut left).map_err(failed(path, "overwrite the old form of"))?;
    match is_named {
        true => fs::remove_file(&old).map_err(failed(&old, "remove")),
        false => Ok(()),
    }
}

/// Overwrites and removes what [`replace`] left if it was interrupted.
///
/// # Errors
///
/// As the system.
pub(super) fn erase_left(path: &Path) -> Result<(), StoreError> {
    let old = old_name(path);
    let Ok(left) = fs::symlink_metadata(&old) else {
        return Ok(());
    };
    // It may be another name of the store itself: it was not replaced then.
    let is_replaced =
        fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) != (left.dev(), left.ino()));
    if is_replaced && left.is_file() {
        let opened = OpenOptions::new().write(true).open(&old);
        let done = opened.and_then(|mut old| overwrite(&mut old));
        done.map_err(failed(&old, "overwrite"))?;
    }
    fs::remove_file(&old).map_err(failed(&old, "remove"))
}

fn overwrite(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), file)?;
    file.sync_all()
}

fn old_name(path: &Path) -> PathBuf {
    path.with_extension("redb.old")
}

/// Puts a file that is not needed any more out of the way, if it is there.
///
/// # Errors
///
/// As the system.
pub(super) fn retire(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
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
