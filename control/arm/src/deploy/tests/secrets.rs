//! What comes from secure parameters, wherever a template takes it.

use super::memory::with_context;
use super::*;
use serde_json::json;

const MARKER: &str = "S3cret-Marker-zzz";

/// Returns whether the marker, or what a template makes of it, is in a text.
fn finds(text: &str) -> bool {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(MARKER);
    let text = text.to_ascii_lowercase();
    [MARKER, &base64]
        .iter()
        .any(|known| text.contains(&known.to_ascii_lowercase()))
}

fn parameters() -> (Value, Value) {
    let declared = json!({
        "pw": { "type": "secureString" },
        "ob": { "type": "secureObject", "defaultValue": {} },
        "derived": { "type": "string", "defaultValue": "[concat('x', parameters('pw'))]" },
        "adminPassword": { "type": "string", "defaultValue": "plain" },
        "plain": { "type": "string", "defaultValue": "seen" },
    });
    let given = json!({
        "pw": { "value": MARKER }, "ob": { "value": { "k": MARKER } }, "adminPassword": { "value": MARKER },
    });
    (declared, given)
}

fn resource(kind: &str, name: &str, properties: Value) -> Value {
    json!({ "type": kind, "apiVersion": "1", "name": name, "location": "x", "properties": properties,
        "tags": { "p": "[parameters('pw')]", "q": "[toUpper(parameters('pw'))]", "r": "[variables('v')]", "s": "seen" } })
}

fn nested(name: &str, scope: &str, parameters: Value, template: Value) -> Value {
    json!({ "type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": name, "properties": {
        "mode": "Incremental", "expressionEvaluationOptions": { "scope": scope },
        "parameters": parameters, "template": template } })
}

fn template() -> Value {
    let inner = json!({
        "parameters": { "np": { "type": "string" }, "ns": { "type": "secureString" }, "seen": { "type": "string" } },
        "resources": [{ "type": "A.B/c", "apiVersion": "1", "name": "in", "properties": {
            "x": "[parameters('np')]", "y": "[parameters('seen')]" } }],
        "outputs": {
            "n": { "type": "string", "value": "[parameters('ns')]" },
            "p": { "type": "string", "value": "[concat('Server=', parameters('np'))]" },
            "y": { "type": "string", "value": "[parameters('seen')]" },
        },
    });
    let outer = json!({ "resources": [], "outputs": { "n": { "type": "string", "value": "[parameters('pw')]" } } });
    json!({
        "parameters": parameters().0,
        "variables": {
            "v": "[concat('x', parameters('pw'), 'y')]",
            "copy": [{ "name": "all", "count": 2, "input": "[parameters('pw')]" }],
        },
        "resources": [
            resource("Microsoft.Compute/virtualMachines", "vm", json!({ "osProfile": {
                "adminPassword": "[parameters('pw')]", "x": "[concat('a', parameters('pw'))]", "y": "[parameters('ob').k]",
                "z": "[base64(parameters('pw'))]", "w": "[variables('v')]", "u": "[variables('all')]", "seen": "yes" } })),
            resource("A.B/c", "loops", json!({
                "copy": [
                    { "name": "each", "count": 2, "input": "[parameters('pw')]" },
                    { "name": "objects", "count": 2, "input": { "a": "[parameters('pw')]", "b": "[copyIndex('objects')]" } },
                ],
                "[parameters('pw')]": "a name", "seen": "yes",
            })),
            nested("sub", "inner", json!({
                "np": { "value": "[parameters('pw')]" }, "ns": { "value": "[parameters('pw')]" }, "seen": { "value": "[parameters('plain')]" },
            }), inner),
            nested("lent", "outer", json!({}), outer),
            resource("A.B/c", "user", json!({
                "n": "[reference('sub').outputs.p.value]", "y": "[reference('sub').outputs.y.value]",
            })),
        ],
        "outputs": {
            "o1": { "type": "string", "value": "[parameters('pw')]" },
            "o2": { "type": "secureString", "value": "[parameters('pw')]" },
            "o3": { "type": "string", "value": "[variables('v')]" },
            "o4": { "type": "array", "value": "[split(parameters('pw'), '-')]" },
            "o5": { "type": "string", "value": "[reference('sub').outputs.n.value]" },
            "o6": { "type": "array", "copy": { "count": 2, "input": "[toLower(parameters('pw'))]" } },
            "seen": { "type": "string", "value": "[parameters('plain')]" },
        },
    })
}

#[test]
fn a_secure_parameter_is_in_nothing_that_is_shown_or_kept() {
    let mut memory = Memory::new();
    let (_, given) = parameters();
    let shown = memory.deploy_with(template(), given.clone()).unwrap();
    assert!(!finds(&shown.to_string()), "{shown:#}");
    let all = format!("{:#?} {:#?}", memory.kept, memory.groups);
    assert!(!finds(&all), "{all}");
    let properties = &shown["properties"];
    for name in ["o1", "o2", "o3", "o4", "o5", "o6"] {
        assert_eq!(properties["outputs"][name]["value"], Value::Null, "{name}");
    }
    assert_eq!(properties["outputs"]["o1"], json!({ "type": "String" }));
    assert_eq!(properties["outputs"]["seen"]["value"], "seen");
    assert_eq!(properties["parameters"]["plain"]["value"], "seen");
    assert_eq!(
        properties["parameters"]["derived"],
        json!({ "type": "String" })
    );
    assert_eq!(
        properties["parameters"]["adminPassword"],
        json!({ "type": "String" })
    );
    let inner = &memory.get("Microsoft.Resources/deployments/sub")["properties"];
    assert_eq!(inner["parameters"]["np"], json!({ "type": "String" }));
    assert_eq!(inner["parameters"]["seen"]["value"], "seen");
    assert_eq!(inner["outputs"]["y"]["value"], "seen");
    assert_eq!(
        memory.get("A.B/c/user")["properties"]["y"],
        "seen",
        "what is no secret goes through"
    );
    assert_eq!(memory.get("A.B/c/user")["tags"], json!({ "s": "seen" }));
    let loops = &memory.get("A.B/c/loops")["properties"];
    assert_eq!(loops["objects"], json!([{ "b": 0 }, { "b": 1 }]));
    assert_eq!(
        (&loops["each"], &loops["seen"]),
        (&Value::Null, &json!("yes"))
    );
    let request = request(template(), given);
    let changes = memory.what_if(&request);
    assert!(!finds(&format!("{changes:#?}")));
    let mut draft = memory.clone();
    let validated = with_context(|ctx| validate(&mut draft, &deployment("d"), &request, ctx));
    assert!(!finds(&format!("{:#?}", validated.unwrap().value)));
}

#[test]
fn no_error_quotes_a_secure_parameter() {
    let with = |resources: Value, outputs: Value, more: Value| {
        let (mut declared, given) = parameters();
        for (name, fields) in more.as_object().unwrap() {
            for (key, value) in fields.as_object().unwrap() {
                declared[name][key] = value.clone();
            }
        }
        let template = json!({
            "parameters": declared,
            "variables": { "v": "[concat('x', parameters('pw'), 'y')]" },
            "resources": resources, "outputs": outputs,
        });
        request(template, given)
    };
    let none = || json!({});
    let output = |expression: &str| json!({ "x": { "type": "object", "value": expression } });
    let named = |name: &str| json!([{ "type": "A.B/c", "apiVersion": "1", "name": name }]);
    for request in [
        with(json!([]), none(), json!({ "pw": { "maxLength": 3 } })),
        with(
            json!([]),
            none(),
            json!({ "pw": { "allowedValues": ["a"] } }),
        ),
        with(
            json!([]),
            none(),
            json!({ "ob": { "properties": { "k": { "type": "string", "allowedValues": ["a"] } } } }),
        ),
        with(
            json!([]),
            none(),
            json!({ "ob": { "properties": { "k": { "type": "int" } } } }),
        ),
        with(json!([]), output("[int(parameters('pw'))]"), none()),
        with(
            json!([]),
            output("[int(toUpper(parameters('pw')))]"),
            none(),
        ),
        with(json!([]), output("[json(parameters('pw'))]"), none()),
        with(json!([]), output("[json(variables('v'))]"), none()),
        with(json!([]), output("[reference(parameters('pw'))]"), none()),
        with(
            json!([]),
            output("[reference(toLower(parameters('pw')))]"),
            none(),
        ),
        with(json!([]), output("[fail(parameters('pw'))]"), none()),
        with(
            json!([]),
            output("[fail(base64(parameters('pw')))]"),
            none(),
        ),
        with(
            json!([]),
            output("[parameters('ob')[parameters('pw')]]"),
            none(),
        ),
        with(json!([]), output("[parameters('pw')]"), none()),
        with(
            named("[concat('bad name ', parameters('pw'), '/')]"),
            none(),
            none(),
        ),
        with(named("[concat(parameters('pw'), '/x')]"), none(), none()),
        with(
            json!([{ "type": "A.B/c", "apiVersion": "1", "name": "n", "copy": { "name": "l", "count": "[parameters('pw')]" } }]),
            none(),
            none(),
        ),
        with(
            json!([{ "type": "A.B/c", "apiVersion": "1", "name": "n", "dependsOn": ["[parameters('pw')]"] }]),
            none(),
            none(),
        ),
        with(
            json!([{ "type": "A.B/c", "apiVersion": "1", "name": "n", "condition": "[parameters('pw')]" }]),
            none(),
            none(),
        ),
    ] {
        let mut memory = Memory::new();
        let id = deployment("d");
        let error = with_context(|ctx| create(&mut memory, &id, &request, ctx)).unwrap_err();
        assert!(!finds(&format!("{error:?}")), "{error:#?}");
        with_context(|ctx| record_failure(&mut memory, &id, &request, &error, ctx)).unwrap();
        assert!(!finds(&format!("{:?}", memory.kept)));
    }
}

#[test]
fn a_password_of_a_plain_parameter_is_not_kept_either() {
    let mut memory = Memory::new();
    let template = json!({
        "parameters": { "p": { "type": "string" } },
        "resources": [{ "type": "Microsoft.Sql/servers", "apiVersion": "1", "name": "s", "location": "x",
            "properties": { "administratorLoginPassword": "[parameters('p')]" } }],
    });
    let given = json!({ "p": { "value": MARKER } });
    let shown = memory.deploy_with(template, given).unwrap();
    assert!(!finds(&shown.to_string()), "{shown:#}");
    let record = memory.get("Microsoft.Resources/deployments/d");
    assert!(!finds(&record.to_string()), "{record:#}");
}
