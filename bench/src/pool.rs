//! Pools of two processes: calls of a function that does next to nothing, calls that keep a core busy, and the
//! way to the first result.
//!
//! A pool lives as long as its case, but where its start is what is measured. Nothing is bound to a core: who
//! gives the work out and who does it are three on two cores.

use std::collections::VecDeque;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::duet::{Duet, Players};
use crate::pair::{Measured, Pairs, time, turn};
use crate::python::Against;
use crate::sync::CALLS;

const WORKERS: usize = 2;
const WARM_UP: usize = 1;
const ROUNDS: usize = 11;

/// How many calls take some tenths of a second.
const NUMBERS: u32 = 1000 * CALLS;
const SINGLE_NUMBERS: u32 = 200 * CALLS;
const PYTHON_SINGLE_NUMBERS: u32 = 50 * CALLS;
const PROCSPAWN_NUMBERS: u32 = 20 * CALLS;
const APPLIES: u32 = 20_000;
const SLOW_APPLIES: u32 = 2000;
/// How many handles of procspawn wait at once: each has three descriptors, and 1024 is the usual limit.
const HANDLES: usize = 256;

const TASKS: usize = 200;
const TASK_TIME: Duration = Duration::from_millis(10);
const TASK_ROUNDS: usize = 7;

const START_WARM_UP: usize = 4;
const START_ROUNDS: usize = 80;
const STARTS: usize = 5;
const PYTHON: Against = Against { script: "pool.py", warm_up: WARM_UP, rounds: ROUNDS };

fn successor(number: u64) -> mp::Result<u64> {
    Ok(number + 1)
}

fn our_pool() -> mp::Result<mp::Pool> {
    Ok(mp::Pool::new(WORKERS)?)
}

/// The time until `call` has the successors of so many numbers.
fn successors(
    numbers: u32,
    call: impl FnOnce(Range<u64>) -> mp::Result<Vec<u64>>,
) -> mp::Result<Duration> {
    let begin = Instant::now();
    let results = call(0..numbers.into())?;
    let elapsed = begin.elapsed();
    mp::ensure!(results.into_iter().eq(1..=numbers.into()), "a pool gave wrong results");
    Ok(elapsed)
}

/// The time of some calls of a map, in chunks of the size that is the pool's choice.
fn our_map(pool: &mp::Pool) -> mp::Result<Duration> {
    let elapsed = successors(NUMBERS, |numbers| Ok(pool.map(successor, numbers)?))?;
    Ok(elapsed / (NUMBERS / CALLS))
}

/// As above, every item on its own.
fn our_map_one_by_one(pool: &mp::Pool) -> mp::Result<Duration> {
    let pool = pool.with_options(mp::TaskOptions::new().chunksize(1));
    let elapsed = successors(SINGLE_NUMBERS, |numbers| Ok(pool.map(successor, numbers)?))?;
    Ok(elapsed / (SINGLE_NUMBERS / CALLS))
}

fn our_apply(pool: &mp::Pool) -> mp::Result<Duration> {
    let one = |number| Ok(pool.apply(successor, (number,))?);
    Ok(successors(APPLIES, |numbers| numbers.map(one).collect())? / APPLIES)
}

pub(crate) fn map_python() -> mp::Result<Measured> {
    let pool = our_pool()?;
    PYTHON.measure("map", NUMBERS, NUMBERS / CALLS, || our_map(&pool))
}

pub(crate) fn map_chunk1_python() -> mp::Result<Measured> {
    let (pool, numbers) = (our_pool()?, PYTHON_SINGLE_NUMBERS);
    PYTHON.measure("map_chunk1", numbers, numbers / CALLS, || our_map_one_by_one(&pool))
}

pub(crate) fn map_chunk1_procspawn() -> mp::Result<Measured> {
    let (pool, other) = (our_pool()?, procspawn::Pool::new(WORKERS)?);
    let other = || {
        let elapsed = successors(PROCSPAWN_NUMBERS, |numbers| procspawn_map(&other, numbers))?;
        Ok(elapsed / (PROCSPAWN_NUMBERS / CALLS))
    };
    Pairs::measure(WARM_UP, ROUNDS, || our_map_one_by_one(&pool), other)
}

/// There is always a call for a worker that is done with one.
fn procspawn_map(pool: &procspawn::Pool, numbers: Range<u64>) -> mp::Result<Vec<u64>> {
    let mut handles = VecDeque::new();
    let mut results = Vec::new();
    for number in numbers {
        if handles.len() == HANDLES {
            results.extend(handles.pop_front().map(procspawn::JoinHandle::join).transpose()?);
        }
        handles.push_back(pool.spawn(number, |number| number + 1));
    }
    for handle in handles {
        results.push(handle.join()?);
    }
    Ok(results)
}

pub(crate) fn apply_procspawn() -> mp::Result<Measured> {
    let (pool, other) = (our_pool()?, procspawn::Pool::new(WORKERS)?);
    let one = |number| Ok(other.spawn(number, |number| number + 1).join()?);
    let other =
        || Ok(successors(SLOW_APPLIES, |numbers| numbers.map(one).collect())? / SLOW_APPLIES);
    Pairs::measure(WARM_UP, ROUNDS, || our_apply(&pool), other)
}

pub(crate) fn apply_python() -> mp::Result<Measured> {
    let pool = our_pool()?;
    PYTHON.measure("apply", SLOW_APPLIES, SLOW_APPLIES, || our_apply(&pool))
}

/// What keeps a core busy for a while.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Work {
    steps: u64,
    result: u64,
}

impl Work {
    /// As much as takes this machine so long when nothing disturbs it.
    fn lasting(duration: Duration) -> mp::Result<Work> {
        const TRIAL: u64 = 1_000_000;
        let trial = Work::new(TRIAL);
        let times = (0..10).map(|_| time(|| trial.check())).collect::<mp::Result<Vec<_>>>()?;
        let undisturbed = times.into_iter().min().unwrap_or_default().as_nanos().max(1);
        let steps = u128::from(TRIAL) * duration.as_nanos() / undisturbed;
        Ok(Work::new(steps.try_into()?))
    }

    fn new(steps: u64) -> Work {
        Work { steps, result: walk(steps) }
    }

    fn check(self) -> mp::Result<()> {
        let result = walk(black_box(self.steps));
        mp::ensure!(result == self.result, "{} steps led to {result}", self.steps);
        Ok(())
    }
}

/// None of the steps can begin before the one ahead is done.
fn walk(steps: u64) -> u64 {
    (0..steps).fold(1, |place: u64, step| place.wrapping_mul(6_364_136_223_846_793_005) ^ step)
}

/// Half of the tasks each.
impl Duet for Work {
    fn play(&self, _: usize) -> mp::Result<()> {
        (0..TASKS / 2).try_for_each(|_| self.check())
    }
}

/// Against two processes that share the same tasks out in advance: all that two cores can do.
pub(crate) fn cpu_bound() -> mp::Result<Measured> {
    let work = Work::lasting(TASK_TIME)?;
    let (pool, mut ideal) = (our_pool()?, Players::start(&work)?);
    let pool = pool.with_options(mp::TaskOptions::new().chunksize(1));
    let ours = || {
        time(|| {
            let done = pool.map(Work::check, vec![work; TASKS])?.len();
            mp::ensure!(done == TASKS, "{done} of {TASKS} tasks were done");
            Ok(())
        })
    };
    Pairs::measure(WARM_UP, TASK_ROUNDS, ours, || ideal.play())
}

/// The time from nothing to a result, after which all that was started for it ends.
fn first_result<P>(
    start: impl FnOnce() -> mp::Result<P>,
    call: impl FnOnce(&P) -> mp::Result<u64>,
) -> mp::Result<Duration> {
    let begin = Instant::now();
    let started = start()?;
    let result = call(&started)?;
    let elapsed = begin.elapsed();
    mp::ensure!(result == 7, "the first result is {result}");
    Ok(elapsed)
}

fn our_first_result() -> mp::Result<Duration> {
    turn(STARTS, || first_result(our_pool, |pool| Ok(pool.apply(successor, (6,))?)))
}

pub(crate) fn first_result_start() -> mp::Result<Measured> {
    let start = || Ok(mp::Process::start(successor, (6,))?);
    let other = || first_result(start, |process| Ok(*process.result()?));
    Pairs::measure(START_WARM_UP, START_ROUNDS, our_first_result, || turn(STARTS, other))
}

pub(crate) fn first_result_procspawn() -> mp::Result<Measured> {
    let start = || Ok(procspawn::Pool::new(WORKERS)?);
    let call = |pool: &procspawn::Pool| Ok(pool.spawn(6, |number| number + 1).join()?);
    let other = || first_result(start, call);
    Pairs::measure(START_WARM_UP, START_ROUNDS, our_first_result, || turn(STARTS, other))
}
