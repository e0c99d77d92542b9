//! Policy changes and expiry: what happens to flows without a packet.

use super::evaluate::{NsgMode, Path, Request};
use super::miss::{idle_timeout, tuple_of};
use super::reconcile::{Outcome, reconcile};
use super::{Engine, admission, make};
use crate::flow::{FlowKey, Life, PairId, Side, SourceKind, Why};
use crate::policy::{CloseMode, Epoch, PortId, Snapshot};
use crate::time::Now;
use core::time::Duration;
use std::sync::Arc;

/// What became of the flows when a policy was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// The policy.
    pub epoch: Epoch,
    /// Flows that go on with their binding. Connections that were over by themselves, and only
    /// rest, are counted nowhere.
    pub kept: u64,
    /// TCP flows that were reset because their path changed.
    pub closed: u64,
    /// Other flows that were forgotten because their path changed.
    pub rebound: u64,
    /// Flows that an NSG ended.
    pub denied: u64,
}

impl SweepReport {
    /// Returns what two engines that share the work report of one policy. Where one was overtaken by a
    /// newer policy, the newer one is named.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch),
            kept: self.kept + other.kept,
            closed: self.closed + other.closed,
            rebound: self.rebound + other.rebound,
            denied: self.denied + other.denied,
        }
    }
}

/// A walk over all flows, a bounded number at a time.
#[derive(Debug)]
pub(super) struct Sweep {
    place: u32,
    report: SweepReport,
}

impl Engine {
    /// Puts a policy in force. From now on every packet is judged by it; [`Self::advance`] then
    /// reaches the flows without traffic and reports when it is done. A sweep that is under way
    /// begins anew, and its counts so far go into the new report. Returns the policy that was in
    /// force: freeing a large one takes longer than a packet should wait.
    pub fn install(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        for at in 0..snapshot.ports.len() {
            if let Ok(at) = u16::try_from(at)
                && snapshot.port(PortId(at)).is_some()
                && self.snapshot.port(PortId(at)).is_none()
            {
                self.counters.reset_port(PortId(at));
            }
        }
        let access = &snapshot.access;
        self.counters
            .retain_resources(|resource| access.resource(resource).is_some());
        let before = self
            .sweep
            .take()
            .map(|sweep| sweep.report)
            .unwrap_or_default();
        let report = SweepReport {
            epoch: snapshot.epoch,
            kept: 0,
            ..before
        };
        self.sweep = Some(Sweep { place: 0, report });
        std::mem::replace(&mut self.snapshot, snapshot)
    }

    /// Returns whether flows are still to be judged by the newest policy.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Returns whether the last call of [`Self::advance`] left something to do: flows to be judged,
    /// or flows that are due.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.is_sweeping() || self.has_due
    }

    /// Lets time pass: ends flows that are due and goes on with the sweep, looking at no more than
    /// `budget` flows for each. Returns the report when the sweep is done.
    pub fn advance(&mut self, now: Now, budget: usize) -> Option<SweepReport> {
        self.advanced = now;
        self.fragments.expire(now);
        let mut left = budget;
        while left > 0
            && let Some(id) = self.flows.pop_due(now)
        {
            self.expire(now, id);
            left -= 1;
        }
        self.has_due = left == 0;
        self.continue_sweep(now, budget)
    }

    fn expire(&mut self, now: Now, id: PairId) {
        let timers = self.snapshot.settings.timers;
        let Some(due) = self.due(id) else {
            return;
        };
        let Some(pair) = self.flows.get_mut(id) else {
            return;
        };
        if due > now {
            return self.flows.arm_due(id, due);
        }
        if pair.life == Life::Live {
            self.counters.flows_ended += 1;
            if pair.is_leased() && pair.tcp.is_none() && !timers.udp_hold.is_zero() {
                pair.life = Life::Held;
                pair.seen = now;
                return self.flows.arm_due(id, now.plus(timers.udp_hold));
            }
        }
        if let Some(ended) = self.flows.remove_due(id) {
            self.settle(ended);
        }
    }

    /// Returns when a pair ends if no packet comes.
    fn due(&self, id: PairId) -> Option<Now> {
        let patience = self.flows.patience(id, &self.snapshot.settings.timers)?;
        Some(self.flows.get(id)?.seen.plus(patience))
    }

    fn continue_sweep(&mut self, now: Now, budget: usize) -> Option<SweepReport> {
        let mut place = self.sweep.as_ref()?.place;
        let end = self.flows.bound();
        let stop = end.min(place.saturating_add(u32::try_from(budget).unwrap_or(u32::MAX)));
        while place < stop {
            if let Some((id, pair)) = self.flows.at(place)
                && pair.life == Life::Live
                && pair.epoch != self.snapshot.epoch
            {
                self.revisit(now, id);
            }
            place += 1;
        }
        if place < end {
            if let Some(sweep) = &mut self.sweep {
                sweep.place = place;
            }
            return None;
        }
        self.sweep.take().map(|sweep| sweep.report)
    }

    /// Judges a live pair by the policy in force, and returns whether it goes on.
    pub(super) fn revisit(&mut self, now: Now, id: PairId) -> bool {
        let snapshot = &self.snapshot;
        let (Some(pair), Some(why)) = (self.flows.get(id), self.flows.why(id)) else {
            return false;
        };
        let key = pair.key(Side::Initiator);
        let fresh = Request {
            snapshot,
            ingress: key.port(),
            tuple: tuple_of(key),
            is_fragment: false,
            nsg: match snapshot.settings.reevaluate_on_change {
                true => NsgMode::Enforce,
                false => NsgMode::Ignore,
            },
        }
        .evaluate();
        let is_public_ours = why
            .public
            .is_none_or(|address| snapshot.publics.contains_key(&address));
        let is_tcp = pair.tcp.is_some();
        let outcome = match (reconcile(&why, is_tcp, &fresh, is_public_ours), &fresh) {
            (Outcome::Keep, Ok(path)) if self.is_refused_now(path, key, &why) => Outcome::Deny,
            (outcome, _) => outcome,
        };
        let is_over = pair.tcp.as_ref().is_some_and(|tcp| tcp.may_reopen());
        if !is_over {
            self.count_outcome(outcome);
        }
        match outcome {
            Outcome::Keep => {
                let snapshot = &self.snapshot;
                let Some(pair) = self.flows.get_mut(id) else {
                    return false;
                };
                pair.epoch = snapshot.epoch;
                if let Ok(path) = &fresh
                    && why.source != SourceKind::Shared
                {
                    self.keep(now, id, idle_timeout(snapshot, key.port(), path));
                }
            }
            Outcome::Rebind => {
                if let Some(ended) = self.flows.remove(id) {
                    self.counters.flows_closed += 1;
                    self.settle(ended);
                }
            }
            Outcome::Close => self.cut(now, id, Life::Tombstone),
            Outcome::Deny => self.cut(now, id, Life::Denied),
        }
        outcome == Outcome::Keep
    }

    /// Asks the resource at the end of a flow that could go on again, where rule edits act on live
    /// flows. One whose path has changed is not asked about: its source is about to be another.
    fn is_refused_now(&self, path: &Path, key: FlowKey, why: &Why) -> bool {
        let snapshot = &self.snapshot;
        if !snapshot.settings.reevaluate_on_change {
            return false;
        }
        let source = why.public.unwrap_or(key.source());
        let asked = admission::ask(snapshot, key.port(), path, source, key.protocol());
        asked.is_some_and(|(_, _, ruling)| !ruling.is_allowed())
    }

    /// Gives a kept pair the idle time that its network has now.
    fn keep(&mut self, now: Now, id: PairId, idle_timeout: Option<Duration>) {
        if self.flows.idle_timeout(id) == idle_timeout {
            return;
        }
        self.flows.set_idle_timeout(id, idle_timeout);
        if let Some(due) = self.due(id) {
            self.flows.rearm(id, due.max(now));
        }
    }

    fn count_outcome(&mut self, outcome: Outcome) {
        let Some(Sweep { report, .. }) = &mut self.sweep else {
            return;
        };
        match outcome {
            Outcome::Keep => report.kept += 1,
            Outcome::Rebind => report.rebound += 1,
            Outcome::Close => report.closed += 1,
            Outcome::Deny => report.denied += 1,
        }
    }

    /// Ends a pair but keeps its keys for a while, so that late segments cannot open a new flow;
    /// a connection that is not over by itself is reset on both sides.
    fn cut(&mut self, now: Now, id: PairId, life: Life) {
        let settings = self.snapshot.settings;
        let Some(pair) = self.flows.get_mut(id) else {
            return;
        };
        pair.life = life;
        pair.seen = now;
        let is_open = pair.tcp.as_ref().is_none_or(|tcp| !tcp.may_reopen());
        if is_open {
            self.counters.flows_closed += 1;
        } else {
            self.counters.flows_ended += 1;
        }
        if is_open && life == Life::Tombstone && settings.close_mode == CloseMode::Rst {
            let tunnel = self.flows.tunnel(id);
            for side in [Side::Initiator, Side::Responder] {
                let Some(pair) = self.flows.get(id) else {
                    return;
                };
                let port = pair.key(side).port();
                if let Some(packet) = make::reset_of(pair, tunnel, side) {
                    self.emit(port, packet);
                }
            }
        }
        if let Some(due) = self.due(id) {
            self.flows.rearm(id, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_one_policy_add_up() {
        let report = |epoch, [kept, closed, rebound, denied]: [u64; 4]| SweepReport {
            epoch: Epoch(epoch),
            kept,
            closed,
            rebound,
            denied,
        };
        let (one, other) = (report(3, [1, 2, 3, 4]), report(3, [10, 20, 30, 40]));
        let both = report(3, [11, 22, 33, 44]);
        assert_eq!(one.merged(other), both);
        assert_eq!(one.merged(report(4, [10, 20, 30, 40])).epoch, Epoch(4));
    }
}
