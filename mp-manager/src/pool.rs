//! [`PoolProxy`]: a pool that lives in a server: what its clients call.

mod departures;
mod imap;
mod object;
mod outcome;
mod request;
mod result;
mod stream;

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::OnceLock;

use mp_context::Target;
use mp_pool::parts::{Call, chunksize, progress};
use mp_pool::{PoolError, TaskOptions};
use mp_remote_exception::Result as Returned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::manager::Manager;
use crate::payload::Payload;
use crate::pool::request::Chunks;
use crate::proxy::{Proxy, TypedProxy};
use crate::typed::proxy_traits;

pub use imap::PoolImap;
pub use result::PoolResult;

/// A pool of processes that lives in a server, for all who have a proxy of it: its workers are children of the server.
///
/// It is called as a [`Pool`](mp_pool::Pool) is, and has the methods of [`PoolCalls`]. Arguments and results go between
/// the caller and the worker; the server passes them on and knows nothing of them. Queues, locks, descriptors and proxies
/// can be in them.
///
/// With the last proxy, the pool ends as a `Pool` that is dropped.
///
/// # When a process dies
///
/// A worker that dies costs the task that it runs, as in any pool. What a client has submitted that dies is cancelled
/// if no worker has begun with it, and nobody gets its results; what it had dropped the [`PoolResult`] of before is run all
/// the same. When the server dies, its workers are killed by the kernel, and all calls give
/// [`ManagerError::Disconnected`].
///
/// # Differences from Python
///
/// The function has to be one of the program of the server: its place in there is what is sent. A server that is another
/// program, or another build of this one, refuses it with [`ManagerError::Transfer`].
///
/// A server on another machine, or that was connected to as if it were, takes and gives only what is bytes: no handles,
/// and no proxies.
///
/// A [`PoolResult`] and a [`PoolImap`] are of the process that has called. Arguments that cannot be encoded are an error
/// of the call itself.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let manager = mp::Manager::start()?;
/// let pool = manager.pool(2)?;
/// assert_eq!(pool.map(|n: u64| Ok(n * n), 1..=5)?, [1, 4, 9, 16, 25]);
/// let sum = pool.apply_async(|a: u64, b: u64| Ok(a + b), (3, 4))?;
/// assert_eq!(*sum.get()?, 7);
///
/// let p = mp::Process::start(
///     |pool: mp::PoolProxy| Ok(pool.apply(|n: u64| Ok(n + 1), (41,))?),
///     (pool.clone(),),
/// )?;
/// assert_eq!(p.into_result()?, 42);
///
/// let killed = pool.apply(|| -> mp::Result<()> { std::process::abort() }, ());
/// assert!(matches!(killed, Err(mp::ManagerError::Pool(mp::PoolError::WorkerDied { .. }))));
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "multiprocessing.managers.PoolProxy")]
pub struct PoolProxy(PoolCalls);

impl TypedProxy for PoolProxy {
    const TYPE: &'static str = object::POOL;

    fn from_proxy(proxy: Proxy) -> Self {
        PoolProxy(PoolCalls { proxy, options: TaskOptions::new(), processes: OnceLock::new() })
    }

    fn as_proxy(&self) -> &Proxy {
        &self.0.proxy
    }
}

proxy_traits!(PoolProxy);

impl PoolProxy {
    /// The calls of this pool with options for their tasks. A progress hook is called by the thread that waits for the
    /// results.
    pub fn with_options(&self, options: TaskOptions) -> PoolCalls {
        PoolCalls { options, proxy: self.0.proxy.clone(), processes: self.0.processes.clone() }
    }

    /// The pids of the workers that are alive, on the machine of the server.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn worker_pids(&self) -> Result<Vec<u32>, ManagerError> {
        self.0.proxy.call("worker_pids", &())
    }

    /// Has the pool take no more tasks; see [`Pool::close`](mp_pool::Pool::close).
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn close(&self) -> Result<(), ManagerError> {
        self.0.proxy.call("close", &())
    }

    /// Ends the pool at once; see [`Pool::terminate`](mp_pool::Pool::terminate).
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn terminate(&self) -> Result<(), ManagerError> {
        self.0.proxy.call("terminate", &())
    }

    /// Sleeps until the workers of a pool that was closed or terminated are gone; see
    /// [`Pool::join`](mp_pool::Pool::join).
    ///
    /// # Errors
    ///
    /// [`PoolError::StillOpen`], and [`ManagerError::Disconnected`].
    pub fn join(&self) -> Result<(), ManagerError> {
        self.0.proxy.call("join", &())
    }
}

impl Deref for PoolProxy {
    type Target = PoolCalls;

    fn deref(&self) -> &PoolCalls {
        &self.0
    }
}

/// The calls of a [`PoolProxy`], as they are or with [`TaskOptions`].
#[must_use = "options do nothing until a function is called with them"]
pub struct PoolCalls {
    proxy: Proxy,
    options: TaskOptions,
    /// Of the pool, once they are known.
    processes: OnceLock<usize>,
}

impl PoolCalls {
    /// How many workers the pool has, or is about to have.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`], if this proxy has not asked before.
    pub fn processes(&self) -> Result<usize, ManagerError> {
        if let Some(processes) = self.processes.get() {
            return Ok(*processes);
        }
        let processes = self.proxy.call("processes", &())?;
        Ok(*self.processes.get_or_init(|| processes))
    }

    /// Calls `function` with `args` in a worker, and sleeps until it has returned.
    ///
    /// # Errors
    ///
    /// What the function raised, how its worker died, or what else became of the task, as [`ManagerError::Pool`]; any
    /// other says what became of the server, or what it cannot pass on.
    pub fn apply<F, Args>(&self, function: F, args: Args) -> Result<F::Output, ManagerError>
    where
        F: Target<Args>,
        Args: Serialize + DeserializeOwned,
        F::Output: Serialize + DeserializeOwned,
    {
        let call = Call::apply(function).map_err(ManagerError::Pool)?;
        let mut chunks = Chunks::new(&self.proxy);
        chunks.add(&call, &args).map_err(ManagerError::Pool)?;
        drop(args);
        let request = chunks.ordered(call.order(&self.options), ())?;
        let reply = self.proxy.call_encoded("run", request)?;
        call.decode(&reply.bytes, &reply.attachments).map_err(ManagerError::Pool)
    }

    /// [`apply`](PoolCalls::apply) that does not wait.
    ///
    /// # Errors
    ///
    /// [`PoolError::Closed`], or why the pool has no workers or the arguments cannot be passed.
    pub fn apply_async<F, Args>(
        &self,
        function: F,
        args: Args,
    ) -> Result<PoolResult<F::Output>, ManagerError>
    where
        F: Target<Args>,
        Args: Serialize + DeserializeOwned + 'static,
        F::Output: Serialize + DeserializeOwned + 'static,
    {
        let call = Call::apply(function).map_err(ManagerError::Pool)?;
        let mut chunks = Chunks::new(&self.proxy);
        chunks.add(&call, &args).map_err(ManagerError::Pool)?;
        drop(args);
        let request = chunks.ordered(call.order(&self.options), None::<Vec<u64>>)?;
        let decode = move |reply: &Payload| {
            call.decode(&reply.bytes, &reply.attachments).map_err(ManagerError::Pool)
        };
        Ok(PoolResult::new(self.proxy.ask("submit", request)?, None, Box::new(decode)))
    }

    /// Calls `function` with each item, and gives the results in their order.
    ///
    /// Reads all items, then sleeps until all results are there. The items go to the workers in chunks; see
    /// [`TaskOptions::chunksize`].
    ///
    /// # Errors
    ///
    /// As [`Pool::map`](mp_pool::Pool::map), as [`ManagerError::Pool`]; any other says what became of the server, or what
    /// it cannot pass on.
    pub fn map<T, R, F, I>(&self, function: F, items: I) -> Result<Vec<R>, ManagerError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        self.gather(Call::map(function), items)
    }

    /// [`map`](PoolCalls::map) that does not wait; all items are read and encoded before it returns.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](PoolCalls::apply_async).
    pub fn map_async<T, R, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<PoolResult<Vec<R>>, ManagerError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        self.spread(Call::map(function), items)
    }

    /// [`map`](PoolCalls::map) with tuples of arguments.
    ///
    /// # Errors
    ///
    /// As `map`.
    pub fn starmap<Args, F, I>(&self, function: F, items: I) -> Result<Vec<F::Output>, ManagerError>
    where
        F: Target<Args>,
        I: IntoIterator<Item = Args>,
        Args: Serialize + DeserializeOwned + 'static,
        F::Output: Serialize + DeserializeOwned + 'static,
    {
        self.gather(Call::starmap(function), items)
    }

    /// [`map_async`](PoolCalls::map_async) with tuples of arguments.
    ///
    /// # Errors
    ///
    /// As `map_async`.
    pub fn starmap_async<Args, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<PoolResult<Vec<F::Output>>, ManagerError>
    where
        F: Target<Args>,
        I: IntoIterator<Item = Args>,
        Args: Serialize + DeserializeOwned + 'static,
        F::Output: Serialize + DeserializeOwned + 'static,
    {
        self.spread(Call::starmap(function), items)
    }

    /// Cuts items into encoded chunks; gives as well how many items each has.
    fn cut<T, R, I>(
        &self,
        call: &Call<[T], Vec<R>>,
        items: I,
    ) -> Result<(Chunks, Vec<u64>), ManagerError>
    where
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        let processes = self.processes()?;
        let size = |items| chunksize(&self.options, items, processes).map_err(ManagerError::Pool);
        size(0)?;
        let items: Vec<T> = items.into_iter().collect();
        let (mut chunks, mut lens) = (Chunks::new(&self.proxy), Vec::new());
        for chunk in items.chunks(size(items.len())?) {
            chunks.add(call, chunk).map_err(ManagerError::Pool)?;
            lens.push(chunk.len() as u64);
        }
        Ok((chunks, lens))
    }

    /// Has all items worked on, and waits.
    fn gather<T, R, I>(
        &self,
        call: Result<Call<[T], Vec<R>>, PoolError>,
        items: I,
    ) -> Result<Vec<R>, ManagerError>
    where
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        if progress(&self.options).is_some() {
            return self.spread(call, items)?.into_result();
        }
        let call = call.map_err(ManagerError::Pool)?;
        let (chunks, lens) = self.cut(&call, items)?;
        let request = chunks.ordered(call.order(&self.options), ())?;
        let reply = self.proxy.call_encoded("run", request)?;
        results_of(&call, &self.proxy, &reply, lens.len())
    }

    /// Has all items worked on, and does not wait.
    fn spread<T, R, I>(
        &self,
        call: Result<Call<[T], Vec<R>>, PoolError>,
        items: I,
    ) -> Result<PoolResult<Vec<R>>, ManagerError>
    where
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
    {
        let call = call.map_err(ManagerError::Pool)?;
        let (chunks, lens) = self.cut(&call, items)?;
        let (count, items) = (lens.len(), lens.iter().sum());
        let hook = progress(&self.options);
        let request = chunks.ordered(call.order(&self.options), hook.is_some().then_some(lens))?;
        let (proxy, pool) = (self.proxy.ask("submit", request)?, self.proxy.clone());
        let decode = move |reply: &Payload| results_of(&call, &pool, reply, count);
        let reports = hook.map(|hook| result::Reports::new(items, hook));
        Ok(PoolResult::new(proxy, reports, Box::new(decode)))
    }

    /// Calls `function` with each item, and gives the results one by one in the order of the items, each when it is
    /// there.
    ///
    /// The input may be endless; see [`PoolImap`].
    ///
    /// # Errors
    ///
    /// As [`apply_async`](PoolCalls::apply_async), and [`PoolError::Invalid`] for chunks of no items.
    pub fn imap<T, R, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<PoolImap<I::IntoIter, R>, ManagerError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        PoolImap::begin(self, Call::imap(function), items.into_iter(), true)
    }

    /// [`imap`](PoolCalls::imap) that gives each result as soon as it is there, in any order.
    ///
    /// # Errors
    ///
    /// As `imap`.
    pub fn imap_unordered<T, R, F, I>(
        &self,
        function: F,
        items: I,
    ) -> Result<PoolImap<I::IntoIter, R>, ManagerError>
    where
        F: Fn(T) -> Returned<R> + Copy + 'static,
        I: IntoIterator<Item = T>,
        T: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        PoolImap::begin(self, Call::imap(function), items.into_iter(), false)
    }
}

/// The results of all chunks of a map, as many as there are.
fn results_of<T, R>(
    call: &Call<[T], Vec<R>>,
    pool: &Proxy,
    reply: &Payload,
    count: usize,
) -> Result<Vec<R>, ManagerError>
where
    T: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    let mut results = Vec::new();
    request::each_result(pool, reply, count, |bytes, attachments| {
        results.append(&mut call.decode(bytes, attachments)?);
        Ok(())
    })?;
    Ok(results)
}

impl Debug for PoolCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.proxy, self.options)
    }
}

impl Manager {
    /// Starts a pool of so many workers in the server.
    ///
    /// # Errors
    ///
    /// [`PoolError::Invalid`] for none, and why one cannot be started, as [`ManagerError::Pool`];
    /// [`ManagerError::Disconnected`].
    pub fn pool(&self, processes: usize) -> Result<PoolProxy, ManagerError> {
        self.handle().create(self.handle().encode(&(processes as u64,))?)
    }
}
