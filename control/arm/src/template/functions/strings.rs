//! Functions of texts.

use super::super::budget::VALUE_BYTES;
use super::super::problem::Problem;
use super::super::value::text;
use super::{ANY, Call, Entry};
use serde_json::Value;
use uuid::Uuid;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "endsWith",
        least: 2,
        most: 2,
        run: ends_with,
    },
    Entry {
        name: "guid",
        least: 1,
        most: ANY,
        run: guid,
    },
    Entry {
        name: "join",
        least: 2,
        most: 2,
        run: join,
    },
    Entry {
        name: "newGuid",
        least: 0,
        most: 0,
        run: new_guid,
    },
    Entry {
        name: "padLeft",
        least: 2,
        most: 3,
        run: pad_left,
    },
    Entry {
        name: "replace",
        least: 3,
        most: 3,
        run: replace,
    },
    Entry {
        name: "split",
        least: 2,
        most: 2,
        run: split,
    },
    Entry {
        name: "startsWith",
        least: 2,
        most: 2,
        run: starts_with,
    },
    Entry {
        name: "string",
        least: 1,
        most: 1,
        run: string,
    },
    Entry {
        name: "substring",
        least: 2,
        most: 3,
        run: substring,
    },
    Entry {
        name: "toLower",
        least: 1,
        most: 1,
        run: to_lower,
    },
    Entry {
        name: "toUpper",
        least: 1,
        most: 1,
        run: to_upper,
    },
    Entry {
        name: "trim",
        least: 1,
        most: 1,
        run: trim,
    },
    Entry {
        name: "uniqueString",
        least: 1,
        most: ANY,
        run: unique_string,
    },
];

/// Returns the text with each character in the form that two cases of it share. It keeps the number of
/// characters, so that positions stay.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .map(|c| c.to_lowercase().next().unwrap_or(c))
        .collect()
}

fn starts_with(call: &Call<'_>) -> Answer {
    let (text, with) = (folded(call.text(0)?), folded(call.text(1)?));
    Ok(text.starts_with(&with).into())
}

fn ends_with(call: &Call<'_>) -> Answer {
    let (text, with) = (folded(call.text(0)?), folded(call.text(1)?));
    Ok(text.ends_with(&with).into())
}

/// Returns the arguments as texts with `-` between them.
fn joined(call: &Call<'_>) -> Result<String, Problem> {
    let mut joined = String::new();
    for (at, value) in call.values().enumerate() {
        let part = match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => text(value),
            _ => return Err(call.wrong(at, "a string")),
        };
        call.admit(joined.len().saturating_add(part.len()))?;
        if at > 0 {
            joined.push('-');
        }
        joined.push_str(&part);
    }
    Ok(joined)
}

/// The namespace of the GUIDs that Azure makes from names; with it `guid` returns what Azure returns.
const NAMESPACE: Uuid = Uuid::from_u128(0x11fb_06fb_712d_4ddd_98c7_e71b_bd58_8830);

fn guid(call: &Call<'_>) -> Answer {
    let name = joined(call)?;
    Ok(Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string().into())
}

fn new_guid(call: &Call<'_>) -> Answer {
    super::dates::only_default(call)?;
    Ok(call.evaluator.session.guid().to_string().into())
}

/// Thirteen letters and digits that depend on the arguments alone.
fn unique_string(call: &Call<'_>) -> Answer {
    Ok(super::unique::letters(&joined(call)?).into())
}

fn join(call: &Call<'_>) -> Answer {
    let (items, delimiter) = (call.array(0)?, call.text(1)?);
    call.walks(0, 1)?;
    let mut joined = String::new();
    for (at, item) in items.iter().enumerate() {
        let part = match item {
            Value::Array(_) | Value::Object(_) => {
                return Err(call.bad("the array has elements that are no texts"));
            }
            item => text(item),
        };
        if at > 0 {
            joined.push_str(delimiter);
        }
        joined.push_str(&part);
        call.admit(joined.len())?;
    }
    Ok(joined.into())
}

fn pad_left(call: &Call<'_>) -> Answer {
    let value = match call.value(0) {
        value @ (Value::String(_) | Value::Number(_)) => text(value),
        _ => return Err(call.wrong(0, "a string or an integer")),
    };
    let total = usize::try_from(call.integer(1)?)
        .map_err(|_| call.bad("the total length must not be negative"))?;
    call.admit(total)?;
    let mut with = match call.given(2) {
        None => " ".chars(),
        Some(_) => call.text(2)?.chars(),
    };
    let (Some(with), None) = (with.next(), with.next()) else {
        return Err(call.bad("the padding must be one character"));
    };
    let missing = total.saturating_sub(value.chars().count());
    call.admit(
        missing
            .saturating_mul(with.len_utf8())
            .saturating_add(value.len()),
    )?;
    let padding: String = std::iter::repeat_n(with, missing).collect();
    Ok(format!("{padding}{value}").into())
}

fn replace(call: &Call<'_>) -> Answer {
    let (text, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    if old.is_empty() {
        return Err(call.bad("the text to be replaced must not be empty"));
    }
    let growth = text.matches(old).count().saturating_mul(new.len());
    call.admit(growth.saturating_add(text.len()))?;
    Ok(text.replace(old, new).into())
}

fn split(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    let delimiters: Vec<&str> = match call.value(1) {
        Value::String(delimiter) => vec![delimiter],
        Value::Array(delimiters) => delimiters
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or_else(|| call.wrong(1, "a string or an array of strings"))?,
        _ => return Err(call.wrong(1, "a string or an array of strings")),
    };
    // Each of them is compared at each place.
    let each: usize = delimiters.iter().map(|one| 4 + one.len() / 8).sum();
    call.budget().read(text.len().saturating_mul(each))?;
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let found = delimiters
            .iter()
            .find(|delimiter| !delimiter.is_empty() && rest.starts_with(**delimiter));
        match found {
            Some(delimiter) => {
                parts.push(Value::from(text.get(begin..at).unwrap_or_default()));
                call.admit(parts.len().saturating_mul(VALUE_BYTES))?;
                at = at.saturating_add(delimiter.len());
                begin = at;
            }
            None => at = at.saturating_add(rest.chars().next().map_or(1, char::len_utf8)),
        }
    }
    parts.push(Value::from(text.get(begin..).unwrap_or_default()));
    Ok(Value::Array(parts))
}

fn string(call: &Call<'_>) -> Answer {
    Ok(call.shown(call.value(0))?.into())
}

fn substring(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    let length = text.chars().count();
    let start = usize::try_from(call.integer(1)?).ok();
    let start = start.filter(|start| *start <= length);
    let count = match (start, call.given(2)) {
        (Some(start), None | Some(Value::Null)) => Some(length.saturating_sub(start)),
        (_, None) => None,
        (_, Some(_)) => usize::try_from(call.integer(2)?).ok(),
    };
    match (start, count) {
        (Some(start), Some(count)) if count <= length.saturating_sub(start) => Ok(text
            .chars()
            .skip(start)
            .take(count)
            .collect::<String>()
            .into()),
        _ => Err(call.bad(format!(
            "the index and length parameters must refer to a location within the string of {length} characters"
        ))),
    }
}

fn to_lower(call: &Call<'_>) -> Answer {
    Ok(call.text(0)?.to_lowercase().into())
}

fn to_upper(call: &Call<'_>) -> Answer {
    Ok(call.text(0)?.to_uppercase().into())
}

fn trim(call: &Call<'_>) -> Answer {
    Ok(call.text(0)?.trim().into())
}
