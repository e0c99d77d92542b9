//! The platform's own addresses. The case named `t23_` is the line of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, EchoTap, Fabric, INTERNET, TcpServer, UdpServer, UdpSocketPair, at, ping,
    privileged,
};
use std::net::Ipv4Addr;

/// DNS, DHCP, health probes, the agent.
const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Metadata.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// A NIC with a public address of its own.
const VM0: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// A NIC that shares one.
const VM1: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

/// A subnet whose every packet is forced to an appliance and whose group denies everything, both
/// ways; `rules` are more rules of the group, `platform` is where the addresses live.
fn forced(platform: &str, rules: &str) -> String {
    format!(
        r#"
location = "koreacentral"
[internet]
addresses = ["{INTERNET}/24"]
namespace = "inet"
{platform}
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[[routeTable]]
name = "forced"
[[routeTable.route]]
name = "all"
addressPrefix = "0.0.0.0/0"
nextHopType = "VirtualAppliance"
nextHopIpAddress = "10.0.9.4"
[[networkSecurityGroup]]
name = "closed"
[[networkSecurityGroup.securityRule]]
name = "nothing-out"
priority = 200
direction = "Outbound"
access = "Deny"
protocol = "*"
sourceAddressPrefix = "*"
destinationAddressPrefix = "*"
destinationPortRange = "*"
[[networkSecurityGroup.securityRule]]
name = "nothing-in"
priority = 200
direction = "Inbound"
access = "Deny"
protocol = "*"
sourceAddressPrefix = "*"
destinationAddressPrefix = "*"
destinationPortRange = "*"
{rules}
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "work"
addressPrefix = "10.0.1.0/24"
routeTable = "forced"
networkSecurityGroup = "closed"
serviceEndpoints = ["Microsoft.Storage"]
[[virtualNetwork.subnet]]
name = "fw"
addressPrefix = "10.0.9.0/24"
[[networkInterface]]
name = "vm0"
virtualNetwork = "VNet1"
subnet = "work"
privateIPAddress = "{VM0}"
publicIPAddress = "20.0.0.9"
networkSecurityGroup = "closed"
namespace = "vm0"
[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "work"
privateIPAddress = "{VM1}"
namespace = "vm1"
[[networkInterface]]
name = "nva"
virtualNetwork = "VNet1"
subnet = "fw"
privateIPAddress = "10.0.9.4"
enableIPForwarding = true
namespace = "nva"
"#
    )
}

/// In a namespace with a name, and free for servers of the case's own.
const NAMED: &str = "[platform]\nnamespace = \"platform\"\n[dns]\nenabled = false\n";

/// A rule of the group `closed` that denies what `AzurePlatformDNS` names.
const NO_DNS: &str = r#"
[[networkSecurityGroup.securityRule]]
name = "no-platform-dns"
priority = 100
direction = "Outbound"
access = "Deny"
protocol = "*"
sourceAddressPrefix = "*"
destinationAddressPrefix = "AzurePlatformDNS"
destinationPortRange = "*"
"#;

#[test]
fn t23_the_platform_is_reached_under_forced_tunnelling_and_closed_groups() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&forced(NAMED, ""));
    let platform = fabric.namespace("platform");
    for host in [WIRE_SERVER, METADATA] {
        let tcp = TcpServer::start(platform, at(host, 80));
        let _udp = UdpServer::start(platform, at(host, 53));
        for (name, address) in [("vm0", VM0), ("vm1", VM1)] {
            let vm = fabric.namespace(name);
            let mut connection = Connection::open(vm, at(host, 80)).unwrap();
            connection.expect_alive();
            let seen = *tcp.seen().last().unwrap().peer.ip();
            assert_eq!(seen, address, "TCP from {name} to {host}");
            let socket = UdpSocketPair::open(vm, at(host, 53)).unwrap();
            let seen = *socket.source().ip();
            assert_eq!(seen, address, "UDP from {name} to {host}");
            let tap = EchoTap::start(platform);
            assert!(ping(vm, host), "{name} pings {host}");
            assert_eq!(tap.next_source(), address, "ping from {name} to {host}");
        }
    }
    // Nothing else leaves, nothing went by the appliance, nothing drew a public port.
    assert!(Connection::open(fabric.namespace("vm0"), at(INTERNET, 80)).is_err());
    let flows = fabric.json(&["flows"]);
    let flows = flows["value"].as_array().unwrap();
    assert!(!flows.is_empty());
    for flow in flows {
        assert_eq!(flow["route"], "Platform", "{flow}");
        assert_eq!(flow["sourceKind"], "private", "{flow}");
    }
    assert_eq!(fabric.leases(), 0);
    let routes = fabric.json(&["routes", "vm0"]).to_string();
    for address in ["168.63.129.16", "169.254.169.254"] {
        assert!(!routes.contains(address), "{routes}");
    }
}

#[test]
fn a_rule_that_names_the_platform_denies_it_and_no_other() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&forced(NAMED, NO_DNS));
    let platform = fabric.namespace("platform");
    let _dns = TcpServer::start(platform, at(WIRE_SERVER, 53));
    let _metadata = TcpServer::start(platform, at(METADATA, 80));
    for name in ["vm0", "vm1"] {
        let vm = fabric.namespace(name);
        assert!(Connection::open(vm, at(WIRE_SERVER, 53)).is_err(), "{name}");
        assert!(Connection::open(vm, at(METADATA, 80)).is_ok(), "{name}");
    }
    let drops = fabric.drops();
    for name in ["vm0", "vm1"] {
        let denied = format!("nic/{name} Outbound nsg_denied_out: ");
        assert!(
            drops.iter().any(|drop| drop.starts_with(&denied)),
            "{drops:?}"
        );
    }
}

#[test]
fn the_platform_opens_nothing_and_only_network_interfaces_reach_it() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&forced(NAMED, ""));
    let platform = fabric.namespace("platform");
    let _server = TcpServer::start(platform, at(WIRE_SERVER, 80));
    let _nic = TcpServer::start(fabric.namespace("nva"), at(Ipv4Addr::new(10, 0, 9, 4), 80));
    assert!(Connection::open(platform, at(Ipv4Addr::new(10, 0, 9, 4), 80)).is_err());
    let drops = fabric.drops();
    let of_platform = |drop: &String| drop.starts_with("platform Inbound platform_initiated: ");
    assert!(drops.iter().any(of_platform), "{drops:?}");
    // The public side has no route there, and gets none.
    let inet = fabric.namespace("inet");
    let postern = postern_tests::run(inet.command("ip").args([
        "route",
        "add",
        "168.63.129.16/32",
        "dev",
        "postern0",
    ]));
    postern.expect_success();
    assert!(Connection::open(inet, at(WIRE_SERVER, 80)).is_err());
    let drops = fabric.drops();
    let of_internet = |drop: &String| drop.starts_with("internet Inbound no_flow: ");
    assert!(drops.iter().any(of_internet), "{drops:?}");
}

#[test]
fn without_a_section_the_platform_answers_from_a_namespace_of_its_own() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&forced("", ""));
    for name in ["vm0", "vm1"] {
        for host in [WIRE_SERVER, METADATA] {
            assert!(ping(fabric.namespace(name), host), "{name} pings {host}");
        }
    }
    let status = fabric.json(&["status"]);
    let ports = status["ports"].as_array().unwrap();
    let platform = ports
        .iter()
        .find(|port| port["name"] == "platform")
        .unwrap();
    assert_eq!(platform["state"], "attached");
    assert_eq!(platform["namespace"], "(own)");
}
