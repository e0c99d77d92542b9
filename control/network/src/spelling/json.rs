//! Reading and making ARM's JSON.

use serde_json::{Map, Value, json};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Returns a property. Names have no case in ARM; null says as much as nothing.
pub fn field<'v>(object: &'v Object, name: &str) -> Option<&'v Value> {
    let exact = object.get(name);
    let found = exact.or_else(|| {
        let mut fields = object.iter();
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null())
}

/// Returns a property that is a text; an empty one says as much as none.
pub fn text<'v>(object: &'v Object, name: &str) -> Option<&'v str> {
    field(object, name)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Returns a property that is an object.
pub fn object<'v>(object: &'v Object, name: &str) -> Option<&'v Object> {
    field(object, name)?.as_object()
}

/// Returns the items of a property that is a list.
pub fn list<'v>(object: &'v Object, name: &str) -> Option<&'v [Value]> {
    Some(field(object, name)?.as_array()?.as_slice())
}

/// Returns the objects of a list.
pub fn objects<'v>(object: &'v Object, name: &str) -> impl Iterator<Item = &'v Object> {
    let items = list(object, name).unwrap_or_default();
    items.iter().filter_map(Value::as_object)
}

/// Returns the texts of a list.
pub fn texts<'v>(object: &'v Object, name: &str) -> impl Iterator<Item = &'v str> {
    let items = list(object, name).unwrap_or_default();
    items.iter().filter_map(Value::as_str)
}

/// Returns the properties of a resource or child; those that lack the wrapper have them themselves.
pub fn properties(resource: &Object) -> &Object {
    object(resource, "properties").unwrap_or(resource)
}

/// Returns the ID of a property that refers to a resource: `{"id": ...}`.
pub fn reference<'v>(of: &'v Object, name: &str) -> Option<&'v str> {
    text(object(of, name)?, "id")
}

/// Returns a property that refers to a resource.
pub fn refer(id: impl std::fmt::Display) -> Value {
    json!({ "id": id.to_string() })
}

/// Returns a child as its parent has it.
pub fn child(name: &str, properties: Object) -> Value {
    json!({ "name": name, "properties": properties })
}

/// Returns a value of the configuration as JSON.
pub fn from_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::from(*flag),
        toml::Value::Datetime(when) => Value::from(when.to_string()),
        toml::Value::Array(values) => values.iter().map(from_toml).collect(),
        toml::Value::Table(table) => Value::Object(object_from(table)),
    }
}

/// Returns a table of the configuration as an object.
pub fn object_from(table: &toml::Table) -> Object {
    let fields = table.iter();
    fields
        .map(|(key, value)| (key.clone(), from_toml(value)))
        .collect()
}

/// Returns a value as the configuration has it; nothing for null, which it cannot say.
pub fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => toml::Value::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => toml::Value::Integer(number),
            None => toml::Value::Float(number.as_f64()?),
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(values) => toml::Value::Array(values.iter().filter_map(to_toml).collect()),
        Value::Object(object) => toml::Value::Table(table_from(object)),
    })
}

/// Returns an object as a table of the configuration.
pub fn table_from(object: &Object) -> toml::Table {
    let fields = object.iter();
    fields
        .filter_map(|(key, value)| Some((key.clone(), to_toml(value)?)))
        .collect()
}
