//! `postern ca` and `postern ca issue`: the local certificate authority, with or without a daemon.

use super::CliError;
use super::output::{Format, print, print_json};
use super::run::state_dir;
use clap::{Args, Subcommand};
use postern_host::front::ca::{CaError, DIRECTORY, Issued, LocalCa};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Arguments of `ca`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct CaArgs {
    #[command(subcommand)]
    verb: Option<CaVerb>,
    /// Print the certificate itself instead of where it is
    #[arg(long)]
    pem: bool,
    /// Table for people, JSON for programs
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    state: StateArgs,
}

/// Where the authority is.
#[derive(Debug, Args)]
struct StateArgs {
    /// The state directory of the daemon
    /// [env: POSTERN_STATE_DIR] [default: /var/lib/postern]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum CaVerb {
    /// Issue a certificate for a backend, which clients of the local CA trust
    Issue(IssueArgs),
}

/// Arguments of `ca issue`.
#[derive(Debug, Args)]
struct IssueArgs {
    /// The host name or IP address that clients call
    name: String,
    /// Where to put the certificate, followed by the authority's
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Where to put the private key, readable by the owner only
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    state: StateArgs,
}

/// Shows the authority, or issues a certificate.
pub(super) fn ca(args: &CaArgs) -> Result<(), CliError> {
    match &args.verb {
        Some(CaVerb::Issue(args)) => issue(args),
        None => show(args),
    }
}

fn open(state: &StateArgs) -> Result<LocalCa, CaError> {
    LocalCa::open(&state_dir(state.state_dir.as_deref()).join(DIRECTORY))
}

fn show(args: &CaArgs) -> Result<(), CliError> {
    let ca = open(&args.state)?;
    let path = ca.path();
    match args.output {
        Format::Json => print_json(&json!({ "path": path, "pem": ca.pem() }))?,
        Format::Table if args.pem => print(ca.pem())?,
        Format::Table => print(format!("{}\n", path.display()))?,
    }
    Ok(())
}

fn issue(args: &IssueArgs) -> Result<(), CliError> {
    let Issued { certificate, key } = open(&args.state)?.issue(&args.name)?;
    write(&args.key, 0o600, &key)?;
    write(&args.cert, 0o644, &certificate)?;
    Ok(())
}

/// Writes a file anew: one that is there keeps neither its content nor its mode.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), CaError> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(&draft);
    let written = opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&draft, path));
    written.map_err(|source| {
        let _ = std::fs::remove_file(&draft);
        CaError::File {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Scratch;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_issued_key_is_readable_by_its_owner_only_whatever_was_there() {
        let scratch = Scratch::new("cli-ca");
        std::fs::create_dir(&scratch.0).unwrap();
        let (cert, key) = (scratch.0.join("a.pem"), scratch.0.join("a.key"));
        std::fs::write(&key, "old and open").unwrap();
        let args = IssueArgs {
            name: "a.example".to_owned(),
            cert: cert.clone(),
            key: key.clone(),
            state: StateArgs {
                state_dir: Some(scratch.0.clone()),
            },
        };
        issue(&args).unwrap();
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            std::fs::read_to_string(&key)
                .unwrap()
                .contains("PRIVATE KEY")
        );
        let cert = std::fs::read_to_string(&cert).unwrap();
        assert!(cert.ends_with(open(&args.state).unwrap().pem()));
        let missing = scratch.0.join("no/such/a.pem");
        assert!(write(&missing, 0o600, "").is_err());
    }
}
