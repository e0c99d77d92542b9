//! `postern run`.

use super::{CatalogArgs, CliError};
use crate::config;
use crate::server::{ServerError, serve};
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The configuration to start with
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Runs the daemon in the foreground until it is told to stop.
pub(super) fn run(args: &RunArgs, socket: &Path) -> Result<(), CliError> {
    let catalog = args.catalog.load()?;
    let model = config::load(&args.config, &catalog)
        .map_err(|errors| CliError::Refused(errors.to_string()))?;
    serve(socket, model, catalog).map_err(|error| match error {
        ServerError::Fabric(error) => {
            let file = args.config.display();
            let lines: Vec<_> = crate::chain(&error)
                .lines()
                .map(|line| format!("{file}: {line}"))
                .collect();
            CliError::Refused(lines.join("\n"))
        }
        other => other.into(),
    })
}
