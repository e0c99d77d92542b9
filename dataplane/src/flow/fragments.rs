//! Where the later fragments of a datagram belong.

use crate::policy::PortId;
use crate::time::Now;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

/// How long fragments of one datagram may take (RFC 791 section 3.2 suggests 15 s).
const PATIENCE: Duration = Duration::from_secs(15);
/// How many datagrams are followed at once; the oldest gives way.
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
    order: VecDeque<(FragmentKey, u64)>,
    serial: u64,
}

impl<T> Default for FragmentTable<T> {
    fn default() -> Self {
        Self {
            followed: HashMap::new(),
            order: VecDeque::new(),
            serial: 0,
        }
    }
}

impl<T: Copy> FragmentTable<T> {
    /// Notes where the first fragment of a datagram belongs.
    pub fn follow(&mut self, now: Now, key: FragmentKey, place: T) {
        while self.order.len() >= MAX {
            self.forget_oldest();
        }
        self.serial += 1;
        let note = Followed {
            place,
            until: now.plus(PATIENCE),
            serial: self.serial,
        };
        self.followed.insert(key, note);
        self.order.push_back((key, self.serial));
    }

    /// Returns where a later fragment belongs. A pair may have been removed since: the caller compares
    /// its key with the fragment.
    pub fn find(&self, now: Now, key: FragmentKey) -> Option<T> {
        let note = self.followed.get(&key)?;
        (now <= note.until).then_some(note.place)
    }

    /// Forgets datagrams whose time is over.
    pub fn expire(&mut self, now: Now) {
        while let Some((key, serial)) = self.order.front() {
            let is_live = self
                .followed
                .get(key)
                .is_some_and(|note| note.serial == *serial && now <= note.until);
            if is_live {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((key, serial)) = self.order.pop_front()
            && self
                .followed
                .get(&key)
                .is_some_and(|note| note.serial == serial)
        {
            self.followed.remove(&key);
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
