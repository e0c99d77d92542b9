//! `postern diff [FILE]`: the file against what runs.

use super::apply::read;
use super::client::Client;
use super::output::{Format, print, print_json};
use super::{CliError, ReadArgs, preview};
use crate::protocol::Request;
use crate::protocol::view::DiffView;
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The configuration; without it, the file that the daemon was started with
    file: Option<PathBuf>,
    /// End with 1 where `apply` would change anything
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// Prints where a file and what runs differ.
pub(super) fn diff(args: &DiffArgs, client: &mut Client) -> Result<(), CliError> {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => client.ask_for(&Request::ConfigPath)?,
    };
    let (name, text) = read(&file, "the configuration")?;
    let found: DiffView = client.ask_for(&Request::Diff {
        name: name.clone(),
        text,
    })?;
    match args.read.output {
        Format::Json => print_json(&found)?,
        Format::Table => print(describe(&found))?,
    }
    if args.exit_code && found.preview.changed {
        return Err(CliError::Refused(format!(
            "{name}: what runs differs from it; accepted with --exit-code: no difference"
        )));
    }
    Ok(())
}

fn describe(found: &DiffView) -> String {
    let mut text = if found.preview.changed {
        format!("apply would:\n{}", preview::lines(&found.preview))
    } else {
        "no difference\n".to_owned()
    };
    for id in &found.only_running {
        let _ = writeln!(
            text,
            "only running, made by a request and left by apply: {id}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::view::{ChangeView, PreviewView};
    use serde_json::Value;

    #[test]
    fn what_only_runs_is_told_beside_what_would_change() {
        let mut found = DiffView {
            preview: PreviewView {
                changed: false,
                resources: Vec::new(),
                changes: Vec::new(),
                effects: Value::Null,
            },
            only_running: vec!["/x".to_owned()],
        };
        let line = "only running, made by a request and left by apply: /x\n";
        assert_eq!(describe(&found), format!("no difference\n{line}"));
        found.preview.changed = true;
        found.preview.changes = vec![ChangeView {
            action: "change".to_owned(),
            kind: "settings".to_owned(),
            name: String::new(),
            detail: "closeMode: rst -> silent".to_owned(),
        }];
        let change = "change settings closeMode: rst -> silent\n";
        assert_eq!(describe(&found), format!("apply would:\n{change}{line}"));
    }
}
