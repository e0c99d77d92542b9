//! Resources in a map, with as much of the platform's behaviour as a template can see.

use super::super::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(in super::super) const GROUP: &str = "/subscriptions/s1/resourceGroups/rg";

/// Resources, and every ID put, in order.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Memory {
    pub(in super::super) kept: BTreeMap<String, Value>,
    pub(in super::super) groups: BTreeMap<String, Value>,
    pub(in super::super) order: Vec<String>,
    pub(in super::super) refused: Vec<String>,
}

impl Memory {
    pub(in super::super) fn new() -> Self {
        let mut memory = Self::default();
        let scope: Scope = GROUP.parse().unwrap();
        memory
            .put_group(
                &scope,
                json!({ "location": "westeurope", "tags": { "t": "1" } }),
            )
            .unwrap();
        memory
    }

    /// Returns the names of what was put, deployments left out, in order.
    pub(in super::super) fn names(&self) -> Vec<&str> {
        let name = |id: &'_ String| id.rfind("/").map(|at| &id[at + 1..]).is_some();
        self.order
            .iter()
            .filter(|id| name(id) && !id.contains("/deployments/"))
            .map(|id| id.rsplit('/').next().unwrap())
            .collect()
    }

    pub(in super::super) fn get(&self, path: &str) -> &Value {
        let key = format!("{GROUP}/providers/{path}").to_ascii_lowercase();
        self.kept
            .get(&key)
            .unwrap_or_else(|| panic!("no {path} in {:#?}", self.kept.keys()))
    }

    pub(in super::super) fn deploy(&mut self, template: Value) -> Result<Value, ArmError> {
        self.deploy_with(template, json!({}))
    }

    pub(in super::super) fn deploy_with(
        &mut self,
        template: Value,
        parameters: Value,
    ) -> Result<Value, ArmError> {
        let request = request(template, parameters);
        let result = with_context(|ctx| create(self, &deployment("d"), &request, ctx))?;
        Ok(result.value)
    }

    pub(in super::super) fn what_if(&self, request: &DeploymentRequest) -> Vec<Value> {
        let mut draft = self.clone();
        let result = with_context(|ctx| what_if(&mut draft, &deployment("d"), request, ctx));
        result.unwrap().value["properties"]["changes"]
            .as_array()
            .unwrap()
            .clone()
    }
}

pub(in super::super) fn deployment(name: &str) -> ResourceId {
    format!("{GROUP}/providers/Microsoft.Resources/deployments/{name}")
        .parse()
        .unwrap()
}

pub(in super::super) fn request(template: Value, parameters: Value) -> DeploymentRequest {
    let body = json!({ "properties": { "template": template, "parameters": parameters } });
    DeploymentRequest::parse(&body.to_string()).unwrap()
}

pub(in super::super) fn with_context<R>(then: impl FnOnce(&DeployContext<'_>) -> R) -> R {
    with_authority(&|_| Ok(()), then)
}

pub(in super::super) fn with_authority<R>(
    authorize: &Authorize<'_>,
    then: impl FnOnce(&DeployContext<'_>) -> R,
) -> R {
    then(&DeployContext {
        tenant: json!({ "tenantId": "t1", "displayName": "tenant" }),
        subscriptions: vec![
            json!({ "subscriptionId": "s1", "tenantId": "t1", "displayName": "one" }),
            json!({ "subscriptionId": "s2", "tenantId": "t1", "displayName": "two" }),
        ],
        environment: json!({ "name": "AzureCloud", "suffixes": { "storage": "core.windows.net" } }),
        deployer: json!({ "objectId": "o1", "tenantId": "t1" }),
        now: Duration::from_secs(1_586_271_194),
        correlation: "c1".to_owned(),
        entropy: 7,
        authorize,
        limits: crate::template::limits::Limits::host(),
        clock: crate::clock::processor_time,
        cancel: crate::cancel::Cancel::default(),
        list: &|id, _, action, _| {
            Ok(
                json!({ "keys": [{ "keyName": "key1", "value": format!("{action} of {}", id.name()) }] }),
            )
        },
    })
}

impl Resources for Memory {
    fn show(&self, id: &ResourceId) -> Option<Value> {
        self.kept.get(&id.key()).cloned()
    }

    fn put(&mut self, id: &ResourceId, body: Value) -> Result<Value, ArmError> {
        if self.refused.iter().any(|name| name == id.name()) {
            return Err(ArmError::new(
                409,
                "Conflict",
                format!("{} is refused", id.name()),
            ));
        }
        if let Some(parent) = id.parent()
            && !self.kept.contains_key(&parent.key())
        {
            return Err(ArmError::new(
                404,
                "ParentResourceNotFound",
                format!("no {parent}"),
            ));
        }
        let Value::Object(mut fields) = body else {
            return Err(ArmError::bad_request("InvalidRequestContent", "no object"));
        };
        fields.insert("id".to_owned(), id.to_string().into());
        fields.insert("name".to_owned(), id.name().into());
        fields.insert("type".to_owned(), id.kind().into());
        fields.insert("etag".to_owned(), self.order.len().into());
        let properties = fields
            .entry("properties")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(properties) = properties {
            properties
                .entry("provisioningState")
                .or_insert("Succeeded".into());
        }
        let value = Value::Object(fields);
        self.kept.insert(id.key(), value.clone());
        self.order.push(id.to_string());
        Ok(value)
    }

    fn remove(&mut self, id: &ResourceId) -> Result<bool, ArmError> {
        Ok(self.kept.remove(&id.key()).is_some())
    }

    fn show_group(&self, scope: &Scope) -> Option<Value> {
        self.groups.get(&scope.key()).cloned()
    }

    fn put_group(&mut self, scope: &Scope, body: Value) -> Result<Value, ArmError> {
        let mut value = body;
        value["id"] = scope.to_string().into();
        value["name"] = scope.group().unwrap_or_default().into();
        value["type"] = "Microsoft.Resources/resourceGroups".into();
        value["properties"] = json!({ "provisioningState": "Succeeded" });
        self.groups.insert(scope.key(), value.clone());
        Ok(value)
    }

    fn in_group(&self, scope: &Scope) -> Vec<ResourceId> {
        let ids = self
            .kept
            .values()
            .map(|value| value["id"].as_str().unwrap());
        ids.map(|id| id.parse::<ResourceId>().unwrap())
            .filter(|id| id.scope == *scope && id.segments.len() == 1)
            .collect()
    }

    fn has_effect(&self, kind: &str) -> bool {
        !kind.to_ascii_lowercase().starts_with("microsoft.compute/")
    }

    fn check(&mut self) -> Result<(), ArmError> {
        Ok(())
    }
}
