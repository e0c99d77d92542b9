//! Services as they are shown: in ARM's shape, and what ARM does not say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Its resource ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type in ARM.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its region.
    pub location: String,
    /// Its network rules as ARM spells them for the type.
    pub properties: Value,
    /// What ARM does not say.
    pub postern: OwnView,
}

/// What there is to say of a service beside its ARM shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnView {
    /// The endpoint that leads to it.
    pub service: String,
    /// Its address.
    pub address: String,
    /// Its name in the DNS.
    pub host: String,
    /// The namespace of its device.
    pub namespace: String,
    /// `native` or `st6`.
    pub delivery: String,
    /// Whether a front stands before it.
    pub has_front: bool,
    /// `Allow` or `Deny`: what becomes of callers that no rule matches.
    pub otherwise: String,
    /// The rules in the order in which they decide.
    pub rules: Vec<RuleView>,
}

/// A network rule, whatever its dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    /// Its list and its name there.
    pub name: String,
    /// Whom it is about.
    pub who: String,
    /// `Allow` or `Deny`.
    pub access: String,
    /// What became of it, in the words of the service.
    pub state: String,
}
