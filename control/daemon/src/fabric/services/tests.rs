use super::*;
use postern_dataplane::policy::Epoch;
use postern_network::catalog::Catalog;
use postern_network::compile::{PortNumbers, compile};
use postern_network::config;
use serde_json::json;
use std::path::Path;

const NETWORK: &str = "location = \"koreacentral\"\n[[virtualNetwork]]\nname = \"VNet1\"\naddressPrefixes = [\"10.0.0.0/16\"]\n";
const SUBNET: &str = "[[virtualNetwork.subnet]]\nname = \"subnet1\"\naddressPrefix = \"10.0.1.0/24\"\nserviceEndpoints = [\"Microsoft.Storage\", \"Microsoft.Web\", \"Microsoft.EventHub\", \"Microsoft.AzureCosmosDB\", \"Microsoft.Sql\", \"Microsoft.KeyVault\"]\n";
const BARE: &str = "[[virtualNetwork.subnet]]\nname = \"bare\"\naddressPrefix = \"10.0.2.0/24\"\n";
const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern/providers/Microsoft.Network/virtualNetworks/VNet1/subnets";

/// A service of a kind with these rules.
fn service(service: &str, rules: &str) -> String {
    format!("[[service]]\nname = \"it\"\nservice = \"{service}\"\nnamespace = \"svc\"\n{rules}\n")
}

/// Applies files one after another and returns the one service of the last.
fn last(files: &[String]) -> ServiceView {
    let catalog = Catalog::bundled().unwrap();
    let mut numbers = PortNumbers::default();
    let mut view = None;
    for text in files {
        let model = config::parse(Path::new("f.toml"), text, &catalog);
        let model = model.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        compile(&model, &catalog, Epoch(1), &mut numbers).unwrap();
        let shown = Shown {
            model: &model,
            keys: numbers.keys(),
        };
        view = Some(shown.service(&model.services[0]));
    }
    view.unwrap()
}

fn only(kind: &str, rules: &str) -> ServiceView {
    last(&[format!("{NETWORK}{SUBNET}{BARE}{}", service(kind, rules))])
}

#[test]
fn a_storage_account_has_arms_shape_and_shows_what_became_of_a_rule() {
    let account = service(
        "Microsoft.Storage",
        "networkAcls = { defaultAction = \"Deny\", virtualNetworkRules = [{ id = \"VNet1/subnet1\" }], ipRules = [{ value = \"16.17.18.0/24\" }] }",
    );
    let whole = format!("{NETWORK}{SUBNET}{account}");
    let acls = |state: &str| {
        json!({
            "publicNetworkAccess": "Enabled",
            "provisioningState": "Succeeded",
            "networkAcls": {
                "defaultAction": "Deny",
                "bypass": "AzureServices",
                "virtualNetworkRules": [
                    { "id": format!("{ID}/subnet1"), "action": "Allow", "state": state },
                ],
                "ipRules": [{ "value": "16.17.18.0/24", "action": "Allow" }],
            },
        })
    };
    let view = last(std::slice::from_ref(&whole));
    assert_eq!(view.kind, "Microsoft.Storage/storageAccounts");
    assert!(
        view.id
            .ends_with("/providers/Microsoft.Storage/storageAccounts/it")
    );
    assert_eq!(view.properties, acls("Succeeded"));
    let gone = format!("{NETWORK}{account}");
    let view = last(&[whole.clone(), gone.clone()]);
    assert_eq!(view.properties, acls("NetworkSourceDeleted"));
    assert_eq!(view.postern.rules[0].state, "NetworkSourceDeleted");
    let back = last(&[whole.clone(), gone, whole.clone()]);
    assert_eq!(
        back.properties,
        acls("NetworkSourceDeleted"),
        "a subnet of the same name is another one"
    );
    let without = whole.replace(SUBNET, &SUBNET.replace("\"Microsoft.Storage\", ", ""));
    let view = last(&[whole, without]);
    assert_eq!(view.properties, acls("Succeeded"), "the endpoint is off");
}

#[test]
fn a_server_has_its_rules_as_child_resources_with_states_of_their_own() {
    let rules = "virtualNetworkRules = [{ name = \"in\", virtualNetworkSubnetId = \"VNet1/subnet1\" }, { name = \"later\", virtualNetworkSubnetId = \"VNet1/bare\", ignoreMissingVnetServiceEndpoint = true }]\nfirewallRules = [{ name = \"all\", startIpAddress = \"0.0.0.0\", endIpAddress = \"0.0.0.0\" }]";
    let view = only("Microsoft.Sql", rules);
    let listed = &view.properties["virtualNetworkRules"];
    assert_eq!(
        listed[0]["type"],
        "Microsoft.Sql/servers/virtualNetworkRules"
    );
    assert_eq!(
        listed[0]["id"],
        format!("{}/virtualNetworkRules/in", view.id)
    );
    assert_eq!(
        listed[0]["properties"],
        json!({
            "virtualNetworkSubnetId": format!("{ID}/subnet1"),
            "ignoreMissingVnetServiceEndpoint": false,
            "state": "Ready",
        })
    );
    assert_eq!(listed[1]["properties"]["state"], "Initializing");
    assert_eq!(
        view.properties["firewallRules"][0]["properties"],
        json!({ "startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0" })
    );
    assert_eq!(view.postern.otherwise, "Deny");
}

#[test]
fn other_dialects_keep_their_shape() {
    let site = only(
        "Microsoft.Web",
        "ipSecurityRestrictions = [{ name = \"b\", priority = 200, action = \"Deny\", ipAddress = \"Any\" }, { name = \"a\", priority = 100, vnetSubnetResourceId = \"VNet1/subnet1\" }, { name = \"c\", priority = 150, ipAddress = \"16.17.18.0/24\" }]",
    );
    assert_eq!(
        site.properties["ipSecurityRestrictions"],
        json!([
            { "name": "a", "priority": 100, "action": "Allow", "state": "Succeeded",
              "vnetSubnetResourceId": format!("{ID}/subnet1") },
            { "name": "c", "priority": 150, "action": "Allow", "ipAddress": "16.17.18.0/24" },
            { "name": "b", "priority": 200, "action": "Deny", "ipAddress": "Any" },
        ])
    );
    let hub = only(
        "Microsoft.EventHub",
        "networkRuleSets = { defaultAction = \"Deny\" }",
    );
    assert_eq!(
        hub.properties["networkRuleSets"],
        json!({ "defaultAction": "Deny", "trustedServiceAccessEnabled": false,
                "virtualNetworkRules": [], "ipRules": [] })
    );
    assert_eq!(hub.postern.otherwise, "Allow", "not enforced while empty");
    let account = only(
        "Microsoft.AzureCosmosDB",
        "isVirtualNetworkFilterEnabled = true\nvirtualNetworkRules = [{ id = \"VNet1/subnet1\" }]\nipRules = [{ ipAddressOrRange = \"16.17.18.19\" }]",
    );
    assert_eq!(account.properties["isVirtualNetworkFilterEnabled"], true);
    assert_eq!(
        account.properties["ipRules"],
        json!([{ "ipAddressOrRange": "16.17.18.19" }])
    );
    let vault = only(
        "Microsoft.KeyVault",
        "publicNetworkAccess = \"Disabled\"\nnetworkAcls = { defaultAction = \"Deny\", virtualNetworkRules = [{ id = \"VNet1/bare\", ignoreMissingVnetServiceEndpoint = true }] }",
    );
    assert_eq!(vault.properties["publicNetworkAccess"], "Disabled");
    let rule = &vault.properties["networkAcls"]["virtualNetworkRules"][0];
    assert_eq!(rule["state"], "Provisioning");
    assert_eq!(rule["ignoreMissingVnetServiceEndpoint"], true);
}
