//! Where a template is deployed to, as its functions tell it.

use super::context::{DeployContext, Resources};
use super::request::DeploymentRequest;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::template::frame::Place;
use crate::template::instance::DEPLOYMENTS;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Returns the place of a deployment.
///
/// # Errors
///
/// The ID is none of a deployment, or its resource group or subscription does not exist.
pub(super) fn of<R: Resources>(
    id: &ResourceId,
    request: &DeploymentRequest,
    resources: &R,
    ctx: &DeployContext<'_>,
) -> Result<Arc<Place>, ArmError> {
    if !id.is(DEPLOYMENTS) || id.name().is_empty() {
        return Err(ArmError::bad_request(
            "InvalidDeploymentName",
            format!("'{id}' is not the ID of a deployment."),
        ));
    }
    let (subscription, group) = match &id.scope {
        Scope::Subscription(subscription) => (subscription, Value::Null),
        Scope::Group(subscription, name) => {
            let group = resources.show_group(&id.scope).ok_or_else(|| {
                ArmError::new(
                    404,
                    "ResourceGroupNotFound",
                    format!("Resource group '{name}' could not be found."),
                )
            })?;
            (subscription, group)
        }
        Scope::Tenant | Scope::Resource(_) => {
            return Err(ArmError::bad_request(
                "InvalidDeploymentScope",
                format!(
                    "'{}' is no scope that templates are deployed to here; accepted: a subscription, a resource group.",
                    id.scope
                ),
            ));
        }
    };
    Ok(Arc::new(Place {
        scope: id.scope.clone(),
        subscription: subscription_of(subscription, ctx)?,
        group,
        deployment: deployment(id, request),
    }))
}

/// Returns what `subscription()` tells.
fn subscription_of(subscription: &str, ctx: &DeployContext<'_>) -> Result<Value, ArmError> {
    let is_it = |one: &&Value| {
        one.get("subscriptionId")
            .and_then(Value::as_str)
            .is_some_and(|id| id.eq_ignore_ascii_case(subscription))
    };
    let found = ctx.subscriptions.iter().find(is_it).ok_or_else(|| {
        ArmError::new(
            404,
            "SubscriptionNotFound",
            format!("The subscription '{subscription}' could not be found."),
        )
    })?;
    let of = |name: &str| found.get(name).cloned().unwrap_or_default();
    Ok(json!({
        "id": format!("/subscriptions/{subscription}"),
        "subscriptionId": subscription,
        "tenantId": of("tenantId"),
        "displayName": of("displayName"),
    }))
}

/// Returns what `deployment()` tells.
fn deployment(id: &ResourceId, request: &DeploymentRequest) -> Value {
    let mut deployment = Map::new();
    deployment.insert("name".to_owned(), id.name().into());
    if let Some(location) = &request.location {
        deployment.insert("location".to_owned(), location.as_str().into());
    }
    // The resources are left out: a copy of the template in each expression that asks for its version
    // would cost more than anybody reads of it.
    let template: Map<String, Value> = request
        .template
        .iter()
        .filter(|(name, _)| {
            ["$schema", "contentVersion", "languageVersion", "metadata"].contains(&name.as_str())
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    deployment.insert(
        "properties".to_owned(),
        json!({
            "template": template,
            "templateHash": super::record::template_hash(&request.template),
            "mode": request.mode.name(),
            "provisioningState": "Accepted",
        }),
    );
    Value::Object(deployment)
}
