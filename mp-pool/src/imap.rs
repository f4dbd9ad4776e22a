//! [`Imap`]: results of an input of any length, one by one.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mp_sync::parts::{after, has_passed};
use parking_lot::{Condvar, Mutex};
use serde::de::DeserializeOwned;

use crate::error::PoolError;
use crate::hub::{Hub, Submitter};
use crate::job::Each;
use crate::map::report;
use crate::options::{Progress, ProgressHook, TaskOptions, look_ahead};
use crate::result::decode;
use crate::task::{Outcome, Sink, Task};

/// Where the results of chunks arrive.
struct Arrivals<R> {
    hub: Arc<Hub>,
    state: Mutex<State<R>>,
    arrived: Condvar,
    /// Whether they are given out in the order of their input.
    is_ordered: bool,
    progress: Option<ProgressHook>,
    itself: Weak<Arrivals<R>>,
}

struct State<R> {
    /// How many items each chunk has that has no outcome.
    pending: BTreeMap<usize, usize>,
    /// By the number that comes next: that of the chunk, or that of its arrival.
    arrived: BTreeMap<usize, VecDeque<Result<R, PoolError>>>,
    arrivals: usize,
    done: usize,
    total: Option<usize>,
}

impl<R: DeserializeOwned + Send + 'static> Sink for Arrivals<R> {
    fn settle(&self, part: usize, outcome: Outcome<'_>) {
        let outcome = decode::<Each<R>>(outcome);
        match self.itself.upgrade().filter(|_| self.progress.is_some()) {
            Some(arrivals) => self.hub.callbacks.call(move || arrivals.arrive(part, outcome)),
            None => self.arrive(part, outcome),
        }
    }
}

impl<R: Send + 'static> Arrivals<R> {
    /// Takes the outcome of a chunk; with a hook, on the thread that calls back.
    fn arrive(&self, part: usize, outcome: Result<Each<R>, PoolError>) {
        let mut state = self.state.lock();
        let len = state.pending.remove(&part).unwrap_or(0);
        let results = match outcome {
            Ok(each) => each.into_iter().map(|item| item.map_err(PoolError::Exception)).collect(),
            Err(error) => (0..len).map(|_| Err(error.clone())).collect(),
        };
        state.done += len;
        if let Some(hook) = &self.progress {
            let progress = Progress { done: state.done, total: state.total };
            drop(state);
            report(hook, progress);
            state = self.state.lock();
        }
        let key = if self.is_ordered { part } else { state.arrivals };
        state.arrivals += 1;
        state.arrived.insert(key, results);
        self.arrived.notify_all();
    }
}

/// Takes chunks of the input and makes tasks of them.
pub(crate) type MakeTask<T> =
    Box<dyn Fn(&[T], (Arc<dyn Sink>, usize), &TaskOptions) -> Result<Task, PoolError> + Send>;

/// The results of [`Pool::imap`](crate::Pool::imap), in the order of the input, or of
/// [`Pool::imap_unordered`](crate::Pool::imap_unordered), as they come.
///
/// Each item of the input gives one: what the function returned, or why there is no result; the others go on. The
/// input is read by [`next`](Iterator::next), as far ahead as the [options](TaskOptions::look_ahead) say, so an endless
/// one takes no more memory than that. `next` sleeps until there is a result.
///
/// A panic of the input comes out of `next` after the results of the items before it. Dropping the iterator leaves the
/// tasks that were submitted to themselves. When the pool takes no more tasks, what was read last has the error that says so, and
/// the iterator ends.
///
/// # When a process dies
///
/// The items of the chunk that it ran have [`PoolError::WorkerDied`], at once; all others are not touched.
pub struct Imap<I: Iterator, R> {
    hub: Arc<Hub>,
    arrivals: Arc<Arrivals<R>>,
    make_task: MakeTask<I::Item>,
    options: TaskOptions,
    chunksize: usize,
    look_ahead: usize,
    /// `None` after its end.
    input: Option<I>,
    /// What the input panicked with.
    panicked: Option<Box<dyn Any + Send>>,
    next_chunk: usize,
    /// The number of the chunk, or arrival, whose results are given out next.
    next_out: usize,
    /// Items that were read and whose results were not given out.
    ahead: usize,
    current: VecDeque<Result<R, PoolError>>,
}

impl<I: Iterator, R> Imap<I, R>
where
    R: DeserializeOwned + Send + 'static,
{
    pub(crate) fn new(
        hub: &Arc<Hub>,
        input: I,
        is_ordered: bool,
        make_task: MakeTask<I::Item>,
        options: TaskOptions,
    ) -> Result<Imap<I, R>, PoolError> {
        let (chunksize, look_ahead) = look_ahead(&options, hub.processes())?;
        if options.progress.is_some() && hub.callbacks.is_this_thread() {
            return Err(PoolError::InCallback);
        }
        hub.begin_stream()?;
        let total = exact_len(&input);
        let (pending, arrived) = (BTreeMap::new(), BTreeMap::new());
        let state = Mutex::new(State { pending, arrived, arrivals: 0, done: 0, total });
        let (arrived, progress) = (Condvar::new(), options.progress.clone());
        Ok(Imap {
            hub: Arc::clone(hub),
            arrivals: Arc::new_cyclic(|itself| Arrivals {
                hub: Arc::clone(hub),
                state,
                arrived,
                is_ordered,
                progress,
                itself: Weak::clone(itself),
            }),
            make_task,
            options,
            chunksize,
            look_ahead,
            input: Some(input),
            panicked: None,
            next_chunk: 0,
            next_out: 0,
            ahead: 0,
            current: VecDeque::new(),
        })
    }

    /// [`next`](Iterator::next), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::Timeout`] if the next result has not come. It is not lost: a later call gives it.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<Result<R, PoolError>>, PoolError> {
        self.advance(after(timeout))
    }

    /// The next result, `None` at the end.
    fn advance(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Result<R, PoolError>>, PoolError> {
        self.read_ahead();
        if self.current.is_empty() && self.next_out < self.next_chunk {
            let is_reported_here =
                self.options.progress.is_some() && self.hub.callbacks.is_this_thread();
            if is_reported_here || !self.hub.may_wait() {
                return Err(PoolError::InCallback);
            }
            let mut state = self.arrivals.state.lock();
            loop {
                if let Some(results) = state.arrived.remove(&self.next_out) {
                    self.next_out += 1;
                    self.current = results;
                    break;
                }
                if has_passed(deadline) {
                    return Err(PoolError::Timeout);
                }
                match deadline {
                    Some(deadline) => drop(self.arrivals.arrived.wait_until(&mut state, deadline)),
                    None => self.arrivals.arrived.wait(&mut state),
                }
            }
        }
        if let Some(result) = self.current.pop_front() {
            self.ahead -= 1;
            return Ok(Some(result));
        }
        match self.panicked.take() {
            Some(panic) => resume_unwind(panic),
            None => Ok(None),
        }
    }

    /// Submits chunks, as far ahead as may be.
    fn read_ahead(&mut self) {
        while self.input.is_some() && self.ahead < self.look_ahead {
            let chunk = self.read_chunk();
            if chunk.is_empty() {
                return;
            }
            let part = self.next_chunk;
            let sink: Arc<dyn Sink> = Arc::clone(&self.arrivals) as Arc<dyn Sink>;
            // If the encoding panics, its items are gone, and nothing was noted of them.
            let task = (self.make_task)(&chunk, (sink, part), &self.options);
            self.ahead += chunk.len();
            self.next_chunk += 1;
            self.arrivals.state.lock().pending.insert(part, chunk.len());
            let submitted = task.and_then(|task| self.hub.submit(task, Submitter::Stream));
            if let Err(error) = submitted {
                if self.hub.takes_no_more() {
                    // Nor would it take any of the others.
                    self.end_input();
                }
                self.arrivals.settle(part, Outcome::Failed(error));
            }
        }
    }

    fn end_input(&mut self) {
        self.input = None;
        self.hub.end_stream();
    }

    /// The next items of the input, none at its end.
    fn read_chunk(&mut self) -> Vec<I::Item> {
        let mut chunk = Vec::new();
        while chunk.len() < self.chunksize {
            let Some(input) = &mut self.input else { break };
            match catch_unwind(AssertUnwindSafe(|| input.next())) {
                Ok(Some(item)) => chunk.push(item),
                end => {
                    self.panicked = end.err();
                    self.end_input();
                }
            }
        }
        chunk
    }
}

/// How many items an iterator has, if it knows.
fn exact_len<I: Iterator>(items: &I) -> Option<usize> {
    let (least, most) = items.size_hint();
    most.filter(|most| *most == least)
}

impl<I: Iterator, R> Iterator for Imap<I, R>
where
    R: DeserializeOwned + Send + 'static,
{
    type Item = Result<R, PoolError>;

    fn next(&mut self) -> Option<Result<R, PoolError>> {
        self.advance(None).unwrap_or_else(|error| Some(Err(error)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.input.as_ref().map_or((0, Some(0)), Iterator::size_hint);
        (least.saturating_add(self.ahead), most.and_then(|most| most.checked_add(self.ahead)))
    }
}

impl<I: Iterator, R> FusedIterator for Imap<I, R> where R: DeserializeOwned + Send + 'static {}

impl<I: Iterator, R> Drop for Imap<I, R> {
    fn drop(&mut self) {
        if self.input.is_some() {
            self.hub.end_stream();
        }
    }
}

impl<I: Iterator, R> Debug for Imap<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.arrivals.is_ordered { "Imap" } else { "ImapUnordered" };
        write!(f, "<{kind} of '{}', {} items ahead>", self.hub.name(), self.ahead)
    }
}
