//! Random calls of random principals, with roles, assignments and scopes that they change as they go,
//! against an oracle of rights that shares no code with the API: what it says may be is done, and nothing
//! else.
//!
//! `cargo test -p postern-arm --test rights` makes some thousands of calls. For a million:
//!
//! ```text
//! POSTERN_RIGHTS_CALLS=1000000 cargo test -p postern-arm --test rights -- --nocapture
//! ```
//!
//! The first part of the calls is always the same; the fuzzer (bolero) makes the rest, prints the seed of a
//! difference and shortens it. `BOLERO_RANDOM_SEED` runs that one again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

mod oracle;
mod setup;

use oracle::{Deed, Given, Oracle, Person, Role, Verdict, Way};
use postern_arm::rest::{Request, Response, Via};
use serde_json::{Value, json};
use setup::{ACCESS, CONTRIBUTOR, HOMES, KEEPER, OWNER, READER, World, group, home, mark, nsg};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The calls in one world.
const CALLS: usize = 150;
/// What one call is made of.
type Step = [u8; 12];

const ROLES: [&str; 4] = [
    "0c000000-0000-4000-8000-000000000001",
    "0c000000-0000-4000-8000-000000000002",
    "0c000000-0000-4000-8000-000000000003",
    "0c000000-0000-4000-8000-000000000004",
];
const NAMES: [&str; 6] = ["One", "one", "Two", "Owner", READER, OWNER];
/// Actions and what is taken from them.
const PERMISSIONS: [(&[&str], &[&str]); 9] = [
    (&["*"], &[]),
    (&["*/read"], &[]),
    (&["Microsoft.Network/networkSecurityGroups/*"], &[]),
    (&["Microsoft.Authorization/*"], &[]),
    (&["*"], &["Microsoft.Authorization/*/WRITE"]),
    (
        &[
            "Microsoft.Resources/deployments/*",
            "Microsoft.Network/*/write",
        ],
        &[],
    ),
    (
        &[
            "microsoft.resources/TAGS/*",
            "Microsoft.Resources/subscriptions/resourceGroups/*",
        ],
        &[],
    ),
    (
        &["microsoft.NETWORK/*/Read", "*/join/action"],
        &["*/virtualNetworks/read"],
    ),
    (&[], &[]),
];

pub(crate) fn network_body(nsg: Option<&str>) -> Value {
    let mut subnet = json!({ "addressPrefix": "10.0.1.0/24" });
    if let Some(nsg) = nsg {
        subnet["networkSecurityGroup"] = json!({ "id": nsg });
    }
    json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
        "subnets": [{ "name": "a", "properties": subnet }] } })
}

fn pick<'a>(all: &[&'a str], at: u8) -> &'a str {
    all[usize::from(at) % all.len()]
}

/// Returns a scope: the root, a subscription, a group or a resource.
fn scope(kind: u8, at: u8) -> String {
    let at = usize::from(at) % (2 * HOMES.len());
    match kind % 8 {
        0 => String::new(),
        1..=2 => home(at),
        3..=6 => group(at),
        _ => nsg(at, 0),
    }
}

fn role(step: &Step) -> Role {
    let (actions, not) = PERMISSIONS[usize::from(step[6]) % PERMISSIONS.len()];
    let own = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    // A subscription or a group mostly, and sometimes the root; one or two of them.
    let one = |kind: u8, at: u8| scope(if kind > 240 { 0 } else { kind % 5 + 1 }, at);
    let mut scopes = vec![one(step[7], step[8])];
    if step[9].is_multiple_of(3) {
        scopes.push(one(step[10], step[9]));
    }
    Role {
        tenant: None,
        id: match step[5] % 8 {
            0 => pick(&[OWNER, READER, KEEPER], step[9]).to_owned(),
            _ => pick(&ROLES, step[5]).to_owned(),
        },
        name: pick(&NAMES, step[4]).to_owned(),
        actions: own(actions),
        not: own(not),
        scopes,
        fixed: false,
    }
}

fn given(step: &Step, scope: String, people: &[Person]) -> (Given, Option<String>) {
    let builtin = [OWNER, CONTRIBUTOR, READER, ACCESS, KEEPER];
    let role = match step[5] % 3 {
        0 => pick(&builtin, step[6]),
        _ => pick(&ROLES, step[6]),
    };
    let given = Given {
        id: format!("0b000000-0000-4000-8000-00000000000{}", step[7] % 6),
        scope,
        to: people[usize::from(step[8]) % people.len()].object.clone(),
        role: role.to_owned(),
        tenant: "",
    };
    let named = (step[9].is_multiple_of(3)).then(|| home(usize::from(step[10])));
    (given, named)
}

fn deed(step: &Step, people: &[Person]) -> Deed {
    let at = usize::from(step[3]) % (2 * HOMES.len());
    let (here, other) = (
        nsg(at, usize::from(step[4])),
        nsg(usize::from(step[5]) % 6, 0),
    );
    let wide = scope(step[2], step[3]);
    let near = if step[4].is_multiple_of(2) {
        home(at)
    } else {
        group(at)
    };
    let id = pick(
        &[ROLES[0], ROLES[1], ROLES[2], ROLES[3], OWNER, KEEPER],
        step[5],
    );
    let assignment = given(step, wide.clone(), people).0.id;
    match step[1] % 32 {
        0..=1 => Deed::GetNsg(here),
        2..=3 => Deed::PutNsg(here),
        4 => Deed::PatchNsg(here),
        5 => Deed::TagNsg(here),
        6 => Deed::DeleteNsg(here),
        7..=9 => {
            let joined = (!step[6].is_multiple_of(3)).then_some(other);
            Deed::PutNetwork(setup::network(at), joined)
        }
        10 => Deed::DeleteNetwork(setup::network(at)),
        11 => Deed::GetGroup(group(at)),
        12 => Deed::PutGroup(group(at)),
        13 => Deed::DeleteGroup(group(at)),
        14 => Deed::GetRole(wide, id.to_owned()),
        15..=18 => Deed::PutRole(wide, role(step)),
        19 => Deed::DeleteRole(wide, id.to_owned()),
        20 => Deed::GetGiven(wide, assignment),
        21..=25 => {
            let (given, named) = given(step, wide, people);
            Deed::Give(given, named)
        }
        26 => Deed::Take(wide, assignment),
        27 => Deed::List(near),
        28 => Deed::ListAll(near),
        29 => Deed::Export(group(at)),
        30 => Deed::Refer(here),
        _ => Deed::Subscriptions,
    }
}

/// A call by REST: method, path and body.
type Call = (&'static str, String, Option<Value>);

fn role_body(role: &Role) -> Value {
    let scopes: Vec<&str> = role
        .scopes
        .iter()
        .map(|it| if it.is_empty() { "/" } else { it })
        .collect();
    json!({ "properties": { "roleName": role.name, "assignableScopes": scopes,
        "permissions": [{ "actions": role.actions, "notActions": role.not }] } })
}

fn given_body(given: &Given, named: Option<&str>) -> Value {
    let role = match named {
        Some(home) => format!(
            "{home}/providers/Microsoft.Authorization/roleDefinitions/{}",
            given.role
        ),
        None => given.role.clone(),
    };
    json!({ "properties": { "roleDefinitionId": role, "principalId": given.to } })
}

fn role_path(scope: &str, id: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}")
}

fn given_path(scope: &str, id: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}")
}

fn call(deed: &Deed) -> Call {
    let here = || json!({ "location": "koreacentral" });
    let tags = || json!({ "properties": { "tags": { "a": "b" } } });
    match deed {
        Deed::GetNsg(path) | Deed::GetGroup(path) => ("GET", path.clone(), None),
        Deed::PutNsg(path) => ("PUT", path.clone(), Some(here())),
        Deed::PatchNsg(path) => ("PATCH", path.clone(), Some(json!({ "tags": { "c": "d" } }))),
        Deed::TagNsg(path) => {
            let path = format!("{path}/providers/Microsoft.Resources/tags/default");
            ("PUT", path, Some(tags()))
        }
        Deed::DeleteNsg(path) | Deed::DeleteNetwork(path) | Deed::DeleteGroup(path) => {
            ("DELETE", path.clone(), None)
        }
        Deed::PutNetwork(path, nsg) => ("PUT", path.clone(), Some(network_body(nsg.as_deref()))),
        Deed::PutGroup(path) => ("PUT", path.clone(), Some(here())),
        Deed::GetRole(scope, id) => ("GET", role_path(scope, id), None),
        Deed::PutRole(scope, role) => ("PUT", role_path(scope, &role.id), Some(role_body(role))),
        Deed::DeleteRole(scope, id) => ("DELETE", role_path(scope, id), None),
        Deed::GetGiven(scope, id) => ("GET", given_path(scope, id), None),
        Deed::Give(given, named) => {
            let body = given_body(given, named.as_deref());
            ("PUT", given_path(&given.scope, &given.id), Some(body))
        }
        Deed::Take(scope, id) => ("DELETE", given_path(scope, id), None),
        Deed::List(scope) => {
            let path = format!("{scope}/providers/Microsoft.Network/networkSecurityGroups");
            ("GET", path, None)
        }
        Deed::ListAll(scope) => ("GET", format!("{scope}/resources"), None),
        Deed::Export(group) => {
            let body = json!({ "resources": ["*"] });
            ("POST", format!("{group}/exportTemplate"), Some(body))
        }
        Deed::Refer(_) => ("GET", "/".to_owned(), None),
        Deed::Subscriptions => ("GET", "/subscriptions".to_owned(), None),
    }
}

/// Returns a template that does it; none for what no template does.
fn template(deed: &Deed) -> Option<Value> {
    let (resources, outputs) = match deed {
        Deed::PutNsg(path) | Deed::PutNetwork(path, _) => {
            (vec![resource(path, call(deed).2?)], json!({}))
        }
        Deed::TagNsg(_) | Deed::PutRole(..) | Deed::Give(..) => {
            let (_, path, body) = call(deed);
            (vec![resource(&path, body?)], json!({}))
        }
        Deed::Refer(path) => {
            let read = format!("[reference('{path}', '2024-05-01', 'full')]");
            (
                Vec::new(),
                json!({ "read": { "type": "object", "value": read } }),
            )
        }
        _ => return None,
    };
    Some(json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
        "outputs": outputs,
    }))
}

/// Returns the resource of a template that has that path.
fn resource(path: &str, mut body: Value) -> Value {
    let (scope, rest) = path.rsplit_once("/providers/").unwrap();
    let (kind, name) = rest.rsplit_once('/').unwrap();
    body["type"] = kind.into();
    body["name"] = name.into();
    body["apiVersion"] = "2024-05-01".into();
    body["scope"] = if scope.is_empty() { "/" } else { scope }.into();
    body
}

fn deployment(group: &str, template: Value, way: Way, is_nested: bool) -> Call {
    let template = match is_nested {
        false => template,
        true => json!({
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [{ "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01",
                "name": "inner", "properties": { "mode": "Incremental", "template": template,
                    "expressionEvaluationOptions": { "scope": "inner" } } }],
        }),
    };
    let path = format!("{group}/providers/Microsoft.Resources/deployments/d");
    let body = json!({ "properties": { "mode": "Incremental", "template": template } });
    let (method, word) = match way {
        Way::WhatIf => ("POST", "/whatIf"),
        Way::Validate => ("POST", "/validate"),
        Way::Put | Way::Rest => ("PUT", ""),
    };
    (method, format!("{path}{word}"), Some(body))
}

/// Returns the code at the ground of an error.
fn cause(answer: &Response) -> String {
    let body = answer.value();
    let mut error = &body["error"];
    while let Some(inner) = error
        .pointer("/details/0")
        .filter(|it| it.get("code").is_some())
    {
        error = inner;
    }
    error["code"].as_str().unwrap_or_default().to_owned()
}

fn send(world: &World, who: Option<usize>, (method, path, body): &Call, is_loud: bool) -> Response {
    let path = match is_loud {
        // Types and names compare without case.
        true => path
            .replace(
                "Microsoft.Authorization/role",
                "MICROSOFT.authorization/ROLE",
            )
            .replace("/resourcegroups/g", "/resourceGroups/G")
            .replace("networksecuritygroups", "networkSecurityGroups"),
        false => path.clone(),
    };
    let mut request = Request::local(method, &format!("{path}?api-version=2024-05-01"));
    request.via = Via::Https;
    request = request.with_header("Host", "localhost");
    if let Some(who) = who {
        request = request.with_header("Authorization", &setup::tokens()[who]);
    }
    if let Some(body) = body {
        request = request.with_body(body.to_string());
    }
    world.api.handle(&request)
}

/// Returns the IDs that an answer lists, in small letters.
fn ids(deed: &Deed, answer: &Response) -> BTreeSet<String> {
    let value = answer.value();
    let small = |text: &Value| text.as_str().unwrap_or_default().to_ascii_lowercase();
    if let Deed::Export(group) = deed {
        let all = value
            .pointer("/template/resources")
            .and_then(Value::as_array);
        let all = all.into_iter().flatten().filter_map(|one| {
            let kind = small(&one["type"]);
            let is_net = kind.starts_with("microsoft.network/");
            is_net.then(|| format!("{group}/providers/{kind}/{}", small(&one["name"])))
        });
        return all.collect();
    }
    let all = value["value"].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| small(&one["id"])).collect()
}

/// Makes one call and compares.
fn one(world: &mut World, step: &Step) {
    let people = world.oracle.people.clone();
    let who = usize::from(step[0]) % (people.len() + 1);
    let who = (who < people.len()).then_some(who);
    let deed = deed(step, &people);
    let home = group(usize::from(step[10]) % (2 * HOMES.len()));
    let (way, call) = match template(&deed)
        .filter(|_| step[11].is_multiple_of(2) || matches!(deed, Deed::Refer(_)))
    {
        Some(template) => {
            let way =
                [Way::Put, Way::WhatIf, Way::Validate, Way::Put][usize::from(step[11] / 2) % 4];
            (way, deployment(&home, template, way, step[11] & 16 > 0))
        }
        None => (Way::Rest, call(&deed)),
    };
    // Half of the calls are made by somebody who may, if there is one: the rest are mostly refused.
    let who = match who.filter(|_| step[0] >= 128) {
        Some(first) => {
            let all = (0..people.len()).map(|at| (first + at) % people.len());
            let may = |at: &usize| {
                world
                    .oracle
                    .by_template(&people[*at], &deed, way, &home)
                    .may
            };
            let mut all = all;
            all.find(may).or(Some(first))
        }
        None => who,
    };
    let verdict = match who {
        Some(who) => world.oracle.by_template(&people[who], &deed, way, &home),
        None => Verdict {
            may: false,
            can: false,
        },
    };
    let answer = send(world, who, &call, step[11] & 32 > 0);
    let code = cause(&answer);
    let about = || {
        let held: Vec<_> = world.oracle.given.iter().collect();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        format!(
            "{who:?} {way:?} {deed:?} in {home}: {verdict:?}, and: {} {text}\nheld: {held:?}\nroles: {:?}",
            answer.status, world.oracle.roles
        )
    };
    let is_done = answer.status < 300;
    assert!(answer.status < 500, "{}", about());
    assert_eq!(is_done, verdict.may && verdict.can, "{}", about());
    let refusals = [
        "AuthorizationFailed",
        "LinkedAuthorizationFailed",
        "InvalidAuthenticationTokenTenant",
        "AuthenticationFailed",
    ];
    assert!(
        !(refusals.contains(&code.as_str()) && verdict.may),
        "{}",
        about()
    );
    DONE.fetch_add(usize::from(is_done), Ordering::Relaxed);
    REFUSED.fetch_add(usize::from(verdict.may && !is_done), Ordering::Relaxed);
    let Some(who) = who.map(|who| &people[who]) else {
        return;
    };
    compare(&world.oracle, who, &deed, way, &answer, &about);
    if is_done && matches!(way, Way::Rest | Way::Put) {
        world.oracle.done(who, &deed);
    }
}

/// Compares what an answer tells with what the caller may read.
fn compare(
    oracle: &Oracle,
    who: &Person,
    deed: &Deed,
    way: Way,
    answer: &Response,
    about: &dyn Fn() -> String,
) {
    if answer.status < 300
        && let Some(expected) = oracle.listed(who, deed)
    {
        assert_eq!(ids(deed, answer), expected, "{}", about());
    }
    // Who writes is shown what they wrote, and the rest of it with PATCH alone.
    if way != Way::Rest || !matches!(deed, Deed::PatchNsg(_)) {
        let text = String::from_utf8_lossy(&answer.body);
        let told = oracle.hidden(who).find(|path| text.contains(&mark(path)));
        assert_eq!(told, None, "{}", about());
    }
}

static MADE: AtomicUsize = AtomicUsize::new(0);
/// Calls that were done, and calls of those who might make them that could not be.
static DONE: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

fn run(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        one(&mut world, step);
        MADE.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the steps of a number: always the same ones.
fn steps(number: u64) -> Vec<Step> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..CALLS)
        .map(|_| {
            let mut step = Step::default();
            step[..8].copy_from_slice(&next());
            step[8..].copy_from_slice(&next()[..4]);
            step
        })
        .collect()
}

fn wanted() -> usize {
    let told = std::env::var("POSTERN_RIGHTS_CALLS").ok();
    told.map_or(6_000, |told| told.parse().expect("a number of calls"))
}

#[test]
fn rights_are_those_of_the_oracle() {
    let begin = Instant::now();
    let worlds = wanted().div_ceil(CALLS);
    let fixed = worlds.div_ceil(4);
    for number in 0..fixed as u64 {
        println!("seed {number}");
        run(&steps(number));
    }
    let all = bolero::produce::<Vec<Step>>().with().len(CALLS);
    bolero::check!()
        .with_iterations(worlds - fixed)
        .with_test_time(Duration::from_secs(24 * 3600))
        .with_generator(all)
        .for_each(|steps| run(steps));
    let [made, done, refused] = [&MADE, &DONE, &REFUSED].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{made} calls in {:?}: {done} done, {refused} impossible, {} without the right",
        begin.elapsed(),
        made - done - refused
    );
    assert!(
        done > made / 20 && refused > made / 100,
        "the calls say little"
    );
}
