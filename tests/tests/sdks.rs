//! The Azure SDKs for Python and JavaScript against a fabric: the same network by each, obeyed by
//! packets; the same again changes nothing; and writers that meet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Arm, Azure, Connection, Fabric, INTERNET, PUBLIC_DEFAULT, STORAGE, TcpServer, TempDir, at,
    azure_head, bind, group_id, network_id, planned, privileged, run,
};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a connection that must be lost is tried.
const SOON: Duration = Duration::from_secs(1);

fn fabric() -> Fabric {
    let nic = "Microsoft.Network/networkInterfaces";
    let account = bind("Microsoft.Storage/storageAccounts", "contosodata", "svc");
    Fabric::start(&format!(
        "{}[publicIPPool]\nprefixes = [\"20.0.0.0/27\"]\n\
         [internet]\naddresses = [\"{INTERNET}/24\"]\nnamespace = \"inet\"\n\
         [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n\
         {}{}{account}address = \"{STORAGE}\"\ndelivery = \"native\"\n",
        azure_head(),
        bind(nic, "app", "app"),
        bind(nic, "job", "job"),
    ))
}

/// As whom `from` is seen there; why not, if it is not.
fn reach(fabric: &Fabric, from: &str, to: SocketAddrV4) -> Result<Ipv4Addr, ErrorKind> {
    let connection = Connection::open_within(fabric.namespace(from), to, SOON);
    connection
        .map(|connection| *connection.source.ip())
        .map_err(|error| error.kind())
}

/// Runs a program with the SDKs and returns what it said.
fn program(azure: &Azure, program: &str, what: &str) -> Value {
    let output = run(azure.sdk(program).arg(what)).expect_success();
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"))
}

/// Builds the network by a program, asks packets, builds it again and removes it.
fn main_path(script: &str) {
    let fabric = fabric();
    let azure = Azure::setup(&fabric);
    let built = program(&azure, script, "build");
    assert_eq!(
        built["addresses"],
        json!({ "app": "10.0.1.4", "job": "10.0.2.4" })
    );
    assert_eq!(built["defaultAction"], "Deny", "{built}");
    let deployment = &built["deployment"];
    assert_eq!(deployment["valid"], "Succeeded", "{built}");
    assert_eq!(planned(&deployment["changes"]), ["Create"], "{built}");
    let deployed: Ipv4Addr = deployment["outputs"]["address"]["value"]
        .as_str()
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("no address: {built}"));
    let read = &built["read"];
    assert_eq!(read["endpoint"]["state"], "Succeeded", "{read}");
    let locations = json!(["koreacentral", "koreasouth"]);
    assert_eq!(read["endpoint"]["locations"], locations, "{read}");
    let hops = read["hops"].as_array().expect("hops");
    assert!(
        hops.contains(&json!("VirtualNetworkServiceEndpoint")),
        "{read}"
    );
    assert_eq!(read["groups"], 1, "{read}");
    assert_eq!(read["tags"], true, "{read}");
    assert_eq!(read["networks"], json!(["hub"]), "{read}");

    let (storage, web, closed) = (at(STORAGE, 443), at(INTERNET, 80), at(INTERNET, 81));
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let _servers = [web, closed].map(|at| TcpServer::start(fabric.namespace("inet"), at));
    assert_eq!(
        reach(&fabric, "app", storage),
        Ok(Ipv4Addr::new(10, 0, 1, 4))
    );
    assert_eq!(
        reach(&fabric, "job", storage),
        Err(ErrorKind::ConnectionRefused)
    );
    assert_eq!(reach(&fabric, "app", web), Ok(PUBLIC_DEFAULT));
    assert_eq!(reach(&fabric, "app", closed), Err(ErrorKind::TimedOut));
    let translated = reach(&fabric, "job", web).expect("by the NAT gateway");
    let arm = Arm::owner(&azure);
    let address = arm.get(&network_id("sdk", "publicIPAddresses/nat-ip"));
    let address = &address.body["properties"]["ipAddress"];
    assert_eq!(*address, translated.to_string());
    assert_ne!(translated, deployed);

    let epoch = fabric.epoch();
    let again = program(&azure, script, "build");
    assert_eq!(fabric.epoch(), epoch, "the same again changes nothing");
    let changes = planned(&again["deployment"]["changes"]);
    assert_eq!(changes, ["NoChange"], "{again}");
    assert_eq!(again["read"], built["read"]);

    let removed = program(&azure, script, "remove");
    assert_eq!(removed["exists"], false, "{removed}");
    let refused = removed["refused"].as_str().unwrap_or_default();
    assert!(refused.starts_with("InUse"), "{removed}");
    assert!(!fabric.has_device("app"), "the NIC's device is gone");
}

#[test]
fn the_sdk_for_python_builds_a_network_that_packets_obey() {
    if privileged() {
        main_path("network.py");
    }
}

#[test]
fn the_sdk_for_javascript_builds_a_network_that_packets_obey() {
    if privileged() {
        main_path("network.cjs");
    }
}

/// Two writers add to one number, each by what it has read and its ETag.
#[test]
fn writers_with_etags_lose_no_update() {
    const EACH: usize = 25;
    if !privileged() {
        return;
    }
    let fabric = fabric();
    let azure = Azure::setup(&fabric);
    azure.az("group create -n rg -l koreacentral");
    azure.az("network vnet create -g rg -n hub --address-prefixes 10.0.0.0/16 --tags n=0");
    let folder = TempDir::create();
    let writer = || {
        let mut command = azure.sdk("count.py");
        command.args(["rg", "hub", &EACH.to_string()]);
        command.arg(folder.path()).arg("2");
        command
    };
    let said = thread::scope(|scope| {
        let writers = [writer(), writer()];
        let runs = writers.map(|mut command| scope.spawn(move || run(&mut command)));
        runs.map(|run| run.join().expect("a writer ends").expect_success().stdout)
    });
    let shown = azure.az("network vnet show -g rg -n hub");
    let total = (2 * EACH).to_string();
    assert_eq!(shown["tags"]["n"], json!(total), "{said:?}");
    let lost: Vec<Value> = said
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let refused: u64 = lost.iter().filter_map(|one| one["refused"].as_u64()).sum();
    assert!(refused > 0, "the writers never met: {said:?}");
}

/// Whoever looks while one writer changes both rules of a group at once never sees one of each.
#[test]
fn nobody_sees_half_of_a_change() {
    if !privileged() {
        return;
    }
    let fabric = fabric();
    let azure = Azure::setup(&fabric);
    azure.az("group create -n rg -l koreacentral");
    azure.az(
        "network vnet create -g rg -n hub --address-prefixes 10.0.0.0/16 --subnet-name apps \
         --subnet-prefixes 10.0.1.0/24",
    );
    azure.az("network nsg create -g rg -n nsg");
    azure.az(
        "network vnet subnet update -g rg --vnet-name hub -n apps --network-security-group nsg",
    );
    azure.az("network nic create -g rg -n app --vnet-name hub --subnet apps");
    let arm = Arm::owner(&azure);
    let group = network_id("rg", "networkSecurityGroups/nsg");
    let rule = |name: &str, priority: u32, port: u32| {
        json!({ "name": name, "properties": {
            "priority": priority, "direction": "Outbound", "access": "Deny", "protocol": "Tcp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "Internet", "destinationPortRange": port.to_string()
        } })
    };
    let body = |port: u32| {
        let rules = [rule("one", 200, port), rule("two", 201, port)];
        json!({ "location": "koreacentral", "properties": { "securityRules": rules } })
    };
    arm.put(&group, &body(1000)).expect_success();
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                // What is told, and what packets obey.
                let told = arm.get(&group).expect_success().body;
                let ports = |rules: &Value| -> Vec<String> {
                    let rules = rules.as_array().expect("rules").iter();
                    rules
                        .map(|rule| rule["properties"]["destinationPortRange"].to_string())
                        .collect()
                };
                let told = ports(&told["properties"]["securityRules"]);
                assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
                let obeyed = fabric.json(&["nsg", "effective", "app"]).to_string();
                let seen: Vec<_> = (1000..1040)
                    .filter(|port| {
                        obeyed.contains(&format!("\"{port}-{port}\""))
                            || obeyed.contains(&format!("\"{port}\""))
                    })
                    .collect();
                assert_eq!(seen.len(), 1, "{obeyed}");
                looks += 1;
            }
            looks
        });
        for port in 1001..1040 {
            arm.put(&group, &body(port)).expect_success();
        }
        done.store(true, Ordering::Relaxed);
        looker.join().expect("the looker ends")
    });
    assert!(looks > 5, "only {looks} looks");
    assert_eq!(arm.get(&group_id("rg")).status, 200);
}
