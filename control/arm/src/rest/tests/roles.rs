//! Role documents: every way to write one takes the same checks, and a role is told by its ID, in its
//! tenant, where it may be assigned.

use super::*;
use crate::roles::built_in;

const ROLE: &str = "0a000000-0000-4000-8000-000000000001";
const OTHER: &str = "0a000000-0000-4000-8000-000000000002";
const ASSIGNMENT: &str = "0b000000-0000-4000-8000-000000000001";

pub(super) fn sub() -> String {
    format!("/subscriptions/{S}")
}

pub(super) fn at(scope: &str, kind: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}")
}

fn id_of(role: &str) -> &'static str {
    &find_built_in(role).unwrap().id
}

fn object(who: &str) -> String {
    principal(who, if who == "other" { T2 } else { T }).object_id
}

pub(super) fn definition(name: &str, scopes: &[&str], actions: &[&str]) -> Value {
    json!({ "properties": { "roleName": name, "type": "CustomRole", "assignableScopes": scopes,
        "permissions": [{ "actions": actions, "notActions": [] }] } })
}

pub(super) fn given(role: &str, who: &str) -> Value {
    json!({ "properties": { "roleDefinitionId": role, "principalId": object(who) } })
}

/// A furnished world in which `nobody` owns the group `acc`, and nothing else.
pub(super) fn world() -> World {
    let world = World::furnished();
    let path = at(
        &group_path("acc"),
        "roleAssignments",
        "0b000000-0000-4000-8000-0000000000ff",
    );
    let made = world.owner("PUT", &path, Some(given(id_of("Owner"), "nobody")));
    assert_eq!(made.status, 201, "{}", made.value());
    let group = format!("/subscriptions/{S2}/resourceGroups/g");
    let body = json!({ "location": "koreacentral" });
    assert_eq!(world.send("other", "PUT", &group, Some(body)).status, 201);
    world
}

fn template(resources: &Value) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
    })
}

pub(super) fn deployment(scope: &str, template: &Value) -> (String, Value) {
    let path = format!("{scope}/providers/Microsoft.Resources/deployments/d");
    let mut body = json!({ "properties": { "mode": "Incremental", "template": template } });
    if !scope.contains("resourceGroups") {
        body["location"] = "koreacentral".into();
    }
    (path, body)
}

/// A resource of a template with the scope that is told by it.
fn resource(kind: &str, scope: &str, name: &str, body: &Value) -> Value {
    let mut resource = body.clone();
    resource["type"] = format!("Microsoft.Authorization/{kind}").into();
    resource["apiVersion"] = "2022-04-01".into();
    resource["name"] = name.into();
    resource["scope"] = scope.into();
    resource
}

/// Every way to write a role document at a scope: the last ones are dropped in any case.
pub(super) fn ways(
    home: &str,
    kind: &str,
    scope: &str,
    name: &str,
    body: &Value,
) -> Vec<(&'static str, String, Value)> {
    let flat = template(&json!([resource(kind, scope, name, body)]));
    let odd = kind.to_ascii_uppercase();
    let shouted = template(&json!([resource(&odd, scope, name, body)]));
    let inner = |options: Value| {
        template(&json!([{
            "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
            "properties": { "mode": "Incremental", "template": flat, "expressionEvaluationOptions": options },
        }]))
    };
    let (outer, apart) = (
        inner(json!({ "scope": "outer" })),
        inner(json!({ "scope": "inner" })),
    );
    let mut all = vec![
        ("PUT", at(scope, kind, name), body.clone()),
        ("PUT", at(scope, &odd, name), body.clone()),
    ];
    for template in [&flat, &shouted, &outer, &apart] {
        let (path, body) = deployment(home, template);
        for word in ["/whatIf", "/validate"] {
            all.push(("POST", format!("{path}{word}"), body.clone()));
        }
        all.push(("PUT", path, body));
    }
    all
}

/// Returns the code of what is at the ground of an error.
pub(super) fn cause(response: &Response) -> String {
    let body = response.value();
    let mut error = &body["error"];
    while let Some(inner) = error
        .pointer("/details/0")
        .filter(|inner| inner.get("code").is_some())
    {
        error = inner;
    }
    error["code"].as_str().unwrap_or_default().to_owned()
}

/// Asserts that a role document is refused with a code, by every way, and that no role is another then.
fn refused(world: &World, who: &str, home: &str, document: (&str, &str, &str, &Value), code: &str) {
    let (kind, scope, name, body) = document;
    let before = world.api.state();
    for (method, path, body) in ways(home, kind, scope, name, body) {
        let answer = world.send(who, method, &path, Some(body));
        assert_eq!(
            cause(&answer),
            code,
            "{who} {method} {path}: {}",
            answer.value()
        );
    }
    let after = world.api.state();
    assert_eq!(before.roles.definitions(), after.roles.definitions());
    assert_eq!(before.roles.assignments(), after.roles.assignments());
}

fn writes(world: &World, who: &str) -> bool {
    let body = json!({ "location": "koreacentral" });
    let answer = world.send(who, "PUT", &net("networkSecurityGroups/probe"), Some(body));
    answer.status < 300
}

#[test]
fn a_role_that_is_called_like_the_id_of_another_is_not_that_one() {
    let world = world();
    let theirs = format!("/subscriptions/{S2}");
    let (reader, owner) = (id_of("Reader"), id_of("Owner"));
    for (who, scope, role, name, actions) in [
        ("other", theirs.as_str(), ROLE, reader, &["*"][..]),
        ("other", theirs.as_str(), OTHER, owner, &[]),
        ("owner", sub().as_str(), ROLE, reader, &["*"]),
        ("owner", sub().as_str(), OTHER, owner, &[]),
    ] {
        let path = at(scope, "roleDefinitions", role);
        let made = world.send(who, "PUT", &path, Some(definition(name, &[scope], actions)));
        assert_eq!(made.status, 201, "{}", made.value());
        assert!(!writes(&world, "reader") && writes(&world, "owner"));
        assert_eq!(world.send("other", "GET", &theirs, None).status, 200);
    }
    // A name is no ID for who asks either.
    for path in [
        at(&sub(), "roleDefinitions", "Owner"),
        at(&sub(), "roleDefinitions", "Reader"),
    ] {
        assert_eq!(
            cause(&world.owner("GET", &path, None)),
            "RoleDefinitionDoesNotExist"
        );
    }
    let named = at(&sub(), "roleAssignments", ASSIGNMENT);
    let role = at(&sub(), "roleDefinitions", "Owner");
    for role in ["Owner", role.as_str()] {
        let answer = world.owner("PUT", &named, Some(given(role, "nobody")));
        assert_eq!(cause(&answer), "RoleDefinitionDoesNotExist");
    }
}

#[test]
fn built_in_roles_stand_whichever_way_they_are_written() {
    let world = world();
    let acc = group_path("acc");
    for role in built_in() {
        let body = definition("Mine", &[&acc], &["*"]);
        let code = "RoleDefinitionIsReadOnly";
        refused(
            &world,
            "nobody",
            &acc,
            ("roleDefinitions", &acc, &role.id, &body),
            code,
        );
    }
    assert!(!writes(&world, "reader"));
}

#[test]
fn who_owns_a_group_does_not_touch_a_role_of_the_subscription() {
    let world = world();
    let (acc, sub) = (group_path("acc"), sub());
    let ops = at(&sub, "roleDefinitions", ROLE);
    let body = definition("Ops", &[&sub], &["*/read"]);
    assert_eq!(world.owner("PUT", &ops, Some(body)).status, 201);
    let assigned = at(&sub, "roleAssignments", ASSIGNMENT);
    assert_eq!(
        world
            .owner("PUT", &assigned, Some(given(&ops, "nobody")))
            .status,
        201
    );
    let mine = definition("Ops", &[&acc], &["*"]);
    let wide = definition("Ops", &[&sub], &["*"]);
    let both = definition("Ops", &[&acc, &sub], &["*"]);
    for (scope, body) in [
        (&acc, &mine),
        (&acc, &wide),
        (&acc, &both),
        (&sub, &mine),
        (&sub, &wide),
    ] {
        let document = ("roleDefinitions", scope.as_str(), ROLE, body);
        refused(&world, "nobody", &acc, document, "AuthorizationFailed");
    }
    for scope in [&acc, &sub] {
        let answer = world.send(
            "nobody",
            "DELETE",
            &at(scope, "roleDefinitions", ROLE),
            None,
        );
        assert_eq!(answer.status, 403, "{scope}: {}", answer.value());
    }
    assert!(!writes(&world, "nobody"));
    // Of their own group they make, change and end one as they like, and it stays there.
    let own = at(&acc, "roleDefinitions", OTHER);
    let body = definition("Own", &[&acc], &["*/read"]);
    assert_eq!(
        world.send("nobody", "PUT", &own, Some(body.clone())).status,
        201
    );
    assert_eq!(world.send("nobody", "PUT", &own, Some(body)).status, 200);
    assert_eq!(world.send("nobody", "DELETE", &own, None).status, 200);
    assert_eq!(
        world.owner("GET", &ops, None).value()["properties"]["permissions"][0]["actions"],
        json!(["*/read"])
    );
}

#[test]
fn definitions_that_cannot_be_are_refused_by_every_way() {
    let world = world();
    let (acc, sub, theirs) = (group_path("acc"), sub(), format!("/subscriptions/{S2}"));
    let taken = at(&sub, "roleDefinitions", OTHER);
    assert_eq!(
        world
            .owner("PUT", &taken, Some(definition("Taken", &[&sub], &[])))
            .status,
        201
    );
    for (body, code) in [
        (definition("x", &[], &["*"]), "InvalidRoleDefinition"),
        (
            definition("x", &["nowhere"], &["*"]),
            "InvalidRoleDefinition",
        ),
        (definition("", &[&sub], &["*"]), "InvalidRoleDefinition"),
        (definition("x", &["/"], &["*"]), "AuthorizationFailed"),
        (
            definition("x", &[&theirs], &["*"]),
            "InvalidAuthenticationTokenTenant",
        ),
        (
            definition("x", &["/subscriptions/none"], &["*"]),
            "SubscriptionNotFound",
        ),
        (
            definition("TAKEN", &[&sub], &["*"]),
            "RoleDefinitionWithSameNameExists",
        ),
        (
            definition("owner", &[&sub], &["*"]),
            "RoleDefinitionWithSameNameExists",
        ),
    ] {
        refused(
            &world,
            "owner",
            &acc,
            ("roleDefinitions", &sub, ROLE, &body),
            code,
        );
        let body = json!({ "properties": body["properties"], "id": taken, "name": "Taken" });
        refused(
            &world,
            "owner",
            &acc,
            ("roleDefinitions", &acc, ROLE, &body),
            code,
        );
    }
}

#[test]
fn assignments_that_cannot_be_are_refused_by_every_way() {
    let world = world();
    let (acc, sub) = (group_path("acc"), sub());
    let there = at(&acc, "roleAssignments", OTHER);
    assert_eq!(
        world
            .owner("PUT", &there, Some(given(id_of("Reader"), "storer")))
            .status,
        201
    );
    let narrow = at(&sub, "roleDefinitions", ROLE);
    let body = definition("Narrow", &[&group_path("rg")], &["*/read"]);
    assert_eq!(world.owner("PUT", &narrow, Some(body)).status, 201);
    let foreign = at(&format!("/subscriptions/{S2}"), "roleDefinitions", ROLE);
    let body = definition("Theirs", &[&format!("/subscriptions/{S2}")], &["*"]);
    assert_eq!(world.send("other", "PUT", &foreign, Some(body)).status, 201);
    let reader = id_of("Reader");
    let mut conditional = given(reader, "nobody");
    conditional["properties"]["condition"] = "@Resource[a] StringEquals 'b'".into();
    let mut stranger = given(reader, "nobody");
    stranger["properties"]["principalId"] = "app-other".into();
    let nameless = json!({ "properties": { "roleDefinitionId": reader } });
    for (name, body, code) in [
        (
            ASSIGNMENT,
            given("0c000000-0000-4000-8000-000000000001", "nobody"),
            "RoleDefinitionDoesNotExist",
        ),
        (
            ASSIGNMENT,
            given(&foreign, "nobody"),
            "RoleDefinitionDoesNotExist",
        ),
        (
            ASSIGNMENT,
            given(&narrow, "nobody"),
            "InvalidRoleAssignmentScope",
        ),
        (ASSIGNMENT, given(reader, "other"), "PrincipalNotFound"),
        (ASSIGNMENT, stranger, "PrincipalNotFound"),
        (ASSIGNMENT, nameless, "InvalidRequestContent"),
        (ASSIGNMENT, conditional, "InvalidRoleAssignmentCondition"),
        (ASSIGNMENT, given(reader, "storer"), "RoleAssignmentExists"),
        (
            OTHER,
            given(id_of("Owner"), "storer"),
            "RoleAssignmentUpdateNotPermitted",
        ),
        (
            OTHER,
            given(reader, "nobody"),
            "RoleAssignmentUpdateNotPermitted",
        ),
    ] {
        refused(
            &world,
            "owner",
            &acc,
            ("roleAssignments", &acc, name, &body),
            code,
        );
    }
    // Who may write resources may not give rights, at any scope.
    for scope in [&acc, &sub, &"/".to_owned(), &account("x")] {
        let body = given(id_of("Owner"), "netter");
        for (method, path, body) in ways(
            &group_path("rg"),
            "roleAssignments",
            scope,
            ASSIGNMENT,
            &body,
        ) {
            let path = path.replace("//", "/");
            let answer = world.send("netter", method, &path, Some(body));
            assert_eq!(
                cause(&answer),
                "AuthorizationFailed",
                "{method} {path}: {}",
                answer.value()
            );
        }
    }
}

#[test]
fn a_template_makes_a_role_and_gives_it() {
    let world = world();
    let (acc, sub) = (group_path("acc"), sub());
    let role = at(&sub, "roleDefinitions", ROLE);
    let mut give = resource("roleAssignments", &acc, ASSIGNMENT, &given(&role, "netter"));
    give["properties"]["scope"] = sub.clone().into();
    give["dependsOn"] = json!([at(&acc, "roleDefinitions", ROLE)]);
    let body = definition("Bicep", &[&acc], &["Microsoft.Storage/*/read"]);
    let all = json!([resource("roleDefinitions", &acc, ROLE, &body), give]);
    let (path, body) = deployment(&acc, &template(&all));
    for status in [201, 200] {
        let made = world.owner("PUT", &path, Some(body.clone()));
        assert_eq!(made.status, status, "{}", made.value());
    }
    let shown = world.owner("GET", &role, None).value();
    assert_eq!(shown["properties"]["roleName"], "Bicep");
    let shown = world
        .owner("GET", &at(&acc, "roleAssignments", ASSIGNMENT), None)
        .value();
    assert_eq!(
        shown["properties"]["scope"],
        acc.as_str(),
        "a scope is where it is, not what is written"
    );
    let accounts = format!("{acc}/providers/Microsoft.Storage/storageAccounts");
    assert_eq!(world.send("netter", "GET", &accounts, None).status, 200);
    let rg = accounts.replace("/acc/", "/rg/");
    let listed = world.send("netter", "GET", &rg, None);
    assert_eq!(listed.value()["value"], json!([]));
    // What is assigned can neither go nor shrink away from where it is.
    assert_eq!(
        cause(&world.owner("DELETE", &role, None)),
        "RoleDefinitionHasAssignments"
    );
    let elsewhere = definition("Bicep", &[&group_path("rg")], &["*"]);
    refused(
        &world,
        "owner",
        &acc,
        ("roleDefinitions", &sub, ROLE, &elsewhere),
        "RoleDefinitionHasAssignments",
    );
}

#[test]
fn one_id_in_two_tenants_is_two_roles() {
    let world = world();
    let (mine, theirs) = (sub(), format!("/subscriptions/{S2}"));
    for (who, scope, actions) in [("owner", &mine, &["*/read"]), ("other", &theirs, &["*"])] {
        let path = at(scope, "roleDefinitions", ROLE);
        let made = world.send(
            who,
            "PUT",
            &path,
            Some(definition("Same", &[scope], actions)),
        );
        assert_eq!(made.status, 201, "{}", made.value());
    }
    let only = at(&theirs, "roleDefinitions", OTHER);
    assert_eq!(
        world
            .send(
                "other",
                "PUT",
                &only,
                Some(definition("Only", &[&theirs], &["*"]))
            )
            .status,
        201
    );
    let give = at(&mine, "roleAssignments", ASSIGNMENT);
    let role = at(&mine, "roleDefinitions", ROLE);
    assert_eq!(
        world
            .owner("PUT", &give, Some(given(&role, "storer")))
            .status,
        201
    );
    assert!(
        !writes(&world, "storer"),
        "the other tenant's has the right"
    );
    let shown = |who: &str, path: &str| world.send(who, "GET", path, None).value();
    for (who, scope, actions) in [("owner", &mine, "*/read"), ("other", &theirs, "*")] {
        let shown = shown(who, &at(scope, "roleDefinitions", ROLE));
        assert_eq!(
            shown["properties"]["permissions"][0]["actions"],
            json!([actions])
        );
    }
    let hidden = world.owner("GET", &at(&mine, "roleDefinitions", OTHER), None);
    assert_eq!(cause(&hidden), "RoleDefinitionDoesNotExist");
    let list = format!(
        "{mine}/providers/Microsoft.Authorization/roleDefinitions?{VERSION}&$filter=type+eq+'CustomRole'"
    );
    assert_eq!(shown("owner", &list)["value"].as_array().unwrap().len(), 1);
    // By another subscription of the tenant it is the same role.
    let again = at(&group_path("rg"), "roleDefinitions", ROLE);
    assert_eq!(
        world
            .owner("PUT", &again, Some(definition("Same", &[&mine], &["*"])))
            .status,
        200
    );
    assert!(writes(&world, "storer"));
}

#[test]
fn the_root_is_each_tenants_own() {
    let world = World::furnished();
    let mut config = config();
    for (name, tenant) in [("owner", T), ("other", T2)] {
        config.assignments.push(RoleAssignment {
            id: format!("root-{name}"),
            scope: "/".parse().unwrap(),
            principal: principal(name, tenant).object_id,
            principal_type: "ServicePrincipal".into(),
            role: id_of("Owner").to_owned(),
            tenant: Some(tenant.into()),
        });
    }
    world.api.configure(config);
    let path = at("", "roleAssignments", ASSIGNMENT);
    let reader = id_of("Reader");
    assert_eq!(
        world
            .owner("PUT", &path, Some(given(reader, "nobody")))
            .status,
        201
    );
    let made = world.send("other", "PUT", &path, Some(given(reader, "other")));
    assert_eq!(made.status, 201, "the same ID: {}", made.value());
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v"), None)
            .status,
        200
    );
    let all = at("", "roleAssignments", "");
    for who in ["owner", "other"] {
        let listed = world
            .send(who, "GET", all.trim_end_matches('/'), None)
            .value();
        let text = listed.to_string();
        assert_eq!(
            text.matches(ASSIGNMENT).count(),
            2,
            "its own alone, ID and name: {text}"
        );
    }
    // Whoever reads at the root reads in their own tenant.
    let networks = "/providers/Microsoft.Network/virtualNetworks";
    assert_eq!(
        world.owner("GET", networks, None).value()["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let listed = world.send("other", "GET", networks, None);
    assert_eq!(listed.value()["value"], json!([]));
    assert_eq!(world.send("other", "DELETE", &path, None).status, 200);
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v"), None)
            .status,
        200
    );
    assert_eq!(world.owner("DELETE", &path, None).status, 200);
    assert_eq!(
        world
            .send("nobody", "GET", &net("virtualNetworks/v"), None)
            .status,
        403
    );
    let stray = "/providers/Microsoft.Network/networkSecurityGroups/n";
    let body = json!({ "location": "koreacentral" });
    let refused = world.owner("PUT", stray, Some(body.clone()));
    assert_eq!(cause(&refused), "AuthorizationFailed");
    let local = Request::local("PUT", stray).with_body(body.to_string());
    assert_eq!(cause(&world.api.handle(&local)), "InvalidResourceId");
}
