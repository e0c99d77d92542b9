//! What is particular to a resource type: its inline children, what it refers to, its defaults, what
//! its owner may write, and what cannot stand.
//!
//! [`find`] has the types that have an effect here. Every other type is kept as it was written.

mod check;
mod fields;
mod global;
mod kinds;
mod normal;
mod refine;
mod same;
pub mod secret;
mod shown;
mod tags;

pub(crate) use check::{check, check_name};
pub(crate) use global::{global_name, name_taken};
pub use kinds::find;
pub(crate) use normal::{Context, carry, normalise, plain, spell_patch as spell};
pub(crate) use refine::GONE;
pub(crate) use same::is_same;
pub(crate) use shown::{account, default_rules};
pub(crate) use tags::{check_tags, read_tags};

use crate::id::ResourceId;
use serde_json::{Map, Value};

/// A resource type that has an effect here.
#[derive(Debug)]
pub struct Kind {
    /// Its full name, such as `Microsoft.Network/virtualNetworks`.
    pub name: &'static str,
    /// Children that are kept inside of it.
    pub children: &'static [Child],
    /// What it refers to.
    pub references: &'static [Reference],
    /// Names in `properties` that its owner does not write, beside those that nobody writes.
    pub read_only: &'static [&'static str],
    /// What is filled in where its owner says nothing.
    pub defaults: &'static [(&'static str, Fill)],
    /// The properties that are brought into Azure's spelling; all of them if there is no list.
    pub only: Option<&'static [&'static str]>,
    /// Whether it has a `resourceGuid`.
    pub has_guid: bool,
}

/// A value that is filled in.
#[derive(Debug)]
pub enum Fill {
    /// A truth.
    Flag(bool),
    /// A number.
    Number(u32),
    /// A text.
    Text(&'static str),
    /// An empty list.
    List,
}

/// A child that is kept inside of its parent.
#[derive(Debug)]
pub struct Child {
    /// Its type below that of the parent, such as `subnets`.
    pub segment: &'static str,
    /// The property of the parent that has it.
    pub at: &'static str,
    /// Its only name, where the property is its own properties instead of a list of children.
    pub only: Option<&'static str>,
    /// Whether it is kept inside of its parent and shown at its own path alone. A PUT of the parent
    /// that does not name such children leaves them.
    pub is_hidden: bool,
    /// Its type.
    pub kind: &'static Kind,
}

/// A place in `properties` that names another resource.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The path in `properties`; `[]` behind a name means each item.
    pub path: &'static str,
    /// The type that must be named.
    pub to: &'static str,
    /// Whether what is named has to be there when it is written, and cannot be removed while it is named.
    pub binds: bool,
    /// What stands there.
    pub form: Form,
}

/// How a resource is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// By `{"id": ...}`; whatever else a client sends there is the other resource's.
    Pure,
    /// By an object with an `id` and more.
    Object,
    /// By the ID alone.
    Text,
}

/// How a resource is kept.
#[derive(Debug)]
pub enum Place {
    /// As a document.
    Own,
    /// Inside the document of its parent.
    Inline(ResourceId, &'static Child),
}

/// Returns how the resource is kept.
#[must_use]
pub fn place(id: &ResourceId) -> Place {
    let inline = id.parent().and_then(|parent| {
        let (segment, name) = id.segments.last()?;
        let child = find(&parent.kind())?.children.iter().find(|child| {
            child.segment.eq_ignore_ascii_case(segment)
                && child
                    .only
                    .is_none_or(|only| only.eq_ignore_ascii_case(name))
        })?;
        Some((parent, child))
    });
    match inline {
        Some((parent, child)) => Place::Inline(parent, child),
        None => Place::Own,
    }
}

/// Returns the types among which a resource's alias has to be the only one: its own, or all types of
/// services.
pub(crate) fn family(kind: &str) -> String {
    match kinds::SERVICES
        .iter()
        .any(|service| service.eq_ignore_ascii_case(kind))
    {
        true => "service".to_owned(),
        false => kind.to_ascii_lowercase(),
    }
}

/// Returns the items of the child in the properties of its parent.
pub(crate) fn items<'b>(
    properties: Option<&'b Map<String, Value>>,
    child: &Child,
) -> impl Iterator<Item = &'b Map<String, Value>> {
    let list = match child.only {
        None => properties.and_then(|properties| properties.get(child.at)?.as_array()),
        Some(_) => None,
    };
    list.into_iter().flatten().filter_map(Value::as_object)
}

/// Returns the name of an inline child.
pub(crate) fn name_of(item: &Map<String, Value>) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or("")
}

/// Calls `visit` with each text that the reference names in the properties.
pub(crate) fn named<'b>(
    properties: &'b Map<String, Value>,
    reference: &Reference,
    visit: &mut dyn FnMut(&'b str),
) {
    walk(properties, reference.path, &mut |value| {
        let text = match value {
            Value::Object(fields) => fields.get("id").and_then(Value::as_str),
            value => value.as_str(),
        };
        if let Some(text) = text {
            visit(text);
        }
    });
}

/// Calls `visit` with each value at the path.
fn walk<'b>(fields: &'b Map<String, Value>, path: &str, visit: &mut dyn FnMut(&'b Value)) {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let mut each = |value: &'b Value| match rest {
        None => visit(value),
        Some(rest) => {
            if let Some(fields) = value.as_object() {
                walk(fields, rest, visit);
            }
        }
    };
    match step.strip_suffix("[]") {
        Some(step) => {
            let list = fields.get(step).and_then(Value::as_array);
            list.into_iter().flatten().for_each(each);
        }
        None => {
            if let Some(value) = fields.get(step) {
                each(value);
            }
        }
    }
}
