//! A moment that all processes count alike.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds since some moment before the start of all processes.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(now.tv_nsec).unwrap_or_default())
}

/// How long ago a moment was that another process has told.
pub(crate) fn ago(moment: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(moment))
}
