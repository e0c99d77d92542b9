//! Where resources are filed in ARM, and what they are called there.
//!
//! A resource is known in the file by its `name`, which is the only one of its kind in the file. ARM has
//! names by resource group, so that two resources may be called alike there: `resourceName` says what
//! ARM calls one whose name in the file is another.

use super::access;
use super::loader::{Loader, is_name};
use super::problem::Problem;
use super::section::Section;
use crate::model::Scope;
use toml::{Table, Value};

/// The key of what ARM calls a resource, where that is not its name in the file.
pub(crate) const RESOURCE_NAME: &str = "resourceName";

/// Where a resource is filed.
pub(super) struct Filed {
    pub(super) scope: Scope,
    /// What ARM calls it.
    pub(super) name: String,
}

/// Returns what ARM calls the resource that a table declares.
pub(crate) fn name_in_arm(table: &Table) -> Option<&str> {
    let text = |key| table.get(key).and_then(Value::as_str);
    text(RESOURCE_NAME).or_else(|| text("name"))
}

impl Loader<'_> {
    /// Reads where a resource of the type `kind` is filed and what ARM calls it, and claims its ID. `name`
    /// is what the file calls it, if that can be read.
    pub(super) fn filed(&mut self, section: &Section<'_>, kind: &str, name: Option<&str>) -> Filed {
        const A_NAME: &str = "the name of the resource in ARM";
        let scope = access::scope(section, &self.model.scope);
        let told = section.text(RESOURCE_NAME, A_NAME);
        if told.is_some_and(|told| !is_name(told)) {
            section.refuse(RESOURCE_NAME, Problem::BadName);
        }
        let name = told.or(name);
        let key = if told.is_some() {
            RESOURCE_NAME
        } else {
            "name"
        };
        if let Some(name) = name {
            let id = scope.id(kind, name).to_ascii_lowercase();
            if let Err(other) = self.ids.claim(id, &section.key(key)) {
                section.refuse(key, Problem::SameResource(other));
            }
        }
        Filed {
            scope,
            name: name.unwrap_or_default().to_owned(),
        }
    }

    /// Reads where a resource is filed whose place and region are of no account to the model, but can be
    /// wrong.
    pub(super) fn filed_anywhere(&mut self, section: &Section<'_>, kind: &str, name: Option<&str>) {
        self.filed(section, kind, name);
        if section.has("location") {
            self.location(section);
        }
    }
}
