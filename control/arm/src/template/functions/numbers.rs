//! Functions of whole numbers.

use super::super::budget::MAX_COUNT;
use super::super::problem::Problem;
use super::{ANY, Call, Entry, whole};
use serde_json::Value;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "add",
        least: 2,
        most: 2,
        run: add,
    },
    Entry {
        name: "div",
        least: 2,
        most: 2,
        run: div,
    },
    Entry {
        name: "float",
        least: 1,
        most: 1,
        run: float,
    },
    Entry {
        name: "int",
        least: 1,
        most: 1,
        run: int,
    },
    Entry {
        name: "max",
        least: 1,
        most: ANY,
        run: max,
    },
    Entry {
        name: "min",
        least: 1,
        most: ANY,
        run: min,
    },
    Entry {
        name: "mod",
        least: 2,
        most: 2,
        run: modulo,
    },
    Entry {
        name: "mul",
        least: 2,
        most: 2,
        run: mul,
    },
    Entry {
        name: "range",
        least: 2,
        most: 2,
        run: range,
    },
    Entry {
        name: "sub",
        least: 2,
        most: 2,
        run: sub,
    },
];

fn calculate(call: &Call<'_>, with: fn(i64, i64) -> Option<i64>) -> Answer {
    let (left, right) = (call.integer(0)?, call.integer(1)?);
    with(left, right).map(Value::from).ok_or_else(|| {
        call.bad(format!(
            "the result for {left} and {right} is no 64-bit integer"
        ))
    })
}

fn add(call: &Call<'_>) -> Answer {
    calculate(call, i64::checked_add)
}

fn sub(call: &Call<'_>) -> Answer {
    calculate(call, i64::checked_sub)
}

fn mul(call: &Call<'_>) -> Answer {
    calculate(call, i64::checked_mul)
}

fn div(call: &Call<'_>) -> Answer {
    calculate(call, i64::checked_div)
}

fn modulo(call: &Call<'_>) -> Answer {
    calculate(call, i64::checked_rem)
}

fn int(call: &Call<'_>) -> Answer {
    let number = match call.value(0) {
        Value::String(text) => text.trim().parse().ok(),
        value @ Value::Number(_) => whole(value),
        _ => return Err(call.wrong(0, "a string or an integer")),
    };
    number.map(Value::from).ok_or_else(|| {
        call.bad(format!(
            "'{}' is no integer",
            super::super::value::text(call.value(0))
        ))
    })
}

fn float(call: &Call<'_>) -> Answer {
    let number = match call.value(0) {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Number(number) => number.as_f64(),
        _ => return Err(call.wrong(0, "a string or a number")),
    };
    number
        .and_then(serde_json::Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| call.bad("the text is no number"))
}

/// Returns the numbers of `min` and `max`: the arguments, or the elements of the only one.
fn numbers(call: &Call<'_>) -> Result<Vec<i64>, Problem> {
    call.walks(0, 1)?;
    let (values, accepted): (Vec<&Value>, _) = match (call.len(), call.value(0)) {
        (1, Value::Array(items)) => (items.iter().collect(), "an array of integers"),
        _ => (call.values().collect(), "an integer"),
    };
    let numbers: Option<Vec<i64>> = values.into_iter().map(whole).collect();
    match numbers {
        Some(numbers) if numbers.is_empty() => Err(call.bad("the array is empty")),
        Some(numbers) => Ok(numbers),
        None => {
            let at = call.values().position(|value| whole(value).is_none());
            Err(call.wrong(at.unwrap_or_default(), accepted))
        }
    }
}

fn max(call: &Call<'_>) -> Answer {
    Ok(numbers(call)?.into_iter().max().into())
}

fn min(call: &Call<'_>) -> Answer {
    Ok(numbers(call)?.into_iter().min().into())
}

fn range(call: &Call<'_>) -> Answer {
    let (start, count) = (call.integer(0)?, call.integer(1)?);
    let fits = usize::try_from(count).is_ok_and(|count| count <= MAX_COUNT);
    match start.checked_add(count) {
        Some(end) if fits && end <= i64::from(i32::MAX) => {
            Ok(Value::Array((start..end).map(Value::from).collect()))
        }
        _ => Err(call.bad(format!(
            "the count must be from 0 to {MAX_COUNT}, and its sum with the start at most {}",
            i32::MAX
        ))),
    }
}
