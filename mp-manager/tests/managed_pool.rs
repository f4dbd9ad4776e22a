//! Pools that live in a server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use log::LevelFilter;
use mp::{
    Event, Manager, ManagerError, PoolError, PoolProxy, Process, Progress, Queue, RemoteException,
    ServerProcess, TaskOptions, TypedProxy,
};
use mp_testing::keeper;
use mp_testing::limits::{LONG, SHORT, alone, comes_true, takes_at_least};
use mp_testing::system::{children_of, ends_within, raise, signal};
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

#[derive(Debug)]
struct Tally(AtomicI64);

#[mp::managed]
impl Tally {
    pub fn new(start: i64) -> Self {
        Tally(start.into())
    }
    pub fn add(&self, n: i64) -> i64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }
    /// Uses a pool of the server in the server.
    pub fn squares_in(&self, pool: PoolProxy, up_to: u64) -> mp::Result<Vec<u64>> {
        let mut squares = pool.map(|n: u64| Ok(n * n), 0..up_to)?;
        squares.push(pool.apply(|a: u64, b: u64| Ok(a * b), (up_to, up_to))?);
        let after = up_to + 1..up_to + 3;
        let more: Result<Vec<u64>, _> = pool.imap(|n: u64| Ok(n * n), after)?.collect();
        squares.extend(more?);
        Ok(squares)
    }
}

const SERVER: &str = "server of pools";

fn manager() -> Manager {
    ServerProcess::builder().name(SERVER).start().unwrap().into()
}

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn add(a: u64, b: u64) -> mp::Result<u64> {
    Ok(a + b)
}

fn pid() -> mp::Result<u32> {
    Ok(std::process::id())
}

fn park(begun: Event) -> mp::Result<u64> {
    begun.set();
    loop {
        std::thread::park();
    }
}

/// What a pool says.
fn refusal<T: Debug>(outcome: Result<T, ManagerError>) -> PoolError {
    match outcome {
        Err(ManagerError::Pool(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn exception<T: Debug>(outcome: Result<T, ManagerError>) -> RemoteException {
    match refusal(outcome) {
        PoolError::Exception(remote) => remote,
        other => panic!("{other:?}"),
    }
}

fn is_gone<T: Debug>(outcome: &Result<T, ManagerError>) -> bool {
    matches!(outcome, Err(ManagerError::Disconnected { server, .. }) if server == SERVER)
}

/// Sees that a pool has all of its workers and works.
fn is_as_new(pool: &PoolProxy) {
    let processes = pool.processes().unwrap();
    assert!(comes_true(|| pool.worker_pids().unwrap().len() == processes));
    let squares = pool.map(square, 0..50).unwrap();
    assert!(squares.into_iter().eq((0..50).map(|n| n * n)));
}

fn end_in_time(pids: &[u32]) {
    assert!(pids.iter().all(|pid| ends_within(*pid, LONG).unwrap()));
}

/// What lives in a server, but for how it looks.
fn objects(server: &ServerProcess) -> Vec<(u64, String, usize)> {
    let all = server.debug_info().unwrap().into_iter();
    all.map(|object| (object.id, object.type_name, object.references)).collect()
}

#[test]
fn m_49_pl_57_pl_01_pl_02_pl_04_pl_05_a_managed_pool_is_called_as_a_pool_is() {
    let manager = manager();
    let pool = manager.pool(4).unwrap();
    assert_eq!(pool.processes().unwrap(), 4);
    assert_eq!(pool.apply(add, (3, 4)).unwrap(), 7);
    let sequential: Vec<u64> = (0..100).map(|n| n * n).collect();
    let chunks_of_20 = || pool.with_options(TaskOptions::new().chunksize(20));
    assert_eq!(pool.map(square, 0..100).unwrap(), sequential);
    assert_eq!(chunks_of_20().map(square, 0..100).unwrap(), sequential);
    let pairs = || (0..100).map(|n| (n, 100 - n));
    assert_eq!(pool.starmap(add, pairs()).unwrap(), [100; 100]);
    assert_eq!(chunks_of_20().starmap(add, pairs()).unwrap(), [100; 100]);

    let one = pool.apply_async(add, (3, 4)).unwrap();
    let all = pool.map_async(square, 0..100).unwrap();
    let sums = pool.starmap_async(add, pairs()).unwrap();
    assert_eq!(*one.get().unwrap(), 7);
    assert_eq!(*one.get().unwrap(), 7, "as often as one likes");
    assert_eq!(one.into_result().unwrap(), 7);
    assert_eq!(*all.get_timeout(LONG).unwrap(), sequential);
    sums.wait().unwrap();
    assert!(sums.ready().unwrap() && sums.successful().unwrap() == Some(true));
    assert_eq!(sums.into_result().unwrap(), [100; 100]);

    let imap: Result<Vec<u64>, _> = pool.imap(square, 0..100).unwrap().collect();
    assert_eq!(imap.unwrap(), sequential);
    let options = TaskOptions::new().chunksize(100).look_ahead(300);
    let mut imap = pool.with_options(options).imap(square, 0..1000).unwrap();
    assert_eq!(imap.size_hint(), (1000, Some(1000)));
    assert!((0..1000).all(|n| imap.next().unwrap().unwrap() == n * n));
    assert!(imap.next().is_none() && imap.next().is_none());
    let unordered: Result<Vec<u64>, _> = pool.imap_unordered(square, 0..100).unwrap().collect();
    let mut unordered = unordered.unwrap();
    unordered.sort_unstable();
    assert_eq!(unordered, sequential);

    assert!(pool.map(square, []).unwrap().is_empty());
    assert!(chunks_of_20().map(square, []).unwrap().is_empty());
    assert!(pool.map_async(square, []).unwrap().get().unwrap().is_empty());
    assert!(pool.imap(square, []).unwrap().next().is_none());
    assert!(pool.imap_unordered(square, []).unwrap().next().is_none());
}

#[test]
fn m_49_pl_40_a_pool_of_no_workers_is_an_error_and_one_of_three_has_three() {
    let manager = manager();
    let none = refusal(manager.pool(0));
    assert_eq!(none.to_string(), "the number of processes must be at least 1");
    assert!(objects(&manager).is_empty());
    let pool = manager.pool(3).unwrap();
    let pids = pool.worker_pids().unwrap();
    assert_eq!(pids.len(), 3);
    let children = children_of(manager.pid());
    assert!(pids.iter().all(|pid| children.contains(pid)), "they are children of the server");
    let worker = pool.apply(pid, ()).unwrap();
    assert!(pids.contains(&worker));
    assert!(pool.to_string().starts_with("<Pool name='Pool-1' processes=3 open>"), "{pool}");
}

#[test]
fn m_49_a_child_uses_a_pool_that_it_was_given_and_another_that_it_makes() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let child = Process::start(
        |pool: PoolProxy, manager: Manager| {
            let sum: u64 = pool.map(square, 1..=10)?.into_iter().sum();
            let own = manager.pool(1)?;
            own.close()?;
            own.join()?;
            Ok(sum)
        },
        (
            pool.clone(),
            Manager::connect(manager.address(), mp::current_process().authkey().as_bytes())
                .unwrap(),
        ),
    );
    assert_eq!(child.unwrap().into_result().unwrap(), 385);
    assert_eq!(objects(&manager), [(pool.as_proxy().object_id(), "pool".to_owned(), 1)]);
}

#[test]
fn mp_07_a_pool_is_used_inside_of_its_server() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let tally = manager.create(Tally::args(0)).unwrap();
    assert_eq!(tally.squares_in(pool, 3).unwrap(), [0, 1, 4, 9, 16, 25]);
}

#[test]
fn threads_use_a_pool_at_the_same_time() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..50 {
                    assert_eq!(pool.apply(add, (thread, n)).unwrap(), thread + n);
                    let some = n..n + 9;
                    let sequential: Vec<u64> = some.clone().map(|n| n * n).collect();
                    assert_eq!(pool.map(square, some).unwrap(), sequential);
                }
            });
        }
    });
}

/// A value that the server must not look at.
#[derive(Debug, Clone, PartialEq)]
struct Sealed(u64);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(mp::current_process().name(), SERVER, "encoded in the server");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sealed, D::Error> {
        assert_ne!(mp::current_process().name(), SERVER, "decoded in the server");
        u64::deserialize(deserializer).map(Sealed)
    }
}

#[test]
fn arguments_and_results_go_through_the_server_unopened() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let next = |n: Sealed| Ok(Sealed(n.0 + 1));
    assert_eq!(pool.apply(next, (Sealed(1),)).unwrap(), Sealed(2));
    assert_eq!(pool.map(next, [Sealed(1), Sealed(5)]).unwrap(), [Sealed(2), Sealed(6)]);
    assert_eq!(*pool.apply_async(next, (Sealed(1),)).unwrap().get().unwrap(), Sealed(2));
    let imap: Vec<_> = pool.imap(next, [Sealed(1)]).unwrap().map(Result::unwrap).collect();
    assert_eq!(imap, [Sealed(2)]);
    let long = "long".repeat(1 << 20);
    let longer = pool.apply(|text: String| Ok(text + "!"), (long.clone(),)).unwrap();
    assert_eq!(longer, long + "!");
}

#[test]
fn handles_and_proxies_go_both_ways() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let queue: Queue<i64> = Queue::new().unwrap();
    let event = Event::new().unwrap();
    let tally = manager.create(Tally::args(0)).unwrap();
    let before = objects(&manager);
    let uses = |queue: Queue<i64>, event: Event, tally: TallyProxy, n: i64| {
        queue.put(&tally.add(n)?)?;
        event.set();
        Ok((queue, event, tally))
    };
    let args = || (queue.clone(), event.clone(), tally.clone());
    // One after the other, so that the sums are known.
    for (n, sum) in [(1, 1), (2, 3)] {
        let (same_queue, same_event, same_tally) =
            pool.apply(uses, (queue.clone(), event.clone(), tally.clone(), n)).unwrap();
        assert_eq!(same_queue.get().unwrap(), sum);
        assert!(same_event.is_set() && event.is_set());
        assert_eq!((same_tally.add(0).unwrap(), same_tally == tally), (sum, true));
    }
    let items = || {
        let (queue, event, tally) = args();
        [(queue.clone(), event.clone(), tally.clone(), 10), (queue, event, tally, 10)]
    };
    let results = pool.starmap(uses, items()).unwrap();
    assert_eq!(results.len(), 2);
    let mut sums = [queue.get().unwrap(), queue.get().unwrap()];
    sums.sort_unstable();
    assert_eq!(sums, [13, 23]);
    drop(results);
    let later = pool.starmap_async(uses, items()).unwrap();
    assert_eq!(later.get().unwrap()[1].2.add(0).unwrap(), 43);
    drop(later);
    let mut imap =
        pool.imap(|tally: TallyProxy| Ok(tally), [tally.clone(), tally.clone()]).unwrap();
    assert!(imap.next().unwrap().unwrap() == tally && imap.next().unwrap().unwrap() == tally);
    drop(imap);
    // What nobody has but messages, when its maker has returned.
    let makes = |pool: PoolProxy| {
        let queue: Queue<i64> = Queue::new()?;
        queue.put(&41)?;
        Ok((queue, pool))
    };
    let (made, same_pool) = pool.apply(makes, (pool.clone(),)).unwrap();
    assert_eq!((made.get().unwrap(), same_pool == pool), (41, true));
    let kept = pool.apply_async(makes, (pool.clone(),)).unwrap();
    kept.wait().unwrap();
    assert_eq!(kept.get().unwrap().0.get().unwrap(), 41);
    drop((kept, same_pool));
    assert!(comes_true(|| objects(&manager) == before), "{:?}", manager.debug_info());
}

#[test]
fn an_object_that_only_a_task_refers_to_lives_until_that_is_done() {
    let manager = manager();
    let pool = manager.pool(1).unwrap();
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let waits = |begun: Event, go: Event| {
        begun.set();
        Ok(go.wait()?)
    };
    let first = pool.apply_async(waits, (begun.clone(), go.clone())).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let tally = manager.create(Tally::args(5)).unwrap();
    let second = pool.apply_async(|tally: TallyProxy| Ok(tally.add(1)?), (tally,)).unwrap();
    assert_eq!(manager.debug_info().unwrap().len(), 4);
    go.set();
    first.get().unwrap();
    assert_eq!(*second.get().unwrap(), 6);
    assert!(comes_true(|| manager.debug_info().unwrap().len() == 3), "the tally is gone");
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("no square of {0}")]
struct NoSquare(u64);

fn small_square(n: u64) -> mp::Result<u64> {
    mp::ensure!(n != 13, "unlucky");
    n.checked_mul(n).ok_or_else(|| mp::Error::typed(NoSquare(n)))
}
const RAISED_AT: u32 = line!() - 2;

#[test]
fn pl_20_an_error_comes_with_its_value_and_its_trace_and_a_panic_says_so() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let error = pool.apply(small_square, (u64::MAX,)).unwrap_err();
    assert!(error.to_string().starts_with("the task failed: no square of"), "{error}");
    let remote = exception(Err::<(), _>(error));
    assert_eq!(remote.downcast::<NoSquare>(), Some(NoSquare(u64::MAX)));
    assert!(remote.process_name().contains("-worker-"), "{}", remote.process_name());
    let trace = remote.traceback().to_string();
    assert!(trace.contains(&format!("managed_pool.rs\", line {RAISED_AT}, in")), "{trace}");
    let panicked = exception(pool.apply(|n: u64| -> mp::Result<u64> { panic!("no {n}") }, (7,)));
    assert!(panicked.is_panic() && panicked.message() == "no 7");
    let result = pool.apply_async(small_square, (13,)).unwrap();
    assert_eq!(exception(result.get()).message(), "unlucky");
    assert_eq!(exception(result.get()).message(), "unlucky", "the same on every call");
    assert_eq!(result.successful().unwrap(), Some(false));
    let mut imap = pool.imap(small_square, [2, 13, 3]).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 4);
    assert_eq!(exception(imap.next().unwrap()).message(), "unlucky");
    assert_eq!(imap.next().unwrap().unwrap(), 9);
    assert!(imap.next().is_none());
}

#[test]
fn pl_21_a_map_gives_the_error_that_came_first_when_all_chunks_are_finished() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let go = Event::new().unwrap();
    // The first item fails when it is known that the second one has.
    let fails = |(waits, go): (bool, Event)| -> mp::Result<()> {
        if waits {
            go.wait()?;
        }
        mp::bail!("{waits} {}", "long".repeat(1 << 18))
    };
    let items = [true, false].map(|waits| (waits, go.clone()));
    let tells = move |_| go.set();
    let options = TaskOptions::new().chunksize(1).progress(tells);
    let error = exception(pool.with_options(options).map(fails, items));
    assert!(error.message().starts_with("false long"), "{error}");
    is_as_new(&pool);
    pool.close().unwrap();
    pool.join().unwrap();
}

#[test]
fn pl_22_pl_23_a_panic_of_the_input_comes_out() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let fails_at = |at: u64| (0..).inspect(move |n| assert!(*n != at, "no more"));
    for at in [0, 5] {
        let map = || pool.map(square, fails_at(at).take(50));
        assert!(catch_unwind(AssertUnwindSafe(map)).is_err());
        for is_ordered in [true, false] {
            let mut imap = match is_ordered {
                true => pool.imap(square, fails_at(at)),
                false => pool.imap_unordered(square, fails_at(at)),
            }
            .unwrap();
            let mut before: Vec<u64> = (0..at).map(|_| imap.next().unwrap().unwrap()).collect();
            before.sort_unstable();
            assert!(before.into_iter().eq((0..at).map(|n| n * n)));
            assert!(catch_unwind(AssertUnwindSafe(|| imap.next())).is_err());
            assert!(imap.next().is_none());
        }
    }
    is_as_new(&pool);
}

/// Crosses only if it is even.
#[derive(Debug, PartialEq, Deserialize)]
struct Even(u64);

impl Serialize for Even {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 {
            return Err(serde::ser::Error::custom("odd"));
        }
        self.0.serialize(serializer)
    }
}

#[test]
fn pl_24_pl_25_what_cannot_be_encoded_says_so_and_the_pool_goes_on() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let half = |n: Even| Ok(n.0 / 2);
    assert!(matches!(refusal(pool.apply(half, (Even(1),))), PoolError::Encode(_)));
    assert!(matches!(refusal(pool.apply_async(half, (Even(1),))), PoolError::Encode(_)));
    assert!(matches!(refusal(pool.map(half, [Even(2), Even(1)])), PoolError::Encode(_)));
    let mut imap = pool.imap(half, [Even(2), Even(1), Even(4)]).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 1);
    assert!(matches!(refusal(imap.next().unwrap()), PoolError::Encode(_)));
    assert_eq!(imap.next().unwrap().unwrap(), 2);
    assert!(imap.next().is_none());
    let twice = |n: u64| Ok(Even(n));
    for _ in 0..20 {
        let error = refusal(pool.apply(twice, (1,)));
        let text = error.to_string();
        assert!(matches!(error, PoolError::Transfer { .. }), "{error:?}");
        assert!(text.contains("cannot pass the result") && text.contains("odd"), "{text}");
    }
    assert_eq!(pool.apply(twice, (2,)).unwrap(), Even(2));
    is_as_new(&pool);
}

#[test]
fn pl_06_pl_07_pl_09_limits_of_waits_and_values_that_cannot_be() {
    let manager = manager();
    let pool = manager.pool(1).unwrap();
    let go = Event::new().unwrap();
    let waits = |go: Event| {
        go.wait()?;
        Ok(5)
    };
    let first = pool.apply_async(waits, (go.clone(),)).unwrap();
    assert!(!first.ready().unwrap() && first.successful().unwrap().is_none());
    assert!(takes_at_least(SHORT, || !first.wait_timeout(SHORT).unwrap()));
    let early = takes_at_least(SHORT, || refusal(first.get_timeout(SHORT)));
    assert!(matches!(early, PoolError::Timeout));
    let mut imap = pool.imap(square, [3]).unwrap();
    let early = takes_at_least(SHORT, || refusal(imap.next_timeout(SHORT)));
    assert!(matches!(early, PoolError::Timeout));
    let second = pool.map_async(square, 0..10).unwrap();
    assert!(second.cancel().unwrap());
    assert!(matches!(refusal(second.get()), PoolError::Cancelled));
    go.set();
    assert_eq!((*first.get().unwrap(), first.cancel().unwrap()), (5, false));
    assert_eq!(imap.next_timeout(LONG).unwrap().unwrap().unwrap(), 9, "it is not lost");
    let none = pool.with_options(TaskOptions::new().chunksize(0));
    assert!(matches!(refusal(none.map(square, 0..9)), PoolError::Invalid { .. }));
    assert!(matches!(refusal(none.map_async(square, [])), PoolError::Invalid { .. }));
    assert!(matches!(refusal(none.imap(square, 0..9)), PoolError::Invalid { .. }));
}

#[test]
fn options_go_with_the_tasks() {
    let manager = manager();
    let pool = manager.pool(1).unwrap();
    let begun = Event::new().unwrap();
    let limited = pool.with_options(TaskOptions::new().timeout(SHORT));
    assert!(matches!(refusal(limited.apply(park, (begun,))), PoolError::TimedOut));
    let tries: Queue<u32> = Queue::new().unwrap();
    let dies_once = |tries: Queue<u32>| {
        let attempt = mp::current_task().map_or(0, |task| task.attempt());
        tries.put(&attempt)?;
        if attempt == 0 {
            raise(Signal::KILL);
        }
        Ok(attempt)
    };
    let again = pool.with_options(TaskOptions::new().retries(1).idempotent(true));
    assert_eq!(again.apply(dies_once, (tries.clone(),)).unwrap(), 1);
    assert_eq!([tries.get().unwrap(), tries.get().unwrap()], [0, 1]);
}

#[test]
fn who_waits_for_results_reports_the_progress() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let hooked = || {
        let (told, hears) = mpsc::channel();
        let hook = move |progress| told.send(progress).unwrap();
        (pool.with_options(TaskOptions::new().chunksize(4).progress(hook)), hears)
    };
    let is_complete = |hears: mpsc::Receiver<Progress>| {
        let all: Vec<Progress> = hears.try_iter().collect();
        assert!(all.windows(2).all(|two| two[0].done < two[1].done), "{all:?}");
        assert_eq!(all.last(), Some(&Progress { done: 10, total: Some(10) }));
    };
    let (calls, hears) = hooked();
    assert_eq!(calls.map(square, 0..10).unwrap().len(), 10);
    is_complete(hears);
    let (calls, hears) = hooked();
    let result = calls.starmap_async(add, (0..10).map(|n| (n, n))).unwrap();
    assert!(result.wait_timeout(LONG).unwrap());
    is_complete(hears);
    assert_eq!(result.into_result().unwrap()[9], 18);
    let (calls, hears) = hooked();
    assert_eq!(calls.imap(square, 0..10).unwrap().count(), 10);
    is_complete(hears);
    let (calls, _hears) = hooked();
    let go = Event::new().unwrap();
    let waits = |go: Event| Ok(go.wait()?);
    let result = calls.map_async(waits, [go.clone()]).unwrap();
    assert!(takes_at_least(SHORT, || !result.wait_timeout(SHORT).unwrap()));
    assert!(matches!(refusal(result.get_timeout(SHORT)), PoolError::Timeout));
    go.set();
    result.get().unwrap();
}

#[test]
fn pl_11_an_endless_input_is_read_no_further_ahead_than_is_said() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let before = objects(&manager);
    let read = Cell::new(0);
    let endless = || (0..).inspect(|n| read.set(n + 1));
    for is_ordered in [true, false] {
        let calls = pool.with_options(TaskOptions::new().chunksize(3).look_ahead(30));
        let mut imap = match is_ordered {
            true => calls.imap(square, endless()),
            false => calls.imap_unordered(square, endless()),
        }
        .unwrap();
        assert_eq!(imap.size_hint().1, None);
        for given in 0..2000 {
            imap.next().unwrap().unwrap();
            assert!(read.get() <= given + 1 + 30, "{} read, {given} given", read.get());
        }
    }
    assert!(comes_true(|| objects(&manager) == before));
}

#[test]
fn a_slow_input_does_not_keep_the_workers_waiting() {
    let manager = manager();
    let pool = manager.pool(1).unwrap();
    let done: Queue<u64> = Queue::new().unwrap();
    let items = {
        let done = done.clone();
        // Each item comes when the one before has been worked on.
        (0..10).map(move |n: u64| {
            if n > 0 {
                assert_eq!(done.get_timeout(LONG).unwrap(), n - 1);
            }
            std::thread::sleep(Duration::from_millis(1));
            (n, done.clone())
        })
    };
    let tells = |(n, done): (u64, Queue<u64>)| {
        done.put(&n)?;
        Ok(n)
    };
    let all: Vec<u64> = pool.imap(tells, items).unwrap().map(Result::unwrap).collect();
    assert!(all.into_iter().eq(0..10));
}

#[test]
fn pl_34_pl_48_a_pool_ends_as_it_is_told() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    assert!(matches!(refusal(pool.join()), PoolError::StillOpen));
    let result = pool.map_async(square, 0..100).unwrap();
    let pids = pool.worker_pids().unwrap();
    let mut imap = pool.imap(square, 0..100).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 0);
    pool.close().unwrap();
    assert!(imap.map(Result::unwrap).eq((1..100).map(|n| n * n)), "it goes on");
    pool.join().unwrap();
    end_in_time(&pids);
    assert_eq!(result.get().unwrap()[99], 99 * 99);
    assert!(matches!(refusal(pool.apply(add, (1, 2))), PoolError::Closed));
    assert!(matches!(refusal(pool.map(square, [])), PoolError::Closed));
    assert!(matches!(refusal(pool.map_async(square, 0..9)), PoolError::Closed));
    assert!(matches!(refusal(pool.imap(square, 0..9)), PoolError::Closed));
    pool.close().unwrap();
    pool.terminate().unwrap();
    pool.join().unwrap();

    let pool = manager.pool(2).unwrap();
    let begun = Event::new().unwrap();
    let parked = pool.apply_async(park, (begun.clone(),)).unwrap();
    let behind = pool.map_async(square, 0..10_000).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let mut imap = pool.imap(square, 0..).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 0);
    let pids = pool.worker_pids().unwrap();
    pool.terminate().unwrap();
    pool.join().unwrap();
    end_in_time(&pids);
    assert!(matches!(refusal(parked.get()), PoolError::Terminated));
    assert!(behind.ready().unwrap());
    let rest: Vec<_> = imap.take(10_000).collect();
    assert!(rest.len() < 10_000, "it ends");
    let is_over = |error| matches!(error, PoolError::Terminated | PoolError::Closed);
    assert!(rest.into_iter().filter(Result::is_err).all(|one| is_over(refusal(one))));
}

#[test]
fn the_last_proxy_takes_the_workers_along() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let begun = Event::new().unwrap();
    let parked = pool.apply_async(park, (begun.clone(),)).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let pids = pool.worker_pids().unwrap();
    let other = pool.clone();
    drop(pool);
    is_as_new(&other);
    drop(other);
    end_in_time(&pids);
    assert!(matches!(refusal(parked.get()), PoolError::Terminated));
    drop(parked);
    assert!(objects(&manager).is_empty());
}

#[test]
fn workers_outlive_the_thread_that_has_made_their_pool() {
    let manager = manager();
    let pool = std::thread::scope(|scope| scope.spawn(|| manager.pool(2).unwrap()).join()).unwrap();
    let pids = pool.worker_pids().unwrap();
    std::thread::scope(|scope| scope.spawn(|| is_as_new(&pool)).join()).unwrap();
    // The server's threads for those are gone by now, or will be soon.
    std::thread::sleep(SHORT);
    is_as_new(&pool);
    assert_eq!(pool.worker_pids().unwrap(), pids);
}

#[test]
fn pl_28_a_worker_that_dies_costs_one_task() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let begun = Event::new().unwrap();
    let parked = pool.apply_async(park, (begun.clone(),)).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let dies = |n: u64| {
        if n == 7 {
            raise(Signal::KILL);
        }
        Ok(n)
    };
    let error = refusal(pool.apply(dies, (7,)));
    let PoolError::WorkerDied { pid, exitcode: Some(-9), started: true } = error else {
        panic!("{error:?}");
    };
    end_in_time(&[pid]);
    let died = |outcome| matches!(refusal(outcome), PoolError::WorkerDied { started: true, .. });
    assert!(died(pool.map(dies, 0..20)));
    let outcomes: Vec<_> = pool.imap(dies, 0..20).unwrap().collect();
    assert_eq!(outcomes.len(), 20);
    for (n, outcome) in (0..).zip(outcomes) {
        match n {
            7 => assert!(died(outcome.map(|n| vec![n]))),
            n => assert_eq!(outcome.unwrap(), n),
        }
    }
    assert!(!parked.ready().unwrap(), "the other one is not touched");
    let victims = pool.worker_pids().unwrap();
    for pid in victims {
        signal(pid, Signal::KILL);
    }
    assert!(matches!(refusal(parked.get()), PoolError::WorkerDied { exitcode: Some(-9), .. }));
    is_as_new(&pool);
}

#[test]
fn a_server_that_is_killed_is_gone_for_all_who_wait_and_its_workers_with_it() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let pids = pool.worker_pids().unwrap();
    let begun = [(); 2].map(|()| Event::new().unwrap());
    let parked = begun.clone().map(|begun| pool.apply_async(park, (begun,)).unwrap());
    assert!(begun.iter().all(|begun| begun.wait_timeout(LONG).unwrap()));
    let [read, joins] = [(); 2].map(|()| Event::new().unwrap());
    let imap = pool.imap(square, 0..100).unwrap();
    std::thread::scope(|scope| {
        let items = (0..100).inspect(|_| read.set());
        let map = scope.spawn(|| pool.map(square, items));
        let apply = scope.spawn(|| pool.apply(add, (1, 2)));
        let join = scope.spawn(|| {
            let closed = manager.pool(1).unwrap();
            let begun = Event::new().unwrap();
            let parked = closed.apply_async(park, (begun.clone(),)).unwrap();
            begun.wait().unwrap();
            closed.close().unwrap();
            joins.set();
            let outcome = closed.join();
            assert!(is_gone(&parked.get()));
            outcome
        });
        let imap = scope.spawn(|| imap.collect::<Vec<_>>());
        let get = scope.spawn(|| is_gone(&parked[0].get()));
        assert!(read.wait_timeout(LONG).unwrap() && joins.wait_timeout(LONG).unwrap());
        std::thread::sleep(SHORT);
        assert!(!map.is_finished() && !apply.is_finished() && !join.is_finished());
        signal(manager.pid(), Signal::KILL);
        assert!(is_gone(&map.join().unwrap()));
        assert!(is_gone(&apply.join().unwrap()));
        assert!(is_gone(&join.join().unwrap()));
        let all = imap.join().unwrap();
        assert!(!all.is_empty() && all.iter().all(is_gone), "{all:?}");
        assert!(get.join().unwrap());
    });
    assert!(is_gone(&pool.apply(add, (1, 2))) && is_gone(&pool.worker_pids()));
    end_in_time(&pids);
}

/// What a client does before it is killed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Doing {
    Apply,
    Map,
    ApplyAsync,
    Get,
    Wait,
    Imap,
    ImapUnordered,
    Progress,
    Join,
}

const DOINGS: [Doing; 9] = [
    Doing::Apply,
    Doing::Map,
    Doing::ApplyAsync,
    Doing::Get,
    Doing::Wait,
    Doing::Imap,
    Doing::ImapUnordered,
    Doing::Progress,
    Doing::Join,
];

/// A client in the middle of something, whose tasks wait for an event and count themselves.
fn in_the_middle(doing: Doing, pool: PoolProxy, tally: TallyProxy, go: Event) -> mp::Result<()> {
    let task = |(tally, go): (TallyProxy, Event)| {
        tally.add(1)?;
        go.wait()?;
        Ok(())
    };
    let item = || (tally.clone(), go.clone());
    let endless = || std::iter::repeat_with(item);
    let one_by_one = pool.with_options(TaskOptions::new().chunksize(1));
    match doing {
        Doing::Apply => pool.apply(task, (item(),))?,
        Doing::Map => drop(one_by_one.map(task, endless().take(100))?),
        Doing::ApplyAsync => {
            let _results: Vec<_> =
                (0..100).map(|_| pool.apply_async(task, (item(),))).collect::<Result<_, _>>()?;
            loop {
                std::thread::park();
            }
        }
        Doing::Get => drop(one_by_one.map_async(task, endless().take(100))?.get()?),
        Doing::Wait => one_by_one.map_async(task, endless().take(100))?.wait()?,
        Doing::Imap => pool.imap(task, endless())?.for_each(drop),
        Doing::ImapUnordered => pool.imap_unordered(task, endless())?.for_each(drop),
        Doing::Progress => {
            let calls = pool.with_options(TaskOptions::new().chunksize(1).progress(|_| ()));
            calls.map_async(task, endless().take(100))?.get()?;
        }
        Doing::Join => {
            let result = pool.apply_async(task, (item(),))?;
            pool.close()?;
            pool.join()?;
            result.get()?;
        }
    }
    Ok(())
}

#[test]
fn a_client_that_is_killed_leaves_the_pool_as_it_was() {
    let manager = manager();
    for doing in DOINGS {
        let pool = manager.pool(2).unwrap();
        let tally = manager.create(Tally::args(0)).unwrap();
        let go = Event::new().unwrap();
        let before = objects(&manager);
        let args = (doing, pool.clone(), tally.clone(), go.clone());
        let client = Process::start(in_the_middle, args).unwrap();
        assert!(comes_true(|| tally.add(0).unwrap() >= 1), "{doing:?} does not begin");
        match doing {
            Doing::Apply => {}
            Doing::Join => assert!(comes_true(|| pool.to_string().ends_with("closing>"))),
            _ => assert!(comes_true(|| tally.add(0).unwrap() == 2), "both workers are busy"),
        }
        client.kill();
        assert!(client.join().is_err());
        // What waits in the server waits no longer; what runs does, and nothing else of it is begun.
        let of_pool = |all: Vec<(u64, String, usize)>| {
            all.into_iter().find(|(id, ..)| *id == pool.as_proxy().object_id())
        };
        assert!(comes_true(|| of_pool(objects(&manager)) == of_pool(before.clone())));
        go.set();
        if matches!(doing, Doing::Join) {
            pool.join().unwrap();
        } else {
            is_as_new(&pool);
        }
        assert!(tally.add(0).unwrap() <= 2, "{doing:?}: {:?}", tally.add(0));
        let is_as_before = || objects(&manager) == before;
        assert!(comes_true(is_as_before), "{doing:?}: {:?}", manager.debug_info());
    }
}

#[test]
fn a_client_that_is_killed_takes_a_pool_along_that_nobody_else_has() {
    let manager = manager();
    for doing in DOINGS {
        let tally = manager.create(Tally::args(0)).unwrap();
        let never = Event::new().unwrap();
        let pids: Queue<Vec<u32>> = Queue::new().unwrap();
        let makes = |doing: Doing,
                     manager: Manager,
                     tally: TallyProxy,
                     never: Event,
                     pids: Queue<Vec<u32>>| {
            let pool = manager.pool(2)?;
            pids.put(&pool.worker_pids()?)?;
            in_the_middle(doing, pool, tally, never)
        };
        let key = mp::current_process().authkey();
        let handle = Manager::connect(manager.address(), key.as_bytes()).unwrap();
        let args = (doing, handle, tally.clone(), never, pids.clone());
        let client = Process::start(makes, args).unwrap();
        assert!(comes_true(|| tally.add(0).unwrap() >= 1), "{doing:?} does not begin");
        client.kill();
        assert!(client.join().is_err());
        end_in_time(&pids.get().unwrap());
        let is_alone = || objects(&manager).len() == 1;
        assert!(comes_true(is_alone), "{doing:?}: {:?}", manager.debug_info());
    }
}

#[test]
fn what_a_worker_logs_comes_out_of_the_logger_of_the_root() {
    alone(|| {
        keeper::install(LevelFilter::Info);
        let manager = manager();
        let pool = manager.pool(1)?;
        let name = pool.apply(
            || {
                log::warn!("from a worker");
                Ok(mp::current_process().name().to_owned())
            },
            (),
        )?;
        assert_eq!(name, "Pool-1-worker-1");
        Ok(())
    });
}

/// The variable that has the address of a server for another program.
const ADDRESS: &str = "MP_TEST_SERVER";
const KEY: &[u8] = b"key";

#[test]
#[ignore = "what another program does, which a test starts"]
fn another_program() {
    let manager = Manager::connect(std::env::var(ADDRESS).unwrap().as_str(), KEY).unwrap();
    let pool = manager.pool(1).unwrap();
    let told = |outcome: Result<String, ManagerError>| match outcome {
        Ok(text) => text,
        Err(error) => error.to_string(),
    };
    println!("\n@{}", told(pool.apply(add, (3, 4)).map(|sum| format!("sum {sum}"))));
    println!("\n@{}", told(pool.map(square, 0..9).map(|all| format!("{} squares", all.len()))));
    println!("\n@{}", told(pool.imap(square, 0..9).map(|all| format!("{} squares", all.count()))));
    println!("\n@{}", told(pool.apply_async(add, (3, 4)).map(|_| "submitted".to_owned())));
}

/// What another program says, which runs this executable.
fn said_by(executable: &std::path::Path, server: &str) -> Vec<String> {
    let mut program = Command::new(executable);
    program.args(["--exact", "another_program", "--ignored", "--nocapture"]);
    let output = program.env(ADDRESS, server).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.strip_prefix('@')).map(str::to_owned).collect()
}

#[test]
fn another_build_of_the_program_is_refused_before_anything_is_run() {
    let temporary = |what| std::env::temp_dir().join(format!("mp-{what}-{}", std::process::id()));
    let socket = temporary("pools").into_os_string().into_string().unwrap();
    let server = ServerProcess::builder().name(SERVER).authkey(KEY).address(&*socket);
    let server = server.start().unwrap();
    let own = std::env::current_exe().unwrap();
    let same = ["sum 7", "9 squares", "9 squares", "submitted"];
    assert_eq!(said_by(&own, &socket), same);
    // The same program, with another name of its build.
    let build = serde_json::to_value(mp_reduction::image().build_id()).unwrap();
    let build: Vec<u8> = serde_json::from_value(build).unwrap();
    let mut program = std::fs::read(&own).unwrap();
    let place = program.windows(build.len()).position(|bytes| bytes == build);
    program[place.expect("the linker names builds")] ^= 1;
    let path = temporary("other-build");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    let said = said_by(&path, &socket);
    std::fs::remove_file(&path).unwrap();
    let refused = format!(
        "server '{SERVER}' cannot call a function of another program, or of another build of this one"
    );
    assert_eq!(said, [&*refused; 4]);
    assert!(comes_true(|| objects(&server).is_empty()));
}

#[test]
fn over_the_network_bytes_go_and_handles_do_not() {
    let server = ServerProcess::builder().name(SERVER).address(("127.0.0.1", 0)).authkey(KEY);
    let server = server.start().unwrap();
    let manager = Manager::connect(server.address(), KEY).unwrap();
    // The one who started it is a neighbour in any case.
    let pool = manager.pool(2).unwrap();
    is_as_new(&pool);
    assert_eq!(pool.imap(square, 0..50).unwrap().count(), 50);
    let p = Process::start(over_the_network, (server.address(),)).unwrap();
    p.into_result().unwrap();
}

fn over_the_network(address: mp::connection::Address) -> mp::Result<()> {
    let manager = Manager::connect(address, KEY)?;
    let pool = manager.pool(2)?;
    is_as_new(&pool);
    assert_eq!(*pool.apply_async(add, (3, 4))?.get()?, 7);
    assert_eq!(pool.imap(square, 0..50)?.filter_map(Result::ok).count(), 50);
    let refused = |outcome: Result<(), ManagerError>| {
        let Err(ManagerError::Transfer { what, .. }) = &outcome else { panic!("{outcome:?}") };
        assert!(what.contains("handles or descriptors"), "{what}");
    };
    let queue: Queue<u64> = Queue::new()?;
    refused(pool.apply(|_: Queue<u64>| Ok(()), (queue.clone(),)));
    refused(pool.apply(|| Ok(Queue::<u64>::new()?), ()).map(drop));
    refused(pool.apply_async(|_: Queue<u64>| Ok(()), (queue.clone(),)).map(drop));
    refused(pool.imap(|_: Queue<u64>| Ok(()), [queue])?.next().unwrap_or(Ok(())));
    refused(pool.apply(|_: PoolProxy| Ok(()), (pool.clone(),)));
    is_as_new(&pool);
    Ok(())
}

#[test]
#[ignore = "prints how long calls take"]
fn how_long_calls_take() {
    let manager = manager();
    let pool = manager.pool(1).unwrap();
    let local = mp::Pool::new(1).unwrap();
    let measure = |name: &str, call: &dyn Fn()| {
        for _ in 0..500 {
            call();
        }
        let begun = Instant::now();
        for _ in 0..5000 {
            call();
        }
        println!("{name}: {:?}", begun.elapsed() / 5000);
    };
    measure("processes", &|| drop(pool.worker_pids().unwrap()));
    measure("apply", &|| assert_eq!(pool.apply(add, (3, 4)).unwrap(), 7));
    measure("apply of a local pool", &|| assert_eq!(local.apply(add, (3, 4)).unwrap(), 7));
    measure("apply_async, get", &|| {
        assert_eq!(*pool.apply_async(add, (3, 4)).unwrap().get().unwrap(), 7);
    });
    measure("apply_async, get of a local pool", &|| {
        assert_eq!(*local.apply_async(add, (3, 4)).unwrap().get().unwrap(), 7);
    });
    measure("map of 100", &|| assert_eq!(pool.map(square, 0..100).unwrap().len(), 100));
    measure("map of 100 of a local pool", &|| {
        assert_eq!(local.map(square, 0..100).unwrap().len(), 100);
    });
    let begun = Instant::now();
    assert_eq!(pool.imap(square, 0..50_000).unwrap().count(), 50_000);
    println!("imap: {:?} for each item", begun.elapsed() / 50_000);
    let begun = Instant::now();
    assert_eq!(local.imap(square, 0..50_000).unwrap().count(), 50_000);
    println!("imap of a local pool: {:?} for each item", begun.elapsed() / 50_000);
}
