//! [`Thread`]: the same handle for a function in a thread of this process.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use mp_remote_exception::{Origin, RemoteException, Result};
use mp_sync::parts::after;
use parking_lot::Mutex;

use crate::error::ThreadError;
use crate::panic;
use crate::state::completion::{Completion, End};

/// Threads that the end of the process waits for.
static ORDINARY: Mutex<Vec<Arc<Core>>> = Mutex::new(Vec::new());

/// How to end the handle of each running thread, for one that ends the process.
///
/// Not in the thread's own storage: that is gone when the handlers of the end of the process run.
static RUNNING: Mutex<BTreeMap<u64, (ThreadId, EndHandle)>> = Mutex::new(BTreeMap::new());

type EndHandle = Box<dyn FnOnce() + Send>;

/// Has those who wait for the calling thread go on: it ends the process and will not return.
pub(crate) fn end_current() {
    let me = std::thread::current().id();
    let mut running = RUNNING.lock();
    let key = running.iter().find(|(_, (id, _))| *id == me).map(|(key, _)| *key);
    let end = key.and_then(|key| running.remove(&key));
    drop(running);
    if let Some((_, end)) = end {
        end();
    }
}

/// What does not depend on the type of the result.
#[derive(Debug)]
struct Core {
    name: Arc<str>,
    id: OnceLock<ThreadId>,
    completion: Completion,
}

/// A function that runs in a thread of this process, with the handle of a [`Process`](crate::Process).
///
/// Unlike that of [`std::thread`], its end can be waited for together with that of others, by
/// [`wait`](crate::wait) and [`as_completed`](crate::as_completed), its result can be asked for
/// repeatedly, and the end of `main` waits for it unless it is a daemon.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// let base = 40;
/// let t = mp::Thread::start(move || -> mp::Result<u32> { Ok(base + 2) });
/// assert_eq!(*t.result()?, 42);
/// # Ok::<(), mp::Error>(())
/// ```
pub struct Thread<T> {
    core: Arc<Core>,
    slot: Arc<Slot<T>>,
    outcome: OnceLock<Result<T, ThreadError>>,
}

type Slot<T> = Mutex<Option<Result<T, ThreadError>>>;

impl<T: Send + 'static> Thread<T> {
    /// Runs `target` in a new thread.
    ///
    /// If the system cannot start one, the handle has ended with [`ThreadError::Start`].
    pub fn start<F>(target: F) -> Thread<T>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        Thread::<T>::builder(target).start()
    }

    /// Describes a thread before it is started.
    pub fn builder<F>(target: F) -> ThreadBuilder<F>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("Thread-{number}").into();
        ThreadBuilder { target, name, daemon: false, on_failure: None }
    }
}

/// A thread before its start.
#[must_use = "a builder does nothing until `start`"]
pub struct ThreadBuilder<F> {
    target: F,
    name: Arc<str>,
    daemon: bool,
    on_failure: Option<FailureHook>,
}

type FailureHook = Box<dyn FnOnce(&RemoteException) + Send>;

impl<F> Debug for ThreadBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Thread name='{}' initial>", self.name)
    }
}

impl<F> ThreadBuilder<F> {
    /// Its name; without one it is `Thread-` and a counter.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    /// Whether the end of the process does not wait for it. Default: it does.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = daemon;
        self
    }

    /// What it does when its function returns an error or panics: runs in the thread, once, before anybody hears of the
    /// failure. Whoever joins the thread waits for the hook as well, and gets the failure, whatever the hook does; a
    /// second hook takes the place of the first.
    ///
    /// It does not run when the function succeeds, when that ends the process, when the system refuses the thread, and,
    /// in a program that aborts on panic, for panics. When the hook itself panics, the panic hook of the program tells of
    /// that, and the failure stays what it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mp_context as mp;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let t = mp::Thread::builder(|| -> mp::Result<u8> { Ok("x".parse()?) })
    ///     .name("loader")
    ///     .on_failure(move |error| tell.send(error.message().to_owned()).expect("it is waited for"))
    ///     .start();
    /// assert_eq!(told.recv()?, "invalid digit found in string");
    /// assert!(t.join().is_err());
    /// # Ok::<(), mp::Error>(())
    /// ```
    ///
    /// # Differences from Python
    ///
    /// Without a hook nothing is printed for an error, where `mpservice` prints a line, and for a daemon the trace as well.
    /// A panic is told by the panic hook of the program in any case, as in every thread.
    #[doc(alias = "handle_exception")]
    pub fn on_failure(mut self, hook: impl FnOnce(&RemoteException) + Send + 'static) -> Self {
        self.on_failure = Some(Box::new(hook));
        self
    }

    /// Starts it; see [`Thread::start`].
    pub fn start<T>(self) -> Thread<T>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let ThreadBuilder { target, name, daemon, on_failure } = self;
        let core = Arc::new(Core { name, id: OnceLock::new(), completion: Completion::new() });
        let slot: Arc<Slot<T>> = Arc::default();
        if !daemon {
            ORDINARY.lock().push(Arc::clone(&core));
        }
        let run = {
            let (core, slot) = (Arc::clone(&core), Arc::clone(&slot));
            move || {
                let _first = core.id.set(std::thread::current().id());
                let exits = {
                    let (core, slot) = (Arc::clone(&core), Arc::clone(&slot));
                    move || {
                        core.end(&slot, Err(ThreadError::Exited { name: Arc::clone(&core.name) }))
                    }
                };
                let id = std::thread::current().id();
                RUNNING.lock().insert(number, (id, Box::new(exits)));
                let outcome = run(target, on_failure, &core.name);
                RUNNING.lock().remove(&number);
                core.end(&slot, outcome);
            }
        };
        // The system's name of a thread has no zero byte.
        let system_name = core.name.replace('\0', "");
        if let Err(source) = std::thread::Builder::new().name(system_name).spawn(run) {
            let (name, source) = (Arc::clone(&core.name), Arc::new(source));
            core.end(&slot, Err(ThreadError::Start { name, source }));
        }
        Thread { core, slot, outcome: OnceLock::new() }
    }
}

/// Calls the function; an error or a panic becomes what the hook is told and its joiners get.
fn run<T>(
    target: impl FnOnce() -> Result<T>,
    on_failure: Option<FailureHook>,
    name: &str,
) -> Result<T, ThreadError> {
    let origin = || Origin::current_thread(name);
    // The text of an error is the user's code too.
    let call = || match panic::__mp_begin_short_backtrace(target) {
        Ok(value) => Ok(value),
        Err(error) => Err(RemoteException::from_raised(&error, origin())),
    };
    let outcome = panic::catch_in_thread(call, origin).unwrap_or_else(Err);
    if let Some(hook) = on_failure {
        let tell = || {
            if let Err(raised) = &outcome {
                hook(raised);
            }
        };
        // What the hook holds is dropped in there too, and may panic as the hook may: it changes nothing.
        let _told = panic::catch_in_thread(tell, origin);
    }
    outcome.map_err(ThreadError::Exception)
}

impl Core {
    fn end<T>(self: &Arc<Core>, slot: &Slot<T>, outcome: Result<T, ThreadError>) {
        let failed = outcome.is_err();
        *slot.lock() = Some(outcome);
        ORDINARY.lock().retain(|other| !Arc::ptr_eq(other, self));
        self.completion.complete(End { failed });
    }
}

impl<T> Thread<T> {
    pub(crate) fn own_completion(&self) -> &Completion {
        &self.core.completion
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Whether it has ended, in whatever way.
    pub fn done(&self) -> bool {
        self.core.completion.end().is_some()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !self.done()
    }

    /// Sleeps until it has ended.
    ///
    /// # Errors
    ///
    /// What the function raised, a panic included; the same on every call. A thread that waits for
    /// itself gets [`ThreadError::WaitsForItself`].
    pub fn join(&self) -> Result<(), ThreadError> {
        self.wait(None)?;
        self.ended().as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Sleeps until it has ended or the time is over; `Ok(false)` if it still runs.
    ///
    /// # Errors
    ///
    /// As [`join`](Thread::join), once it has ended.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, ThreadError> {
        match self.wait(Some(timeout)) {
            Ok(()) => self.join().map(|()| true),
            Err(ThreadError::Timeout) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sleeps until it has ended and gives what the function returned.
    ///
    /// # Errors
    ///
    /// As [`join`](Thread::join).
    pub fn result(&self) -> Result<&T, ThreadError> {
        self.wait(None)?;
        self.ended().as_ref().map_err(Clone::clone)
    }

    /// [`result`](Thread::result), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`ThreadError::Timeout`] if it still runs; else as `result`.
    pub fn result_timeout(&self, timeout: Duration) -> Result<&T, ThreadError> {
        self.wait(Some(timeout))?;
        self.result()
    }

    /// [`result`](Thread::result) by value.
    ///
    /// # Errors
    ///
    /// As `result`.
    pub fn into_result(self) -> Result<T, ThreadError> {
        self.wait(None)?;
        self.ended();
        self.outcome.into_inner().unwrap_or(Err(ThreadError::Timeout))
    }

    /// Sleeps until it has ended and gives what the function raised; `None` if it succeeded.
    ///
    /// # Errors
    ///
    /// [`ThreadError::Start`] if it never ran.
    pub fn exception(&self) -> Result<Option<RemoteException>, ThreadError> {
        match self.join() {
            Ok(()) => Ok(None),
            Err(ThreadError::Exception(raised)) => Ok(Some(raised)),
            Err(error) => Err(error),
        }
    }

    /// [`exception`](Thread::exception), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`ThreadError::Timeout`] if it still runs; else as `exception`.
    pub fn exception_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<RemoteException>, ThreadError> {
        self.wait(Some(timeout))?;
        self.exception()
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<(), ThreadError> {
        if self.is_alive() && self.core.id.get() == Some(&std::thread::current().id()) {
            return Err(ThreadError::WaitsForItself { name: Arc::clone(&self.core.name) });
        }
        let end = self.core.completion.wait(timeout.and_then(after));
        end.map(|_| ()).ok_or(ThreadError::Timeout)
    }

    /// The outcome of a thread that has ended.
    fn ended(&self) -> &Result<T, ThreadError> {
        // Set before the end is announced, taken here only.
        self.outcome.get_or_init(|| self.slot.lock().take().unwrap_or(Err(ThreadError::Timeout)))
    }
}

impl<T> Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.done() { "stopped" } else { "started" };
        write!(f, "<Thread name='{}' {state}>", self.name())
    }
}

/// Waits for the threads that are no daemons; called by the thread that ends the process.
pub(crate) fn join_all() {
    let me = std::thread::current().id();
    loop {
        let other = ORDINARY.lock().iter().find(|core| core.id.get() != Some(&me)).cloned();
        let Some(core) = other else { return };
        let _end = core.completion.wait(None);
    }
}
