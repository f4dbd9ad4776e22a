//! What a task, the input or a callback raises goes where it belongs, and the pool goes on.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use mp::{Event, Pool, PoolError, Value};
use mp_testing::limits::{LONG, SHORT};

use crate::messages::{is_logged, keep_messages};
use crate::{FAILS_AT, KeyError, chunks_of, exception, fails, is_sound, square};

fn panics(key: u64) -> mp::Result<u64> {
    panic!("no key {key}")
}
const PANICS_AT: u32 = line!() - 2;

#[test]
fn pl_20_re_13_x_18_an_error_comes_with_its_kind_its_value_and_its_trace() {
    let pool = Pool::builder().processes(2).name("errors").start().unwrap();
    let outcomes = [
        pool.apply(fails, (7,)).unwrap_err(),
        pool.apply_async(fails, (7,)).unwrap().get().unwrap_err(),
        pool.map(fails, [7]).unwrap_err(),
        pool.map_async(fails, [7]).unwrap().get().unwrap_err(),
        pool.starmap(fails, [(7,)]).unwrap_err(),
        pool.starmap_async(fails, [(7,)]).unwrap().get().unwrap_err(),
        pool.imap(fails, [7]).unwrap().next().unwrap().unwrap_err(),
        pool.imap_unordered(fails, [7]).unwrap().next().unwrap().unwrap_err(),
    ];
    let place = format!("errors/main.rs\", line {FAILS_AT}, in");
    for error in outcomes {
        assert_eq!(error.to_string(), "the task failed: key 7 is not in the table");
        let trace = mp::get_remote_traceback(&error).unwrap();
        assert!(trace.contains(&place) && trace.contains("key 7 is not in the table"), "{trace}");
        assert!(trace.contains("errors-worker-"), "{trace}");
        assert!(mp::is_remote_exception(&error));
        assert!(format!("{error:?}").contains(&place), "printing it prints the trace: {error:?}");
        let remote = exception(error);
        let expected = KeyError { key: 7, table: "the table".to_owned() };
        assert_eq!(remote.downcast::<KeyError>(), Some(expected));
        assert!(remote.type_name().ends_with("KeyError") && !remote.is_panic());
        assert_eq!(remote.message(), "key 7 is not in the table");
        assert!(remote.location().unwrap().contains(&format!("errors/main.rs:{FAILS_AT}:")));
        assert!(remote.process_name().starts_with("errors-worker-"));
        assert!(pool.worker_pids().contains(&remote.pid()));
        assert_eq!(remote.traceback(), mp::get_remote_traceback(&remote).unwrap());
    }
    is_sound(&pool);
}

#[test]
fn pl_20_a_panic_comes_as_an_error_that_says_so_and_its_worker_goes_on() {
    let pool = Pool::new(1).unwrap();
    let pids = pool.worker_pids();
    for _ in 0..3 {
        let errors = [
            pool.apply(panics, (7,)).unwrap_err(),
            pool.map(panics, [7]).unwrap_err(),
            pool.imap(panics, [7]).unwrap().next().unwrap().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.to_string(), "the task panicked: no key 7");
            let remote = exception(error);
            assert!(remote.is_panic());
            assert!(
                remote.traceback().contains(&format!("errors/raised.rs\", line {PANICS_AT}, in")),
                "{remote:?}"
            );
        }
    }
    assert_eq!(pool.worker_pids(), pids);
}

#[test]
fn pl_20_what_caused_an_error_comes_with_it() {
    let parses = |text: String| -> mp::Result<u64> {
        text.parse::<u64>().map_err(|error| mp::Error::from(error).context("bad row"))
    };
    let pool = Pool::new(1).unwrap();
    let error = pool.apply(parses, ("seven".to_owned(),)).unwrap_err();
    let remote = exception(error);
    assert_eq!(remote.message(), "bad row");
    assert!(remote.source().unwrap().to_string().contains("invalid digit"), "{remote:?}");
    assert!(remote.traceback().contains("invalid digit"), "{remote:?}");
    // An error that is raised again by a task of another pool tells of both.
    let twice = || Ok(Pool::new(1)?.apply(fails, (7,))?);
    let remote = exception(pool.apply(twice, ()).unwrap_err());
    assert!(
        remote.traceback().contains(&format!("errors/main.rs\", line {FAILS_AT}, in")),
        "{remote:?}"
    );
    assert!(remote.traceback().contains("-worker-1"), "{remote:?}");
}

/// Fails; item 1 not before it may.
fn fails_in_turn(n: u64, go: Event, failed: Event) -> mp::Result<()> {
    if n == 1 {
        go.wait()?;
        failed.set();
    }
    mp::bail!("item {n}")
}

#[test]
fn pl_21_a_map_gives_the_first_error_when_all_chunks_are_finished() {
    let pool = Pool::new(2).unwrap();
    let (go, failed) = (Event::new().unwrap(), Event::new().unwrap());
    let (sender, steps) = mpsc::channel();
    let options = chunks_of(1).progress(move |progress| sender.send(progress.done).unwrap());
    let items = (0..2).map(|n| (n, go.clone(), failed.clone())).collect::<Vec<_>>();
    let mapped = pool.with_options(options).starmap_async(fails_in_turn, items).unwrap();
    assert_eq!(steps.recv_timeout(LONG).unwrap(), 1);
    assert!(!mapped.wait_timeout(SHORT), "the other chunk has not finished");
    assert!(!mapped.ready() && mapped.successful().is_none() && !failed.is_set());
    go.set();
    let error = mapped.get_timeout(LONG).unwrap_err();
    assert_eq!(exception(error).message(), "item 0", "the first that came");
    assert!(failed.is_set());
    assert_eq!(mapped.successful(), Some(false));
    assert_eq!(steps.recv_timeout(LONG).unwrap(), 2);
}

#[test]
fn pl_21_errors_of_a_megabyte_do_not_keep_a_pool_from_its_end() {
    let large = |n: u64| -> mp::Result<()> { mp::bail!("{n}{}", "x".repeat(1 << 20)) };
    let pool = Pool::new(2).unwrap();
    let error = pool.with_options(chunks_of(1)).map(large, 0..20).unwrap_err();
    assert!(exception(error).message().len() > 1 << 20);
    let later = pool.with_options(chunks_of(1)).map_async(large, 0..20).unwrap();
    pool.close();
    pool.join().unwrap();
    assert!(later.get().is_err());
}

#[test]
fn pl_21_of_a_chunk_nothing_is_run_behind_the_item_that_fails() {
    let pool = Pool::new(2).unwrap();
    let ran = Value::new(0_u64).unwrap();
    let items = (0..10).map(|n| (n, ran.clone())).collect::<Vec<_>>();
    let counts = |n: u64, ran: Value<u64>| {
        ran.update(|ran| *ran += 1)?;
        mp::ensure!(n % 5 != 2, "item {n}");
        Ok(())
    };
    pool.with_options(chunks_of(5)).starmap(counts, items).unwrap_err();
    assert_eq!(ran.get().unwrap(), 6);
}

/// Panics instead of giving the item `at`.
fn broken_input(at: u64) -> impl Iterator<Item = u64> {
    (0..1000).filter(|_| true).inspect(move |n| assert!(*n != at, "broken at {at}"))
}

/// What a call panics with, as it came.
fn panic_of<T>(call: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).err().unwrap();
    assert!(panic.downcast_ref::<PoolError>().is_none());
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn pl_22_re_14_a_panic_of_the_input_goes_through_a_map_unchanged() {
    let pool = Pool::new(2).unwrap();
    for at in [0, 1, 7, 500] {
        let text = format!("broken at {at}");
        for size in [1, 4, 1000] {
            let calls = pool.with_options(chunks_of(size));
            assert_eq!(panic_of(|| calls.map(square, broken_input(at))), text);
            assert_eq!(panic_of(|| calls.map_async(square, broken_input(at))), text);
            let tuples = || broken_input(at).map(|n| (n,));
            assert_eq!(panic_of(|| calls.starmap(square, tuples())), text);
            assert_eq!(panic_of(|| calls.starmap_async(square, tuples())), text);
        }
        assert_eq!(panic_of(|| pool.map(square, broken_input(at))), text);
        is_sound(&pool);
    }
    pool.close();
    pool.join().unwrap();
}

#[test]
fn pl_23_re_14_imap_gives_the_items_before_a_panic_of_the_input_and_then_the_panic() {
    let pool = Pool::new(3).unwrap();
    // DIFFERENCE from PL-23: in Python, those of the chunk that is not full are lost.
    for (size, at) in [(1, 7), (2, 7), (4, 7), (4, 8), (100, 7), (1, 0), (3, 0), (1, 200)] {
        let calls = pool.with_options(chunks_of(size));
        let mut results = calls.imap(square, broken_input(at)).unwrap();
        for n in 0..at {
            assert_eq!(results.next().unwrap().unwrap(), n * n);
        }
        assert_eq!(panic_of(|| results.next()), format!("broken at {at}"));
        assert!(results.next().is_none());

        let mut results = calls.imap_unordered(square, broken_input(at)).unwrap();
        let seen: BTreeSet<u64> = (0..at).map(|_| results.next().unwrap().unwrap()).collect();
        assert_eq!(seen, (0..at).map(|n| n * n).collect());
        assert_eq!(panic_of(|| results.next()), format!("broken at {at}"));
        assert!(results.next().is_none());
    }
    is_sound(&pool);
    pool.close();
    pool.join().unwrap();
}

#[test]
fn pl_26_a_callback_gets_the_error_once() {
    let pool = Pool::new(1).unwrap();
    let (sender, told) = mpsc::channel();
    let later = pool.apply_async(fails, (5,)).unwrap();
    later.on_done(move |outcome| {
        let remote = outcome.as_ref().unwrap_err().as_exception().unwrap().clone();
        sender.send(remote.downcast::<KeyError>().unwrap().key).unwrap();
    });
    later.wait();
    assert_eq!(told.iter().collect::<Vec<_>>(), [5]);
}

#[test]
fn pl_27_imap_goes_on_after_an_error() {
    let odd_fail = |n: u64| {
        if n == 3 {
            panic!("panic {n}");
        }
        mp::ensure!(n.is_multiple_of(2), "error {n}");
        Ok(n)
    };
    let pool = Pool::new(2).unwrap();
    // DIFFERENCE from PL-27: in Python, the iterator ends at the first error of a chunk.
    for size in [1, 2, 3, 100] {
        let results = pool.with_options(chunks_of(size)).imap(odd_fail, 0..10).unwrap();
        for (n, result) in (0..10).zip(results) {
            match result {
                Ok(value) => assert_eq!((value, n % 2), (n, 0)),
                Err(error) => {
                    let remote = exception(error);
                    let kind = if n == 3 { "panic" } else { "error" };
                    assert_eq!(remote.message(), format!("{kind} {n}"));
                    assert_eq!(remote.is_panic(), n == 3);
                }
            }
        }
    }
}

#[test]
fn pl_32_f_03_a_callback_that_panics_is_reported_and_stops_nothing() {
    keep_messages();
    let pool = Pool::builder().processes(2).name("panicky").start().unwrap();
    let go = Event::new().unwrap();
    let held = |go: Event| {
        go.wait()?;
        Ok(9_u64)
    };
    let later = pool.apply_async(held, (go.clone(),)).unwrap();
    let (sender, told) = mpsc::channel();
    later.on_done(|_| panic!("a callback panics"));
    let also = sender.clone();
    later.on_done(move |outcome| also.send(*outcome.as_ref().unwrap()).unwrap());
    go.set();
    assert_eq!(*later.get().unwrap(), 9);
    assert_eq!(told.recv_timeout(LONG).unwrap(), 9);
    // Also in the thread that adds it.
    later.on_done(|_| panic!("a late callback panics"));
    let failed = pool.apply_async(fails, (1,)).unwrap();
    failed.on_done(|_| panic!("a callback panics"));
    assert!(failed.get().is_err());
    drop(sender);
    assert!(told.recv().is_err(), "called once");
    assert!(is_logged(["ERROR: panicky", "callback"]));
    is_sound(&pool);
    pool.close();
    pool.join().unwrap();
}
