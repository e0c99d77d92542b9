//! `postern tags reload FILE`.

use super::apply::{read, summary};
use super::client::Client;
use super::output::{Format, print, print_json};
use super::{CliError, ReadArgs};
use crate::protocol::Request;
use crate::protocol::view::{TagChangeView, TagsReloadedView};
use clap::{Args, Subcommand};
use std::fmt::Write;
use std::path::PathBuf;

/// What to do with service tags.
#[derive(Debug, Subcommand)]
pub(super) enum TagsVerb {
    /// Make another service-tag file the running one: all of it, or nothing
    Reload(ReloadArgs),
}

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    /// Microsoft's ServiceTags_*.json; `-` reads it from the standard input
    file: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
}

/// Makes another service-tag file the running one and tells what it changed.
pub(super) fn tags(verb: &TagsVerb, client: &mut Client) -> Result<(), CliError> {
    let TagsVerb::Reload(args) = verb;
    let (name, text) = read(&args.file, "the service tags")?;
    let view: TagsReloadedView = client.ask_for(&Request::TagsReload { name, text })?;
    match args.read.output {
        Format::Json => print_json(&view)?,
        Format::Table => print(describe(&view))?,
    }
    Ok(())
}

fn describe(view: &TagsReloadedView) -> String {
    let (before, after) = (&view.tags.before, &view.tags.after);
    let mut text = format!(
        "service tags changeNumber {} -> {}, {}, {}\n",
        before.change_number, after.change_number, after.cloud, after.source
    );
    for service in &view.tags.services {
        let (added, removed) = (service.added.len(), service.removed.len());
        let _ = writeln!(text, "{}: +{added} -{removed}", service.service);
        for tag in &service.tags {
            describe_tag(&mut text, tag);
        }
    }
    if !view.tags.rules.is_empty() {
        text.push_str("tags in security rules:\n");
        for tag in &view.tags.rules {
            describe_tag(&mut text, tag);
        }
    }
    if view.changed {
        text.push_str(&summary(view.epoch, view.sweep.as_ref()));
    } else {
        text.push_str("no change\n");
    }
    text
}

fn describe_tag(text: &mut String, tag: &TagChangeView) {
    let number = |number: Option<u64>| number.map_or("none".to_owned(), |n| n.to_string());
    let in_use = if tag.in_use { " (in use)" } else { "" };
    let (before, after) = (
        number(tag.change_number_before),
        number(tag.change_number_after),
    );
    let _ = writeln!(text, "  {} {before} -> {after}{in_use}", tag.name);
    for prefix in &tag.added {
        let _ = writeln!(text, "    + {prefix}");
    }
    for prefix in &tag.removed {
        let _ = writeln!(text, "    - {prefix}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::view::{ServiceTagsView, SweepView, TagServiceView, TagsChangesView};

    #[test]
    fn prefixes_stand_below_their_tag_and_service() {
        let file = |source: &str, change_number| ServiceTagsView {
            source: source.to_owned(),
            cloud: "Public".to_owned(),
            change_number,
        };
        let view = TagsReloadedView {
            epoch: 2,
            changed: true,
            tags: TagsChangesView {
                before: file("a.json", 373),
                after: file("b.json", 375),
                services: vec![TagServiceView {
                    service: "Microsoft.Storage".to_owned(),
                    added: vec!["52.239.9.0/28".to_owned()],
                    removed: Vec::new(),
                    tags: vec![TagChangeView {
                        name: "Storage.A".to_owned(),
                        in_use: true,
                        change_number_before: Some(7),
                        change_number_after: Some(8),
                        added: vec!["52.239.9.0/28".to_owned()],
                        removed: Vec::new(),
                    }],
                }],
                rules: Vec::new(),
            },
            sweep: Some(SweepView {
                kept: 2,
                closed: 1,
                ..SweepView::default()
            }),
        };
        assert_eq!(
            describe(&view),
            "service tags changeNumber 373 -> 375, Public, b.json\n\
             Microsoft.Storage: +1 -0\n  Storage.A 7 -> 8 (in use)\n    + 52.239.9.0/28\n\
             applied epoch 2: kept 2, closed 1, rebound 0\n"
        );
    }
}
