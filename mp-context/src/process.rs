//! [`Process`]: the handle of a function that runs in another process.

use std::fmt::{self, Debug};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mp_reduction::{DecodeError, Message};
use mp_remote_exception::RemoteException;
use mp_sync::parts::after;
use parking_lot::Mutex;
use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::ProcessBuilder;
use crate::current::ChildInfo;
use crate::error::{ProcessError, TransferError, Value};
use crate::supervisor::{self, Child};
use crate::sys::{signal, zero_sized};
use crate::target::Target;

/// A function that runs in a process of its own, and the handle to its result.
///
/// The child is a fresh run of this program that goes from [`init`](crate::init) straight to the
/// function: it inherits no memory, no locks and no descriptors that were not passed as arguments.
///
/// All methods can be called from any number of threads. Dropping the handle detaches the
/// process: it runs on, is reaped at its end, and is waited for at the end of `main`.
///
/// # When a process dies
///
/// A child that is killed, aborts or exits without a result has ended with an error that names it
/// and the signal or code; nothing hangs. A child whose parent is gone is killed by the kernel.
///
/// # Differences from Python
///
/// There is no unstarted object: a [`builder`](Process::builder) starts what it describes. `join`
/// gives the error of the child, as that of `concurrent.futures` does, also after
/// [`terminate`](Process::terminate).
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// fn divide(a: i32, b: i32) -> mp::Result<i32> {
///     mp::ensure!(b != 0, "cannot divide {a} by zero");
///     Ok(a / b)
/// }
///
/// let good = mp::Process::start(divide, (6, 3))?;
/// let bad = mp::Process::start(divide, (6, 0))?;
/// assert_eq!(*good.result()?, 2);
///
/// let error = bad.exception()?.expect("it fails");
/// assert_eq!(error.message(), "cannot divide 6 by zero");
/// assert!(error.traceback().contains("cannot divide 6 by zero"));
/// # Ok::<(), mp::Error>(())
/// ```
pub struct Process<T> {
    child: Arc<Child>,
    decode: fn(&Message) -> Result<T, DecodeError>,
    value: OnceLock<Result<T, ProcessError>>,
    stdout: Mutex<Option<ChildStdout>>,
    stderr: Mutex<Option<ChildStderr>>,
}

impl<T> Process<T> {
    /// Runs `target` with `args` in a new process.
    ///
    /// Returns as soon as the process exists; never waits for it to take its arguments. They are
    /// dropped here before this returns.
    ///
    /// # Errors
    ///
    /// [`ProcessError::NotInitialised`] without `mp::init`, [`ProcessError::Encode`] for arguments
    /// that cannot cross, [`ProcessError::Start`] when the system has no room or no program. Then
    /// no process exists and nothing is leaked. What happens before the target is called
    /// is told by [`join`](Process::join) and [`result`](Process::result).
    pub fn start<F, Args>(target: F, args: Args) -> Result<Process<T>, ProcessError>
    where
        F: Target<Args, Output = T>,
        Args: Serialize + DeserializeOwned,
        T: Serialize + DeserializeOwned,
    {
        // As `ProcessBuilder::new` does; here it lets the compiler show the line of the call.
        const { zero_sized::assert_captures_nothing::<F>() };
        Process::builder(target, args).start()
    }

    /// Describes a process before it is started.
    pub fn builder<F, Args>(target: F, args: Args) -> ProcessBuilder<F, Args>
    where
        F: Target<Args, Output = T>,
        Args: Serialize + DeserializeOwned,
        T: Serialize + DeserializeOwned,
    {
        const { zero_sized::assert_captures_nothing::<F>() };
        ProcessBuilder::new(target, args)
    }

    /// The handle of a process that was just started.
    pub(crate) fn new(
        child: Arc<Child>,
        decode: fn(&Message) -> Result<T, DecodeError>,
        (stdout, stderr): (Option<ChildStdout>, Option<ChildStderr>),
    ) -> Process<T> {
        let (stdout, stderr) = (Mutex::new(stdout), Mutex::new(stderr));
        Process { child, decode, value: OnceLock::new(), stdout, stderr }
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.child.name()
    }

    /// Its pid, also after its end, when the system may have given it to another process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it is daemonic: terminated at the end of `main` rather than waited for.
    pub fn is_daemon(&self) -> bool {
        self.child.is_daemon()
    }

    /// Whether it has not ended; a stopped process is alive.
    pub fn is_alive(&self) -> bool {
        !self.done()
    }

    /// Whether it has ended, in whatever way.
    pub fn done(&self) -> bool {
        self.child.completion().end().is_some()
    }

    /// Its exit code, or minus the number of the signal that ended it; `None` while it runs, and if
    /// other code of this program collected its exit status.
    pub fn exitcode(&self) -> Option<i32> {
        self.child.status()?.exitcode()
    }

    /// A descriptor that is readable from the end of the process on, for `poll` and the like. Do not
    /// read from it.
    ///
    /// It reacts to the process itself, also if programs that it started live on. Its result may
    /// take a moment longer to be handled here; [`join`](Process::join) waits for that.
    pub fn sentinel(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Sleeps until the process has ended and its log records are handled, some of them perhaps by
    /// the calling thread: do not hold a lock here that the logger takes.
    ///
    /// # Errors
    ///
    /// What the target raised, or how the process died; the same on every call.
    pub fn join(&self) -> Result<(), ProcessError> {
        self.wait(None)?;
        self.failure()
    }

    /// Sleeps until the process has ended or the time is over; `Ok(false)` if it still runs.
    ///
    /// # Errors
    ///
    /// As [`join`](Process::join), once it has ended.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, ProcessError> {
        match self.wait(Some(timeout)) {
            Ok(()) => self.failure().map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Sleeps until the process has ended and gives what its target returned.
    ///
    /// # Errors
    ///
    /// What the target raised, how the process died, or why the result did not cross; the same on
    /// every call.
    pub fn result(&self) -> Result<&T, ProcessError> {
        self.wait(None)?;
        self.outcome().as_ref().map_err(Clone::clone)
    }

    /// [`result`](Process::result), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Timeout`] if it still runs, which it goes on to do; else as `result`.
    pub fn result_timeout(&self, timeout: Duration) -> Result<&T, ProcessError> {
        self.wait(Some(timeout))?;
        self.result()
    }

    /// [`result`](Process::result) by value.
    ///
    /// # Errors
    ///
    /// As `result`.
    pub fn into_result(self) -> Result<T, ProcessError> {
        self.wait(None)?;
        match self.value.into_inner() {
            Some(value) => value,
            None => decode_result(&self.child, self.decode),
        }
    }

    /// Sleeps until the process has ended and gives what its target raised; `None` if it succeeded.
    ///
    /// # Errors
    ///
    /// How the process died, if it raised nothing and gave no result.
    pub fn exception(&self) -> Result<Option<RemoteException>, ProcessError> {
        match self.join() {
            Ok(()) => Ok(None),
            Err(ProcessError::Exception(remote)) => Ok(Some(remote)),
            Err(error) => Err(error),
        }
    }

    /// [`exception`](Process::exception), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Timeout`] if it still runs; else as `exception`.
    pub fn exception_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<RemoteException>, ProcessError> {
        self.wait(Some(timeout))?;
        self.exception()
    }

    /// Sends SIGINT; does nothing to a process that has ended.
    pub fn interrupt(&self) {
        self.child.signal(Signal::INT);
    }

    /// Sends SIGTERM; does nothing to a process that has ended. No clean-up runs in a child that does
    /// not handle the signal.
    pub fn terminate(&self) {
        self.child.signal(Signal::TERM);
    }

    /// Sends SIGKILL; does nothing to a process that has ended.
    pub fn kill(&self) {
        self.child.signal(Signal::KILL);
    }

    /// The reading end of its standard output, once, if it was started with
    /// [`Stdio::piped`](ProcessBuilder::stdout).
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.stdout.lock().take()
    }

    /// The reading end of its standard error, once, if it was started with
    /// [`Stdio::piped`](ProcessBuilder::stderr).
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.stderr.lock().take()
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<(), ProcessError> {
        if self.child.wait(timeout.and_then(after)) {
            return Ok(());
        }
        Err(match timeout {
            Some(_) => ProcessError::Timeout,
            None => ProcessError::InLogger { process: self.child.id() },
        })
    }

    fn failure(&self) -> Result<(), ProcessError> {
        self.child.failure().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The result of a process that has ended, decoded by whoever asks first.
    fn outcome(&self) -> &Result<T, ProcessError> {
        self.value.get_or_init(|| decode_result(&self.child, self.decode))
    }
}

/// The result of a process that has ended.
fn decode_result<T>(
    child: &Child,
    decode: fn(&Message) -> Result<T, DecodeError>,
) -> Result<T, ProcessError> {
    if let Some(error) = child.failure() {
        return Err(error.clone());
    }
    let undecodable = |reason| {
        let process = Arc::clone(child.name());
        ProcessError::Decode(TransferError { process, value: Value::Result, reason })
    };
    let Some(message) = child.take_result() else {
        return Err(undecodable("it was decoded before, and that panicked".to_owned()));
    };
    // A `Deserialize` that panics has said so by its panic.
    match catch_unwind(AssertUnwindSafe(|| decode(&message))) {
        Ok(decoded) => decoded.map_err(|error| undecodable(error.to_string())),
        Err(_payload) => Err(undecodable("its Deserialize panicked".to_owned())),
    }
}

/// Shows name, pid, parent and state, and the exit code or signal of an ended process.
impl<T> Debug for Process<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = std::process::id();
        write!(f, "<Process name='{}' pid={} parent={parent}", self.name(), self.pid())?;
        match (self.done(), self.exitcode()) {
            (false, _) => f.write_str(" started")?,
            (true, None) => f.write_str(" stopped exitcode=unknown")?,
            (true, Some(code)) if code < 0 => {
                write!(f, " stopped exitcode=-{}", signal::name(-code))?;
            }
            (true, Some(code)) => write!(f, " stopped exitcode={code}")?,
        }
        f.write_str(if self.is_daemon() { " daemon>" } else { ">" })
    }
}

/// The children of this process that have not ended, by age: exactly those whose handle is not
/// [`done`](Process::done).
#[doc(alias = "multiprocessing.active_children")]
pub fn active_children() -> Vec<ChildInfo> {
    let mut children = supervisor::children();
    children.sort_by_key(|child| child.key());
    children.iter().map(|child| child.info()).collect()
}
