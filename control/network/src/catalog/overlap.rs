//! Prefixes that two services claim.

use super::services::Service;
use super::{Catalog, Locations};
use ipnet::Ipv4Net;
use std::fmt;

/// A prefix of one service that lies inside a prefix of another one, or is equal to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The service of the shorter prefix.
    pub outer: &'static str,
    /// The shorter prefix.
    pub outer_prefix: Ipv4Net,
    /// The service of the longer prefix.
    pub inner: &'static str,
    /// The longer prefix.
    pub inner_prefix: Ipv4Net,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outer,
            outer_prefix,
            inner,
            inner_prefix,
        } = self;
        write!(
            f,
            "{inner_prefix} of {inner} lies in {outer_prefix} of {outer}"
        )
    }
}

/// Returns every overlap between two services. Nothing is refused: the longest prefix wins, and of
/// equal ones the service whose name comes first.
pub(super) fn find(catalog: &Catalog) -> Vec<Overlap> {
    let families = Service::all()
        .iter()
        .filter(|service| service.family().name == service.name);
    let mut prefixes: Vec<(Ipv4Net, &'static str)> = families
        .flat_map(|service| {
            let prefixes = catalog.prefixes(service, &Locations::All);
            prefixes
                .into_iter()
                .map(move |prefix| (prefix, service.name))
        })
        .collect();
    // Ascending by address, then the shorter prefix first: a prefix follows all that contain it.
    prefixes.sort_unstable_by_key(|&(prefix, name)| (prefix.network(), prefix.prefix_len(), name));
    let mut open: Vec<(Ipv4Net, &'static str)> = Vec::new();
    let mut found = Vec::new();
    for (inner_prefix, inner) in prefixes {
        open.retain(|(outer, _)| outer.contains(&inner_prefix));
        let others = open.iter().filter(|(_, outer)| *outer != inner);
        found.extend(others.map(|&(outer_prefix, outer)| Overlap {
            outer,
            outer_prefix,
            inner,
            inner_prefix,
        }));
        open.push((inner_prefix, inner));
    }
    found
}
