//! What a resource is bound to on this host: by its tags, and by what was said beside it.

use super::Lowerer;
use crate::spelling::dialect::{Dialect, OPEN, ServiceType};
use crate::spelling::json::{self, Object};
use crate::spelling::kinds;
use crate::spelling::raise::{FOLLOWS_TIMER, NIC_BINDINGS, SERVICE_BINDINGS};
use postern_arm::document::Document;
use postern_arm::id::ResourceId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::Table;

/// What the tags of bindings begin with.
const PREFIX: &str = "postern-";

/// A tag and the binding that it is a spelling of; a binding of two words is inside a table.
const TAGS: [(&str, &[&str], Form); 20] = [
    ("namespace", &["namespace"], Form::Text),
    ("device", &["device"], Form::Text),
    ("mtu", &["mtu"], Form::Number),
    ("offload", &["offload"], Form::Text),
    ("address", &["address"], Form::Text),
    ("delivery", &["delivery"], Form::Text),
    ("host", &["host"], Form::Text),
    ("refusal", &["refusal"], Form::Text),
    ("audit", &["audit"], Form::Flag),
    ("tenant", &["tenant"], Form::Text),
    ("open-without-rules", &[OPEN], Form::Flag),
    ("follows-timer", &[FOLLOWS_TIMER], Form::Flag),
    ("front-ports", &["front", "ports"], Form::Numbers),
    ("front-connect", &["front", "connect"], Form::Text),
    ("front-namespace", &["front", "namespace"], Form::Text),
    ("front-protocol", &["front", "protocol"], Form::Text),
    (
        "front-proxy-protocol",
        &["front", "proxyProtocol"],
        Form::Flag,
    ),
    ("front-tls", &["front", "tls"], Form::Text),
    ("front-connect-tls", &["front", "connectTls"], Form::Flag),
    (
        "front-idle-timeout-in-minutes",
        &["front", "idleTimeoutInMinutes"],
        Form::Number,
    ),
];

/// How a binding is written: tags are texts.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Numbers,
    Flag,
}

impl Form {
    /// Returns the value of a tag. One that cannot be read stays a text, for the loader to refuse.
    fn read(self, text: &str) -> Value {
        let read = match self {
            Self::Text => None,
            Self::Number => text.trim().parse::<i64>().ok().map(Value::from),
            Self::Flag => text.trim().parse::<bool>().ok().map(Value::from),
            Self::Numbers => {
                let numbers = text.split(',').map(|part| part.trim().parse::<i64>());
                numbers.collect::<Result<Vec<_>, _>>().ok().map(Value::from)
            }
        };
        read.unwrap_or_else(|| Value::from(text))
    }
}

/// Returns the tags by which resources of a type are bound; none where tags bind nothing.
pub(in crate::spelling) fn tags_of(id: &ResourceId) -> Vec<String> {
    let service = ServiceType::find(&id.kind());
    let keys: &[&str] = if id.is(kinds::NIC.arm) {
        NIC_BINDINGS
    } else if id.is(kinds::VNET.arm) {
        &["tenant"]
    } else if id.is(kinds::POLICY.arm) {
        &["tenant", "audit"]
    } else if id.is(kinds::NAT_GATEWAY.arm) {
        &[FOLLOWS_TIMER]
    } else {
        service.map_or(&[], |_| SERVICE_BINDINGS)
    };
    // Servers alone are open without rules.
    let is_server = service.is_some_and(|kind| kind.dialect == Dialect::Server);
    let has = |path: &[&str]| {
        let first = path.first();
        first.is_some_and(|first| keys.contains(first) || (is_server && *first == OPEN))
    };
    let tags = TAGS.iter().filter(|(_, path, _)| has(path));
    tags.map(|(tag, ..)| format!("{PREFIX}{tag}")).collect()
}

/// Returns what is wrong with a tag that binds nothing of a resource of the type; nothing where it does.
/// `tag` is without what all begin with.
pub(in crate::spelling) fn unknown(id: &ResourceId, tag: &str) -> Option<String> {
    let known = tags_of(id);
    let is_known = known.contains(&format!("{PREFIX}{tag}"));
    (!is_known && !known.is_empty()).then(|| {
        format!(
            "the tag {PREFIX}{tag} binds nothing of a resource of the type {}; accepted: {}.",
            id.kind(),
            known.join(", ")
        )
    })
}

/// Returns the tag that set a key of a table, without what all begin with: the one of that name, or an
/// unknown one.
pub(in crate::spelling) fn tag_of_key(key: &str) -> Option<&str> {
    let known = TAGS.iter().find(|(_, path, _)| path.first() == Some(&key));
    match known {
        // Which of them it was cannot be told by the table.
        Some((_, [_, _, ..], _)) => Some("front-*"),
        Some((tag, ..)) => Some(tag),
        None => key.strip_prefix(PREFIX),
    }
}

/// Returns bindings as tags.
#[must_use]
pub fn tags(bound: &Object) -> Object {
    let mut tags = Object::new();
    for (tag, path, _) in TAGS {
        let mut value = Some(bound);
        let (last, outer) = path
            .split_last()
            .map_or(("", path), |(last, outer)| (*last, outer));
        for key in outer {
            value = value.and_then(|inner| json::object(inner, key));
        }
        if let Some(value) = value.and_then(|inner| json::field(inner, last)) {
            tags.insert(format!("{PREFIX}{tag}"), text(value).into());
        }
    }
    tags
}

/// Returns a value as a tag has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Returns the tags of a document that are bindings, by their names without what all begin with, in lower
/// case.
pub(in crate::spelling) fn tagged(document: &Document) -> BTreeMap<String, String> {
    let tags = json::object(&document.body, "tags").into_iter().flatten();
    let tags = tags.filter_map(|(tag, value)| {
        let lower = tag.to_ascii_lowercase();
        let tag = lower.strip_prefix(PREFIX)?;
        Some((tag.to_owned(), value.as_str()?.to_owned()))
    });
    tags.collect()
}

/// Returns the bindings of a resource: tags stand before what was said `beside` it. A tag that is no
/// binding stays under its own name, for the loader to refuse.
pub(in crate::spelling) fn bindings(beside: Option<&Arc<Object>>, document: &Document) -> Object {
    let mut bound = beside.map_or_else(Object::new, |beside| Object::clone(beside));
    for (tag, text) in tagged(document) {
        let known = TAGS.iter().find(|(known, ..)| *known == tag);
        let unknown = format!("{PREFIX}{tag}");
        let (path, form) = known.map_or_else(
            || (vec![unknown.as_str()], Form::Text),
            |(_, path, form)| (path.to_vec(), *form),
        );
        put(&mut bound, &path, form.read(&text));
    }
    bound
}

impl Lowerer<'_> {
    pub(super) fn bindings(&self, id: &str, document: &Document) -> Object {
        bindings(self.estate.binding(id), document)
    }

    /// Adds the bindings of a resource to its table.
    pub(super) fn bind(&self, id: &str, document: &Document, into: &mut Table) {
        let bound = self.bindings(id, document);
        into.extend(json::table_from(&bound));
    }
}

fn put(into: &mut Object, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => {
            into.insert((*key).to_owned(), value);
        }
        [key, rest @ ..] => {
            let inner = into.entry((*key).to_owned());
            let inner = inner.or_insert_with(|| Value::Object(Object::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
