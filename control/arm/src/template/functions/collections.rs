//! Functions of arrays, and those that take a text or an object as well.

use super::super::budget::Budget;
use super::super::problem::Problem;
use super::super::value::{Names, equal, text};
use super::strings::folded;
use super::{ANY, Call, Entry};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "array",
        least: 1,
        most: 1,
        run: array,
    },
    Entry {
        name: "concat",
        least: 1,
        most: ANY,
        run: concat,
    },
    Entry {
        name: "contains",
        least: 2,
        most: 2,
        run: contains,
    },
    Entry {
        name: "createArray",
        least: 0,
        most: ANY,
        run: create_array,
    },
    Entry {
        name: "empty",
        least: 1,
        most: 1,
        run: empty,
    },
    Entry {
        name: "first",
        least: 1,
        most: 1,
        run: first,
    },
    Entry {
        name: "flatten",
        least: 1,
        most: 1,
        run: flatten,
    },
    Entry {
        name: "indexFromEnd",
        least: 2,
        most: 2,
        run: index_from_end,
    },
    Entry {
        name: "indexOf",
        least: 2,
        most: 2,
        run: index_of,
    },
    Entry {
        name: "intersection",
        least: 2,
        most: ANY,
        run: intersection,
    },
    Entry {
        name: "last",
        least: 1,
        most: 1,
        run: last,
    },
    Entry {
        name: "lastIndexOf",
        least: 2,
        most: 2,
        run: last_index_of,
    },
    Entry {
        name: "length",
        least: 1,
        most: 1,
        run: length,
    },
    Entry {
        name: "skip",
        least: 2,
        most: 2,
        run: skip,
    },
    Entry {
        name: "take",
        least: 2,
        most: 2,
        run: take,
    },
    Entry {
        name: "union",
        least: 1,
        most: ANY,
        run: union,
    },
];

/// How many times walking over an argument costs what it costs to compare all that is in it.
const EQUAL: u64 = 4;

fn array(call: &Call<'_>) -> Answer {
    Ok(match call.value(0) {
        array @ Value::Array(_) => array.clone(),
        other => Value::Array(vec![other.clone()]),
    })
}

fn concat(call: &Call<'_>) -> Answer {
    if call.value(0).is_array() {
        let mut all = Vec::new();
        for at in 0..call.len() {
            let items = call.array(at)?;
            call.budget().charge(call.value(at))?;
            all.extend(items.iter().cloned());
        }
        return Ok(Value::Array(all));
    }
    let mut joined = String::new();
    for (at, value) in call.values().enumerate() {
        match value {
            Value::String(text) => joined.push_str(text),
            Value::Number(_) | Value::Bool(_) => joined.push_str(&text(value)),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(call.wrong(at, "a string, or all arguments are arrays"));
            }
        }
        call.admit(joined.len())?;
    }
    Ok(joined.into())
}

fn contains(call: &Call<'_>) -> Answer {
    let item = call.value(1);
    Ok(match call.value(0) {
        Value::Array(items) => {
            call.walks(0, EQUAL)?;
            items.iter().any(|one| equal(one, item))
        }
        Value::Object(fields) => {
            call.text(1)?;
            call.evaluator.looks_for(call.value(0), item)?;
            super::super::value::field(fields, call.text(1)?).is_some()
        }
        Value::String(all) => match item {
            Value::String(_) | Value::Number(_) => all.contains(&text(item)),
            _ => return Err(call.wrong(1, "a string")),
        },
        _ => return Err(call.wrong(0, "an array, an object or a string")),
    }
    .into())
}

fn create_array(call: &Call<'_>) -> Answer {
    let mut items = Vec::with_capacity(call.len());
    for value in call.values() {
        call.budget().charge(value)?;
        items.push(value.clone());
    }
    Ok(Value::Array(items))
}

fn empty(call: &Call<'_>) -> Answer {
    Ok(match call.value(0) {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => return Err(call.wrong(0, "an array, an object or a string")),
    }
    .into())
}

fn end(call: &Call<'_>, is_first: bool) -> Answer {
    Ok(match call.value(0) {
        Value::Array(items) if is_first => items.first().cloned().unwrap_or_default(),
        Value::Array(items) => items.last().cloned().unwrap_or_default(),
        Value::String(text) if is_first => text.chars().take(1).collect::<String>().into(),
        Value::String(text) => text
            .chars()
            .next_back()
            .map(String::from)
            .unwrap_or_default()
            .into(),
        _ => return Err(call.wrong(0, "an array or a string")),
    })
}

fn first(call: &Call<'_>) -> Answer {
    end(call, true)
}

fn last(call: &Call<'_>) -> Answer {
    end(call, false)
}

fn flatten(call: &Call<'_>) -> Answer {
    call.walks(0, 1)?;
    let mut flat = Vec::new();
    for item in call.array(0)? {
        match item {
            Value::Array(items) => flat.extend(items.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Ok(Value::Array(flat))
}

fn index_from_end(call: &Call<'_>) -> Answer {
    let (items, index) = (call.array(0)?, call.integer(1)?);
    usize::try_from(index)
        .ok()
        .filter(|index| *index > 0)
        .and_then(|index| items.len().checked_sub(index))
        .and_then(|at| items.get(at).cloned())
        .ok_or(Problem::NoElement {
            index,
            length: items.len(),
        })
}

fn position(call: &Call<'_>, is_first: bool) -> Answer {
    let at = match call.value(0) {
        Value::Array(items) => {
            call.walks(0, EQUAL)?;
            let is_it = |one: &Value| equal(one, call.value(1));
            match is_first {
                true => items.iter().position(is_it),
                false => items.iter().rposition(is_it),
            }
        }
        Value::String(all) => {
            let (all, part) = (folded(all), folded(call.text(1)?));
            let byte = match is_first {
                true => all.find(&part),
                false => all.rfind(&part),
            };
            byte.and_then(|byte| all.get(..byte))
                .map(|before| before.chars().count())
        }
        _ => return Err(call.wrong(0, "an array or a string")),
    };
    Ok(at.map_or(Value::from(-1), Value::from))
}

fn index_of(call: &Call<'_>) -> Answer {
    position(call, true)
}

fn last_index_of(call: &Call<'_>) -> Answer {
    position(call, false)
}

fn length(call: &Call<'_>) -> Answer {
    Ok(match call.value(0) {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::String(text) => text.chars().count(),
        _ => return Err(call.wrong(0, "an array, an object or a string")),
    }
    .into())
}

/// Returns how many elements `skip` and `take` are about: none for a negative number.
fn amount(call: &Call<'_>) -> Result<usize, Problem> {
    Ok(usize::try_from(call.integer(1)?.max(0)).unwrap_or(usize::MAX))
}

fn skip(call: &Call<'_>) -> Answer {
    let amount = amount(call)?;
    Ok(match call.value(0) {
        Value::Array(items) => items.get(amount..).unwrap_or_default().into(),
        Value::String(text) => text.chars().skip(amount).collect::<String>().into(),
        _ => return Err(call.wrong(0, "an array or a string")),
    })
}

fn take(call: &Call<'_>) -> Answer {
    let amount = amount(call)?;
    Ok(match call.value(0) {
        Value::Array(items) => items.get(..amount).unwrap_or(items).into(),
        Value::String(text) => text.chars().take(amount).collect::<String>().into(),
        _ => return Err(call.wrong(0, "an array or a string")),
    })
}

/// Writes a text that equal values share: sets of big arrays need it.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Array(items) => {
            into.push('[');
            for item in items {
                canonical(item, into);
                into.push(',');
            }
            into.push(']');
        }
        Value::Object(fields) => {
            let mut named: Vec<_> = fields
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), name, value))
                .collect();
            named.sort_by(|one, two| (&one.0, one.1).cmp(&(&two.0, two.1)));
            into.push('{');
            for (name, _, value) in named {
                into.push_str(&Value::from(name).to_string());
                into.push(':');
                canonical(value, into);
                into.push(',');
            }
            into.push('}');
        }
        other => into.push_str(&other.to_string()),
    }
}

/// Returns what stands for all values that are equal to one; no two others share it.
fn key(value: &Value) -> Uuid {
    let mut text = String::new();
    canonical(value, &mut text);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())
}

/// How many times walking over an argument costs what it costs to find equal values in it.
const SET: u64 = 6;

fn union(call: &Call<'_>) -> Answer {
    if call.value(0).is_object() {
        let mut all = Map::new();
        for at in 0..call.len() {
            call.budget().charge(call.value(at))?;
            merge(&mut all, call.object(at)?, call.budget())?;
        }
        return Ok(Value::Object(all));
    }
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for at in 0..call.len() {
        let items = call
            .value(at)
            .as_array()
            .ok_or_else(|| call.wrong(at, "all arrays or all objects"))?;
        call.budget().charge(call.value(at))?;
        call.walks(at, SET)?;
        for item in items {
            if seen.insert(key(item)) {
                all.push(item.clone());
            }
        }
    }
    Ok(Value::Array(all))
}

/// Puts the fields of one object into another: objects merge, everything else is replaced.
fn merge(
    all: &mut Map<String, Value>,
    more: &Map<String, Value>,
    budget: &Budget,
) -> Result<(), Problem> {
    let mut spelled = Spelled::default();
    for (name, value) in more {
        let name = spelled.name(all, name, budget)?;
        match (all.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more, budget)?,
            (Some(known), value) => *known = value.clone(),
            (None, value) => {
                all.insert(name, value.clone());
            }
        }
    }
    Ok(())
}

/// How the names of an object are spelled in it, for who puts others into it.
#[derive(Default)]
pub(super) struct Spelled(Option<HashMap<String, String>>);

impl Spelled {
    /// Returns a name as the object spells it; a new one as it is, which is then expected to be put in.
    pub(super) fn name(
        &mut self,
        all: &Map<String, Value>,
        name: &str,
        budget: &Budget,
    ) -> Result<String, Problem> {
        if all.is_empty() || (self.0.is_none() && all.contains_key(name)) {
            return Ok(name.to_owned());
        }
        let names = match &mut self.0 {
            Some(names) => names,
            none => {
                budget.read(all.len().saturating_mul(50))?;
                none.insert(
                    all.keys()
                        .map(|name| (name.to_ascii_lowercase(), name.clone()))
                        .collect(),
                )
            }
        };
        let key = name.to_ascii_lowercase();
        Ok(names.entry(key).or_insert_with(|| name.to_owned()).clone())
    }
}

fn intersection(call: &Call<'_>) -> Answer {
    for at in 0..call.len() {
        call.walks(at, SET)?;
    }
    if call.value(0).is_object() {
        let mut common = call.object(0)?.clone();
        for at in 1..call.len() {
            let other = call.object(at)?;
            let mut names = Names::default();
            // What is left is looked through for each of the others.
            call.budget().read(common.len().saturating_mul(50))?;
            common.retain(|name, value| {
                names
                    .field(other, name)
                    .is_some_and(|two| equal(value, two))
            });
        }
        return Ok(Value::Object(common));
    }
    let mut seen = HashSet::new();
    let first = call
        .value(0)
        .as_array()
        .ok_or_else(|| call.wrong(0, "all arrays or all objects"))?;
    let mut common: Vec<(Uuid, &Value)> = first.iter().map(|item| (key(item), item)).collect();
    common.retain(|(key, _)| seen.insert(*key));
    for at in 1..call.len() {
        let other: HashSet<Uuid> = call.array(at)?.iter().map(key).collect();
        common.retain(|(key, _)| other.contains(key));
    }
    Ok(common.into_iter().map(|(_, item)| item.clone()).collect())
}
