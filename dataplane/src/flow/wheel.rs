//! A timing wheel: which pairs may be due, without looking at the others.
//!
//! Each slot is a doubly linked list threaded through the pairs' places. Traffic does not move a pair: it
//! only notes when it was seen, and the owner arms the pair again when its slot comes round too
//! early. A deadline past the horizon lands in the last slot and is found too early likewise.

use crate::time::Now;

const TICK_MS: u64 = 128;
const SLOTS: usize = 2048;
const NIL: u32 = u32::MAX;

/// A pair's place in the wheel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    slot: u16,
    previous: u32,
    next: u32,
}

/// Gives access to the links of the pairs, which their owner keeps.
pub(super) trait Links {
    fn link(&mut self, id: u32) -> Option<&mut Link>;
}

/// The heads of the lists and how far time has been followed.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Vec<u32>,
    /// The first tick that was not looked at yet.
    cursor: u64,
}

impl Link {
    pub(super) const NEW: Self = Self {
        slot: 0,
        previous: NIL,
        next: NIL,
    };

    /// Returns the link of a place that no pair has, in a list of such places.
    pub(super) const fn free(next: Option<u32>) -> Self {
        Self {
            next: match next {
                Some(next) => next,
                None => NIL,
            },
            ..Self::NEW
        }
    }

    /// Returns the place after this one in the list of places that no pair has.
    pub(super) fn next_free(self) -> Option<u32> {
        (self.next != NIL).then_some(self.next)
    }
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            heads: vec![NIL; SLOTS],
            cursor: 0,
        }
    }

    /// Puts a pair that is in no list where `deadline` will find it: never before it, and at most
    /// one tick after it.
    pub(super) fn arm(&mut self, links: &mut impl Links, id: u32, deadline: Now) {
        let tick =
            (deadline.as_millis() / TICK_MS + 1).clamp(self.cursor, self.cursor + SLOTS as u64 - 1);
        let slot = slot_of(tick);
        let Some(head) = self.heads.get_mut(usize::from(slot)) else {
            return;
        };
        let next = core::mem::replace(head, id);
        if let Some(link) = links.link(id) {
            *link = Link {
                slot,
                previous: NIL,
                next,
            };
        }
        if let Some(link) = links.link(next) {
            link.previous = id;
        }
    }

    /// Takes a pair out of its list.
    pub(super) fn disarm(&mut self, links: &mut impl Links, id: u32) {
        let Some(&mut Link {
            slot,
            previous,
            next,
        }) = links.link(id)
        else {
            return;
        };
        match links.link(previous) {
            Some(link) => link.next = next,
            None => {
                if let Some(head) = self.heads.get_mut(usize::from(slot)) {
                    *head = next;
                }
            }
        }
        if let Some(link) = links.link(next) {
            link.previous = previous;
        }
    }

    /// Takes out one pair that may be due at `now`, if there is any.
    pub(super) fn pop(&mut self, links: &mut impl Links, now: Now) -> Option<u32> {
        let current = now.as_millis() / TICK_MS;
        // After a long sleep every slot is looked at once, not every tick.
        self.cursor = self.cursor.max((current + 1).saturating_sub(SLOTS as u64));
        while self.cursor <= current {
            let head = self.heads.get(usize::from(slot_of(self.cursor))).copied();
            match head {
                Some(id) if id != NIL => {
                    self.disarm(links, id);
                    return Some(id);
                }
                _ => self.cursor += 1,
            }
        }
        None
    }
}

fn slot_of(tick: u64) -> u16 {
    u16::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Links for Vec<Link> {
        fn link(&mut self, id: u32) -> Option<&mut Link> {
            self.get_mut(usize::try_from(id).ok()?)
        }
    }

    fn drain(wheel: &mut Wheel, links: &mut Vec<Link>, at: u64) -> Vec<u32> {
        let mut due: Vec<u32> =
            core::iter::from_fn(|| wheel.pop(links, Now::from_millis(at))).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn finds_what_is_due_and_nothing_else() {
        let mut links = vec![Link::NEW; 4];
        let mut wheel = Wheel::new();
        for (id, deadline) in [(0, 1_000), (1, 5_000), (2, 5_000), (3, 200_000)] {
            wheel.arm(&mut links, id, Now::from_millis(deadline));
        }
        wheel.disarm(&mut links, 2);
        assert_eq!(drain(&mut wheel, &mut links, 900), []);
        assert_eq!(drain(&mut wheel, &mut links, 1_200), [0]);
        assert_eq!(drain(&mut wheel, &mut links, 199_000), [1]);
        assert_eq!(drain(&mut wheel, &mut links, 200_200), [3]);
    }

    #[test]
    fn long_sleep_finds_everything() {
        let mut links = vec![Link::NEW; 2];
        let mut wheel = Wheel::new();
        wheel.arm(&mut links, 0, Now::from_millis(10));
        wheel.arm(&mut links, 1, Now::from_millis(100_000));
        assert_eq!(drain(&mut wheel, &mut links, 10_000_000), [0, 1]);
    }

    proptest! {
        #[test]
        fn never_early_and_at_most_a_tick_late(
            deadlines in prop::collection::vec(0u64..250_000, 1..60),
            steps in prop::collection::vec(1u64..20_000, 1..60),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let mut links = vec![Link::NEW; deadlines.len()];
            let mut wheel = Wheel::new();
            for (id, &deadline) in (0u32..).zip(&deadlines) {
                wheel.arm(&mut links, id, Now::from_millis(deadline));
            }
            let mut waiting: std::collections::BTreeMap<u32, u64> =
                (0u32..).zip(deadlines.iter().copied()).collect();
            for index in gone {
                let id = u32::try_from(index.index(deadlines.len())).unwrap();
                if waiting.remove(&id).is_some() {
                    wheel.disarm(&mut links, id);
                }
            }
            let mut now = 0;
            for step in steps {
                now += step;
                for id in drain(&mut wheel, &mut links, now) {
                    let deadline = waiting.remove(&id);
                    prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                }
                let late = waiting.values().filter(|&&deadline| deadline + 2 * TICK_MS < now);
                prop_assert_eq!(late.count(), 0);
            }
        }
    }
}
