//! Calls whose types another process knows than the one that has the pool: there they are an [`Order`] and bytes, and so are
//! their results.
//!
//! Who calls has a [`Call`], which encodes and decodes. Who has the pool submits what has come, and passes on what comes of
//! it. How the two talk to each other is their own affair, but that they run the same build: an order of another one has a
//! worker call anything.

use std::any::type_name;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::Arc;

use mp_context::__private::{Job, assert_captures_nothing};
use mp_context::Target;
use mp_reduction::{Attachments, Offset, decode_from, encode_into};
use mp_remote_exception::Result as Returned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::PoolError;
use crate::hub::{Hub, Submitter};
use crate::job::{self, All, Each, One};
use crate::map::Gather;
use crate::options::{Progress, TaskOptions};
use crate::order::{Order, place_of};
use crate::pool::Pool;
use crate::result::{AsyncResult, Cell, guarded, result_here};
use crate::state::desk::Turn;
use crate::task::{Outcome, Sink, Task};

/// What a task calls, for one who has no pool: arguments of type `In` go there, and a result of type `Out` comes back.
pub struct Call<In: ?Sized, Out> {
    job: Offset,
    types: PhantomData<fn(&In) -> Out>,
}

impl<In: ?Sized, Out> Call<In, Out> {
    fn new(job: Job, function: &'static str) -> Result<Call<In, Out>, PoolError> {
        Ok(Call { job: place_of(job, function)?, types: PhantomData })
    }

    /// What goes to the process of the pool before the arguments.
    pub fn order(&self, options: &TaskOptions) -> Order {
        Order::new(self.job, options)
    }
}

impl<Args, R> Call<Args, R>
where
    Args: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    /// That of [`Pool::apply`].
    ///
    /// # Errors
    ///
    /// [`PoolError::FunctionOutsideProgram`].
    pub fn apply<F: Target<Args, Output = R>>(function: F) -> Result<Call<Args, R>, PoolError> {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        Call::new(job::single::<All<F>, Args>(), type_name::<F>())
    }
}

impl<T, R> Call<[T], Vec<R>>
where
    T: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    /// That of a chunk of [`Pool::map`]: all results, or the error that came first.
    ///
    /// # Errors
    ///
    /// [`PoolError::FunctionOutsideProgram`].
    pub fn map<F>(function: F) -> Result<Call<[T], Vec<R>>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        Call::new(job::chunk::<One<F>, T>(), type_name::<F>())
    }

    /// That of a chunk of [`Pool::starmap`].
    ///
    /// # Errors
    ///
    /// [`PoolError::FunctionOutsideProgram`].
    pub fn starmap<F>(function: F) -> Result<Call<[T], Vec<R>>, PoolError>
    where
        F: Target<T, Output = R>,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        Call::new(job::chunk::<All<F>, T>(), type_name::<F>())
    }
}

impl<T, R> Call<[T], Each<R>>
where
    T: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    /// That of a chunk of [`Pool::imap`]: what came of each item.
    ///
    /// # Errors
    ///
    /// [`PoolError::FunctionOutsideProgram`].
    pub fn imap<F>(function: F) -> Result<Call<[T], Each<R>>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let _known_by_its_type = function;
        Call::new(job::each::<One<F>, T>(), type_name::<F>())
    }
}

impl<In: Serialize + ?Sized, Out: DeserializeOwned> Call<In, Out> {
    /// Appends the encoded arguments to `bytes`, and gives what belongs to them.
    ///
    /// # Errors
    ///
    /// [`PoolError::Encode`]; then `bytes` is as before.
    pub fn encode(&self, input: &In, bytes: &mut Vec<u8>) -> Result<Attachments, PoolError> {
        encode_into(input, bytes).map_err(PoolError::Encode)
    }

    /// Decodes what an [`Encoded`] holds.
    ///
    /// # Errors
    ///
    /// [`PoolError::Decode`], and [`PoolError::Transfer`] for a `Deserialize` that panics, as of a pool of this process.
    pub fn decode(&self, bytes: &[u8], attachments: &Attachments) -> Result<Out, PoolError> {
        let decode = || decode_from(bytes, attachments).map_err(PoolError::Decode);
        guarded(&|| "the worker".to_owned(), decode)
    }
}

impl<In: ?Sized, Out> Clone for Call<In, Out> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<In: ?Sized, Out> Copy for Call<In, Out> {}

impl<In: ?Sized, Out> Debug for Call<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call<{}, {}>({:?})", type_name::<In>(), type_name::<Out>(), self.job)
    }
}

/// A result as its worker has encoded it. One that is not there is a [`PoolError`] as ever: only what a function returns
/// is of a type that is not known here.
#[derive(Debug)]
pub struct Encoded {
    /// For [`Call::decode`].
    pub bytes: Vec<u8>,
    /// What belongs to the bytes.
    pub attachments: Attachments,
}

impl Encoded {
    fn of(outcome: Outcome<'_>) -> Result<Encoded, PoolError> {
        match outcome {
            Outcome::Ran(ran) => {
                let attachments = ran.attachments?;
                let bytes = job::returned(ran.bytes, ran.worker)?.to_vec();
                Ok(Encoded { bytes, attachments })
            }
            Outcome::Failed(error) => Err(error),
        }
    }
}

impl Sink for Cell<Encoded> {
    fn settle(&self, _: usize, outcome: Outcome<'_>) {
        self.finish(Encoded::of(outcome));
    }
}

impl Sink for Gather<Encoded> {
    fn settle(&self, part: usize, outcome: Outcome<'_>) {
        self.take(part, Encoded::of(outcome).map(|chunk| vec![chunk]));
    }
}

/// The encoded arguments of one of the tasks of [`submit_all`].
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    /// How many items it has, for reports of progress.
    pub items: usize,
    /// The arguments.
    pub args: &'a [u8],
    /// What belongs to them.
    pub attachments: Attachments,
}

/// [`Pool::map_async`] with encoded chunks: the results are those of the chunks, in their order. If the caller `waits` with
/// [`wait`] next, and does nothing else before, nobody but that tends to them.
///
/// # Errors
///
/// As there.
pub fn submit_all(
    pool: &Pool,
    order: &Order,
    chunks: &[Chunk<'_>],
    waits: bool,
    progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
) -> Result<AsyncResult<Vec<Encoded>>, PoolError> {
    let hub = &pool.hub;
    let _stream = Stream::begin(pool)?;
    let submitter = if waits { Submitter::Bulk } else { Submitter::Stream };
    let items = chunks.iter().map(|chunk| chunk.items).sum();
    let gather = Gather::<Encoded>::new(hub, items, progress);
    let mut turns = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let part = gather.enter(chunk.items);
        let sink: Arc<dyn Sink> = Arc::clone(&gather) as Arc<dyn Sink>;
        let task = task((sink, part), order, chunk.args, chunk.attachments.clone());
        match task.and_then(|task| hub.submit(task, submitter)) {
            Ok(turn) => turns.push(turn),
            Err(error) => gather.settle(part, Outcome::Failed(error)),
        }
    }
    gather.seal();
    Ok(AsyncResult::new(Arc::clone(gather.cell()), turns))
}

/// Waits for a result, and tends meanwhile.
pub fn wait<R: Send + 'static>(result: &AsyncResult<R>) {
    result.wait_here();
}

/// Has all who wait for a result go on without: tasks that no worker has begun with are cancelled, the others run to their
/// ends, and the result is [`PoolError::Cancelled`] now. For results without callbacks.
pub fn abandon<R: Send + 'static>(result: &AsyncResult<R>) {
    result.abandon();
}

/// [`Pool::apply_async`] with encoded arguments.
///
/// # Errors
///
/// As there.
pub fn submit(
    pool: &Pool,
    order: &Order,
    args: &[u8],
    attachments: Attachments,
) -> Result<AsyncResult<Encoded>, PoolError> {
    let (cell, turn) = enter(&pool.hub, order, args, attachments, Submitter::Passer)?;
    Ok(AsyncResult::new(cell, vec![turn]))
}

/// [`Pool::apply`] with encoded arguments: tends while it waits, so it is faster than to wait for what was submitted.
///
/// # Errors
///
/// As there.
pub fn run(
    pool: &Pool,
    order: &Order,
    args: &[u8],
    attachments: Attachments,
) -> Result<Encoded, PoolError> {
    let (cell, _turn) = enter(&pool.hub, order, args, attachments, Submitter::Tender)?;
    result_here(&cell)
}

fn enter(
    hub: &Arc<Hub>,
    order: &Order,
    args: &[u8],
    attachments: Attachments,
    submitter: Submitter,
) -> Result<(Arc<Cell<Encoded>>, Turn), PoolError> {
    let cell = Cell::new(hub);
    let sink: Arc<dyn Sink> = Arc::clone(&cell) as Arc<dyn Sink>;
    let turn = hub.submit(task((sink, 0), order, args, attachments)?, submitter)?;
    Ok((cell, turn))
}

fn task(
    sink: (Arc<dyn Sink>, usize),
    order: &Order,
    args: &[u8],
    attachments: Attachments,
) -> Result<Task, PoolError> {
    Task::ordered(sink, order, args.len(), |message| {
        message.extend_from_slice(args);
        Ok(attachments)
    })
}

/// A map or an imap that submits its chunks one by one. Until this is dropped they are taken, also when the pool is closed
/// meanwhile; after [`Pool::join`] and [`Pool::terminate`] they are not.
#[must_use = "it ends when this is dropped"]
pub struct Stream {
    hub: Arc<Hub>,
}

impl Stream {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// [`PoolError::Closed`], or why the pool has no workers.
    pub fn begin(pool: &Pool) -> Result<Stream, PoolError> {
        pool.hub.begin_stream()?;
        Ok(Stream { hub: Arc::clone(&pool.hub) })
    }

    /// As [`submit`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn submit(
        &self,
        order: &Order,
        args: &[u8],
        attachments: Attachments,
    ) -> Result<AsyncResult<Encoded>, PoolError> {
        let (cell, turn) = enter(&self.hub, order, args, attachments, Submitter::Stream)?;
        Ok(AsyncResult::new(cell, vec![turn]))
    }

    /// Whether nothing that it submits is taken any more.
    pub fn is_refused(&self) -> bool {
        self.hub.takes_no_more()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.end_stream();
    }
}

impl Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Stream of '{}'>", self.hub.name())
    }
}
