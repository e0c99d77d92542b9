//! What tests of several rooms have in common.

use postern_host::front::caller::Caller;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A directory that goes away with its owner.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("postern-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// 2019-11-05T10:12:03.1234567Z.
pub(crate) fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_572_948_723, 123_456_700)
}

/// The caller of the vectors in the wire-identity reference, section 8.
pub(crate) fn subnet_caller() -> Caller {
    Caller::of("fd40:0:2a:7:1a:274:a00:104".parse().unwrap()).unwrap()
}
