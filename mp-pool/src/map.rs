//! A map: items in chunks, each of them a task, and their results in one list.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use serde::de::DeserializeOwned;

use crate::error::PoolError;
use crate::hub::Hub;
use crate::options::{Progress, ProgressHook};
use crate::result::{Cell, decode};
use crate::task::{Outcome, Sink};

/// Where the results of the chunks arrive.
pub(crate) struct Gather<R> {
    hub: Arc<Hub>,
    cell: Arc<Cell<Vec<R>>>,
    state: Mutex<State<R>>,
    /// Wakes the one who submits chunks when there are fewer on their way.
    fewer: Condvar,
    progress: Option<ProgressHook>,
    itself: Weak<Gather<R>>,
}

struct State<R> {
    chunks: Vec<Chunk<R>>,
    /// The results of all chunks before `next`, in one piece.
    results: Vec<R>,
    /// The first chunk that has none.
    next: usize,
    /// How many chunks have no outcome.
    pending: usize,
    /// How many of them the one who submits chunks waits for.
    few: usize,
    /// Whether no more are to come.
    is_sealed: bool,
    /// The error that came first.
    error: Option<PoolError>,
    done: usize,
    total: usize,
}

struct Chunk<R> {
    len: usize,
    /// Until those of all chunks before it are there.
    results: Option<Vec<R>>,
}

impl<R: Send + 'static> Gather<R> {
    pub(crate) fn new(
        hub: &Arc<Hub>,
        total: usize,
        progress: Option<ProgressHook>,
    ) -> Arc<Gather<R>> {
        let (chunks, results, error) = (Vec::new(), Vec::new(), None);
        let state = State {
            chunks,
            results,
            next: 0,
            pending: 0,
            few: 0,
            is_sealed: false,
            error,
            done: 0,
            total,
        };
        let (cell, state) = (Cell::after_callbacks(hub, progress.is_some()), Mutex::new(state));
        Arc::new_cyclic(|itself| Gather {
            hub: Arc::clone(hub),
            cell,
            state,
            fewer: Condvar::new(),
            progress,
            itself: Weak::clone(itself),
        })
    }

    pub(crate) fn cell(&self) -> &Arc<Cell<Vec<R>>> {
        &self.cell
    }

    /// Enters a chunk; its number.
    pub(crate) fn enter(&self, len: usize) -> usize {
        let mut state = self.state.lock();
        state.chunks.push(Chunk { len, results: None });
        state.pending += 1;
        state.chunks.len() - 1
    }

    /// How many chunks have no outcome.
    pub(crate) fn pending(&self) -> usize {
        self.state.lock().pending
    }

    /// Sleeps until not more than `few` chunks have no outcome.
    pub(crate) fn await_few(&self, few: usize) {
        let mut state = self.state.lock();
        state.few = few;
        while state.pending > few {
            self.fewer.wait(&mut state);
        }
    }

    /// No more chunks come.
    pub(crate) fn seal(&self) {
        let mut state = self.state.lock();
        state.is_sealed = true;
        if state.pending == 0 {
            let value = state.take();
            drop(state);
            self.cell.finish(value);
        }
    }
}

impl<R> State<R> {
    /// Puts the results of a chunk behind those before it, as soon as these are there.
    fn place(&mut self, part: usize, results: Vec<R>) {
        self.chunks[part].results = Some(results);
        while let Some(results) = self.chunks.get_mut(self.next).and_then(|c| c.results.take()) {
            self.next += 1;
            if self.results.is_empty() {
                // As many as items, or, if they are not opened here, as chunks.
                let chunks = self.total.div_ceil(self.chunks[part].len.max(1));
                self.results.reserve_exact(chunks.saturating_mul(results.len()).min(self.total));
            }
            self.results.extend(results);
        }
    }

    /// The result of it all.
    fn take(&mut self) -> Result<Vec<R>, PoolError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        Ok(std::mem::take(&mut self.results))
    }
}

impl<R: DeserializeOwned + Send + 'static> Sink for Gather<R> {
    fn settle(&self, part: usize, outcome: Outcome<'_>) {
        self.take(part, decode(outcome));
    }
}

impl<R: Send + 'static> Gather<R>
where
    Gather<R>: Sink,
{
    /// Takes the outcome of a chunk.
    pub(crate) fn take(&self, part: usize, outcome: Result<Vec<R>, PoolError>) {
        match self.itself.upgrade().filter(|_| self.progress.is_some()) {
            Some(gather) => self.hub.callbacks.call(move || {
                gather.arrive(part, outcome);
                gather.hub.nudge();
            }),
            None => self.arrive(part, outcome),
        }
    }
}

impl<R: Send + 'static> Gather<R> {
    /// With a hook, on the thread that calls back.
    fn arrive(&self, part: usize, outcome: Result<Vec<R>, PoolError>) {
        let mut state = self.state.lock();
        state.done += state.chunks[part].len;
        match outcome {
            Ok(results) => state.place(part, results),
            Err(error) => drop(state.error.get_or_insert(error)),
        }
        if let Some(hook) = &self.progress {
            let progress = Progress { done: state.done, total: Some(state.total) };
            drop(state);
            report(hook, progress);
            state = self.state.lock();
        }
        state.pending -= 1;
        if state.pending == state.few {
            self.fewer.notify_all();
        }
        if state.is_sealed && state.pending == 0 {
            let value = state.take();
            drop(state);
            self.cell.finish(value);
        }
    }
}

/// Calls a progress hook; when it panics, that is logged.
pub(crate) fn report(hook: &ProgressHook, progress: Progress) {
    if catch_unwind(AssertUnwindSafe(|| hook(progress))).is_err() {
        log::error!("the progress hook of a pool has panicked");
    }
}
