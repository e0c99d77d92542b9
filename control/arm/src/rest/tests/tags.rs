//! Tags are texts, whichever way they come.

use super::*;

/// Every way by which tags come, as a request.
fn ways(tags: &Value) -> Vec<(&'static str, String, Value)> {
    let network = net("virtualNetworks/v");
    let mut body = vnet();
    body["tags"] = tags.clone();
    let mut other = body.clone();
    other["properties"] = json!({});
    let group = json!({ "location": "koreacentral", "tags": tags });
    let alone = |at: &str| format!("{at}/providers/Microsoft.Resources/tags/default");
    let whole = json!({ "properties": { "tags": tags } });
    let merged = json!({ "operation": "Merge", "properties": { "tags": tags } });
    let only = json!({ "tags": tags });
    let deployment = format!(
        "{}/providers/Microsoft.Resources/deployments/d",
        group_path("rg")
    );
    let template = |resource: Value, own: Value| {
        json!({ "tags": own, "properties": { "mode": "Incremental", "template": {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [resource],
        } } })
    };
    let resource = |tags: &Value| {
        json!({ "type": "Microsoft.Network/routeTables", "apiVersion": "2024-05-01", "name": "rt",
            "location": "koreacentral", "tags": tags, "properties": {} })
    };
    let alone_resource = json!({ "type": "Microsoft.Resources/tags", "apiVersion": "2021-04-01",
        "name": "default", "properties": { "tags": tags } });
    vec![
        ("PUT", network.clone(), body.clone()),
        ("PUT", net("routeTables/new"), other.clone()),
        (
            "PUT",
            format!(
                "{}/providers/Microsoft.Insights/components/new",
                group_path("rg")
            ),
            other,
        ),
        ("PATCH", network.clone(), only.clone()),
        ("PUT", group_path("new"), group.clone()),
        ("PUT", group_path("rg"), group),
        ("PATCH", group_path("rg"), only),
        ("PUT", alone(&network), whole.clone()),
        ("PATCH", alone(&network), merged.clone()),
        ("PUT", alone(&group_path("rg")), whole),
        ("PATCH", alone(&group_path("rg")), merged),
        (
            "PUT",
            deployment.clone(),
            template(resource(tags), json!({ "a": "1" })),
        ),
        (
            "PUT",
            deployment.clone(),
            template(alone_resource, Value::Null),
        ),
        (
            "PUT",
            deployment,
            template(resource(&json!({})), tags.clone()),
        ),
    ]
}

#[test]
fn tags_that_cannot_be_are_refused_in_every_way() {
    let many: Value = (0..51)
        .map(|at| (format!("t{at}"), "x".into()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let named = |name: &str| Value::Object([(name.to_owned(), json!("x"))].into_iter().collect());
    for (tags, code) in [
        (json!({ "a": 1 }), "InvalidRequestContent"),
        (json!({ "a": "1", "b": true }), "InvalidRequestContent"),
        (json!({ "a": { "b": "c" } }), "InvalidRequestContent"),
        (json!({ "a": ["b"] }), "InvalidRequestContent"),
        (json!({ "a": null }), "InvalidRequestContent"),
        (json!(["a"]), "InvalidRequestContent"),
        (many, "TooManyTags"),
        (named(&"n".repeat(513)), "InvalidTagNameLength"),
        (named(" "), "InvalidTagNameLength"),
        (named("a/b"), "InvalidTagNameCharacters"),
        (named("a<"), "InvalidTagNameCharacters"),
        (named("50%"), "InvalidTagNameCharacters"),
        (named("a\u{7}"), "InvalidTagNameCharacters"),
        (json!({ "a": "v".repeat(257) }), "InvalidTagValueLength"),
    ] {
        for (method, path, body) in ways(&tags) {
            let world = World::furnished();
            let answer = world.owner(method, &path, Some(body));
            let text = answer.value().to_string();
            let what = format!("{method} {path} {code}: {} {text}", answer.status);
            assert!(
                answer.status == 400 || path.contains("/deployments/"),
                "{what}"
            );
            assert!(text.contains(code) && text.contains("accepted: "), "{what}");
            for kept in [net("virtualNetworks/v"), group_path("rg")] {
                let shown = world.owner("GET", &kept, None).value();
                assert_eq!(shown.get("tags"), None, "{what}");
            }
        }
    }
}

#[test]
fn tags_at_the_limits_are_kept() {
    let mut tags: serde_json::Map<_, _> = (0..48).map(|at| (format!("t{at}"), json!(""))).collect();
    tags.insert("ü".repeat(512), json!("ü".repeat(256)));
    tags.insert("a:b=c@\"d\"".into(), json!("<>%&\\?/"));
    let tags = Value::from(tags);
    for (method, path, body) in ways(&tags) {
        let world = World::furnished();
        let answer = world.owner(method, &path, Some(body));
        assert!(answer.status < 300, "{method} {path}: {}", answer.value());
    }
}

#[test]
fn other_values_do_not_matter_to_tags_of_before() {
    let world = World::furnished();
    let before = json!({ "location": "koreacentral", "tags": { "a": "1" } });
    world.owner("PUT", &group_path("rg"), Some(before));
    let answer = world.owner("PATCH", &group_path("rg"), Some(json!({ "tags": null })));
    assert!(answer.status < 300, "{}", answer.value());
}
