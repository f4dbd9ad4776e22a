//! [`AsyncResult`]: the handle of a call whose result is to come.

use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use mp_context::__private::{Completion, End, text_of};
use mp_context::Worker;
use mp_sync::parts::after;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::error::PoolError;
use crate::hub::Hub;
use crate::job;
use crate::state::desk::Turn;
use crate::task::{Outcome, Sink};

/// Where the result of one call arrives, and who is told.
pub(crate) struct Cell<R> {
    hub: Arc<Hub>,
    completion: Completion,
    state: Mutex<CellState<R>>,
    /// Whether the result comes by the thread that calls back.
    comes_by_callback: bool,
    itself: Weak<Cell<R>>,
}

struct CellState<R> {
    /// From the arrival until the handle takes it.
    value: Option<Result<R, PoolError>>,
    callbacks: Vec<Callback<R>>,
    /// Whether callbacks are just called.
    is_calling: bool,
    /// Whether a callback waits for this result, which had no callbacks when it began to.
    is_awaited_in_callback: bool,
}

type Callback<R> = Box<dyn FnOnce(&Result<R, PoolError>) + Send>;

impl<R: Send + 'static> Cell<R> {
    pub(crate) fn new(hub: &Arc<Hub>) -> Arc<Cell<R>> {
        Cell::after_callbacks(hub, false)
    }

    /// Where a result arrives, by the thread that calls back if `comes_by_callback`.
    pub(crate) fn after_callbacks(hub: &Arc<Hub>, comes_by_callback: bool) -> Arc<Cell<R>> {
        Arc::new_cyclic(|itself| Cell {
            hub: Arc::clone(hub),
            completion: Completion::new(),
            state: Mutex::new(CellState {
                value: None,
                callbacks: Vec::new(),
                is_calling: false,
                is_awaited_in_callback: false,
            }),
            comes_by_callback,
            itself: Weak::clone(itself),
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.completion.end().is_some()
    }

    /// Waits for the end on a thread that tends to the pool meanwhile, if no other does.
    pub(crate) fn wait_here(&self) {
        let sleep = || {
            let _end = self.completion.wait(None);
        };
        self.hub.wait_until(&|| self.is_done(), sleep);
    }

    /// Takes the result, calls back, and then tells those who wait.
    pub(crate) fn finish(&self, value: Result<R, PoolError>) {
        let mut state = self.state.lock();
        if state.callbacks.is_empty() {
            return self.announce(&mut state, value);
        }
        state.is_calling = true;
        let is_awaited = state.is_awaited_in_callback;
        drop(state);
        if is_awaited {
            // The thread that calls back waits for this very result.
            return self.call_back(value);
        }
        // Alive, for whoever calls this has it.
        if let Some(cell) = self.itself.upgrade() {
            self.hub.callbacks.call(move || cell.call_back(value));
        }
    }

    fn call_back(&self, value: Result<R, PoolError>) {
        loop {
            let mut state = self.state.lock();
            let callbacks = std::mem::take(&mut state.callbacks);
            if callbacks.is_empty() {
                return self.announce(&mut state, value);
            }
            drop(state);
            for callback in callbacks {
                call(callback, &value, self.hub.name());
            }
        }
    }

    fn announce(&self, state: &mut CellState<R>, value: Result<R, PoolError>) {
        if self.is_done() {
            return; // it was abandoned
        }
        let failed = value.is_err();
        state.value = Some(value);
        self.completion.complete(End { failed });
    }

    /// The result, once it has come, for whoever asks first.
    pub(crate) fn take(&self) -> Result<R, PoolError> {
        // Put there before the end was announced.
        self.state.lock().value.take().unwrap_or(Err(PoolError::Timeout))
    }
}

/// Calls a callback; when it panics, that is logged.
fn call<R>(callback: Callback<R>, value: &Result<R, PoolError>, pool: &str) {
    if catch_unwind(AssertUnwindSafe(|| callback(value))).is_err() {
        log::error!("{pool}: a callback for the result of a task has panicked");
    }
}

/// The value in the outcome of a task; runs its `Deserialize`.
pub(crate) fn decode<R: DeserializeOwned>(outcome: Outcome<'_>) -> Result<R, PoolError> {
    let ran = match outcome {
        Outcome::Ran(ran) => ran,
        Outcome::Failed(error) => return Err(error),
    };
    let attachments = ran.attachments?;
    guarded(ran.worker, || job::result(ran.bytes, &attachments, ran.worker))
}

/// What `decode` gives, also if it panics.
pub(crate) fn guarded<R>(
    worker: &dyn Fn() -> String,
    decode: impl FnOnce() -> Result<R, PoolError>,
) -> Result<R, PoolError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = text_of(&*panic).unwrap_or_else(|| "no text".to_owned());
        let what = format!("gave a result whose Deserialize panicked here: {text}");
        Err(PoolError::Transfer { worker: worker(), what })
    })
}

impl<R: DeserializeOwned + Send + 'static> Sink for Cell<R> {
    fn settle(&self, _: usize, outcome: Outcome<'_>) {
        self.finish(decode(outcome));
    }
}

/// The result of a call that a pool works on, as that of a `concurrent.futures.Future`: to be waited for, asked for, called
/// back with, or cancelled.
///
/// It resolves once, whatever happens: with the result, or the error that says why there is none. All methods can be called
/// from any number of threads. Dropping it changes nothing for the task. It is a [`Worker`], for
/// [`wait`](mp_context::wait) and [`as_completed`](mp_context::as_completed).
///
/// # When a process dies
///
/// If the worker that runs the task dies, the result is [`PoolError::WorkerDied`], at once.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let pool = mp::Pool::new(2)?;
/// let sums: Vec<_> = [10, 20]
///     .into_iter()
///     .map(|n: u64| pool.apply_async(|n| Ok((1..=n).sum::<u64>()), (n,)))
///     .collect::<Result<_, _>>()?;
/// assert_eq!(*sums[1].get()?, 210);
/// assert_eq!(sums[0].successful(), Some(true).filter(|_| sums[0].ready()));
/// assert_eq!(*sums[0].get()?, 55);
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "multiprocessing.pool.AsyncResult")]
#[doc(alias = "Future")]
#[must_use = "the result of the call"]
pub struct AsyncResult<R> {
    cell: Arc<Cell<R>>,
    /// Of its tasks.
    turns: Vec<Turn>,
    name: OnceLock<String>,
    outcome: OnceLock<Result<R, PoolError>>,
}

impl<R: Send + 'static> AsyncResult<R> {
    pub(crate) fn new(cell: Arc<Cell<R>>, turns: Vec<Turn>) -> AsyncResult<R> {
        AsyncResult { cell, turns, name: OnceLock::new(), outcome: OnceLock::new() }
    }

    /// The name of the pool and the number of the task.
    pub fn name(&self) -> &str {
        self.name.get_or_init(|| match self.turns.first() {
            Some(turn) => format!("{}-task-{turn}", self.cell.hub.name()),
            None => format!("{}-task", self.cell.hub.name()),
        })
    }

    /// Whether it has a result or an error.
    #[doc(alias = "done")]
    pub fn ready(&self) -> bool {
        self.cell.is_done()
    }

    /// Whether it has a result rather than an error; `None` while it has neither.
    pub fn successful(&self) -> Option<bool> {
        self.cell.completion.end().map(|end| !end.failed)
    }

    /// Sleeps until it has a result or an error. Returns at once where [`get`](AsyncResult::get) gives
    /// [`PoolError::InCallback`].
    pub fn wait(&self) {
        let _told_by_get = self.await_end(None);
    }

    /// Sleeps until it has a result or an error, or the time is over; whether it has.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.await_end(Some(timeout)).is_ok()
    }

    /// Sleeps until it has a result, and gives it; the same on every call.
    ///
    /// # Errors
    ///
    /// Why there is none, the same on every call. [`PoolError::InCallback`] in a callback, if this result has callbacks
    /// that have not been called: they come later, on the same thread.
    #[doc(alias = "result")]
    pub fn get(&self) -> Result<&R, PoolError> {
        self.await_end(None)?;
        self.outcome().as_ref().map_err(Clone::clone)
    }

    /// [`get`](AsyncResult::get), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::Timeout`] if there is none yet, while the task goes on; else as `get`.
    pub fn get_timeout(&self, timeout: Duration) -> Result<&R, PoolError> {
        self.await_end(Some(timeout))?;
        self.outcome().as_ref().map_err(Clone::clone)
    }

    /// [`get`](AsyncResult::get) by value.
    ///
    /// # Errors
    ///
    /// As `get`.
    pub fn into_result(mut self) -> Result<R, PoolError> {
        self.await_end(None)?;
        self.outcome.take().unwrap_or_else(|| self.cell.take())
    }

    /// Has `callback` called with the outcome, once, before those who wait for it go on. That is done by a thread of the
    /// pool, one callback after the other; at once and here, if the outcome has come. A panic in it is logged and
    /// touches nothing else.
    ///
    /// It may submit tasks, and wait for tasks without callbacks.
    #[doc(alias = "add_done_callback")]
    #[doc(alias = "error_callback")]
    pub fn on_done(&self, callback: impl FnOnce(&Result<R, PoolError>) + Send + 'static) {
        let mut state = self.cell.state.lock();
        if !self.cell.is_done() {
            state.callbacks.push(Box::new(callback));
            return;
        }
        drop(state);
        call(Box::new(callback), self.outcome(), self.cell.hub.name());
    }

    /// Cancels the task if no worker has begun with it; whether it is cancelled. Of a map, the chunks that have not begun
    /// are cancelled, and it ends with [`PoolError::Cancelled`] when the others have. Its get gives that error.
    pub fn cancel(&self) -> bool {
        let cancelled = self.turns.iter().rev().filter(|turn| self.cell.hub.cancel(**turn)).count();
        cancelled > 0 || self.is_cancelled()
    }

    /// Ends the task, also when it runs: its worker is killed then, with all processes that the task has started and that have
    /// not left the process group, and another one takes its place. The result is [`PoolError::Cancelled`]; nothing
    /// happens to a task that has one.
    pub fn terminate(&self) {
        // Those behind first, so that no worker comes to them meanwhile.
        for turn in self.turns.iter().rev() {
            self.cell.hub.end(*turn);
        }
    }

    /// Waits until it has a result or an error, and tends to the pool meanwhile.
    pub(crate) fn wait_here(&self) {
        self.cell.wait_here();
    }

    /// Has nobody wait for it any more: tasks that no worker has begun with are cancelled, the others run to their ends, and it
    /// ends with [`PoolError::Cancelled`] now. Callbacks are not called.
    pub(crate) fn abandon(&self) {
        self.cancel();
        self.cell.announce(&mut self.cell.state.lock(), Err(PoolError::Cancelled));
        self.cell.hub.nudge();
    }

    fn is_cancelled(&self) -> bool {
        self.ready() && matches!(self.outcome(), Err(PoolError::Cancelled))
    }

    fn await_end(&self, timeout: Option<Duration>) -> Result<(), PoolError> {
        if !self.cell.hub.may_wait() && !self.cell.is_done() {
            return Err(PoolError::InCallback);
        }
        if self.cell.hub.callbacks.is_this_thread() && !self.cell.is_done() {
            let mut state = self.cell.state.lock();
            if self.cell.comes_by_callback || state.is_calling || !state.callbacks.is_empty() {
                return Err(PoolError::InCallback);
            }
            state.is_awaited_in_callback = true;
        }
        let end = self.cell.completion.wait(timeout.and_then(after));
        end.map(|_| ()).ok_or(PoolError::Timeout)
    }

    /// The outcome of one that has ended.
    fn outcome(&self) -> &Result<R, PoolError> {
        self.outcome.get_or_init(|| self.cell.take())
    }
}

/// Drops a result that is there, and that nobody has asked for, here and now: whoever has told of it may have the cell a
/// moment longer.
impl<R> Drop for AsyncResult<R> {
    fn drop(&mut self) {
        let unasked = self.cell.state.lock().value.take();
        drop(unasked);
    }
}

impl<R: Send + 'static> Worker for AsyncResult<R> {
    fn name(&self) -> &str {
        self.name()
    }

    fn join(&self) -> mp_context::Result<()> {
        self.get()?;
        Ok(())
    }

    fn completion(&self) -> &Completion {
        &self.cell.completion
    }
}

impl<R: Send + 'static> Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.successful() {
            None => "pending",
            Some(true) => "finished",
            Some(false) => "failed",
        };
        write!(f, "<AsyncResult name='{}' {state}>", self.name())
    }
}

/// Waits for the result of a call on the thread that has made it, which tends to the pool meanwhile.
pub(crate) fn result_here<R: Send + 'static>(cell: &Cell<R>) -> Result<R, PoolError> {
    if !cell.hub.may_wait() && !cell.is_done() {
        return Err(PoolError::InCallback);
    }
    cell.wait_here();
    cell.take()
}
