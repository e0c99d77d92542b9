//! Resource providers and their types.
//!
//! What has an effect here is a small part of it; the others are kept, so that a template that has
//! them deploys. The list is from memory of Azure's, and holds what templates about networks have.

use super::call::{Answer, Call};
use super::request::Response;
use super::subscriptions::display_name;
use super::{page, storage};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use serde_json::{Value, json};

/// A provider and its types, without those of children that are like their parent's.
type Row = (&'static str, &'static [&'static str]);

const ROWS: [Row; 24] = [
    (
        "Microsoft.Network",
        &[
            "virtualNetworks",
            "virtualNetworks/subnets",
            "virtualNetworks/virtualNetworkPeerings",
            "networkSecurityGroups",
            "networkSecurityGroups/securityRules",
            "networkSecurityGroups/defaultSecurityRules",
            "applicationSecurityGroups",
            "routeTables",
            "routeTables/routes",
            "serviceEndpointPolicies",
            "serviceEndpointPolicies/serviceEndpointPolicyDefinitions",
            "publicIPAddresses",
            "publicIPPrefixes",
            "natGateways",
            "networkInterfaces",
            "networkInterfaces/ipConfigurations",
            "networkWatchers",
            "networkWatchers/flowLogs",
            "networkWatchers/packetCaptures",
            "networkWatchers/connectionMonitors",
            "locations",
            "locations/usages",
            "locations/serviceTags",
            "locations/operations",
            "locations/operationResults",
            "locations/virtualNetworkAvailableEndpointServices",
            "loadBalancers",
            "loadBalancers/backendAddressPools",
            "applicationGateways",
            "virtualNetworkGateways",
            "localNetworkGateways",
            "connections",
            "expressRouteCircuits",
            "azureFirewalls",
            "firewallPolicies",
            "firewallPolicies/ruleCollectionGroups",
            "bastionHosts",
            "privateEndpoints",
            "privateEndpoints/privateDnsZoneGroups",
            "privateLinkServices",
            "privateDnsZones",
            "privateDnsZones/virtualNetworkLinks",
            "privateDnsZones/A",
            "dnsZones",
            "dnsZones/A",
            "dnsZones/CNAME",
            "ipGroups",
            "virtualWans",
            "virtualHubs",
            "vpnGateways",
            "vpnSites",
            "networkProfiles",
            "networkManagers",
            "ddosProtectionPlans",
            "trafficManagerProfiles",
            "frontDoors",
            "dnsResolvers",
            "dnsForwardingRulesets",
            "networkVirtualAppliances",
            "ipAllocations",
            "customIpPrefixes",
            "virtualNetworkTaps",
            "applicationGatewayWebApplicationFirewallPolicies",
        ],
    ),
    (
        "Microsoft.Storage",
        &[
            "storageAccounts",
            "storageAccounts/blobServices",
            "storageAccounts/blobServices/containers",
            "storageAccounts/fileServices",
            "storageAccounts/fileServices/shares",
            "storageAccounts/queueServices",
            "storageAccounts/queueServices/queues",
            "storageAccounts/tableServices",
            "storageAccounts/tableServices/tables",
            "storageAccounts/managementPolicies",
            "storageAccounts/privateEndpointConnections",
            "storageAccounts/localUsers",
            "storageAccounts/encryptionScopes",
            "checkNameAvailability",
            "locations",
            "skus",
            "usages",
        ],
    ),
    (
        "Microsoft.Resources",
        &[
            "deployments",
            "deployments/operations",
            "resourceGroups",
            "subscriptions",
            "subscriptions/resourceGroups",
            "subscriptions/resources",
            "subscriptions/locations",
            "subscriptions/providers",
            "resources",
            "tags",
            "links",
            "deploymentScripts",
            "templateSpecs",
            "deploymentStacks",
        ],
    ),
    (
        "Microsoft.Authorization",
        &[
            "roleAssignments",
            "roleDefinitions",
            "permissions",
            "locks",
            "policyAssignments",
            "policyDefinitions",
        ],
    ),
    (
        "Microsoft.Compute",
        &[
            "virtualMachines",
            "virtualMachines/extensions",
            "availabilitySets",
            "disks",
            "images",
            "snapshots",
            "virtualMachineScaleSets",
            "proximityPlacementGroups",
            "sshPublicKeys",
            "galleries",
        ],
    ),
    (
        "Microsoft.Sql",
        &[
            "servers",
            "servers/databases",
            "servers/firewallRules",
            "servers/virtualNetworkRules",
            "managedInstances",
        ],
    ),
    (
        "Microsoft.DBforPostgreSQL",
        &[
            "servers",
            "servers/virtualNetworkRules",
            "servers/firewallRules",
            "flexibleServers",
        ],
    ),
    (
        "Microsoft.DBforMySQL",
        &[
            "servers",
            "servers/virtualNetworkRules",
            "servers/firewallRules",
            "flexibleServers",
        ],
    ),
    (
        "Microsoft.DBforMariaDB",
        &[
            "servers",
            "servers/virtualNetworkRules",
            "servers/firewallRules",
        ],
    ),
    ("Microsoft.DocumentDB", &["databaseAccounts"]),
    (
        "Microsoft.KeyVault",
        &[
            "vaults",
            "vaults/accessPolicies",
            "vaults/secrets",
            "vaults/keys",
            "managedHSMs",
        ],
    ),
    (
        "Microsoft.ServiceBus",
        &[
            "namespaces",
            "namespaces/networkRuleSets",
            "namespaces/virtualNetworkRules",
            "namespaces/queues",
            "namespaces/topics",
            "namespaces/authorizationRules",
        ],
    ),
    (
        "Microsoft.EventHub",
        &[
            "namespaces",
            "namespaces/networkRuleSets",
            "namespaces/virtualNetworkRules",
            "namespaces/eventhubs",
            "namespaces/authorizationRules",
        ],
    ),
    (
        "Microsoft.Web",
        &[
            "sites",
            "sites/config",
            "sites/networkConfig",
            "serverfarms",
            "sites/slots",
        ],
    ),
    ("Microsoft.ContainerRegistry", &["registries"]),
    (
        "Microsoft.CognitiveServices",
        &["accounts", "accounts/deployments"],
    ),
    (
        "Microsoft.DataLakeStore",
        &[
            "accounts",
            "accounts/virtualNetworkRules",
            "accounts/firewallRules",
        ],
    ),
    (
        "Microsoft.ManagedIdentity",
        &["userAssignedIdentities", "identities"],
    ),
    (
        "Microsoft.Insights",
        &[
            "components",
            "diagnosticSettings",
            "metricAlerts",
            "actionGroups",
            "autoscalesettings",
            "scheduledQueryRules",
            "dataCollectionRules",
        ],
    ),
    ("Microsoft.OperationalInsights", &["workspaces"]),
    ("Microsoft.OperationsManagement", &["solutions"]),
    ("Microsoft.ContainerService", &["managedClusters"]),
    ("Microsoft.ContainerInstance", &["containerGroups"]),
    ("Microsoft.RecoveryServices", &["vaults"]),
];

/// The providers whose list of types is whole enough to tell a misspelt type by.
const WHOLE: [&str; 3] = [
    "Microsoft.Network",
    "Microsoft.Storage",
    "Microsoft.Resources",
];

/// The versions that are told to those who ask which there are; any other one is taken as well.
const VERSIONS: [&str; 12] = [
    "2025-01-01",
    "2024-07-01",
    "2024-05-01",
    "2024-03-01",
    "2024-01-01",
    "2023-09-01",
    "2023-05-01",
    "2023-01-01",
    "2022-09-01",
    "2022-01-01",
    "2021-04-01",
    "2019-04-01",
];

/// Checks that there is the type of a resource.
///
/// # Errors
///
/// There is no such provider, or it has no such type.
pub(crate) fn check_kind(id: &ResourceId) -> Result<(), ArmError> {
    check_type(&id.kind())
}

/// Checks that there is a type, such as `Microsoft.Network/virtualNetworks`.
///
/// # Errors
///
/// There is no such provider, or it has no such type.
pub(crate) fn check_type(kind: &str) -> Result<(), ArmError> {
    let (namespace, rest) = kind.split_once('/').unwrap_or((kind, ""));
    let row = find(namespace)?;
    let is_whole = WHOLE
        .iter()
        .any(|known| known.eq_ignore_ascii_case(namespace));
    let top = rest.split('/').next().unwrap_or_default();
    let has = row.1.iter().any(|known| {
        let known_top = known.split('/').next().unwrap_or_default();
        known.eq_ignore_ascii_case(rest)
            || (rest.contains('/') && known_top.eq_ignore_ascii_case(top))
    });
    if has || !is_whole {
        return Ok(());
    }
    let mut near: Vec<&str> = row
        .1
        .iter()
        .copied()
        .filter(|known| !known.contains('/'))
        .collect();
    near.sort_by_key(|known| distance(&known.to_ascii_lowercase(), &rest.to_ascii_lowercase()));
    near.truncate(3);
    let message = format!(
        "The resource type '{rest}' could not be found in the namespace '{namespace}'; similar \
         ones: {}.",
        near.join(", ")
    );
    Err(ArmError::new(404, "InvalidResourceType", message))
}

/// Returns how many letters of one text have to change for the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut next = vec![at.saturating_add(1)];
        for ((left, pair), byte) in (0_usize..).zip(row.windows(2)).zip(other.bytes()) {
            let &[above_left, above] = pair else { continue };
            let before = next.get(left).copied().unwrap_or_default();
            let change = above_left.saturating_add(usize::from(byte != letter));
            next.push(
                change
                    .min(above.saturating_add(1))
                    .min(before.saturating_add(1)),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn find(namespace: &str) -> Result<&'static Row, ArmError> {
    let found = ROWS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(namespace));
    found.ok_or_else(|| {
        let names: Vec<_> = ROWS.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "The resource namespace '{namespace}' is invalid; accepted: {}.",
            names.join(", ")
        );
        ArmError::new(404, "InvalidResourceNamespace", message)
    })
}

/// Answers a request for providers (no words), a provider, or something of it that is no resource.
pub(crate) fn provider(call: &Call<'_>, scope: &Scope, words: &[String]) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is = |word: &str, known: &str| word.eq_ignore_ascii_case(known);
    if matches!(scope, Scope::Group(..) | Scope::Resource(_)) {
        return Err(call.no_such_path());
    }
    match words.as_slice() {
        [] => {
            read(call)?;
            let all = ROWS.iter().map(|row| show(call, scope, row)).collect();
            Ok(page::list(call, all))
        }
        [namespace] => {
            read(call)?;
            Ok(Response::json(200, &show(call, scope, find(namespace)?)))
        }
        [namespace, verb] if is(verb, "register") || is(verb, "unregister") => {
            post(call)?;
            Ok(Response::json(200, &show(call, scope, find(namespace)?)))
        }
        [namespace, verb]
            if is(verb, "checkNameAvailability") && is(namespace, "Microsoft.Storage") =>
        {
            storage::check_name(call)
        }
        [namespace, verb] if is(verb, "skus") && is(namespace, "Microsoft.Storage") => {
            read(call)?;
            Ok(page::list(call, skus(call)))
        }
        [namespace, "locations" | "Locations", location, what @ ..] if !what.is_empty() => {
            regional(call, scope, namespace, location, &what.join("/"))
        }
        _ => Err(call.no_such_path()),
    }
}

fn read(call: &Call<'_>) -> Result<(), ArmError> {
    if call.is("GET") {
        return Ok(());
    }
    Err(call.no_method("GET"))
}

fn post(call: &Call<'_>) -> Result<(), ArmError> {
    if call.is("POST") {
        return Ok(());
    }
    Err(call.no_method("POST"))
}

/// Answers what a provider is asked about a region.
fn regional(call: &Call<'_>, scope: &Scope, namespace: &str, location: &str, what: &str) -> Answer {
    find(namespace)?;
    let location = location.replace(' ', "").to_ascii_lowercase();
    if what.eq_ignore_ascii_case("usages") {
        return Ok(page::list(call, usages(call, scope, namespace, &location)?));
    }
    if !namespace.eq_ignore_ascii_case("Microsoft.Network") {
        return Err(call.no_such_path());
    }
    let value = call.api.platform.regional(&location, what)?;
    Ok(match value {
        Value::Array(values) => page::list(call, values),
        value => Response::json(200, &value),
    })
}

/// The limits of a subscription and region that Azure has, as far as they are known here: type, name
/// for people, limit.
const LIMITS: [(&str, &str, u64); 9] = [
    ("virtualNetworks", "Virtual Networks", 1000),
    ("networkSecurityGroups", "Network Security Groups", 5000),
    (
        "applicationSecurityGroups",
        "Application Security Groups",
        3000,
    ),
    ("routeTables", "Route Tables", 200),
    ("serviceEndpointPolicies", "Service Endpoint Policies", 500),
    ("publicIPAddresses", "Public IP Addresses", 1000),
    ("natGateways", "Nat Gateways", 1000),
    ("networkInterfaces", "Network Interfaces", 65536),
    ("networkWatchers", "Network Watchers", 1),
];

fn usages(
    call: &Call<'_>,
    scope: &Scope,
    namespace: &str,
    location: &str,
) -> Result<Vec<Value>, ArmError> {
    let known = call.api.platform.locations();
    if !known.iter().any(|known| known == location) {
        let message = format!("The provided location '{location}' is not available.");
        return Err(ArmError::bad_request(
            "LocationNotAvailableForResourceType",
            message,
        ));
    }
    let count = |kind: &str| {
        let kind = format!("{namespace}/{kind}");
        let all = call.state.estate.find_all(scope, &kind).into_iter();
        all.filter(|found| found.document.text("location") == location)
            .count()
    };
    let show = |kind: &str, title: &str, limit: u64| {
        json!({
            "id": format!("{scope}/providers/{namespace}/locations/{location}/usages/{kind}"),
            "name": { "value": kind, "localizedValue": title },
            "unit": "Count",
            "currentValue": count(kind),
            "limit": limit,
        })
    };
    if namespace.eq_ignore_ascii_case("Microsoft.Storage") {
        return Ok(vec![show("storageAccounts", "Storage Accounts", 250)]);
    }
    let all = LIMITS
        .iter()
        .map(|(kind, title, limit)| show(kind, title, *limit));
    Ok(all.collect())
}

fn skus(call: &Call<'_>) -> Vec<Value> {
    let names = [
        "Standard_LRS",
        "Standard_GRS",
        "Standard_RAGRS",
        "Standard_ZRS",
        "Premium_LRS",
        "Premium_ZRS",
        "Standard_GZRS",
        "Standard_RAGZRS",
    ];
    let locations = call.api.platform.locations();
    let show = |name: &str| {
        json!({
            "resourceType": "storageAccounts",
            "name": name,
            "tier": name.split('_').next(),
            "kind": "StorageV2",
            "locations": locations,
        })
    };
    names.into_iter().map(show).collect()
}

fn show(call: &Call<'_>, scope: &Scope, (namespace, types): &Row) -> Value {
    let locations = call.api.platform.locations();
    let locations: Vec<String> = locations.iter().map(|name| display_name(name)).collect();
    let show = |kind: &&str| {
        json!({
            "resourceType": kind,
            "locations": locations,
            "apiVersions": VERSIONS,
            "defaultApiVersion": VERSIONS.get(1),
            "capabilities": "SupportsTags, SupportsLocation",
        })
    };
    let prefix = match scope {
        Scope::Tenant => String::new(),
        scope => scope.to_string(),
    };
    json!({
        "id": format!("{prefix}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationFree",
        "registrationState": "Registered",
        "resourceTypes": types.iter().map(show).collect::<Vec<_>>(),
    })
}
