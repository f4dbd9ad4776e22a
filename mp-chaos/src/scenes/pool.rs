//! A pool whose workers are killed: every call has one answer, right or the death of a worker that was killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mp::{AsyncResult, Pool, PoolError, TaskOptions};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Stage, pause};
use crate::strike::{Struck, killed};

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
    number: u64,
    work_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let mut number = 0;
        let calls = casting.some(2, 6, |casting| {
            let ways =
                [Way::Apply, Way::Map { chunksize: 1 }, Way::Map { chunksize: 4 }, Way::Imap];
            let way = if casting.chance(15) { Way::Overtime } else { casting.one_of(&ways) };
            let most = if way == Way::Overtime { 2 } else { 16 };
            let tasks = casting.some(1, most, |casting| {
                number += 1;
                let actor = casting.actor_in("task", 0..1, Fate::Wretched, 12);
                Task { actor, number, work_us: casting.one_of(&[0, 50, 1_000]) }
            });
            Call { way, tasks, retries: casting.one_of(&[0, 0, 3]) }
        });
        Script {
            boss: casting.actor_in("boss", 0..calls.len() as u64, Fate::Wretched, 25),
            processes: casting.size(1, 3),
            max_tasks: casting.chance(20).then(|| casting.between(1, 5)),
            calls,
        }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Pooling> {
        let Script { processes, max_tasks, calls, .. } = self.clone();
        company.start(self.boss, super::Part::Pool(Part { processes, max_tasks, calls }))?;
        Ok(Pooling { script: self.clone() })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    processes: usize,
    max_tasks: Option<u64>,
    calls: Vec<Call>,
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
    },
    TimedOut,
    /// For want of something.
    Short(String),
    Wrong(String),
}

/// The stage of the worker that this process is.
static STAGE: OnceLock<Stage> = OnceLock::new();

fn take_stage(stage: Stage) -> mp::Result<()> {
    mp::ensure!(STAGE.set(stage).is_ok(), "a worker has a stage already");
    Ok(())
}

fn work(task: Task) -> mp::Result<u64> {
    let stage = STAGE.get().ok_or_else(|| mp::Error::msg("a worker without a stage"))?;
    stage.announce(task.actor, 0, std::process::id())?;
    pause(task.work_us);
    let is_spoiled = stage.sabotage == Some(Sabotage::WrongResult) && task.number == 1;
    Ok(task.number * task.number + u64::from(is_spoiled))
}

fn work_too_long(task: Task) -> mp::Result<u64> {
    work(task)?;
    loop {
        std::thread::park();
    }
}

fn answer(result: &Result<u64, PoolError>, task: &Task) -> What {
    match result {
        Ok(n) if *n == task.number * task.number => What::Right,
        Ok(n) => What::Wrong(format!("task {} gave {n}", task.number)),
        Err(error) => failure(error),
    }
}

fn failure(error: &PoolError) -> What {
    match error {
        PoolError::WorkerDied { pid, exitcode: Some(-9), .. } => What::Died { pid: *pid },
        PoolError::TimedOut => What::TimedOut,
        PoolError::Start(_)
        | PoolError::Resources { .. }
        | PoolError::Queue(_)
        | PoolError::Transfer { .. } => What::Short(format!("{error:?}")),
        other => What::Wrong(format!("{other:?}")),
    }
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        match self.call_all(stage) {
            Err(error) if stage.is_wretched => match error.downcast_ref::<PoolError>() {
                // A starved pool may take no calls.
                Some(error) if matches!(failure(error), What::Short(_)) => Ok(Told::Broken),
                _ => Err(error),
            },
            told => told,
        }
    }

    fn call_all(self, stage: &mut Stage) -> mp::Result<Told> {
        let workers = stage.pass_on(stage.actor, false)?;
        let mut builder =
            Pool::builder().processes(self.processes).initializer(take_stage, (workers,));
        if let Some(tasks) = self.max_tasks {
            builder = builder.max_tasks_per_child(tasks);
        }
        let pool = builder.start()?;
        let mut answers = Vec::new();
        for (number, call) in self.calls.iter().enumerate() {
            stage.step()?;
            let mut note = |tasks, what| answers.push(Answer { call: number, tasks, what });
            let options = TaskOptions::new().retries(call.retries).idempotent(call.retries > 0);
            match call.way {
                Way::Apply => apply(&pool, options, work, &call.tasks, &mut note)?,
                Way::Overtime => {
                    let options = options.timeout(Duration::from_millis(20));
                    apply(&pool, options, work_too_long, &call.tasks, &mut note)?;
                }
                Way::Map { chunksize } => {
                    let calls = pool.with_options(options.chunksize(chunksize));
                    let results = calls.map(work, call.tasks.iter().copied());
                    match results {
                        Ok(results) if results.len() == call.tasks.len() => {
                            for (task, result) in call.tasks.iter().zip(results) {
                                note(1, answer(&Ok(result), task));
                            }
                        }
                        Ok(results) => {
                            note(0, What::Wrong(format!("{} results of a map", results.len())));
                        }
                        Err(error) => note(call.tasks.len(), failure(&error)),
                    }
                }
                Way::Imap => {
                    let calls = pool.with_options(options);
                    let results: Vec<_> = calls.imap(work, call.tasks.clone())?.collect();
                    for (task, result) in call.tasks.iter().zip(&results) {
                        note(1, answer(result, task));
                    }
                }
            }
        }
        pool.close();
        pool.join()?;
        Ok(Told::Pool(answers))
    }
}

/// Calls with each task at the same time, and sees that each call is answered once.
fn apply(
    pool: &Pool,
    options: TaskOptions,
    function: fn(Task) -> mp::Result<u64>,
    tasks: &[Task],
    note: &mut impl FnMut(usize, What),
) -> mp::Result<()> {
    let calls = pool.with_options(options);
    let is_work = std::ptr::fn_addr_eq(function, work as fn(Task) -> mp::Result<u64>);
    let mut results: Vec<(AsyncResult<u64>, Arc<AtomicUsize>)> = Vec::new();
    for task in tasks {
        let result = match is_work {
            true => calls.apply_async(work, (*task,))?,
            false => calls.apply_async(work_too_long, (*task,))?,
        };
        let times = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&times);
        result.on_done(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        results.push((result, times));
    }
    for ((result, _), task) in results.iter().zip(tasks) {
        note(1, answer(&result.get().copied(), task));
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

pub(crate) struct Pooling {
    script: Script,
}

impl Playing for Pooling {
    fn check(
        &mut self,
        company: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let Some(Told::Pool(answers)) = company.told(self.script.boss) else { return Ok(()) };
        let killed: BTreeSet<u32> = killed(struck);
        // Whose shortage it was, of all pools of the round, the answers do not say.
        let is_starved = struck.iter().any(|struck| struck.strike.blow.is_shortage());
        for (number, call) in self.script.calls.iter().enumerate() {
            let of_call: Vec<_> = answers.iter().filter(|answer| answer.call == number).collect();
            let answered: usize = of_call.iter().map(|answer| answer.tasks).sum();
            if answered != call.tasks.len() {
                problems.push(format!(
                    "call {number} of a pool has {answered} answers for {} tasks",
                    call.tasks.len()
                ));
            }
            for Answer { what, .. } in of_call {
                let is_expected = match what {
                    What::Right => call.way != Way::Overtime,
                    What::TimedOut => call.way == Way::Overtime,
                    What::Died { pid } => killed.contains(pid),
                    What::Short(_) => is_starved,
                    What::Wrong(_) => false,
                };
                if !is_expected {
                    problems.push(format!("call {number} of a pool, {:?}: {what:?}", call.way));
                }
            }
        }
        Ok(())
    }
}
