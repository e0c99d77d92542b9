//! Loops of properties, conditions, children, extensions, symbolic names, outputs and parameters.

use super::*;
use serde_json::json;

fn plain(name: &str) -> Value {
    json!({ "type": "A.B/c", "apiVersion": "1", "name": name, "location": "x" })
}

fn with(mut resource: Value, more: Value) -> Value {
    let fields = resource.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    resource
}

fn properties(value: Value) -> Value {
    let mut memory = Memory::new();
    let resource = with(plain("a"), json!({ "properties": value }));
    memory.deploy(json!({ "resources": [resource] })).unwrap();
    let mut shown = memory.get("A.B/c/a")["properties"].clone();
    shown.as_object_mut().unwrap().remove("provisioningState");
    shown
}

#[test]
fn loops_of_properties_become_arrays() {
    let shown = properties(json!({
        "copy": [
            { "name": "rules", "count": 2, "input": {
                "name": "[concat('r', copyIndex('rules', 1))]",
                "copy": [{ "name": "ports", "count": "[copyIndex('rules')]", "input": "[add(mul(copyIndex('rules'), 10), copyIndex('ports'))]" }],
            } },
            { "name": "none", "count": 0, "input": "x" },
        ],
        "inner": { "copy": [{ "name": "list", "count": 2, "input": "[copyIndex('list')]" }] },
        "copied": { "copy": "a word" },
    }));
    assert_eq!(
        shown,
        json!({
            "rules": [{ "name": "r1", "ports": [] }, { "name": "r2", "ports": [10] }],
            "none": [],
            "inner": { "list": [0, 1] },
            "copied": { "copy": "a word" },
        })
    );
}

#[test]
fn strings_and_names_of_properties_are_worked_out() {
    let shown = properties(json!({
        "[concat('a', 'b')]": "[[literal]",
        "open": "[no expression",
        "quoted": "['it''s']",
        "lines": "[concat('a',\n  'b')]",
        "number": "[add(1, 2)]",
        "null": null,
        "[[x]": 1.5,
    }));
    assert_eq!(
        shown,
        json!({
            "ab": "[literal]", "open": "[no expression", "quoted": "it's", "lines": "ab",
            "number": 3, "null": null, "[x]": 1.5,
        })
    );
}

#[test]
fn variables_have_loops_and_know_each_other() {
    let mut memory = Memory::new();
    let template = json!({
        "variables": {
            "copy": [{ "name": "Names", "count": 3, "input": "[concat('n', copyIndex('names', 1))]" }],
            "object": { "copy": [{ "name": "disks", "count": 2, "input": { "lun": "[copyIndex('disks')]" } }] },
            "last": "[variables('NAMES')[sub(length(variables('names')), 1)]]",
        },
        "resources": [],
        "outputs": {
            "last": { "type": "string", "value": "[variables('last')]" },
            "object": { "type": "object", "value": "[variables('object')]" },
            "many": { "type": "array", "copy": { "count": 2, "input": "[copyIndex(5)]" } },
            "not": { "type": "string", "condition": false, "value": "[fail('never')]" },
            "secret": { "type": "securestring", "value": "hidden" },
        },
    });
    let deployed = memory.deploy(template).unwrap();
    assert_eq!(
        deployed["properties"]["outputs"],
        json!({
            "last": { "type": "String", "value": "n3" },
            "object": { "type": "Object", "value": { "disks": [{ "lun": 0 }, { "lun": 1 }] } },
            "many": { "type": "Array", "value": [5, 6] },
            "secret": { "type": "SecureString" },
        })
    );
}

#[test]
fn a_condition_that_is_false_leaves_a_resource_out() {
    let mut memory = Memory::new();
    let template = json!({ "resources": [
        with(plain("off"), json!({
            "condition": "[equals(1, 2)]",
            "dependsOn": ["nothing at all"],
            "properties": { "x": "[fail('never')]" },
            "resources": [{ "type": "d", "name": "child", "apiVersion": "1" }],
        })),
        with(plain("on"), json!({ "condition": true, "dependsOn": ["off"] })),
        // The same resource in two ways, of which one is taken.
        with(plain("user"), json!({ "dependsOn": ["either"] })),
        with(plain("either"), json!({ "condition": false, "kind": "one" })),
        with(plain("either"), json!({ "condition": true, "kind": "two" })),
    ] });
    let deployed = memory.deploy(template).unwrap();
    assert_eq!(memory.names(), ["on", "either", "user"]);
    assert_eq!(memory.get("A.B/c/either")["kind"], "two");
    let shown = |name: &str| deployed["properties"][name].as_array().unwrap().len();
    assert_eq!((shown("dependencies"), shown("outputResources")), (1, 3));
}

#[test]
fn children_have_the_names_of_their_parents() {
    let mut memory = Memory::new();
    let template = json!({ "resources": [with(plain("[concat('p', copyIndex())]"), json!({
        "copy": { "name": "loop", "count": 2 },
        "resources": [
            { "type": "d", "apiVersion": "1", "name": "[concat('x', copyIndex())]",
              "dependsOn": ["[resourceId('A.B/c', concat('p', copyIndex()))]"],
              "resources": [{ "type": "e", "apiVersion": "1", "name": "y" }] },
            { "type": "A.B/c/d", "apiVersion": "1", "name": "[concat('p', copyIndex(), '/full')]" },
            { "type": "providers/locks", "apiVersion": "1", "name": "Microsoft.Authorization/lock" },
        ],
    }))] });
    memory.deploy(template).unwrap();
    for path in [
        "A.B/c/p1/d/x1/e/y",
        "A.B/c/p1/d/full",
        "A.B/c/p0/providers/Microsoft.Authorization/locks/lock",
    ] {
        memory.get(path);
    }
}

#[test]
fn children_come_after_their_parents_without_a_word() {
    let child = json!({ "type": "A.B/c/d", "apiVersion": "1", "name": "a/x" });
    let mut memory = Memory::new();
    memory
        .deploy(json!({ "resources": [child, plain("a")] }))
        .unwrap();
    assert_eq!(memory.names(), ["a", "x"]);
    // A parent that waits for its child is there already: the template's own word counts.
    let parent = with(
        plain("a"),
        json!({ "dependsOn": ["[resourceId('A.B/c/d', 'a', 'x')]"] }),
    );
    memory
        .deploy(json!({ "resources": [parent, child] }))
        .unwrap();
    assert_eq!(memory.names()[2..], ["x", "a"]);
}

#[test]
fn extensions_are_filed_at_what_they_extend() {
    let mut memory = Memory::new();
    let grant = |scope: &str, name: &str| {
        json!({
            "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "1", "name": name,
            "scope": scope, "properties": {},
        })
    };
    let template = json!({ "resources": [
        grant("[format('A.B/c/{0}', 'a')]", "g1"),
        grant("[resourceId('A.B/c', 'a')]", "g2"),
        grant("[subscription().id]", "g3"),
        json!({ "type": "A.B/c/providers/roleAssignments", "apiVersion": "1", "name": "a/Microsoft.Authorization/g4" }),
        plain("a"),
    ] });
    memory.deploy(template).unwrap();
    assert_eq!(memory.names(), ["g3", "a", "g1", "g2", "g4"]);
    for name in ["g1", "g2", "g4"] {
        memory.get(&format!(
            "A.B/c/a/providers/Microsoft.Authorization/roleAssignments/{name}"
        ));
    }
    assert!(
        memory
            .kept
            .contains_key("/subscriptions/s1/providers/microsoft.authorization/roleassignments/g3")
    );
}

#[test]
fn symbolic_names_stand_for_resources() {
    let mut memory = Memory::new();
    memory
        .deploy(
            json!({ "resources": [with(plain("old"), json!({ "properties": { "x": "was" } }))] }),
        )
        .unwrap();
    let template = json!({
        "languageVersion": "2.0",
        "resources": {
            "late": with(plain("z"), json!({ "dependsOn": ["many", "known"], "properties": {
                "x": "[reference('known').x]",
                "full": "[reference('many[1]', '1', 'full').name]",
                "id": "[resourceInfo('first').id]",
                "all": "[map(references('many', 'full'), lambda('one', lambdaVariables('one').name))]",
            } })),
            "many": with(plain("[format('m{0}', copyIndex())]"), json!({
                "copy": { "name": "many", "count": 2 }, "dependsOn": ["first"],
            })),
            "first": plain("f"),
            "known": { "existing": true, "type": "A.B/c", "apiVersion": "1", "name": "old" },
            "one": with(plain("o"), json!({ "dependsOn": ["[format('many[{0}]', 1)]"] })),
        },
        "outputs": { "x": { "type": "string", "value": "[reference('late').full]" } },
    });
    let deployed = memory.deploy(template).unwrap();
    assert_eq!(memory.names()[1..], ["f", "m0", "m1", "z", "o"]);
    let shown = &memory.get("A.B/c/z")["properties"];
    assert_eq!((&shown["x"], &shown["full"]), (&json!("was"), &json!("m1")));
    assert_eq!(shown["all"], json!(["m0", "m1"]));
    assert_eq!(shown["id"], format!("{}/providers/A.B/c/f", memory::GROUP));
    assert_eq!(deployed["properties"]["outputs"]["x"]["value"], "m1");
}

#[test]
fn parameters_are_checked() {
    let template = json!({
        "definitions": { "Port": { "type": "int", "minValue": 1, "maxValue": 9 } },
        "parameters": {
            "Name": { "type": "String", "minLength": 2, "maxLength": 4 },
            "kind": { "type": "string", "allowedValues": ["a", "b"], "defaultValue": "a" },
            "copyOf": { "type": "string", "defaultValue": "[concat(parameters('name'), '-', parameters('kind'))]" },
            "port": { "$ref": "#/definitions/Port", "nullable": true },
            "list": { "type": "array", "allowedValues": ["x", "y"], "defaultValue": ["x"] },
            "shape": { "type": "object", "defaultValue": {}, "properties": { "p": { "$ref": "#/definitions/Port", "nullable": true } }, "additionalProperties": false },
            "flag": { "type": "bool", "defaultValue": false },
            "secret": { "type": "securestring", "defaultValue": "", "allowedValues": ["", "s3cret"] },
        },
        "resources": [],
        "outputs": { "copyOf": { "type": "string", "value": "[parameters('copyof')]" } },
    });
    let run = |given: Value| Memory::new().deploy_with(template.clone(), given);
    let value = |given: Value| json!({ "value": given });
    let done = run(json!({ "NAME": value(json!("abc")), "port": value(json!(3)) })).unwrap();
    assert_eq!(done["properties"]["outputs"]["copyOf"]["value"], "abc-a");
    assert_eq!(
        done["properties"]["parameters"]["kind"],
        json!({ "type": "String", "value": "a" })
    );
    for (more, words) in [
        (json!({ "name": null }), "'Name' is not provided"),
        (
            json!({ "name": 1 }),
            "Expected 'String, Uri'. Actual 'Integer'",
        ),
        (json!({ "name": "a" }), "greater than or equal to '2'"),
        (json!({ "name": "abcde" }), "less than or equal to '4'"),
        (
            json!({ "kind": "c" }),
            "'c' is not part of the allowed value(s): 'a,b'",
        ),
        (json!({ "port": 10 }), "less than or equal to '9'"),
        (
            json!({ "port": "x" }),
            "Expected 'Integer'. Actual 'String'",
        ),
        (
            json!({ "list": ["x", "z"] }),
            "not part of the allowed value(s)",
        ),
        (json!({ "shape": { "p": 0 } }), "'shape.p' is not valid"),
        (json!({ "shape": { "q": 0 } }), "'shape.q' is not valid"),
        (json!({ "flag": "true" }), "Expected 'Boolean'"),
        (json!({ "secret": "wrong" }), "'***' is not part"),
        (
            json!({ "other": 1 }),
            "parameters 'other' in the parameters file are not valid",
        ),
    ] {
        let mut given = json!({ "name": value(json!("abc")) });
        for (name, one) in more.as_object().unwrap() {
            given[name] = value(one.clone());
        }
        let error = run(given).unwrap_err();
        assert_eq!(
            (error.status, error.code.as_str()),
            (400, "InvalidTemplate"),
            "{more}"
        );
        assert!(error.message.contains(words), "{more}: {error}");
    }
    let bad = json!({ "parameters": { "x": { "type": "text" } }, "resources": [] });
    let error = Memory::new().deploy(bad).unwrap_err();
    assert!(
        error
            .message
            .contains("type 'text' of 'parameters.x' is not valid; accepted: string"),
        "{error}"
    );
    let circle = json!({ "parameters": { "x": { "type": "int", "defaultValue": "[parameters('x')]" } }, "resources": [] });
    let error = Memory::new().deploy(circle).unwrap_err();
    assert!(
        error
            .message
            .contains("parameter 'x' depends on its own value"),
        "{error}"
    );
}

#[test]
fn errors_name_the_path_and_the_expression() {
    let broken = |value: &str| {
        json!({ "resources": [
        plain("a"),
        with(plain("b"), json!({ "properties": { "list": [{ "x": 1 }, { "x": value }] } })),
    ] })
    };
    for (value, words) in [
        (
            "[unknown(1)]",
            "The template function 'unknown' is not valid",
        ),
        ("[concat('a']", "expected ',' or ')' and found the end"),
        ("[parameters('x')]", "parameter 'x' is not found"),
        ("[add('a', 1)]", "argument 1 to be an integer"),
        (
            "[reference('nothing').x]",
            "'nothing' is not defined in the template",
        ),
        ("[reference('a').none]", "property 'none' doesn't exist"),
        ("[copyIndex()]", "no copy loop is around it"),
    ] {
        let error = Memory::new().deploy(broken(value)).unwrap_err();
        assert_eq!(error.code, "InvalidTemplate");
        assert_eq!(
            error.target.as_deref(),
            Some("resources[1].properties.list[1].x")
        );
        let place = format!("'resources[1].properties.list[1].x', expression '{value}'");
        assert!(
            error.message.contains(&place) && error.message.contains(words),
            "{error}"
        );
    }
    for (template, words) in [
        (json!({}), "'resources' not found"),
        (json!({ "resources": [1] }), "a resource is an object"),
        (
            json!({ "resources": [{ "type": "A.B/c" }] }),
            "needs 'name'",
        ),
        (json!({ "resources": [{ "name": "x" }] }), "needs 'type'"),
        (
            json!({ "resources": [{ "type": "A.B/c/d", "name": "x" }] }),
            "incorrect segment lengths",
        ),
        (
            json!({ "resources": [{ "type": "c", "name": "x" }] }),
            "incorrect segment lengths",
        ),
        (
            json!({ "resources": [with(plain("a"), json!({ "condition": "yes" }))] }),
            "a condition is a boolean",
        ),
        (
            json!({ "resources": [with(plain("a"), json!({ "dependsOn": [1] }))] }),
            "a dependency is a string",
        ),
        (
            json!({ "resources": [], "outputs": { "o": { "type": "int", "value": "a" } } }),
            "type is 'Int' and its value is of type 'String'",
        ),
        (
            json!({ "resources": [], "variables": { "unused": "[nope()]" } }),
            "function 'nope' is not valid",
        ),
        (
            json!({ "resources": [with(plain("a"), json!({ "copy": { "name": "l", "count": -1 } }))] }),
            "from 0 to 10000",
        ),
        (
            json!({ "resources": [with(plain("a"), json!({ "copy": { "name": "l", "count": 1_000_000_000 } }))] }),
            "from 0 to 10000",
        ),
    ] {
        let error = Memory::new().deploy(template.clone()).unwrap_err();
        assert_eq!(error.code, "InvalidTemplate", "{template}");
        assert!(error.message.contains(words), "{template}: {error}");
    }
}
