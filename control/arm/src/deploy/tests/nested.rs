//! References between resources, nested deployments, and deployments of more than one group.

use super::*;
use serde_json::json;

fn plain(name: &str, properties: Value) -> Value {
    json!({ "type": "A.B/c", "apiVersion": "1", "name": name, "location": "x", "properties": properties })
}

fn deployment_of(name: &str, more: Value, template: Value) -> Value {
    let mut nested = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": name,
        "properties": { "mode": "Incremental", "template": template },
    });
    let Value::Object(more) = more else {
        panic!("no object")
    };
    for (key, value) in more {
        match key.as_str() {
            "parameters" | "expressionEvaluationOptions" => nested["properties"][key] = value,
            _ => nested[key] = value,
        }
    }
    nested
}

#[test]
fn a_reference_puts_its_resource_first() {
    let mut memory = Memory::new();
    let template = json!({ "resources": [
        plain("a", json!({ "y": "[reference(resourceId('A.B/c', 'b')).x]", "z": "[reference('c', '1', 'Full').location]" })),
        plain("b", json!({ "x": "[reference('A.B/c/c').x]" })),
        { "type": "A.B/c", "apiVersion": "1", "name": "c", "location": "y", "dependsOn": ["d"], "properties": { "x": 7 } },
        plain("d", json!({})),
    ] });
    memory.deploy(template).unwrap();
    assert_eq!(memory.names(), ["d", "c", "b", "a"]);
    let shown = &memory.get("A.B/c/a")["properties"];
    assert_eq!((&shown["y"], &shown["z"]), (&json!(7), &json!("y")));
    let circle = json!({ "resources": [
        plain("a", json!({ "y": "[reference('b').x]" })),
        plain("b", json!({ "x": "[reference('a').y]" })),
    ] });
    let error = Memory::new().deploy(circle).unwrap_err();
    assert!(
        error.message.contains("Circular dependency detected"),
        "{error}"
    );
    let itself = json!({ "resources": [plain("a", json!({ "y": "[reference('a').x]" }))] });
    assert!(
        Memory::new()
            .deploy(itself)
            .unwrap_err()
            .message
            .contains("Circular")
    );
    let mixed = json!({ "resources": [
        plain("a", json!({ "y": "[reference('b').x]" })),
        { "type": "A.B/c", "apiVersion": "1", "name": "b", "dependsOn": ["a"] },
    ] });
    assert!(
        Memory::new()
            .deploy(mixed)
            .unwrap_err()
            .message
            .contains("Circular")
    );
    let untaken =
        json!({ "resources": [plain("a", json!({ "y": "[if(true(), 1, reference('a').x)]" }))] });
    Memory::new().deploy(untaken).unwrap();
}

#[test]
fn what_is_there_already_is_read_as_far_as_allowed() {
    let mut memory = Memory::new();
    memory
        .deploy(json!({ "resources": [plain("old", json!({ "x": 1 }))] }))
        .unwrap();
    let reads = json!({ "resources": [], "outputs": {
        "x": { "type": "int", "value": "[reference(resourceId('A.B/c', 'old'), '1').x]" },
        "key": { "type": "string", "value": "[listKeys(resourceId('A.B/c', 'old'), '1').keys[0].value]" },
    } });
    let done = memory.deploy(reads.clone()).unwrap();
    assert_eq!(done["properties"]["outputs"]["x"]["value"], 1);
    assert_eq!(
        done["properties"]["outputs"]["key"]["value"],
        "listKeys of old"
    );
    let missing = json!({ "resources": [], "outputs": {
        "x": { "type": "int", "value": "[reference(resourceId('A.B/c', 'none'), '1').x]" } } });
    let error = memory.deploy(missing).unwrap_err();
    assert_eq!(
        (error.status, error.details[0].code.as_str()),
        (404, "ResourceNotFound")
    );
    let refuse = |access: &Access<'_>| match access {
        Access::Read(id) => Err(ArmError::new(
            403,
            "AuthorizationFailed",
            format!("no {id}"),
        )),
        _ => Ok(()),
    };
    let error = memory::with_authority(&refuse, |ctx| {
        create(
            &mut memory,
            &deployment("d"),
            &request(reads, json!({})),
            ctx,
        )
    });
    let error = error.unwrap_err();
    assert_eq!(
        (error.status, error.details[0].code.as_str()),
        (403, "AuthorizationFailed")
    );
}

#[test]
fn an_inner_template_has_names_of_its_own() {
    let mut memory = Memory::new();
    let inner = json!({
        "parameters": { "p": { "type": "string" }, "s": { "type": "secureString" } },
        "variables": { "v": "inner" },
        "resources": [plain("n", json!({ "p": "[parameters('p')]", "v": "[variables('v')]" }))],
        "outputs": { "o": { "type": "string", "value": "[concat(variables('v'), '-', parameters('p'), '-', deployment().name)]" } },
    });
    let nested = deployment_of(
        "sub",
        json!({
            "expressionEvaluationOptions": { "scope": "Inner" },
            "parameters": { "p": { "value": "[reference('last').x]" }, "s": { "value": "s3cret" } },
        }),
        inner,
    );
    let template = json!({
        "variables": { "v": "outer" },
        "resources": [
            plain("user", json!({ "o": "[reference('sub').outputs.o.value]" })),
            nested,
            plain("last", json!({ "x": "[variables('v')]" })),
        ],
        "outputs": { "o": { "type": "string", "value": "[reference(resourceId('Microsoft.Resources/deployments', 'sub'), '1').outputs.o.value]" } },
    });
    let done = memory.deploy(template).unwrap();
    assert_eq!(memory.names(), ["last", "n", "user"]);
    assert_eq!(
        done["properties"]["outputs"]["o"]["value"],
        "inner-outer-sub"
    );
    assert_eq!(memory.get("A.B/c/n")["properties"]["p"], "outer");
    assert_eq!(
        memory.get("A.B/c/user")["properties"]["o"],
        "inner-outer-sub"
    );
    let record = memory.get("Microsoft.Resources/deployments/sub");
    assert_eq!(
        record["properties"]["parameters"]["s"],
        json!({ "type": "SecureString" })
    );
    assert_eq!(record["properties"]["provisioningState"], "Succeeded");
    assert!(!record.to_string().contains("s3cret"));
}

#[test]
fn an_outer_template_lends_its_names() {
    let mut memory = Memory::new();
    let inner = json!({
        "variables": { "v": "inner" },
        "resources": [plain("[concat('n', copyIndex())]", json!({
            "v": "[variables('v')]", "late": "[reference('late').x]", "group": "[resourceGroup().name]",
        }))],
        "outputs": { "at": { "type": "int", "value": "[copyIndex()]" } },
    });
    let nested = deployment_of(
        "[concat('sub', copyIndex())]",
        json!({ "copy": { "name": "loop", "count": 2 } }),
        inner,
    );
    let template = json!({
        "variables": { "v": "outer" },
        "resources": [nested, plain("late", json!({ "x": 1 }))],
        "outputs": { "at": { "type": "int", "value": "[reference('sub1').outputs.at.value]" } },
    });
    let done = memory.deploy(template).unwrap();
    assert_eq!(memory.names(), ["late", "n0", "n1"]);
    assert_eq!(memory.get("A.B/c/n1")["properties"]["v"], "outer");
    assert_eq!(memory.get("A.B/c/n1")["properties"]["group"], "rg");
    assert_eq!(done["properties"]["outputs"]["at"]["value"], 1);
}

#[test]
fn a_nested_deployment_goes_to_another_group() {
    let mut memory = Memory::new();
    let other: Scope = "/subscriptions/s2/resourceGroups/other".parse().unwrap();
    memory
        .put_group(&other, json!({ "location": "northeurope" }))
        .unwrap();
    let inner = json!({ "resources": [{ "type": "A.B/c", "apiVersion": "1", "name": "n", "location": "[resourceGroup().location]",
        "properties": { "id": "[resourceId('A.B/c', 'n')]", "subscription": "[subscription().displayName]" } }] });
    let to = |scope: &str, group: &str| {
        json!({ "resources": [deployment_of("sub", json!({
        "expressionEvaluationOptions": { "scope": scope }, "resourceGroup": group, "subscriptionId": "s2",
    }), inner.clone())] })
    };
    memory.deploy(to("inner", "other")).unwrap();
    let id = "/subscriptions/s2/resourcegroups/other/providers/a.b/c/n";
    let shown = &memory.kept[id];
    assert_eq!(shown["location"], "northeurope");
    assert_eq!(
        shown["properties"]["id"].as_str().unwrap().to_lowercase(),
        id
    );
    assert_eq!(shown["properties"]["subscription"], "two");
    // With the names of the outer template its group and subscription come along.
    memory.deploy(to("outer", "other")).unwrap();
    assert_eq!(memory.kept[id]["location"], "westeurope");
    assert_eq!(memory.kept[id]["properties"]["subscription"], "one");
    let error = memory.deploy(to("inner", "none")).unwrap_err();
    assert_eq!(
        (error.status, error.details[0].code.as_str()),
        (404, "ResourceGroupNotFound")
    );
}

#[test]
fn a_subscription_gets_groups_and_what_is_in_them() {
    let mut memory = Memory::new();
    let template = json!({
        "parameters": { "name": { "type": "string" } },
        "resources": [
            deployment_of("in", json!({
                "resourceGroup": "[parameters('name')]",
                "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', parameters('name'))]"],
                "expressionEvaluationOptions": { "scope": "inner" },
            }), json!({ "resources": [plain("n", json!({ "at": "[resourceGroup().location]" }))] })),
            { "type": "Microsoft.Resources/resourceGroups", "apiVersion": "1", "name": "[parameters('name')]",
              "location": "[deployment().location]", "tags": { "a": "b" } },
        ],
        "outputs": { "id": { "type": "string", "value": "[subscription().subscriptionId]" } },
    });
    let body = json!({ "location": "eastus", "properties": { "template": template, "parameters": { "name": { "value": "new" } } } });
    let request = DeploymentRequest::parse(&body.to_string()).unwrap();
    let id: ResourceId = "/subscriptions/s1/providers/Microsoft.Resources/deployments/d"
        .parse()
        .unwrap();
    let done = memory::with_context(|ctx| create(&mut memory, &id, &request, ctx)).unwrap();
    assert_eq!(done.value["location"], "eastus");
    assert_eq!(done.value["properties"]["outputs"]["id"]["value"], "s1");
    assert_eq!(
        memory.groups["/subscriptions/s1/resourcegroups/new"]["tags"]["a"],
        "b"
    );
    let shown = &memory.kept["/subscriptions/s1/resourcegroups/new/providers/a.b/c/n"];
    assert_eq!(shown["properties"]["at"], "eastus");
    let no_group =
        json!({ "resources": [plain("n", json!({ "at": "[resourceGroup().location]" }))] });
    let request = DeploymentRequest::of(no_group.as_object().unwrap().clone());
    let error = memory::with_context(|ctx| create(&mut memory, &id, &request, ctx)).unwrap_err();
    assert!(
        error
            .message
            .contains("'resourceGroup' is not expected at this location"),
        "{error}"
    );
}

#[test]
fn what_is_elsewhere_is_refused() {
    let link = json!({ "resources": [{ "type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "sub",
        "properties": { "mode": "Incremental", "templateLink": { "uri": "https://example.net/x.json" } } }] });
    let error = Memory::new().deploy(link).unwrap_err();
    assert!(
        error.message.contains("nothing is fetched from elsewhere"),
        "{error}"
    );
    assert_eq!(error.target.as_deref(), Some("resources[0].properties"));
    let body = json!({ "properties": { "mode": "Incremental", "templateLink": { "uri": "x" } } });
    assert!(DeploymentRequest::parse(&body.to_string()).is_err());
    let complete = deployment_of("sub", json!({}), json!({ "resources": [] }));
    let mut complete = json!({ "resources": [complete] });
    complete["resources"][0]["properties"]["mode"] = json!("Complete");
    let error = Memory::new().deploy(complete).unwrap_err();
    assert!(
        error
            .message
            .contains("not supported for nested deployments"),
        "{error}"
    );
}

#[test]
fn a_resource_that_is_refused_fails_the_deployment() {
    let mut memory = Memory::new();
    memory.refused.push("b".to_owned());
    let template = json!({ "resources": [plain("a", json!({})), plain("b", json!({}))] });
    let error = memory.deploy(template.clone()).unwrap_err();
    assert_eq!(
        (error.status, error.code.as_str()),
        (409, "DeploymentFailed")
    );
    assert_eq!(error.details[0].code, "Conflict");
    assert!(
        error.details[0]
            .target
            .as_deref()
            .unwrap()
            .ends_with("/A.B/c/b")
    );
    let request = request(template.clone(), json!({}));
    let checked =
        memory::with_context(|ctx| validate(&mut memory.clone(), &deployment("d"), &request, ctx));
    assert_eq!(checked.unwrap_err().code, "InvalidTemplateDeployment");
    memory::with_context(|ctx| {
        record_failure(&mut memory, &deployment("d"), &request, &error, ctx)
    })
    .unwrap();
    let record = memory.get("Microsoft.Resources/deployments/d");
    assert_eq!(record["properties"]["provisioningState"], "Failed");
    assert_eq!(
        record["properties"]["error"]["details"][0]["code"],
        "Conflict"
    );
    memory.refused.clear();
    let checked =
        memory::with_context(|ctx| validate(&mut memory.clone(), &deployment("d"), &request, ctx))
            .unwrap();
    assert_eq!(
        checked.value["properties"]["validatedResources"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let refuse = |access: &Access<'_>| match access {
        Access::Write(id, _) if id.name() == "b" => {
            Err(ArmError::new(403, "AuthorizationFailed", "no"))
        }
        _ => Ok(()),
    };
    let error = memory::with_authority(&refuse, |ctx| {
        create(&mut memory, &deployment("d"), &request, ctx)
    })
    .unwrap_err();
    assert_eq!(
        (error.status, error.details[0].code.as_str()),
        (403, "AuthorizationFailed")
    );
}

#[test]
fn complete_mode_deletes_the_rest() {
    let mut memory = Memory::new();
    let child = json!({ "type": "A.B/c/d", "apiVersion": "1", "name": "stays/child" });
    memory
        .deploy(
            json!({ "resources": [plain("stays", json!({})), child, plain("goes", json!({}))] }),
        )
        .unwrap();
    let mut request = request(
        json!({ "resources": [plain("stays", json!({ "new": 1 }))] }),
        json!({}),
    );
    request.mode = Mode::Complete;
    let refuse = |access: &Access<'_>| match access {
        Access::Delete(_) => Err(ArmError::new(403, "AuthorizationFailed", "no")),
        _ => Ok(()),
    };
    let refused = memory::with_authority(&refuse, |ctx| {
        create(&mut memory.clone(), &deployment("d"), &request, ctx)
    });
    assert_eq!(refused.unwrap_err().status, 403);
    memory::with_context(|ctx| create(&mut memory, &deployment("d"), &request, ctx)).unwrap();
    let group: Scope = memory::GROUP.parse().unwrap();
    let left: Vec<String> = memory
        .in_group(&group)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left.len(), 2, "the resource and the record: {left:?}");
    memory.get("A.B/c/stays/d/child");
}

#[test]
fn secrets_are_not_kept() {
    let mut memory = Memory::new();
    let template = json!({
        "parameters": { "Secret": { "type": "secureString" }, "deep": { "type": "secureObject", "defaultValue": { "word": "deep-word" } } },
        "variables": { "all": { "password": "[parameters('secret')]" }, "plain": "plain" },
        "functions": [{ "namespace": "own", "members": { "same": {
            "parameters": [{ "name": "x", "type": "string" }], "output": { "type": "string", "value": "[parameters('x')]" } } } }],
        "resources": [
            plain("a", json!({
                "plain": "[variables('plain')]",
                "password": "[parameters('secret')]",
                "inside": ["[concat('x', parameters('SECRET'))]", "[variables('plain')]"],
                "object": "[variables('all')]",
                "deep": "[parameters('deep').word]",
                "called": "[own.same(parameters('secret'))]",
                "lambda": "[map(createArray(1), lambda('x', parameters('secret')))]",
                "after": "[variables('plain')]",
            })),
            deployment_of("sub", json!({ "expressionEvaluationOptions": { "scope": "inner" }, "parameters": { "p": { "value": "[parameters('secret')]" } } }), json!({
                "parameters": { "p": { "type": "secureString" } },
                "resources": [plain("n", json!({ "p": "[parameters('p')]", "length": "[length(parameters('p'))]", "x": 1 }))],
            })),
        ],
    });
    let given = json!({ "secret": { "value": "s3cret-word" } });
    memory.deploy_with(template, given).unwrap();
    let shown = &memory.get("A.B/c/a")["properties"];
    assert_eq!(
        *shown,
        json!({ "plain": "plain", "inside": ["plain"], "after": "plain", "provisioningState": "Succeeded" })
    );
    assert_eq!(memory.get("A.B/c/n")["properties"]["x"], 1);
    let all = format!("{:?}", memory.kept);
    assert!(
        !all.contains("s3cret-word") && !all.contains("deep-word"),
        "{all}"
    );
}
