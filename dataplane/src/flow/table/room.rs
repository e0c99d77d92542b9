//! Who has the table's room, and what makes some.

use super::{Ended, FlowTable, PairId};
use crate::flow::shares::{Opener, ShareView};
use crate::flow::{Life, Side};
use crate::policy::{PortId, Timers};
use core::time::Duration;

/// How many openers with many flows are looked at for one that leads to a port.
const MOST_CROWDS: usize = 64;

impl FlowTable {
    /// Returns whether a pair can only be inserted when another is removed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Removes the pair that gives way to a new flow of this opener in a full table, if there is one
    /// (see [`crate::flow::Opener`]).
    pub fn make_room(&mut self, opener: Opener) -> Option<Ended> {
        let id = self.shares.victim(opener)?;
        self.remove(PairId(id))
    }

    /// Removes a pair towards a NIC that has as many as it may have, for a flow of another port: of an
    /// opener with very many unanswered ones, of which one leads there.
    pub fn make_room_towards(&mut self, port: PortId, egress: PortId) -> Option<Ended> {
        let leads_there = |id: &PairId| {
            let pair = self.get(*id);
            pair.is_some_and(|pair| pair.egress(Side::Initiator) == egress)
        };
        let crowds = self.shares.crowds(port).take(MOST_CROWDS);
        let id = crowds.map(PairId).find(leads_there)?;
        self.remove(id)
    }

    /// Returns whether a pair gives way where room is made.
    #[must_use]
    pub fn waits(&self, id: PairId) -> bool {
        let remains = self.remains.get(id.0 as usize);
        remains.is_some_and(|remains| remains.place.waits())
    }

    /// Notes that the responder of a pair has answered, and in the case of TCP that the handshake is done.
    #[cold]
    pub fn answered(&mut self, id: PairId) {
        self.shares.answer(&mut self.remains, id.0);
    }

    /// Returns how long a pair stays without another packet, where unanswered ones take so much room that
    /// they have to be short.
    #[must_use]
    pub fn patience(&self, id: PairId, timers: &Timers) -> Option<Duration> {
        let pair = self.get(id)?;
        let patience = pair.patience(self.idle_timeout(id), timers);
        Some(match pair.life {
            Life::Live if pair.is_unanswered() => self.unanswered(patience, timers),
            _ => patience,
        })
    }

    /// Returns how long an unanswered flow stays that would stay for `patience`.
    #[must_use]
    pub fn unanswered(&self, patience: Duration, timers: &Timers) -> Duration {
        let is_crowded = self.shares.waiting() as usize > self.max / 2;
        if is_crowded {
            patience.min(timers.unanswered)
        } else {
            patience
        }
    }

    /// Returns how many flows each port has.
    #[must_use]
    pub fn shares(&self) -> Vec<ShareView> {
        self.shares.views().collect()
    }
}
