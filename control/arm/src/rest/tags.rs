//! Tags as a resource of their own: `{scope}/providers/Microsoft.Resources/tags/default`, which stands for
//! the tags of what it is at.

use super::call::{Answer, Call};
use super::request::Response;
use super::resources::{missing, no_group};
use crate::error::ArmError;
use crate::estate::Estate;
use crate::id::{ResourceId, Scope};
use serde_json::{Map, Value, json};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Resources/tags";

type Tags = Map<String, Value>;

/// Answers a request for the tags of the scope that the ID is at.
pub(crate) fn one(call: &Call<'_>, id: &ResourceId) -> Answer {
    let method = call.request.method.to_ascii_uppercase();
    let old = tags(&call.state.estate, &id.scope).ok_or_else(|| match &id.scope {
        Scope::Resource(of) => missing(call, of),
        Scope::Group(..) => no_group(&id.scope),
        Scope::Tenant | Scope::Subscription(_) => {
            let message =
                "Tags are kept of resource groups and resources; accepted: the scope of one.";
            ArmError::bad_request("InvalidTagScope", message)
        }
    })?;
    match method.as_str() {
        "GET" => Ok(Response::json(200, &show(id, &old))),
        "PUT" => set(call, id, read(call)?),
        "PATCH" => {
            let given = read(call)?;
            let body = call.object()?;
            let operation = body
                .get("operation")
                .and_then(Value::as_str)
                .unwrap_or("Merge");
            set(call, id, patched(old, given, operation)?)
        }
        "DELETE" => set(call, id, Tags::new()).map(|_| Response::empty(200)),
        _ => Err(call.no_method("GET, PUT, PATCH, DELETE")),
    }
}

fn tags(estate: &Estate, scope: &Scope) -> Option<Tags> {
    let value = match scope {
        Scope::Group(..) => estate.show_group(scope)?,
        Scope::Resource(id) => estate.show(id)?,
        Scope::Tenant | Scope::Subscription(_) => return None,
    };
    let tags = value.get("tags").and_then(Value::as_object);
    Some(tags.cloned().unwrap_or_default())
}

fn read(call: &Call<'_>) -> Result<Tags, ArmError> {
    let body = call.object()?;
    let tags = body
        .get("properties")
        .and_then(|properties| properties.get("tags"));
    match tags {
        None => Ok(Tags::new()),
        Some(Value::Object(tags)) => Ok(tags.clone()),
        Some(_) => {
            let message = "The request content was invalid: `properties.tags` is no object; accepted: an \
                           object of texts.";
            Err(ArmError::bad_request("InvalidRequestContent", message))
        }
    }
}

fn patched(old: Tags, given: Tags, operation: &str) -> Result<Tags, ArmError> {
    let mut tags = old;
    match operation.to_ascii_lowercase().as_str() {
        "replace" => return Ok(given),
        "merge" => tags.extend(given),
        "delete" => tags.retain(|name, value| given.get(name) != Some(value)),
        _ => {
            let message = format!(
                "The operation '{operation}' is unknown; accepted: Merge, Replace, Delete."
            );
            return Err(ArmError::bad_request("InvalidRequestContent", message).at("operation"));
        }
    }
    Ok(tags)
}

fn set(call: &Call<'_>, id: &ResourceId, tags: Tags) -> Answer {
    call.change(|stage| stage.tag(&id.scope, tags.clone()))?;
    Ok(Response::json(200, &show(id, &tags)))
}

fn show(id: &ResourceId, tags: &Tags) -> Value {
    json!({ "id": id, "name": "default", "type": KIND, "properties": { "tags": tags } })
}
