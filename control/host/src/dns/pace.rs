//! How often one asker is answered, so that who asks without a pause leaves the others their turns.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// In what time an asker has so many turns.
const WHILE: Duration = Duration::from_secs(1);

/// How many askers are remembered before those that rest are forgotten.
const MANY: usize = 4096;

/// Counts the queries of each asker.
#[derive(Debug)]
pub(super) struct Pace {
    most: u32,
    askers: HashMap<Ipv4Addr, Turns>,
}

#[derive(Debug)]
struct Turns {
    since: Instant,
    had: u32,
}

impl Pace {
    /// Returns what gives each asker so many turns a second.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            askers: HashMap::new(),
        }
    }

    /// Takes a turn of an asker, if he has one.
    pub(super) fn take(&mut self, now: Instant, asker: Ipv4Addr) -> bool {
        let is_over = |turns: &Turns| now.saturating_duration_since(turns.since) >= WHILE;
        if self.askers.len() >= MANY && !self.askers.contains_key(&asker) {
            self.askers.retain(|_, turns| !is_over(turns));
        }
        let new = || Turns { since: now, had: 0 };
        let turns = self.askers.entry(asker).or_insert_with(new);
        if is_over(turns) {
            *turns = new();
        }
        turns.had = turns.had.saturating_add(1);
        turns.had <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asker_has_turns_of_his_own_and_new_ones_a_second_later() {
        let (now, mut pace) = (Instant::now(), Pace::new(3));
        let [first, second] = [1, 2].map(|octet| Ipv4Addr::from([octet; 4]));
        let had: Vec<bool> = (0..5).map(|_| pace.take(now, first)).collect();
        assert_eq!(had, [true, true, true, false, false]);
        assert!(pace.take(now, second));
        assert!(!pace.take(now + WHILE / 2, first));
        assert!(pace.take(now + WHILE, first));
    }

    #[test]
    fn who_rests_is_forgotten() {
        let (now, mut pace) = (Instant::now(), Pace::new(3));
        for n in 0..10_000 {
            let later = now + WHILE * (n / 1000);
            assert!(pace.take(later, Ipv4Addr::from_bits(n)));
        }
        assert!(pace.askers.len() <= MANY);
    }
}
