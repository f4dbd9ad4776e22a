//! [`JoinableQueue`]: a queue that knows when all that was put into it is done.

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_sync::parts::after;
use serde::{Deserialize, Serialize};

use crate::error::QueueError;
use crate::handle::Handle;
use crate::queue::{Queue, QueueBuilder};

/// A [`Queue`] that counts the items that were put and not yet reported as done, in all processes together.
///
/// All methods of [`Queue`] are its own as well. The count goes up when an item is put, and down with each
/// [`task_done`](JoinableQueue::task_done), by whomever; [`join`](JoinableQueue::join) sleeps until it is zero.
///
/// # When a process dies
///
/// A worker that dies between `get` and `task_done` leaves the count up; then only
/// [`join_timeout`](JoinableQueue::join_timeout) returns. Everything else is as for a [`Queue`].
///
/// # Examples
///
/// ```
/// # use mp_queues as mp;
/// let queue = mp::JoinableQueue::new()?;
/// queue.put(&"work".to_owned())?;
/// std::thread::scope(|scope| { // a process, in a program
///     scope.spawn(|| {
///         let _work: String = queue.get().unwrap();
///         queue.task_done().unwrap();
///     });
///     queue.join()
/// })?;
/// # Ok::<(), mp::QueueError>(())
/// ```
#[doc(alias = "multiprocessing.JoinableQueue")]
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct JoinableQueue<T>(Queue<T>);

impl<T> JoinableQueue<T> {
    /// A new queue without a limit.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<JoinableQueue<T>, QueueError> {
        JoinableQueue::with_limits(Queue::builder())
    }

    /// A new queue for at most `maxsize` items, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// As [`QueueBuilder::build`].
    #[track_caller]
    pub fn bounded(maxsize: usize) -> Result<JoinableQueue<T>, QueueError> {
        JoinableQueue::with_limits(Queue::builder().maxsize(maxsize))
    }

    /// A new queue that is limited as described.
    ///
    /// # Errors
    ///
    /// As [`QueueBuilder::build`].
    #[track_caller]
    pub fn with_limits(limits: QueueBuilder<T>) -> Result<JoinableQueue<T>, QueueError> {
        limits.build().map(JoinableQueue)
    }

    /// Reports one item as done; wakes those who join if it was the last.
    ///
    /// # Errors
    ///
    /// [`QueueError::TooManyTaskDone`] if all that were put are done already; [`QueueError::Closed`].
    pub fn task_done(&self) -> Result<(), QueueError> {
        let handle = self.open()?;
        let chain = handle.chain();
        if chain.state.unfinished.0.task_done(|| chain.put_count()) {
            Ok(())
        } else {
            Err(QueueError::TooManyTaskDone)
        }
    }

    /// Sleeps until every item that was put is reported as done.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`], and what the system says.
    pub fn join(&self) -> Result<(), QueueError> {
        self.join_until(None).map(drop)
    }

    /// As [`join`](JoinableQueue::join), sleeping no longer than `timeout`; whether all was done by then.
    ///
    /// # Errors
    ///
    /// As `join`.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, QueueError> {
        self.join_until(after(timeout))
    }

    fn join_until(&self, deadline: Option<Instant>) -> Result<bool, QueueError> {
        let handle = self.open()?;
        let chain = handle.chain();
        let unfinished = &chain.state.unfinished.0;
        let look = || chain.mend() || handle.is_closed();
        let joined = unfinished.join(|| chain.put_count(), deadline, look);
        if joined.map_err(|error| QueueError::System(Arc::new(error)))? {
            return Ok(true);
        }
        self.open().map(|_| false)
    }

    fn open(&self) -> Result<&Handle, QueueError> {
        if self.0.is_closed() { Err(QueueError::Closed) } else { Ok(&self.0.handle) }
    }

    /// How many items were put and are not done.
    pub fn unfinished(&self) -> usize {
        let chain = self.0.handle.chain();
        usize::try_from(chain.state.unfinished.0.count(chain.put_count())).unwrap_or(usize::MAX)
    }

    /// The handle that a [`token`](Queue::token) stands for.
    ///
    /// # Errors
    ///
    /// As [`Queue::from_token`].
    pub fn from_token(token: &str) -> Result<JoinableQueue<T>, QueueError> {
        Queue::from_token(token).map(JoinableQueue)
    }
}

impl<T> Deref for JoinableQueue<T> {
    type Target = Queue<T>;

    fn deref(&self) -> &Queue<T> {
        &self.0
    }
}

impl<T> Clone for JoinableQueue<T> {
    fn clone(&self) -> JoinableQueue<T> {
        JoinableQueue(self.0.clone())
    }
}

impl<T> Debug for JoinableQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Joinable{:?}", self.0)
    }
}
