//! A pool whose workers are killed: every call has one answer, right or the death of a worker that was killed, and is run
//! no more often than it may be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mp::{AsyncResult, Calls, Pool, PoolError, SharedMemory, TaskOptions};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Notes, Stage, pause};
use crate::strike::{Struck, is_shortage, killed};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    boss: usize,
    processes: usize,
    max_tasks: Option<u64>,
    calls: Vec<Call>,
}

/// A step of the boss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Call {
    way: Way,
    tasks: Vec<Task>,
    retries: u32,
    /// Whether tasks may be run again that had begun.
    is_idempotent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Way {
    /// Each by itself, all at the same time.
    Apply,
    Map {
        chunksize: usize,
    },
    Imap,
    /// Each by itself, and each runs into its limit.
    Overtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Task {
    actor: usize,
    /// From 1 on, of all tasks of a pool.
    number: usize,
    work_us: u64,
    /// Its result has a block of so many bytes.
    block: Option<usize>,
}

/// What a task gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Product {
    Made {
        square: u64,
        block: Option<SharedMemory>,
    },
    /// There was no room for the block.
    Short,
}

impl Task {
    /// What it gives beside its block.
    fn square(&self) -> u64 {
        (self.number * self.number) as u64
    }

    /// Whether a block is the one that it makes.
    fn is_its(&self, block: Option<&SharedMemory>) -> bool {
        let mut byte = [0];
        match (self.block, block) {
            (None, None) => true,
            (Some(size), Some(block)) => {
                block.size() == size
                    && block.read_at(size - 1, &mut byte).is_ok()
                    && byte == self.mark()
            }
            _ => false,
        }
    }

    /// What stands at the end of its block.
    fn mark(&self) -> [u8; 1] {
        [1 | self.number.to_ne_bytes()[0]]
    }
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let (mut number, has_blocks) = (0, casting.chance(30));
        let calls = casting.some(2, 6, |casting| {
            let ways =
                [Way::Apply, Way::Map { chunksize: 1 }, Way::Map { chunksize: 4 }, Way::Imap];
            let way = if casting.chance(15) { Way::Overtime } else { casting.one_of(&ways) };
            let most = if way == Way::Overtime { 2 } else { 16 };
            let tasks = casting.some(1, most, |casting| {
                number += 1;
                let actor = casting.actor_in("task", 0..1, Fate::Wretched, 12);
                let block = casting.one_of(&[None, Some(5_000), Some(3_000_000)]);
                let block = block.filter(|_| has_blocks);
                Task { actor, number, work_us: casting.one_of(&[0, 50, 1_000]), block }
            });
            let retries = casting.one_of(&[0, 0, 1, 3]);
            Call { way, tasks, retries, is_idempotent: casting.chance(70) }
        });
        Script {
            boss: casting.actor_in("boss", 0..calls.len() as u64, Fate::Cramped, 25),
            processes: casting.size(1, 3),
            max_tasks: casting.chance(20).then(|| casting.between(1, 5)),
            calls,
        }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Pooling> {
        let Script { processes, max_tasks, calls, .. } = self.clone();
        let tasks: usize = calls.iter().map(|call| call.tasks.len()).sum();
        // The first is number 1.
        let runs = Notes::new(tasks + 1)?;
        let part = Part { processes, max_tasks, calls, runs: runs.clone() };
        company.start(self.boss, super::Part::Pool(part))?;
        Ok(Pooling { script: self.clone(), runs })
    }
}

impl Call {
    /// How often a task may be run that was begun.
    fn spare_runs(&self) -> usize {
        if self.is_idempotent { self.retries as usize } else { 0 }
    }

    /// How many workers have to die until a task has no result.
    fn deaths(&self, started: bool) -> usize {
        let retries = if started { self.spare_runs() } else { self.retries as usize };
        retries + 1
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    processes: usize,
    max_tasks: Option<u64>,
    calls: Vec<Call>,
    /// How often each task was begun.
    runs: Notes,
}

/// What came of a task, or of all tasks of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    call: usize,
    /// How many tasks this is about.
    tasks: usize,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum What {
    Right,
    Died {
        pid: u32,
        /// Whether the task had begun.
        started: bool,
    },
    TimedOut,
    /// For want of something.
    Short(String),
    /// For want of something the pool took no more calls; this is about none.
    Refused(String),
    Wrong(String),
}

/// What the worker has that this process is: its stage, and where it counts how often each task was begun.
static WORKER: OnceLock<(Stage, Notes)> = OnceLock::new();

fn enter(stage: Stage, runs: Notes) -> mp::Result<()> {
    mp::ensure!(WORKER.set((stage, runs)).is_ok(), "a worker has a stage already");
    Ok(())
}

fn work(task: Task) -> mp::Result<Product> {
    let (stage, runs) = WORKER.get().ok_or_else(|| mp::Error::msg("a worker without a stage"))?;
    // A task is at one worker at a time.
    runs.add(task.number, 1);
    stage.announce(task.actor, 0, std::process::id())?;
    pause(task.work_us);
    let block = match task.block.map(SharedMemory::create).transpose() {
        Ok(block) => block,
        Err(error) if is_shortage(&error) => return Ok(Product::Short),
        Err(error) => return Err(error.into()),
    };
    if let Some(block) = &block {
        block.write_at(block.size() - 1, &task.mark())?;
    }
    let is_spoiled = stage.sabotage == Some(Sabotage::WrongResult) && task.number == 1;
    Ok(Product::Made { square: task.square() + u64::from(is_spoiled), block })
}

fn work_too_long(task: Task) -> mp::Result<Product> {
    work(task)?;
    loop {
        std::thread::park();
    }
}

fn answer(result: Result<&Product, &PoolError>, task: &Task) -> What {
    match result {
        Ok(Product::Made { square, block }) => {
            match *square == task.square() && task.is_its(block.as_ref()) {
                true => What::Right,
                false => What::Wrong(format!("task {} gave {square} and {block:?}", task.number)),
            }
        }
        Ok(Product::Short) => What::Short("in the task".to_owned()),
        Err(error) => failure(error),
    }
}

fn failure(error: &PoolError) -> What {
    match error {
        PoolError::WorkerDied { pid, exitcode: Some(-9), started } => {
            What::Died { pid: *pid, started: *started }
        }
        PoolError::TimedOut => What::TimedOut,
        // That of a worker does not say why.
        PoolError::Transfer { .. } => What::Short(format!("{error:?}")),
        error if is_shortage(error) => What::Short(format!("{error:?}")),
        other => What::Wrong(format!("{other:?}")),
    }
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        let mut answers = Vec::new();
        if let Err(error) = self.call_all(stage, &mut answers) {
            // Whose shortage it was, and whether there was one, is looked at in the end.
            let refused = error.downcast_ref::<PoolError>().map(failure);
            let Some(What::Short(text)) = refused else { return Err(error) };
            let begun = usize::try_from(stage.board.get(stage.actor))?;
            let call = begun.saturating_sub(1);
            answers.push(Answer { call, tasks: 0, what: What::Refused(text) });
        }
        Ok(Told::Pool(answers))
    }

    fn call_all(self, stage: &Stage, answers: &mut Vec<Answer>) -> mp::Result<()> {
        let workers = stage.pass_on(stage.actor, false)?;
        let mut builder =
            Pool::builder().processes(self.processes).initializer(enter, (workers, self.runs));
        if let Some(tasks) = self.max_tasks {
            builder = builder.max_tasks_per_child(tasks);
        }
        let pool = builder.start()?;
        for (number, call) in self.calls.iter().enumerate() {
            stage.step()?;
            let mut note = |tasks, what| answers.push(Answer { call: number, tasks, what });
            call.make(&pool, &mut note)?;
        }
        pool.close();
        Ok(pool.join()?)
    }
}

impl Call {
    /// Makes the call, and notes what comes of it.
    fn make(&self, pool: &Pool, note: &mut impl FnMut(usize, What)) -> mp::Result<()> {
        let options = TaskOptions::new().retries(self.retries).idempotent(self.is_idempotent);
        match self.way {
            Way::Apply => self.apply(&pool.with_options(options), note)?,
            Way::Overtime => {
                let options = options.timeout(Duration::from_millis(20));
                self.apply(&pool.with_options(options), note)?;
            }
            Way::Map { chunksize } => {
                let calls = pool.with_options(options.chunksize(chunksize));
                match calls.map(work, self.tasks.iter().copied()) {
                    Ok(results) => self.note_all(results.into_iter().map(Ok), note),
                    Err(error) => note(self.tasks.len(), failure(&error)),
                }
            }
            Way::Imap => {
                let calls = pool.with_options(options);
                self.note_all(calls.imap(work, self.tasks.clone())?, note);
            }
        }
        Ok(())
    }

    /// Notes the results of all tasks.
    fn note_all(
        &self,
        results: impl Iterator<Item = Result<Product, PoolError>>,
        note: &mut impl FnMut(usize, What),
    ) {
        let results: Vec<_> = results.collect();
        for (task, result) in self.tasks.iter().zip(&results) {
            note(1, answer(result.as_ref(), task));
        }
        // A pool that can start no workers takes no more tasks: the last result says why, and there are no others.
        let end = results.last().and_then(|last| last.as_ref().err()).map(failure);
        match end {
            Some(What::Short(why)) if results.len() < self.tasks.len() => {
                note(0, What::Refused(why));
            }
            _ if results.len() != self.tasks.len() => {
                note(0, What::Wrong(format!("{} results", results.len())));
            }
            _ => {}
        }
    }

    /// Calls with each task at the same time, and sees that each call is answered once.
    fn apply(&self, calls: &Calls<'_>, note: &mut impl FnMut(usize, What)) -> mp::Result<()> {
        let mut results: Vec<(AsyncResult<Product>, Arc<AtomicUsize>)> = Vec::new();
        let mut refused = None;
        for task in &self.tasks {
            let result = match self.way {
                Way::Overtime => calls.apply_async(work_too_long, (*task,)),
                _ => calls.apply_async(work, (*task,)),
            };
            let result = match result {
                Ok(result) => result,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            };
            let times = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&times);
            result.on_done(move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
            });
            results.push((result, times));
        }
        for ((result, _), task) in results.iter().zip(&self.tasks) {
            note(1, answer(result.get().as_ref().copied(), task));
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        // The callbacks are done when a later call with one is.
        let last = calls.apply_async(|| Ok(0_u64), ())?;
        let (tell, told) = std::sync::mpsc::channel();
        last.on_done(move |_| {
            let _is_waited_for = tell.send(());
        });
        told.recv_timeout(Duration::from_secs(20))
            .map_err(|_| mp::Error::msg("a callback was not called"))?;
        for (number, (_, times)) in results.iter().enumerate() {
            let times = times.load(Ordering::Relaxed);
            mp::ensure!(times == 1, "the callback of call {number} was called {times} times");
        }
        Ok(())
    }
}

pub(crate) struct Pooling {
    script: Script,
    /// How often each task was begun.
    runs: Notes,
}

impl Script {
    /// The actors that act for the pool, or acted for it until the end of this call: its tasks, and so its workers.
    fn tasks_until(&self, call: usize) -> BTreeSet<usize> {
        let tasks = self.calls[..=call].iter().flat_map(|call| &call.tasks);
        tasks.map(|task| task.actor).collect()
    }
}

impl Playing for Pooling {
    fn check(
        &mut self,
        company: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let answers = match company.told(self.script.boss) {
            Some(Told::Pool(answers)) => Some(answers.as_slice()),
            _ => None,
        };
        for number in 0..self.script.calls.len() {
            self.check_call(number, answers, struck, problems);
        }
        Ok(())
    }
}

impl Pooling {
    /// `answers` are those of all calls, if their boss has lived to tell them.
    fn check_call(
        &self,
        number: usize,
        answers: Option<&[Answer]>,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) {
        let call = &self.script.calls[number];
        let workers = self.script.tasks_until(number);
        let of_workers: Vec<Struck> = struck
            .iter()
            .filter(|struck| workers.contains(&struck.strike.actor))
            .cloned()
            .collect();
        let killed = killed(&of_workers);
        let is_starved = struck.iter().any(|Struck { strike, .. }| {
            let is_own = workers.contains(&strike.actor) || strike.actor == self.script.boss;
            is_own && strike.blow.is_shortage()
        });
        let most = 1 + call.spare_runs().min(killed.len()) as u64;
        let mut problem =
            |text| problems.push(format!("call {number} of a pool, {:?}: {text}", call.way));
        for task in &call.tasks {
            let runs = self.runs.get(task.number);
            if runs > most {
                problem(format!(
                    "task {} was begun {runs} times, at most {most} are right",
                    task.number
                ));
            }
        }
        let Some(answers) = answers else { return };
        let is_refused = answers
            .iter()
            .any(|answer| answer.call <= number && matches!(answer.what, What::Refused(_)));
        let of_call: Vec<_> = answers.iter().filter(|answer| answer.call == number).collect();
        let answered: usize = of_call.iter().map(|answer| answer.tasks).sum();
        if answered > call.tasks.len() || answered < call.tasks.len() && !is_refused {
            problem(format!("{answered} answers for {} tasks", call.tasks.len()));
        }
        for Answer { what, .. } in &of_call {
            let is_expected = match what {
                What::Right => call.way != Way::Overtime,
                What::TimedOut => call.way == Way::Overtime,
                What::Died { pid, started } => {
                    killed.contains(pid) && killed.len() >= call.deaths(*started)
                }
                What::Short(_) | What::Refused(_) => is_starved,
                What::Wrong(_) => false,
            };
            if !is_expected {
                problem(format!("{what:?}, {} workers were killed", killed.len()));
            }
        }
        for (answer, task) in of_call.iter().filter(|answer| answer.tasks == 1).zip(&call.tasks) {
            let runs = self.runs.get(task.number);
            let is_told_apart = !matches!(call.way, Way::Map { .. });
            let fits = match answer.what {
                What::Right => runs > 0,
                // Nothing of it was done, then or before.
                What::Died { started: false, .. } if is_told_apart && call.spare_runs() == 0 => {
                    runs == 0
                }
                _ => true,
            };
            if !fits {
                problem(format!("task {} was begun {runs} times: {:?}", task.number, answer.what));
            }
        }
    }
}
