//! What a change would do, for `--dry-run`.

use super::CliError;
use super::apply::change_line;
use super::output::{Format, print, print_json};
use crate::fabric::view::PreviewView;
use serde_json::Value;
use std::fmt::Write;

/// Prints what would change.
pub(super) fn show(preview: &PreviewView, format: Format) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(preview)?,
        Format::Table => print(describe(preview))?,
    }
    Ok(())
}

fn describe(preview: &PreviewView) -> String {
    if !preview.changed {
        return "nothing would change\n".to_owned();
    }
    let mut text = String::new();
    for resource in &preview.resources {
        let _ = writeln!(text, "{} {}", resource.action, resource.id);
    }
    for change in &preview.changes {
        let _ = writeln!(text, "{}", change_line(change));
    }
    text += &effects(&preview.effects);
    text + "nothing was changed: this was a dry run\n"
}

/// Returns the routes and rules that would be other ones, a line each.
pub(super) fn effects(effects: &Value) -> String {
    let mut text = String::new();
    lines(&[], effects, &mut text);
    text
}

/// Writes every value with the names that lead to it.
fn lines(path: &[&str], value: &Value, into: &mut String) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                lines(&[path, &[name.as_str()]].concat(), field, into);
            }
        }
        Value::Array(items) => {
            for item in items {
                let text = match item {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let _ = writeln!(into, "{}: {text}", path.join(" "));
            }
        }
        Value::String(text) => {
            let _ = writeln!(into, "{}: {text}", path.join(" "));
        }
        other => {
            let _ = writeln!(into, "{}: {other}", path.join(" "));
        }
    }
}
