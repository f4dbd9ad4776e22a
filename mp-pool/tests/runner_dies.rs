//! What the callers of an object see when its process dies, and what becomes of it when theirs does.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{ProcessError, Queue};
use mp_pool::{ProcessRunnee, ProcessRunner, RunnerError};
use mp_testing::limits::{LONG, SHORT, alone, at_once, comes_true};
use mp_testing::storm::{Dice, kills};
use mp_testing::system::{ends_within, holdings, signal};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

/// Numbers its answers, and dies as it is told.
struct Mortal(u64);

#[derive(Serialize, Deserialize)]
enum Order {
    /// Answers with the number of the call and so many bytes.
    Answer(usize),
    Exit(i32),
    Abort,
    Park,
}

impl ProcessRunnee for Mortal {
    /// Whether it dies as it is made, or at its end.
    type Init = (bool, bool);
    type Args = Order;
    type Out = (u64, Vec<u8>);

    fn new((dies, dies_at_end): (bool, bool)) -> mp::Result<Mortal> {
        if dies {
            std::process::exit(4);
        }
        Ok(Mortal(if dies_at_end { 1 << 32 } else { 0 }))
    }

    fn call(&mut self, order: Order) -> mp::Result<(u64, Vec<u8>)> {
        self.0 += 1;
        match order {
            Order::Answer(len) => Ok((self.0, vec![b'x'; len])),
            Order::Exit(code) => std::process::exit(code),
            Order::Abort => std::process::abort(),
            Order::Park => loop {
                std::thread::park();
            },
        }
    }

    fn finish(self) -> mp::Result<()> {
        if self.0 >= 1 << 32 {
            std::process::abort();
        }
        Ok(())
    }
}

fn mortal() -> ProcessRunner<Order, (u64, Vec<u8>)> {
    ProcessRunner::builder::<Mortal>((false, false)).name("mortal").start().unwrap()
}

/// Sees that every call tells of the same death.
fn is_dead(runner: &ProcessRunner<Order, (u64, Vec<u8>)>, expected: &str) {
    let told = |error: RunnerError| {
        assert!(matches!(error, RunnerError::Process(_)), "{error:?}");
        let name = format!("process 'mortal' (pid {}) ", runner.pid());
        let text = error.to_string();
        assert!(text.starts_with(&name) && text[name.len()..].starts_with(expected), "{text}");
    };
    at_once(|| {
        for _ in 0..2 {
            told(runner.rejoin().unwrap_err());
            told(runner.rejoin_timeout(LONG).unwrap_err());
            told(runner.restart(Order::Answer(0)).unwrap_err());
            told(runner.call(Order::Answer(0)).unwrap_err());
            told(runner.join().unwrap_err());
            told(runner.join_timeout(Duration::ZERO).unwrap_err());
        }
    });
    assert!(!runner.is_alive());
}

#[test]
fn pr_06_results_before_a_death_come_first_and_then_the_death() {
    for (order, expected, code) in [
        (Order::Exit(3), "exited with code 3", 3),
        (Order::Exit(0), "exited with code 0", 0),
        (Order::Abort, "was ended by SIGABRT", -6),
    ] {
        let runner = mortal();
        for _ in 0..5 {
            runner.restart(Order::Answer(10)).unwrap();
        }
        runner.restart(order).unwrap();
        for n in 1..=5 {
            assert_eq!(runner.rejoin().unwrap(), (n, vec![b'x'; 10]));
        }
        is_dead(&runner, expected);
        assert_eq!(runner.exitcode(), Some(code));
    }
}

#[test]
fn pr_06_a_kill_ends_all_who_wait_at_once() {
    let runner = mortal();
    runner.restart(Order::Answer(1)).unwrap();
    runner.restart(Order::Park).unwrap();
    assert_eq!(runner.rejoin().unwrap().0, 1);
    std::thread::scope(|scope| {
        let rejoins: Vec<_> = (0..2).map(|_| scope.spawn(|| runner.rejoin())).collect();
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| runner.call(Order::Answer(1)))).collect();
        std::thread::sleep(SHORT);
        runner.kill();
        for waiting in rejoins.into_iter().chain(calls) {
            match waiting.join().unwrap() {
                Err(RunnerError::Process(ProcessError::Signaled {
                    process, signal: 9, ..
                })) => {
                    assert_eq!((process.name(), process.pid()), ("mortal", runner.pid()));
                }
                // The second of those who rejoin had no call.
                Err(RunnerError::NoCall) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    is_dead(&runner, "was ended by SIGKILL");
}

#[test]
fn pr_06_a_process_may_die_before_there_is_an_object_and_after() {
    let start = |dies, dies_at_end| {
        ProcessRunner::builder::<Mortal>((dies, dies_at_end)).name("mortal").start().unwrap()
    };
    let runner = start(true, false);
    assert!(matches!(runner.rejoin(), Err(RunnerError::Process(ProcessError::Exited { .. }))));
    is_dead(&runner, "exited with code 4");
    let runner = start(false, true);
    runner.restart(Order::Answer(0)).unwrap();
    runner.join().unwrap_err();
    assert_eq!(runner.rejoin().unwrap().0, (1 << 32) + 1);
    is_dead(&runner, "was ended by SIGABRT");
    // Before it can have come to anything.
    let runner = mortal();
    runner.kill();
    is_dead_soon(&runner);
    is_dead(&runner, "was ended by SIGKILL");
}

#[test]
fn pr_06_an_idle_process_that_is_terminated_is_dead_and_does_not_hang() {
    let runner = mortal();
    runner.call(Order::Answer(0)).unwrap();
    runner.terminate();
    is_dead_soon(&runner);
    is_dead(&runner, "was ended by SIGTERM");
}

/// Waits until the death is known.
fn is_dead_soon(runner: &ProcessRunner<Order, (u64, Vec<u8>)>) {
    assert!(ends_within(runner.pid(), LONG).unwrap());
    runner.join_timeout(LONG).unwrap_err();
}

#[test]
fn a_stopped_process_is_no_dead_one() {
    let runner = mortal();
    runner.call(Order::Answer(0)).unwrap();
    signal(runner.pid(), Signal::STOP);
    runner.restart(Order::Answer(0)).unwrap();
    assert!(matches!(runner.rejoin_timeout(SHORT), Err(RunnerError::Timeout)));
    assert!(!runner.join_timeout(SHORT).unwrap());
    signal(runner.pid(), Signal::CONT);
    assert_eq!(runner.rejoin().unwrap().0, 2);
    runner.join().unwrap();
}

/// Kills one process after the other while calls go through it.
fn storm() -> mp::Result<()> {
    let mut dice = Dice::of_this_storm();
    mortal().join()?;
    let before = holdings();
    let (mut done, mut given) = (0, 0);
    for round in 0..kills(60) {
        let runner = mortal();
        if round % 2 == 0 {
            runner.call(Order::Answer(0))?;
        }
        let first = if round % 2 == 0 { 2 } else { 1 };
        let calls = 200;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..calls {
                    let len = if n % 50 == 49 { 2 << 20 } else { n };
                    match runner.restart(Order::Answer(len)) {
                        Ok(()) => {}
                        Err(RunnerError::Process(_)) => return,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
            let rejoins = scope.spawn(|| {
                let mut next = first;
                loop {
                    match runner.rejoin_timeout(LONG) {
                        Ok((number, bytes)) => {
                            assert_eq!(number, next);
                            assert!(bytes.iter().all(|byte| *byte == b'x'));
                            next += 1;
                        }
                        Err(RunnerError::NoCall) => std::thread::yield_now(),
                        Err(RunnerError::Process(ProcessError::Signaled { signal: 9, .. })) => {
                            return next - first;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
            dice.pass_less_than(Duration::from_millis(if round % 2 == 0 { 12 } else { 30 }));
            runner.kill();
            let got = rejoins.join().unwrap();
            given += got;
            done += u32::from(got == calls as u64);
        });
        is_dead(&runner, "was ended by SIGKILL");
    }
    eprintln!("{given} results were given, {done} processes had done all");
    mp::ensure!(given > 0, "each was killed before it had done anything");
    mp::ensure!(comes_true(|| holdings() <= before), "{:?}, not {before:?}", holdings());
    Ok(())
}

#[test]
fn pr_06_a_storm_of_kills_loses_no_result_that_was_there_and_hangs_nobody() {
    alone(storm);
}

/// Says who serves it, and is killed.
fn has_a_runner(pids: Queue<u32>) -> mp::Result<()> {
    let runner = mortal();
    runner.call(Order::Answer(0))?;
    pids.put(&runner.pid())?;
    runner.restart(Order::Park)?;
    runner.rejoin()?;
    Ok(())
}

#[test]
fn a_process_that_is_killed_leaves_no_runner() {
    let pids = Queue::new().unwrap();
    let owner = mp::Process::start(has_a_runner, (pids.clone(),)).unwrap();
    let pid = pids.get_timeout(LONG).unwrap();
    owner.kill();
    assert!(ends_within(pid, LONG).unwrap(), "{pid} lives on");
}
