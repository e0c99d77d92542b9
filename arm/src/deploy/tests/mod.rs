//! Deployments on resources that are kept in a map: what the language and the order make of a template.

mod language;
mod memory;
mod quickstarts;

use super::*;
pub(super) use memory::{Memory, deployment, request};
