//! Deployments by requests.

use super::*;

fn path() -> String {
    format!(
        "{}/providers/Microsoft.Resources/deployments/d",
        group_path("rg")
    )
}

fn template(resources: Value) -> Value {
    json!({ "properties": { "mode": "Incremental", "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
        "outputs": { "url": { "type": "string", "value": "[environment().resourceManager]" } },
    } } })
}

fn nsg(name: &str) -> Value {
    json!({ "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01",
        "name": name, "location": "[resourceGroup().location]" })
}

#[test]
fn a_template_is_deployed_and_remembered() {
    let world = World::furnished();
    let commits = world.host.commits.load(Ordering::Relaxed);
    let body = template(
        json!([nsg("one"), nsg("two"), { "type": "Microsoft.Insights/components",
        "apiVersion": "2020-02-02", "name": "log", "location": "koreacentral" }]),
    );
    let made = world.owner("PUT", &path(), Some(body.clone()));
    assert_eq!(made.status, 201, "{}", made.value());
    let value = made.value();
    assert_eq!(value["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        value["properties"]["outputs"]["url"]["value"],
        "https://localhost:8443"
    );
    assert!(
        value["properties"]["withoutEffect"][0]
            .as_str()
            .unwrap()
            .ends_with("components/log")
    );
    assert_eq!(
        world.host.commits.load(Ordering::Relaxed),
        commits + 1,
        "one change"
    );
    assert_eq!(
        world
            .owner("GET", &net("networkSecurityGroups/two"), None)
            .status,
        200
    );
    assert_eq!(world.owner("PUT", &path(), Some(body)).status, 200, "again");
    assert_eq!(world.owner("GET", &path(), None).value()["name"], "d");
    let old = format!("{}/deployments/d/operations", group_path("rg"));
    for operations in [old, format!("{}/operations", path())] {
        let all = world.owner("GET", &operations, None).value();
        assert_eq!(all["value"].as_array().unwrap().len(), 3, "{all}");
        let id = all["value"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(world.owner("GET", &id, None).value(), all["value"][0]);
    }
    let list = format!(
        "{}/providers/Microsoft.Resources/deployments",
        group_path("rg")
    );
    assert_eq!(
        world.owner("GET", &list, None).value()["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(world.owner("HEAD", &path(), None).status, 204);
    assert_eq!(
        code(&world.owner("POST", &format!("{}/cancel", path()), None)),
        "DeploymentCannotBeCancelled"
    );
    assert_eq!(world.owner("DELETE", &path(), None).status, 204);
    assert_eq!(world.owner("GET", &path(), None).status, 404);
    assert_eq!(
        world
            .owner("GET", &net("networkSecurityGroups/two"), None)
            .status,
        200,
        "it stays"
    );
}

#[test]
fn a_rehearsal_changes_nothing() {
    let world = World::furnished();
    let before = world.api.estate();
    let body = template(json!([nsg("one")]));
    let checked = world.owner("POST", &format!("{}/validate", path()), Some(body.clone()));
    assert_eq!(checked.status, 200, "{}", checked.value());
    let told = world
        .owner("POST", &format!("{}/whatIf", path()), Some(body))
        .value();
    assert_eq!(
        told["properties"]["changes"][0]["changeType"], "Create",
        "{told}"
    );
    assert_eq!(told["properties"]["effects"], json!({ "routes": [] }));
    assert!(Arc::ptr_eq(&before, &world.api.estate()));
}

#[test]
fn what_az_sends_is_read() {
    let world = World::furnished();
    let body = r#"{"properties": {"parameters": {}, "mode": "Incremental", template: {
        // a comment
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [] /* none */ }}}"#;
    let request = request("PUT", &path(), None).with_body(body);
    let token = format!("Bearer {}", world.token("owner"));
    let answer = world
        .api
        .handle(&request.with_header("Authorization", &token));
    assert_eq!(answer.status, 201, "{}", answer.value());
}

#[test]
fn a_deployment_that_fails_leaves_its_record_and_nothing_else() {
    let world = World::furnished();
    let mut bad = nsg("two");
    bad["location"] = json!(5);
    let failed = world.owner("PUT", &path(), Some(template(json!([nsg("one"), bad]))));
    assert_eq!(code(&failed), "DeploymentFailed", "{}", failed.value());
    assert_eq!(
        world
            .owner("GET", &net("networkSecurityGroups/one"), None)
            .status,
        404
    );
    let record = world.owner("GET", &path(), None).value();
    assert_eq!(record["properties"]["provisioningState"], "Failed");
    let operations = world
        .owner("GET", &format!("{}/operations", path()), None)
        .value();
    assert_eq!(
        operations["value"][0]["properties"]["provisioningState"], "Failed",
        "{operations}"
    );
    let nonsense = world.owner("PUT", &path(), Some(json!({ "properties": {} })));
    assert_eq!(nonsense.status, 400);
}

#[test]
fn a_deployment_needs_the_right_for_each_of_its_resources() {
    let world = World::furnished();
    let network = template(json!([nsg("one")]));
    assert_eq!(
        world
            .send("reader", "PUT", &path(), Some(network.clone()))
            .status,
        403
    );
    assert_eq!(
        world.send("netter", "PUT", &path(), Some(network)).status,
        201
    );
    let storage = json!({ "type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-05-01", "name": "acct",
        "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" });
    let refused = world.send(
        "netter",
        "PUT",
        &path(),
        Some(template(json!([nsg("three"), storage]))),
    );
    assert_eq!(refused.status, 403, "{}", refused.value());
    assert!(
        refused
            .value()
            .to_string()
            .contains("Microsoft.Storage/storageAccounts/write")
    );
    assert_eq!(
        world
            .owner("GET", &net("networkSecurityGroups/three"), None)
            .status,
        404
    );
    // A group that is joined by a subnet, and is in another resource group.
    let other = net("networkSecurityGroups/n").replace("/rg/", "/acc/");
    world.owner("PUT", &other, Some(json!({ "location": "koreacentral" })));
    let mut vnet = vnet();
    vnet["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] = json!({ "id": other });
    for (name, value) in [
        ("type", "Microsoft.Network/virtualNetworks"),
        ("apiVersion", "2024-05-01"),
        ("name", "v"),
    ] {
        vnet[name] = json!(value);
    }
    let linked = world.send("netter", "PUT", &path(), Some(template(json!([vnet]))));
    assert_eq!(
        code(&linked),
        "LinkedAuthorizationFailed",
        "{}",
        linked.value()
    );
}
