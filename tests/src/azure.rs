//! A fabric that is driven by Azure's clients: what its file has to say, and `az` and the SDKs, set
//! up by `postern az setup`.

use crate::fabric::Fabric;
use crate::netns::Netns;
use crate::servers::installed;
use crate::tools::{Output, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The tenant of the cases.
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// The subscription of the cases.
pub const SUBSCRIPTION: &str = "22222222-2222-4222-8222-222222222222";
/// Who may do everything: its client ID.
pub const OWNER: &str = "33333333-3333-4333-8333-333333333333";
/// Who may only look: its client ID.
pub const READER: &str = "44444444-4444-4444-8444-444444444444";
/// The secret of both; it protects nothing.
pub const SECRET: &str = "postern-end-to-end-test";

/// Returns a port of 127.0.0.1 that nothing listens at. It is fixed, so that clients find the daemon
/// again after a restart.
///
/// # Panics
///
/// Panics if there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

/// Returns what a file has to say for Azure's clients to come: the API at a free port, and its callers.
/// Tables of the file follow.
#[must_use]
pub fn azure_head() -> String {
    format!(
        "location = \"koreacentral\"\nsubscription = \"{SUBSCRIPTION}\"\ntenant = \"{TENANT}\"\n\
         [api]\nlisten = \"127.0.0.1:{}\"\n\
         [[servicePrincipal]]\nname = \"owner\"\nappId = \"{OWNER}\"\nsecret = \"{SECRET}\"\n\
         [[servicePrincipal]]\nname = \"reader\"\nappId = \"{READER}\"\nsecret = \"{SECRET}\"\n\
         [[roleAssignment]]\nprincipal = \"owner\"\nrole = \"Owner\"\n\
         [[roleAssignment]]\nprincipal = \"reader\"\nrole = \"Reader\"\n",
        free_port()
    )
}

/// Returns `az` in a namespace, for what needs no login: calls of services.
///
/// # Panics
///
/// Panics if it is not installed.
#[must_use]
#[track_caller]
pub fn az_command(namespace: &Netns, fabric: &Fabric) -> Command {
    let mut command = namespace.command(&installed("az/bin/az").to_string_lossy());
    command.env("AZURE_CONFIG_DIR", fabric.dir().path().join("az-config"));
    command.env("AZURE_CORE_COLLECT_TELEMETRY", "no");
    command
}

/// Returns what kinds of change a what-if foretells, of the resources that the template is about.
///
/// # Panics
///
/// Panics if it is none.
#[must_use]
#[track_caller]
pub fn planned(changes: &Value) -> Vec<&str> {
    let changes = changes.as_array().unwrap_or_else(|| panic!("{changes}"));
    let kinds = changes.iter().map(|change| {
        let kind = change.get("changeType").unwrap_or(change);
        kind.as_str().unwrap_or_default()
    });
    let mut kinds: Vec<_> = kinds.filter(|kind| *kind != "Ignore").collect();
    kinds.sort_unstable();
    kinds
}

/// Returns a `[[bind]]` table that puts the resources of a type whose name matches into a namespace.
#[must_use]
pub fn bind(kind: &str, name: &str, namespace: &str) -> String {
    format!("[[bind]]\ntype = \"{kind}\"\nname = \"{name}\"\nnamespace = \"{namespace}\"\n")
}

/// Azure's clients, set up for a running fabric.
#[derive(Debug)]
pub struct Azure {
    /// What `postern az setup` told: the variables that make clients find the fabric.
    variables: BTreeMap<String, String>,
    ran: AtomicUsize,
}

impl Azure {
    /// Sets up the clients by `postern az setup`, as the service principal that may do everything.
    ///
    /// # Panics
    ///
    /// Panics if that fails.
    #[must_use]
    #[track_caller]
    pub fn setup(fabric: &Fabric) -> Self {
        let dir = fabric.dir().path().join("azure");
        let dir = dir.to_string_lossy();
        let told = fabric
            .postern(&["az", "setup", "--dir", &dir, "--principal", "owner"])
            .expect_success();
        let export = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            let value = value.trim_matches(['"', '\'']);
            Some((name.to_owned(), value.to_owned()))
        };
        let variables: BTreeMap<_, _> = told.stdout.lines().filter_map(export).collect();
        let ran = AtomicUsize::new(0);
        Self { variables, ran }
    }

    /// Returns the URL of the API, without a slash at its end.
    ///
    /// # Panics
    ///
    /// Panics if the set-up did not tell it.
    #[must_use]
    #[track_caller]
    pub fn url(&self) -> &str {
        self.variable("AZURE_AUTHORITY_HOST")
    }

    #[track_caller]
    fn variable(&self, name: &str) -> &str {
        self.variables
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.variables))
    }

    /// Returns the file of the CA that clients have to trust.
    ///
    /// # Panics
    ///
    /// Panics if the set-up did not tell it.
    #[must_use]
    #[track_caller]
    pub fn ca(&self) -> &Path {
        Path::new(self.variable("REQUESTS_CA_BUNDLE"))
    }

    /// Returns a command with the variables of the clients.
    fn client(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command
            .envs(&self.variables)
            .env("AZURE_CLIENT_SECRET", SECRET)
            // Its start takes five seconds without what an earlier run compiled.
            .env_remove("PYTHONDONTWRITEBYTECODE");
        command
    }

    /// Runs `az` with the words of `line` and then these arguments.
    #[must_use]
    pub fn try_az(&self, line: &str, arguments: &[&str]) -> Output {
        let mut command = self.client(installed("az/bin/az"));
        command.args(line.split_whitespace()).args(arguments);
        run(command.args(["--output", "json"]))
    }

    /// Runs `az` with the words of `line` and then these arguments; returns what it printed.
    ///
    /// # Panics
    ///
    /// Panics if it fails or prints no JSON.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "most callers only want it done")]
    pub fn az_with(&self, line: &str, arguments: &[&str]) -> Value {
        let output = self.try_az(line, arguments).expect_success();
        self.ran.fetch_add(1, Ordering::Relaxed);
        if output.stdout.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{output}"))
    }

    /// Runs `az` with the words of `line`; returns what it printed.
    ///
    /// # Panics
    ///
    /// As [`Azure::az_with`].
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "most callers only want it done")]
    pub fn az(&self, line: &str) -> Value {
        self.az_with(line, &[])
    }

    /// Runs `az` with the words of `line` and checks that it fails with Azure's error code.
    ///
    /// # Panics
    ///
    /// Panics if it does not fail, or does not tell the code.
    #[track_caller]
    pub fn az_refused(&self, line: &str, code: &str) {
        let output = self.try_az(line, &[]);
        assert!(!output.success(), "not refused: {output}");
        assert!(output.stderr.contains(code), "not {code}: {output}");
    }

    /// Returns how many runs of `az` were successful.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ran.load(Ordering::Relaxed)
    }

    /// Returns a command that runs a program of `tests/clients` with the SDKs for its language; the
    /// URL and the subscription are its first arguments.
    #[must_use]
    #[track_caller]
    pub fn sdk(&self, program: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("clients")
            .join(program);
        let mut command = if program.ends_with(".py") {
            self.client(installed("python/bin/python3"))
        } else {
            let mut node = self.client("node".into());
            node.env("NODE_PATH", installed("node/node_modules"));
            node
        };
        command.arg(script).arg(self.url()).arg(SUBSCRIPTION);
        command
    }
}
