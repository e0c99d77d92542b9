//! Secrets in requests: no answer of any kind has them, whoever asks.

use super::*;

const MARKER: &str = "S3cret-Marker-zzz";

fn sql(name: &str) -> String {
    format!(
        "{}/providers/Microsoft.Sql/servers/{name}",
        group_path("rg")
    )
}

fn finds(response: &Response) -> bool {
    let body = String::from_utf8_lossy(&response.body);
    body.contains(MARKER)
        || response
            .headers
            .iter()
            .any(|(_, value)| value.contains(MARKER))
}

#[test]
fn a_password_is_in_no_answer_and_no_export() {
    let world = World::furnished();
    let body = |password: &str| {
        json!({ "location": "koreacentral", "properties": {
            "administratorLogin": "a", "administratorLoginPassword": password } })
    };
    let put = |password: &str| world.owner("PUT", &sql("s"), Some(body(password)));
    let first = put(MARKER);
    assert_eq!(first.status, 201, "{}", first.value());
    let again = put(MARKER);
    assert_eq!(
        first.header("etag"),
        again.header("etag"),
        "the same is no change"
    );
    assert_ne!(put("another").header("etag"), again.header("etag"));
    assert_eq!(put(MARKER).status, 200);
    let patch = json!({ "properties": { "administratorLoginPassword": MARKER } });
    let patched = world.owner("PATCH", &sql("s"), Some(patch));
    let what_if = json!({ "properties": { "mode": "Incremental", "template": {
        "$schema": "x", "contentVersion": "1.0.0.0", "resources": [{
            "type": "Microsoft.Sql/servers", "apiVersion": "2023-08-01", "name": "s",
            "location": "koreacentral", "properties": { "administratorLoginPassword": MARKER },
        }] } } });
    let deployment = group_path("rg") + "/providers/Microsoft.Resources/deployments/d";
    let mut answers = vec![first, again, patched];
    for word in ["validate", "whatIf"] {
        answers.push(world.owner(
            "POST",
            &format!("{deployment}/{word}"),
            Some(what_if.clone()),
        ));
    }
    answers.push(world.owner("PUT", &deployment, Some(what_if)));
    let export = json!({ "resources": ["*"], "options": "IncludeParameterDefaultValue" });
    answers.push(world.owner(
        "POST",
        &(group_path("rg") + "/exportTemplate"),
        Some(export),
    ));
    let servers = sql("").trim_end_matches('/').to_owned();
    for who in ["owner", "reader"] {
        for path in [
            sql("s"),
            servers.clone(),
            group_path("rg") + "/resources",
            format!("/subscriptions/{S}/resources"),
            deployment.clone(),
            deployment.clone() + "/operations",
        ] {
            let answer = world.send(who, "GET", &path, None);
            assert_eq!(answer.status, 200, "{who} {path}");
            answers.push(answer);
        }
    }
    for answer in &answers {
        assert!(answer.status < 300, "{}", answer.value());
        assert!(!finds(answer), "{}", answer.value());
    }
    let kept = serde_json::to_string(&world.api.estate().to_parts()).unwrap();
    assert!(!kept.contains(MARKER), "{kept}");
}

#[test]
fn a_password_is_secret_whatever_it_is_written_as() {
    let world = World::furnished();
    for password in [json!([MARKER]), json!({ "x": MARKER }), json!(271_828_182)] {
        let properties = json!({ "administratorLoginPassword": password });
        let body = json!({ "location": "koreacentral", "properties": properties });
        let put = world.owner("PUT", &sql("s"), Some(body));
        let get = world.send("reader", "GET", &sql("s"), None);
        let patch = json!({ "properties": properties });
        let patched = world.owner("PATCH", &sql("s"), Some(patch));
        for answer in [put, get, patched] {
            assert!(answer.status < 300, "{}", answer.value());
            assert!(!finds(&answer), "{}", answer.value());
        }
        let kept = serde_json::to_string(&world.api.estate().to_parts()).unwrap();
        assert!(
            !kept.contains(MARKER) && !kept.contains("271828182"),
            "{kept}"
        );
    }
}

#[test]
fn a_deployment_that_fails_keeps_no_secret() {
    let world = World::furnished();
    let deployment = group_path("rg") + "/providers/Microsoft.Resources/deployments/d";
    let body = json!({ "properties": { "mode": "Incremental",
        "parameters": { "pw": { "value": MARKER } },
        "template": { "$schema": "x", "contentVersion": "1.0.0.0",
            "parameters": { "pw": { "type": "secureString" } },
            "resources": [{
                "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01",
                "name": "[concat('v ', parameters('pw'), '!')]", "location": "koreacentral", "properties": {},
            }] } } });
    let answer = world.owner("PUT", &deployment, Some(body));
    assert!(
        answer.status >= 400 && !finds(&answer),
        "{}",
        answer.value()
    );
    let kept = serde_json::to_string(&world.api.estate().to_parts()).unwrap();
    assert!(!kept.contains(MARKER), "{kept}");
}
