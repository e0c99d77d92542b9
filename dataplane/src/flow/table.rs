//! Pairs by either of their keys, with a hard cap.

use super::wheel::{Link, Links, Wheel};
use super::{FlowKey, Pair, Side, Tunnel};
use crate::policy::PortId;
use crate::time::Now;
use core::hash::BuildHasher;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

/// The number of a pair; it may be given to another pair after this one is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairId(u32);

/// Why a pair was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// The initiator's key is there already.
    #[error("a flow with this tuple exists")]
    ForwardTaken,
    /// The reply key is there already: the translated tuple is in use.
    #[error("a flow with this reply tuple exists")]
    ReplyTaken,
    /// The cap is reached.
    #[error("the flow table is full")]
    Full,
}

#[derive(Debug)]
struct Slot {
    pair: Option<Pair>,
    link: Link,
}

/// Pairs in one piece of memory that never moves: its room is reserved, not touched, at the start.
#[derive(Debug)]
struct Slots(Vec<Slot>);

impl Slots {
    #[inline]
    fn pair(&self, id: u32) -> Option<&Pair> {
        self.0.get(id as usize)?.pair.as_ref()
    }

    /// Returns the key that an index entry stands for.
    #[inline]
    fn key(&self, entry: u32) -> Option<FlowKey> {
        Some(self.pair(entry >> 1)?.key(side_of(entry)))
    }

    /// Returns the key that an index entry stands for, with what it lacks of the addresses.
    fn full_key(&self, entry: u32) -> Option<(FlowKey, Option<Tunnel>)> {
        let pair = self.pair(entry >> 1)?;
        Some(full_key(pair, side_of(entry)))
    }
}

impl Links for Slots {
    fn link(&mut self, id: u32) -> Option<&mut Link> {
        self.0.get_mut(id as usize).map(|slot| &mut slot.link)
    }
}

/// All flow pairs of an engine.
///
/// The index holds 32-bit entries, pair and side, and compares against the keys in the pairs. It
/// is keyed by a seed of the process, so that tuples which collide cannot be chosen from outside.
#[derive(Debug)]
pub struct FlowTable {
    slots: Slots,
    free: Vec<u32>,
    max: usize,
    index: HashTable<u32>,
    /// How many pairs were opened by each port, and to it.
    counts: Vec<[u32; 2]>,
    hasher: SeedableRandomState,
    wheel: Wheel,
}

fn entry(id: u32, side: Side) -> u32 {
    id << 1 | side as u32
}

/// Returns a key of a pair, and the addresses that it is told apart by from others like it.
fn full_key(pair: &Pair, side: Side) -> (FlowKey, Option<Tunnel>) {
    let tunnel = match side {
        Side::Initiator => None,
        Side::Responder => pair.why.tunnel,
    };
    (pair.key(side), tunnel)
}

#[inline]
fn side_of(entry: u32) -> Side {
    if entry & 1 == 0 {
        Side::Initiator
    } else {
        Side::Responder
    }
}

impl FlowTable {
    /// Returns an empty table that takes `max` pairs, at most 2^30, and hashes by `seed`.
    #[must_use]
    pub fn new(max: u32, seed: u64) -> Self {
        let max = max.min(1 << 30) as usize;
        Self {
            slots: Slots(Vec::with_capacity(max)),
            free: Vec::new(),
            max,
            index: HashTable::with_capacity(max * 2),
            counts: Vec::new(),
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            wheel: Wheel::new(),
        }
    }

    /// Returns how many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.0.len() - self.free.len()
    }

    /// Returns whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many pairs the table takes.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Returns how many pairs `port` opened, or how many were opened to it.
    #[must_use]
    pub fn count_of(&self, port: PortId, side: Side) -> u32 {
        let counts = self.counts.get(usize::from(port.0));
        counts
            .and_then(|counts| counts.get(side as usize))
            .copied()
            .unwrap_or(0)
    }

    /// Returns the count of the port that a key comes in by, made at first use.
    fn count_mut(&mut self, key: FlowKey, side: Side) -> Option<&mut u32> {
        let port = usize::from(key.port().0);
        if port >= self.counts.len() {
            self.counts.resize(port + 1, [0; 2]);
        }
        self.counts.get_mut(port)?.get_mut(side as usize)
    }

    /// Returns an upper bound of the numbers of pairs, for walking over them.
    #[must_use]
    pub fn bound(&self) -> u32 {
        u32::try_from(self.slots.0.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn hash(&self, key: FlowKey) -> u64 {
        self.hasher.hash_one(key.words())
    }

    /// Returns the pair whose responder sends packets of this key between these addresses.
    #[must_use]
    pub fn find_tunnelled(&self, key: FlowKey, tunnel: &Tunnel) -> Option<(PairId, Side)> {
        let wanted = Some((key, Some(*tunnel)));
        let hash = hash_full(&self.hasher, (key, Some(*tunnel)));
        let slots = &self.slots;
        let &entry = self
            .index
            .find(hash, |&entry| slots.full_key(entry) == wanted)?;
        Some((PairId(entry >> 1), side_of(entry)))
    }

    /// Returns the pair that has this key, and which side's key it is.
    #[must_use]
    #[inline]
    pub fn find(&self, key: FlowKey) -> Option<(PairId, Side)> {
        let slots = &self.slots;
        let &entry = self
            .index
            .find(self.hash(key), |&entry| slots.key(entry) == Some(key))?;
        Some((PairId(entry >> 1), side_of(entry)))
    }

    /// Returns the pair with this number.
    #[must_use]
    #[inline]
    pub fn get(&self, id: PairId) -> Option<&Pair> {
        self.slots.pair(id.0)
    }

    /// Returns the pair at this place of a walk up to [`Self::bound`], if there is one.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<(PairId, &Pair)> {
        Some((PairId(place), self.slots.pair(place)?))
    }

    /// Returns the pair with this number, to change it. Its keys must not be changed.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.slots.0.get_mut(id.0 as usize)?.pair.as_mut()
    }

    /// Returns every pair.
    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.slots.0.iter().filter_map(|slot| slot.pair.as_ref())
    }

    /// Inserts both directions of a pair, the reply key first, and arms its expiry.
    ///
    /// # Errors
    ///
    /// An [`InsertError`] together with the pair, so that its lease can be returned; the table is
    /// as before.
    pub fn insert(
        &mut self,
        pair: Pair,
        deadline: Now,
    ) -> Result<PairId, (InsertError, Box<Pair>)> {
        let (forward, reply) = (pair.key(Side::Initiator), pair.key(Side::Responder));
        let is_taken = match &pair.why.tunnel {
            None => self.find(reply).is_some(),
            Some(tunnel) => self.find_tunnelled(reply, tunnel).is_some(),
        };
        if self.len() >= self.max {
            return Err((InsertError::Full, Box::new(pair)));
        }
        if is_taken {
            return Err((InsertError::ReplyTaken, Box::new(pair)));
        }
        if forward == reply || self.find(forward).is_some() {
            return Err((InsertError::ForwardTaken, Box::new(pair)));
        }
        let slot = Slot {
            pair: Some(pair),
            link: Link::NEW,
        };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.slots.0.get_mut(id as usize) {
                    *place = slot;
                }
                id
            }
            None => {
                let id = self.bound();
                self.slots.0.push(slot);
                id
            }
        };
        self.add_to_index(entry(id, Side::Responder));
        self.add_to_index(entry(id, Side::Initiator));
        for (key, side) in [(forward, Side::Initiator), (reply, Side::Responder)] {
            if let Some(count) = self.count_mut(key, side) {
                *count += 1;
            }
        }
        self.wheel.arm(&mut self.slots, id, deadline);
        Ok(PairId(id))
    }

    fn add_to_index(&mut self, entry: u32) {
        let Self {
            slots,
            index,
            hasher,
            ..
        } = self;
        let hash = |entry: &u32| {
            slots
                .full_key(*entry)
                .map_or(0, |key| hash_full(hasher, key))
        };
        index.insert_unique(hash(&entry), entry, hash);
    }

    /// Removes both directions of a pair and returns it.
    pub fn remove(&mut self, id: PairId) -> Option<Pair> {
        self.get(id)?;
        self.wheel.disarm(&mut self.slots, id.0);
        self.take(id)
    }

    /// Removes a pair that is not in the wheel.
    fn take(&mut self, id: PairId) -> Option<Pair> {
        for side in [Side::Initiator, Side::Responder] {
            let full_key = full_key(self.get(id)?, side);
            let (key, wanted) = (full_key.0, entry(id.0, side));
            let hash = hash_full(&self.hasher, full_key);
            if let Ok(found) = self.index.find_entry(hash, |&entry| entry == wanted) {
                found.remove();
            }
            if let Some(count) = self.count_mut(key, side) {
                *count = count.saturating_sub(1);
            }
        }
        let pair = self.slots.0.get_mut(id.0 as usize)?.pair.take()?;
        self.free.push(id.0);
        Some(pair)
    }

    /// Moves a pair's expiry to `deadline`; needed only when it becomes earlier.
    pub fn rearm(&mut self, id: PairId, deadline: Now) {
        if self.get(id).is_some() {
            self.wheel.disarm(&mut self.slots, id.0);
            self.wheel.arm(&mut self.slots, id.0, deadline);
        }
    }

    /// Takes one pair that may be due at `now` out of the wheel. The caller either removes it by
    /// [`Self::remove_due`] or arms it again by [`Self::arm_due`].
    pub fn pop_due(&mut self, now: Now) -> Option<PairId> {
        self.wheel.pop(&mut self.slots, now).map(PairId)
    }

    /// Removes a pair that [`Self::pop_due`] returned.
    pub fn remove_due(&mut self, id: PairId) -> Option<Pair> {
        self.take(id)
    }

    /// Arms a pair that [`Self::pop_due`] returned.
    pub fn arm_due(&mut self, id: PairId, deadline: Now) {
        self.wheel.arm(&mut self.slots, id.0, deadline);
    }
}

/// Returns the hash of a key: of its words alone where it has all of its addresses.
fn hash_full(hasher: &SeedableRandomState, (key, tunnel): (FlowKey, Option<Tunnel>)) -> u64 {
    match tunnel {
        None => hasher.hash_one(key.words()),
        Some(tunnel) => hasher.hash_one((key.words(), tunnel.client.to_bits())),
    }
}

#[cfg(test)]
mod tests;
