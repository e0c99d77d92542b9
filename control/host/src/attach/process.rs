//! Processes behind numbers: which one has a number now, and whether it is the one that was meant.

use super::AttachError;
use super::namespace::{id_of, open_file};
use postern_network::model::{NamespaceRef, Pin, Process};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Returns the process that has this number now, if there is one.
pub(super) fn process(pid: u32) -> Option<Process> {
    // Between two looks at the number the process may be another one; then once more.
    for _ in 0..3 {
        let start = start(pid)?;
        let namespace = NamespaceRef::Pid(pid);
        let file = open_file(&namespace, &path(pid)).ok()?;
        let id = id_of(&namespace, &file).ok()?;
        if self::start(pid) == Some(start) {
            return Some(Process {
                boot: boot().to_owned(),
                start,
                device: id.device,
                inode: id.inode,
            });
        }
    }
    None
}

/// Opens the namespace of a process, if it is still the one that was meant.
pub(super) fn open(written: &NamespaceRef, pin: &Pin) -> Result<OwnedFd, AttachError> {
    let other = |how| AttachError::OtherProcess {
        namespace: written.clone(),
        how,
    };
    // First, so that a process that is gone is said to be gone.
    let file = open_file(written, &path(pin.pid))?;
    let Some(wanted) = &pin.process else {
        return Err(other("no process had this number"));
    };
    let id = id_of(written, &file)?;
    // Looked at last: the process that has the number now had it when the file was opened, unless it
    // is another one, which this tells.
    if boot() != wanted.boot || start(pin.pid) != Some(wanted.start) {
        return Err(other("it was another process"));
    }
    if (id.device, id.inode) != (wanted.device, wanted.inode) {
        return Err(other("the process was in another namespace"));
    }
    Ok(file)
}

fn path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// Returns when the process of this number began.
fn start(pid: u32) -> Option<u64> {
    /// The place of the number behind the name, which may hold spaces and brackets.
    const PLACE: usize = 19;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(PLACE)?.parse().ok()
}

/// Returns the name of this boot of the host: times are told from its beginning.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        read.unwrap_or_default().trim().to_owned()
    })
}
