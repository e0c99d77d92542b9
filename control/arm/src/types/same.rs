//! Whether two bodies say the same.

use serde_json::{Map, Value};

/// Lists whose order means something; every other list of a known type is a set.
const ORDERED: &[&str] = &["dnsServers", "ipConfigurations", "data", "arguments"];

/// Returns whether two bodies say the same: names of properties in any order, and lists too where
/// `sets` says so and their order means nothing.
pub(crate) fn is_same(one: &Map<String, Value>, other: &Map<String, Value>, sets: bool) -> bool {
    one.len() == other.len()
        && one.iter().all(|(name, value)| {
            let is_set = sets && !ORDERED.contains(&name.as_str());
            other
                .get(name)
                .is_some_and(|found| equal(value, found, sets, is_set))
        })
}

fn equal(one: &Value, other: &Value, sets: bool, is_set: bool) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => is_same(one, other, sets),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && match is_set {
                    true => same_set(one, other, sets),
                    false => one.iter().zip(other).all(|(a, b)| equal(a, b, sets, false)),
                }
        }
        (one, other) => one == other,
    }
}

fn same_set(one: &[Value], other: &[Value], sets: bool) -> bool {
    let same = |a: &Value, b: &Value| equal(a, b, sets, sets);
    // Usually nobody has changed the order.
    if one.iter().zip(other).all(|(a, b)| same(a, b)) {
        return true;
    }
    let mut left: Vec<&Value> = other.iter().collect();
    one.iter().all(|a| {
        let at = left.iter().position(|b| same(a, b));
        at.map(|at| left.swap_remove(at)).is_some()
    })
}
