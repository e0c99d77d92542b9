//! What a GET shows beyond what was written, and what follows in other resources.

use super::*;

fn named(path: &str) -> Value {
    json!({ "id": id(path) })
}

/// A network without subnets that is peered with others.
fn peered(space: &str, remotes: &[&str]) -> Value {
    let peering = |remote: &&str| {
        let remote_id = named(&format!("virtualNetworks/{remote}"));
        json!({ "name": format!("to-{remote}"), "properties": { "remoteVirtualNetwork": remote_id } })
    };
    let peerings: Vec<Value> = remotes.iter().map(peering).collect();
    json!({ "addressSpace": { "addressPrefixes": [space] }, "virtualNetworkPeerings": peerings })
}

fn state(stage: &Stage, path: &str) -> Value {
    stage.get(path)["properties"]["peeringState"].clone()
}

#[test]
fn users_and_defaults_are_worked_out() {
    let mut stage = stage();
    stage.ok("networkSecurityGroups/n", json!({}));
    stage.ok("routeTables/t", json!({}));
    stage.ok("publicIPAddresses/p", json!({}));
    let mut vnet = network();
    vnet["subnets"][0]["properties"]["networkSecurityGroup"] = named("networkSecurityGroups/n");
    vnet["subnets"][0]["properties"]["routeTable"] = named("routeTables/t");
    stage.ok("virtualNetworks/v", vnet);
    let mut nic = nic(SUBNET_A);
    nic["networkSecurityGroup"] = named("networkSecurityGroups/n");
    nic["ipConfigurations"][0]["properties"]["publicIPAddress"] = named("publicIPAddresses/p");
    stage.ok("networkInterfaces/i", nic);
    let profile = json!({ "networkInterfaces": [named("networkInterfaces/i")] });
    let os = json!({ "computerName": "vm", "adminPassword": "secret" });
    stage.ok(
        "Microsoft.Compute/virtualMachines/vm",
        json!({ "networkProfile": profile, "osProfile": os }),
    );
    stage.check().unwrap();

    let group = stage.get("networkSecurityGroups/n")["properties"].clone();
    assert_eq!(group["subnets"], json!([named(SUBNET_A)]));
    assert_eq!(
        group["networkInterfaces"],
        json!([named("networkInterfaces/i")])
    );
    let rules: Vec<_> = group["defaultSecurityRules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let own = &rule["properties"];
            let part = |name: &str| own[name].as_str().unwrap().to_owned();
            assert_eq!(
                rule["id"],
                json!(
                    id("networkSecurityGroups/n")
                        .child("defaultSecurityRules", rule["name"].as_str().unwrap())
                )
            );
            format!(
                "{} {} {} {} {} {}",
                rule["name"].as_str().unwrap(),
                own["priority"],
                part("direction"),
                part("access"),
                part("sourceAddressPrefix"),
                part("destinationAddressPrefix")
            )
        })
        .collect();
    assert_eq!(
        rules,
        [
            "AllowVnetInBound 65000 Inbound Allow VirtualNetwork VirtualNetwork",
            "AllowAzureLoadBalancerInBound 65001 Inbound Allow AzureLoadBalancer *",
            "DenyAllInBound 65500 Inbound Deny * *",
            "AllowVnetOutBound 65000 Outbound Allow VirtualNetwork VirtualNetwork",
            "AllowInternetOutBound 65001 Outbound Allow * Internet",
            "DenyAllOutBound 65500 Outbound Deny * *",
        ]
    );
    assert_eq!(
        stage.get("routeTables/t")["properties"]["subnets"],
        json!([named(SUBNET_A)])
    );
    let configuration = named("networkInterfaces/i/ipConfigurations/ipconfig1");
    assert_eq!(
        stage.get(SUBNET_A)["properties"]["ipConfigurations"],
        json!([configuration])
    );
    let public = stage.get("publicIPAddresses/p");
    assert_eq!(public["properties"]["ipConfiguration"], configuration);
    assert_eq!(
        public["sku"],
        json!({ "name": "Basic", "tier": "Regional" })
    );
    let shown = stage.get("networkInterfaces/i")["properties"].clone();
    assert_eq!(
        shown["virtualMachine"],
        named("Microsoft.Compute/virtualMachines/vm")
    );
    let mac = shown["macAddress"].as_str().unwrap();
    assert!(mac.starts_with("00-0D-3A-") && mac.len() == 17, "{mac}");
    assert_eq!(shown["ipConfigurations"][0]["properties"]["primary"], true);
    let vm = stage.get("Microsoft.Compute/virtualMachines/vm");
    assert_eq!(vm["properties"]["timeCreated"], "2026-11-24T15:00:00Z");
    assert!(!vm.to_string().contains("secret"), "{vm}");
    assert!(!format!("{:?}", stage.estate().to_parts()).contains("secret"));
}

#[test]
fn a_peering_knows_its_other_side() {
    let mut stage = stage();
    stage.ok(
        "virtualNetworks/x",
        json!({ "addressSpace": { "addressPrefixes": ["10.1.0.0/16"] } }),
    );
    stage.ok("virtualNetworks/y", peered("10.2.0.0/16", &["x"]));
    let (x, y) = (
        "virtualNetworks/x/virtualNetworkPeerings/to-y",
        "virtualNetworks/y/virtualNetworkPeerings/to-x",
    );
    stage.commit();
    assert_eq!(state(&stage, y), "Initiated");
    assert_eq!(
        stage.get(y)["properties"]["remoteAddressSpace"]["addressPrefixes"],
        json!(["10.1.0.0/16"])
    );
    let to_y = json!({ "properties": { "remoteVirtualNetwork": named("virtualNetworks/y") } });
    stage.api(x, to_y.clone()).unwrap();
    stage.commit();
    assert_eq!(
        (state(&stage, x), state(&stage, y)),
        (json!("Connected"), json!("Connected"))
    );
    // A PUT of the network that does not speak of peerings leaves them.
    stage.ok(
        "virtualNetworks/x",
        json!({ "addressSpace": { "addressPrefixes": ["10.1.0.0/16", "10.3.0.0/16"] } }),
    );
    stage.commit();
    assert_eq!(state(&stage, y), "Connected");
    stage.delete(&id(x), &Conditions::none()).unwrap();
    stage.commit();
    assert_eq!(state(&stage, y), "Disconnected");
    // It stays so, also when its network is written as it is shown.
    let shown = stage.get("virtualNetworks/y");
    assert!(!stage.api("virtualNetworks/y", shown).unwrap().changed);
    let mut again = stage.clone();
    again.api(x, to_y.clone()).unwrap();
    assert_eq!(
        code(&again.check().unwrap_err()),
        "RemotePeeringIsDisconnected"
    );
    let to_x = json!({ "properties": { "remoteVirtualNetwork": named("virtualNetworks/x") } });
    stage.api(y, to_x).unwrap();
    stage.commit();
    assert_eq!(state(&stage, y), "Initiated");
    stage.api(x, to_y).unwrap();
    stage.commit();
    assert_eq!(state(&stage, y), "Connected");
    stage
        .delete(&id("virtualNetworks/x"), &Conditions::none())
        .unwrap();
    stage.commit();
    assert_eq!(state(&stage, y), "Disconnected");
}

#[test]
fn a_rule_for_a_subnet_that_went_does_not_come_back_with_it() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    let acls = json!({ "defaultAction": "Deny", "virtualNetworkRules": [named(SUBNET_A), named(SUBNET_B)] });
    stage.ok(
        "Microsoft.Storage/storageAccounts/acct",
        json!({ "networkAcls": acls }),
    );
    stage.commit();
    let states = |stage: &Stage| {
        let shown = stage.get("Microsoft.Storage/storageAccounts/acct");
        let rules = shown["properties"]["networkAcls"]["virtualNetworkRules"].clone();
        [rules[0]["state"].clone(), rules[1]["state"].clone()]
    };
    assert_eq!(states(&stage), ["Succeeded", "Succeeded"]);
    let blob = stage.get("Microsoft.Storage/storageAccounts/acct")["properties"]["primaryEndpoints"]["blob"].clone();
    assert_eq!(blob, "https://acct.blob.core.windows.net/");
    stage.delete(&id(SUBNET_A), &Conditions::none()).unwrap();
    stage.commit();
    assert_eq!(states(&stage), ["NetworkSourceDeleted", "Succeeded"]);
    stage
        .api(
            SUBNET_A,
            json!({ "properties": { "addressPrefix": "10.0.0.0/24" } }),
        )
        .unwrap();
    stage.commit();
    assert_eq!(states(&stage), ["NetworkSourceDeleted", "Succeeded"]);
    let shown = stage.get("Microsoft.Storage/storageAccounts/acct");
    assert!(
        !stage
            .api("Microsoft.Storage/storageAccounts/acct", shown)
            .unwrap()
            .changed
    );
    // The file's rule, which cannot say so, stays that for the old one.
    let mut file = stage.clone();
    let acls = json!({ "defaultAction": "Deny", "virtualNetworkRules": [named(SUBNET_A), named(SUBNET_B)] });
    let body = json!({ "location": "koreacentral", "properties": { "networkAcls": acls } });
    file.put(
        &id("Microsoft.Storage/storageAccounts/acct"),
        body,
        &Conditions::none(),
        Origin::File,
    )
    .unwrap();
    assert_eq!(states(&file), ["NetworkSourceDeleted", "Succeeded"]);
    // Written anew it is one for the new subnet.
    let patch = json!({ "properties": { "networkAcls": { "virtualNetworkRules": [named(SUBNET_A), named(SUBNET_B)] } } });
    stage
        .patch(
            &id("Microsoft.Storage/storageAccounts/acct"),
            patch,
            &Conditions::none(),
        )
        .unwrap();
    stage.commit();
    assert_eq!(states(&stage), ["Succeeded", "Succeeded"]);
}

#[test]
fn a_subnet_that_goes_and_comes_in_one_change_never_went() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    stage.ok("networkInterfaces/i", nic(SUBNET_A));
    let acls = json!({ "virtualNetworkRules": [named(SUBNET_A)] });
    stage.ok(
        "Microsoft.Storage/storageAccounts/acct",
        json!({ "networkAcls": acls }),
    );
    stage.commit();
    let before = stage.estate().clone();
    // As templates do that have the network without subnets, and these as resources of their own.
    stage.ok(
        "virtualNetworks/v",
        json!({ "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } }),
    );
    for (name, prefix) in [(SUBNET_B, "10.0.1.0/29"), (SUBNET_A, "10.0.0.0/24")] {
        stage
            .api(name, json!({ "properties": { "addressPrefix": prefix } }))
            .unwrap();
    }
    stage.check().unwrap();
    assert_eq!(stage.estate().changes_since(&before).count(), 0);
}

#[test]
fn public_addresses_come_from_the_pools_and_go_back() {
    let mut stage = stage();
    let address = |stage: &Stage, path: &str| stage.get(path)["properties"]["ipAddress"].clone();
    // .0 is the network's, .1 is reserved.
    for (name, wanted) in [("a", "20.0.0.2"), ("b", "20.0.0.3"), ("c", "20.0.0.4")] {
        let path = format!("publicIPAddresses/{name}");
        stage.ok(&path, json!({}));
        assert_eq!(address(&stage, &path), wanted);
        stage.ok(&path, json!({ "publicIPAllocationMethod": "Static" }));
        assert_eq!(address(&stage, &path), wanted);
    }
    stage.ok("publicIPPrefixes/q", json!({ "prefixLength": 30 }));
    assert_eq!(
        stage.get("publicIPPrefixes/q")["properties"]["ipPrefix"],
        "20.0.0.8/30"
    );
    stage.ok(
        "publicIPAddresses/d",
        json!({ "publicIPPrefix": named("publicIPPrefixes/q") }),
    );
    assert_eq!(address(&stage, "publicIPAddresses/d"), "20.0.0.8");
    assert_eq!(
        stage.get("publicIPPrefixes/q")["properties"]["publicIPAddresses"],
        json!([named("publicIPAddresses/d")])
    );
    stage
        .delete(&id("publicIPAddresses/b"), &Conditions::none())
        .unwrap();
    for wanted in [
        "20.0.0.3",
        "20.0.0.5",
        "20.0.0.6",
        "20.0.0.7",
        "20.0.0.12",
        "20.0.0.13",
        "20.0.0.14",
    ] {
        let path = format!("publicIPAddresses/z{}", &wanted[7..].replace('.', ""));
        stage.ok(&path, json!({}));
        assert_eq!(address(&stage, &path), wanted);
    }
    assert_eq!(
        stage.bad("publicIPAddresses/more", json!({})),
        "PublicIPCountLimitReached"
    );
    assert_eq!(
        stage.bad(
            "publicIPAddresses/more",
            json!({ "ipAddress": "20.0.0.14" })
        ),
        "PublicIPAddressInUse"
    );
    stage.ok(
        "publicIPAddresses/own",
        json!({ "ipAddress": "20.200.0.1" }),
    );
    assert_eq!(address(&stage, "publicIPAddresses/own"), "20.200.0.1");
    stage.check().unwrap();
    let mut poor = Stage::new(stage.estate(), &Settings::default());
    poor.ok("publicIPAddresses/none", json!({}));
    assert_eq!(address(&poor, "publicIPAddresses/none"), Value::Null);
}

#[test]
fn addresses_of_one_change_do_not_depend_on_its_order() {
    let mut stage = stage();
    let address = |stage: &Stage, nic: &str| {
        let shown = stage.get(&format!("networkInterfaces/{nic}"));
        shown["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].clone()
    };
    // The NIC before its network, a dynamic address before a static one that wants it.
    stage.ok("networkInterfaces/late", nic(SUBNET_A));
    assert_eq!(address(&stage, "late"), Value::Null);
    stage.ok("virtualNetworks/v", network());
    stage.ok("networkInterfaces/dynamic", nic(SUBNET_A));
    let mut fixed = nic(SUBNET_A);
    fixed["ipConfigurations"][0]["properties"]["privateIPAllocationMethod"] = json!("Static");
    fixed["ipConfigurations"][0]["properties"]["privateIPAddress"] = json!("10.0.0.4");
    stage.ok("networkInterfaces/fixed", fixed.clone());
    stage.commit();
    assert_eq!(address(&stage, "fixed"), "10.0.0.4");
    let others = [address(&stage, "late"), address(&stage, "dynamic")];
    assert!(
        others.contains(&json!("10.0.0.5")) && others.contains(&json!("10.0.0.6")),
        "{others:?}"
    );
    // What was in force before stays.
    fixed["ipConfigurations"][0]["properties"]["privateIPAddress"] = json!("10.0.0.5");
    assert_eq!(
        stage.bad("networkInterfaces/fixed", fixed),
        "PrivateIPAddressInUse"
    );
    // Three addresses are left in a /29.
    for name in ["x", "y", "z"] {
        stage.ok(&format!("networkInterfaces/{name}"), nic(SUBNET_B));
    }
    assert_eq!(
        stage.bad("networkInterfaces/w", nic(SUBNET_B)),
        "SubnetIsFull"
    );
}

#[test]
fn a_group_inside_of_a_subnet_becomes_a_resource() {
    let mut stage = stage();
    let rule = |direction: &str| json!({ "properties": { "direction": direction, "protocol": "*", "access": "Allow" } });
    let mut vnet = network();
    vnet["subnets"][0]["properties"]["networkSecurityGroup"] =
        json!({ "properties": { "securityRules": [rule("Inbound"), rule("Outbound")] } });
    stage.ok("virtualNetworks/v", vnet.clone());
    let group = "networkSecurityGroups/v-a-nsg";
    assert_eq!(
        stage.get(SUBNET_A)["properties"]["networkSecurityGroup"],
        named(group)
    );
    let rules = stage.get(group)["properties"]["securityRules"].clone();
    assert_eq!(
        (&rules[0]["name"], &rules[1]["properties"]["priority"]),
        (&json!("rule1"), &json!(101))
    );
    assert_eq!(rules[1]["properties"]["destinationPortRange"], "*");
    assert!(!stage.ok("virtualNetworks/v", vnet.clone()).changed);
    // A group of somebody else that has the name is left alone.
    let mut other = network();
    other["subnets"][1]["properties"]["networkSecurityGroup"] = json!({ "properties": {} });
    stage.ok("networkSecurityGroups/w-b-nsg", json!({}));
    stage.ok("virtualNetworks/w", other);
    assert_eq!(
        stage.get("virtualNetworks/w/subnets/b")["properties"]["networkSecurityGroup"],
        named("networkSecurityGroups/w-b-nsg2")
    );
    stage.check().unwrap();
}

#[test]
fn the_configuration_of_a_site_is_a_child_and_a_property() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    stage.ok("Microsoft.Web/sites/app", json!({}));
    let restrictions =
        json!([{ "name": "r", "priority": "100", "vnetSubnetResourceId": id(SUBNET_A) }]);
    let web = json!({ "properties": { "ipSecurityRestrictions": restrictions, "alwaysOn": true } });
    assert!(
        stage
            .api("Microsoft.Web/sites/app/config/web", web)
            .unwrap()
            .created
    );
    let site = stage.get("Microsoft.Web/sites/app");
    assert_eq!(
        site["properties"]["siteConfig"]["ipSecurityRestrictions"][0]["priority"],
        100
    );
    assert_eq!(site["properties"]["siteConfig"]["alwaysOn"], true);
    let shown = stage.get("Microsoft.Web/sites/app/config/web");
    assert_eq!(shown["type"], "Microsoft.Web/sites/config");
    assert!(!stage.api("Microsoft.Web/sites/app", site).unwrap().changed);
    stage.ok(
        "Microsoft.Web/sites/app/config/appsettings",
        json!({ "a": "b" }),
    );
    let settings = stage.get("Microsoft.Web/sites/app/config/appsettings");
    assert_eq!(settings["properties"]["a"], Value::Null, "they are secret");
    stage.check().unwrap();
}
