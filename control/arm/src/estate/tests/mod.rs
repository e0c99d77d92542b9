//! What becomes of writes.

mod basics;
mod names;
mod quotas;
mod random;
mod refusals;
mod scale;
mod secrets;
mod shown;
mod values;

use super::{Conditions, Estate, Knowledge, Put, Settings, Stage};
use crate::document::Origin;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use serde_json::{Value, json};
use std::sync::Arc;

const GROUP: &str = "/subscriptions/s/resourceGroups/rg";

/// As much of Azure as the tests need.
#[derive(Debug)]
struct Korea;

impl Knowledge for Korea {
    fn service(&self, name: &str) -> Option<String> {
        let known = ["Microsoft.Storage", "Microsoft.Sql", "Microsoft.ServiceBus"];
        let found = known.iter().find(|known| known.eq_ignore_ascii_case(name));
        found.map(|found| (*found).to_owned())
    }

    fn endpoint_locations(&self, service: &str, region: &str) -> Vec<String> {
        match service {
            "Microsoft.Storage" => vec![region.to_owned(), format!("{region}pair")],
            "Microsoft.Sql" => vec![region.to_owned()],
            _ => vec!["*".to_owned()],
        }
    }

    fn is_region(&self, name: &str) -> bool {
        self.regions().iter().any(|region| region == name)
    }

    fn regions(&self) -> Vec<String> {
        vec!["koreacentral".to_owned(), "koreasouth".to_owned()]
    }
}

fn settings() -> Settings {
    Settings {
        pools: vec!["20.0.0.0/28".parse().unwrap()],
        reserved: vec!["20.0.0.1/32".parse().unwrap()],
        now: 1_795_532_400,
        knowledge: Arc::new(Korea),
        ..Settings::default()
    }
}

fn stage() -> Stage {
    let mut stage = Stage::new(&Estate::default(), &settings());
    let group: Scope = GROUP.parse().unwrap();
    stage
        .put_group(&group, json!({ "location": "Korea Central" }))
        .unwrap();
    stage
}

/// Returns an ID: `virtualNetworks/v` is one of `Microsoft.Network` in the group.
fn id(path: &str) -> ResourceId {
    let path = match path.split('/').next().is_some_and(|it| it.contains('.')) {
        true => path.to_owned(),
        false => format!("Microsoft.Network/{path}"),
    };
    format!("{GROUP}/providers/{path}").parse().unwrap()
}

impl Stage {
    fn api(&mut self, path: &str, body: Value) -> Result<Put, ArmError> {
        self.put(&id(path), body, &Conditions::none(), Origin::Api)
    }

    /// Puts a resource in koreacentral.
    fn ok(&mut self, path: &str, properties: Value) -> Put {
        let body = json!({ "location": "koreacentral", "properties": properties });
        self.api(path, body).unwrap()
    }

    /// Puts a resource that cannot be; returns the code.
    fn bad(&mut self, path: &str, properties: Value) -> String {
        let before = self.estate().clone();
        let body = json!({ "location": "koreacentral", "properties": properties });
        let code = code(&self.api(path, body).and_then(|_| self.check()).unwrap_err());
        assert!(!code.is_empty());
        self.now = before;
        code
    }

    fn get(&self, path: &str) -> Value {
        self.estate().show(&id(path)).unwrap()
    }

    /// Goes on with what is there as the state that is in force.
    fn commit(&mut self) {
        self.check().unwrap();
        *self = Stage::new(self.estate(), &settings());
    }
}

/// Returns the code of an error, or that of its first detail.
fn code(error: &ArmError) -> String {
    let inner = error.details.first().unwrap_or(error);
    inner.code.clone()
}

/// A network with subnets `a` (10.0.0.0/24) and `b` (10.0.1.0/29).
fn network() -> Value {
    json!({
        "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
        "subnets": [
            { "name": "a", "properties": { "addressPrefix": "10.0.0.0/24" } },
            { "name": "b", "properties": { "addressPrefix": "10.0.1.0/29" } },
        ],
    })
}

fn nic(subnet: &str) -> Value {
    json!({ "ipConfigurations": [
        { "name": "ipconfig1", "properties": { "subnet": { "id": id(subnet) } } },
    ] })
}

const SUBNET_A: &str = "virtualNetworks/v/subnets/a";
const SUBNET_B: &str = "virtualNetworks/v/subnets/b";
