#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

pub use mp_connection as connection;
pub use mp_connection::{Connection, ConnectionError, Pipe};
#[doc(hidden)]
pub use mp_context::__private;
pub use mp_context::{
    ALL_COMPLETED, AsCompleted, AuthKey, ChildInfo, CurrentProcess, FIRST_COMPLETED,
    FIRST_EXCEPTION, LogOrigin, MP_SPAWN_CTX, ParentProcess, Process, ProcessBuilder, ProcessError,
    ProcessId, ReturnWhen, SpawnContext, StartError, Target, Thread, ThreadBuilder, ThreadError,
    Timeout, TransferError, UnknownName, Worker, active_children, as_completed, cpu_count,
    current_process, enable_test_support, get_all_start_methods, get_context, get_start_method,
    init, log_origin, parent_process, set_executable, wait,
};
pub use mp_inspect as inspect;
pub use mp_inspect::{InspectError, Inspection, inspect, inspect_session};
pub use mp_macros::main;
#[doc(hidden)]
pub use mp_manager::__private as __managed;
pub use mp_manager::{
    Args, ArrayProxy, BarrierProxy, BoundedSemaphoreProxy, ConditionProxy, DictKeys, DictProxy,
    EventProxy, IteratorProxy, JoinableQueueProxy, ListIter, ListProxy, LockProxy, Manageable,
    Managed, ManagedConditionGuard, ManagedLockGuard, ManagedPermit, ManagedRLockGuard, Manager,
    ManagerError, MemoryBlock, MemoryBlockProxy, NamespaceProxy, ObjectInfo, PoolCalls, PoolImap,
    PoolProxy, PoolResult, Proxy, QueueProxy, RLockProxy, SemaphoreProxy, ServerProcess,
    ServerProcessBuilder, SyncManager, TypedProxy, ValueProxy, managed, managed_array,
    managed_dict, managed_iterator, managed_list, managed_memoryblock, managed_namespace,
    managed_value,
};
#[cfg(feature = "progress-bar")]
pub use mp_pool::progress_bar;
pub use mp_pool::{
    AsyncResult, Calls, CurrentTask, Imap, Pool, PoolBuilder, PoolError, ProcessRunnee,
    ProcessRunner, ProcessRunnerBuilder, Progress, RunnerError, TaskOptions, current_task,
};
pub use mp_queues::{Iter, JoinableQueue, Queue, QueueBuilder, QueueError, SimpleQueue, TryIter};
pub use mp_reduction::{DecodeError, DupFd, EncodeError};
pub use mp_remote_exception::{
    Error, RemoteException, Result, bail, ensure, get_remote_traceback, is_remote_exception,
};
pub use mp_shared_memory::{
    RawArray, RawValue, ShareableItem, ShareableList, SharedMemory, SharedMemoryError,
};
pub use mp_sync::{
    AnyGuard, AnyLock, Array, ArrayGuard, Barrier, BarrierBuilder, BarrierError, BoundedSemaphore,
    Broken, Condition, ConditionGuard, DeadOwner, Event, Lock, LockGuard, Permit, RLock,
    RLockGuard, Semaphore, SyncError, Value, ValueGuard,
};

/// The program on the project's front page, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;
