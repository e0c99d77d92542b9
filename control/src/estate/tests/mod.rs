//! The law of the bridge, and what ARM says that the configuration does not.

mod arm;
mod errors;
mod filed;
mod generate;
mod law;
mod rights;
mod running;
mod size;

use super::*;
use crate::catalog::Catalog;
use crate::config;
use crate::model::Model;
use postern_arm::document::Origin;
use postern_arm::estate::{Conditions, Estate, Stage};
use postern_arm::id::{ResourceId, Scope};
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use toml::Table;

pub(super) static CATALOG: LazyLock<Arc<Catalog>> =
    LazyLock::new(|| Arc::new(Catalog::bundled().unwrap()));

/// Puts what a file declares into an estate.
pub(super) fn estate(raised: Raised) -> Estate {
    let mut stage = staged(raised.host, raised.documents, Origin::File);
    for (id, bound) in raised.bindings {
        stage.bind(&id, Some(bound));
    }
    stage.into_estate()
}

/// Puts documents into an estate, with their groups; whether what they name is there is not checked.
pub(super) fn staged(
    host: Map<String, Value>,
    documents: Vec<(ResourceId, Map<String, Value>)>,
    origin: Origin,
) -> Stage {
    let mut stage = Stage::new(&Estate::default(), &settings(&host, &CATALOG, 1));
    stage.set_host(host);
    for (id, mut body) in documents {
        let group = Scope::Group(
            id.scope.subscription().unwrap().to_owned(),
            id.scope.group().unwrap().to_owned(),
        );
        let location = json!({ "location": "koreacentral" });
        stage.put_group(&group, location).unwrap();
        body.entry("location").or_insert("koreacentral".into());
        let put = stage.put(&id, body.into(), &Conditions::none(), origin);
        put.unwrap_or_else(|error| panic!("{id}: {error:?}"));
    }
    stage
}

pub(super) fn load(table: &Table) -> Model {
    config::parse_table(table, &CATALOG).unwrap_or_else(|errors| panic!("{errors:#?}"))
}
