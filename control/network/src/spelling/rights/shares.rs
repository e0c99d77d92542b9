//! The parts of the public pool: nobody takes it all while others may come.
//!
//! A subscription and a resource group may have as many addresses as the file says. Beside that, half of
//! the pool is kept in equal parts for the subscriptions, and the part of a subscription for its
//! resource groups: what is above the own part comes from the other half. Whoever makes many resource
//! groups divides the part of the own subscription by that, and nobody else's.

use super::Asked;
use super::public::{pool, range_of};
use crate::spelling::json;
use ipnet::Ipv4Net;
use postern_arm::document::Document;
use postern_arm::error::ArmError;
use postern_arm::estate::{Estate, ResourceChange};
use postern_arm::id::ResourceId;
use std::collections::HashMap;

/// Azure's limit of a subscription in a region, by default.
const PER_SUBSCRIPTION: u64 = 1000;

/// How many addresses of the pool each resource group has, by its key.
#[derive(Debug, Default)]
struct Held(HashMap<String, u64>);

impl Held {
    fn of(estate: &Estate, pool: &[Ipv4Net]) -> Self {
        let mut held = Self::default();
        for document in estate.documents() {
            let count = addresses(document, pool);
            if count > 0 {
                *held.0.entry(document.id.scope.key()).or_default() += count;
            }
        }
        held
    }

    fn group(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn subscription(&self, id: &str) -> u64 {
        let own = self.0.iter().filter(|(key, _)| subscription_of(key) == id);
        own.map(|(_, count)| count).sum()
    }

    fn all(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Returns which resource groups get more of the pool than they may have.
pub(super) fn check(asked: &Asked<'_>) -> Vec<ArmError> {
    let pool = pool(asked.now);
    let more = |change: &&ResourceChange| {
        let count = |document: Option<&Document>| document.map_or(0, |it| addresses(it, &pool));
        count(change.new.as_deref()) > count(change.old.as_deref())
    };
    let mut gaining: Vec<&ResourceId> = Vec::new();
    for change in asked.changes.iter().filter(more) {
        let id = change.new.as_ref().map(|new| &new.id);
        let is_known = |id: &&ResourceId| {
            let mut others = gaining.iter();
            others.any(|other| other.scope.key() == id.scope.key())
        };
        gaining.extend(id.filter(|id| !is_known(id)));
    }
    if gaining.is_empty() {
        return Vec::new();
    }
    let parts = Parts::new(asked, &pool);
    let refused = gaining.into_iter().filter_map(|id| parts.refusal(id));
    refused.collect()
}

/// The parts of the pool before and after a change.
struct Parts {
    per_subscription: u64,
    per_group: Option<u64>,
    /// How many addresses the pool has.
    size: u64,
    before: Held,
    after: Held,
    /// The keys of the resource groups by their subscription.
    groups: HashMap<String, Vec<String>>,
}

impl Parts {
    fn new(asked: &Asked<'_>, pool: &[Ipv4Net]) -> Self {
        let told = |key| {
            let pool = json::object(asked.now.host(), "publicIPPool")?;
            json::field(pool, key)?.as_u64()
        };
        let mut groups: HashMap<String, Vec<String>> = HashMap::new();
        for group in asked.next.groups() {
            let key = group.scope.key();
            let subscription = subscription_of(&key).to_owned();
            groups.entry(subscription).or_default().push(key);
        }
        Self {
            per_subscription: told("addressesPerSubscription").unwrap_or(PER_SUBSCRIPTION),
            per_group: told("addressesPerResourceGroup"),
            size: pool.iter().map(usable).sum(),
            before: Held::of(asked.now, pool),
            after: Held::of(asked.next, pool),
            groups,
        }
    }

    /// Returns the error for a resource whose group has more than it may have.
    fn refusal(&self, id: &ResourceId) -> Option<ArmError> {
        let group = id.scope.key();
        let subscription = subscription_of(&group);
        let mine = self.after.group(&group);
        // A change that brings no more in all, such as another name of one, is none of the pool's.
        if mine <= self.before.group(&group) {
            return None;
        }
        if self.after.subscription(subscription) > self.per_subscription {
            let message = format!(
                "Cannot create more than {} public IP addresses for this subscription in this region; \
                 accepted: fewer of them, or more by addressesPerSubscription of [publicIPPool].",
                self.per_subscription
            );
            return Some(reached(id, message));
        }
        let name = id.scope.group().unwrap_or_default();
        if let Some(most) = self.per_group.filter(|most| mine > *most) {
            let message = format!(
                "Cannot create more than {most} public IP addresses for the resource group '{name}'; \
                 accepted: fewer of them, or more by addressesPerResourceGroup of [publicIPPool]."
            );
            return Some(reached(id, message));
        }
        let own = self.own_part(subscription);
        let missing = self
            .kept_for_others(&group, subscription)
            .saturating_sub(self.size.saturating_sub(self.after.all()));
        if mine <= own || missing == 0 {
            return None;
        }
        let most = mine.saturating_sub(missing).max(own);
        let message = format!(
            "Cannot create more than {most} public IP addresses for the resource group '{name}' now, as \
             the rest of [publicIPPool] is kept for other resource groups and subscriptions; accepted: \
             fewer of them, or more prefixes of [publicIPPool]."
        );
        Some(reached(id, message))
    }

    /// Returns how many addresses are kept for each subscription.
    fn part(&self) -> u64 {
        let count = u64::try_from(self.groups.len()).unwrap_or(u64::MAX);
        self.size.div_ceil(count.max(1).saturating_mul(2))
    }

    /// Returns how many addresses are kept for each resource group of a subscription.
    fn own_part(&self, subscription: &str) -> u64 {
        let count = self.groups.get(subscription).map_or(1, Vec::len);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.part().div_ceil(count.max(1))
    }

    /// Returns how many addresses others may still want of what is kept for them.
    fn kept_for_others(&self, group: &str, subscription: &str) -> u64 {
        let part = self.part();
        let others = self.groups.keys().filter(|other| *other != subscription);
        let others = others.map(|other| part.saturating_sub(self.after.subscription(other)));
        let own = self.own_part(subscription);
        let groups = self.groups.get(subscription).into_iter().flatten();
        let groups = groups.filter(|other| *other != group);
        let groups: u64 = groups
            .map(|other| own.saturating_sub(self.after.group(other)))
            .sum();
        others.sum::<u64>().saturating_add(groups.min(part))
    }
}

fn reached(id: &ResourceId, message: String) -> ArmError {
    ArmError::bad_request("PublicIPCountLimitReached", message).at(id.to_string())
}

/// Returns how many addresses of the pool a resource has; those of a prefix are the prefix's.
fn addresses(document: &Document, pool: &[Ipv4Net]) -> u64 {
    let range = range_of(document);
    let range = range.filter(|range| pool.iter().any(|prefix| prefix.contains(range)));
    range.map_or(0, |range| size(&range))
}

fn size(range: &Ipv4Net) -> u64 {
    1_u64 << (32 - range.prefix_len())
}

/// Returns how many addresses of a prefix are given out: the edges of a wide one are not.
fn usable(prefix: &Ipv4Net) -> u64 {
    match size(prefix) {
        wide @ 3.. => wide - 2,
        narrow => narrow,
    }
}

/// Returns the subscription of the key of a resource group.
fn subscription_of(key: &str) -> &str {
    key.split('/').nth(2).unwrap_or_default()
}
