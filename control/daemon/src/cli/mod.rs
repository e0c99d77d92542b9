//! The command line: one file per verb.
//!
//! A verb either works alone (`run`, `check`) or asks the running daemon over its control socket.
//! Results go to the standard output, as tables for people or as JSON for programs; what went
//! wrong goes to the standard error, one line each. Exit codes: 0 done, 1 refused or failed,
//! 2 usage.

mod apply;
mod arm;
mod az;
mod ca;
mod check;
mod client;
mod deploy;
mod diff;
mod down;
mod endpoint;
mod export;
mod files;
mod flows;
mod nsg;
mod output;
mod preview;
mod routes;
mod run;
mod service;
mod stats;
mod status;
mod table;
mod tags;

use crate::daemon::{DEFAULT_PATH, ServerError};
use crate::memory;
use clap::{Args, Parser, Subcommand};
use client::{Client, ClientError};
use output::Format;
use postern_host::front::ca::CaError;
use postern_network::catalog::{Catalog, CatalogError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

const EXIT_REFUSED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// The version of the API that verbs speak where none is told.
const DEFAULT_API_VERSION: &str = "2024-05-01";

/// Azure-style virtual networks with service endpoints, on real packets.
#[derive(Debug, Parser)]
#[command(name = "postern", version, arg_required_else_help = true)]
struct Cli {
    /// Control socket of the daemon [env: POSTERN_SOCKET] [default: /run/postern/postern.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What to log to the standard error, such as `debug` or `warn,postern_daemon=trace`
    /// [env: RUST_LOG] [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start everything in the foreground; SIGTERM or Ctrl-C stops it and removes all it made, SIGHUP
    /// reads the file again
    Run(run::RunArgs),
    /// Make a configuration file the running policy: all of it, or nothing
    Apply(apply::ApplyArgs),
    /// Show where a configuration file and what runs differ; changes nothing
    Diff(diff::DiffArgs),
    /// Check a configuration file without a daemon and without changing anything
    Check(check::CheckArgs),
    /// Deploy an ARM template: all of it, or nothing
    Deploy(deploy::DeployArgs),
    /// Print an ARM template, or a configuration file, that makes the same resources again
    Export(export::ExportArgs),
    /// Send a request of Azure Resource Manager's REST API over the control socket
    Arm(arm::ArmArgs),
    /// Log the real `az` and the SDKs in to the daemon
    #[command(subcommand)]
    Az(az::AzVerb),
    /// Add, remove, switch or list service endpoints
    #[command(subcommand)]
    Endpoint(endpoint::EndpointVerb),
    /// Change the service tags in use
    #[command(subcommand)]
    Tags(tags::TagsVerb),
    /// Show network security groups
    #[command(subcommand)]
    Nsg(nsg::NsgVerb),
    /// Show what became of calls to a service
    #[command(subcommand)]
    Service(service::ServiceVerb),
    /// Show the effective routes of a NIC, or what gateways have learned
    Routes(routes::RoutesArgs),
    /// Show live flows, and why each goes where it goes
    Flows(flows::FlowsArgs),
    /// Show counters of ports, drops by reason, SNAT ports and flows
    Stats(ReadArgs),
    /// Show the epoch, the ports and the service tags in use
    Status(ReadArgs),
    /// Show the local certificate authority of service fronts, or issue a certificate by it
    Ca(ca::CaArgs),
    /// Stop the daemon and wait until it and all it made are gone
    Down,
}

/// What every verb that reads takes.
#[derive(Debug, Args)]
struct ReadArgs {
    /// Table for people, JSON for programs
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
}

/// Where the service prefixes come from.
#[derive(Clone, Debug, Args)]
struct CatalogArgs {
    /// Microsoft's ServiceTags_*.json; without it, a small file that is built in
    #[arg(long, value_name = "FILE")]
    service_tags: Option<PathBuf>,
}

impl CatalogArgs {
    fn load(&self) -> Result<Catalog, CatalogError> {
        self.service_tags
            .as_deref()
            .map_or_else(Catalog::bundled, files::catalog)
    }
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The standard output did not take the result.
    #[error("cannot write the result")]
    Output(#[from] io::Error),
    /// The daemon could not be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The service-tag file is refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The API answered with an error, by one or more lines.
    #[error("{0}")]
    Arm(String),
    /// A configuration directory for `az` cannot be set up.
    #[error(transparent)]
    Az(#[from] az::AzError),
    /// The configuration file is refused, by one or more lines.
    #[error("{0}")]
    Refused(String),
    /// The daemon could not start, or failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The local certificate authority cannot be used.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The log filter cannot be read.
    #[error(
        "--log or RUST_LOG: {0}: not a filter; accepted: such as `info` or `warn,postern_daemon=debug`"
    )]
    LogFilter(String),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    memory::share_arenas();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help asked for is no error; a closed output is nobody's concern.
            let _ = error.print();
            return if error.use_stderr() {
                EXIT_USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as `head` does.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut stderr = io::stderr().lock();
            for line in postern_network::chain(&error).lines() {
                let _ = writeln!(stderr, "error: {line}");
            }
            EXIT_REFUSED.into()
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), CliError> {
    let socket = socket_path(cli.socket.as_deref());
    let client = || Client::connect(&socket);
    let log = || start_log(cli.log.as_deref());
    if !matches!(cli.verb, Verb::Run(_)) {
        log()?;
    }
    match &cli.verb {
        Verb::Run(args) => run::run(args, &socket, log),
        Verb::Apply(args) => apply::apply(args, &mut client()?),
        Verb::Diff(args) => diff::diff(args, &mut client()?),
        Verb::Deploy(args) => deploy::deploy(args, &mut client()?),
        Verb::Export(args) => export::export(args, &mut client()?),
        Verb::Arm(args) => arm::arm(args, &mut client()?),
        Verb::Check(args) => check::check(args),
        Verb::Endpoint(verb) => endpoint::endpoint(verb, &mut client()?),
        Verb::Tags(verb) => tags::tags(verb, &mut client()?),
        Verb::Nsg(verb) => nsg::nsg(verb, &mut client()?),
        Verb::Service(verb) => service::service(verb, &mut client()?),
        Verb::Routes(args) => routes::routes(args, &mut client()?),
        Verb::Flows(args) => flows::flows(args, &mut client()?),
        Verb::Stats(args) => stats::stats(args, &mut client()?),
        Verb::Status(args) => status::status(args, &mut client()?),
        Verb::Ca(args) => ca::ca(args),
        Verb::Az(az::AzVerb::Setup(args)) => az::setup(args, &mut client()?),
        Verb::Az(az::AzVerb::Env(args)) => az::env(args),
        Verb::Down => down::down(client()?),
    }
}

/// Returns the control socket: as told, or from the environment, or the default one.
fn socket_path(told: Option<&Path>) -> PathBuf {
    told.map(Path::to_owned)
        .or_else(|| {
            std::env::var_os("POSTERN_SOCKET")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}

fn start_log(told: Option<&str>) -> Result<(), CliError> {
    let text = told
        .map(str::to_owned)
        .or_else(|| {
            std::env::var("RUST_LOG")
                .ok()
                .filter(|text| !text.is_empty())
        })
        .unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|_| CliError::LogFilter(text))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A log that nobody reads any more must not stop the packets: by default the failure is
        // printed to the same closed stream, which panics.
        .log_internal_errors(false)
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_of_the_manual_parses() {
        let lines = [
            "postern run -c postern.toml --service-tags tags.json --socket /tmp/x",
            "postern run -c postern.toml --state-dir /tmp/state",
            "postern apply postern.toml",
            "postern apply -",
            "postern check postern.toml --service-tags tags.json",
            "postern endpoint enable VNet1/subnet1 Microsoft.Storage",
            "postern endpoint disable VNet1/subnet1 Microsoft.Storage -o json",
            "postern endpoint list -o json",
            "postern endpoint add VNet1/subnet1 Microsoft.Storage Microsoft.Sql",
            "postern endpoint remove VNet1/subnet1 Microsoft.Sql -o json",
            "postern apply postern.toml --dry-run -o json",
            "postern arm GET /subscriptions",
            "postern az setup --dir /tmp/az --principal ci",
            "postern az env",
            "postern deploy main.json -p main.parameters.json a=1 b=2 -g rg --dry-run",
            "postern deploy main.json --parameters a=1 --name d --mode complete -o json",
            "postern export -g rg",
            "postern export --toml",
            "postern tags reload tags.json -o json",
            "postern nsg list",
            "postern nsg show nsg1 -o table",
            "postern nsg effective vm0 -o json",
            "postern routes vm0",
            "postern routes --learned -o json",
            "postern flows --limit 5 --nic vm0",
            "postern --socket /tmp/x stats -o json",
            "postern status --log debug",
            "postern service log contoso -o json",
            "postern ca",
            "postern ca --pem --state-dir /tmp/x",
            "postern ca issue a.example --cert a.pem --key a.key --state-dir /tmp/x",
            "postern down",
        ];
        for line in lines {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn bad_usage_is_refused() {
        let lines = [
            "postern",
            "postern fly",
            "postern run",
            "postern endpoint enable subnet1 Microsoft.Storage",
            "postern endpoint enable VNet1/subnet1",
            "postern endpoint add VNet1/subnet1",
            "postern arm GET",
            "postern stats -o yaml",
            "postern tags reload",
            "postern routes",
            "postern routes vm0 --learned",
            "postern flows --limit -1",
        ];
        for line in lines {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
