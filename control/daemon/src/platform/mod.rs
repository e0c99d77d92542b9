//! What ARM's rules ask of the running fabric: the one transaction, previews and actions.

mod action;
#[cfg(test)]
mod hold;
mod live;
mod preview;
mod refusal;
#[cfg(test)]
mod tests;

pub use action::action;
pub(crate) use live::{Live, Ticket};
pub use preview::{Side, effects, preview};

use crate::fabric::FabricError;
use postern_arm::estate::Estate;
use postern_network::chain;
use postern_network::config;
use postern_network::spelling::{Places, Refused, lower};

/// Returns why the fabric did not take the model of an estate, with the resources that it is about.
#[must_use]
pub fn explain(estate: &Estate, error: &FabricError) -> Refused {
    let table = lower(estate);
    Refused {
        arm: Box::new(refusal::of_fabric(&Places::new(estate, &table), error)),
        keys: config::named_in(&table, &chain(error)),
    }
}
