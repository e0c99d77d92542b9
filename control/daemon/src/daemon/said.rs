//! What the configuration file said when it was brought into force last, so that a start can tell what
//! it says anew.
//!
//! The rule of who wins is one: **the last to speak about a resource wins.** `apply` and SIGHUP speak
//! about every resource of the file. A start speaks only about those that the file declares otherwise
//! than when it was brought into force last; what requests did to the others stays. Comments, layout
//! and the order of keys say nothing.

use crate::store::mark;
use postern_arm::id::ResourceId;
use postern_arm::seal::Seal;
use postern_network::spelling::Raised;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use toml::Table;

/// What a file says, as digests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// All of it.
    whole: String,
    /// Each of its resources, by the key of its ID.
    resources: BTreeMap<String, String>,
}

impl Said {
    /// Returns what a file says that was raised to these resources.
    pub(super) fn of(seal: &Seal, table: &Table, raised: &Raised) -> Self {
        let digest = |(id, body): &(ResourceId, serde_json::Map<String, Value>)| {
            let key = id.key();
            let digest = seal.digest_value(&key, &Value::Object(body.clone()));
            (key, digest)
        };
        Self {
            whole: mark(seal, table),
            resources: raised.documents.iter().map(digest).collect(),
        }
    }

    /// Returns what is kept as a text. One that is none of these, which an earlier version kept, is
    /// the mark of the whole.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            whole: text.to_owned(),
            resources: BTreeMap::new(),
        })
    }

    /// Returns the text that is kept.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| self.whole.clone())
    }

    /// Returns whether both say the same.
    pub(super) fn is_same(&self, earlier: &Self) -> bool {
        self.whole == earlier.whole
    }

    /// Returns whether this declares a resource otherwise than `earlier` did.
    pub(super) fn is_new(&self, earlier: &Self, id: &ResourceId) -> bool {
        let key = id.key();
        let before = earlier.resources.get(&key);
        before.is_none() || before != self.resources.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_network::spelling::raise;

    const FILE: &str = r#"
location = "koreacentral"
[[routeTable]]
name = "a"
[[routeTable]]
name = "b"
"#;

    fn said(text: &str) -> (Said, Vec<ResourceId>) {
        let table: Table = text.parse().unwrap();
        let raised = raise(&table);
        let ids = raised.documents.iter().map(|(id, _)| id.clone()).collect();
        (Said::of(&Seal::default(), &table, &raised), ids)
    }

    #[test]
    fn only_what_is_declared_otherwise_is_new() {
        let (before, ids) = said(FILE);
        let (same, _) = said(&format!("# a comment\n{FILE}\n"));
        assert!(same.is_same(&before) && ids.iter().all(|id| !same.is_new(&before, id)));
        let (after, _) = said(&format!("{FILE}disableBgpRoutePropagation = true\n"));
        assert!(!after.is_same(&before));
        assert_eq!(
            [&ids[0], &ids[1]].map(|id| after.is_new(&before, id)),
            [false, true]
        );
    }

    #[test]
    fn what_is_said_comes_back_from_the_store() {
        let (said, ids) = said(FILE);
        assert_eq!(Said::read(&said.text()), said);
        // Of an earlier version the whole is known, and nothing of a resource.
        let earlier = Said::read(&said.whole);
        assert!(said.is_same(&earlier) && said.is_new(&earlier, &ids[0]));
    }
}
