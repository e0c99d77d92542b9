//! What is the host's to say: the platform is asked by every way that writes, and for nobody but
//! principals.

use super::*;

const GUID: &str = "00000000-0000-4000-8000-00000000000a";

fn nsg(tags: &Value) -> Value {
    json!({ "location": "koreacentral", "tags": tags })
}

fn path() -> String {
    net("networkSecurityGroups/n")
}

fn tags_path() -> String {
    format!("{}/providers/Microsoft.Resources/tags/default", path())
}

fn deployment(word: &str) -> String {
    let scope = group_path("rg");
    format!("{scope}/providers/Microsoft.Resources/deployments/d{word}")
}

fn template(resources: &Value) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
    })
}

fn deployed(template: &Value) -> Value {
    json!({ "properties": { "mode": "Incremental", "template": template } })
}

/// Every way to give a tag to a resource, whether it is there or not.
fn ways(value: &str) -> Vec<(&'static str, String, Value)> {
    let tags = json!({ "bound": value });
    let merge = json!({ "operation": "Merge", "properties": { "tags": tags } });
    let replace = json!({ "properties": { "tags": tags } });
    let mut resource = nsg(&tags);
    resource["type"] = "Microsoft.Network/networkSecurityGroups".into();
    resource["apiVersion"] = "2024-05-01".into();
    resource["name"] = "n".into();
    let flat = template(&json!([resource]));
    let nested = template(&json!([{
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
        "properties": { "mode": "Incremental", "template": flat },
    }]));
    vec![
        ("PUT", path(), nsg(&tags)),
        ("PATCH", path(), json!({ "tags": tags })),
        ("PATCH", tags_path(), merge),
        ("PUT", tags_path(), replace),
        ("PUT", deployment(""), deployed(&flat)),
        ("PUT", deployment(""), deployed(&nested)),
        ("POST", deployment("/whatIf"), deployed(&flat)),
        ("POST", deployment("/validate"), deployed(&nested)),
    ]
}

#[test]
fn every_way_that_writes_asks_the_host() {
    let world = World::furnished();
    world.owner("PUT", &path(), Some(nsg(&json!({}))));
    for (method, path, body) in ways("no") {
        let commits = world.host.commits.load(Ordering::Relaxed);
        let refused = world.owner(method, &path, Some(body));
        let told = refused.value();
        assert_eq!(refused.status, 403, "{method} {path}: {told}");
        assert_eq!(code(&refused), "HostRight", "{method} {path}: {told}");
        assert_eq!(world.host.commits.load(Ordering::Relaxed), commits);
    }
    for (method, path, body) in ways("yes") {
        let done = world.owner(method, &path, Some(body));
        assert!(done.status < 300, "{method} {path}: {}", done.value());
    }
}

#[test]
fn the_hosts_own_is_not_asked_and_what_is_there_stays() {
    let world = World::furnished();
    for (method, path, body) in ways("no") {
        let mut request = request(method, &path, Some(body));
        if method == "PATCH" || path.contains("/tags/") {
            let made = Request::local("PUT", &super::host::path());
            world
                .api
                .handle(&made.with_body(nsg(&json!({})).to_string()));
        }
        request.via = Via::Socket;
        let done = world.api.handle(&request);
        assert!(done.status < 300, "{method} {path}: {}", done.value());
    }
    // Somebody else goes on with the resource: the tag is not theirs, and stays.
    for body in [
        json!({ "tags": { "bound": "no", "mine": "1" } }),
        json!({ "properties": {} }),
    ] {
        let done = world.owner("PATCH", &path(), Some(body));
        assert_eq!(done.status, 200, "{}", done.value());
        assert_eq!(done.value()["tags"]["bound"], "no");
    }
}

#[test]
fn who_may_only_tag_binds_nothing() {
    let world = World::furnished();
    world.owner("PUT", &path(), Some(nsg(&json!({}))));
    let scope = group_path("rg");
    let role = format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{GUID}");
    let tagger = json!({ "properties": {
        "roleName": "Tagger", "type": "CustomRole", "assignableScopes": [scope],
        "permissions": [{ "actions": ["Microsoft.Resources/tags/*"], "notActions": [] }],
    }});
    let made = world.owner("PUT", &role, Some(tagger));
    assert!(made.status < 300, "{}", made.value());
    let nobody = principal("nobody", T).object_id;
    let assigned = world.owner(
        "PUT",
        &format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{GUID}"),
        Some(json!({ "properties": {
            "roleDefinitionId": made.value()["id"], "principalId": nobody,
        }})),
    );
    assert!(assigned.status < 300, "{}", assigned.value());
    let tag = |name: &str| {
        let tags = json!({ "operation": "Merge", "properties": { "tags": { name: "yes" } } });
        world.send("nobody", "PATCH", &tags_path(), Some(tags))
    };
    assert_eq!(tag("cost").status, 200);
    let refused = tag("bound");
    assert_eq!(refused.status, 403, "{}", refused.value());
    assert_eq!(code(&refused), "AuthorizationFailed");
    let message = refused.value()["error"]["message"].to_string();
    assert!(message.contains("networkSecurityGroups/write"), "{message}");
}
