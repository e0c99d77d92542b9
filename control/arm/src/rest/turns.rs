//! Whose template is evaluated when: a few at a time, by turns of who asks.
//!
//! Evaluating takes a processor for as long as it lasts. One processor is left to everything else, a
//! principal cannot take all turns, and who waits longer than a client would is told to come again.

use crate::cancel::Cancel;
use crate::error::ArmError;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// How many of one principal may wait.
const WAITING_EACH: usize = 16;
/// How many may wait in all.
const WAITING: usize = 64;
/// How long one waits at most.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often who waits looks whether the client still does.
const LOOK: Duration = Duration::from_millis(100);
/// How many of the host's own are at work beside those of principals.
const OWN: usize = 2;

/// The turns.
#[derive(Debug)]
pub(crate) struct Turns {
    /// How many of principals are at work at a time.
    room: usize,
    within: Mutex<Within>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Within {
    own: usize,
    at_work: usize,
    waiting: usize,
    turns: u64,
    principals: HashMap<String, Principal>,
}

#[derive(Debug, Default)]
struct Principal {
    at_work: usize,
    waiting: usize,
    /// The last turn that it had.
    last: u64,
}

/// A turn; the next one may come when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'g> {
    turns: &'g Turns,
    who: Option<&'g str>,
}

impl Default for Turns {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::with_room(processors.saturating_sub(1).max(1))
    }
}

impl Turns {
    /// Returns the turns of so many at a time.
    pub(crate) fn with_room(room: usize) -> Self {
        Self {
            room,
            within: Mutex::default(),
            left: Condvar::new(),
        }
    }

    /// Waits for a turn; none: the host's own.
    ///
    /// # Errors
    ///
    /// Too many wait already, the turn did not come in time, or the client has gone.
    pub(crate) fn enter<'g>(
        &'g self,
        who: Option<&'g str>,
        cancel: &Cancel,
    ) -> Result<Turn<'g>, ArmError> {
        let begin = Instant::now();
        let mut within = self.within();
        if !within.has_room_to_wait(who) {
            return Err(busy());
        }
        within.waits(who);
        loop {
            if within.may_go(who, self.room) {
                within.goes(who);
                return Ok(Turn { turns: self, who });
            }
            if cancel.is_cancelled() || begin.elapsed() > PATIENCE {
                within.waits_no_more(who);
                self.left.notify_all();
                return Err(busy());
            }
            let woken = self.left.wait_timeout(within, LOOK);
            within = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns how many of principals are at work.
    #[cfg(test)]
    pub(crate) fn at_work(&self) -> usize {
        self.within().at_work
    }

    fn within(&self) -> MutexGuard<'_, Within> {
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Within {
    fn has_room_to_wait(&self, who: Option<&str>) -> bool {
        let each = who.and_then(|who| self.principals.get(who));
        who.is_none()
            || (self.waiting < WAITING && each.is_none_or(|one| one.waiting < WAITING_EACH))
    }

    fn waits(&mut self, who: Option<&str>) {
        if let Some(who) = who {
            self.waiting = self.waiting.saturating_add(1);
            let one = self.principals.entry(who.to_owned()).or_default();
            one.waiting = one.waiting.saturating_add(1);
        }
    }

    fn waits_no_more(&mut self, who: Option<&str>) {
        if let Some(who) = who {
            self.waiting = self.waiting.saturating_sub(1);
            if let Some(one) = self.principals.get_mut(who) {
                one.waiting = one.waiting.saturating_sub(1);
            }
            self.forget(who);
        }
    }

    /// Returns whether it is the turn of who waits: of those that do, who had none for the longest time.
    fn may_go(&self, who: Option<&str>, room: usize) -> bool {
        let Some(who) = who else {
            return self.own < OWN;
        };
        let last = self.principals.get(who).map_or(0, |one| one.last);
        let is_before = |other: &Principal| other.waiting > 0 && other.last < last;
        self.at_work < room && !self.principals.values().any(is_before)
    }

    fn goes(&mut self, who: Option<&str>) {
        let Some(name) = who else {
            self.own = self.own.saturating_add(1);
            return;
        };
        self.at_work = self.at_work.saturating_add(1);
        self.turns = self.turns.saturating_add(1);
        if let Some(one) = self.principals.get_mut(name) {
            one.at_work = one.at_work.saturating_add(1);
            one.last = self.turns;
        }
        self.waits_no_more(who);
    }

    fn leaves(&mut self, who: Option<&str>) {
        let Some(who) = who else {
            self.own = self.own.saturating_sub(1);
            return;
        };
        self.at_work = self.at_work.saturating_sub(1);
        if let Some(one) = self.principals.get_mut(who) {
            one.at_work = one.at_work.saturating_sub(1);
        }
        self.forget(who);
    }

    fn forget(&mut self, who: &str) {
        let is_idle = |one: &Principal| one.at_work == 0 && one.waiting == 0;
        if self.principals.get(who).is_some_and(is_idle) {
            self.principals.remove(who);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.within().leaves(self.who);
        self.turns.left.notify_all();
    }
}

fn busy() -> ArmError {
    // Code and words from memory: what ARM answers to who asks too often.
    let message = "The request was throttled: too many templates are evaluated at the moment. Please try \
                   again after 1 second.";
    ArmError::new(429, "TooManyRequests", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn turns_go_round() {
        let gate = Turns::with_room(1);
        let never = Cancel::default();
        let (told, heard) = mpsc::channel();
        let first = gate.enter(Some("a"), &never).unwrap();
        thread::scope(|scope| {
            let wait = |who: &'static str, count: usize| {
                for _ in 0..count {
                    let (told, gate, never) = (told.clone(), &gate, &never);
                    scope.spawn(move || {
                        let turn = gate.enter(Some(who), never).unwrap();
                        told.send(who).unwrap();
                        drop(turn);
                    });
                }
            };
            wait("a", 8);
            while gate.within().waiting < 8 {
                thread::yield_now();
            }
            wait("b", 1);
            while gate.within().waiting < 9 {
                thread::yield_now();
            }
            drop(gate.enter(None, &never).unwrap());
            drop(first);
            let order: Vec<&str> = (0..9).map(|_| heard.recv().unwrap()).collect();
            assert_eq!(
                order.iter().position(|who| *who == "b"),
                Some(0),
                "{order:?}"
            );
        });
        assert!(gate.within().principals.is_empty());
    }

    #[test]
    fn who_cannot_wait_is_told_at_once() {
        let gate = Turns::with_room(1);
        let (never, gone) = (Cancel::default(), Cancel::default());
        let held = gate.enter(Some("a"), &never).unwrap();
        gone.cancel();
        let refused = gate.enter(Some("b"), &gone).unwrap_err();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (429, "TooManyRequests")
        );
        gate.within()
            .principals
            .entry("b".to_owned())
            .or_default()
            .waiting = WAITING_EACH;
        assert_eq!(gate.enter(Some("b"), &never).unwrap_err().status, 429);
        gate.within().waiting = WAITING;
        assert_eq!(gate.enter(Some("c"), &never).unwrap_err().status, 429);
        let own = gate.enter(None, &never).unwrap();
        drop((held, own));
        let within = gate.within();
        assert_eq!((within.at_work, within.own), (0, 0));
    }
}
