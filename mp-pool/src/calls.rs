//! [`Calls`]: what becomes of a call: tasks, where their outcomes go, and who waits.

use std::any::type_name;
use std::sync::Arc;

use mp_context::__private::assert_captures_nothing;
use mp_context::Target;
use mp_reduction::encode_into;
use mp_remote_exception::Result as Returned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::PoolError;
use crate::hub::{Hub, Submitter};
use crate::imap::Imap;
use crate::job::{self, All, One, Takes};
use crate::map::Gather;
use crate::options::{TaskOptions, chunksize};
use crate::result::{AsyncResult, Cell, result_here};
use crate::state::desk::Turn;
use crate::task::{Outcome, Sink, Task};

/// The calls of a [`Pool`](crate::Pool) with [`TaskOptions`]: as those of the pool itself.
#[derive(Debug)]
#[must_use = "options do nothing until a function is called with them"]
pub struct Calls<'a> {
    hub: &'a Arc<Hub>,
    options: TaskOptions,
}

impl<'a> Calls<'a> {
    pub(crate) fn new(hub: &'a Arc<Hub>, options: TaskOptions) -> Calls<'a> {
        Calls { hub, options }
    }
}

/// Room for the arguments of a call of which nothing is known.
const SHORT: usize = 24;
/// A map that waits has so many chunks on their way for each worker at most.
const MAP_AHEAD: usize = 256;

impl Calls<'_> {
    /// See [`Pool::apply`](crate::Pool::apply).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply<F, Args>(&self, function: F, args: Args) -> Result<F::Output, PoolError>
    where
        F: Target<Args>,
        Args: Serialize + DeserializeOwned,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        let (cell, _turn) = self.call(function, &args, Submitter::Tender)?;
        drop(args);
        result_here(&cell)
    }

    /// See [`Pool::apply_async`](crate::Pool::apply_async).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply_async<F, Args>(
        &self,
        function: F,
        args: Args,
    ) -> Result<AsyncResult<F::Output>, PoolError>
    where
        F: Target<Args>,
        Args: Serialize + DeserializeOwned,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        let (cell, turn) = self.call(function, &args, Submitter::Passer)?;
        Ok(AsyncResult::new(cell, turn.into_iter().collect()))
    }

    #[expect(clippy::type_complexity, reason = "a pair")]
    fn call<F, Args>(
        &self,
        function: F,
        args: &Args,
        submitter: Submitter,
    ) -> Result<(Arc<Cell<F::Output>>, Option<Turn>), PoolError>
    where
        F: Target<Args>,
        Args: Serialize + DeserializeOwned,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        let hub = self.hub;
        let cell = Cell::new(hub);
        let sink: Arc<dyn Sink> = Arc::clone(&cell) as Arc<dyn Sink>;
        let job = (job::single::<All<F>, Args>(), type_name::<F>());
        let task = Task::new((sink, 0), job, &self.options, SHORT, |to| encode_into(args, to));
        let turn = match task {
            Ok(task) => Some(hub.submit(task, submitter)?),
            Err(error) => {
                hub.check_open()?;
                cell.finish(Err(error));
                None
            }
        };
        Ok((cell, turn))
    }

    /// See [`Pool::map`](crate::Pool::map).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map<T, R, F, I>(&self, function: F, items: I) -> Result<Vec<R>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        self.spread::<One<F>, T, I>(items, true)?.into_result()
    }

    /// See [`Pool::map_async`](crate::Pool::map_async).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map_async<T, R, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<AsyncResult<Vec<R>>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        self.spread::<One<F>, T, I>(items, false)
    }

    /// See [`Pool::starmap`](crate::Pool::starmap).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn starmap<Args, F, I>(&self, function: F, items: I) -> Result<Vec<F::Output>, PoolError>
    where
        F: Target<Args>,
        I: IntoIterator<Item = Args>,
        Args: Serialize + DeserializeOwned + 'static,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        self.spread::<All<F>, Args, I>(items, true)?.into_result()
    }

    /// See [`Pool::starmap_async`](crate::Pool::starmap_async).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn starmap_async<Args, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<AsyncResult<Vec<F::Output>>, PoolError>
    where
        F: Target<Args>,
        I: IntoIterator<Item = Args>,
        Args: Serialize + DeserializeOwned + 'static,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        self.spread::<All<F>, Args, I>(items, false)
    }

    /// Submits items in chunks; `waits` says that the caller will wait for the result, so that they need not all be on
    /// their way when this returns.
    fn spread<C, T, I>(
        &self,
        items: I,
        waits: bool,
    ) -> Result<AsyncResult<Vec<C::Output>>, PoolError>
    where
        C: Takes<T>,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        C::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        let hub = self.hub;
        let chunk = |items| chunksize(&self.options, items, hub.processes());
        chunk(0)?;
        let is_reported_here = self.options.progress.is_some() && hub.callbacks.is_this_thread();
        if waits && (is_reported_here || !hub.may_wait()) {
            return Err(PoolError::InCallback);
        }
        hub.check_open()?;
        let items: Vec<T> = items.into_iter().collect();
        self.submit_all::<C, T>(&items, chunk(items.len())?, waits)
    }

    fn submit_all<C, T>(
        &self,
        items: &[T],
        chunksize: usize,
        waits: bool,
    ) -> Result<AsyncResult<Vec<C::Output>>, PoolError>
    where
        C: Takes<T>,
        T: Serialize + DeserializeOwned + 'static,
        C::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        let hub = self.hub;
        let gather = Gather::<C::Output>::new(hub, items.len(), self.options.progress.clone());
        let job = (job::chunk::<C, T>(), type_name::<C>());
        let ahead = MAP_AHEAD.saturating_mul(hub.processes());
        let mut turns = Vec::new();
        // Of the chunk before: a message that grows while it is encoded is copied again and again.
        let mut len = SHORT;
        let (submitter, stream) = if waits {
            (Submitter::Bulk, Stream::bulk(hub)?)
        } else {
            (Submitter::Stream, Stream::begin(hub)?)
        };
        for chunk in items.chunks(chunksize) {
            if waits && gather.pending() >= ahead {
                // Down to so few that it does not come back for every one.
                let few = ahead / 2;
                hub.wait_until(&|| gather.pending() <= few, || gather.await_few(few));
            }
            let part = gather.enter(chunk.len());
            let sink: Arc<dyn Sink> = Arc::clone(&gather) as Arc<dyn Sink>;
            let task =
                Task::new((sink, part), job, &self.options, len, |to| encode_into(chunk, to));
            let submitted = task.and_then(|task| {
                len = task.message.len();
                hub.submit(task, submitter)
            });
            match submitted {
                Ok(turn) if !waits => turns.push(turn),
                Ok(_) => {}
                Err(error) => gather.settle(part, Outcome::Failed(error)),
            }
        }
        gather.seal();
        if waits {
            gather.cell().wait_here();
        }
        drop(stream);
        Ok(AsyncResult::new(Arc::clone(gather.cell()), turns))
    }

    /// See [`Pool::imap`](crate::Pool::imap).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn imap<T, R, F, I>(&self, function: F, items: I) -> Result<Imap<I::IntoIter, R>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.stream(function, items, true)
    }

    /// See [`Pool::imap_unordered`](crate::Pool::imap_unordered).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn imap_unordered<T, R, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<Imap<I::IntoIter, R>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.stream(function, items, false)
    }

    fn stream<T, R, F, I>(
        &self,
        function: F,
        items: I,
        is_ordered: bool,
    ) -> Result<Imap<I::IntoIter, R>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        let make_task = |chunk: &[T], to: (Arc<dyn Sink>, usize), options: &TaskOptions| {
            let job = (job::each::<One<F>, T>(), type_name::<F>());
            Task::new(to, job, options, SHORT, |message| encode_into(chunk, message))
        };
        let (input, options) = (items.into_iter(), self.options.clone());
        Imap::new(self.hub, input, is_ordered, Box::new(make_task), options)
    }
}

/// A call that submits its tasks bit by bit, until this is dropped.
struct Stream<'a> {
    hub: &'a Hub,
    is_bulk: bool,
}

impl<'a> Stream<'a> {
    fn begin(hub: &'a Hub) -> Result<Stream<'a>, PoolError> {
        hub.begin_stream()?;
        Ok(Stream { hub, is_bulk: false })
    }

    /// One that tends when it waits.
    fn bulk(hub: &'a Hub) -> Result<Stream<'a>, PoolError> {
        hub.begin_bulk()?;
        Ok(Stream { hub, is_bulk: true })
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.is_bulk {
            self.hub.end_bulk();
        } else {
            self.hub.end_stream();
        }
    }
}
