//! Requests that mean no good, and that must change nothing.

use super::*;

#[test]
fn bad_bodies_are_refused_and_change_nothing() {
    let world = World::furnished();
    let before = world.api.estate();
    let commits = world.host.commits.load(Ordering::Relaxed);
    let path = net("virtualNetworks/w");
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        "",
        " ",
        "{",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{\"a\":}",
        "{\"a\":1}}",
        &deep,
        "\u{0}",
        "{a: 1}",
    ] {
        let request = request("PUT", &path, None).with_body(body);
        let token = format!("Bearer {}", world.token("owner"));
        let answer = world
            .api
            .handle(&request.with_header("Authorization", &token));
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "InvalidRequestContent"),
            "{body:.40}"
        );
    }
    for body in [
        json!({}),
        json!({ "location": 5 }),
        json!({ "location": "koreacentral", "properties": [] }),
        json!({ "location": "koreacentral", "name": "other", "properties": vnet()["properties"] }),
        json!({ "location": "koreacentral", "type": "Microsoft.Network/routeTables", "properties": vnet()["properties"] }),
    ] {
        let answer = world.owner("PUT", &path, Some(body.clone()));
        assert_eq!(answer.status, 400, "{body}: {}", answer.value());
        assert!(!code(&answer).is_empty());
    }
    assert!(*world.api.estate() == *before);
    assert_eq!(
        world.host.commits.load(Ordering::Relaxed),
        commits,
        "the host was not asked"
    );
}

#[test]
fn a_body_without_end_is_refused_before_it_is_read() {
    let world = World::furnished();
    let request = request("PUT", &net("virtualNetworks/w"), None).with_body(vec![b'['; 10 << 20]);
    let answer = world.api.handle(&request);
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (413, "RequestContentTooLarge")
    );
}

#[test]
fn strange_requests_get_an_answer_and_do_no_harm() {
    let world = World::furnished();
    let before = world.api.estate();
    let long = "a".repeat(5_000);
    for path in [
        "".to_owned(),
        "?".into(),
        "/%".into(),
        "/%00".into(),
        "/../../etc/passwd".into(),
        "/subscriptions/%2e%2e/x".into(),
        format!("/subscriptions/{long}"),
        "/a".repeat(3_000),
        "/providers/providers/providers/providers".into(),
        format!("/subscriptions/{S}/resourceGroups/rg/providers"),
        format!("/subscriptions/{S}/resourceGroups/rg/providers/providers/x/providers"),
        format!(
            "{}/providers/Microsoft.Authorization",
            net("virtualNetworks/v")
        ),
        net("virtualNetworks/\u{fffd}"),
        net("virtualNetworks/%F0%9F%92%A9"),
        net("virtualNetworks/v/subnets/a/b/c/d/e"),
    ] {
        for method in ["GET", "POST", "DELETE", "PATCH", "BREW", "", "PUT\r\nX: y"] {
            let answer = world.owner(method, &path, Some(json!({ "a": { "b": [1, 2] } })));
            assert!(
                (400..500).contains(&answer.status) || (method == "DELETE" && answer.status == 204),
                "{method} {path:.80}: {} {}",
                answer.status,
                answer.value()
            );
        }
    }
    assert!(*world.api.estate() == *before);
}

#[test]
fn what_the_host_refuses_is_not_there() {
    let world = World::furnished();
    let before = world.api.estate();
    world.host.broken.store(true, Ordering::Relaxed);
    let answer = world.owner(
        "PUT",
        &net("networkSecurityGroups/n"),
        Some(json!({ "location": "koreacentral" })),
    );
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (409, "HostRefused")
    );
    assert!(Arc::ptr_eq(&before, &world.api.estate()));
    assert_eq!(
        world
            .owner("GET", &net("networkSecurityGroups/n"), None)
            .status,
        404
    );
}

#[test]
fn no_secret_is_shown_by_debugging() {
    let world = World::new();
    let text = format!("{:?} {:?}", world.api, config());
    assert!(!text.contains("secret of"), "{text}");
}
