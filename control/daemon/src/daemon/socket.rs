//! The control socket as a file: one daemon at a time, nothing left behind.
//!
//! A lock on a file beside the socket says whether a daemon lives: the kernel drops it however the
//! daemon ends, so that the socket of a killed one can be replaced without a race, and a live one
//! is never robbed of its socket.

use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use tracing::warn;

/// A link is not followed to what it names.
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Where the socket is if nobody says otherwise.
pub const DEFAULT_PATH: &str = "/run/postern/postern.sock";

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon is listening there.
    #[error("{}: postern is already running with this socket; stop it with `postern down`, or \
        choose another with --socket", .0.display())]
    AlreadyRunning(PathBuf),
    /// The path is taken by something else.
    #[error("{}: exists and is not a socket; choose another path with --socket", .0.display())]
    NotASocket(PathBuf),
    /// Others may put what they like into the directory.
    #[error("{}: everybody may write there, so that anybody could take the place of the socket; \
        accepted: a directory that only its owner writes, or one with the sticky bit", .0.display())]
    Open(PathBuf),
    /// A file or directory could not be made.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// What was being made or looked at.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// The bound socket; dropping it removes its files.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    lock_path: PathBuf,
    made_directory: Option<PathBuf>,
    // Held for its lock, which ends with the descriptor.
    _lock: File,
}

impl ControlSocket {
    /// Binds the socket at `path` with mode 0600; makes its directory if there is none.
    ///
    /// Call it before other threads start: the file-creation mask is changed for a moment.
    ///
    /// # Errors
    ///
    /// Fails if another daemon has the socket, or if its files cannot be made.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        refuse_other_files(path)?;
        let made_directory = make_directory(path)?;
        refuse_open_directory(path)?;
        let lock_path = lock_path(path);
        let lock = lock(path, &lock_path)?;
        remove_stale(path)?;
        let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(path);
        rustix::process::umask(mask);
        let listener = bound.map_err(failed(path, "bind"))?;
        listener
            .set_nonblocking(true)
            .map_err(failed(path, "set non-blocking"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            lock_path,
            made_directory,
            _lock: lock,
        })
    }

    /// Returns another handle of the listening socket.
    ///
    /// # Errors
    ///
    /// Fails if the process has no descriptor left.
    pub fn listener(&self) -> Result<UnixListener, SocketError> {
        self.listener
            .try_clone()
            .map_err(failed(&self.path, "duplicate"))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The lock goes last: until then nobody else takes these paths for theirs.
        for path in [&self.path, &self.lock_path] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(path = %path.display(), %error, "cannot remove");
            }
        }
        if let Some(directory) = &self.made_directory {
            // Somebody else may have put files there; then it stays.
            let _ = fs::remove_dir(directory);
        }
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io {
        path,
        doing,
        source,
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

/// Makes the directory of `path`; returns it if it is ours to remove: it was not there, or nobody
/// but a killed daemon can have made it.
fn make_directory(path: &Path) -> Result<Option<PathBuf>, SocketError> {
    let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(None);
    };
    if directory.is_dir() {
        let is_default = Path::new(DEFAULT_PATH).parent() == Some(directory);
        return Ok(is_default.then(|| directory.to_owned()));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(failed(directory, "make the directory"))?;
    Ok(Some(directory.to_owned()))
}

/// Takes the lock, without waiting for a daemon that holds it.
///
/// Whoever can open a file can hold its lock, so nobody else may open this one: what is there and is open
/// to others, such as the lock of an earlier version, is replaced, unless a daemon answers.
fn lock(path: &Path, lock_path: &Path) -> Result<File, SocketError> {
    const TRIES: u32 = 1_000;
    for _ in 0..TRIES {
        let file = match own_lock(lock_path)? {
            Some(file) => file,
            None if is_answered(path) => return Err(SocketError::AlreadyRunning(path.to_owned())),
            None => {
                replace_lock(lock_path)?;
                continue;
            }
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SocketError::AlreadyRunning(path.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(lock_path, "lock")(error)),
        }
        // A daemon that stops removes the file: a lock on a file that is no longer at the path
        // guards nothing, so take the one that is there now.
        let held = file.metadata().map_err(failed(lock_path, "look at"))?;
        if fs::symlink_metadata(lock_path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino()))
        {
            return Ok(file);
        }
    }
    let source = io::Error::other("somebody else replaces it all the time");
    Err(failed(lock_path, "lock")(source))
}

/// Opens the lock file, made if there is none; nothing if it is one that others can open.
fn own_lock(lock_path: &Path) -> Result<Option<File>, SocketError> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(NO_FOLLOW);
    match fs::symlink_metadata(lock_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match options.clone().create_new(true).open(lock_path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(Some).map_err(failed(lock_path, "make")),
            }
        }
        Err(error) => return Err(failed(lock_path, "look at")(error)),
        Ok(_) => {}
    }
    let is_private = |found: &fs::Metadata| {
        found.is_file()
            && found.uid() == rustix::process::geteuid().as_raw()
            && found.mode() & 0o077 == 0
    };
    match fs::symlink_metadata(lock_path) {
        Ok(found) if !is_private(&found) => return Ok(None),
        _ => {}
    }
    match options.open(lock_path) {
        // It has gone, or is another one, since then.
        Err(error) if error.kind() == io::ErrorKind::NotFound => own_lock(lock_path),
        Err(error) => Err(failed(lock_path, "open")(error)),
        Ok(file) => {
            let found = file.metadata().map_err(failed(lock_path, "look at"))?;
            Ok(is_private(&found).then_some(file))
        }
    }
}

fn replace_lock(lock_path: &Path) -> Result<(), SocketError> {
    match fs::remove_file(lock_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(
            lock_path,
            "replace the lock that others can hold",
        )(error)),
        _ => Ok(()),
    }
}

/// Returns whether a daemon listens.
fn is_answered(path: &Path) -> bool {
    let is_ours = fs::symlink_metadata(path)
        .is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw());
    is_ours && UnixStream::connect(path).is_ok()
}

/// Refuses a directory in which anybody can remove and make files of others.
fn refuse_open_directory(path: &Path) -> Result<(), SocketError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let found = fs::metadata(directory).map_err(failed(directory, "look at"))?;
    let (writable, sticky) = (found.mode() & 0o002 != 0, found.mode() & 0o1000 != 0);
    let own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    if own && (!writable || sticky) {
        return Ok(());
    }
    Err(SocketError::Open(directory.to_owned()))
}

/// Refuses a path at which there is something else than a socket, before anything is made.
fn refuse_other_files(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(SocketError::NotASocket(path.to_owned()))
        }
        // What else is wrong with the path shows when it is used.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Removes the socket that a killed daemon left; call it with the lock held.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path, "remove the stale socket")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of one test, removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("postern-socket-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_socket_is_private_and_leaves_nothing_behind() {
        let scratch = Scratch::new();
        let path = scratch.0.join("made").join("postern.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
    }

    #[test]
    fn a_live_daemon_keeps_its_socket() {
        let scratch = Scratch::new();
        let path = scratch.0.join("postern.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert!(matches!(
            ControlSocket::bind(&path),
            Err(SocketError::AlreadyRunning(_))
        ));
        UnixStream::connect(&path).unwrap();
        drop(socket);
        ControlSocket::bind(&path).unwrap();
    }

    #[test]
    fn the_socket_of_a_killed_daemon_is_replaced() {
        let scratch = Scratch::new();
        let path = scratch.0.join("postern.sock");
        drop(UnixListener::bind(&path).unwrap());
        fs::write(lock_path(&path), "").unwrap();
        assert!(path.exists());
        let _socket = ControlSocket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_lock_that_others_can_hold_keeps_nobody_out() {
        let scratch = Scratch::new();
        let path = scratch.0.join("postern.sock");
        let lock = lock_path(&path);
        // As an earlier version made it: whoever reads it can hold it, and somebody does.
        fs::write(&lock, "").unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o644)).unwrap();
        let held = File::open(&lock).unwrap();
        held.try_lock().unwrap();
        let socket = ControlSocket::bind(&path).unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&lock), mode(&path)), (0o600, 0o600));
        drop(socket);
        // The same, where a daemon of such a version runs.
        let listener = UnixListener::bind(&path).unwrap();
        fs::write(&lock, "").unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = ControlSocket::bind(&path);
        assert!(matches!(refused, Err(SocketError::AlreadyRunning(_))));
        assert!(path.exists() && lock.exists());
        drop(listener);
        ControlSocket::bind(&path).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let scratch = Scratch::new();
        let path = scratch.0.join("postern.sock");
        let victim = scratch.0.join("victim");
        fs::write(&victim, "keep me").unwrap();
        for target in [&victim, &scratch.0.join("nothing")] {
            std::os::unix::fs::symlink(target, lock_path(&path)).unwrap();
            let socket = ControlSocket::bind(&path).unwrap();
            assert!(!fs::symlink_metadata(lock_path(&path)).unwrap().is_symlink());
            drop(socket);
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "keep me");
        assert!(!scratch.0.join("nothing").exists());
        // Nor one in the place of the socket.
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let refused = ControlSocket::bind(&path);
        assert!(matches!(refused, Err(SocketError::NotASocket(_))));
    }

    #[test]
    fn a_directory_that_everybody_writes_is_refused() {
        let scratch = Scratch::new();
        let open = scratch.0.join("open");
        fs::create_dir(&open).unwrap();
        let path = open.join("postern.sock");
        let mode = |mode| fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let refused = ControlSocket::bind(&path);
        assert!(matches!(refused, Err(SocketError::Open(_))), "{refused:?}");
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
        mode(0o1777);
        ControlSocket::bind(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let scratch = Scratch::new();
        let path = scratch.0.join("notes.txt");
        fs::write(&path, "keep me").unwrap();
        assert!(matches!(
            ControlSocket::bind(&path),
            Err(SocketError::NotASocket(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "keep me");
        assert_eq!(
            fs::read_dir(&scratch.0).unwrap().count(),
            1,
            "and nothing is put beside it"
        );
    }
}
