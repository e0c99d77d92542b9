//! `postern service log`.

use super::client::Client;
use super::output::{Format, print, print_json};
use super::table::Table;
use super::{CliError, ReadArgs};
use crate::fabric::front_view::CallView;
use crate::server::protocol::Request;
use clap::{Args, Subcommand};

/// What to ask about services.
#[derive(Debug, Subcommand)]
pub(super) enum ServiceVerb {
    /// Show the last calls of a service with a front, and by which rule each was decided
    Log(LogArgs),
}

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// The service
    name: String,
    #[command(flatten)]
    read: ReadArgs,
}

/// Asks about services.
pub(super) fn service(verb: &ServiceVerb, client: &mut Client) -> Result<(), CliError> {
    match verb {
        ServiceVerb::Log(args) => log(args, client),
    }
}

fn log(args: &LogArgs, client: &mut Client) -> Result<(), CliError> {
    let name = args.name.clone();
    let calls: Vec<CallView> = client.ask_for(&Request::ServiceLog { name })?;
    match args.read.output {
        Format::Json => print_json(&calls)?,
        Format::Table => print(describe(calls))?,
    }
    Ok(())
}

fn describe(calls: Vec<CallView>) -> Table {
    let header = [
        "TIME", "VERDICT", "REASON", "RULE", "CALLER", "FROM", "HOST", "PORT",
    ];
    let mut table = Table::new(header);
    for call in calls {
        table.row([
            call.time,
            call.verdict,
            call.reason,
            call.rule.unwrap_or_default(),
            call.caller,
            call.raw_address,
            call.host.unwrap_or_default(),
            call.port.to_string(),
        ]);
    }
    table
}
