//! `postern check FILE`: what `run` and `apply` would refuse, without a daemon or privileges.

use super::output::print;
use super::{CatalogArgs, CliError};
use crate::fabric::check_namespaces;
use crate::{compile, config};
use clap::Args;
use postern_dataplane::policy::Epoch;
use std::path::PathBuf;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration
    file: PathBuf,
    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Checks a configuration and says what it declares.
pub(super) fn check(args: &CheckArgs) -> Result<(), CliError> {
    let catalog = args.catalog.load()?;
    let model = config::load(&args.file, &catalog)
        .map_err(|errors| CliError::Refused(errors.to_string()))?;
    let file = args.file.display();
    let mut numbers = compile::PortNumbers::default();
    let compiled = compile::compile(&model, &catalog, Epoch(1), &mut numbers)
        .map_err(|error| CliError::Refused(crate::in_file(&file, &crate::chain(&error))))?;
    check_namespaces(&model).map_err(|errors| {
        let lines: Vec<_> = errors
            .0
            .iter()
            .map(|error| format!("{file}: {error}"))
            .collect();
        CliError::Refused(lines.join("\n"))
    })?;
    let subnets: usize = model.vnets.iter().map(|vnet| vnet.subnets.len()).sum();
    Ok(print(format_args!(
        "{file}: ok: {} virtual networks, {subnets} subnets, {} network interfaces, \
         {} security groups, {} services, {} ports; service tags changeNumber {}\n",
        model.vnets.len(),
        model.nics.len(),
        model.nsgs.len(),
        model.services.len(),
        compiled.ports.len(),
        catalog.change_number(),
    ))?)
}
