//! Who a service sees behind appliances, proxies and gateways, and whom its network rules let in:
//! the topologies of the reference, section 10.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, End, Fabric, INTERNET, PUBLIC_DEFAULT, STORAGE, TcpRelay, TcpServer, at, privileged,
};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The spoke's workload.
const SPOKE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 4);
/// The appliance, or the proxy, in the hub's subnet `fw`.
const NVA: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 4);
/// A host on the on-premises side.
const ONPREM: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);
/// Where the proxy listens.
const PROXY: u16 = 3128;

/// A hub with a gateway, and a spoke that sends everything to the hub's appliance.
struct Hub {
    spoke_has_endpoint: bool,
    /// The subnets that the account lets in.
    subnets: &'static [&'static str],
    /// The public addresses that it lets in.
    addresses: &'static [Ipv4Addr],
}

impl Hub {
    fn toml(&self) -> String {
        let endpoints = match self.spoke_has_endpoint {
            true => "[\"Microsoft.Storage\"]",
            false => "[]",
        };
        let subnets = self.subnets.iter().map(|id| format!("{{ id = \"{id}\" }}"));
        let addresses = self
            .addresses
            .iter()
            .map(|ip| format!("{{ value = \"{ip}\" }}"));
        let [subnets, addresses] = [subnets.collect::<Vec<_>>(), addresses.collect()];
        let [subnets, addresses] = [subnets.join(", "), addresses.join(", ")];
        format!(
            r#"
location = "koreacentral"
[internet]
addresses = ["{INTERNET}/24"]
namespace = "inet"
[defaultOutbound]
publicIPAddress = "{PUBLIC_DEFAULT}"
[[gateway]]
name = "vpn"
virtualNetwork = "hub"
addressPrefixes = ["192.168.0.0/16"]
addresses = ["{ONPREM}/24"]
namespace = "onprem"
[[routeTable]]
name = "spoke"
[[routeTable.route]]
name = "all"
addressPrefix = "0.0.0.0/0"
nextHopType = "VirtualAppliance"
nextHopIpAddress = "{NVA}"
[[virtualNetwork]]
name = "hub"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "fw"
addressPrefix = "10.0.9.0/24"
serviceEndpoints = ["Microsoft.Storage"]
[[virtualNetwork.peering]]
remote = "spoke"
[[virtualNetwork]]
name = "spoke"
addressPrefixes = ["10.1.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.1.0.0/24"
serviceEndpoints = {endpoints}
routeTable = "spoke"
[[virtualNetwork.peering]]
remote = "hub"
[[networkInterface]]
name = "spoke"
virtualNetwork = "spoke"
subnet = "s"
privateIPAddress = "{SPOKE}"
namespace = "spoke"
[[networkInterface]]
name = "nva"
virtualNetwork = "hub"
subnet = "fw"
privateIPAddress = "{NVA}"
enableIPForwarding = true
namespace = "nva"
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "{STORAGE}"
namespace = "svc"
networkAcls = {{ defaultAction = "Deny", virtualNetworkRules = [{subnets}], ipRules = [{addresses}] }}
"#
        )
    }

    fn start(&self) -> (Fabric, TcpServer) {
        let fabric = Fabric::start(&self.toml());
        let storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
        (fabric, storage)
    }
}

/// The address of `from` as the account sees it on a new connection.
#[track_caller]
fn source(fabric: &Fabric, from: &str) -> Ipv4Addr {
    let opened = Connection::open(fabric.namespace(from), at(STORAGE, 443));
    let connection = opened.unwrap_or_else(|error| panic!("{from}: {error}"));
    *connection.source.ip()
}

/// Checks that a new connection is refused, and at which NIC it was.
#[track_caller]
fn expect_denied(fabric: &Fabric, from: &str, nic: &str) {
    let refused = Connection::open(fabric.namespace(from), at(STORAGE, 443));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let drops = fabric.drops();
    let expected = format!("nic/{nic} Outbound service_denied: 1");
    assert!(drops.contains(&expected), "no {expected} in {drops:?}");
}

/// The worked example of the reference, section 10: the appliance stands for all behind it.
#[test]
fn a_rule_for_the_appliances_subnet_lets_the_spoke_in_and_one_for_the_spoke_does_not() {
    if !privileged() {
        return;
    }
    let central = Hub {
        spoke_has_endpoint: false,
        subnets: &["hub/fw"],
        addresses: &[],
    };
    let (fabric, _storage) = central.start();
    fabric.namespace("nva").masquerade();
    assert_eq!(source(&fabric, "spoke"), NVA);
    assert_eq!(source(&fabric, "nva"), NVA);

    // A rule for the spoke can be made while the spoke has an endpoint of its own, and then it goes
    // past the appliance; without the endpoint the rule stays, and nobody comes as the spoke.
    let mut own = Hub {
        spoke_has_endpoint: true,
        subnets: &["spoke/s"],
        addresses: &[],
    };
    let (mut fabric, storage) = own.start();
    fabric.namespace("nva").masquerade();
    let mut direct = Connection::open(fabric.namespace("spoke"), at(STORAGE, 443)).unwrap();
    assert_eq!(*direct.source.ip(), SPOKE);
    own.spoke_has_endpoint = false;
    fabric.apply(&own.toml());
    assert_eq!(direct.wait_end(Duration::from_secs(1)), End::Reset);
    expect_denied(&fabric, "spoke", "nva");
    assert_eq!(storage.seen().len(), 1);
}

#[test]
fn a_host_on_premises_gets_in_by_a_proxy_in_an_endpoints_subnet_and_not_by_the_gateway() {
    if !privileged() {
        return;
    }
    let hub = Hub {
        spoke_has_endpoint: false,
        subnets: &["hub/fw"],
        addresses: &[],
    };
    let (fabric, storage) = hub.start();
    let onprem = fabric.namespace("onprem");
    let _proxy = TcpRelay::start(fabric.namespace("nva"), at(NVA, PROXY), at(STORAGE, 443));
    let mut through = Connection::open(onprem, at(NVA, PROXY)).unwrap();
    assert_eq!(*through.local.ip(), ONPREM);
    assert_eq!(*through.source.ip(), NVA, "what the service sees");
    through.expect_alive();

    onprem.sh(&format!("ip route add {STORAGE}/32 dev postern0"));
    assert!(Connection::open(onprem, at(STORAGE, 443)).is_err());
    assert!(fabric.drops_of("route_none") > 0, "{:?}", fabric.drops());
    assert_eq!(storage.seen().len(), 1);
}

#[test]
fn a_host_on_premises_gets_in_by_a_rule_for_its_address_on_the_internet() {
    if !privileged() {
        return;
    }
    let mut hub = Hub {
        spoke_has_endpoint: false,
        subnets: &[],
        addresses: &[INTERNET],
    };
    let (mut fabric, storage) = hub.start();
    let (onprem, inet) = (fabric.namespace("onprem"), fabric.namespace("inet"));
    onprem.join(inet, ("isp", "198.18.0.1/30"), ("site", "198.18.0.2/30"));
    onprem.sh(&format!(
        "ip route add {STORAGE}/32 via 198.18.0.2 src {ONPREM}"
    ));
    inet.sh(&format!(
        "ip route add {ONPREM}/32 via 198.18.0.1\n\
         echo 1 > /proc/sys/net/ipv4/ip_forward\n\
         nft add table ip nat\n\
         nft add chain ip nat post '{{ type nat hook postrouting priority 100; }}'\n\
         nft add rule ip nat post oifname postern0 snat to {INTERNET}"
    ));
    let mut through = Connection::open(onprem, at(STORAGE, 443)).unwrap();
    assert_eq!(
        [*through.local.ip(), *through.source.ip()],
        [ONPREM, INTERNET]
    );
    through.expect_alive();

    hub.addresses = &[];
    fabric.apply(&hub.toml());
    let refused = Connection::open(fabric.namespace("onprem"), at(STORAGE, 443));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(fabric.drops_of("service_denied"), 1);
    assert_eq!(storage.seen().len(), 1);
}
