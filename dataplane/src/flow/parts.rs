//! Which parts of a datagram have passed, so that none is replaced by another one: a receiver that
//! puts overlapping fragments together its own way would see what was never judged (RFC 1858, RFC 3128,
//! RFC 5722).

use crate::wire::fragment::Part;

/// More holes than this has no datagram that anybody sends; each costs memory.
const MOST: usize = 64;

/// The parts of a datagram that have passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// First byte and the one behind the last, disjoint and in ascending order; what meets is one.
    ranges: Vec<(u32, u32)>,
    /// Where the datagram ends, if that is known.
    end: Option<u32>,
}

/// Why a part may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// All of it has passed: sent twice, or to replace what has passed.
    Again,
    /// It overlaps what has passed, or contradicts where the datagram ends.
    Overlap,
}

impl Parts {
    /// Returns the parts of a datagram of which only `first` has passed.
    #[must_use]
    pub fn of(first: Part) -> Self {
        let mut parts = Self::default();
        // Nothing is there that it could overlap.
        let _ = parts.take(first);
        parts
    }

    /// Notes a part that passes.
    ///
    /// # Errors
    ///
    /// A [`Misfit`], and the part must not pass.
    pub fn take(&mut self, part: Part) -> Result<(), Misfit> {
        let Part {
            begin,
            end,
            is_last,
        } = part;
        let at = self.ranges.partition_point(|&(_, before)| before <= begin);
        if let Some(&(first, behind)) = self.ranges.get(at)
            && first < end
        {
            let is_inside = first <= begin && end <= behind;
            return Err(if is_inside {
                Misfit::Again
            } else {
                Misfit::Overlap
            });
        }
        let reached = self.ranges.last().map_or(0, |&(_, behind)| behind);
        let is_beyond = self.end.is_some_and(|last| is_last || end > last);
        if is_beyond || is_last && reached > end || self.ranges.len() >= MOST {
            return Err(Misfit::Overlap);
        }
        if is_last {
            self.end = Some(end);
        }
        self.insert(at, (begin, end));
        Ok(())
    }

    /// Inserts a range before the one at `at`, and joins what meets.
    fn insert(&mut self, at: usize, range: (u32, u32)) {
        self.ranges.insert(at, range);
        self.ranges.dedup_by(|next, before| {
            let meets = before.1 == next.0;
            if meets {
                before.1 = next.1;
            }
            meets
        });
    }

    /// Returns whether all of the datagram has passed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match (self.ranges.as_slice(), self.end) {
            (&[(0, behind)], Some(end)) => behind == end,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn part(begin: u32, end: u32) -> Part {
        Part {
            begin,
            end,
            is_last: false,
        }
    }

    fn last(begin: u32, end: u32) -> Part {
        Part {
            is_last: true,
            ..part(begin, end)
        }
    }

    #[test]
    fn parts_pass_once_in_any_order() {
        let mut parts = Parts::of(part(0, 24));
        assert_eq!(parts.take(last(80, 90)), Ok(()));
        assert_eq!(parts.take(part(24, 48)), Ok(()));
        assert!(!parts.is_whole());
        assert_eq!(parts.take(part(48, 80)), Ok(()));
        assert!(parts.is_whole());
        assert_eq!(parts.ranges, [(0, 90)]);
        for again in [part(0, 24), part(24, 48), last(80, 90), part(8, 16)] {
            assert_eq!(parts.take(again), Err(Misfit::Again));
        }
    }

    #[test]
    fn what_overlaps_or_contradicts_the_end_does_not_pass() {
        let mut parts = Parts::of(part(0, 24));
        assert_eq!(parts.take(part(16, 32)), Err(Misfit::Overlap));
        assert_eq!(parts.take(part(40, 64)), Ok(()));
        for overlap in [part(32, 48), part(32, 72), part(56, 72), last(64, 64 - 8)] {
            assert_eq!(parts.take(overlap), Err(Misfit::Overlap), "{overlap:?}");
        }
        assert_eq!(
            parts.take(last(32, 40)),
            Err(Misfit::Overlap),
            "more came already"
        );
        assert_eq!(parts.take(last(80, 96)), Ok(()));
        assert_eq!(
            parts.take(part(96, 104)),
            Err(Misfit::Overlap),
            "behind the end"
        );
        assert_eq!(
            parts.take(last(64, 72)),
            Err(Misfit::Overlap),
            "another end"
        );
        assert_eq!(parts.take(part(24, 32)), Ok(()));
    }

    #[test]
    fn as_many_holes_as_nobody_sends_are_refused() {
        let mut parts = Parts::of(part(0, 8));
        let taken = (1..200).filter(|n| parts.take(part(n * 16, n * 16 + 8)).is_ok());
        assert_eq!(taken.count(), MOST - 1);
    }

    /// Against a map of every byte.
    #[test]
    fn random_parts_agree_with_a_map_of_bytes() {
        let mut rng = StdRng::seed_from_u64(11);
        for _ in 0..2_000 {
            let mut map = [false; 400];
            let first = part(0, rng.random_range(1..6) * 8);
            let mut parts = Parts::of(first);
            map[..first.end as usize].fill(true);
            let mut end = None;
            for _ in 0..30 {
                let begin = rng.random_range(0..40u32) * 8;
                let some = part(begin, begin + rng.random_range(1..8) * 8);
                let is_last = rng.random_bool(0.1);
                let some = Part { is_last, ..some };
                let range = some.begin as usize..some.end as usize;
                let overlaps = map[range.clone()].iter().any(|&is_there| is_there);
                let beyond = end.is_some_and(|end| is_last || some.end > end);
                let early = is_last && map[some.end as usize..].iter().any(|&is_there| is_there);
                let passes = parts.take(some).is_ok();
                assert_eq!(passes, !overlaps && !beyond && !early);
                if passes {
                    map[range].fill(true);
                    end = end.or(is_last.then_some(some.end));
                }
                let whole = end.is_some_and(|end| map[..end as usize].iter().all(|&there| there));
                assert_eq!(parts.is_whole(), whole);
            }
        }
    }
}
