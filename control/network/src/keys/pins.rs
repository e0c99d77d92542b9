//! The processes that bindings were written for, kept over restarts as keys are: a number is given to
//! another process some day, and that one is not who was meant.

use crate::model::Pin;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Processes by what is bound to them: `nic/NAME`, `service/NAME`, `front/NAME`, `gateway/NAME`,
/// `internet` or `platform`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pins(pub BTreeMap<String, Pin>);
