//! [`Pool`]: the handle: what it is, what can be called, how it ends.

use std::fmt::{self, Debug};
use std::sync::Arc;

use mp_context::Target;
use mp_remote_exception::Result as Returned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::PoolBuilder;
use crate::calls::Calls;
use crate::error::PoolError;
use crate::hub::Hub;
use crate::imap::Imap;
use crate::options::TaskOptions;
use crate::result::AsyncResult;

/// Some processes that work on many tasks.
///
/// A task is a call of a function that captures nothing, as the target of a [`Process`](mp_context::Process) is. Its
/// arguments and its result cross as any values do: with queues, locks and descriptors in them.
///
/// All methods can be called from any number of threads. Dropping the pool terminates it and waits for its end.
/// So does the end of `main` with a pool that nobody has dropped: whoever waits then is told, and what is submitted
/// later is refused.
///
/// # When a process dies
///
/// When a worker is killed, crashes, or its task ends the process, that one task fails with [`PoolError::WorkerDied`]; another
/// worker takes the place, and all other tasks go on. When the process of the pool dies, its workers are killed by the
/// kernel.
///
/// # Differences from Python
///
/// A pool cannot be sent to another process, which is an error of the compiler:
///
/// ```compile_fail,E0277
/// mp::Process::start(|_pool: mp::Pool| Ok(()), (mp::Pool::new(1).unwrap(),));
/// ```
///
/// Workers may start processes and have pools of their own: they end with the worker. A worker leads a process group; Ctrl-C in a
/// terminal does not reach it. `terminate` kills at once, without a signal that a task could handle.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let pool = mp::Pool::new(2)?;
/// assert_eq!(pool.map(|n: u64| Ok(n * n), 1..=5)?, [1, 4, 9, 16, 25]);
/// assert_eq!(pool.apply(|a: u64, b: u64| Ok(a + b), (3, 4))?, 7);
///
/// let killed = pool.apply(|| -> mp::Result<()> { std::process::abort() }, ());
/// assert!(matches!(killed, Err(mp::PoolError::WorkerDied { exitcode: Some(-6), started: true, .. })));
/// assert_eq!(pool.apply(|n: u64| Ok(n + 1), (41,))?, 42);
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "multiprocessing.Pool")]
#[doc(alias = "ProcessPoolExecutor")]
pub struct Pool {
    pub(crate) hub: Arc<Hub>,
}

impl Pool {
    /// A pool of so many workers.
    ///
    /// Returns when they are started; does not wait for them.
    ///
    /// # Errors
    ///
    /// [`PoolError::Invalid`] for none, [`PoolError::Start`] when one cannot be started, in a program without `mp::init` for
    /// example; then no process is left.
    pub fn new(processes: usize) -> Result<Pool, PoolError> {
        Pool::builder().processes(processes).start()
    }

    /// Describes a pool before it is started.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    pub(crate) fn of(hub: Arc<Hub>) -> Pool {
        Pool { hub }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.hub.name()
    }

    /// How many workers it has, or is about to have.
    pub fn processes(&self) -> usize {
        self.hub.processes()
    }

    /// The pids of the workers that are alive.
    pub fn worker_pids(&self) -> Vec<u32> {
        self.hub.pids()
    }

    /// The calls of this pool with options for their tasks.
    pub fn with_options(&self, options: TaskOptions) -> Calls<'_> {
        Calls::new(&self.hub, options)
    }

    fn plain(&self) -> Calls<'_> {
        self.with_options(TaskOptions::new())
    }

    /// Calls `function` with `args` in a worker, and sleeps until it has returned.
    ///
    /// # Errors
    ///
    /// What the function raised, how its worker died, or what else became of the task: see [`PoolError`].
    pub fn apply<F, Args>(&self, function: F, args: Args) -> Result<F::Output, PoolError>
    where
        F: Target<Args>,
        Args: Serialize + DeserializeOwned,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        self.plain().apply(function, args)
    }

    /// [`apply`](Pool::apply) that does not wait.
    ///
    /// # Errors
    ///
    /// [`PoolError::Closed`], or why the pool has no workers. What becomes of the task is told by the handle, also when its
    /// arguments cannot be encoded.
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
        self.plain().apply_async(function, args)
    }

    /// Calls `function` with each item, and gives the results in their order.
    ///
    /// Reads all items, then sleeps until all results are there. The items go to the workers in chunks; see [`TaskOptions::chunksize`].
    ///
    /// # Errors
    ///
    /// The error that came first, when all chunks have been run; of a chunk, what comes after the item that failed is not
    /// run. A panic of the iterator goes through and leaves the pool as it was.
    pub fn map<T, R, F, I>(&self, function: F, items: I) -> Result<Vec<R>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.plain().map(function, items)
    }

    /// [`map`](Pool::map) that does not wait; all items are read and encoded before it returns.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Pool::apply_async).
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
        self.plain().map_async(function, items)
    }

    /// [`map`](Pool::map) with tuples of arguments.
    ///
    /// # Errors
    ///
    /// As `map`.
    pub fn starmap<Args, F, I>(&self, function: F, items: I) -> Result<Vec<F::Output>, PoolError>
    where
        F: Target<Args>,
        I: IntoIterator<Item = Args>,
        Args: Serialize + DeserializeOwned + 'static,
        F::Output: Serialize + DeserializeOwned + Send + 'static,
    {
        self.plain().starmap(function, items)
    }

    /// [`map_async`](Pool::map_async) with tuples of arguments.
    ///
    /// # Errors
    ///
    /// As `map_async`.
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
        self.plain().starmap_async(function, items)
    }

    /// Calls `function` with each item, and gives the results one by one in the order of the items, each when it is there.
    ///
    /// The input may be endless; see [`Imap`]. After [`close`](Pool::close) it goes on; after [`join`](Pool::join) or
    /// [`terminate`](Pool::terminate) what has not been read ahead fails with [`PoolError::Closed`], and the iterator ends.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Pool::apply_async), and [`PoolError::Invalid`] for chunks of no items.
    pub fn imap<T, R, F, I>(&self, function: F, items: I) -> Result<Imap<I::IntoIter, R>, PoolError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.plain().imap(function, items)
    }

    /// [`imap`](Pool::imap) that gives each result as soon as it is there, in any order.
    ///
    /// # Errors
    ///
    /// As `imap`.
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
        self.plain().imap_unordered(function, items)
    }

    /// Takes no more tasks. The workers end when those that there are have been run; [`join`](Pool::join) waits for that.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Ends the pool at once: kills the workers, with all processes that they have started and that have not left their
    /// process groups. What has no result fails with [`PoolError::Terminated`].
    pub fn terminate(&self) {
        self.hub.terminate();
    }

    /// Sleeps until the workers of a pool that was closed or terminated are gone, all its tasks have a result or an error, and
    /// all callbacks have been called.
    ///
    /// # Errors
    ///
    /// [`PoolError::StillOpen`], and [`PoolError::InCallback`] in a callback, for which it would wait itself.
    pub fn join(&self) -> Result<(), PoolError> {
        self.hub.join()
    }
}

/// Terminates the pool and waits for its end; see [`Pool::terminate`].
impl Drop for Pool {
    fn drop(&mut self) {
        self.hub.end_all();
    }
}

impl Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.hub.state_name();
        write!(f, "<Pool name='{}' processes={} {state}>", self.name(), self.processes())
    }
}
