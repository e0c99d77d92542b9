//! Values during evaluation: shared ones (parameters, variables) and own ones, and how they compare
//! and print.

use serde_json::{Map, Value};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
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

/// The names of an object without case, for who looks for many: [`field`] walks over all of them where
/// the spelling differs.
#[derive(Debug, Default)]
pub struct Names<'v>(Option<HashMap<String, &'v Value>>);

impl<'v> Names<'v> {
    /// Returns a field as [`field`] does; always of the same object.
    pub fn field(&mut self, fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
        if let Some(value) = fields.get(name) {
            return Some(value);
        }
        let names = self.0.get_or_insert_with(|| {
            let mut names = HashMap::with_capacity(fields.len());
            for (name, value) in fields {
                names.entry(name.to_ascii_lowercase()).or_insert(value);
            }
            names
        });
        names.get(&name.to_ascii_lowercase()).copied()
    }
}

/// Returns a number that equal values share, in whatever order their fields are. Names and texts count
/// as they are spelled; fields with the name in `but` do not count.
#[must_use]
pub fn digest(value: &Value, but: &str) -> u64 {
    let of = |part: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        part(&mut hasher);
        hasher.finish()
    };
    match value {
        Value::Null => 1,
        Value::Bool(truth) => of(&|hasher| truth.hash(hasher)),
        Value::Number(number) => of(&|hasher| number.to_string().hash(hasher)),
        Value::String(text) => of(&|hasher| text.hash(hasher)),
        Value::Array(items) => items.iter().fold(2, |sum: u64, item| {
            sum.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ digest(item, but)
        }),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != but);
            fields.fold(3, |sum: u64, (name, value)| {
                let inner = digest(value, but);
                sum.wrapping_add(of(&|hasher| (name, inner).hash(hasher)))
            })
        }
    }
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

/// Returns a value as JSON; none if that has more than `most` bytes: what is in it may be escaped, and
/// is up to six times longer then.
#[must_use]
pub fn bounded(value: &Value, most: usize) -> Option<String> {
    struct Bounded(Vec<u8>, usize);
    impl std::io::Write for Bounded {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.len().saturating_add(bytes.len()) > self.1 {
                true => Err(std::io::ErrorKind::StorageFull.into()),
                false => self.0.write(bytes),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut made = Bounded(Vec::new(), most);
    serde_json::to_writer(&mut made, value).ok()?;
    String::from_utf8(made.0).ok()
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
            let mut names = Names::default();
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, l)| names.field(right, name).is_some_and(|r| equal(l, r)))
        }
        (Value::Number(left), Value::Number(right)) => {
            left == right || ((left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64())
        }
        (left, right) => left == right,
    }
}
