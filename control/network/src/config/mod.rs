//! The configuration file: TOML that is a short spelling of ARM resources.
//!
//! The file is read once, from the resources that others refer to towards those that refer. Every
//! error is collected, with its key, its value and what would be accepted; a model comes out only
//! if there is none. Nothing here looks at the host: whether a namespace exists is for `attach` to
//! say.

mod access;
mod api;
mod bind;
mod device;
mod dns;
mod filing;
mod front;
mod glob;
mod groups;
mod loader;
mod names;
mod network;
mod placing;
mod policies;
mod pool;
mod problem;
mod resources;
mod routing;
mod rules;
mod section;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use access::{claimed_name, host_suffixes, own_host, resource_types};
pub(crate) use bind::allow::{Allow, AskedBackend};
pub(crate) use bind::{Permit, permits};
pub(crate) use filing::{RESOURCE_NAME, name_in_arm};
pub use placing::natural_address;
pub use problem::{ConfigError, ConfigErrors, Problem};
pub use section::Accepted;
pub use source::{Source, named_in};

use crate::catalog::Catalog;
use crate::model::Model;
use loader::Loader;
use section::Errors;
use std::path::Path;
use toml::Table;

/// Reads a configuration; `file` is what errors call it.
///
/// # Errors
///
/// It is not TOML, or declares something that cannot be; the error names every such place.
pub fn parse(file: &Path, text: &str, catalog: &Catalog) -> Result<Model, ConfigErrors> {
    check(file, &parse_text(file, text)?, catalog)
}

/// A configuration file that is TOML.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What it says.
    pub table: Table,
    /// Where it says it.
    pub source: Source,
}

/// Reads a configuration whose TOML [`parse_text`] has read; `file` is what errors call it.
///
/// # Errors
///
/// As [`parse_table`].
pub fn check(file: &Path, parsed: &Parsed, catalog: &Catalog) -> Result<Model, ConfigErrors> {
    parse_table(&parsed.table, catalog).map_err(|errors| ConfigErrors::Invalid {
        file: file.to_owned(),
        errors,
        places: Box::new(parsed.source.clone()),
    })
}

/// Reads the TOML of a configuration; `file` is what errors call it.
///
/// # Errors
///
/// It is not TOML.
pub fn parse_text(file: &Path, text: &str) -> Result<Parsed, ConfigErrors> {
    let table = text.parse().map_err(|error| syntax(file, text, &error))?;
    let source = Source::read(text);
    Ok(Parsed { table, source })
}

/// Reads a configuration that is TOML already.
///
/// # Errors
///
/// Everything in it that cannot be; there is one at least.
pub fn parse_table(table: &Table, catalog: &Catalog) -> Result<Model, Vec<ConfigError>> {
    let errors = Errors::default();
    let completed = bind::completed(table, &errors);
    let model = Loader::new(table, &errors, catalog).load(&completed);
    let errors = errors.into_vec();
    if errors.is_empty() {
        Ok(model)
    } else {
        Err(errors)
    }
}

fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> ConfigErrors {
    let at = error.span().map_or(text.len(), |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line_start = before
        .rfind('\n')
        .map_or(0, |newline| newline.saturating_add(1));
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    ConfigErrors::Syntax {
        file: file.to_owned(),
        line: before.matches('\n').count().saturating_add(1),
        column: column.saturating_add(1),
        message: error.message().lines().collect::<Vec<_>>().join(", "),
    }
}
