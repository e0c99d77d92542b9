//! How long a worker looks for work before it sleeps.
//!
//! To wake a halted CPU takes longer than to forward a hundred packets, so a worker that has just
//! had work looks for more for a moment. It does so only where that pays: each time that it looked
//! for nothing it looks half as long the next time, and soon not at all; a sleep so short that
//! looking would have found its end sets the time back to the longest. So traffic that comes every
//! millisecond costs no more than it did, and an idle worker sleeps.

use std::time::Duration;

/// The longest time that a worker looks for work: what answers at once answers within it.
const LONGEST: Duration = Duration::from_micros(50);
/// Below this, looking is given up.
const SHORTEST: Duration = Duration::from_micros(5);
/// A sleep that ends with work within this time would have been worth looking through: the longest
/// look, and what it took to wake the CPU.
const SHORT_SLEEP: Duration = Duration::from_micros(125);

/// What a worker has learned of how soon work comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spin {
    patience: Duration,
}

impl Spin {
    /// Returns how long to look for work before sleep; zero is not at all.
    pub(super) fn patience(self) -> Duration {
        self.patience
    }

    /// Notes that looking found work.
    pub(super) fn found(&mut self) {
        self.patience = LONGEST;
    }

    /// Notes that looking found none for as long as it was to be done.
    pub(super) fn missed(&mut self) {
        let half = self.patience / 2;
        self.patience = if half < SHORTEST {
            Duration::ZERO
        } else {
            half
        };
    }

    /// Notes that work ended a sleep of this length.
    pub(super) fn woken_after(&mut self, slept: Duration) {
        if slept < SHORT_SLEEP {
            self.patience = LONGEST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn who_never_had_work_sleeps_at_once() {
        assert_eq!(Spin::default().patience(), Duration::ZERO);
    }

    #[test]
    fn a_short_sleep_makes_patient_and_a_long_one_does_not() {
        let mut spin = Spin::default();
        spin.woken_after(MILLISECOND);
        assert_eq!(spin.patience(), Duration::ZERO);
        spin.woken_after(SHORT_SLEEP / 2);
        assert_eq!(spin.patience(), LONGEST);
        spin.woken_after(MILLISECOND);
        assert_eq!(spin.patience(), LONGEST, "a pause alone teaches nothing");
    }

    #[test]
    fn looking_in_vain_is_given_up_after_less_than_twice_the_longest_time() {
        let mut spin = Spin::default();
        spin.found();
        let mut wasted = Duration::ZERO;
        while spin.patience() > Duration::ZERO {
            wasted += spin.patience();
            spin.missed();
        }
        assert!(wasted < LONGEST * 2, "{wasted:?}");
        spin.missed();
        assert_eq!(spin.patience(), Duration::ZERO);
    }

    #[test]
    fn one_success_makes_up_for_what_was_missed() {
        let mut spin = Spin::default();
        spin.found();
        spin.missed();
        assert!(spin.patience() < LONGEST);
        spin.found();
        assert_eq!(spin.patience(), LONGEST);
    }
}
