//! The clock that work is bounded by, which is the host's.

use std::time::Duration;

/// Returns how long the calling thread has run on a processor: waiting for one is nobody's fault.
pub type ProcessorTime = fn() -> Duration;

/// The clock of the host that tests run on.
#[cfg(test)]
pub(crate) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}
