//! The names of what can be referred to.

use super::loader::tables;
use std::collections::HashMap;
use toml::{Table, Value};

/// Names of one kind, whether or not the rest of the resources can be read: a reference to something
/// broken is not a second error.
#[derive(Debug, Default)]
pub(super) struct Names {
    in_order: Vec<String>,
    /// Places in the list by the name in lower case.
    places: HashMap<String, usize>,
}

impl Names {
    /// Returns the names that tables under a key have.
    pub(super) fn of(table: &Table, key: &str) -> Self {
        let tables = tables(table, key).into_iter();
        tables.filter_map(own_name).collect()
    }

    /// Returns the name as it is spelled where it is declared.
    pub(super) fn find(&self, name: &str) -> Option<&String> {
        let place = self.places.get(&name.to_ascii_lowercase())?;
        self.in_order.get(*place)
    }

    /// Returns the names as an error lists them.
    pub(super) fn listed(&self, kind: &str) -> String {
        if self.in_order.is_empty() {
            format!("none, the file declares no {kind}")
        } else {
            self.in_order.join(", ")
        }
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let mut all = Self::default();
        for name in names {
            let place = all.in_order.len();
            all.places.entry(name.to_ascii_lowercase()).or_insert(place);
            all.in_order.push(name);
        }
        all
    }
}

/// Returns the name of a table.
pub(super) fn own_name(table: &Table) -> Option<String> {
    table.get("name").and_then(Value::as_str).map(str::to_owned)
}
