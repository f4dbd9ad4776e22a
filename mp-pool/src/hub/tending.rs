//! Tending to a pool: taking reports, burying workers that have died, ending tasks at their time limits, sending the next
//! ones, starting workers.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use mp_context::__private::is_finishing;
use mp_context::{Process, ProcessError};
use mp_queues::QueueError;
use mp_reduction::{Attachments, decode_from};
use parking_lot::MutexGuard;

use super::{Hub, Phase, State, Worker};
use crate::clock;
use crate::error::PoolError;
use crate::message::{News, ReportHead, TaskHead};
use crate::state::claim::Claim;
use crate::state::desk::Place;
use crate::state::pace::Pace;
use crate::state::staff::Stage;
use crate::task::{self, Outcome, Ran, Sink, Task};

/// For how long a call that tends now and then may do something else.
const NEGLECT: Duration = Duration::from_millis(2);
/// How long reports are left to gather while the workers have enough to do.
const GATHER: Duration = Duration::from_micros(30);
/// Longer reports do not leave their memory for others.
const KEPT_LEN: usize = 2 << 20;
const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();
/// So many reports are taken before their sinks are told.
const PORTION: usize = 256;
/// Longer reports keep the memory that they were read into; others are gathered.
const LONG: usize = 4 << 10;

/// What a tender has to tell.
#[derive(Default)]
struct Settled {
    fates: Vec<(Arc<dyn Sink>, usize, Fate)>,
    /// The bytes of short outcomes.
    bytes: Vec<u8>,
    /// How many were told and not counted.
    told: usize,
    buffer: Vec<u8>,
    /// For the log, whose code is the user's.
    warnings: Vec<String>,
}

enum Fate {
    Short {
        range: Range<usize>,
        worker: u32,
    },
    /// The whole report.
    Long {
        report: Vec<u8>,
        attachments: Result<Attachments, QueueError>,
        worker: u32,
    },
    Failed(PoolError),
}

impl Settled {
    fn fail(&mut self, task: Task, error: PoolError) {
        self.fates.push((task.sink, task.part, Fate::Failed(error)));
    }

    /// Tells the sinks; runs code of the user.
    fn tell(&mut self, hub: &Hub) {
        let _telling = Telling::begin(hub);
        for warning in self.warnings.drain(..) {
            log::warn!("{}: {warning}", hub.plan.name);
        }
        for (sink, part, fate) in self.fates.drain(..) {
            let name = |worker| move || hub.worker_name(worker);
            let outcome = match &fate {
                Fate::Short { range, worker } => Outcome::Ran(Ran {
                    bytes: &self.bytes[range.clone()],
                    attachments: Ok(Attachments::default()),
                    worker: &name(*worker),
                }),
                Fate::Long { report, attachments, worker } => Outcome::Ran(Ran {
                    bytes: &report[ReportHead::LEN..],
                    attachments: attachments.clone(),
                    worker: &name(*worker),
                }),
                Fate::Failed(error) => Outcome::Failed(error.clone()),
            };
            task::tell(sink, part, outcome);
            self.told += 1;
            // Memory that is there is read into again: new memory costs as much as what is done with it.
            if let Fate::Long { report, .. } = fate
                && (self.buffer.capacity()..=KEPT_LEN).contains(&report.capacity())
            {
                self.buffer = report;
            }
        }
        self.bytes.clear();
    }
}

thread_local! {
    /// The address of the pool whose sinks this thread tells; zero for none.
    static TELLING: Cell<usize> = const { Cell::new(0) };
}

/// This thread tells sinks, and what runs there must not wait for itself.
struct Telling(usize);

impl Telling {
    fn begin(hub: &Hub) -> Telling {
        Telling(TELLING.replace(std::ptr::from_ref(hub).addr()))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        TELLING.set(self.0);
    }
}

/// The right, and duty, to tend.
pub(crate) struct Tending<'a> {
    hub: &'a Hub,
    settled: Settled,
    pace: Pace,
    /// Whether reports were let gather, and not looked at since.
    has_gathered: bool,
}

impl<'a> Tending<'a> {
    /// Notes that somebody tends; nobody does yet.
    fn begin(hub: &'a Hub, state: &mut State) -> Tending<'a> {
        state.is_tended = true;
        state.tended += 1;
        Tending { hub, settled: Settled::default(), pace: Pace::default(), has_gathered: false }
    }
}

impl Tending<'_> {
    /// Tends until `is_done`.
    pub(crate) fn tend(&mut self, is_done: &dyn Fn() -> bool) {
        let hub = self.hub;
        while !is_done() {
            let (starts, wakes_at) = self.look_around();
            let has_started = !starts.is_empty();
            for number in starts {
                if let Err(error) = hub.start_worker(number) {
                    self.worker_failed(PoolError::Start(error));
                }
            }
            if !self.settled.fates.is_empty() || !self.settled.warnings.is_empty() {
                self.settled.tell(hub);
                continue;
            }
            if has_started {
                continue;
            }
            if self.pace.may_gather() && hub.lets_reports_gather() {
                self.has_gathered = true;
                continue;
            }
            let gives_up = || hub.has_news.load(SeqCst) || is_done();
            if let Err(error) = hub.reports.wait(wakes_at, gives_up) {
                // The system lets nobody sleep any more.
                hub.broken(&mut hub.state.lock(), error.into(), &mut self.settled);
            }
        }
    }

    /// Takes what there is; the workers to start, and when to look again.
    fn look_around(&mut self) -> (Vec<u32>, Option<Instant>) {
        let (hub, settled) = (self.hub, &mut self.settled);
        let mut state = hub.state.lock();
        let state = &mut *state;
        if is_finishing() {
            end_with_the_process(state, settled);
        }
        state.unsettled -= std::mem::take(&mut settled.told);
        hub.has_news.store(false, SeqCst);
        // What a dead worker has reported was there before it was known to be dead.
        let dead = std::mem::take(&mut state.dead);
        let taken = hub.take_reports(state, settled, dead.is_empty());
        if std::mem::take(&mut self.has_gathered) {
            self.pace.gathered(taken);
        }
        let now = Instant::now();
        for number in dead {
            hub.bury(state, settled, number, now);
        }
        while let Some(place) = state.desk.expired(now) {
            hub.condemn(state, place, PoolError::TimedOut);
        }
        while hub.has_room(state) {
            let Some((turn, task)) = state.desk.next() else { break };
            if let Some((task, error)) = hub.send(state, turn, task) {
                settled.fail(task, error);
            }
        }
        hub.send_stops(state);
        let work = match state.phase {
            Phase::Open => usize::MAX,
            Phase::Closing { .. } => state.desk.len(),
            Phase::Terminated | Phase::Broken(_) => 0,
        };
        let vacancies = state.staff.vacancies(work, now);
        let starts = (0..vacancies).map(|_| state.staff.enter(Worker::default())).collect();
        state.show();
        hub.note_the_end(state);
        (starts, [state.desk.first_deadline(), state.staff.pause()].into_iter().flatten().min())
    }

    /// A worker could not be started.
    fn worker_failed(&mut self, error: PoolError) {
        self.settled
            .warnings
            .push(format!("cannot start a worker: {}", mp_reduction::in_full(&error)));
        let mut state = self.hub.state.lock();
        if state.staff.is_hopeless() {
            self.hub.broken(&mut state, error, &mut self.settled);
        }
    }
}

impl Drop for Tending<'_> {
    fn drop(&mut self) {
        // What was taken is told, also if this is an unwinding.
        self.settled.tell(self.hub);
        let mut state = self.hub.state.lock();
        state.unsettled -= self.settled.told;
        state.is_tended = false;
        self.hub.note_the_end(&mut state);
        // Who tends now and then is looked after by the thread itself.
        let is_looked_after = state.bulks > 0;
        if !is_looked_after && (self.hub.needs_tending(&state) || state.staff.pause().is_some()) {
            self.hub.untended.notify_one();
        }
    }
}

/// Nothing is run any more in a process that ends, which ends the workers itself and leaves them a moment for it.
fn end_with_the_process(state: &mut State, settled: &mut Settled) {
    if matches!(state.phase, Phase::Open | Phase::Closing { .. }) {
        state.phase = Phase::Terminated;
        for task in state.desk.take_all() {
            settled.fail(task, PoolError::Terminated);
        }
    }
}

impl Hub {
    /// Waits until `is_done`, tending meanwhile if nobody else does. `sleep` waits for that when somebody else does.
    pub(crate) fn wait_until(&self, is_done: &dyn Fn() -> bool, sleep: impl FnOnce()) {
        if is_done() {
            return;
        }
        match self.try_tend() {
            Some(mut tending) => tending.tend(is_done),
            None => sleep(),
        }
    }

    /// Whether this thread may wait for what others do for the pool: not where it is the one that does it, in a callback or in
    /// the `Deserialize` of a result.
    pub(crate) fn may_wait(&self) -> bool {
        TELLING.get() != std::ptr::from_ref(self).addr()
    }

    /// The right to tend, if nobody does.
    pub(crate) fn try_tend(&self) -> Option<Tending<'_>> {
        let mut state = self.state.lock();
        if state.is_tended || state.is_over {
            return None;
        }
        Some(Tending::begin(self, &mut state))
    }

    /// The thread of the pool.
    pub(super) fn tend_when_nobody_does(&self) {
        loop {
            let mut state = self.state.lock();
            while !state.is_over && (state.is_tended || !self.needs_tending(&state)) {
                let pause = state.staff.pause().filter(|_| !state.is_tended);
                let look = (state.bulks > 0).then(|| Instant::now() + NEGLECT);
                match [pause, look].into_iter().flatten().min() {
                    Some(pause) => drop(self.untended.wait_until(&mut state, pause)),
                    None => self.untended.wait(&mut state),
                }
            }
            if state.is_over {
                return;
            }
            if state.bulks > 0 && !self.is_neglected(&mut state) {
                continue;
            }
            let mut tending = Tending::begin(self, &mut state);
            drop(state);
            tending.tend(&|| !self.needs_tending(&self.state.lock()));
        }
    }

    /// Whether nobody begins to tend for a moment, though somebody who does so now and then is at work: what that one encodes
    /// takes long.
    fn is_neglected(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let before = state.tended;
        let _told_or_not = self.untended.wait_for(state, NEGLECT);
        state.tended == before && !state.is_tended && self.needs_tending(state)
    }

    fn needs_tending(&self, state: &State) -> bool {
        state.unsettled > 0
            || (matches!(state.phase, Phase::Open) && state.staff.awaits_the_first())
            || self.has_news.load(SeqCst)
            || !state.dead.is_empty()
            || state.staff.pause().is_some_and(|pause| pause <= Instant::now())
    }
}

impl Hub {
    /// While tasks wait for their turn, nobody waits for the next report alone: lets some gather, so that neither a
    /// worker has to wake the tender for each, nor the tender to take each by itself. Whether it did.
    fn lets_reports_gather(&self) -> bool {
        let mut state = self.state.lock();
        let gathers = state.desk.has_waiting() && !self.has_news.load(SeqCst);
        if gathers {
            let _told_or_not = self.news.wait_for(&mut state, GATHER);
        }
        gathers
    }

    /// Takes reports: a portion, or all that are there; how many.
    fn take_reports(&self, state: &mut State, settled: &mut Settled, only_some: bool) -> usize {
        let mut taken = 0;
        while !only_some || taken < PORTION {
            let attachments = match self.reports.take(&mut settled.buffer, false, |_| ()) {
                Ok(attachments) => attachments,
                Err(QueueError::Empty) => return taken,
                Err(error) => {
                    self.broken(state, error.into(), settled);
                    return taken;
                }
            };
            taken += 1;
            if let Some((head, _)) = ReportHead::read(&settled.buffer) {
                self.take_report(state, settled, head, attachments);
            }
        }
        // There may be more, for which nobody will be woken.
        self.has_news.store(true, SeqCst);
        taken
    }

    fn take_report(
        &self,
        state: &mut State,
        settled: &mut Settled,
        head: ReportHead,
        attachments: Result<Attachments, QueueError>,
    ) {
        let place = Place { slot: head.slot, ticket: head.ticket };
        let body = &settled.buffer[ReportHead::LEN..];
        match head.news {
            News::Ready => state.staff.is_ready(head.worker),
            News::Skipped => {}
            News::Leaving => state.staff.is_leaving(head.worker),
            News::Unready => {
                let raised = decode_from(body, &Attachments::default()).ok();
                if let Some(worker) = state.staff.get_mut(head.worker) {
                    worker.unready = raised;
                }
            }
            News::Started => {
                let limit = state.desk.get_mut(place).and_then(|task| task.task.head.limits.hard);
                let begun = body.first_chunk().map(|at| clock::ago(u64::from_le_bytes(*at)));
                let left = limit.map(|limit| limit.saturating_sub(begun.unwrap_or_default()));
                if let Some(deadline) = left.and_then(|left| Instant::now().checked_add(left)) {
                    state.desk.set_deadline(place, deadline);
                }
            }
            News::Broken => {
                let what = String::from_utf8_lossy(body).into_owned();
                let worker = self.worker_name(head.worker);
                self.broken(state, PoolError::Transfer { worker, what }, settled);
            }
            News::Done => {
                let Some(under_way) = state.desk.take(place) else { return };
                let Task { sink, part, .. } = under_way.task;
                let worker = head.worker;
                let is_short = body.len() <= LONG;
                let fate = match attachments {
                    Ok(attachments) if is_short && attachments.is_empty() => {
                        let start = settled.bytes.len();
                        settled.bytes.extend_from_slice(body);
                        Fate::Short { range: start..settled.bytes.len(), worker }
                    }
                    attachments => {
                        let report = std::mem::take(&mut settled.buffer);
                        Fate::Long { report, attachments, worker }
                    }
                };
                settled.fates.push((sink, part, fate));
            }
        }
    }

    /// A worker is dead, and all that it has reported is taken.
    fn bury(&self, state: &mut State, settled: &mut Settled, number: u32, now: Instant) {
        let Some(worker) = state.staff.get_mut(number) else { return };
        let process = worker.process.clone();
        let exitcode = process.as_deref().and_then(Process::exitcode);
        // What kills like that comes from outside, as a rule; an initializer may have asked for too much memory.
        let from_outside = !self.plan.is_careful && exitcode == Some(-SIGKILL);
        let Some((stage, worker)) = state.staff.leave(number, from_outside, now) else { return };
        let name = self.worker_name(number);
        let failure = process.as_deref().and_then(|process| Process::join(process).err());
        let pid = process.as_deref().map_or(0, Process::pid);
        for place in state.desk.places() {
            let claim = self.claims.word(place.slot).map_or(Claim::Free, |word| word.get());
            if claim.worker() != Some(number) {
                continue;
            }
            let Some(under_way) = state.desk.take(place) else { continue };
            let (turn, mut task) = (under_way.turn, under_way.task);
            let started = !matches!(claim, Claim::Claimed(_));
            if let Some(verdict) = task.verdict.take() {
                settled.fail(task, verdict);
            } else if task.retries > 0 && (task.idempotent || !started) {
                task.retries -= 1;
                task.head.attempt += 1;
                settled.warnings.push(format!("{name} (pid {pid}) died: its task is run again"));
                state.desk.wait(turn, task);
            } else {
                let error = match &failure {
                    // In a program that does not unwind, a panic is told by the process.
                    Some(ProcessError::Exception(remote)) if remote.is_panic() => {
                        PoolError::Exception(remote.clone())
                    }
                    _ => PoolError::WorkerDied { pid, exitcode, started },
                };
                settled.fail(task, error);
            }
        }
        let Some(failure) = failure else { return };
        let is_expected = worker.is_killed || is_finishing() || worker.unready.is_some();
        if !is_expected {
            let limit = self.plan.memory_limit;
            let limit = limit.map(|limit| format!("; its memory is limited to {limit} bytes"));
            settled.warnings.push(format!("{failure}{}", limit.unwrap_or_default()));
        }
        if stage == Stage::Starting && !worker.is_killed && !is_finishing() {
            let error = match worker.unready {
                Some(remote) => PoolError::Initializer(remote),
                None => PoolError::Start(failure),
            };
            settled.warnings.push(format!(
                "{name} (pid {pid}) did not become ready: {}",
                mp_reduction::in_full(&error)
            ));
            if state.staff.is_hopeless() {
                self.broken(state, error, settled);
            }
        }
    }

    /// Tells the workers to end, once, when a pool that is closed has nothing to do any more.
    fn send_stops(&self, state: &mut State) {
        let takers = state.staff.takers();
        let is_idle = state.desk.len() == 0;
        let Phase::Closing { stops_sent, is_joined } = &mut state.phase else { return };
        if *stops_sent || !is_idle || (state.streams > 0 && !*is_joined) {
            return;
        }
        *stops_sent = true;
        let mut message = [0; TaskHead::LEN];
        TaskHead::stop().write(&mut message);
        for _ in 0..takers {
            if self.tasks.put(&message, &Attachments::default()).is_err() {
                // There is no memory to tell them.
                let _none_left = self.give_up(state, &PoolError::Terminated);
                return;
            }
        }
    }

    /// The pool can do nothing any more.
    fn broken(&self, state: &mut State, error: PoolError, settled: &mut Settled) {
        if matches!(state.phase, Phase::Open | Phase::Closing { .. }) {
            state.phase = Phase::Broken(error.clone());
        }
        for (task, error) in self.give_up(state, &error) {
            settled.fail(task, error);
        }
    }
}
