//! Between ARM's documents and the model.
//!
//! An [`Estate`](postern_arm::estate::Estate) holds the desired state as ARM has it. [`raise`] turns
//! a configuration file into such documents; [`lower`] turns an estate into the file's spelling, and
//! the loader of `config` makes the model of that: it is the single judge of what can be. For every
//! file that it accepts, loading the lowered documents of the raised file gives the same model.

mod dialect;
mod json;
mod kinds;
mod lower;
mod raise;
#[cfg(test)]
mod tests;

pub use lower::{lower, without_effect};
pub use raise::{Raised, raise};
