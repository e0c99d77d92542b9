//! Templates are evaluated beside other changes, and no change is lost.

use super::super::apart::Apart;
use super::*;
use crate::cancel::Cancel;
use crate::deploy::{Journal, Resources};
use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

fn deployment(name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Resources/deployments/{name}",
        group_path("rg")
    )
}

/// A template that takes as long as it may.
fn bomb() -> Value {
    let mut variables = json!({ "v0": "[string(range(0, 1000))]" });
    for at in 1..=6 {
        let text = format!("[concat(variables('v{0}'), variables('v{0}'))]", at - 1);
        variables[format!("v{at}")] = text.into();
    }
    let value = "[map(range(0, 10000), lambda('i', indexOf(variables('v6'), 'zzzzzzzz')))]";
    json!({ "properties": { "mode": "Incremental", "template": {
        "variables": variables, "resources": [],
        "outputs": { "x": { "type": "array", "value": value } },
    } } })
}

fn signed(world: &World, method: &str, path: &str, body: &Value) -> Request {
    let token = format!("Bearer {}", world.token("owner"));
    request(method, path, Some(body.clone())).with_header("Authorization", &token)
}

/// Waits until a template is under way.
fn await_work(world: &World) {
    let end = Instant::now() + Duration::from_secs(60);
    while world.api.turns.at_work() == 0 {
        assert!(Instant::now() < end, "no template is evaluated");
        thread::yield_now();
    }
}

#[test]
fn others_change_what_they_like_while_a_template_is_evaluated() {
    let world = World::furnished();
    let asked = signed(&world, "PUT", &deployment("bomb"), &bomb());
    let cancel = asked.cancel.clone();
    thread::scope(|scope| {
        let at_work = scope.spawn(|| world.api.handle(&asked));
        await_work(&world);
        let path = net("networkSecurityGroups/n");
        let body = json!({ "location": "koreacentral" });
        assert_eq!(world.owner("PUT", &path, Some(body)).status, 201);
        assert_eq!(world.owner("GET", &path, None).status, 200);
        world.api.change(|_| Ok(())).unwrap();
        assert_eq!(world.api.turns.at_work(), 1, "and it still goes on");
        // Its client goes, and so does it.
        cancel.cancel();
        let answer = at_work.join().unwrap();
        assert_eq!(answer.status, 499, "{}", answer.value());
    });
    assert_eq!(world.api.turns.at_work(), 0);
    assert_eq!(world.owner("GET", &deployment("bomb"), None).status, 404);
}

#[test]
fn a_bomb_comes_to_its_end_by_itself() {
    let world = World::furnished();
    for method in ["PUT", "POST"] {
        let path = match method {
            "PUT" => deployment("bomb"),
            _ => format!("{}/validate", deployment("bomb")),
        };
        let answer = world.owner(method, &path, Some(bomb()));
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "InvalidTemplate")
        );
        let said = answer.value()["error"]["message"].to_string();
        assert!(said.contains("takes too much to evaluate"), "{said}");
    }
}

/// Deploys a resource that says what a network is tagged with, while `meanwhile` is done once; returns
/// how often it was worked out.
fn raced(world: &World, meanwhile: impl Fn()) -> usize {
    let tries = Cell::new(0);
    let network: ResourceId = net("virtualNetworks/v").parse().unwrap();
    let made: ResourceId = net("networkSecurityGroups/made").parse().unwrap();
    let act = |journal: &mut Journal, _: &State| {
        tries.set(tries.get() + 1);
        let seen = Resources::show(journal, &network).unwrap();
        if tries.get() == 1 {
            meanwhile();
        }
        let tags = seen.get("tags").cloned().unwrap_or(json!({}));
        journal.put(&made, json!({ "location": "koreacentral", "tags": tags }))
    };
    let change = Apart {
        caller: &Caller::Local,
        cancel: &Cancel::default(),
        act,
    };
    world.api.change_apart(&change).unwrap();
    tries.get()
}

#[test]
fn what_was_read_decides_whether_it_is_worked_out_again() {
    let world = World::furnished();
    let put = |path: String, body: Value| {
        let status = world.owner("PUT", &path, Some(body)).status;
        assert!(status < 300);
    };
    assert_eq!(raced(&world, || ()), 1);
    let other = || put(net("routeTables/t"), json!({ "location": "koreacentral" }));
    assert_eq!(raced(&world, other), 1, "something else was changed");
    assert_eq!(world.owner("GET", &net("routeTables/t"), None).status, 200);
    let network = || {
        let mut body = vnet();
        body["tags"] = json!({ "k": "new" });
        put(net("virtualNetworks/v"), body);
    };
    assert_eq!(raced(&world, network), 2, "what it read was changed");
    let made = world.owner("GET", &net("networkSecurityGroups/made"), None);
    assert_eq!(made.value()["tags"]["k"], "new");
    let role = || {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            group_path("rg"),
            "c0ffee00-0000-4000-8000-000000000001"
        );
        let reader = find_built_in("Reader").unwrap();
        let role = format!(
            "/subscriptions/{S}/providers/Microsoft.Authorization/roleDefinitions/{}",
            reader.id
        );
        let who = principal("nobody", T).object_id;
        put(
            path,
            json!({ "properties": { "roleDefinitionId": role, "principalId": who, "principalType": "ServicePrincipal" } }),
        );
    };
    assert_eq!(raced(&world, role), 2, "who may do what was changed");
}

#[test]
fn deployments_and_writes_lose_nothing() {
    const EACH: usize = 12;
    let world = World::furnished();
    let network = net("virtualNetworks/v");
    let group = |name: String| {
        json!({ "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01",
            "name": name, "location": "koreacentral",
            "tags": { "of": "[string(reference(resourceId('Microsoft.Network/virtualNetworks', 'v'), '2024-05-01', 'Full').location)]" } })
    };
    thread::scope(|scope| {
        for who in 0..2 {
            let (world, network) = (&world, &network);
            scope.spawn(move || {
                for turn in 0..EACH {
                    let template = json!({ "properties": { "mode": "Incremental", "template": {
                        "resources": [group(format!("d{who}-{turn}-a")), group(format!("d{who}-{turn}-b"))] } } });
                    let path = deployment(&format!("d{who}-{turn}"));
                    let answer = world.owner("PUT", &path, Some(template));
                    assert_eq!(answer.status, 201, "{}", answer.value());
                }
            });
            scope.spawn(move || {
                for turn in 0..EACH {
                    loop {
                        let read = world.owner("GET", network, None);
                        let mut whole = read.value();
                        whole["tags"][format!("t{who}-{turn}")] = json!("x");
                        let request = signed(world, "PUT", network, &whole)
                            .with_header("If-Match", read.header("etag").unwrap());
                        match world.api.handle(&request).status {
                            200 => break,
                            status => assert_eq!(status, 412),
                        }
                    }
                }
            });
        }
        // Somebody who waits for nothing.
        scope.spawn(|| {
            for turn in 0..EACH {
                let path = net(&format!("routeTables/r{turn}"));
                let body = json!({ "location": "koreacentral" });
                assert_eq!(world.owner("PUT", &path, Some(body)).status, 201);
            }
        });
    });
    let count = |kind: &str| {
        let list = world.owner("GET", &net(kind), None).value();
        list["value"].as_array().unwrap().len()
    };
    assert_eq!(count("networkSecurityGroups"), 4 * EACH);
    assert_eq!(count("routeTables"), EACH);
    let tags = world.owner("GET", &network, None).value();
    assert_eq!(tags["tags"].as_object().unwrap().len(), 2 * EACH);
}
