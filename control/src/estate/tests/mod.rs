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
use std::sync::{Arc, LazyLock};
use toml::Table;

pub(super) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

/// Puts documents into an estate as the estate itself would, without its checks.
pub(super) fn estate(raised: Raised) -> Estate {
    let mut estate = Estate::default();
    for (id, body) in raised.documents {
        put(&mut estate, id, body);
    }
    for (id, bound) in raised.bindings {
        estate.bindings.insert(id.key(), Arc::new(bound));
    }
    estate.host = Arc::new(raised.host);
    estate
}

/// Puts a document; its alias is its name, or that with its group if the name is taken.
pub(super) fn put(estate: &mut Estate, id: ResourceId, body: serde_json::Map<String, Value>) {
    let same_kind = estate.documents.values().filter(|it| it.id.is(&id.kind()));
    let taken: HashSet<String> = same_kind.map(|it| it.alias.to_ascii_lowercase()).collect();
    let name = id.name().to_owned();
    let alias = if taken.contains(&name.to_ascii_lowercase()) {
        format!("{name}.{}", id.scope.group().unwrap())
    } else {
        name
    };
    estate.version += 1;
    let document = Document {
        alias,
        origin: Origin::Api,
        version: estate.version,
        body,
        id,
    };
    let before = estate
        .documents
        .insert(document.id.key(), Arc::new(document));
    assert_eq!(before, None, "an ID twice");
}

pub(super) fn load(table: &Table) -> Model {
    config::parse_table(table, &CATALOG).unwrap_or_else(|errors| panic!("{errors:#?}"))
}
