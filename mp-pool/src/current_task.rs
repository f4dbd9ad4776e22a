//! [`current_task`]: what a task can know of itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::message::TaskHead;

/// The task that this process runs, of which a worker has one at a time.
static CURRENT: Mutex<Option<CurrentTask>> = Mutex::new(None);

/// What a task knows of itself; see [`current_task`].
#[derive(Clone, Copy, Debug)]
pub struct CurrentTask {
    attempt: u32,
    soft_deadline: Option<Instant>,
    deadline: Option<Instant>,
}

/// The task that this worker of a pool runs, in any of its threads; `None` elsewhere.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// mp::enable_test_support!();
///
/// /// Searches as long as it may, and gives the best that it has found.
/// fn search(mut best: u64) -> mp::Result<u64> {
///     while !mp::current_task().is_some_and(|task| task.should_stop()) {
///         best = best.max(best.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 7);
///     }
///     Ok(best)
/// }
///
/// let pool = mp::Pool::new(1)?;
/// let options = mp::TaskOptions::new().soft_timeout(Duration::from_millis(50));
/// assert!(pool.with_options(options).apply(search, (1,))? >= 1);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn current_task() -> Option<CurrentTask> {
    *CURRENT.lock()
}

/// Notes the task that is about to run, or that there is none.
pub(crate) fn set(head: Option<&TaskHead>) {
    let now = Instant::now();
    *CURRENT.lock() = head.map(|head| CurrentTask {
        attempt: head.attempt,
        soft_deadline: head.limits.soft.and_then(|limit| now.checked_add(limit)),
        deadline: head.limits.hard.and_then(|limit| now.checked_add(limit)),
    });
}

impl CurrentTask {
    /// How many times it was begun before, by workers that died; see
    /// [`TaskOptions::retries`](crate::TaskOptions::retries).
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether its [soft time limit](crate::TaskOptions::soft_timeout) is over. It should come to an end then, with what it has.
    pub fn should_stop(&self) -> bool {
        self.soft_deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// How long it may still run before its worker is killed; `None` if it may run for ever.
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.deadline?.saturating_duration_since(Instant::now()))
    }
}
