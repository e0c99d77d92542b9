//! Every operation of the table, by every way, as everybody who may not.

use super::roles::{at, cause, definition, deployment, given, sub, world};
use super::*;
use crate::rest::authorise::table::{Asks, OPERATIONS, Path};

const ROLE: &str = "0a000000-0000-4000-8000-00000000000a";
const METHODS: [&str; 8] = [
    "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE",
];

/// Who calls beside the owner: without a token, without a role, a Reader of the subscription, the owner of
/// another group (see [`world`]), and the owner of a subscription of another tenant.
const CALLERS: [Option<&str>; 5] = [
    None,
    Some("storer"),
    Some("reader"),
    Some("nobody"),
    Some("other"),
];

/// Returns paths of that kind, in the group `rg` where they are of a group. A path without one does not
/// compile: no operation is left out.
fn samples(path: Path) -> Vec<String> {
    let (sub, rg) = (sub(), group_path("rg"));
    let deployment = format!("{rg}/providers/Microsoft.Resources/deployments/d");
    let older = format!("{rg}/deployments/d");
    let network = net("virtualNetworks/v");
    let reader = &find_built_in("Reader").unwrap().id;
    let listed = |kind: &str| format!("{rg}/providers/Microsoft.Authorization/{kind}");
    match path {
        Path::Tenants => vec!["/tenants".into()],
        Path::Subscriptions => vec!["/subscriptions".into()],
        Path::Subscription => vec![sub],
        Path::Locations => vec![format!("{sub}/locations")],
        Path::Groups => vec![format!("{sub}/resourceGroups")],
        Path::Resources => vec![format!("{rg}/resources")],
        Path::Group => vec![rg],
        Path::Export => vec![format!("{rg}/exportTemplate")],
        Path::Providers => vec![
            format!("{sub}/providers"),
            format!("{sub}/providers/Microsoft.Network"),
        ],
        Path::Register => vec![
            format!("{sub}/providers/Microsoft.Network/register"),
            format!("{sub}/providers/Microsoft.Network/unregister"),
        ],
        Path::CheckName => vec![format!(
            "{sub}/providers/Microsoft.Storage/checkNameAvailability"
        )],
        Path::Skus => vec![format!("{sub}/providers/Microsoft.Storage/skus")],
        Path::Regional => {
            let all = format!("{sub}/providers/Microsoft.Network/locations/koreacentral");
            vec![format!("{all}/usages"), format!("{all}/serviceTags")]
        }
        Path::Deployments => vec![
            format!("{rg}/providers/Microsoft.Resources/deployments"),
            format!("{rg}/deployments"),
        ],
        Path::Deployment => vec![deployment, older],
        Path::DeploymentAction => ["validate", "whatIf", "cancel", "exportTemplate"]
            .iter()
            .flat_map(|word| [format!("{deployment}/{word}"), format!("{older}/{word}")])
            .collect(),
        Path::Operations => vec![
            format!("{deployment}/operations"),
            format!("{older}/operations"),
        ],
        Path::Operation => vec![
            format!("{deployment}/operations/0000000000000001"),
            format!("{older}/operations/0000000000000001"),
        ],
        Path::Roles => ["roleDefinitions", "roleAssignments", "denyAssignments"]
            .map(listed)
            .to_vec(),
        Path::Role => vec![
            at(&rg, "roleDefinitions", ROLE),
            at(&sub, "roleDefinitions", reader),
            at(&rg, "roleAssignments", ROLE),
            at(&network, "roleAssignments", ROLE),
        ],
        Path::Permissions => vec![listed("permissions")],
        Path::Tags => vec![
            format!("{network}/providers/Microsoft.Resources/tags/default"),
            format!("{rg}/providers/Microsoft.Resources/tags/default"),
        ],
        Path::List => vec![
            format!("{rg}/providers/Microsoft.Network/virtualNetworks"),
            format!("{network}/subnets"),
            format!("{rg}/providers/Microsoft.Network/networkWatchers"),
            listed("locks"),
        ],
        Path::Resource => vec![
            network.clone(),
            format!("{network}/subnets/a"),
            format!("{rg}/providers/Microsoft.Authorization/locks/l"),
            format!("{rg}/providers/Microsoft.Insights/components/c"),
            format!(
                "{sub}/resourceGroups/NetworkWatcherRG/providers/Microsoft.Network/networkWatchers/NetworkWatcher_koreacentral"
            ),
            account("abc").replace("/acc/", "/rg/"),
        ],
        Path::FreeAddress => vec![format!("{network}/CheckIPAddressAvailability")],
        Path::Usages => vec![format!("{network}/usages")],
        Path::Action => vec![
            format!("{network}/nextHop"),
            format!("{}/listKeys", account("abc").replace("/acc/", "/rg/")),
            format!("{}/regenerateKey", account("abc").replace("/acc/", "/rg/")),
        ],
    }
}

fn call(world: &World, who: Option<&str>, method: &str, path: &str) -> Response {
    let body = ["PUT", "PATCH", "POST"]
        .contains(&method)
        .then(|| json!({}));
    match who {
        Some(who) => world.send(who, method, path, body),
        None => world.api.handle(&request(method, path, body)),
    }
}

/// Returns the status and the code that a caller has to be refused with; none if they may.
fn expected(who: Option<&str>, asks: Asks, path: &str) -> Option<(u16, &'static str)> {
    let Some(who) = who else {
        return Some((401, "AuthenticationFailed"));
    };
    if who == "other" && path.starts_with("/subscriptions/") {
        return Some((401, "InvalidAuthenticationTokenTenant"));
    }
    // Who has a role in another group is known in the subscription.
    let is_wide = !path.contains("/resourceGroups/");
    let may = match (asks, who) {
        (Asks::Token, _) => true,
        (Asks::AnyRole, "reader") | (Asks::To("read"), "reader") => true,
        (Asks::AnyRole, "storer" | "nobody") => is_wide,
        _ => false,
    };
    (!may).then_some((403, "AuthorizationFailed"))
}

#[test]
fn no_operation_is_done_for_who_may_not() {
    let world = world();
    let before = (
        world.api.estate(),
        world.host.commits.load(Ordering::Relaxed),
    );
    for row in OPERATIONS {
        for path in samples(row.path) {
            for who in CALLERS {
                let answer = call(&world, who, row.method, &path);
                let about = format!("{who:?} {} {path}: {}", row.method, answer.value());
                match expected(who, row.asks, &path) {
                    Some((status, code)) => {
                        assert_eq!(answer.status, status, "{about}");
                        // A HEAD has no body to tell.
                        assert!(row.method == "HEAD" || cause(&answer) == code, "{about}");
                    }
                    None => assert!(![401, 403, 405].contains(&answer.status), "{about}"),
                }
            }
        }
    }
    let after = (
        world.api.estate(),
        world.host.commits.load(Ordering::Relaxed),
    );
    assert!(before == after, "nothing was changed");
}

#[test]
fn what_is_not_in_the_table_is_not_done() {
    let world = world();
    let commits = world.host.commits.load(Ordering::Relaxed);
    let mut seen = 0;
    for row in OPERATIONS {
        for path in samples(row.path) {
            for method in METHODS {
                // What hangs on a resource is a list for a GET and an action for a POST.
                let twin = [
                    Path::List,
                    Path::Action,
                    Path::FreeAddress,
                    Path::Usages,
                    Path::Operations,
                    Path::DeploymentAction,
                ];
                let is_known = OPERATIONS
                    .iter()
                    .any(|other| other.path == row.path && other.method == method)
                    || (twin.contains(&row.path) && ["GET", "POST"].contains(&method));
                if !is_known {
                    let answer = call(&world, Some("owner"), method, &path);
                    assert!(
                        [404, 405].contains(&answer.status),
                        "{method} {path}: {}",
                        answer.value()
                    );
                    seen += 1;
                }
            }
            // What is a step further is nothing either, or asks for a right of its own.
            let answer = call(&world, Some("storer"), "POST", &format!("{path}/a/b/c"));
            assert!(answer.status >= 400, "{path}: {}", answer.value());
        }
    }
    assert!(seen > 100);
    assert_eq!(world.host.commits.load(Ordering::Relaxed), commits);
}

#[test]
fn the_owner_reaches_every_operation() {
    for row in OPERATIONS {
        for path in samples(row.path) {
            let world = world();
            let answer = call(&world, Some("owner"), row.method, &path);
            let is_read_only = path.contains(&find_built_in("Reader").unwrap().id);
            let refused: &[u16] = if is_read_only {
                &[401, 405]
            } else {
                &[401, 403, 405]
            };
            assert!(
                !refused.contains(&answer.status),
                "{} {path}: {}",
                row.method,
                answer.value()
            );
        }
    }
}

fn template(resources: &Value, output: Option<&str>) -> Value {
    let outputs = output.map(|output| json!({ "told": { "type": "object", "value": output } }));
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
        "outputs": outputs.unwrap_or_else(|| json!({})),
    })
}

/// Templates that write, each resource of the group `rg` or of the subscription, or read.
fn templates() -> Vec<(&'static str, Value)> {
    let (sub, rg, network) = (sub(), group_path("rg"), net("virtualNetworks/v"));
    let resource = |kind: &str, scope: &str, name: &str, more: Value| {
        let mut resource =
            json!({ "type": kind, "apiVersion": "2024-05-01", "name": name, "scope": scope });
        resource
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        template(&json!([resource]), None)
    };
    let here = || json!({ "location": "koreacentral" });
    let owner = &find_built_in("Owner").unwrap().id;
    let roles = "Microsoft.Authorization";
    vec![
        (
            "network",
            resource("Microsoft.Network/virtualNetworks", &rg, "v", vnet()),
        ),
        (
            "subnet",
            resource(
                "Microsoft.Network/virtualNetworks/subnets",
                &rg,
                "v/a",
                json!({ "properties": { "addressPrefix": "10.0.1.0/24" } }),
            ),
        ),
        (
            "kept",
            resource("Microsoft.Insights/components", &rg, "c", here()),
        ),
        (
            "lock",
            resource(
                "Microsoft.Authorization/locks",
                &rg,
                "l",
                json!({ "properties": { "level": "ReadOnly" } }),
            ),
        ),
        (
            "group",
            resource("Microsoft.Resources/resourceGroups", &sub, "rg", here()),
        ),
        (
            "tags",
            resource(
                "Microsoft.Resources/tags",
                &network,
                "default",
                json!({ "properties": { "tags": {} } }),
            ),
        ),
        (
            "role",
            resource(
                &format!("{roles}/roleDefinitions"),
                &sub,
                ROLE,
                definition("x", &[&sub], &["*"]),
            ),
        ),
        (
            "role of the group",
            resource(
                &format!("{roles}/roleDefinitions"),
                &rg,
                ROLE,
                definition("x", &[&rg], &["*"]),
            ),
        ),
        (
            "assignment",
            resource(
                &format!("{roles}/roleAssignments"),
                &sub,
                ROLE,
                given(owner, "storer"),
            ),
        ),
        (
            "assignment of the group",
            resource(
                &format!("{roles}/roleAssignments"),
                &rg,
                ROLE,
                given(owner, "storer"),
            ),
        ),
        (
            "assignment of the network",
            resource(
                &format!("{roles}/roleAssignments"),
                &network,
                ROLE,
                given(owner, "storer"),
            ),
        ),
        (
            "assignment by its name",
            template(
                &json!([{
            "type": "Microsoft.Network/virtualNetworks/providers/roleAssignments", "apiVersion": "2022-04-01",
            "name": format!("v/Microsoft.Authorization/{ROLE}"), "resourceGroup": "rg", "subscriptionId": S,
            "properties": given(owner, "storer")["properties"] }]),
                None,
            ),
        ),
        (
            "read",
            template(
                &json!([]),
                Some(&format!("[reference('{network}', '2024-05-01', 'full')]")),
            ),
        ),
        (
            "action",
            template(
                &json!([]),
                Some(&format!(
                    "[listKeys('{}', '2023-05-01')]",
                    account("abc").replace("/acc/", "/rg/")
                )),
            ),
        ),
    ]
}

/// Returns the deployments of a template from a group: as it is, inside of another one in either way, and
/// inside of one that goes to the group `rg`.
fn deployments_of(home: &str, template_of: &Value) -> Vec<(&'static str, String, Value)> {
    let nest = |options: Value, more: Value| {
        let mut inner = json!({ "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
            "properties": { "mode": "Incremental", "template": template_of, "expressionEvaluationOptions": options } });
        inner
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        template(&json!([inner]), None)
    };
    let (outer, inner) = (json!({ "scope": "outer" }), json!({ "scope": "inner" }));
    let away = json!({ "resourceGroup": "rg", "subscriptionId": S });
    let mut all = Vec::new();
    for template in [
        template_of.clone(),
        nest(outer, json!({})),
        nest(inner.clone(), json!({})),
        nest(inner, away),
    ] {
        let (path, body) = deployment(home, &template);
        all.push(("POST", format!("{path}/whatIf"), body.clone()));
        all.push(("POST", format!("{path}/validate"), body.clone()));
        all.push(("PUT", path, body));
    }
    all
}

#[test]
fn no_template_does_what_its_deployer_may_not() {
    let world = world();
    let store = json!({ "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" });
    let path = account("abc").replace("/acc/", "/rg/");
    assert_eq!(world.owner("PUT", &path, Some(store)).status, 200);
    let acc = group_path("acc");
    let theirs = format!("/subscriptions/{S2}/resourceGroups/g");
    let callers = [
        ("nobody", acc.clone(), &["AuthorizationFailed"][..]),
        ("reader", acc.clone(), &["AuthorizationFailed"]),
        ("storer", group_path("rg"), &["AuthorizationFailed"]),
        ("other", theirs, &["InvalidAuthenticationTokenTenant"]),
        ("other", acc, &["InvalidAuthenticationTokenTenant"]),
    ];
    let before = world.api.estate();
    for (what, template) in templates() {
        for (who, home, codes) in &callers {
            for (method, path, body) in deployments_of(home, &template) {
                let answer = world.send(who, method, &path, Some(body));
                let about = format!("{what} {who} {method} {path}: {}", answer.value());
                assert!(codes.contains(&cause(&answer).as_str()), "{about}");
            }
        }
    }
    // Records of what failed are all that came of it.
    let changed = world.api.estate().changes_since(&before).filter(|change| {
        let id = change
            .new
            .as_ref()
            .or(change.old.as_ref())
            .map(|it| it.id.kind());
        id.is_none_or(|kind| !kind.eq_ignore_ascii_case("Microsoft.Resources/deployments"))
    });
    assert_eq!(changed.count(), 0);
    for (what, template) in templates() {
        let (path, body) = deployment(&group_path("rg"), &template);
        let answer = world.owner("POST", &format!("{path}/whatIf"), Some(body));
        assert_eq!(
            answer.status,
            200,
            "{what}: the owner may: {}",
            answer.value()
        );
    }
}

#[test]
fn complete_mode_deletes_what_its_deployer_may_delete() {
    let world = world();
    let role = at(&sub(), "roleDefinitions", ROLE);
    let body = definition(
        "Deployer",
        &[&sub()],
        &["Microsoft.Resources/deployments/*", "*/read"],
    );
    assert_eq!(world.owner("PUT", &role, Some(body)).status, 201);
    let path = at(&group_path("rg"), "roleAssignments", ROLE);
    assert_eq!(
        world
            .owner("PUT", &path, Some(given(&role, "storer")))
            .status,
        201
    );
    let (path, mut body) = deployment(&group_path("rg"), &template(&json!([]), None));
    body["properties"]["mode"] = "Complete".into();
    for (method, word) in [("POST", "/validate"), ("POST", "/whatIf"), ("PUT", "")] {
        let answer = world.send(
            "storer",
            method,
            &format!("{path}{word}"),
            Some(body.clone()),
        );
        assert_eq!(
            cause(&answer),
            "AuthorizationFailed",
            "{word}: {}",
            answer.value()
        );
        assert!(
            answer
                .value()
                .to_string()
                .contains("virtualNetworks/delete")
        );
    }
    assert_eq!(
        world.owner("GET", &net("virtualNetworks/v"), None).status,
        200
    );
    assert_eq!(
        world.owner("PUT", &path, Some(body)).status,
        200,
        "its record is there"
    );
    assert_eq!(
        world.owner("GET", &net("virtualNetworks/v"), None).status,
        404
    );
}
