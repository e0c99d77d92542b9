//! The class of a port: what keeps both directions of a flow with one worker.
//!
//! Ports fall into as many classes as there are workers, and a flow belongs to the worker whose
//! number is the sum of the classes of its two ports. The sum is the same from both ends, and stays
//! the same when addresses are translated. A port is only ever translated to one of its class
//! ([`crate::snat`]), so that it also stays the same then: whoever reads a packet knows the owner of
//! its flow from the packet alone, whichever side of the translation it comes from.
//!
//! The class is taken from a mixed hash, not from the port's low bits: Linux connects from ports of
//! one parity, and other systems count upwards. With one worker all ports are of one class.

/// Odd numbers without a pattern: the first words of the golden ratio and of the square root of 2.
const SPREAD: u32 = 0x9e37_79b9;
const MIX: u32 = 0x6a09_e667;

/// The classes of all ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    count: u32,
}

impl Classes {
    /// One class for all ports.
    pub(crate) const ONE: Self = Self { count: 1 };

    /// Returns as many classes as this, at least one and at most as many as there are ports.
    pub(crate) fn new(count: usize) -> Self {
        let most = u32::from(u16::MAX) + 1;
        Self {
            count: u32::try_from(count).map_or(most, |count| count.clamp(1, most)),
        }
    }

    /// Returns how many classes there are.
    #[inline]
    pub(crate) fn count(self) -> usize {
        self.count as usize
    }

    /// Returns the class of a port, less than [`Self::count`].
    #[inline]
    pub(crate) fn of(self, port: u16) -> u32 {
        let spread = u32::from(port).wrapping_mul(SPREAD);
        let mixed = (spread ^ spread >> 15).wrapping_mul(MIX);
        let mixed = mixed ^ mixed >> 16;
        // The high half of the product is the hash scaled down to the number of classes.
        let scaled = u64::from(mixed) * u64::from(self.count);
        u32::try_from(scaled >> 32).unwrap_or(0)
    }

    /// Returns whether a port may be translated to the other.
    #[inline]
    pub(crate) fn are_one(self, port: u16, other: u16) -> bool {
        self.count == 1 || self.of(port) == self.of(other)
    }

    /// Returns the worker that owns the flows between two ports.
    #[inline]
    pub(crate) fn owner(self, port: u16, other: u16) -> usize {
        let sum = self.of(port) + self.of(other);
        let less = if sum >= self.count { self.count } else { 0 };
        (sum - less) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the classes share ports out as evenly as dice do: within four standard deviations.
    #[track_caller]
    fn assert_balanced(what: &str, classes: Classes, ports: impl Iterator<Item = u16> + Clone) {
        let total = ports.clone().count();
        let mut counts = vec![0usize; classes.count()];
        for port in ports {
            counts[classes.of(port) as usize] += 1;
        }
        let share = total / counts.len();
        for count in &counts {
            assert!(
                count.abs_diff(share).pow(2) <= 16 * share,
                "{what}: {counts:?} of {total}"
            );
        }
    }

    #[test]
    fn classes_are_balanced_over_the_ports_that_systems_use() {
        for count in [2, 3, 4, 8] {
            let classes = Classes::new(count);
            let linux = 32768..=60999u16;
            assert_balanced("all", classes, 0..=u16::MAX);
            assert_balanced("leased", classes, 1024..=u16::MAX);
            assert_balanced("Linux", classes, linux.clone());
            assert_balanced("even of Linux", classes, linux.clone().step_by(2));
            assert_balanced("odd of Linux", classes, linux.clone().skip(1).step_by(2));
            assert_balanced("IANA", classes, 49152..=65535u16);
            assert_balanced("a fourth", classes, linux.step_by(4));
        }
    }

    /// A load generator has a few hundred connections from ports that follow each other.
    #[test]
    fn few_ports_in_a_row_keep_every_worker_busy() {
        for (count, least) in [(2, 30), (4, 10)] {
            let classes = Classes::new(count);
            for first in (32768..60000u16).step_by(997) {
                for step in [1, 2, 4] {
                    let mut counts = vec![0; count];
                    for n in 0..100 {
                        counts[classes.owner(first + n * step, 443)] += 1;
                    }
                    assert!(
                        counts.iter().all(|&count| count >= least),
                        "{first} {step}: {counts:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn owner_is_one_from_both_ends_and_for_all_ports_of_a_class() {
        for count in [1, 2, 3, 4, 7] {
            let classes = Classes::new(count);
            for (a, b) in (0..5000u16).map(|n| (n.wrapping_mul(7919), n.wrapping_mul(104))) {
                let owner = classes.owner(a, b);
                assert!(owner < count);
                assert_eq!(classes.owner(b, a), owner);
                let sum = classes.of(a) as usize + classes.of(b) as usize;
                assert_eq!(owner, sum % count);
                let other = (1..=u16::MAX).find(|&port| port != a && classes.are_one(port, a));
                assert_eq!(classes.owner(b, other.unwrap()), owner);
            }
        }
    }

    #[test]
    fn one_class_has_everything_and_none_is_one() {
        assert_eq!(Classes::new(0), Classes::ONE);
        assert_eq!(Classes::new(1), Classes::ONE);
        assert!((0..=u16::MAX).all(|port| Classes::ONE.of(port) == 0));
        assert_eq!(Classes::new(usize::MAX).count(), 1 << 16);
    }
}
