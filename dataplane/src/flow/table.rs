//! Pairs by either of their keys, with a hard cap.
//!
//! A pair has one number, which is its place in two arrays: its record, which every packet of it needs,
//! and its remains, which it does not: its place in the timing wheel and its age. The index leads from
//! a key to the number and the side. Room for all of it is reserved at the start and touched when it
//! is used, so that nothing ever moves.

mod room;

use super::decisions::{Decision, Decisions};
use super::pair::patience;
use super::shares::{Opener, Place, Places, Shares};
use super::wheel::{Link, Links, Wheel};
use super::{FlowKey, Life, Pair, Side, TcpTrack, Tunnel, Why};
use crate::index::{Index, tag_of};
use crate::policy::{Epoch, Timers};
use crate::snat::Lease;
use crate::time::Now;
use core::hash::BuildHasher;
use core::time::Duration;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

/// How many keys are looked up together: as many reads as a core has under way at once.
const TOGETHER: usize = 32;

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

/// What a pair is opened with.
#[derive(Debug)]
pub struct Opening {
    /// The keys by which packets of the initiator and of the responder come in.
    pub keys: [FlowKey; 2],
    /// Whose flow it is.
    pub opener: Opener,
    /// Why it is so. What follows from the keys must be as in them.
    pub why: Why,
    /// The policy that decided it.
    pub epoch: Epoch,
    /// How long the flow lives when it is idle, where its network or its public source sets that.
    pub idle_timeout: Option<Duration>,
    /// TCP's state.
    pub tcp: Option<TcpTrack>,
    /// The public port.
    pub lease: Option<Lease>,
    /// When it is opened.
    pub now: Now,
}

impl Opening {
    /// Returns how long the pair stays without another packet.
    #[must_use]
    pub fn patience(&self, timers: &Timers) -> Duration {
        let [key, _] = self.keys;
        let tcp = self.tcp.as_ref();
        patience(Life::Live, tcp, key.protocol(), self.idle_timeout, timers)
    }
}

/// What is left of a pair that was removed.
#[must_use = "its lease goes back to its pool"]
#[derive(Debug)]
pub struct Ended {
    /// Its keys, the initiator's first.
    pub keys: [FlowKey; 2],
    /// Whether packets passed until then.
    pub life: Life,
    /// Its public port.
    pub lease: Option<Lease>,
}

/// What packets do not need of a pair.
#[derive(Clone, Copy, Debug)]
struct Remains {
    link: Link,
    place: Place,
    opened: Now,
}

impl Links for Vec<Remains> {
    fn link(&mut self, id: u32) -> Option<&mut Link> {
        self.get_mut(id as usize).map(|remains| &mut remains.link)
    }
}

impl Places for Vec<Remains> {
    fn place(&mut self, id: u32) -> Option<&mut Place> {
        self.get_mut(id as usize).map(|remains| &mut remains.place)
    }
}

/// All flow pairs of an engine.
///
/// The index is keyed by a seed of the process, so that tuples which collide cannot be chosen from
/// outside.
#[derive(Debug)]
pub struct FlowTable {
    pairs: Vec<Option<Pair>>,
    remains: Vec<Remains>,
    /// The first of the places that have no pair; the others follow it, link by link.
    free: Option<u32>,
    len: usize,
    max: usize,
    /// By the number and the side.
    index: Index,
    decisions: Decisions,
    hasher: SeedableRandomState,
    wheel: Wheel,
    shares: Shares,
}

fn entry(id: u32, side: Side) -> u32 {
    id << 1 | side as u32
}

#[inline]
fn found(entry: u32) -> (PairId, Side) {
    let side = if entry & 1 == 0 {
        Side::Initiator
    } else {
        Side::Responder
    };
    (PairId(entry >> 1), side)
}

impl FlowTable {
    /// Returns an empty table that takes `max` pairs, at most 2^30, and hashes by `seed`.
    #[must_use]
    pub fn new(max: u32, seed: u64) -> Self {
        let max = max.min(1 << 30) as usize;
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self {
            pairs: Vec::with_capacity(max),
            remains: Vec::with_capacity(max),
            free: None,
            len: 0,
            max,
            index: Index::new(max * 2),
            decisions: Decisions::new(hasher.clone()),
            hasher,
            wheel: Wheel::new(),
            shares: Shares::new(max),
        }
    }

    /// Returns how many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many pairs the table takes.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Returns an upper bound of the numbers of pairs, for walking over them.
    #[must_use]
    pub fn bound(&self) -> u32 {
        u32::try_from(self.pairs.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn tag(&self, key: FlowKey) -> u32 {
        tag_of(self.hasher.hash_one(key.words()))
    }

    /// Returns the tag of the answers of a flow with these ends, of which the client's are enough.
    fn tunnelled_tag(&self, key: FlowKey, prefixes: &Tunnel) -> u32 {
        let full = (key.words(), prefixes.client.to_bits());
        tag_of(self.hasher.hash_one(full))
    }

    /// Returns the tag of one side's key of a pair.
    fn tag_of_side(&self, pair: &Pair, side: Side) -> u32 {
        let decision = self.decisions.get(pair.decision);
        match (side, decision.and_then(|decision| decision.tunnel)) {
            (Side::Responder, Some(prefixes)) => self.tunnelled_tag(pair.key(side), &prefixes),
            _ => self.tag(pair.key(side)),
        }
    }

    /// Returns the pair whose responder sends packets of this key between these addresses, whose low
    /// bits are in the key.
    #[must_use]
    pub fn find_tunnelled(&self, key: FlowKey, tunnel: &Tunnel) -> Option<(PairId, Side)> {
        let prefixes = tunnel.prefixes();
        debug_assert_eq!(prefixes.completed(key), *tunnel, "the key is of its ends");
        let tag = self.tunnelled_tag(key, &prefixes);
        let is_it = |entry| {
            let (id, side) = found(entry);
            self.get(id).is_some_and(|pair| {
                let decision = self.decisions.get(pair.decision);
                pair.key(side) == key
                    && decision.is_some_and(|decision| decision.tunnel == Some(prefixes))
            })
        };
        self.index.find(tag, is_it).map(found)
    }

    /// Returns the pair that has this key, and which side's key it is.
    #[must_use]
    #[inline]
    pub fn find(&self, key: FlowKey) -> Option<(PairId, Side)> {
        if key.is_tunnelled() {
            // Its words are not all that it takes.
            return None;
        }
        let is_it = |entry| {
            let (id, side) = found(entry);
            self.get(id).is_some_and(|pair| pair.key(side) == key)
        };
        self.index.find(self.tag(key), is_it).map(found)
    }

    /// Reads what packets of these keys will need, all at once: apart, each of them would wait for it
    /// alone. Nothing depends on it.
    pub fn touch(&self, mut keys: impl Iterator<Item = FlowKey>) {
        loop {
            let mut tags = [0; TOGETHER];
            let mut count = 0;
            for (tag, key) in tags.iter_mut().zip(&mut keys) {
                *tag = self.tag(key);
                count += 1;
            }
            let Some(tags) = tags.get(..count).filter(|tags| tags.len() > 1) else {
                return;
            };
            // Short loops without a branch, so that the reads do not wait for one another.
            let slots = tags.iter().map(|&tag| self.index.touch(tag));
            core::hint::black_box(slots.fold(0, |all, slot| all ^ slot));
            let mut ids = [PairId(u32::MAX); TOGETHER];
            for (id, &tag) in ids.iter_mut().zip(tags) {
                // Another key may have the same tag; then this was of no use, once in a long while.
                let entry = self.index.find(tag, |_| true);
                *id = PairId(entry.map_or(u32::MAX, |entry| entry >> 1));
            }
            let pairs = ids.iter().take(count).map(|&id| self.get(id));
            let lines = pairs.map(|pair| pair.map_or(0, Pair::touch));
            core::hint::black_box(lines.fold(0, |all, line| all ^ line));
        }
    }

    /// Returns the pair with this number.
    #[must_use]
    #[inline]
    pub fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(id.0 as usize)?.as_ref()
    }

    /// Returns the pair at this place of a walk up to [`Self::bound`], if there is one.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<(PairId, &Pair)> {
        let id = PairId(place);
        Some((id, self.get(id)?))
    }

    /// Returns the pair with this number, to change it.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.get_mut(id.0 as usize)?.as_mut()
    }

    /// Returns every pair.
    pub fn iter(&self) -> impl Iterator<Item = (PairId, &Pair)> {
        (0..self.bound()).filter_map(|place| self.at(place))
    }

    fn decision(&self, id: PairId) -> Option<&Decision> {
        self.decisions.get(self.get(id)?.decision)
    }

    /// Returns why a pair is as it is.
    #[must_use]
    pub fn why(&self, id: PairId) -> Option<Why> {
        let answer = self.get(id)?.key(Side::Responder);
        let decision = self.decision(id)?;
        let is_public = decision.source != super::SourceKind::Private;
        Some(Why {
            route: decision.route,
            service: decision.service,
            source: decision.source,
            public: is_public.then_some(answer.destination()),
            egress: answer.port(),
            destination: answer.source(),
            tunnel: decision.tunnel.map(|tunnel| tunnel.completed(answer)),
            rules: decision.rules,
            admission: decision.admission,
        })
    }

    /// Returns the ends of a pair as its responder sees them, if it gets the packets over IPv6.
    #[must_use]
    #[inline]
    pub fn tunnel(&self, id: PairId) -> Option<Tunnel> {
        let answer = self.get(id)?.key(Side::Responder);
        let prefixes = self.decision(id)?.tunnel?;
        Some(prefixes.completed(answer))
    }

    /// Returns when a pair was opened.
    #[must_use]
    pub fn opened(&self, id: PairId) -> Option<Now> {
        self.remains
            .get(id.0 as usize)
            .map(|remains| remains.opened)
    }

    /// Returns how long a pair lives when it is idle, where its network or its public source sets that.
    #[must_use]
    pub fn idle_timeout(&self, id: PairId) -> Option<Duration> {
        self.decision(id)?.idle_timeout
    }

    /// Sets how long a pair lives when it is idle; its expiry stays as it is.
    pub fn set_idle_timeout(&mut self, id: PairId, idle_timeout: Option<Duration>) {
        let Some(&decision) = self.decision(id) else {
            return;
        };
        let new = self.decisions.hold(Decision {
            idle_timeout,
            ..decision
        });
        if let Some(pair) = self.get_mut(id) {
            let old = core::mem::replace(&mut pair.decision, new);
            self.decisions.release(old);
        }
    }

    /// Inserts both directions of a pair, the reply key first, and arms its expiry.
    ///
    /// # Errors
    ///
    /// An [`InsertError`] together with the lease, so that it can be returned; the table is as before.
    pub fn insert(
        &mut self,
        opening: Opening,
        deadline: Now,
    ) -> Result<PairId, (InsertError, Option<Lease>)> {
        let [forward, reply] = opening.keys;
        let is_taken = match &opening.why.tunnel {
            None => self.find(reply).is_some(),
            Some(tunnel) => self.find_tunnelled(reply, tunnel).is_some(),
        };
        if self.len >= self.max {
            return Err((InsertError::Full, opening.lease));
        }
        if is_taken {
            return Err((InsertError::ReplyTaken, opening.lease));
        }
        if forward == reply || self.find(forward).is_some() {
            return Err((InsertError::ForwardTaken, opening.lease));
        }
        self.place(opening, deadline)
    }

    /// Inserts a pair whose keys are free.
    fn place(
        &mut self,
        opening: Opening,
        deadline: Now,
    ) -> Result<PairId, (InsertError, Option<Lease>)> {
        let Opening {
            keys,
            opener,
            why,
            epoch,
            idle_timeout,
            tcp,
            lease,
            now,
        } = opening;
        let decision = self.decisions.hold(Decision {
            route: why.route,
            service: why.service,
            source: why.source,
            tunnel: why.tunnel.map(Tunnel::prefixes),
            rules: why.rules,
            admission: why.admission,
            idle_timeout,
        });
        let pair = Pair::new(keys, (epoch, decision), tcp, lease.is_some(), now);
        debug_assert!(lease.is_none() || lease == lease_of(&pair), "it is kept");
        let id = self.free.unwrap_or(self.bound());
        if !self.add_to_index(&pair, id) {
            self.decisions.release(decision);
            return Err((InsertError::Full, lease));
        }
        self.put(id, pair, now);
        self.shares.open(&mut self.remains, id, opener);
        debug_assert_eq!(self.why(PairId(id)), Some(why), "it is kept");
        self.wheel.arm(&mut self.remains, id, deadline);
        Ok(PairId(id))
    }

    /// Adds both keys of a pair, or none; returns whether there was room.
    fn add_to_index(&mut self, pair: &Pair, id: u32) -> bool {
        let reply = (
            self.tag_of_side(pair, Side::Responder),
            entry(id, Side::Responder),
        );
        let forward = (
            self.tag_of_side(pair, Side::Initiator),
            entry(id, Side::Initiator),
        );
        if !self.index.insert(reply.0, reply.1) {
            return false;
        }
        let is_in = self.index.insert(forward.0, forward.1);
        if !is_in {
            self.index.remove(reply.0, reply.1);
        }
        is_in
    }

    /// Puts a pair where none is, at the first free place or at the end.
    fn put(&mut self, id: u32, pair: Pair, now: Now) {
        let remains = Remains {
            link: Link::NEW,
            place: Place::NEW,
            opened: now,
        };
        let at = id as usize;
        match (self.pairs.get_mut(at), self.remains.get_mut(at)) {
            (Some(place), Some(others)) => {
                self.free = others.link.next_free();
                *place = Some(pair);
                *others = remains;
            }
            _ => {
                self.pairs.push(Some(pair));
                self.remains.push(remains);
            }
        }
        self.len += 1;
    }

    /// Removes both directions of a pair and returns what is left of it.
    pub fn remove(&mut self, id: PairId) -> Option<Ended> {
        self.get(id)?;
        self.wheel.disarm(&mut self.remains, id.0);
        self.take(id)
    }

    /// Removes a pair that is not in the wheel.
    fn take(&mut self, id: PairId) -> Option<Ended> {
        let pair = self.pairs.get_mut(id.0 as usize)?.take()?;
        for side in [Side::Initiator, Side::Responder] {
            let tag = self.tag_of_side(&pair, side);
            self.index.remove(tag, entry(id.0, side));
        }
        self.decisions.release(pair.decision);
        self.shares.close(&mut self.remains, id.0);
        if let Some(remains) = self.remains.get_mut(id.0 as usize) {
            remains.link = Link::free(self.free);
            self.free = Some(id.0);
        }
        self.len -= 1;
        Some(Ended {
            keys: pair.keys(),
            life: pair.life,
            lease: lease_of(&pair),
        })
    }

    /// Moves a pair's expiry to `deadline`; needed only when it becomes earlier.
    pub fn rearm(&mut self, id: PairId, deadline: Now) {
        if self.get(id).is_some() {
            self.wheel.disarm(&mut self.remains, id.0);
            self.wheel.arm(&mut self.remains, id.0, deadline);
        }
    }

    /// Takes one pair that may be due at `now` out of the wheel. The caller either removes it by
    /// [`Self::remove_due`] or arms it again by [`Self::arm_due`].
    pub fn pop_due(&mut self, now: Now) -> Option<PairId> {
        self.wheel.pop(&mut self.remains, now).map(PairId)
    }

    /// Removes a pair that [`Self::pop_due`] returned.
    pub fn remove_due(&mut self, id: PairId) -> Option<Ended> {
        self.take(id)
    }

    /// Arms a pair that [`Self::pop_due`] returned.
    pub fn arm_due(&mut self, id: PairId, deadline: Now) {
        self.wheel.arm(&mut self.remains, id.0, deadline);
    }
}

/// Returns the public port that a pair leases, which its keys tell.
fn lease_of(pair: &Pair) -> Option<Lease> {
    let [sent, reply] = pair.keys();
    let way = sent.way(reply.destination());
    pair.is_leased
        .then(|| Lease::kept(way, reply.destination_port(), sent.port()))
}

#[cfg(test)]
mod tests;
