//! Templates broken at random: an error, never a panic, and never half a sentence.

use super::*;
use crate::estate::{Estate, Settings, Stage};
use proptest::prelude::*;
use serde_json::json;

const TEMPLATES: [&str; 4] = [
    include_str!(
        "../../../../../tests/data/arm/201-vnet-2subnets-service-endpoints-storage-integration/azuredeploy.json"
    ),
    include_str!("../../../../../tests/data/arm/101-nat-gateway-1-vm/azuredeploy.json"),
    include_str!("../../../../../tests/data/arm/201-userdefined-routes-appliance/azuredeploy.json"),
    include_str!("../../../../../tests/data/arm/bicep-servicebus-namespace-vnet/main.json"),
];

/// Something to put in the place of a part of a template.
fn part() -> impl Strategy<Value = Value> {
    let call = (
        prop::sample::select(vec![
            "concat",
            "copyIndex",
            "parameters",
            "variables",
            "resourceId",
            "reference",
            "if",
            "format",
            "split",
            "range",
            "substring",
            "cidrSubnet",
            "json",
            "map",
            "lambda",
            "first",
            "resourceGroup",
            "createObject",
            "union",
            "listKeys",
            "deployment",
            "nothing",
        ]),
        prop::collection::vec(
            prop::sample::select(vec![
                "'vnetName'",
                "'A.B/c'",
                "'{0}'",
                "0",
                "-1",
                "99999",
                "''",
                "resourceGroup()",
                "createArray(1)",
                "lambda('x', 1)",
                "true()",
                "'10.0.0.0/8'",
                "null()",
            ]),
            0..4,
        ),
        prop::sample::select(vec![
            "",
            ".id",
            "[0]",
            ".x.y",
            "['location']",
            "[",
            ".",
            ")",
        ]),
    )
        .prop_map(|(name, arguments, end)| {
            Value::from(format!("[{name}({}){end}]", arguments.join(", ")))
        });
    prop_oneof![
        4 => call,
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => "[-a-c/\\[\\]'.(){} ]{0,12}".prop_map(Value::from),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => Just(json!([{ "name": "x", "count": 3, "input": "[copyIndex('x')]" }])),
        1 => Just(json!({ "name": "loop", "count": 3, "mode": "serial" })),
    ]
}

/// Counts the parts of a value.
fn parts(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(parts).sum(),
        Value::Object(fields) => fields.values().map(parts).sum(),
        _ => 0,
    }
}

/// Replaces the part with a number.
fn replace(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
        *at = usize::MAX;
        return;
    }
    *at = at.saturating_sub(1);
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for one in inner {
        if *at == usize::MAX {
            return;
        }
        replace(one, at, with);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_broken_template_is_an_error(
        which in 0..TEMPLATES.len(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), part()), 1..4),
    ) {
        let mut template = crate::template::text::parse(TEMPLATES[which], "template").unwrap();
        for (at, with) in &breaks {
            // Not the template itself: it must stay one.
            let mut at = 1 + at.index(parts(&template).saturating_sub(1).max(1));
            replace(&mut template, &mut at, with);
        }
        let Value::Object(template) = template else {
            return Ok(());
        };
        let mut request = DeploymentRequest::of(template);
        for name in ["adminUsername", "adminPassword", "uniqueDnsPrefixForVM", "serviceBusNamespaceName", "virtualNetworkName", "subnetName"] {
            if TEMPLATES[which].to_lowercase().contains(&format!("\"{}\": {{", name.to_lowercase())) {
                request.parameters.insert(name.to_owned(), format!("v-{}", name.len()).into());
            }
        }
        let mut stage = Stage::new(&Estate::default(), &Settings::default());
        let scope: Scope = memory::GROUP.parse().unwrap();
        Stage::put_group(&mut stage, &scope, json!({ "location": "westeurope" })).unwrap();
        let done = memory::with_context(|ctx| create(&mut stage, &deployment("d"), &request, ctx));
        if let Err(error) = done {
            prop_assert!((400..500).contains(&error.status), "{error}");
            prop_assert!(!error.code.is_empty() && error.message.len() > 20, "{error}");
        }
    }
}
