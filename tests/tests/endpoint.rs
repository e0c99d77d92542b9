//! What switching a service endpoint does to live and new connections. The cases named `tNN_` are
//! the lines of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, EchoTap, End, Fabric, INTERNET, KEY_VAULT, PUBLIC_DEFAULT, PUBLIC_VM0, STORAGE,
    TcpServer, UdpServer, UdpSocketPair, VM0, VM1, World, at, ping, privileged,
};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Where every network has its resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// How soon both sides of a cut connection must know.
const CUT: Duration = Duration::from_secs(1);

const ALLOW_SSH: &str = r#"
[[networkSecurityGroup]]
name = "nsg1"
[[networkSecurityGroup.securityRule]]
name = "allow-ssh"
priority = 1000
direction = "Inbound"
access = "Allow"
protocol = "Tcp"
sourceAddressPrefix = "*"
sourcePortRange = "*"
destinationAddressPrefix = "*"
destinationPortRange = "22"
"#;

/// Servers wherever a NIC of the world can connect to, and one behind the public address of `vm0`.
struct Servers {
    storage: TcpServer,
    key_vault: TcpServer,
    _internet: TcpServer,
    _vm1: TcpServer,
    _ssh: TcpServer,
}

impl Servers {
    fn start(fabric: &Fabric) -> Self {
        let (service, internet) = (fabric.namespace("svc"), fabric.namespace("inet"));
        Self {
            storage: TcpServer::start(service, at(STORAGE, 443)),
            key_vault: TcpServer::start(service, at(KEY_VAULT, 443)),
            _internet: TcpServer::start(internet, at(INTERNET, 443)),
            _vm1: TcpServer::start(fabric.namespace("vm1"), at(VM1, 8080)),
            _ssh: TcpServer::start(fabric.namespace("vm0"), at(VM0, 22)),
        }
    }
}

#[track_caller]
fn connect(fabric: &Fabric, from: &str, to: Ipv4Addr, port: u16) -> Connection {
    Connection::open(fabric.namespace(from), at(to, port))
        .unwrap_or_else(|error| panic!("{from} to {to}:{port}: {error}"))
}

/// The address of `from` as the storage service sees it on a new connection.
#[track_caller]
fn storage_source(fabric: &Fabric, from: &str) -> Ipv4Addr {
    *connect(fabric, from, STORAGE, 443).source.ip()
}

/// Checks that both sides of a connection are reset soon, without a byte sent for it.
#[track_caller]
fn expect_cut(connection: &mut Connection, server: &TcpServer) {
    assert_eq!(
        connection.wait_end(CUT),
        End::Reset,
        "the client of {}",
        connection.source
    );
    assert_eq!(
        server.wait_end(connection.source, CUT),
        End::Reset,
        "the server"
    );
}

/// One of everything that a switch of storage in subnet1 must leave alone.
struct Bystanders(Vec<Connection>);

impl Bystanders {
    fn open(fabric: &Fabric) -> Self {
        Self(vec![
            connect(fabric, "vm0", INTERNET, 443),
            connect(fabric, "vm0", KEY_VAULT, 443),
            connect(fabric, "vm0", VM1, 8080),
            connect(fabric, "vm1", STORAGE, 443),
            connect(fabric, "inet", PUBLIC_VM0, 22),
        ])
    }

    #[track_caller]
    fn expect_alive(&mut self) {
        for connection in &mut self.0 {
            connection.expect_alive();
        }
    }
}

/// A query for the address of the storage account, and the platform's answer to it.
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x07contoso\x04blob\x04core\x07windows\x03net\x00\x00\x01\x00\x01";

fn answer() -> Vec<u8> {
    let mut answer = QUERY.to_vec();
    answer[2..8].copy_from_slice(b"\x81\x80\x00\x01\x00\x01");
    answer.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
    answer.extend_from_slice(&STORAGE.octets());
    answer
}

#[test]
fn t01_enabling_shows_the_private_source_and_cuts_only_that_service() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let servers = Servers::start(&fabric);
    let resolver = UdpSocketPair::open(fabric.namespace("vm0"), at(RESOLVER, 53)).unwrap();
    assert_eq!(resolver.ask(QUERY).unwrap(), answer());

    let mut storage = connect(&fabric, "vm0", STORAGE, 443);
    assert_eq!(storage.source, at(PUBLIC_VM0, storage.local.port()));
    let mut others = Bystanders::open(&fabric);

    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    expect_cut(&mut storage, &servers.storage);
    others.expect_alive();
    let again = connect(&fabric, "vm0", STORAGE, 443);
    assert_eq!(
        again.source, again.local,
        "the private source, its port unchanged"
    );
    assert_eq!(*again.source.ip(), VM0);
    assert_eq!(resolver.ask(QUERY).unwrap(), answer());
}

#[test]
fn t02_disabling_shows_the_public_source_and_cuts_only_that_service() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage"],
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let servers = Servers::start(&fabric);
    let mut storage = connect(&fabric, "vm0", STORAGE, 443);
    assert_eq!(storage.source, at(VM0, storage.local.port()));
    let mut others = Bystanders::open(&fabric);

    fabric.endpoint("disable", "subnet1", "Microsoft.Storage");
    expect_cut(&mut storage, &servers.storage);
    others.expect_alive();
    assert_eq!(storage_source(&fabric, "vm0"), PUBLIC_VM0);
}

#[test]
fn t03_enabling_again_changes_nothing() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let _servers = Servers::start(&fabric);
    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    let epoch = fabric.epoch();
    let mut storage = connect(&fabric, "vm0", STORAGE, 443);
    let mut others = Bystanders::open(&fabric);

    let said = fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    assert!(said.stdout.contains("no change"), "{said}");
    assert_eq!(fabric.epoch(), epoch);
    storage.expect_alive();
    others.expect_alive();
    // Names compare without case.
    fabric.endpoint("enable", "subnet1", "microsoft.storage");
    assert_eq!(fabric.epoch(), epoch);
    storage.expect_alive();
}

#[test]
fn t04_a_sibling_subnet_keeps_its_public_source() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let _servers = Servers::start(&fabric);
    let mut sibling = connect(&fabric, "vm1", STORAGE, 443);
    assert_eq!(*sibling.source.ip(), PUBLIC_DEFAULT);

    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    sibling.expect_alive();
    assert_eq!(storage_source(&fabric, "vm1"), PUBLIC_DEFAULT);
    assert_eq!(storage_source(&fabric, "vm0"), VM0);
}

#[test]
fn t06_ping_takes_the_public_path_while_tcp_takes_the_endpoint() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage"],
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let _servers = Servers::start(&fabric);
    let tap = EchoTap::start(fabric.namespace("svc"));
    assert!(ping(fabric.namespace("vm0"), STORAGE), "no answer");
    assert_eq!(tap.next_source(), PUBLIC_VM0);
    assert_eq!(storage_source(&fabric, "vm0"), VM0);
}

#[test]
fn t07_udp_takes_the_public_path_while_tcp_takes_the_endpoint() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let _servers = Servers::start(&fabric);
    let _udp = UdpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let [own, shared] = ["vm0", "vm1"]
        .map(|vm| UdpSocketPair::open(fabric.namespace(vm), at(STORAGE, 443)).unwrap());
    let before = [own.source(), shared.source()];
    assert_eq!(
        before.map(|source| *source.ip()),
        [PUBLIC_VM0, PUBLIC_DEFAULT]
    );

    for subnet in ["subnet1", "subnet2"] {
        fabric.endpoint("enable", subnet, "Microsoft.Storage");
    }
    assert_eq!(
        [own.source(), shared.source()],
        before,
        "the same source, the same port"
    );
    let fresh = UdpSocketPair::open(fabric.namespace("vm0"), at(STORAGE, 443)).unwrap();
    assert_eq!(*fresh.source().ip(), PUBLIC_VM0);
    assert_eq!(storage_source(&fabric, "vm0"), VM0);
    assert_eq!(storage_source(&fabric, "vm1"), VM1);
}

#[test]
fn idle_connections_are_cut_within_a_second_of_the_report() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let servers = Servers::start(&fabric);
    let mut idle: Vec<_> = (0..50)
        .map(|_| connect(&fabric, "vm1", STORAGE, 443))
        .collect();

    for switch in ["enable", "disable"] {
        let said = fabric.endpoint(switch, "subnet2", "Microsoft.Storage");
        let reported = Instant::now();
        for connection in &mut idle {
            let left = CUT
                .saturating_sub(reported.elapsed())
                .max(Duration::from_millis(1));
            assert_eq!(connection.wait_end(left), End::Reset, "{switch}: {said}");
        }
        for connection in &idle {
            let left = CUT.saturating_sub(reported.elapsed());
            assert_eq!(
                servers.storage.wait_end(connection.source, left),
                End::Reset
            );
        }
        idle = (0..50)
            .map(|_| connect(&fabric, "vm1", STORAGE, 443))
            .collect();
    }
    let log = fabric.log();
    assert!(log.contains("applied"), "{log}");
}

#[test]
fn of_two_services_only_the_one_switched_off_is_cut() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage", "Microsoft.KeyVault"],
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let servers = Servers::start(&fabric);
    let mut storage = connect(&fabric, "vm0", STORAGE, 443);
    let mut key_vault = connect(&fabric, "vm0", KEY_VAULT, 443);
    assert_eq!([*storage.source.ip(), *key_vault.source.ip()], [VM0, VM0]);

    fabric.endpoint("disable", "subnet1", "Microsoft.KeyVault");
    expect_cut(&mut key_vault, &servers.key_vault);
    storage.expect_alive();
    assert_eq!(storage_source(&fabric, "vm0"), VM0);
    assert_eq!(
        *connect(&fabric, "vm0", KEY_VAULT, 443).source.ip(),
        PUBLIC_VM0
    );
}

#[test]
fn an_nsg_edit_keeps_every_connection_and_its_snat_port() {
    if !privileged() {
        return;
    }
    let mut world = World {
        nsg1: Some("nsg1"),
        tail: ALLOW_SSH.to_owned(),
        ..World::default()
    };
    let mut fabric = Fabric::start(&world.to_string());
    let _servers = Servers::start(&fabric);
    let _udp = UdpServer::start(fabric.namespace("inet"), at(INTERNET, 9999));
    let mut others = Bystanders::open(&fabric);
    let mut shared = connect(&fabric, "vm1", INTERNET, 443);
    let datagrams = UdpSocketPair::open(fabric.namespace("vm1"), at(INTERNET, 9999)).unwrap();
    let (source, ports) = (datagrams.source(), shared_ports(&fabric));
    assert_eq!(*source.ip(), PUBLIC_DEFAULT);

    world.tail = ALLOW_SSH.replace("\"22\"", "\"2222\"");
    let said = fabric.apply(&world.to_string());
    assert!(!said.stdout.contains("no change"), "{said}");
    others.expect_alive();
    shared.expect_alive();
    assert_eq!(datagrams.source(), source);
    assert_eq!(shared_ports(&fabric), ports);
    let refused = Connection::open(fabric.namespace("inet"), at(PUBLIC_VM0, 22));
    assert!(refused.is_err(), "new connections meet the new rules");
}

/// The flows with a shared public source: who sends, and as whom it is seen.
fn shared_ports(fabric: &Fabric) -> Vec<(String, String)> {
    let flows = fabric.json(&["flows"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let rows = flows["value"]
        .as_array()
        .unwrap_or_else(|| panic!("no list in {flows}"));
    let mut ports: Vec<_> = rows
        .iter()
        .filter(|flow| flow["sourceKind"] == "shared")
        .map(|flow| (text(&flow["source"]), text(&flow["translatedSource"])))
        .collect();
    ports.sort();
    assert!(ports.len() > 1, "no shared flow in {flows}");
    ports
}

#[test]
fn applying_the_same_file_twice_reports_no_change() {
    if !privileged() {
        return;
    }
    let mut world = World::default();
    let mut fabric = Fabric::start(&world.to_string());
    let _servers = Servers::start(&fabric);
    world.endpoints2 = vec!["Microsoft.Storage"];
    let said = fabric.apply(&world.to_string());
    assert!(!said.stdout.contains("no change"), "{said}");
    let epoch = fabric.epoch();
    let mut open = connect(&fabric, "vm1", STORAGE, 443);
    let mut others = Bystanders::open(&fabric);

    let said = fabric.apply(&world.to_string());
    assert!(said.stdout.contains("no change"), "{said}");
    assert_eq!(fabric.epoch(), epoch);
    open.expect_alive();
    others.expect_alive();
}

/// The worked example of the reference, section 2.5, with a storage address of Korea Central.
#[test]
fn worked_example_cuts_a_and_leaves_b_and_c() {
    if !privileged() {
        return;
    }
    let world = World {
        nsg1: Some("nsg1"),
        tail: ALLOW_SSH.to_owned(),
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let servers = Servers::start(&fabric);
    let mut a = connect(&fabric, "vm0", STORAGE, 443);
    let mut b = connect(&fabric, "vm0", INTERNET, 443);
    let mut c = connect(&fabric, "inet", PUBLIC_VM0, 22);
    assert_eq!([*a.source.ip(), *b.source.ip()], [PUBLIC_VM0, PUBLIC_VM0]);

    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    expect_cut(&mut a, &servers.storage);
    b.expect_alive();
    c.expect_alive();
    assert_eq!(storage_source(&fabric, "vm0"), VM0);
    let tap = EchoTap::start(fabric.namespace("svc"));
    assert!(ping(fabric.namespace("vm0"), STORAGE), "no answer");
    assert_eq!(tap.next_source(), PUBLIC_VM0);
}

#[test]
fn t20_a_subnet_that_is_written_without_endpoints_has_none() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage", "Microsoft.KeyVault"],
        ..World::default()
    };
    let mut fabric = Fabric::start(&world.to_string());
    let servers = Servers::start(&fabric);
    let mut storage = connect(&fabric, "vm0", STORAGE, 443);
    let mut vault = connect(&fabric, "vm0", KEY_VAULT, 443);
    let mut internet = connect(&fabric, "vm0", INTERNET, 443);
    assert_eq!(*storage.source.ip(), VM0);
    let endpoints = format!("serviceEndpoints = {:?}\n", world.endpoints1);
    // What is written is the new whole: without one service that one goes, and without the key all.
    let one = "serviceEndpoints = [\"Microsoft.KeyVault\"]\n";
    fabric.apply(&world.to_string().replacen(&endpoints, one, 1));
    expect_cut(&mut storage, &servers.storage);
    vault.expect_alive();
    assert_eq!(storage_source(&fabric, "vm0"), PUBLIC_VM0);
    let said = fabric.apply(&world.to_string().replacen(&endpoints, "", 1));
    assert!(
        said.stdout
            .contains("serviceEndpoints: [Microsoft.KeyVault] -> none"),
        "{said}"
    );
    expect_cut(&mut vault, &servers.key_vault);
    assert_eq!(fabric.json(&["endpoint", "list"]), serde_json::json!([]));
    internet.expect_alive();
}

#[test]
fn t21_locations_are_the_platforms_in_whatever_order_they_are_written() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage", "Microsoft.Sql", "Microsoft.KeyVault"],
        ..World::default()
    };
    let endpoints = format!("serviceEndpoints = {:?}\n", world.endpoints1);
    let mut fabric = Fabric::start(&world.to_string());
    let _servers = Servers::start(&fabric);
    let mut connection = connect(&fabric, "vm0", STORAGE, 443);
    let listed = fabric.json(&["endpoint", "list"]);
    let locations = |service: &str| {
        let endpoints = listed.as_array().unwrap().iter();
        let mut found = endpoints.filter(|endpoint| endpoint["service"] == service);
        let endpoint = found.next().unwrap();
        assert_eq!(endpoint["provisioningState"], "Succeeded");
        endpoint["locations"].clone()
    };
    assert_eq!(
        locations("Microsoft.Storage"),
        serde_json::json!(["koreacentral", "koreasouth"])
    );
    assert_eq!(
        locations("Microsoft.Sql"),
        serde_json::json!(["koreacentral"])
    );
    assert_eq!(locations("Microsoft.KeyVault"), serde_json::json!(["*"]));
    for written in [
        r#"[{ service = "Microsoft.Storage" }, "Microsoft.Sql", "Microsoft.KeyVault"]"#,
        r#"["microsoft.keyvault", "MICROSOFT.SQL", "Microsoft.storage", "Microsoft.Sql"]"#,
        r#"[{ service = "Microsoft.Storage", locations = ["koreasouth", "koreacentral"] },
            { service = "Microsoft.Sql", locations = ["KoreaCentral"], provisioningState = "Updating" },
            { service = "Microsoft.KeyVault", locations = ["*"] }]"#,
        r#"[{ service = "Microsoft.Storage", locations = ["*"] }, "Microsoft.KeyVault",
            { locations = ["koreasouth"], service = "Microsoft.Sql" }]"#,
    ] {
        let written = format!("serviceEndpoints = {written}\n");
        let said = fabric.apply(&world.to_string().replacen(&endpoints, &written, 1));
        assert!(said.stdout.contains("no change"), "{written}: {said}");
        assert_eq!(fabric.json(&["endpoint", "list"]), listed, "{written}");
    }
    connection.expect_alive();
    assert_eq!(fabric.epoch(), 1);
}
