//! Routes that gateways learn from real routing daemons, and from the kernel's table in general.
//! The cases named `tNN_` are the lines of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Bird, Connection, End, Fabric, INTERNET, Netns, STORAGE, Speaker, TcpServer, VM0, VM1, World,
    at, ping, privileged, run, until, within,
};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// The host behind the on-premises router.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 10);
const SITE: &str = "192.168.50.0/24";

/// A change of the kernel's table is in force before this.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// How long two daemons may take to find each other.
const SESSION: Duration = Duration::from_secs(20);

/// A gateway that learns what BIRD puts into the main table.
const GATEWAY: &str = r#"
[[gateway]]
name = "vpn"
virtualNetwork = "VNet1"
learnedRoutes = { protocols = ["bird"] }
namespace = "gw"
"#;

fn world() -> World {
    World {
        tail: GATEWAY.to_owned(),
        ..World::default()
    }
}

/// The world with a route table on subnet1.
fn with_table(world: &World, table: &str) -> String {
    let subnet = "addressPrefix = \"10.0.1.0/24\"\n";
    let routed = format!("{subnet}routeTable = \"rt\"\n");
    world.to_string().replacen(subnet, &routed, 1)
        + &format!("\n[[routeTable]]\nname = \"rt\"\n{table}\n")
}

/// The on-premises side: a router that speaks BGP with the gateway's namespace, and a host behind
/// it. The host has the site's address, one of the Internet and one of a service.
struct Site {
    near: Bird,
    far: Bird,
    host: Netns,
    _router: Netns,
}

impl Site {
    /// Builds it and waits until the two daemons have a session; the far one announces nothing yet.
    fn join(gateway: &Netns) -> Self {
        let (router, host) = (Netns::create("router"), Netns::create("host"));
        gateway.join(&router, ("up0", "172.31.0.1/30"), ("up0", "172.31.0.2/30"));
        router.join(
            &host,
            ("lan0", "192.168.50.1/24"),
            ("lan0", "192.168.50.10/24"),
        );
        for namespace in [gateway, &router] {
            namespace.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
        }
        for address in [INTERNET, STORAGE] {
            host.sh(&format!("ip addr add {address}/32 dev lan0"));
            router.sh(&format!("ip route add {address}/32 dev lan0"));
        }
        host.sh("ip route add default via 192.168.50.1");
        let near = Speaker {
            address: "172.31.0.1",
            system: 65515,
            peer: ("172.31.0.2", 65001),
            announces: Vec::new(),
            announces_kernel: true,
        };
        let far = Speaker {
            address: "172.31.0.2",
            system: 65001,
            peer: ("172.31.0.1", 65515),
            announces: Vec::new(),
            announces_kernel: false,
        };
        let site = Self {
            near: Bird::start(gateway, near),
            far: Bird::start(&router, far),
            host,
            _router: router,
        };
        until("the two have a session", SESSION, || {
            site.near.is_established() && site.far.is_established()
        });
        let knows = || {
            let routes = run(site
                ._router
                .command("ip")
                .args(["route", "show", "10.0.0.0/16"]));
            routes.stdout.contains("proto bird")
        };
        until("the site knows the range of the network", SESSION, knows);
        site
    }

    /// Announces these prefixes, and returns when they alone are in the gateway's table.
    fn announce(&mut self, gateway: &Netns, prefixes: &[&str]) {
        self.far.announce(prefixes);
        let mut wanted: Vec<_> = prefixes
            .iter()
            .map(|prefix| prefix.replace("0.0.0.0/0", "default").replace("/32", ""))
            .collect();
        wanted.sort_unstable();
        until("the daemon has put them into the kernel", SESSION, || {
            kernel_routes(gateway) == wanted
        });
    }
}

/// What BIRD has put into the main table of a namespace.
fn kernel_routes(namespace: &Netns) -> Vec<String> {
    let routes = run(namespace
        .command("ip")
        .args(["route", "show", "proto", "bird"]));
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let mut routes: Vec<_> = routes.stdout.lines().filter_map(first).collect();
    routes.sort_unstable();
    routes
}

/// What a gateway has learned.
fn learned(fabric: &Fabric, gateway: &str) -> Vec<String> {
    let learned = fabric.json(&["routes", "--learned"]);
    let routes = learned["value"].as_array().unwrap().iter();
    routes
        .filter(|route| route["gateway"] == gateway)
        .map(|route| route["network"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until a gateway has learned these and no others; returns how long that took.
#[track_caller]
fn until_learned(fabric: &Fabric, gateway: &str, wanted: &[&str]) -> Duration {
    let start = Instant::now();
    let is_so = || learned(fabric, gateway) == wanted;
    assert!(
        within(ONE_SECOND, is_so),
        "not {wanted:?} within {ONE_SECOND:?}, but {:?}",
        learned(fabric, gateway)
    );
    start.elapsed()
}

/// The rows of the effective routes with this prefix, as source, state and type.
fn rows(fabric: &Fabric, nic: &str, prefix: &str) -> Vec<String> {
    let routes = fabric.json(&["routes", nic]);
    let rows = routes["value"].as_array().unwrap().iter();
    let has = |row: &&serde_json::Value| {
        let prefixes = row["addressPrefix"].as_array().unwrap();
        prefixes.contains(&prefix.into())
    };
    rows.filter(has)
        .map(|row| {
            let [source, state, kind] =
                ["source", "state", "nextHopType"].map(|key| row[key].as_str().unwrap());
            format!("{source} {state} {kind}")
        })
        .collect()
}

const BY_GATEWAY: &str = "VirtualNetworkGateway Active VirtualNetworkGateway";

#[track_caller]
fn connect(fabric: &Fabric, from: &str, to: Ipv4Addr) -> Connection {
    Connection::open(fabric.namespace(from), at(to, 443))
        .unwrap_or_else(|error| panic!("{from} to {to}: {error}"))
}

fn is_refused(fabric: &Fabric, from: &str, to: Ipv4Addr) -> bool {
    Connection::open(fabric.namespace(from), at(to, 443)).is_err()
}

#[test]
fn what_bgp_announces_is_routed_and_what_it_withdraws_is_cut() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&world().to_string());
    let gateway = fabric.namespace("gw");
    let mut site = Site::join(gateway);
    let host = TcpServer::start(&site.host, at(HOST, 443));
    let internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let mut other = connect(&fabric, "vm0", INTERNET);
    assert!(is_refused(&fabric, "vm0", HOST), "nothing is announced yet");
    let epoch = fabric.epoch();

    site.announce(gateway, &[SITE]);
    let took = until_learned(&fabric, "vpn", &[SITE]);
    eprintln!("in force {took:?} after it was seen in the kernel");
    assert_eq!(rows(&fabric, "vm0", SITE), [BY_GATEWAY]);
    assert_eq!(fabric.epoch(), epoch + 1, "one announcement, one policy");
    let mut connection = connect(&fabric, "vm0", HOST);
    assert_eq!(*connection.source.ip(), VM0, "the private source");
    assert!(ping(fabric.namespace("vm1"), HOST));
    // The site reaches the network too: the daemon announced its range.
    let server = TcpServer::start(fabric.namespace("vm1"), at(VM1, 443));
    let back = Connection::open(&site.host, at(VM1, 443)).unwrap();
    assert_eq!(*back.source.ip(), HOST);

    site.announce(gateway, &[]);
    until_learned(&fabric, "vpn", &[]);
    assert!(rows(&fabric, "vm0", SITE).is_empty());
    assert_eq!(connection.wait_end(Duration::from_secs(2)), End::Reset);
    assert!(is_refused(&fabric, "vm0", HOST));
    other.expect_alive();
    drop((host, internet, server));
}

#[test]
fn t10_a_longer_learned_prefix_loses_to_the_endpoint() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&world().to_string());
    let gateway = fabric.namespace("gw");
    let mut site = Site::join(gateway);
    // 20.60.16.5 lies in a /24 of the service; the site announces the single host, and has it.
    let onprem = TcpServer::start(&site.host, at(STORAGE, 443));
    let service = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let prefix = format!("{STORAGE}/32");
    site.announce(gateway, &[&prefix]);
    until_learned(&fabric, "vpn", &[&prefix]);
    // Without the endpoint the learned route decides, and its flows go when the endpoint comes.
    let mut tunnelled = connect(&fabric, "vm0", STORAGE);
    assert_eq!((onprem.seen().len(), service.seen().len()), (1, 0));
    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    assert_eq!(tunnelled.wait_end(Duration::from_secs(2)), End::Reset);
    let direct = connect(&fabric, "vm0", STORAGE);
    assert_eq!(*direct.source.ip(), VM0);
    assert_eq!((onprem.seen().len(), service.seen().len()), (1, 1));
    // What does not ride the endpoint, and the subnet without it, still take the learned route.
    let forwarded = || gateway.snmp("Ip", "ForwDatagrams");
    let before = forwarded();
    assert!(ping(fabric.namespace("vm0"), STORAGE));
    assert!(forwarded() > before, "the ping went through the gateway");
    let _sibling = connect(&fabric, "vm1", STORAGE);
    assert_eq!((onprem.seen().len(), service.seen().len()), (2, 1));
}

#[test]
fn a_table_without_propagation_keeps_learned_routes_out() {
    if !privileged() {
        return;
    }
    let table = "disableBgpRoutePropagation = true\n";
    let mut fabric = Fabric::start(&with_table(&world(), table));
    let mut site = Site::join(fabric.namespace("gw"));
    let _host = TcpServer::start(&site.host, at(HOST, 443));
    site.announce(fabric.namespace("gw"), &[SITE]);
    until_learned(&fabric, "vpn", &[SITE]);
    assert!(rows(&fabric, "vm0", SITE).is_empty());
    assert_eq!(rows(&fabric, "vm1", SITE), [BY_GATEWAY]);
    assert!(is_refused(&fabric, "vm0", HOST));
    let mut kept = connect(&fabric, "vm1", HOST);
    // The model the user applies and what is learned are apart: an apply forgets nothing.
    fabric.apply(&with_table(&world(), ""));
    assert_eq!(rows(&fabric, "vm0", SITE), [BY_GATEWAY]);
    let _now = connect(&fabric, "vm0", HOST);
    kept.expect_alive();
    let again = fabric.apply(&with_table(&world(), ""));
    assert!(again.stdout.contains("no change"), "{again}");
}

#[test]
fn a_learned_default_route_takes_all_but_what_rides_an_endpoint() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage"],
        ..world()
    };
    let fabric = Fabric::start(&world.to_string());
    let gateway = fabric.namespace("gw");
    let mut site = Site::join(gateway);
    let onprem = TcpServer::start(&site.host, at(INTERNET, 443));
    let internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let service = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let mut stored = connect(&fabric, "vm0", STORAGE);
    let mut public = connect(&fabric, "vm0", INTERNET);
    site.announce(gateway, &["0.0.0.0/0"]);
    until_learned(&fabric, "vpn", &["0.0.0.0/0"]);
    assert_eq!(public.wait_end(Duration::from_secs(2)), End::Reset);
    stored.expect_alive();
    let forced = connect(&fabric, "vm0", INTERNET);
    assert_eq!(*forced.source.ip(), VM0, "no public source");
    assert_eq!((onprem.seen().len(), internet.seen().len()), (1, 1));
    let direct = connect(&fabric, "vm0", STORAGE);
    assert_eq!((*direct.source.ip(), service.seen().len()), (VM0, 2));
    assert_eq!(
        rows(&fabric, "vm0", "0.0.0.0/0"),
        [BY_GATEWAY, "Default Invalid Internet"]
    );
    // The blocks that lead nowhere stay: only a user's default route takes them away.
    assert_eq!(rows(&fabric, "vm0", "10.0.0.0/8"), ["Default Active None"]);
}

/// Two networks with a gateway each; the kernel's table is written by hand, as a daemon would.
fn two_networks() -> String {
    let second = r#"
[[virtualNetwork]]
name = "VNet2"
addressPrefixes = ["10.2.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.2.0.0/24"
[[networkInterface]]
name = "far"
virtualNetwork = "VNet2"
subnet = "s"
privateIPAddress = "10.2.0.4"
namespace = "far"
[[gateway]]
name = "vpn2"
virtualNetwork = "VNet2"
learnedRoutes = { table = 100 }
namespace = "gw2"
"#;
    format!("{}{second}", world())
}

#[test]
fn two_gateways_do_not_mix() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&two_networks());
    let (one, two) = (fabric.namespace("gw"), fabric.namespace("gw2"));
    for namespace in [one, two] {
        namespace.sh(
            "ip link add lan0 type veth peer name lan1\nip link set lan0 up\nip link set lan1 up",
        );
    }
    one.sh("ip route add 192.168.1.0/24 dev lan0 proto bird");
    two.sh("ip route add 192.168.2.0/24 dev lan0 proto bgp table 100");
    until_learned(&fabric, "vpn", &["192.168.1.0/24"]);
    until_learned(&fabric, "vpn2", &["192.168.2.0/24"]);
    for (nic, own, other) in [
        ("vm0", "192.168.1.0/24", "192.168.2.0/24"),
        ("far", "192.168.2.0/24", "192.168.1.0/24"),
    ] {
        assert_eq!(rows(&fabric, nic, own), [BY_GATEWAY], "{nic}");
        assert!(rows(&fabric, nic, other).is_empty(), "{nic}");
    }
    let learned = fabric.json(&["routes", "--learned"]);
    assert_eq!(learned["value"][1]["protocol"], "bgp");
    assert_eq!(learned["gateways"][0]["source"], "table 254 [bird]");
    assert_eq!(learned["gateways"][1]["virtualNetwork"], "VNet2");
}

#[test]
fn only_the_routes_of_daemons_are_learned() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&two_networks());
    let gateway = fabric.namespace("gw2");
    gateway.sh(
        "ip link add lan0 type veth peer name lan1; ip link set lan1 up; \
           ip addr add 192.168.9.1/24 dev lan0; ip link set lan0 up\n\
         ip route add 192.168.10.0/24 via 192.168.9.2 table 100\n\
         ip route add 192.168.11.0/24 via 192.168.9.2 table 100 proto static\n\
         ip route add 192.168.12.0/24 via 192.168.9.2 proto bgp\n\
         ip route add blackhole 192.168.13.0/24 table 100 proto bgp\n\
         ip route add 192.168.14.0/24 dev postern0 table 100 proto bgp\n\
         ip route add 192.168.15.0/24 table 100 proto bgp tos 0x10 via 192.168.9.2\n\
         ip route add 169.254.3.0/24 via 192.168.9.2 table 100 proto bgp\n\
         ip route add 192.168.20.0/24 via 192.168.9.2 table 100 proto ospf\n\
         ip route add 192.168.21.0/24 table 100 proto bgp nexthop via 192.168.9.2 \
           nexthop via 192.168.9.3",
    );
    until_learned(&fabric, "vpn2", &["192.168.20.0/24", "192.168.21.0/24"]);
    // What the kernel takes along without telling, and what replaces another route.
    gateway.sh(
        "ip route add 192.168.20.0/24 via 192.168.9.3 table 100 proto ospf metric 7\n\
         ip route del 192.168.20.0/24 via 192.168.9.2 table 100\n\
         ip route replace 192.168.21.0/24 via 192.168.9.2 table 100",
    );
    until_learned(&fabric, "vpn2", &["192.168.20.0/24"]);
    gateway.sh("ip link set lan0 down");
    until_learned(&fabric, "vpn2", &[]);
}

/// A script for `ip -batch` that does the same to many prefixes.
fn batch(namespace: &Netns, fabric: &Fabric, action: &str, count: u32) {
    let first = u32::from(Ipv4Addr::new(11, 0, 0, 0));
    let lines: String = (0..count)
        .map(|number| {
            let prefix = Ipv4Addr::from(first + number * 256);
            format!("route {action} {prefix}/24 dev lan0 proto bird\n")
        })
        .collect();
    let file = fabric.dir().write("batch", lines);
    let file = file.to_string_lossy();
    let _ = run(namespace.command("ip").args(["-batch", &file])).expect_success();
}

#[test]
fn a_table_that_flaps_makes_few_policies_and_ends_right() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&world().to_string());
    let gateway = fabric.namespace("gw");
    gateway
        .sh("ip link add lan0 type veth peer name lan1\nip link set lan0 up\nip link set lan1 up");
    let (before, start) = (fabric.epoch(), Instant::now());
    for _ in 0..3 {
        batch(gateway, &fabric, "add", 5000);
        batch(gateway, &fabric, "del", 5000);
    }
    batch(gateway, &fabric, "add", 5000);
    let took = start.elapsed();
    until("the first 4,000 stand", Duration::from_secs(30), || {
        let view = fabric.json(&["routes", "--learned"]);
        let gateway = &view["gateways"][0];
        gateway["learned"] == 4000 && gateway["leftOut"] == 1000
    });
    let policies = fabric.epoch() - before;
    eprintln!("{policies} policies in {took:?}");
    // At most one for each 300 ms of flapping, and the last.
    let most = u64::try_from(took.as_millis() / 300).unwrap() + 2;
    assert!(policies <= most, "{policies} of at most {most}");
    let view = fabric.json(&["routes", "--learned"]);
    let last = view["value"][3999]["network"].as_str().unwrap();
    assert_eq!(last, "11.15.159.0/24", "the first ones in order");
    // The kernel says nothing of routes that go with their device.
    gateway.sh("ip link del lan0");
    until_learned(&fabric, "vpn", &[]);
}

#[test]
fn a_gateway_whose_namespace_goes_and_comes_back_learns_again() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&world().to_string());
    let name = fabric.namespace("gw").name().to_owned();
    let ip = |arguments: &[&str]| {
        let _ = run(std::process::Command::new("ip").args(arguments)).expect_success();
    };
    let lan =
        "ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up\n";
    let add = "ip route add 192.168.1.0/24 dev lan0 proto bird";
    fabric.namespace("gw").sh(&format!("{lan}{add}"));
    until_learned(&fabric, "vpn", &["192.168.1.0/24"]);
    ip(&["netns", "delete", &name]);
    until(
        "what it taught is withdrawn",
        Duration::from_secs(30),
        || learned(&fabric, "vpn").is_empty(),
    );
    ip(&["netns", "add", &name]);
    until(
        "the device is in the new one",
        Duration::from_secs(30),
        || {
            run(std::process::Command::new("ip").args(["-n", &name, "link", "show", "postern0"]))
                .success()
        },
    );
    let exec = |script: &str| ip(&["netns", "exec", &name, "sh", "-ec", script]);
    exec(&format!(
        "{lan}ip route add 192.168.3.0/24 dev lan0 proto bird"
    ));
    until("it learns there", Duration::from_secs(30), || {
        learned(&fabric, "vpn") == ["192.168.3.0/24"]
    });
    assert_eq!(rows(&fabric, "vm0", "192.168.3.0/24"), [BY_GATEWAY]);
}
