//! Commands, temporary directories, and the question whether end-to-end cases can run here.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a finished command left: how it ended and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// The exit code; `None` if it was killed by a signal or could not start.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Returns whether the command ended with exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Returns the output of a command that must have worked.
    ///
    /// # Panics
    ///
    /// Panics with all it said if the exit code is not 0.
    #[track_caller]
    #[allow(
        clippy::must_use_candidate,
        reason = "most callers only want the check"
    )]
    pub fn expect_success(self) -> Self {
        assert!(self.success(), "{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ended with {:?}", self.command, self.code)?;
        write!(
            f,
            "\n-- stdout\n{}\n-- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}

/// Runs a command to its end, with no input.
pub fn run(command: &mut Command) -> Output {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    match command.stdin(Stdio::null()).output() {
        Ok(output) => Output {
            command: line,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => Output {
            command: line,
            code: None,
            stdout: String::new(),
            stderr: format!("cannot start: {error}"),
        },
    }
}

/// A directory of the case's own, removed on drop.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Creates the directory.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be made.
    #[must_use]
    pub fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("make a temporary directory");
        Self(path)
    }

    /// Returns the directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into the directory and returns its path.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("write a file of the case");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns whether the cases can run: root, a TUN device and `ip`. Says loudly if they cannot.
///
/// # Panics
///
/// Panics where the environment says `CI=true`: there, a case that cannot run has failed.
#[must_use]
pub fn privileged() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "root"
    } else if OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .is_err()
    {
        "/dev/net/tun"
    } else if !run(Command::new("ip").arg("-Version")).success() {
        "the program `ip` (Debian: iproute2)"
    } else {
        return true;
    };
    let case = std::thread::current().name().unwrap_or("a case").to_owned();
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{case} needs {missing}"
    );
    // Past the test runner's capture: a skipped case must not look like a passed one.
    let _ = writeln!(io::stderr(), "\nSKIP {case}: needs {missing}");
    false
}

/// Lets this process open as many files as the system lets it: where both ends of many connections
/// are its own, the usual limit is too small.
///
/// # Panics
///
/// Panics if the limit cannot be changed.
pub fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, all).expect("more open files");
}

/// Returns a guard that keeps the heavy cases of one test program from running side by side.
pub fn serial() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}
