//! Which leases each way has.
//!
//! There can be as many ways as flows, and they come and go with them: the index never grows and is
//! never hashed anew, so that no packet waits for that.

use super::Way;
use super::pool::PortsByClass;
use super::taken::Taken;
use crate::index::{Index, tag_of};
use crate::policy::PortId;
use core::hash::BuildHasher;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

#[derive(Debug)]
struct Leased {
    way: Way,
    /// None at a place that no way has.
    taken: Option<Taken>,
}

/// Ways with at least one lease. Hashed by a seed of the process: destinations are chosen outside.
#[derive(Debug)]
pub(super) struct Ways {
    leased: Vec<Leased>,
    free: Vec<u32>,
    index: Index,
    hasher: SeedableRandomState,
}

impl Ways {
    /// Returns room for `max` ways, whose memory is taken as it is used.
    pub(super) fn new(max: usize, seed: u64) -> Self {
        Self {
            leased: Vec::with_capacity(max),
            free: Vec::with_capacity(max),
            index: Index::new(max),
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
        }
    }

    fn find(&self, way: &Way) -> (u32, Option<u32>) {
        let tag = tag_of(self.hasher.hash_one(way));
        let is_it = |at: u32| {
            let leased = self.leased.get(at as usize);
            leased.is_some_and(|leased| leased.way == *way)
        };
        (tag, self.index.find(tag, is_it))
    }

    /// Returns the leases of a way, if it has any.
    pub(super) fn get(&self, way: &Way) -> Option<&Taken> {
        let (_, at) = self.find(way);
        self.leased.get(at? as usize)?.taken.as_ref()
    }

    /// Notes one more lease, and returns whether there was room.
    pub(super) fn add(
        &mut self,
        way: Way,
        port: u16,
        guest: PortId,
        by_class: &PortsByClass,
    ) -> bool {
        let (tag, at) = self.find(&way);
        let known = at.and_then(|at| self.leased.get_mut(at as usize));
        if let Some(taken) = known.and_then(|leased| leased.taken.as_mut()) {
            taken.add(port, guest, by_class);
            return true;
        }
        let new = Leased {
            way,
            taken: Some(Taken::One(port, guest)),
        };
        let at = match self.free.last() {
            Some(&at) => at,
            None => u32::try_from(self.leased.len()).unwrap_or(u32::MAX),
        };
        if at == u32::MAX || !self.index.insert(tag, at) {
            return false;
        }
        match self.leased.get_mut(at as usize) {
            Some(place) => {
                self.free.pop();
                *place = new;
            }
            None => self.leased.push(new),
        }
        true
    }

    /// Notes one lease less. With its last one a way is forgotten.
    pub(super) fn remove(&mut self, way: &Way, port: u16, guest: PortId, by_class: &PortsByClass) {
        let (tag, Some(at)) = self.find(way) else {
            return;
        };
        let Some(leased) = self.leased.get_mut(at as usize) else {
            return;
        };
        let taken = leased.taken.as_mut();
        if taken.is_none_or(|taken| taken.remove(port, guest, by_class)) {
            leased.taken = None;
            self.index.remove(tag, at);
            self.free.push(at);
        }
    }

    /// Returns how many ways have a lease.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.leased.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Classes;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::Ipv4Addr;

    proptest! {
        #[test]
        fn leases_are_those_of_a_plain_map(
            steps in prop::collection::vec((any::<bool>(), 0u16..12, 1024u16..1034, 0u16..3), 0..300),
            seed in any::<u64>(),
        ) {
            let by_class = PortsByClass::new(Classes::ONE);
            let way = |destination_port| Way {
                address: Ipv4Addr::LOCALHOST,
                protocol: 6,
                destination: Ipv4Addr::BROADCAST,
                destination_port,
            };
            let mut ways = Ways::new(12, seed);
            let mut map: BTreeMap<u16, BTreeSet<(u16, u16)>> = BTreeMap::new();
            for (adds, to, port, guest) in steps {
                let held = map.entry(to).or_default();
                let owner = held.iter().find(|of| of.0 == port).copied();
                match (adds, owner) {
                    (true, None) => {
                        prop_assert!(ways.add(way(to), port, PortId(guest), &by_class));
                        held.insert((port, guest));
                    }
                    (false, Some((port, guest))) => {
                        ways.remove(&way(to), port, PortId(guest), &by_class);
                        held.remove(&(port, guest));
                    }
                    _ => {}
                }
                map.retain(|_, held| !held.is_empty());
                prop_assert_eq!(ways.len(), map.len());
                for to in 0..12 {
                    let held = map.get(&to);
                    let taken = ways.get(&way(to));
                    prop_assert_eq!(taken.map(Taken::len), held.map(|held| u32::try_from(held.len()).unwrap()));
                    for guest in 0..3 {
                        let count = held.map(|held| held.iter().filter(|of| of.1 == guest).count());
                        let counted = taken.map(|taken| taken.of_guest(PortId(guest)) as usize);
                        prop_assert_eq!(counted, count);
                    }
                }
            }
        }
    }
}
