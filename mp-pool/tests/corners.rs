//! What once broke a pool, kept it waiting, or outlived it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use mp::{Pool, PoolError, SimpleQueue, TaskOptions};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::system::ends_within;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

#[test]
fn a_closed_pool_without_workers_starts_one_for_an_imap_that_is_read_late() {
    let pool = Pool::builder().processes(1).max_tasks_per_child(1).start().unwrap();
    let mut results =
        pool.with_options(TaskOptions::new().look_ahead(1)).imap(|n: u32| Ok(n), 0..3).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    pool.close();
    // Whoever has taken the place of the one that has left has nothing to do, and is not replaced.
    assert!(comes_true(|| {
        pool.worker_pids().into_iter().for_each(kill);
        pool.worker_pids().is_empty()
    }));
    for expected in 1..3 {
        let next = results.next_timeout(LONG).unwrap();
        assert_eq!(next.unwrap().unwrap(), expected);
    }
    assert!(results.next_timeout(LONG).unwrap().is_none());
    pool.join().unwrap();
}

fn kill(pid: u32) {
    // One that has just ended is not there any more.
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    let _sent = kill_process(pid, Signal::KILL);
}

#[test]
fn arguments_that_no_worker_has_memory_for_fail_alone() {
    let pool = Pool::builder().processes(2).memory_limit(64 << 20).start().unwrap();
    let count = |text: String| Ok(text.len());
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            pool.apply_async(count, ("x".repeat(if n == 5 { 100 << 20 } else { n }),)).unwrap()
        })
        .collect();
    for (n, task) in tasks.iter().enumerate() {
        match task.get() {
            Ok(len) => assert_eq!(*len, n),
            Err(PoolError::Transfer { what, .. }) if n == 5 => {
                assert!(what.starts_with("has no memory for 10"), "{what}");
            }
            Err(other) => panic!("{n}: {other}"),
        }
    }
    assert!(tasks[5].get().is_err());
    assert_eq!(pool.apply(|| Ok(1), ()).unwrap(), 1);
}

/// A result that cannot be dropped in peace.
#[derive(Serialize, Deserialize)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(mp::parent_process().is_some(), "a bomb goes off");
    }
}

/// Whoever drops the last handle of a result drops the result, here perhaps.
fn drop_in_peace(handle: mp::AsyncResult<Bomb>) {
    let _panics_or_not = catch_unwind(AssertUnwindSafe(|| drop(handle)));
}

#[test]
fn results_whose_destructor_panics_end_neither_the_pool_nor_its_callbacks() {
    let pool = Pool::new(1).unwrap();
    for _ in 0..5 {
        let abandoned = pool.apply_async(|| Ok(Bomb), ()).unwrap();
        drop_in_peace(abandoned);
        let called_back = pool.apply_async(|| Ok(Bomb), ()).unwrap();
        called_back.on_done(|outcome| assert!(outcome.is_ok()));
        drop_in_peace(called_back);
        let (sender, told) = channel();
        let good = pool.apply_async(|| Ok(7), ()).unwrap();
        good.on_done(move |outcome| sender.send(outcome.is_ok()).unwrap());
        assert!(told.recv_timeout(LONG).unwrap());
        assert_eq!(*good.get_timeout(LONG).unwrap(), 7);
    }
}

/// What the next value of [`Hooked`] does when it is encoded, or decoded in this process.
static HOOK: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);
static ALONE: Mutex<()> = Mutex::new(());

struct Hooked;

fn run_hook() {
    let hook = HOOK.lock().unwrap().take();
    if let Some(hook) = hook {
        hook();
    }
}

impl Serialize for Hooked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        run_hook();
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Hooked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hooked, D::Error> {
        <()>::deserialize(deserializer)?;
        run_hook();
        Ok(Hooked)
    }
}

#[test]
fn others_are_served_while_a_map_encodes_and_so_is_the_encoding_itself() {
    let _alone = ALONE.lock();
    let pool = Arc::new(Pool::new(2).unwrap());
    let (go, served): (Sender<()>, Receiver<()>) = channel();
    let other = Arc::clone(&pool);
    *HOOK.lock().unwrap() = Some(Box::new(move || {
        // By another thread, whose call has to come back before this item is encoded, and by this one.
        let apart = Arc::clone(&other);
        std::thread::spawn(move || {
            assert_eq!(apart.apply(|n: u32| Ok(n), (3,)).unwrap(), 3);
            go.send(()).unwrap();
        });
        served.recv_timeout(LONG).unwrap();
        assert_eq!(other.apply(|n: u32| Ok(n), (4,)).unwrap(), 4);
    }));
    let options = TaskOptions::new().chunksize(1);
    let results = pool.with_options(options).map(|_: Hooked| Ok(1), [Hooked, Hooked]).unwrap();
    assert_eq!(results, [1, 1]);
    assert!(HOOK.lock().unwrap().is_none());
}

#[test]
fn the_decoding_of_a_result_cannot_wait_for_others_and_is_told_so() {
    let _alone = ALONE.lock();
    let pool = Arc::new(Pool::new(1).unwrap());
    let (sender, outcomes) = channel();
    let seen = Arc::clone(&pool);
    *HOOK.lock().unwrap() = Some(Box::new(move || {
        let one = || Ok(1);
        let is_refused = |error| matches!(error, PoolError::InCallback);
        let refusals = [
            is_refused(seen.apply(one, ()).unwrap_err()),
            is_refused(seen.map(|n: u32| Ok(n), [1]).unwrap_err()),
            is_refused(seen.apply_async(one, ()).unwrap().get().unwrap_err()),
            is_refused(seen.imap(|n: u32| Ok(n), [1]).unwrap().next().unwrap().unwrap_err()),
        ];
        sender.send(refusals).unwrap();
    }));
    pool.apply(|| Ok(Hooked), ()).unwrap();
    assert_eq!(outcomes.recv_timeout(LONG).unwrap(), [true; 4]);
    assert_eq!(pool.apply(|| Ok(1), ()).unwrap(), 1);
}

#[test]
fn a_result_that_a_callback_waits_for_may_get_a_callback_itself() {
    let pool = Pool::new(2).unwrap();
    let (gates, began) = (mp::Event::new().unwrap(), Arc::new(OnceLock::new()));
    let awaited =
        Arc::new(pool.apply_async(|gate: mp::Event| Ok(gate.wait()?), (gates.clone(),)).unwrap());
    let (sender, outcomes) = channel();
    let (seen, told) = (Arc::clone(&awaited), sender.clone());
    let first = pool.apply_async(|| Ok(1), ()).unwrap();
    let begins = Arc::clone(&began);
    first.on_done(move |_| {
        begins.set(()).unwrap();
        told.send(seen.get().is_ok()).unwrap();
    });
    assert!(comes_true(|| began.get().is_some()));
    // It is about to wait, or waits: both are to come to an end.
    std::thread::yield_now();
    awaited.on_done(move |outcome| sender.send(outcome.is_ok()).unwrap());
    gates.set();
    for _ in 0..2 {
        // Refused, if it came to wait only after the callback was there.
        let _waited_or_refused: bool = outcomes.recv_timeout(LONG).unwrap();
    }
}

fn leave_one_behind(told: SimpleQueue<u32>) -> mp::Result<()> {
    told.put(&Command::new("sleep").arg("1000").spawn()?.id())?;
    loop {
        std::thread::park();
    }
}

#[test]
fn what_a_task_has_started_ends_with_the_process_of_the_pool() {
    fn has_a_pool(told: SimpleQueue<u32>) -> mp::Result<()> {
        let pool = Pool::new(1)?;
        Ok(pool.apply(leave_one_behind, (told,))?)
    }
    for _ in 0..10 {
        let told = SimpleQueue::new().unwrap();
        let process = mp::Process::start(has_a_pool, (told.clone(),)).unwrap();
        let started = told.get().unwrap();
        process.kill();
        assert!(ends_within(started, Duration::from_secs(2)).unwrap());
        process.join().unwrap_err();
    }
}
