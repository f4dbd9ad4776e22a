//! What a task may take of time and memory, how often it is begun, and who is told how far it has come.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use mp::{Event, Pool, PoolError, Progress, TaskOptions, Value};
use mp_testing::limits::{LONG, at_once, comes_true, takes_at_least};
use mp_testing::system::{ends_within, raise};
use rustix::process::{Signal, getpgid, getpgrp, getpid};
use rustix::thread::{CpuSet, sched_getaffinity};

mp::enable_test_support!();

/// The time limit of tasks that will not keep it.
const LIMIT: Duration = Duration::from_millis(200);

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn with_limit() -> TaskOptions {
    TaskOptions::new().timeout(LIMIT)
}

fn forever() -> ! {
    loop {
        std::thread::park();
    }
}

fn is_timed_out<T>(outcome: Result<T, PoolError>) -> bool {
    matches!(outcome, Err(PoolError::TimedOut))
}

/// Starts a process that would live for long, tells of it, and goes on for ever.
fn starts_a_child(child: Value<u32>, begun: Event) -> mp::Result<u64> {
    child.set(Command::new("sleep").arg("1000").spawn()?.id())?;
    begun.set();
    forever()
}

#[test]
fn a_task_is_ended_at_its_limit_with_all_that_it_has_started_and_its_place_is_refilled() {
    let pool = Pool::new(2).unwrap();
    let go = Event::new().unwrap();
    let other = pool.apply_async(|go: Event| Ok(go.wait()?), (go.clone(),)).unwrap();
    for _ in 0..3 {
        let before = pool.worker_pids();
        let (child, begun) = (Value::new(0).unwrap(), Event::new().unwrap());
        let args = (child.clone(), begun.clone());
        let submitted = Instant::now();
        let task = pool.with_options(with_limit()).apply_async(starts_a_child, args).unwrap();
        assert!(begun.wait_timeout(LONG).unwrap());
        let begun = Instant::now();
        assert!(is_timed_out(task.get()));
        assert!(submitted.elapsed() >= LIMIT);
        let left =
            (begun + LIMIT + Duration::from_secs(1)).saturating_duration_since(Instant::now());
        assert!(ends_within(child.get().unwrap(), left).unwrap(), "what it has started lives");
        assert_eq!(task.get().unwrap_err().to_string(), "the task was ended at its time limit");
        assert!(comes_true(|| {
            let now = pool.worker_pids();
            now.len() == 2 && now.iter().filter(|pid| before.contains(pid)).count() == 1
        }));
        assert_eq!(pool.map(square, 0..10).unwrap().len(), 10);
    }
    assert!(!other.ready());
    go.set();
    other.get().unwrap();
}

#[test]
fn a_limit_is_kept_by_every_form_of_call_and_costs_one_chunk() {
    let pool = Pool::new(2).unwrap();
    let stalls_at_3 = |n: u64| if n == 3 { forever() } else { Ok(n) };
    let calls = pool.with_options(with_limit());
    assert!(is_timed_out(takes_at_least(LIMIT, || calls.apply(stalls_at_3, (3,)))));
    let one_by_one = || pool.with_options(with_limit().chunksize(1));
    assert!(is_timed_out(takes_at_least(LIMIT, || one_by_one().map(stalls_at_3, 0..6))));
    let calls = one_by_one();
    for (n, result) in calls.imap(stalls_at_3, 0..6).unwrap().enumerate() {
        match result {
            Ok(value) => assert_eq!(value, n as u64),
            Err(error) => assert!(n == 3 && matches!(error, PoolError::TimedOut), "{error:?}"),
        }
    }
    let results: Vec<_> = calls.imap_unordered(stalls_at_3, 0..6).unwrap().collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    let calls = pool.with_options(with_limit().chunksize(3));
    let results: Vec<bool> =
        calls.imap(stalls_at_3, 0..9).unwrap().map(|result| result.is_ok()).collect();
    assert_eq!(results, [true, true, true, false, false, false, true, true, true]);
}

#[test]
fn a_limit_counts_from_the_start_of_each_task_and_not_for_all_of_them() {
    let naps = |n: u64| {
        std::thread::sleep(Duration::from_millis(60));
        Ok(n)
    };
    let pool = Pool::new(1).unwrap();
    let calls = pool.with_options(TaskOptions::new().timeout(LIMIT * 3).chunksize(1));
    let results = takes_at_least(LIMIT * 3, || calls.map(naps, 0..12)).unwrap();
    assert_eq!(results.len(), 12);
}

#[test]
fn a_limit_is_kept_though_nobody_waits_and_though_the_task_is_stopped() {
    let pool = Pool::new(2).unwrap();
    let pids = pool.worker_pids();
    let stops = || {
        raise(Signal::STOP);
        Ok(())
    };
    drop(pool.with_options(with_limit()).apply_async(stops, ()).unwrap());
    drop(
        pool.with_options(with_limit())
            .apply_async(|| -> mp::Result<()> { forever() }, ())
            .unwrap(),
    );
    assert!(pids.iter().all(|pid| ends_within(*pid, LONG).unwrap()));
    assert_eq!(pool.map(square, 0..10).unwrap().len(), 10);
}

#[test]
fn limits_of_no_time_and_of_endless_time_are_no_special_cases() {
    let pool = Pool::new(1).unwrap();
    for _ in 0..20 {
        let calls = pool.with_options(TaskOptions::new().timeout(Duration::ZERO));
        match at_once(|| calls.apply(square, (3,))) {
            Ok(9) | Err(PoolError::TimedOut) => {}
            other => panic!("{other:?}"),
        }
        let calls = pool.with_options(TaskOptions::new().timeout(Duration::MAX));
        assert_eq!(calls.apply(square, (3,)).unwrap(), 9);
    }
    let calls = pool.with_options(TaskOptions::new().timeout(Duration::ZERO));
    assert!(is_timed_out(calls.apply(|| -> mp::Result<()> { forever() }, ())));
    assert_eq!(pool.apply(square, (3,)).unwrap(), 9);
}

#[test]
fn many_limits_run_side_by_side() {
    let pool = Pool::new(4).unwrap();
    let stalls_if_odd = |n: u64| if n % 2 == 1 { forever() } else { Ok(n) };
    let calls = pool.with_options(with_limit().chunksize(1));
    let tasks: Vec<_> = (0..8).map(|n| calls.apply_async(stalls_if_odd, (n,)).unwrap()).collect();
    for (n, task) in (0..8).zip(tasks) {
        match n % 2 {
            1 => assert!(is_timed_out(task.into_result())),
            _ => assert_eq!(task.into_result().unwrap(), n),
        }
    }
}

#[test]
fn a_soft_limit_tells_the_task_and_does_nothing_else() {
    fn counts_until_told() -> mp::Result<(u64, u32, bool)> {
        let mut rounds = 0;
        let task = || mp::current_task().unwrap();
        mp::ensure!(!task().should_stop() && task().time_left().is_none());
        while !task().should_stop() {
            rounds += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        let in_thread = std::thread::spawn(|| mp::current_task().unwrap().should_stop());
        Ok((rounds, task().attempt(), in_thread.join().unwrap()))
    }
    assert!(mp::current_task().is_none());
    let pool = Pool::new(1).unwrap();
    let pids = pool.worker_pids();
    for _ in 0..2 {
        let calls = pool.with_options(TaskOptions::new().soft_timeout(LIMIT));
        let told = takes_at_least(LIMIT, || calls.apply(counts_until_told, ()));
        let (rounds, attempt, in_thread) = told.unwrap();
        assert!(rounds > 0 && attempt == 0 && in_thread);
        // The next task has none.
        let without = || {
            let task = mp::current_task().unwrap();
            Ok((task.should_stop(), task.time_left()))
        };
        assert_eq!(pool.apply(without, ()).unwrap(), (false, None));
    }
    // One that does not ask is left alone.
    let asleep = || Ok(std::thread::sleep(LIMIT));
    let options = TaskOptions::new().soft_timeout(Duration::from_millis(1));
    pool.with_options(options).apply(asleep, ()).unwrap();
    assert_eq!(pool.worker_pids(), pids);
    let both = TaskOptions::new().soft_timeout(Duration::ZERO).timeout(LONG);
    let tells = || {
        let task = mp::current_task().unwrap();
        Ok((task.should_stop(), task.time_left()))
    };
    let (should_stop, left) = pool.with_options(both).apply(tells, ()).unwrap();
    assert!(should_stop && left.is_some_and(|left| left <= LONG && left > LONG / 2));
}

/// Counts, and ends the process in the first attempts.
fn dies_at_first(runs: Value<u32>, times: u32) -> mp::Result<u32> {
    runs.update(|runs| *runs += 1)?;
    let attempt = mp::current_task().unwrap().attempt();
    if attempt < times {
        std::process::abort();
    }
    Ok(attempt)
}

#[test]
fn an_idempotent_task_whose_worker_dies_is_run_again_as_often_as_it_may() {
    let pool = Pool::new(2).unwrap();
    let again = |times| TaskOptions::new().retries(times).idempotent(true);
    for (options, deaths, runs, succeeds) in [
        (again(2), 0, 1, true),
        (again(2), 1, 2, true),
        (again(2), 2, 3, true),
        (again(2), 3, 3, false),
        (again(0), 1, 1, false),
        // It had started, and may not be run again.
        (TaskOptions::new().retries(2), 1, 1, false),
        (TaskOptions::new().idempotent(true), 1, 1, false),
    ] {
        let counted = Value::new(0_u32).unwrap();
        let outcome =
            pool.with_options(options.clone()).apply(dies_at_first, (counted.clone(), deaths));
        match outcome {
            Ok(attempt) => assert!(succeeds && attempt == deaths),
            Err(PoolError::WorkerDied { exitcode: Some(-6), started: true, .. }) => {
                assert!(!succeeds);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(counted.get().unwrap(), runs, "{options:?}, {deaths} deaths");
    }
    // With what it has in its arguments, and as a chunk.
    let counted = Value::new(0_u32).unwrap();
    let items = vec![(counted.clone(), 2); 4];
    let results = pool.with_options(again(2).chunksize(4)).starmap(dies_at_first, items).unwrap();
    assert_eq!(results, [2; 4]);
    assert_eq!(counted.get().unwrap(), 1 + 1 + 4);
}

#[test]
fn a_task_that_fails_or_runs_into_its_limit_is_not_run_again() {
    let pool = Pool::new(1).unwrap();
    let runs = Value::new(0_u32).unwrap();
    let count = |how: u8, runs: Value<u32>| -> mp::Result<()> {
        runs.update(|runs| *runs += 1)?;
        match how {
            0 => mp::bail!("it fails"),
            1 => panic!("it panics"),
            _ => forever(),
        }
    };
    for how in 0..3 {
        // What failed takes its time to find out where.
        let limit = if how == 2 { LIMIT } else { LONG };
        let options = TaskOptions::new().timeout(limit).retries(3).idempotent(true);
        let error = pool.with_options(options).apply(count, (how, runs.clone())).unwrap_err();
        match how {
            0 | 1 => assert_eq!(error.as_exception().unwrap().is_panic(), how == 1),
            _ => assert!(matches!(error, PoolError::TimedOut)),
        }
        assert_eq!(runs.get().unwrap(), u32::from(how) + 1);
    }
}

#[test]
fn a_task_that_may_be_run_again_is_not_when_its_pool_or_its_caller_ends_it() {
    let runs = Value::new(0_u32).unwrap();
    let counts = |runs: Value<u32>| -> mp::Result<()> {
        runs.update(|runs| *runs += 1)?;
        forever()
    };
    let options = TaskOptions::new().retries(3).idempotent(true);
    let pool = Pool::new(1).unwrap();
    let task = pool.with_options(options.clone()).apply_async(counts, (runs.clone(),)).unwrap();
    assert!(comes_true(|| runs.get().unwrap() == 1));
    task.terminate();
    assert!(matches!(task.get(), Err(PoolError::Cancelled)));
    let task = pool.with_options(options).apply_async(counts, (runs.clone(),)).unwrap();
    assert!(comes_true(|| runs.get().unwrap() == 2));
    pool.terminate();
    assert!(matches!(task.get(), Err(PoolError::Terminated)));
    pool.join().unwrap();
    assert_eq!(runs.get().unwrap(), 2);
}

#[test]
fn a_task_that_takes_more_memory_than_it_may_fails_alone() {
    fn takes(megabytes: usize) -> mp::Result<usize> {
        let bytes = std::hint::black_box(vec![1_u8; megabytes << 20]);
        Ok(bytes.len() >> 20)
    }
    fn tries(megabytes: usize) -> mp::Result<bool> {
        let mut bytes = Vec::<u8>::new();
        Ok(bytes.try_reserve_exact(megabytes << 20).is_ok())
    }
    let pool = Pool::builder().processes(2).memory_limit(256 << 20).start().unwrap();
    assert_eq!(pool.apply(takes, (10,)).unwrap(), 10);
    for _ in 0..2 {
        match pool.apply(takes, (1000,)) {
            Err(PoolError::WorkerDied { exitcode: Some(-6), started: true, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(pool.map(takes, [1, 20, 3]).unwrap(), [1, 20, 3]);
    }
    assert!(pool.apply(tries, (10,)).unwrap() && !pool.apply(tries, (1000,)).unwrap());
    // Others are not limited, nor is this process.
    assert!(Pool::new(1).unwrap().apply(tries, (1000,)).unwrap());
    assert!(tries(1000).unwrap());
}

#[test]
fn workers_are_bound_to_their_processors_and_lead_process_groups() {
    fn cpus() -> mp::Result<Vec<usize>> {
        let set = sched_getaffinity(None)?;
        Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
    }
    let last = *cpus().unwrap().last().unwrap();
    let pool = Pool::builder().processes(2).cpu_affinity([last]).start().unwrap();
    assert!(pool.map(|_: u8| cpus(), 0..10).unwrap().iter().all(|seen| *seen == [last]));
    pool.apply(|| -> mp::Result<()> { std::process::abort() }, ()).unwrap_err();
    assert!(pool.map(|_: u8| cpus(), 0..10).unwrap().iter().all(|seen| *seen == [last]));
    let leads = || Ok(getpgrp() == getpid() && getpgid(None)? == getpid());
    assert!(pool.apply(leads, ()).unwrap());
    let pool = Pool::new(1).unwrap();
    assert_eq!(pool.apply(cpus, ()).unwrap(), cpus().unwrap());
}

/// Options with a hook that notes all that it is told, and its notes.
fn noted(chunksize: usize) -> (TaskOptions, Arc<Mutex<Vec<Progress>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&notes);
    let hook = move |progress| book.lock().unwrap().push(progress);
    (TaskOptions::new().chunksize(chunksize).progress(hook), notes)
}

#[test]
fn progress_is_told_of_every_chunk_in_order_before_the_result_is() {
    let fails_at_2 = |n: u64| {
        mp::ensure!(n != 2, "it is 2");
        Ok(n)
    };
    let pool = Pool::new(2).unwrap();
    let known: Vec<_> = [3, 6, 9, 10].map(|done| Progress { done, total: Some(10) }).into();
    let unknown: Vec<_> = [3, 6, 9, 10].map(|done| Progress { done, total: None }).into();
    let is_as = |notes: &Mutex<Vec<Progress>>, expected: &[Progress]| {
        let mut notes = notes.lock().unwrap();
        assert_eq!(notes.len(), expected.len(), "{notes:?}");
        assert_eq!(notes.last(), expected.last());
        assert!(notes.is_sorted_by_key(|progress| progress.done));
        assert!(notes.iter().all(|progress| progress.total == expected[0].total));
        notes.clear();
    };
    let (options, notes) = noted(3);
    let calls = pool.with_options(options);
    calls.map(square, 0..10).unwrap();
    is_as(&notes, &known);
    calls.map_async(square, 0..10).unwrap().wait();
    is_as(&notes, &known);
    calls.starmap(square, (0..10).map(|n| (n,))).unwrap();
    is_as(&notes, &known);
    calls.map(square, (0..10).filter(|n| *n < 99)).unwrap();
    is_as(&notes, &known);
    assert_eq!(calls.imap(square, 0..10).unwrap().count(), 10);
    is_as(&notes, &known);
    assert_eq!(calls.imap_unordered(square, (0..10).filter(|n| *n < 99)).unwrap().count(), 10);
    is_as(&notes, &unknown);
    // Items that fail are done, too.
    calls.map(fails_at_2, 0..10).unwrap_err();
    is_as(&notes, &known);
    assert_eq!(calls.imap(fails_at_2, 0..10).unwrap().count(), 10);
    is_as(&notes, &known);
    assert_eq!(calls.map(square, []).unwrap(), []);
    assert_eq!(calls.apply(square, (3,)).unwrap(), 9);
    assert!(notes.lock().unwrap().is_empty());
}

#[test]
fn a_progress_hook_that_panics_touches_nothing() {
    let pool = Pool::new(2).unwrap();
    let options = TaskOptions::new().chunksize(1).progress(|_| panic!("a hook panics"));
    let calls = pool.with_options(options);
    assert_eq!(calls.map(square, 0..3).unwrap(), [0, 1, 4]);
    let results: Vec<u64> = calls.imap(square, 0..3).unwrap().map(Result::unwrap).collect();
    assert_eq!(results, [0, 1, 4]);
}

/// Runs what must not hang, and may, in a thread of its own.
fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    told.recv_timeout(Duration::from_secs(5)).expect("it hangs")
}

#[test]
fn a_progress_hook_may_end_the_pool() {
    for lazy in [false, true] {
        let outcome = in_time(move || {
            let pool = Arc::new(Pool::new(1).unwrap());
            let its_pool = Arc::clone(&pool);
            let hook = move |progress: Progress| {
                if progress.done == 3 {
                    its_pool.terminate();
                }
            };
            let stalls_at_3 = |n: u64| if n == 3 { forever() } else { Ok(n) };
            let calls = pool.with_options(TaskOptions::new().chunksize(1).progress(hook));
            match lazy {
                true => calls.imap(stalls_at_3, 0..100).unwrap().collect::<Result<Vec<_>, _>>(),
                false => calls.map(stalls_at_3, 0..100),
            }
        });
        assert!(matches!(outcome, Err(PoolError::Terminated | PoolError::Closed)), "{outcome:?}");
    }
}

#[test]
fn a_progress_hook_may_cancel_what_is_left_of_its_map() {
    let outcome = in_time(|| {
        let pool = Pool::new(1).unwrap();
        let (begin, rest) = (Event::new().unwrap(), Event::new().unwrap());
        let gated = |n: u64, begin: Event, rest: Event| {
            begin.wait()?;
            if n >= 3 {
                rest.wait()?;
            }
            Ok(n)
        };
        let mapped = Arc::new(OnceLock::<mp::AsyncResult<Vec<u64>>>::new());
        let its = Arc::clone(&mapped);
        let (sender, told) = mpsc::channel();
        let hook = move |progress: Progress| {
            if progress.done == 3 {
                sender.send(its.get().unwrap().cancel()).unwrap();
            }
        };
        let calls = pool.with_options(TaskOptions::new().chunksize(1).progress(hook));
        let items: Vec<_> = (0..100).map(|n| (n, begin.clone(), rest.clone())).collect();
        assert!(mapped.set(calls.starmap_async(gated, items).unwrap()).is_ok());
        begin.set();
        assert!(told.recv().unwrap());
        rest.set();
        mapped.get().unwrap().get().cloned()
    });
    assert!(matches!(outcome, Err(PoolError::Cancelled)), "{outcome:?}");
}
