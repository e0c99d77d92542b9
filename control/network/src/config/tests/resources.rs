//! Names, references, regions, endpoints and devices.

use super::*;

#[test]
fn a_resource_needs_a_known_region() {
    assert_refused(&[(
        "location = \"koreacentral\"",
        "location = \"koreanorth\"",
        "location = \"koreanorth\": unknown region; accepted: koreacentral, koreasouth",
    )]);
    let lines = refusals("location = \"koreacentral\"", "");
    let keys: Vec<_> = lines
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "virtualNetwork[0].location",
            "service[0].location",
            "service[1].location"
        ]
    );
}

#[test]
fn names_are_checked_and_unique_without_case() {
    assert_refused_with(&[
        (
            "name = \"vm1\"",
            "name = \"-vm1\"",
            "networkInterface[1].name = \"-vm1\": not a name;",
        ),
        (
            "name = \"vm1\"",
            "name = \"vm1.\"",
            "networkInterface[1].name = \"vm1.\": not a name;",
        ),
        (
            "name = \"vm1\"",
            "name = \"vm/1\"",
            "networkInterface[1].name = \"vm/1\": not a name;",
        ),
        (
            "name = \"vm1\"",
            "name = \"\"",
            "networkInterface[1].name = \"\": not a name;",
        ),
        (
            "name = \"vm1\"",
            "name = \"VM0\"",
            "networkInterface[1].name = \"VM0\": networkInterface[0].name has the same name;",
        ),
        (
            "name = \"storage\"",
            "name = \"ssh\"",
            "networkSecurityGroup[0].securityRule[1].name = \"ssh\": networkSecurityGroup[0].securityRule[0].name has",
        ),
        (
            "name = \"fabrikam\"",
            "name = \"contoso\"",
            "service[1].name = \"contoso\": service[0].name has the same name;",
        ),
    ]);
    assert!(refusals("name = \"subnet2\"", "name = \"Subnet1\"")[0].contains("has the same name"));
    assert!(
        refusals("name = \"vm1\"", &format!("name = \"{}\"", "x".repeat(81)))[0]
            .contains("not a name")
    );
}

#[test]
fn endpoints_are_known_services() {
    let with = |value: &str| format!("serviceEndpoints = {value}");
    let one = "serviceEndpoints = [\"Microsoft.Storage\"]";
    for (value, wanted) in [
        (
            r#"["Microsoft.Blob"]"#,
            "serviceEndpoints[0] = \"Microsoft.Blob\": subnets/subnet1 has an item in ServiceEndpoints array with invalid service name 'Microsoft.Blob'; accepted: Microsoft.Storage, Microsoft.Storage.Global, Microsoft.Sql, ",
        ),
        (
            r#"["Microsoft.Storage Microsoft.Sql"]"#,
            "serviceEndpoints[0] = \"Microsoft.Storage Microsoft.Sql\": subnets/subnet1 has an item in ServiceEndpoints array with invalid",
        ),
        (
            r#"["Microsoft.Storage", "microsoft.storage.global"]"#,
            "serviceEndpoints[1] = \"microsoft.storage.global\": Microsoft.Storage is on too, and the two exclude each other",
        ),
        (
            r#"[{ service = "Microsoft.Blob" }]"#,
            "serviceEndpoints[0].service = \"Microsoft.Blob\": subnets/subnet1 has an item",
        ),
        (
            r#"[{ locations = ["*"] }]"#,
            "serviceEndpoints[0].service: missing;",
        ),
        (
            r#"[{ service = "Microsoft.Sql", locations = ["mars"] }]"#,
            "serviceEndpoints[0].locations[0] = \"mars\": unknown region;",
        ),
        (
            r#"[{ service = "Microsoft.Sql", region = "koreacentral" }]"#,
            "serviceEndpoints[0].region = \"koreacentral\": unknown key; accepted: service, locations,",
        ),
        ("[7]", "serviceEndpoints[0] = 7: not a value"),
        (
            "\"Microsoft.Storage\"",
            "serviceEndpoints = \"Microsoft.Storage\": not a value",
        ),
    ] {
        let lines = refusals(one, &with(value));
        let wanted = format!("f.toml: virtualNetwork[0].subnet[0].{wanted}");
        assert!(
            lines.len() == 1 && lines[0].starts_with(&wanted),
            "{lines:#?}"
        );
    }
    let twice = r#"["microsoft.sql", "MICROSOFT.STORAGE", "Microsoft.Sql"]"#;
    let model = read(&GOOD.replace(one, &with(twice))).unwrap();
    let names: Vec<_> = model.vnets[0].subnets[0]
        .service_endpoints
        .iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(names, ["Microsoft.Storage", "Microsoft.Sql"]);
}

#[test]
fn locations_are_the_platforms_to_fill_in() {
    let one = "serviceEndpoints = [\"Microsoft.Storage\"]";
    let plain = read(GOOD).unwrap();
    for item in [
        r#"{ service = "microsoft.storage" }"#,
        r#"{ service = "Microsoft.Storage", locations = [] }"#,
        r#"{ service = "Microsoft.Storage", locations = ["*"] }"#,
        r#"{ service = "Microsoft.Storage", locations = ["koreacentral", "koreasouth"] }"#,
        r#"{ service = "MICROSOFT.STORAGE", locations = ["KoreaSouth", "KOREACENTRAL"] }"#,
        r#"{ service = "Microsoft.Storage", locations = ["japaneast"], provisioningState = "Succeeded" }"#,
    ] {
        let model = read(&GOOD.replace(one, &format!("serviceEndpoints = [{item}]"))).unwrap();
        assert!(plain.diff(&model).is_empty(), "{item}");
    }
}

#[test]
fn an_endpoint_needs_the_tags_of_its_service() {
    let tags = r#"{"changeNumber":1,"cloud":"P","values":[{"name":"Sql","id":"Sql","properties":
        {"changeNumber":1,"region":"","addressPrefixes":["52.231.17.0/24"]}}]}"#;
    let catalog = Catalog::from_bytes("small.json", tags.as_bytes()).unwrap();
    let error = parse(Path::new("f.toml"), GOOD, &catalog)
        .map_err(counted)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("serviceEndpoints[0] = \"Microsoft.Storage\": small.json has no prefixes of Microsoft.Storage; accepted: a service-tag file with Storage in koreacentral or koreasouth"),
        "{error}"
    );
}

#[test]
fn a_nat_gateway_may_say_how_long_tcp_idles() {
    let addresses = "publicIPAddresses = [\"65.52.1.1\"]";
    let with = |value: &str| format!("{addresses}\nidleTimeoutInMinutes = {value}");
    assert_eq!(
        read(GOOD).unwrap().nat_gateways[0].idle_timeout_minutes,
        None
    );
    for minutes in [4, 120] {
        let model = read(&GOOD.replace(addresses, &with(&minutes.to_string()))).unwrap();
        assert_eq!(model.nat_gateways[0].idle_timeout_minutes, Some(minutes));
    }
    for value in ["3", "121"] {
        assert_refused(&[(
            addresses,
            &with(value),
            &format!(
                "natGateway[0].idleTimeoutInMinutes = {value}: out of range; accepted: 4 to 120"
            ),
        )]);
    }
}

#[test]
fn limits_of_shared_sources_stay_in_range() {
    for (key, most) in [
        ("natGatewayFlowsPerDestination", 64_512),
        ("natGatewayFlows", 1 << 26),
        ("natGatewayPortsPerNic", 64_512),
        ("defaultOutboundPortsPerNic", 64_512),
    ] {
        let with = |value: u32| read(&format!("[settings]\n{key} = {value}\n"));
        assert!(with(1).is_ok() && with(most).is_ok(), "{key}");
        for value in [0, most + 1] {
            let error = with(value).unwrap_err().to_string();
            let wanted = format!("settings.{key} = {value}: out of range; accepted: 1 to {most}");
            assert!(error.ends_with(&wanted), "{error}");
        }
    }
}

#[test]
fn an_endpoint_needs_prefixes_in_its_regions() {
    let lines = refusals(
        "name = \"VNet1\"",
        "name = \"VNet1\"\nlocation = \"chinaeast\"",
    );
    assert_eq!(
        lines,
        [
            "f.toml: virtualNetwork[0].subnet[0].serviceEndpoints[0] = \"Microsoft.Storage\": \
          built-in service-tags.json has no prefixes of Microsoft.Storage; accepted: a service-tag \
          file with Storage in chinaeast or chinanorth"
        ]
    );
}

#[test]
fn references_lead_somewhere() {
    assert_refused(&[
        (
            "natGateway = \"nat1\"",
            "natGateway = \"nat2\"",
            "virtualNetwork[0].subnet[0].natGateway = \"nat2\": there is no such natGateway; accepted: nat1",
        ),
        (
            "networkSecurityGroup = \"nsg1\"",
            "networkSecurityGroup = \"x\"",
            "virtualNetwork[0].subnet[0].networkSecurityGroup = \"x\": there is no such networkSecurityGroup; accepted: nsg1",
        ),
        (
            "name = \"vm1\"",
            "name = \"vm1\"\nnetworkSecurityGroup = \"x\"",
            "networkInterface[1].networkSecurityGroup = \"x\": there is no such networkSecurityGroup; accepted: nsg1",
        ),
        (
            "virtualNetwork = \"VNet1\"",
            "virtualNetwork = \"VNet2\"",
            "networkInterface[0].virtualNetwork = \"VNet2\": there is no such virtualNetwork; accepted: VNet1",
        ),
        (
            "subnet = \"subnet2\"",
            "subnet = \"subnet3\"",
            "networkInterface[1].subnet = \"subnet3\": there is no such subnet of the network; accepted: subnet1, subnet2",
        ),
    ]);
    let model = read(&GOOD.replace("natGateway = \"nat1\"", "natGateway = \"NAT1\"")).unwrap();
    assert_eq!(
        model.vnets[0].subnets[0].nat_gateway.as_deref(),
        Some("nat1")
    );
}

#[test]
fn one_namespace_has_one_port() {
    assert_refused_with(&[
        (
            "namespace = \"vm1\"",
            "namespace = \"vm0\"",
            "networkInterface[1].namespace = \"vm0\": networkInterface[0].namespace is in the same namespace;",
        ),
        (
            "namespace = \"vm1\"",
            "namespace = \"/var/run/netns/inet\"",
            "networkInterface[1].namespace = \"/var/run/netns/inet\": internet.namespace is in",
        ),
        (
            "namespace = \"svc\"",
            "namespace = \"vm1\"",
            "service[0].namespace = \"vm1\": networkInterface[1].namespace is in the same namespace;",
        ),
        (
            "namespace = \"vm1\"",
            "namespace = \"pid:0\"",
            "networkInterface[1].namespace = \"pid:0\": not a value",
        ),
    ]);
}

#[test]
fn the_platform_is_in_a_namespace_of_its_own_unless_one_is_named() {
    let at = "[defaultOutbound]";
    let with = |keys: &str| read(&GOOD.replace(at, &format!("[platform]\n{keys}\n{at}")));
    let own = read(GOOD).unwrap().platform.device;
    assert_eq!(own.namespace, NamespaceRef::Own);
    assert_eq!((own.mtu, own.offload), (1500, true));
    let tuned = with("mtu = 9000\noffload = \"off\"\ndevice = \"az0\"").unwrap();
    let tuned = tuned.platform.device;
    assert_eq!((tuned.mtu, tuned.offload), (9000, false));
    assert_eq!((tuned.namespace, &*tuned.name), (NamespaceRef::Own, "az0"));
    let named = with("namespace = \"platform\"").unwrap().platform.device;
    assert_eq!(named.namespace, NamespaceRef::Name("platform".into()));

    let refused = |value: &str, wanted: &str| {
        let lines = refusals(at, &format!("[platform]\n{value}\n{at}"));
        assert!(
            lines.len() == 1 && lines[0].starts_with(wanted),
            "{lines:#?}"
        );
    };
    refused("mtu = 100", "f.toml: platform.mtu = 100: out of range");
    refused(
        "namespace = \"inet\"",
        "f.toml: platform.namespace = \"inet\": internet.namespace is in the same namespace",
    );
    refused(
        "namespace = \"\"",
        "f.toml: platform.namespace = \"\": not a value",
    );
    refused(
        "addresses = []",
        "f.toml: platform.addresses = []: unknown key",
    );
}

#[test]
fn services_of_a_namespace_agree_on_the_device() {
    let two = "name = \"fabrikam\"";
    assert_refused(&[
        (
            two,
            "name = \"fabrikam\"\nmtu = 9000",
            "service[1].mtu = 9000: service[0].mtu shares the namespace and so the device, and has 1500; accepted: 1500",
        ),
        (
            two,
            "name = \"fabrikam\"\ndevice = \"tun7\"",
            "service[1].device = \"tun7\": service[0].device shares the namespace and so the device, and has \"postern0\"; accepted: \"postern0\"",
        ),
        (
            two,
            "name = \"fabrikam\"\noffload = \"off\"",
            "service[1].offload = \"off\": service[0].offload shares the namespace and so the device, and has \"on\"; accepted: \"on\"",
        ),
    ]);
}

#[test]
fn devices_are_checked() {
    let vm1 = "name = \"vm1\"";
    assert_refused(&[
        (
            vm1,
            "name = \"vm1\"\nmtu = 575",
            "networkInterface[1].mtu = 575: out of range; accepted: 576 to 65535",
        ),
        (
            vm1,
            "name = \"vm1\"\nmtu = 65536",
            "networkInterface[1].mtu = 65536: out of range; accepted: 576 to 65535",
        ),
        (
            vm1,
            "name = \"vm1\"\nmtu = -1",
            "networkInterface[1].mtu = -1: out of range; accepted: 576 to 65535",
        ),
        (
            vm1,
            "name = \"vm1\"\nmtu = \"9000\"",
            "networkInterface[1].mtu = \"9000\": not a value of this key; accepted: a whole number",
        ),
        (
            vm1,
            "name = \"vm1\"\noffload = \"yes\"",
            "networkInterface[1].offload = \"yes\": not a value of this key; accepted: \"on\" or \"off\"",
        ),
    ]);
    for device in ["", "..", "a/b", "a b", "sixteen-letters0"] {
        let lines = refusals(vm1, &format!("name = \"vm1\"\ndevice = \"{device}\""));
        assert!(
            lines[0].starts_with("f.toml: networkInterface[1].device = "),
            "{lines:#?}"
        );
    }
    for mtu in [576, 9000, 65535] {
        let model = read(&GOOD.replace(vm1, &format!("name = \"vm1\"\nmtu = {mtu}"))).unwrap();
        assert_eq!(model.nic("vm1").unwrap().device.mtu, mtu);
    }
}

#[test]
fn a_service_takes_identities_where_ipv6_passes() {
    assert_refused(&[(
        "address = \"20.60.16.5\"",
        "address = \"20.60.16.5\"\ndelivery = \"nvgre\"",
        "service[0].delivery = \"nvgre\": not a value of this key; accepted: \"native\" or \"st6\"",
    )]);
    let small = "address = \"20.60.16.5\"\ndelivery = \"st6\"\nmtu = 1279";
    let lines = refusals("address = \"20.60.16.5\"", small);
    let expected = "f.toml: service[0].mtu = 1279: out of range; accepted: 1280 to 65535";
    assert!(lines.iter().any(|line| line == expected), "{lines:?}");
}
