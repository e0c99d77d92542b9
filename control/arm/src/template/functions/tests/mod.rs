//! Every function, in tables: what Azure's documentation shows of it, and its edges.

mod limits;
mod texts;
mod values;

use super::super::budget::Budget;
use super::super::evaluate::{Env, Evaluator, Phase};
use super::super::frame::{Frame, Place};
use super::super::limits::Limits;
use super::super::session::Session;
use super::super::value::Held;
use super::super::world::Nowhere;
use super::Problem;
use crate::cancel::Cancel;
use crate::clock::processor_time;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Works out an expression in a template with some names.
fn evaluate_in(text: &str, phase: Phase, template: &Value) -> Result<Value, Problem> {
    let session = Session::new(
        json!({ "suffixes": { "storage": "core.windows.net" } }),
        json!({ "tenantId": "t1" }),
        json!({ "objectId": "o1" }),
        Duration::from_secs(1_586_271_194),
        1,
        Budget::new(Limits::host(), processor_time, Cancel::default()),
    );
    let place = Place {
        scope: "/subscriptions/s1/resourceGroups/rg".parse().unwrap(),
        subscription: json!({ "subscriptionId": "s1", "displayName": "one" }),
        group: json!({ "id": "/subscriptions/s1/resourceGroups/rg", "location": "westeurope" }),
        deployment: json!({ "name": "d" }),
    };
    let given = BTreeMap::from([
        ("Text".to_owned(), json!("tExt")),
        ("array".to_owned(), json!(["one", "two", "three"])),
        (
            "object".to_owned(),
            json!({ "one": "a", "Two": { "deep": [1, 2] }, "no": null }),
        ),
        ("big".to_owned(), json!("x".repeat(1_000_000))),
    ]);
    let template = template.as_object().unwrap();
    let frame = Frame::new(Arc::new(place), template, given, BTreeMap::new(), []).unwrap();
    let evaluator = Evaluator {
        session: &session,
        frame: &frame,
        world: &Nowhere,
    };
    let read = session.parse(text)?;
    evaluator
        .expression(&read, Env::new(phase))
        .map(Held::into_value)
}

fn evaluate(text: &str) -> Result<Value, Problem> {
    evaluate_in(text, Phase::Body, &json!({}))
}

/// Checks that each expression has the value of the other.
fn assert_values(table: &[(&str, Value)]) {
    for (text, expected) in table {
        match evaluate(text) {
            Ok(value) => assert_eq!(value, *expected, "{text}"),
            Err(problem) => panic!("{text}: {problem}"),
        }
    }
}

/// Checks that each expression is refused with these words.
fn assert_refused(table: &[(&str, &str)]) {
    for (text, words) in table {
        match evaluate(text) {
            Ok(value) => panic!("{text}: {value}"),
            Err(problem) => {
                let said = problem.to_string();
                assert!(said.contains(words), "{text}: {said}");
            }
        }
    }
}
