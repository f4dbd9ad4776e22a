//! [`PoolResult`]: the handle of a call whose result is to come from the pool of a server.

use std::fmt::{self, Debug};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mp_pool::{PoolError, Progress};
use mp_sync::parts::after;
use parking_lot::Mutex;

use crate::error::ManagerError;
use crate::payload::Payload;
use crate::proxy::Proxy;

/// What a call of a [`PoolProxy`](crate::PoolProxy) gives that does not wait for its result: as an
/// [`AsyncResult`](mp_pool::AsyncResult) of a pool of this process.
///
/// It resolves once, whatever happens. All methods can be called from any number of threads. Dropping it changes nothing
/// for the task. The result stays in the server until it is asked for, and as long as this lives.
///
/// # When a process dies
///
/// If the worker that runs the task dies, the result is [`PoolError::WorkerDied`], at once. If the server dies, all
/// methods give [`ManagerError::Disconnected`], but for a result that is here already.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let manager = mp::Manager::start()?;
/// let pool = manager.pool(2)?;
/// let squares = pool.map_async(|n: u64| Ok(n * n), 1..=3)?;
/// assert_eq!(*squares.get()?, [1, 4, 9]);
/// assert_eq!(squares.successful()?, Some(true));
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "AsyncResult")]
#[must_use = "the result of the call"]
pub struct PoolResult<R> {
    proxy: Proxy,
    reports: Option<Reports>,
    decode: Box<Decode<R>>,
    outcome: OnceLock<Result<R, ManagerError>>,
}

type Decode<R> = dyn Fn(&Payload) -> Result<R, ManagerError> + Send + Sync;

/// Who wants to know how far the tasks are.
pub(super) struct Reports {
    total: u64,
    hook: Box<dyn Fn(Progress) + Send + Sync>,
    /// How many items it was told of.
    told: Mutex<u64>,
}

impl Reports {
    pub(super) fn new(total: u64, hook: impl Fn(Progress) + Send + Sync + 'static) -> Reports {
        Reports { total, hook: Box::new(hook), told: Mutex::new(0) }
    }

    /// Reports until all items are done, or the time is over; whether they are.
    fn report(&self, proxy: &Proxy, deadline: Option<Instant>) -> Result<bool, ManagerError> {
        let told = match deadline {
            Some(deadline) => self.told.try_lock_until(deadline),
            None => Some(self.told.lock()),
        };
        let Some(mut told) = told else { return Ok(false) };
        while *told < self.total {
            let done: u64 = proxy.call("progress", &(*told, left(deadline)))?;
            if done <= *told {
                return Ok(false);
            }
            *told = done;
            let count = |items| usize::try_from(items).unwrap_or(usize::MAX);
            (self.hook)(Progress { done: count(done), total: Some(count(self.total)) });
        }
        Ok(true)
    }
}

/// The time until then.
fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

impl<R> PoolResult<R> {
    pub(super) fn new(
        proxy: Proxy,
        reports: Option<Reports>,
        decode: Box<Decode<R>>,
    ) -> PoolResult<R> {
        PoolResult { proxy, reports, decode, outcome: OnceLock::new() }
    }

    /// Whether it has a result or an error.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    #[doc(alias = "done")]
    pub fn ready(&self) -> Result<bool, ManagerError> {
        match self.outcome.get() {
            Some(_) => Ok(true),
            None => self.proxy.call("ready", &()),
        }
    }

    /// Whether it has a result rather than an error; `None` while it has neither.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn successful(&self) -> Result<Option<bool>, ManagerError> {
        match self.outcome.get() {
            Some(outcome) => Ok(Some(outcome.is_ok())),
            None => self.proxy.call("successful", &()),
        }
    }

    /// Sleeps until it has a result or an error.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn wait(&self) -> Result<(), ManagerError> {
        self.await_end(None).map(drop)
    }

    /// Sleeps until it has a result or an error, or the time is over; whether it has.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, ManagerError> {
        self.await_end(after(timeout))
    }

    /// Sleeps until it has a result, and gives it; the same on every call.
    ///
    /// # Errors
    ///
    /// Why there is none, as [`ManagerError::Pool`], the same on every call; any other says what became of the server, or
    /// what it cannot pass on.
    #[doc(alias = "result")]
    pub fn get(&self) -> Result<&R, ManagerError> {
        self.outcome(None)?.as_ref().map_err(Clone::clone)
    }

    /// [`get`](PoolResult::get), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::Timeout`] if there is none yet, while the task goes on; else as `get`.
    pub fn get_timeout(&self, timeout: Duration) -> Result<&R, ManagerError> {
        self.outcome(after(timeout))?.as_ref().map_err(Clone::clone)
    }

    /// [`get`](PoolResult::get) by value.
    ///
    /// # Errors
    ///
    /// As `get`.
    pub fn into_result(mut self) -> Result<R, ManagerError> {
        self.outcome(None)?;
        self.outcome.take().unwrap_or(Err(ManagerError::Pool(PoolError::Timeout)))
    }

    /// Cancels the task if no worker has begun with it; whether it is cancelled. Of a map, the chunks that have not begun
    /// are cancelled, and it ends with [`PoolError::Cancelled`] when the others have.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn cancel(&self) -> Result<bool, ManagerError> {
        self.proxy.call("cancel", &())
    }

    fn await_end(&self, deadline: Option<Instant>) -> Result<bool, ManagerError> {
        if self.outcome.get().is_some() {
            return Ok(true);
        }
        if let Some(reports) = &self.reports
            && !reports.report(&self.proxy, deadline)?
        {
            return Ok(false);
        }
        self.proxy.call("wait", &(left(deadline),))
    }

    /// The outcome, once it is there.
    fn outcome(&self, deadline: Option<Instant>) -> Result<&Result<R, ManagerError>, ManagerError> {
        if let Some(outcome) = self.outcome.get() {
            return Ok(outcome);
        }
        if let Some(reports) = &self.reports
            && !reports.report(&self.proxy, deadline)?
        {
            return Err(ManagerError::Pool(PoolError::Timeout));
        }
        let request = self.proxy.encode(&(left(deadline),))?;
        match self.proxy.call_encoded("get", request).and_then(|reply| (self.decode)(&reply)) {
            Err(error) if !is_an_outcome(&error) => Err(error),
            outcome => Ok(self.outcome.get_or_init(|| outcome)),
        }
    }
}

/// Whether an error is what became of the tasks.
fn is_an_outcome(error: &ManagerError) -> bool {
    matches!(error, ManagerError::Pool(error) if !matches!(error, PoolError::Timeout))
}

impl<R> Debug for PoolResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.outcome.get() {
            None => "not asked for",
            Some(Ok(_)) => "finished",
            Some(Err(_)) => "failed",
        };
        write!(f, "<PoolResult {:?} {state}>", self.proxy)
    }
}
