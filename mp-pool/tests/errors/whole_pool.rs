//! What is wrong with a whole pool, which breaks at its start or is terminated, is told of all its tasks.

use std::sync::Arc;
use std::time::Duration;

use mp::{Event, Pool, PoolError, Value};
use mp_testing::limits::{LONG, at_once, comes_true};
use mp_testing::system::ends_within;

use crate::crossing::Trouble;
use crate::messages::{is_logged, keep_messages};
use crate::{chunks_of, is_sound, square, waits};

/// Counts the starts, and then ends as it is told.
fn bad_start(starts: Value<u64>, how: u8) -> mp::Result<()> {
    starts.update(|starts| *starts += 1)?;
    match how {
        0 => mp::bail!("no database"),
        1 => panic!("no database"),
        2 => std::process::exit(7),
        _ => std::process::abort(),
    }
}

#[test]
fn pl_33_x_15_an_initializer_that_fails_everywhere_breaks_the_pool_after_three_starts() {
    keep_messages();
    for how in 0..4 {
        for processes in [1, 8] {
            let starts = Value::new(0_u64).unwrap();
            let name = format!("bad-{how}-{processes}");
            let pool = Pool::builder()
                .processes(processes)
                .name(&name)
                .initializer(bad_start, (starts.clone(), how))
                .start()
                .unwrap();
            let is_expected = |error: &PoolError| match error {
                PoolError::Initializer(remote) => {
                    how < 2
                        && remote.message() == "no database"
                        && remote.is_panic() == (how == 1)
                        && remote.traceback().contains("errors/whole_pool.rs")
                        && error.as_exception().is_some()
                }
                PoolError::Start(cause) => {
                    let text = cause.to_string();
                    how >= 2 && text.contains(if how == 2 { "code 7" } else { "SIGABRT" })
                }
                _ => false,
            };
            // The first call waits for it, and those that come later are refused with the same.
            let pending = pool.apply_async(square, (2,));
            let first = pool.apply(square, (2,)).unwrap_err();
            assert!(is_expected(&first), "{first:?}");
            if let Ok(pending) = pending {
                let error = at_once(|| pending.get()).unwrap_err();
                assert!(is_expected(&error), "{error:?}");
            }
            for _ in 0..2 {
                let calls = pool.with_options(chunks_of(1));
                let errors = [
                    pool.apply(square, (2,)).unwrap_err(),
                    pool.apply_async(square, (2,)).unwrap_err(),
                    calls.map(square, 0..9).unwrap_err(),
                    calls.map_async(square, 0..9).unwrap_err(),
                    calls.imap(square, 0..9).unwrap_err(),
                ];
                errors.iter().for_each(|error| assert!(is_expected(error), "{error:?}"));
            }
            assert!(comes_true(|| pool.worker_pids().is_empty()));
            assert_eq!(starts.get().unwrap(), 3);
            assert!(is_logged(["WARN", &name]));
            if how % 2 == 0 {
                pool.close();
                at_once(|| pool.join()).unwrap();
            }
            at_once(|| drop(pool));
            assert_eq!(starts.get().unwrap(), 3);
        }
    }
}

#[test]
fn pl_33_a_pool_that_breaks_while_nobody_asks_says_so_on_the_first_call() {
    let starts = Value::new(0_u64).unwrap();
    let pool = Pool::builder().processes(2).initializer(bad_start, (starts.clone(), 0));
    let pool = pool.start().unwrap();
    assert!(comes_true(|| starts.get().unwrap() == 3 && pool.worker_pids().is_empty()));
    let error = pool.map(square, 0..3).unwrap_err();
    assert!(matches!(error, PoolError::Initializer(_)), "{error:?}");
    assert_eq!(starts.get().unwrap(), 3);
}

#[test]
fn pl_33_an_initializer_that_fails_twice_costs_two_starts() {
    fn third_time(starts: Value<u64>) -> mp::Result<()> {
        let n = starts.update(|starts| {
            *starts += 1;
            *starts
        })?;
        mp::ensure!(n > 2, "not yet");
        Ok(())
    }
    let starts = Value::new(0_u64).unwrap();
    let pool = Pool::builder().processes(4).initializer(third_time, (starts.clone(),));
    let pool = pool.start().unwrap();
    is_sound(&pool);
    assert!(comes_true(|| starts.get().unwrap() == 6));
}

#[test]
fn pl_33_the_arguments_of_an_initializer_that_do_not_cross_break_the_pool() {
    let picky = |_: Trouble| Ok(());
    let pool = Pool::builder().processes(2).initializer(picky, (Trouble::EncodeFails,)).start();
    assert!(matches!(pool, Err(PoolError::Start(_))), "{pool:?}");
    for trouble in [Trouble::DecodeFails, Trouble::DecodePanics, Trouble::DecodeAborts] {
        let pool = Pool::builder().processes(2).initializer(picky, (trouble,)).start().unwrap();
        let error = pool.apply(square, (1,)).unwrap_err();
        assert!(
            matches!(error, PoolError::Start(_) | PoolError::Initializer(_)),
            "{trouble:?}: {error:?}"
        );
        at_once(|| drop(pool));
    }
}

#[test]
fn pl_33_a_pool_can_be_terminated_while_its_initializers_hang() {
    let hangs = |begun: Event| waits(begun).map(|_| ());
    let begun = Event::new().unwrap();
    let pool = Pool::builder().processes(2).initializer(hangs, (begun.clone(),)).start().unwrap();
    let pending = pool.apply_async(square, (1,)).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    assert!(!pending.ready());
    let pids = pool.worker_pids();
    at_once(|| drop(pool));
    assert!(matches!(pending.get(), Err(PoolError::Terminated)));
    pids.iter().for_each(|pid| assert!(ends_within(*pid, Duration::ZERO).unwrap()));
}

#[test]
fn pl_34_all_tasks_of_a_pool_that_is_terminated_fail_at_once() {
    let pool = Arc::new(Pool::new(1).unwrap());
    let begun = Event::new().unwrap();
    let running = pool.apply_async(waits, (begun.clone(),)).unwrap();
    let pending = pool.apply_async(square, (1,)).unwrap();
    let mapped = pool.map_async(square, 0..1000).unwrap();
    let mut results = pool.imap(square, 0..).unwrap();
    assert!(matches!(results.next_timeout(Duration::ZERO), Err(PoolError::Timeout)));
    let blocked = std::thread::spawn({
        let pool = Arc::clone(&pool);
        move || pool.apply(square, (1,))
    });
    let blocked_map = std::thread::spawn({
        let pool = Arc::clone(&pool);
        move || pool.map(square, 0..100_000)
    });
    assert!(begun.wait_timeout(LONG).unwrap());
    pool.terminate();
    let is_terminated =
        |error: PoolError| assert!(matches!(error, PoolError::Terminated), "{error:?}");
    is_terminated(at_once(|| running.get()).unwrap_err());
    is_terminated(at_once(|| pending.get()).unwrap_err());
    is_terminated(at_once(|| mapped.get()).unwrap_err());
    // Either came too late or was ended.
    let late = |error: &PoolError| matches!(error, PoolError::Terminated | PoolError::Closed);
    assert!(late(&blocked.join().unwrap().unwrap_err()));
    assert!(late(&blocked_map.join().unwrap().unwrap_err()));
    for _ in 0..16 {
        is_terminated(results.next().unwrap().unwrap_err());
    }
    assert!(matches!(results.next(), Some(Err(PoolError::Closed))));
    for error in [
        pool.apply(square, (1,)).unwrap_err(),
        pool.apply_async(square, (1,)).unwrap_err(),
        pool.map(square, 0..3).unwrap_err(),
        pool.map(square, []).unwrap_err(),
        pool.imap(square, 0..3).unwrap_err(),
    ] {
        assert!(matches!(error, PoolError::Closed), "{error:?}");
    }
    pool.join().unwrap();
}
