//! [`ProcessRunnerBuilder`]: what the process of a runner is to be, and its start.

use std::ffi::OsStr;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use mp_context::{ProcessBuilder, RemoteException, Result, Target, Worker};
use mp_queues::QueueError;

use super::ProcessRunner;
use super::error::RunnerError;
use super::inbox::Inbox;
use super::line::Line;
use super::runnee::ProcessRunnee;
use super::worker::work;

/// [`work`] for one kind of object, as a target that has a name.
struct Work<R>(PhantomData<fn() -> R>);

impl<R> Clone for Work<R> {
    fn clone(&self) -> Work<R> {
        *self
    }
}

impl<R> Copy for Work<R> {}

impl<R: ProcessRunnee> Target<(R::Init, Line)> for Work<R> {
    type Output = ();

    fn call(self, (init, line): (R::Init, Line)) -> Result<()> {
        work::<R>(init, line)
    }
}

type OfProcess<R> = ProcessBuilder<Work<R>, (<R as ProcessRunnee>::Init, Line)>;

/// A runner before its start; see [`ProcessRunner::builder`].
#[must_use = "a builder does nothing until `start`"]
pub struct ProcessRunnerBuilder<R: ProcessRunnee>(std::result::Result<Parts<R>, QueueError>);

struct Parts<R: ProcessRunnee> {
    line: Line,
    process: OfProcess<R>,
}

impl<R: ProcessRunnee> ProcessRunnerBuilder<R> {
    pub(super) fn new(init: R::Init) -> ProcessRunnerBuilder<R> {
        ProcessRunnerBuilder(Line::new().map(|line| {
            let process = ProcessBuilder::new(Work(PhantomData), (init, line.clone()));
            // Whoever drops the runner sees that it is waited for; one that is left behind cannot keep `main`
            // from ending.
            Parts { line, process: process.daemon(true).may_have_children(true) }
        }))
    }

    fn set(self, set: impl FnOnce(OfProcess<R>) -> OfProcess<R>) -> Self {
        ProcessRunnerBuilder(
            self.0.map(|Parts { line, process }| Parts { line, process: set(process) }),
        )
    }

    /// The name of the process; without one it is `Process-` and a counter.
    pub fn name(self, name: impl AsRef<str>) -> Self {
        self.set(|process| process.name(name))
    }

    /// Sets an environment variable in the process.
    pub fn env(self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.set(|process| process.env(key, value))
    }

    /// The working directory of the process; without one that of this process at the moment of `start`.
    pub fn current_dir(self, dir: impl AsRef<Path>) -> Self {
        self.set(|process| process.current_dir(dir))
    }

    /// Binds the process to processors, counted from 0.
    pub fn cpu_affinity(self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.set(|process| process.cpu_affinity(cpus))
    }

    /// The lowest level of the log records that the process makes; without one, the level of this process at
    /// the moment of `start`.
    pub fn log_level(self, level: LevelFilter) -> Self {
        self.set(|process| process.log_level(level))
    }

    /// The time that the process has to come to `mp::init`; it is killed if it does not. Default: 30 s.
    pub fn start_timeout(self, timeout: Duration) -> Self {
        self.set(|process| process.start_timeout(timeout))
    }

    /// What the process does, in place of printing the trace on its standard error, when the making or the
    /// end of the object fails. With `|_| ()` the process prints nothing then, nor when a call panics.
    pub fn on_failure<H>(self, hook: H) -> Self
    where
        H: Fn(&RemoteException) + Copy + 'static,
    {
        self.set(|process| process.on_failure(hook))
    }

    /// Starts it; see [`ProcessRunner::start`].
    ///
    /// # Errors
    ///
    /// As [`ProcessRunner::start`].
    pub fn start(self) -> std::result::Result<ProcessRunner<R::Args, R::Out>, RunnerError> {
        let Parts { line, process } = self.0?;
        let inbox = Arc::new(Inbox::new(line.results.clone()));
        let process = Arc::new(process.start()?);
        process.completion().on_end({
            let inbox = Arc::clone(&inbox);
            move |_| inbox.end()
        });
        Ok(ProcessRunner::over(process, line, inbox))
    }
}

impl<R: ProcessRunnee> Debug for ProcessRunnerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runnee = std::any::type_name::<R>();
        match &self.0 {
            Ok(Parts { process, .. }) => write!(f, "ProcessRunner of {runnee} in {process:?}"),
            Err(error) => write!(f, "ProcessRunner of {runnee}: {error}"),
        }
    }
}
