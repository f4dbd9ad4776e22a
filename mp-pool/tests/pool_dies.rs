//! Workers, and pools with them, are killed at random instants and at chosen ones, and every task is accounted for.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mp::{AsyncResult, Event, Pool, PoolError, Queue, RawArray, TaskOptions, Value};
use mp_testing::limits::{LONG, SHORT, alone, alone_for, at_once, comes_true};
use mp_testing::storm::{Dice, kills, limit_of, take_turn};
use mp_testing::system::{children_of, ends_within, is_asleep, is_stopped, signal};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

/// The time within which a task whose worker was killed has failed.
const LIMIT: Duration = Duration::from_secs(1);

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Kills a process, and waits until it has ended.
fn kill_and_wait(pid: u32) {
    kill(pid);
    assert!(ends_within(pid, LONG).unwrap());
}

/// Sees that a pool has all of its workers and works.
fn is_as_new(pool: &Pool) {
    assert!(comes_true(|| pool.worker_pids().len() == pool.processes()), "{pool:?}");
    let squares = pool.map(|n: u64| Ok(n * n), 0..50).unwrap();
    assert!(squares.into_iter().eq((0..50).map(|n| n * n)));
}

fn park() -> mp::Result<()> {
    loop {
        std::thread::park();
    }
}

/// What tasks write down, outside of the queues.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    /// How often each was begun.
    begun: RawArray<u32>,
    /// Who began it last.
    by: RawArray<u32>,
    /// How often it came to its end.
    ended: RawArray<u32>,
    /// Pids of workers that have run a task, by their last bits.
    born: RawArray<u32>,
}

static LEDGER: OnceLock<Ledger> = OnceLock::new();

impl Ledger {
    fn new(len: usize) -> Ledger {
        let array = |len| RawArray::zeroed(len).unwrap();
        Ledger { begun: array(len), by: array(len), ended: array(len), born: array(1 << 12) }
    }

    /// Runs the task with this number: passes some time.
    fn run(&self, id: usize, time: Duration) -> mp::Result<u64> {
        let pid = std::process::id();
        self.by.set(id, pid)?;
        self.begun.set(id, self.begun.get(id)? + 1)?;
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        self.ended.set(id, self.ended.get(id)? + 1)?;
        self.born.set(self.place_of(pid), pid)?;
        Ok(result_of(id))
    }

    fn place_of(&self, pid: u32) -> usize {
        pid as usize % self.born.len()
    }

    fn is_born(&self, pid: u32) -> bool {
        self.born.get(self.place_of(pid)).unwrap() == pid
    }

    fn begun(&self, id: usize) -> u32 {
        self.begun.get(id).unwrap()
    }

    /// Who began with it, if anybody did.
    fn owner(&self, id: usize) -> Option<u32> {
        (self.begun(id) > 0).then(|| self.by.get(id).unwrap())
    }

    /// Whether it was run once, from begin to end.
    fn ran_once(&self, id: usize) -> bool {
        self.begun(id) == 1 && self.ended.get(id).unwrap() == 1
    }
}

fn result_of(id: usize) -> u64 {
    id as u64 * 7 + 1
}

fn take_ledger(ledger: Ledger) -> mp::Result<()> {
    LEDGER.get_or_init(|| ledger);
    Ok(())
}

/// A task that finds the ledger in its worker.
fn works((id, micros): (usize, u64)) -> mp::Result<u64> {
    LEDGER.get().expect("the initializer has run").run(id, Duration::from_micros(micros))
}

/// A task that gets the ledger with its arguments.
fn works_with(ledger: Ledger, id: usize, micros: u64) -> mp::Result<u64> {
    ledger.run(id, Duration::from_micros(micros))
}

/// What became of one or more chunks of tasks that have a handle together.
struct Fate {
    ids: Range<usize>,
    chunksize: usize,
    outcome: Result<Vec<u64>, PoolError>,
    /// Only of single tasks.
    at: Option<Instant>,
}

/// The load of a pool in a storm.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Load {
    processes: usize,
    /// The longest task, in microseconds.
    work: u64,
    /// The longest pause between two calls, in microseconds.
    pause: u64,
    /// The longest pause between two kills.
    peace: Duration,
    has_imap: bool,
}

/// What callbacks were told, and when.
type Told = Arc<Mutex<Vec<(Instant, Result<u64, PoolError>)>>>;

/// Tells of tasks that nobody has waited for yet.
enum Open {
    One(usize, Told, AsyncResult<u64>),
    Map(Range<usize>, AsyncResult<Vec<u64>>),
}

const MAP_CHUNK: usize = 3;

/// Submits tasks with numbers from `ids` until `is_over`.
fn submit(
    pool: &Pool,
    ledger: &Ledger,
    load: Load,
    mut ids: Range<usize>,
    is_over: &AtomicBool,
) -> Vec<Fate> {
    let mut dice = Dice::of_this_storm();
    let (mut open, mut fates) = (VecDeque::new(), Vec::new());
    while !is_over.load(SeqCst) {
        let micros = dice.below(load.work);
        let id = ids.next().expect("the ledger is full");
        match dice.below(10) {
            kind @ 0..7 => {
                let handle = match kind {
                    0..5 => pool.apply_async(|id, micros| works((id, micros)), (id, micros)),
                    _ => pool.apply_async(works_with, (ledger.clone(), id, micros)),
                };
                let (handle, told) = (handle.unwrap(), Told::default());
                let teller = Arc::clone(&told);
                handle.on_done(move |outcome: &Result<u64, PoolError>| {
                    teller.lock().unwrap().push((Instant::now(), outcome.clone()));
                });
                open.push_back(Open::One(id, told, handle));
            }
            _ => {
                let end = id + 1 + dice.index(12);
                ids.start = end;
                let items = (id..end).map(|id| (id, micros / 2)).collect::<Vec<_>>();
                let options = TaskOptions::new().chunksize(MAP_CHUNK);
                let handle = pool.with_options(options).map_async(works, items).unwrap();
                open.push_back(Open::Map(id..end, handle));
            }
        }
        if open.len() > 150 {
            fates.push(wait_for(open.pop_front().unwrap()));
        }
        dice.pass_less_than(Duration::from_micros(load.pause));
    }
    fates.extend(open.into_iter().map(wait_for));
    fates
}

fn wait_for(open: Open) -> Fate {
    match open {
        Open::One(id, told, handle) => {
            assert!(handle.wait_timeout(LONG), "{handle:?} hangs");
            let (at, outcome) = told.lock().unwrap().pop().expect("it has called back");
            assert!(told.lock().unwrap().is_empty(), "it has called back twice");
            assert_eq!(handle.successful(), Some(outcome.is_ok()));
            let outcome = outcome.map(|result| vec![result]);
            Fate { ids: id..id + 1, chunksize: 1, outcome, at: Some(at) }
        }
        Open::Map(ids, handle) => {
            assert!(handle.wait_timeout(LONG), "{handle:?} hangs");
            Fate { ids, chunksize: MAP_CHUNK, outcome: handle.into_result(), at: None }
        }
    }
}

/// Has an `imap` work through `ids` until `is_over`; each chunk has a fate of its own.
fn imap(
    pool: &Pool,
    load: Load,
    mut ids: Range<usize>,
    chunksize: usize,
    is_over: &AtomicBool,
) -> Vec<Fate> {
    let first = ids.start;
    // Whole chunks.
    let mut in_chunk = 0;
    let input = std::iter::from_fn(|| {
        if in_chunk == 0 && is_over.load(SeqCst) {
            return None;
        }
        in_chunk = (in_chunk + 1) % chunksize;
        Some((ids.next().expect("the ledger is full"), load.work / 4))
    });
    let options = TaskOptions::new().chunksize(chunksize).look_ahead(20 * chunksize);
    let mut results = pool.with_options(options).imap(works, input).unwrap();
    let mut fates = Vec::new();
    for start in (first..).step_by(chunksize) {
        let mut next = || results.next_timeout(LONG).expect("an imap hangs");
        let Some(result) = next() else { break };
        let rest = (1..chunksize).map(|_| next().expect("a chunk is cut"));
        let outcome = match result {
            Ok(result) => std::iter::once(Ok(result)).chain(rest).collect(),
            Err(error) => {
                assert!(rest.into_iter().all(|other| other.is_err()), "a part of a chunk came");
                Err(error)
            }
        };
        fates.push(Fate { ids: start..start + chunksize, chunksize, outcome, at: None });
    }
    fates
}

/// Kills one worker after the other while the others work, and one that was just started now and then.
fn kill_workers(
    pool: &Pool,
    ledger: &Ledger,
    peace: Duration,
    count: usize,
) -> Vec<(u32, Instant)> {
    let mut dice = Dice::of_this_storm();
    let mut killed = Vec::<(u32, Instant)>::new();
    for _ in 0..count {
        dice.pass_less_than(peace);
        let mut victim = 0;
        // Workers that die one after the other before one has begun with anything break a pool.
        let others_work = || {
            let pids = pool.worker_pids();
            let is_dead = |pid: &u32| killed.iter().any(|(other, _)| other == pid);
            let pids: Vec<_> = pids.into_iter().filter(|pid| !is_dead(pid)).collect();
            if pids.len() < 2 {
                return false;
            }
            victim = pids[dice.index(pids.len())];
            pids.iter().any(|pid| *pid != victim && ledger.is_born(*pid))
        };
        assert!(comes_true(others_work), "workers are not replaced");
        killed.push((victim, Instant::now()));
        kill(victim);
    }
    killed
}

fn storm(load: Load, usual_kills: usize) {
    let _turn = take_turn();
    let kills = kills(usual_kills);
    alone_for(limit_of(kills), strike, (load, kills));
}

fn strike(load: Load, kills: usize) -> mp::Result<()> {
    let half = 20_000 + 1500 * kills;
    let ledger = Ledger::new(2 * half);
    let pool = Pool::builder()
        .processes(load.processes)
        .initializer(take_ledger, (ledger.clone(),))
        .start()
        .unwrap();
    let is_over = AtomicBool::new(false);
    let (killed, fates) = std::thread::scope(|scope| {
        let applies = scope.spawn(|| submit(&pool, &ledger, load, 0..half, &is_over));
        let imaps = load
            .has_imap
            .then(|| scope.spawn(|| imap(&pool, load, half..2 * half, MAP_CHUNK, &is_over)));
        let killer = scope.spawn(|| kill_workers(&pool, &ledger, load.peace, kills));
        let killed = killer.join();
        is_over.store(true, SeqCst);
        let mut fates = applies.join().unwrap();
        fates.extend(imaps.into_iter().flat_map(|imaps| imaps.join().unwrap()));
        (killed.unwrap(), fates)
    });
    account_for_all(&ledger, &killed, &fates);
    is_as_new(&pool);
    // It may take a moment until the last death is known.
    let are_all_new = || {
        let pids = pool.worker_pids();
        pids.len() == load.processes && killed.iter().all(|(pid, _)| !pids.contains(pid))
    };
    assert!(comes_true(are_all_new), "workers are not replaced");
    assert!(comes_true(|| children_of(std::process::id()).len() == load.processes));
    pool.close();
    at_once(|| pool.join().unwrap());
    assert_eq!(children_of(std::process::id()), [0; 0]);
    Ok(())
}

/// Sees that a kill has cost one task at most, and that all others were run once and gave their results.
fn account_for_all(ledger: &Ledger, killed: &[(u32, Instant)], fates: &[Fate]) {
    let killed: HashMap<u32, Instant> = killed.iter().copied().collect();
    let mut hits = HashMap::<u32, usize>::new();
    // Of chunks whose worker has not come to say anything.
    let (mut unclear, mut not_begun) = (0, 0);
    let mut stalls = Vec::new();
    let mut tasks = 0;
    for fate in fates {
        tasks += fate.ids.len().div_ceil(fate.chunksize);
        assert!(fate.ids.clone().all(|id| ledger.begun(id) <= 1), "a task was run twice");
        let error = match &fate.outcome {
            Ok(results) => {
                assert!(results.iter().copied().eq(fate.ids.clone().map(result_of)));
                assert!(fate.ids.clone().all(|id| ledger.ran_once(id)));
                continue;
            }
            Err(error) => error,
        };
        let PoolError::WorkerDied { pid, exitcode: Some(-9), started } = *error else {
            panic!("{error:?}");
        };
        let killed_at = killed.get(&pid).expect("it was killed here");
        stalls.extend(fate.at.map(|at| at.saturating_duration_since(*killed_at)));
        let starts = fate.ids.clone().step_by(fate.chunksize);
        let chunks = starts.map(|start| start..fate.ids.end.min(start + fate.chunksize));
        let cut: Vec<_> =
            chunks.clone().filter(|chunk| !chunk.clone().all(|id| ledger.ran_once(id))).collect();
        // The first of a chunk says whose it was.
        let owner = |chunk: &Range<usize>| ledger.owner(chunk.start);
        let mut has_own = false;
        let mut has_unclear = false;
        for chunk in &cut {
            match owner(chunk) {
                Some(other) => {
                    assert!(killed.contains_key(&other), "a task was cut without a kill");
                    *hits.entry(other).or_default() += 1;
                    has_own |= other == pid;
                }
                None => {
                    unclear += 1;
                    has_unclear = true;
                }
            }
        }
        if !started {
            not_begun += 1;
            assert!(has_unclear && !has_own, "a task that had not started has done something");
        }
        if !has_own {
            if has_unclear {
                unclear -= 1;
            } else {
                // It was killed between the end of the task and that of its report.
                assert!(chunks.clone().any(|chunk| owner(&chunk) == Some(pid)));
            }
            *hits.entry(pid).or_default() += 1;
        }
    }
    assert!(hits.values().all(|count| *count == 1), "a kill has cost two tasks: {hits:?}");
    let cost = hits.len() + unclear;
    assert!(cost <= killed.len(), "{} kills have cost {cost} tasks", killed.len());
    stalls.sort();
    let longest = stalls.last().copied().unwrap_or_default();
    let median = stalls.get(stalls.len() / 2).copied().unwrap_or_default();
    eprintln!(
        "{} kills, {tasks} tasks, {cost} of them lost, {not_begun} before they had begun; told after {median:?}, at \
         most {longest:?}",
        killed.len()
    );
    let late = stalls.iter().filter(|stall| **stall > LIMIT).count();
    // On a machine that others use too.
    assert!(late <= stalls.len() / 100, "{late} of {} were told late: {stalls:?}", stalls.len());
}

const BUSY: Load =
    Load { processes: 4, work: 800, pause: 1, peace: Duration::from_millis(15), has_imap: false };

// DIFFERENCE from X-11: a worker that is killed costs its task; the pool and all other tasks go on.
#[test]
fn pl_28_a_storm_of_kills_of_busy_workers_costs_one_task_each_at_most() {
    storm(BUSY, 40);
}

#[test]
fn pl_28_a_storm_of_kills_of_busy_workers_that_serve_an_imap_too() {
    storm(Load { has_imap: true, ..BUSY }, 40);
}

/// Nothing but the queues: what is hit is a claim, a message or a report.
#[test]
fn pl_28_a_storm_of_kills_of_workers_with_tasks_of_no_length() {
    storm(Load { work: 1, has_imap: true, ..BUSY }, 40);
}

#[test]
fn pl_28_a_storm_of_kills_of_two_workers() {
    storm(Load { processes: 2, has_imap: true, ..BUSY }, 30);
}

/// They sleep in their gets most of the time.
#[test]
fn pl_30_a_storm_of_kills_of_idle_workers_blocks_nobody() {
    storm(Load { work: 100, pause: 3000, ..BUSY }, 40);
}

/// Tasks of one argument and one result, both so long.
const LARGE_LEN: usize = 1 << 20;

fn large(id: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(id % 26).unwrap());
    String::from(letter).repeat(LARGE_LEN)
}

fn echo(text: String) -> mp::Result<String> {
    Ok(text)
}

fn crash(_text: String) -> mp::Result<String> {
    std::process::abort();
}

/// One crashes while arguments and results are on their way.
// DIFFERENCE from X-13: the crash costs one task; the pool is not broken by it.
#[test]
fn x_13_a_crash_while_long_arguments_and_results_are_on_the_way_costs_one_task() {
    let pool = Pool::new(2).unwrap();
    for round in 0..10 {
        let submit = |id| match id == round {
            true => pool.apply_async(crash, (large(id),)),
            false => pool.apply_async(echo, (large(id),)),
        };
        let handles: Vec<_> = (0..10).map(|id| submit(id).unwrap()).collect();
        for (id, handle) in handles.into_iter().enumerate() {
            match handle.get_timeout(LONG) {
                Ok(text) => assert!(id != round && *text == large(id)),
                Err(PoolError::WorkerDied { exitcode: Some(-6), started: true, .. }) => {
                    assert_eq!(id, round);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    is_as_new(&pool);
}

#[test]
fn x_13_a_storm_of_kills_while_long_arguments_and_results_are_on_the_way() {
    let _turn = take_turn();
    let mut dice = Dice::of_this_storm();
    let pool = Pool::new(3).unwrap();
    let (mut lost, rounds) = (0, kills(25));
    for _ in 0..rounds {
        // So that not all of them die before they have begun.
        is_as_new(&pool);
        let handles: Vec<_> =
            (0..10).map(|id| pool.apply_async(echo, (large(id),)).unwrap()).collect();
        dice.pass_less_than(Duration::from_millis(12));
        let pids = pool.worker_pids();
        let victim = pids[dice.index(pids.len())];
        kill(victim);
        let mut lost_here = 0;
        for (id, handle) in handles.into_iter().enumerate() {
            match handle.get_timeout(LONG) {
                Ok(text) => assert!(*text == large(id), "a result is not what was sent"),
                Err(PoolError::WorkerDied { pid, exitcode: Some(-9), .. }) => {
                    assert_eq!(pid, victim);
                    lost_here += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(lost_here <= 1, "a kill has cost {lost_here} tasks");
        lost += lost_here;
    }
    eprintln!("{rounds} kills, {lost} of {} tasks lost", 10 * rounds);
    is_as_new(&pool);
}

/// The pool is closed and joined, and then a worker crashes.
fn crashes_after_its_end_was_called_for() -> mp::Result<()> {
    for processes in 1..=3 {
        let (pool, gate) = (Pool::new(processes)?, Event::new()?);
        let crashes = |gate: Event| -> mp::Result<()> {
            gate.wait()?;
            std::process::abort();
        };
        let crash = pool.apply_async(crashes, (gate.clone(),))?;
        let others: Vec<_> = (0..20)
            .map(|n: u64| pool.apply_async(|n: u64| Ok(n), (n,)))
            .collect::<Result<_, _>>()?;
        std::thread::scope(|scope| {
            pool.close();
            let join = scope.spawn(|| pool.join());
            std::thread::sleep(SHORT);
            assert!(!join.is_finished(), "it waits for the task");
            gate.set();
            join.join().unwrap().unwrap();
        });
        let error = crash.into_result().unwrap_err();
        assert!(
            matches!(error, PoolError::WorkerDied { exitcode: Some(-6), started: true, .. }),
            "{error:?}"
        );
        for (n, other) in (0..).zip(others) {
            assert_eq!(other.into_result()?, n);
        }
        assert_eq!(pool.worker_pids(), [0; 0]);
    }
    Ok(())
}

#[test]
fn x_14_a_crash_after_close_and_join_were_called_fails_its_task_and_ends_the_pool() {
    alone(crashes_after_its_end_was_called_for);
}

/// Idle workers are killed about the moment at which they are told to end.
fn is_killed_as_it_ends() -> mp::Result<()> {
    let mut dice = Dice::of_this_storm();
    for round in 0..kills(30) {
        let pool = Pool::new(3)?;
        if round % 2 == 0 {
            is_as_new(&pool);
        }
        let pids = pool.worker_pids();
        let handle = (round % 3 == 0).then(|| pool.apply_async(|| Ok(1), ()).unwrap());
        pool.close();
        dice.pass_less_than(Duration::from_micros(600));
        kill(pids[dice.index(pids.len())]);
        pool.join()?;
        match handle.map(AsyncResult::into_result) {
            None | Some(Ok(1) | Err(PoolError::WorkerDied { exitcode: Some(-9), .. })) => {}
            Some(other) => panic!("{other:?}"),
        }
        assert_eq!(pool.worker_pids(), [0; 0]);
    }
    Ok(())
}

#[test]
fn x_14_a_worker_that_is_killed_as_it_is_told_to_end_keeps_no_join_waiting() {
    alone(is_killed_as_it_ends);
}

/// Kills the worker that calls it, of the first so many.
fn dies(starts: Value<u32>, how_many: u32) -> mp::Result<()> {
    let number = starts.update(|n| {
        *n += 1;
        *n
    })?;
    if number <= how_many {
        kill(std::process::id());
        park()?;
    }
    Ok(())
}

fn die_in_the_initializer() -> mp::Result<()> {
    for processes in [1, 2, 5] {
        let starts = Value::new(0).unwrap();
        let arguments = (starts.clone(), u32::MAX);
        let pool =
            Pool::builder().processes(processes).initializer(dies, arguments).start().unwrap();
        let told = |error: PoolError| {
            let text = format!("{error:?}");
            assert!(matches!(error, PoolError::Start(_)) && text.contains('9'), "{text}");
        };
        match pool.apply_async(|| Ok(()), ()) {
            Ok(handle) => told(handle.get_timeout(LONG).unwrap_err()),
            Err(error) => told(error),
        }
        told(pool.apply(|| Ok(()), ()).unwrap_err());
        told(pool.map(|n: u32| Ok(n), [1, 2]).unwrap_err());
        assert_eq!(pool.worker_pids(), [0; 0]);
        pool.close();
        at_once(|| pool.join().unwrap());
        assert_eq!(starts.get().unwrap(), 3);
    }
    assert_eq!(children_of(std::process::id()), [0; 0]);
    Ok(())
}

#[test]
fn pl_33_workers_that_die_in_the_initializer_break_the_pool_and_are_not_started_for_ever() {
    alone(die_in_the_initializer);
}

#[test]
fn two_workers_that_die_in_the_initializer_are_replaced_and_cost_no_task() {
    for processes in [1, 3] {
        let starts = Value::new(0).unwrap();
        let arguments = (starts.clone(), 2);
        let pool =
            Pool::builder().processes(processes).initializer(dies, arguments).start().unwrap();
        let handles: Vec<_> =
            (0..20).map(|n: u32| pool.apply_async(|n: u32| Ok(n), (n,)).unwrap()).collect();
        for (n, handle) in (0..).zip(handles) {
            assert_eq!(*handle.get_timeout(LONG).unwrap(), n);
        }
        is_as_new(&pool);
    }
}

#[test]
fn a_worker_that_is_killed_while_it_starts_is_replaced_and_costs_no_task() {
    let _turn = take_turn();
    let mut dice = Dice::of_this_storm();
    for _ in 0..kills(25) {
        let pool = Pool::new(3).unwrap();
        dice.pass_less_than(Duration::from_millis(8));
        let pids = pool.worker_pids();
        // Two that do not begin are no sign of a broken pool.
        (0..1 + dice.index(2)).for_each(|at| kill_and_wait(pids[at]));
        let doubles: Vec<_> =
            (0..30).map(|n: u32| pool.apply_async(|n: u32| Ok(2 * n), (n,)).unwrap()).collect();
        for (n, double) in (0..).zip(doubles) {
            assert_eq!(*double.get_timeout(LONG).unwrap(), 2 * n);
        }
        assert!(comes_true(|| pool.worker_pids().len() == 3));
    }
}

#[test]
fn pl_30_workers_that_are_killed_in_their_gets_are_replaced_and_cost_no_task() {
    let pool = Pool::new(3).unwrap();
    for round in 0..kills(30) {
        is_as_new(&pool);
        let mut pids = Vec::new();
        let all_sleep = || {
            pids = pool.worker_pids();
            pids.len() == 3 && pids.iter().all(|pid| is_asleep(*pid, *pid))
        };
        assert!(comes_true(all_sleep), "somebody does not sleep: {pids:?}");
        // One, two or all of them.
        pids.truncate(1 + round % 3);
        pids.into_iter().for_each(kill_and_wait);
        let handles: Vec<_> =
            (0..20).map(|n: u32| pool.apply_async(|n: u32| Ok(n), (n,)).unwrap()).collect();
        for (n, handle) in (0..).zip(handles) {
            assert_eq!(*handle.get_timeout(LONG).unwrap(), n);
        }
    }
}

/// Kills each worker at a random instant after its last task.
#[test]
fn a_worker_that_is_killed_while_it_leaves_is_replaced_and_costs_no_task() {
    let _turn = take_turn();
    let mut dice = Dice::of_this_storm();
    let pool = Pool::builder().processes(2).max_tasks_per_child(1).start().unwrap();
    let tell = || Ok(std::process::id());
    let mut pids = HashSet::new();
    for _ in 0..kills(80) {
        let handle = pool.apply_async(tell, ()).unwrap();
        let others: Vec<_> = (0..2).map(|_| pool.apply_async(tell, ()).unwrap()).collect();
        let pid = *handle.get_timeout(LONG).unwrap();
        dice.pass_less_than(Duration::from_micros(500));
        kill(pid);
        assert!(pids.insert(pid), "it has run two tasks");
        for other in others {
            assert!(pids.insert(*other.get_timeout(LONG).unwrap()));
        }
    }
    assert!(comes_true(|| pool.worker_pids().len() == 2));
}

fn tells_and_parks(pids: Queue<u32>) -> mp::Result<()> {
    pids.put(&std::process::id())?;
    park()
}

/// A task that runs in a stopped worker, and the pid of that.
fn stopped_task(pool: &Pool, options: TaskOptions) -> (AsyncResult<()>, u32) {
    let pids = Queue::new().unwrap();
    let calls = pool.with_options(options);
    let handle = calls.apply_async(tells_and_parks, (pids.clone(),)).unwrap();
    let pid = pids.get_timeout(LONG).unwrap();
    signal(pid, Signal::STOP);
    assert!(comes_true(|| is_stopped(pid)));
    (handle, pid)
}

#[test]
fn a_stopped_worker_is_gone_within_a_second_of_the_limit_of_its_task() {
    let _turn = take_turn();
    let pool = Pool::new(2).unwrap();
    is_as_new(&pool);
    let limit = Duration::from_millis(300);
    let begun = Instant::now();
    let (handle, pid) = stopped_task(&pool, TaskOptions::new().timeout(limit));
    // The others go on.
    assert_eq!(pool.map(|n: u32| Ok(n), 0..100).unwrap().len(), 100);
    assert!(matches!(handle.get_timeout(LONG), Err(PoolError::TimedOut)));
    assert!(begun.elapsed() >= limit);
    assert!(begun.elapsed() < limit + LIMIT, "{:?}", begun.elapsed());
    assert!(ends_within(pid, Duration::ZERO).unwrap());
    is_as_new(&pool);
    assert!(!pool.worker_pids().contains(&pid));
}

fn is_stopped_and_ended() -> mp::Result<()> {
    let pool = Pool::new(2).unwrap();
    let (handle, pid) = stopped_task(&pool, TaskOptions::new());
    handle.terminate();
    assert!(matches!(handle.get_timeout(LONG), Err(PoolError::Cancelled)));
    assert!(ends_within(pid, LONG).unwrap());
    is_as_new(&pool);
    // One that has a task, and one that has none.
    let (handle, pid) = stopped_task(&pool, TaskOptions::new());
    pool.worker_pids().iter().for_each(|pid| signal(*pid, Signal::STOP));
    at_once(|| drop(pool));
    assert!(matches!(handle.get(), Err(PoolError::Terminated)));
    assert!(ends_within(pid, Duration::ZERO).unwrap());
    assert_eq!(children_of(std::process::id()), [0; 0]);
    Ok(())
}

#[test]
fn a_stopped_worker_is_ended_by_the_end_of_its_task_and_by_that_of_the_pool() {
    alone(is_stopped_and_ended);
}

/// Tells the pids of the workers of a pool, of whom some are busy, and holds still.
fn has_a_pool(pids: Queue<Vec<u32>>, depth: u32) -> mp::Result<()> {
    let pool = Pool::new(3)?;
    let _busy = pool.apply_async(park, ())?;
    let _inner = match depth {
        0 => None,
        _ => Some(pool.apply_async(has_a_pool, (pids.clone(), depth - 1))?),
    };
    pool.apply(|| Ok(()), ())?;
    pids.put(&[vec![std::process::id()], pool.worker_pids()].concat())?;
    park()
}

/// Sees that all of them end within two seconds.
fn all_end(pids: &[u32]) -> Duration {
    let begun = Instant::now();
    for pid in pids {
        let left = Duration::from_secs(2).saturating_sub(begun.elapsed());
        assert!(ends_within(*pid, left).unwrap(), "worker {pid} has not ended");
    }
    begun.elapsed()
}

#[test]
fn a_killed_process_leaves_no_workers_and_none_of_their_pools() {
    let _turn = take_turn();
    let mut longest = Duration::ZERO;
    for _ in 0..kills(5).min(100) {
        let told = Queue::new().unwrap();
        let owner = mp::Process::start(has_a_pool, (told.clone(), 2)).unwrap();
        let pids: Vec<Vec<u32>> = (0..3).map(|_| told.get_timeout(LONG).unwrap()).collect();
        assert!(pids.iter().all(|pids| pids.len() == 4));
        // As the kernel does it, to one process and not to a group.
        kill(owner.pid());
        longest = longest.max(all_end(&pids.concat()));
    }
    eprintln!("all were gone after {longest:?} at most");
}

#[test]
fn a_killed_worker_leaves_no_pool_of_its_own() {
    let pool = Pool::new(2).unwrap();
    let told = Queue::new().unwrap();
    let handle = pool.apply_async(has_a_pool, (told.clone(), 1)).unwrap();
    let mut pids: Vec<Vec<u32>> = (0..2).map(|_| told.get_timeout(LONG).unwrap()).collect();
    let workers = pool.worker_pids();
    pids.sort_by_key(|pids| !workers.contains(&pids[0]));
    kill(pids[0][0]);
    all_end(&pids.concat());
    let error = handle.get_timeout(LONG).unwrap_err();
    let PoolError::WorkerDied { pid, exitcode: Some(-9), started: true } = error else {
        panic!("{error:?}");
    };
    assert_eq!(pid, pids[0][0]);
    is_as_new(&pool);
}

/// The same by the pool's own means.
#[test]
fn a_task_that_is_ended_leaves_no_pool_of_its_own() {
    let pool = Pool::new(2).unwrap();
    for has_limit in [false, true] {
        let told = Queue::new().unwrap();
        let options = TaskOptions::new();
        let limit = Duration::from_millis(1500);
        let options = if has_limit { options.timeout(limit) } else { options };
        let handle = pool.with_options(options).apply_async(has_a_pool, (told.clone(), 0)).unwrap();
        let pids = told.get_timeout(LONG).unwrap();
        if !has_limit {
            handle.terminate();
        }
        let error = handle.get_timeout(LONG).unwrap_err();
        let expected = if has_limit { "TimedOut" } else { "Cancelled" };
        assert_eq!(format!("{error:?}"), expected);
        all_end(&pids);
    }
    is_as_new(&pool);
}

/// The kernel ends a child with the thread that has started it, if it was told so.
#[test]
fn workers_outlive_the_thread_that_has_started_them() {
    let pool = std::thread::spawn(|| Pool::new(2).unwrap()).join().unwrap();
    is_as_new(&pool);
    // Who waits for a result replaces a worker.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dies = || -> mp::Result<()> { std::process::abort() };
            pool.apply(dies, ()).unwrap_err();
            pool.apply(|| Ok(()), ()).unwrap();
        });
    });
    assert!(comes_true(|| pool.worker_pids().len() == 2));
    is_as_new(&pool);
    let mut pids = pool.worker_pids();
    pids.sort_unstable();
    std::thread::sleep(SHORT);
    let mut same = pool.worker_pids();
    same.sort_unstable();
    assert_eq!(pids, same);
}
