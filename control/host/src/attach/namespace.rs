//! Opening network namespaces and working inside them.

use super::{AttachError, process};
use postern_dataplane::io::unshare_network;
use postern_network::model::NamespaceRef;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where named namespaces are.
pub(super) const NAMED: &str = "/run/netns";

/// What `statfs` says of a namespace's file.
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// Returns the file that stands for a namespace; for Postern's own, the one that a thread in it sees.
fn path(namespace: &NamespaceRef) -> PathBuf {
    match namespace {
        NamespaceRef::Name(name) => Path::new(NAMED).join(name),
        NamespaceRef::Path(path) => path.clone(),
        NamespaceRef::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
        NamespaceRef::Pinned(pinned) => path(&pinned.written),
        NamespaceRef::Own => PathBuf::from("/proc/thread-self/ns/net"),
        // There is nothing to open.
        NamespaceRef::Unattached => PathBuf::new(),
    }
}

/// Opens a namespace and checks, as far as can be seen from outside, that it is a network one.
pub(super) fn open(namespace: &NamespaceRef) -> Result<OwnedFd, AttachError> {
    match namespace {
        NamespaceRef::Own => open_own(),
        NamespaceRef::Pinned(pinned) => process::open(&pinned.written, &pinned.pin),
        namespace => open_file(namespace, &path(namespace)),
    }
}

/// Opens the file that stands for a namespace, and checks that it does.
pub(super) fn open_file(namespace: &NamespaceRef, path: &Path) -> Result<OwnedFd, AttachError> {
    // Not blocking: the path may turn out to be a FIFO.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = opened.map_err(|reason| match reason {
        Errno::ACCESS | Errno::PERM => AttachError::Enter {
            namespace: namespace.clone(),
            reason,
        },
        reason => AttachError::NotFound {
            namespace: namespace.clone(),
            path: path.to_owned(),
            reason,
        },
    })?;
    // A name whose mount is gone is a plain file. The kernel names what was opened by way of a
    // process, such as `mnt:[4026531841]`; of a mounted file only entering tells the kind.
    let is_namespace = rustix::fs::fstatfs(&file).is_ok_and(|stat| stat.f_type == NSFS_MAGIC);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let link = link.unwrap_or_default().to_string_lossy().into_owned();
    let is_other_kind = link.contains(":[") && !link.starts_with('/') && !link.starts_with("net:[");
    if is_namespace && !is_other_kind {
        Ok(file)
    } else {
        Err(AttachError::NotNetwork {
            namespace: namespace.clone(),
            path: path.to_owned(),
        })
    }
}

/// Which namespace it is: one that is removed and made again under the same name is another. An
/// attached port keeps its namespace alive, so that the number of that one is not given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl NamespaceId {
    /// Returns the identity with these numbers.
    #[must_use]
    pub const fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }
}

/// Opens a namespace and returns which one it is.
pub(super) fn identify(namespace: &NamespaceRef) -> Result<NamespaceId, AttachError> {
    id_of(namespace, &open(namespace)?)
}

/// Returns which namespace was opened.
pub(super) fn id_of(namespace: &NamespaceRef, file: &OwnedFd) -> Result<NamespaceId, AttachError> {
    let found = rustix::fs::fstat(file).map_err(|reason| AttachError::Enter {
        namespace: namespace.clone(),
        reason,
    })?;
    Ok(NamespaceId::new(found.st_dev, found.st_ino))
}

/// Runs `work` inside a namespace, on a thread that ends with it, and waits for it.
pub(super) fn enter<R: Send>(
    namespace: &NamespaceRef,
    work: impl FnOnce() -> Result<R, AttachError> + Send,
) -> Result<R, AttachError> {
    enter_in(namespace, None, |_| work())
}

/// Runs `work` inside a namespace as [`enter`] does, if it is the one that is expected; tells it which
/// one it is.
pub(super) fn enter_in<R: Send>(
    namespace: &NamespaceRef,
    expected: Option<NamespaceId>,
    work: impl FnOnce(NamespaceId) -> Result<R, AttachError> + Send,
) -> Result<R, AttachError> {
    let file = open(namespace)?;
    let id = id_of(namespace, &file)?;
    if expected.is_some_and(|expected| expected != id) {
        return Err(AttachError::Replaced {
            namespace: namespace.clone(),
        });
    }
    on_thread(namespace, || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
            |reason| match reason {
                Errno::INVAL => AttachError::NotNetwork {
                    namespace: namespace.clone(),
                    path: path(namespace),
                },
                reason => AttachError::Enter {
                    namespace: namespace.clone(),
                    reason,
                },
            },
        )?;
        work(id)
    })
}

/// The namespace of [`NamespaceRef::Own`], once it is made. The process has one, and nothing is left
/// to clean up: the kernel takes it away when the process and its last device are gone.
static OWN: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Opens Postern's own namespace, and makes it first if need be.
fn open_own() -> Result<OwnedFd, AttachError> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let file = match own.take() {
        Some(file) => file,
        None => make_own()?,
    };
    own.insert(file)
        .try_clone()
        .map_err(helper(&NamespaceRef::Own))
}

fn make_own() -> Result<OwnedFd, AttachError> {
    let namespace = NamespaceRef::Own;
    on_thread(&namespace, || {
        let made = unshare_network().and_then(|()| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())
        });
        made.map_err(|reason| AttachError::Enter {
            namespace: namespace.clone(),
            reason,
        })
    })
}

/// Runs `work` on a thread that ends with it, so that no other thread changes its namespace, and
/// waits for it.
fn on_thread<R: Send>(
    namespace: &NamespaceRef,
    work: impl FnOnce() -> Result<R, AttachError> + Send,
) -> Result<R, AttachError> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("postern-attach".to_owned());
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(helper(namespace))?;
        thread.join().unwrap_or_else(|_| {
            let ended = "the thread ended before its work was done";
            Err(helper(namespace)(std::io::Error::other(ended)))
        })
    })
}

fn helper(namespace: &NamespaceRef) -> impl Fn(std::io::Error) -> AttachError {
    move |source| AttachError::Helper {
        namespace: namespace.clone(),
        source,
    }
}
