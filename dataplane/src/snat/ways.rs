//! How many leases each way has.
//!
//! There can be as many ways as flows, and they come and go with them: the index never grows and is
//! never hashed anew, so that no packet waits for that.

use super::Way;
use crate::index::{Index, tag_of};
use core::hash::BuildHasher;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

#[derive(Debug)]
struct Count {
    way: Way,
    leases: u32,
}

/// Ways with at least one lease. Hashed by a seed of the process: destinations are chosen outside.
#[derive(Debug)]
pub(super) struct Ways {
    counts: Vec<Count>,
    free: Vec<u32>,
    index: Index,
    hasher: SeedableRandomState,
}

impl Ways {
    /// Returns room for `max` ways, whose memory is taken as it is used.
    pub(super) fn new(max: usize, seed: u64) -> Self {
        Self {
            counts: Vec::with_capacity(max),
            free: Vec::with_capacity(max),
            index: Index::new(max),
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
        }
    }

    fn find(&self, way: &Way) -> (u32, Option<u32>) {
        let tag = tag_of(self.hasher.hash_one(way));
        let is_it = |at: u32| {
            let count = self.counts.get(at as usize);
            count.is_some_and(|count| count.way == *way)
        };
        (tag, self.index.find(tag, is_it))
    }

    /// Returns how many leases a way has.
    pub(super) fn leases(&self, way: &Way) -> u32 {
        let (_, at) = self.find(way);
        let count = at.and_then(|at| self.counts.get(at as usize));
        count.map_or(0, |count| count.leases)
    }

    /// Notes one more lease, and returns whether there was room.
    pub(super) fn add(&mut self, way: Way) -> bool {
        let (tag, at) = self.find(&way);
        if let Some(count) = at.and_then(|at| self.counts.get_mut(at as usize)) {
            count.leases += 1;
            return true;
        }
        let new = Count { way, leases: 1 };
        let at = match self.free.last() {
            Some(&at) => at,
            None => u32::try_from(self.counts.len()).unwrap_or(u32::MAX),
        };
        if at == u32::MAX || !self.index.insert(tag, at) {
            return false;
        }
        match self.counts.get_mut(at as usize) {
            Some(place) => {
                self.free.pop();
                *place = new;
            }
            None => self.counts.push(new),
        }
        true
    }

    /// Notes one lease less. With its last one a way is forgotten.
    pub(super) fn remove(&mut self, way: &Way) {
        let (tag, Some(at)) = self.find(way) else {
            return;
        };
        let Some(count) = self.counts.get_mut(at as usize) else {
            return;
        };
        count.leases = count.leases.saturating_sub(1);
        if count.leases == 0 {
            self.index.remove(tag, at);
            self.free.push(at);
        }
    }

    /// Returns how many ways have a lease.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counts.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    proptest! {
        #[test]
        fn counts_like_a_plain_map(
            steps in prop::collection::vec((any::<bool>(), 0u16..12), 0..300),
            seed in any::<u64>(),
        ) {
            let way = |destination_port| Way {
                address: Ipv4Addr::LOCALHOST,
                protocol: 6,
                destination: Ipv4Addr::BROADCAST,
                destination_port,
            };
            let mut ways = Ways::new(12, seed);
            let mut map: HashMap<u16, u32> = HashMap::new();
            for (adds, port) in steps {
                if adds {
                    prop_assert!(ways.add(way(port)));
                    *map.entry(port).or_default() += 1;
                } else if let Some(leases) = map.get_mut(&port) {
                    ways.remove(&way(port));
                    *leases -= 1;
                    map.retain(|_, leases| *leases > 0);
                } else {
                    ways.remove(&way(port));
                }
                prop_assert_eq!(ways.len(), map.len());
                for port in 0..12 {
                    let leases = map.get(&port).copied().unwrap_or(0);
                    prop_assert_eq!(ways.leases(&way(port)), leases);
                }
            }
        }
    }
}
