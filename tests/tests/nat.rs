//! Public sources, service tags and packet sizes between real peers. The cases named `tNN_` are the
//! lines of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, End, Fabric, INTERNET, PUBLIC_VM0, Refused, TcpServer, VM0, VM1, World, at,
    privileged, run, until,
};
use std::net::Ipv4Addr;
use std::time::Duration;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(65, 52, 1, 1);
/// In `Storage.KoreaCentral` of every file below.
const NEAR: Ipv4Addr = Ipv4Addr::new(52, 239, 0, 7);
/// In `Storage.KoreaCentral` of the newer file.
const JOINS: Ipv4Addr = Ipv4Addr::new(52, 239, 9, 3);

/// The reference's example 5.4: A is Korea Central, B its pair.
fn tags(top: u32, a: u32, prefixes: &str) -> String {
    format!(
        r#"{{"changeNumber":{top},"cloud":"Public","values":[
        {{"name":"Storage.KoreaCentral","id":"Storage.KoreaCentral","properties":{{"changeNumber":{a},
          "region":"koreacentral","addressPrefixes":[{prefixes}]}}}},
        {{"name":"Storage.KoreaSouth","id":"Storage.KoreaSouth","properties":{{"changeNumber":5,
          "region":"koreasouth","addressPrefixes":["52.239.1.0/24"]}}}}]}}"#
    )
}

/// One NIC behind a NAT gateway, its subnet's storage endpoint on.
fn gated(head: &str) -> String {
    format!(
        r#"
location = "koreacentral"
{head}
[internet]
addresses = ["{INTERNET}/24", "{JOINS}/32"]
namespace = "inet"
[[natGateway]]
name = "nat1"
publicIPAddresses = ["{GATEWAY}"]
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage"]
natGateway = "nat1"
[[networkInterface]]
name = "vm0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "{VM0}"
namespace = "vm0"
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "{NEAR}"
namespace = "svc"
"#
    )
}

const V1: &str = r#""52.239.0.0/24""#;
const V2: &str = r#""52.239.0.0/24","52.239.9.0/28""#;

fn start_gated(head: &str) -> Fabric {
    let mut fabric = Fabric::prepare(&gated(head));
    let file = fabric.dir().write("tags-v1.json", tags(100, 7, V1));
    fabric.run_with(&["--service-tags", &file.to_string_lossy()]);
    fabric.run();
    fabric
}

#[track_caller]
fn connect(fabric: &Fabric, from: &str, to: Ipv4Addr) -> Connection {
    Connection::open(fabric.namespace(from), at(to, 443))
        .unwrap_or_else(|error| panic!("{from} to {to}: {error}"))
}

#[test]
fn t22_tag_update_cuts_what_joins_the_endpoint_and_nothing_else() {
    if !privileged() {
        return;
    }
    let fabric = start_gated("");
    let _storage = TcpServer::start(fabric.namespace("svc"), at(NEAR, 443));
    let joining = TcpServer::start(fabric.namespace("inet"), at(JOINS, 443));
    let _internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let mut near = connect(&fabric, "vm0", NEAR);
    let mut joins = connect(&fabric, "vm0", JOINS);
    let mut other = connect(&fabric, "vm0", INTERNET);
    assert_eq!([*near.source.ip(), *joins.source.ip()], [VM0, GATEWAY]);

    let file = fabric.dir().write("tags-v2.json", tags(101, 8, V2));
    let said = fabric.json(&["tags", "reload", &file.to_string_lossy()]);
    let numbers = ["before", "after"].map(|file| said[file]["changeNumber"].as_u64());
    assert_eq!(numbers, [Some(100), Some(101)]);
    let services = said["services"].as_array().expect("a list");
    assert_eq!(services.len(), 1, "{said}");
    assert_eq!(services[0]["added"], serde_json::json!(["52.239.9.0/28"]));
    let expected = serde_json::json!([{
        "name": "Storage.KoreaCentral", "inUse": true, "changeNumberBefore": 7,
        "changeNumberAfter": 8, "added": ["52.239.9.0/28"], "removed": [],
    }]);
    assert_eq!(services[0]["tags"], expected, "and B is not there");
    let sweep = &said["sweep"];
    assert_eq!(
        (&sweep["kept"], &sweep["closed"]),
        (&2.into(), &1.into()),
        "{said}"
    );
    assert_eq!(joins.wait_end(Duration::from_secs(1)), End::Reset);
    assert_eq!(
        joining.wait_end(joins.source, Duration::from_secs(1)),
        End::Reset
    );
    near.expect_alive();
    other.expect_alive();

    // A file that lacks what is in use changes nothing, and says what is missing.
    let text = tags(102, 9, V2).replace("Storage.", "Sql.");
    let wrong = fabric.dir().write("tags-v3.json", text);
    let refused = fabric.postern(&["tags", "reload", &wrong.to_string_lossy()]);
    let place = Refused {
        key: "serviceEndpoints",
        value: "Microsoft.Storage",
    };
    Fabric::is_refused(&refused, &wrong, place).unwrap();
    let status = fabric.json(&["status"]);
    assert_eq!(status["serviceTags"]["changeNumber"], 101, "{status}");
    near.expect_alive();
    other.expect_alive();
}

#[test]
fn t24_gateway_ports_stay_flat_under_pure_endpoint_load() {
    if !privileged() {
        return;
    }
    let fabric = start_gated("");
    let _storage = TcpServer::start(fabric.namespace("svc"), at(NEAR, 443));
    let open: Vec<_> = (0..200).map(|_| connect(&fabric, "vm0", NEAR)).collect();
    assert!(open.iter().all(|connection| *connection.source.ip() == VM0));
    assert_eq!(fabric.leases(), 0);
    assert_eq!(fabric.drops(), Vec::<String>::new());
}

#[test]
fn connection_that_went_idle_behind_a_gateway_is_reset_at_its_next_packet() {
    if !privileged() {
        return;
    }
    let fabric = start_gated("[timers]\ntcpIdle = \"1s\"\n");
    let _internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let mut idle = connect(&fabric, "vm0", INTERNET);
    assert_eq!(*idle.source.ip(), GATEWAY);
    until("the flow is over", Duration::from_secs(10), || {
        fabric.leases() == 0
    });
    let error = idle.echo().expect_err("the connection is over");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// The worked example of the reference, section 1.5, with both reaches of a storage endpoint.
#[test]
fn t19_out_of_pair_region_stays_public_unless_the_endpoint_is_global() {
    const KOREA_SOUTH: Ipv4Addr = Ipv4Addr::new(20, 150, 14, 5);
    const JAPAN_EAST: Ipv4Addr = Ipv4Addr::new(20, 38, 116, 5);
    if !privileged() {
        return;
    }
    let service = |name: &str, location: &str, address: Ipv4Addr| {
        format!(
            "[[service]]\nname = \"{name}\"\nservice = \"Microsoft.Storage\"\n\
             location = \"{location}\"\naddress = \"{address}\"\nnamespace = \"svc\"\n\
             mtu = 1500\noffload = \"on\"\n"
        )
    };
    let world = World {
        tail: service("south", "koreasouth", KOREA_SOUTH)
            + &service("japan", "japaneast", JAPAN_EAST),
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let servers = [KOREA_SOUTH, JAPAN_EAST]
        .map(|address| TcpServer::start(fabric.namespace("svc"), at(address, 443)));
    let sources = || [KOREA_SOUTH, JAPAN_EAST].map(|to| *connect(&fabric, "vm0", to).source.ip());
    assert_eq!(sources(), [PUBLIC_VM0, PUBLIC_VM0]);
    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    let list = fabric.json(&["endpoint", "list"]);
    let locations = &list["value"]
        .as_array()
        .or(list.as_array())
        .expect("a list")[0]["locations"];
    assert_eq!(
        *locations,
        serde_json::json!(["koreacentral", "koreasouth"])
    );
    assert_eq!(sources(), [VM0, PUBLIC_VM0]);

    let mut far = connect(&fabric, "vm0", JAPAN_EAST);
    fabric.endpoint("disable", "subnet1", "Microsoft.Storage");
    far.expect_alive();
    fabric.endpoint("enable", "subnet1", "Microsoft.Storage.Global");
    assert_eq!(far.wait_end(Duration::from_secs(1)), End::Reset);
    assert_eq!(
        servers[1].wait_end(far.source, Duration::from_secs(1)),
        End::Reset
    );
    assert_eq!(sources(), [VM0, VM0]);
}

#[test]
fn ping_that_may_be_cut_reaches_a_smaller_mtu() {
    if !privileged() {
        return;
    }
    let text = World::default().to_string();
    let small = "namespace = \"vm0\"\nmtu = 1500";
    assert!(text.contains(small));
    let fabric = Fabric::start(&text.replace(small, "namespace = \"vm0\"\nmtu = 9000"));
    let vm0 = fabric.namespace("vm0");
    let ping = |rule: &str| {
        let mut command = vm0.command("ping");
        command.args(["-n", "-c", "1", "-W", "3", "-s", "4000", "-M", rule]);
        run(command.arg(VM1.to_string()))
    };
    let cut = ping("dont");
    assert!(cut.success(), "{cut}");
    assert!(!ping("do").success(), "what forbids fragments is not cut");
    assert!(
        fabric
            .drops()
            .iter()
            .any(|drop| drop.contains("too_big: 1"))
    );
}
