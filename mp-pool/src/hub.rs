//! [`Hub`]: what is behind a pool: its queues, its workers, its tasks, and whoever tends to them.
//!
//! One thread at a time *tends*: it takes reports, buries workers that have died, ends tasks at their time limits, sends the next
//! ones, and starts workers. A caller that waits for a result does it itself, so that it is woken by the worker and by
//! nobody else; while nobody waits, the thread of the pool does. Where nothing is under way, nobody tends, and the thread
//! sleeps until it is told of a task or of the death of a worker.
//!
//! No code of the user runs with a lock held here: arguments are encoded before, results decoded after.

mod shown;
mod tending;

use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use mp_context::__private::is_finishing;
use mp_context::{Process, ProcessError, Worker as _};
use mp_queues::parts::{Messages, Purpose};
use mp_reduction::Attachments;
use mp_remote_exception::RemoteException;
use parking_lot::{Condvar, Mutex};

use self::shown::Shown;
use crate::callbacks::Callbacks;
use crate::claims::Claims;
use crate::error::PoolError;
use crate::state::desk::{Desk, Place, Turn};
use crate::state::staff::Staff;
use crate::task::{self, Outcome, Task};
use crate::worker::Terms;

/// Who submits a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submitter {
    /// One who goes on to something else.
    Passer,
    /// One who tends right after.
    Tender,
    /// A [stream](Hub::begin_stream).
    Stream,
    /// A stream that [tends](Hub::begin_bulk) now and then.
    Bulk,
}

/// How a pool is made.
pub(crate) struct Plan {
    pub(crate) name: Arc<str>,
    pub(crate) processes: usize,
    pub(crate) max_tasks: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
    /// Whether there is an initializer, which may fail in all workers alike.
    pub(crate) is_careful: bool,
    pub(crate) start: StartWorker,
}

pub(crate) type StartWorker =
    Box<dyn Fn(Terms, String) -> Result<Process<()>, ProcessError> + Send + Sync>;

/// A worker as the pool sees it.
#[derive(Debug, Default)]
struct Worker {
    /// `None` while it is being started.
    process: Option<Arc<Process<()>>>,
    /// What its initializer raised.
    unready: Option<RemoteException>,
    /// Whether nobody is surprised by its death.
    is_killed: bool,
}

/// What a pool is at.
#[derive(Debug)]
enum Phase {
    Open,
    /// It takes no more tasks, and ends when those that it has are done.
    Closing {
        stops_sent: bool,
        /// Whether somebody waits for the end, and nothing is waited for that has no turn yet.
        is_joined: bool,
    },
    Terminated,
    /// It can have no workers.
    Broken(PoolError),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    desk: Desk<Task>,
    staff: Staff<Worker>,
    /// Workers that have died and are not buried.
    dead: HashSet<u32>,
    /// Tasks whose sinks have not been told.
    unsettled: usize,
    /// Calls that go on to submit tasks, also when the pool is closed meanwhile.
    streams: usize,
    /// Those of them that tend now and then.
    bulks: usize,
    /// How often somebody has begun to tend.
    tended: u64,
    is_tended: bool,
    is_over: bool,
    shown: Shown,
}

pub(crate) struct Hub {
    plan: Plan,
    tasks: Messages,
    reports: Messages,
    claims: Claims,
    state: Mutex<State>,
    /// Wakes the thread of the pool when there is something to tend to and nobody does.
    untended: Condvar,
    /// Wakes those who wait for the end of the pool.
    over: Condvar,
    /// Wakes a tender that lets reports gather.
    news: Condvar,
    /// Whether there is something for the tender beside reports.
    has_news: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) callbacks: Callbacks,
    itself: OnceLock<Weak<Hub>>,
    /// Whose workers they are.
    process: u32,
}

impl Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({})", self.plan.name)
    }
}

/// Tasks on their way for each worker, so that none has to wait for the next.
const DEPTH: usize = 128;
const LEAST_DEPTH: usize = 64;

impl Hub {
    /// Starts the workers; when one of the first cannot be started, none is left.
    pub(crate) fn start(plan: Plan) -> Result<Arc<Hub>, PoolError> {
        let depth = plan.processes.saturating_mul(DEPTH).max(LEAST_DEPTH);
        let depth = u32::try_from(depth).unwrap_or(u32::MAX / 8);
        let state = State {
            phase: Phase::Open,
            desk: Desk::new(depth),
            staff: Staff::new(plan.processes, plan.is_careful),
            dead: HashSet::new(),
            unsettled: 0,
            streams: 0,
            bulks: 0,
            tended: 0,
            is_tended: false,
            is_over: false,
            shown: Shown::post(&plan.name, plan.processes),
        };
        let hub = Arc::new(Hub {
            callbacks: Callbacks::new(&plan.name),
            plan,
            tasks: Messages::new(Purpose::Pool)?,
            reports: Messages::new(Purpose::Pool)?,
            claims: Claims::new(depth)?,
            state: Mutex::new(state),
            untended: Condvar::new(),
            over: Condvar::new(),
            news: Condvar::new(),
            has_news: AtomicBool::new(false),
            thread: Mutex::new(None),
            itself: OnceLock::new(),
            process: std::process::id(),
        });
        let _first = hub.itself.set(Arc::downgrade(&hub));
        let vacancies = {
            let mut state = hub.state.lock();
            let vacancies = state.staff.vacancies(usize::MAX, Instant::now());
            (0..vacancies).map(|_| state.staff.enter(Worker::default())).collect::<Vec<_>>()
        };
        let thread = {
            let hub = Arc::clone(&hub);
            std::thread::Builder::new()
                .name(hub.plan.name.replace('\0', ""))
                .spawn(move || hub.tend_when_nobody_does())
        };
        match thread {
            Ok(thread) => *hub.thread.lock() = Some(thread),
            Err(error) => {
                let source = Arc::new(error);
                return Err(PoolError::Resources { what: "thread for its reports", source });
            }
        }
        let mut vacancies = vacancies.into_iter();
        while let Some(number) = vacancies.next() {
            if let Err(error) = hub.start_worker(number) {
                for number in vacancies {
                    hub.state.lock().staff.leave(number, true, Instant::now());
                }
                hub.end_all();
                return Err(PoolError::Start(error));
            }
        }
        hub.state.lock().show();
        Ok(hub)
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.plan.name
    }

    pub(crate) fn processes(&self) -> usize {
        self.plan.processes
    }

    fn worker_name(&self, number: u32) -> String {
        format!("{}-worker-{}", self.plan.name, number + 1)
    }

    /// The pids of the workers that are alive.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let state = self.state.lock();
        let processes = state.staff.iter().filter_map(|worker| worker.process.as_ref());
        processes.filter(|process| process.is_alive()).map(|process| process.pid()).collect()
    }

    /// What it is at, in a word.
    pub(crate) fn state_name(&self) -> &'static str {
        let state = self.state.lock();
        match &state.phase {
            _ if state.is_over => "ended",
            Phase::Open => "open",
            Phase::Closing { .. } => "closing",
            Phase::Terminated => "terminated",
            Phase::Broken(_) => "broken",
        }
    }

    /// Whether it takes tasks.
    pub(crate) fn check_open(&self) -> Result<(), PoolError> {
        self.state.lock().check_open()
    }

    /// Whether it takes tasks of no stream any more.
    pub(crate) fn takes_no_more(&self) -> bool {
        let state = self.state.lock();
        !matches!(state.phase, Phase::Open | Phase::Closing { stops_sent: false, .. })
    }

    /// Begins a call that submits tasks bit by bit.
    pub(crate) fn begin_stream(&self) -> Result<(), PoolError> {
        let mut state = self.state.lock();
        state.check_open()?;
        state.streams += 1;
        Ok(())
    }

    /// Begins a call that submits many tasks and tends when it has to wait. In between, the thread of the pool looks
    /// whether it still does.
    pub(crate) fn begin_bulk(&self) -> Result<(), PoolError> {
        self.begin_stream()?;
        self.state.lock().bulks += 1;
        self.untended.notify_one();
        Ok(())
    }

    pub(crate) fn end_bulk(&self) {
        self.state.lock().bulks -= 1;
        self.end_stream();
    }

    pub(crate) fn end_stream(&self) {
        let mut state = self.state.lock();
        state.streams -= 1;
        if state.streams == 0 && !matches!(state.phase, Phase::Open) {
            self.tell_tender(&state);
        }
    }

    /// Takes a task on, and has somebody tend to it unless the caller will.
    pub(crate) fn submit(&self, task: Task, submitter: Submitter) -> Result<Turn, PoolError> {
        let mut failed = None;
        let turn = {
            let mut state = self.state.lock();
            match (submitter, &state.phase) {
                (Submitter::Stream | Submitter::Bulk, Phase::Closing { stops_sent: false, .. })
                    if !state.is_over => {}
                _ => state.check_open()?,
            }
            state.unsettled += 1;
            let turn = state.desk.new_turn();
            if state.desk.has_waiting() || !self.has_room(&state) {
                state.desk.wait(turn, task);
            } else {
                failed = self.send(&mut state, turn, task);
            }
            state.show();
            if matches!(submitter, Submitter::Passer | Submitter::Stream) && !state.is_tended {
                self.untended.notify_one();
            }
            turn
        };
        if let Some((task, error)) = failed {
            self.settle_apart(vec![(task, error)]);
        }
        Ok(turn)
    }

    fn has_room(&self, state: &State) -> bool {
        // One in hand for each worker, and the next.
        let few = self.plan.processes.saturating_mul(2);
        // Of those that were cancelled, messages may be left.
        state.desk.has_room(few) && self.tasks.len() <= 2 * state.desk.slots()
    }

    /// Puts a task on its way; gives it back if it cannot be.
    fn send(&self, state: &mut State, turn: Turn, task: Task) -> Option<(Task, PoolError)> {
        let weight = task.message.len();
        let place = match state.desk.send(turn, task, weight) {
            Ok(place) => place,
            Err(task) => {
                state.desk.wait(turn, task);
                return None;
            }
        };
        let task = &mut state.desk.get_mut(place)?.task;
        (task.head.slot, task.head.ticket) = (place.slot, place.ticket);
        if let Some(head) = task.message.first_chunk_mut() {
            task.head.write(head);
        }
        if let Some(word) = self.claims.word(place.slot) {
            word.offer(place.ticket);
        }
        match self.tasks.put(&task.message, &task.attachments) {
            Ok(()) => {
                if task.retries == 0 {
                    (task.message, task.attachments) = (Vec::new(), Attachments::default());
                }
                None
            }
            Err(error) => Some((state.desk.take(place)?.task, error.into())),
        }
    }

    /// Cancels a task that no worker has begun with; whether it did.
    pub(crate) fn cancel(&self, turn: Turn) -> bool {
        let mut state = self.state.lock();
        let waiting = state.desk.take_waiting(turn);
        let cancelled = waiting.or_else(|| {
            let place = state.desk.place_of(turn)?;
            let withdrawn = self.claims.word(place.slot)?.withdraw(place.ticket);
            withdrawn.then(|| state.desk.take(place).map(|under_way| under_way.task)).flatten()
        });
        let Some(task) = cancelled else { return false };
        drop(state);
        self.settle_apart(vec![(task, PoolError::Cancelled)]);
        true
    }

    /// Ends a task whatever it is at: cancels it, or kills its worker; whether it had no outcome.
    pub(crate) fn end(&self, turn: Turn) -> bool {
        if self.cancel(turn) {
            return true;
        }
        let mut state = self.state.lock();
        let place = state.desk.place_of(turn);
        place.is_some_and(|place| self.condemn(&mut state, place, PoolError::Cancelled))
    }

    /// Has the worker of a task killed, if it has not finished; whether it is.
    fn condemn(&self, state: &mut State, place: Place, verdict: PoolError) -> bool {
        let condemned = self.claims.word(place.slot).and_then(|word| word.condemn());
        let (Some(number), Some(under_way)) = (condemned, state.desk.get_mut(place)) else {
            return false;
        };
        under_way.task.verdict = Some(verdict);
        if let Some(worker) = state.staff.get_mut(number) {
            worker.is_killed = true;
            if let Some(process) = &worker.process {
                process.kill();
            }
        }
        true
    }

    /// Tells sinks from a thread that does not tend.
    fn settle_apart(&self, tasks: Vec<(Task, PoolError)>) {
        let count = tasks.len();
        for (task, error) in tasks {
            task::tell(task.sink, task.part, Outcome::Failed(error));
        }
        let mut state = self.state.lock();
        state.unsettled -= count;
        state.show();
        self.tell_tender(&state);
        self.note_the_end(&mut state);
    }

    /// Tells whoever waits while tending that what it waits for may have come another way.
    pub(crate) fn nudge(&self) {
        self.tell_tender(&self.state.lock());
    }

    /// Has the tender look around, or the thread become one.
    fn tell_tender(&self, state: &State) {
        self.has_news.store(true, SeqCst);
        if state.is_tended {
            self.news.notify_one();
            self.reports.wake();
        } else {
            self.untended.notify_one();
        }
    }

    /// Takes no more tasks, and ends when those that there are have an outcome.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if let Phase::Open = state.phase {
            state.phase = Phase::Closing { stops_sent: false, is_joined: false };
            self.tell_tender(&state);
        }
    }

    /// Ends all workers and tasks at once.
    pub(crate) fn terminate(&self) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Terminated) {
            state.phase = Phase::Terminated;
        }
        let ended = self.give_up(&mut state, &PoolError::Terminated);
        self.tell_tender(&state);
        drop(state);
        self.settle_apart(ended);
    }

    /// Takes all tasks and kills all workers.
    fn give_up(&self, state: &mut State, error: &PoolError) -> Vec<(Task, PoolError)> {
        for number in state.staff.numbers() {
            if let Some(worker) = state.staff.get_mut(number) {
                worker.is_killed = true;
                if let Some(process) = &worker.process {
                    process.kill();
                }
            }
        }
        state.desk.take_all().into_iter().map(|task| (task, error.clone())).collect()
    }

    /// Waits until all workers are gone and all tasks have an outcome.
    pub(crate) fn join(&self) -> Result<(), PoolError> {
        {
            let mut state = self.state.lock();
            if let Phase::Open = state.phase {
                return Err(PoolError::StillOpen);
            }
            if self.callbacks.is_this_thread() || !self.may_wait() {
                return Err(PoolError::InCallback);
            }
            if let Phase::Closing { is_joined, .. } = &mut state.phase {
                *is_joined = true;
                self.tell_tender(&state);
            }
            self.note_the_end(&mut state);
            while !state.is_over {
                self.over.wait(&mut state);
            }
        }
        self.join_threads();
        Ok(())
    }

    /// Waits for the threads of the pool, unless this is one of them.
    fn join_threads(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // It does not panic, and if it did, it has said so.
            let _ended = thread.join();
        }
        self.callbacks.join();
    }

    /// Terminates the pool and waits for its end, as far as this thread can wait for it.
    pub(crate) fn end_all(&self) {
        if self.process != std::process::id() {
            return; // a copy that other code has forked: nothing of this is its own
        }
        self.terminate();
        let is_own_thread = self.callbacks.is_this_thread()
            || !self.may_wait()
            || self
                .thread
                .lock()
                .as_ref()
                .is_some_and(|thread| thread.thread().id() == std::thread::current().id());
        if !is_own_thread {
            let _not_open = self.join();
        }
    }

    fn note_the_end(&self, state: &mut State) {
        // What a stream submits may need workers again.
        let goes_on = match state.phase {
            Phase::Open => true,
            Phase::Closing { is_joined, .. } => state.streams > 0 && !is_joined,
            Phase::Terminated | Phase::Broken(_) => false,
        };
        if !goes_on && state.staff.is_empty() && state.unsettled == 0 && !state.is_over {
            state.is_over = true;
            state.shown.withdraw();
            self.over.notify_all();
            self.untended.notify_all();
        }
    }

    /// Starts a worker that was entered.
    fn start_worker(&self, number: u32) -> Result<(), ProcessError> {
        let terms = Terms {
            number,
            tasks: self.tasks.clone(),
            reports: self.reports.clone(),
            claims: self.claims.clone(),
            max_tasks: self.plan.max_tasks,
            memory_limit: self.plan.memory_limit,
        };
        let started = (self.plan.start)(terms, self.worker_name(number));
        let mut state = self.state.lock();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                state.staff.leave(number, true, Instant::now());
                self.note_the_end(&mut state);
                return Err(error);
            }
        };
        let itself = self.itself.get().cloned().unwrap_or_default();
        let hook = move |_| {
            if let Some(hub) = itself.upgrade() {
                hub.worker_ended(number);
            }
        };
        let is_late = matches!(state.phase, Phase::Terminated | Phase::Broken(_));
        let Some(worker) = state.staff.get_mut(number) else { return Ok(()) };
        worker.is_killed |= is_late;
        if worker.is_killed {
            process.kill();
        }
        let process = Arc::clone(worker.process.insert(Arc::new(process)));
        drop(state);
        // If it has ended, the hook is called here.
        process.completion().on_end(hook);
        Ok(())
    }

    /// Called by the thread that hears of it.
    fn worker_ended(&self, number: u32) {
        let mut state = self.state.lock();
        state.dead.insert(number);
        self.tell_tender(&state);
    }
}

impl State {
    /// Shows to whoever looks from outside how things are.
    fn show(&self) {
        self.shown.show(&self.desk, &self.staff);
    }

    fn check_open(&self) -> Result<(), PoolError> {
        match &self.phase {
            // In a process that ends nobody would run it.
            Phase::Open if !is_finishing() => Ok(()),
            Phase::Open | Phase::Closing { .. } | Phase::Terminated => Err(PoolError::Closed),
            Phase::Broken(error) => Err(error.clone()),
        }
    }
}
