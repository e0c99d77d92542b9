//! What some types show beyond what is kept of them.

use crate::document::Document;
use serde_json::{Map, Value, json};

/// Name, what it does, priority, access, direction, source, destination (reference section 4.1).
const DEFAULT_RULES: [(&str, &str, u32, &str, &str, &str, &str); 6] = [
    (
        "AllowVnetInBound",
        "Allow inbound traffic from all VMs in VNET",
        65000,
        "Allow",
        "Inbound",
        "VirtualNetwork",
        "VirtualNetwork",
    ),
    (
        "AllowAzureLoadBalancerInBound",
        "Allow inbound traffic from azure load balancer",
        65001,
        "Allow",
        "Inbound",
        "AzureLoadBalancer",
        "*",
    ),
    (
        "DenyAllInBound",
        "Deny all inbound traffic",
        65500,
        "Deny",
        "Inbound",
        "*",
        "*",
    ),
    (
        "AllowVnetOutBound",
        "Allow outbound traffic from all VMs to all VMs in VNET",
        65000,
        "Allow",
        "Outbound",
        "VirtualNetwork",
        "VirtualNetwork",
    ),
    (
        "AllowInternetOutBound",
        "Allow outbound traffic from all VMs to Internet",
        65001,
        "Allow",
        "Outbound",
        "*",
        "Internet",
    ),
    (
        "DenyAllOutBound",
        "Deny all outbound traffic",
        65500,
        "Deny",
        "Outbound",
        "*",
        "*",
    ),
];

/// Returns the rules that every network security group has.
pub(crate) fn default_rules(document: &Document) -> Value {
    let etag = document.etag();
    let rule = |(name, description, priority, access, direction, source, destination): &(
        &str,
        &str,
        u32,
        &str,
        &str,
        &str,
        &str,
    )| {
        json!({
            "id": document.id.child("defaultSecurityRules", name),
            "name": name,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "etag": etag,
            "properties": {
                "provisioningState": "Succeeded",
                "description": description,
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
                "access": access,
                "priority": priority,
                "direction": direction,
                "sourcePortRanges": [],
                "destinationPortRanges": [],
                "sourceAddressPrefixes": [],
                "destinationAddressPrefixes": [],
            },
        })
    };
    Value::Array(DEFAULT_RULES.iter().map(rule).collect())
}

/// Fills in what a storage account shows.
pub(crate) fn account(document: &Document, created: &str, properties: &mut Map<String, Value>) {
    let name = document.id.name().to_ascii_lowercase();
    let mut endpoints = Map::new();
    for service in ["blob", "file", "queue", "table", "dfs"] {
        let url = format!("https://{name}.{service}.core.windows.net/");
        endpoints.insert(service.to_owned(), Value::from(url));
    }
    properties.insert("primaryEndpoints".to_owned(), Value::Object(endpoints));
    properties.insert(
        "primaryLocation".to_owned(),
        Value::from(document.text("location")),
    );
    properties.insert("statusOfPrimary".to_owned(), Value::from("available"));
    properties.insert("creationTime".to_owned(), Value::from(created));
    let acls = properties
        .entry("networkAcls")
        .or_insert_with(super::refine::default_rules);
    let rules = acls.get_mut("virtualNetworkRules");
    let rules = rules.and_then(Value::as_array_mut).into_iter().flatten();
    for rule in rules.filter_map(Value::as_object_mut) {
        rule.entry("state")
            .or_insert_with(|| Value::from("Succeeded"));
    }
}
