//! A worker that dies costs the task that it had, or none.

use mp::{Event, Pool, PoolError, Value};
use mp_testing::limits::{LONG, at_once, comes_true};
use mp_testing::system::{ends_within, raise, signal};
use rustix::process::Signal;

use crate::messages::{is_logged, keep_messages};
use crate::{chunks_of, died, is_sound, square, waits};

/// Tells its pid, and does not end.
fn tells_and_waits(pid: Value<u32>, begun: Event) -> mp::Result<u64> {
    pid.set(std::process::id())?;
    waits(begun)
}

#[test]
fn pl_28_a_worker_that_is_killed_costs_exactly_its_task() {
    let pool = Pool::new(2).unwrap();
    for round in 0..5 {
        let (pid, begun) = (Value::new(0).unwrap(), Event::new().unwrap());
        let doomed = pool.apply_async(tells_and_waits, (pid.clone(), begun.clone())).unwrap();
        let others = pool.with_options(chunks_of(1)).map_async(square, 0..100).unwrap();
        assert!(begun.wait_timeout(LONG).unwrap());
        let pid = pid.get().unwrap();
        signal(pid, if round % 2 == 0 { Signal::KILL } else { Signal::TERM });
        match at_once(|| doomed.get()) {
            Err(PoolError::WorkerDied { pid: dead, exitcode, started: true }) => {
                assert_eq!((dead, exitcode), (pid, Some(if round % 2 == 0 { -9 } else { -15 })));
            }
            other => panic!("{other:?}"),
        }
        let text = doomed.get().unwrap_err().to_string();
        assert!(text.contains(&format!("pid {pid}")) && text.contains("SIG"), "{text}");
        assert_eq!(others.get().unwrap().len(), 100);
        assert!(!pool.worker_pids().contains(&pid));
        is_sound(&pool);
    }
}

#[test]
fn pl_28_pl_29_a_task_that_ends_its_process_fails_with_how_it_did() {
    let pool = Pool::new(2).unwrap();
    let never = |how: i32| -> mp::Result<u64> {
        match how {
            -6 => std::process::abort(),
            -100 => {
                #[expect(unconditional_recursion, reason = "the point")]
                fn deeper(n: u64) -> u64 {
                    std::hint::black_box(deeper(std::hint::black_box(n) + 1)) + 1
                }
                Ok(deeper(0))
            }
            signal if signal < 0 => {
                raise(Signal::from_named_raw(-signal).unwrap());
                loop {
                    std::thread::park();
                }
            }
            code => std::process::exit(code),
        }
    };
    for how in [0, 1, 3, 255, -6, -9, -15, -11, -7] {
        let code = died(pool.apply(never, (how,)));
        assert_eq!(code, Some(how));
        let error = pool.apply_async(never, (how,)).unwrap().get().map(|_| ()).unwrap_err();
        let words = match how {
            -6 => "SIGABRT".to_owned(),
            -9 => "SIGKILL".to_owned(),
            -15 => "SIGTERM".to_owned(),
            -11 => "SIGSEGV".to_owned(),
            -7 => "SIGBUS".to_owned(),
            code => format!("code {code}"),
        };
        assert!(error.to_string().contains(&words), "{error}");
    }
    let code = died(pool.apply(never, (-100,)));
    assert!([Some(-6), Some(-11)].contains(&code), "{code:?}");
    is_sound(&pool);
}

/// Ends the process for item 3.
fn exits_at_3(n: u64) -> mp::Result<u64> {
    if n == 3 {
        std::process::exit(0);
    }
    Ok(n)
}

#[test]
fn pl_28_pl_29_of_many_items_a_death_costs_the_chunk_that_was_run() {
    let pool = Pool::new(2).unwrap();
    for size in [1, 2, 5] {
        let calls = pool.with_options(chunks_of(size));
        assert_eq!(died(calls.map(exits_at_3, 0..20)), Some(0));
        let results = calls.imap(exits_at_3, 0..20).unwrap();
        for (n, result) in results.enumerate() {
            if n / size == 3 / size {
                assert_eq!(died(result), Some(0));
            } else {
                assert_eq!(result.unwrap(), n as u64);
            }
        }
        let results = calls.imap_unordered(exits_at_3, 0..20).unwrap();
        assert_eq!(results.filter(Result::is_ok).count(), 20 - size.min(20));
    }
    is_sound(&pool);
}

#[test]
fn pl_29_an_exit_in_another_thread_of_the_worker_is_one_too() {
    let pool = Pool::new(1).unwrap();
    let exits = || -> mp::Result<()> {
        std::thread::spawn(|| std::process::exit(4));
        loop {
            std::thread::park();
        }
    };
    assert_eq!(died(pool.apply(exits, ())), Some(4));
    is_sound(&pool);
}

#[test]
fn pl_30_workers_that_are_killed_while_idle_block_nobody() {
    let pool = Pool::new(3).unwrap();
    is_sound(&pool);
    for round in 0..10 {
        let pids = pool.worker_pids();
        let victims = &pids[..1 + round % 3];
        victims.iter().for_each(|pid| signal(*pid, Signal::KILL));
        // No task was under way, so none is lost.
        assert_eq!(pool.map(square, 0..50).unwrap().len(), 50);
        victims.iter().for_each(|pid| assert!(ends_within(*pid, LONG).unwrap()));
        assert!(comes_true(|| {
            let now = pool.worker_pids();
            now.len() == 3 && !victims.iter().any(|victim| now.contains(victim))
        }));
    }
}

#[test]
fn pl_28_a_death_is_logged_with_the_name_of_the_worker() {
    keep_messages();
    let pool = Pool::builder().processes(1).name("mortal").start().unwrap();
    assert_eq!(died(pool.apply(exits_at_3, (3,))), Some(0));
    assert_eq!(died(pool.apply(|| -> mp::Result<()> { std::process::abort() }, ())), Some(-6));
    assert!(is_logged(["mortal-worker-2", "SIGABRT"]));
}

#[test]
fn x_13_a_crash_among_large_tasks_costs_one_of_them() {
    let pool = Pool::new(2).unwrap();
    let first_aborts = |n: usize, bytes: Vec<u8>| {
        if n == 0 {
            std::process::abort();
        }
        Ok(bytes)
    };
    for _ in 0..3 {
        let tasks: Vec<_> = (0..10)
            .map(|n| pool.apply_async(first_aborts, (n, vec![1; 1 << 17])).unwrap())
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            match task.into_result() {
                Ok(bytes) => assert!(n > 0 && bytes.len() == 1 << 17),
                outcome => assert_eq!((died(outcome.map(|_| ())), n), (Some(-6), 0)),
            }
        }
    }
}

#[test]
fn x_14_a_crash_after_close_costs_one_task_and_the_pool_comes_to_its_end() {
    let crash = |n: u64, begun: Event, go: Event| -> mp::Result<u64> {
        begun.set();
        go.wait()?;
        if n.is_multiple_of(2) {
            std::process::abort();
        }
        Ok(n)
    };
    for processes in [1, 2] {
        let pool = Pool::new(processes).unwrap();
        let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
        let tasks: Vec<_> = (0..6)
            .map(|n| pool.apply_async(crash, (n, begun.clone(), go.clone())).unwrap())
            .collect();
        assert!(begun.wait_timeout(LONG).unwrap());
        pool.close();
        go.set();
        at_once(|| pool.join()).unwrap();
        for (n, task) in (0..6).zip(tasks) {
            match n % 2 {
                0 => assert_eq!(died(task.into_result()), Some(-6)),
                _ => assert_eq!(task.into_result().unwrap(), n),
            }
        }
        assert!(pool.worker_pids().is_empty());
    }
}
