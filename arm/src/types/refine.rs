//! What the normal form of some types has beyond that of all.

use super::Kind;
use super::normal::Context;
use crate::error::ArmError;
use serde_json::{Map, Value, json};

/// Brings the properties of a type into the form that only this type has.
pub(super) fn refine(
    kind: &Kind,
    properties: &mut Map<String, Value>,
    old: Option<&Map<String, Value>>,
    context: Context<'_>,
) -> Result<(), ArmError> {
    match kind.name {
        "Microsoft.Network/virtualNetworks/subnets" => endpoints(properties, context)?,
        "Microsoft.Storage/storageAccounts" => rules(properties, old),
        "Microsoft.KeyVault/vaults" | "Microsoft.CognitiveServices/accounts" => {
            rules(properties, old);
        }
        "Microsoft.Network/networkInterfaces" => {
            let settings = properties.entry("dnsSettings").or_insert_with(|| json!({}));
            if let Value::Object(settings) = settings {
                for name in [
                    "appliedDnsServers",
                    "internalDomainNameSuffix",
                    "internalFqdn",
                ] {
                    settings.remove(name);
                }
                settings.entry("dnsServers").or_insert_with(|| json!([]));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Collapses the endpoints of a subnet, spells their services and fills in what they reach.
fn endpoints(properties: &mut Map<String, Value>, context: Context<'_>) -> Result<(), ArmError> {
    let Some(Value::Array(endpoints)) = properties.get_mut("serviceEndpoints") else {
        return Ok(());
    };
    let mut kept: Vec<Value> = Vec::new();
    for mut endpoint in std::mem::take(endpoints) {
        let written = endpoint
            .get("service")
            .and_then(Value::as_str)
            .unwrap_or("");
        let service = context.knowledge.service(written).ok_or_else(|| {
            let message = format!(
                "The subnet has an item in ServiceEndpoints array with invalid service name \
                 '{written}'."
            );
            ArmError::bad_request("SubnetHasInvalidServiceName", message)
        })?;
        if kept
            .iter()
            .any(|other| other.get("service") == Some(&Value::from(service.as_str())))
        {
            continue;
        }
        let locations = context
            .knowledge
            .endpoint_locations(&service, context.location);
        if let Some(fields) = endpoint.as_object_mut() {
            fields.remove("provisioningState");
            fields.insert("service".to_owned(), Value::from(service));
            fields.insert("locations".to_owned(), json!(locations));
        }
        kept.push(endpoint);
    }
    *endpoints = kept;
    Ok(())
}

/// What stands in the place of network rules that were never written.
pub(super) fn default_rules() -> Value {
    json!({
        "bypass": "AzureServices",
        "virtualNetworkRules": [],
        "ipRules": [],
        "defaultAction": "Allow",
    })
}

/// Fills in network rules. Those that say what none would are none, where there were none: a client sent
/// back what a GET shows.
fn rules(properties: &mut Map<String, Value>, old: Option<&Map<String, Value>>) {
    const NAME: &str = "networkAcls";
    let Some(Value::Object(acls)) = properties.get_mut(NAME) else {
        return;
    };
    for (name, value) in default_rules().as_object().into_iter().flatten() {
        acls.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for list in ["virtualNetworkRules", "ipRules"] {
        let items = acls
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        for item in items.filter_map(Value::as_object_mut) {
            item.entry("action").or_insert_with(|| Value::from("Allow"));
            // Whether the subnet is still there is worked out, unless it was found to have gone.
            if item.get("state").and_then(Value::as_str) != Some("NetworkSourceDeleted") {
                item.remove("state");
            }
        }
    }
    let is_empty = properties.get(NAME) == Some(&default_rules());
    if is_empty && old.is_some_and(|old| !old.contains_key(NAME)) {
        properties.remove(NAME);
    }
}
