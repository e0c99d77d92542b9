//! Real servers of services, run in a namespace: Azurite, PostgreSQL, nginx.
//!
//! A server is a child process with a process group of its own; the guard ends the whole group and
//! waits for it, also when the case fails. What it said is printed then.

use crate::netns::Netns;
use crate::tools::{TempDir, run};
use crate::wait::within;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(10);

/// The key that the cases give to every storage account, in base64; it protects nothing.
pub const ACCOUNT_KEY: &str = "cG9zdGVybi1lbmQtdG8tZW5kLXRlc3Q=";

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate chain, PEM.
    pub chain: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// A running server. Drop ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a command with its output in `log`, and waits until something in `namespace` takes
    /// connections at `at`.
    ///
    /// # Panics
    ///
    /// Panics with the log if nothing does.
    #[must_use]
    #[track_caller]
    pub fn start(mut command: Command, log: PathBuf, namespace: &Netns, at: SocketAddr) -> Self {
        let output = File::create(&log).expect("make a server's log");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("copy a log's descriptor"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, log };
        let listens = namespace.enter(|| {
            within(START, || {
                TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok() || server.is_over()
            })
        });
        assert!(
            listens && !server.is_over(),
            "{command:?} does not listen at {at}:\n{}",
            server.log()
        );
        server
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Returns all that the server has said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(group) = group {
                let _ = kill_process_group(group, signal);
            }
            if within(STOP, || self.is_over()) {
                break;
            }
        }
        if std::thread::panicking() {
            eprintln!("-- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// Returns a program that `scripts/test.sh` installed from npm or PyPI.
pub(crate) fn installed(path: &str) -> PathBuf {
    let tools = std::env::var_os("POSTERN_TOOLS").map_or_else(
        // target/PROFILE/deps/CASE-HASH
        || {
            let case = std::env::current_exe().expect("find this program");
            let target = case.ancestors().nth(3).expect("a directory of the build");
            target.join("tools")
        },
        PathBuf::from,
    );
    let program = tools.join(path);
    assert!(
        program.exists(),
        "{} is missing: scripts/test.sh installs it",
        program.display()
    );
    program
}

/// Runs Azurite's blob service for these accounts, over TLS, on 127.0.0.1:10000 of the namespace.
///
/// # Panics
///
/// Panics if it does not start.
#[must_use]
#[track_caller]
pub fn azurite(
    namespace: &Netns,
    dir: &TempDir,
    accounts: &[&str],
    certificate: &Certificate,
) -> Server {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|account| format!("{account}:{ACCOUNT_KEY}"))
        .collect();
    let mut command = namespace.command("node");
    command
        .arg(installed("node/node_modules/azurite/dist/src/blob/main.js"))
        .args(["--blobHost", "127.0.0.1", "--blobPort", "10000"])
        .args(["--skipApiVersionCheck", "--disableTelemetry"])
        .arg("--inMemoryPersistence")
        .arg("--cert")
        .arg(&certificate.chain)
        .arg("--key")
        .arg(&certificate.key)
        .env("AZURITE_ACCOUNTS", accounts.join(";"));
    let log = dir.path().join("azurite.log");
    Server::start(
        command,
        log,
        namespace,
        SocketAddr::from(([127, 0, 0, 1], 10000)),
    )
}

/// Runs PostgreSQL at `at` in the namespace, with a database `postgres` that everyone may use as
/// the user `postgres`, by TCP alone.
///
/// # Panics
///
/// Panics if it does not start.
#[must_use]
#[track_caller]
pub fn postgresql(namespace: &Netns, dir: &TempDir, at: SocketAddr) -> Server {
    let (programs, data) = (postgresql_programs(), dir.path().join("pgdata"));
    // It refuses to run as root, and needs to be able to look into the directory.
    let as_postgres = |program: &Path| {
        let mut command = namespace.command("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        command.arg(program).current_dir("/");
        command
    };
    run(Command::new("install")
        .args(["-d", "-o", "postgres", "-m", "700"])
        .arg(&data))
    .expect_success();
    run(as_postgres(&programs.join("initdb"))
        .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
        .arg("-D")
        .arg(&data))
    .expect_success();
    let access = "host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n";
    std::fs::write(data.join("pg_hba.conf"), access).expect("write who may connect");
    let mut command = as_postgres(&programs.join("postgres"));
    command.arg("-D").arg(&data);
    for setting in [
        "fsync=off".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("listen_addresses={}", at.ip()),
        format!("port={}", at.port()),
        "log_connections=on".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    Server::start(command, dir.path().join("postgresql.log"), namespace, at)
}

/// Returns the directory of the server's programs; Debian keeps them out of the path.
fn postgresql_programs() -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is not there: scripts/test.sh installs it")
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("a version of PostgreSQL")
}

/// Runs nginx with this `http` block in the namespace; it must listen at `at`.
///
/// # Panics
///
/// Panics if it does not start.
#[must_use]
#[track_caller]
pub fn nginx(namespace: &Netns, dir: &TempDir, http: &str, at: SocketAddr) -> Server {
    let place = dir.path().display();
    let mut configuration = format!(
        "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\n"
    );
    for path in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        configuration += &format!("{path}_temp_path {place}/nginx-{path};\n");
    }
    configuration += &format!("{http}\n}}\n");
    let file = dir.write("nginx.conf", configuration);
    let mut command = namespace.command("nginx");
    command.arg("-p").arg(dir.path()).arg("-c").arg(file);
    Server::start(command, dir.path().join("nginx.log"), namespace, at)
}

/// Returns a command that runs a Python program of `tests/clients` with the SDKs, in a namespace.
///
/// # Panics
///
/// Panics if the SDKs are not installed.
#[must_use]
#[track_caller]
pub fn python_client(namespace: &Netns, program: &str) -> Command {
    let mut command = namespace.command(&installed("python/bin/python3").to_string_lossy());
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    command.arg(programs.join(program));
    command
}
