//! Route tables, peerings and gateways.

use super::*;
use crate::model::{Destination, LearnedRoutes, RouteProtocol, UserNextHop, VsePrecedence};

/// What is appended to the good configuration; the cases below spoil it in one place.
const ROUTING: &str = r#"
[[virtualNetwork]]
name = "VNet2"
addressPrefixes = ["10.2.0.0/16"]
[[virtualNetwork.peering]]
remote = "vnet3"
allowForwardedTraffic = true
[[virtualNetwork.subnet]]
name = "GatewaySubnet"
addressPrefix = "10.2.0.0/24"
routeTable = "RT1"
[[virtualNetwork]]
name = "VNet3"
addressPrefixes = ["10.3.0.0/16"]
[[virtualNetwork.peering]]
remote = "VNet2"
[[gateway]]
name = "vpn"
virtualNetwork = "VNet2"
addressPrefixes = ["192.168.0.0/16"]
addresses = ["192.168.7.1/24"]
namespace = "onprem"
[[routeTable]]
name = "rt1"
disableBgpRoutePropagation = false
[[routeTable.route]]
name = "all"
addressPrefix = "0.0.0.0/0"
nextHopType = "virtualappliance"
nextHopIpAddress = "10.0.1.4"
[[routeTable.route]]
name = "storage"
addressPrefix = "storage.koreacentral"
nextHopType = "None"
"#;

/// Returns the error lines of the file with `from` replaced by `to` once.
fn spoiled(from: &str, to: &str) -> Vec<String> {
    assert!(ROUTING.contains(from), "the case does not apply: {from}");
    let text = GOOD.to_owned() + &ROUTING.replacen(from, to, 1);
    let error = read(&text).expect_err(to).to_string();
    error.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_spoiled(cases: &[(&str, &str, &str)]) {
    for (from, to, wanted) in cases {
        let lines = spoiled(from, to);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let line = &lines[0];
        assert!(
            line.starts_with(&format!("f.toml: {wanted}")),
            "{to}: {line}"
        );
        assert!(line.contains("; accepted: "), "{line}");
    }
}

#[test]
fn tables_peerings_and_gateways_are_read() {
    let settings = "[settings]\nvsePrecedence = \"Tie\"\n[internet]";
    let model = read(&(GOOD.replacen("[internet]", settings, 1) + ROUTING)).unwrap();
    assert_eq!(model.settings.vse_precedence, VsePrecedence::Tie);
    let table = model.route_table("RT1").unwrap();
    assert!(!table.disable_bgp_route_propagation);
    let appliance = UserNextHop::VirtualAppliance("10.0.1.4".parse().unwrap());
    assert_eq!(table.routes[0].next_hop, appliance);
    assert_eq!(
        table.routes[1].destination,
        Destination::Tag("Storage.KoreaCentral".into())
    );
    let vnet = model.vnet("VNet2").unwrap();
    assert_eq!(vnet.subnets[0].route_table.as_deref(), Some("rt1"));
    assert_eq!(vnet.peerings[0].remote, "VNet3");
    let takes_forwarded = |vnet: &str| {
        let vnet = model.vnet(vnet).unwrap();
        model
            .peers(vnet)
            .map(|peer| peer.takes_forwarded)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (takes_forwarded("VNet2"), takes_forwarded("VNet3")),
        (vec![false], vec![true])
    );
    assert_eq!(model.gateway_of(vnet).unwrap().name, "vpn");
}

#[test]
fn routes_name_a_destination_and_a_next_hop_that_fit() {
    assert_spoiled(&[
        (
            "nextHopType = \"None\"",
            "nextHopType = \"VirtualNetworkServiceEndpoint\"",
            "routeTable[0].route[1].nextHopType = \"VirtualNetworkServiceEndpoint\": only the platform makes routes of this type; accepted: \"VirtualNetworkGateway\", \"VnetLocal\",",
        ),
        (
            "nextHopType = \"None\"",
            "nextHopType = \"vnetpeering\"",
            "routeTable[0].route[1].nextHopType = \"vnetpeering\": only the platform makes",
        ),
        (
            "nextHopType = \"None\"",
            "nextHopType = \"Blackhole\"",
            "routeTable[0].route[1].nextHopType = \"Blackhole\": not a value of this key;",
        ),
        (
            "nextHopIpAddress = \"10.0.1.4\"\n",
            "",
            "routeTable[0].route[0].nextHopIpAddress: missing; accepted: the private IPv4 address of a NIC",
        ),
        (
            "nextHopType = \"None\"",
            "nextHopType = \"None\"\nnextHopIpAddress = \"10.0.1.4\"",
            "routeTable[0].route[1].nextHopIpAddress = \"10.0.1.4\": only a route whose nextHopType is \"VirtualAppliance\" has one;",
        ),
        (
            "nextHopType = \"None\"\n",
            "",
            "routeTable[0].route[1].nextHopType: missing;",
        ),
        (
            "addressPrefix = \"0.0.0.0/0\"",
            "addressPrefix = \"10.0.0.1/8\"",
            "routeTable[0].route[0].addressPrefix = \"10.0.0.1/8\": bits are set behind",
        ),
        (
            "\"storage.koreacentral\"",
            "\"storage.mars\"",
            "routeTable[0].route[1].addressPrefix = \"storage.mars\": neither a prefix nor a service tag of ",
        ),
        (
            "\"storage.koreacentral\"",
            "\"0.0.0.0/0\"",
            "routeTable[0].route[1].addressPrefix = \"0.0.0.0/0\": routeTable[0].route[0].name has the same destination;",
        ),
        (
            "name = \"storage\"",
            "name = \"ALL\"",
            "routeTable[0].route[1].name = \"ALL\": routeTable[0].route[0].name has the same name;",
        ),
        (
            "routeTable = \"RT1\"",
            "routeTable = \"rt9\"",
            "virtualNetwork[1].subnet[0].routeTable = \"rt9\": there is no such routeTable; accepted: rt1",
        ),
        (
            "disableBgpRoutePropagation = false",
            "disableBgpRoutePropagation = true",
            "virtualNetwork[1].subnet[0].routeTable = \"RT1\": the table has disableBgpRoutePropagation, which the subnet of a gateway must not have;",
        ),
    ]);
    let policy = "[settings]\nvsePrecedence = \"lpm\"\n";
    let error = read(policy).unwrap_err().to_string();
    let wanted = "settings.vsePrecedence = \"lpm\": not a value of this key; accepted: \"strict\", \"tie\" or \"observed\"";
    assert!(error.ends_with(wanted), "{error}");
}

#[test]
fn tables_and_tag_routes_are_limited() {
    let routes = |count: usize, prefix: &dyn Fn(usize) -> String| -> String {
        let route = |at| {
            format!(
                "[[routeTable.route]]\nname = \"r{at}\"\naddressPrefix = \"{}\"\n\
                 nextHopType = \"None\"\n",
                prefix(at)
            )
        };
        (0..count).map(route).collect()
    };
    let table = "[[routeTable]]\nname = \"t\"\n";
    let prefix = |at: usize| format!("10.{}.{}.0/24", at / 256, at % 256);
    read(&(table.to_owned() + &routes(400, &prefix))).unwrap();
    let error = read(&(table.to_owned() + &routes(401, &prefix))).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("401 are too many; accepted: at most 400"),
        "{error}"
    );
    let tags: Vec<_> = CATALOG.tags().iter().map(|tag| tag.name.clone()).collect();
    assert!(tags.len() > 25, "the bundled file has enough tags");
    let tag = |at: usize| tags[at].clone();
    read(&(table.to_owned() + &routes(25, &tag))).unwrap();
    let error = read(&(table.to_owned() + &routes(26, &tag))).unwrap_err();
    let wanted = "26 routes with service tags are too many; accepted: at most 25";
    assert!(error.to_string().ends_with(wanted), "{error}");
    let tables: String = (0..201)
        .map(|at| format!("[[routeTable]]\nname = \"t{at}\"\n"))
        .collect();
    let error = read(&tables).unwrap_err().to_string();
    assert!(
        error.ends_with("201 are too many; accepted: at most 200"),
        "{error}"
    );
}

#[test]
fn peerings_lead_to_other_networks_with_other_addresses() {
    assert_spoiled(&[
        (
            "remote = \"vnet3\"",
            "remote = \"VNet9\"",
            "virtualNetwork[1].peering[0].remote = \"VNet9\": there is no such virtualNetwork; accepted: VNet1, VNet2, VNet3",
        ),
        (
            "remote = \"vnet3\"",
            "remote = \"vnet2\"",
            "virtualNetwork[1].peering[0].remote = \"vnet2\": a virtual network cannot be peered with itself;",
        ),
        (
            "remote = \"VNet2\"",
            "remote = \"VNet2\"\n[[virtualNetwork.peering]]\nremote = \"vnet2\"",
            "virtualNetwork[2].peering[1].remote = \"vnet2\": virtualNetwork[2].peering[0].remote leads there too;",
        ),
        (
            "remote = \"VNet2\"",
            "remote = \"VNet2\"\nallowGatewayTransit = true",
            "virtualNetwork[2].peering[0].allowGatewayTransit = true: unknown key;",
        ),
    ]);
    let lines = spoiled("\"10.3.0.0/16\"", "\"10.3.0.0/16\", \"10.2.128.0/17\"");
    assert_eq!(lines.len(), 2, "from both sides: {lines:#?}");
    let wanted = "f.toml: virtualNetwork[1].peering[0].remote = \"VNet3\": VnetAddressSpacesOverlap: VNet3 and VNet2 cannot be peered because their address spaces overlap (10.2.128.0/17, 10.2.0.0/16); accepted:";
    assert!(lines[0].starts_with(wanted), "{}", lines[0]);
}

#[test]
fn two_peers_of_one_network_must_not_meet_either() {
    let lines = spoiled(
        "name = \"VNet3\"\naddressPrefixes = [\"10.3.0.0/16\"]",
        "name = \"VNet3\"\naddressPrefixes = [\"10.3.0.0/16\"]\n[[virtualNetwork]]\nname = \"VNet4\"\n\
         addressPrefixes = [\"10.0.0.0/17\"]\n[[virtualNetwork.peering]]\nremote = \"VNet1\"",
    );
    assert!(
        lines[0].contains("VNet1 and VNet4 cannot be peered"),
        "{lines:#?}"
    );
    let lines = spoiled(
        "[[virtualNetwork]]\nname = \"VNet3\"",
        "[[virtualNetwork.peering]]\nremote = \"VNet1\"\n[[virtualNetwork.peering]]\n\
         remote = \"VNet4\"\n[[virtualNetwork]]\nname = \"VNet4\"\n\
         addressPrefixes = [\"10.0.0.0/17\"]\n[[virtualNetwork]]\nname = \"VNet3\"",
    );
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("VNet4 and VNet1 cannot be peered"),
        "{lines:#?}"
    );
}

#[test]
fn a_network_has_one_gateway() {
    assert_spoiled(&[
        (
            "[[routeTable]]",
            "[[gateway]]\nname = \"second\"\nvirtualNetwork = \"vnet2\"\nnamespace = \"x\"\n[[routeTable]]",
            "gateway[1].virtualNetwork = \"vnet2\": gateway[0].virtualNetwork has a gateway for the network;",
        ),
        (
            "[\"192.168.0.0/16\"]",
            "[\"192.168.0.1/16\"]",
            "gateway[0].addressPrefixes[0] = \"192.168.0.1/16\": bits are set behind",
        ),
        (
            "namespace = \"onprem\"",
            "namespace = \"vm0\"",
            "gateway[0].namespace = \"vm0\": networkInterface[0].namespace is in the same namespace;",
        ),
    ]);
}

/// What the gateway of the good configuration learns when this is written into it.
fn learned(text: &str) -> Option<LearnedRoutes> {
    let gateway = format!("name = \"vpn\"\n{text}\n");
    let text = GOOD.to_owned() + &ROUTING.replacen("name = \"vpn\"\n", &gateway, 1);
    read(&text).unwrap().gateways[0].learned_routes.clone()
}

#[test]
fn a_gateway_learns_from_a_table_of_the_kernel() {
    assert_eq!(learned(""), None);
    let main = LearnedRoutes {
        table: 254,
        protocols: Vec::new(),
    };
    assert!(main.takes(RouteProtocol(12)) && !main.takes(RouteProtocol(4)));
    assert_eq!(learned("learnedRoutes = {}"), Some(main));
    let some = LearnedRoutes {
        table: 100,
        protocols: vec![RouteProtocol(4), RouteProtocol(12), RouteProtocol(196)],
    };
    assert_eq!(some.to_string(), "table 100 [static, bird, 196]");
    let text =
        "learnedRoutes = { table = 100, protocols = [\"BIRD\", \"196\", \"static\", \"bird\"] }";
    assert_eq!(learned(text), Some(some));
}

#[test]
fn what_a_gateway_cannot_learn_is_refused() {
    let to = |value: &str| format!("namespace = \"onprem\"\nlearnedRoutes = {value}");
    for (value, wanted) in [
        (
            "{ protocols = [\"kernel\"] }",
            "learnedRoutes.protocols[0] = \"kernel\": not a value of this key;",
        ),
        (
            "{ protocols = [\"2\"] }",
            "learnedRoutes.protocols[0] = \"2\": not a value of this key;",
        ),
        (
            "{ table = 0 }",
            "learnedRoutes.table = 0: out of range; accepted: 1 to 4294967295",
        ),
        (
            "{ tables = 254 }",
            "learnedRoutes.tables = 254: unknown key; accepted: table, protocols",
        ),
        (
            "true",
            "learnedRoutes = true: not a value of this key; accepted: a table",
        ),
    ] {
        let lines = spoiled("namespace = \"onprem\"", &to(value));
        assert_eq!(lines, [lines[0].clone()]);
        let wanted = format!("f.toml: gateway[0].{wanted}");
        assert!(lines[0].starts_with(&wanted), "{}", lines[0]);
    }
}
