//! What of two models is worth a look: most changes leave nearly everything as it is.

use crate::model::Model;
use std::collections::HashMap;

/// Returns the two models without the resources that are the same in both. Of what there is one of,
/// everything stays.
pub(super) fn differing(old: &Model, new: &Model) -> (Model, Model) {
    let single = |model: &Model| Model {
        settings: model.settings,
        timers: model.timers,
        internet: model.internet.clone(),
        platform: model.platform.clone(),
        default_outbound: model.default_outbound,
        public_pool: model.public_pool.clone(),
        dns: model.dns.clone(),
        ..Model::default()
    };
    let (mut before, mut after) = (single(old), single(new));
    macro_rules! reduce {
        ($($list:ident),*) => { $(
            (before.$list, after.$list) = lists(&old.$list, &new.$list, |it| &it.name);
        )* };
    }
    reduce!(
        nat_gateways,
        route_tables,
        gateways,
        policies,
        vnets,
        nics,
        asgs,
        nsgs,
        services
    );
    (before, after)
}

/// Returns the resources of two lists that are not the same in the other one.
fn lists<T: Clone + PartialEq>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
) -> (Vec<T>, Vec<T>) {
    // Mostly one of many differs, or one has come or gone: the rest stands at either end.
    let same = old.iter().zip(new).take_while(|(old, new)| old == new);
    let first = same.count();
    let (old, new) = (
        old.get(first..).unwrap_or_default(),
        new.get(first..).unwrap_or_default(),
    );
    let same = old.iter().rev().zip(new.iter().rev());
    let last = same.take_while(|(old, new)| old == new).count();
    let but = |list: &[T]| list.len().saturating_sub(last);
    let (old, new) = (
        old.get(..but(old)).unwrap_or_default(),
        new.get(..but(new)).unwrap_or_default(),
    );
    (beyond(old, new, &name), beyond(new, old, &name))
}

/// Returns what of a list is not in the other one as it is.
fn beyond<T: Clone + PartialEq>(list: &[T], other: &[T], name: &impl Fn(&T) -> &String) -> Vec<T> {
    let known: HashMap<String, &T> = other
        .iter()
        .map(|resource| (name(resource).to_ascii_lowercase(), resource))
        .collect();
    let is_there = |resource: &&T| {
        let known = known.get(&name(resource).to_ascii_lowercase());
        known.is_some_and(|known| *known == *resource)
    };
    list.iter()
        .filter(|resource| !is_there(resource))
        .cloned()
        .collect()
}
