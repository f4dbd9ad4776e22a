//! Nothing accumulates and nothing is left behind, also when starting fails.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::time::Duration;

use mp::{ProcessError, StartError};
use mp_context as mp;
use mp_reduction::DupFd;
use mp_testing::system::{Holdings, holdings, mapped_bytes, raise, settle_at};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// What this process holds once its supervisor runs: a thread, epoll, its wake-up, and memory that shows its children.
fn baseline() -> mp::Result<Holdings> {
    let fresh = holdings();
    mp::Process::start(|| Ok(()), ())?.join()?;
    let (descriptors, threads) = (fresh.descriptors + 3, fresh.threads + 1);
    let expected = Holdings { descriptors, threads, children: 0 };
    is_back_at(expected)?;
    Ok(expected)
}

fn is_back_at(before: Holdings) -> mp::Result<()> {
    let after = settle_at(before, Duration::from_secs(5));
    mp::ensure!(after == before, "{after:?} instead of {before:?}");
    Ok(())
}

fn waits(gate: DupFd) -> mp::Result<()> {
    gate.into::<std::io::PipeReader>().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Runs a scenario in a process of its own, where nothing else opens or starts anything.
fn alone(scenario: impl mp::Target<(), Output = ()>) {
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

#[test]
fn p_98_rt_09_a_thousand_starts_leave_everything_as_before() {
    alone(|| {
        let before = baseline()?;
        for _ in 0..1000 {
            mp::Process::start(|| Ok(1), ())?.into_result()?;
        }
        is_back_at(before)
    });
}

#[test]
fn rt_09_a_thousand_crashes_leave_everything_as_before() {
    alone(|| {
        let before = baseline()?;
        for round in 0..1000 {
            let p = match round % 4 {
                0 => mp::Process::start(|| Ok(raise(Signal::KILL)), ())?,
                1 => mp::Process::start(|| std::process::exit(3), ())?,
                2 => mp::Process::start(|| Ok(raise(Signal::SEGV)), ())?,
                _ => mp::Process::start(|| std::process::abort(), ())?,
            };
            mp::ensure!(p.join().is_err());
        }
        is_back_at(before)
    });
}

#[test]
fn two_hundred_children_live_at_once_with_three_descriptors_each() {
    alone(|| {
        let before = baseline()?;
        let (reader, writer) = std::io::pipe()?;
        let gate = DupFd::from(reader);
        let children = (0..200)
            .map(|_| mp::Process::start(waits, (gate.try_clone()?,)).map_err(mp::Error::from))
            .collect::<mp::Result<Vec<_>>>()?;
        let now = holdings();
        mp::ensure!(now.children == 200 && mp::active_children().len() == 200);
        mp::ensure!(now.threads == before.threads, "{now:?} after {before:?}");
        let each = (now.descriptors - before.descriptors - 2) as f64 / 200.0;
        mp::ensure!(each <= 3.0, "{each} descriptors per child");
        drop((gate, writer));
        let (done, not_done) = mp::wait(&children, Some(LONG), mp::ALL_COMPLETED);
        mp::ensure!(done.len() == 200 && not_done.is_empty());
        for p in &children {
            p.join()?;
        }
        drop(children);
        is_back_at(before)
    });
}

#[test]
fn no_descriptors_left_is_an_error_at_start_and_leaks_nothing() {
    alone(|| {
        let before = baseline()?;
        let limit =
            |soft| setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: Some(4096) });
        let mut errors = std::collections::BTreeSet::new();
        // Every step of a start is the one that finds no descriptor.
        for more in 0..12 {
            limit(before.descriptors as u64 + more)?;
            let mut running = Vec::new();
            let error = loop {
                match mp::Process::start(|| Ok(()), ()) {
                    Ok(p) if running.len() < 8 => running.push(p),
                    Ok(_) => break None,
                    Err(error) => break Some(error),
                }
            };
            for p in running {
                p.join()?;
            }
            limit(4096)?;
            if let Some(error) = error {
                let known = matches!(
                    error,
                    ProcessError::Start(StartError::Resources { .. } | StartError::Spawn { .. })
                );
                mp::ensure!(known && error.to_string().contains("Too many open files"), "{error}");
                errors.insert(error.to_string().split(':').nth(1).unwrap_or_default().to_owned());
            }
            is_back_at(before)?;
        }
        mp::ensure!(errors.len() >= 3, "only {errors:?} were seen");
        mp::Process::start(|| Ok(()), ())?.join()?; // and it works again
        Ok(())
    });
}

#[test]
fn no_memory_left_is_an_error_at_start() {
    // The first start of a process: its supervisor thread finds no memory for its stack.
    alone(|| {
        let mapped = mapped_bytes(std::process::id())?;
        let limit = Rlimit { current: Some(mapped + (1 << 20)), maximum: None };
        setrlimit(Resource::As, limit)?;
        let Err(error) = mp::Process::start(|| Ok(()), ()) else { mp::bail!("it started") };
        setrlimit(Resource::As, Rlimit { current: None, maximum: None })?;
        mp::ensure!(error.to_string().contains("supervisor thread"), "{error}");
        mp::Process::start(|| Ok(()), ())?.join()?;
        Ok(())
    });
    // A later one: the system finds none for the stack on which the child is spawned.
    alone(|| {
        let before = baseline()?;
        let mapped = mapped_bytes(std::process::id())?;
        setrlimit(Resource::As, Rlimit { current: Some(mapped), maximum: None })?;
        let started = mp::Process::start(|| Ok(()), ()).map(drop);
        setrlimit(Resource::As, Rlimit { current: None, maximum: None })?;
        let Err(error) = started else { mp::bail!("it started") };
        mp::ensure!(error.to_string().contains("Cannot allocate memory"), "{error}");
        is_back_at(before)
    });
}

#[test]
fn p_37_a_missing_program_is_an_error_at_start_that_names_it() {
    alone(|| {
        let before = baseline()?;
        for program in ["/no/such/program", "/dev/null"] {
            mp::set_executable(program);
            let Err(error) = mp::Process::builder(|| Ok(()), ()).name("w").start() else {
                mp::bail!("it started")
            };
            mp::ensure!(error.to_string().contains(program) && error.to_string().contains("'w'"));
        }
        mp::set_executable("/proc/self/exe");
        is_back_at(before)
    });
}

#[test]
fn p_70_arguments_that_cannot_cross_leave_nothing_behind() {
    #[derive(serde::Deserialize)]
    struct Refuses;
    impl serde::Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("refused"))
        }
    }
    alone(|| {
        let before = baseline()?;
        for _ in 0..50 {
            let (reader, _writer) = std::io::pipe()?;
            let target = |_: DupFd, _: Refuses| Ok(());
            mp::ensure!(mp::Process::start(target, (reader.into(), Refuses)).is_err());
        }
        is_back_at(before)
    });
}

#[test]
fn rt_12_a_burst_from_many_threads_leaves_everything_as_before() {
    alone(|| {
        let before = baseline()?;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..25_u32 {
                        let p = mp::Process::start(|n: u32| Ok(n), (n,)).unwrap();
                        assert_eq!(p.result().unwrap(), &n);
                    }
                });
            }
        });
        is_back_at(before)
    });
}
