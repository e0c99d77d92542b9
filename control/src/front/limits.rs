//! How much of what clients may take, and how many connections one caller holds open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The limits of fronts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take to say whom it calls.
    pub opening: Duration,
    /// How long it may take to hear a refusal.
    pub refusal: Duration,
    /// How long a backend may take to answer.
    pub connect: Duration,
    /// The most connections of all listeners.
    pub total: usize,
    /// The most connections of one listener.
    pub per_listener: usize,
    /// The most connections of one caller that have not said yet whom they call.
    pub undecided_per_caller: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(10),
            refusal: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            total: 8192,
            per_listener: 4096,
            undecided_per_caller: 512,
        }
    }
}

/// How many connections of each caller are undecided.
#[derive(Debug, Default)]
pub struct Undecided(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Undecided {
    /// Counts a connection of a caller until the guard goes; `None` if there are `most` already.
    #[must_use]
    pub fn enter(&self, caller: IpAddr, most: usize) -> Option<UndecidedGuard> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(caller).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(UndecidedGuard {
            counts: Arc::clone(&self.0),
            caller,
        })
    }
}

/// An undecided connection.
#[derive(Debug)]
pub struct UndecidedGuard {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    caller: IpAddr,
}

impl Drop for UndecidedGuard {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.caller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_with_many_undecided_is_refused_and_nobody_else() {
        let undecided = Undecided::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = undecided.enter(one, 2);
        let second = undecided.enter(one, 2);
        assert!(first.is_some() && second.is_some());
        assert!(undecided.enter(one, 2).is_none());
        assert!(undecided.enter(other, 2).is_some());
        drop(first);
        assert!(undecided.enter(one, 2).is_some());
        drop(second);
        assert!(
            undecided.0.lock().unwrap().is_empty(),
            "nothing is left behind"
        );
    }
}
