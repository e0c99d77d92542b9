//! What ARM asks of a running fabric, and what principals may bind.

#[path = "../../../../network/src/spelling/tests/estates.rs"]
mod estates;
mod rights;
mod running;

use super::*;
use estates::*;
use postern_arm::document::Origin;
use postern_arm::estate::{Conditions, Stage};
use postern_arm::id::ResourceId;
use postern_network::model::Model;
use postern_network::spelling::{authorise, load, raise, regional, settings};
use serde_json::{Value, json};
use std::sync::Arc;
