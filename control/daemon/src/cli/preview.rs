//! What a change would do, for `--dry-run`.

use super::CliError;
use super::output::{Format, print, print_json};
use crate::protocol::view::PreviewView;
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
    lines(preview) + "nothing was changed: this was a dry run\n"
}

/// Returns what would change, a line each.
pub(super) fn lines(preview: &PreviewView) -> String {
    let mut text = String::new();
    for resource in &preview.resources {
        let _ = writeln!(text, "{} {}", resource.action, resource.id);
    }
    for change in &preview.changes {
        let _ = writeln!(text, "{}", change.line());
    }
    text + &effects(&preview.effects)
}

/// Returns what a what-if says, for people.
pub(super) fn what_if(answer: &Value) -> String {
    let properties = answer.get("properties").unwrap_or(&Value::Null);
    let changes = properties.get("changes").and_then(Value::as_array);
    let mut text = String::new();
    for change in changes.into_iter().flatten() {
        let word = |name: &str| change.get(name).and_then(Value::as_str);
        let action = match word("changeType") {
            Some("NoChange" | "Ignore") | None => continue,
            Some(action) => action.to_ascii_lowercase(),
        };
        let _ = writeln!(text, "{action} {}", word("resourceId").unwrap_or_default());
        let delta = change.get("delta").and_then(Value::as_array);
        for part in delta.into_iter().flatten() {
            self::delta("", part, &mut text);
        }
    }
    text += &effects(properties.get("effects").unwrap_or(&Value::Null));
    let idle = properties.get("withoutEffect").and_then(Value::as_array);
    for id in idle.into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(text, "note: {id} would be kept and have no effect here");
    }
    if text.is_empty() {
        return "nothing would change\n".to_owned();
    }
    text + "nothing was changed: this was a dry run\n"
}

/// Writes the change of a property, and of those inside of it.
fn delta(outer: &str, change: &Value, into: &mut String) {
    let word = |name: &str| change.get(name).and_then(Value::as_str);
    let path = format!("{outer}{}", word("path").unwrap_or_default());
    let children = change.get("children").and_then(Value::as_array);
    if let Some(children) = children.filter(|children| !children.is_empty()) {
        for child in children {
            delta(&format!("{path}."), child, into);
        }
        return;
    }
    let value = |name: &str| {
        let value = change.get(name).filter(|value| !value.is_null());
        value.map_or_else(|| "-".to_owned(), Value::to_string)
    };
    let _ = writeln!(into, "  {path}: {} -> {}", value("before"), value("after"));
}

/// Returns the routes and rules of NICs that would be other ones, a line each.
fn effects(effects: &Value) -> String {
    let mut text = String::new();
    for (what, name) in [
        ("route", "effectiveRoutes"),
        ("rule", "effectiveSecurityRules"),
    ] {
        let nics = effects.get(name).and_then(Value::as_array);
        for nic in nics.into_iter().flatten() {
            let id = nic.get("networkInterface").and_then(Value::as_str);
            let id = id.unwrap_or_default();
            let short = id.rsplit('/').next().unwrap_or(id);
            for (sign, side) in [("-", "removed"), ("+", "added")] {
                let rows = nic.get(side).and_then(Value::as_array);
                for row in rows.into_iter().flatten() {
                    let _ = writeln!(text, "{sign} {what} of {short}: {}", words(row));
                }
            }
        }
    }
    text
}

/// Returns the values of a row, in the order in which they stand there.
fn words(row: &Value) -> String {
    match row {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let words = fields.map(|(name, value)| format!("{name}={}", words(value)));
            words.collect::<Vec<_>>().join(" ")
        }
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_what_if_is_told_by_resource_property_route_and_rule() {
        let answer = json!({ "properties": {
            "changes": [
                { "changeType": "Create", "resourceId": "/a" },
                { "changeType": "NoChange", "resourceId": "/b" },
                { "changeType": "Modify", "resourceId": "/c", "delta": [
                    { "path": "tags.x", "propertyChangeType": "Modify", "before": "1", "after": "2" },
                    { "path": "list", "propertyChangeType": "Array", "children": [
                        { "path": "0", "propertyChangeType": "Create", "before": null, "after": 7 },
                    ] },
                ] },
            ],
            "effects": { "effectiveRoutes": [ { "networkInterface": "/x/nic0", "removed": [],
                "added": [ { "nextHopType": "VirtualNetworkServiceEndpoint",
                    "addressPrefix": ["1.0.0.0/8", "2.0.0.0/8"] } ] } ] },
            "withoutEffect": ["/d"],
        } });
        assert_eq!(
            what_if(&answer),
            "create /a\n\
             modify /c\n  tags.x: \"1\" -> \"2\"\n  list.0: - -> 7\n\
             + route of nic0: nextHopType=VirtualNetworkServiceEndpoint \
             addressPrefix=1.0.0.0/8,2.0.0.0/8\n\
             note: /d would be kept and have no effect here\n\
             nothing was changed: this was a dry run\n"
        );
        assert_eq!(what_if(&json!({})), "nothing would change\n");
    }
}
