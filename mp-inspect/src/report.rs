//! What is seen of a session.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A session at one moment.
///
/// Its `Display` is a table of the first 60 locks and queues, the first 40 objects of each server, and the first five of many
/// holders or waiters; what is held, waited for or not empty comes first, and the others are counted. The alternate form, `{:#}`,
/// leaves out nothing: that is what `mp-top --once` prints. [`fitted`](Inspection::fitted) is for a window.
///
/// Processes go on while they are looked at, so two parts of it may be some milliseconds apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inspection {
    /// When it was.
    pub at: SystemTime,
    /// The pid of the process at the root of the session.
    pub root: u32,
    /// The processes: each before its children, the root first.
    pub processes: Vec<ProcessReport>,
    /// Circles in which each waits, without a deadline, for what the next one has: threads for locks, and for the ends of
    /// processes. None of them ever goes on, unless a guard was handed to another thread than the one that took the lock, or
    /// another thread than its first ends a process; neither can be seen from outside.
    pub dead_locks: Vec<Vec<WaitReport>>,
    /// Locks, semaphores, conditions, events and barriers.
    pub locks: Vec<SyncReport>,
    /// The queues of programs.
    pub queues: Vec<QueueReport>,
    /// Pools.
    pub pools: Vec<PoolReport>,
    /// Server processes.
    pub servers: Vec<ServerReport>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// A process of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessReport {
    /// Its pid.
    pub pid: u32,
    /// The pid of its parent.
    pub parent: u32,
    /// Its name; what it runs, if it is no process of this library.
    pub name: String,
    /// Whether it is ended with its parent; `None` if that is not known.
    pub is_daemon: Option<bool>,
    /// What the system says that it does: running, sleeping, waiting for a disk, stopped, traced, or ended.
    pub state: String,
    /// The processor time that it has had.
    pub cpu: Duration,
    /// How much memory it has, in bytes, shared memory included.
    pub memory_bytes: u64,
    /// How many threads it has.
    pub threads: u64,
    /// How long ago it was started.
    pub age: Duration,
    /// When it was started, in clock ticks since the system was: with the pid, it tells the process from all that had or will
    /// have the same pid.
    pub start_tick: u64,
    /// What threads of it wait for.
    pub waits: Vec<WaitReport>,
}

/// A thread that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitReport {
    /// The pid of its process.
    pub pid: u32,
    /// The name of its process.
    pub process: String,
    /// Its name, which may be empty.
    pub thread: String,
    /// For how long it has waited.
    pub waited: Duration,
    /// Whether the wait has a deadline, at which it ends whatever happens.
    pub has_deadline: bool,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// Who has that, as far as known.
    pub held_by: Vec<Holder>,
}

/// What a thread waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A lock or one of its kin.
    Sync {
        /// Which: as [`SyncReport::id`].
        id: String,
        /// What it is.
        kind: String,
        /// Where it was made.
        place: String,
    },
    /// A queue.
    Queue {
        /// Which: as [`QueueReport::id`].
        id: String,
        /// What of it: an item, room, its turn, or that all is done.
        what: String,
        /// Where it was made.
        place: String,
    },
    /// The end of a process.
    Process {
        /// Its pid.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A worker for a task, or a pool for news of its workers.
    Pool,
    /// A client for the answer of a server, or a server for a call.
    Server,
    /// Something that is gone by now.
    Unknown,
}

/// Who has a lock, or permits of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// The pid of the process.
    pub pid: u32,
    /// Its name.
    pub process: String,
    /// The name of the thread, if it is known: threads that have never waited are not.
    pub thread: Option<String>,
    /// Whether the process lives. The lock of a dead one goes to the next who wants it.
    pub is_alive: bool,
    /// How often it has the lock, or how many permits it has.
    pub times: u32,
}

/// A lock or one of its kin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncReport {
    /// What tells it from the others of the session.
    pub id: String,
    /// What it is: `Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Condition`, `Event` or `Barrier`.
    pub kind: String,
    /// Where in the program it was made: the end of `file:line`.
    pub place: String,
    /// The process that made it.
    pub made_by: String,
    /// How many processes have handles to it.
    pub handles: usize,
    /// Who has it.
    pub holders: Vec<Holder>,
    /// What else is to be said of it.
    pub state: String,
    /// Who waits for it.
    pub waiters: Vec<WaitReport>,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueReport {
    /// What tells it from the others of the session.
    pub id: String,
    /// Where in the program it was made: the end of `file:line`.
    pub place: String,
    /// The process that made it.
    pub made_by: String,
    /// How many processes have handles to it.
    pub handles: usize,
    /// How many items are in it.
    pub items: u64,
    /// How many there may be.
    pub max_items: Option<u64>,
    /// How many bytes they take, headers included.
    pub bytes: u64,
    /// How many there may be.
    pub max_bytes: Option<u64>,
    /// How many were ever put.
    pub put: u64,
    /// How many items of a `JoinableQueue` are not done; `None` until the first is.
    pub unfinished: Option<u64>,
    /// Who waits for an item, for room, or for the end of the work.
    pub waiters: Vec<WaitReport>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// The pid of the process that it belongs to.
    pub pid: u32,
    /// How many workers it is to have.
    pub processes: u64,
    /// How many it has.
    pub workers: u64,
    /// How many tasks wait for their turn. A task is what goes to a worker at once: of a `map`, a chunk.
    pub waiting: u64,
    /// How many are on their way to a worker, in its hands, or done and not heard of.
    pub in_flight: u64,
    /// How many have an outcome.
    pub done: u64,
}

/// A server process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// Its name.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
    /// The pids of its clients.
    pub clients: Vec<u32>,
    /// Its objects, the oldest first.
    pub objects: Vec<ObjectReport>,
}

/// An object of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectReport {
    /// Its number; later objects have higher ones.
    pub id: u64,
    /// What its type is called.
    pub type_name: String,
    /// How many processes, messages, containers and proxies in the server refer to it.
    pub references: usize,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unseen {
    /// The pid of the process that it belongs to.
    pub pid: u32,
    /// What it is.
    pub what: String,
    /// Why it could not.
    pub reason: String,
}
