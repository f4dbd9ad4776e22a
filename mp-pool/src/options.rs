//! [`TaskOptions`]: how the tasks of one call are to be run.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{CHUNKSIZE, LOOK_AHEAD, PoolError};
use crate::map::report;
use crate::message::Limits;

/// How the tasks of one call are to be run; see [`Pool::with_options`](crate::Pool::with_options).
///
/// A task is what a worker takes at once: one call, or a chunk of a map.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// mp::enable_test_support!();
///
/// let pool = mp::Pool::new(1)?;
/// let options = mp::TaskOptions::new().timeout(Duration::from_millis(50));
/// let endless = pool.with_options(options).apply(|| loop { std::thread::park() }, ());
/// let endless: Result<(), mp::PoolError> = endless;
/// assert!(matches!(endless, Err(mp::PoolError::TimedOut)));
/// assert_eq!(pool.apply(|n: u64| Ok(n + 1), (41,))?, 42); // on another worker
/// # Ok::<(), mp::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing until a pool is called with them"]
pub struct TaskOptions {
    pub(crate) chunksize: Option<usize>,
    pub(crate) limits: Limits,
    pub(crate) retries: u32,
    pub(crate) idempotent: bool,
    pub(crate) look_ahead: Option<usize>,
    pub(crate) progress: Option<ProgressHook>,
}

pub(crate) type ProgressHook = Arc<dyn Fn(Progress) + Send + Sync>;

/// How far a call with many items has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many items have a result, or an error.
    pub done: usize,
    /// How many there are; `None` for an iterator that does not know.
    pub total: Option<usize>,
}

impl TaskOptions {
    /// As calls without options are: chunks of a suitable size, no time limits, no retries.
    pub fn new() -> TaskOptions {
        TaskOptions::default()
    }

    /// How many items go to a worker at once, as one task. Default: four chunks for each worker in a map, as in
    /// Python, and one item in `imap` and `imap_unordered`. Few big chunks cost less; small ones spread better,
    /// and a worker that dies takes one with it.
    pub fn chunksize(mut self, items: usize) -> TaskOptions {
        self.chunksize = Some(items);
        self
    }

    /// How long each task may run, counted from its start. Then its worker is killed, with all processes that it has started and
    /// that have not left its process group; the task ends with [`PoolError::TimedOut`](crate::PoolError::TimedOut), and
    /// another worker takes the place. No other task is touched.
    pub fn timeout(mut self, limit: Duration) -> TaskOptions {
        self.limits.hard = Some(limit);
        self
    }

    /// How long each task may run until [`CurrentTask::should_stop`](crate::CurrentTask::should_stop) tells it to come to an
    /// end. Nothing else happens to one that does not ask.
    pub fn soft_timeout(mut self, limit: Duration) -> TaskOptions {
        self.limits.soft = Some(limit);
        self
    }

    /// How many times a task is run again whose worker died: before the task had started, or at any time if the tasks are
    /// [idempotent](TaskOptions::idempotent). Default: 0. A task that fails or runs into its limit is not run again.
    pub fn retries(mut self, times: u32) -> TaskOptions {
        self.retries = times;
        self
    }

    /// Whether a task may be run again after it had started. Default: it may not.
    pub fn idempotent(mut self, may_run_again: bool) -> TaskOptions {
        self.idempotent = may_run_again;
        self
    }

    /// How many items `imap` and `imap_unordered` take from their input before the first of them has been given out, in whole
    /// chunks.
    /// Default: 16 chunks for each worker.
    pub fn look_ahead(mut self, items: usize) -> TaskOptions {
        self.look_ahead = Some(items);
        self
    }

    /// Called when a chunk of a map, or of an `imap`, has a result or an error: with how many items have. It is called by
    /// the thread of the pool that calls back, one call after the other, and before the results are given out. [`progress_bar`](crate::progress_bar) makes one that
    /// draws a bar on terminals.
    pub fn progress(mut self, hook: impl Fn(Progress) + Send + Sync + 'static) -> TaskOptions {
        self.progress = Some(Arc::new(hook));
        self
    }
}

impl Debug for TaskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskOptions")
            .field("chunksize", &self.chunksize)
            .field("timeout", &self.limits.hard)
            .field("soft_timeout", &self.limits.soft)
            .field("retries", &self.retries)
            .field("idempotent", &self.idempotent)
            .field("look_ahead", &self.look_ahead)
            .finish_non_exhaustive()
    }
}

/// How many items of a map go to a worker at once.
///
/// # Errors
///
/// [`PoolError::Invalid`] for none.
pub fn chunksize(
    options: &TaskOptions,
    items: usize,
    processes: usize,
) -> Result<usize, PoolError> {
    /// As many for each worker, as in Python.
    const CHUNKS: usize = 4;
    let default = || items.div_ceil(CHUNKS.saturating_mul(processes).max(1)).max(1);
    match options.chunksize {
        Some(0) => Err(PoolError::Invalid { what: CHUNKSIZE }),
        chunksize => Ok(chunksize.unwrap_or_else(default)),
    }
}

/// How many items of an imap go to a worker at once, and how many are taken from the input before the first of them has been
/// given out.
///
/// # Errors
///
/// [`PoolError::Invalid`] for none.
pub fn look_ahead(options: &TaskOptions, processes: usize) -> Result<(usize, usize), PoolError> {
    /// Chunks of the look-ahead for each worker.
    const CHUNKS_AHEAD: usize = 16;
    let chunksize = options.chunksize.unwrap_or(1);
    let default = || chunksize.saturating_mul(processes).saturating_mul(CHUNKS_AHEAD);
    let look_ahead = options.look_ahead.unwrap_or_else(default);
    for (value, what) in [(chunksize, CHUNKSIZE), (look_ahead, LOOK_AHEAD)] {
        if value == 0 {
            return Err(PoolError::Invalid { what });
        }
    }
    Ok((chunksize, look_ahead))
}

/// The progress hook, if there is one; when that panics, it is logged.
pub fn progress(options: &TaskOptions) -> Option<impl Fn(Progress) + Send + Sync + 'static> {
    let hook = options.progress.clone()?;
    Some(move |progress| report(&hook, progress))
}
