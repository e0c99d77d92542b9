//! One report of a policy's sweep out of the reports of all workers.

use crate::engine::SweepReport;
use crate::policy::Epoch;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The sweep under way, at all workers, and who waits for its report.
#[derive(Debug)]
pub(super) struct Sweeps(Mutex<State>);

#[derive(Debug)]
struct State {
    workers: usize,
    /// How many policies were installed: one may be installed twice, with other devices.
    round: u64,
    /// How many workers are done with the newest.
    done: usize,
    total: SweepReport,
    waiting: Vec<Sender<SweepReport>>,
    /// Whether a worker has ended, so that no report is whole any more.
    is_over: bool,
}

impl Sweeps {
    pub(super) fn new(workers: usize) -> Self {
        Self(Mutex::new(State {
            workers,
            round: 0,
            done: 0,
            total: SweepReport::default(),
            waiting: Vec::new(),
            is_over: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with the sweep of a policy that no worker has yet, and returns the number under which
    /// they report it. What they did of the one before, if they are not all done with it, goes into
    /// the new report, as it does at a single worker.
    pub(super) fn begin(&self, epoch: Epoch, report: Sender<SweepReport>) -> u64 {
        let mut state = self.lock();
        state.round += 1;
        state.done = 0;
        state.total = SweepReport {
            epoch,
            kept: 0,
            ..state.total
        };
        if !state.is_over {
            state.waiting.push(report);
        }
        state.round
    }

    /// Takes the report of a worker that had the policy of this number when its sweep was done.
    pub(super) fn report(&self, round: u64, report: SweepReport) {
        let mut state = self.lock();
        let is_newest = round == state.round;
        // What an older policy kept is still to be judged by the newest.
        let kept = if is_newest { report.kept } else { 0 };
        state.total = state.total.merged(SweepReport { kept, ..report });
        state.done += usize::from(is_newest);
        if state.done == state.workers {
            let total = std::mem::take(&mut state.total);
            for receiver in state.waiting.drain(..) {
                // Whoever asked may have lost interest.
                let _ = receiver.send(total);
            }
        }
    }

    /// Hangs up on all who wait, now and from now on.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{TryRecvError, channel};

    fn report(epoch: u32, kept: u64, closed: u64) -> SweepReport {
        SweepReport {
            epoch: Epoch(epoch),
            kept,
            closed,
            ..SweepReport::default()
        }
    }

    #[test]
    fn the_report_comes_once_when_all_are_done_and_is_the_sum() {
        let sweeps = Sweeps::new(3);
        let (sender, receiver) = channel();
        let round = sweeps.begin(Epoch(5), sender);
        sweeps.report(round, report(5, 10, 1));
        sweeps.report(round, report(5, 20, 2));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sweeps.report(round, report(5, 30, 4));
        assert_eq!(receiver.try_recv(), Ok(report(5, 60, 7)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn what_was_closed_under_an_overtaken_policy_is_reported_with_the_next() {
        let sweeps = Sweeps::new(2);
        let (first, first_receiver) = channel();
        let (second, second_receiver) = channel();
        let before = sweeps.begin(Epoch(5), first);
        sweeps.report(before, report(5, 10, 1));
        let after = sweeps.begin(Epoch(6), second);
        // Done with the old one before it got the new one.
        sweeps.report(before, report(5, 20, 2));
        sweeps.report(after, report(6, 9, 4));
        assert_eq!(second_receiver.try_recv(), Err(TryRecvError::Empty));
        sweeps.report(after, report(6, 8, 0));
        assert_eq!(second_receiver.try_recv(), Ok(report(6, 17, 7)));
        assert_eq!(first_receiver.try_recv(), Ok(report(6, 17, 7)));
    }

    #[test]
    fn the_counts_of_a_reported_policy_are_not_reported_again() {
        let sweeps = Sweeps::new(1);
        for epoch in [5, 6] {
            let (sender, receiver) = channel();
            let round = sweeps.begin(Epoch(epoch), sender);
            sweeps.report(round, report(epoch, 3, 2));
            assert_eq!(receiver.try_recv(), Ok(report(epoch, 3, 2)));
        }
    }

    #[test]
    fn who_waits_is_hung_up_on_when_a_worker_ends() {
        let sweeps = Sweeps::new(2);
        let (early, early_receiver) = channel();
        let (late, late_receiver) = channel();
        sweeps.begin(Epoch(5), early);
        sweeps.end();
        sweeps.begin(Epoch(6), late);
        assert_eq!(early_receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(late_receiver.try_recv(), Err(TryRecvError::Disconnected));
    }
}
