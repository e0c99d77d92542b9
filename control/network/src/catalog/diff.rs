//! What a newer service-tag file changes: prefixes that come and go, tag by tag.

use super::Catalog;
use super::file::Tag;
use super::services::Service;
use ipnet::Ipv4Net;
use std::collections::BTreeSet;

/// A tag that differs between two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// Its name.
    pub name: String,
    /// Its change number before; none if it is new.
    pub before: Option<u64>,
    /// Its change number now; none if it is gone.
    pub after: Option<u64>,
    /// IPv4 prefixes that it has now and did not have, in ascending order.
    pub added: Vec<Ipv4Net>,
    /// IPv4 prefixes that it does not have any more, in ascending order.
    pub removed: Vec<Ipv4Net>,
}

/// A service whose tags differ between two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChange {
    /// The service.
    pub service: &'static str,
    /// IPv4 prefixes that one of its tags has now and none of them had, in ascending order.
    pub added: Vec<Ipv4Net>,
    /// IPv4 prefixes that one of its tags had and none of them has now, in ascending order.
    pub removed: Vec<Ipv4Net>,
    /// Its tags that differ, in alphabetical order. One whose number alone differs has other IPv6
    /// prefixes, or other words.
    pub tags: Vec<TagChange>,
}

impl Catalog {
    /// Returns the services whose tags differ in `newer`, in the catalogue's order.
    #[must_use]
    pub fn service_changes(&self, newer: &Self) -> Vec<ServiceChange> {
        let families = Service::all()
            .iter()
            .filter(|service| service.family().name == service.name);
        families
            .filter_map(|service| {
                let names = names(service, [self, newer]);
                let tags: Vec<_> = names
                    .iter()
                    .filter_map(|name| self.tag_change(newer, name))
                    .collect();
                let (before, after) = (self.union(&names), newer.union(&names));
                (!tags.is_empty()).then(|| ServiceChange {
                    service: service.name,
                    added: after.difference(&before).copied().collect(),
                    removed: before.difference(&after).copied().collect(),
                    tags,
                })
            })
            .collect()
    }

    /// Returns what differs in the tag with this name, in any case; none if nothing does.
    #[must_use]
    pub fn tag_change(&self, newer: &Self, name: &str) -> Option<TagChange> {
        let (old, new) = (self.tag(name), newer.tag(name));
        let prefixes = |tag: Option<&Tag>| -> BTreeSet<Ipv4Net> {
            tag.map(|tag| tag.prefixes.iter().copied().collect())
                .unwrap_or_default()
        };
        let (before, after) = (prefixes(old), prefixes(new));
        let change = TagChange {
            name: new.or(old)?.name.clone(),
            before: old.map(|tag| tag.change_number),
            after: new.map(|tag| tag.change_number),
            added: after.difference(&before).copied().collect(),
            removed: before.difference(&after).copied().collect(),
        };
        (change.before != change.after || before != after).then_some(change)
    }

    /// Returns whether both have the same tags of the same file version.
    #[must_use]
    pub fn is_same_data(&self, other: &Self) -> bool {
        (self.change_number, &self.cloud, &self.tags)
            == (other.change_number, &other.cloud, &other.tags)
    }

    fn union(&self, names: &BTreeSet<String>) -> BTreeSet<Ipv4Net> {
        names
            .iter()
            .filter_map(|name| self.tag(name))
            .flat_map(|tag| tag.prefixes.iter().copied())
            .collect()
    }
}

/// Returns the lower-case names of a service's tags in any of the files, regional ones included.
fn names(service: &Service, catalogs: [&Catalog; 2]) -> BTreeSet<String> {
    let is_own = |name: &str| {
        let base = name.split('.').next().unwrap_or_default();
        service
            .tags
            .iter()
            .any(|tag| tag.eq_ignore_ascii_case(base))
    };
    catalogs
        .iter()
        .flat_map(|catalog| catalog.tags())
        .map(|tag| tag.name.to_ascii_lowercase())
        .filter(|name| is_own(name))
        .collect()
}
