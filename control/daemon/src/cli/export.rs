//! `postern export`: a template, or a file, that makes the same resources again.

use super::CliError;
use super::client::Client;
use super::output::{print, print_json};
use crate::protocol::Request;
use clap::Args;
use serde_json::Value;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// One resource group, by name or ID; without it, all of them, for a deployment at a subscription
    #[arg(short = 'g', long, value_name = "NAME", conflicts_with = "toml")]
    resource_group: Option<String>,
    /// As a configuration file, with what it says of the host
    #[arg(long)]
    toml: bool,
}

/// Prints a template of what there is.
pub(super) fn export(args: &ExportArgs, client: &mut Client) -> Result<(), CliError> {
    let (group, toml) = (args.resource_group.clone(), args.toml);
    match client.ask(&Request::Export { group, toml })? {
        Value::String(text) => print(text)?,
        template => print_json(&template)?,
    }
    Ok(())
}
