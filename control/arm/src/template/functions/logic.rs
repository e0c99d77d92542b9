//! Comparison and truth.

use super::super::problem::Problem;
use super::super::value::equal;
use super::{ANY, Call, Entry, whole};
use serde_json::Value;
use std::cmp::Ordering;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "bool",
        least: 1,
        most: 1,
        run: boolean,
    },
    Entry {
        name: "coalesce",
        least: 1,
        most: ANY,
        run: coalesce,
    },
    Entry {
        name: "equals",
        least: 2,
        most: 2,
        run: equals,
    },
    Entry {
        name: "fail",
        least: 1,
        most: 1,
        run: fail,
    },
    Entry {
        name: "false",
        least: 0,
        most: 0,
        run: |_| Ok(false.into()),
    },
    Entry {
        name: "greater",
        least: 2,
        most: 2,
        run: greater,
    },
    Entry {
        name: "greaterOrEquals",
        least: 2,
        most: 2,
        run: greater_or_equals,
    },
    Entry {
        name: "less",
        least: 2,
        most: 2,
        run: less,
    },
    Entry {
        name: "lessOrEquals",
        least: 2,
        most: 2,
        run: less_or_equals,
    },
    Entry {
        name: "not",
        least: 1,
        most: 1,
        run: |call| Ok((!call.boolean(0)?).into()),
    },
    Entry {
        name: "null",
        least: 0,
        most: 0,
        run: |_| Ok(Value::Null),
    },
    Entry {
        name: "true",
        least: 0,
        most: 0,
        run: |_| Ok(true.into()),
    },
];

fn boolean(call: &Call<'_>) -> Answer {
    let truth = match call.value(0) {
        Value::Bool(truth) => Some(*truth),
        Value::Number(_) => whole(call.value(0)).map(|number| number != 0),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => return Err(call.wrong(0, "a string or an integer")),
    };
    truth
        .map(Value::from)
        .ok_or_else(|| call.bad("the text is neither 'true' nor 'false'"))
}

fn coalesce(call: &Call<'_>) -> Answer {
    let first = call.values().find(|value| !value.is_null());
    Ok(first.cloned().unwrap_or_default())
}

fn equals(call: &Call<'_>) -> Answer {
    call.walks(0, 4)?;
    Ok(equal(call.value(0), call.value(1)).into())
}

fn fail(call: &Call<'_>) -> Answer {
    Err(call.bad(call.text(0)?))
}

fn order(call: &Call<'_>) -> Result<Ordering, Problem> {
    match (call.value(0), call.value(1)) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::String(_), _) => Err(call.wrong(1, "a string")),
        _ => Ok(call.integer(0)?.cmp(&call.integer(1)?)),
    }
}

fn greater(call: &Call<'_>) -> Answer {
    Ok(order(call)?.is_gt().into())
}

fn greater_or_equals(call: &Call<'_>) -> Answer {
    Ok(order(call)?.is_ge().into())
}

fn less(call: &Call<'_>) -> Answer {
    Ok(order(call)?.is_lt().into())
}

fn less_or_equals(call: &Call<'_>) -> Answer {
    Ok(order(call)?.is_le().into())
}
