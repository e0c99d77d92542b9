//! The ports of one address and protocol.

use super::taken::Taken;
use crate::class::Classes;
use rand::RngExt;
use rand::rngs::StdRng;

/// Ports below are never given out (RFC 4787 REQ-3 keeps well-known ports apart): 64,512 remain.
pub(super) const FIRST: u16 = 1024;
pub(super) const WORDS: usize = 1024;
/// A list of ports that is longer becomes a bit map: 8 KiB for so many, 16 bytes each.
const FEW: usize = 512;
/// How many ports that nobody holds are tried: they are free but where a flow came in that has the tuple.
const IDLE_TRIES: usize = 4;
/// How many ports are tried of those that others hold. Of a class half at least are free for the
/// destination, or it knows which are, so that the chance to miss one is less than 1 in 10^9.
pub(super) const TRIES: usize = 32;

/// Which ports a flow may be given: those of one class ([`crate::class`]), all of them where there is
/// but one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eligible<'a> {
    /// Bit set: the port is of the class. None where all are.
    ports: Option<&'a ClassPorts>,
    /// The number of the class.
    pub(super) class: usize,
}

/// The ports of a class as a bit map.
type ClassPorts = [u64; WORDS];

impl Eligible<'_> {
    /// Returns whether a port is among them.
    pub(super) fn has(self, port: u16) -> bool {
        self.word(usize::from(port) / 64) >> (port % 64) & 1 == 1
    }

    fn word(self, at: usize) -> u64 {
        match self.ports {
            None => u64::MAX,
            Some(ports) => ports.get(at).copied().unwrap_or(0),
        }
    }

    /// Returns the first port at or after `from` that is among them and whose bit is set in `bits`,
    /// going round at the end.
    pub(super) fn next(self, bits: &[u64], from: u16) -> Option<u16> {
        let start = usize::from(from) / 64;
        let first_mask = u64::MAX << (from % 64);
        (0..=WORDS).find_map(|step| {
            let at = (start + step) % WORDS;
            let mask = match step {
                0 => first_mask,
                WORDS => !first_mask,
                _ => u64::MAX,
            };
            let word = bits.get(at)? & self.word(at) & mask;
            (word != 0)
                .then(|| u16::try_from(at * 64 + word.trailing_zeros() as usize).ok())
                .flatten()
        })
    }
}

/// The ports of every class, as bit maps.
#[derive(Debug)]
pub(super) struct PortsByClass {
    classes: Classes,
    /// At the index of the class; none where there is but one.
    ports: Vec<ClassPorts>,
    /// How many ports of each class are given out.
    counts: Vec<u32>,
    few: usize,
}

impl PortsByClass {
    pub(super) fn new(classes: Classes) -> Self {
        let (mut ports, mut counts) = (Vec::new(), vec![0; classes.count()]);
        for port in FIRST..=u16::MAX {
            if let Some(count) = counts.get_mut(classes.of(port) as usize) {
                *count += 1;
            }
        }
        let least = counts.iter().min().map_or(0, |&least| least as usize);
        let few = FEW.min(least / 2);
        if classes != Classes::ONE {
            ports.resize(classes.count(), [0; WORDS]);
        }
        for port in 0..=u16::MAX {
            let class = ports.get_mut(classes.of(port) as usize);
            if let Some(word) = class.and_then(|bits| bits.get_mut(usize::from(port) / 64)) {
                *word |= 1 << (port % 64);
            }
        }
        Self {
            classes,
            ports,
            counts,
            few,
        }
    }

    /// Returns the number of the class of a port.
    pub(super) fn class(&self, port: u16) -> usize {
        self.classes.of(port) as usize
    }

    /// Returns how many ports may be kept as a list: so few that half of any class is left at least.
    pub(super) fn few(&self) -> usize {
        self.few
    }

    /// Returns all ports that are given out as a bit map.
    pub(super) fn all(&self) -> Vec<u64> {
        let mut bits = vec![u64::MAX; WORDS];
        for word in bits.iter_mut().take(usize::from(FIRST) / 64) {
            *word = 0;
        }
        bits
    }

    /// Returns how many ports of each class are given out.
    pub(super) fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Returns the ports that `port` may be translated to.
    pub(super) fn like(&self, port: u16) -> Eligible<'_> {
        let class = self.class(port);
        Eligible {
            ports: self.ports.get(class),
            class,
        }
    }
}

/// Holders of each port, and a bit map of the ports that nobody holds. Memory is taken at the
/// first lease.
#[derive(Debug, Default)]
pub(super) struct PortPool {
    holders: Vec<u32>,
    /// Bit set: no flow holds the port.
    idle: Vec<u64>,
    /// How many such ports each class has.
    idle_left: Vec<u32>,
    in_use: u32,
}

impl PortPool {
    /// Returns how many ports are held.
    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    fn prepare(&mut self, by_class: &PortsByClass) {
        if self.holders.is_empty() {
            self.idle_left = by_class.counts().to_vec();
            self.holders = vec![0; 1 << 16];
            self.idle = by_class.all();
        }
    }

    /// Returns an eligible port for which `is_free` holds and that is not among those that are taken:
    /// one that nobody holds if there is any, else one that is in use for other destinations.
    pub(super) fn choose(
        &mut self,
        rng: &mut StdRng,
        eligible: Eligible<'_>,
        taken: Option<&Taken>,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        if taken.is_some_and(|taken| taken.is_full(eligible)) {
            return None;
        }
        let idle = self.idle_left.get(eligible.class);
        if idle.is_some_and(|&idle| idle > 0) {
            // Another flow can have the reply tuple of an idle port, such as one that came in: go on
            // to the next idle port then, a bounded number of times.
            let mut from: u16 = rng.random();
            for _ in 0..IDLE_TRIES {
                match eligible.next(&self.idle, from) {
                    Some(port) if is_free(port) => return Some(port),
                    Some(port) => from = port.wrapping_add(1),
                    None => break,
                }
            }
        }
        if let Some(free) = taken.and_then(Taken::map) {
            return free.choose(rng, eligible, is_free);
        }
        core::iter::repeat_with(|| rng.random_range(FIRST..=u16::MAX))
            .filter(|&port| eligible.has(port))
            .take(TRIES)
            .find(|&port| taken.is_none_or(|taken| !taken.has(port)) && is_free(port))
    }

    /// Notes one more holder of a port.
    pub(super) fn hold(&mut self, port: u16, by_class: &PortsByClass) {
        self.prepare(by_class);
        let Some(holders) = self.holders.get_mut(usize::from(port)) else {
            return;
        };
        *holders += 1;
        if *holders == 1 {
            self.in_use += 1;
            self.mark(port, false, by_class);
        }
    }

    /// Notes one holder less.
    pub(super) fn give_back(&mut self, port: u16, by_class: &PortsByClass) {
        let Some(holders) = self.holders.get_mut(usize::from(port)) else {
            return;
        };
        debug_assert!(*holders > 0, "a lease is given back once");
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.in_use = self.in_use.saturating_sub(1);
            self.mark(port, port >= FIRST, by_class);
        }
    }

    fn mark(&mut self, port: u16, idle: bool, by_class: &PortsByClass) {
        let (Some(word), Some(left)) = (
            self.idle.get_mut(usize::from(port) / 64),
            self.idle_left.get_mut(by_class.class(port)),
        ) else {
            return;
        };
        let bit = 1 << (port % 64);
        match (idle, *word & bit != 0) {
            (true, false) => {
                *word |= bit;
                *left += 1;
            }
            (false, true) => {
                *word &= !bit;
                *left = left.saturating_sub(1);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::HashSet;

    #[test]
    fn every_port_is_given_once_before_any_is_shared() {
        let mut rng = StdRng::seed_from_u64(1);
        let all = PortsByClass::new(Classes::ONE);
        let mut pool = PortPool::default();
        let mut seen = HashSet::new();
        for _ in 0..64_512 {
            let port = pool.choose(&mut rng, all.like(0), None, |_| true).unwrap();
            assert!(port >= FIRST && seen.insert(port));
            pool.hold(port, &all);
        }
        assert_eq!(pool.in_use(), 64_512);
        let shared = pool.choose(&mut rng, all.like(0), None, |_| true).unwrap();
        pool.hold(shared, &all);
        assert_eq!(pool.in_use(), 64_512);
        pool.give_back(shared, &all);
        assert_eq!(pool.in_use(), 64_512);
        pool.give_back(shared, &all);
        assert_eq!(pool.in_use(), 64_511);
        assert_eq!(
            pool.choose(&mut rng, all.like(0), None, |_| true),
            Some(shared),
            "the only idle port"
        );
    }

    #[test]
    fn exhausted_for_a_destination_gives_none() {
        let mut rng = StdRng::seed_from_u64(2);
        let all = PortsByClass::new(Classes::ONE);
        let mut pool = PortPool::default();
        assert_eq!(pool.choose(&mut rng, all.like(0), None, |_| false), None);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn order_is_not_sequential() {
        let mut rng = StdRng::seed_from_u64(3);
        let all = PortsByClass::new(Classes::ONE);
        let mut pool = PortPool::default();
        let ports: Vec<u16> = (0..50)
            .map(|_| {
                let port = pool.choose(&mut rng, all.like(0), None, |_| true).unwrap();
                pool.hold(port, &all);
                port
            })
            .collect();
        let steps = ports
            .windows(2)
            .filter(|pair| pair[0].wrapping_add(1) == pair[1])
            .count();
        assert!(steps < 5, "{ports:?}");
    }

    #[test]
    fn a_port_of_the_class_is_given_idle_or_shared() {
        let mut rng = StdRng::seed_from_u64(4);
        for count in [2, 3, 4] {
            let classes = Classes::new(count);
            let by_class = PortsByClass::new(classes);
            let mut pool = PortPool::default();
            let own = 50_000;
            let of_class = (FIRST..=u16::MAX).filter(|&port| classes.are_one(port, own));
            let expected: HashSet<u16> = of_class.collect();
            let mut choose = |pool: &mut PortPool| {
                let port = pool
                    .choose(&mut rng, by_class.like(own), None, |_| true)
                    .unwrap();
                pool.hold(port, &by_class);
                port
            };
            let seen: HashSet<u16> = expected.iter().map(|_| choose(&mut pool)).collect();
            assert_eq!(seen, expected, "every idle port of the class, and no other");
            for _ in 0..100 {
                assert!(expected.contains(&choose(&mut pool)), "shared ones too");
            }
            let other = (FIRST..=u16::MAX).find(|port| !expected.contains(port));
            let free = pool.choose(&mut rng, by_class.like(other.unwrap()), None, |_| true);
            assert!(!expected.contains(&free.unwrap()), "other classes are idle");
        }
    }

    #[test]
    fn classes_share_out_all_ports() {
        for count in [2, 3, 4] {
            let by_class = PortsByClass::new(Classes::new(count));
            for at in 0..WORDS {
                let words = by_class.ports.iter().map(|bits| bits[at]);
                assert_eq!(words.clone().fold(0, |all, word| all | word), u64::MAX);
                assert_eq!(words.map(u64::count_ones).sum::<u32>(), 64);
            }
        }
    }
}
