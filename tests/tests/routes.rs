//! Where packets go: user routes to appliances and gateways, peerings, and endpoints beside them.
//! The cases named `tNN_` are the lines of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, End, Fabric, INTERNET, PUBLIC_DEFAULT, STORAGE, TcpServer, at, ping, privileged,
    run, until,
};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The spoke's workload.
const SPOKE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 4);
/// The workload of the second spoke.
const SPOKE2: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 4);
/// The appliance in the hub's subnet `fw`.
const NVA: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 4);
/// A workload of the hub.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// A host on the on-premises side.
const ONPREM: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);

/// Hub and two spokes, as section 10 of the reference has them.
struct Hub {
    spoke_endpoints: &'static str,
    fw_endpoints: &'static str,
    /// What the route for everything of the spoke says of its next hop; none leaves the table out.
    forced: Option<&'static str>,
    /// More routes of the spoke's table.
    routes: &'static str,
    forwarding: bool,
    /// Whether the spokes take what the hub only forwards.
    forwarded: bool,
    onprem: &'static str,
    settings: &'static str,
}

const TO_NVA: &str = "nextHopType = \"VirtualAppliance\"\nnextHopIpAddress = \"10.0.9.4\"\n";
const TO_GATEWAY: &str = "nextHopType = \"VirtualNetworkGateway\"\n";

impl Default for Hub {
    fn default() -> Self {
        Self {
            spoke_endpoints: "[]",
            fw_endpoints: "[\"Microsoft.Storage\"]",
            forced: Some(TO_NVA),
            routes: "",
            forwarding: true,
            forwarded: false,
            onprem: "hub",
            settings: "",
        }
    }
}

impl Hub {
    fn toml(&self) -> String {
        let Self {
            spoke_endpoints,
            fw_endpoints,
            forwarding,
            forwarded,
            onprem,
            settings,
            routes,
            ..
        } = self;
        let table = self.forced.map_or(String::new(), |hop| {
            format!("[[routeTable.route]]\nname = \"all\"\naddressPrefix = \"0.0.0.0/0\"\n{hop}")
        });
        format!(
            r#"
location = "koreacentral"
[settings]
{settings}
[internet]
addresses = ["{INTERNET}/24"]
namespace = "inet"
[defaultOutbound]
publicIPAddress = "{PUBLIC_DEFAULT}"
[[gateway]]
name = "vpn"
virtualNetwork = "{onprem}"
addressPrefixes = ["192.168.0.0/16", "20.60.0.0/24"]
addresses = ["{ONPREM}/24"]
namespace = "onprem"
[[routeTable]]
name = "spoke"
{table}
{routes}
[[virtualNetwork]]
name = "hub"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "fw"
addressPrefix = "10.0.9.0/24"
serviceEndpoints = {fw_endpoints}
[[virtualNetwork.subnet]]
name = "work"
addressPrefix = "10.0.1.0/24"
[[virtualNetwork.peering]]
remote = "spoke"
[[virtualNetwork.peering]]
remote = "spoke2"
[[virtualNetwork]]
name = "spoke"
addressPrefixes = ["10.1.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.1.0.0/24"
serviceEndpoints = {spoke_endpoints}
routeTable = "spoke"
[[virtualNetwork.peering]]
remote = "hub"
allowForwardedTraffic = {forwarded}
[[virtualNetwork]]
name = "spoke2"
addressPrefixes = ["10.2.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.2.0.0/24"
[[virtualNetwork.peering]]
remote = "hub"
allowForwardedTraffic = {forwarded}
[[networkInterface]]
name = "spoke"
virtualNetwork = "spoke"
subnet = "s"
privateIPAddress = "{SPOKE}"
namespace = "spoke"
[[networkInterface]]
name = "spoke2"
virtualNetwork = "spoke2"
subnet = "s"
privateIPAddress = "{SPOKE2}"
namespace = "spoke2"
[[networkInterface]]
name = "work"
virtualNetwork = "hub"
subnet = "work"
privateIPAddress = "{HUB}"
namespace = "work"
[[networkInterface]]
name = "nva"
virtualNetwork = "hub"
subnet = "fw"
privateIPAddress = "{NVA}"
enableIPForwarding = {forwarding}
namespace = "nva"
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "{STORAGE}"
namespace = "svc"
"#
        )
    }
}

/// How many IP packets the namespace has passed on.
fn forwarded(fabric: &Fabric, namespace: &str) -> u64 {
    fabric.namespace(namespace).snmp("Ip", "ForwDatagrams")
}

#[track_caller]
fn connect(fabric: &Fabric, from: &str, to: Ipv4Addr) -> Connection {
    Connection::open(fabric.namespace(from), at(to, 443))
        .unwrap_or_else(|error| panic!("{from} to {to}: {error}"))
}

#[track_caller]
fn expect_drop(fabric: &Fabric, drop: &str) {
    let drops = fabric.drops();
    assert!(
        drops.iter().any(|line| line.starts_with(drop)),
        "no {drop} in {drops:?}"
    );
}

/// Returns the route of the newest flow to `to` from the NIC.
#[track_caller]
fn route_to(fabric: &Fabric, nic: &str, to: Ipv4Addr) -> String {
    let flows = fabric.json(&["flows", "--nic", nic]);
    let flows = flows["value"].as_array().unwrap();
    let ingress = format!("nic/{nic}");
    let is_it = |flow: &&serde_json::Value| {
        flow["ingress"] == ingress.as_str() && flow["destination"] == format!("{to}:443")
    };
    let flow = flows
        .iter()
        .filter(is_it)
        .min_by_key(|flow| flow["ageMs"].as_u64());
    flow.unwrap_or_else(|| panic!("no flow to {to}"))["route"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The rows of the effective routes with this prefix, as source, state, type and address.
fn rows(fabric: &Fabric, nic: &str, prefix: &str) -> Vec<String> {
    let routes = fabric.json(&["routes", nic]);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    routes["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| {
            row["addressPrefix"]
                .as_array()
                .unwrap()
                .contains(&prefix.into())
        })
        .map(|row| {
            [
                text(&row["name"]),
                text(&row["source"]),
                text(&row["state"]),
                text(&row["nextHopType"]),
                text(&row["nextHopIpAddress"][0]),
            ]
            .join(" ")
        })
        .collect()
}

struct Servers {
    _storage: TcpServer,
    _internet: TcpServer,
}

impl Servers {
    fn start(fabric: &Fabric) -> Self {
        Self {
            _storage: TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443)),
            _internet: TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443)),
        }
    }
}

#[test]
fn t08_a_route_for_everything_leaves_the_endpoint_its_tcp() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        spoke_endpoints: "[\"Microsoft.Storage\"]",
        ..Hub::default()
    };
    let fabric = Fabric::start(&hub.toml());
    let _servers = Servers::start(&fabric);
    fabric.namespace("nva").masquerade();
    let service = connect(&fabric, "spoke", STORAGE);
    assert_eq!(
        *service.source.ip(),
        SPOKE,
        "the spoke's own private source"
    );
    assert_eq!(route_to(&fabric, "spoke", STORAGE), "ServiceEndpoint");
    assert_eq!(forwarded(&fabric, "nva"), 0, "past the appliance");
    let internet = connect(&fabric, "spoke", INTERNET);
    assert_eq!(*internet.source.ip(), PUBLIC_DEFAULT);
    assert_eq!(route_to(&fabric, "spoke", INTERNET), "VirtualAppliance");
    assert!(forwarded(&fabric, "nva") > 0, "through the appliance");
}

#[test]
fn t09_without_an_endpoint_everything_hits_the_appliance() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&Hub::default().toml());
    let _servers = Servers::start(&fabric);
    fabric.namespace("nva").masquerade();
    // The example of section 10: the service sees the appliance, by the appliance's endpoint.
    let service = connect(&fabric, "spoke", STORAGE);
    assert_eq!(*service.source.ip(), NVA);
    assert_eq!(route_to(&fabric, "spoke", STORAGE), "VirtualAppliance");
    assert_eq!(route_to(&fabric, "nva", STORAGE), "ServiceEndpoint");
    connect(&fabric, "spoke", INTERNET);
    assert_eq!(route_to(&fabric, "spoke", INTERNET), "VirtualAppliance");
    assert_eq!(
        rows(&fabric, "spoke", "0.0.0.0/0"),
        [
            "- Default Invalid Internet -",
            "all User Active VirtualAppliance 10.0.9.4"
        ]
    );
    assert_eq!(
        rows(&fabric, "spoke", "10.0.0.0/16"),
        ["- Default Active VNetPeering -"]
    );
    assert!(
        rows(&fabric, "spoke", "192.168.0.0/16").is_empty(),
        "no None row"
    );
}

#[test]
fn t09_an_appliance_that_keeps_the_spokes_source_is_not_let_through() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&Hub::default().toml());
    let _servers = Servers::start(&fabric);
    fabric.namespace("nva").forward();
    let refused = Connection::open(fabric.namespace("spoke"), at(STORAGE, 443));
    assert!(refused.is_err(), "{refused:?}");
    expect_drop(&fabric, "nic/nva Outbound source_not_owned");
}

#[test]
fn an_appliance_that_does_not_forward_is_never_gone_around() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        forwarding: false,
        ..Hub::default()
    };
    let fabric = Fabric::start(&hub.toml());
    let _servers = Servers::start(&fabric);
    let refused = Connection::open(fabric.namespace("spoke"), at(INTERNET, 443));
    assert!(refused.is_err(), "{refused:?}");
    expect_drop(&fabric, "nic/spoke Outbound no_appliance");
}

#[test]
fn t10_a_longer_gateway_prefix_loses_to_the_endpoint() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        spoke_endpoints: "[\"Microsoft.Storage\"]",
        forced: None,
        onprem: "spoke",
        ..Hub::default()
    };
    // 20.60.16.5 lies in a /24 of the service; the gateway knows a single host.
    let toml = hub.toml().replace("\"20.60.0.0/24\"", "\"20.60.16.5/32\"");
    let mut fabric = Fabric::start(&toml);
    let _servers = Servers::start(&fabric);
    let service = connect(&fabric, "spoke", STORAGE);
    assert_eq!(*service.source.ip(), SPOKE);
    assert_eq!(route_to(&fabric, "spoke", STORAGE), "ServiceEndpoint");
    drop(service);
    let sent = |fabric: &Fabric| {
        let stats = fabric.json(&["stats"]);
        let ports = stats["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == "gateway/vpn");
        port.unwrap()["sentFrames"].as_u64().unwrap()
    };
    assert_eq!(sent(&fabric), 0, "nothing but the endpoint was used");
    // What does not ride the endpoint goes to the gateway, and so does all without the endpoint.
    assert!(!ping(fabric.namespace("spoke"), STORAGE));
    let pings = sent(&fabric);
    assert!(pings > 0);
    let endpoint = "serviceEndpoints = [\"Microsoft.Storage\"]\nrouteTable";
    fabric.apply(&toml.replace(endpoint, "routeTable"));
    assert!(Connection::open(fabric.namespace("spoke"), at(STORAGE, 443)).is_err());
    assert!(sent(&fabric) > pings);
}

#[test]
fn t11_each_precedence_decides_as_its_name_says() {
    if !privileged() {
        return;
    }
    for (policy, seen) in [
        ("vsePrecedence = \"strict\"", SPOKE),
        ("vsePrecedence = \"tie\"", NVA),
        ("vsePrecedence = \"observed\"", NVA),
    ] {
        let hub = Hub {
            spoke_endpoints: "[\"Microsoft.Storage\"]",
            settings: policy,
            routes: "[[routeTable.route]]\nname = \"one\"\naddressPrefix = \"20.60.16.5/32\"\n\
                     nextHopType = \"VirtualAppliance\"\nnextHopIpAddress = \"10.0.9.4\"\n",
            ..Hub::default()
        };
        let fabric = Fabric::start(&hub.toml());
        let _servers = Servers::start(&fabric);
        fabric.namespace("nva").masquerade();
        let service = connect(&fabric, "spoke", STORAGE);
        assert_eq!(*service.source.ip(), seen, "{policy}");
    }
}

#[test]
fn t05_a_peered_subnet_keeps_its_public_source() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        forced: None,
        ..Hub::default()
    };
    let fabric = Fabric::start(&hub.toml());
    let _servers = Servers::start(&fabric);
    for (from, seen) in [
        ("spoke", PUBLIC_DEFAULT),
        ("work", PUBLIC_DEFAULT),
        ("nva", NVA),
    ] {
        assert_eq!(*connect(&fabric, from, STORAGE).source.ip(), seen, "{from}");
    }
}

#[test]
fn peerings_connect_two_networks_and_are_not_transitive() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        forced: None,
        ..Hub::default()
    };
    let mut fabric = Fabric::start(&hub.toml());
    let _work = TcpServer::start(fabric.namespace("work"), at(HUB, 443));
    let _spoke = TcpServer::start(fabric.namespace("spoke"), at(SPOKE, 443));
    let mut there = connect(&fabric, "spoke", HUB);
    assert_eq!(*there.source.ip(), SPOKE);
    assert_eq!(route_to(&fabric, "spoke", HUB), "VnetPeering");
    let back = connect(&fabric, "work", SPOKE);
    assert_eq!(*back.source.ip(), HUB);
    assert!(Connection::open(fabric.namespace("spoke2"), at(SPOKE, 443)).is_err());
    expect_drop(&fabric, "nic/spoke2 Outbound route_none");
    // One side alone connects nothing: its flows are cut.
    let one_sided = hub.toml().replacen(
        "routeTable = \"spoke\"\n[[virtualNetwork.peering]]\nremote = \"hub\"\nallowForwardedTraffic = false\n",
        "routeTable = \"spoke\"\n",
        1,
    );
    fabric.apply(&one_sided);
    assert_eq!(there.wait_end(Duration::from_secs(2)), End::Reset);
    assert!(Connection::open(fabric.namespace("work"), at(SPOKE, 443)).is_err());
}

#[test]
fn an_appliance_joins_two_spokes_if_they_take_forwarded_traffic() {
    if !privileged() {
        return;
    }
    for allowed in [true, false] {
        let hub = Hub {
            forwarded: allowed,
            ..Hub::default()
        };
        let fabric = Fabric::start(&hub.toml());
        let _server = TcpServer::start(fabric.namespace("spoke2"), at(SPOKE2, 443));
        fabric.namespace("nva").forward();
        let opened = Connection::open(fabric.namespace("spoke"), at(SPOKE2, 443));
        if allowed {
            let mut connection = opened.expect("a connection through the appliance");
            assert_eq!(*connection.source.ip(), SPOKE, "unmodified");
            connection.expect_alive();
        } else {
            assert!(opened.is_err(), "{opened:?}");
            expect_drop(&fabric, "nic/nva Outbound forwarded_not_allowed");
        }
    }
}

#[test]
fn a_gateway_joins_the_network_and_the_on_premises_side() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        forced: None,
        ..Hub::default()
    };
    let fabric = Fabric::start(&hub.toml());
    let _onprem = TcpServer::start(fabric.namespace("onprem"), at(ONPREM, 443));
    let _work = TcpServer::start(fabric.namespace("work"), at(HUB, 443));
    let out = connect(&fabric, "work", ONPREM);
    assert_eq!(*out.source.ip(), HUB);
    assert_eq!(route_to(&fabric, "work", ONPREM), "VirtualNetworkGateway");
    let inbound = connect(&fabric, "onprem", HUB);
    assert_eq!(*inbound.source.ip(), ONPREM);
    assert!(ping(fabric.namespace("onprem"), HUB));
    assert_eq!(
        rows(&fabric, "work", "192.168.0.0/16"),
        [
            "- VirtualNetworkGateway Active VirtualNetworkGateway -",
            "- Default Invalid None -"
        ]
    );
}

#[test]
fn forced_tunnelling_to_the_gateway_takes_what_the_endpoint_leaves() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        spoke_endpoints: "[\"Microsoft.Storage\"]",
        forced: Some(TO_GATEWAY),
        onprem: "spoke",
        ..Hub::default()
    };
    let fabric = Fabric::start(&hub.toml());
    let _storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    // The on-premises side stands in for the Internet.
    let onprem = fabric.namespace("onprem");
    let address = format!("{INTERNET}/32");
    let added = run(onprem
        .command("ip")
        .args(["addr", "add", &address, "dev", "postern0"]));
    let _ = added.expect_success();
    let _server = TcpServer::start(onprem, at(INTERNET, 443));
    let forced = connect(&fabric, "spoke", INTERNET);
    assert_eq!(*forced.source.ip(), SPOKE, "no public source");
    assert_eq!(
        route_to(&fabric, "spoke", INTERNET),
        "VirtualNetworkGateway"
    );
    assert_eq!(*connect(&fabric, "spoke", STORAGE).source.ip(), SPOKE);
    assert_eq!(route_to(&fabric, "spoke", STORAGE), "ServiceEndpoint");
}

#[test]
fn a_new_route_cuts_the_flows_that_it_moves_and_no_others() {
    if !privileged() {
        return;
    }
    let before = Hub {
        forced: None,
        ..Hub::default()
    };
    let mut fabric = Fabric::start(&before.toml());
    let _servers = Servers::start(&fabric);
    let _work = TcpServer::start(fabric.namespace("work"), at(HUB, 443));
    let mut moved = connect(&fabric, "spoke", INTERNET);
    let mut kept = connect(&fabric, "spoke", HUB);
    let mut other = connect(&fabric, "work", INTERNET);
    fabric.namespace("nva").masquerade();
    fabric.apply(&Hub::default().toml());
    assert_eq!(moved.wait_end(Duration::from_secs(2)), End::Reset);
    kept.expect_alive();
    other.expect_alive();
    until(
        "a new connection takes the appliance",
        Duration::from_secs(30),
        || Connection::open(fabric.namespace("spoke"), at(INTERNET, 443)).is_ok(),
    );
    assert!(forwarded(&fabric, "nva") > 0);
}
