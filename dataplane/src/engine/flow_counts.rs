//! How many flows each port has, at all engines of a process together.

use crate::flow::Side;
use crate::policy::PortId;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;

/// Ports are counted in blocks, whose memory is taken when the first port of one has a flow.
const BLOCK: usize = 256;
const BLOCKS: usize = 256;

/// The flows that one port opened, and those that were opened to it.
type Count = [AtomicU32; 2];

/// Counts of flows by port and side.
///
/// A place is taken before the flow is opened and given back when it was not, or is no more: so a
/// limit is met exactly, whichever engines take. The numbers order nothing else between engines.
#[derive(Debug)]
pub(super) struct FlowCounts(Box<[OnceLock<Box<[Count]>>]>);

impl Default for FlowCounts {
    fn default() -> Self {
        Self((0..BLOCKS).map(|_| OnceLock::new()).collect())
    }
}

impl FlowCounts {
    fn count(&self, port: PortId, side: Side) -> Option<&AtomicU32> {
        let at = usize::from(port.0);
        let block = self
            .0
            .get(at / BLOCK)?
            .get_or_init(|| (0..BLOCK).map(|_| Count::default()).collect());
        block.get(at % BLOCK)?.get(side as usize)
    }

    /// Takes a place for a flow of this side of a port, unless `most` are taken.
    pub(super) fn take(&self, port: PortId, side: Side, most: u32) -> bool {
        let one_more = |count: u32| (count < most).then_some(count.wrapping_add(1));
        self.count(port, side).is_none_or(|count| {
            count
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .is_ok()
        })
    }

    /// Gives a place back that was taken.
    pub(super) fn give_back(&self, port: PortId, side: Side) {
        if let Some(count) = self.count(port, side) {
            let before = count.fetch_sub(1, Ordering::Relaxed);
            debug_assert!(before > 0, "a place is given back once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    #[test]
    fn sides_and_ports_are_counted_apart_up_to_the_limit() {
        let counts = FlowCounts::default();
        for port in [0, 1, 255, 256, u16::MAX].map(PortId) {
            for side in [Side::Initiator, Side::Responder] {
                assert!(counts.take(port, side, 2) && counts.take(port, side, 2));
                assert!(!counts.take(port, side, 2));
                counts.give_back(port, side);
                assert!(counts.take(port, side, 2), "what came back can be taken");
                assert!(!counts.take(port, side, 2));
            }
        }
    }

    #[test]
    fn threads_that_take_at_once_never_pass_the_limit() {
        let counts = FlowCounts::default();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if counts.take(PortId(7), Side::Initiator, 2500) {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 2500);
    }
}
