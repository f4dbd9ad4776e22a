//! Timeouts as points in time, so that an early wake-up never stretches a wait.

use std::time::{Duration, Instant};

/// The end of `timeout` from now on; `None` if it lies beyond what a clock can show.
pub(crate) fn after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Whether the deadline has come.
pub(crate) fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}
