//! Big templates, and those that are made to be too big.

use super::*;
use crate::clock::processor_time;
use serde_json::json;
use std::time::Duration;

/// A template of many resources: half of them by a loop, each with what real ones have.
fn many(count: usize) -> Value {
    let shape = json!({
        "type": "A.B/c", "apiVersion": "2020-01-01", "name": "[concat(variables('prefix'), copyIndex())]",
        "location": "[parameters('location')]",
        "tags": { "owner": "[parameters('owner')]", "[concat('k', copyIndex())]": "v" },
        "copy": { "name": "first", "count": count / 2 },
        "properties": {
            "subnet": { "id": "[variables('subnets')[mod(copyIndex(), 100)]]" },
            "copy": [{ "name": "rules", "count": 3, "input": { "name": "[format('rule-{0}', copyIndex('rules'))]",
                "properties": { "priority": "[add(100, copyIndex('rules'))]", "access": "Allow", "direction": "Inbound" } } }],
        },
    });
    let mut second = shape.clone();
    second["name"] = json!("[concat('second', copyIndex())]");
    second["copy"]["name"] = json!("second");
    second["dependsOn"] = json!([
        "first",
        "[resourceId('A.B/c', concat(variables('prefix'), copyIndex()))]"
    ]);
    second["properties"]["other"] =
        json!("[reference(concat(variables('prefix'), copyIndex())).subnet.id]");
    json!({
        "parameters": {
            "location": { "type": "string", "defaultValue": "[resourceGroup().location]" },
            "owner": { "type": "string", "defaultValue": "me" },
        },
        "variables": {
            "prefix": "n",
            "copy": [{ "name": "subnets", "count": 100, "input": "[resourceId('A.B/c/d', 'v', concat('s', copyIndex('subnets')))]" }],
        },
        "resources": [shape, second],
    })
}

#[test]
fn two_thousand_resources_take_well_under_a_second() {
    let text = json!({ "properties": { "template": many(2000) } }).to_string();
    let begin = processor_time();
    let request = DeploymentRequest::parse(&text).unwrap();
    let mut memory = Memory::new();
    memory::with_context(|ctx| create(&mut memory, &deployment("d"), &request, ctx)).unwrap();
    let took = processor_time() - begin;
    assert_eq!(memory.names().len(), 2000);
    // Many times what it takes, even without optimisation.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_file_of_two_thousand_resources_is_read() {
    let resource = |at: usize| {
        json!({
            "type": "A.B/c", "apiVersion": "1", "name": format!("n{at}"), "location": "x",
            "dependsOn": if at == 0 { vec![] } else { vec![format!("n{}", at - 1)] },
            "properties": { "text": "x".repeat(300) },
        })
    };
    let template = json!({ "resources": (0..2000).rev().map(resource).collect::<Vec<_>>() });
    let request = DeploymentRequest::from_template(&template.to_string()).unwrap();
    let mut memory = Memory::new();
    let begin = processor_time();
    memory::with_context(|ctx| create(&mut memory, &deployment("d"), &request, ctx)).unwrap();
    let took = processor_time() - begin;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(memory.names()[1999], "n1999");
}

#[test]
fn a_row_of_references_is_followed_to_its_end() {
    let resource = |at: usize| {
        json!({
            "type": "A.B/c", "apiVersion": "1", "name": format!("n{at}"), "location": "x",
            "properties": { "x": if at == 0 { "end".to_owned() } else { format!("[reference('n{}').x]", at - 1) } },
        })
    };
    let template = json!({ "resources": (0..1000).rev().map(resource).collect::<Vec<_>>() });
    let mut memory = Memory::new();
    memory.deploy(template).unwrap();
    assert_eq!(memory.get("A.B/c/n999")["properties"]["x"], "end");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let looped = |name: &str, count: usize, properties: Value| {
        json!({
            "type": "A.B/c", "apiVersion": "1", "name": format!("[concat('{name}', copyIndex())]"), "location": "x",
            "copy": { "name": name, "count": count }, "properties": properties,
        })
    };
    let nest = |inner: Value| json!({ "copy": [{ "name": "x", "count": 10_000, "input": inner }] });
    let deep = (0..3).fold(json!("y"), |inner, _| nest(inner));
    let nested = (0..60).fold(json!({ "resources": [] }), |inner, at| {
        json!({ "resources": [{
        "type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": format!("d{at}"),
        "properties": { "mode": "Incremental", "template": inner },
    }] })
    });
    for (template, words) in [
        (
            json!({ "resources": [looped("a", 10_000, json!({})), looped("b", 10_000, json!({}))] }),
            "The number of template resources limit exceeded. Limit: '10000' and actual: '10001'",
        ),
        (
            json!({ "resources": [looped("a", 10_000, json!({ "text": "x".repeat(100_000) }))] }),
            "more than 96 MiB",
        ),
        (
            json!({ "resources": [looped("a", 1, deep)] }),
            "takes too much",
        ),
        (nested, "deeper than 100 levels"),
    ] {
        let body = json!({ "properties": { "template": template } }).to_string();
        let begin = processor_time();
        let refused = DeploymentRequest::parse(&body).and_then(|request| {
            let mut memory = Memory::new();
            memory::with_context(|ctx| create(&mut memory, &deployment("d"), &request, ctx))
        });
        let error = refused.unwrap_err();
        assert!(error.message.contains(words), "{error}");
        let took = processor_time() - begin;
        assert!(took < Duration::from_secs(20), "{words}: {took:?}");
    }
}
