//! Waiting for the first, the failed or all of several workers.

use std::collections::{HashSet, VecDeque};
use std::iter::FusedIterator;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_remote_exception::Result;
use mp_sync::parts::after;

use crate::error::{Timeout, UnknownName};
use crate::process::Process;
use crate::state::completion::{Completion, Watcher};
use crate::thread::Thread;

/// What [`wait`] and [`as_completed`] take: processes, threads, references and boxes of them.
///
/// Mix kinds as `&dyn Worker` or `Box<dyn Worker>`; a pair `(worker, x)` is a worker that carries
/// `x` along, so that it is at hand when the worker has ended.
pub trait Worker {
    /// Its name.
    fn name(&self) -> &str;

    /// Whether it has ended, in whatever way.
    fn done(&self) -> bool {
        self.completion().end().is_some()
    }

    /// Sleeps until it has ended.
    ///
    /// # Errors
    ///
    /// Its own error type, as that of its kind.
    fn join(&self) -> Result<()>;

    /// Where its end is announced.
    #[doc(hidden)]
    fn completion(&self) -> &Completion;
}

impl<T> Worker for Process<T> {
    fn name(&self) -> &str {
        self.name()
    }

    fn completion(&self) -> &Completion {
        self.child().completion()
    }

    fn join(&self) -> Result<()> {
        Ok(self.join()?)
    }
}

impl<T> Worker for Thread<T> {
    fn name(&self) -> &str {
        self.name()
    }

    fn completion(&self) -> &Completion {
        self.own_completion()
    }

    fn join(&self) -> Result<()> {
        Ok(self.join()?)
    }
}

macro_rules! through_pointers {
    ($($pointer:ty),*) => {
        $(impl<W: Worker + ?Sized> Worker for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn completion(&self) -> &Completion {
                (**self).completion()
            }

            fn join(&self) -> Result<()> {
                (**self).join()
            }
        })*
    };
}

through_pointers!(&W, Arc<W>, Box<W>);

/// A worker with whatever belongs to it: its job, its place in a list.
impl<W: Worker, X> Worker for (W, X) {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn completion(&self) -> &Completion {
        self.0.completion()
    }

    fn join(&self) -> Result<()> {
        self.0.join()
    }
}

/// When [`wait`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReturnWhen {
    /// When all have ended.
    #[default]
    AllCompleted,
    /// When one has ended.
    FirstCompleted,
    /// When one has failed, or all have ended.
    FirstException,
}

/// [`ReturnWhen::AllCompleted`].
pub const ALL_COMPLETED: ReturnWhen = ReturnWhen::AllCompleted;
/// [`ReturnWhen::FirstCompleted`].
pub const FIRST_COMPLETED: ReturnWhen = ReturnWhen::FirstCompleted;
/// [`ReturnWhen::FirstException`].
pub const FIRST_EXCEPTION: ReturnWhen = ReturnWhen::FirstException;

/// Python's names, in any case.
impl FromStr for ReturnWhen {
    type Err = UnknownName;

    fn from_str(name: &str) -> std::result::Result<ReturnWhen, UnknownName> {
        match name.to_ascii_uppercase().as_str() {
            "ALL_COMPLETED" => Ok(ALL_COMPLETED),
            "FIRST_COMPLETED" => Ok(FIRST_COMPLETED),
            "FIRST_EXCEPTION" => Ok(FIRST_EXCEPTION),
            _ => Err(UnknownName {
                what: "mode of waiting",
                value: name.to_owned(),
                expected: "ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION",
            }),
        }
    }
}

/// Workers without duplicates, each watched under its place in the input.
struct Watched<W: Worker> {
    /// In the order of the input; `None` once handed out.
    workers: Vec<Option<W>>,
    watcher: Arc<Watcher>,
}

impl<W: Worker> Watched<W> {
    /// Starts to watch, and gives the places of those that failed and of those that succeeded before.
    fn new(workers: impl IntoIterator<Item = W>) -> (Watched<W>, Vec<(usize, bool)>) {
        let mut known = HashSet::new();
        let workers: Vec<Option<W>> = workers
            .into_iter()
            .filter(|worker| known.insert(std::ptr::from_ref(worker.completion()).addr()))
            .map(Some)
            .collect();
        let watcher = Watcher::new();
        let early = workers
            .iter()
            .enumerate()
            .filter_map(|(key, worker)| {
                let end = worker.as_ref()?.completion().watch(key, &watcher)?;
                Some((key, end.failed))
            })
            .collect();
        (Watched { workers, watcher }, early)
    }
}

impl<W: Worker> Drop for Watched<W> {
    fn drop(&mut self) {
        for worker in self.workers.iter().flatten() {
            worker.completion().unwatch(&self.watcher);
        }
    }
}

/// Waits for workers to end; gives those that ended and those that did not, each in input order.
///
/// Blocks until what `return_when` says, at most for `timeout`; an expired timeout is no error. A
/// worker that fails, panics or is killed has ended: its error is given by its own `join` or
/// `result`. Of workers named twice the first counts.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// let quick = mp::Process::start(|| Ok(1), ())?;
/// let slow = mp::Process::start(|| Ok(std::thread::sleep(std::time::Duration::from_secs(60))), ())?;
///
/// let workers: [&dyn mp::Worker; 2] = [&slow, &quick];
/// let (done, not_done) = mp::wait(workers, None, mp::FIRST_COMPLETED);
/// assert_eq!(done[0].name(), quick.name());
/// assert_eq!(not_done[0].name(), slow.name());
/// slow.kill();
/// # Ok::<(), mp::Error>(())
/// ```
pub fn wait<W: Worker>(
    workers: impl IntoIterator<Item = W>,
    timeout: Option<Duration>,
    return_when: ReturnWhen,
) -> (Vec<W>, Vec<W>) {
    let deadline = timeout.and_then(after);
    let (mut watched, mut news) = Watched::new(workers);
    let mut ended = vec![false; watched.workers.len()];
    let mut left = ended.len();
    let mut any_failed = false;
    loop {
        for &(key, failed) in &news {
            ended[key] = true;
            any_failed |= failed;
        }
        left -= news.len();
        let is_enough = match return_when {
            ReturnWhen::AllCompleted => false,
            ReturnWhen::FirstCompleted => left < ended.len(),
            ReturnWhen::FirstException => any_failed,
        };
        if is_enough || left == 0 {
            break;
        }
        news = take(&watched.watcher, deadline);
        if news.is_empty() {
            break; // the time is over
        }
    }
    // What ended while the last news were read belongs to them.
    for (key, _) in take(&watched.watcher, Some(Instant::now())) {
        ended[key] = true;
    }
    let (mut done, mut not_done) = (Vec::new(), Vec::new());
    for (slot, ended) in watched.workers.iter_mut().zip(ended) {
        if let Some(worker) = slot.take() {
            worker.completion().unwatch(&watched.watcher);
            if ended { done.push(worker) } else { not_done.push(worker) }
        }
    }
    (done, not_done)
}

/// The next ends, none when the time is over.
fn take(watcher: &Watcher, deadline: Option<Instant>) -> Vec<(usize, bool)> {
    let ends = watcher.take(deadline);
    ends.into_iter().map(|(key, end)| (key, end.failed)).collect()
}

/// Yields each worker as it ends, those that had ended first, in the order of their ends.
///
/// `timeout` counts from the call for the whole iteration. When it is over, the iterator yields the
/// error [`Timeout`] once and ends; the workers go on.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// let workers = [30, 10].map(|ms| {
///     mp::Thread::start(move || {
///         std::thread::sleep(std::time::Duration::from_millis(ms));
///         Ok(ms)
///     })
/// });
/// let order: mp::Result<Vec<u64>> =
///     mp::as_completed(&workers, None).map(|worker| Ok(*worker?.result()?)).collect();
/// assert_eq!(order?, [10, 30]);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn as_completed<W: Worker>(
    workers: impl IntoIterator<Item = W>,
    timeout: Option<Duration>,
) -> AsCompleted<W> {
    let deadline = timeout.and_then(after);
    let (watched, early) = Watched::new(workers);
    let total = watched.workers.len();
    let ready = early.into_iter().map(|(key, _)| key).collect();
    AsCompleted { watched, ready, deadline, total, unfinished: total, is_over: false }
}

/// What [`as_completed`] returns.
pub struct AsCompleted<W: Worker> {
    watched: Watched<W>,
    /// Places of workers that ended and were not yielded.
    ready: VecDeque<usize>,
    deadline: Option<Instant>,
    total: usize,
    unfinished: usize,
    is_over: bool,
}

impl<W: Worker> std::fmt::Debug for AsCompleted<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AsCompleted({} of {} to come)", self.unfinished, self.total)
    }
}

impl<W: Worker> Iterator for AsCompleted<W> {
    type Item = std::result::Result<W, Timeout>;

    fn next(&mut self) -> Option<std::result::Result<W, Timeout>> {
        if self.unfinished == 0 || self.is_over {
            return None;
        }
        if self.ready.is_empty() {
            let news = take(&self.watched.watcher, self.deadline);
            self.ready.extend(news.into_iter().map(|(key, _)| key));
        }
        let Some(key) = self.ready.pop_front() else {
            self.is_over = true;
            return Some(Err(Timeout { unfinished: self.unfinished, total: self.total }));
        };
        self.unfinished -= 1;
        let worker = self.watched.workers[key].take()?;
        Some(Ok(worker))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.unfinished))
    }
}

impl<W: Worker> FusedIterator for AsCompleted<W> {}
