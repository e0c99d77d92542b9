//! Between ARM's documents and the model.
//!
//! An [`Estate`] holds the desired state as ARM has it. [`raise()`] turns
//! a configuration file into such documents; [`lower()`] turns an estate into the file's spelling, and
//! the loader of `config` makes the model of that: it is the single judge of what can be. For every
//! file that it accepts, loading the lowered documents of the raised file gives the same model.

mod dialect;
pub mod json;
pub mod kinds;
mod knowledge;
mod lower;
mod place;
mod raise;
mod refusal;
mod regional;
mod rights;
#[cfg(test)]
mod tests;

pub use knowledge::settings;
pub use lower::{lower, tags, without_effect};
pub use place::{Ids, Place, Places};
pub use raise::{Raised, raise};
pub use refusal::of_grants;
pub use regional::{locations, regional};
pub use rights::authorise;

use crate::catalog::Catalog;
use crate::config;
use crate::model::Model;
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;

/// Why an estate cannot be, in two languages.
#[derive(Clone, Debug)]
pub struct Refused {
    /// As Azure says it, with resource IDs.
    pub arm: Box<ArmError>,
    /// As the configuration file says it, a line an error; tables are called by their names.
    pub keys: String,
}

/// Returns the model that an estate amounts to.
///
/// # Errors
///
/// Everything in it that cannot be, each with the resource that it is about.
pub fn load(estate: &Estate, catalog: &Catalog) -> Result<Model, Refused> {
    let table = lower(estate);
    let model = config::parse_table(&table, catalog).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Refused {
            arm: Box::new(refusal::of_config(&Places::new(estate, &table), &errors)),
            keys: config::named_in(&table, &lines.join("\n")),
        }
    })?;
    rights::check_names(estate, &model).map_err(|error| Refused {
        keys: error.message.clone(),
        arm: Box::new(error),
    })?;
    Ok(model)
}
