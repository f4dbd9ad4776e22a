//! Why a task gave no result, or a pool took none.

use std::io;
use std::sync::Arc;

use mp_context::__private::signal_name;
use mp_context::ProcessError;
use mp_queues::QueueError;
use mp_reduction::{DecodeError, EncodeError};
use mp_remote_exception::RemoteException;

/// Why a task gave no result, or none yet, or why a pool did not do what it was told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The task returned an error or panicked; its worker goes on.
    #[error("the task {}: {}", if .0.is_panic() { "panicked" } else { "failed" }, .0.message())]
    Exception(RemoteException),
    /// The worker that ran the task ended: it was killed, crashed, or the task ended the process.
    #[error("{}", Died { pid: *.pid, exitcode: *.exitcode, started: *.started })]
    WorkerDied {
        /// The pid that the worker had.
        pid: u32,
        /// Its exit code, or minus the number of the signal that ended it; `None` if other code of this program
        /// collected its exit status.
        exitcode: Option<i32>,
        /// Whether the task had started; if not, nothing of it was done.
        started: bool,
    },
    /// The task ran into its [time limit](crate::TaskOptions::timeout) and was ended.
    #[error("the task was ended at its time limit")]
    TimedOut,
    /// The task was cancelled.
    #[error("the task was cancelled")]
    Cancelled,
    /// The task had no result when the time to wait for it was over; it goes on.
    #[error("the task had no result when the time was over")]
    Timeout,
    /// The pool was terminated or dropped, or its process came to its end, before the task had a result.
    #[error("the pool was terminated before the task had a result")]
    Terminated,
    /// The pool takes no more tasks: it was closed or terminated, or its process is at its end.
    #[error("the pool is closed: it takes no more tasks")]
    Closed,
    /// The pool is to be joined, and is neither closed nor terminated.
    #[error("the pool is still open: close or terminate it before it is joined")]
    StillOpen,
    /// The initializer failed in each of the workers that were started, so the pool has none.
    #[error("the initializer of the pool's workers failed: {}", .0.message())]
    Initializer(RemoteException),
    /// Workers cannot be started, or end before they are ready, so the pool has none.
    #[error("the pool cannot start its workers")]
    Start(#[source] ProcessError),
    /// The arguments of the task cannot be encoded; it was not run.
    #[error("cannot pass the arguments of the task")]
    Encode(#[source] EncodeError),
    /// The task ran, and its result cannot be decoded here.
    #[error("cannot take the result of the task")]
    Decode(#[source] DecodeError),
    /// The worker could not take the arguments of the task, which did not run, or could not pass its result.
    #[error("{worker} {what}")]
    Transfer {
        /// The name of the worker.
        worker: String,
        /// What it could not do, and why.
        what: String,
    },
    /// The system has no room for the task or its result.
    #[error("cannot pass the task or its result")]
    Queue(#[source] QueueError),
    /// The system has no thread, descriptor or memory for the pool.
    #[error("cannot make the pool: no {what}")]
    Resources {
        /// What it has none of.
        what: &'static str,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A value that cannot be: no workers, a chunk of no items.
    #[error("{what} must be at least 1")]
    Invalid {
        /// What the value was for.
        what: &'static str,
    },
    /// The task is the target of a function that lies in a shared library, which another process may load elsewhere.
    #[error("the function {function} is not part of the program itself")]
    FunctionOutsideProgram {
        /// The type of the function.
        function: &'static str,
    },
    /// A callback, a progress hook or the `Deserialize` of a result waits for what only the thread that it runs on can make
    /// known.
    #[error(
        "a callback cannot wait for a call with callbacks or a progress hook, nor join its pool"
    )]
    InCallback,
}

impl PoolError {
    /// The remote error, if it is that a task or an initializer returned one or panicked.
    pub fn as_exception(&self) -> Option<&RemoteException> {
        match self {
            PoolError::Exception(remote) | PoolError::Initializer(remote) => Some(remote),
            _ => None,
        }
    }
}

mp_remote_exception::carrier!(|error| error.downcast_ref::<PoolError>()?.as_exception());

impl From<QueueError> for PoolError {
    fn from(error: QueueError) -> PoolError {
        PoolError::Queue(error)
    }
}

pub(crate) const PROCESSES: &str = "the number of processes";
pub(crate) const TASKS_PER_WORKER: &str = "the number of tasks of a worker";
pub(crate) const PROCESSORS: &str = "the number of processors";
pub(crate) const CHUNKSIZE: &str = "the size of a chunk";
pub(crate) const LOOK_AHEAD: &str = "the look-ahead";

/// All that [`PoolError::Invalid`] is about.
pub(crate) const AT_LEAST_ONE: [&str; 5] =
    [PROCESSES, TASKS_PER_WORKER, PROCESSORS, CHUNKSIZE, LOOK_AHEAD];

/// The death of a worker in words.
struct Died {
    pid: u32,
    exitcode: Option<i32>,
    started: bool,
}

impl std::fmt::Display for Died {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the worker (pid {}) ", self.pid)?;
        match self.exitcode {
            Some(code) if code < 0 => write!(f, "was ended by {}", signal_name(-code))?,
            Some(code) => write!(f, "exited with code {code}")?,
            None => f.write_str("ended")?,
        }
        f.write_str(if self.started {
            " while it ran the task"
        } else {
            " before it started the task"
        })
    }
}
