//! The law of the bridge, and what ARM says that the configuration does not.

mod arm;
mod errors;
mod estates;
mod filed;
mod generate;
mod law;
mod size;

use super::*;
use crate::config;
use crate::model::Model;
use estates::*;
use postern_arm::document::Origin;
use postern_arm::estate::{Conditions, Estate, Stage};
use postern_arm::id::ResourceId;
use serde_json::{Map, Value, json};
use toml::Table;

pub(super) fn load(table: &Table) -> Model {
    config::parse_table(table, &CATALOG).unwrap_or_else(|errors| panic!("{errors:#?}"))
}
