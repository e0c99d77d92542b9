//! What was acknowledged is there after a crash, and nothing is half there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{Control, Fabric, World, privileged, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const HOST: &str = "[settings]\ncloseMode = \"rst\"\n";
const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/storm";

fn network(kind: &str, name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Network/{kind}/{name}")
}

/// How often the storm is interrupted; 200 takes a few minutes.
fn kills() -> u64 {
    let told = std::env::var("POSTERN_KILLS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Returns a virtual network whose subnets and tag all say `round`.
fn vnet(writer: u64, round: u64) -> Value {
    let subnet = |at: u64| {
        json!({ "name": format!("s{at}-{round}"), "properties": {
            "addressPrefix": format!("10.{writer}.{at}.0/24"),
        } })
    };
    json!({
        "location": "koreacentral",
        "tags": { "round": round.to_string() },
        "properties": {
            "addressSpace": { "addressPrefixes": [format!("10.{writer}.0.0/16")] },
            "subnets": [subnet(1), subnet(2)],
        },
    })
}

/// Returns a deployment of a network, its security group and its route table, which all say `round`.
fn deployment(writer: u64, round: u64) -> Value {
    let tags = json!({ "round": round.to_string() });
    let resource = |kind: &str, name: &str, properties: Value| {
        json!({
            "type": format!("Microsoft.Network/{kind}"),
            "apiVersion": "2024-05-01",
            "name": name,
            "location": "koreacentral",
            "tags": tags,
            "properties": properties,
        })
    };
    let nsg = format!("d{writer}-{round}");
    let subnet = json!({ "name": format!("s-{round}"), "properties": {
        "addressPrefix": format!("10.{writer}.1.0/24"),
        "networkSecurityGroup": {
            "id": format!("[resourceId('Microsoft.Network/networkSecurityGroups', '{nsg}')]"),
        },
    } });
    let mut vnet = resource(
        "virtualNetworks",
        &format!("d{writer}"),
        json!({
            "addressSpace": { "addressPrefixes": [format!("10.{writer}.0.0/16")] },
            "subnets": [subnet],
        }),
    );
    vnet["dependsOn"] = json!([nsg]);
    let rule = json!({ "name": "r", "properties": {
        "priority": 100 + round % 3000,
        "access": "Allow",
        "direction": "Inbound",
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "*",
    } });
    json!({ "properties": { "mode": "Incremental", "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            resource("networkSecurityGroups", &nsg, json!({ "securityRules": [rule] })),
            vnet,
            resource("routeTables", &format!("d{writer}"), json!({ "routes": [] })),
        ],
    } } })
}

/// What a writer knows: the last round that was acknowledged, and the one that may be.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: u64,
    tried: u64,
}

/// Writes round after round until the daemon is gone.
fn write(socket: &Path, writer: u64, known: &mut Known, total: &AtomicU64, stop: &AtomicBool) {
    let Ok(mut control) = Control::connect(socket) else {
        return;
    };
    while !stop.load(Ordering::Relaxed) {
        let round = known.tried + 1;
        known.tried = round;
        // Odd writers put networks, even ones deploy templates.
        let (path, body) = if writer % 2 == 1 {
            let path = network("virtualNetworks", &format!("v{writer}"));
            (path, vnet(writer, round))
        } else {
            let provider = "providers/Microsoft.Resources/deployments";
            (
                format!("{GROUP}/{provider}/w{writer}"),
                deployment(writer, round),
            )
        };
        match control.arm("PUT", &path, &body) {
            Ok((200..=202, _)) => {
                known.acknowledged = round;
                total.fetch_add(1, Ordering::Relaxed);
            }
            Ok((status, body)) => panic!("{status} {body}"),
            Err(_) => return,
        }
    }
}

fn round_of(resource: &Value) -> u64 {
    let tag = resource["tags"]["round"].as_str();
    tag.and_then(|tag| tag.parse().ok()).unwrap_or_default()
}

/// Checks what a writer's resources say after a crash, and returns the round.
fn check(control: &mut Control, writer: u64, known: Known) -> u64 {
    let mut get = |kind: &str, name: &str| {
        let (status, body) = control
            .arm("GET", &network(kind, name), &Value::Null)
            .unwrap();
        (status == 200).then_some(body)
    };
    let name = if writer % 2 == 1 { "v" } else { "d" };
    let name = format!("{name}{writer}");
    let found = get("virtualNetworks", &name);
    let round = found.as_ref().map_or(0, round_of);
    assert!(
        round == known.acknowledged || round == known.tried,
        "writer {writer}: {round} is there, not {known:?}"
    );
    let Some(vnet) = found else {
        assert_eq!(known.acknowledged, 0);
        return 0;
    };
    let end = format!("-{round}");
    for subnet in vnet["properties"]["subnets"].as_array().unwrap() {
        let name = subnet["name"].as_str().unwrap();
        assert!(name.ends_with(&end), "half of round {round}: {vnet}");
    }
    if writer.is_multiple_of(2) {
        let nsg = get("networkSecurityGroups", &format!("{name}{end}"));
        let nsg = nsg.unwrap_or_else(|| panic!("round {round} lacks its group"));
        assert_eq!(round_of(&nsg), round);
        let routes = get("routeTables", &name);
        assert_eq!(
            routes.as_ref().map_or(0, round_of),
            round,
            "half of a round"
        );
    }
    round
}

/// Returns the keys of subnets by network and name.
fn keys(fabric: &Fabric) -> BTreeMap<(String, String), (u64, u64)> {
    let status = fabric.json(&["status"]);
    let subnets = status["subnets"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    subnets
        .map(|subnet| {
            let name = (text(&subnet["virtualNetwork"]), text(&subnet["subnet"]));
            let number = |key: &str| subnet[key].as_u64().unwrap();
            (name, (number("vnetKey"), number("subnetKey")))
        })
        .collect()
}

#[test]
fn a_storm_of_writes_and_kills_loses_nothing_halves_nothing_and_issues_no_key_twice() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(HOST);
    let group = json!({ "location": "koreacentral" });
    let made = fabric.control().arm("PUT", GROUP, &group).unwrap();
    assert_eq!(made.0, 201, "{}", made.1);
    let mut known = [Known::default(); 4];
    let mut owners: HashMap<(u64, u64), (String, String)> = HashMap::new();
    let (total, mut unsure) = (AtomicU64::new(0), 0);
    for kill in 0..kills() {
        let (socket, stop) = (fabric.socket(), AtomicBool::new(false));
        thread::scope(|scope| {
            for (at, known) in known.iter_mut().enumerate() {
                let (socket, total, stop) = (&socket, &total, &stop);
                scope.spawn(move || write(socket, at as u64 + 1, known, total, stop));
            }
            // From the first write to some dozens, however long they take here.
            let wanted = total.load(Ordering::Relaxed) + kill * 7 % 30;
            until("writes are acknowledged", PATIENCE, || {
                total.load(Ordering::Relaxed) >= wanted
            });
            thread::sleep(Duration::from_micros(kill * 733 % 5000));
            fabric.stop(Signal::KILL);
            stop.store(true, Ordering::Relaxed);
        });
        fabric.run();
        let mut control = fabric.control();
        for (at, known) in known.iter_mut().enumerate() {
            let round = check(&mut control, at as u64 + 1, *known);
            unsure += u64::from(round > known.acknowledged);
            known.acknowledged = round;
        }
        for (name, key) in keys(&fabric) {
            let owner = owners.entry(key).or_insert_with(|| name.clone());
            assert_eq!(
                *owner, name,
                "kill {kill}: the key {key:?} was issued twice"
            );
        }
    }
    let total = total.into_inner();
    println!(
        "{} kills, {total} acknowledged writes, {unsure} more were done",
        kills()
    );
    assert!(total > kills(), "too few writes: {total}");
}

#[test]
fn resources_keys_and_addresses_outlive_a_kill_and_another_file() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let group = json!({ "location": "koreacentral" });
    let mut control = fabric.control();
    control.arm("PUT", GROUP, &group).unwrap();
    let path = network("virtualNetworks", "v9");
    let (status, vnet) = control.arm("PUT", &path, &vnet(9, 1)).unwrap();
    assert_eq!(status, 201, "{vnet}");
    let nic = network("networkInterfaces", "nic9");
    let subnet = format!("{path}/subnets/s1-1");
    let body = json!({ "location": "koreacentral", "properties": { "ipConfigurations": [
        { "name": "a", "properties": { "subnet": { "id": subnet } } },
    ] } });
    let (status, put) = control.arm("PUT", &nic, &body).unwrap();
    assert_eq!(status, 201, "{put}");
    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    let before = keys(&fabric);
    let shown = |fabric: &Fabric| {
        let mut control = fabric.control();
        let of_file = "/subscriptions?"; // every subscription, the file's among them
        let paths = [path.as_str(), nic.as_str(), GROUP, of_file];
        paths.map(|path| control.arm("GET", path, &Value::Null).unwrap())
    };
    let was = shown(&fabric);
    assert!(was.iter().all(|(status, _)| *status == 200), "{was:?}");
    fabric.stop(Signal::KILL);
    fabric.run();
    assert_eq!(keys(&fabric), before);
    assert_eq!(shown(&fabric), was, "ETags and addresses too");
    let endpoints = fabric.json(&["endpoint", "list"]);
    assert_eq!(endpoints.as_array().unwrap().len(), 1, "{endpoints}");
    // Another file: what it declares is as it says, what came otherwise stays.
    let other = World {
        endpoints2: vec!["Microsoft.Sql"],
        ..World::default()
    };
    let path = fabric.write("postern.toml", &other.to_string());
    fabric.stop(Signal::TERM);
    fabric.run();
    assert_eq!(shown(&fabric), was);
    let endpoints = fabric.json(&["endpoint", "list"]);
    assert_eq!(endpoints[0]["service"], "Microsoft.Sql", "{endpoints}");
    assert_eq!(endpoints.as_array().unwrap().len(), 1, "{endpoints}");
    let path = path.to_string_lossy();
    let again = fabric.postern(&["apply", &path]).expect_success();
    assert_eq!(again.stdout, "no change\n");
}

/// Returns the services whose endpoint is on in a subnet.
fn endpoints(fabric: &Fabric, subnet: &str) -> Value {
    let all = fabric.json(&["endpoint", "list"]);
    let rows = all.as_array().unwrap().iter();
    let rows = rows.filter(|row| row["subnet"] == subnet);
    rows.map(|row| row["service"].clone()).collect()
}

/// Replaces the file of a fabric that is stopped, and starts it again.
fn run_again(fabric: &mut Fabric, text: &str) {
    fabric.stop(Signal::TERM);
    fabric.write("postern.toml", text);
    fabric.run();
}

#[test]
fn a_start_speaks_only_about_what_the_file_says_anew() {
    if !privileged() {
        return;
    }
    let file = World::default().to_string();
    let mut fabric = Fabric::start(&file);
    let config = fabric.config().to_string_lossy().into_owned();
    let off = endpoints(&fabric, "subnet1");
    let same = fabric.postern(&["diff", "--exit-code"]).expect_success();
    assert_eq!(same.stdout, "no difference\n");
    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    let on = endpoints(&fabric, "subnet1");
    assert_ne!(on, off);
    // The file against what runs: what apply would take back.
    for arguments in [vec!["diff"], vec!["diff", &config]] {
        let told = fabric.postern(&arguments).expect_success().stdout;
        let change = "change subnet VNet1/subnet1 serviceEndpoints: [Microsoft.Storage] -> none";
        assert!(told.contains(change), "{told}");
    }
    assert_eq!(fabric.postern(&["diff", "--exit-code"]).code, Some(1));
    // A comment says nothing.
    run_again(&mut fabric, &format!("# a comment\n{file}\n"));
    assert_eq!(endpoints(&fabric, "subnet1"), on);
    // Neither does what is declared of another resource; it is told as apply tells it.
    let table = "[[routeTable]]\nname = \"rt9\"\n";
    run_again(&mut fabric, &format!("{file}{table}"));
    assert_eq!(endpoints(&fabric, "subnet1"), on);
    assert!(
        fabric.log().contains("add routeTable rt9"),
        "{}",
        fabric.log()
    );
    // What the file says anew of the network is said of all of it: the last to speak wins.
    let wider = file.replacen("\"10.0.0.0/16\"", "\"10.0.0.0/16\", \"10.77.0.0/16\"", 1);
    assert_ne!(wider, file);
    run_again(&mut fabric, &format!("{wider}{table}"));
    assert_eq!(endpoints(&fabric, "subnet1"), off);
    let taken = "change subnet VNet1/subnet1 serviceEndpoints: [Microsoft.Storage] -> none";
    assert!(fabric.log().contains(taken), "{}", fabric.log());
    // What only requests made is told, and stays.
    let path = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern";
    let path = format!("{path}/providers/Microsoft.Network/routeTables/made");
    let body = json!({ "location": "koreacentral", "properties": {} });
    let made = fabric.control().arm("PUT", &path, &body).unwrap();
    assert_eq!(made.0, 201, "{}", made.1);
    let told = fabric.postern(&["diff"]).expect_success().stdout;
    let line = format!("only running, made by a request and left by apply: {path}\n");
    assert_eq!(told, format!("no difference\n{line}"));
}
