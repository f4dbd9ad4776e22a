//! [`Process`]: a function in another process, and [`ProcessBuilder`], how it is started.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Debug};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::LevelFilter;
use mp_reduction::{DecodeError, Message};
use mp_remote_exception::RemoteException;
use parking_lot::{Mutex, RwLock};
use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::child;
use crate::current::{ChildInfo, Identity};
use crate::deadline::after;
use crate::error::{ProcessError, StartError, TransferError, Value};
use crate::handshake::{self, Arguments, Bootstrap, BootstrapError};
use crate::init::is_initialised;
use crate::supervisor::{Child, Link, Supervisor, open_pidfd};
use crate::sys::image::image;
use crate::sys::{signal, zero_sized};
use crate::target::Target;

/// The program that runs children: this one, even if its file was replaced or deleted.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What a child has to come to `mp::init` in, unless the builder says otherwise.
const START_LIMIT: Duration = Duration::from_secs(30);

static EXECUTABLE: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Has children run through another program, which must in the end run this one: a wrapper that
/// sets limits or traces, say. Children pass the setting on to theirs.
///
/// # Examples
///
/// ```
/// mp_context::set_executable("/proc/self/exe"); // what is used without it
/// ```
#[doc(alias = "multiprocessing.set_executable")]
pub fn set_executable(program: impl AsRef<OsStr>) {
    *EXECUTABLE.write() = Some(PathBuf::from(program.as_ref()));
}

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

    /// Sleeps until the process has ended and its log records are handled.
    ///
    /// # Errors
    ///
    /// What the target raised, or how the process died; the same on every call.
    pub fn join(&self) -> Result<(), ProcessError> {
        self.child.wait(None);
        self.failure()
    }

    /// Sleeps until the process has ended or the time is over; `Ok(false)` if it still runs.
    ///
    /// # Errors
    ///
    /// As [`join`](Process::join), once it has ended.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, ProcessError> {
        match self.wait(timeout) {
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
        self.child.wait(None);
        self.outcome().as_ref().map_err(Clone::clone)
    }

    /// [`result`](Process::result), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Timeout`] if it still runs, which it goes on to do; else as `result`.
    pub fn result_timeout(&self, timeout: Duration) -> Result<&T, ProcessError> {
        self.wait(timeout)?;
        self.result()
    }

    /// [`result`](Process::result) by value.
    ///
    /// # Errors
    ///
    /// As `result`.
    pub fn into_result(self) -> Result<T, ProcessError> {
        self.child.wait(None);
        self.outcome();
        match self.value.into_inner() {
            Some(value) => value,
            None => Err(ProcessError::Timeout), // not reached: `outcome` has set it
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
        self.wait(timeout)?;
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

    fn wait(&self, timeout: Duration) -> Result<(), ProcessError> {
        if self.child.wait(after(timeout)) { Ok(()) } else { Err(ProcessError::Timeout) }
    }

    fn failure(&self) -> Result<(), ProcessError> {
        self.child.failure().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The result of a process that has ended, decoded by whoever asks first.
    fn outcome(&self) -> &Result<T, ProcessError> {
        self.value.get_or_init(|| {
            self.failure()?;
            // Set together with the end, taken here only.
            let message = self.child.take_result().ok_or(ProcessError::Timeout)?;
            (self.decode)(&message).map_err(|error| {
                ProcessError::Decode(TransferError {
                    process: Arc::clone(self.child.name()),
                    value: Value::Result,
                    reason: error.to_string(),
                })
            })
        })
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

/// A process before its start.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// use std::io::Read;
/// use std::process::Stdio;
/// mp::enable_test_support!();
///
/// fn greet() -> mp::Result<()> {
///     println!("{} says {}", mp::current_process().name(), std::env::var("WORD")?);
///     Ok(())
/// }
/// let p = mp::Process::builder(greet, ())
///     .name("greeter")
///     .env("WORD", "hello")
///     .stdout(Stdio::piped())
///     .start()?;
/// let mut said = String::new();
/// p.take_stdout().expect("it is piped").read_to_string(&mut said)?;
/// assert_eq!(said, "greeter says hello\n");
/// # Ok::<(), mp::Error>(())
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct ProcessBuilder<F, Args> {
    target: PhantomData<F>,
    args: Args,
    name: Arc<str>,
    identity: String,
    daemon: Option<bool>,
    env: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
    cpus: Vec<usize>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    log_level: Option<LevelFilter>,
    forward_logs: bool,
    start_timeout: Duration,
    on_failure: Option<fn(&RemoteException)>,
}

impl<F, Args> Debug for ProcessBuilder<F, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = std::process::id();
        write!(f, "<Process name='{}' parent={parent} initial>", self.name)
    }
}

impl<F, Args, T> ProcessBuilder<F, Args>
where
    F: Target<Args, Output = T>,
    Args: Serialize + DeserializeOwned,
    T: Serialize + DeserializeOwned,
{
    /// Describes a process that runs `target` with `args`.
    pub fn new(target: F, args: Args) -> ProcessBuilder<F, Args> {
        const { zero_sized::assert_captures_nothing::<F>() };
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let _known_by_its_type = target;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let identity = match Identity::get().identity.as_str() {
            "" => number.to_string(),
            own => format!("{own}:{number}"),
        };
        ProcessBuilder {
            target: PhantomData,
            args,
            name: format!("Process-{identity}").into(),
            identity,
            daemon: None,
            env: Vec::new(),
            current_dir: None,
            cpus: Vec::new(),
            stdout: None,
            stderr: None,
            log_level: None,
            forward_logs: true,
            start_timeout: START_LIMIT,
            on_failure: None,
        }
    }

    /// Its name; without one it is `Process-` and a counter.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    /// Whether the end of `main` terminates it rather than waiting for it. A daemonic process cannot
    /// start processes. Default: as this process.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = Some(daemon);
        self
    }

    /// Sets an environment variable in it.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Its working directory; without one that of this process at the moment of `start`.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.current_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Binds it to processors, counted from 0.
    pub fn cpu_affinity(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = cpus.into_iter().collect();
        self
    }

    /// Its standard output; without one that of this process.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Its standard error; without one that of this process.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// The lowest level of the log records that it makes; without one, the level of this process
    /// at the moment of `start`.
    pub fn log_level(mut self, level: LevelFilter) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Whether its log records come to this process (default). Say `false` for a target that sets up
    /// a logger of its own.
    pub fn forward_logs(mut self, forward: bool) -> Self {
        self.forward_logs = forward;
        self
    }

    /// The time that it has to come to `mp::init`; it is killed if it does not. Default: 30 s.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// What it does, in place of printing the trace on its standard error, when its target raises
    /// an error or panics; runs in the child, before this process hears of the failure. `|_| ()`
    /// makes failures silent. (In a program that aborts on panic it does not run for panics.)
    pub fn on_failure<H>(mut self, hook: H) -> Self
    where
        H: Fn(&RemoteException) + Copy + 'static,
    {
        const { zero_sized::assert_captures_nothing::<H>() };
        let _known_by_its_type = hook;
        self.on_failure = Some(|remote| zero_sized::value::<H>()(remote));
        self
    }

    /// Starts it; see [`Process::start`].
    ///
    /// # Errors
    ///
    /// As [`Process::start`].
    pub fn start(self) -> Result<Process<T>, ProcessError> {
        let entry: child::Entry = child::entry::<F, Args>;
        let me = Identity::get();
        if !is_initialised() {
            return Err(ProcessError::NotInitialised);
        }
        if me.daemon {
            let (name, daemon) = (self.name, Arc::clone(&me.name));
            return Err(StartError::Daemon { name, daemon }.into());
        }
        let outside = || StartError::TargetOutsideProgram {
            name: Arc::clone(&self.name),
            target: std::any::type_name::<F>(),
        };
        let executable = EXECUTABLE.read().clone();
        let mut bootstrap = Bootstrap {
            build: image().build_id().clone(),
            entry: image().offset_of_entry(entry).ok_or_else(outside)?,
            on_failure: match self.on_failure {
                Some(hook) => Some(image().offset_of_hook(hook).ok_or_else(outside)?),
                None => None,
            },
            name: self.name.as_ref().to_owned(),
            identity: self.identity,
            daemon: self.daemon.unwrap_or(me.daemon),
            parent_name: me.name.as_ref().to_owned(),
            parent_pid: std::process::id(),
            log_level: self
                .forward_logs
                .then(|| self.log_level.unwrap_or_else(log::max_level) as u8),
            authkey: me.authkey.as_bytes().to_vec(),
            cpus: self.cpus,
            executable: executable.clone(),
            arguments: Arguments::Inline(Vec::new()),
        };
        let arguments = mp_reduction::encode(&self.args)
            .map_err(|error| ProcessError::Encode(TransferError::arguments(&self.name, &error)))?;
        drop(self.args);

        let resources = |what| {
            let name = Arc::clone(&self.name);
            move |source: io::Error| StartError::Resources { name, what, source: Arc::new(source) }
        };
        let supervisor = Supervisor::start().map_err(resources("supervisor thread"))?;
        let (ours, theirs) = UnixStream::pair().map_err(resources("control socket"))?;
        ours.set_nonblocking(true).map_err(resources("control socket"))?;
        let (lifeline, lifeline_writer) = io::pipe().map_err(resources("pipe for its lifeline"))?;
        handshake::send_bootstrap(&ours, &mut bootstrap, lifeline.as_fd(), &arguments).map_err(
            |error| match error {
                BootstrapError::Memory(error) => {
                    resources("memory for the arguments")(error).into()
                }
                BootstrapError::Send(error) => {
                    resources("room in the control socket")(error).into()
                }
                BootstrapError::TooMany(reason) => ProcessError::Encode(TransferError {
                    process: Arc::clone(&self.name),
                    value: Value::Arguments,
                    reason,
                }),
            },
        )?;
        drop((lifeline, arguments));

        let program = executable.unwrap_or_else(|| PathBuf::from(OWN_PROGRAM));
        let mut command = Command::new(&program);
        let mut words = std::env::args_os();
        command.arg0(words.next().unwrap_or_default()).args(words);
        command.stdin(OwnedFd::from(theirs)).envs(self.env);
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        if let Some(stdout) = self.stdout {
            command.stdout(stdout);
        }
        if let Some(stderr) = self.stderr {
            command.stderr(stderr);
        }
        let name = Arc::clone(&self.name);
        let mut spawned = command.spawn().map_err(|source| StartError::Spawn {
            name,
            program,
            source: Arc::new(source),
        })?;
        drop(command); // and with it the child's end of the socket

        let info =
            ChildInfo { name: Arc::clone(&self.name), pid: spawned.id(), daemon: bootstrap.daemon };
        let link = Link::new(ours, lifeline_writer.into(), self.start_timeout);
        let adopted = open_pidfd(spawned.id()).and_then(|pidfd| {
            let child = Arc::new(Child::new(info, pidfd, link));
            supervisor.adopt(&child)?;
            Ok(child)
        });
        match adopted {
            Ok(child) => Ok(Process {
                child,
                decode: Message::decode::<T>,
                value: OnceLock::new(),
                stdout: Mutex::new(spawned.stdout.take()),
                stderr: Mutex::new(spawned.stderr.take()),
            }),
            Err(error) => {
                // Nobody else knows of the child yet: it is ended and reaped here.
                let _ended = spawned.kill().and_then(|()| spawned.wait());
                Err(resources("descriptor for the process")(error).into())
            }
        }
    }
}

/// Applies the executable that the parent's parent had set.
pub(crate) fn inherit_executable(program: Option<PathBuf>) {
    *EXECUTABLE.write() = program;
}
