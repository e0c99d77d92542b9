//! What a template can take: processor time and memory, over a table of those that mean no good.

use super::*;
use crate::cancel::Cancel;
use crate::clock::processor_time;
use crate::estate::{Estate, Settings, Stage};
use crate::template::limits::Limits;
use serde_json::{Map, json};
use std::time::Duration;

/// Templates of the table get this part of the work that one may take, and must need no more than this
/// part of the time: what they cost grows with the work, and there are many.
const PART: u32 = 10;

/// What one template may take. Without optimisation everything takes many times longer, and what is counted
/// in the same way on every machine decides.
const TIME: Duration = match cfg!(debug_assertions) {
    true => Duration::from_secs(50),
    false => Duration::from_millis(1_800),
};
const MEMORY: u64 = 64 << 20;

/// What is read and made before the count begins to bound it: texts of four megabytes.
const BESIDE: Duration = match cfg!(debug_assertions) {
    true => Duration::from_secs(3),
    false => Duration::from_millis(100),
};

type Act = fn(
    &mut Stage,
    &ResourceId,
    &DeploymentRequest,
    &DeployContext<'_>,
) -> Result<DeploymentResult, ArmError>;

fn within<R>(limits: Limits, then: impl FnOnce(&DeployContext<'_>) -> R) -> R {
    memory::with_context(|ctx| {
        then(&DeployContext {
            limits,
            cancel: Cancel::default(),
            tenant: ctx.tenant.clone(),
            subscriptions: ctx.subscriptions.clone(),
            environment: ctx.environment.clone(),
            deployer: ctx.deployer.clone(),
            correlation: ctx.correlation.clone(),
            ..*ctx
        })
    })
}

fn assert_bounded(name: &str, act: Act, template: &Value, parameters: &Value) {
    let text =
        json!({ "properties": { "template": template, "parameters": parameters } }).to_string();
    let mut stage = Stage::new(&Estate::default(), &Settings::default());
    let scope: Scope = memory::GROUP.parse().unwrap();
    Stage::put_group(&mut stage, &scope, json!({ "location": "westeurope" })).unwrap();
    let mut done = None;
    let mut took = Duration::ZERO;
    let taken = allocation_counter::measure(|| {
        let text = text.clone();
        let began = processor_time();
        let mut limits = Limits::azure();
        limits.work /= u64::from(PART);
        done = Some(within(limits, |ctx| {
            let request = DeploymentRequest::parse(&text)?;
            act(&mut stage, &deployment("d"), &request, ctx)
                .map(|done| done.value.to_string().len())
        }));
        took = processor_time().saturating_sub(began);
    });
    let said = match done.unwrap() {
        Ok(length) => format!("{length} bytes"),
        Err(error) => error.to_string().chars().take(150).collect(),
    };
    println!(
        "{name:45} {:>7.1} ms {:>5.1} MiB {said}",
        took.as_secs_f64() * 1e3,
        taken.bytes_max as f64 / f64::from(1 << 20),
    );
    assert!(took < TIME / PART + BESIDE, "{name} took {took:?}");
    assert!(
        taken.bytes_max < MEMORY,
        "{name} took {} MiB",
        taken.bytes_max >> 20
    );
}

/// Variables of which `v0` has four thousand characters and each next one twice as many.
fn doubling(last: usize) -> Map<String, Value> {
    let mut variables = Map::new();
    variables.insert("v0".to_owned(), json!("[string(range(0, 1000))]"));
    for at in 1..=last {
        let text = format!("[concat(variables('v{0}'), variables('v{0}'))]", at - 1);
        variables.insert(format!("v{at}"), text.into());
    }
    variables
}

#[test]
fn functions_over_long_texts_and_big_values() {
    let fields = |name: &str| -> Map<String, Value> {
        let field = |at: usize| (format!("{name}{at}"), at.into());
        (0..5_000).map(field).collect()
    };
    let others = [
        ("object", Value::Object(fields("Name"))),
        ("other", Value::Object(fields("nAME"))),
        ("numbers", json!("[range(0, 10000)]")),
        ("texts", json!("[split(string(range(0, 10000)), ',')]")),
        (
            "list",
            json!(
                "[map(range(0, 3000), lambda('n', createObject('A', lambdaVariables('n'), 'b', 'x')))]"
            ),
        ),
    ];
    let big = "variables('v8')";
    for expression in [
        format!("indexOf({big}, 'zzzzzzzzzzzzzzzzzzzzzz')"),
        format!("lastIndexOf({big}, 'zzzzzzzzzzzzzzzzzzzzzz')"),
        format!("contains({big}, 'zzzzzzzzzzzzzzzzzzzzzz')"),
        format!("startsWith({big}, 'z')"),
        format!("endsWith({big}, {big})"),
        format!("replace({big}, ',', ';')"),
        format!("replace({big}, '0', '')"),
        format!("length(split({big}, ','))"),
        format!("length(split({big}, createArray(',', '9', '8', '7')))"),
        format!("toLower({big})"),
        format!("toUpper({big})"),
        format!("trim({big})"),
        format!("length({big})"),
        format!("substring({big}, 900000, 2)"),
        format!("skip({big}, 1000000)"),
        format!("take({big}, 1000000)"),
        format!("last({big})"),
        format!("guid({big})"),
        format!("uniqueString({big})"),
        format!("base64({big})"),
        format!("base64ToString(base64({big}))"),
        format!("uriComponent({big})"),
        format!("uriComponentToString({big})"),
        format!("dataUri({big})"),
        format!("length(json({big}))"),
        format!("int({big})"),
        format!("float(concat('1', {big}))"),
        format!("bool({big})"),
        format!("format('{{0}}{{0}}', {big})"),
        format!("padLeft({big}, 2000000)"),
        format!("equals({big}, concat({big}, ''))"),
        format!("less({big}, {big})"),
        format!("concat({big}, 'x')"),
        format!("createArray({big})"),
        format!("createObject('x', {big})"),
        format!("array({big})"),
        format!("coalesce({big})"),
        format!("if(true(), {big}, '')"),
        format!("fail({big})"),
        format!("tryGet({big}, {big})"),
        format!("dateTimeToEpoch({big})"),
        format!("dateTimeFromEpoch(1, {big})"),
        format!("parseCidr({big})"),
        format!("resourceId('a/b', {big})"),
        format!("variables({big})"),
        "contains(variables('numbers'), 'x')".to_owned(),
        "contains(variables('list'), createObject('a', 5, 'B', 'y'))".to_owned(),
        "indexOf(variables('numbers'), 'x')".to_owned(),
        "lastIndexOf(variables('list'), createObject('a', 5, 'B', 'y'))".to_owned(),
        "string(variables('list'))".to_owned(),
        "join(variables('texts'), '-')".to_owned(),
        "length(union(variables('texts'), variables('texts')))".to_owned(),
        "length(intersection(variables('texts'), variables('texts')))".to_owned(),
        "union(variables('object'), variables('other'))".to_owned(),
        "intersection(variables('object'), variables('other'))".to_owned(),
        "equals(variables('object'), variables('other'))".to_owned(),
        "shallowMerge(createArray(variables('object'), variables('other')))".to_owned(),
        "contains(variables('object'), 'naME4999')".to_owned(),
        "tryGet(variables('object'), 'naME4999')".to_owned(),
        "variables('object').naME4999".to_owned(),
        "items(variables('object'))".to_owned(),
        "objectKeys(variables('object'))".to_owned(),
        "flatten(createArray(variables('texts'), variables('texts')))".to_owned(),
        "max(variables('numbers'))".to_owned(),
        "min(variables('numbers'))".to_owned(),
        "first(variables('list'))".to_owned(),
        "indexFromEnd(variables('list'), 1)".to_owned(),
        "range(0, 10000)".to_owned(),
        "toObject(variables('numbers'), lambda('x', string(lambdaVariables('x'))))".to_owned(),
        "groupBy(variables('numbers'), lambda('x', 'y'))".to_owned(),
        "filter(variables('numbers'), lambda('x', true()))".to_owned(),
        "sort(variables('numbers'), lambda('x', 'y', false()))".to_owned(),
        "reduce(variables('numbers'), createArray(), lambda('x', 'y', concat(lambdaVariables('x'), createArray(lambdaVariables('y')))))".to_owned(),
        "mapValues(variables('object'), lambda('x', variables('numbers')))".to_owned(),
        "deployment().properties.template.metadata".to_owned(),
        "own.twice(variables('v8'))".to_owned(),
    ] {
        // What it does not use is left out: it would be worked out all the same.
        let mut variables = match expression.contains(big) {
            true => doubling(8),
            false => Map::new(),
        };
        let used = others
            .iter()
            .filter(|(name, _)| expression.contains(&format!("'{name}'")));
        variables.extend(used.map(|(name, value)| ((*name).to_owned(), value.clone())));
        let many = format!("[length(map(range(0, 10000), lambda('bomb', {expression})))]");
        let template = json!({
            "variables": variables,
            "metadata": { "text": "x".repeat(100_000) },
            "functions": [{ "namespace": "own", "members": { "twice": {
                "parameters": [{ "name": "x", "type": "string" }],
                "output": { "type": "string", "value": "[concat(parameters('x'), parameters('x'))]" } } } }],
            "resources": [],
            "outputs": { "x": { "type": "int", "value": many } },
        });
        let name: String = expression.chars().take(40).collect();
        assert_bounded(&name, validate, &template, &json!({}));
    }
}

#[test]
fn shapes_of_templates() {
    let named = |name: &str, more: Value| {
        let mut resource = json!({ "type": "A.B/c", "apiVersion": "2024-01-01", "name": name, "location": "koreacentral" });
        let fields = resource.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        resource
    };
    let copies = |count: usize| json!({ "name": "l", "count": count });
    let long = "x".repeat(3_000_000);
    let many: Vec<String> = (0..40_000).map(|at| format!("t{at}")).collect();
    let nested = |inner: Value, count: usize| {
        json!({ "type": "Microsoft.Resources/deployments", "apiVersion": "2024-01-01", "name": "[concat('n', copyIndex())]",
            "copy": { "name": "n", "count": count }, "properties": { "mode": "Incremental", "template": inner } })
    };
    let deep = (0..3).fold(
        json!("y"),
        |inner, _| json!({ "copy": [{ "name": "x", "count": 10_000, "input": inner }] }),
    );
    let wide: Vec<String> = (0..90)
        .map(|at| format!("length(variables('w{at}'))"))
        .collect();
    let mut piled = doubling(9);
    for at in 0..90 {
        piled.insert(
            format!("w{at}"),
            format!("[concat(variables('v9'), '{at}')]").into(),
        );
    }
    let sum = wide
        .iter()
        .skip(1)
        .fold(wide[0].clone(), |sum, one| format!("add({sum}, {one})"));
    let chain: Vec<Value> = (0..800)
        .rev()
        .map(|at| {
            let x = if at == 0 {
                "end".to_owned()
            } else {
                format!("[reference('n{}').x]", at - 1)
            };
            named(&format!("n{at}"), json!({ "properties": { "x": x } }))
        })
        .collect();
    for (name, template, parameters) in [
        (
            "bodies of a long text",
            json!({ "resources": [named("[concat('n', copyIndex())]", json!({ "copy": copies(800), "properties": { "x": long } }))] }),
            json!({}),
        ),
        (
            "loops in loops",
            json!({ "resources": [named("n", json!({ "properties": deep }))] }),
            json!({}),
        ),
        (
            "dependencies on everything",
            json!({ "resources": [named("[concat('n', copyIndex())]", json!({ "copy": copies(800) })),
            named("[concat('m', copyIndex())]", json!({ "type": "A.B/d", "copy": { "name": "m", "count": 800 }, "dependsOn": vec!["l"; 5_000] }))] }),
            json!({}),
        ),
        (
            "one name for many",
            json!({ "resources": [named("same", json!({ "type": "[concat('A.B/t', copyIndex())]", "copy": copies(400) })),
            named("[concat('m', copyIndex())]", json!({ "copy": { "name": "m", "count": 400 }, "dependsOn": vec!["same"; 1_000] }))] }),
            json!({}),
        ),
        (
            "a row of references",
            json!({ "resources": chain }),
            json!({}),
        ),
        (
            "nested deployments of a long template",
            json!({ "resources": [nested(json!({ "metadata": { "x": long }, "resources": [] }), 800)] }),
            json!({}),
        ),
        (
            "nested deployments in nested ones",
            json!({ "resources": [nested(json!({ "resources": [nested(json!({ "resources": [named("[concat('n', copyIndex())]", json!({ "copy": copies(800) }))] }), 800)] }), 800)] }),
            json!({}),
        ),
        (
            "variables piled up",
            json!({ "variables": piled, "resources": [], "outputs": { "x": { "type": "int", "value": format!("[{sum}]") } } }),
            json!({}),
        ),
        (
            "outputs of a long text",
            json!({ "variables": doubling(9), "resources": [], "outputs": Value::Object((0..64).map(|at| (format!("o{at}"), json!({ "type": "string", "value": "[variables('v9')]" }))).collect()) }),
            json!({}),
        ),
        (
            "a loop of outputs",
            json!({ "resources": [], "outputs": { "o": { "type": "array", "copy": { "count": 10_000, "input": long } } } }),
            json!({}),
        ),
        (
            "many parameters",
            json!({ "parameters": Value::Object((0..20_000).map(|at| (format!("P{at}"), json!({ "type": "int" }))).collect()), "resources": [] }),
            json!({}),
        ),
        (
            "many names that are not known",
            json!({ "parameters": Value::Object((0..256).map(|at| (format!("P{at}"), json!({ "type": "int", "defaultValue": 1 }))).collect()), "resources": [] }),
            Value::Object(
                (0..20_000)
                    .map(|at| (format!("q{at}"), json!({ "value": 1 })))
                    .collect(),
            ),
        ),
        (
            "each element against all allowed",
            json!({ "parameters": { "p": { "type": "array", "allowedValues": many } }, "resources": [] }),
            json!({ "p": { "value": vec!["t39999"; 40_000] } }),
        ),
        (
            "each property of each element",
            json!({ "parameters": { "p": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "int", "metadata": { "x": long } } } } } }, "resources": [] }),
            json!({ "p": { "value": vec![json!({ "A": 1 }); 15_000] } }),
        ),
        (
            "definitions of definitions",
            json!({ "definitions": { "d": { "$ref": "#/definitions/e", "metadata": { "x": long } }, "e": { "type": "object", "metadata": { "y": "y" } } },
            "parameters": { "p": { "type": "array", "items": { "type": "object", "properties": { "a": { "$ref": "#/definitions/d" } } } } }, "resources": [] }),
            json!({ "p": { "value": vec![json!({ "a": {} }); 15_000] } }),
        ),
        (
            "secrets in everything",
            json!({ "parameters": { "p": { "type": "secureObject" } }, "resources": [named("n", json!({ "properties": { "x": "x".repeat(1_500_000) } }))] }),
            json!({ "p": { "value": { "a": many } } }),
        ),
        (
            "expressions of all lengths",
            json!({ "variables": Value::Object((0..160).map(|at| (format!("v{at}"), json!(format!("[concat('{}', {})]", at, vec!["'a'"; 5_900].join(","))))).collect()), "resources": [] }),
            json!({}),
        ),
        (
            "an error that says a lot",
            json!({ "variables": { "a": format!("[int('{}')]", "x".repeat(20_000)), "b": "[variables('a')]", "c": "[variables('b')]" }, "resources": [] }),
            json!({}),
        ),
        (
            "conditions of everything",
            json!({ "variables": doubling(8), "resources": [named("[concat('n', copyIndex())]", json!({ "copy": copies(800), "condition": "[contains(variables('v8'), 'zz')]" }))] }),
            json!({}),
        ),
        (
            "names of properties",
            json!({ "variables": doubling(6), "resources": [named("n", json!({ "properties": Value::Object((0..9_000).map(|at| (format!("[concat(variables('v6'), '{at}')]"), json!(1))).collect()) }))] }),
            json!({}),
        ),
        (
            "children of children",
            json!({ "resources": [named("[concat('n', copyIndex())]", json!({ "copy": copies(800), "resources": [named("c", json!({ "type": "d", "x": "x".repeat(1_000_000) }))] }))] }),
            json!({}),
        ),
    ] {
        for (word, act) in [
            ("validate", validate as Act),
            ("whatIf", what_if),
            ("create", create),
        ] {
            assert_bounded(&format!("{name} ({word})"), act, &template, &parameters);
        }
    }
}

#[test]
#[ignore = "it measures the templates in the folder that TEMPLATES names; run it alone"]
fn what_templates_of_a_folder_take() {
    let folder = std::env::var("TEMPLATES").unwrap();
    let cases = std::fs::read_to_string(format!("{folder}/cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&cases).unwrap();
    for case in cases["cases"].as_array().unwrap() {
        let file = case["module"].as_str().unwrap();
        let template = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let request = DeploymentRequest::from_template(&template).and_then(|mut request| {
            request.add_file(&case["parameters"].to_string())?;
            Ok(request)
        });
        let mut memory = Memory::new();
        let began = processor_time();
        let taken = allocation_counter::measure(|| {
            let request = request.as_ref().unwrap().clone();
            // A twentieth of the work and half of the memory that a principal's may take.
            let mut limits = Limits::azure();
            limits.work /= 20;
            limits.memory /= 2;
            let done = within(limits, |ctx| {
                create(&mut memory, &deployment("d"), &request, ctx)
            });
            let said = done.map_or_else(|error| error.to_string(), |_| "deployed".to_owned());
            println!("{file}: {}", said.chars().take(200).collect::<String>());
        });
        println!(
            "    {:?} and {} KiB",
            processor_time().saturating_sub(began),
            taken.bytes_max >> 10
        );
    }
}
