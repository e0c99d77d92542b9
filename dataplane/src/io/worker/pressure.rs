//! What gives way while a device has more packets waiting than the worker takes.
//!
//! The kernel keeps as many frames of a device as its queue is long, and drops whatever comes then: a
//! flood that opens a flow with each packet, which costs several times what an established flow's
//! packet does, pushes out the answers to everybody else's flows behind the same device. So where
//! batch after batch is full and more than a quarter of it would open flows from outside, only an eighth
//! of each batch may, until a second has passed in which no batch wanted more. The others are dropped
//! before anything is looked up for them ([`DropReason::TooManyOpenings`]); what belongs to a flow is
//! not touched. The batches of such a device are short, so that others come round sooner.
//!
//! [`DropReason::TooManyOpenings`]: crate::stats::DropReason::TooManyOpenings

use super::forward::BATCH;
use crate::policy::PortId;
use crate::time::Now;
use std::time::Duration;

/// More openings than this in a full batch, a quarter of it, are a sign of a flood.
const MANY: u32 = 16;
/// Frames of a batch under pressure, and openings that it may have.
const SHORT: usize = 16;
const FEW: u32 = 2;
/// Full batches in a row after which a device is under pressure: together as long as the kernel's queue.
const FULL: u8 = 8;
/// How long a device stays under pressure without a batch that wants more than it may have.
const CALM: Duration = Duration::from_secs(1);

/// What one batch was like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// More may be waiting.
    pub(super) is_full: bool,
    /// Packets that wanted to open a flow from outside.
    pub(super) openings: u32,
}

/// Whether one source of frames, a device or the inbox, is under pressure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pressure {
    /// Full batches in a row with many openings.
    full: u8,
    /// When a batch last wanted more than it may have, while under pressure.
    wanted: Option<Now>,
}

impl Pressure {
    /// Returns how many flows from outside the next batch may open.
    pub(super) fn most(self) -> u32 {
        if self.wanted.is_some() { FEW } else { u32::MAX }
    }

    /// Returns how many frames the next batch may have.
    pub(super) fn frames(self) -> usize {
        if self.wanted.is_some() { SHORT } else { BATCH }
    }

    /// Notes what a batch was like.
    pub(super) fn note(&mut self, now: Now, batch: Batch) {
        self.full = if batch.is_full && batch.openings > MANY {
            self.full.saturating_add(1)
        } else {
            0
        };
        let begins = self.wanted.is_none() && self.full >= FULL;
        let goes_on = self.wanted.is_some() && batch.openings > FEW;
        if begins || goes_on {
            self.wanted = Some(now);
        } else if self.wanted.is_some_and(|wanted| now.since(wanted) >= CALM) {
            self.wanted = None;
        }
    }
}

/// The pressure of every device, at the index of its port.
#[derive(Debug, Default)]
pub(super) struct Pressures(Vec<Pressure>);

impl Pressures {
    /// Returns the pressure of a port's device.
    pub(super) fn of(&self, port: PortId) -> Pressure {
        let found = self.0.get(usize::from(port.0));
        found.copied().unwrap_or_default()
    }

    /// Notes what a batch of a port's device was like.
    pub(super) fn note(&mut self, port: PortId, now: Now, batch: Batch) {
        let at = usize::from(port.0);
        if at >= self.0.len() {
            self.0.resize(at + 1, Pressure::default());
        }
        if let Some(pressure) = self.0.get_mut(at) {
            pressure.note(now, batch);
        }
    }

    /// Forgets a device that goes: its number may pass to another.
    pub(super) fn forget(&mut self, port: PortId) {
        if let Some(pressure) = self.0.get_mut(usize::from(port.0)) {
            *pressure = Pressure::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOD: Batch = Batch {
        is_full: true,
        openings: 64,
    };

    fn at(millis: u64) -> Now {
        Now::default().plus(Duration::from_millis(millis))
    }

    fn noted(batches: impl IntoIterator<Item = (u64, Batch)>) -> Pressure {
        let mut pressure = Pressure::default();
        for (millis, batch) in batches {
            pressure.note(at(millis), batch);
        }
        pressure
    }

    #[test]
    fn full_batches_of_openings_are_pressure_and_a_burst_is_not() {
        assert_eq!(noted((0..7).map(|_| (0, FLOOD))).most(), u32::MAX);
        assert_eq!(noted((0..8).map(|_| (0, FLOOD))).most(), FEW);
        let drained = Batch {
            is_full: false,
            ..FLOOD
        };
        let batches = (0..20).map(|number| (0, if number % 7 == 6 { drained } else { FLOOD }));
        assert_eq!(noted(batches).most(), u32::MAX);
    }

    #[test]
    fn bulk_is_no_pressure_however_much_waits() {
        let bulk = Batch {
            is_full: true,
            openings: MANY,
        };
        assert_eq!(noted((0..1000).map(|_| (0, bulk))).most(), u32::MAX);
    }

    #[test]
    fn it_ends_a_second_after_the_last_batch_that_wanted_more() {
        let flood = (0..8).map(|_| (0, FLOOD));
        let small = |openings| Batch {
            is_full: false,
            openings,
        };
        let later = [(900, small(FEW + 1)), (1899, small(FEW))];
        let pressure = noted(flood.clone().chain(later));
        assert_eq!(pressure.most(), FEW);
        let later = later.into_iter().chain([(1900, small(0))]);
        assert_eq!(noted(flood.chain(later)).most(), u32::MAX);
    }
}
