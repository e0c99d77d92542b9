//! The world that the calls are made in, as the API has it and as the oracle has it.

use crate::oracle::{Given, Oracle, Person, Role};
use postern_arm::clock::ProcessorTime;
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use postern_arm::platform::Platform;
use postern_arm::principals::{Principal, Secret};
use postern_arm::rest::{Api, ApiConfig, Request, Subscription, Tenant};
use postern_arm::roles::{Permission, RoleAssignment, RoleDefinition};
use postern_arm::token::{Grant, TokenKey};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) const TENANTS: [&str; 2] = [
    "22222222-0000-4000-8000-000000000001",
    "22222222-0000-4000-8000-000000000002",
];
/// Subscriptions and the places of their tenants.
pub(crate) const HOMES: [(&str, usize); 3] = [
    ("11111111-0000-4000-8000-00000000000a", 0),
    ("11111111-0000-4000-8000-00000000000b", 0),
    ("11111111-0000-4000-8000-00000000000c", 1),
];
pub(crate) const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub(crate) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub(crate) const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
pub(crate) const ACCESS: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
pub(crate) const KEEPER: &str = "0c000000-0000-4000-8000-0000000000ff";

/// Object and place of the tenant; two of two tenants are of one object.
const PEOPLE: [(&str, usize); 10] = [
    ("a0", 0),
    ("a1", 0),
    ("a2", 0),
    ("a3", 0),
    ("a4", 0),
    ("a5", 0),
    ("b0", 1),
    ("b1", 1),
    ("a0", 1),
    ("b3", 1),
];

/// Person, role and scope of what the host gives.
const GIVEN: [(usize, &str, &str); 7] = [
    (
        0,
        OWNER,
        "/subscriptions/11111111-0000-4000-8000-00000000000a",
    ),
    (
        1,
        READER,
        "/subscriptions/11111111-0000-4000-8000-00000000000a",
    ),
    (
        2,
        OWNER,
        "/subscriptions/11111111-0000-4000-8000-00000000000a/resourcegroups/g0",
    ),
    (3, ACCESS, ""),
    (
        5,
        KEEPER,
        "/subscriptions/11111111-0000-4000-8000-00000000000b/resourcegroups/g1",
    ),
    (
        6,
        OWNER,
        "/subscriptions/11111111-0000-4000-8000-00000000000c",
    ),
    (7, OWNER, ""),
];

pub(crate) fn home(at: usize) -> String {
    format!("/subscriptions/{}", HOMES[at % HOMES.len()].0)
}

pub(crate) fn group(at: usize) -> String {
    format!("{}/resourcegroups/g{}", home(at / 2), at % 2)
}

pub(crate) fn nsg(group_at: usize, at: usize) -> String {
    let group = group(group_at);
    format!(
        "{group}/providers/microsoft.network/networksecuritygroups/n{}",
        at % 2
    )
}

pub(crate) fn network(group_at: usize) -> String {
    let group = group(group_at);
    format!("{group}/providers/microsoft.network/virtualnetworks/v")
}

/// A host without packets.
struct Host;

impl Platform for Host {
    fn commit(&self, _: &Estate, _: &Estate) -> Result<(), ArmError> {
        Ok(())
    }

    fn preview(&self, _: &Estate, _: &Estate) -> Result<Value, ArmError> {
        Ok(Value::Null)
    }

    fn action(&self, _: &Estate, id: &ResourceId, _: &str, _: &Value) -> Result<Value, ArmError> {
        Err(ArmError::new(404, "NoSuchAction", id.to_string()))
    }

    fn regional(&self, _: &str, what: &str) -> Result<Value, ArmError> {
        Err(ArmError::new(404, "NotFound", what))
    }

    fn processor_time(&self) -> ProcessorTime {
        || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
    }

    fn locations(&self) -> Vec<String> {
        vec!["koreacentral".to_owned()]
    }
}

/// The API, the oracle, and who calls.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) oracle: Oracle,
}

fn key() -> TokenKey {
    TokenKey::new(&[7; TokenKey::LENGTH])
}

fn principals() -> &'static Vec<Principal> {
    static ALL: OnceLock<Vec<Principal>> = OnceLock::new();
    ALL.get_or_init(|| {
        let secret = Secret::new("x");
        let read = |(at, (object, tenant)): (usize, &(&str, usize))| Principal {
            name: format!("p{at}"),
            app_id: format!("app-{at}"),
            object_id: (*object).to_owned(),
            tenant: TENANTS[*tenant].to_owned(),
            secret: secret.clone(),
        };
        PEOPLE.iter().enumerate().map(read).collect()
    })
}

/// Returns the headers by which each person calls.
pub(crate) fn tokens() -> &'static Vec<String> {
    static ALL: OnceLock<Vec<String>> = OnceLock::new();
    ALL.get_or_init(|| {
        let issue = |who: &Principal| {
            let issuer = format!("https://localhost/{}/", who.tenant);
            let grant = Grant {
                issuer: &issuer,
                audience: "https://localhost",
                now: postern_arm::date::now(),
            };
            format!("Bearer {}", key().issue(who, grant).unwrap())
        };
        principals().iter().map(issue).collect()
    })
}

fn config() -> ApiConfig {
    let mut config = ApiConfig::new(TENANTS[0], HOMES[0].0, key());
    config.tenants = TENANTS
        .iter()
        .map(|id| Tenant {
            id: (*id).to_owned(),
            name: format!("tenant {id}"),
        })
        .collect();
    config.subscriptions = HOMES
        .iter()
        .map(|(id, tenant)| Subscription {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            tenant: TENANTS[*tenant].to_owned(),
        })
        .collect();
    config.principals = principals().clone();
    config.definitions.push(RoleDefinition {
        id: KEEPER.to_owned(),
        name: "Keeper".to_owned(),
        description: String::new(),
        is_built_in: false,
        permissions: vec![Permission {
            actions: vec![
                "Microsoft.Network/*".into(),
                "Microsoft.Resources/deployments/*".into(),
            ],
            not_actions: vec!["*/delete".into()],
            ..Permission::default()
        }],
        assignable_scopes: vec!["/".parse().unwrap()],
        tenant: None,
    });
    for (at, (who, role, scope)) in GIVEN.iter().enumerate() {
        let scope = if scope.is_empty() { "/" } else { scope };
        config.assignments.push(RoleAssignment {
            id: format!("declared-{at}"),
            scope: scope.parse().unwrap(),
            principal: PEOPLE[*who].0.to_owned(),
            principal_type: "ServicePrincipal".to_owned(),
            role: (*role).to_owned(),
            tenant: Some(TENANTS[PEOPLE[*who].1].to_owned()),
        });
    }
    config
}

fn fixed(id: &str, name: &str, actions: &[&str], not: &[&str]) -> Role {
    let own = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    Role {
        tenant: None,
        id: id.to_owned(),
        name: name.to_owned(),
        actions: own(actions),
        not: own(not),
        scopes: vec![String::new()],
        fixed: true,
    }
}

fn oracle() -> Oracle {
    let people = PEOPLE.iter().map(|(object, tenant)| Person {
        tenant: TENANTS[*tenant],
        object: (*object).to_owned(),
    });
    let given = GIVEN
        .iter()
        .enumerate()
        .map(|(at, (who, role, scope))| Given {
            id: format!("declared-{at}"),
            scope: (*scope).to_owned(),
            to: PEOPLE[*who].0.to_owned(),
            role: (*role).to_owned(),
            tenant: TENANTS[PEOPLE[*who].1],
        });
    Oracle {
        homes: (0..HOMES.len())
            .map(|at| (home(at), TENANTS[HOMES[at].1]))
            .collect(),
        people: people.collect(),
        given: given.collect(),
        roles: vec![
            fixed(OWNER, "Owner", &["*"], &[]),
            fixed(
                CONTRIBUTOR,
                "Contributor",
                &["*"],
                &[
                    "Microsoft.Authorization/*/Delete",
                    "Microsoft.Authorization/*/Write",
                ],
            ),
            fixed(READER, "Reader", &["*/read"], &[]),
            fixed(
                ACCESS,
                "User Access Administrator",
                &["*/read", "Microsoft.Authorization/*"],
                &[],
            ),
            fixed(
                KEEPER,
                "Keeper",
                &["Microsoft.Network/*", "Microsoft.Resources/deployments/*"],
                &["*/delete"],
            ),
        ],
        ..Oracle::default()
    }
}

/// Returns the mark that a security group has in its tags.
pub(crate) fn mark(nsg: &str) -> String {
    format!("mark of {nsg};")
}

impl World {
    /// Returns a world with two groups a subscription, and in each a security group and a network.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            api: Api::new(Arc::new(Host), Estate::default(), config()),
            oracle: oracle(),
        };
        for at in 0..2 * HOMES.len() {
            let (group, nsg, network) = (group(at), nsg(at, 0), network(at));
            world.put(&group, &json!({ "location": "koreacentral" }));
            let tags = json!({ "mark": mark(&nsg) });
            world.put(&nsg, &json!({ "location": "koreacentral", "tags": tags }));
            world.put(&network, &crate::network_body(None));
            world.oracle.groups.insert(group);
            world.oracle.nsgs.insert(nsg);
            world.oracle.networks.insert(network, None);
        }
        world
    }

    fn put(&self, path: &str, body: &Value) {
        let request = Request::local("PUT", path).with_body(body.to_string());
        let answer = self.api.handle(&request);
        assert!(answer.status < 300, "{path}: {}", answer.value());
    }
}
