//! The ports of one address and protocol.

use crate::class::Classes;
use rand::RngExt;
use rand::rngs::StdRng;

/// Ports below are never given out (RFC 4787 REQ-3 keeps well-known ports apart): 64,512 remain.
const FIRST: u16 = 1024;
const WORDS: usize = 1024;
/// How many ports in use are tried for a destination before it counts as exhausted. While one port
/// in 200 is free for it, the chance to miss it is 0.995^4096, about 1 in 10^9.
const TRIES: usize = 4096;

/// Which ports a flow may be given: those of one class ([`crate::class`]), all of them where there is
/// but one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eligible<'a> {
    /// Bit set: the port is of the class. None where all are.
    ports: Option<&'a ClassPorts>,
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
}

/// The ports of every class, as bit maps.
#[derive(Debug)]
pub(super) struct PortsByClass {
    classes: Classes,
    /// At the index of the class; none where there is but one.
    ports: Vec<ClassPorts>,
}

impl PortsByClass {
    pub(super) fn new(classes: Classes) -> Self {
        let mut ports = Vec::new();
        if classes == Classes::ONE {
            return Self { classes, ports };
        }
        ports.resize(classes.count(), [0; WORDS]);
        for port in 0..=u16::MAX {
            let class = ports.get_mut(classes.of(port) as usize);
            if let Some(word) = class.and_then(|bits| bits.get_mut(usize::from(port) / 64)) {
                *word |= 1 << (port % 64);
            }
        }
        Self { classes, ports }
    }

    /// Returns the ports that `port` may be translated to.
    pub(super) fn like(&self, port: u16) -> Eligible<'_> {
        Eligible {
            ports: self.ports.get(self.classes.of(port) as usize),
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
    in_use: u32,
}

impl PortPool {
    /// Returns how many ports are held.
    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    fn prepare(&mut self) {
        if self.holders.is_empty() {
            self.holders = vec![0; 1 << 16];
            self.idle = vec![u64::MAX; WORDS];
            for word in self.idle.iter_mut().take(usize::from(FIRST) / 64) {
                *word = 0;
            }
        }
    }

    /// Returns an eligible port for which `is_free` holds: one that nobody holds if there is any, else
    /// one that is in use for other destinations.
    pub(super) fn choose(
        &mut self,
        rng: &mut StdRng,
        eligible: Eligible<'_>,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        self.prepare();
        // Another flow can have the reply tuple of an idle port, such as one that came in: go on
        // to the next idle port then, a bounded number of times.
        let mut from: u16 = rng.random();
        for _ in 0..64 {
            match self.next_idle(from, eligible) {
                Some(port) if is_free(port) => return Some(port),
                Some(port) => from = port.wrapping_add(1),
                None => break,
            }
        }
        core::iter::repeat_with(|| rng.random_range(FIRST..=u16::MAX))
            .filter(|&port| eligible.has(port))
            .take(TRIES)
            .find(|&port| is_free(port))
    }

    /// Returns the first idle port at or after `from` that is eligible, going round at the end.
    fn next_idle(&self, from: u16, eligible: Eligible<'_>) -> Option<u16> {
        let start = usize::from(from) / 64;
        let first_mask = u64::MAX << (from % 64);
        (0..=WORDS).find_map(|step| {
            let at = (start + step) % WORDS;
            let mask = match step {
                0 => first_mask,
                WORDS => !first_mask,
                _ => u64::MAX,
            };
            let word = self.idle.get(at)? & eligible.word(at) & mask;
            (word != 0)
                .then(|| u16::try_from(at * 64 + word.trailing_zeros() as usize).ok())
                .flatten()
        })
    }

    /// Notes one more holder of a port.
    pub(super) fn hold(&mut self, port: u16) {
        self.prepare();
        let Some(holders) = self.holders.get_mut(usize::from(port)) else {
            return;
        };
        *holders += 1;
        if *holders == 1 {
            self.in_use += 1;
            self.mark(port, false);
        }
    }

    /// Notes one holder less.
    pub(super) fn give_back(&mut self, port: u16) {
        let Some(holders) = self.holders.get_mut(usize::from(port)) else {
            return;
        };
        debug_assert!(*holders > 0, "a lease is given back once");
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.in_use = self.in_use.saturating_sub(1);
            self.mark(port, port >= FIRST);
        }
    }

    fn mark(&mut self, port: u16, idle: bool) {
        if let Some(word) = self.idle.get_mut(usize::from(port) / 64) {
            let bit = 1 << (port % 64);
            *word = if idle { *word | bit } else { *word & !bit };
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
            let port = pool.choose(&mut rng, all.like(0), |_| true).unwrap();
            assert!(port >= FIRST && seen.insert(port));
            pool.hold(port);
        }
        assert_eq!(pool.in_use(), 64_512);
        let shared = pool.choose(&mut rng, all.like(0), |_| true).unwrap();
        pool.hold(shared);
        assert_eq!(pool.in_use(), 64_512);
        pool.give_back(shared);
        assert_eq!(pool.in_use(), 64_512);
        pool.give_back(shared);
        assert_eq!(pool.in_use(), 64_511);
        assert_eq!(
            pool.choose(&mut rng, all.like(0), |_| true),
            Some(shared),
            "the only idle port"
        );
    }

    #[test]
    fn exhausted_for_a_destination_gives_none() {
        let mut rng = StdRng::seed_from_u64(2);
        let all = PortsByClass::new(Classes::ONE);
        let mut pool = PortPool::default();
        assert_eq!(pool.choose(&mut rng, all.like(0), |_| false), None);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn order_is_not_sequential() {
        let mut rng = StdRng::seed_from_u64(3);
        let all = PortsByClass::new(Classes::ONE);
        let mut pool = PortPool::default();
        let ports: Vec<u16> = (0..50)
            .map(|_| {
                let port = pool.choose(&mut rng, all.like(0), |_| true).unwrap();
                pool.hold(port);
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
                let port = pool.choose(&mut rng, by_class.like(own), |_| true).unwrap();
                pool.hold(port);
                port
            };
            let seen: HashSet<u16> = expected.iter().map(|_| choose(&mut pool)).collect();
            assert_eq!(seen, expected, "every idle port of the class, and no other");
            for _ in 0..100 {
                assert!(expected.contains(&choose(&mut pool)), "shared ones too");
            }
            let other = (FIRST..=u16::MAX).find(|port| !expected.contains(port));
            let free = pool.choose(&mut rng, by_class.like(other.unwrap()), |_| true);
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
