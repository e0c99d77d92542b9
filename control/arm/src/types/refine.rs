//! What the normal form of some types has beyond that of all.

use super::Kind;
use super::normal::Context;
use crate::document::Origin;
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
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings" => {
            // A PUT of the network alone does not bring back a peering whose other side went.
            let is_left = old.filter(|old| {
                context.origin == Origin::Api
                    && old.get("remoteVirtualNetwork") == properties.get("remoteVirtualNetwork")
            });
            if let Some(state) = is_left.and_then(|old| old.get("peeringState")) {
                properties.insert("peeringState".to_owned(), state.clone());
            }
        }
        "Microsoft.Network/networkSecurityGroups/securityRules" => {
            properties.retain(|name, value| {
                // A GET shows empty lists beside the one value that there is.
                !(name.ends_with("es") || name.ends_with("Ranges") || name.ends_with("Groups"))
                    || value.as_array().is_none_or(|items| !items.is_empty())
            });
        }
        "Microsoft.Compute/virtualMachines" => {
            if let Some(Value::Object(profile)) = properties.get_mut("osProfile") {
                profile.retain(|name, _| !name.eq_ignore_ascii_case("adminPassword"));
            }
        }
        "Microsoft.Storage/storageAccounts"
        | "Microsoft.KeyVault/vaults"
        | "Microsoft.CognitiveServices/accounts" => rules(properties, old, context.origin),
        "Microsoft.Network/networkInterfaces" => {
            primary(properties);
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

/// Fills in what stands beside the properties.
pub(super) fn outer(kind: &Kind, element: &mut Map<String, Value>) {
    let sku = match kind.name {
        "Microsoft.Network/publicIPAddresses" => json!({ "name": "Basic", "tier": "Regional" }),
        "Microsoft.Network/publicIPPrefixes" => json!({ "name": "Standard", "tier": "Regional" }),
        "Microsoft.Network/natGateways" => json!({ "name": "Standard" }),
        "Microsoft.Storage/storageAccounts" => {
            element
                .entry("kind")
                .or_insert_with(|| Value::from("StorageV2"));
            json!({ "name": "Standard_LRS" })
        }
        _ => return,
    };
    let written = element.entry("sku").or_insert_with(|| json!({}));
    if let (Some(written), Some(sku)) = (written.as_object_mut(), sku.as_object()) {
        for (name, value) in sku {
            written.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if kind.name == "Microsoft.Storage/storageAccounts" {
            let name = written.get("name").and_then(Value::as_str).unwrap_or("");
            let tier = name.split('_').next().unwrap_or("").to_owned();
            written.insert("tier".to_owned(), Value::from(tier));
        }
    }
}

/// Says which IP configuration is the primary one: the first, where no one is.
fn primary(properties: &mut Map<String, Value>) {
    const NAME: &str = "primary";
    let items = properties
        .get_mut("ipConfigurations")
        .and_then(Value::as_array_mut);
    let mut items: Vec<_> = items
        .into_iter()
        .flatten()
        .filter_map(|item| item.get_mut("properties")?.as_object_mut())
        .collect();
    let has_one = items
        .iter()
        .any(|item| item.get(NAME) == Some(&Value::from(true)));
    for (at, item) in items.iter_mut().enumerate() {
        item.entry(NAME)
            .or_insert_with(|| Value::from(at == 0 && !has_one));
    }
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

/// The state of a rule whose subnet went.
pub(crate) const GONE: &str = "NetworkSourceDeleted";

fn same_id(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let id = |of: &Map<String, Value>| of.get("id")?.as_str().map(str::to_ascii_lowercase);
    id(one).is_some() && id(one) == id(other)
}

/// Fills in network rules. Those that say what none would are none, where there were none: a client sent
/// back what a GET shows.
fn rules(properties: &mut Map<String, Value>, old: Option<&Map<String, Value>>, origin: Origin) {
    const NAME: &str = "networkAcls";
    // The file cannot say that a subnet went; a request that writes such a rule anew is about the subnet
    // that is there now.
    let was = old
        .filter(|_| origin == Origin::File)
        .and_then(|old| old.get(NAME));
    let was = was.and_then(|acls| acls.get("virtualNetworkRules")?.as_array());
    let went = |item: &Map<String, Value>| {
        let is_gone =
            |rule: &Map<String, Value>| rule.get("state").is_some_and(|state| state == GONE);
        let mut old = was.into_iter().flatten().filter_map(Value::as_object);
        is_gone(item) || old.any(|old| is_gone(old) && same_id(old, item))
    };
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
            match went(item) {
                true => item.insert("state".to_owned(), Value::from(GONE)),
                false => item.remove("state"),
            };
        }
    }
    let is_empty = properties.get(NAME) == Some(&default_rules());
    if is_empty && old.is_some_and(|old| !old.contains_key(NAME)) {
        properties.remove(NAME);
    }
}
