//! The bytes of a store in memory, where the disk takes no writing.

use redb::StorageBackend;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store that is read from memory, and forgotten.
#[derive(Debug)]
pub(super) struct Memory(Mutex<Vec<u8>>);

impl Memory {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(bytes))
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the place of `length` bytes at `offset`.
fn place(offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
    let beyond = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let start = usize::try_from(offset).map_err(|_| beyond())?;
    let end = start.checked_add(length).ok_or_else(beyond)?;
    Ok(start..end)
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        u64::try_from(self.bytes().len()).map_err(io::Error::other)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        let found = bytes.get(place(offset, out.len())?);
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.bytes().resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let place = place(offset, data.len())?;
        let mut bytes = self.bytes();
        if bytes.len() < place.end {
            bytes.resize(place.end, 0);
        }
        if let Some(into) = bytes.get_mut(place) {
            into.copy_from_slice(data);
        }
        Ok(())
    }
}
