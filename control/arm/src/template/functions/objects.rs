//! Functions of objects.

use super::super::budget::{MAX_VALUE, VALUE_BYTES, size};
use super::super::evaluate::select;
use super::super::problem::Problem;
use super::collections::Spelled;
use super::{ANY, Call, Entry};
use serde_json::{Map, Value, json};

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "createObject",
        least: 0,
        most: ANY,
        run: create_object,
    },
    Entry {
        name: "items",
        least: 1,
        most: 1,
        run: items,
    },
    Entry {
        name: "objectKeys",
        least: 1,
        most: 1,
        run: object_keys,
    },
    Entry {
        name: "shallowMerge",
        least: 1,
        most: 1,
        run: shallow_merge,
    },
    Entry {
        name: "tryGet",
        least: 2,
        most: ANY,
        run: try_get,
    },
    Entry {
        name: "tryIndexFromEnd",
        least: 2,
        most: 2,
        run: try_index_from_end,
    },
];

fn create_object(call: &Call<'_>) -> Answer {
    let mut fields = Map::new();
    if !call.len().is_multiple_of(2) {
        return Err(call.bad("it takes names and values by turns"));
    }
    for at in (0..call.len()).step_by(2) {
        let value = call.value(at.saturating_add(1));
        call.budget().charge(value)?;
        fields.insert(call.text(at)?.to_owned(), value.clone());
    }
    Ok(Value::Object(fields))
}

/// Returns the fields in the order of their names, which is how Azure returns them.
fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by_cached_key(|(name, _)| name.to_lowercase());
    sorted
}

fn items(call: &Call<'_>) -> Answer {
    let each = size(call.value(0), MAX_VALUE).bytes;
    let fields = call.object(0)?.len();
    call.walks(0, 8)?;
    call.admit(fields.saturating_mul(4 * VALUE_BYTES).saturating_add(each))?;
    let item = |(name, value)| json!({ "key": name, "value": value });
    Ok(sorted(call.object(0)?).into_iter().map(item).collect())
}

fn object_keys(call: &Call<'_>) -> Answer {
    call.budget()
        .read(call.object(0)?.len().saturating_mul(500))?;
    let key = |(name, _): (&String, _)| Value::from(name.as_str());
    Ok(sorted(call.object(0)?).into_iter().map(key).collect())
}

/// Merges an array of objects without looking into them: the last one with a name has it.
fn shallow_merge(call: &Call<'_>) -> Answer {
    call.walks(0, 4)?;
    let (mut all, mut spelled) = (Map::new(), Spelled::default());
    for item in call.array(0)? {
        let fields = item
            .as_object()
            .ok_or_else(|| call.wrong(0, "an array of objects"))?;
        for (name, value) in fields {
            let name = spelled.name(&all, name, call.budget())?;
            all.insert(name, value.clone());
        }
    }
    Ok(Value::Object(all))
}

/// `tryGet(value, step, ...)`: null where there is no such property or element.
fn try_get(call: &Call<'_>) -> Answer {
    let mut at = call.value(0);
    for step in call.values().skip(1) {
        call.evaluator.looks_for(at, step)?;
        at = match select(at, step) {
            Ok(inner) => inner,
            Err(_) => return Ok(Value::Null),
        };
    }
    Ok(at.clone())
}

fn try_index_from_end(call: &Call<'_>) -> Answer {
    let (items, index) = (call.array(0)?, call.integer(1)?);
    let at = usize::try_from(index)
        .ok()
        .filter(|index| *index > 0)
        .and_then(|index| items.len().checked_sub(index));
    Ok(at.and_then(|at| items.get(at).cloned()).unwrap_or_default())
}
