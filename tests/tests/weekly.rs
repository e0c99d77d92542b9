//! Microsoft's whole service-tag file, loaded, compiled and swapped while packets flow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, End, Fabric, Probe, TcpServer, UdpServer, WEEKLY_INTERNET, WEEKLY_JOINS,
    WEEKLY_NETWORK, WEEKLY_SQL, WEEKLY_STORAGE, at, privileged, serial, weekly_files,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often the file is swapped.
const SWAPS: usize = 6;

/// Starts the network with the earlier week's file; nothing where there are no files.
fn start() -> Option<(Fabric, [String; 2])> {
    let mut fabric = Fabric::prepare(WEEKLY_NETWORK);
    let files = weekly_files(fabric.dir())?.map(|path| path.to_string_lossy().into_owned());
    fabric.run_with(&["--service-tags", &files[0]]);
    fabric.run();
    Some((fabric, files))
}

#[track_caller]
fn connect(fabric: &Fabric, from: &str, to: Ipv4Addr) -> Connection {
    Connection::open(fabric.namespace(from), at(to, 443))
        .unwrap_or_else(|error| panic!("{from} to {to}: {error}"))
}

#[test]
fn full_file_is_swapped_under_traffic_and_no_connection_is_lost() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    let Some((fabric, files)) = start() else {
        return;
    };
    assert!(fabric.json(&["status"])["serviceTags"]["changeNumber"] == 373);
    let _servers = [WEEKLY_STORAGE, WEEKLY_SQL]
        .map(|address| TcpServer::start(fabric.namespace("svc"), at(address, 443)));
    let _internet = TcpServer::start(fabric.namespace("inet"), at(WEEKLY_INTERNET, 443));
    let _vm1 = TcpServer::start(fabric.namespace("vm1"), at(Ipv4Addr::new(10, 0, 2, 4), 443));
    let echo = at(WEEKLY_INTERNET, 7);
    let _echo = UdpServer::answering(fabric.namespace("inet"), echo, |bytes, _| bytes.to_vec());
    let paths = [
        ("vm0", WEEKLY_STORAGE),
        ("vm0", WEEKLY_SQL),
        ("vm0", WEEKLY_INTERNET),
        ("vm0", Ipv4Addr::new(10, 0, 2, 4)),
        ("vm1", WEEKLY_STORAGE),
        ("vm1", WEEKLY_INTERNET),
    ];
    let open = paths.map(|(from, to)| connect(&fabric, from, to));
    let probe = Probe::start(fabric.namespace("vm0"), echo, Duration::from_millis(1));
    let stop = AtomicBool::new(false);
    let echoes = thread::scope(|scope| {
        // Every connection speaks all the time; one that is cut ends the case.
        let speaking = open.map(|mut connection| {
            let stop = &stop;
            scope.spawn(move || {
                let mut echoes = 0u32;
                while !stop.load(Ordering::Relaxed) {
                    connection.expect_alive();
                    echoes += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                echoes
            })
        });
        for swap in 1..=SWAPS {
            let said = fabric.json(&["tags", "reload", &files[swap % 2]]);
            let sweep = &said["sweep"];
            let count = |key: &str| sweep[key].as_u64().unwrap();
            assert_eq!((count("closed"), count("rebound")), (0, 0), "{said}");
            assert_eq!(count("kept"), paths.len() as u64 + 1, "{said}");
        }
        stop.store(true, Ordering::Relaxed);
        speaking.map(|thread| thread.join().unwrap())
    });
    let asked = probe.stop().len();
    assert!(
        echoes.iter().all(|&echoes| echoes > 20) && asked > 20,
        "{echoes:?}, {asked}"
    );
    assert_eq!(fabric.drops(), Vec::<String>::new());
}

#[test]
fn full_file_cuts_the_connection_that_joins_an_endpoint_and_no_other() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    let Some((fabric, files)) = start() else {
        return;
    };
    let _storage = TcpServer::start(fabric.namespace("svc"), at(WEEKLY_STORAGE, 443));
    let joining = TcpServer::start(fabric.namespace("inet"), at(WEEKLY_JOINS, 443));
    let mut near = connect(&fabric, "vm0", WEEKLY_STORAGE);
    let mut joins = connect(&fabric, "vm0", WEEKLY_JOINS);
    let mut sibling = connect(&fabric, "vm1", WEEKLY_JOINS);
    let said = fabric.json(&["tags", "reload", &files[1]]);
    assert_eq!(
        (&said["sweep"]["kept"], &said["sweep"]["closed"]),
        (&2.into(), &1.into())
    );
    assert_eq!(joins.wait_end(Duration::from_secs(2)), End::Reset);
    let seen = joining.wait_end(joins.source, Duration::from_secs(2));
    assert_eq!(seen, End::Reset);
    near.expect_alive();
    sibling.expect_alive();
}

/// What supplies the prefixes of each service (reference section 1.1).
#[rustfmt::skip]
const SERVICES: [(&str, &[&str]); 10] = [
    ("Microsoft.Storage", &["Storage"]),
    ("Microsoft.Sql", &["Sql"]),
    ("Microsoft.AzureCosmosDB", &["AzureCosmosDB"]),
    ("Microsoft.KeyVault", &["AzureKeyVault"]),
    ("Microsoft.ServiceBus", &["ServiceBus"]),
    ("Microsoft.EventHub", &["EventHub"]),
    ("Microsoft.AzureActiveDirectory", &["AzureActiveDirectory"]),
    ("Microsoft.Web", &["AppService"]),
    ("Microsoft.ContainerRegistry", &["AzureContainerRegistry"]),
    (
        "Microsoft.CognitiveServices",
        &["CognitiveServicesManagement", "CognitiveServicesFrontend"],
    ),
];

type Prefixes = BTreeSet<String>;

/// The tags of one service in a file: change number and IPv4 prefixes by name.
fn tags_of(file: &Value, bases: &[&str]) -> BTreeMap<String, (Value, Prefixes)> {
    let tags = file["values"].as_array().unwrap().iter();
    let own = tags.filter(|tag| {
        let name = tag["name"].as_str().unwrap();
        bases.contains(&name.split('.').next().unwrap())
    });
    own.map(|tag| {
        let properties = &tag["properties"];
        let prefixes = properties["addressPrefixes"].as_array().unwrap().iter();
        let texts = prefixes.map(|prefix| prefix.as_str().unwrap());
        let ipv4 = texts.filter(|text| !text.contains(':')).map(str::to_owned);
        let name = tag["name"].as_str().unwrap().to_owned();
        (name, (properties["changeNumber"].clone(), ipv4.collect()))
    })
    .collect()
}

/// What the verb has to say of the services, from a plain reading of both files.
fn expected(before: &Value, after: &Value) -> Value {
    let mut services = Vec::new();
    for (service, bases) in SERVICES {
        let (old, new) = (tags_of(before, bases), tags_of(after, bases));
        let all = |tags: &BTreeMap<String, (Value, Prefixes)>| -> Prefixes {
            tags.values()
                .flat_map(|(_, prefixes)| prefixes.iter().cloned())
                .collect()
        };
        let less = |one: &Prefixes, other: &Prefixes| -> Prefixes {
            one.difference(other).cloned().collect()
        };
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let nothing = (Value::Null, Prefixes::new());
        let tags = names.into_iter().filter_map(|name| {
            let (old, new) = (old.get(name), new.get(name));
            let [was, is] = [old, new].map(|tag| tag.unwrap_or(&nothing));
            (was != is).then(|| {
                json!({
                    "name": name, "changeNumberBefore": was.0, "changeNumberAfter": is.0,
                    "added": less(&is.1, &was.1), "removed": less(&was.1, &is.1),
                })
            })
        });
        let tags: Vec<Value> = tags.collect();
        if !tags.is_empty() {
            services.push(json!({
                "service": service, "added": less(&all(&new), &all(&old)),
                "removed": less(&all(&old), &all(&new)), "tags": tags,
            }));
        }
    }
    services.into()
}

/// What the verb said of the services, in the order of the names and of the texts.
fn said(answer: &Value) -> Value {
    let mut services = answer["services"].clone();
    let sort = |list: &mut Value| {
        let list = list.as_array_mut().unwrap();
        list.sort_by_key(|prefix| prefix.as_str().unwrap().to_owned());
    };
    for service in services.as_array_mut().unwrap() {
        sort(&mut service["added"]);
        sort(&mut service["removed"]);
        let tags = service["tags"].as_array_mut().unwrap();
        tags.sort_by_key(|tag| tag["name"].as_str().unwrap().to_owned());
        for tag in tags {
            sort(&mut tag["added"]);
            sort(&mut tag["removed"]);
            tag.as_object_mut().unwrap().remove("inUse");
        }
    }
    services
}

#[test]
fn reload_lists_what_came_and_went_as_a_plain_reading_does() {
    if !privileged() {
        return;
    }
    let _alone = serial();
    let Some((fabric, paths)) = start() else {
        return;
    };
    let files = paths.clone().map(|path| -> Value {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
    });
    let there = expected(&files[0], &files[1]);
    let added = there[0]["added"].as_array().map_or(0, Vec::len);
    assert!(added > 3, "{there}");
    for (before, after) in [(0, 1), (1, 0)] {
        let answer = fabric.json(&["tags", "reload", &paths[after]]);
        assert_eq!(said(&answer), expected(&files[before], &files[after]));
    }
    let again = fabric.json(&["tags", "reload", &paths[0]]);
    assert_eq!(again["services"], json!([]));
}
