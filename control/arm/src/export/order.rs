//! The order in which resources can be deployed.

use super::Resource;
use std::collections::{BTreeMap, BTreeSet};

/// An order of resources.
#[derive(Debug)]
pub(super) struct Order<'r> {
    /// Level by level: each needs only what is in earlier ones.
    pub(super) levels: Vec<Vec<&'r Resource>>,
    /// The keys of those in the last level that need each other, such as an account that lets a subnet
    /// in, and the subnet's policy that names the account.
    pub(super) tangled: BTreeSet<String>,
}

/// Returns the order of the resources.
pub(super) fn order(resources: &[Resource]) -> Order<'_> {
    let mut done: BTreeSet<String> = BTreeSet::new();
    let all: BTreeMap<String, &Resource> = resources.iter().map(|it| (it.key(), it)).collect();
    let mut left: Vec<&Resource> = resources.iter().collect();
    let mut levels: Vec<Vec<&Resource>> = Vec::new();
    let mut tangled = BTreeSet::new();
    while !left.is_empty() {
        let is_ready = |resource: &&Resource| {
            let mut needs = resource.needs.iter();
            needs.all(|need| done.contains(need) || !all.contains_key(need))
        };
        let (mut ready, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(is_ready);
        left = rest;
        if ready.is_empty() {
            ready = std::mem::take(&mut left);
            tangled = ready.iter().map(|resource| resource.key()).collect();
        }
        done.extend(ready.iter().map(|resource| resource.key()));
        levels.push(ready);
    }
    Order { levels, tangled }
}
