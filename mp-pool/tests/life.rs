//! A pool has the workers that it was told to have, from its start to its end, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use mp::{Event, Pool, PoolError, Queue, TaskOptions, Value};
use mp_testing::limits::{LONG, alone, at_once, comes_true};
use mp_testing::peer::{Link, Peer, Way};
use mp_testing::roles;
use mp_testing::system::{ends_within, holdings, signal};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

roles!(keeps_a_pool_to_its_end, exits_with_a_pool, is_killed_with_a_pool);

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn pid() -> mp::Result<u32> {
    Ok(std::process::id())
}

fn waits(begun: Event) -> mp::Result<u64> {
    begun.set();
    loop {
        std::thread::park();
    }
}

/// Sees that these processes are gone already.
fn are_gone(pids: &[u32]) {
    assert!(!pids.is_empty());
    pids.iter().for_each(|pid| assert!(ends_within(*pid, Duration::ZERO).unwrap(), "{pid} lives"));
}

/// Sees that these processes come to their end.
fn come_to_their_end(pids: &[u32]) {
    assert!(!pids.is_empty());
    pids.iter().for_each(|pid| assert!(ends_within(*pid, LONG).unwrap(), "{pid} lives"));
}

// DIFFERENCE from X-16: all workers are started with the pool, as those of `multiprocessing`.
#[test]
fn pl_40_x_05_a_pool_has_as_many_workers_as_it_was_told() {
    for size in [1, 3, 10] {
        let pool = Pool::new(size).unwrap();
        assert_eq!(pool.processes(), size);
        let pids: BTreeSet<u32> = pool.worker_pids().into_iter().collect();
        assert_eq!(pids.len(), size);
        assert!(!pids.contains(&std::process::id()));
        let seen = pool.map(|_: u32| pid(), 0..50).unwrap();
        assert!(seen.iter().all(|pid| pids.contains(pid)));
    }
    let none = Pool::new(0);
    assert!(matches!(none, Err(PoolError::Invalid { .. })), "{none:?}");
    assert_eq!(none.unwrap_err().to_string(), "the number of processes must be at least 1");
    let pool = Pool::builder().start().unwrap();
    assert_eq!(pool.processes(), mp::cpu_count());
    assert_eq!(pool.worker_pids().len(), mp::cpu_count());
}

/// Notes who was here.
fn signs_in(book: Queue<(u32, String)>, text: String) -> mp::Result<()> {
    Ok(book.put(&(std::process::id(), text))?)
}

#[test]
fn pl_41_the_initializer_runs_once_in_each_worker_though_no_task_comes() {
    for size in [1, 3, 5] {
        let book = Queue::new().unwrap();
        let args = (book.clone(), "hello".to_owned());
        let pool = Pool::builder().processes(size).initializer(signs_in, args).start().unwrap();
        let signed: BTreeMap<u32, String> =
            (0..size).map(|_| book.get_timeout(Duration::from_secs(10)).unwrap()).collect();
        assert_eq!(signed.len(), size, "each of them once");
        assert!(signed.values().all(|text| text == "hello"));
        assert!(comes_true(|| pool.worker_pids().len() == size));
        assert!(pool.worker_pids().iter().all(|pid| signed.contains_key(pid)));
        assert_eq!(pool.map(square, 0..20).unwrap().len(), 20);
        assert!(book.is_empty());
        // One that takes the place of another runs it, too.
        let killed = pool.worker_pids()[0];
        signal(killed, Signal::KILL);
        let (newcomer, _) = book.get_timeout(LONG).unwrap();
        assert!(!signed.contains_key(&newcomer));
    }
}

#[test]
fn pl_41_what_the_initializer_makes_is_there_for_all_tasks_of_its_worker() {
    static MADE: OnceLock<u64> = OnceLock::new();
    fn makes(n: u64) -> mp::Result<()> {
        MADE.set(n).map_err(|_| mp::Error::msg("twice"))
    }
    let pool = Pool::builder().processes(2).initializer(makes, (7,)).start().unwrap();
    let added = pool.map(|n: u64| Ok(n + MADE.get().unwrap()), 0..50).unwrap();
    assert_eq!(added, (7..57).collect::<Vec<_>>());
    assert!(MADE.get().is_none());
}

#[test]
fn pl_42_workers_that_may_do_nothing_are_refused() {
    let refused = Pool::builder().processes(1).max_tasks_per_child(0).start();
    let error = refused.unwrap_err();
    assert!(matches!(error, PoolError::Invalid { .. }));
    assert_eq!(error.to_string(), "the number of tasks of a worker must be at least 1");
}

#[test]
fn pl_43_workers_are_replaced_after_so_many_tasks() {
    let pool = Pool::builder().processes(3).max_tasks_per_child(10).start().unwrap();
    let first = pool.worker_pids();
    let tasks: Vec<_> = (0..100_u64)
        .map(|n| pool.apply_async(|n: u64| Ok((n * n, std::process::id())), (n,)).unwrap())
        .collect();
    let mut counts = BTreeMap::<u32, u32>::new();
    for (n, task) in (0..100).zip(tasks) {
        let (result, pid) = task.into_result().unwrap();
        assert_eq!(result, n * n);
        *counts.entry(pid).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count <= 10), "{counts:?}");
    assert!(counts.len() >= 10, "{counts:?}");
    assert!(comes_true(|| {
        let now = pool.worker_pids();
        now.len() == 3 && now.iter().all(|pid| counts.get(pid).is_none_or(|count| *count < 10))
    }));
    assert!(pool.worker_pids().iter().any(|pid| !first.contains(pid)));
}

#[test]
fn pl_44_x_17_a_worker_does_exactly_as_many_tasks_as_it_may() {
    let limited = |tasks| Pool::builder().processes(1).max_tasks_per_child(tasks).start().unwrap();
    let runs = |pids: &[u32]| {
        let runs: Vec<usize> = pids.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
        assert_eq!(runs.len(), pids.iter().collect::<BTreeSet<_>>().len());
        runs
    };
    let pool = limited(3);
    let pids: Vec<u32> = (0..7).map(|_| pool.apply(pid, ()).unwrap()).collect();
    assert_eq!(runs(&pids), [3, 3, 1]);
    // A chunk is one task.
    let pool = limited(3);
    let calls = pool.with_options(TaskOptions::new().chunksize(2));
    let pids = calls.map(|_: u8| pid(), 0..13).unwrap();
    assert_eq!(runs(&pids), [6, 6, 1]);
    let pool = limited(1);
    let calls = pool.with_options(TaskOptions::new().chunksize(4));
    let pids: Vec<u32> = calls.imap(|_: u8| pid(), 0..10).unwrap().map(Result::unwrap).collect();
    assert_eq!(runs(&pids), [4, 4, 2]);
    // Those that fail count, too.
    let pool = limited(2);
    let fails = |n: u8| -> mp::Result<u32> {
        mp::ensure!(n.is_multiple_of(2), "{}", std::process::id());
        pid()
    };
    let pids: Vec<u32> = (0..6)
        .map(|n| match pool.apply(fails, (n,)) {
            Ok(pid) => pid,
            Err(error) => error.as_exception().unwrap().message().parse().unwrap(),
        })
        .collect();
    assert_eq!(runs(&pids), [2, 2, 2]);
}

#[test]
fn pl_45_x_07_close_right_after_tasks_were_submitted_lets_all_of_them_finish() {
    let slow = |n: u64| {
        std::thread::sleep(Duration::from_millis(20));
        square(n)
    };
    for (size, limit) in [(1, Some(1)), (3, Some(1)), (2, Some(4)), (2, None)] {
        let builder = Pool::builder().processes(size);
        let builder = match limit {
            Some(limit) => builder.max_tasks_per_child(limit),
            None => builder,
        };
        let pool = builder.start().unwrap();
        let pids = pool.worker_pids();
        let tasks: Vec<_> = (0..6).map(|n| pool.apply_async(slow, (n,)).unwrap()).collect();
        let mapped = pool.map_async(square, 0..50).unwrap();
        pool.close();
        at_once(|| pool.join()).unwrap();
        for (n, task) in (0..6).zip(tasks) {
            assert!(task.ready());
            assert_eq!(task.into_result().unwrap(), n * n);
        }
        assert!(mapped.ready() && mapped.get().unwrap().len() == 50);
        assert!(pool.worker_pids().is_empty());
        are_gone(&pids);
    }
}

#[test]
fn pl_48_an_imap_that_was_begun_goes_on_after_close_and_ends_at_join() {
    let pool = Pool::new(2).unwrap();
    let mut results = pool.imap(square, 0..).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    pool.close();
    for n in 1..200 {
        assert_eq!(results.next().unwrap().unwrap(), n * n);
    }
    at_once(|| pool.join()).unwrap();
    // What was read ahead is there; what was not is refused.
    let rest: Vec<_> = results.by_ref().take(100).collect();
    let ready = rest.iter().take_while(|result| result.is_ok()).count();
    assert!(ready < 100);
    assert!(rest[ready..].iter().all(|result| matches!(result, Err(PoolError::Closed))));
}

#[test]
fn pl_46_x_08_terminate_ends_ten_thousand_pending_tasks_at_once() {
    let pool = Pool::new(3).unwrap();
    let begun = Event::new().unwrap();
    let tasks: Vec<_> =
        (0..10_000).map(|_| pool.apply_async(waits, (begun.clone(),)).unwrap()).collect();
    assert!(begun.wait_timeout(LONG).unwrap());
    let pids = pool.worker_pids();
    at_once(|| pool.terminate());
    at_once(|| pool.join()).unwrap();
    are_gone(&pids);
    assert!(tasks.iter().all(|task| matches!(task.get(), Err(PoolError::Terminated))));
}

// DIFFERENCE from X-20: a pool that is dropped is terminated, as one of `multiprocessing`.
#[test]
fn pl_47_pl_49_a_pool_that_is_dropped_does_not_finish_but_leaves_nobody() {
    alone(|| {
        let before = holdings();
        let pool = Pool::new(3).unwrap();
        let begun = Event::new().unwrap();
        let pids = pool.worker_pids();
        let running = pool.apply_async(waits, (begun.clone(),)).unwrap();
        let finished = pool.apply_async(square, (3,)).unwrap();
        finished.wait();
        assert!(begun.wait_timeout(LONG).unwrap());
        at_once(|| drop(pool));
        are_gone(&pids);
        assert!(running.ready());
        assert!(matches!(running.get(), Err(PoolError::Terminated)));
        assert_eq!(*finished.get().unwrap(), 9, "a result that was there stays");
        drop((running, finished, begun));
        assert_eq!(holdings().children, before.children);
        Ok(())
    });
}

#[test]
fn pools_leave_no_descriptors_threads_or_processes() {
    alone(|| {
        let round = |how: u8| {
            let pool = Pool::builder().processes(2).max_tasks_per_child(5).start()?;
            let later = pool.apply_async(square, (2,))?;
            later.on_done(|_| ());
            mp::ensure!(pool.map(square, 0..100)?.len() == 100);
            mp::ensure!(pool.imap(square, 0..20)?.count() == 20);
            mp::ensure!(matches!(
                pool.apply(|| -> mp::Result<()> { std::process::abort() }, ()),
                Err(PoolError::WorkerDied { .. })
            ));
            let waits_ = Event::new()?;
            if how == 0 {
                let _abandoned = pool.apply_async(waits, (waits_,))?;
                drop(pool);
            } else {
                pool.close();
                pool.join()?;
            }
            mp::Result::Ok(())
        };
        round(0)?;
        round(1)?;
        let before = holdings();
        for how in [0, 1, 0, 1] {
            round(how)?;
        }
        mp::ensure!(comes_true(|| holdings() <= before), "{:?} instead of {before:?}", holdings());
        Ok(())
    });
}

#[test]
fn pl_48_x_06_the_ways_to_the_end_can_be_gone_again_and_in_the_wrong_order() {
    let pool = Pool::new(2).unwrap();
    let task = pool.apply_async(square, (3,)).unwrap();
    let mapped = pool.map_async(square, 0..30).unwrap();
    assert!(matches!(pool.join(), Err(PoolError::StillOpen)));
    assert_eq!(*task.get().unwrap(), 9, "that did no harm");
    for _ in 0..3 {
        pool.close();
        assert!(matches!(pool.apply(square, (1,)), Err(PoolError::Closed)));
        assert!(matches!(pool.apply_async(square, (1,)), Err(PoolError::Closed)));
        assert!(matches!(pool.map(square, 0..3), Err(PoolError::Closed)));
        assert!(matches!(pool.map(square, []), Err(PoolError::Closed)));
        assert!(matches!(pool.map_async(square, 0..3), Err(PoolError::Closed)));
        assert!(matches!(pool.starmap(pid, [()]), Err(PoolError::Closed)));
        assert!(matches!(pool.imap(square, 0..3), Err(PoolError::Closed)));
        assert!(matches!(pool.imap_unordered(square, 0..3), Err(PoolError::Closed)));
    }
    for _ in 0..3 {
        pool.join().unwrap();
    }
    pool.terminate();
    pool.join().unwrap();
    pool.close();
    pool.join().unwrap();
    pool.terminate();
    assert!(matches!(pool.apply(square, (1,)), Err(PoolError::Closed)));
    assert_eq!(*task.get().unwrap(), 9);
    assert_eq!(mapped.into_result().unwrap().len(), 30);
    assert!(format!("{pool:?}").contains("ended"), "{pool:?}");
    drop(pool);
}

#[test]
fn pl_48_join_from_many_threads_while_tasks_run() {
    let pool = Pool::new(2).unwrap();
    let go = Event::new().unwrap();
    let task = pool.apply_async(|go: Event| Ok(go.wait()?), (go.clone(),)).unwrap();
    pool.close();
    std::thread::scope(|scope| {
        let joins: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.join())).collect();
        assert!(!task.wait_timeout(Duration::from_millis(50)));
        assert!(joins.iter().all(|join| !join.is_finished()));
        go.set();
        joins.into_iter().for_each(|join| join.join().unwrap().unwrap());
    });
    task.get().unwrap();
}

#[test]
fn x_19_submit_cancel_and_close_in_quick_succession_do_not_hang() {
    for round in 0..20 {
        let pool = Pool::new(1 + round % 2).unwrap();
        let tasks: Vec<_> = (0..100).map(|n| pool.apply_async(square, (n,)).unwrap()).collect();
        let cancelled = tasks.iter().rev().filter(|task| task.cancel()).count();
        pool.close();
        if round % 4 == 3 {
            pool.terminate();
        }
        at_once(|| pool.join()).unwrap();
        let outcomes = tasks.iter().map(mp::AsyncResult::get);
        let seen = outcomes.filter(|outcome| matches!(outcome, Err(PoolError::Cancelled))).count();
        assert_eq!(seen, cancelled);
        assert!(tasks.iter().all(mp::AsyncResult::ready));
    }
}

#[test]
fn pl_50_a_pool_whose_nth_worker_cannot_be_started_leaves_none() {
    alone(|| {
        let size = 5;
        drop(Pool::new(size)?);
        let before = holdings();
        let highest = getrlimit(Resource::Nofile);
        let (mut failures, mut limit) = (0, before.descriptors as u64);
        // One of these limits strikes at each step of each start.
        let pool = loop {
            setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..highest })?;
            let outcome = Pool::new(size);
            setrlimit(Resource::Nofile, highest)?;
            match outcome {
                Ok(pool) => break pool,
                Err(PoolError::Start(_) | PoolError::Queue(_) | PoolError::Resources { .. }) => {}
                Err(other) => mp::bail!("{other:?} at {limit}"),
            }
            failures += 1;
            limit += 1;
            let comes_down = comes_true(|| holdings() <= before);
            mp::ensure!(comes_down, "{:?} instead of {before:?} at {limit}", holdings());
        };
        mp::ensure!(failures >= size, "{failures}");
        // Enough to start them may be too little to hear from them, which is no reason to hang.
        mp::ensure!(pool.map(square, 0..20)?.len() == 20);
        Ok(())
    });
}

#[test]
fn pl_50_workers_that_cannot_be_bound_to_a_processor_are_an_error_of_the_start() {
    alone(|| {
        let before = holdings();
        let pool = Pool::builder().processes(3).cpu_affinity([100_000]).start();
        match pool {
            Err(error @ PoolError::Start(_)) => {
                assert!(std::error::Error::source(&error).is_some());
            }
            Ok(pool) => {
                // It is told later, as by an initializer that fails.
                let error = pool.apply(square, (1,)).unwrap_err();
                assert!(matches!(error, PoolError::Start(_)), "{error:?}");
            }
            Err(other) => panic!("{other:?}"),
        }
        assert!(comes_true(|| holdings().children == before.children));
        Ok(())
    });
}

/// One of those that are counted, in whatever process they are.
struct Counted(Value<i64>);

impl Counted {
    fn new(alive: &Value<i64>) -> Counted {
        alive.update(|alive| *alive += 1).unwrap();
        Counted(alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.update(|alive| *alive -= 1).unwrap();
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Counted, D::Error> {
        Ok(Counted::new(&Value::deserialize(from)?))
    }
}

#[test]
fn pl_51_x_21_arguments_and_results_are_released_when_their_task_is_done() {
    let alive = Value::new(0_i64).unwrap();
    let count = || alive.get().unwrap();
    let new = || Counted::new(&alive);
    let back = |counted: Counted| Ok(counted);
    let fails = |_: Counted| -> mp::Result<()> { mp::bail!("it fails") };
    let panics = |_: Counted| -> mp::Result<()> { panic!("it panics") };
    let pool = Pool::new(1).unwrap();

    let result = pool.apply(back, (new(),)).unwrap();
    assert_eq!(count(), 1, "the result");
    drop(result);
    assert_eq!(count(), 0);

    let later = pool.apply_async(back, (new(),)).unwrap();
    let result = later.get().unwrap();
    assert_eq!((count(), result.0.get().unwrap()), (1, 1));
    drop(later);
    assert_eq!(count(), 0);

    let results = pool.map(back, (0..20).map(|_| new())).unwrap();
    assert_eq!(count(), 20);
    drop(results);
    assert_eq!(count(), 0);

    for result in pool.imap(back, (0..20).map(|_| new())).unwrap() {
        drop(result.unwrap());
    }
    assert_eq!(count(), 0);

    pool.apply(fails, (new(),)).unwrap_err();
    pool.apply(panics, (new(),)).unwrap_err();
    pool.map(fails, [new(), new(), new()]).unwrap_err();
    assert_eq!(count(), 0);
    // A task sees that of those before it nothing is left.
    let here = |alive: Value<i64>| Ok(alive.get()?);
    pool.apply_async(back, (new(),)).unwrap().wait();
    assert_eq!(pool.apply(here, (alive.clone(),)).unwrap(), 0);

    // Handles that are dropped before the result is there.
    let go = Event::new().unwrap();
    let held = pool.apply_async(|go: Event| Ok(go.wait()?), (go.clone(),)).unwrap();
    drop(pool.apply_async(back, (new(),)).unwrap());
    let cancelled = pool.apply_async(back, (new(),)).unwrap();
    assert!(cancelled.cancel());
    let mut dropped = pool.imap(back, (0..5).map(|_| new())).unwrap();
    assert!(dropped.next_timeout(Duration::ZERO).is_err());
    drop((cancelled, dropped));
    assert_eq!(count(), 0, "encoded, and nowhere else");
    go.set();
    held.wait();
    pool.close();
    pool.join().unwrap();
    assert_eq!(count(), 0);
}

static KEPT: OnceLock<Pool> = OnceLock::new();

/// Leaves a pool where nobody drops it, with and without a task that does not end.
fn keep_a_pool(link: &mut Link) -> mp::Result<()> {
    let pool = KEPT.get_or_init(|| Pool::new(3).unwrap());
    mp::ensure!(pool.map(square, 0..10)?.len() == 10);
    if link.hear()? == "busy" {
        let begun = Event::new()?;
        drop(pool.apply_async(waits, (begun.clone(),))?);
        drop(pool.map_async(square, 0..10_000)?);
        begun.wait()?;
    }
    link.say(format_args!("{:?}", pool.worker_pids()));
    Ok(())
}

fn keeps_a_pool_to_its_end((): (), link: &mut Link) -> mp::Result<()> {
    keep_a_pool(link)
}

fn exits_with_a_pool((): (), link: &mut Link) -> mp::Result<()> {
    keep_a_pool(link)?;
    link.hear()?;
    std::process::exit(0)
}

fn is_killed_with_a_pool((): (), link: &mut Link) -> mp::Result<()> {
    keep_a_pool(link)?;
    link.hold_still()
}

fn pids_in(text: &str) -> Vec<u32> {
    text.trim_matches(['[', ']']).split(", ").map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn pl_52_a_pool_that_nobody_closes_does_not_keep_a_program_from_its_end() {
    for way in [Way::Argument, Way::Program] {
        for how in ["idle", "busy"] {
            let mut peer = Peer::start(way, keeps_a_pool_to_its_end, &());
            peer.say(how);
            let pids = pids_in(&peer.hear());
            assert_eq!(pids.len(), 3);
            peer.end();
            are_gone(&pids);
        }
    }
}

// DIFFERENCE from: work in flight ends with the program, and nobody waits for it.
#[test]
fn pl_55_x_20_an_exit_of_the_program_ends_the_workers() {
    for way in [Way::Argument, Way::Program] {
        for how in ["idle", "busy"] {
            let mut peer = Peer::start(way, exits_with_a_pool, &());
            peer.say(how);
            let pids = pids_in(&peer.hear());
            peer.say("exit");
            peer.end_somehow();
            come_to_their_end(&pids);
        }
    }
}

#[test]
fn pl_55_when_the_program_is_killed_so_are_its_workers() {
    for way in [Way::Argument, Way::Program] {
        for how in ["idle", "busy"] {
            let mut peer = Peer::start(way, is_killed_with_a_pool, &());
            peer.say(how);
            let pids = pids_in(&peer.hear());
            peer.expect("still");
            peer.kill_9();
            come_to_their_end(&pids);
        }
    }
}

/// A pool within, of which the pids are told.
fn has_a_pool(n: u64) -> mp::Result<(Vec<u64>, Vec<u32>)> {
    let pool = Pool::new(2)?;
    Ok((pool.map(square, 0..n)?, pool.worker_pids()))
}

#[test]
fn pl_53_a_pool_works_in_a_child_and_in_a_worker_and_not_in_a_daemon() {
    let (results, pids) = mp::Process::start(has_a_pool, (5,)).unwrap().into_result().unwrap();
    assert_eq!(results, [0, 1, 4, 9, 16]);
    come_to_their_end(&pids);

    // DIFFERENCE from PL-53: Python refuses it, for workers are daemons.
    let pool = Pool::new(2).unwrap();
    for (results, pids) in pool.map(has_a_pool, [3, 4, 5, 6]).unwrap() {
        assert!(results.len() >= 3);
        are_gone(&pids);
    }
    let third = || Ok(Pool::new(1)?.apply(has_a_pool, (3,))?.0);
    assert_eq!(pool.apply(third, ()).unwrap(), [0, 1, 4]);

    let refused = || match Pool::new(2) {
        Err(PoolError::Start(error)) => Ok(error.to_string()),
        other => mp::bail!("{other:?}"),
    };
    let daemon = mp::Process::builder(refused, ()).daemon(true).name("lone").start().unwrap();
    let text = daemon.into_result().unwrap();
    assert!(text.contains("daemon") && text.contains("lone"), "{text}");
}

#[test]
fn pl_53_the_pool_of_a_worker_ends_with_it() {
    static INNER: OnceLock<Pool> = OnceLock::new();
    fn keeps(pids: Value<u32>, begun: Event) -> mp::Result<()> {
        let inner = INNER.get_or_init(|| Pool::new(1).unwrap());
        pids.set(inner.worker_pids()[0])?;
        begun.set();
        loop {
            std::thread::park();
        }
    }
    let pool = Pool::new(1).unwrap();
    for how in 0..3 {
        let (inner, begun) = (Value::new(0).unwrap(), Event::new().unwrap());
        let task = pool.apply_async(keeps, (inner.clone(), begun.clone())).unwrap();
        assert!(begun.wait_timeout(LONG).unwrap());
        match how {
            0 => signal(pool.worker_pids()[0], Signal::KILL),
            1 => task.terminate(),
            _ => pool.terminate(),
        }
        assert!(task.get().is_err());
        come_to_their_end(&[inner.get().unwrap()]);
    }
}

#[test]
fn pl_54_workers_are_daemons_that_are_named_after_their_pool() {
    let who = || {
        let me = mp::current_process();
        Ok((me.name().to_owned(), me.is_daemon(), mp::parent_process().unwrap().pid()))
    };
    let pool = Pool::builder().processes(1).name("crew").start().unwrap();
    assert_eq!(pool.name(), "crew");
    let here = std::process::id();
    assert_eq!(pool.apply(who, ()).unwrap(), ("crew-worker-1".to_owned(), true, here));
    pool.apply(|| -> mp::Result<()> { std::process::exit(1) }, ()).unwrap_err();
    assert_eq!(pool.apply(who, ()).unwrap().0, "crew-worker-2");
    assert_eq!(format!("{pool:?}"), "<Pool name='crew' processes=1 open>");

    let pools = [(); 2].map(|()| Pool::new(1).unwrap());
    assert!(pools.iter().all(|pool| pool.name().starts_with("Pool-")));
    assert_ne!(pools[0].name(), pools[1].name());
    let name = pools[0].apply(who, ()).unwrap().0;
    assert_eq!(name, format!("{}-worker-1", pools[0].name()));
    let mut children = mp::active_children();
    children.retain(|child| child.name() == name);
    assert!(children.len() == 1 && children[0].is_daemon());
}
