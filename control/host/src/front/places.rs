//! Who gets a place when there are not enough.
//!
//! Every connection has a place until it ends. Places are shared fairly: among listeners, then among
//! parties (a virtual network, or 256 public addresses), then among callers. When none is free, a
//! newcomer takes that of somebody who holds more: first of those who have not said yet whom they
//! call, of whom the fullest party's fullest caller loses its oldest; then of the fullest party's
//! fullest caller one whose refusal is being heard, or the relayed one in which nothing has passed
//! for longest. So whoever holds fewest always gets in, and nobody is put out by a caller that holds
//! as much itself.
//!
//! ```text
//! Unopened --> Relayed      each phase of a caller has its connections in the order of arrival
//!     '------> Refused
//! ```

use super::activity::Activity;
use super::caller::Caller;
use super::limits::Limits;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has not said yet whom it calls.
    Unopened,
    /// It was refused, and what the client still sends is read.
    Refused,
    /// It is passed on.
    Relayed,
}

/// One of something for each phase.
#[derive(Debug, Default)]
struct ByPhase<T> {
    unopened: T,
    refused: T,
    relayed: T,
}

impl<T> ByPhase<T> {
    const fn of(&self, phase: Phase) -> &T {
        match phase {
            Phase::Unopened => &self.unopened,
            Phase::Refused => &self.refused,
            Phase::Relayed => &self.relayed,
        }
    }

    const fn of_mut(&mut self, phase: Phase) -> &mut T {
        match phase {
            Phase::Unopened => &mut self.unopened,
            Phase::Refused => &mut self.refused,
            Phase::Relayed => &mut self.relayed,
        }
    }
}

/// How many connections there are.
type Count = ByPhase<usize>;

impl Count {
    const fn all(&self) -> usize {
        self.unopened
            .saturating_add(self.refused)
            .saturating_add(self.relayed)
    }

    fn change(&mut self, phase: Phase, more: bool) {
        let count = self.of_mut(phase);
        *count = if more {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
    }
}

/// Who shares as one: a virtual network, or 256 public addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Party {
    Network(u32),
    Public(u32),
}

impl Party {
    fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Subnet { identity, .. } => Self::Network(identity.vnet.get()),
            Caller::Public(address) => Self::Public(address.to_bits() >> 8),
        }
    }
}

/// Whose a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    room: u64,
    party: Party,
    caller: IpAddr,
}

/// A connection as it is kept.
#[derive(Debug)]
struct Seat {
    activity: Activity,
    leave: Arc<Notify>,
}

/// The connections of a caller.
#[derive(Debug, Default)]
struct Guest {
    count: Count,
    seats: ByPhase<BTreeMap<u64, Seat>>,
}

/// The connections of a party.
#[derive(Debug, Default)]
struct Table {
    count: Count,
    guests: HashMap<IpAddr, Guest>,
}

/// The connections of a listener.
#[derive(Debug, Default)]
struct Room {
    count: Count,
    tables: HashMap<Party, Table>,
}

/// All connections.
#[derive(Debug, Default)]
struct House {
    next: u64,
    count: Count,
    rooms: HashMap<u64, Room>,
}

/// Returns the one with most, if it has any.
fn fullest<K, T>(all: &HashMap<K, T>, weigh: impl Fn(&T) -> usize) -> Option<(&K, &T)> {
    let fullest = all.iter().max_by_key(|(_, one)| weigh(one));
    fullest.filter(|(_, one)| weigh(one) > 0)
}

impl House {
    fn guest(&self, owner: &Owner) -> Option<&Guest> {
        let table = self.rooms.get(&owner.room)?.tables.get(&owner.party)?;
        table.guests.get(&owner.caller)
    }

    /// Calls `change` with the counts on the way to a caller, and with the caller.
    fn visit<R>(
        &mut self,
        owner: &Owner,
        mut change: impl FnMut(&mut Count),
        act: impl FnOnce(&mut Guest) -> R,
    ) -> R {
        change(&mut self.count);
        let room = self.rooms.entry(owner.room).or_default();
        change(&mut room.count);
        let table = room.tables.entry(owner.party).or_default();
        change(&mut table.count);
        let guest = table.guests.entry(owner.caller).or_default();
        change(&mut guest.count);
        act(guest)
    }

    fn add(&mut self, owner: &Owner, phase: Phase, id: u64, seat: Seat) {
        let count = |count: &mut Count| count.change(phase, true);
        self.visit(owner, count, |guest| {
            guest.seats.of_mut(phase).insert(id, seat);
        });
    }

    /// Takes a connection out, if it is still there.
    fn take(&mut self, owner: &Owner, id: u64) -> Option<Seat> {
        let guest = self.guest(owner)?;
        let phases = [Phase::Unopened, Phase::Refused, Phase::Relayed];
        let mut phases = phases.into_iter();
        let phase = phases.find(|phase| guest.seats.of(*phase).contains_key(&id))?;
        let count = |count: &mut Count| count.change(phase, false);
        let seat = self.visit(owner, count, |guest| guest.seats.of_mut(phase).remove(&id));
        self.tidy(owner);
        seat
    }

    /// Forgets a caller, a party and a listener that have no connection any more.
    fn tidy(&mut self, owner: &Owner) {
        let Some(room) = self.rooms.get_mut(&owner.room) else {
            return;
        };
        if let Some(table) = room.tables.get_mut(&owner.party) {
            table
                .guests
                .retain(|caller, guest| *caller != owner.caller || guest.count.all() > 0);
            if table.guests.is_empty() {
                room.tables.remove(&owner.party);
            }
        }
        if room.tables.is_empty() {
            self.rooms.remove(&owner.room);
        }
    }

    /// Puts a connection out.
    fn evict(&mut self, owner: &Owner, id: u64) {
        if let Some(seat) = self.take(owner, id) {
            seat.leave.notify_one();
        }
    }

    /// Returns the oldest of a caller's connections in a phase.
    fn oldest(&self, owner: &Owner, phase: Phase) -> Option<u64> {
        let seats = self.guest(owner)?.seats.of(phase);
        seats.first_key_value().map(|(id, _)| *id)
    }

    /// Returns who has most by a measure, in one room or in that which has most.
    fn most(&self, room: Option<u64>, weigh: impl Fn(&Count) -> usize) -> Option<Owner> {
        let (&room, found) = match room {
            Some(room) => self.rooms.get_key_value(&room)?,
            None => fullest(&self.rooms, |room| weigh(&room.count))?,
        };
        let (&party, table) = fullest(&found.tables, |table| weigh(&table.count))?;
        let (&caller, _) = fullest(&table.guests, |guest| weigh(&guest.count))?;
        Some(Owner {
            room,
            party,
            caller,
        })
    }

    /// Returns whether a newcomer has less than an owner, at the level where their ways part.
    fn has_less(&self, newcomer: &Owner, owner: &Owner) -> bool {
        let room = |of: &Owner| self.rooms.get(&of.room);
        let table = |of: &Owner| room(of)?.tables.get(&of.party);
        let counts = |of: &Owner| -> [usize; 3] {
            [
                room(of).map_or(0, |room| room.count.all()),
                table(of).map_or(0, |table| table.count.all()),
                self.guest(of).map_or(0, |guest| guest.count.all()),
            ]
        };
        let [room_of_newcomer, party, caller] = counts(newcomer);
        let [room_of_owner, other_party, other_caller] = counts(owner);
        if newcomer.room != owner.room {
            room_of_newcomer < room_of_owner
        } else if newcomer.party != owner.party {
            party < other_party
        } else {
            caller < other_caller
        }
    }

    /// Makes room for a newcomer, in one listener or in all; returns whether there is some.
    fn make_room(&mut self, newcomer: &Owner, room: Option<u64>) -> bool {
        if let Some(owner) = self.most(room, |count| count.unopened)
            && let Some(id) = self.oldest(&owner, Phase::Unopened)
        {
            self.evict(&owner, id);
            return true;
        }
        let Some(owner) = self.most(room, Count::all) else {
            return false;
        };
        if !self.has_less(newcomer, &owner) {
            return false;
        }
        let refused = self.oldest(&owner, Phase::Refused);
        let idlest = || {
            let seats = &self.guest(&owner)?.seats.relayed;
            let idlest = seats.iter().min_by_key(|(_, seat)| seat.activity.last())?;
            Some(*idlest.0)
        };
        let id = refused.or_else(idlest);
        if let Some(id) = id {
            self.evict(&owner, id);
        }
        id.is_some()
    }
}

/// The places of all listeners.
#[derive(Debug)]
pub struct Places {
    limits: Limits,
    house: Mutex<House>,
}

impl Places {
    /// Returns empty places.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            house: Mutex::default(),
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut House) -> R) -> R {
        act(&mut self.house.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a place for a connection of a caller to a listener; `None` if there is none for it.
    #[must_use]
    pub fn enter(self: &Arc<Self>, room: u64, caller: &Caller) -> Option<Place> {
        let owner = Owner {
            room,
            party: Party::of(caller),
            caller: caller.raw(),
        };
        let limits = &self.limits;
        self.with(|house| {
            let own = house.guest(&owner).map(|guest| &guest.count);
            let (all, unopened) = own.map_or((0, 0), |own| (own.all(), own.unopened));
            if unopened >= limits.undecided_per_caller || all >= limits.per_caller {
                let oldest = house.oldest(&owner, Phase::Unopened);
                let oldest = oldest.or_else(|| house.oldest(&owner, Phase::Refused))?;
                house.evict(&owner, oldest);
            }
            let in_room = house.rooms.get(&room).map_or(0, |room| room.count.all());
            if in_room >= limits.per_listener && !house.make_room(&owner, Some(room)) {
                return None;
            }
            if house.count.all() >= limits.total && !house.make_room(&owner, None) {
                return None;
            }
            house.next = house.next.wrapping_add(1);
            let place = Place {
                places: Arc::clone(self),
                owner,
                id: house.next,
                activity: Activity::default(),
                leave: Arc::default(),
            };
            house.add(&owner, Phase::Unopened, place.id, place.seat());
            Some(place)
        })
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.with(|house| house.count.all())
    }
}

/// The place of a connection, until it goes.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    owner: Owner,
    id: u64,
    /// What passes over the connection.
    pub activity: Activity,
    leave: Arc<Notify>,
}

impl Place {
    fn seat(&self) -> Seat {
        Seat {
            activity: self.activity.clone(),
            leave: Arc::clone(&self.leave),
        }
    }

    /// Returns what is told once when the connection has to go.
    #[must_use]
    pub fn leave(&self) -> Arc<Notify> {
        Arc::clone(&self.leave)
    }

    /// Notes what the connection is about from now on.
    pub fn turn(&self, phase: Phase) {
        let limits = &self.places.limits;
        self.places.with(|house| {
            // It may have lost its place already.
            let Some(seat) = house.take(&self.owner, self.id) else {
                return;
            };
            if phase == Phase::Refused {
                let own = house
                    .guest(&self.owner)
                    .map_or(0, |guest| guest.count.refused);
                let owner = if own >= limits.draining_per_caller {
                    Some(self.owner)
                } else if house.count.refused >= limits.draining {
                    house.most(None, |count| count.refused)
                } else {
                    None
                };
                if let Some(owner) = owner
                    && let Some(oldest) = house.oldest(&owner, Phase::Refused)
                {
                    house.evict(&owner, oldest);
                }
            }
            house.add(&self.owner, phase, self.id, seat);
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|house| house.take(&self.owner, self.id));
    }
}

#[cfg(test)]
mod tests;
