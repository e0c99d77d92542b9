//! `postern apply FILE` and what every change prints.

use super::client::Client;
use super::output::{Format, print, print_json};
use super::{CliError, ReadArgs, preview};
use crate::protocol::Request;
use crate::protocol::view::{AppliedView, SweepView};
use clap::Args;
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The configuration; `-` reads it from the standard input
    file: PathBuf,
    /// Tell what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// Makes a file the running policy.
pub(super) fn apply(args: &ApplyArgs, client: &mut Client) -> Result<(), CliError> {
    let (name, text) = read(&args.file, "the configuration")?;
    let dry_run = args.dry_run;
    let request = Request::Apply {
        name,
        text,
        dry_run,
    };
    if dry_run {
        return preview::show(&client.ask_for(&request)?, args.read.output);
    }
    change(client, &request, args.read.output)
}

/// Asks for a change, which is answered when its sweep is done, and prints what came of it.
pub(super) fn change(
    client: &mut Client,
    request: &Request,
    format: Format,
) -> Result<(), CliError> {
    let applied: AppliedView = client.ask_for(request)?;
    match format {
        Format::Json => print_json(&applied)?,
        Format::Table => print(describe(&applied))?,
    }
    Ok(())
}

/// Reads a file, or the standard input, and returns what to call it.
pub(super) fn read(file: &Path, what: &str) -> Result<(String, String), CliError> {
    let refused = |error: std::io::Error| {
        CliError::Refused(format!("{}: cannot read {what}: {error}", file.display()))
    };
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(refused)?;
        return Ok(("standard input".to_owned(), text));
    }
    let text = std::fs::read_to_string(file).map_err(refused)?;
    Ok((file.display().to_string(), text))
}

fn describe(applied: &AppliedView) -> String {
    let mut text = String::new();
    for change in &applied.changes {
        let _ = writeln!(text, "{}", change.line());
    }
    if applied.changed {
        text.push_str(&summary(applied.epoch, applied.sweep.as_ref()));
    } else {
        text.push_str("no change\n");
    }
    for waiting in &applied.detached {
        let _ = writeln!(
            text,
            "warning: {} is detached: {}; it waits",
            waiting.port, waiting.reason
        );
    }
    text
}

/// Returns the last line of what every change prints.
pub(super) fn summary(epoch: u32, sweep: Option<&SweepView>) -> String {
    match sweep {
        Some(sweep) => {
            let denied = if sweep.denied > 0 {
                format!(", denied {}", sweep.denied)
            } else {
                String::new()
            };
            format!(
                "applied epoch {epoch}: kept {}, closed {}, rebound {}{denied}\n",
                sweep.kept, sweep.closed, sweep.rebound
            )
        }
        None => format!("applied epoch {epoch}: live flows are still being looked at\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::view::ChangeView;

    fn applied() -> AppliedView {
        AppliedView {
            epoch: 7,
            changed: true,
            changes: vec![ChangeView {
                action: "change".to_owned(),
                kind: "settings".to_owned(),
                name: String::new(),
                detail: "closeMode: rst -> silent".to_owned(),
            }],
            sweep: Some(SweepView {
                kept: 12,
                closed: 1,
                rebound: 0,
                denied: 0,
            }),
            detached: Vec::new(),
        }
    }

    #[test]
    fn a_change_ends_with_its_sweep() {
        assert_eq!(
            describe(&applied()),
            "change settings closeMode: rst -> silent\n\
             applied epoch 7: kept 12, closed 1, rebound 0\n"
        );
    }

    #[test]
    fn no_change_says_so_and_no_more() {
        let unchanged = AppliedView {
            changed: false,
            changes: Vec::new(),
            sweep: None,
            ..applied()
        };
        assert_eq!(describe(&unchanged), "no change\n");
    }

    #[test]
    fn a_sweep_that_is_not_done_is_not_made_up() {
        let text = describe(&AppliedView {
            sweep: None,
            ..applied()
        });
        assert!(text.ends_with("applied epoch 7: live flows are still being looked at\n"));
    }
}
