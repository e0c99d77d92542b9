//! What is exported deploys to the same model.

use super::super::declare::declare;
use super::*;
use crate::https::tests::Host;
use postern_arm::estate::{Settings, Stage};
use postern_arm::id::ResourceId;
use postern_arm::rest::{Api, ApiConfig, Request};
use postern_arm::token::TokenKey;
use postern_network::catalog::Catalog;
use postern_network::config;
use postern_network::model::Model;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use toml::Table;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

/// Returns the estate of a file.
fn declared(table: &Table) -> Estate {
    let mut stage = Stage::new(&Estate::default(), &Settings::default());
    declare(&mut stage, spelling::raise(table), |_| true).unwrap();
    stage.check().unwrap();
    stage.into_estate()
}

/// Returns a file without its resources.
fn host_of(table: &Table) -> Table {
    let raised = spelling::raise(table);
    let is_host = |(key, _): &(&String, &toml::Value)| raised.host.contains_key(*key);
    let host = table.iter().filter(is_host);
    host.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Deploys a template on a host with that estate, and returns what comes of it.
fn deployed(host: Estate, path: &str, template: &Value) -> Estate {
    let own = model::Scope::default();
    let told = |key: &str, or: String| {
        let text = host.host().get(key).and_then(Value::as_str);
        text.map_or(or, str::to_owned)
    };
    let subscription = told("subscription", own.subscription);
    let tenant = told("tenant", own.tenant);
    let config = ApiConfig::new(&tenant, &subscription, TokenKey::new(&[1; 32]));
    let api = Api::new(Arc::new(Host), host, config);
    let put = |path: &str, body: Value| {
        let target = format!("{path}?api-version=2022-09-01");
        let answer = api.handle(&Request::local("PUT", &target).with_body(body.to_string()));
        assert!(answer.status < 300, "{path}: {:#}", answer.value());
    };
    let path = path.replace("{}", &subscription);
    let mut body = json!({ "properties": { "mode": "Incremental", "template": template } });
    if path.contains("/resourceGroups/") {
        let group = path.split("/providers/").next().unwrap();
        put(group, json!({ "location": "eastus" }));
    } else {
        body["location"] = json!("eastus");
    }
    put(&path, body);
    Estate::clone(&api.estate())
}

fn model(estate: &Estate) -> Model {
    spelling::load(estate, &CATALOG).unwrap()
}

fn files() -> Vec<(String, Table)> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let table = config::parse_text(&path, &text).unwrap().table;
            files.push((path.display().to_string(), table));
        }
    }
    let two_groups = r#"
        [[networkSecurityGroup]]
        name = "nsg1"
        location = "koreacentral"
        [[virtualNetwork]]
        name = "VNet1"
        location = "koreacentral"
        addressPrefixes = ["10.0.0.0/16"]
        [[virtualNetwork.subnet]]
        name = "subnet1"
        addressPrefix = "10.0.1.0/24"
        networkSecurityGroup = "nsg1"
        [[virtualNetwork.peering]]
        name = "to2"
        remote = "VNet2"
        [[virtualNetwork]]
        name = "VNet2"
        location = "koreacentral"
        resourceGroup = "other"
        addressPrefixes = ["10.1.0.0/16"]
        [[virtualNetwork.subnet]]
        name = "subnet1"
        addressPrefix = "10.1.1.0/24"
        [[virtualNetwork.peering]]
        name = "to1"
        remote = "VNet1"
        [[networkInterface]]
        name = "nic1"
        resourceGroup = "other"
        virtualNetwork = "VNet1"
        subnet = "subnet1"
        privateIPAddress = "10.0.1.9"
    "#;
    let table = config::parse_text(Path::new("two groups"), two_groups)
        .unwrap()
        .table;
    files.push(("two groups".to_owned(), table));
    files
}

#[test]
fn what_is_exported_deploys_to_the_same_model() {
    let files = files();
    assert!(files.len() > 2);
    for (name, table) in files {
        let before = declared(&table);
        let template = export::all(&before, &|document| bindings(&before, document));
        let path = "/subscriptions/{}/providers/Microsoft.Resources/deployments/again";
        let after = deployed(declared(&host_of(&table)), path, &template);
        assert_eq!(model(&after), model(&before), "{name}");
        // And what is exported again is the same again.
        let is_record = |id: &ResourceId| id.provider == "Microsoft.Resources";
        let documents = |estate: &Estate| {
            let documents = estate.documents().filter(|it| !is_record(&it.id));
            documents.map(|it| it.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(documents(&after), documents(&before), "{name}");
    }
}

#[test]
fn a_group_goes_into_another_group() {
    let (_, table) = files().into_iter().next().unwrap();
    let before = declared(&table);
    let scope = before.groups().next().unwrap().scope.clone();
    let template = export::group(&before, &scope, &|document| bindings(&before, document));
    let path = "/subscriptions/{}/resourceGroups/copy/providers/Microsoft.Resources/deployments/d";
    let after = deployed(declared(&host_of(&table)), path, &template);
    let copied = after
        .documents()
        .filter(|it| it.id.scope.group() == Some("copy"));
    let original = before.documents().filter(|it| it.id.scope == scope);
    // The record of the deployment is one more.
    assert_eq!(copied.count(), original.count() + 1);
    let text = format!("{:?}", after.to_parts().documents);
    let old = scope.to_string();
    assert!(
        !text.contains(&format!("{old}/")),
        "nothing refers to where it came from"
    );
    model(&after);
}

#[test]
fn a_file_of_what_there_is_says_the_same() {
    for (name, table) in files() {
        let before = declared(&table);
        let text = toml::to_string(&spelling::lower(&before)).unwrap();
        let again = config::parse_text(Path::new(&name), &text).unwrap().table;
        assert_eq!(model(&declared(&again)), model(&before), "{name}");
    }
}
