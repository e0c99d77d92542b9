//! `postern az setup` and `postern az env`: the real `az`, the SDKs and other clients of Azure, logged in to
//! this host.
//!
//! `az` keeps its clouds, logins and subscriptions in files of one directory. Writing them is all that a
//! login by service principal is, so that neither `az` nor the network is needed for it, and the user's
//! own directory is not touched.

use super::CliError;
use super::client::Client;
use super::output::print;
use crate::https::LoginView;
use crate::protocol::Request;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the cloud is called.
const CLOUD: &str = "postern";
/// The file with the exports, which `az` knows nothing of.
const EXPORTS: &str = "postern.env";
/// The authority's certificate alone.
const CA: &str = "postern-ca.pem";
/// That certificate and those that this system trusts: clients that are given a bundle use no other.
const BUNDLE: &str = "postern-bundle.pem";
/// Where systems keep the certificates that they trust.
const TRUSTED: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];
/// What `az` keeps of earlier logins, which may be over.
const STALE: [&str; 4] = [
    "msal_token_cache.json",
    "msal_token_cache.bin",
    "msal_http_cache.bin",
    "service_principal_entries.bin",
];

#[derive(Debug, Subcommand)]
pub(super) enum AzVerb {
    /// Log a configuration directory of its own in to the daemon, and print the exports that make `az`
    /// use it: eval "$(postern az setup)"
    Setup(SetupArgs),
    /// Print the exports of a directory that is set up: eval "$(postern az env)"
    Env(DirArgs),
}

/// Arguments of `az setup`.
#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// The service principal, by its name or appId; without it, the first of the configuration
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
}

/// Where the configuration directory is.
#[derive(Debug, Args)]
pub(super) struct DirArgs {
    /// The directory [default: postern/azure in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl DirArgs {
    fn path(&self) -> Result<PathBuf, AzError> {
        let path = match &self.dir {
            Some(dir) => dir.clone(),
            None => {
                let from = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
                let home = || from("HOME").map(|home| PathBuf::from(home).join(".config"));
                let base = from("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
                base.ok_or(AzError::NoHome)?.join("postern/azure")
            }
        };
        std::path::absolute(&path).map_err(|source| AzError::File { path, source })
    }
}

/// Why a directory is not set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum AzError {
    /// A file cannot be read or written.
    #[error("{}: cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody says where.
    #[error("there is no HOME; accepted: --dir DIR")]
    NoHome,
    /// The directory is somebody else's.
    #[error(
        "{}: has a cloud configuration of somebody else; accepted: a directory of its own (--dir DIR)",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The directory is not set up.
    #[error("{}: not set up; accepted: a directory that `postern az setup` has written, by --dir DIR", .0.display())]
    NotSetUp(PathBuf),
}

/// Sets a directory up; the exports go to the standard output.
pub(super) fn setup(args: &SetupArgs, client: &mut Client) -> Result<(), CliError> {
    let dir = args.dir.path()?;
    let principal = args.principal.clone();
    let login: LoginView = client.ask_for(&Request::Login { principal })?;
    let exports = write_all(&dir, &login)?;
    print(&exports)?;
    if !has_az() {
        let mut stderr = io::stderr().lock();
        let _ = writeln!(
            stderr,
            "note: az is not on the PATH; it works with {} once it is there \
             (such as by `python3 -m venv DIR && DIR/bin/pip install azure-cli`)",
            dir.display()
        );
    }
    Ok(())
}

/// Prints the exports of a directory.
pub(super) fn env(args: &DirArgs) -> Result<(), CliError> {
    let dir = args.path()?;
    match fs::read_to_string(dir.join(EXPORTS)) {
        Ok(exports) => Ok(print(exports)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(AzError::NotSetUp(dir).into()),
        Err(source) => {
            let path = dir.join(EXPORTS);
            Err(AzError::File { path, source }.into())
        }
    }
}

fn has_az() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("az").is_file())
}

/// Writes a directory, and returns the exports.
fn write_all(dir: &Path, login: &LoginView) -> Result<String, AzError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| AzError::File { path, source }
    };
    // What somebody keeps there of other clouds would be lost.
    let clouds = dir.join("clouds.config");
    if clouds.exists() && !dir.join(EXPORTS).exists() {
        return Err(AzError::Foreign(dir.to_owned()));
    }
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.map_err(at(dir))?;
    for name in STALE {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&dir.join(name))(error));
            }
            _ => {}
        }
    }
    let trusted = TRUSTED
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    let exports = exports(dir, login);
    for (name, text) in [
        (CA, login.ca.clone()),
        (
            BUNDLE,
            format!("{}{}", login.ca, trusted.unwrap_or_default()),
        ),
        ("config", CONFIG.to_owned()),
        ("clouds.config", clouds_config(login)),
        ("azureProfile.json", profile(login).to_string()),
        ("service_principal_entries.json", entries(login).to_string()),
        // Last: it says that all of it is there.
        (EXPORTS, exports.clone()),
    ] {
        let path = dir.join(name);
        write(&path, &text).map_err(at(&path))?;
    }
    Ok(exports)
}

/// Writes a file anew, for its owner alone.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft);
    let written = opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Asks nobody but this host: no discovery of authorities, no telemetry, no surveys, no updates.
const CONFIG: &str = "[cloud]
name = postern

[core]
instance_discovery = false
collect_telemetry = false
survey_message = false
login_experience_v2 = false

[auto-upgrade]
enable = no
";

fn clouds_config(login: &LoginView) -> String {
    let mut text = format!("[{CLOUD}]\n");
    for name in [
        "management",
        "resource_manager",
        "sql_management",
        "gallery",
        "portal",
        "active_directory",
        "active_directory_resource_id",
        "active_directory_graph_resource_id",
        "active_directory_data_lake_resource_id",
        "microsoft_graph_resource_id",
        "batch_resource_id",
        "media_resource_id",
        "log_analytics_resource_id",
    ] {
        text.push_str(&format!("endpoint_{name} = {}\n", login.url));
    }
    for (name, suffix) in [
        ("storage_endpoint", "core.windows.net"),
        ("keyvault_dns", ".vault.azure.net"),
        ("sql_server_hostname", ".database.windows.net"),
        ("mysql_server_endpoint", ".mysql.database.azure.com"),
        ("postgresql_server_endpoint", ".postgres.database.azure.com"),
        ("mariadb_server_endpoint", ".mariadb.database.azure.com"),
        ("acr_login_server_endpoint", ".azurecr.io"),
        (
            "azure_datalake_store_file_system_endpoint",
            "azuredatalakestore.net",
        ),
    ] {
        text.push_str(&format!("suffix_{name} = {suffix}\n"));
    }
    if let Some((id, _)) = login.subscriptions.first() {
        text.push_str(&format!("subscription = {id}\n"));
    }
    text
}

fn profile(login: &LoginView) -> Value {
    let show = |(at, (id, name)): (usize, &(String, String))| {
        json!({
            "id": id,
            "name": name,
            "state": "Enabled",
            "isDefault": at == 0,
            "tenantId": login.tenant,
            "homeTenantId": login.tenant,
            "managedByTenants": [],
            "environmentName": CLOUD,
            "user": { "name": login.app_id, "type": "servicePrincipal" },
        })
    };
    let subscriptions: Vec<Value> = login.subscriptions.iter().enumerate().map(show).collect();
    json!({ "subscriptions": subscriptions })
}

fn entries(login: &LoginView) -> Value {
    json!([{
        "client_id": login.app_id,
        "tenant": login.tenant,
        "client_secret": login.secret,
    }])
}

/// Returns what a shell has to export: for `az`, for Python, for Node, and what the SDKs read. The secret is
/// not among it, as processes show their environment.
fn exports(dir: &Path, login: &LoginView) -> String {
    let file = |name: &str| dir.join(name).display().to_string();
    let subscription = login.subscriptions.first().map(|(id, _)| id.as_str());
    [
        ("AZURE_CONFIG_DIR", dir.display().to_string()),
        ("REQUESTS_CA_BUNDLE", file(BUNDLE)),
        ("NODE_EXTRA_CA_CERTS", file(CA)),
        ("AZURE_AUTHORITY_HOST", login.url.clone()),
        ("AZURE_TENANT_ID", login.tenant.clone()),
        ("AZURE_CLIENT_ID", login.app_id.clone()),
        (
            "AZURE_SUBSCRIPTION_ID",
            subscription.unwrap_or_default().to_owned(),
        ),
    ]
    .map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
    .concat()
}

/// Returns a text as a shell reads it back.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Scratch;
    use std::os::unix::fs::PermissionsExt;

    fn login() -> LoginView {
        LoginView {
            url: "https://localhost:8443".into(),
            ca: "-----BEGIN CERTIFICATE-----\n".into(),
            tenant: "t".into(),
            app_id: "a".into(),
            secret: "s3cret".into(),
            subscriptions: vec![("s".into(), "Lab".into()), ("s2".into(), "Two".into())],
        }
    }

    #[test]
    fn a_directory_is_set_up_for_its_owner_alone() {
        let scratch = Scratch::new("cli-az");
        let exports = write_all(&scratch.0, &login()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&scratch.0), 0o700);
        for file in fs::read_dir(&scratch.0).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        let read = |name: &str| fs::read_to_string(scratch.0.join(name)).unwrap();
        assert_eq!(read(EXPORTS), exports);
        assert!(!exports.contains("s3cret"));
        assert!(exports.contains("export AZURE_AUTHORITY_HOST='https://localhost:8443'\n"));
        let profile: Value = serde_json::from_str(&read("azureProfile.json")).unwrap();
        assert_eq!(profile["subscriptions"][0]["isDefault"], true);
        assert_eq!(profile["subscriptions"][1]["isDefault"], false);
        assert!(
            read("clouds.config").contains("endpoint_resource_manager = https://localhost:8443\n")
        );
        assert!(read(BUNDLE).starts_with("-----BEGIN CERTIFICATE-----"));
        // Again, with what `az` has made of the token meanwhile.
        fs::write(scratch.0.join(STALE[0]), "old").unwrap();
        write_all(&scratch.0, &login()).unwrap();
        assert!(!scratch.0.join(STALE[0]).exists());
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let scratch = Scratch::new("cli-az-foreign");
        fs::create_dir(&scratch.0).unwrap();
        fs::write(scratch.0.join("clouds.config"), "[mine]").unwrap();
        let refused = write_all(&scratch.0, &login());
        assert!(matches!(refused, Err(AzError::Foreign(_))));
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
        let args = DirArgs {
            dir: Some(scratch.0.clone()),
        };
        assert!(matches!(
            env(&args),
            Err(CliError::Az(AzError::NotSetUp(_)))
        ));
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("a'b c"), "'a'\\''b c'");
    }
}
