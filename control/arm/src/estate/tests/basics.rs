//! Resources, children, groups, names.

use super::*;

#[test]
fn a_child_is_shown_in_its_parent_and_the_reverse() {
    let mut stage = stage();
    let put = stage.ok("virtualNetworks/VNet1", network());
    assert!(put.created && put.changed);
    let endpoint = json!({ "addressPrefix": "10.0.2.0/24", "serviceEndpoints": [{ "service": "microsoft.storage" }] });
    stage
        .api(
            "virtualnetworks/vnet1/subnets/Front",
            json!({ "properties": endpoint }),
        )
        .unwrap();
    let vnet = stage.get("virtualNetworks/VNET1");
    assert_eq!(
        vnet["id"],
        format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/VNet1")
    );
    assert_eq!(vnet["type"], "Microsoft.Network/virtualNetworks");
    assert_eq!(vnet["properties"]["provisioningState"], "Succeeded");
    let subnet = &vnet["properties"]["subnets"][2];
    assert_eq!(subnet["name"], "Front");
    assert_eq!(
        subnet["id"],
        format!("{}/subnets/Front", vnet["id"].as_str().unwrap())
    );
    assert_eq!(
        subnet["properties"]["serviceEndpoints"],
        json!([{
            "service": "Microsoft.Storage",
            "locations": ["koreacentral", "koreacentralpair"],
            "provisioningState": "Succeeded",
        }])
    );
    assert_eq!(stage.get("virtualNetworks/vnet1/subnets/FRONT"), *subnet);
    stage.check().unwrap();
}

#[test]
fn a_second_put_of_what_a_get_shows_changes_nothing() {
    let mut stage = stage();
    for (path, properties) in [
        (
            "networkSecurityGroups/n",
            json!({ "securityRules": [
            { "name": "r", "properties": { "priority": "100", "direction": "inbound", "access": "allow", "protocol": "TCP",
              "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": 443 } }] }),
        ),
        (
            "routeTables/t",
            json!({ "routes": [{ "name": "r", "properties": { "addressPrefix": "0.0.0.0/0", "nextHopType": "internet" } }] }),
        ),
        ("virtualNetworks/v", network()),
        ("publicIPAddresses/p", json!({})),
        ("publicIPPrefixes/q", json!({ "prefixLength": 31 })),
        (
            "natGateways/g",
            json!({ "publicIpPrefixes": [{ "id": id("publicIPPrefixes/q") }] }),
        ),
        ("networkInterfaces/i", nic(SUBNET_A)),
        (
            "Microsoft.Storage/storageAccounts/acct",
            json!({ "networkAcls": { "defaultAction": "deny", "virtualNetworkRules": [{ "id": id(SUBNET_A) }] } }),
        ),
        ("Microsoft.Storage/storageAccounts/plain", json!({})),
        (
            "Microsoft.Compute/virtualMachines/vm",
            json!({ "networkProfile": { "networkInterfaces": [{ "id": id("networkInterfaces/i") }] } }),
        ),
        (
            "Microsoft.Insights/components/x",
            json!({ "Application_Type": "web", "nested": { "a": [1, null] } }),
        ),
    ] {
        stage.ok(path, properties);
        let shown = stage.get(path);
        let again = stage.api(path, shown.clone()).unwrap();
        assert!(!again.created && !again.changed, "{path}: {shown:#}");
        assert_eq!(again.value, shown);
    }
    stage.check().unwrap();
}

#[test]
fn a_put_replaces() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    let endpoints = json!({ "addressPrefix": "10.0.0.0/24", "serviceEndpoints": [{ "service": "Microsoft.Sql" }] });
    stage
        .api(SUBNET_A, json!({ "properties": endpoints }))
        .unwrap();
    assert_eq!(
        stage.get(SUBNET_A)["properties"]["serviceEndpoints"][0]["locations"],
        json!(["koreacentral"])
    );
    stage
        .api(
            SUBNET_A,
            json!({ "properties": { "addressPrefix": "10.0.0.0/24" } }),
        )
        .unwrap();
    assert_eq!(
        stage.get(SUBNET_A)["properties"].get("serviceEndpoints"),
        None
    );
    stage.ok(
        "virtualNetworks/v",
        json!({ "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } }),
    );
    assert_eq!(
        stage.get("virtualNetworks/v")["properties"]["subnets"],
        json!([])
    );
}

#[test]
fn a_nic_gets_the_lowest_free_address_and_keeps_it() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    let address = |stage: &Stage, nic: &str| {
        stage.get(nic)["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
            .clone()
    };
    for (name, wanted) in [("x", "10.0.0.4"), ("y", "10.0.0.5"), ("z", "10.0.0.6")] {
        let path = format!("networkInterfaces/{name}");
        stage.ok(&path, nic(SUBNET_A));
        assert_eq!(address(&stage, &path), wanted);
    }
    assert!(
        stage
            .delete(&id("networkInterfaces/y"), &Conditions::none())
            .unwrap()
    );
    stage.ok("networkInterfaces/z", nic(SUBNET_A));
    assert_eq!(address(&stage, "networkInterfaces/z"), "10.0.0.6");
    stage.ok("networkInterfaces/w", nic(SUBNET_A));
    assert_eq!(address(&stage, "networkInterfaces/w"), "10.0.0.5");
    stage.check().unwrap();
}

#[test]
fn what_is_named_has_to_be_there_and_stays() {
    let mut stage = stage();
    assert_eq!(
        stage.bad("networkInterfaces/i", nic(SUBNET_A)),
        "InvalidResourceReference"
    );
    stage.ok("virtualNetworks/v", network());
    stage.ok("networkInterfaces/i", nic(SUBNET_B));
    stage.commit();
    let refused = stage
        .delete(&id(SUBNET_B), &Conditions::none())
        .unwrap_err();
    assert_eq!(code(&refused), "InUseSubnetCannotBeDeleted");
    assert!(
        refused
            .message
            .contains("networkInterfaces/i/ipConfigurations/ipconfig1"),
        "{refused}"
    );
    assert!(stage.delete(&id(SUBNET_A), &Conditions::none()).unwrap());
    assert!(!stage.delete(&id(SUBNET_A), &Conditions::none()).unwrap());
    stage.check().unwrap();
}

#[test]
fn rules_of_servers_are_children_that_their_parent_does_not_show() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    stage.ok("Microsoft.Sql/servers/db", json!({}));
    let rule = json!({ "properties": { "virtualNetworkSubnetId": id(SUBNET_A) } });
    let path = "Microsoft.Sql/servers/db/virtualNetworkRules/r";
    assert!(stage.api(path, rule).unwrap().created);
    assert_eq!(
        stage.get("Microsoft.Sql/servers/db")["properties"].get("virtualNetworkRules"),
        None
    );
    stage.ok("Microsoft.Sql/servers/db", json!({ "version": "12.0" }));
    let shown = stage.get(path);
    assert_eq!(shown["type"], "Microsoft.Sql/servers/virtualNetworkRules");
    let scope = Scope::Resource(Box::new(id("Microsoft.Sql/servers/db")));
    let list = stage
        .estate()
        .list(&scope, "Microsoft.Sql/servers/virtualNetworkRules");
    assert_eq!(list, [shown]);
    stage.commit();
    assert!(
        stage.delete(&id(SUBNET_A), &Conditions::none()).unwrap(),
        "rules do not hold a subnet"
    );
    stage.check().unwrap();
}
