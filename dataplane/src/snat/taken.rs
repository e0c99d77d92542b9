//! The ports that one way has leased, and how many each guest has of them.
//!
//! Nearly all ways have one lease. A few more are a list; a way that is crowded has a bit map, in which
//! a port that is left is found without a try, and of which is known at once that none is left.

use super::pool::{Eligible, PortsByClass, TRIES};
use crate::policy::PortId;
use foldhash::fast::FixedState;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::HashMap;

/// The leased ports of one way; at least one.
#[derive(Debug)]
pub(super) enum Taken {
    /// One.
    One(u16, PortId),
    /// More, or fewer again.
    Several(Box<Several>),
}

/// Several ports and whose they are.
#[derive(Debug)]
pub(super) struct Several {
    ports: Ports,
    guests: HashMap<PortId, u32, FixedState>,
}

#[derive(Debug)]
enum Ports {
    List(Vec<u16>),
    Map(Free),
}

/// The ports that a way may still have.
#[derive(Debug)]
pub(super) struct Free {
    /// Bit set: the way does not have the port.
    bits: Vec<u64>,
    /// How many bits are set of each class.
    left: Vec<u32>,
    taken: usize,
}

impl Taken {
    /// Returns how many leases there are.
    pub(super) fn len(&self) -> u32 {
        let len = match self {
            Self::One(..) => 1,
            Self::Several(several) => several.ports.len(),
        };
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// Returns how many of them a guest has.
    pub(super) fn of_guest(&self, guest: PortId) -> u32 {
        match self {
            Self::One(_, owner) => u32::from(*owner == guest),
            Self::Several(several) => several.guests.get(&guest).copied().unwrap_or(0),
        }
    }

    /// Returns whether a port is leased.
    pub(super) fn has(&self, port: u16) -> bool {
        match self {
            Self::One(only, _) => *only == port,
            Self::Several(several) => match &several.ports {
                Ports::List(ports) => ports.contains(&port),
                Ports::Map(free) => !free.has(port),
            },
        }
    }

    /// Returns whether no eligible port is left.
    pub(super) fn is_full(&self, eligible: Eligible<'_>) -> bool {
        self.map()
            .is_some_and(|free| free.left.get(eligible.class) == Some(&0))
    }

    /// Returns what is left, where there are many leases.
    pub(super) fn map(&self) -> Option<&Free> {
        match self {
            Self::Several(several) => match &several.ports {
                Ports::Map(free) => Some(free),
                Ports::List(_) => None,
            },
            Self::One(..) => None,
        }
    }

    /// Notes one more lease.
    pub(super) fn add(&mut self, port: u16, guest: PortId, by_class: &PortsByClass) {
        let several = match self {
            Self::Several(several) => several,
            &mut Self::One(first, owner) => {
                *self = Self::Several(Box::new(Several {
                    ports: Ports::List(vec![first]),
                    guests: [(owner, 1)].into_iter().collect(),
                }));
                return self.add(port, guest, by_class);
            }
        };
        *several.guests.entry(guest).or_default() += 1;
        match &mut several.ports {
            Ports::Map(free) => free.take(port, by_class),
            Ports::List(ports) => {
                ports.push(port);
                if ports.len() > by_class.few() {
                    several.ports = Ports::Map(Free::without(ports, by_class));
                }
            }
        }
    }

    /// Notes one lease less, and returns whether it was the last.
    pub(super) fn remove(&mut self, port: u16, guest: PortId, by_class: &PortsByClass) -> bool {
        let Self::Several(several) = self else {
            return true;
        };
        if let Some(count) = several.guests.get_mut(&guest) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                several.guests.remove(&guest);
            }
        }
        match &mut several.ports {
            Ports::List(ports) => {
                if let Some(at) = ports.iter().position(|&other| other == port) {
                    ports.swap_remove(at);
                }
            }
            Ports::Map(free) => {
                free.give_back(port, by_class);
                if free.taken <= by_class.few() / 8 {
                    several.ports = Ports::List(free.taken().collect());
                }
            }
        }
        several.ports.len() == 0
    }
}

impl Ports {
    fn len(&self) -> usize {
        match self {
            Self::List(ports) => ports.len(),
            Self::Map(free) => free.taken,
        }
    }
}

impl Free {
    /// Returns all ports but these.
    fn without(ports: &[u16], by_class: &PortsByClass) -> Self {
        let mut free = Self {
            bits: by_class.all(),
            left: by_class.counts().to_vec(),
            taken: 0,
        };
        for &port in ports {
            free.take(port, by_class);
        }
        free
    }

    fn has(&self, port: u16) -> bool {
        let word = self.bits.get(usize::from(port) / 64);
        word.is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    fn take(&mut self, port: u16, by_class: &PortsByClass) {
        if self.has(port) {
            self.flip(port);
            self.taken += 1;
            if let Some(left) = self.left.get_mut(by_class.class(port)) {
                *left = left.saturating_sub(1);
            }
        }
    }

    fn give_back(&mut self, port: u16, by_class: &PortsByClass) {
        if !self.has(port) {
            self.flip(port);
            self.taken = self.taken.saturating_sub(1);
            if let Some(left) = self.left.get_mut(by_class.class(port)) {
                *left += 1;
            }
        }
    }

    fn flip(&mut self, port: u16) {
        if let Some(word) = self.bits.get_mut(usize::from(port) / 64) {
            *word ^= 1 << (port % 64);
        }
    }

    /// Returns the ports that are taken.
    fn taken(&self) -> impl Iterator<Item = u16> {
        (super::pool::FIRST..=u16::MAX).filter(|&port| !self.has(port))
    }

    /// Returns one of the eligible ports that are left, at random. Few of them can have a flow's tuple
    /// all the same, as one that came in has it.
    pub(super) fn choose(
        &self,
        rng: &mut StdRng,
        eligible: Eligible<'_>,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let mut from: u16 = rng.random();
        let next = || {
            let port = eligible.next(&self.bits, from)?;
            from = port.wrapping_add(1);
            Some(port)
        };
        core::iter::from_fn(next)
            .take(TRIES)
            .find(|&port| is_free(port))
    }
}
