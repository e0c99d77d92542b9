//! What each operation answers.

use super::*;

#[test]
fn a_resource_lives_and_dies_with_the_right_statuses() {
    let world = World::furnished();
    let (nsg, body) = (
        net("networkSecurityGroups/n"),
        json!({ "location": "koreacentral" }),
    );
    for (method, path, body, status) in [
        ("GET", nsg.clone(), None, 404),
        ("HEAD", nsg.clone(), None, 404),
        ("PUT", nsg.clone(), Some(body.clone()), 201),
        ("PUT", nsg.clone(), Some(body.clone()), 200),
        ("GET", nsg.clone(), None, 200),
        ("HEAD", nsg.clone(), None, 204),
        (
            "PATCH",
            nsg.clone(),
            Some(json!({ "tags": { "a": "b" } })),
            200,
        ),
        ("DELETE", nsg.clone(), None, 200),
        ("DELETE", nsg.clone(), None, 204),
        ("POST", nsg.clone(), None, 405),
        // Clients of storage take 200 and no 201.
        (
            "PUT",
            account("one"),
            Some(
                json!({ "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" }),
            ),
            200,
        ),
        ("PATCH", account("one"), Some(json!({ "tags": {} })), 200),
        ("POST", format!("{}/listKeys", account("one")), None, 200),
        ("POST", format!("{}/listKeys", account("two")), None, 404),
        ("DELETE", account("one"), None, 200),
        ("HEAD", group_path("rg"), None, 204),
        ("HEAD", group_path("none"), None, 404),
        ("GET", group_path("none"), None, 404),
        (
            "PATCH",
            group_path("acc"),
            Some(json!({ "tags": { "a": "b" } })),
            200,
        ),
        ("DELETE", group_path("acc"), None, 200),
        ("DELETE", group_path("acc"), None, 404),
        (
            "PUT",
            net("virtualNetworks/v/subnets/b"),
            Some(json!({ "properties": { "addressPrefix": "10.0.2.0/24" } })),
            201,
        ),
        ("GET", net("virtualNetworks/v/subnets/b"), None, 200),
        ("GET", net("virtualNetworks/v/subnets"), None, 200),
        ("GET", net("virtualNetworks/none/subnets"), None, 404),
        ("DELETE", net("virtualNetworks/v/subnets/b"), None, 200),
        ("GET", net("virtualNetworks"), None, 200),
        ("PUT", net("virtualNetworks"), Some(vnet()), 405),
    ] {
        let answer = world.owner(method, &path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.value());
        assert_eq!(
            answer.body.is_empty(),
            method == "HEAD" || (method == "DELETE" && status < 300)
        );
    }
}

#[test]
fn what_is_missing_has_azures_code() {
    let world = World::furnished();
    for (path, expected) in [
        (net("virtualNetworks/none"), "ResourceNotFound"),
        (net("virtualNetworks/v/subnets/none"), "ResourceNotFound"),
        (net("virtualNetwork/v"), "InvalidResourceType"),
        (
            net("x").replace("Microsoft.Network/x", "Microsoft.Foo/x/y"),
            "InvalidResourceNamespace",
        ),
        (group_path("none"), "ResourceGroupNotFound"),
        (
            format!(
                "{}/providers/Microsoft.Network/virtualNetworks",
                group_path("none")
            ),
            "ResourceGroupNotFound",
        ),
        (
            format!(
                "{}/providers/Microsoft.Network/virtualNetworks/v",
                group_path("none")
            ),
            "ResourceGroupNotFound",
        ),
        (
            "/subscriptions/33333333-0000-4000-8000-000000000000".into(),
            "SubscriptionNotFound",
        ),
        ("/nothing/here".into(), "NotFound"),
        (format!("{}/nothing", group_path("rg")), "NotFound"),
        (
            net("networkWatchers/NetworkWatcher_eastus2"),
            "ResourceNotFound",
        ),
        (
            group_path("rg") + "/providers/Microsoft.Resources/deployments/d",
            "DeploymentNotFound",
        ),
    ] {
        let answer = world.owner("GET", &path, None);
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (404, expected),
            "{path}"
        );
        assert!(answer.value()["error"]["message"].as_str().unwrap().len() > 10);
    }
}

#[test]
fn paths_compare_without_case_and_keep_their_spelling() {
    let world = World::furnished();
    let path = net("virtualNetworks/v");
    for other in [
        path.replace("resourceGroups", "resourcegroups"),
        path.to_lowercase(),
        path.to_uppercase(),
        format!("/{path}/"),
    ] {
        let answer = world.owner("GET", &other, None);
        assert_eq!(answer.status, 200, "{other}");
        assert_eq!(answer.value()["id"], path.as_str());
    }
    let again = world.owner("PUT", &path.to_uppercase(), Some(vnet()));
    assert_eq!((again.status, &again.value()["id"]), (200, &json!(path)));
}

#[test]
fn every_answer_has_the_headers_that_clients_read() {
    let world = World::furnished();
    let request = request("GET", &net("virtualNetworks/v"), None)
        .with_header("x-ms-correlation-request-id", "c-1")
        .with_header("authorization", &format!("Bearer {}", world.token("owner")));
    let answer = world.api.handle(&request);
    assert_eq!(answer.header("x-ms-correlation-request-id"), Some("c-1"));
    assert_eq!(answer.header("x-ms-request-id").unwrap().len(), 36);
    assert_eq!(answer.header("etag"), answer.value()["etag"].as_str());
    let value = answer.value();
    for field in ["id", "name", "type", "location", "etag"] {
        assert!(value[field].is_string(), "{field}");
    }
    assert_eq!(value["properties"]["provisioningState"], "Succeeded");
    let refused = world.api.handle(&super::request("GET", "/tenants", None));
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer authorization_uri=")
    );
    assert!(refused.header("x-ms-request-id").is_some());
}

#[test]
fn versions_are_needed_and_any_is_taken() {
    let world = World::furnished();
    let path = net("virtualNetworks/v");
    for version in [
        "2015-06-15",
        "2030-01-01",
        "2024-05-01-preview",
        "2019-12-01",
    ] {
        let answer = world.owner("GET", &format!("{path}?api-version={version}"), None);
        assert_eq!(answer.status, 200, "{version}");
    }
    for (query, expected) in [
        ("?x=1", "MissingApiVersionParameter"),
        ("?api-version=", "InvalidApiVersionParameter"),
        ("?api-version=latest", "InvalidApiVersionParameter"),
        ("?api-version=2024-05-01;drop", "InvalidApiVersionParameter"),
        ("?api-version=2024-05-0\u{e9}", "InvalidApiVersionParameter"),
    ] {
        let answer = world.owner("GET", &format!("{path}{query}"), None);
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, expected),
            "{query}"
        );
    }
    let upper = world.owner("GET", &format!("{path}?API-Version=2024-05-01"), None);
    assert_eq!(upper.status, 200);
}

#[test]
fn what_clients_ask_before_they_work_is_there() {
    let world = World::furnished();
    let sub = format!("/subscriptions/{S}");
    let get = |path: &str| {
        let answer = world.owner("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.value());
        answer.value()
    };
    let all = get("/subscriptions");
    assert_eq!(
        all["value"].as_array().unwrap().len(),
        1,
        "those of other tenants are not seen"
    );
    assert_eq!(all["value"][0]["subscriptionId"], S);
    assert_eq!(all["value"][0]["tenantId"], T);
    assert_eq!(
        get("/tenants")["value"],
        json!([get("/tenants")["value"][0]])
    );
    assert_eq!(get(&sub)["state"], "Enabled");
    assert_eq!(
        get(&format!("{sub}/locations"))["value"][0]["displayName"],
        "Korea Central"
    );
    let network = get(&format!("{sub}/providers/microsoft.network"));
    assert_eq!(network["namespace"], "Microsoft.Network");
    let types = network["resourceTypes"].as_array().unwrap();
    let vnets = types
        .iter()
        .find(|one| one["resourceType"] == "virtualNetworks")
        .unwrap();
    assert_eq!(vnets["locations"][0], "Korea Central");
    assert!(vnets["apiVersions"].as_array().unwrap().len() > 3);
    assert!(
        get(&format!("{sub}/providers"))["value"]
            .as_array()
            .unwrap()
            .len()
            > 10
    );
    assert!(get("/providers")["value"].as_array().unwrap().len() > 10);
    let register = format!("{sub}/providers/Microsoft.Storage/register");
    let registered = world.owner("POST", &register, None);
    assert_eq!(registered.value()["registrationState"], "Registered");
    assert_eq!(
        get(&format!("{sub}/resourcegroups"))["value"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let regional = format!("{sub}/providers/Microsoft.Network/locations/koreacentral");
    assert_eq!(get(&format!("{regional}/serviceTags"))["name"], "Public");
    let services = get(&format!(
        "{regional}/virtualNetworkAvailableEndpointServices"
    ));
    assert_eq!(services["value"][0]["name"], "koreacentral");
    let usages = get(&format!("{regional}/usages"));
    assert_eq!(usages["value"][0]["currentValue"], 1);
    let nowhere = regional.replace("koreacentral", "moon");
    assert_eq!(
        world
            .owner("GET", &format!("{nowhere}/usages"), None)
            .status,
        400
    );
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let world = World::furnished();
    for name in ["n1", "n2", "n3"] {
        let body = json!({ "location": "koreacentral", "tags": { "env": name } });
        world.owner(
            "PUT",
            &net(&format!("networkSecurityGroups/{name}")),
            Some(body),
        );
    }
    let names = |query: &str| {
        let path = format!("{}/resources?{VERSION}&{query}", group_path("rg"));
        let value = world.owner("GET", &path, None).value();
        let all = value["value"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = all
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        (names, value["nextLink"].as_str().map(str::to_owned))
    };
    assert_eq!(names("").0, ["n1", "n2", "n3", "v"]);
    let of = |filter: &str| names(&format!("$filter={}", filter.replace(' ', "+"))).0;
    assert_eq!(
        of("resourceType eq 'microsoft.network/virtualnetworks'"),
        ["v"]
    );
    assert_eq!(of("name eq 'n2' and location eq 'koreacentral'"), ["n2"]);
    assert_eq!(of("tagName eq 'env' and tagValue eq 'n3'"), ["n3"]);
    assert_eq!(of("resourceGroup ne 'rg'"), [""; 0]);
    for bad in ["name+like+x", "name+eq+'n2'+or+name+eq+'n3'"] {
        let bad = format!("{}/resources?{VERSION}&$filter={bad}", group_path("rg"));
        let answer = world.owner("GET", &bad, None);
        assert_eq!(code(&answer), "InvalidFilterInQueryString", "{bad}");
    }
    assert_eq!(of("name eq 'it''s'"), [""; 0]);
    // Page by page, with one that goes away between two pages.
    let (first, next) = names("$top=2");
    assert_eq!(first, ["n1", "n2"]);
    let next = next.unwrap();
    assert!(
        next.starts_with("https://localhost:8443/subscriptions/"),
        "{next}"
    );
    world.owner("DELETE", &net("networkSecurityGroups/n2"), None);
    let rest = world
        .owner(
            "GET",
            next.trim_start_matches("https://localhost:8443"),
            None,
        )
        .value();
    let rest: Vec<_> = rest["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(rest, ["n3", "v"]);
}

#[test]
fn actions_reach_the_host() {
    let world = World::furnished();
    let nic = net("networkInterfaces/i");
    let body = json!({ "location": "koreacentral", "properties": { "ipConfigurations": [{ "name": "c",
        "properties": { "subnet": { "id": net("virtualNetworks/v/subnets/a") } } }] } });
    assert_eq!(world.owner("PUT", &nic, Some(body)).status, 201);
    let done = world.owner("POST", &format!("{nic}/effectiveRouteTable"), None);
    assert_eq!(
        done.value(),
        json!({ "did": "effectiveRouteTable", "with": {} })
    );
    assert_eq!(world.owner("POST", &format!("{nic}/fly"), None).status, 404);
    let missing = world.owner(
        "POST",
        &format!("{}/effectiveRouteTable", net("networkInterfaces/x")),
        None,
    );
    assert_eq!(code(&missing), "ResourceNotFound");
    // The watcher of the region is there without being made.
    let all = world.owner(
        "GET",
        &format!("/subscriptions/{S}/providers/Microsoft.Network/networkWatchers"),
        None,
    );
    let watcher = all.value()["value"][0]["id"].as_str().unwrap().to_owned();
    assert!(watcher.ends_with(
        "NetworkWatcherRG/providers/Microsoft.Network/networkWatchers/NetworkWatcher_koreacentral"
    ));
    assert_eq!(world.owner("GET", &watcher, None).status, 200);
    let hop = world.owner(
        "POST",
        &format!("{watcher}/nextHop"),
        Some(json!({ "a": 1 })),
    );
    assert_eq!(hop.value(), json!({ "did": "nextHop", "with": { "a": 1 } }));
}

#[test]
fn free_addresses_are_told() {
    let world = World::furnished();
    let nic = json!({ "location": "koreacentral", "properties": { "ipConfigurations": [{ "name": "c",
        "properties": { "subnet": { "id": net("virtualNetworks/v/subnets/a") },
            "privateIPAllocationMethod": "Static", "privateIPAddress": "10.0.1.5" } }] } });
    assert_eq!(
        world
            .owner("PUT", &net("networkInterfaces/i"), Some(nic))
            .status,
        201
    );
    let ask = |address: &str| {
        let path = net("virtualNetworks/v/CheckIPAddressAvailability");
        world.owner(
            "GET",
            &format!("{path}?{VERSION}&ipAddress={address}"),
            None,
        )
    };
    assert_eq!(ask("10.0.1.4").value()["available"], true);
    let taken = ask("10.0.1.5").value();
    assert_eq!(taken["available"], false);
    assert_eq!(
        taken["availableIPAddresses"],
        json!(["10.0.1.4", "10.0.1.6", "10.0.1.7", "10.0.1.8", "10.0.1.9"])
    );
    let own = ask("10.0.1.1").value();
    assert_eq!(
        (&own["available"], &own["isPlatformReserved"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(ask("10.0.9.9").value()["available"], false);
    assert_eq!(ask("x").status, 400);
    let usages = world
        .owner("GET", &net("virtualNetworks/v/usages"), None)
        .value();
    assert_eq!(usages["value"][0]["currentValue"], 1);
    assert_eq!(usages["value"][0]["limit"], 251);
}

#[test]
fn names_and_keys_of_accounts() {
    let world = World::furnished();
    let check = format!("/subscriptions/{S}/providers/Microsoft.Storage/checkNameAvailability");
    let ask = |name: &str| {
        world
            .owner("POST", &check, Some(json!({ "name": name })))
            .value()
    };
    assert_eq!(ask("one"), json!({ "nameAvailable": true }));
    let body = json!({ "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" });
    world.owner("PUT", &account("one"), Some(body.clone()));
    assert_eq!(ask("ONE")["reason"], "AccountNameInvalid");
    assert_eq!(ask("one")["reason"], "AlreadyExists");
    let keys = || {
        world
            .owner("POST", &format!("{}/listKeys", account("one")), None)
            .value()
    };
    let first = keys();
    assert_eq!(keys(), first, "they stay");
    assert_eq!(first["keys"][0]["value"].as_str().unwrap().len(), 88);
    assert_ne!(first["keys"][0]["value"], first["keys"][1]["value"]);
    let again = world.owner(
        "POST",
        &format!("{}/regenerateKey", account("one")),
        Some(json!({ "keyName": "key1" })),
    );
    assert_eq!(again.value(), keys());
    assert_ne!(keys()["keys"][0], first["keys"][0]);
    assert_eq!(keys()["keys"][1], first["keys"][1]);
    let bad = world.owner(
        "POST",
        &format!("{}/regenerateKey", account("one")),
        Some(json!({ "keyName": "key3" })),
    );
    assert_eq!(bad.status, 400);
    world.owner("DELETE", &account("one"), None);
    world.owner("PUT", &account("one"), Some(body));
    assert_ne!(
        keys()["keys"][1],
        first["keys"][1],
        "one that is made again has others"
    );
}

#[test]
fn tags_are_a_resource_too() {
    let world = World::furnished();
    for at in [net("virtualNetworks/v"), group_path("rg")] {
        let tags = format!("{at}/providers/Microsoft.Resources/tags/default");
        let send = |method: &str, body: Value| {
            world.owner(method, &tags, Some(body)).value()["properties"]["tags"].clone()
        };
        assert_eq!(
            send("PUT", json!({ "properties": { "tags": { "a": "1" } } })),
            json!({ "a": "1" })
        );
        let merge = json!({ "operation": "Merge", "properties": { "tags": { "b": "2" } } });
        assert_eq!(send("PATCH", merge), json!({ "a": "1", "b": "2" }));
        assert_eq!(
            world.owner("GET", &at, None).value()["tags"],
            json!({ "a": "1", "b": "2" })
        );
        let delete =
            json!({ "operation": "Delete", "properties": { "tags": { "a": "1", "b": "x" } } });
        assert_eq!(send("PATCH", delete), json!({ "b": "2" }));
        assert_eq!(
            world
                .owner("PATCH", &tags, Some(json!({ "operation": "Fly" })))
                .status,
            400
        );
        assert_eq!(world.owner("DELETE", &tags, None).status, 200);
        assert!(
            world
                .owner("GET", &at, None)
                .value()
                .get("tags")
                .is_none_or(|tags| tags == &json!({}))
        );
    }
    let network = world.owner("GET", &net("virtualNetworks/v"), None).value();
    assert_eq!(
        network["properties"]["subnets"].as_array().unwrap().len(),
        1,
        "nothing else is touched"
    );
}
