//! The clock that work is bounded by.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Returns how long this thread has run on a processor.
pub(crate) fn processor_time() -> Duration {
    // A time that is negative does not come from this clock.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
