//! What a caller sees by the way of something else: templates, what-if, exports, actions.

use super::roles::{at, cause, definition, deployment, given, sub, world};
use super::*;

const ROLE: &str = "0a000000-0000-4000-8000-000000000009";

/// Gives `netter`, who has a role in `rg` already, and `storer` rights of their own at `rg`.
fn give(world: &World, who: &str, actions: &[&str]) {
    let role = at(&sub(), "roleDefinitions", ROLE);
    let made = world.owner("PUT", &role, Some(definition("Own", &[&sub()], actions)));
    assert!(made.status < 300, "{}", made.value());
    let path = at(&group_path("rg"), "roleAssignments", ROLE);
    let made = world.owner("PUT", &path, Some(given(&role, who)));
    assert!(made.status < 300, "{}", made.value());
}

fn deployed(world: &World, who: &str, word: &str, template: &Value) -> Response {
    let (path, body) = deployment(&group_path("rg"), template);
    let method = if word.is_empty() { "PUT" } else { "POST" };
    world.send(who, method, &format!("{path}{word}"), Some(body))
}

fn template(resources: &Value, output: &str) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
        "outputs": { "told": { "type": "object", "value": output } },
    })
}

#[test]
fn a_template_reads_what_its_deployer_may_read() {
    let world = world();
    let store = json!({ "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" });
    assert_eq!(world.owner("PUT", &account("one"), Some(store)).status, 200);
    give(&world, "storer", &["Microsoft.Resources/deployments/*"]);
    let vnet = net("virtualNetworks/v");
    for (who, output) in [
        (
            "storer",
            format!("[reference('{vnet}', '2024-05-01', 'full')]"),
        ),
        (
            "netter",
            format!("[reference('{}', '2023-05-01', 'full')]", account("one")),
        ),
        (
            "netter",
            format!("[listKeys('{}', '2023-05-01')]", account("one")),
        ),
    ] {
        let flat = template(&json!([]), &output);
        let nested = template(
            &json!([{ "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
                "properties": { "mode": "Incremental", "template": flat } }]),
            "[createObject()]",
        );
        for template in [&flat, &nested] {
            for word in ["", "/validate", "/whatIf"] {
                let answer = deployed(&world, who, word, template);
                assert_eq!(
                    cause(&answer),
                    "AuthorizationFailed",
                    "{who} {word}: {}",
                    answer.value()
                );
            }
        }
    }
}

#[test]
fn what_if_tells_nothing_that_cannot_be_read() {
    let world = world();
    let secret = json!({ "location": "koreacentral", "tags": { "secret": "forty-two" } });
    for name in ["n", "m"] {
        let path = net(&format!("networkSecurityGroups/{name}"));
        assert_eq!(world.owner("PUT", &path, Some(secret.clone())).status, 201);
    }
    give(
        &world,
        "storer",
        &[
            "Microsoft.Resources/deployments/*",
            "Microsoft.Network/networkSecurityGroups/write",
        ],
    );
    let template = template(
        &json!([{ "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01",
            "name": "n", "location": "koreacentral" }]),
        "[createObject()]",
    );
    let answer = deployed(&world, "storer", "/whatIf", &template);
    assert_eq!(answer.status, 200, "{}", answer.value());
    let text = answer.value().to_string();
    assert!(
        !text.contains("forty-two") && !text.contains("networkSecurityGroups/m"),
        "{text}"
    );
    assert!(text.contains("networkSecurityGroups/n"), "{text}");
    let text = deployed(&world, "owner", "/whatIf", &template)
        .value()
        .to_string();
    assert!(
        text.contains("forty-two") && text.contains("networkSecurityGroups/m"),
        "{text}"
    );
}

#[test]
fn exports_and_lists_have_what_can_be_read() {
    let world = world();
    let body = json!({ "location": "koreacentral", "tags": { "secret": "forty-two" } });
    assert_eq!(
        world
            .owner("PUT", &net("networkSecurityGroups/n"), Some(body))
            .status,
        201
    );
    give(
        &world,
        "storer",
        &[
            "Microsoft.Resources/subscriptions/resourceGroups/exportTemplate/action",
            "Microsoft.Resources/subscriptions/resources/read",
            "Microsoft.Network/virtualNetworks/read",
        ],
    );
    let export = format!("{}/exportTemplate", group_path("rg"));
    let all = json!({ "resources": ["*"] });
    let text = |who: &str| {
        let answer = world.send(who, "POST", &export, Some(all.clone()));
        assert_eq!(answer.status, 200);
        answer.value().to_string()
    };
    assert!(!text("storer").contains("forty-two") && text("storer").contains("10.0.1.0/24"));
    assert!(text("owner").contains("forty-two"));
    let listed = world.send(
        "storer",
        "GET",
        &format!("{}/resources", group_path("rg")),
        None,
    );
    let names: Vec<_> = listed.value()["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, ["v"]);
    // Whether a group is there is not told to who has nothing to do with it.
    for name in ["rg", "none"] {
        let answer = world.send(
            "nobody",
            "GET",
            &format!("{}/resources", group_path(name)),
            None,
        );
        assert_eq!(cause(&answer), "AuthorizationFailed");
    }
}

#[test]
fn a_watcher_of_ones_own_tells_nothing_of_others() {
    let world = world();
    let watcher = format!(
        "{}/providers/Microsoft.Network/networkWatchers/w",
        group_path("acc")
    );
    let body = json!({ "location": "koreacentral" });
    assert_eq!(
        world.send("nobody", "PUT", &watcher, Some(body)).status,
        201
    );
    let ask =
        json!({ "targetResourceId": net("virtualNetworks/v"), "sourceIPAddress": "10.0.1.4" });
    let path = format!("{watcher}/nextHop");
    let answer = world.send("nobody", "POST", &path, Some(ask.clone()));
    assert_eq!(
        cause(&answer),
        "LinkedAuthorizationFailed",
        "{}",
        answer.value()
    );
    assert_eq!(world.owner("POST", &path, Some(ask)).status, 200);
}

#[test]
fn security_groups_inside_of_a_network_need_their_own_right() {
    let world = world();
    give(&world, "storer", &["Microsoft.Network/virtualNetworks/*"]);
    let mut body = vnet();
    body["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] =
        json!({ "properties": { "securityRules": [] } });
    let answer = world.send(
        "storer",
        "PUT",
        &net("virtualNetworks/v"),
        Some(body.clone()),
    );
    assert_eq!(cause(&answer), "AuthorizationFailed", "{}", answer.value());
    let text = answer.value().to_string();
    assert!(text.contains("networkSecurityGroups/write"), "{text}");
    let answer = world.send("netter", "PUT", &net("virtualNetworks/v"), Some(body));
    assert_eq!(answer.status, 200, "{}", answer.value());
}

#[test]
fn tags_in_a_template_are_those_of_what_they_are_on() {
    let world = world();
    give(
        &world,
        "storer",
        &[
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/tags/*",
        ],
    );
    let vnet = net("virtualNetworks/v");
    let template = template(
        &json!([{ "type": "Microsoft.Resources/tags", "apiVersion": "2021-04-01", "name": "default",
            "scope": vnet, "properties": { "tags": { "a": "b" } } }]),
        "[createObject()]",
    );
    let made = deployed(&world, "storer", "", &template);
    assert_eq!(made.status, 201, "{}", made.value());
    assert_eq!(
        world.owner("GET", &vnet, None).value()["tags"],
        json!({ "a": "b" })
    );
    let refused = deployed(&world, "netter", "", &template);
    assert_eq!(
        cause(&refused),
        "AuthorizationFailed",
        "{}",
        refused.value()
    );
    // Roles have none.
    let role = at(&sub(), "roleDefinitions", ROLE);
    let path = format!("{role}/providers/Microsoft.Resources/tags/default");
    let answer = world.owner(
        "PUT",
        &path,
        Some(json!({ "properties": { "tags": { "a": "b" } } })),
    );
    assert!(answer.status >= 400, "{}", answer.value());
}
