//! `postern down`.

use super::CliError;
use super::client::Client;
use super::output::print;

/// How long the daemon may take to remove what it made, in seconds.
const PATIENCE_S: i64 = 30;

/// Stops the daemon and waits until it is gone.
pub(super) fn down(client: Client) -> Result<(), CliError> {
    client.down(PATIENCE_S)?;
    Ok(print("stopped\n")?)
}
