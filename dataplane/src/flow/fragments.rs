//! Where the later fragments of a datagram belong.
//!
//! There is room for so many datagrams. Without any the oldest gives way of the port that has the most,
//! so that what one port floods with does not push out what came by another.

use crate::policy::PortId;
use crate::time::Now;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

/// How long fragments of one datagram may take (RFC 791 section 3.2 suggests 15 s).
const PATIENCE: Duration = Duration::from_secs(15);
/// How many datagrams are followed at once.
const MAX: usize = 4096;

/// What fragments of one datagram have in common (RFC 791), and the port that they came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Ingress port.
    pub port: PortId,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// IANA protocol number.
    pub protocol: u8,
    /// IPv4 identification.
    pub ident: u16,
}

#[derive(Clone, Copy, Debug)]
struct Followed<T> {
    place: T,
    until: Now,
    /// Tells this note from an older one of the same key.
    serial: u64,
}

/// Datagrams whose first fragment passed, and where that belonged: to a pair and a side of it, or to a
/// worker.
#[derive(Debug)]
pub struct FragmentTable<T> {
    followed: HashMap<FragmentKey, Followed<T>>,
    /// By port, in the order in which they came.
    order: HashMap<PortId, VecDeque<(FragmentKey, u64)>>,
    /// How many there are in all orders.
    noted: usize,
    serial: u64,
}

impl<T> Default for FragmentTable<T> {
    fn default() -> Self {
        Self {
            followed: HashMap::new(),
            order: HashMap::new(),
            noted: 0,
            serial: 0,
        }
    }
}

impl<T> FragmentTable<T> {
    /// Notes where the first fragment of a datagram belongs.
    pub fn follow(&mut self, now: Now, key: FragmentKey, place: T) {
        if self.noted >= MAX {
            let orders = self.order.iter().map(|(&port, order)| (order.len(), port));
            if let Some((_, port)) = orders.max() {
                self.forget_oldest(port);
            }
        }
        self.serial += 1;
        let note = Followed {
            place,
            until: now.plus(PATIENCE),
            serial: self.serial,
        };
        self.followed.insert(key, note);
        let order = self.order.entry(key.port).or_default();
        order.push_back((key, self.serial));
        self.noted += 1;
    }

    /// Returns where a later fragment belongs. A pair may have been removed since: the caller compares
    /// its key with the fragment.
    #[must_use]
    pub fn find(&self, now: Now, key: FragmentKey) -> Option<&T> {
        let note = self.followed.get(&key)?;
        (now <= note.until).then_some(&note.place)
    }

    /// Like [`Self::find`], to change it.
    pub fn find_mut(&mut self, now: Now, key: FragmentKey) -> Option<&mut T> {
        let note = self.followed.get_mut(&key)?;
        (now <= note.until).then_some(&mut note.place)
    }

    /// Forgets a datagram.
    pub fn forget(&mut self, key: FragmentKey) {
        self.followed.remove(&key);
    }

    /// Forgets datagrams whose time is over.
    pub fn expire(&mut self, now: Now) {
        let Self {
            followed, noted, ..
        } = self;
        self.order.retain(|_, order| {
            while let Some((key, serial)) = order.front() {
                let note = followed.get(key).filter(|note| note.serial == *serial);
                if note.is_some_and(|note| now <= note.until) {
                    break;
                }
                if note.is_some() {
                    followed.remove(key);
                }
                order.pop_front();
                *noted -= 1;
            }
            !order.is_empty()
        });
    }

    fn forget_oldest(&mut self, port: PortId) {
        let Some(order) = self.order.get_mut(&port) else {
            return;
        };
        if let Some((key, serial)) = order.pop_front() {
            self.noted -= 1;
            let note = self.followed.get(&key);
            if note.is_some_and(|note| note.serial == serial) {
                self.followed.remove(&key);
            }
        }
        if order.is_empty() {
            self.order.remove(&port);
        }
    }

    /// Returns how many datagrams are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.followed.len()
    }

    /// Returns whether no datagram is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16, ident: u16) -> FragmentKey {
        FragmentKey {
            port: PortId(port),
            source: Ipv4Addr::new(10, 0, 0, 4),
            destination: Ipv4Addr::new(10, 0, 0, 5),
            protocol: 17,
            ident,
        }
    }

    #[test]
    fn a_port_that_floods_pushes_out_its_own_only() {
        let mut table = FragmentTable::default();
        let now = Now::from_millis(1);
        for port in 1..=3 {
            table.follow(now, key(port, 7), port);
        }
        for ident in 0..10_000 {
            table.follow(now, key(9, ident), 9);
        }
        for ident in 0..10_000 {
            table.follow(now, key(8, ident), 8);
        }
        assert_eq!(table.len(), MAX);
        for port in 1..=3 {
            assert_eq!(table.find(now, key(port, 7)), Some(&port));
        }
        let is_followed = |port, n| table.find(now, key(port, n)).is_some();
        let followed = |port| (0..10_000).filter(|&n| is_followed(port, n)).count();
        let (one, other) = (followed(8), followed(9));
        assert!(one.abs_diff(other) <= 1, "{one} and {other}");
        table.expire(Now::from_millis(20_000));
        assert!(table.is_empty() && table.noted == 0 && table.order.is_empty());
    }

    #[test]
    fn a_key_that_comes_again_is_one_datagram() {
        let mut table = FragmentTable::default();
        for place in 0..5000 {
            table.follow(Now::from_millis(place), key(1, 7), place);
        }
        assert_eq!((table.len(), table.noted), (1, MAX));
        assert_eq!(table.find(Now::from_millis(5000), key(1, 7)), Some(&4999));
        table.expire(Now::from_millis(15_000 + 4998));
        assert_eq!((table.len(), table.noted), (1, 1));
        table.expire(Now::from_millis(15_000 + 5000));
        assert!(table.is_empty() && table.noted == 0);
    }
}
