//! The normal form of what a client sends: Azure's spelling, values of the right type, defaults filled
//! in, without what is for reading alone. A second PUT of what a GET shows has the same normal form.

use super::fields::{self, Shape};
use super::{Child, Fill, Form, Kind, name_of};
use crate::document::Origin;
use crate::error::ArmError;
use crate::estate::Knowledge;
use crate::id::ResourceId;
use serde_json::{Map, Value, json};

/// What the normal form depends on beside the body.
#[derive(Clone, Copy)]
pub(crate) struct Context<'c> {
    /// Azure's services and regions.
    pub(crate) knowledge: &'c dyn Knowledge,
    /// The region of the resource.
    pub(crate) location: &'c str,
    /// Who writes.
    pub(crate) origin: Origin,
}

/// What nobody writes, in a resource and in each of its children.
const OUTER: &[&str] = &["id", "etag", "type", "systemData"];
const INNER: &[&str] = &["provisioningState", "resourceGuid"];

/// Brings a resource or an inline child into its normal form. `old` is what there was.
///
/// # Errors
///
/// A value has not the type that it must have, or a reference is no ID or one of another type.
pub(crate) fn normalise(
    kind: &'static Kind,
    id: &ResourceId,
    element: &mut Map<String, Value>,
    old: Option<&Map<String, Value>>,
    context: Context<'_>,
) -> Result<(), ArmError> {
    OUTER.iter().for_each(|name| {
        element.remove(*name);
    });
    let mut properties = match element.remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(mistyped("properties", "an object").at(id.to_string())),
    };
    spell(&mut properties, "properties", kind.only).map_err(|error| error.at(id.to_string()))?;
    for name in INNER.iter().chain(kind.read_only) {
        properties.remove(*name);
    }
    let old = old.and_then(|old| old.get("properties")?.as_object());
    for child in kind.children {
        children(child, id, &mut properties, old, context)?;
    }
    references(kind, id, &mut properties)?;
    for (name, fill) in kind.defaults {
        if !properties.contains_key(*name) {
            properties.insert((*name).to_owned(), value_of(fill));
        }
    }
    super::refine::refine(kind, &mut properties, old, context)
        .map_err(|error| error.at(id.to_string()))?;
    element.insert("properties".to_owned(), Value::Object(properties));
    super::refine::outer(kind, element);
    Ok(())
}

/// Brings a resource of a type that has no effect here into its normal form: nothing is lost but what
/// is for reading alone.
pub(crate) fn plain(kind: &str, body: &mut Map<String, Value>) {
    OUTER.iter().for_each(|name| {
        body.remove(*name);
    });
    // A deployment says itself how it ended.
    if kind.eq_ignore_ascii_case("Microsoft.Resources/deployments") {
        return;
    }
    if let Some(Value::Object(properties)) = body.get_mut("properties") {
        properties.remove("provisioningState");
    }
}

/// Takes over what a PUT of a request keeps where it does not say anything: children that a GET does
/// not show, and the peerings of a virtual network. Its subnets go where it does not name them
/// (reference section 2.2); that peerings stay is from memory.
pub(crate) fn carry(kind: &Kind, body: &mut Map<String, Value>, old: Option<&Map<String, Value>>) {
    let Some(Value::Object(old)) = old.and_then(|old| old.get("properties")) else {
        return;
    };
    let stays = |child: &&Child| child.is_hidden || child.at == "virtualNetworkPeerings";
    for child in kind.children.iter().filter(stays) {
        let properties = body.entry("properties").or_insert_with(|| json!({}));
        if let (Some(properties), Some(kept)) = (properties.as_object_mut(), old.get(child.at))
            && !properties
                .keys()
                .any(|name| name.eq_ignore_ascii_case(child.at))
        {
            properties.insert(child.at.to_owned(), kept.clone());
        }
    }
}

/// Brings the names of a part of a resource into Azure's spelling.
///
/// # Errors
///
/// A value has not the type that it must have.
pub(crate) fn spell_patch(kind: &str, body: &mut Map<String, Value>) -> Result<(), ArmError> {
    if let (Some(kind), Some(Value::Object(properties))) =
        (super::find(kind), body.get_mut("properties"))
    {
        spell(properties, "properties", kind.only)?;
    }
    Ok(())
}

fn value_of(fill: &Fill) -> Value {
    match fill {
        Fill::Flag(flag) => Value::from(*flag),
        Fill::Number(number) => Value::from(*number),
        Fill::Text(text) => Value::from(*text),
        Fill::List => Value::Array(Vec::new()),
    }
}

fn children(
    child: &'static Child,
    id: &ResourceId,
    properties: &mut Map<String, Value>,
    old: Option<&Map<String, Value>>,
    context: Context<'_>,
) -> Result<(), ArmError> {
    if let Some(only) = child.only {
        let Some(Value::Object(inner)) = properties.remove(child.at) else {
            return Ok(());
        };
        let mut item = Map::from_iter([("properties".to_owned(), Value::Object(inner))]);
        normalise(
            child.kind,
            &id.child(child.segment, only),
            &mut item,
            None,
            context,
        )?;
        if let Some(inner) = item.remove("properties") {
            properties.insert(child.at.to_owned(), inner);
        }
        return Ok(());
    }
    let Some(Value::Array(list)) = properties.get_mut(child.at) else {
        return Ok(());
    };
    let mut seen = std::collections::HashSet::new();
    for item in list.iter_mut().filter_map(Value::as_object_mut) {
        let name = child_name(child, id, item)?;
        let was = super::items(old, child).find(|old| name_of(old).eq_ignore_ascii_case(&name));
        let name = was.map_or(name, |old| name_of(old).to_owned());
        if !seen.insert(name.to_ascii_lowercase()) {
            let message =
                format!("Resource {id} has two child resources with the same name ({name}).");
            return Err(ArmError::bad_request("DuplicateResourceName", message).at(id.to_string()));
        }
        item.insert("name".to_owned(), Value::from(name.as_str()));
        normalise(
            child.kind,
            &id.child(child.segment, &name),
            item,
            was,
            context,
        )?;
    }
    Ok(())
}

/// Returns the name of a child, or that in its ID.
fn child_name(
    child: &Child,
    id: &ResourceId,
    item: &Map<String, Value>,
) -> Result<String, ArmError> {
    let own = item
        .get("name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty());
    let name = own.or_else(|| item.get("id")?.as_str()?.rsplit('/').next());
    let name = name.ok_or_else(|| {
        // The code is from memory.
        ArmError::bad_request(
            "MissingJsonProperty",
            format!(
                "An item of properties.{} has no name; accepted: a name for each",
                child.at
            ),
        )
        .at(id.to_string())
    })?;
    super::check_name(&id.child(child.segment, name))?;
    Ok(name.to_owned())
}

/// Brings names and values into Azure's spelling. Values that are `null` count as absent.
fn spell(
    fields: &mut Map<String, Value>,
    path: &str,
    only: Option<&[&str]>,
) -> Result<(), ArmError> {
    let taken = std::mem::take(fields);
    for (name, mut value) in taken {
        let known =
            fields::find(&name).filter(|(known, _)| only.is_none_or(|only| only.contains(known)));
        let (name, shape) = match known {
            Some((known, shape)) => (known.to_owned(), shape),
            None => (name, Shape::Any),
        };
        if value.is_null() && (only.is_none() || known.is_some()) {
            continue;
        }
        let path = format!("{path}.{name}");
        fit(&mut value, shape, &path)?;
        if known.is_some() || only.is_none() {
            inside(&mut value, &path)?;
        }
        fields.insert(name, value);
    }
    Ok(())
}

fn inside(value: &mut Value, path: &str) -> Result<(), ArmError> {
    match value {
        Value::Object(fields) => spell(fields, path, None),
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                if let Value::Object(fields) = item {
                    spell(fields, &format!("{path}[{at}]"), None)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Makes the value one of the shape, as leniently as the platform does.
fn fit(value: &mut Value, shape: Shape, path: &str) -> Result<(), ArmError> {
    match shape {
        Shape::Any => Ok(()),
        Shape::Text => as_text(value).ok_or_else(|| mistyped(path, "a text")),
        Shape::Enum(values) => {
            let found = value
                .as_str()
                .and_then(|text| values.iter().find(|value| value.eq_ignore_ascii_case(text)));
            match found {
                Some(found) => {
                    *value = Value::from(*found);
                    Ok(())
                }
                None => Err(mistyped(path, &values.join(", "))),
            }
        }
        Shape::Number => {
            let number = match &*value {
                Value::String(text) => text.trim().parse().ok(),
                value => value.as_i64().or_else(|| whole(value)),
            };
            *value = Value::from(number.ok_or_else(|| mistyped(path, "a whole number"))?);
            Ok(())
        }
        Shape::Flag => {
            let flag = match &*value {
                Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
                Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
                value => value.as_bool(),
            };
            *value = Value::from(flag.ok_or_else(|| mistyped(path, "true or false"))?);
            Ok(())
        }
        Shape::Texts => match value {
            Value::Array(items) => items
                .iter_mut()
                .all(|item| as_text(item).is_some())
                .then_some(())
                .ok_or_else(|| mistyped(path, "a list of texts")),
            _ => Err(mistyped(path, "a list of texts")),
        },
        Shape::Object => match value {
            Value::Object(_) => Ok(()),
            _ => Err(mistyped(path, "an object")),
        },
        Shape::Objects => match value {
            Value::Array(items) if items.iter().all(Value::is_object) => Ok(()),
            _ => Err(mistyped(path, "a list of objects")),
        },
    }
}

/// Returns the number that a template's arithmetic made of a whole one, such as `4.0`.
fn whole(value: &Value) -> Option<i64> {
    let text = value.as_f64()?.to_string();
    text.parse().ok()
}

fn as_text(value: &mut Value) -> Option<()> {
    match value {
        Value::String(_) => Some(()),
        Value::Number(number) => {
            *value = Value::from(number.to_string());
            Some(())
        }
        _ => None,
    }
}

/// The platform's answer to a value that it cannot read; the details are in our words.
fn mistyped(path: &str, accepted: &str) -> ArmError {
    let detail = format!("The value at '{path}' cannot be read; accepted: {accepted}");
    ArmError::bad_request("InvalidRequestFormat", "Cannot parse the request.")
        .with(vec![ArmError::bad_request("InvalidJson", detail).at(path)])
}

/// Checks that references are IDs of the right type, and leaves only the ID of them.
fn references(
    kind: &Kind,
    id: &ResourceId,
    properties: &mut Map<String, Value>,
) -> Result<(), ArmError> {
    for reference in kind.references {
        let mut error = None;
        change(
            properties,
            reference.path,
            "properties",
            &mut |value, path| {
                if error.is_none() {
                    error = one_reference(value, reference.to, reference.form, path).err();
                }
            },
        );
        if let Some(error) = error {
            return Err(error.at(id.to_string()));
        }
    }
    Ok(())
}

fn one_reference(value: &mut Value, to: &str, form: Form, path: &str) -> Result<(), ArmError> {
    let text = match form {
        Form::Text => value.as_str(),
        Form::Pure | Form::Object => value.get("id").and_then(Value::as_str),
    };
    let Some(text) = text else {
        // A rule without a subnet is one about something else.
        let message = format!("Value for reference id is missing. Path {path}.");
        let is_inside = to.ends_with("/networkSecurityGroups") && value.get("properties").is_some();
        return match form {
            // The estate makes a resource of it.
            Form::Pure if is_inside => Ok(()),
            Form::Pure => Err(unreadable("MissingJsonReferenceId", message)),
            Form::Object | Form::Text => Ok(()),
        };
    };
    let target: ResourceId = text.parse().map_err(|_| {
        let message = format!(
            "Property id '{text}' at path '{path}.id' is invalid. Expect fully qualified resource Id \
             that start with '/subscriptions/{{subscriptionId}}' or \
             '/providers/{{resourceProviderNamespace}}/'."
        );
        ArmError::bad_request("LinkedInvalidPropertyId", message)
    })?;
    if !target.is(to) {
        let short = to.split_once('/').map_or(to, |(_, short)| short);
        let message = format!(
            "Reference Id {text} is referencing resource of a wrong type. The Id is expected to \
             reference resources of type {short}. Path {path}."
        );
        return Err(unreadable("InvalidJsonReferenceWrongType", message));
    }
    if form == Form::Pure {
        let mut kept = json!({ "id": text });
        let option = value
            .get("properties")
            .and_then(|inner| inner.get("deleteOption"));
        if let (Some(option), Some(kept)) = (option, kept.as_object_mut()) {
            kept.insert("properties".to_owned(), json!({ "deleteOption": option }));
        }
        *value = kept;
    }
    Ok(())
}

fn unreadable(code: &str, message: String) -> ArmError {
    ArmError::bad_request("InvalidRequestFormat", "Cannot parse the request.")
        .with(vec![ArmError::bad_request(code, message)])
}

/// Calls `visit` with each value at the path, and the path to it.
fn change(
    fields: &mut Map<String, Value>,
    path: &str,
    above: &str,
    visit: &mut dyn FnMut(&mut Value, &str),
) {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let mut each = |value: &mut Value, here: &str| match (rest, value) {
        (None, value) => visit(value, here),
        (Some(rest), Value::Object(fields)) => change(fields, rest, here, visit),
        (Some(_), _) => {}
    };
    match step.strip_suffix("[]") {
        Some(step) => {
            let list = fields.get_mut(step).and_then(Value::as_array_mut);
            for (at, value) in list.into_iter().flatten().enumerate() {
                each(value, &format!("{above}.{step}[{at}]"));
            }
        }
        None => {
            if let Some(value) = fields.get_mut(step) {
                each(value, &format!("{above}.{step}"));
            }
        }
    }
}
