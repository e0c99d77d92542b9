//! Deployments: templates that become resources, all of them or none.

use super::apart::Apart;
use super::authorise::rights;
use super::call::{Answer, Call};
use super::caller::Caller;
use super::page::{self, Filter};
use super::request::Response;
use super::resources::{check_scope, missing, visible, with_etag};
use super::state::State;
use super::turns::Turn;
use super::{metadata, storage, subscriptions};
use crate::deploy::{self, Access, DeployContext, DeploymentRequest, DeploymentResult, Journal};
use crate::error::ArmError;
use crate::estate::{Conditions, Stage};
use crate::id::{ResourceId, Scope};
use crate::principals::{new_guid, random};
use crate::template::limits::Limits;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Resources/deployments";
/// The type of what a deployment did.
pub(crate) const OPERATIONS: &str = "Microsoft.Resources/deployments/operations";

/// Answers a request for one deployment or one of its operations.
pub(crate) fn deployment(call: &Call<'_>, id: &ResourceId) -> Answer {
    if id.is(OPERATIONS) {
        return operation(call, id);
    }
    let found = || call.state.estate.show(id);
    match call.request.method.to_ascii_uppercase().as_str() {
        "GET" => Ok(with_etag(200, &found().ok_or_else(|| absent(call, id))?)),
        "HEAD" => {
            let status = if found().is_some() { 204 } else { 404 };
            Ok(Response::empty(status))
        }
        "PUT" => create(call, id),
        "DELETE" => {
            // Its record alone: what it deployed stays.
            let none = Conditions::none();
            call.change(|stage| stage.delete(id, &none))?;
            Ok(Response::empty(204))
        }
        _ => Err(call.no_method("GET, HEAD, PUT, DELETE")),
    }
}

/// Returns the error for a deployment that is not there.
fn absent(call: &Call<'_>, id: &ResourceId) -> ArmError {
    let error = missing(call, id);
    if error.code == "ResourceGroupNotFound" {
        return error;
    }
    let message = format!("Deployment '{}' could not be found.", id.name());
    ArmError::new(404, "DeploymentNotFound", message)
}

/// Answers a request for the deployments of a scope.
pub(crate) fn list(call: &Call<'_>, scope: &Scope) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let visible = visible(call, scope, &format!("{KIND}/read"));
    check_scope(call, scope)?;
    let filter = Filter::of(call, &["provisioningState"])?;
    let state = |value: &Value| {
        let state = value.pointer("/properties/provisioningState");
        state.and_then(Value::as_str).map(str::to_owned)
    };
    let mut all = call.state.estate.find_all(scope, KIND);
    // At a subscription, its own: those of its groups are asked for there.
    all.retain(|found| found.id().scope == *scope);
    Ok(page::resources(call, all, |value| {
        visible(value) && filter.passes(|_| state(value).into_iter().collect())
    }))
}

/// Answers what hangs on a deployment.
pub(crate) fn below(call: &Call<'_>, id: &ResourceId, word: &str) -> Answer {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if call.is("GET") && is("operations") {
        let record = call.state.estate.show(id).ok_or_else(|| absent(call, id))?;
        return Ok(page::list(call, operations(id, &record)));
    }
    if !call.is("POST") {
        return Err(call.no_method("POST"));
    }
    if is("validate") {
        return rehearse(call, id, deploy::validate::<Stage>);
    }
    if is("whatIf") {
        return rehearse(call, id, deploy::what_if::<Stage>);
    }
    if call.state.estate.show(id).is_none() {
        return Err(absent(call, id));
    }
    if is("cancel") {
        let message = "The deployment is done: deployments are done at once here, or not at all.";
        return Err(ArmError::new(409, "DeploymentCannotBeCancelled", message));
    }
    if is("exportTemplate") {
        let message = "The templates of deployments are not kept; accepted: exportTemplate of the \
                       resource group.";
        return Err(ArmError::new(404, "DeploymentTemplateNotFound", message));
    }
    Err(call.no_such_path())
}

fn request(call: &Call<'_>) -> Result<DeploymentRequest, ArmError> {
    let text = std::str::from_utf8(&call.request.body).map_err(|error| {
        let message = format!("The request content was invalid: it is not UTF-8: {error}.");
        ArmError::bad_request("InvalidRequestContent", message)
    })?;
    DeploymentRequest::parse(text)
}

/// Waits until the template of the request may be evaluated.
fn turn<'c>(call: &'c Call<'_>) -> Result<Turn<'c>, ArmError> {
    let who = match &call.caller {
        Caller::Local => None,
        Caller::Principal(claims, _) => Some(claims.oid.as_str()),
    };
    call.api.turns.enter(who, &call.request.cancel)
}

fn create(call: &Call<'_>, id: &ResourceId) -> Answer {
    let turn = turn(call)?;
    let request = request(call)?;
    let correlation = correlation(call);
    let made = call.api.change_apart(&Apart {
        caller: &call.caller,
        cancel: &call.request.cancel,
        act: |journal: &mut Journal, state: &State| {
            let is_new = journal.stage().estate().find(id).is_none();
            let done = with_context(call, state, &correlation, |context| {
                deploy::create(journal, id, &request, context)
            })?;
            Ok((is_new, done))
        },
    });
    drop(turn);
    let ((is_new, done), _) = made.inspect_err(|error| {
        // What is wrong with the request itself leaves nothing, as on the platform.
        if error.code == "DeploymentFailed" {
            remember(call, id, &request, error, &correlation);
        }
    })?;
    let status = if is_new { 201 } else { 200 };
    Ok(Response::json(status, &told(done)))
}

/// Keeps a record of a deployment that failed.
fn remember(
    call: &Call<'_>,
    id: &ResourceId,
    request: &DeploymentRequest,
    error: &ArmError,
    correlation: &str,
) {
    let kept = call.change_seen(|stage, state| {
        with_context(call, state, correlation, |context| {
            deploy::record_failure(stage, id, request, error, context)
        })
    });
    if let Err(error) = kept {
        tracing::warn!(%error, deployment = %id, "the record of a failed deployment is not kept");
    }
}

type Rehearsal = fn(
    &mut Stage,
    &ResourceId,
    &DeploymentRequest,
    &DeployContext<'_>,
) -> Result<DeploymentResult, ArmError>;

/// Does all that a deployment would do, and drops it.
fn rehearse(call: &Call<'_>, id: &ResourceId, act: Rehearsal) -> Answer {
    let turn = turn(call)?;
    let request = request(call)?;
    let correlation = correlation(call);
    let rehearsed = call.preview_seen(|stage, state| {
        with_context(call, state, &correlation, |context| {
            act(stage, id, &request, context)
        })
    })?;
    drop(turn);
    let mut answer = told(rehearsed.result);
    if let Some(properties) = answer.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("effects".to_owned(), seen(call, id, rehearsed.effects));
    }
    Ok(Response::json(200, &answer))
}

/// Returns what a change does beyond its resources as far as the caller may see it: routes and rules of
/// the NICs that they may read, and the rest for who may read the whole subscription.
fn seen(call: &Call<'_>, id: &ResourceId, mut effects: Value) -> Value {
    if call.caller.is_host() {
        return effects;
    }
    let subscription = id.scope.subscription().unwrap_or_default();
    let whole = Scope::Subscription(subscription.to_owned());
    let may = |id: &ResourceId| {
        let right = rights::on(id, "read");
        call.caller.may(&call.state, &right.action, &right.at)
    };
    let of_nic = |row: &Value| {
        let nic = row.get("networkInterface").and_then(Value::as_str);
        nic.is_none_or(|nic| nic.parse().is_ok_and(|nic| may(&nic)))
    };
    if let Some(fields) = effects.as_object_mut() {
        if !call.caller.may(&call.state, "*/read", &whole) {
            fields.remove("changes");
        }
        for rows in fields.values_mut().filter_map(Value::as_array_mut) {
            rows.retain(of_nic);
        }
    }
    effects
}

/// Returns the answer, with what of the template is kept and does nothing here.
fn told(done: DeploymentResult) -> Value {
    let mut value = done.value;
    let ids = done.without_effect;
    if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut)
        && !ids.is_empty()
    {
        properties.insert("withoutEffect".to_owned(), json!(ids));
    }
    value
}

fn correlation(call: &Call<'_>) -> String {
    let told = call.request.header("x-ms-correlation-request-id");
    told.map_or_else(new_guid, str::to_owned)
}

fn with_context<R>(
    call: &Call<'_>,
    state: &State,
    correlation: &str,
    act: impl FnOnce(&DeployContext<'_>) -> Result<R, ArmError>,
) -> Result<R, ArmError> {
    let (tenant, deployer) = match &call.caller {
        Caller::Local => {
            let first = state
                .config
                .tenants
                .first()
                .map(|tenant| tenant.id.as_str());
            (
                first.unwrap_or_default(),
                "00000000-0000-0000-0000-000000000000",
            )
        }
        Caller::Principal(claims, _) => (claims.tid.as_str(), claims.oid.as_str()),
    };
    let authorise = |access: &Access<'_>| {
        let right = rights::of_access(access);
        call.caller.authorise(state, &right.action, &right.at)
    };
    let list = |id: &ResourceId, _: &Value, action: &str, body: &Value| {
        if id.is(storage::KIND) && action.eq_ignore_ascii_case("listKeys") {
            return Ok(storage::keys(state, id));
        }
        let right = rights::on(id, &format!("{action}/action"));
        call.caller
            .authorise_named(state, id, &right.action, body)?;
        call.api.platform.action(&state.estate, id, action, body)
    };
    let is_seen = |of: &str| {
        call.caller
            .tenant()
            .is_none_or(|own| own.eq_ignore_ascii_case(of))
    };
    let subscriptions = state.subscriptions.iter();
    let subscriptions = subscriptions.filter(|known| is_seen(&known.tenant));
    let shown = state.tenant(tenant).map(subscriptions::show_tenant);
    let context = DeployContext {
        tenant: shown.unwrap_or_default(),
        subscriptions: subscriptions.map(subscriptions::show).collect(),
        environment: metadata::environment(&call.request.base()),
        deployer: json!({ "objectId": deployer, "tenantId": tenant }),
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
        correlation: correlation.to_owned(),
        entropy: u128::from_ne_bytes(random()),
        limits: match &call.caller {
            Caller::Local => Limits::host(),
            Caller::Principal(..) => Limits::azure(),
        },
        clock: call.api.platform.processor_time(),
        cancel: call.request.cancel.clone(),
        authorize: &authorise,
        list: &list,
    };
    act(&context)
}

/// Returns what a deployment did, by its record: one operation for each resource, and one that says why
/// it failed, if it did.
fn operations(id: &ResourceId, record: &Value) -> Vec<Value> {
    let at = |name: &str| record.pointer(&format!("/properties/{name}")).cloned();
    let show =
        |number: usize, state: &str, code: &str, target: Option<&str>, message: Option<Value>| {
            let name = format!("{:016X}", number.saturating_add(1));
            let target: Option<ResourceId> = target.and_then(|target| target.parse().ok());
            let target = target.map(|target| {
            json!({ "id": target, "resourceType": target.kind(), "resourceName": target.name() })
        });
            json!({
                "id": id.child("operations", &name),
                "operationId": name,
                "properties": {
                    "provisioningOperation": "Create",
                    "provisioningState": state,
                    "timestamp": at("timestamp"),
                    "duration": at("duration"),
                    "statusCode": code,
                    "statusMessage": message,
                    "targetResource": target,
                },
            })
        };
    let made = at("outputResources").unwrap_or_default();
    let made = made.as_array().into_iter().flatten().enumerate();
    let mut all: Vec<Value> = made
        .map(|(number, one)| {
            let target = one.get("id").and_then(Value::as_str);
            show(number, "Succeeded", "OK", target, None)
        })
        .collect();
    if let Some(error) = at("error") {
        let target = error
            .pointer("/details/0/target")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let message = json!({ "status": "Failed", "error": error });
        all.push(show(
            all.len(),
            "Failed",
            "BadRequest",
            target.as_deref(),
            Some(message),
        ));
    }
    all
}

fn operation(call: &Call<'_>, id: &ResourceId) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let parent = id.root();
    let record = call
        .state
        .estate
        .show(&parent)
        .ok_or_else(|| absent(call, &parent))?;
    let mut all = operations(&parent, &record).into_iter();
    let found = all.find(|one| one.get("operationId").and_then(Value::as_str) == Some(id.name()));
    let found = found.ok_or_else(|| call.no_such_path())?;
    Ok(Response::json(200, &found))
}
