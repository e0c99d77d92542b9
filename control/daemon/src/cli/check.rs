//! `postern check FILE`: what `run` and `apply` would refuse, without a daemon or privileges, and what
//! they would take and is probably not meant.

use super::output::{counted, print};
use super::{CatalogArgs, CliError, files};
use crate::fabric::check_namespaces;
use clap::Args;
use postern_dataplane::policy::Epoch;
use postern_network::catalog::Catalog;
use postern_network::compile;
use postern_network::config::{self, Source};
use postern_network::diagnose::{Warning, warnings};
use postern_network::model::Model;
use std::path::{Path, PathBuf};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration
    file: PathBuf,
    /// Refuse what is only warned of
    #[arg(long)]
    strict: bool,
    /// Ask this host too whether the namespaces of the file are there
    #[arg(long)]
    host: bool,
    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Checks a configuration and says what it declares.
pub(super) fn check(args: &CheckArgs) -> Result<(), CliError> {
    let catalog = args.catalog.load()?;
    let checked = Checked::read(&args.file, &catalog)?;
    let ports = checked.compile(&catalog)?;
    if args.host {
        checked.namespaces()?;
    }
    let warned = checked.warnings();
    for line in &warned {
        eprintln!("{line}");
    }
    if args.strict && !warned.is_empty() {
        let text = format!(
            "{}: warnings: {}; accepted with --strict: none",
            args.file.display(),
            warned.len()
        );
        return Err(CliError::Refused(text));
    }
    Ok(print(checked.summary(ports, &catalog))?)
}

/// A file that the loader accepts.
struct Checked<'f> {
    file: &'f Path,
    source: Source,
    model: Model,
}

impl<'f> Checked<'f> {
    fn read(file: &'f Path, catalog: &Catalog) -> Result<Self, CliError> {
        let refused = |errors: config::ConfigErrors| CliError::Refused(errors.to_string());
        let parsed = files::config(file).map_err(refused)?;
        let model = config::check(file, &parsed, catalog).map_err(refused)?;
        Ok(Self {
            file,
            source: parsed.source,
            model,
        })
    }

    /// Compiles the policy and returns how many ports it has.
    fn compile(&self, catalog: &Catalog) -> Result<usize, CliError> {
        let mut numbers = compile::PortNumbers::default();
        let compiled = compile::compile(&self.model, catalog, Epoch(1), &mut numbers);
        let compiled = compiled.map_err(|error| self.refused(&postern_network::chain(&error)))?;
        Ok(compiled.ports.len())
    }

    fn namespaces(&self) -> Result<(), CliError> {
        check_namespaces(&self.model).map_err(|errors| self.refused(&errors.to_string()))
    }

    fn refused(&self, text: &str) -> CliError {
        CliError::Refused(self.source.told(self.file.display(), text))
    }

    /// Returns what is odd, a line each.
    fn warnings(&self) -> Vec<String> {
        let told = warnings(&self.model).into_iter();
        told.map(|Warning { key, text }| {
            let text = match key.as_str() {
                "" => format!("warning: {text}"),
                key => format!("{key}: warning: {text}"),
            };
            self.source.told(self.file.display(), &text)
        })
        .collect()
    }

    fn summary(&self, ports: usize, catalog: &Catalog) -> String {
        let model = &self.model;
        let parts = [
            (model.vnets.len(), "virtual network"),
            (
                model.vnets.iter().map(|vnet| vnet.subnets.len()).sum(),
                "subnet",
            ),
            (model.nics.len(), "network interface"),
            (model.nsgs.len(), "security group"),
            (model.services.len(), "service"),
            (ports, "port"),
        ];
        format!(
            "{}: ok: {}; service tags changeNumber {}\n",
            self.file.display(),
            parts.map(|(count, one)| counted(count, one)).join(", "),
            catalog.change_number(),
        )
    }
}
