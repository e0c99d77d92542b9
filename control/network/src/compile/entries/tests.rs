//! Route choice, from the file to the decision of the packet path.

use super::*;
use crate::compile::{Compiled, PortNumbers, compile};
use crate::config;
use crate::diagnose::effective_routes;
use postern_dataplane::engine::RouteKind;
use postern_dataplane::engine::evaluate::{NsgMode, Request};
use postern_dataplane::policy::{Epoch, Tuple};
use postern_dataplane::stats::DropReason;
use std::path::Path;

mod learned;

/// Storage has 52.239.0.0/17 in the region of the example of section 3.7.
fn catalog() -> Catalog {
    let tag = |name: &str, region: &str, prefixes: &str| {
        format!(
            r#"{{"name":"{name}","id":"{name}","properties":{{"changeNumber":1,
                "region":"{region}","addressPrefixes":[{prefixes}]}}}}"#
        )
    };
    let tags = [
        tag("Storage", "", r#""52.239.0.0/17","20.60.1.0/24""#),
        tag("Storage.EastUS", "eastus", r#""52.239.0.0/17""#),
        tag("Storage.WestUS", "westus", r#""20.60.1.0/24""#),
        tag("AzureCloud", "", r#""20.60.1.0/24","51.0.0.0/16""#),
        tag("AzureCloud.eastus", "eastus", r#""51.0.0.0/16""#),
    ];
    let text = format!(
        r#"{{"changeNumber":1,"cloud":"P","values":[{}]}}"#,
        tags.join(",")
    );
    Catalog::from_bytes("small.json", text.as_bytes()).unwrap()
}

/// The worked example of section 3.7; further routes of its table are appended.
const EXAMPLE: &str = r#"
location = "eastus"
[settings]
vsePrecedence = "POLICY"
[internet]
namespace = "inet"
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[[gateway]]
name = "vpn"
virtualNetwork = "hub"
addressPrefixes = ["52.239.64.0/18", "192.168.7.0/24"]
namespace = "onprem"
[[virtualNetwork]]
name = "hub"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "work"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage"]
routeTable = "forced"
[[virtualNetwork.subnet]]
name = "fw"
addressPrefix = "10.0.9.0/24"
[[virtualNetwork.peering]]
remote = "spoke"
[[virtualNetwork]]
name = "spoke"
location = "westus"
addressPrefixes = ["10.1.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.1.0.0/24"
[[virtualNetwork.peering]]
remote = "hub"
[[networkInterface]]
name = "vm"
virtualNetwork = "hub"
subnet = "work"
privateIPAddress = "10.0.1.4"
namespace = "vm"
[[networkInterface]]
name = "nva"
virtualNetwork = "hub"
subnet = "fw"
privateIPAddress = "10.0.9.4"
enableIPForwarding = true
namespace = "nva"
[[networkInterface]]
name = "far"
virtualNetwork = "spoke"
subnet = "s"
privateIPAddress = "10.1.0.7"
namespace = "far"
[[service]]
name = "a"
service = "Microsoft.Storage"
address = "52.239.1.1"
namespace = "svc"
[[service]]
name = "b"
service = "Microsoft.Storage"
address = "52.239.8.5"
namespace = "svc"
[[service]]
name = "c"
service = "Microsoft.Storage"
address = "52.239.70.1"
namespace = "svc"
[[routeTable]]
name = "forced"
[[routeTable.route]]
name = "all"
addressPrefix = "0.0.0.0/0"
nextHopType = "VirtualAppliance"
nextHopIpAddress = "10.0.9.4"
[[routeTable.route]]
name = "some"
addressPrefix = "52.239.8.0/24"
nextHopType = "VirtualAppliance"
nextHopIpAddress = "10.0.9.4"
"#;

const POLICIES: [&str; 3] = ["strict", "tie", "observed"];

fn example(policy: &str, more: &str) -> String {
    EXAMPLE.replace("POLICY", policy) + more
}

fn model(text: &str) -> Model {
    config::parse(Path::new("f.toml"), text, &catalog()).unwrap()
}

fn compiled(text: &str) -> Compiled {
    let numbers = &mut PortNumbers::default();
    compile(&model(text), &catalog(), Epoch(1), numbers).unwrap()
}

/// Where the first packet of a flow from a port goes: the kind of route and the port, or why not.
fn decide(
    compiled: &Compiled,
    from: &str,
    source: &str,
    to: &str,
    protocol: u8,
) -> Result<(RouteKind, String), DropReason> {
    let port = compiled
        .ports
        .iter()
        .find(|port| port.name == from)
        .unwrap();
    let path = Request {
        snapshot: &compiled.snapshot,
        ingress: port.id,
        tuple: Tuple {
            protocol,
            source: source.parse().unwrap(),
            source_port: 40000,
            destination: to.parse().unwrap(),
            destination_port: 443,
        },
        is_fragment: false,
        nsg: NsgMode::Enforce,
    }
    .evaluate();
    path.map(|path| {
        let egress = compiled.names.port(path.egress).unwrap().to_owned();
        (path.route, egress)
    })
    .map_err(|denied| denied.reason)
}

fn tcp(compiled: &Compiled, to: &str) -> Result<(RouteKind, String), DropReason> {
    decide(compiled, "nic/vm", "10.0.1.4", to, 6)
}

fn endpoint() -> Result<(RouteKind, String), DropReason> {
    Ok((RouteKind::ServiceEndpoint, "service/svc".to_owned()))
}

fn appliance() -> Result<(RouteKind, String), DropReason> {
    Ok((RouteKind::VirtualAppliance, "nic/nva".to_owned()))
}

fn gateway() -> Result<(RouteKind, String), DropReason> {
    Ok((RouteKind::VirtualNetworkGateway, "gateway/vpn".to_owned()))
}

#[test]
fn t11_the_worked_example_has_its_numbers_under_each_policy() {
    for policy in POLICIES {
        let compiled = compiled(&example(policy, ""));
        let some = if policy == "strict" {
            endpoint()
        } else {
            appliance()
        };
        let peer = Ok((RouteKind::VnetPeering, "nic/far".to_owned()));
        for (to, wanted) in [
            ("52.239.1.1", endpoint()),
            ("52.239.8.5", some),
            ("52.239.70.1", endpoint()),
            ("8.8.8.8", appliance()),
            ("10.2.3.4", appliance()),
            ("10.1.0.7", peer),
            ("10.0.9.4", Ok((RouteKind::VnetLocal, "nic/nva".to_owned()))),
            ("192.168.7.1", gateway()),
        ] {
            assert_eq!(tcp(&compiled, to), wanted, "{policy} {to}");
        }
        // What is not TCP does not ride the endpoint, and then the gateway's route counts.
        let udp = decide(&compiled, "nic/vm", "10.0.1.4", "52.239.70.1", 17);
        assert_eq!(udp, gateway(), "{policy}");
    }
}

#[test]
fn t09_without_the_endpoint_everything_follows_the_users_route() {
    let text = example("strict", "").replace("serviceEndpoints = [\"Microsoft.Storage\"]", "");
    let compiled = compiled(&text);
    for to in ["52.239.1.1", "52.239.8.5", "8.8.8.8", "10.2.3.4"] {
        assert_eq!(tcp(&compiled, to), appliance(), "{to}");
    }
    assert_eq!(tcp(&compiled, "52.239.70.1"), gateway());
}

fn route(name: &str, prefix: &str, hop: &str) -> String {
    let address = if hop == "VirtualAppliance" {
        "nextHopIpAddress = \"10.0.9.4\"\n"
    } else {
        ""
    };
    format!(
        "[[routeTable.route]]\nname = \"{name}\"\naddressPrefix = \"{prefix}\"\n\
         nextHopType = \"{hop}\"\n{address}"
    )
}

#[test]
fn on_an_equal_prefix_only_the_observed_policy_lets_some_routes_win() {
    let internet = Ok((RouteKind::Internet, "service/svc".to_owned()));
    for policy in POLICIES {
        for hop in [
            "VirtualAppliance",
            "VirtualNetworkGateway",
            "None",
            "Internet",
        ] {
            let compiled = compiled(&example(policy, &route("equal", "52.239.0.0/17", hop)));
            let wanted = match (policy, hop) {
                ("observed", "VirtualAppliance") => appliance(),
                ("observed", "VirtualNetworkGateway") => gateway(),
                ("observed", "None") => Err(DropReason::RouteNone),
                _ => endpoint(),
            };
            assert_eq!(tcp(&compiled, "52.239.1.1"), wanted, "{policy} {hop}");
        }
        let longer = compiled(&example(policy, &route("x", "52.239.1.0/24", "Internet")));
        let wanted = match policy {
            "tie" => internet.clone(),
            _ => endpoint(),
        };
        assert_eq!(
            tcp(&longer, "52.239.1.1"),
            wanted,
            "{policy}: to the Internet"
        );
    }
}

#[test]
fn gateway_prefixes_inside_a_network_never_count() {
    let text = example("strict", "").replace("192.168.7.0/24", "10.1.0.0/25\", \"10.0.9.4/32");
    let compiled = compiled(&text);
    assert_eq!(
        tcp(&compiled, "10.1.0.7"),
        Ok((RouteKind::VnetPeering, "nic/far".to_owned()))
    );
    assert_eq!(
        tcp(&compiled, "10.0.9.4"),
        Ok((RouteKind::VnetLocal, "nic/nva".to_owned()))
    );
}

#[test]
fn a_users_route_beats_the_gateways_and_that_the_platforms() {
    let all = EXAMPLE.replace("192.168.7.0/24", "192.168.0.0/16");
    let tcp_to = |more: &str| {
        let text = all.replace("POLICY", "strict") + more;
        tcp(&compiled(&text), "192.168.9.9")
    };
    assert_eq!(tcp_to(""), gateway(), "before the block that leads nowhere");
    let route = route("own", "192.168.0.0/16", "VirtualAppliance");
    assert_eq!(tcp_to(&route), appliance());
}

#[test]
fn propagation_off_leaves_only_the_users_way_to_the_gateway() {
    let off = |more: &str| {
        let text = example("strict", more);
        let name = "name = \"forced\"\n";
        text.replace(name, &format!("{name}disableBgpRoutePropagation = true\n"))
    };
    assert_eq!(tcp(&compiled(&off("")), "192.168.7.1"), appliance());
    let own = route("own", "192.168.7.0/24", "VirtualNetworkGateway");
    assert_eq!(tcp(&compiled(&off(&own)), "192.168.7.1"), gateway());
}

#[test]
fn forced_tunnelling_to_the_gateway_takes_all_but_the_endpoint() {
    let text = example("strict", "").replace(
        "nextHopType = \"VirtualAppliance\"\nnextHopIpAddress = \"10.0.9.4\"",
        "nextHopType = \"VirtualNetworkGateway\"",
    );
    let forced = compiled(&text);
    for to in ["8.8.8.8", "10.2.3.4"] {
        assert_eq!(tcp(&forced, to), gateway(), "{to}");
    }
    assert_eq!(tcp(&forced, "52.239.1.1"), endpoint());
    let none = text.replace(
        "virtualNetwork = \"hub\"\naddressPrefixes = [\"52",
        "virtualNetwork = \"spoke\"\naddressPrefixes = [\"52",
    );
    assert_eq!(tcp(&compiled(&none), "8.8.8.8"), Err(DropReason::NoGateway));
}

#[test]
fn an_appliance_has_to_be_a_forwarding_nic_of_the_network_or_a_peer() {
    let missing = example("strict", "").replace("enableIPForwarding = true\n", "");
    assert_eq!(
        tcp(&compiled(&missing), "8.8.8.8"),
        Err(DropReason::NoAppliance)
    );
    let nobody = example("strict", "").replace(
        "nextHopIpAddress = \"10.0.9.4\"",
        "nextHopIpAddress = \"10.0.9.5\"",
    );
    assert_eq!(
        tcp(&compiled(&nobody), "8.8.8.8"),
        Err(DropReason::NoAppliance)
    );
    let far = example("strict", "")
        .replace(
            "nextHopIpAddress = \"10.0.9.4\"",
            "nextHopIpAddress = \"10.1.0.7\"",
        )
        .replace(
            "privateIPAddress = \"10.1.0.7\"\n",
            "privateIPAddress = \"10.1.0.7\"\nenableIPForwarding = true\n",
        );
    let peered = Ok((RouteKind::VirtualAppliance, "nic/far".to_owned()));
    assert_eq!(tcp(&compiled(&far), "8.8.8.8"), peered);
    let initiated = far.replacen("[[virtualNetwork.peering]]\nremote = \"hub\"\n", "", 1);
    assert_eq!(
        tcp(&compiled(&initiated), "8.8.8.8"),
        Err(DropReason::NoAppliance)
    );
}

#[test]
fn a_peering_of_one_side_carries_nothing() {
    let text =
        example("strict", "").replacen("[[virtualNetwork.peering]]\nremote = \"hub\"\n", "", 1);
    let model = model(&text);
    let (hub, spoke) = (&model.vnets[0], &model.vnets[1]);
    let state = model.peering_state(hub, &hub.peerings[0]);
    assert_eq!(state.to_string(), "Initiated");
    assert_eq!(
        (model.peers(hub).count(), model.peers(spoke).count()),
        (0, 0)
    );
    assert_eq!(tcp(&compiled(&text), "10.1.0.7"), appliance());
}

#[test]
fn on_equal_prefixes_a_literal_beats_a_tag_and_the_narrower_tag_the_wider() {
    let hop_of = |more: &str, to: &str| {
        let text = example("tie", more).replace("[\"Microsoft.Storage\"]", "[]");
        tcp(&compiled(&text), to)
    };
    let cloud = route("cloud", "AzureCloud", "None");
    let region = route("region", "AzureCloud.eastus", "VirtualNetworkGateway");
    let storage = route("storage", "Storage", "VirtualNetworkGateway");
    let west = route("west", "Storage.WestUS", "None");
    let literal = route("literal", "20.60.1.0/24", "VirtualAppliance");
    let none = Err(DropReason::RouteNone);
    assert_eq!(hop_of(&cloud, "51.0.0.1"), none);
    assert_eq!(hop_of(&(cloud.clone() + &region), "51.0.0.1"), gateway());
    assert_eq!(hop_of(&(region + &cloud), "51.0.0.1"), gateway());
    assert_eq!(hop_of(&(storage.clone() + &cloud), "20.60.1.1"), gateway());
    assert_eq!(hop_of(&(west.clone() + &storage), "20.60.1.1"), none);
    assert_eq!(
        hop_of(&(literal + &west + &storage + &cloud), "20.60.1.1"),
        appliance()
    );
}

#[test]
fn what_comes_in_by_the_gateway_reaches_the_network_and_the_users_appliance() {
    let from =
        |compiled: &Compiled, to: &str| decide(compiled, "gateway/vpn", "192.168.7.1", to, 6);
    let plain = compiled(&example("strict", ""));
    assert_eq!(
        from(&plain, "10.0.1.4"),
        Ok((RouteKind::VnetLocal, "nic/vm".to_owned()))
    );
    for to in ["10.1.0.7", "8.8.8.8", "52.239.1.1"] {
        assert_eq!(from(&plain, to), Err(DropReason::RouteNone), "{to}");
    }
    let subnet = "[[virtualNetwork.subnet]]\nname = \"GatewaySubnet\"\n\
                  addressPrefix = \"10.0.250.0/24\"\nrouteTable = \"inbound\"\n";
    let fw = "[[virtualNetwork.subnet]]\nname = \"fw\"\n";
    let text = example("strict", "[[routeTable]]\nname = \"inbound\"\n")
        + &route("in", "10.0.1.0/24", "VirtualAppliance");
    let inspected = compiled(&text.replace(fw, &format!("{subnet}{fw}")));
    assert_eq!(from(&inspected, "10.0.1.4"), appliance());
}

/// Effective routes as text, with the prefixes that a row has in all.
fn shown(text: &str) -> Vec<String> {
    let model = model(text);
    let rows = effective_routes(
        &model,
        &Learned::default(),
        &catalog(),
        model.nic("vm").unwrap(),
    )
    .value;
    let row = |row: &crate::diagnose::EffectiveRoute| {
        let prefixes: Vec<_> = row.address_prefix.iter().map(ToString::to_string).collect();
        let hop: Vec<_> = row
            .next_hop_ip_address
            .iter()
            .map(ToString::to_string)
            .collect();
        let text = [
            row.name.as_deref().unwrap_or("-"),
            row.source.as_str(),
            row.state.as_str(),
            &prefixes.join(","),
            row.next_hop_type.as_str(),
            &hop.join(","),
        ]
        .join(" ");
        text.trim_end().to_owned()
    };
    rows.iter().map(row).collect()
}

#[test]
fn effective_routes_show_every_kind_and_no_block_beside_a_route_for_everything() {
    assert_eq!(
        shown(&example("strict", "")),
        [
            "- Default Active 10.0.0.0/16 VnetLocal",
            "- Default Active 10.1.0.0/16 VNetGlobalPeering",
            "- VirtualNetworkGateway Active 52.239.64.0/18 VirtualNetworkGateway",
            "- VirtualNetworkGateway Active 192.168.7.0/24 VirtualNetworkGateway",
            "- Default Invalid 0.0.0.0/0 Internet",
            "all User Active 0.0.0.0/0 VirtualAppliance 10.0.9.4",
            "some User Active 52.239.8.0/24 VirtualAppliance 10.0.9.4",
            "- Default Active 52.239.0.0/17,20.60.1.0/24 VirtualNetworkServiceEndpoint",
        ]
    );
}

#[test]
fn effective_routes_show_the_beaten_prefixes_of_a_row_as_invalid() {
    let tag = route("tag", "Storage", "VirtualAppliance");
    let text = |policy| {
        shown(&example(
            policy,
            &(tag.clone() + &route("own", "20.60.1.0/24", "Internet")),
        ))
    };
    for policy in ["strict", "tie"] {
        assert_eq!(
            text(policy)[7..],
            [
                "tag User Invalid 20.60.1.0/24,52.239.0.0/17 VirtualAppliance 10.0.9.4",
                "own User Invalid 20.60.1.0/24 Internet",
                "- Default Active 52.239.0.0/17,20.60.1.0/24 VirtualNetworkServiceEndpoint",
            ],
            "{policy}"
        );
    }
    assert_eq!(
        text("observed")[7..],
        [
            "tag User Active 52.239.0.0/17 VirtualAppliance 10.0.9.4",
            "tag User Invalid 20.60.1.0/24 VirtualAppliance 10.0.9.4",
            "own User Invalid 20.60.1.0/24 Internet",
            "- Default Active 20.60.1.0/24 VirtualNetworkServiceEndpoint",
            "- Default Invalid 52.239.0.0/17 VirtualNetworkServiceEndpoint",
        ]
    );
}

/// System routes of a network with this address space, as text.
fn system(space: &str) -> Vec<String> {
    let text = format!(
        "location = \"eastus\"\n[[virtualNetwork]]\nname = \"v\"\naddressPrefixes = [{space}]\n"
    );
    let model = model(&text);
    let text = |entry: &Entry<'_>| {
        let hop = match entry.hop {
            Hop::VnetLocal => "local",
            Hop::Internet => "internet",
            _ => "none",
        };
        format!("{} {hop}", entry.prefixes[0])
    };
    let entries = entries(
        &model,
        &Learned::default(),
        &catalog(),
        &model.vnets[0],
        None,
    )
    .unwrap();
    entries.iter().map(text).collect()
}

#[test]
fn a_range_inside_a_reserved_block_stands_beside_it() {
    assert_eq!(
        system("\"10.0.0.0/16\", \"172.16.0.0/24\""),
        [
            "10.0.0.0/16 local",
            "172.16.0.0/24 local",
            "0.0.0.0/0 internet",
            "10.0.0.0/8 none",
            "172.16.0.0/12 none",
            "192.168.0.0/16 none",
            "100.64.0.0/10 none",
        ]
    );
}

#[test]
fn a_range_equal_to_or_around_a_reserved_block_replaces_it() {
    let rest = [
        "0.0.0.0/0 internet",
        "172.16.0.0/12 none",
        "192.168.0.0/16 none",
        "100.64.0.0/10 none",
    ];
    for space in ["10.0.0.0/8", "10.0.0.0/7"] {
        let mut wanted = vec![format!("{space} local")];
        wanted.extend(rest.iter().map(ToString::to_string));
        assert_eq!(system(&format!("\"{space}\"")), wanted);
    }
}

#[test]
fn a_range_of_the_network_stands_before_an_endpoint_unless_it_is_shorter() {
    for (space, subnet, wanted) in [
        ("52.239.0.0/17", "52.239.1.0/24", Ok(RouteKind::VnetLocal)),
        ("52.239.1.0/24", "52.239.1.0/24", Ok(RouteKind::VnetLocal)),
        (
            "52.0.0.0/8",
            "52.239.1.0/24",
            Err(DropReason::NoSuchService),
        ),
    ] {
        let text = format!(
            "location = \"eastus\"\n[[virtualNetwork]]\nname = \"v\"\n\
             addressPrefixes = [\"10.0.0.0/16\", \"{space}\"]\n\
             [[virtualNetwork.subnet]]\nname = \"work\"\naddressPrefix = \"10.0.1.0/24\"\n\
             serviceEndpoints = [\"Microsoft.Storage\"]\n\
             [[virtualNetwork.subnet]]\nname = \"public\"\naddressPrefix = \"{subnet}\"\n\
             [[networkInterface]]\nname = \"vm\"\nvirtualNetwork = \"v\"\nsubnet = \"work\"\n\
             privateIPAddress = \"10.0.1.4\"\nnamespace = \"vm\"\n\
             [[networkInterface]]\nname = \"other\"\nvirtualNetwork = \"v\"\nsubnet = \"public\"\n\
             privateIPAddress = \"52.239.1.5\"\nnamespace = \"other\"\n"
        );
        let found = tcp(&compiled(&text), "52.239.1.5").map(|(route, _)| route);
        assert_eq!(found, wanted, "{space}");
    }
}
