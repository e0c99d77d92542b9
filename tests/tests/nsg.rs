//! What security groups let through. The cases named `tNN_` are the lines of the conformance
//! checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, INTERNET, STORAGE, TcpServer, VM0, World, at, privileged, until,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const SERVICE: &str = "Microsoft.Storage";

/// A rule of a group: name, priority, direction, access, protocol, destination and its ports.
type Rule<'r> = (&'r str, u16, &'r str, &'r str, &'r str, &'r str, &'r str);

fn group(rules: &[Rule<'_>]) -> String {
    let mut text = "[[networkSecurityGroup]]\nname = \"nsg1\"\n".to_owned();
    for (name, priority, direction, access, protocol, to, ports) in rules {
        let _ = writeln!(
            text,
            "[[networkSecurityGroup.securityRule]]\nname = {name:?}\npriority = {priority}\n\
             direction = {direction:?}\naccess = {access:?}\nprotocol = {protocol:?}\n\
             sourceAddressPrefix = \"*\"\ndestinationAddressPrefix = {to:?}\n\
             destinationPortRange = {ports:?}"
        );
    }
    text
}

/// The rules of the worked example in reference section 4.8.
const EXAMPLE: [Rule<'_>; 2] = [
    (
        "storage",
        100,
        "Outbound",
        "Allow",
        "Tcp",
        "Storage.KoreaCentral",
        "443",
    ),
    ("no-internet", 200, "Outbound", "Deny", "*", "Internet", "*"),
];

fn world(rules: &[Rule<'_>]) -> World {
    World {
        nsg1: Some("nsg1"),
        tail: group(rules),
        ..World::default()
    }
}

/// Asks a running fabric about many packets over one connection.
struct Verifier(BufReader<UnixStream>);

impl Verifier {
    fn new(fabric: &Fabric) -> Self {
        let socket = fabric.dir().path().join("postern.sock");
        Self(BufReader::new(UnixStream::connect(socket).unwrap()))
    }

    fn ask(&mut self, flow: &Value) -> Value {
        let request = json!({ "verb": "nsgVerify", "nic": "vm0", "flow": flow });
        self.0
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{flow}: {answer}");
        answer["result"].clone()
    }
}

fn connects(fabric: &Fabric, to: Ipv4Addr, port: u16) -> bool {
    Connection::open(fabric.namespace("vm0"), at(to, port)).is_ok()
}

#[test]
fn t12_deny_internet_with_an_allowed_tag_lets_that_service_through_alone() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&world(&EXAMPLE).to_string());
    let (service, internet) = (fabric.namespace("svc"), fabric.namespace("inet"));
    let storage = TcpServer::start(service, at(STORAGE, 443));
    let _plain = TcpServer::start(service, at(STORAGE, 80));
    let _internet = TcpServer::start(internet, at(INTERNET, 443));
    for (on, denied) in [(false, 2), (true, 4)] {
        if on {
            fabric.endpoint("enable", "subnet1", SERVICE);
        }
        assert!(connects(&fabric, STORAGE, 443), "endpoint {on}");
        assert!(!connects(&fabric, STORAGE, 80), "endpoint {on}");
        assert!(!connects(&fabric, INTERNET, 443), "endpoint {on}");
        let drops = fabric.drops();
        let count = |drop: &String| {
            let rest = drop.strip_prefix("nic/vm0 Outbound nsg_denied_out: ")?;
            rest.parse::<u64>().ok()
        };
        let dropped: u64 = drops.iter().filter_map(count).sum();
        assert!(dropped >= denied, "each refused SYN is counted: {drops:?}");
    }
    let sources: Vec<_> = storage.seen().iter().map(|seen| *seen.peer.ip()).collect();
    assert_eq!(sources.last(), Some(&VM0), "the endpoint was on");
}

#[test]
fn t13_the_endpoint_changes_no_verdict_of_ten_thousand_tuples() {
    if !privileged() {
        return;
    }
    let mut rules = EXAMPLE.to_vec();
    rules.extend([
        ("web", 300, "Inbound", "Allow", "Tcp", "10.0.1.0/24", "80"),
        ("dns", 150, "Outbound", "Deny", "Udp", "8.0.0.0/8", "53"),
        (
            "sql",
            160,
            "Outbound",
            "Allow",
            "Tcp",
            "Sql.KoreaCentral",
            "1433",
        ),
        ("esp", 170, "Outbound", "Allow", "Esp", "*", "*"),
    ]);
    let fabric = Fabric::start(&world(&rules).to_string());
    let mut state = 13u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let bases = [
        "20.60.16.0",
        "20.60.45.0",
        "10.0.2.0",
        "8.8.8.0",
        "93.184.216.0",
        "20.44.24.0",
    ];
    let ports = [22, 53, 80, 443, 1433, 50_000];
    let flows: Vec<Value> = (0..10_000)
        .map(|_| {
            let base: Ipv4Addr = bases[random(6)].parse().unwrap();
            let any = if random(4) == 0 { random(1 << 31) * 2 } else { 0 };
            let any = u32::try_from(any | random(256)).unwrap();
            let remote = Ipv4Addr::from(u32::from(base) | any);
            let mut port = || ports[random(6)];
            let (local, remote) = (format!("{VM0}:{}", port()), format!("{remote}:{}", port()));
            let direction = ["Inbound", "Outbound"][random(2)];
            let protocol = ["Tcp", "Tcp", "Udp", "Icmp", "Esp", "Ah"][random(6)];
            json!({ "direction": direction, "protocol": protocol, "local": local, "remote": remote })
        })
        .collect();
    let mut verifier = Verifier::new(&fabric);
    let before: Vec<_> = flows.iter().map(|flow| verifier.ask(flow)).collect();
    let rules: std::collections::HashSet<_> =
        before.iter().map(|it| it["ruleName"].as_str()).collect();
    assert!(rules.len() >= 8, "the tuples meet many rules: {rules:?}");
    fabric.endpoint("enable", "subnet1", SERVICE);
    for (flow, before) in flows.iter().zip(&before) {
        assert_eq!(verifier.ask(flow), *before, "{flow}");
    }
}

#[test]
fn t14_a_removed_allow_leaves_the_live_flow_and_blocks_the_next() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&world(&EXAMPLE).to_string());
    let _storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let mut live = Connection::open(fabric.namespace("vm0"), at(STORAGE, 443)).unwrap();
    live.expect_alive();
    fabric.apply(&world(&EXAMPLE[1..]).to_string());
    live.expect_alive();
    assert!(
        !connects(&fabric, STORAGE, 443),
        "a new connection is refused"
    );
    live.expect_alive();
}

#[test]
fn worked_example_of_section_4_8_by_verify() {
    if !privileged() {
        return;
    }
    let mut world = world(&EXAMPLE);
    world.endpoints1 = vec![SERVICE];
    let fabric = Fabric::start(&world.to_string());
    let verify = |remote: &str| {
        let arguments = [
            "nsg",
            "verify",
            "vm0",
            "--direction",
            "Outbound",
            "--protocol",
            "TCP",
        ];
        let local = format!("{VM0}:50000");
        let rest = ["--local", &local, "--remote", remote];
        fabric.json(&[&arguments[..], &rest].concat())
    };
    for (remote, access, rule) in [
        ("52.231.80.65:443", "Allow", "securityRules/storage"),
        ("52.231.80.65:80", "Deny", "securityRules/no-internet"),
        ("52.231.168.65:443", "Deny", "securityRules/no-internet"),
        (
            "10.0.2.5:443",
            "Allow",
            "defaultSecurityRules/AllowVnetOutBound",
        ),
        ("8.8.8.8:443", "Deny", "securityRules/no-internet"),
    ] {
        let wanted = json!({ "access": access, "ruleName": rule });
        assert_eq!(verify(remote), wanted, "{remote}");
    }
    let exempt = json!({ "access": "Allow", "ruleName": null });
    assert_eq!(verify("168.63.129.16:53"), exempt);
    let other = fabric.postern(&[
        "nsg",
        "verify",
        "vm0",
        "--direction",
        "Inbound",
        "--protocol",
        "Udp",
        "--local",
        "10.0.1.5:1",
        "--remote",
        "8.8.8.8:1",
    ]);
    assert_eq!(other.code, Some(1), "{other}");
    assert!(other.stderr.contains("accepted: 10.0.1.4"), "{other}");
}

/// The worked example of reference section 4.8 with what its last sentence adds: subnet1 has this
/// route table, and `vm2` is the appliance.
fn with_routes(settings: &str, routes: &str) -> String {
    let mut world = world(&EXAMPLE);
    world.head = format!("[settings]\n{settings}\n");
    let text = world.to_string();
    let (subnet, nic) = (
        "addressPrefix = \"10.0.1.0/24\"\n",
        "privateIPAddress = \"10.0.2.5\"\n",
    );
    assert!(text.contains(subnet) && text.contains(nic));
    text.replacen(subnet, &format!("{subnet}routeTable = \"rt\"\n"), 1)
        .replacen(nic, &format!("{nic}enableIPForwarding = true\n"), 1)
        + &format!("\n[[routeTable]]\nname = \"rt\"\n{routes}")
}

const TO_NVA: &str = "[[routeTable.route]]\nname = \"all\"\naddressPrefix = \"0.0.0.0/0\"\n\
                      nextHopType = \"VirtualAppliance\"\nnextHopIpAddress = \"10.0.2.5\"\n";

/// What the groups of `vm0` say of TCP to this address: the access and the rule.
#[track_caller]
fn verdict(fabric: &Fabric, to: Ipv4Addr) -> (String, String) {
    let flow = json!({ "direction": "Outbound", "protocol": "Tcp",
        "local": format!("{VM0}:40000"), "remote": format!("{to}:443") });
    let verdict = Verifier::new(fabric).ask(&flow);
    let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    (text("access"), text("ruleName"))
}

/// What `Internet` stands for in the effective rules of `vm0`.
fn internet_of(fabric: &Fabric) -> Vec<Value> {
    let groups = fabric.json(&["nsg", "effective", "vm0"]);
    let rules = groups["value"][0]["effectiveSecurityRules"]
        .as_array()
        .unwrap();
    let is_it = |rule: &&Value| rule["name"] == "securityRules/no-internet";
    let rule = rules.iter().find(is_it).unwrap();
    rule["expandedDestinationAddressPrefix"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[track_caller]
fn expect_denied(fabric: &Fabric) {
    let (access, rule) = verdict(fabric, INTERNET);
    assert_eq!(access, "Deny");
    assert!(rule.ends_with("no-internet"), "{rule}");
    assert!(!internet_of(fabric).is_empty());
    assert!(!connects(fabric, INTERNET, 443));
}

#[track_caller]
fn expect_flipped(fabric: &Fabric) {
    let (access, rule) = verdict(fabric, INTERNET);
    assert_eq!(access, "Allow");
    assert!(rule.ends_with("AllowVnetOutBound"), "{rule}");
    assert!(internet_of(fabric).is_empty(), "{:?}", internet_of(fabric));
    assert!(connects(fabric, INTERNET, 443));
}

#[test]
fn t15_a_users_default_route_flips_the_tags() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&with_routes("", ""));
    let _internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    fabric.namespace("vm2").masquerade();
    expect_denied(&fabric);
    fabric.apply(&with_routes("", TO_NVA));
    expect_flipped(&fabric);
    // The switch leaves the default route out of the tag: the rule denies as without the route.
    fabric.apply(&with_routes("vnetTagIncludesDefaultRoute = false", TO_NVA));
    expect_denied(&fabric);
    // And back, as the route goes.
    fabric.apply(&with_routes("", TO_NVA));
    expect_flipped(&fabric);
    fabric.apply(&with_routes("", ""));
    expect_denied(&fabric);
}

#[test]
fn t15_a_learned_default_route_flips_the_tags() {
    if !privileged() {
        return;
    }
    let gateway = "\n[[gateway]]\nname = \"vpn\"\nvirtualNetwork = \"VNet1\"\n\
                   learnedRoutes = {}\nnamespace = \"gw\"\n";
    let with = |settings: &str, table: &str| with_routes(settings, table) + gateway;
    let mut fabric = Fabric::start(&with("", ""));
    // The on-premises side answers in the place of the Internet.
    fabric.namespace("gw").sh(&format!(
        "ip addr add {INTERNET}/32 dev postern0\nip link add lan0 type veth peer name lan1\n\
         ip link set lan0 up\nip link set lan1 up"
    ));
    let _onprem = TcpServer::start(fabric.namespace("gw"), at(INTERNET, 443));
    let _internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let has_learned = |fabric: &Fabric, count: u64| {
        until("the gateway has learned", Duration::from_secs(1), || {
            fabric.json(&["routes", "--learned"])["gateways"][0]["learned"] == count
        });
    };
    expect_denied(&fabric);
    fabric
        .namespace("gw")
        .sh("ip route add default dev lan0 proto bird");
    has_learned(&fabric, 1);
    expect_flipped(&fabric);
    // A subnet that takes no routes of gateways has no such route, and its tags are as they were.
    fabric.apply(&with("", "disableBgpRoutePropagation = true\n"));
    expect_denied(&fabric);
    fabric.apply(&with("vnetTagIncludesDefaultRoute = false", ""));
    expect_denied(&fabric);
    fabric.apply(&with("", ""));
    expect_flipped(&fabric);
    fabric
        .namespace("gw")
        .sh("ip route del default dev lan0 proto bird");
    has_learned(&fabric, 0);
    expect_denied(&fabric);
}
