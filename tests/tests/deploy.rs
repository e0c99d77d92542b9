//! Templates by the command line, and the way back: `deploy`, `export`, `--dry-run`, `endpoint add`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{Fabric, World, privileged};
use serde_json::{Value, json};

/// What of a daemon must be the same on another one that has the same resources.
fn seen(fabric: &Fabric) -> Vec<Value> {
    let mut seen = vec![
        fabric.json(&["endpoint", "list"]),
        fabric.json(&["nsg", "list"]),
        fabric.json(&["routes", "vm0"]),
        fabric.json(&["routes", "vm1"]),
        fabric.json(&["nsg", "effective", "vm1"]),
    ];
    let status = fabric.json(&["status"]);
    let mut ports = status["ports"].as_array().unwrap().clone();
    for port in &mut ports {
        // A port that comes back gets another number.
        port["number"] = Value::Null;
    }
    ports.sort_by_key(|port| port["name"].to_string());
    seen.append(&mut ports);
    seen
}

#[test]
fn what_is_exported_deploys_to_the_same_fabric() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Storage"],
        ..World::default()
    };
    let mut fabric = Fabric::start(&world.to_string());
    let before = seen(&fabric);
    let template = fabric.postern(&["export"]).expect_success().stdout;
    let path = fabric.dir().write("export.json", template.clone());
    let path = path.to_string_lossy();
    // Without its resources nothing is left; with the template all of it is back.
    let host = host_of(&world.to_string());
    fabric.apply(&host);
    assert_eq!(fabric.json(&["endpoint", "list"]), json!([]));
    let said = fabric
        .postern(&["deploy", &path, "--dry-run"])
        .expect_success();
    assert!(said.stdout.contains("create /subscriptions/"), "{said}");
    assert!(said.stdout.contains("+ route of vm0"), "{said}");
    assert_eq!(
        fabric.json(&["endpoint", "list"]),
        json!([]),
        "nothing was done"
    );
    fabric.postern(&["deploy", &path]).expect_success();
    assert_eq!(seen(&fabric), before);
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let again = fabric.postern(&["export"]).expect_success().stdout;
    assert_eq!(read(&again), read(&template), "{again}\n{template}");
    let said = fabric
        .postern(&["deploy", &path, "--dry-run"])
        .expect_success();
    assert_eq!(said.stdout, "nothing would change\n");
}

/// Returns the tables of a file that are not resources.
fn host_of(text: &str) -> String {
    let resources = [
        "[[networkInterface",
        "[[networkSecurityGroup",
        "[[service",
        "[[virtualNetwork",
    ];
    let mut host = String::new();
    let mut keeps = true;
    for line in text.lines() {
        if line.starts_with('[') {
            keeps = !resources.iter().any(|name| line.starts_with(name));
        }
        if keeps {
            host += &format!("{line}\n");
        }
    }
    host
}
