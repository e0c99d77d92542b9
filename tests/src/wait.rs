//! Waiting on a condition with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long to leave between two looks at a condition that cannot be waited on.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Returns whether `condition` came true within `limit`.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Waits until `condition` is true.
///
/// # Panics
///
/// Panics with `what` if it is not true within `limit`.
#[track_caller]
pub fn until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(within(limit, condition), "not within {limit:?}: {what}");
}
