//! Who may do what.

use super::*;

#[test]
fn every_verb_needs_its_right() {
    let world = World::furnished();
    let nsg = json!({ "location": "koreacentral" });
    let store = json!({ "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" });
    // Owner, reader, netter (of rg), storer (of acc), nobody.
    for (method, path, body, statuses) in [
        (
            "GET",
            net("virtualNetworks/v"),
            None,
            [200, 200, 200, 403, 403],
        ),
        (
            "PUT",
            net("networkSecurityGroups/n"),
            Some(nsg.clone()),
            [201, 403, 200, 403, 403],
        ),
        (
            "PATCH",
            net("networkSecurityGroups/n"),
            Some(json!({ "tags": {} })),
            [200, 403, 200, 403, 403],
        ),
        (
            "DELETE",
            net("networkSecurityGroups/n"),
            None,
            [200, 403, 204, 403, 403],
        ),
        (
            "PUT",
            account("one"),
            Some(store),
            [200, 403, 403, 200, 403],
        ),
        (
            "POST",
            format!("{}/listKeys", account("one")),
            None,
            [200, 403, 403, 200, 403],
        ),
        ("GET", account("one"), None, [200, 200, 403, 200, 403]),
        ("GET", group_path("rg"), None, [200, 200, 200, 403, 403]),
        (
            "PUT",
            group_path("new"),
            Some(nsg),
            [201, 403, 403, 403, 403],
        ),
        ("DELETE", group_path("new"), None, [200, 403, 403, 403, 403]),
        (
            "POST",
            format!("/subscriptions/{S}/providers/Microsoft.Network/register"),
            None,
            [200, 403, 403, 403, 403],
        ),
        (
            "GET",
            format!("/subscriptions/{S}"),
            None,
            [200, 200, 200, 200, 403],
        ),
        (
            "GET",
            format!("/subscriptions/{S}/locations"),
            None,
            [200, 200, 200, 200, 403],
        ),
        ("GET", "/subscriptions".into(), None, [200; 5]),
    ] {
        for (who, status) in ["owner", "reader", "netter", "storer", "nobody"]
            .iter()
            .zip(statuses)
        {
            let answer = world.send(who, method, &path, body.clone());
            assert_eq!(
                answer.status,
                status,
                "{who} {method} {path}: {}",
                answer.value()
            );
            if status == 403 {
                assert_eq!(code(&answer), "AuthorizationFailed");
            }
        }
    }
    let refused = world
        .send("reader", "DELETE", &net("virtualNetworks/v"), None)
        .value();
    let message = refused["error"]["message"].as_str().unwrap();
    let oid = principal("reader", T).object_id;
    assert_eq!(
        message,
        format!(
            "The client 'app-reader' with object id '{oid}' does not have authorization to perform \
             action 'Microsoft.Network/virtualNetworks/delete' over scope '{}' or the scope is \
             invalid. If access was recently granted, please refresh your credentials.",
            net("virtualNetworks/v")
        )
    );
}

#[test]
fn lists_show_what_the_caller_may_see() {
    let world = World::furnished();
    let body = json!({ "location": "koreacentral", "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } } });
    let elsewhere = net("virtualNetworks/w").replace("/rg/", "/acc/");
    assert_eq!(world.owner("PUT", &elsewhere, Some(body)).status, 201);
    let all = format!("/subscriptions/{S}/providers/Microsoft.Network/virtualNetworks");
    let names = |who: &str| {
        let value = world.send(who, "GET", &all, None).value();
        let all = value["value"].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("owner"), ["w", "v"]);
    assert_eq!(names("netter"), ["v"], "those of its own group");
    assert_eq!(world.send("nobody", "GET", &all, None).status, 403);
    let subscriptions = world.send("nobody", "GET", "/subscriptions", None).value();
    assert_eq!(subscriptions, json!({ "value": [] }));
    let groups = world
        .send(
            "storer",
            "GET",
            &format!("/subscriptions/{S}/resourcegroups"),
            None,
        )
        .value();
    assert_eq!(groups["value"].as_array().unwrap().len(), 1);
}

#[test]
fn tenants_do_not_see_each_other() {
    let world = World::furnished();
    let answer = world.send("other", "GET", &net("virtualNetworks/v"), None);
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (401, "InvalidAuthenticationTokenTenant")
    );
    let answer = world.send(
        "owner",
        "GET",
        &format!("/subscriptions/{S2}/resourcegroups"),
        None,
    );
    assert_eq!(code(&answer), "InvalidAuthenticationTokenTenant");
    let mine = world.send("other", "GET", "/subscriptions", None).value();
    assert_eq!(mine["value"][0]["subscriptionId"], S2);
    assert_eq!(mine["value"].as_array().unwrap().len(), 1);
    let tenants = world.send("other", "GET", "/tenants", None).value();
    assert_eq!(tenants["value"].as_array().unwrap().len(), 1);
    // Whoever may open the socket is nobody's guest.
    let local = world.api.handle(&Request::local("GET", "/subscriptions"));
    assert_eq!(local.value()["value"].as_array().unwrap().len(), 2);
}

fn store(subnets: &[String]) -> Value {
    let rules: Vec<_> = subnets
        .iter()
        .map(|id| json!({ "id": id, "action": "Allow" }))
        .collect();
    json!({ "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2",
        "properties": { "networkAcls": { "defaultAction": "Deny", "virtualNetworkRules": rules } } })
}

fn endpoint(world: &World) {
    let mut vnet = vnet();
    vnet["properties"]["subnets"][0]["properties"]["serviceEndpoints"] =
        json!([{ "service": "Microsoft.Storage" }]);
    assert_eq!(
        world
            .owner("PUT", &net("virtualNetworks/v"), Some(vnet))
            .status,
        200
    );
}

#[test]
fn a_rule_for_a_subnet_needs_the_right_to_join_it() {
    let world = World::furnished();
    endpoint(&world);
    let subnet = net("virtualNetworks/v/subnets/a");
    assert_eq!(
        world
            .send("storer", "PUT", &account("one"), Some(store(&[])))
            .status,
        200
    );
    // Its right to join is for subnets in its own group, and this one is in another.
    let refused = world.send(
        "storer",
        "PUT",
        &account("one"),
        Some(store(std::slice::from_ref(&subnet))),
    );
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (403, "LinkedAuthorizationFailed")
    );
    let message = refused.value()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"),
        "{message}"
    );
    assert!(message.contains(&subnet), "{message}");
    let kept = world.owner("GET", &account("one"), None).value();
    assert_eq!(
        kept["properties"]["networkAcls"]["virtualNetworkRules"],
        json!([]),
        "nothing changed"
    );
    // Once the owner has brought it, others may write the account as it is.
    assert_eq!(
        world
            .owner(
                "PUT",
                &account("one"),
                Some(store(std::slice::from_ref(&subnet)))
            )
            .status,
        200
    );
    assert_eq!(
        world
            .send(
                "storer",
                "PUT",
                &account("one"),
                Some(store(&[subnet
                    .to_uppercase()
                    .replace("/SUBSCRIPTIONS", "/subscriptions")]))
            )
            .status,
        200
    );
    assert_eq!(
        world
            .send(
                "storer",
                "PATCH",
                &account("one"),
                Some(json!({ "tags": { "a": "b" } }))
            )
            .status,
        200
    );
    // By the right itself.
    assert_eq!(
        world.owner("PUT", &account("one"), Some(store(&[]))).status,
        200
    );
    let role = format!(
        "/subscriptions/{S}/providers/Microsoft.Authorization/roleDefinitions/0a000000-0000-4000-8000-000000000001"
    );
    let body = json!({ "properties": { "roleName": "Joiner", "assignableScopes": [format!("/subscriptions/{S}")],
        "permissions": [{ "actions": ["Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"] }] } });
    assert_eq!(world.owner("PUT", &role, Some(body)).status, 201);
    let assignment = format!(
        "{subnet}/providers/Microsoft.Authorization/roleAssignments/0b000000-0000-4000-8000-000000000001"
    );
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": principal("storer", T).object_id } });
    let assigned = world.owner("PUT", &assignment, Some(body));
    assert_eq!(assigned.status, 201, "{}", assigned.value());
    assert_eq!(
        world
            .send(
                "storer",
                "PUT",
                &account("one"),
                Some(store(std::slice::from_ref(&subnet)))
            )
            .status,
        200
    );
    assert_eq!(world.owner("DELETE", &assignment, None).status, 200);
    assert_eq!(
        world.owner("PUT", &account("one"), Some(store(&[]))).status,
        200
    );
    assert_eq!(
        world
            .send("storer", "PATCH", &account("one"), Some(store(&[subnet])))
            .status,
        403
    );
}

#[test]
fn joining_needs_the_right_at_the_other_group() {
    let world = World::furnished();
    let nsg = net("networkSecurityGroups/n").replace("/rg/", "/acc/");
    assert_eq!(
        world
            .owner("PUT", &nsg, Some(json!({ "location": "koreacentral" })))
            .status,
        201
    );
    let subnet = net("virtualNetworks/v/subnets/a");
    let body = json!({ "properties": { "addressPrefix": "10.0.1.0/24", "networkSecurityGroup": { "id": nsg } } });
    let refused = world.send("netter", "PUT", &subnet, Some(body.clone()));
    assert_eq!(code(&refused), "LinkedAuthorizationFailed");
    assert!(
        refused.value()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("networkSecurityGroups/join/action")
    );
    assert_eq!(world.owner("PUT", &subnet, Some(body.clone())).status, 200);
    assert_eq!(
        world.send("netter", "PUT", &subnet, Some(body)).status,
        200,
        "it is no new reference"
    );
    // The whole object, as `az` reads and writes it, with what refers back in it.
    let whole = world
        .send("netter", "GET", &net("virtualNetworks/v"), None)
        .value();
    assert_eq!(
        world
            .send("netter", "PUT", &net("virtualNetworks/v"), Some(whole))
            .status,
        200
    );
}

#[test]
fn a_rule_for_a_subnet_of_another_tenant_needs_a_token_of_it() {
    let world = World::furnished();
    endpoint(&world);
    let group = format!("/subscriptions/{S2}/resourceGroups/g");
    assert_eq!(
        world
            .send(
                "other",
                "PUT",
                &group,
                Some(json!({ "location": "koreacentral" }))
            )
            .status,
        201
    );
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/two");
    let body = store(&[net("virtualNetworks/v/subnets/a")]);
    let refused = world.send("other", "PUT", &account, Some(body.clone()));
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (403, "LinkedAuthorizationFailed")
    );
    assert!(
        refused.value()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("is not authorized to access linked subscription")
    );
    let with = |helper: &str| {
        let request = request("PUT", &account, Some(body.clone()))
            .with_header("Authorization", &format!("Bearer {}", world.token("other")))
            .with_header(
                "x-ms-authorization-auxiliary",
                &format!("Bearer {}", world.token(helper)),
            );
        world.api.handle(&request)
    };
    assert_eq!(code(&with("reader")), "LinkedAuthorizationFailed");
    let done = with("owner");
    assert_eq!(done.status, 200, "{}", done.value());
}

#[test]
fn roles_are_made_assigned_and_removed() {
    let world = World::furnished();
    let sub = format!("/subscriptions/{S}");
    let role = format!(
        "{sub}/providers/Microsoft.Authorization/roleDefinitions/0a000000-0000-4000-8000-000000000001"
    );
    let body = json!({ "properties": { "roleName": "Watcher", "type": "CustomRole", "description": "d",
        "assignableScopes": [sub], "permissions": [{ "actions": ["Microsoft.Network/*/read"], "notActions": [] }] } });
    for who in ["reader", "netter"] {
        assert_eq!(
            world.send(who, "PUT", &role, Some(body.clone())).status,
            403
        );
    }
    assert_eq!(world.owner("PUT", &role, Some(body.clone())).status, 201);
    let shown = world.owner("GET", &role, None).value();
    assert_eq!(shown["properties"]["roleName"], "Watcher");
    assert_eq!(shown["id"], role.as_str());
    let list =
        format!("{sub}/providers/Microsoft.Authorization/roleDefinitions?{VERSION}&$filter=");
    let found = world
        .owner("GET", &format!("{list}roleName+eq+'Watcher'"), None)
        .value();
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    let found = world
        .owner("GET", &format!("{list}type+eq+'BuiltInRole'"), None)
        .value();
    assert_eq!(found["value"].as_array().unwrap().len(), 6);

    let at = |name: &str| {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{name}",
            net("virtualNetworks/v")
        )
    };
    let assign =
        |who: &str| json!({ "properties": { "roleDefinitionId": role, "principalId": who } });
    let one = at("0b000000-0000-4000-8000-000000000001");
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v"), None)
            .status,
        403
    );
    // By the application's ID, which `az` sends where it has no directory.
    let made = world.owner("PUT", &one, Some(assign("app-nobody")));
    assert_eq!(made.status, 201, "{}", made.value());
    let object = principal("nobody", T).object_id;
    assert_eq!(made.value()["properties"]["principalId"], object.as_str());
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v"), None)
            .status,
        200
    );
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v/subnets/a"), None)
            .status,
        200,
        "and below"
    );
    assert_eq!(
        world
            .send("nobody", "GET", &net("networkSecurityGroups/n"), None)
            .status,
        403
    );
    let held = world.send(
        "nobody",
        "GET",
        &format!(
            "{}/providers/Microsoft.Authorization/permissions",
            net("virtualNetworks/v")
        ),
        None,
    );
    assert_eq!(
        held.value()["value"][0]["actions"],
        json!(["Microsoft.Network/*/read"])
    );
    assert_eq!(
        world.owner("PUT", &one, Some(assign(&object))).status,
        200,
        "the same again"
    );
    for (path, body, expected) in [
        (
            one.clone(),
            assign(&principal("reader", T).object_id),
            "RoleAssignmentUpdateNotPermitted",
        ),
        (
            at("0b000000-0000-4000-8000-000000000002"),
            assign(&object),
            "RoleAssignmentExists",
        ),
        (
            at("x"),
            assign("0c000000-0000-4000-8000-000000000001"),
            "PrincipalNotFound",
        ),
        (
            at("x"),
            json!({ "properties": { "roleDefinitionId": "nope", "principalId": object } }),
            "RoleDefinitionDoesNotExist",
        ),
        (
            at("x"),
            json!({ "properties": { "principalId": object } }),
            "InvalidRequestContent",
        ),
        (
            at("x").replace("/v/", "/none/"),
            assign(&object),
            "ResourceNotFound",
        ),
    ] {
        let answer = world.owner("PUT", &path, Some(body));
        assert_eq!(code(&answer), expected, "{}", answer.value());
    }
    assert_eq!(
        code(&world.owner("DELETE", &role, None)),
        "RoleDefinitionHasAssignments"
    );
    let all = |filter: &str| {
        let path = format!(
            "{sub}/providers/Microsoft.Authorization/roleAssignments?{VERSION}&$filter={filter}"
        );
        world.owner("GET", &path, None).value()["value"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        (all(""), all("atScope()")),
        (5, 2),
        "those of the other tenant are not seen"
    );
    assert_eq!(all(&format!("principalId+eq+'{object}'")), 1);
    assert_eq!(all("assignedTo('app-nobody')"), 1);
    assert_eq!(world.owner("DELETE", &one, None).status, 200);
    assert_eq!(world.owner("DELETE", &one, None).status, 204);
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v"), None)
            .status,
        403
    );
    assert_eq!(world.owner("DELETE", &role, None).status, 200);
    assert_eq!(
        code(&world.owner("GET", &role, None)),
        "RoleDefinitionDoesNotExist"
    );
}

#[test]
fn what_the_file_declares_and_what_is_built_in_stays() {
    let world = World::furnished();
    let sub = format!("/subscriptions/{S}");
    let owner = find_built_in("Owner").unwrap();
    let path = format!(
        "{sub}/providers/Microsoft.Authorization/roleDefinitions/{}",
        owner.id
    );
    let body = json!({ "properties": { "roleName": "Mine", "assignableScopes": [sub], "permissions": [] } });
    assert_eq!(
        code(&world.owner("PUT", &path, Some(body))),
        "RoleDefinitionIsReadOnly"
    );
    let declared = format!("{sub}/providers/Microsoft.Authorization/roleAssignments/assignment-1");
    assert_eq!(
        code(&world.owner("DELETE", &declared, None)),
        "RoleIsReadOnly"
    );
    assert_eq!(
        world
            .send("reader", "GET", &net("virtualNetworks/v"), None)
            .status,
        200
    );
    let second = path.replace(&owner.id, "0a000000-0000-4000-8000-000000000009");
    let body = json!({ "properties": { "roleName": "owner", "assignableScopes": [sub] } });
    assert_eq!(
        code(&world.owner("PUT", &second, Some(body))),
        "RoleDefinitionWithSameNameExists"
    );
}

#[test]
fn nobody_gives_rights_outside_of_their_own() {
    let world = World::furnished();
    let role = format!(
        "/subscriptions/{S}/providers/Microsoft.Authorization/roleDefinitions/0a000000-0000-4000-8000-000000000001"
    );
    let wide = json!({ "properties": { "roleName": "Wide", "assignableScopes": ["/"], "permissions": [{ "actions": ["*"] }] } });
    assert_eq!(
        code(&world.owner("PUT", &role, Some(wide))),
        "AuthorizationFailed"
    );
    let foreign = json!({ "properties": { "roleName": "Wide", "assignableScopes": [format!("/subscriptions/{S2}")], "permissions": [] } });
    assert_eq!(
        code(&world.owner("PUT", &role, Some(foreign))),
        "InvalidAuthenticationTokenTenant"
    );
    let root =
        "/providers/Microsoft.Authorization/roleAssignments/0b000000-0000-4000-8000-000000000001";
    let body = json!({ "properties": { "roleDefinitionId": find_built_in("Owner").unwrap().id, "principalId": "app-nobody" } });
    assert_eq!(
        code(&world.owner("PUT", root, Some(body))),
        "AuthorizationFailed"
    );
}
