//! Every public error of the crate.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mp_reduction::EncodeError;
use mp_remote_exception::RemoteException;

use crate::sys::signal;

/// A process in an error message: its name, and its pid once it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessId {
    name: Arc<str>,
    pid: u32,
}

impl ProcessId {
    pub(crate) fn new(name: Arc<str>, pid: u32) -> ProcessId {
        ProcessId { name, pid }
    }

    /// The name of the process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl std::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process '{}' (pid {})", self.name, self.pid)
    }
}

/// Why a process gave no result, or none yet.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program has not called `mp::init` before it started a process.
    #[error(
        "processes cannot be started before the library is initialised: make `mp::init();` the first line of `main`, or put `#[mp::main]` on it (in tests: `mp::enable_test_support!();`)"
    )]
    NotInitialised,
    /// The process could not be started, or never came as far as its target.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was still running at the end of the time; it goes on.
    #[error("the process was still running when the time was over")]
    Timeout,
    /// The target returned an error or panicked.
    ///
    /// What caused that error there is the [`source`](std::error::Error::source) of the remote one.
    #[error("process '{}' (pid {}) {}", .0.process_name(), .0.pid(), Raised(.0))]
    Exception(RemoteException),
    /// It exited without a result, by `std::process::exit` for example.
    #[error("{process} exited with code {code} without a result")]
    Exited {
        /// The process.
        process: ProcessId,
        /// Its exit code.
        code: i32,
    },
    /// It was ended by a signal.
    #[error("{process} was ended by {}{}", signal::name(*.signal), if *.core_dumped { " (core dumped)" } else { "" })]
    Signaled {
        /// The process.
        process: ProcessId,
        /// The number of the signal.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// It ended, but something else in this program took its exit status.
    #[error("{process} ended, but its exit status was collected by other code of this program")]
    StatusUnknown {
        /// The process.
        process: ProcessId,
    },
    /// It cannot be waited for without limit here: in a logger that handles a record of a child. The
    /// thread that the logger runs on may be the one that would tell of the end.
    #[error("{process} cannot be waited for in a logger that handles records of processes")]
    InLogger {
        /// The process.
        process: ProcessId,
    },
    /// Arguments or result could not be decoded on the other side.
    #[error("{0}")]
    Decode(TransferError),
    /// Arguments or result could not be encoded.
    #[error("{0}")]
    Encode(TransferError),
    /// What the process sent is no message; its memory or its control socket was overwritten.
    #[error("{process} sent a broken message: {reason}")]
    Protocol {
        /// The process.
        process: ProcessId,
        /// What was wrong with it.
        reason: String,
    },
}

impl ProcessError {
    /// The remote error, if the target returned one or panicked.
    pub fn as_exception(&self) -> Option<&RemoteException> {
        match self {
            ProcessError::Exception(remote) => Some(remote),
            _ => None,
        }
    }
}

mp_remote_exception::carrier!(|error| error.downcast_ref::<ProcessError>()?.as_exception());
mp_remote_exception::carrier!(|error| match error.downcast_ref::<ThreadError>()? {
    ThreadError::Exception(raised) => Some(raised),
    _ => None,
});

/// What a target raised, as the rest of a sentence.
struct Raised<'a>(&'a RemoteException);

impl std::fmt::Display for Raised<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_panic() {
            write!(f, "panicked: {}", self.0.message())
        } else {
            write!(f, "raised {}: {}", self.0.type_name(), self.0.message())
        }
    }
}

/// Which value did not cross, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot pass the {value} of process '{process}': {reason}")]
pub struct TransferError {
    pub(crate) process: Arc<str>,
    pub(crate) value: Value,
    pub(crate) reason: String,
}

/// What crosses when a process is started and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Arguments,
    Result,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Value::Arguments => "arguments",
            Value::Result => "result",
        })
    }
}

impl TransferError {
    pub(crate) fn arguments(process: &Arc<str>, error: &EncodeError) -> TransferError {
        TransferError {
            process: Arc::clone(process),
            value: Value::Arguments,
            reason: error.to_string(),
        }
    }

    /// The name of the process.
    pub fn process_name(&self) -> &str {
        &self.process
    }
}

/// Why a process did not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system did not run the program.
    #[error("cannot start process '{name}' as {}{}: {source}", program.display(), place(dir.as_ref()))]
    Spawn {
        /// The name of the process.
        name: Arc<str>,
        /// The program that was to be run.
        program: PathBuf,
        /// The directory in which it was to be run, if that is another than this process's.
        dir: Option<PathBuf>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The system has no descriptors, memory or threads left.
    #[error("cannot start process '{name}': no {what}: {source}")]
    Resources {
        /// The name of the process.
        name: Arc<str>,
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A daemonic process was to start a process, which its own end would orphan.
    #[error(
        "the daemonic process '{daemon}' cannot start process '{name}': daemonic processes have no children"
    )]
    Daemon {
        /// The process that was to be started.
        name: Arc<str>,
        /// The process that asked for it.
        daemon: Arc<str>,
    },
    /// The target is code of a shared library, which another process may load elsewhere.
    #[error("cannot start process '{name}': its target {target} is not part of the program itself")]
    TargetOutsideProgram {
        /// The name of the process.
        name: Arc<str>,
        /// The type of the target.
        target: &'static str,
    },
    /// It ended before it took its call: `main` does not come to `mp::init`, or not as this program.
    #[error(
        "{process} ended with code {code} before it called `mp::init`; is that the first line of `main`?"
    )]
    ExitedEarly {
        /// The process.
        process: ProcessId,
        /// Its exit code.
        code: i32,
    },
    /// It did not take its call in time and was killed.
    #[error("{process} did not come to `mp::init` within {limit:?} and was killed")]
    Stalled {
        /// The process.
        process: ProcessId,
        /// The time it had.
        limit: Duration,
    },
    /// It refused the call.
    #[error("{process} refused to run its target: {reason}")]
    Refused {
        /// The process.
        process: ProcessId,
        /// Why.
        reason: String,
    },
}

fn place(dir: Option<&PathBuf>) -> String {
    dir.map(|dir| format!(" in {}", dir.display())).unwrap_or_default()
}

/// Why a thread gave no result, or none yet.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadError {
    /// The system did not start it.
    #[error("cannot start thread '{name}': {source}")]
    Start {
        /// The name of the thread.
        name: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// It was still running at the end of the time; it goes on.
    #[error("the thread was still running when the time was over")]
    Timeout,
    /// The function returned an error or panicked.
    #[error("thread '{}' {}", .0.origin().thread_name().unwrap_or_default(), Raised(.0))]
    Exception(RemoteException),
    /// It ended the process, by `std::process::exit` for example; the rest of the process ends now.
    #[error("thread '{name}' is ending the process")]
    Exited {
        /// The name of the thread.
        name: Arc<str>,
    },
    /// A thread waits for its own end.
    #[error("thread '{name}' cannot wait for itself")]
    WaitsForItself {
        /// The name of the thread.
        name: Arc<str>,
    },
}

/// The time given to [`as_completed`](crate::as_completed) is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{unfinished} (of {total}) workers unfinished")]
pub struct Timeout {
    /// How many have not ended.
    pub unfinished: usize,
    /// How many there were.
    pub total: usize,
}

/// Not a way to start processes, or not a mode of [`wait`](crate::wait).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} '{value}', expected one of: {expected}")]
pub struct UnknownName {
    pub(crate) what: &'static str,
    pub(crate) value: String,
    pub(crate) expected: &'static str,
}
