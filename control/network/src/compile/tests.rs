use super::*;
use crate::config;
use crate::model::{NamespaceRef, Peer, RuleTag};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{Access, Direction, NextHop, RuleId, ServiceId, Tuple};
use std::path::Path;
use std::sync::{Arc, LazyLock};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

const NETWORK: &str = r#"
location = "koreacentral"
[settings]
sharedSnatIcmp = true
natGatewayFlows = 900
[timers]
udpIdle = "9s"
[internet]
namespace = "inet"
addresses = ["93.184.216.34/24"]
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[[natGateway]]
name = "nat1"
publicIPAddresses = ["65.52.1.1", "65.52.1.2"]
idleTimeoutInMinutes = 10
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "gated"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage", "Microsoft.Sql"]
networkSecurityGroup = "nsg1"
natGateway = "nat1"
[[virtualNetwork.subnet]]
name = "open"
addressPrefix = "10.0.2.0/24"
serviceEndpoints = ["Microsoft.Sql", "Microsoft.Storage"]
[[virtualNetwork.subnet]]
name = "private"
addressPrefix = "10.0.3.0/24"
defaultOutboundAccess = false
[[virtualNetwork]]
name = "VNet2"
location = "eastus"
addressPrefixes = ["10.0.0.0/8"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.0.1.0/24"
networkSecurityGroup = "nsg1"
serviceEndpoints = ["Microsoft.Storage", "Microsoft.Sql"]
[[networkInterface]]
name = "gated0"
virtualNetwork = "VNet1"
subnet = "gated"
privateIPAddress = "10.0.1.4"
publicIPAddress = "20.0.0.9"
namespace = "gated0"
mtu = 9000
[[networkInterface]]
name = "open0"
virtualNetwork = "VNet1"
subnet = "open"
privateIPAddress = "10.0.2.4"
networkSecurityGroup = "nsg1"
namespace = "open0"
[[networkInterface]]
name = "open1"
virtualNetwork = "VNet1"
subnet = "open"
privateIPAddress = "10.0.2.5"
publicIPAddress = "20.0.0.10"
namespace = "open1"
[[networkInterface]]
name = "private0"
virtualNetwork = "VNet1"
subnet = "private"
privateIPAddress = "10.0.3.4"
namespace = "private0"
enableIPForwarding = true
[[networkInterface]]
name = "twin"
virtualNetwork = "VNet2"
subnet = "s"
privateIPAddress = "10.0.1.4"
namespace = "twin"
[[networkSecurityGroup]]
name = "nsg1"
[[networkSecurityGroup.securityRule]]
name = "storage"
priority = 100
direction = "Outbound"
access = "Allow"
protocol = "Tcp"
sourceAddressPrefix = "*"
destinationAddressPrefix = "Storage.KoreaCentral"
destinationPortRange = "443"
[[networkSecurityGroup.securityRule]]
name = "no-internet"
priority = 200
direction = "Outbound"
access = "Deny"
protocol = "*"
sourceAddressPrefix = "*"
destinationAddressPrefix = "Internet"
destinationPortRange = "*"
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "20.60.16.5"
namespace = "svc"
[[service]]
name = "fabrikam"
service = "Microsoft.Sql"
address = "52.231.17.4"
namespace = "svc"
"#;

fn model(text: &str) -> Model {
    config::parse(Path::new("f.toml"), text, &CATALOG).unwrap()
}

fn compiled(text: &str) -> Compiled {
    compile(
        &model(text),
        &CATALOG,
        Epoch(7),
        &mut PortNumbers::default(),
    )
    .unwrap()
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

impl Compiled {
    fn spec(&self, name: &str) -> &PortSpec {
        self.ports.iter().find(|port| port.name == name).unwrap()
    }

    fn nic(&self, name: &str) -> &Nic {
        self.snapshot
            .nic(self.spec(&format!("nic/{name}")).id)
            .unwrap()
    }

    fn subnet(&self, nic: &str) -> &Subnet {
        self.snapshot.subnet(self.nic(nic).subnet).unwrap()
    }
}

#[test]
fn ports_have_their_kind_addresses_and_routes() {
    let compiled = compiled(NETWORK);
    let names: Vec<_> = compiled
        .ports
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "nic/gated0",
            "nic/open0",
            "nic/open1",
            "nic/private0",
            "nic/twin",
            "internet",
            "service/svc",
            "platform"
        ]
    );
    for (at, port) in compiled.ports.iter().enumerate() {
        assert_eq!(usize::from(port.id.0), at);
        assert_eq!(compiled.names.port(port.id), Some(port.name.as_str()));
    }
    let nic = compiled.spec("nic/gated0");
    assert_eq!(
        (nic.addresses.as_slice(), nic.routes.as_slice()),
        (
            [net("10.0.1.4/24")].as_slice(),
            [net("0.0.0.0/0")].as_slice()
        )
    );
    assert_eq!(
        (nic.kind, nic.mtu, nic.namespace.clone()),
        (PortKindName::Nic, 9000, NamespaceRef::Name("gated0".into()))
    );
    let internet = compiled.spec("internet");
    assert_eq!(internet.addresses, [net("93.184.216.34/24")]);
    let routes: Vec<String> = internet.routes.iter().map(ToString::to_string).collect();
    assert_eq!(
        routes,
        [
            "20.0.0.9/32",
            "20.0.0.10/32",
            "20.60.16.5/32",
            "20.200.0.1/32",
            "52.231.17.4/32",
            "65.52.1.1/32",
            "65.52.1.2/32"
        ]
    );
    let service = compiled.spec("service/svc");
    assert_eq!(
        service.addresses,
        [net("20.60.16.5/32"), net("52.231.17.4/32")]
    );
    assert_eq!(service.routes, [net("0.0.0.0/0")]);
    let platform = compiled.spec("platform");
    assert_eq!(
        platform.addresses,
        [net("168.63.129.16/32"), net("169.254.169.254/32")]
    );
    assert_eq!(platform.routes, [net("0.0.0.0/0")]);
    assert_eq!(
        (platform.kind, platform.namespace.clone()),
        (PortKindName::Platform, NamespaceRef::Own)
    );
}

#[test]
fn the_snapshot_has_epoch_settings_and_ports() {
    let compiled = compiled(NETWORK);
    let snapshot = &compiled.snapshot;
    assert_eq!(snapshot.epoch, Epoch(7));
    assert_eq!(snapshot.settings.timers.udp_idle.as_secs(), 9);
    assert_eq!(snapshot.ports.len(), 8);
    assert_eq!(snapshot.internet, Some(compiled.spec("internet").id));
    let platform = compiled.spec("platform").id;
    for host in ["168.63.129.16", "169.254.169.254"] {
        assert_eq!(snapshot.platform.get(&ip(host)), Some(&platform), "{host}");
    }
    assert_eq!(snapshot.platform.len(), 2);
    assert_eq!(
        snapshot.port(compiled.spec("nic/gated0").id).unwrap().mtu,
        9000
    );
    assert!(compiled.nic("private0").ip_forwarding && !compiled.nic("open0").ip_forwarding);
    let (one, two) = (compiled.subnet("gated0").vnet, compiled.subnet("twin").vnet);
    assert_ne!(one, two);
    let at = ip("10.0.1.4");
    assert_eq!(
        snapshot.vnet(one).unwrap().nics[&at],
        compiled.spec("nic/gated0").id
    );
    assert_eq!(
        snapshot.vnet(two).unwrap().nics[&at],
        compiled.spec("nic/twin").id
    );
}

#[test]
fn the_gateway_comes_before_the_own_address_and_that_before_the_default() {
    let compiled = compiled(NETWORK);
    let (gateway, default) = (SourceId(0), SourceId(1));
    let gated = compiled.nic("gated0");
    assert_eq!(gated.public, PublicSource::Shared(gateway));
    assert_eq!(
        gated.instance_address,
        Some(ip("20.0.0.9")),
        "inbound stays possible"
    );
    assert_eq!(
        compiled.nic("open1").public,
        PublicSource::OneToOne(ip("20.0.0.10"))
    );
    assert_eq!(compiled.nic("open0").public, PublicSource::Shared(default));
    assert_eq!(compiled.nic("private0").public, PublicSource::None);
    let shared = compiled.snapshot.source(gateway).unwrap();
    assert_eq!(shared.addresses, [ip("65.52.1.1"), ip("65.52.1.2")]);
    assert!(shared.icmp && !shared.fragments);
    assert_eq!(shared.tcp_idle, Some(std::time::Duration::from_secs(600)));
    assert!(shared.resets_unknown);
    let limits = |shared: &SharedSource| (shared.max_flows_per_destination, shared.max_flows);
    assert_eq!(limits(shared), (Some(50_000), Some(900)));
    let outbound = compiled.snapshot.source(default).unwrap();
    assert!(outbound.tcp_idle.is_none() && !outbound.resets_unknown);
    assert_eq!(limits(outbound), (None, None));
    assert_eq!(shared.max_flows_per_guest, None);
    assert_eq!(outbound.max_flows_per_guest, Some(1024));
    let publics = &compiled.snapshot.publics;
    assert_eq!(publics.len(), 5);
    assert_eq!(publics[&ip("65.52.1.2")], PublicAddress::Shared(gateway));
    assert_eq!(publics[&ip("20.200.0.1")], PublicAddress::Shared(default));
    assert_eq!(
        publics[&ip("20.0.0.9")],
        PublicAddress::OneToOne(compiled.spec("nic/gated0").id)
    );
}

#[test]
fn services_of_a_namespace_share_the_port() {
    let compiled = compiled(NETWORK);
    let port = compiled.spec("service/svc").id;
    let (storage, sql) = (ServiceId(0), ServiceId(1));
    let services = &compiled.snapshot.services;
    assert_eq!(
        services[&ip("20.60.16.5")],
        ServiceAddress {
            port,
            service: storage,
            delivery: Delivery::Native,
        }
    );
    assert_eq!(
        services[&ip("52.231.17.4")],
        ServiceAddress {
            port,
            service: sql,
            delivery: Delivery::Native,
        }
    );
    assert_eq!(compiled.names.service(sql), Some("Microsoft.Sql"));
}

#[test]
fn endpoints_cover_their_locations() {
    let compiled = compiled(NETWORK);
    let endpoints = &compiled.subnet("gated0").endpoints;
    let service = |at: &str| endpoints.lookup(ip(at)).map(|entry| entry.service);
    assert_eq!(service("20.60.16.5"), Some(ServiceId(0)), "the region");
    assert_eq!(service("20.60.45.5"), Some(ServiceId(0)), "its pair");
    assert_eq!(service("52.231.17.4"), Some(ServiceId(1)));
    for at in ["8.8.8.8", "10.0.1.5"] {
        assert_eq!(service(at), None, "{at}");
    }
    let japan = CATALOG.tag("Storage.JapanEast").unwrap().prefixes[0].network();
    assert_eq!(endpoints.lookup(japan), None, "another region");
    let sql = CATALOG.tag("Sql.KoreaSouth").unwrap().prefixes[0].network();
    assert_eq!(
        endpoints.lookup(sql),
        None,
        "the pair counts for storage only"
    );
    assert!(compiled.subnet("private0").endpoints.is_empty());
}

#[test]
fn subnets_with_the_same_endpoints_in_one_place_share_a_table() {
    let compiled = compiled(NETWORK);
    let table = |nic| &compiled.subnet(nic).endpoints;
    assert!(Arc::ptr_eq(table("gated0"), table("open0")));
    assert!(
        !Arc::ptr_eq(table("gated0"), table("twin")),
        "another region"
    );
    assert!(Arc::ptr_eq(
        &compiled.subnet("gated0").routes,
        &compiled.subnet("open0").routes
    ));
}

#[test]
fn global_storage_covers_every_region() {
    let text = NETWORK.replacen(
        "\"Microsoft.Storage\", ",
        "\"Microsoft.Storage.Global\", ",
        1,
    );
    let compiled = compiled(&text);
    let japan = CATALOG.tag("Storage.JapanEast").unwrap().prefixes[0].network();
    let entry = compiled.subnet("gated0").endpoints.lookup(japan).unwrap();
    assert_eq!(entry.service, ServiceId(0));
}

#[test]
fn the_longest_route_decides() {
    let compiled = compiled(NETWORK);
    let next_hop =
        |nic: &str, at: &str| compiled.subnet(nic).routes.lookup(ip(at)).unwrap().next_hop;
    assert_eq!(next_hop("gated0", "10.0.9.9"), NextHop::VnetLocal);
    assert_eq!(next_hop("gated0", "10.1.0.1"), NextHop::None);
    assert_eq!(next_hop("twin", "10.1.0.1"), NextHop::VnetLocal);
    assert_eq!(next_hop("gated0", "20.60.16.5"), NextHop::Internet);
}

fn vnet_tags(space: &[&str]) -> VnetTags {
    let vnet = crate::model::VirtualNetwork {
        name: "v".into(),
        location: crate::catalog::Location::new("eastus"),
        scope: crate::model::Scope::default(),
        address_prefixes: space.iter().map(|prefix| net(prefix)).collect(),
        flow_timeout: None,
        subnets: Vec::new(),
        peerings: Vec::new(),
    };
    VnetTags::with_routed(&Model::default(), &vnet, &[])
}

fn expanded(tag: RuleTag, space: &[&str]) -> Vec<String> {
    let set = Tags::new(&CATALOG)
        .expand(&Peer::Tag(tag), &vnet_tags(space))
        .unwrap();
    prefixes(&set).iter().map(ToString::to_string).collect()
}

#[test]
fn internet_collapses_to_the_published_prefixes() {
    for space in [&[][..], &["10.0.0.0/8"], &["10.0.0.0/16"]] {
        let internet = expanded(RuleTag::Internet, space);
        assert_eq!(internet.len(), 74, "{space:?}");
        let published = [
            "1.0.0.0/8",
            "2.0.0.0/7",
            "4.0.0.0/6",
            "8.0.0.0/7",
            "11.0.0.0/8",
            "12.0.0.0/6",
        ];
        assert_eq!(internet[..6], published);
    }
}

#[test]
fn a_network_with_public_addresses_takes_them_out_of_internet() {
    let internet = expanded(RuleTag::Internet, &["1.0.0.0/9"]);
    assert_eq!(internet[0], "1.128.0.0/9");
    assert_eq!(
        expanded(RuleTag::VirtualNetwork, &["1.0.0.0/9"]),
        ["1.0.0.0/9", "168.63.129.16/32"]
    );
    assert_eq!(
        expanded(RuleTag::AzureLoadBalancer, &["1.0.0.0/9"]),
        ["168.63.129.16/32"]
    );
}

/// Decides an outbound TCP SYN by a subnet's group; gives the access and the rule.
fn decide(compiled: &Compiled, nic: &str, to: &str, port: u16) -> (Access, String) {
    let nsg = compiled.subnet(nic).nsg.as_ref().unwrap();
    let decision = nsg.evaluate(
        Direction::Outbound,
        &Tuple {
            protocol: 6,
            source: ip("10.0.1.4"),
            source_port: 40000,
            destination: ip(to),
            destination_port: port,
        },
    );
    (
        decision.access,
        compiled
            .names
            .rule(decision.rule.unwrap())
            .unwrap()
            .to_string(),
    )
}

#[test]
fn rules_expand_tags_and_default_rules_follow() {
    let compiled = compiled(NETWORK);
    let allow = |rule: &str| (Access::Allow, format!("nsg1/{rule}"));
    let deny = |rule: &str| (Access::Deny, format!("nsg1/{rule}"));
    let decide = |to, port| decide(&compiled, "gated0", to, port);
    assert_eq!(decide("20.60.16.5", 443), allow("securityRules/storage"));
    assert_eq!(decide("20.60.16.5", 80), deny("securityRules/no-internet"));
    assert_eq!(
        decide("20.60.45.5", 443),
        deny("securityRules/no-internet"),
        "KoreaSouth"
    );
    assert_eq!(
        decide("10.0.2.5", 22),
        allow("defaultSecurityRules/AllowVnetOutBound")
    );
    assert_eq!(
        decide("10.9.0.1", 22),
        deny("defaultSecurityRules/DenyAllOutBound")
    );
}

#[test]
fn a_group_means_the_network_that_it_is_used_in() {
    let compiled = compiled(NETWORK);
    let vnet2 = decide(&compiled, "twin", "10.9.0.1", 22);
    assert_eq!(
        vnet2,
        (
            Access::Allow,
            "nsg1/defaultSecurityRules/AllowVnetOutBound".into()
        )
    );
    let (subnet, nic) = (compiled.subnet("gated0"), compiled.nic("open0"));
    assert!(Arc::ptr_eq(
        subnet.nsg.as_ref().unwrap(),
        nic.nsg.as_ref().unwrap()
    ));
    assert!(compiled.subnet("open0").nsg.is_none() && compiled.nic("gated0").nsg.is_none());
}

#[test]
fn numbers_stay_from_policy_to_policy() {
    let mut numbers = PortNumbers::default();
    let first = compile(&model(NETWORK), &CATALOG, Epoch(1), &mut numbers).unwrap();
    let mut smaller = model(NETWORK);
    smaller.nics.remove(0);
    let rule = smaller.nsgs[0].rules.remove(0);
    let second = compile(&smaller, &CATALOG, Epoch(2), &mut numbers).unwrap();
    for port in &second.ports {
        assert_eq!(first.spec(&port.name).id, port.id, "{}", port.name);
    }
    assert!(
        second.snapshot.ports[0].is_none(),
        "the number of the NIC that left rests"
    );
    let number = (0..).map(RuleId).find(|id| {
        first
            .names
            .rule(*id)
            .is_some_and(|name| name.rule.ends_with(&rule.name))
    });
    let name = second.names.rule(number.unwrap()).unwrap();
    assert_eq!(
        name.rule, "securityRules/storage",
        "a flow of before can still be explained"
    );
}

#[test]
fn an_empty_model_compiles_to_the_platform_alone() {
    let compiled = compiled("");
    let names: Vec<_> = compiled.ports.iter().map(|port| &port.name).collect();
    assert_eq!(names, ["platform"]);
    assert_eq!(compiled.snapshot.ports.len(), 1);
    assert_eq!(compiled.snapshot.internet, None);
}

#[test]
fn a_tag_that_went_away_is_an_error_and_not_an_empty_rule() {
    let tags = r#"{"changeNumber":1,"cloud":"P","values":[{"name":"Sql","id":"Sql","properties":
        {"changeNumber":1,"region":"","addressPrefixes":["52.231.17.0/24"]}}]}"#;
    let catalog = Catalog::from_bytes("small.json", tags.as_bytes()).unwrap();
    let error = compile(
        &model(NETWORK),
        &catalog,
        Epoch(1),
        &mut PortNumbers::default(),
    );
    let wanted = missing("service tag", "Storage.KoreaCentral");
    assert_eq!(error.unwrap_err(), wanted);
}

#[test]
fn of_equal_prefixes_the_first_service_name_stands_and_longer_ones_win() {
    let tag = |name: &str, prefixes: &str| {
        format!(
            r#"{{"name":"{name}","id":"{name}","properties":{{"changeNumber":1,"region":"",
                "addressPrefixes":[{prefixes}]}}}}"#
        )
    };
    let tags = [
        tag("Sql", r#""40.0.0.0/24","41.0.0.0/25""#),
        tag("EventHub", r#""40.0.0.0/24","41.0.0.0/24""#),
        tag("ServiceBus", r#""40.0.0.0/24","40.0.0.128/25""#),
    ];
    let text = format!(
        r#"{{"changeNumber":1,"cloud":"P","values":[{}]}}"#,
        tags.join(",")
    );
    let catalog = Catalog::from_bytes("small.json", text.as_bytes()).unwrap();
    let text = r#"
        [[virtualNetwork]]
        name = "v"
        location = "eastus"
        addressPrefixes = ["10.0.0.0/16"]
        [[virtualNetwork.subnet]]
        name = "s"
        addressPrefix = "10.0.0.0/24"
        serviceEndpoints = ["Microsoft.Sql", "Microsoft.EventHub", "Microsoft.ServiceBus"]
    "#;
    let model = config::parse(Path::new("f.toml"), text, &catalog).unwrap();
    let compiled = compile(&model, &catalog, Epoch(1), &mut PortNumbers::default()).unwrap();
    let endpoints = &compiled.snapshot.subnets[0].endpoints;
    for (at, wanted) in [
        ("40.0.0.1", "Microsoft.EventHub"),
        ("40.0.0.129", "Microsoft.ServiceBus"),
        ("41.0.0.1", "Microsoft.Sql"),
        ("41.0.0.129", "Microsoft.EventHub"),
    ] {
        let service = endpoints.lookup(ip(at)).unwrap().service;
        assert_eq!(compiled.names.service(service), Some(wanted), "{at}");
    }
}

#[test]
fn a_subnet_has_its_keys_and_the_number_of_its_region() {
    let compiled = compiled(NETWORK);
    let identity = |nic: &str| {
        let subnet = compiled.nic(nic).subnet;
        let identity = compiled.snapshot.subnet(subnet).unwrap().identity;
        (identity.vnet.get(), identity.subnet.get(), identity.region)
    };
    assert_eq!(identity("gated0"), (1, 1, 26));
    assert_eq!(identity("open1"), (1, 2, 26));
    assert_eq!(identity("private0"), (1, 3, 26));
}

#[test]
fn a_service_over_ipv6_has_its_code_and_region_and_a_port_for_identities() {
    let native = compiled(NETWORK);
    assert!(!native.spec("service/svc").has_identities);
    let text = NETWORK.replace(
        "address = \"52.231.17.4\"",
        "address = \"52.231.17.4\"\ndelivery = \"st6\"",
    );
    let compiled = compiled(&text);
    assert!(compiled.spec("service/svc").has_identities);
    assert!(!compiled.spec("internet").has_identities);
    let services = &compiled.snapshot.services;
    assert_eq!(services[&ip("20.60.16.5")].delivery, Delivery::Native);
    let Delivery::Tunnel(prefix) = services[&ip("52.231.17.4")].delivery else {
        panic!("not over IPv6");
    };
    let address = prefix.address(ip("52.231.17.4"));
    assert_eq!(
        address.segments()[..3],
        [0xfd41, 2, 26],
        "Sql in koreacentral"
    );
}

#[test]
fn services_have_the_codes_of_the_wire() {
    let codes: Vec<_> = [
        "Microsoft.Storage",
        "Microsoft.Sql",
        "Microsoft.AzureCosmosDB",
        "Microsoft.KeyVault",
        "Microsoft.ServiceBus",
        "Microsoft.EventHub",
        "Microsoft.AzureActiveDirectory",
        "Microsoft.Web",
        "Microsoft.ContainerRegistry",
        "Microsoft.CognitiveServices",
    ]
    .map(|name| {
        crate::catalog::Service::find(name)
            .unwrap()
            .code()
            .unwrap()
            .get()
    })
    .into();
    assert_eq!(codes, (1..=10).collect::<Vec<u16>>());
    let global = crate::catalog::Service::find("Microsoft.Storage.Global").unwrap();
    assert_eq!(global.code().unwrap().get(), 1);
}
