//! Requests against an estate in memory.

mod answers;
mod apart;
mod costs;
mod deploying;
mod host;
mod hostile;
mod login;
mod rights;
mod roles;
mod secrets;
mod seen;
mod tags;
mod walk;
mod writers;

use super::*;
use crate::date::now;
use crate::document::Document;
use crate::id::ResourceId;
use crate::principals::{Principal, Secret};
use crate::roles::{RoleAssignment, find_built_in};
use crate::token::{Grant, TokenKey};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const T: &str = "22222222-0000-4000-8000-000000000001";
const T2: &str = "22222222-0000-4000-8000-000000000002";
const S: &str = "11111111-0000-4000-8000-000000000001";
const S2: &str = "11111111-0000-4000-8000-000000000002";
const VERSION: &str = "api-version=2024-05-01";

/// A host without packets.
#[derive(Debug, Default)]
struct Host {
    commits: AtomicUsize,
    /// Whether commits fail.
    broken: std::sync::atomic::AtomicBool,
}

impl Platform for Host {
    /// As in [`host`]: refuses a changed tag `bound` that is "no", and wants the right for other ones.
    fn authorise(&self, now: &Estate, next: &Estate) -> Result<Vec<ResourceId>, ArmError> {
        let tag = |document: &Document| document.body.get("tags")?.get("bound").cloned();
        let mut bound = Vec::new();
        for change in next.changes_since(now) {
            let old = change.old.as_deref().and_then(tag);
            let new = change.new.as_deref().and_then(tag);
            match (&new, change.new) {
                (Some(text), _) if *text == "no" && old != new => {
                    return Err(ArmError::new(403, "HostRight", "no"));
                }
                (_, Some(document)) if old != new => bound.push(document.id.clone()),
                _ => {}
            }
        }
        Ok(bound)
    }

    fn commit(&self, _: &Estate, _: &Estate) -> Result<(), ArmError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(ArmError::new(409, "HostRefused", "no"));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn preview(&self, _: &Estate, _: &Estate) -> Result<Value, ArmError> {
        Ok(json!({ "routes": [] }))
    }

    fn action(
        &self,
        _: &Estate,
        id: &ResourceId,
        action: &str,
        body: &Value,
    ) -> Result<Value, ArmError> {
        match action {
            "effectiveRouteTable" | "nextHop" => Ok(json!({ "did": action, "with": body })),
            _ => Err(ArmError::new(404, "NoSuchAction", id.to_string())),
        }
    }

    fn regional(&self, location: &str, what: &str) -> Result<Value, ArmError> {
        match what {
            "serviceTags" => Ok(json!({ "name": "Public", "values": [] })),
            "virtualNetworkAvailableEndpointServices" => Ok(json!([{ "name": location }])),
            _ => Err(ArmError::new(404, "NotFound", what)),
        }
    }

    fn processor_time(&self) -> crate::clock::ProcessorTime {
        crate::clock::processor_time
    }

    fn locations(&self) -> Vec<String> {
        vec!["koreacentral".into(), "eastus2".into()]
    }
}

/// An API and who calls it: `owner`, `reader`, `netter` (Network Contributor of group `rg`), `storer`
/// (Storage Account Contributor of group `acc`), `nobody`, and `other`, the owner of the subscription of
/// the other tenant.
struct World {
    api: Api,
    host: Arc<Host>,
}

fn principal(name: &str, tenant: &str) -> Principal {
    let app_id = format!("app-{name}");
    Principal {
        name: name.into(),
        object_id: Principal::derive_object_id(tenant, &app_id),
        app_id,
        tenant: tenant.into(),
        secret: Secret::new(&format!("secret of {name}")),
    }
}

fn key() -> TokenKey {
    TokenKey::new(&[7; TokenKey::LENGTH])
}

fn config() -> ApiConfig {
    let mut config = ApiConfig::new(T, S, key());
    config.tenants.push(Tenant {
        id: T2.into(),
        name: "other.example".into(),
    });
    let (id, tenant) = (S2.to_owned(), T2.to_owned());
    config.subscriptions.push(Subscription {
        id,
        name: "two".into(),
        tenant,
    });
    for name in ["owner", "reader", "netter", "storer", "nobody"] {
        config.principals.push(principal(name, T));
    }
    config.principals.push(principal("other", T2));
    let sub = format!("/subscriptions/{S}");
    for (at, (name, role, scope)) in [
        ("owner", "Owner", sub.clone()),
        ("reader", "Reader", sub.clone()),
        (
            "netter",
            "Network Contributor",
            format!("{sub}/resourceGroups/rg"),
        ),
        (
            "storer",
            "Storage Account Contributor",
            format!("{sub}/resourceGroups/acc"),
        ),
        ("other", "Owner", format!("/subscriptions/{S2}")),
    ]
    .into_iter()
    .enumerate()
    {
        let who = config
            .principals
            .iter()
            .find(|known| known.name == name)
            .unwrap();
        config.assignments.push(RoleAssignment {
            id: format!("assignment-{at}"),
            scope: scope.parse().unwrap(),
            principal: who.object_id.clone(),
            principal_type: "ServicePrincipal".into(),
            role: find_built_in(role).unwrap().id.clone(),
            tenant: None,
        });
    }
    config
}

impl World {
    fn new() -> Self {
        let host = Arc::new(Host::default());
        let platform: Arc<Host> = Arc::clone(&host);
        Self {
            api: Api::new(platform, Estate::default(), config()),
            host,
        }
    }

    /// A world with the groups `rg` and `acc`, and the network `v` with the subnet `a` in `rg`.
    fn furnished() -> Self {
        let world = Self::new();
        for group in ["rg", "acc"] {
            let body = json!({ "location": "koreacentral" });
            assert_eq!(
                world.owner("PUT", &group_path(group), Some(body)).status,
                201
            );
        }
        assert_eq!(
            world
                .owner("PUT", &net("virtualNetworks/v"), Some(vnet()))
                .status,
            201
        );
        world
    }

    fn token(&self, name: &str) -> String {
        let tenant = if name == "other" { T2 } else { T };
        self.token_for(&principal(name, tenant), "https://localhost:8443", now())
    }

    fn token_for(&self, who: &Principal, audience: &str, now: u64) -> String {
        let issuer = format!("https://localhost:8443/{}/", who.tenant);
        let grant = Grant {
            issuer: &issuer,
            audience,
            now,
        };
        key().issue(who, grant).unwrap()
    }

    fn send(&self, who: &str, method: &str, path: &str, body: Option<Value>) -> Response {
        let request = request(method, path, body);
        let token = format!("Bearer {}", self.token(who));
        self.api
            .handle(&request.with_header("Authorization", &token))
    }

    fn owner(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        self.send("owner", method, path, body)
    }
}

/// Returns a request by https; a version is added to a path without a query.
fn request(method: &str, path: &str, body: Option<Value>) -> Request {
    let target = match path.contains('?') {
        true => path.to_owned(),
        false => format!("{path}?{VERSION}"),
    };
    let mut request = Request::local(method, &target).with_header("Host", "localhost:8443");
    request.via = Via::Https;
    match body {
        Some(body) => request.with_body(body.to_string()),
        None => request,
    }
}

fn group_path(name: &str) -> String {
    format!("/subscriptions/{S}/resourceGroups/{name}")
}

fn net(rest: &str) -> String {
    format!("{}/providers/Microsoft.Network/{rest}", group_path("rg"))
}

fn account(name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Storage/storageAccounts/{name}",
        group_path("acc")
    )
}

fn vnet() -> Value {
    json!({
        "location": "koreacentral",
        "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [{ "name": "a", "properties": { "addressPrefix": "10.0.1.0/24" } }],
        },
    })
}

fn code(response: &Response) -> String {
    let body = response.value();
    let code = body.pointer("/error/code").and_then(Value::as_str);
    code.unwrap_or_default().to_owned()
}
