//! The law of the bridge, and what ARM says that the configuration does not.

mod arm;
mod law;

use super::*;
use crate::catalog::Catalog;
use crate::config;
use crate::model::Model;
use postern_arm::document::{Document, Origin};
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::LazyLock;
use toml::Table;

pub(super) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

/// Puts documents into an estate as the estate itself would, without its checks.
pub(super) fn estate(raised: Raised) -> Estate {
    let mut estate = Estate::default();
    for (id, body) in raised.documents {
        put(&mut estate, id, body);
    }
    let mut parts = estate.to_parts();
    let bindings = raised.bindings.into_iter();
    parts.bindings = bindings.map(|(id, bound)| (id.key(), bound)).collect();
    parts.host = raised.host;
    Estate::from_parts(parts)
}

/// Puts a document; its alias is its name, or that with its group if the name is taken.
pub(super) fn put(estate: &mut Estate, id: ResourceId, body: serde_json::Map<String, Value>) {
    let same_kind = estate.documents().filter(|it| it.id.is(&id.kind()));
    let taken: HashSet<String> = same_kind.map(|it| it.alias.to_ascii_lowercase()).collect();
    let name = id.name().to_owned();
    let alias = if taken.contains(&name.to_ascii_lowercase()) {
        format!("{name}.{}", id.scope.group().unwrap())
    } else {
        name
    };
    assert_eq!(estate.document(&id), None, "an ID twice");
    let mut parts = estate.to_parts();
    parts.version += 1;
    let document = Document {
        alias,
        origin: Origin::Api,
        created: parts.version,
        created_at: 0,
        version: parts.version,
        body,
        id,
    };
    parts.documents.push(document);
    *estate = Estate::from_parts(parts);
}

pub(super) fn load(table: &Table) -> Model {
    config::parse_table(table, &CATALOG).unwrap_or_else(|errors| panic!("{errors:#?}"))
}
