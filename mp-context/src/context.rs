//! [`SpawnContext`]: the calls of the library as methods of one object, as Python's contexts are.

use bytemuck::Pod;
use mp_connection::{Connection, ConnectionError, Pipe};
use mp_queues::{JoinableQueue, Queue, QueueError, SimpleQueue};
use mp_remote_exception::Result;
use mp_shared_memory::{RawArray, RawValue, SharedMemoryError};
use mp_sync::{
    Array, Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore, SyncError, Value,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::ProcessBuilder;
use crate::current::{ChildInfo, CurrentProcess, ParentProcess};
use crate::error::UnknownName;
use crate::target::Target;
use crate::thread::{Thread, ThreadBuilder};

/// The one way to start processes here, as an object.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// let ctx = mp::get_context("spawn")?;
/// let p = ctx.process(|n: u32| Ok(n + 1), (1,)).name("adder").start()?;
/// assert_eq!(*p.result()?, 2);
/// # Ok::<(), mp::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpawnContext(());

/// The context that the functions of the library use.
pub static MP_SPAWN_CTX: SpawnContext = SpawnContext::new();

const METHODS: [&str; 1] = ["spawn"];

impl SpawnContext {
    /// A context; all are alike.
    pub const fn new() -> SpawnContext {
        SpawnContext(())
    }

    /// Describes a process; see [`Process::builder`](crate::Process::builder).
    pub fn process<F, Args, T>(&self, target: F, args: Args) -> ProcessBuilder<F, Args>
    where
        F: Target<Args, Output = T>,
        Args: Serialize + DeserializeOwned,
        T: Serialize + DeserializeOwned,
    {
        ProcessBuilder::new(target, args)
    }

    /// Describes a thread; see [`Thread::builder`].
    pub fn thread<F, T>(&self, target: F) -> ThreadBuilder<F>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        Thread::<T>::builder(target)
    }

    /// See [`current_process`](crate::current_process).
    pub fn current_process(&self) -> CurrentProcess {
        crate::current_process()
    }

    /// See [`parent_process`](crate::parent_process).
    pub fn parent_process(&self) -> Option<ParentProcess> {
        crate::parent_process()
    }

    /// See [`active_children`](crate::active_children).
    pub fn active_children(&self) -> Vec<ChildInfo> {
        crate::active_children()
    }

    /// See [`cpu_count`](crate::cpu_count).
    pub fn cpu_count(&self) -> usize {
        crate::cpu_count()
    }

    /// The two ends of a new [`Pipe`]: both send and receive if it is `duplex`, else the first receives what
    /// the second sends.
    ///
    /// # Errors
    ///
    /// As [`Pipe::duplex`].
    pub fn pipe(
        &self,
        duplex: bool,
    ) -> std::result::Result<(Connection, Connection), ConnectionError> {
        if duplex { Pipe::duplex() } else { Pipe::simplex() }
    }

    /// A new [`Queue`] for at most `maxsize` items, or any number if that is 0; see [`Queue::builder`] for a limit of bytes.
    ///
    /// # Errors
    ///
    /// As [`Queue::bounded`].
    #[track_caller]
    pub fn queue<T>(&self, maxsize: usize) -> std::result::Result<Queue<T>, QueueError> {
        Queue::bounded(maxsize)
    }

    /// A new [`JoinableQueue`] for at most `maxsize` items, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// As [`JoinableQueue::bounded`].
    #[track_caller]
    pub fn joinable_queue<T>(
        &self,
        maxsize: usize,
    ) -> std::result::Result<JoinableQueue<T>, QueueError> {
        JoinableQueue::bounded(maxsize)
    }

    /// A new [`SimpleQueue`].
    ///
    /// # Errors
    ///
    /// As [`SimpleQueue::new`].
    #[track_caller]
    pub fn simple_queue<T>(&self) -> std::result::Result<SimpleQueue<T>, QueueError> {
        SimpleQueue::new()
    }

    /// A new [`Lock`].
    ///
    /// # Errors
    ///
    /// As [`Lock::new`].
    #[track_caller]
    pub fn lock(&self) -> std::result::Result<Lock, SyncError> {
        Lock::new()
    }

    /// A new [`RLock`].
    ///
    /// # Errors
    ///
    /// As [`RLock::new`].
    #[track_caller]
    pub fn rlock(&self) -> std::result::Result<RLock, SyncError> {
        RLock::new()
    }

    /// A new [`Condition`] with a lock of its own; see [`Condition::with_lock`] for others.
    ///
    /// # Errors
    ///
    /// As [`Condition::new`].
    #[track_caller]
    pub fn condition(&self) -> std::result::Result<Condition, SyncError> {
        Condition::new()
    }

    /// A new [`Semaphore`].
    ///
    /// # Errors
    ///
    /// As [`Semaphore::new`].
    #[track_caller]
    pub fn semaphore(&self, value: u32) -> std::result::Result<Semaphore, SyncError> {
        Semaphore::new(value)
    }

    /// A new [`BoundedSemaphore`].
    ///
    /// # Errors
    ///
    /// As [`BoundedSemaphore::new`].
    #[track_caller]
    pub fn bounded_semaphore(
        &self,
        value: u32,
    ) -> std::result::Result<BoundedSemaphore, SyncError> {
        BoundedSemaphore::new(value)
    }

    /// A new [`Event`].
    ///
    /// # Errors
    ///
    /// As [`Event::new`].
    #[track_caller]
    pub fn event(&self) -> std::result::Result<Event, SyncError> {
        Event::new()
    }

    /// A new [`Barrier`]; see [`Barrier::builder`] for one with an action or a limit.
    ///
    /// # Errors
    ///
    /// As [`Barrier::new`].
    #[track_caller]
    pub fn barrier(&self, parties: usize) -> std::result::Result<Barrier, SyncError> {
        Barrier::new(parties)
    }

    /// A new [`Value`].
    ///
    /// # Errors
    ///
    /// As [`Value::new`].
    #[track_caller]
    pub fn value<T: Pod>(&self, value: T) -> std::result::Result<Value<T>, SyncError> {
        Value::new(value)
    }

    /// A new [`Array`].
    ///
    /// # Errors
    ///
    /// As [`Array::new`].
    #[track_caller]
    pub fn array<T: Pod>(&self, elements: &[T]) -> std::result::Result<Array<T>, SyncError> {
        Array::new(elements)
    }

    /// A new [`RawValue`], which has no lock.
    ///
    /// # Errors
    ///
    /// As [`RawValue::new`].
    #[track_caller]
    pub fn raw_value<T: Pod>(
        &self,
        value: T,
    ) -> std::result::Result<RawValue<T>, SharedMemoryError> {
        RawValue::new(value)
    }

    /// A new [`RawArray`], which has no lock.
    ///
    /// # Errors
    ///
    /// As [`RawArray::new`].
    #[track_caller]
    pub fn raw_array<T: Pod>(
        &self,
        elements: &[T],
    ) -> std::result::Result<RawArray<T>, SharedMemoryError> {
        RawArray::new(elements)
    }

    /// Always `spawn`.
    pub fn get_start_method(&self) -> &'static str {
        get_start_method()
    }
}

/// The context of a way to start processes; there is only `spawn`.
///
/// # Errors
///
/// [`UnknownName`] for any other: a forked copy of a program with threads is not sound.
pub fn get_context(method: &str) -> std::result::Result<SpawnContext, UnknownName> {
    if METHODS.contains(&method) {
        return Ok(SpawnContext::new());
    }
    let value = method.to_owned();
    Err(UnknownName { what: "start method", value, expected: METHODS[0] })
}

/// The way in which processes are started: always `spawn`.
pub fn get_start_method() -> &'static str {
    METHODS[0]
}

/// All ways to start processes.
pub fn get_all_start_methods() -> [&'static str; 1] {
    METHODS
}
