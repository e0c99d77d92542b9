//! Deployments on resources that are kept in a map: what the language and the order make of a template.

mod broken;
mod costs;
mod language;
mod memory;
mod nested;
mod quickstarts;
mod secrets;
mod shapes;
mod size;

use super::*;
pub(super) use memory::{Memory, deployment, request};
