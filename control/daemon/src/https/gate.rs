//! Who may hold a connection: strangers and those that are known have places of their own.
//!
//! A connection is a stranger's until a request with a token that counts came on it. Whoever is new finds
//! a place: where there is none left, the address that has most of them gives one up, an unfinished
//! handshake before an idle connection, and none that is at work. A principal has so many, and gives up
//! its own for a new one; when those of all are taken, who has most gives one up. So nobody needs a
//! right, or luck, to be heard, and nobody who is known is kept out by those who are not.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Connections of strangers at a time.
pub(super) const STRANGERS: usize = 256;
/// Connections of those that are known.
pub(super) const KNOWN: usize = 256;
/// Connections of one of them.
pub(super) const OF_ONE: usize = 64;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// The handshake.
    Greeting,
    /// Nothing, or it sends a head.
    Idle,
    /// It sends a body.
    Sending,
    /// It waits for an answer.
    Waiting,
}

/// A connection, under a number that grows.
#[derive(Debug)]
struct Connection {
    place: IpAddr,
    who: Option<String>,
    doing: Doing,
    /// Told when it has to go.
    out: Arc<Notify>,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    inner: Mutex<Inner>,
    /// Told when a stranger leaves.
    left: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    connections: BTreeMap<u64, Connection>,
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    number: u64,
    out: Arc<Notify>,
}

/// There are too many requests at work of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Gate {
    /// Gives a stranger a place; none if every one of them is at work.
    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let mut inner = self.inner();
        let strangers = || inner.connections.values().filter(|it| it.who.is_none());
        if strangers().count() >= STRANGERS {
            let mut by_place: HashMap<IpAddr, usize> = HashMap::new();
            for connection in strangers() {
                *by_place.entry(connection.place).or_default() += 1;
            }
            let goes = inner
                .connections
                .iter()
                .filter(|(_, it)| it.who.is_none() && it.doing < Doing::Waiting)
                .min_by_key(|(number, it)| {
                    let most = by_place.get(&it.place).copied().unwrap_or_default();
                    (std::cmp::Reverse(most), it.doing, **number)
                })
                .map(|(number, _)| *number)?;
            inner.evict(goes);
        }
        let out = Arc::new(Notify::new());
        inner.last = inner.last.wrapping_add(1);
        let number = inner.last;
        let connection = Connection {
            place: network(from),
            who: None,
            doing: Doing::Greeting,
            out: Arc::clone(&out),
        };
        inner.connections.insert(number, connection);
        let gate = Arc::clone(self);
        Some(Place { gate, number, out })
    }

    /// Gives a stranger a place, when there is one.
    pub(crate) async fn place(self: &Arc<Self>, from: IpAddr) -> Place {
        loop {
            match self.enter(from) {
                Some(place) => return place,
                None => self.left.notified().await,
            }
        }
    }

    /// Makes the oldest stranger give up its place, as the system has no room for more.
    pub(crate) fn shed(&self) {
        let mut inner = self.inner();
        let mut strangers = inner.connections.iter();
        let oldest = strangers.find(|(_, it)| it.who.is_none() && it.doing < Doing::Waiting);
        if let Some(number) = oldest.map(|(number, _)| *number) {
            inner.evict(number);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn evict(&mut self, number: u64) {
        if let Some(gone) = self.connections.remove(&number) {
            gone.out.notify_one();
        }
    }

    /// Makes room for one more connection of who is known.
    fn make_room(&mut self, who: &str) -> Result<(), Full> {
        let mut by_who: HashMap<&str, usize> = HashMap::new();
        for known in self.connections.values().filter_map(|it| it.who.as_deref()) {
            *by_who.entry(known).or_default() += 1;
        }
        let own = by_who.get(who).copied().unwrap_or_default();
        let all: usize = by_who.values().sum();
        let from = if own >= OF_ONE {
            Some(who)
        } else if all >= KNOWN {
            let most = by_who.iter().max_by_key(|(_, count)| **count);
            most.map(|(who, _)| *who)
        } else {
            return Ok(());
        };
        let its = self
            .connections
            .iter()
            .filter(|(_, it)| it.who.as_deref() == from && it.doing < Doing::Waiting)
            .map(|(number, it)| (it.doing, *number));
        let (_, number) = its.min().ok_or(Full)?;
        self.evict(number);
        Ok(())
    }
}

impl Place {
    /// Returns when the connection has to go.
    pub(crate) async fn taken(&self) {
        self.out.notified().await;
    }

    /// Says that the handshake is done.
    pub(crate) fn greeted(&self) {
        self.does(Doing::Idle);
    }

    /// Says that a head came, of somebody who is known or not.
    ///
    /// # Errors
    ///
    /// Every connection of theirs waits for an answer, and there can be no more of them.
    pub(crate) fn sends(&self, who: Option<&str>) -> Result<(), Full> {
        let mut inner = self.gate.inner();
        let was = inner.connections.get(&self.number);
        let was = was.and_then(|connection| connection.who.clone());
        if let Some(who) = who.filter(|who| was.as_deref() != Some(*who)) {
            inner.make_room(who)?;
            if was.is_none() {
                self.gate.left.notify_one();
            }
        }
        if let Some(own) = inner.connections.get_mut(&self.number) {
            own.doing = Doing::Sending;
            if let Some(who) = who {
                own.who = Some(who.to_owned());
            }
        }
        Ok(())
    }

    /// Says that the request is complete and waits for its answer.
    pub(crate) fn waits(&self) {
        self.does(Doing::Waiting);
    }

    /// Says that the answer is there.
    pub(crate) fn rests(&self) {
        self.does(Doing::Idle);
        self.gate.left.notify_one();
    }

    fn does(&self, what: Doing) {
        if let Some(own) = self.gate.inner().connections.get_mut(&self.number) {
            own.doing = what;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.inner().connections.remove(&self.number);
        self.gate.left.notify_one();
    }
}

/// Returns the network that one client can choose its address from.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    fn at(host: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, host])
    }

    /// Returns whether a connection was told to go.
    fn is_out(place: &Place) -> bool {
        let taken = std::pin::pin!(place.out.notified());
        taken.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn strangers_give_way_to_strangers() {
        let gate = Arc::new(Gate::default());
        let other = gate.enter(at(2)).unwrap();
        let many: Vec<_> = (1..STRANGERS).map(|_| gate.enter(at(1)).unwrap()).collect();
        // The first has done more than the others.
        many[0].greeted();
        let new = gate.enter(at(3)).unwrap();
        assert!(is_out(&many[1]) && !is_out(&many[0]) && !is_out(&other));
        drop(new);
        // One that is at work stays.
        let _again = gate.enter(at(3)).unwrap();
        for place in &many {
            place.waits();
        }
        other.waits();
        _again.waits();
        assert!(gate.enter(at(4)).is_none(), "the next one waits");
        many[5].rests();
        assert!(gate.enter(at(4)).is_some());
        assert!(is_out(&many[5]));
    }

    #[test]
    fn who_is_known_has_places_that_strangers_do_not_take() {
        let gate = Arc::new(Gate::default());
        let known = gate.enter(at(1)).unwrap();
        known.sends(Some("a")).unwrap();
        known.rests();
        let strangers: Vec<_> = (0..STRANGERS * 3)
            .filter_map(|_| gate.enter(at(1)))
            .collect();
        assert_eq!(strangers.len(), STRANGERS * 3);
        assert!(!is_out(&known));
    }

    #[test]
    fn one_principal_has_so_many_and_gives_up_its_own() {
        let gate = Arc::new(Gate::default());
        let enter = |who: &str| {
            let place = gate.enter(at(1)).unwrap();
            place.sends(Some(who)).map(|()| place)
        };
        let first = enter("b").unwrap();
        let own: Vec<_> = (0..OF_ONE).map(|_| enter("a").unwrap()).collect();
        own[3].rests();
        let more = enter("a").unwrap();
        assert!(is_out(&own[3]), "an idle one first");
        own.iter().chain([&more]).for_each(Place::waits);
        assert_eq!(enter("a").err(), Some(Full));
        enter("b").unwrap();
        assert!(!is_out(&first));
    }

    #[test]
    fn who_has_most_gives_up_for_who_has_none() {
        let gate = Arc::new(Gate::default());
        let enter = |who: &str| {
            let place = gate.enter(at(1)).unwrap();
            place.sends(Some(who)).unwrap();
            place
        };
        let names = ["a", "b", "c", "d"];
        let all: Vec<_> = (0..KNOWN)
            .map(|number| enter(names[number / OF_ONE]))
            .collect();
        let new = enter("e");
        assert_eq!(all.iter().filter(|place| is_out(place)).count(), 1);
        assert!(!is_out(&new));
    }
}
