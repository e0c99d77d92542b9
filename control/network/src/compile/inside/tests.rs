use super::*;
use crate::catalog::Catalog;
use crate::compile::{Compiled, PortNumbers, compile_learned};
use crate::config;
use crate::model::{GatewayRoutes, LearnedRoute, RouteProtocol};
use postern_dataplane::policy::{Epoch, PortKind};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

const NETWORKS: &str = r#"
location = "koreacentral"
[[virtualNetwork]]
name = "hub"
addressPrefixes = ["10.0.0.0/16", "10.9.0.0/16"]
[[virtualNetwork.peering]]
remote = "spoke"
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.0.1.0/24"
[[virtualNetwork]]
name = "spoke"
addressPrefixes = ["10.1.0.0/16"]
[[virtualNetwork.peering]]
remote = "hub"
[[virtualNetwork]]
name = "stranger"
addressPrefixes = ["172.16.0.0/16"]
[[gateway]]
name = "vpn"
virtualNetwork = "hub"
addressPrefixes = ["192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12"]
addresses = ["169.254.21.1/30"]
namespace = "onprem"
"#;

/// Compiles the networks with a gateway that has learned these prefixes.
fn compiled(learned: &[&str]) -> Compiled {
    let model = config::parse(Path::new("f.toml"), NETWORKS, &CATALOG).unwrap();
    let route = |prefix: &&str| LearnedRoute {
        prefix: prefix.parse().unwrap(),
        next_hop: None,
        protocol: RouteProtocol(186),
        metric: 20,
    };
    let mut known = Learned::default();
    known.set(
        "vpn",
        GatewayRoutes::new(learned.iter().map(route).collect()),
    );
    let mut numbers = PortNumbers::default();
    compile_learned(&model, &known, &CATALOG, Epoch(1), &mut numbers).unwrap()
}

fn behind(compiled: &Compiled) -> Arc<AddrSet> {
    let mut kinds = compiled.snapshot.ports.iter().flatten();
    let gateway = kinds.find_map(|port| match &port.kind {
        PortKind::Gateway(gateway) => Some(Arc::clone(&gateway.behind)),
        _ => None,
    });
    gateway.unwrap()
}

#[track_caller]
fn assert_holds(set: &AddrSet, yes: &[&str], no: &[&str]) {
    let has = |text: &&&str| set.contains(text.parse::<Ipv4Addr>().unwrap());
    let missing: Vec<_> = yes.iter().filter(|text| !has(text)).collect();
    let excess: Vec<_> = no.iter().filter(has).collect();
    assert!(
        missing.is_empty() && excess.is_empty(),
        "{missing:?} {excess:?}"
    );
}

#[test]
fn ranges_of_networks_and_what_is_behind_gateways_are_inside() {
    let compiled = compiled(&["203.0.113.0/24"]);
    assert_holds(
        &compiled.snapshot.inside,
        &[
            "10.0.0.0",
            "10.0.255.255",
            "10.9.1.1",
            "10.1.7.7",
            "172.16.0.9",
            "192.168.255.1",
            "203.0.113.200",
            "10.200.0.1",
        ],
        &[
            "9.255.255.255",
            "11.0.0.0",
            "203.0.114.0",
            "172.32.0.1",
            "8.8.8.8",
        ],
    );
}

#[test]
fn a_way_to_everywhere_makes_nothing_inside_but_all_of_it_behind() {
    let compiled = compiled(&["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "64.0.0.0/7"]);
    assert_holds(
        &compiled.snapshot.inside,
        &[],
        &["8.8.8.8", "65.1.1.1", "200.1.1.1"],
    );
    assert_holds(&behind(&compiled), &["8.8.8.8", "200.1.1.1"], &["10.0.1.4"]);
}

#[test]
fn behind_a_gateway_is_neither_its_network_nor_a_peer_of_that() {
    assert_holds(
        &behind(&compiled(&["203.0.113.0/24"])),
        // An unpeered network may have the same addresses as what is on the premises.
        &[
            "192.168.7.9",
            "203.0.113.5",
            "10.200.0.1",
            "172.16.0.9",
            "169.254.21.1",
        ],
        &[
            "10.0.1.4",
            "10.9.0.1",
            "10.1.0.4",
            "8.8.8.8",
            "169.254.21.2",
        ],
    );
}

#[test]
fn public_addresses_that_are_given_out_here_are_inside_whether_or_not_anybody_has_them() {
    let text = format!("{NETWORKS}[publicIPPool]\nprefixes = [\"20.90.0.0/24\"]\n");
    let model = config::parse(Path::new("f.toml"), &text, &CATALOG).unwrap();
    let inside = ranges(&model, &Learned::default());
    assert!(inside.contains(Ipv4Addr::new(20, 90, 0, 77)));
    assert!(!inside.contains(Ipv4Addr::new(20, 90, 1, 77)));
}
