//! A running `postern` with its configuration, namespaces and control socket.

use crate::control::Control;
use crate::netns::Netns;
use crate::tools::{Output, TempDir, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long `postern` may take to start, to apply or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `postern` has said so far, on both of its outputs.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Log {
    fn read_from(pipe: PipeReader) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                writer
                    .lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
                    .push(line);
                writer.changed.notify_all();
            }
            writer
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .1 = true;
            writer.changed.notify_all();
        });
        log
    }

    fn text(&self) -> String {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .join("\n")
    }

    /// Waits for a line that holds `word`; false if the output ended without one.
    fn wait(&self, word: &str, limit: Duration) -> bool {
        let has = |lines: &[String]| lines.iter().any(|line| line.contains(word));
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, _) = self
            .changed
            .wait_timeout_while(lines, limit, |(lines, ended)| !has(lines) && !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        has(&lines.0)
    }
}

#[derive(Debug)]
struct Daemon {
    child: Child,
    log: Arc<Log>,
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a child has a pid"), signal);
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        crate::wait::within(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }
}

/// What the refusal of a bad file must name.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The key that is wrong.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// A running `postern`. Drop stops it and removes its namespaces and files; if the case failed, its
/// log is printed.
#[derive(Debug)]
pub struct Fabric {
    daemon: Option<Daemon>,
    namespaces: BTreeMap<String, Netns>,
    dir: TempDir,
    run_arguments: Vec<String>,
}

impl Fabric {
    /// Writes the file, makes the namespaces that it names and runs `postern` until it is ready.
    ///
    /// # Panics
    ///
    /// Panics if `postern` does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start(toml: &str) -> Self {
        let mut fabric = Self::prepare(toml);
        fabric.run();
        fabric
    }

    /// Does what [`Fabric::start`] does, up to the running itself.
    #[must_use]
    pub fn prepare(toml: &str) -> Self {
        let mut fabric = Self {
            daemon: None,
            namespaces: BTreeMap::new(),
            dir: TempDir::create(),
            run_arguments: Vec::new(),
        };
        fabric.write("postern.toml", toml);
        fabric
    }

    /// Runs `postern run` on the fabric's file and waits until packets flow.
    ///
    /// # Panics
    ///
    /// Panics if `postern` does not become ready.
    #[track_caller]
    pub fn run(&mut self) {
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        let mut command = self.command();
        command
            .arg("run")
            .arg("-c")
            .arg(self.config())
            .args(&self.run_arguments);
        if let Some(workers) = workers()
            && !self.run_arguments.iter().any(|told| told == "--workers")
        {
            command.arg("--workers").arg(workers);
        }
        command.stdin(Stdio::null());
        command
            .stdout(writer.try_clone().expect("copy a pipe"))
            .stderr(writer);
        let child = command.spawn().expect("start postern");
        // The command holds the pipe's writing end too: gone, so that the log can end.
        drop(command);
        let daemon = Daemon {
            child,
            log: Log::read_from(reader),
        };
        let ready = daemon.log.wait("ready", PATIENCE);
        self.daemon = Some(daemon);
        assert!(ready, "postern is not ready");
    }

    /// Adds arguments for the next [`Fabric::run`].
    pub fn run_with(&mut self, arguments: &[&str]) {
        self.run_arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Writes a configuration file with the fabric's own namespaces, and makes those that it does
    /// not have yet. Returns the path.
    pub fn write(&mut self, name: &str, toml: &str) -> PathBuf {
        let mut text = String::new();
        for line in toml.lines() {
            let label = line
                .strip_prefix("namespace = \"")
                .and_then(|rest| rest.strip_suffix('"'));
            match label {
                Some(label) if !label.contains(['/', ':']) => {
                    let namespace = self
                        .namespaces
                        .entry(label.to_owned())
                        .or_insert_with(|| Netns::create(label));
                    text += &format!("namespace = \"{}\"\n", namespace.name());
                }
                _ => text += &format!("{line}\n"),
            }
        }
        self.dir.write(name, text)
    }

    /// Returns the namespace that the file calls `label`.
    ///
    /// # Panics
    ///
    /// Panics if the file names no such namespace.
    #[must_use]
    #[track_caller]
    pub fn namespace(&self, label: &str) -> &Netns {
        self.namespaces
            .get(label)
            .unwrap_or_else(|| panic!("no namespace {label}"))
    }

    /// As [`Fabric::namespace`], to change it.
    ///
    /// # Panics
    ///
    /// Panics if the file names no such namespace.
    #[track_caller]
    pub fn namespace_mut(&mut self, label: &str) -> &mut Netns {
        self.namespaces
            .get_mut(label)
            .unwrap_or_else(|| panic!("no namespace {label}"))
    }

    /// Returns the state of a port as `status` has it, with the reason where there is one, such as
    /// `detached: no namespace vm7`; nothing if there is no such port.
    ///
    /// # Panics
    ///
    /// Panics if `status` has no ports.
    #[must_use]
    #[track_caller]
    pub fn port_state(&self, port: &str) -> Option<String> {
        let status = self.json(&["status"]);
        let ports = status["ports"].as_array();
        let ports = ports.unwrap_or_else(|| panic!("no ports in {status}"));
        let port = ports.iter().find(|it| it["name"] == port)?;
        let state = port["state"].as_str().unwrap_or_default();
        Some(match port["reason"].as_str() {
            Some(reason) => format!("{state}: {reason}"),
            None => state.to_owned(),
        })
    }

    /// Returns whether there is a device of `postern` in the namespace that the file calls `label`.
    ///
    /// # Panics
    ///
    /// Panics if the file names no such namespace.
    #[must_use]
    #[track_caller]
    pub fn has_device(&self, label: &str) -> bool {
        run(self
            .namespace(label)
            .command("ip")
            .args(["link", "show", "postern0"]))
        .success()
    }

    /// Returns the most memory that the running `postern` had in use, in KiB.
    ///
    /// # Panics
    ///
    /// Panics if it is not running.
    #[must_use]
    #[track_caller]
    pub fn peak_memory_kib(&self) -> u64 {
        let daemon = self.daemon.as_ref().expect("postern runs");
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id()))
            .expect("postern runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        peak.unwrap_or_else(|| panic!("no peak in {status}"))
    }

    /// Returns how many threads of the running `postern` have this name.
    ///
    /// # Panics
    ///
    /// Panics if it is not running.
    #[must_use]
    #[track_caller]
    pub fn threads(&self, name: &str) -> usize {
        let daemon = self.daemon.as_ref().expect("postern runs");
        let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.child.id()));
        let names = threads.expect("postern runs").filter_map(|thread| {
            // A thread that has ended since has no name.
            std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
        });
        names.filter(|found| found.trim() == name).count()
    }

    /// Returns the processor time that all threads of the running `postern` took so far.
    ///
    /// # Panics
    ///
    /// Panics if it is not running.
    #[must_use]
    #[track_caller]
    pub fn processor_time(&self) -> Duration {
        let daemon = self.daemon.as_ref().expect("postern runs");
        let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.child.id()));
        let nanoseconds = threads.expect("postern runs").map(|thread| {
            let path = thread.expect("postern runs").path().join("schedstat");
            // A thread that has ended since has nothing to say.
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let first = text.split_whitespace().next();
            first.and_then(|first| first.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Returns every namespace of the fabric.
    pub fn namespaces(&self) -> impl Iterator<Item = &Netns> {
        self.namespaces.values()
    }

    /// Returns the fabric's directory.
    #[must_use]
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Returns the path of the file that `postern run` reads.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("postern.toml")
    }

    /// Returns the path of the control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("postern.sock")
    }

    /// Connects to the control socket.
    ///
    /// # Panics
    ///
    /// Panics if the daemon does not listen.
    #[must_use]
    #[track_caller]
    pub fn control(&self) -> Control {
        Control::connect(&self.socket()).expect("connect to the control socket")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .arg("--socket")
            .arg(self.socket())
            .env("POSTERN_STATE_DIR", self.dir.path().join("state"));
        command
    }

    /// Runs a verb against the running `postern`.
    #[must_use]
    pub fn postern(&self, arguments: &[&str]) -> Output {
        run(self.command().args(arguments))
    }

    /// Runs a reading verb with `-o json` and returns what it printed.
    ///
    /// # Panics
    ///
    /// Panics if the verb fails or prints no JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = run(self.command().args(arguments).args(["-o", "json"])).expect_success();
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{output}"))
    }

    /// Applies a new file and returns what `postern` said.
    ///
    /// # Panics
    ///
    /// Panics if it is refused.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "most callers only want it done")]
    pub fn apply(&mut self, toml: &str) -> Output {
        let path = self.write("next.toml", toml);
        self.postern(&["apply", &path.to_string_lossy()])
            .expect_success()
    }

    /// Switches an endpoint on or off and returns what `postern` said.
    ///
    /// # Panics
    ///
    /// Panics if it is refused.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "most callers only want it done")]
    pub fn endpoint(&self, switch: &str, subnet: &str, service: &str) -> Output {
        self.postern(&["endpoint", switch, &format!("VNet1/{subnet}"), service])
            .expect_success()
    }

    /// Returns the number of the running policy.
    ///
    /// # Panics
    ///
    /// Panics if `status` does not say it.
    #[must_use]
    #[track_caller]
    pub fn epoch(&self) -> u64 {
        let status = self.json(&["status"]);
        status["epoch"]
            .as_u64()
            .unwrap_or_else(|| panic!("no epoch in {status}"))
    }

    /// Returns how many shared public ports are in use, over all addresses and protocols.
    ///
    /// # Panics
    ///
    /// Panics if `stats` does not say it.
    #[must_use]
    #[track_caller]
    pub fn leases(&self) -> u64 {
        let stats = self.json(&["stats"]);
        let pools = stats["snat"]
            .as_array()
            .unwrap_or_else(|| panic!("no pools in {stats}"));
        let in_use = |pool: &Value, key: &str| pool[key].as_u64().unwrap_or(0);
        pools
            .iter()
            .map(|pool| in_use(pool, "tcp") + in_use(pool, "udp") + in_use(pool, "icmp"))
            .sum()
    }

    /// Returns the frames that were not forwarded, as `PORT DIRECTION REASON: COUNT`, without the
    /// IPv6 noise of every kernel.
    ///
    /// # Panics
    ///
    /// Panics if `stats` does not say it.
    #[must_use]
    #[track_caller]
    pub fn drops(&self) -> Vec<String> {
        let stats = self.json(&["stats"]);
        let list = |value: &Value| {
            value
                .as_array()
                .cloned()
                .unwrap_or_else(|| panic!("no drops in {stats}"))
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut drops = Vec::new();
        for port in list(&stats["ports"]) {
            for drop in list(&port["drops"]) {
                if drop["reason"] != "ipv6" {
                    let [port, direction, reason] =
                        [&port["name"], &drop["direction"], &drop["reason"]].map(text);
                    drops.push(format!("{port} {direction} {reason}: {}", drop["frames"]));
                }
            }
        }
        drops
    }

    /// Returns how many frames were not forwarded for a reason, over all ports.
    ///
    /// # Panics
    ///
    /// As [`Fabric::drops`].
    #[must_use]
    #[track_caller]
    pub fn drops_of(&self, reason: &str) -> u64 {
        let counts = self.drops().into_iter().filter_map(|drop| {
            let (what, count) = drop.rsplit_once(": ")?;
            what.ends_with(&format!(" {reason}"))
                .then(|| count.parse::<u64>().ok())?
        });
        counts.sum()
    }

    /// Checks that an output is a refusal that names its file, key and value and says what would be
    /// accepted, on one line.
    ///
    /// # Errors
    ///
    /// Returns what is not so.
    pub fn is_refused(output: &Output, file: &Path, expected: Refused<'_>) -> Result<(), String> {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        let Refused { key, value } = expected;
        let parts = [&*file, key, value, "accepted"];
        let names_all = |line: &str| parts.iter().all(|part| line.contains(part));
        if output.code != Some(1) {
            return Err(format!("not exit code 1: {output}"));
        }
        if !output.stderr.lines().any(names_all) {
            return Err(format!("no line names all of {parts:?}: {output}"));
        }
        Ok(())
    }

    /// Sends a signal to `postern`, which goes on.
    ///
    /// # Panics
    ///
    /// Panics if it is not running.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("postern runs").signal(signal);
    }

    /// Sends a signal to `postern` and waits until it is gone; returns how it ended.
    ///
    /// # Panics
    ///
    /// Panics if it is not running, or does not end.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("postern runs");
        daemon.signal(signal);
        let ended = daemon.wait(PATIENCE);
        let log = daemon.log.text();
        if ended.is_none() {
            daemon.signal(Signal::KILL);
        }
        ended.unwrap_or_else(|| panic!("{signal:?} did not end postern:\n{log}"))
    }

    /// Waits until `postern` ends by itself; returns how it ended and what it had said.
    ///
    /// # Panics
    ///
    /// Panics if it is not running, or does not end.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("postern runs");
        daemon.wait(PATIENCE).expect("postern ends by itself")
    }

    /// Returns all that the running `postern` has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon
            .as_ref()
            .map_or_else(String::new, |daemon| daemon.log.text())
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        daemon.signal(Signal::TERM);
        if daemon.wait(Duration::from_secs(5)).is_none() {
            daemon.signal(Signal::KILL);
            let _ = daemon.child.wait();
        }
        if thread::panicking() {
            eprintln!("-- postern's log\n{}", daemon.log.text());
        }
    }
}

/// Returns how many workers every `postern` is to have whose case does not say: `POSTERN_TEST_WORKERS`.
fn workers() -> Option<OsString> {
    std::env::var_os("POSTERN_TEST_WORKERS").filter(|workers| !workers.is_empty())
}

/// Returns the `postern` under test: `POSTERN_BIN`, or the one of the same build.
///
/// # Panics
///
/// Panics if it is not built.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("POSTERN_BIN") {
        return path.into();
    }
    // target/PROFILE/deps/CASE-HASH
    let mut path = std::env::current_exe().expect("find this program");
    path.pop();
    path.pop();
    path.push("postern");
    assert!(
        path.exists(),
        "{} is not built: cargo build",
        path.display()
    );
    path
}
