//! What a gateway has learned, beside what is written down.

use super::*;
use crate::compile::{Tags, VnetTags, compile_learned};
use crate::diagnose::EffectiveRoute;
use crate::model::{GatewayRoutes, LearnedRoute, Peer, RouteProtocol, RuleTag};

/// What the gateway of the example has learned.
fn learned(prefixes: &[&str]) -> Learned {
    let route = |prefix: &&str| LearnedRoute {
        prefix: prefix.parse().unwrap(),
        next_hop: None,
        protocol: RouteProtocol(12),
        metric: 32,
    };
    let mut learned = Learned::default();
    let routes = prefixes.iter().map(route).collect();
    learned.set("vpn", GatewayRoutes::new(routes));
    learned
}

/// The example with a gateway that knows nothing but what it has learned.
fn compiled_learned(text: &str, prefixes: &[&str]) -> Compiled {
    let known = "addressPrefixes = [\"52.239.64.0/18\", \"192.168.7.0/24\"]\n";
    assert!(text.contains(known));
    let (model, numbers) = (model(&text.replace(known, "")), &mut PortNumbers::default());
    compile_learned(&model, &learned(prefixes), &catalog(), Epoch(1), numbers).unwrap()
}

#[test]
fn the_worked_example_with_a_learned_prefix() {
    for policy in POLICIES {
        let compiled =
            compiled_learned(&example(policy, ""), &["52.239.64.0/18", "192.168.7.0/24"]);
        assert_eq!(tcp(&compiled, "52.239.70.1"), endpoint(), "{policy}");
        assert_eq!(tcp(&compiled, "192.168.7.1"), gateway(), "{policy}");
        let ping = decide(&compiled, "nic/vm", "10.0.1.4", "52.239.70.1", 1);
        assert_eq!(ping, gateway(), "{policy}: what does not ride the endpoint");
    }
}

#[test]
fn longer_learned_prefixes_lose_to_networks_and_peers() {
    let own = ["10.0.9.0/24", "10.1.0.0/24", "10.9.0.0/16"];
    let compiled = compiled_learned(&example("strict", ""), &own);
    let local = |to| tcp(&compiled, to).unwrap().0;
    assert_eq!(local("10.0.9.4"), RouteKind::VnetLocal);
    assert_eq!(local("10.1.0.7"), RouteKind::VnetPeering);
    assert_eq!(tcp(&compiled, "10.9.0.1"), gateway());
}

#[test]
fn a_table_without_propagation_has_nothing_learned() {
    let off = "name = \"forced\"\ndisableBgpRoutePropagation = true\n";
    let text = example("strict", "").replacen("name = \"forced\"\n", off, 1);
    let compiled = compiled_learned(&text, &["192.168.7.0/24"]);
    assert_eq!(
        tcp(&compiled, "192.168.7.1"),
        appliance(),
        "by the user's default"
    );
}

/// The example without the user's default route.
fn unforced(settings: &str) -> String {
    let user = "[[routeTable.route]]\nname = \"all\"\naddressPrefix = \"0.0.0.0/0\"\nnextHopType = \
                \"VirtualAppliance\"\nnextHopIpAddress = \"10.0.9.4\"\n";
    let text = example("strict", "");
    assert!(text.contains(user));
    text.replacen(user, "", 1)
        .replacen("[internet]", &format!("{settings}\n[internet]"), 1)
}

#[test]
fn a_learned_default_route_leaves_the_reserved_blocks_unless_told() {
    let compiled = compiled_learned(&unforced(""), &["0.0.0.0/0"]);
    assert_eq!(tcp(&compiled, "8.8.8.8"), gateway());
    assert_eq!(tcp(&compiled, "10.2.3.4"), Err(DropReason::RouteNone));
    let text = unforced("learnedDefaultRemovesNone = true");
    let compiled = compiled_learned(&text, &["0.0.0.0/0"]);
    assert_eq!(tcp(&compiled, "10.2.3.4"), gateway());
    let compiled = compiled_learned(&text, &["192.168.0.0/16"]);
    assert_eq!(tcp(&compiled, "10.2.3.4"), Err(DropReason::RouteNone));
}

#[test]
fn a_prefix_that_is_written_down_and_learned_is_one_row() {
    let model = model(&example("strict", ""));
    let learned = learned(&["192.168.7.0/24", "192.168.8.0/24"]);
    let nic = model.nic("far").unwrap();
    assert!(
        effective_routes(&model, &learned, &catalog(), nic)
            .value
            .len()
            > 4
    );
    let rows = effective_routes(&model, &learned, &catalog(), model.nic("vm").unwrap()).value;
    let of_gateway: Vec<_> = rows
        .iter()
        .filter(|row| row.source == "VirtualNetworkGateway")
        .map(|row| row.address_prefix[0].to_string())
        .collect();
    assert_eq!(
        of_gateway,
        ["52.239.64.0/18", "192.168.7.0/24", "192.168.8.0/24"]
    );
    let rows = effective_routes(&model, &learned, &catalog(), nic).value;
    let has_gateway = |row: &EffectiveRoute| row.next_hop_type == "VirtualNetworkGateway";
    assert!(!rows.iter().any(has_gateway), "not on the peer");
}

#[test]
fn what_is_learned_enters_the_virtual_network_tag() {
    let holds = |text: &str, prefixes: &[&str], subnet: usize, address: &str| {
        let model = model(text);
        let vnet = &model.vnets[0];
        let learned = learned(prefixes);
        let tags = VnetTags::new(&model, &learned, vnet, &vnet.subnets[subnet]);
        let catalog = catalog();
        let mut all = Tags::new(&catalog);
        let tag = Peer::Tag(RuleTag::VirtualNetwork);
        let set = all.expand(&tag, &tags).unwrap();
        set.contains(address.parse().unwrap())
    };
    let text = unforced("");
    assert!(holds(&text, &["172.20.0.0/16"], 0, "172.20.1.1"));
    assert!(!holds(&text, &["172.20.0.0/16"], 0, "172.21.1.1"));
    assert!(holds(&text, &["0.0.0.0/0"], 0, "8.8.8.8"));
    let without = unforced("vnetTagIncludesDefaultRoute = false");
    assert!(!holds(&without, &["0.0.0.0/0"], 0, "8.8.8.8"));
    // The on-premises side is a part of the network also where a subnet has no route to it; a
    // default route is not a side but a route.
    let off = "name = \"forced\"\ndisableBgpRoutePropagation = true\n";
    let cut_off = text.replacen("name = \"forced\"\n", off, 1);
    assert!(holds(&cut_off, &["172.20.0.0/16"], 0, "172.20.1.1"));
    assert!(!holds(&cut_off, &["0.0.0.0/0"], 0, "8.8.8.8"));
    assert!(holds(&cut_off, &["0.0.0.0/0"], 1, "8.8.8.8"));
}
