//! What was decided of a flow, held once for all flows that have it in common.
//!
//! Nearly all flows of a NIC to the same kind of destination were decided alike: the same route, the
//! same rules. What differs from flow to flow follows from its keys.

use super::{Admission, RouteKind, SourceKind, Tunnel};
use crate::policy::{RuleId, ServiceId};
use core::hash::BuildHasher;
use core::time::Duration;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

/// What flows can have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decision {
    pub(super) route: RouteKind,
    pub(super) service: Option<ServiceId>,
    pub(super) source: SourceKind,
    /// Both ends without what the flow's keys have of them.
    pub(super) tunnel: Option<Tunnel>,
    pub(super) rules: [Option<RuleId>; 4],
    pub(super) admission: Option<Admission>,
    pub(super) idle_timeout: Option<Duration>,
}

/// The number of a decision, for as long as it has a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecisionId(u32);

#[derive(Debug)]
struct Held {
    decision: Decision,
    holders: u32,
}

/// Decisions and how many flows hold each.
#[derive(Debug)]
pub(super) struct Decisions {
    held: Vec<Held>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: SeedableRandomState,
}

impl Decisions {
    pub(super) fn new(hasher: SeedableRandomState) -> Self {
        Self {
            held: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher,
        }
    }

    #[inline]
    pub(super) fn get(&self, id: DecisionId) -> Option<&Decision> {
        self.held.get(id.0 as usize).map(|held| &held.decision)
    }

    /// Notes one more holder, and returns the number to release later.
    pub(super) fn hold(&mut self, decision: Decision) -> DecisionId {
        let Self {
            held,
            free,
            index,
            hasher,
        } = self;
        let hash = hasher.hash_one(decision);
        let decision_of = |id: u32| held.get(id as usize).map(|held| &held.decision);
        if let Some(&id) = index.find(hash, |&id| decision_of(id) == Some(&decision)) {
            if let Some(held) = held.get_mut(id as usize) {
                held.holders += 1;
            }
            return DecisionId(id);
        }
        let new = Held {
            decision,
            holders: 1,
        };
        let id = match free.pop() {
            Some(id) => {
                if let Some(place) = held.get_mut(id as usize) {
                    *place = new;
                }
                id
            }
            None => {
                held.push(new);
                u32::try_from(held.len() - 1).unwrap_or(u32::MAX)
            }
        };
        index.insert_unique(hash, id, |&id| {
            let decision = held.get(id as usize).map(|held| held.decision);
            decision.map_or(0, |decision| hasher.hash_one(decision))
        });
        DecisionId(id)
    }

    /// Notes one holder less; without any the decision is forgotten.
    pub(super) fn release(&mut self, id: DecisionId) {
        let Some(held) = self.held.get_mut(id.0 as usize) else {
            return;
        };
        held.holders = held.holders.saturating_sub(1);
        if held.holders > 0 {
            return;
        }
        let hash = self.hasher.hash_one(held.decision);
        if let Ok(found) = self.index.find_entry(hash, |&other| other == id.0) {
            found.remove();
            self.free.push(id.0);
        }
    }

    /// Returns how many decisions are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}
