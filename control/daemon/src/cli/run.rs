//! `postern run`.

use super::{CatalogArgs, CliError, files};
use crate::daemon::{Caught, ConfigFile, ServerError, serve};
use crate::store::DEFAULT_DIR;
use clap::Args;
use postern_network::catalog::Catalog;
use postern_network::config::{self, ConfigErrors, Parsed, Source};
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub(super) struct RunArgs {
    /// The configuration to start with
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Where resources and the keys of networks and subnets are kept, made if it is not there
    /// [env: POSTERN_STATE_DIR] [default: /var/lib/postern]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Threads that move packets, each with a queue of every device: from 1 to 64. More than one
    /// pays off only where there are processors for them
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Runs the daemon in the foreground until it is told to stop.
pub(super) fn run(
    args: &RunArgs,
    socket: &Path,
    start_log: impl FnOnce() -> Result<(), CliError>,
) -> Result<(), CliError> {
    // Before all else, the log too: whoever starts a daemon may signal it at once.
    let caught = Caught::new()?;
    start_log()?;
    // Devices, clients and relayed connections take descriptors; a shell's soft limit is 1,024 of them.
    postern_host::front::raise_descriptors();
    let told = args.clone();
    let started = caught.first(move || {
        let catalog = told.catalog.load()?;
        let file = read(&told.config, &catalog)?;
        Ok::<_, CliError>((catalog, file))
    })?;
    let Some((caught, files)) = started else {
        // Ended by a signal before anything was made.
        return Ok(());
    };
    let (catalog, (file, source)) = files?;
    let state = state_dir(args.state_dir.as_deref());
    let refused = |text: String| CliError::Refused(source.in_file(args.config.display(), &text));
    let workers = args.workers.into();
    serve(caught, socket, &state, file, catalog, workers).map_err(|error| match error {
        ServerError::Estate(text) => refused(text),
        ServerError::Settings(error) => refused(postern_network::chain(&error)),
        ServerError::Dns(error) => refused(postern_network::chain(&error)),
        other => other.into(),
    })
}

/// Reads the configuration, which must be one that the loader accepts.
fn read(path: &Path, catalog: &Catalog) -> Result<(ConfigFile, Source), CliError> {
    let refused = |errors: ConfigErrors| CliError::Refused(errors.to_string());
    let parsed = files::config(path).map_err(refused)?;
    let model = config::check(path, &parsed, catalog).map_err(refused)?;
    let Parsed { table, source } = parsed;
    // The daemon may read it again from elsewhere.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let file = ConfigFile { path, table, model };
    Ok((file, source))
}

/// Returns the state directory: as told, or from the environment, or the default one.
pub(super) fn state_dir(told: Option<&Path>) -> PathBuf {
    let from_environment = || {
        std::env::var_os("POSTERN_STATE_DIR")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    told.map(Path::to_owned)
        .or_else(from_environment)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DIR))
}
