//! What ARM says that the configuration does not, and the resources of the known templates.

use super::*;
use crate::compile::{PortNumbers, compile};
use crate::model::{NamespaceRef, Peer, Ports, RuleCallers, RuleProtocol};
use postern_dataplane::policy::{Access, Epoch};
use serde_json::json;

fn model(estate: &Estate) -> Model {
    let model = load(&lower(estate));
    let mut numbers = PortNumbers::default();
    compile(&model, &CATALOG, Epoch(1), &mut numbers).unwrap_or_else(|error| panic!("{error}"));
    model
}

fn vnet(subnet: Value) -> Value {
    json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
        "subnets": [{ "name": "a", "properties": subnet }],
    }})
}

#[test]
fn the_quickstart_becomes_two_nics_and_an_account_for_one_of_them() {
    let mut host = host();
    host["bind"] = json!([
        { "name": "nic*", "namespace": "{name}" },
        { "type": "Microsoft.Storage/storageAccounts", "name": "*", "namespace": "svc",
          "front": { "ports": [443], "connect": "127.0.0.1:10000" } },
    ]);
    host["publicIPPool"] = json!({ "prefixes": ["20.90.0.0/24"] });
    let estate = of(host, &quickstart());
    let model = model(&estate);
    let nics: Vec<_> = model
        .nics
        .iter()
        .map(|nic| {
            let (address, public) = (nic.private_address, nic.public_address.unwrap());
            let namespace = &nic.device.namespace;
            format!(
                "{} {namespace} {}/{} {address} {public}",
                nic.name, nic.vnet, nic.subnet
            )
        })
        .collect();
    assert_eq!(
        nics,
        [
            "nic0 nic0 VNet1/subnet1 10.0.1.4 20.90.0.0",
            "nic1 nic1 VNet1/subnet2 10.0.2.4 20.90.0.1",
        ]
    );
    let account = model.service("abcdefghijklm").unwrap();
    assert_eq!(account.device.namespace, "svc".parse().unwrap());
    assert!(account.front.is_some());
    let rules = &account.resource.rules;
    assert_eq!(rules.otherwise, Access::Deny);
    let who: Vec<_> = rules
        .rules
        .iter()
        .map(|rule| rule.who.to_string())
        .collect();
    assert_eq!(who, ["VNet1/subnet1"]);
    assert_eq!(rules.bypass.as_deref(), Some("None"));
    let endpoints = |at: usize| model.vnets[0].subnets[at].service_endpoints.len();
    assert_eq!((endpoints(0), endpoints(1)), (1, 0));
    let without: Vec<_> = without_effect(&estate)
        .iter()
        .map(ResourceId::kind)
        .collect();
    assert_eq!(
        without,
        [
            "Microsoft.Compute/availabilitySets",
            "Microsoft.Compute/virtualMachines"
        ]
    );
}

#[test]
fn without_a_pattern_nothing_is_attached_and_nothing_fails() {
    let model = model(&of(host(), &quickstart()));
    let unattached = NamespaceRef::Unattached;
    assert!(
        model
            .nics
            .iter()
            .all(|nic| nic.device.namespace == unattached)
    );
    assert_eq!(model.services[0].device.namespace, unattached);
}

/// The resources of the template for a Service Bus namespace in a virtual network.
#[test]
fn an_inline_group_and_an_old_rule_of_a_namespace_are_understood() {
    let body = json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": ["10.0.0.0/23"] },
        "subnets": [{ "name": "default", "properties": {
            "addressPrefix": "10.0.0.0/23",
            "serviceEndpoints": [{ "service": "Microsoft.ServiceBus" }],
            "networkSecurityGroup": { "properties": { "securityRules": [
                { "properties": { "direction": "Inbound", "protocol": "*", "access": "Allow" } },
                { "properties": { "direction": "Outbound", "protocol": "*", "access": "Allow" } },
            ]}},
        }}],
    }});
    let rule = json!({ "name": "vnet", "properties": {
        "virtualNetworkSubnetId": id("virtualNetworks/vnet/subnets/default"),
    }});
    for key in ["virtualnetworkrules", "virtualNetworkRules"] {
        let estate = of(
            host(),
            &[
                ("Microsoft.Network/virtualNetworks/vnet", body.clone()),
                (
                    "Microsoft.ServiceBus/namespaces/bus",
                    json!({
                        "location": "koreacentral", "sku": { "name": "Premium" },
                        "properties": { key: [rule.clone()] },
                    }),
                ),
            ],
        );
        let model = model(&estate);
        let nsg = &model.nsgs[0];
        assert_eq!(model.vnets[0].subnets[0].nsg.as_ref(), Some(&nsg.name));
        assert_eq!(nsg.name, "vnet-default-nsg");
        let rules: Vec<_> = nsg
            .rules
            .iter()
            .map(|rule| {
                assert_eq!((&rule.source, &rule.destination), (&Peer::Any, &Peer::Any));
                assert_eq!(rule.destination_ports, Ports::Any);
                assert_eq!(rule.protocol, RuleProtocol::Any);
                (rule.name.as_str(), rule.priority, rule.access)
            })
            .collect();
        assert_eq!(
            rules,
            [("rule1", 100, Access::Allow), ("rule2", 101, Access::Allow)]
        );
        let rules = &model.service("bus").unwrap().resource.rules;
        assert_eq!(rules.otherwise, Access::Deny);
        assert!(matches!(&rules.rules[0].who, RuleCallers::Subnet(it) if it.subnet == "default"));
    }
}

#[test]
fn what_is_spelled_otherwise_means_the_same() {
    let mut both = vnet(json!({
        "addressPrefix": null,
        "addressPrefixes": ["10.0.1.0/24", "fd00::/64"],
        "serviceEndpoints": [
            { "service": "microsoft.storage", "locations": ["*"], "provisioningState": "Succeeded" },
            { "service": "Microsoft.Sql" },
        ],
        "networkSecurityGroup": { "id": id("NETWORKSECURITYGROUPS/N").to_uppercase() },
        "delegations": [], "privateEndpointNetworkPolicies": "Disabled",
    }));
    both["properties"]["addressSpace"]["addressPrefixes"] = json!(["10.0.0.0/16", "fd00::/48"]);
    let estate = of(
        host(),
        &[
            ("Microsoft.Network/virtualNetworks/v", both),
            (
                "Microsoft.Network/networkSecurityGroups/n",
                json!({ "properties": { "securityRules": [
                    { "name": "r", "properties": {
                        "priority": 100, "direction": "inbound", "access": "ALLOW", "protocol": "TCP",
                        "sourceAddressPrefix": "", "sourceAddressPrefixes": ["10.0.0.0/8", "11.0.0.0/8"],
                        "destinationAddressPrefix": "Any", "destinationAddressPrefixes": [],
                        "sourcePortRange": "*", "sourcePortRanges": [],
                        "destinationPortRange": null, "destinationPortRanges": ["22", "80-90"],
                        "sourceApplicationSecurityGroups": [],
                    }},
                    { "name": "q", "properties": {
                        "priority": 101, "direction": "Inbound", "access": "Deny", "protocol": "*",
                        "sourceApplicationSecurityGroups": [{ "id": id("applicationSecurityGroups/g") }],
                        "sourcePortRange": "*", "destinationAddressPrefix": "*",
                        "destinationPortRange": "*",
                    }},
                ]}}),
            ),
            (
                "Microsoft.Network/applicationSecurityGroups/g",
                json!({ "properties": {} }),
            ),
        ],
    );
    let model = model(&estate);
    let subnet = &model.vnets[0].subnets[0];
    assert_eq!(subnet.prefix, "10.0.1.0/24".parse().unwrap());
    let names: Vec<_> = subnet.service_endpoints.iter().map(|it| it.name).collect();
    assert_eq!(names, ["Microsoft.Storage", "Microsoft.Sql"]);
    assert_eq!(subnet.nsg.as_deref(), Some("n"));
    let [r, q] = model.nsgs[0].rules.as_slice() else {
        panic!()
    };
    assert_eq!(r.destination, Peer::Any);
    assert_eq!(r.destination_ports, Ports::Ranges(vec![22..=22, 80..=90]));
    assert_eq!(q.source, Peer::Groups(vec!["g".to_owned()]));
    assert_eq!(q.protocol, RuleProtocol::Any);
}

#[test]
fn a_nic_has_its_primary_configuration_and_its_public_address_by_id() {
    let config = |name: &str, address: &str, primary: bool, pip: &str| {
        json!({ "name": name, "properties": {
            "primary": primary, "privateIPAddress": address,
            "subnet": { "id": id("virtualNetworks/v/subnets/A") },
            "publicIPAddress": { "id": id(&format!("publicIPAddresses/{pip}")) },
            "applicationSecurityGroups": [{ "id": id("applicationSecurityGroups/g") }],
        }})
    };
    let estate = of(
        host(),
        &[
            (
                "Microsoft.Network/virtualNetworks/v",
                vnet(json!({ "addressPrefix": "10.0.1.0/24" })),
            ),
            ("Microsoft.Network/applicationSecurityGroups/g", json!({})),
            (
                "Microsoft.Network/publicIPAddresses/p",
                json!({ "properties": { "ipAddress": "20.90.0.7" } }),
            ),
            (
                "Microsoft.Network/publicIPAddresses/q",
                json!({ "properties": {} }),
            ),
            (
                "Microsoft.Network/networkInterfaces/n",
                json!({
                    "tags": { "postern-namespace": "ns", "Postern-MTU": "1400", "other": "x" },
                    "properties": { "enableIPForwarding": true, "ipConfigurations": [
                        config("second", "10.0.1.9", false, "q"), config("first", "10.0.1.5", true, "p"),
                    ]},
                }),
            ),
            (
                "Microsoft.Network/networkInterfaces/m",
                json!({
                    "properties": { "ipConfigurations": [config("only", "10.0.1.6", false, "q")] },
                }),
            ),
        ],
    );
    let model = model(&estate);
    let nic = model.nic("n").unwrap();
    assert_eq!(
        nic.private_address,
        "10.0.1.5".parse::<std::net::Ipv4Addr>().unwrap()
    );
    assert_eq!(nic.public_address, "20.90.0.7".parse().ok());
    assert_eq!(
        (nic.asgs.as_slice(), nic.subnet.as_str()),
        (&["g".to_owned()][..], "a")
    );
    assert_eq!(
        (nic.device.namespace.to_string().as_str(), nic.device.mtu),
        ("ns", 1400)
    );
    assert!(nic.ip_forwarding);
    assert_eq!(model.nic("m").unwrap().public_address, None);
}

#[test]
fn tags_come_before_bindings_and_bindings_before_patterns() {
    let mut host = host();
    host["bind"] = json!([
        { "name": "*", "namespace": "by-pattern", "device": "dev0", "mtu": 1300 },
    ]);
    let nic = |tags: Value| {
        json!({ "tags": tags, "properties": { "ipConfigurations": [{ "name": "c", "properties": {
            "privateIPAddress": "10.0.1.5",
            "subnet": { "id": id("virtualNetworks/v/subnets/a") },
        }}]}})
    };
    let estate = of(
        host,
        &[
            (
                "Microsoft.Network/virtualNetworks/v",
                vnet(json!({ "addressPrefix": "10.0.1.0/24" })),
            ),
            (
                "Microsoft.Network/networkInterfaces/n",
                nic(json!({ "postern-namespace": "by-tag" })),
            ),
        ],
    );
    let bound = json!({ "namespace": "by-binding", "device": "dev1" });
    let mut stage = Stage::new(&estate, &settings(estate.host(), &CATALOG, 1));
    let bound_to = id("networkInterfaces/n").parse().unwrap();
    stage.bind(&bound_to, bound.as_object().cloned());
    let estate = stage.into_estate();
    let model = model(&estate);
    let device = &model.nics[0].device;
    let found = (
        device.namespace.to_string(),
        device.name.as_str(),
        device.mtu,
    );
    assert_eq!(found, ("by-tag".to_owned(), "dev1", 1300));
    // A tag that looks like a binding and is none is refused.
    let wrong = of(
        json!({ "location": "koreacentral" }),
        &[
            (
                "Microsoft.Network/virtualNetworks/v",
                vnet(json!({ "addressPrefix": "10.0.1.0/24" })),
            ),
            (
                "Microsoft.Network/networkInterfaces/n",
                nic(json!({ "postern-namespce": "x" })),
            ),
        ],
    );
    let errors = config::parse_table(&lower(&wrong), &CATALOG).unwrap_err();
    assert_eq!(errors[0].key, "networkInterface[0].postern-namespce");
}

#[test]
fn a_nat_gateway_has_single_addresses_and_ranges() {
    let gateway = |body: Value| {
        let subnet = json!({
            "addressPrefix": "10.0.1.0/24", "natGateway": { "id": id("natGateways/n") },
        });
        of(
            host(),
            &[
                ("Microsoft.Network/virtualNetworks/v", vnet(subnet)),
                (
                    "Microsoft.Network/publicIPAddresses/p",
                    json!({ "properties": { "ipAddress": "20.90.0.7" } }),
                ),
                (
                    "Microsoft.Network/publicIPPrefixes/x",
                    json!({ "properties": { "ipPrefix": "20.90.1.0/30", "prefixLength": 30 } }),
                ),
                (
                    "Microsoft.Network/natGateways/n",
                    json!({ "properties": body }),
                ),
            ],
        )
    };
    let both = gateway(json!({
        "publicIpAddresses": [{ "id": id("publicIPAddresses/p") }],
        "publicIpPrefixes": [{ "id": id("publicIPPrefixes/x") }],
        "idleTimeoutInMinutes": 10,
    }));
    let model = model(&both);
    let found: Vec<_> = model.nat_gateways[0]
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let wanted = [
        "20.90.0.7",
        "20.90.1.0",
        "20.90.1.1",
        "20.90.1.2",
        "20.90.1.3",
    ];
    assert_eq!(found, wanted);
    assert_eq!(model.nat_gateways[0].idle_timeout_minutes, Some(10));
    assert_eq!(model.vnets[0].subnets[0].nat_gateway.as_deref(), Some("n"));
    // Without an address it has no effect.
    let idle = super::arm::model(&gateway(json!({})));
    assert_eq!(idle.vnets[0].subnets[0].nat_gateway, None);
}

#[test]
fn a_server_without_rules_lets_nobody_in() {
    let rules = |properties: Value| {
        let estate = of(
            host(),
            &[(
                "Microsoft.Sql/servers/s",
                json!({ "location": "koreacentral", "properties": properties }),
            )],
        );
        model(&estate).services[0].resource.rules.clone()
    };
    assert_eq!(rules(json!({})).otherwise, Access::Deny);
    let one = rules(
        json!({ "firewallRules": [{ "name": "AllowAllWindowsAzureIps", "properties": {
            "startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0",
        }}]}),
    );
    assert!(matches!(one.rules[0].who, RuleCallers::AnyAzure));
}

#[test]
fn one_name_in_two_groups_is_two_resources() {
    let other =
        "/subscriptions/s/resourceGroups/other/providers/Microsoft.Network/virtualNetworks/v";
    let account = json!({ "location": "koreacentral", "properties": { "networkAcls": {
        "defaultAction": "Deny",
        "virtualNetworkRules": [{ "id": format!("{other}/subnets/a") }],
    }}});
    let subnet = json!({
        "addressPrefix": "10.0.1.0/24", "serviceEndpoints": [{ "service": "Microsoft.Storage" }],
    });
    let mut near = vnet(subnet.clone());
    near["properties"]["virtualNetworkPeerings"] = json!([
        { "name": "p", "properties": { "remoteVirtualNetwork": { "id": other } } },
        { "name": "gone", "properties": { "remoteVirtualNetwork": { "id": id("virtualNetworks/x") } } },
    ]);
    let mut far = vnet(subnet);
    far["properties"]["addressSpace"]["addressPrefixes"] = json!(["10.1.0.0/16"]);
    far["properties"]["subnets"][0]["properties"]["addressPrefix"] = json!("10.1.1.0/24");
    let mut third = vnet(json!({ "addressPrefix": "10.2.1.0/24" }));
    third["properties"]["addressSpace"]["addressPrefixes"] = json!(["10.2.0.0/16"]);
    let estate = of(
        host(),
        &[
            ("Microsoft.Network/virtualNetworks/v", near),
            (other, far),
            ("Microsoft.Network/virtualNetworks/x", third),
            ("Microsoft.Storage/storageAccounts/acc", account),
        ],
    );
    // A network that goes leaves the other side of its peering behind.
    let mut stage = Stage::new(&estate, &settings(estate.host(), &CATALOG, 1));
    let gone = id("virtualNetworks/x").parse().unwrap();
    assert!(stage.delete(&gone, &Conditions::none()).unwrap());
    stage.check().unwrap();
    let model = model(&stage.into_estate());
    let names: Vec<_> = model.vnets.iter().map(|vnet| vnet.name.as_str()).collect();
    assert_eq!(names, ["v", "v.other"]);
    assert_eq!(model.vnets[0].peerings[0].remote, "v.other");
    assert_eq!(model.vnets[0].peerings.len(), 1);
    let rule = &model.services[0].resource.rules.rules[0];
    assert_eq!(rule.who.to_string(), "v.other/a");
}

#[test]
fn a_rule_of_a_request_goes_with_its_subnet_and_that_of_the_file_stays() {
    let subnet = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/a";
    let rule = json!({ "id": subnet, "action": "Allow", "state": "NetworkSourceDeleted" });
    let acls = json!({ "defaultAction": "Deny", "virtualNetworkRules": [rule] });
    let account = json!({ "location": "koreacentral" });
    let estate = of(
        host(),
        &[("Microsoft.Storage/storageAccounts/acct", account)],
    );
    for (origin, wanted) in [(Origin::Api, 0), (Origin::File, 1)] {
        let mut parts = estate.to_parts();
        let account = &mut parts.documents[0];
        account.origin = origin;
        account.body["properties"]["networkAcls"] = acls.clone();
        let lowered = lower(&Estate::from_parts(parts));
        let rules = lowered["service"][0]["networkAcls"].get("virtualNetworkRules");
        let rules = rules.and_then(toml::Value::as_array);
        assert_eq!(rules.map_or(0, Vec::len), wanted);
    }
}
