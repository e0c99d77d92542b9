//! Whose flows there are, and which of them give way when the table is full.
//!
//! Flows are counted by their *opener*: the port that they came in by and, where many hosts are behind
//! one port, what they are towards, so that a flood at one NIC or service is not a flood at another. A
//! flow *waits* until its other end has answered, and a TCP connection until its handshake is done.
//! What waits costs its opener nothing to make, so it is what gives way: of the opener that has the most
//! of it, the oldest first. Who has few that wait loses none, and what is answered stays.
//!
//! An answer is cheap too where the other end helps. So the answered flows of a port are *kept*
//! only while they are fewer than what is left of the table beside all that are kept: one port keeps a
//! half at most, a second one a quarter, and there is always something left for another. Answered flows
//! beyond that go on, but give way like those that wait. Of one port's kept flows, an opener has fewer
//! than what is left to the port.
//!
//! Every list is threaded through the pairs' places, and openers with about as many flows that wait
//! stand in one class, four classes to a doubling: to open, to answer, to end and to find what gives way
//! each take a few steps, however many flows and openers there are.

use crate::policy::PortId;
use core::hash::BuildHasher;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

const NIL: u32 = u32::MAX;
/// Where a place's `older` would be: the flow is in no list.
const KEPT: u32 = u32::MAX - 1;
/// Classes: four to each power of two.
const CLASSES: usize = 128;
/// How many openers there is room for without an allocation.
const OPENERS: usize = 64;
/// What is towards the platform.
const PLATFORM: u32 = u32::MAX;

/// Whose flow it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opener {
    port: PortId,
    /// 0 where one host is behind the port.
    towards: u32,
}

impl Opener {
    /// Returns the opener of flows of one host behind a port.
    #[must_use]
    pub const fn host(port: PortId) -> Self {
        Self { port, towards: 0 }
    }

    /// Returns the opener of a port's flows to the platform's addresses: names are resolved while the
    /// rest of a guest's flows are in each other's way.
    #[must_use]
    pub const fn to_platform(port: PortId) -> Self {
        let towards = PLATFORM;
        Self { port, towards }
    }

    /// Returns the opener of flows of the many hosts behind a port, towards one of ours, whose number is
    /// neither the first nor the last.
    #[must_use]
    pub const fn many(port: PortId, towards: u32) -> Self {
        Self { port, towards }
    }

    /// Returns whether many hosts are behind it.
    #[must_use]
    pub const fn is_many(self) -> bool {
        self.towards != 0 && self.towards != PLATFORM
    }

    /// Returns the opener under which all flows of a port with many hosts are counted together.
    const fn whole(self) -> Self {
        Self {
            port: self.port,
            towards: if self.is_many() { 0 } else { self.towards },
        }
    }
}

/// How many flows an opener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareView {
    /// The port that they came in by.
    pub port: PortId,
    /// All, those that rest included.
    pub flows: u32,
    /// Those of them that give way.
    pub waiting: u32,
}

/// A pair's place among the flows of its opener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    share: u32,
    older: u32,
    newer: u32,
}

impl Place {
    pub(super) const NEW: Self = Self {
        share: NIL,
        older: KEPT,
        newer: NIL,
    };

    /// Returns whether the pair gives way.
    pub(super) fn waits(&self) -> bool {
        self.older != KEPT
    }
}

/// Gives access to the places of the pairs, which their owner keeps.
pub(super) trait Places {
    fn place(&mut self, id: u32) -> Option<&mut Place>;
}

/// The flows of one opener.
#[derive(Clone, Copy, Debug)]
struct Share {
    opener: Opener,
    /// Of the port with many hosts that it is part of.
    whole: Option<u32>,
    flows: u32,
    waiting: u32,
    oldest: u32,
    newest: u32,
    class: usize,
    /// Its neighbours in the class.
    previous: u32,
    next: u32,
}

impl Share {
    fn new(opener: Opener, whole: Option<u32>) -> Self {
        Self {
            opener,
            whole,
            flows: 0,
            waiting: 0,
            oldest: NIL,
            newest: NIL,
            class: 0,
            previous: NIL,
            next: NIL,
        }
    }

    fn kept(&self) -> u32 {
        self.flows.saturating_sub(self.waiting)
    }
}

/// The shares of all openers that have flows.
#[derive(Debug)]
pub(super) struct Shares {
    shares: Vec<Share>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// The first opener of each class.
    heads: [u32; CLASSES],
    /// Bit set: the class has an opener.
    classes: u128,
    /// How many flows the table takes.
    max: u32,
    kept: u32,
    waiting: u32,
}

/// Returns the class of a count, 0 for none.
fn class_of(count: u32) -> usize {
    match count {
        0..4 => count as usize,
        _ => {
            let doubling = count.ilog2();
            let quarter = count >> (doubling - 2) & 3;
            (doubling as usize - 1) * 4 + quarter as usize
        }
    }
}

impl Shares {
    pub(super) fn new(max: usize) -> Self {
        Self {
            shares: Vec::with_capacity(OPENERS),
            free: Vec::with_capacity(OPENERS),
            index: HashTable::with_capacity(OPENERS),
            heads: [NIL; CLASSES],
            classes: 0,
            max: u32::try_from(max).unwrap_or(u32::MAX),
            kept: 0,
            waiting: 0,
        }
    }

    /// Returns how many flows give way.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    fn get(&self, at: u32) -> Option<&Share> {
        self.shares.get(at as usize)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut Share> {
        self.shares.get_mut(at as usize)
    }

    fn find(&self, opener: Opener) -> Option<u32> {
        let hash = FixedState::default().hash_one(opener);
        let is_it = |&at: &u32| self.get(at).is_some_and(|share| share.opener == opener);
        self.index.find(hash, is_it).copied()
    }

    /// Returns the share of an opener, made at its first flow.
    fn share(&mut self, opener: Opener) -> u32 {
        if let Some(at) = self.find(opener) {
            return at;
        }
        let whole = opener.is_many().then(|| self.share(opener.whole()));
        let new = Share::new(opener, whole);
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.shares.push(new);
                u32::try_from(self.shares.len() - 1).unwrap_or(NIL)
            }
        };
        if let Some(place) = self.get_mut(at) {
            *place = new;
        }
        let hasher = FixedState::default();
        let shares = &self.shares;
        self.index
            .insert_unique(hasher.hash_one(opener), at, |&at| {
                let share = shares.get(at as usize);
                share.map_or(0, |share| hasher.hash_one(share.opener))
            });
        at
    }

    /// Changes how many flows a share, and what it is part of, has and how many of them wait.
    fn count(&mut self, at: u32, flows: i32, waiting: i32) {
        let mut next = Some(at);
        while let Some(share) = next.and_then(|at| self.get_mut(at)) {
            share.flows = share.flows.saturating_add_signed(flows);
            share.waiting = share.waiting.saturating_add_signed(waiting);
            next = share.whole;
        }
        self.waiting = self.waiting.saturating_add_signed(waiting);
        self.kept = self.kept.saturating_add_signed(flows - waiting);
        self.classify(at);
    }

    /// Moves a share to the class that it belongs to now. A port with many hosts has a list for each of
    /// its openers and none of its own.
    fn classify(&mut self, at: u32) {
        let Some(&share) = self.get(at) else { return };
        let class = class_of(share.waiting);
        if class == share.class {
            return;
        }
        if share.class != 0 {
            match self.get_mut(share.previous) {
                Some(previous) => previous.next = share.next,
                None => self.set_head(share.class, share.next),
            }
            if let Some(next) = self.get_mut(share.next) {
                next.previous = share.previous;
            }
        }
        let first = match class {
            0 => NIL,
            _ => self.heads.get(class).copied().unwrap_or(NIL),
        };
        if let Some(share) = self.get_mut(at) {
            (share.class, share.previous, share.next) = (class, NIL, first);
        }
        if class != 0 {
            if let Some(next) = self.get_mut(first) {
                next.previous = at;
            }
            self.set_head(class, at);
        }
    }

    fn set_head(&mut self, class: usize, at: u32) {
        if let Some(head) = self.heads.get_mut(class) {
            *head = at;
        }
        let bit = 1 << class;
        if at == NIL {
            self.classes &= !bit;
        } else {
            self.classes |= bit;
        }
    }

    /// Adds a new pair, which waits, to the flows of its opener.
    pub(super) fn open(&mut self, places: &mut impl Places, id: u32, opener: Opener) {
        let at = self.share(opener);
        self.append(places, id, at);
        self.count(at, 1, 1);
    }

    /// Takes a pair out that is no more.
    pub(super) fn close(&mut self, places: &mut impl Places, id: u32) {
        let Some(&mut place) = places.place(id) else {
            return;
        };
        let waits = place.waits();
        if waits {
            self.unlink(places, id, place);
        }
        self.count(place.share, -1, -i32::from(waits));
        self.forget(place.share);
    }

    /// Notes that a pair was answered: it is kept if its opener may keep one more, else it is the last
    /// of those to give way.
    pub(super) fn answer(&mut self, places: &mut impl Places, id: u32) {
        let Some(&mut place) = places.place(id) else {
            return;
        };
        if !place.waits() {
            return;
        }
        self.unlink(places, id, place);
        if self.may_keep(place.share) {
            if let Some(place) = places.place(id) {
                (place.older, place.newer) = (KEPT, NIL);
            }
            self.count(place.share, 0, -1);
        } else {
            self.append(places, id, place.share);
        }
    }

    fn may_keep(&self, at: u32) -> bool {
        let Some(share) = self.get(at) else {
            return false;
        };
        let left = self.max.saturating_sub(self.kept);
        match share.whole.and_then(|whole| self.get(whole)) {
            None => share.kept() < left,
            Some(whole) => {
                let left = left.saturating_sub(whole.kept());
                share.kept() < left
            }
        }
    }

    /// Puts a pair behind all that wait of a share.
    fn append(&mut self, places: &mut impl Places, id: u32, at: u32) {
        let Some(share) = self.get_mut(at) else {
            return;
        };
        let older = core::mem::replace(&mut share.newest, id);
        if older == NIL {
            share.oldest = id;
        }
        if let Some(place) = places.place(older) {
            place.newer = id;
        }
        if let Some(place) = places.place(id) {
            *place = Place {
                share: at,
                older,
                newer: NIL,
            };
        }
    }

    fn unlink(&mut self, places: &mut impl Places, id: u32, place: Place) {
        let Some(share) = self.get_mut(place.share) else {
            return;
        };
        if share.oldest == id {
            share.oldest = place.newer;
        }
        if share.newest == id {
            share.newest = place.older;
        }
        if let Some(older) = places.place(place.older) {
            older.newer = place.newer;
        }
        if let Some(newer) = places.place(place.newer) {
            newer.older = place.older;
        }
    }

    /// Forgets a share without flows.
    fn forget(&mut self, at: u32) {
        let Some(&share) = self.get(at).filter(|share| share.flows == 0) else {
            return;
        };
        let hash = FixedState::default().hash_one(share.opener);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == at) {
            entry.remove();
            self.free.push(at);
        }
        if let Some(whole) = share.whole {
            self.forget(whole);
        }
    }

    /// Returns the pair that gives way to a new flow of this opener, if there is one: the oldest that
    /// waits of the opener that has the most. Among the many hosts of one opener a new one replaces an
    /// old one; a single host has to do with what it has.
    pub(super) fn victim(&self, opener: Opener) -> Option<u32> {
        let top = self.classes.checked_ilog2()? as usize;
        let own = self.find(opener).and_then(|at| self.get(at));
        if let Some(own) = own
            && own.class == top
        {
            return opener.is_many().then_some(own.oldest);
        }
        let first = self.heads.get(top)?;
        Some(self.get(*first)?.oldest)
    }

    /// Returns the oldest pairs that wait of those openers, at other ports than this one, that have a
    /// sixty-fourth of the table or more.
    pub(super) fn crowds(&self, port: PortId) -> impl Iterator<Item = u32> {
        let least = class_of((self.max / 64).max(1));
        let classes = (least..CLASSES).rev();
        let classes = classes.filter(|&class| self.classes >> class & 1 == 1);
        let shares = classes.flat_map(|class| {
            let first = self.heads.get(class).and_then(|&at| self.get(at));
            core::iter::successors(first, |share| self.get(share.next))
        });
        shares
            .filter(move |share| share.opener.port != port)
            .map(|share| share.oldest)
    }

    /// Returns how many flows each port has.
    pub(super) fn views(&self) -> impl Iterator<Item = ShareView> {
        let live = self.shares.iter().filter(|share| share.flows > 0);
        live.filter(|share| share.whole.is_none())
            .map(|share| ShareView {
                port: share.opener.port,
                flows: share.flows,
                waiting: share.waiting,
            })
    }
}

#[cfg(test)]
mod tests;
