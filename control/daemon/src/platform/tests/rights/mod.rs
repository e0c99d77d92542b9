//! What principals may bind: requests through the API, by the host's own and by the owner of a group,
//! against what the file allows.

mod addresses;
mod names;
mod public;
mod shares;
mod tags;

use super::*;
use crate::clock::processor_time;
use crate::https::api_config;
use postern_arm::clock::ProcessorTime;
use postern_arm::date::now;
use postern_arm::error::ArmError;
use postern_arm::platform::Platform;
use postern_arm::rest::{Api, Request, Response, Via};
use postern_arm::token::{Grant, TokenKey};
use std::path::Path;
use std::sync::Mutex;

const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
const TENANT: &str = "22222222-2222-4222-8222-222222222222";
const NIC: &str = "Microsoft.Network/networkInterfaces";
const ACCOUNTS: &str = "Microsoft.Storage/storageAccounts";

/// Two accounts of the host's own at one address and one that gets its own, NICs, a public side; and
/// `tenant`, who owns the resource group `team` and nothing else.
const FILE: &str = r#"
location = "koreacentral"
subscription = "11111111-1111-4111-8111-111111111111"
resourceGroup = "host"
tenant = "22222222-2222-4222-8222-222222222222"
[api]
listen = "127.0.0.1:8443"
[[servicePrincipal]]
name = "tenant"
appId = "33333333-3333-4333-8333-333333333333"
secret = "secret"
[[roleAssignment]]
principal = "tenant"
role = "Owner"
scope = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/team"
[publicIPPool]
prefixes = ["20.90.0.0/24"]
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[internet]
namespace = "inet"
addresses = ["198.51.100.7/24"]
[[virtualNetwork]]
name = "v"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.0.1.0/24"
[[networkInterface]]
name = "job"
virtualNetwork = "v"
subnet = "s"
privateIPAddress = "10.0.1.4"
publicIPAddress = "20.0.0.9"
namespace = "job"
[[service]]
name = "alpha"
service = "Microsoft.Storage"
address = "20.60.16.5"
namespace = "stor"
front = { ports = [443], connect = "127.0.0.1:24100" }
[[service]]
name = "beta"
service = "Microsoft.Storage"
address = "20.60.16.5"
namespace = "stor"
front = { ports = [443], connect = "127.0.0.1:24100" }
[[service]]
name = "gamma"
service = "Microsoft.Storage"
namespace = "plain"
"#;

/// A host that holds models and moves no packets.
#[derive(Debug)]
struct Modelled(Mutex<Model>);

impl Platform for Modelled {
    fn authorise(&self, now: &Estate, next: &Estate) -> Result<Vec<ResourceId>, ArmError> {
        authorise(now, next, &self.0.lock().unwrap(), &CATALOG)
    }

    fn commit(&self, _: &Estate, next: &Estate) -> Result<(), ArmError> {
        let model = load(next, &CATALOG).map_err(|refused| *refused.arm)?;
        *self.0.lock().unwrap() = model;
        Ok(())
    }

    fn preview(&self, _: &Estate, next: &Estate) -> Result<Value, ArmError> {
        load(next, &CATALOG)
            .map(|_| Value::Null)
            .map_err(|refused| *refused.arm)
    }

    fn action(&self, _: &Estate, _: &ResourceId, _: &str, _: &Value) -> Result<Value, ArmError> {
        Ok(Value::Null)
    }

    fn regional(&self, _: &str, _: &str) -> Result<Value, ArmError> {
        Ok(Value::Null)
    }

    fn processor_time(&self) -> ProcessorTime {
        processor_time
    }

    fn locations(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The owner of the group `team`.
    Tenant,
    /// The control socket.
    Host,
}

struct World {
    api: Api,
    host: Arc<Modelled>,
    token: String,
}

impl World {
    /// A world of the file with more tables, in which the group `team` has a network.
    fn new(more: &str) -> Self {
        Self::of(&format!("{FILE}{more}"))
    }

    fn of(text: &str) -> Self {
        let table = config::parse_text(Path::new("f.toml"), text).unwrap();
        let model = config::check(Path::new("f.toml"), &table, &CATALOG)
            .unwrap_or_else(|error| panic!("{error}"));
        let raised = raise(&table.table);
        let settings = settings(&raised.host, &CATALOG, 1);
        let key = TokenKey::new(&[1; TokenKey::LENGTH]);
        let config = api_config(&model, key.clone(), settings).unwrap();
        let issuer = format!("https://localhost/{TENANT}/");
        let grant = Grant {
            issuer: &issuer,
            audience: "https://management.azure.com",
            now: now(),
        };
        let token = key.issue(&config.principals[0], grant).unwrap();
        let host = Arc::new(Modelled(Mutex::new(model)));
        let platform: Arc<Modelled> = Arc::clone(&host);
        let world = Self {
            api: Api::new(platform, estate(raised), config),
            host,
            token,
        };
        let group = json!({ "location": "koreacentral" });
        let path = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/team");
        world.ok(By::Host, "PUT", &path, group);
        world.ok(By::Tenant, "PUT", &team(VNET, "v"), vnet("10.9.0.0/16"));
        world
    }

    fn send(&self, by: By, method: &str, path: &str, body: Value) -> Response {
        let target = format!("{path}?api-version=2024-05-01");
        let mut request = Request::local(method, &target).with_body(body.to_string());
        if by == By::Tenant {
            request.via = Via::Https;
            request = request.with_header("Authorization", &format!("Bearer {}", self.token));
        }
        self.api.handle(&request)
    }

    #[track_caller]
    fn ok(&self, by: By, method: &str, path: &str, body: Value) -> Value {
        let answer = self.send(by, method, path, body);
        assert!(
            answer.status < 300,
            "{by:?} {method} {path}: {}",
            answer.value()
        );
        answer.value()
    }

    /// Sends what has to be refused: nothing changes by it. Returns the whole error as text.
    #[track_caller]
    fn refused(&self, by: By, method: &str, path: &str, body: Value) -> String {
        let before = self.api.estate();
        let answer = self.send(by, method, path, body);
        let text = answer.value().to_string();
        assert!(answer.status >= 400, "{by:?} {method} {path}: {text}");
        assert_eq!(*before, *self.api.estate(), "{method} {path}");
        text
    }

    /// As [`Self::refused`], of the tenant's PUT, for what the host does not allow.
    #[track_caller]
    fn disallowed(&self, path: &str, body: Value, wanted: &str) {
        let text = self.refused(By::Tenant, "PUT", path, body);
        assert!(text.contains("RequestDisallowedByPolicy"), "{text}");
        assert!(text.contains(wanted), "wanted {wanted}: {text}");
        assert!(text.contains("; accepted: "), "{text}");
    }

    fn model(&self) -> Model {
        self.host.0.lock().unwrap().clone()
    }
}

const VNET: &str = "Microsoft.Network/virtualNetworks";

/// Returns the ID of a resource of the tenant's group.
fn team(kind: &str, name: &str) -> String {
    of_group("team", kind, name)
}

fn of_group(group: &str, kind: &str, name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{name}")
}

fn vnet(space: &str) -> Value {
    json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": [space] },
        "subnets": [{ "name": "s", "properties": { "addressPrefix": "10.9.1.0/24" } }],
    }})
}

/// A NIC in the tenant's own network.
fn nic(tags: Value) -> Value {
    let subnet = format!("{}/subnets/s", team(VNET, "v"));
    json!({ "location": "koreacentral", "tags": tags, "properties": { "ipConfigurations": [
        { "name": "a", "properties": { "subnet": { "id": subnet } } },
    ]}})
}

fn account(tags: Value) -> Value {
    json!({ "location": "koreacentral", "tags": tags, "kind": "StorageV2",
        "sku": { "name": "Standard_LRS" }, "properties": {} })
}

/// Adds an `allow` for the group `team`.
fn allowing(allow: &str) -> World {
    World::new(&format!(
        "[[bind]]\nresourceGroup = \"team\"\nallow = {{ {allow} }}\n"
    ))
}
