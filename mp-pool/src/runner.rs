//! [`ProcessRunner`]: an object that lives in a process of its own and is called there many times.
//!
//! This file decides what a caller is told. [`worker`] is the other side, [`line`] what lies between, and
//! [`inbox`] knows which thread gets which answer.

pub(crate) mod builder;
mod error;
mod inbox;
mod line;
mod runnee;
mod worker;

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_context::{Process, ProcessError, RemoteException, Thread};
use mp_reduction::{Attachments, decode_from, encode_into};
use mp_sync::parts::after;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::RunnerError;
pub use runnee::ProcessRunnee;

use builder::ProcessRunnerBuilder;
use inbox::{Answer, Inbox, Missing};
use line::{Line, to_runner, to_worker};

/// A [`ProcessRunnee`] in a process of its own: made there once, called from here many times.
///
/// For what costs much to set up and is then used again and again: a table that is read from a file, a model,
/// a connection. The object keeps what it has learnt from call to call, and stays in the one process for all
/// of them.
///
/// [`restart`](ProcessRunner::restart) hands a call over and [`rejoin`](ProcessRunner::rejoin) gives its
/// result; [`call`](ProcessRunner::call) is both. Any number of calls may be handed over before the first is
/// rejoined: `restart` never sleeps, and the process goes on to the next call whether anybody has asked for
/// the result of the last or not. What is handed over and not rejoined is kept in shared memory. Calls are
/// done one after the other, in the order in which they were handed over; so come their results.
///
/// All methods can be called from any number of threads. Each result is given once: by `call` to the thread
/// that made the call, and by `rejoin` to the threads in the order in which they ask.
///
/// # The end
///
/// [`join`](ProcessRunner::join) and dropping the runner let the process do the calls that it has, run
/// [`finish`](ProcessRunnee::finish) and end. `join` waits for that and tells what became of it. Dropping
/// does not wait: results are lost then, errors of calls are logged there as warnings, and the end of `main`
/// waits for the process instead. A runner that is never dropped, because [`std::process::exit`] is called or
/// it is in a `static`, keeps nobody waiting: its process is terminated at the end of this one, without
/// `finish`. [`terminate`](ProcessRunner::terminate) and [`kill`](ProcessRunner::kill) end a process that is
/// stuck in a call.
///
/// # When a process dies
///
/// If the process of the runner dies in a call, by a signal, an abort or an exit, the results of the calls
/// that were done before are still given, in order; then each call that was handed over, and each that would
/// be, is the error [`RunnerError::Process`], which says how it died. Nothing hangs, and no other process
/// takes its place. If the process that has the runner dies, the kernel kills that of the object.
///
/// # Differences from Python
///
/// An object that could not be made, and a process that died, are an error of `rejoin`; there it hangs. An
/// error that a call returns as its value is a value like others, and not raised.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// mp::enable_test_support!();
///
/// struct Dictionary(HashMap<String, u32>);
///
/// impl mp::ProcessRunnee for Dictionary {
///     type Init = String;
///     type Args = String;
///     type Out = u32;
///
///     fn new(text: String) -> mp::Result<Dictionary> {
///         let words = text.split(' ').map(str::to_owned);
///         Ok(Dictionary(words.zip(1..).collect()))
///     }
///
///     fn call(&mut self, word: String) -> mp::Result<u32> {
///         let Some(position) = self.0.get(&word) else { mp::bail!("no word '{word}'") };
///         Ok(*position)
///     }
/// }
///
/// let runner = mp::ProcessRunner::start::<Dictionary>("to be or not".to_owned())?;
/// assert_eq!(runner.call("or".to_owned())?, 3);
///
/// for word in ["not", "nothing", "to"] {
///     runner.restart(word.to_owned())?;
/// }
/// assert_eq!(runner.rejoin()?, 4);
/// let error = runner.rejoin().unwrap_err();
/// assert_eq!(error.as_exception().expect("the call raised it").message(), "no word 'nothing'");
/// assert_eq!(runner.rejoin()?, 1);
/// runner.join()?;
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "mpservice.multiprocessing.runner.ProcessRunner")]
pub struct ProcessRunner<Args, Out> {
    process: Arc<Process<()>>,
    line: Line,
    calls: Mutex<Calls>,
    inbox: Arc<Inbox>,
    types: PhantomData<fn(Args) -> Out>,
}

/// What was handed over. Held while something is, so that the place of a call is its number.
#[derive(Debug, Default)]
struct Calls {
    count: u64,
    /// Whether the process was told that there are no more.
    are_over: bool,
}

impl<Args, Out> ProcessRunner<Args, Out>
where
    Args: Serialize + DeserializeOwned,
    Out: Serialize + DeserializeOwned,
{
    /// Starts a process that makes an `R` from `init`.
    ///
    /// Returns as soon as the process exists: calls can be handed over at once, and are done when the object
    /// is there.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Process`] if there is no process, `init` cannot be encoded, or the library is not
    /// initialised, as for [`Process::start`](mp_context::Process::start); [`RunnerError::Queue`] when there
    /// is no memory for its queues. What goes wrong in the process is told by
    /// [`rejoin`](ProcessRunner::rejoin).
    pub fn start<R>(init: R::Init) -> Result<ProcessRunner<Args, Out>, RunnerError>
    where
        R: ProcessRunnee<Args = Args, Out = Out>,
    {
        ProcessRunner::builder::<R>(init).start()
    }

    /// Describes a runner before it is started.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// struct Whoami;
    ///
    /// impl mp::ProcessRunnee for Whoami {
    ///     type Init = ();
    ///     type Args = ();
    ///     type Out = String;
    ///
    ///     fn new((): ()) -> mp::Result<Whoami> {
    ///         Ok(Whoami)
    ///     }
    ///
    ///     fn call(&mut self, (): ()) -> mp::Result<String> {
    ///         Ok(mp::current_process().name().to_owned())
    ///     }
    /// }
    ///
    /// let runner = mp::ProcessRunner::builder::<Whoami>(()).name("clerk").cpu_affinity([0]).start()?;
    /// assert_eq!(runner.call(())?, "clerk");
    /// # Ok::<(), mp::Error>(())
    /// ```
    pub fn builder<R>(init: R::Init) -> ProcessRunnerBuilder<R>
    where
        R: ProcessRunnee<Args = Args, Out = Out>,
    {
        ProcessRunnerBuilder::new(init)
    }

    /// Hands a call over; never sleeps, however many are. Its result is for
    /// [`rejoin`](ProcessRunner::rejoin).
    ///
    /// # Errors
    ///
    /// [`RunnerError::Encode`] for arguments that cannot cross, and [`RunnerError::Queue`] when there is no
    /// memory for them: nothing was handed over then. [`RunnerError::Joined`] after
    /// [`join`](ProcessRunner::join); and that of `rejoin` when the process is known to have ended.
    pub fn restart(&self, args: Args) -> Result<(), RunnerError> {
        self.hand_over(args, |number| {
            self.inbox.state().outstanding.insert(number);
        })
    }

    /// Sleeps until the oldest call that was handed over and not rejoined is done, and gives its result.
    ///
    /// Without one it sleeps until the object is there, to tell whether it ever will be.
    ///
    /// # Errors
    ///
    /// - [`RunnerError::Exception`] is what the call raised or how it panicked, with its trace.
    /// - [`RunnerError::ArgumentsLost`] and [`RunnerError::ResultLost`] are about this call only, too.
    /// - [`RunnerError::Setup`] if the object could not be made, and [`RunnerError::Process`] if the process
    ///   has died; so say all calls from then on.
    /// - [`RunnerError::NoCall`] if all calls were rejoined, [`RunnerError::Joined`] if there will be none.
    pub fn rejoin(&self) -> Result<Out, RunnerError> {
        self.rejoin_until(None)
    }

    /// [`rejoin`](ProcessRunner::rejoin), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Timeout`] if the call is not done by then. It goes on, and is still the oldest. Else as
    /// `rejoin`.
    pub fn rejoin_timeout(&self, timeout: Duration) -> Result<Out, RunnerError> {
        self.rejoin_until(after(timeout))
    }

    /// Hands a call over and gives its result, whatever others hand over or rejoin meanwhile.
    ///
    /// It is done after the calls that were handed over before, whose results stay for
    /// [`rejoin`](ProcessRunner::rejoin).
    ///
    /// # Errors
    ///
    /// As [`restart`](ProcessRunner::restart) and `rejoin`.
    pub fn call(&self, args: Args) -> Result<Out, RunnerError> {
        self.call_until(args, None)
    }

    /// [`call`](ProcessRunner::call), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Timeout`] if the call is not done by then. It goes on, and its result is for a later
    /// [`rejoin`](ProcessRunner::rejoin). Else as `call`.
    pub fn call_timeout(&self, args: Args, timeout: Duration) -> Result<Out, RunnerError> {
        self.call_until(args, after(timeout))
    }

    /// Encodes a call and puts it; `note` is told its number before the next one can be put.
    fn hand_over<T>(&self, args: Args, note: impl FnOnce(u64) -> T) -> Result<T, RunnerError> {
        let mut message = vec![to_worker::CALL];
        let attachments = encode_into(&args, &mut message).map_err(RunnerError::Encode)?;
        drop(args);
        let mut calls = self.calls.lock();
        // Asked here, so that nothing is put any more once somebody was told of the end.
        if self.process.done() {
            drop(calls);
            return Err(self.end());
        }
        if calls.are_over {
            return Err(RunnerError::Joined);
        }
        self.line.calls.put(&message, &attachments)?;
        calls.count += 1;
        Ok(note(calls.count - 1))
    }

    fn call_until(&self, args: Args, deadline: Option<Instant>) -> Result<Out, RunnerError> {
        let number = self.hand_over(args, |number| number)?;
        self.take(number, deadline)
    }

    fn rejoin_until(&self, deadline: Option<Instant>) -> Result<Out, RunnerError> {
        if let Some(number) = self.oldest() {
            return self.take(number, deadline);
        }
        match self.inbox.wait_for(deadline, |state| state.is_ready.then_some(())) {
            Err(missing) => return Err(self.missing(missing)),
            Ok(()) if !self.process.done() => return Err(RunnerError::NoCall),
            Ok(()) => {}
        }
        // A call that another thread put before the end may not have been noted before.
        let none_is_put = self.calls.lock();
        let late = self.oldest();
        drop(none_is_put);
        late.map_or_else(|| Err(self.end()), |number| self.take(number, deadline))
    }

    /// The call that is to be rejoined next, which is the caller's then.
    fn oldest(&self) -> Option<u64> {
        self.inbox.state().outstanding.pop_first()
    }

    /// Waits for the answer to a call that nobody else waits for.
    fn take(&self, number: u64, deadline: Option<Instant>) -> Result<Out, RunnerError> {
        match self.inbox.wait_for(deadline, |state| state.answers.remove(&number)) {
            Ok(answer) => self.open(answer),
            Err(missing) => {
                self.inbox.state().outstanding.insert(number);
                Err(self.missing(missing))
            }
        }
    }

    /// What an answer says.
    fn open(&self, Answer { bytes, attachments }: Answer) -> Result<Out, RunnerError> {
        let text = |body| String::from_utf8_lossy(body).into_owned();
        match bytes.split_first() {
            Some((&to_runner::RETURNED, body)) => match attachments {
                Ok(attachments) => self.decode(body, &attachments),
                Err(error) => Err(self.result_lost(mp_reduction::in_full(&error))),
            },
            Some((&to_runner::RAISED, body)) => Err(RunnerError::Exception(
                self.decode::<RemoteException>(body, &Attachments::default())?,
            )),
            Some((&to_runner::ARGUMENTS_LOST, body)) => Err(RunnerError::ArgumentsLost {
                name: self.name().into(),
                pid: self.pid(),
                reason: text(body),
            }),
            Some((&to_runner::RESULT_LOST, body)) => Err(self.result_lost(text(body))),
            _ => Err(self.result_lost("what it sent is no answer".to_owned())),
        }
    }

    fn decode<T: DeserializeOwned>(
        &self,
        body: &[u8],
        attachments: &Attachments,
    ) -> Result<T, RunnerError> {
        // A `Deserialize` that panics has said so by its panic.
        match catch_unwind(AssertUnwindSafe(|| decode_from(body, attachments))) {
            Ok(decoded) => decoded.map_err(|error| self.result_lost(error.to_string())),
            Err(_payload) => Err(self.result_lost("its Deserialize panicked".to_owned())),
        }
    }
}

impl<Args, Out> ProcessRunner<Args, Out> {
    fn over(process: Arc<Process<()>>, line: Line, inbox: Arc<Inbox>) -> ProcessRunner<Args, Out> {
        ProcessRunner { process, line, calls: Mutex::default(), inbox, types: PhantomData }
    }

    /// The name of the process.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// The pid of the process, also after its end.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the process has not ended.
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// The exit code of the process, or minus the number of the signal that ended it; `None` while it runs.
    pub fn exitcode(&self) -> Option<i32> {
        self.process.exitcode()
    }

    /// How many calls were handed over and not rejoined, done or not.
    pub fn outstanding(&self) -> usize {
        self.inbox.state().outstanding.len()
    }

    /// Lets the process do the calls that it has, finish the object, and end; sleeps until it has.
    ///
    /// Results that were not rejoined stay for [`rejoin`](ProcessRunner::rejoin). A second call says the same
    /// again.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Finish`] when the end of the object failed, [`RunnerError::Setup`] when it was never
    /// made, [`RunnerError::Process`] when the process has died. The error of a call is that of its `rejoin`,
    /// and not this one.
    pub fn join(&self) -> Result<(), RunnerError> {
        self.tell_end()?;
        let ended = self.process.join();
        self.ended(ended.map(|()| true)).map(drop)
    }

    /// [`join`](ProcessRunner::join), waiting no longer than `timeout`; `Ok(false)` if the process still
    /// runs. It takes no more calls all the same.
    ///
    /// # Errors
    ///
    /// As `join`, once it has ended.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, RunnerError> {
        let deadline = after(timeout);
        self.tell_end()?;
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.ended(self.process.join_timeout(left.unwrap_or(timeout)))
    }

    /// Sends SIGTERM to the process; does nothing if it has ended. Neither the calls that it has are done nor
    /// [`finish`](ProcessRunnee::finish).
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Sends SIGKILL to the process; does nothing if it has ended.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Says that there are no more calls, unless that was said or nobody is there to hear it.
    fn tell_end(&self) -> Result<(), RunnerError> {
        let mut calls = self.calls.lock();
        if !calls.are_over && !self.process.done() {
            self.line.calls.put(&[to_worker::END], &Attachments::default())?;
        }
        calls.are_over = true;
        Ok(())
    }

    /// What the process said of its end, as that of the runner; whether there was one.
    fn ended(&self, outcome: Result<bool, ProcessError>) -> Result<bool, RunnerError> {
        match outcome {
            Ok(has_ended) => Ok(has_ended),
            // Such as that it cannot be waited for here.
            Err(error) if !self.process.done() => Err(error.into()),
            Err(_) => Err(self.end()),
        }
    }

    /// What a call is told that comes after the end of the process, which has come or is about to be
    /// announced.
    fn end(&self) -> RunnerError {
        let state = match self.inbox.read_all() {
            Ok(state) => state,
            Err(error) => return error.into(),
        };
        let (is_ready, is_finishing) = (state.is_ready, state.is_finishing);
        drop(state);
        match self.process.join() {
            Ok(()) => RunnerError::Joined,
            Err(ProcessError::Exception(remote)) if !is_ready => RunnerError::Setup(remote),
            Err(ProcessError::Exception(remote)) if is_finishing => RunnerError::Finish(remote),
            Err(error) => error.into(),
        }
    }

    fn missing(&self, missing: Missing) -> RunnerError {
        match missing {
            Missing::Timeout => RunnerError::Timeout,
            Missing::Queue(error) => error.into(),
            Missing::Over => self.end(),
        }
    }

    fn result_lost(&self, reason: String) -> RunnerError {
        RunnerError::ResultLost { name: self.name().into(), pid: self.pid(), reason }
    }
}

/// Lets the process do the calls that it has, finish the object, and end; does not wait for it. See [the
/// end](ProcessRunner#the-end).
impl<Args, Out> Drop for ProcessRunner<Args, Out> {
    fn drop(&mut self) {
        self.line.hang_up();
        if self.tell_end().is_err() {
            // There is no memory to tell it, and nobody else ever will.
            self.process.terminate();
        }
        if self.process.is_alive() {
            // The end of `main` waits for such threads, and then terminates processes of this kind.
            let process = Arc::clone(&self.process);
            let wait = move || {
                // Nobody is there to hear how it went; a failure was printed over there.
                let _ended = process.join();
                Ok(())
            };
            drop(Thread::builder(wait).name(format!("join {}", self.name())).start());
        }
    }
}

impl<Args, Out> Debug for ProcessRunner<Args, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessRunner({} outstanding, {:?})", self.outstanding(), self.process)
    }
}
