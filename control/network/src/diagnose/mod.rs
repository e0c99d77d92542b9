//! Answers about a model in the shapes of Azure's own diagnostics.
//!
//! The answers are computed from the model and the catalogue, by the same functions that compile
//! the policy, so that what is shown is what decides.

mod names;
mod next_hop;
pub mod nsg;
mod routes;
#[cfg(test)]
mod tests;
mod warnings;

pub use next_hop::{NextHop, next_hop};
pub use routes::{EffectiveRoute, EffectiveRoutes, effective_routes};
pub use warnings::{Warning, warnings};

use crate::catalog::Catalog;
use crate::compile::{Tags, VnetTags, prefixes};
use crate::model::{Learned, Model, Peer, Subnet, VirtualNetwork};
use ipnet::Ipv4Net;

/// Returns the addresses that one side of a rule stands for in a subnet of `vnet`, as the shortest
/// list of prefixes in ascending order; none for a tag that the catalogue lacks.
#[must_use]
pub fn expand(
    peer: &Peer,
    (model, learned): (&Model, &Learned),
    (vnet, subnet): (&VirtualNetwork, &Subnet),
    catalog: &Catalog,
) -> Vec<Ipv4Net> {
    let set = Tags::new(catalog).expand(peer, &VnetTags::new(model, learned, vnet, subnet));
    set.map(|set| prefixes(&set)).unwrap_or_default()
}
