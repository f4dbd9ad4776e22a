//! A pool in a server is called as any, with the same options and limits.

use std::cell::Cell;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mp::{Event, Manager, PoolError, PoolProxy, Process, Progress, Queue, TaskOptions, TypedProxy};
use mp_testing::limits::{LONG, SHORT, comes_true, takes_at_least};
use mp_testing::system::{children_of, raise};
use rustix::process::Signal;

use crate::{Tally, add, manager, objects, park, refusal, square};

fn pid() -> mp::Result<u32> {
    Ok(std::process::id())
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
