//! What is refused, with Azure's code, and changes nothing.

use super::*;

fn rule(name: &str, priority: i64, direction: &str) -> Value {
    json!({ "name": name, "properties": {
        "priority": priority, "direction": direction, "access": "Allow", "protocol": "*",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "*",
    } })
}

fn vnet(space: &str, subnets: &[(&str, &str)]) -> Value {
    let subnets: Vec<Value> = subnets
        .iter()
        .map(|(name, prefix)| json!({ "name": name, "properties": { "addressPrefix": prefix } }))
        .collect();
    json!({ "addressSpace": { "addressPrefixes": [space] }, "subnets": subnets })
}

fn static_nic(address: &str) -> Value {
    let mut nic = nic(SUBNET_A);
    let own = &mut nic["ipConfigurations"][0]["properties"];
    own["privateIPAllocationMethod"] = json!("static");
    own["privateIPAddress"] = json!(address);
    nic
}

#[test]
fn bodies_that_cannot_stand_are_refused() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    stage.ok("networkInterfaces/taken", static_nic("10.0.0.9"));
    stage.commit();
    let other = id("networkSecurityGroups/n");
    let subnet = |fields: Value| {
        let mut subnet = json!({ "addressPrefix": "10.9.0.0/24" });
        subnet
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({ "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] },
                "subnets": [{ "name": "s", "properties": subnet }] })
    };
    let route = |fields: Value| json!({ "routes": [{ "name": "r", "properties": fields }] });
    for (path, properties, code) in [
        ("virtualNetworks/w", json!([]), "InvalidJson"),
        ("virtualNetworks/w", json!({}), "AddressSpaceMissing"),
        (
            "virtualNetworks/w",
            vnet("10.0.0.0/33", &[]),
            "InvalidAddressPrefixFormat",
        ),
        (
            "virtualNetworks/w",
            vnet("10.0.0.1/16", &[]),
            "InvalidCIDRNotation",
        ),
        (
            "virtualNetworks/w",
            vnet("10.0.0.0/16", &[("s", "x")]),
            "InvalidAddressPrefixFormat",
        ),
        (
            "virtualNetworks/w",
            vnet("10.0.0.0/16", &[("s", "10.1.0.0/24")]),
            "NetcfgInvalidSubnet",
        ),
        (
            "virtualNetworks/w",
            vnet(
                "10.0.0.0/16",
                &[("s", "10.0.0.0/24"), ("t", "10.0.0.128/25")],
            ),
            "NetcfgSubnetRangesOverlap",
        ),
        (
            "virtualNetworks/w",
            vnet("10.0.0.0/16", &[("s", "10.0.0.0/24"), ("S", "10.0.1.0/24")]),
            "DuplicateResourceName",
        ),
        (
            "virtualNetworks/w",
            vnet("10.0.0.0/16", &[("-", "10.0.0.0/24")]),
            "InvalidResourceName",
        ),
        (
            "virtualNetworks/w.",
            vnet("10.0.0.0/16", &[]),
            "InvalidResourceName",
        ),
        (
            "virtualNetworks/w",
            subnet(json!({ "serviceEndpoints": "x" })),
            "InvalidJson",
        ),
        (
            "virtualNetworks/w",
            subnet(
                json!({ "serviceEndpoints": [{ "service": "Microsoft.Storage Microsoft.Sql" }] }),
            ),
            "SubnetHasInvalidServiceName",
        ),
        (
            "virtualNetworks/w",
            subnet(json!({ "networkSecurityGroup": { "id": other } })),
            "InvalidResourceReference",
        ),
        (
            "virtualNetworks/w",
            subnet(json!({ "networkSecurityGroup": { "id": id(SUBNET_A) } })),
            "InvalidJsonReferenceWrongType",
        ),
        (
            "virtualNetworks/w",
            subnet(json!({ "networkSecurityGroup": { "id": "nsg" } })),
            "LinkedInvalidPropertyId",
        ),
        (
            "virtualNetworks/w",
            subnet(json!({ "routeTable": {} })),
            "MissingJsonReferenceId",
        ),
        (
            "networkSecurityGroups/m",
            json!({ "securityRules": [rule("a", 99, "Inbound")] }),
            "SecurityRuleInvalidPriority",
        ),
        (
            "networkSecurityGroups/m",
            json!({ "securityRules": [rule("a", 100, "Sideways")] }),
            "InvalidJson",
        ),
        (
            "networkSecurityGroups/m",
            json!({ "securityRules": [rule("a", 100, "Inbound"), rule("b", 100, "inbound")] }),
            "SecurityRuleConflict",
        ),
        (
            "networkSecurityGroups/m",
            json!({ "securityRules": [{ "name": "a", "properties": { "priority": 100 } }] }),
            "SecurityRuleParameterNotSpecified",
        ),
        (
            "routeTables/t",
            route(json!({ "addressPrefix": "0.0.0.0/0" })),
            "RouteParameterNotSpecified",
        ),
        (
            "routeTables/t",
            route(json!({ "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance" })),
            "InvalidNextHopIpAddress",
        ),
        (
            "networkInterfaces/i",
            json!({}),
            "NetworkInterfaceMustHaveAtLeastOneIPConfiguration",
        ),
        (
            "networkInterfaces/i",
            json!({ "ipConfigurations": [{ "name": "x" }] }),
            "SubnetRequired",
        ),
        (
            "networkInterfaces/i",
            nic("virtualNetworks/v/subnets/z"),
            "InvalidResourceReference",
        ),
        (
            "networkInterfaces/i",
            static_nic("10.0.1.4"),
            "PrivateIPAddressNotInSubnet",
        ),
        (
            "networkInterfaces/i",
            static_nic("10.0.0.3"),
            "PrivateIPAddressInReservedRange",
        ),
        (
            "networkInterfaces/i",
            static_nic("10.0.0.255"),
            "PrivateIPAddressInReservedRange",
        ),
        (
            "networkInterfaces/i",
            static_nic("10.0.0.9"),
            "PrivateIPAddressInUse",
        ),
        (
            "networkInterfaces/i",
            static_nic("host"),
            "InvalidIPAddressFormat",
        ),
        (
            "publicIPAddresses/p",
            json!({ "idleTimeoutInMinutes": "soon" }),
            "InvalidJson",
        ),
        (
            "publicIPPrefixes/q",
            json!({ "prefixLength": 20 }),
            "PublicIPCountLimitReached",
        ),
        (
            "publicIPPrefixes/q",
            json!({ "prefixLength": 40 }),
            "InvalidPublicIpPrefixLength",
        ),
        (
            "virtualNetworks/none/subnets/s",
            json!({}),
            "ParentResourceNotFound",
        ),
        (
            "Microsoft.Sql/servers/none/firewallRules/s",
            json!({}),
            "ParentResourceNotFound",
        ),
        (
            "Microsoft.Storage/storageAccounts/No-Name",
            json!({}),
            "AccountNameInvalid",
        ),
    ] {
        let before = stage.estate().clone();
        assert_eq!(
            stage.bad(path, properties.clone()),
            code,
            "{path} {properties}"
        );
        assert_eq!(*stage.estate(), before);
    }
}

#[test]
fn a_resource_is_in_a_group_and_a_region() {
    let mut stage = stage();
    let refused = |stage: &mut Stage, path: &str, body: Value| {
        let error = stage.api(path, body).unwrap_err();
        (error.status, code(&error))
    };
    let body = |location: &str| json!({ "location": location, "properties": network() });
    let none = json!({ "properties": network() });
    assert_eq!(
        refused(&mut stage, "virtualNetworks/v", none),
        (400, "LocationRequired".into())
    );
    assert_eq!(
        refused(&mut stage, "virtualNetworks/v", body("Mars")),
        (400, "LocationNotAvailableForResourceType".into())
    );
    stage
        .api("virtualNetworks/v", body("Korea Central"))
        .unwrap();
    assert_eq!(stage.get("virtualNetworks/v")["location"], "koreacentral");
    assert_eq!(
        refused(&mut stage, "virtualNetworks/v", body("koreasouth")),
        (409, "InvalidResourceLocation".into())
    );
    let elsewhere: ResourceId = id("virtualNetworks/v")
        .to_string()
        .replace("/rg/", "/none/")
        .parse()
        .unwrap();
    let error = stage
        .put(
            &elsewhere,
            body("koreacentral"),
            &Conditions::none(),
            Origin::Api,
        )
        .unwrap_err();
    assert_eq!(
        (error.status, code(&error)),
        (404, "ResourceGroupNotFound".into())
    );
    assert_eq!(
        refused(&mut stage, "virtualNetworks/v", json!([])),
        (400, "InvalidRequestContent".into())
    );
    let group: Scope = GROUP.parse().unwrap();
    let moved = stage
        .put_group(&group, json!({ "location": "koreasouth" }))
        .unwrap_err();
    assert_eq!(
        (moved.status, code(&moved)),
        (409, "InvalidResourceGroupLocation".into())
    );
}

#[test]
fn what_is_in_use_cannot_go() {
    let mut stage = stage();
    let named = |path: &str| json!({ "id": id(path) });
    stage.ok("networkSecurityGroups/n", json!({}));
    stage.ok("applicationSecurityGroups/a", json!({}));
    stage.ok("routeTables/t", json!({}));
    stage.ok("serviceEndpointPolicies/e", json!({}));
    stage.ok("publicIPAddresses/p", json!({}));
    stage.ok("publicIPAddresses/pg", json!({}));
    stage.ok("publicIPPrefixes/q", json!({ "prefixLength": 31 }));
    stage.ok(
        "natGateways/g",
        json!({ "publicIpAddresses": [named("publicIPAddresses/pg")], "publicIpPrefixes": [named("publicIPPrefixes/q")] }),
    );
    let mut vnet = network();
    vnet["subnets"][0]["properties"] = json!({
        "addressPrefix": "10.0.0.0/24",
        "networkSecurityGroup": named("networkSecurityGroups/n"),
        "routeTable": named("routeTables/t"),
        "natGateway": named("natGateways/g"),
        "serviceEndpoints": [{ "service": "Microsoft.Storage" }],
        "serviceEndpointPolicies": [named("serviceEndpointPolicies/e")],
    });
    stage.ok("virtualNetworks/v", vnet.clone());
    let mut nic = nic(SUBNET_A);
    nic["ipConfigurations"][0]["properties"]["publicIPAddress"] = named("publicIPAddresses/p");
    nic["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] =
        json!([named("applicationSecurityGroups/a")]);
    stage.ok("networkInterfaces/i", nic);
    let profile = json!({ "networkInterfaces": [named("networkInterfaces/i")] });
    stage.ok(
        "Microsoft.Compute/virtualMachines/vm",
        json!({ "networkProfile": profile }),
    );
    stage.commit();
    let holders = [
        (
            "networkSecurityGroups/n",
            "InUseNetworkSecurityGroupCannotBeDeleted",
        ),
        (
            "applicationSecurityGroups/a",
            "InUseApplicationSecurityGroupCannotBeDeleted",
        ),
        ("routeTables/t", "InUseRouteTableCannotBeDeleted"),
        (
            "serviceEndpointPolicies/e",
            "InUseServiceEndpointPolicyCannotBeDeleted",
        ),
        ("publicIPAddresses/p", "PublicIPAddressCannotBeDeleted"),
        ("publicIPAddresses/pg", "PublicIPAddressCannotBeDeleted"),
        ("publicIPPrefixes/q", "InUsePublicIpPrefixCannotBeDeleted"),
        ("natGateways/g", "InUseNatGatewayCannotBeDeleted"),
        ("networkInterfaces/i", "NicInUse"),
        (SUBNET_A, "InUseSubnetCannotBeDeleted"),
        ("virtualNetworks/v", "InUseSubnetCannotBeDeleted"),
    ];
    let before = stage.estate().clone();
    for (path, wanted) in holders {
        let error = stage.delete(&id(path), &Conditions::none()).unwrap_err();
        assert_eq!(
            (error.status, code(&error).as_str()),
            (400, wanted),
            "{path}"
        );
        assert_eq!(*stage.estate(), before, "{path}");
        // The same by way of a change that is only checked at the end.
        let mut other = Stage::new(&before, &settings());
        other.remove(&id(path)).unwrap();
        assert_eq!(code(&other.check().unwrap_err()), wanted, "{path}");
    }
    // A subnet that a PUT of its network does not name goes, which it cannot.
    vnet["subnets"].as_array_mut().unwrap().remove(0);
    assert_eq!(
        stage.bad("virtualNetworks/v", vnet.clone()),
        "InUseSubnetCannotBeDeleted"
    );
    // Nor can it be moved away from its addresses.
    let moved = json!({ "properties": { "addressPrefix": "10.0.7.0/24" } });
    let mut other = Stage::new(&before, &settings());
    other.api(SUBNET_A, moved).unwrap();
    assert_eq!(
        code(&other.check().unwrap_err()),
        "InUsePrefixCannotBeDeleted"
    );
    // From the user to the used, all of it goes; and in one piece.
    for path in [
        "Microsoft.Compute/virtualMachines/vm",
        "networkInterfaces/i",
        "virtualNetworks/v",
        "natGateways/g",
    ] {
        assert!(
            stage.delete(&id(path), &Conditions::none()).unwrap(),
            "{path}"
        );
    }
    for (path, _) in &holders[..7] {
        assert!(
            stage.delete(&id(path), &Conditions::none()).unwrap(),
            "{path}"
        );
    }
    stage.check().unwrap();
    assert_eq!(stage.estate().documents().count(), 0);
    let mut whole = Stage::new(&before, &settings());
    assert!(whole.delete_group(&GROUP.parse().unwrap()).unwrap());
    whole.check().unwrap();
    assert_eq!(*whole.estate(), Estate::default());
}

#[test]
fn a_group_that_another_needs_stays() {
    let mut stage = stage();
    let other: Scope = "/subscriptions/s/resourceGroups/other".parse().unwrap();
    stage
        .put_group(&other, json!({ "location": "koreacentral" }))
        .unwrap();
    stage.ok("virtualNetworks/v", network());
    let nic_id = other.resource("Microsoft.Network", &[("networkInterfaces", "i")]);
    let body = json!({ "location": "koreacentral", "properties": nic(SUBNET_A) });
    stage
        .put(&nic_id, body, &Conditions::none(), Origin::Api)
        .unwrap();
    stage.commit();
    let before = stage.estate().clone();
    let error = stage.delete_group(&GROUP.parse().unwrap()).unwrap_err();
    assert_eq!(code(&error), "InUseSubnetCannotBeDeleted");
    assert_eq!(*stage.estate(), before);
    assert!(stage.delete_group(&other).unwrap());
    assert!(stage.delete_group(&GROUP.parse().unwrap()).unwrap());
    assert!(!stage.delete_group(&other).unwrap());
    stage.check().unwrap();
}

#[test]
fn conditions_are_those_of_the_resource_or_its_parent() {
    let mut stage = stage();
    let when = |if_match: Option<&str>, if_none_match: Option<&str>| Conditions {
        if_match: if_match.map(str::to_owned),
        if_none_match: if_none_match.map(str::to_owned),
    };
    let body = json!({ "location": "koreacentral", "properties": network() });
    let vnet = id("virtualNetworks/v");
    let fails = |result: Result<Put, ArmError>| {
        let error = result.unwrap_err();
        assert_eq!(
            (error.status, error.code.as_str()),
            (412, "PreconditionFailed")
        );
    };
    fails(stage.put(&vnet, body.clone(), &when(Some("*"), None), Origin::Api));
    stage
        .put(&vnet, body.clone(), &when(None, Some("*")), Origin::Api)
        .unwrap();
    fails(stage.put(&vnet, body, &when(None, Some("*")), Origin::Api));
    let first = stage.get("virtualNetworks/v")["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(stage.get(SUBNET_A)["etag"], first);
    let subnet = |prefix: &str| json!({ "properties": { "addressPrefix": prefix } });
    stage
        .put(
            &id(SUBNET_A),
            subnet("10.0.8.0/24"),
            &when(Some(&first), None),
            Origin::Api,
        )
        .unwrap();
    let second = stage.get(SUBNET_A)["etag"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    fails(stage.put(
        &id(SUBNET_A),
        subnet("10.0.9.0/24"),
        &when(Some(&first), None),
        Origin::Api,
    ));
    let error = stage.delete(&vnet, &when(Some(&first), None)).unwrap_err();
    assert_eq!(error.status, 412);
    let error = stage
        .patch(&vnet, json!({ "tags": {} }), &when(Some(&first), None))
        .unwrap_err();
    assert_eq!(error.status, 412);
    assert!(stage.delete(&vnet, &when(Some(&second), None)).unwrap());
}
