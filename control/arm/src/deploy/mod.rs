//! Microsoft.Resources/deployments: a template becomes resources.
//!
//! A deployment is one change: [`create`] puts every resource of the template into [`Resources`], a
//! change under way, and its caller brings that into force or, after an error, drops it. Nothing of a
//! deployment that fails is ever in force. [`validate`] and [`what_if`] do the same work on a change
//! that is dropped in any case.

mod context;
mod journal;
mod log;
mod place;
mod record;
mod request;
mod run;
mod stage;
#[cfg(test)]
mod tests;
mod view;
mod whatif;

use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::template::budget::Budget;
use crate::template::instance::DEPLOYMENTS;
use crate::template::problem::{Located, Problem};
use crate::template::session::Session;
use log::Log;
use run::{Run, Stop, Task};
use serde_json::{Value, json};
use std::collections::HashSet;

pub use context::{Access, Authorize, DeployContext, List, Resources};
pub use journal::{Journal, Steps};
pub use request::{DeploymentRequest, Mode};

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentResult {
    /// The answer as ARM has it: the deployment, or the result of what-if.
    pub value: Value,
    /// The resources that are kept and have no effect on this host.
    pub without_effect: Vec<ResourceId>,
}

/// Deploys a template. The record of the deployment is put beside the resources.
///
/// # Errors
///
/// The template is not valid, or one of its resources cannot be put; `resources` is half changed then
/// and to be dropped.
pub fn create<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    request: &DeploymentRequest,
    ctx: &DeployContext<'_>,
) -> Result<DeploymentResult, ArmError> {
    let (value, log) = perform(resources, id, request, ctx, "DeploymentFailed", false)?;
    record::keep(resources, id, &value)?;
    Ok(result(value, &log))
}

/// Tells whether a template could be deployed. `resources` is to be dropped.
///
/// # Errors
///
/// As [`create`].
pub fn validate<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    request: &DeploymentRequest,
    ctx: &DeployContext<'_>,
) -> Result<DeploymentResult, ArmError> {
    let (mut value, log) = perform(
        resources,
        id,
        request,
        ctx,
        "InvalidTemplateDeployment",
        false,
    )?;
    if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
        properties.shift_remove("outputs");
        if let Some(ids) = properties.shift_remove("outputResources") {
            properties.insert("validatedResources".to_owned(), ids);
        }
    }
    Ok(result(value, &log))
}

/// Tells what a deployment would change. `resources` is to be dropped.
///
/// # Errors
///
/// As [`create`].
pub fn what_if<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    request: &DeploymentRequest,
    ctx: &DeployContext<'_>,
) -> Result<DeploymentResult, ArmError> {
    let (_, mut log) = perform(
        resources,
        id,
        request,
        ctx,
        "InvalidTemplateDeployment",
        true,
    )?;
    let budget = Budget::new(ctx.limits, ctx.clock, ctx.cancel.clone());
    let shower = whatif::Shower {
        resources: &*resources,
        budget: &budget,
        ctx,
        ids_only: request.ids_only,
    };
    let changes = shower.changes(id, &mut log);
    let changes = changes.map_err(|problem| Located::from(problem).error(""))?;
    let value = json!({
        "status": "Succeeded",
        "properties": { "correlationId": ctx.correlation, "changes": changes },
    });
    Ok(result(value, &log))
}

/// Puts the record of a deployment that failed, on a change of its own: the one it failed on is gone.
///
/// # Errors
///
/// The resource group does not exist.
pub fn record_failure<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    request: &DeploymentRequest,
    error: &ArmError,
    ctx: &DeployContext<'_>,
) -> Result<(), ArmError> {
    place::of(id, request, resources, ctx)?;
    let record = record::failed(id, request, error, ctx.now, &ctx.correlation);
    record::keep(resources, id, &record)
}

/// Does the work of a deployment.
fn perform<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    request: &DeploymentRequest,
    ctx: &DeployContext<'_>,
    code: &str,
    keeps_before: bool,
) -> Result<(Value, Log), ArmError> {
    (ctx.authorize)(&Access::Write(id, &Value::Null))?;
    let session = Session::new(
        ctx.environment.clone(),
        ctx.tenant.clone(),
        ctx.deployer.clone(),
        ctx.now,
        ctx.entropy,
        Budget::new(ctx.limits, ctx.clock, ctx.cancel.clone()),
    );
    let limited = |problem: Problem| Located::from(problem).error("");
    // Beside the template as it was sent there are its resources and its names.
    session
        .budget
        .keep_fields(&request.template, 1)
        .map_err(limited)?;
    let done = performed(
        resources,
        (id, request),
        ctx,
        &session,
        (code, keeps_before),
    );
    // Whatever went wrong may quote what it went wrong with.
    let (mut value, log) = done.map_err(|error| session.masked(error))?;
    record::hide(&mut value, &session).map_err(limited)?;
    Ok((value, log))
}

fn performed<R: Resources>(
    resources: &mut R,
    (id, request): (&ResourceId, &DeploymentRequest),
    ctx: &DeployContext<'_>,
    session: &Session,
    (code, keeps_before): (&str, bool),
) -> Result<(Value, Log), ArmError> {
    let place = place::of(id, request, &*resources, ctx)?;
    let (frame, types) = run::frame(session, place, request, "")?;
    let mut run = Run {
        resources,
        ctx,
        session,
        log: Log::new(keeps_before),
    };
    let task = Task {
        id,
        request,
        frame: &frame,
        types: &types,
        loops: &[],
        outer: None,
        path: "",
    };
    let value = run.template(&task).map_err(|stop| match stop {
        Stop::Failed(error) => summed_up(error, id, code, ctx),
        // Nothing is outside the outermost template that could still be deployed.
        Stop::NotYet(_) => {
            ArmError::new(500, "InternalServerError", "A resource was never deployed.")
        }
    })?;
    let (mut log, taken) = (run.log, session.budget.taken());
    tracing::debug!(deployment = %id, work = taken.work, memory = taken.memory, "evaluated");
    if request.mode == Mode::Complete {
        complete(resources, id, &mut log, ctx).map_err(|error| summed_up(error, id, code, ctx))?;
    }
    resources
        .check()
        .map_err(|error| summed_up(error, id, code, ctx))?;
    Ok((value, log))
}

fn result(value: Value, log: &Log) -> DeploymentResult {
    let without = log.written.iter().filter(|change| !change.has_effect);
    DeploymentResult {
        value,
        without_effect: without.map(|change| change.id.clone()).collect(),
    }
}

/// Sums the error of a resource up as that of the deployment; what is wrong with the template itself
/// stands for itself, and so does that nobody waits for it any more.
fn summed_up(error: ArmError, id: &ResourceId, code: &str, ctx: &DeployContext<'_>) -> ArmError {
    let is_over = error.status == 499;
    if error.code == "InvalidTemplate" || is_over {
        return error;
    }
    let message = match code {
        "DeploymentFailed" => format!(
            "At least one resource deployment operation failed, and nothing was changed. Please see https://aka.ms/arm-deployment-operations for usage details. {}: {}",
            error.code, error.message
        ),
        _ => format!(
            "The template deployment '{}' is not valid according to the validation procedure. The tracking id is '{}'. See inner errors for details.",
            id.name(),
            ctx.correlation
        ),
    };
    ArmError::new(error.status, code, message)
        .at(id.to_string())
        .with(vec![error])
}

/// Deletes what the resource group has beyond the template.
fn complete<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    log: &mut Log,
    ctx: &DeployContext<'_>,
) -> Result<(), ArmError> {
    if !matches!(id.scope, Scope::Group(..)) {
        return Err(ArmError::bad_request(
            "InvalidDeploymentMode",
            "The mode 'Complete' is for resource groups; accepted at this scope: Incremental.",
        ));
    }
    let kept: HashSet<String> = log.roots();
    for one in resources.in_group(&id.scope) {
        if kept.contains(&one.key()) || one.is(DEPLOYMENTS) {
            continue;
        }
        (ctx.authorize)(&Access::Delete(&one))?;
        log.deletes(&one, &*resources);
        // In any order: whether something that stays needs it is told by the check of the whole.
        resources
            .remove(&one)
            .map_err(|error| error.at(one.to_string()))?;
    }
    Ok(())
}
