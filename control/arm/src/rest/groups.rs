//! Resource groups, and what is in them.

use super::authorise::rights;
use super::call::{Answer, Call};
use super::page::{self, Filter};
use super::request::Response;
use super::resources::{check_scope, no_group, visible, with_etag};
use crate::error::ArmError;
use crate::export;
use crate::id::{ResourceId, Scope};
use crate::template::budget::fields_size;
use serde_json::{Map, Value};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Resources/subscriptions/resourceGroups";

/// Answers a request for a resource group (no words) or something of it.
pub(crate) fn group(call: &Call<'_>, scope: &Scope, words: &[String]) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => one(call, scope),
        [word] if word.eq_ignore_ascii_case("resources") => resources(call, scope),
        [word] if word.eq_ignore_ascii_case("exportTemplate") && call.is("POST") => {
            check_scope(call, scope)?;
            let estate = &call.state.estate;
            let is_seen = |id: &ResourceId| {
                let right = rights::on(id, "read");
                call.caller.may(&call.state, &right.action, &right.at)
            };
            let sizes = estate
                .documents_in(scope)
                .map(|document| fields_size(&document.body, MAX_EXPORT));
            if sizes.fold(0_usize, usize::saturating_add) > MAX_EXPORT {
                return Err(too_much());
            }
            let template = export::group_of(estate, scope, &|_| Map::new(), is_seen);
            let answer = Map::from_iter([("template".to_owned(), template)]);
            Ok(Response::json(200, &Value::Object(answer)))
        }
        _ => Err(call.no_such_path()),
    }
}

/// How much memory the resources of a group may take that are exported as one template: more than a
/// template that could be deployed.
const MAX_EXPORT: usize = 8 << 20;

fn too_much() -> ArmError {
    // The code is from memory.
    let message = "The template of the resource group would exceed the maximum size of 4 MB of a template; \
                   accepted: a group with less in it. On the host, 'postern export' has no such limit.";
    ArmError::bad_request("ExportTemplateTooLarge", message)
}

fn one(call: &Call<'_>, scope: &Scope) -> Answer {
    match call.request.method.to_ascii_uppercase().as_str() {
        "GET" => {
            let group = call.state.estate.show_group(scope);
            Ok(with_etag(200, &group.ok_or_else(|| no_group(scope))?))
        }
        "HEAD" => {
            let group = call.state.estate.show_group(scope);
            Ok(Response::empty(if group.is_some() { 204 } else { 404 }))
        }
        "PUT" => {
            let body = Value::Object(call.object()?);
            let put = call.change(|stage| stage.put_group(scope, body))?;
            Ok(with_etag(if put.created { 201 } else { 200 }, &put.value))
        }
        "PATCH" => {
            let body = Value::Object(call.object()?);
            let value = call.change(|stage| stage.patch_group(scope, body))?;
            Ok(with_etag(200, &value))
        }
        "DELETE" => {
            let was_there = call.change(|stage| stage.delete_group(scope))?;
            if was_there {
                Ok(Response::empty(200))
            } else {
                Err(no_group(scope))
            }
        }
        _ => Err(call.no_method("GET, HEAD, PUT, PATCH, DELETE")),
    }
}

/// Lists the groups of a subscription.
pub(crate) fn list(call: &Call<'_>, scope: &Scope) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let visible = visible(call, scope, &format!("{KIND}/read"));
    let filter = Filter::of(call, &["tagName", "tagValue", "name"])?;
    let subscription = scope.subscription().unwrap_or_default();
    let groups = call.state.estate.list_groups(subscription).into_iter();
    let groups = groups
        .filter(visible)
        .filter(|group| filter.passes(|field| about(group, &filter, field)));
    Ok(page::list(call, groups.collect()))
}

/// Lists the resources of a group or a subscription, whatever their type.
pub(crate) fn resources(call: &Call<'_>, scope: &Scope) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    // Of each the right to read its type is asked for.
    check_scope(call, scope)?;
    let visible = |value: &Value| {
        let id = value.get("id").and_then(Value::as_str);
        let id = id.and_then(|id| id.parse::<ResourceId>().ok());
        id.is_some_and(|id| {
            let right = rights::on(&id, "read");
            call.caller.may(&call.state, &right.action, &right.at)
        })
    };
    let known = [
        "resourceType",
        "resourceGroup",
        "name",
        "location",
        "tagName",
        "tagValue",
    ];
    let filter = Filter::of(call, &known)?;
    let all = call.state.estate.resources_in(scope).into_iter();
    let all = all
        .filter(visible)
        .filter(|value| filter.passes(|field| about(value, &filter, field)));
    Ok(page::list(call, all.collect()))
}

/// Returns what a filter compares of a resource.
fn about(value: &Value, filter: &Filter, field: &str) -> Vec<String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let found = match field {
        "resourceType" => text("type"),
        "resourceGroup" => {
            let scope = text("id").and_then(|id| id.parse::<Scope>().ok());
            scope.and_then(|scope| scope.group().map(str::to_owned))
        }
        "tagName" => return tags(value).map(|(name, _)| name.clone()).collect(),
        "tagValue" => {
            // The value of the tag that the filter names.
            let of = filter.wanted("tagName");
            let of = |name: &str| of.is_none_or(|of| of.eq_ignore_ascii_case(name));
            let values = tags(value).filter(|(name, _)| of(name));
            return values
                .filter_map(|(_, value)| value.as_str().map(str::to_owned))
                .collect();
        }
        name => text(name),
    };
    found.into_iter().collect()
}

fn tags(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let tags = value.get("tags").and_then(Value::as_object);
    tags.into_iter().flatten()
}
