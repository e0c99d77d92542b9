//! Resources of any type: one, or a list.

use super::call::{Answer, Call};
use super::page;
use super::providers;
use super::request::Response;
use crate::document::Origin;
use crate::error::ArmError;
use crate::estate::Estate;
use crate::id::{ResourceId, Scope};
use serde_json::{Value, json};

/// Returns the scope that a resource is.
pub(crate) fn scope_of(id: &ResourceId) -> Scope {
    Scope::Resource(Box::new(id.clone()))
}

/// Answers a request for one resource.
pub(crate) fn one(call: &Call<'_>, id: &ResourceId) -> Answer {
    providers::check_kind(id)?;
    match call.request.method.to_ascii_uppercase().as_str() {
        "GET" => get(call, id),
        "HEAD" => get(call, id).map(|_| Response::empty(204)),
        "PUT" => put(call, id),
        "PATCH" => patch(call, id),
        "DELETE" => {
            let conditions = call.conditions();
            let was_there = call.change(|stage| stage.delete(id, &conditions))?;
            Ok(Response::empty(if was_there { 200 } else { 204 }))
        }
        _ => Err(call.no_method("GET, HEAD, PUT, PATCH, DELETE")),
    }
}

fn get(call: &Call<'_>, id: &ResourceId) -> Answer {
    let estate = &call.state.estate;
    let value = estate.show(id).ok_or_else(|| missing(call, id))?;
    Ok(with_etag(200, &value))
}

fn put(call: &Call<'_>, id: &ResourceId) -> Answer {
    let body = call.object()?;
    check_names(&body, id)?;
    let conditions = call.conditions();
    let (put, estate) =
        call.change_seen(|stage, _| stage.put(id, Value::Object(body), &conditions, Origin::Api))?;
    // Clients of storage take no 201 for an account (reference arm-clients, section 3.3).
    let is_account = id.is("Microsoft.Storage/storageAccounts");
    let status = if put.created && !is_account { 201 } else { 200 };
    Ok(with_etag(status, &estate.show(id).unwrap_or(put.value)))
}

fn patch(call: &Call<'_>, id: &ResourceId) -> Answer {
    let body = Value::Object(call.object()?);
    let conditions = call.conditions();
    let (value, estate) = call.change_seen(|stage, _| stage.patch(id, body, &conditions))?;
    Ok(with_etag(200, &estate.show(id).unwrap_or(value)))
}

/// Checks that a body is not of another resource than the path.
fn check_names(body: &serde_json::Map<String, Value>, id: &ResourceId) -> Result<(), ArmError> {
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let wrong = |field: &str, found: &str, expected: &str| {
        let message = format!(
            "The request content was invalid: its {field} is '{found}', and the request is for \
             '{expected}'."
        );
        Err(ArmError::bad_request("InvalidRequestContent", message).at(field))
    };
    if let Some(name) = text("name").filter(|name| !name.eq_ignore_ascii_case(id.name())) {
        // Some clients send the names of the parents too.
        if !name
            .to_ascii_lowercase()
            .ends_with(&format!("/{}", id.name().to_ascii_lowercase()))
        {
            return wrong("name", name, id.name());
        }
    }
    match text("type") {
        Some(kind) if !id.is(kind) => wrong("type", kind, &id.kind()),
        _ => Ok(()),
    }
}

/// Returns an answer with a resource, its ETag beside it.
pub(crate) fn with_etag(status: u16, value: &Value) -> Response {
    let answer = Response::json(status, value);
    match value.get("etag").and_then(Value::as_str) {
        Some(etag) => answer.with_header("ETag", etag),
        None => answer,
    }
}

/// Returns the error for a resource that is not there.
pub(crate) fn missing(call: &Call<'_>, id: &ResourceId) -> ArmError {
    missing_in(&call.state.estate, id)
}

fn missing_in(estate: &Estate, id: &ResourceId) -> ArmError {
    if let (Scope::Group(..), None) = (&id.scope, estate.show_group(&id.scope)) {
        return no_group(&id.scope);
    }
    let names: Vec<_> = id.segments.iter().map(|(_, name)| name.as_str()).collect();
    let message = format!(
        "The Resource '{}/{}' under resource group '{}' was not found.",
        id.kind(),
        names.join("/"),
        id.scope.group().unwrap_or("<null>")
    );
    ArmError::new(404, "ResourceNotFound", message)
}

/// Returns the error for a resource group that is not there.
pub(crate) fn no_group(scope: &Scope) -> ArmError {
    let name = scope.group().unwrap_or_default();
    let message = format!("Resource group '{name}' could not be found.");
    ArmError::new(404, "ResourceGroupNotFound", message)
}

/// Answers a request for the resources of a type.
pub(crate) fn list(call: &Call<'_>, scope: &Scope, kind: &str) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    providers::check_type(kind)?;
    let action = format!("{kind}/read");
    let visible = visible(call, scope, &action);
    check_scope(call, scope)?;
    let found = call.state.estate.find_all(scope, kind);
    Ok(page::resources(call, found, visible))
}

/// Checks that the resource group or the resource that a list is of exists.
pub(crate) fn check_scope(call: &Call<'_>, scope: &Scope) -> Result<(), ArmError> {
    check_scope_in(&call.state.estate, scope)
}

/// Checks that there is a resource group or a resource in an estate.
pub(crate) fn check_scope_in(estate: &Estate, scope: &Scope) -> Result<(), ArmError> {
    match scope {
        Scope::Group(..) if estate.group(scope).is_none() => Err(no_group(scope)),
        Scope::Resource(id) if estate.find(id).is_none() => Err(missing_in(estate, id)),
        _ => Ok(()),
    }
}

/// Returns which resources of a list the caller may see: all of them with a right at the scope, and
/// else those with a right of their own.
pub(crate) fn visible<'c>(
    call: &'c Call<'_>,
    scope: &Scope,
    action: &str,
) -> impl Fn(&Value) -> bool + use<'c> {
    // What is below the root is of all tenants, and the caller of one.
    let may = call.caller.may_at(&call.state, action);
    let every = scope.subscription().is_some() && may(scope);
    move |value: &Value| {
        let id = || {
            value
                .get("id")
                .and_then(Value::as_str)?
                .parse::<Scope>()
                .ok()
        };
        every || id().is_some_and(|id| may(&id))
    }
}

/// Answers what hangs on a resource: a list of its children, or an action on it.
pub(crate) fn below(call: &Call<'_>, id: &ResourceId, word: &str) -> Answer {
    providers::check_kind(id)?;
    let at = scope_of(id);
    match call.request.method.to_ascii_uppercase().as_str() {
        "GET" => list(call, &at, &format!("{}/{word}", id.kind())),
        "POST" => {
            if call.state.estate.show(id).is_none() && !super::watchers::is_default(call, id) {
                return Err(missing(call, id));
            }
            let body = match call.request.json()? {
                Value::Null => json!({}),
                body => body,
            };
            let action = format!("{}/{word}/action", id.kind());
            call.caller
                .authorise_named(&call.state, id, &action, &body)?;
            let (estate, platform) = (&call.state.estate, &call.api.platform);
            let value = platform.action(estate, id, word, &body)?;
            Ok(Response::json(200, &value))
        }
        _ => Err(call.no_method("GET, POST")),
    }
}
