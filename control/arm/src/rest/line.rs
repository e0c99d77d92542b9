//! Who changes next: one at a time, the host first, and each as it came.
//!
//! A change of a large estate takes its time, and principals may ask for many. Who sits at the host does
//! not stand in their line: the verbs of the command line come before requests on the control socket, and
//! these before requests of principals. Only the change that is at work is waited for.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Who asks, the first one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// A verb of the command line, or the host itself.
    Verb = 0,
    /// A request of the host.
    Host = 1,
    /// A request of a principal.
    Principal = 2,
}

/// The line of those who change.
#[derive(Debug, Default)]
pub(super) struct Line {
    within: Mutex<Within>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Within {
    is_at_work: bool,
    next: u64,
    /// Who waits, by rank, by number.
    waiting: [VecDeque<u64>; 3],
}

/// The turn to change; the next one comes when it is dropped.
#[derive(Debug)]
pub(super) struct Writing<'l>(&'l Line);

impl Line {
    /// Waits for the turn.
    pub(super) fn enter(&self, rank: Rank) -> Writing<'_> {
        let mut within = self.within();
        let number = within.next;
        within.next = number.wrapping_add(1);
        within.of(rank).push_back(number);
        while within.is_at_work || within.first() != Some(number) {
            let woken = self.left.wait(within);
            within = woken.unwrap_or_else(PoisonError::into_inner);
        }
        within.of(rank).pop_front();
        within.is_at_work = true;
        Writing(self)
    }

    fn within(&self) -> MutexGuard<'_, Within> {
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Within {
    fn of(&mut self, rank: Rank) -> &mut VecDeque<u64> {
        let [verbs, host, principals] = &mut self.waiting;
        match rank {
            Rank::Verb => verbs,
            Rank::Host => host,
            Rank::Principal => principals,
        }
    }

    fn first(&self) -> Option<u64> {
        let mut ranks = self.waiting.iter();
        ranks.find_map(|line| line.front().copied())
    }
}

impl Drop for Writing<'_> {
    /// A change that panicked has published nothing, so the next one can go on.
    fn drop(&mut self) {
        self.0.within().is_at_work = false;
        self.0.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn the_host_comes_first_and_each_rank_as_it_came() {
        let line = Line::default();
        let held = line.enter(Rank::Principal);
        let (told, heard) = channel();
        let asked = [
            (Rank::Principal, "first principal"),
            (Rank::Principal, "second principal"),
            (Rank::Host, "request"),
            (Rank::Verb, "first verb"),
            (Rank::Verb, "second verb"),
        ];
        thread::scope(|scope| {
            for (at, (rank, who)) in asked.into_iter().enumerate() {
                let (line, told) = (&line, told.clone());
                scope.spawn(move || {
                    let _writing = line.enter(rank);
                    told.send(who).unwrap();
                });
                let waiting = || {
                    line.within()
                        .waiting
                        .iter()
                        .map(VecDeque::len)
                        .sum::<usize>()
                };
                while waiting() <= at {
                    thread::yield_now();
                }
            }
            drop(held);
        });
        drop(told);
        let order: Vec<&str> = heard.iter().collect();
        let expected = [
            "first verb",
            "second verb",
            "request",
            "first principal",
            "second principal",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_change_that_panics_holds_up_nobody() {
        let line = Line::default();
        let panicked = thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _writing = line.enter(Rank::Host);
                panic!("on purpose");
            });
            panics.join().is_err()
        });
        assert!(panicked);
        drop(line.enter(Rank::Principal));
    }
}
