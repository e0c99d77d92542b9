//! What there is, as a template or as a file.

#[cfg(test)]
mod tests;

use super::Daemon;
use crate::protocol::view::DefaultsView;
use crate::protocol::{Fault, FaultCode};
use postern_arm::document::Document;
use postern_arm::estate::Estate;
use postern_arm::export;
use postern_arm::id::Scope;
use postern_network::model;
use postern_network::spelling;
use serde_json::{Map, Value};

/// A region for who names none and whose file names none either.
pub(super) const ANYWHERE: &str = "eastus";

/// Returns where resources are filed that do not say so.
pub(super) fn defaults(daemon: &Daemon) -> DefaultsView {
    let estate = daemon.api.estate();
    let told = |key: &str| {
        let text = estate.host().get(key).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let own = model::Scope::default();
    DefaultsView {
        subscription: told("subscription").unwrap_or(own.subscription),
        resource_group: told("resourceGroup").unwrap_or(own.resource_group),
        location: told("location").unwrap_or_else(|| ANYWHERE.to_owned()),
    }
}

/// Returns a template of one resource group or of all; or the text of a file of all.
pub(super) fn export(daemon: &Daemon, group: Option<&str>, toml: bool) -> Result<Value, Fault> {
    let now = daemon.api.estate();
    if toml {
        let failed = |error: toml::ser::Error| Fault::new(FaultCode::Internal, error.to_string());
        let text = toml::to_string(&spelling::lower(&now)).map_err(failed)?;
        return Ok(Value::String(text));
    }
    let tags = |document: &Document| bindings(&now, document);
    let Some(group) = group else {
        return Ok(export::all(&now, &tags));
    };
    let scope = match group.parse::<Scope>() {
        Ok(scope) => scope,
        Err(_) => Scope::Group(defaults(daemon).subscription, group.to_owned()),
    };
    if now.group(&scope).is_none() {
        let known: Vec<_> = now
            .groups()
            .filter_map(|group| group.scope.group())
            .collect();
        let known = known.join(", ");
        let text = format!("resource group {group}: there is none; accepted: {known}");
        return Err(Fault::new(FaultCode::NotFound, text));
    }
    Ok(export::group(&now, &scope, &tags))
}

/// Returns what a resource is bound to, as tags.
fn bindings(estate: &Estate, document: &Document) -> Map<String, Value> {
    let bound = estate.binding(&document.id.key());
    bound.map_or_else(Map::new, |bound| spelling::tags(bound))
}
