//! Values during evaluation: shared ones (parameters, variables) and own ones, and how they compare
//! and print.

use serde_json::{Map, Value};
use std::ops::Deref;
use std::sync::Arc;

/// A value that is either shared with the template or made for the expression. Big variables are
/// looked into far more often than taken over.
#[derive(Clone, Debug)]
pub enum Held {
    /// Made for the expression.
    Own(Value),
    /// Of a parameter or a variable.
    Shared(Arc<Value>),
}

impl Deref for Held {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            Self::Own(value) => value,
            Self::Shared(value) => value,
        }
    }
}

impl From<Value> for Held {
    fn from(value: Value) -> Self {
        Self::Own(value)
    }
}

impl Held {
    /// Returns the value itself, copied if it is shared.
    #[must_use]
    pub fn into_value(self) -> Value {
        match self {
            Self::Own(value) => value,
            Self::Shared(value) => Arc::unwrap_or_clone(value),
        }
    }
}

/// Returns the name of the type of a value, as Azure's errors have it.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Float",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}

/// Returns a field by its name without case; the exact spelling has precedence.
#[must_use]
pub fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).or_else(|| {
        fields
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// Returns a field of a value that may be an object, by its name without case.
#[must_use]
pub fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    field(value.as_object()?, name)
}

/// Returns the text of a value as `string` and `concat` have it.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Returns whether two values are equal: names of properties compare without case, everything else
/// with it.
#[must_use]
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, l)| field(right, name).is_some_and(|r| equal(l, r)))
        }
        (Value::Number(left), Value::Number(right)) => {
            left == right || ((left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64())
        }
        (left, right) => left == right,
    }
}
