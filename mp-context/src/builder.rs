//! [`ProcessBuilder`]: what a process is to be, and its start.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Debug};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use log::LevelFilter;
use mp_reduction::Message;
use mp_remote_exception::RemoteException;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::current::{AuthKey, ChildInfo, Identity};
use crate::error::{ProcessError, StartError, TransferError, Value};
use crate::handshake::{self, Arguments, Bootstrap, BootstrapError};
use crate::init::is_initialised;
use crate::process::Process;
use crate::supervisor::{Child, Link, Supervisor, above_stdio, ended_pidfd, open_pidfd};
use crate::sys::image::{self, Entry};
use crate::sys::{self, zero_sized};
use crate::target::Target;
use crate::{child, executable, look};

/// What a child has to come to `mp::init` in, unless the builder says otherwise.
const START_LIMIT: Duration = Duration::from_secs(30);

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
    may_have_children: Option<bool>,
    process_group: bool,
    authkey: Option<AuthKey>,
    env: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
    cpus: Option<Vec<usize>>,
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
            may_have_children: None,
            process_group: false,
            authkey: None,
            env: Vec::new(),
            current_dir: None,
            cpus: None,
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

    /// Whether it may start processes though it is daemonic: somebody looks after it.
    #[doc(hidden)]
    pub fn may_have_children(mut self, may: bool) -> Self {
        self.may_have_children = Some(may);
        self
    }

    /// Whether it leads a process group of its own. Then its end, whichever way it comes, is that of all programs that it
    /// has started and that have not left the group: they are killed. Ctrl-C in a terminal does not reach it.
    /// Default: it is in the group of this process.
    pub fn process_group(mut self, own: bool) -> Self {
        self.process_group = own;
        self
    }

    /// Its key, [`CurrentProcess::authkey`](crate::CurrentProcess::authkey) there, which the processes that it starts inherit.
    /// Default: the key of this process. A key that is empty, or too long for a message to a process that does not run yet, is
    /// an error of [`start`](ProcessBuilder::start).
    ///
    /// It goes to the process over the socket that has the call in it, and is in no debug text. A server of a manager that is
    /// started there asks for it, if it is given no other key; handles, queues and proxies that pass between the two processes
    /// ask for none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mp_context as mp;
    /// mp::enable_test_support!();
    ///
    /// let key = || Ok(mp::current_process().authkey().as_bytes().to_vec());
    /// let p = mp::Process::builder(key, ()).authkey(b"secret").start()?;
    /// assert_eq!(p.into_result()?, b"secret");
    /// # Ok::<(), mp::Error>(())
    /// ```
    pub fn authkey(mut self, authkey: impl AsRef<[u8]>) -> Self {
        self.authkey = Some(AuthKey::new(authkey.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable in it. A name that is empty or has an `=` or a NUL in it is an
    /// error of [`start`](ProcessBuilder::start).
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
        self.cpus = Some(cpus.into_iter().collect());
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
        let entry: Entry = child::entry::<F, Args>;
        let me = Identity::get();
        if !is_initialised() {
            return Err(ProcessError::NotInitialised);
        }
        if !me.may_have_children {
            let (name, daemon) = (self.name, Arc::clone(&me.name));
            return Err(StartError::Daemon { name, daemon }.into());
        }
        let outside = || StartError::TargetOutsideProgram {
            name: Arc::clone(&self.name),
            target: std::any::type_name::<F>(),
        };
        let executable = executable::setting();
        let daemon = self.daemon.unwrap_or(me.daemon);
        let authkey = self.authkey.as_ref().unwrap_or(&me.authkey);
        let mut bootstrap = Bootstrap {
            build: mp_reduction::image().build_id().clone(),
            entry: image::offset_of_entry(entry).ok_or_else(outside)?,
            on_failure: match self.on_failure {
                Some(hook) => Some(image::offset_of_hook(hook).ok_or_else(outside)?),
                None => None,
            },
            name: self.name.as_ref().to_owned(),
            identity: self.identity,
            daemon,
            may_have_children: self.may_have_children.unwrap_or(!daemon),
            parent_name: me.name.as_ref().to_owned(),
            parent_pid: std::process::id(),
            log_level: self
                .forward_logs
                .then(|| self.log_level.unwrap_or_else(log::max_level) as u8),
            authkey: authkey.as_bytes().to_vec(),
            cpus: self.cpus,
            executable: executable.clone(),
            session: mp_shared_memory::session::to_inherit(),
            arguments: Arguments::Inline(Vec::new()),
        };
        let no_variable = self.env.iter().find(|(key, _)| !is_variable(key));
        let refused = match no_variable {
            Some((key, _)) => Some(format!("{key:?} cannot be an environment variable")),
            None if authkey.as_bytes().is_empty() => Some("its key is empty".to_owned()),
            None => None,
        };
        if let Some(source) = refused {
            let (name, program) = (self.name, executable::program(executable));
            let source = Arc::new(io::Error::new(io::ErrorKind::InvalidInput, source));
            return Err(StartError::Spawn { name, program, dir: None, source }.into());
        }
        let arguments = mp_reduction::encode(&self.args)
            .map_err(|error| ProcessError::Encode(TransferError::arguments(&self.name, &error)))?;
        drop(self.args);

        let resources = |what| {
            let name = Arc::clone(&self.name);
            move |source: io::Error| StartError::Resources { name, what, source: Arc::new(source) }
        };
        let supervisor = Supervisor::start().map_err(resources("supervisor thread"))?;
        let (ours, theirs) = control_socket().map_err(resources("control socket"))?;
        let (lifeline, lifeline_writer) = lifeline().map_err(resources("pipe for its lifeline"))?;
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

        let program = executable::program(executable);
        let mut command = Command::new(&program);
        let mut words = std::env::args_os();
        command.arg0(words.next().unwrap_or_default()).args(words);
        command.stdin(theirs).envs(self.env);
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        if self.process_group {
            command.process_group(0);
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
            dir: self.current_dir,
            source: Arc::new(source),
        })?;
        drop(command); // and with it the child's end of the socket

        let info =
            ChildInfo { name: Arc::clone(&self.name), pid: spawned.id(), daemon: bootstrap.daemon };
        let shown = look::show(&info);
        let link = Link::new(ours, lifeline_writer, self.start_timeout, self.process_group, shown);
        let adopted = open_pidfd(spawned.id()).and_then(|pidfd| match pidfd {
            Some(pidfd) => {
                let child = Arc::new(Child::new(info, pidfd, link));
                supervisor.adopt(&child)?;
                Ok(child)
            }
            None => {
                // It ran, ended, and was reaped by other code (or by an ignored SIGCHLD).
                let child = Arc::new(Child::new(info, ended_pidfd()?, link));
                child.reap_unadopted();
                Ok(child)
            }
        });
        match adopted {
            Ok(child) => {
                let pipes = (spawned.stdout.take(), spawned.stderr.take());
                Ok(Process::new(child, Message::decode::<T>, pipes))
            }
            Err(error) => {
                // Nobody else knows of the child yet: it is ended and reaped here.
                let _ended = spawned.kill().and_then(|()| spawned.wait());
                Err(resources("descriptor for the process")(error).into())
            }
        }
    }
}

/// Whether the system can carry an environment variable of this name.
fn is_variable(key: &OsStr) -> bool {
    !key.is_empty() && !key.as_bytes().iter().any(|byte| matches!(byte, b'=' | 0))
}

/// Our end, which never blocks, and the child's.
fn control_socket() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let (ours, theirs) = (above_stdio(ours.into())?, above_stdio(theirs.into())?);
    sys::socket::mark_as_control(&theirs)?;
    let ours = UnixStream::from(ours);
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

/// The child's end and ours of the pipe that ties its life to ours.
fn lifeline() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), above_stdio(writer.into())?))
}
