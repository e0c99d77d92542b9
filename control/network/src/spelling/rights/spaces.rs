//! Address spaces: a range of a virtual network is nobody else's outside, for everybody on this host.

use super::{Asked, disallowed};
use crate::config::permits;
use crate::model::UNROUTED;
use crate::spelling::json;
use crate::spelling::kinds::VNET;
use ipnet::Ipv4Net;
use postern_arm::document::Document;
use postern_arm::error::ArmError;

/// Returns what is not allowed of the address spaces that a request brings: a public range is somebody's
/// outside, who could not come to anybody here any more, or as whom the network could come to a service.
pub(super) fn check(asked: &Asked<'_>) -> Vec<ArmError> {
    let mut refused = Vec::new();
    for change in &asked.changes {
        let Some(new) = change.new.as_deref().filter(|new| new.id.is(VNET.arm)) else {
            continue;
        };
        let before = change.old.as_deref().map(ranges).unwrap_or_default();
        let is_inside = |range: &Ipv4Net, of: &[Ipv4Net]| of.iter().any(|it| it.contains(range));
        let mut public = ranges(new);
        public.retain(|range| !is_inside(range, UNROUTED) && !is_inside(range, &before));
        if public.is_empty() {
            continue;
        }
        let permits = permits(&json::table_from(asked.now.host()));
        let allows = permits.iter().filter(|permit| permit.fits(&new.id));
        let allows: Vec<_> = allows.map(|permit| &permit.allow).collect();
        public.retain(|range| !allows.iter().any(|allow| allow.space(range)));
        if let Some(range) = public.first() {
            let known = allows.iter().flat_map(|allow| &allow.spaces);
            let known: Vec<_> = UNROUTED
                .iter()
                .chain(known)
                .map(ToString::to_string)
                .collect();
            let why = format!(
                "addressPrefixes has {range}, which is public; accepted: ranges in {}, and public ones \
                 that the administrator allows by addressSpaces of an `allow` in a [[bind]] of the \
                 configuration file.",
                known.join(", ")
            );
            let property = "properties.addressSpace.addressPrefixes";
            refused.push(disallowed(&new.id, property, &why));
        }
    }
    refused
}

fn ranges(vnet: &Document) -> Vec<Ipv4Net> {
    let space = json::object(json::properties(&vnet.body), "addressSpace").into_iter();
    let prefixes = space.flat_map(|space| json::texts(space, "addressPrefixes"));
    prefixes.filter_map(|prefix| prefix.parse().ok()).collect()
}
