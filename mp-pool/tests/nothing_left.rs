//! When a pool is gone, so are its processes, threads, descriptors and memory, whatever it was at.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mp::{AsyncResult, Pool, PoolError, TaskOptions};
use mp_testing::limits::{LONG, alone, comes_true};
use mp_testing::storm::kills;
use mp_testing::system::{at_rest, children_of, settle_at, signal};
use rustix::process::Signal;

mp::enable_test_support!();

/// How long the system may take to clear up behind processes and threads that have ended.
const LIMIT: Duration = Duration::from_secs(10);

fn park() -> mp::Result<()> {
    loop {
        std::thread::park();
    }
}

/// One life of a pool.
type Life = fn() -> mp::Result<()>;

/// Sees that many lives leave no more behind than a few do, and no process at any time.
fn leaves_nothing(life: Life, usual: usize) -> mp::Result<()> {
    let live = || {
        life()?;
        let children = || children_of(std::process::id());
        mp::ensure!(comes_true(|| children().is_empty()), "{:?} live on", children());
        Ok(())
    };
    // What the first object of a process leaves behind, and memory that is kept for others, stays.
    for _ in 0..3 {
        live()?;
    }
    let before = at_rest();
    let mapped_before = mapped();
    let lives = kills(usual);
    for _ in 0..lives {
        live()?;
    }
    let after = settle_at(before, LIMIT);
    mp::ensure!(after <= before, "{after:?} after {lives} lives, {before:?} before: {:?}", open());
    let mapped = mapped();
    mp::ensure!(mapped <= mapped_before + 2, "{mapped} mappings, {mapped_before} before");
    Ok(())
}

/// How much shared memory this process has mapped: how many pieces.
fn mapped() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:")).count()
}

/// What this process has open.
fn open() -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
}

fn is_terminated<T>(handle: &AsyncResult<T>) -> bool
where
    T: Send + 'static,
{
    matches!(handle.get_timeout(LONG), Err(PoolError::Terminated))
}

/// It may not even have come to start all of its workers.
fn is_dropped_at_once() -> mp::Result<()> {
    drop(Pool::new(3)?);
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_at_once_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_at_once, 60));
}

fn is_used_and_dropped() -> mp::Result<()> {
    let pool = Pool::new(2)?;
    let doubles = pool.map(|n: u32| Ok(2 * n), 0..100)?;
    mp::ensure!(doubles.into_iter().eq((0..100).map(|n| 2 * n)));
    Ok(())
}

#[test]
fn a_pool_that_was_used_and_is_dropped_leaves_nothing() {
    alone(|| leaves_nothing(is_used_and_dropped, 60));
}

fn is_closed_and_joined() -> mp::Result<()> {
    let pool = Pool::builder().processes(2).max_tasks_per_child(2).start()?;
    let handles: Vec<_> =
        (0..10).map(|n: u32| pool.apply_async(|n: u32| Ok(n), (n,))).collect::<Result<_, _>>()?;
    pool.close();
    pool.join()?;
    drop(pool);
    for (n, handle) in (0..).zip(handles) {
        mp::ensure!(handle.into_result()? == n);
    }
    Ok(())
}

#[test]
fn a_pool_that_is_joined_leaves_nothing() {
    alone(|| leaves_nothing(is_closed_and_joined, 30));
}

fn is_dropped_with_tasks() -> mp::Result<()> {
    let pool = Pool::new(2)?;
    let parked = (0..2).map(|_| pool.apply_async(park, ())).collect::<Result<Vec<_>, _>>()?;
    // More than can be on their way.
    let pending = (0..200)
        .map(|n: u32| pool.apply_async(|_: String, n: u32| Ok(n), ("x".repeat(5000), n)))
        .collect::<Result<Vec<_>, _>>()?;
    let map = pool.map_async(|n: u32| Ok(n), 0..1000)?;
    drop(pool);
    mp::ensure!(parked.iter().all(is_terminated) && pending.iter().all(is_terminated));
    mp::ensure!(is_terminated(&map));
    Ok(())
}

#[test]
fn pl_34_a_pool_that_is_dropped_with_tasks_leaves_nothing_and_ends_them() {
    alone(|| leaves_nothing(is_dropped_with_tasks, 40));
}

/// Others wait for results, with a deadline and without one.
fn is_dropped_while_others_wait() -> mp::Result<()> {
    let pool = Pool::new(2)?;
    let parked = (0..4).map(|_| pool.apply_async(park, ())).collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            parked.iter().map(|handle| scope.spawn(|| is_terminated(handle))).collect();
        drop(pool);
        assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap()));
    });
    Ok(())
}

#[test]
fn pl_34_a_pool_that_is_dropped_while_others_wait_for_results_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_while_others_wait, 30));
}

fn is_dropped_with_an_imap() -> mp::Result<()> {
    for is_first in [false, true] {
        let pool = Pool::new(2)?;
        let mut results = pool.imap(|n: u64| Ok(n), 0..)?;
        for n in 0..50 {
            mp::ensure!(results.next().transpose()? == Some(n));
        }
        if is_first {
            drop(pool);
            // What had come is there, and then it fails for ever.
            mp::ensure!(
                results
                    .any(|result| matches!(result, Err(PoolError::Terminated | PoolError::Closed)))
            );
        }
    }
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_with_an_imap_half_way_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_with_an_imap, 30));
}

/// Callbacks that have been called, that are being called, and that are called by the end itself.
fn is_dropped_with_callbacks() -> mp::Result<()> {
    let pool = Pool::new(2)?;
    let (sender, told) = mpsc::channel();
    let tell = |is_ok: bool| {
        let sender = sender.clone();
        move || sender.send(is_ok).unwrap()
    };
    for _ in 0..20 {
        let tell = tell(true);
        pool.apply_async(|| Ok(1), ())?.on_done(move |outcome| {
            if outcome.is_ok() {
                tell();
            }
        });
    }
    told.recv_timeout(LONG)?;
    for _ in 0..10 {
        let tell = tell(false);
        pool.apply_async(park, ())?.on_done(move |outcome| {
            std::thread::sleep(Duration::from_micros(100));
            if matches!(outcome, Err(PoolError::Terminated)) {
                tell();
            }
        });
    }
    drop((pool, sender));
    let (good, bad): (Vec<bool>, Vec<bool>) = told.into_iter().partition(|is_ok| *is_ok);
    mp::ensure!(good.len() <= 19 && bad.len() == 10, "{} and {}", good.len(), bad.len());
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_with_callbacks_leaves_nothing_and_calls_them() {
    alone(|| leaves_nothing(is_dropped_with_callbacks, 40));
}

/// A pool for somebody else to drop.
fn shared_pool() -> mp::Result<Arc<Mutex<Option<Pool>>>> {
    Ok(Arc::new(Mutex::new(Some(Pool::new(2)?))))
}

fn drop_it(pool: &Mutex<Option<Pool>>) {
    let pool = pool.lock().unwrap().take();
    drop(pool);
}

fn is_dropped_in_a_callback() -> mp::Result<()> {
    let pool = shared_pool()?;
    let (sender, is_dropped) = mpsc::channel();
    let (handle, pending) = {
        let there = pool.lock().unwrap();
        let there = there.as_ref().expect("nobody has dropped it");
        (there.apply_async(|| Ok(5), ())?, there.apply_async(park, ())?)
    };
    handle.on_done(move |_| {
        drop_it(&pool);
        sender.send(()).unwrap();
    });
    is_dropped.recv_timeout(LONG)?;
    mp::ensure!(*handle.get_timeout(LONG)? == 5);
    mp::ensure!(is_terminated(&pending));
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_in_a_callback_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_in_a_callback, 40));
}

/// Drops a pool as it is decoded.
struct Drops;

static TO_DROP: Mutex<Option<Arc<Mutex<Option<Pool>>>>> = Mutex::new(None);

impl serde::Serialize for Drops {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Drops {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Drops, D::Error> {
        <()>::deserialize(deserializer)?;
        let pool = TO_DROP.lock().unwrap().take();
        if let Some(pool) = pool {
            drop_it(&pool);
        }
        Ok(Drops)
    }
}

/// By the thread of the pool itself.
fn is_dropped_by_a_result() -> mp::Result<()> {
    let pool = shared_pool()?;
    *TO_DROP.lock().unwrap() = Some(Arc::clone(&pool));
    let (handle, pending) = {
        let there = pool.lock().unwrap();
        let there = there.as_ref().expect("nobody has dropped it");
        (there.apply_async(|| Ok(Drops), ())?, there.apply_async(park, ())?)
    };
    mp::ensure!(handle.get_timeout(LONG).is_ok(), "it came before the end");
    mp::ensure!(is_terminated(&pending));
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_by_the_decoding_of_a_result_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_by_a_result, 40));
}

fn is_dropped_by_a_progress_hook() -> mp::Result<()> {
    let pool = shared_pool()?;
    let seen = Arc::clone(&pool);
    let options = TaskOptions::new().chunksize(1).progress(move |progress| {
        if progress.done == 3 {
            drop_it(&seen);
        }
    });
    let map = {
        let there = pool.lock().unwrap();
        let there = there.as_ref().expect("nobody has dropped it");
        // Some end and the others never do, however late the hook has the pool.
        let some_park = |n: u32| {
            if n > 10 {
                park()?;
            }
            Ok(n)
        };
        there.with_options(options).map_async(some_park, 0..50)?
    };
    mp::ensure!(is_terminated(&map));
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_by_a_progress_hook_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_by_a_progress_hook, 30));
}

/// Workers that were killed, stopped, or are about to be replaced.
fn is_dropped_among_deaths() -> mp::Result<()> {
    let pool = Pool::new(4)?;
    let _parked = pool.apply_async(park, ())?;
    pool.apply(|| Ok(()), ())?;
    let pids = pool.worker_pids();
    signal(pids[0], Signal::KILL);
    signal(pids[1], Signal::STOP);
    signal(pids[2], Signal::TERM);
    let _other = pool.apply_async(park, ())?;
    drop(pool);
    Ok(())
}

#[test]
fn a_pool_that_is_dropped_among_deaths_of_workers_leaves_nothing() {
    alone(|| leaves_nothing(is_dropped_among_deaths, 40));
}

fn is_broken() -> mp::Result<()> {
    let fail = |why: String| -> mp::Result<()> { mp::bail!("{why}") };
    let pool = Pool::builder().processes(2).initializer(fail, ("no".to_owned(),)).start()?;
    let handle = pool.apply_async(|| Ok(()), ());
    let error = handle.and_then(AsyncResult::into_result).unwrap_err();
    mp::ensure!(matches!(error, PoolError::Initializer(_)), "{error:?}");
    Ok(())
}

#[test]
fn a_broken_pool_leaves_nothing() {
    alone(|| leaves_nothing(is_broken, 6));
}

/// Two threads end it at the same time, and a third has a result of it.
fn is_ended_by_two() -> mp::Result<()> {
    let pool = Pool::new(2)?;
    let handle = pool.apply_async(park, ())?;
    std::thread::scope(|scope| {
        scope.spawn(|| pool.terminate());
        scope.spawn(|| {
            pool.close();
            pool.join().unwrap();
        });
        scope.spawn(|| assert!(is_terminated(&handle)));
    });
    Ok(())
}

#[test]
fn a_pool_that_is_ended_by_two_threads_leaves_nothing() {
    alone(|| leaves_nothing(is_ended_by_two, 40));
}

/// Many at the same time.
fn are_many() -> mp::Result<()> {
    let pools = (0..5).map(|_| Pool::new(2)).collect::<Result<Vec<_>, _>>()?;
    let handles =
        pools.iter().map(|pool| pool.apply_async(|| Ok(1), ())).collect::<Result<Vec<_>, _>>()?;
    let sum: u32 = handles.into_iter().map(|handle| handle.into_result().unwrap()).sum();
    mp::ensure!(sum == 5);
    Ok(())
}

#[test]
fn many_pools_at_once_leave_nothing() {
    alone(|| leaves_nothing(are_many, 10));
}
