//! Tokens: how they are given, and which are taken.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn ask(world: &World, path: &str, form: &str) -> Response {
    world
        .api
        .handle(&request("POST", &format!("{path}?x="), None).with_body(form))
}

fn form(name: &str, secret: &str) -> String {
    format!(
        "grant_type=client_credentials&client_id=app-{name}&client_secret={}&scope=https%3A%2F%2Flocalhost%3A8443%2F.default",
        secret.replace(' ', "+")
    )
}

#[test]
fn the_secret_gives_a_token_that_opens() {
    let world = World::new();
    for tenant in [T, "Postern"] {
        let path = format!("/{tenant}/oauth2/v2.0/token");
        let answer = ask(&world, &path, &form("owner", "secret of owner"));
        assert_eq!(answer.status, 200, "{}", answer.value());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let value = answer.value();
        assert_eq!(
            (&value["token_type"], &value["expires_in"]),
            (&json!("Bearer"), &json!(3599))
        );
        let token = value["access_token"].as_str().unwrap();
        let request = request("GET", "/subscriptions", None);
        let opened = world
            .api
            .handle(&request.with_header("Authorization", &format!("bearer {token}")));
        assert_eq!(opened.status, 200);
        let claims = key().check(token).unwrap();
        assert_eq!(
            (claims.tid.as_str(), claims.appid.as_str()),
            (T, "app-owner")
        );
        assert_eq!(claims.exp - claims.iat, 3600);
    }
    let old = ask(
        &world,
        &format!("/{T}/oauth2/token"),
        "grant_type=client_credentials&client_id=app-owner&client_secret=secret%20of%20owner&resource=https://localhost:8443",
    );
    assert_eq!(
        old.value()["expires_in"],
        "3599",
        "the older form has texts"
    );
    assert_eq!(old.value()["resource"], "https://localhost:8443");
}

#[test]
fn what_gives_no_token_has_the_code_of_the_token_endpoint() {
    let world = World::new();
    let path = format!("/{T}/oauth2/v2.0/token");
    for (path, form, status, error, code) in [
        (
            path.as_str(),
            form("owner", "wrong"),
            401,
            "invalid_client",
            7_000_215,
        ),
        (&path, form("owner", ""), 401, "invalid_client", 7_000_215),
        (&path, form("ghost", "x"), 401, "invalid_client", 7_000_215),
        // Of another tenant, which is as good as none.
        (
            &path,
            form("other", "secret of other"),
            401,
            "invalid_client",
            7_000_215,
        ),
        (
            "/nowhere/oauth2/v2.0/token",
            form("owner", "x"),
            400,
            "invalid_request",
            90_002,
        ),
        (&path, String::new(), 400, "invalid_request", 900_144),
        (
            &path,
            "grant_type=password".into(),
            400,
            "unsupported_grant_type",
            70_003,
        ),
        (
            &path,
            "grant_type=client_credentials&scope=x".into(),
            400,
            "invalid_scope",
            1_002_012,
        ),
        (
            &path,
            "grant_type=client_credentials&scope=x/.default".into(),
            400,
            "invalid_request",
            900_144,
        ),
        (
            &path,
            "grant_type=client_credentials&scope=x/.default&client_id=app-owner".into(),
            401,
            "invalid_client",
            7_000_218,
        ),
        (
            &path,
            "{\"grant_type\":\"client_credentials\"}".into(),
            400,
            "invalid_request",
            900_144,
        ),
        (&path, "%".repeat(70_000), 400, "invalid_request", 900_144),
    ] {
        let answer = ask(&world, path, &form);
        let value = answer.value();
        assert_eq!(
            (answer.status, &value["error"]),
            (status, &json!(error)),
            "{form:.80}"
        );
        assert_eq!(value["error_codes"], json!([code]));
        let text = value["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
        assert!(!text.contains("secret of"), "no secret is told");
    }
    let get = world.api.handle(&request("GET", &path, None));
    assert_eq!(
        (get.status, &get.value()["error_codes"]),
        (400, &json!([900_561]))
    );
}

#[test]
fn who_guesses_is_told_to_wait_and_who_knows_gets_in() {
    let world = World::new();
    let path = format!("/{T}/oauth2/v2.0/token");
    let tries: Vec<u16> = (0..30)
        .map(|n| ask(&world, &path, &form("owner", &n.to_string())).status)
        .collect();
    assert!(
        tries.iter().filter(|status| **status == 401).count() < 25,
        "{tries:?}"
    );
    let last = ask(&world, &path, &form("owner", "wrong again"));
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").unwrap().parse::<u64>().unwrap() <= 10);
    let right = ask(&world, &path, &form("owner", "secret of owner"));
    assert_eq!(right.status, 200, "nobody is locked out by others");
    let other = ask(&world, &path, &form("reader", "secret of reader"));
    assert_eq!(other.status, 200);
    let from = |from: &str, client: &str| {
        let mut request = request("POST", &path, None).with_body(form(client, "x"));
        request.from = Some(from.parse().unwrap());
        request
    };
    let line = |request: &Request| world.api.line(request);
    assert_eq!(line(&from("10.0.0.1", "owner")), None);
    for _ in 0..10 {
        world.api.handle(&from("10.0.0.1", "owner"));
    }
    assert!(line(&from("10.0.0.1", "owner")).is_some());
    assert_eq!(line(&from("10.0.0.2", "owner")), None, "from elsewhere");
    assert_eq!(line(&from("10.0.0.1", "reader")), None, "for another");
    assert_eq!(world.api.handle(&from("10.0.0.2", "owner")).status, 401);
    assert_eq!(world.api.handle(&from("10.0.0.1", "owner")).status, 429);
}

#[test]
fn whether_there_is_an_application_is_not_told() {
    let world = World::new();
    let path = format!("/{T}/oauth2/v2.0/token");
    let told = |client: &str, form: &str| {
        let answer = ask(&world, &path, form);
        let value = answer.value();
        let text = value["error_description"].as_str().unwrap();
        let text = text.split(" Trace ID").next().unwrap();
        let text = text.replace(&format!("app-{client}"), "CLIENT");
        let headers: Vec<String> = answer.headers.iter().map(|it| it.0.clone()).collect();
        (answer.status, value["error"].clone(), text, headers)
    };
    let without = |client: &str| {
        let form = form(client, "x");
        form.split('&')
            .filter(|field| !field.starts_with("client_secret"))
            .collect::<Vec<_>>()
            .join("&")
    };
    for _ in 0..12 {
        let owner = told("owner", &form("owner", "wrong"));
        assert_eq!(owner, told("ghost", &form("ghost", "wrong")));
        // One of another tenant, with the secret that it has there.
        assert_eq!(owner, told("other", &form("other", "secret of other")));
    }
    let owner = told("owner", &without("owner"));
    assert_eq!(owner, told("ghost", &without("ghost")));
}

#[test]
fn metadata_needs_no_token_and_names_this_host() {
    let world = World::new();
    let get = |path: &str| {
        let answer = world.api.handle(&request("GET", path, None));
        assert_eq!(answer.status, 200, "{path}");
        answer.value()
    };
    let base = "https://localhost:8443";
    assert_eq!(
        get("/metadata/endpoints?api-version=2022-09-01")["resourceManager"],
        base
    );
    assert_eq!(
        get("/metadata/endpoints?api-version=2019-05-01")[0]["resourceManager"],
        base
    );
    let old = get("/metadata/endpoints?api-version=2015-01-01");
    assert_eq!(old["authentication"]["audiences"], json!([base]));
    let new = get(&format!("/{T}/v2.0/.well-known/openid-configuration"));
    assert_eq!(
        new["token_endpoint"],
        format!("{base}/{T}/oauth2/v2.0/token")
    );
    assert_eq!(new["issuer"], format!("{base}/{T}/v2.0"));
    let old = get(&format!("/{T}/.well-known/openid-configuration"));
    assert_eq!(old["token_endpoint"], format!("{base}/{T}/oauth2/token"));
    assert_eq!(
        get(&format!("/{T}/discovery/v2.0/keys")),
        json!({ "keys": [] })
    );
    assert_eq!(
        get("/common/discovery/instance")["metadata"][0]["aliases"],
        json!(["localhost:8443"])
    );
    let unknown = world.api.handle(&request(
        "GET",
        "/nowhere/v2.0/.well-known/openid-configuration",
        None,
    ));
    assert_eq!(
        (unknown.status, &unknown.value()["error_codes"]),
        (400, &json!([90_002]))
    );
}

#[test]
fn nothing_else_is_answered_without_a_token() {
    let world = World::furnished();
    for method in ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"] {
        for path in [
            "/".to_owned(),
            "/tenants".into(),
            "/subscriptions".into(),
            "/providers".into(),
            net("virtualNetworks/v"),
            group_path("rg"),
            group_path("rg") + "/deployments/d/operations",
            "/metadata".into(),
            "/nothing".into(),
        ] {
            let answer = world.api.handle(&request(method, &path, None));
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
}

/// Returns a token with other claims or another header, signed by `sign` or not at all.
fn forge(token: &str, header: Value, change: impl FnOnce(&mut Value), signature: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    change(&mut claims);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(&header), part(&claims))
}

#[test]
fn a_body_is_read_as_far_as_its_head_deserves() {
    let world = World::furnished();
    let head = |path: &str| request("PUT", path, None);
    let token = format!("/{T}/oauth2/v2.0/token");
    let bytes = |request: &Request| world.api.admit(request).map(|admitted| admitted.most);
    assert_eq!(bytes(&head(&token)), Ok(64 * 1024));
    let refused = world
        .api
        .admit(&head(&net("virtualNetworks/v")))
        .unwrap_err();
    assert_eq!(code(&refused), "AuthenticationFailed");
    assert!(refused.header("x-ms-request-id").is_some());
    let as_who = |who: &str, request: Request| {
        request.with_header("Authorization", &format!("Bearer {}", world.token(who)))
    };
    let known = as_who("owner", head(&net("virtualNetworks/v")));
    let admitted = world.api.admit(&known).unwrap();
    assert_eq!((admitted.most, admitted.writes), (MAX_BODY, true));
    assert_eq!(admitted.who, world.api.admit(&known).unwrap().who);
    // Whoever may not do that anyway does not get to send a body for it.
    let deployment = |path: &str| group_path("rg") + path + "/deployments/d";
    for (who, method, path) in [
        ("nobody", "PUT", net("virtualNetworks/v")),
        ("reader", "PUT", net("virtualNetworks/v")),
        ("reader", "PATCH", net("virtualNetworks/v")),
        ("reader", "DELETE", net("virtualNetworks/v")),
        ("reader", "PUT", net("virtualNetworks/v/subnets/s")),
        ("reader", "PUT", group_path("rg")),
        (
            "reader",
            "PUT",
            deployment("/providers/Microsoft.Resources"),
        ),
        ("reader", "PUT", deployment("")),
        (
            "reader",
            "POST",
            deployment("/providers/Microsoft.Resources") + "/whatIf",
        ),
        ("reader", "POST", account("a") + "/listKeys"),
        (
            "reader",
            "PUT",
            group_path("rg") + "/providers/Microsoft.Resources/tags/default",
        ),
    ] {
        let refused = world.api.admit(&as_who(who, request(method, &path, None)));
        let refused = refused.unwrap_err();
        assert_eq!(
            code(&refused),
            "AuthorizationFailed",
            "{who} {method} {path}"
        );
    }
    let read = as_who("reader", request("GET", &net("virtualNetworks/v"), None));
    let admitted = world.api.admit(&read).unwrap();
    assert_eq!((admitted.most, admitted.writes), (64 * 1024, false));
}

#[test]
fn tokens_that_do_not_count_are_refused() {
    let world = World::furnished();
    let good = world.token("owner");
    let signature = good.rsplit('.').next().unwrap().to_owned();
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    let keep = |_: &mut Value| {};
    let owner = principal("owner", T);
    let base = "https://localhost:8443";
    let other_key = TokenKey::new(&[8; TokenKey::LENGTH]);
    let issuer = format!("{base}/{T}/");
    let grant = Grant {
        issuer: &issuer,
        audience: base,
        now: now(),
    };
    let strange = Grant {
        issuer: "https://localhost:8443/x/",
        ..grant
    };
    let invalid = "InvalidAuthenticationToken";
    let dropped: String = good.chars().take(good.len() - 3).collect();
    let mut swapped: Vec<&str> = good.split('.').collect();
    swapped.swap(0, 1);
    for (what, token, expected) in [
        (
            "no signature",
            forge(&good, json!({ "alg": "none" }), keep, ""),
            invalid,
        ),
        (
            "none in capitals",
            forge(&good, json!({ "alg": "NONE" }), keep, &signature),
            invalid,
        ),
        (
            "another algorithm",
            forge(&good, json!({ "alg": "HS512" }), keep, &signature),
            invalid,
        ),
        (
            "an asymmetric one",
            forge(&good, json!({ "alg": "RS256" }), keep, &signature),
            invalid,
        ),
        (
            "other claims",
            forge(
                &good,
                hs256.clone(),
                |claims| claims["oid"] = json!("x"),
                &signature,
            ),
            invalid,
        ),
        (
            "a later end",
            forge(
                &good,
                hs256,
                |claims| claims["exp"] = json!(9_999_999_999_u64),
                &signature,
            ),
            invalid,
        ),
        (
            "another key",
            other_key.issue(&owner, grant).unwrap(),
            invalid,
        ),
        (
            "another issuer",
            key().issue(&owner, strange).unwrap(),
            invalid,
        ),
        ("a cut signature", dropped, invalid),
        ("swapped parts", swapped.join("."), invalid),
        ("no token", "x".into(), invalid),
        ("dots", "..".into(), invalid),
        ("much", "a".repeat(60_000), invalid),
        (
            "over",
            world.token_for(&owner, base, now() - 7_200),
            "ExpiredAuthenticationToken",
        ),
        (
            "not yet",
            world.token_for(&owner, base, now() + 600),
            invalid,
        ),
        (
            "another audience",
            world.token_for(&owner, "https://graph.microsoft.com", now()),
            "InvalidAuthenticationTokenAudience",
        ),
        (
            "a like audience",
            world.token_for(&owner, "https://localhost.evil:8443", now()),
            "InvalidAuthenticationTokenAudience",
        ),
        (
            "no such tenant",
            world.token_for(&principal("owner", "x"), base, now()),
            invalid,
        ),
        (
            "no such principal",
            world.token_for(&principal("ghost", T), base, now()),
            invalid,
        ),
    ] {
        let request = request(
            "PUT",
            &net("networkSecurityGroups/n"),
            Some(json!({ "location": "koreacentral" })),
        );
        let answer = world
            .api
            .handle(&request.with_header("Authorization", &format!("Bearer {token}")));
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (401, expected),
            "{what}"
        );
    }
    for header in ["", "Bearer", "Bearer ", "Basic eDp5", "bearer\t"] {
        let answer = world
            .api
            .handle(&request("GET", "/tenants", None).with_header("Authorization", header));
        assert_eq!(code(&answer), "AuthenticationFailed", "{header:?}");
    }
    for audience in [
        base,
        "https://LOCALHOST",
        "https://localhost:1/",
        "https://management.azure.com/",
        "https://management.core.windows.net",
    ] {
        let token = world.token_for(&owner, audience, now());
        let request = request("GET", "/tenants", None)
            .with_header("Authorization", &format!("Bearer {token}"));
        assert_eq!(world.api.handle(&request).status, 200, "{audience}");
    }
}

#[test]
fn a_principal_that_is_removed_is_out_at_once() {
    let world = World::furnished();
    assert_eq!(world.send("reader", "GET", "/tenants", None).status, 200);
    let mut config = config();
    config.principals.retain(|known| known.name != "reader");
    world.api.configure(config);
    assert_eq!(
        code(&world.send("reader", "GET", "/tenants", None)),
        "InvalidAuthenticationToken"
    );
}
