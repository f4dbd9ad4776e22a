//! A process from its start to its end: handle, names, signals, sentinel, active children.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use mp::{ProcessError, StartError};
use mp_context as mp;
use mp_reduction::DupFd;
use mp_testing::system::{self, ends_within};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// Runs until its standard end, the reading end of a pipe, is closed by the test.
fn until_closed(gate: DupFd) -> mp::Result<u32> {
    gate.into::<std::io::PipeReader>().read_to_end(&mut Vec::new())?;
    Ok(std::process::id())
}

fn gated() -> (mp::Process<u32>, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (mp::Process::start(until_closed, (reader.into(),)).unwrap(), writer)
}

fn is_readable(p: &mp::Process<u32>) -> bool {
    let sentinel = p.sentinel();
    let mut fds = [PollFd::new(&sentinel, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
}

#[test]
fn p_03_p_04_p_05_p_25_p_84_cp_05_cp_06_from_start_to_join() {
    fn scenario() -> mp::Result<()> {
        mp::ensure!(mp::active_children().is_empty(), "CP-06: none inherited");
        let (reader, writer) = std::io::pipe()?;
        let p = mp::Process::start(until_closed, (reader.into(),))?;
        mp::ensure!(p.is_alive() && !p.done() && p.exitcode().is_none());
        let [listed] = <[_; 1]>::try_from(mp::active_children()).expect("one child");
        mp::ensure!(listed.pid() == p.pid() && listed.name() == p.name());
        mp::ensure!(format!("{p:?}").contains(" started>"), "P-25: {p:?}");
        drop(writer);
        mp::ensure!(*p.result()? == p.pid(), "P-04");
        mp::ensure!(p.exitcode() == Some(0) && !p.is_alive() && mp::active_children().is_empty());
        mp::ensure!(format!("{p:?}").contains(" stopped exitcode=0>"), "P-25: {p:?}");
        Ok(())
    }
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

#[test]
fn p_06_p_07_arguments_of_every_shape_arrive_equal() {
    type Nested = (Vec<(i32, String)>, Option<[u8; 3]>, std::collections::BTreeMap<String, f64>);
    fn echo(value: Nested, unit: ()) -> mp::Result<(Nested, ())> {
        Ok((value, unit))
    }
    let value: Nested = (
        vec![(1, "a".into()), (-2, String::new())],
        Some([1, 2, 3]),
        [("k".to_owned(), 2.54)].into(),
    );
    let p = mp::Process::start(echo, (value.clone(), ())).unwrap();
    assert_eq!(p.result().unwrap(), &(value, ()));
}

#[test]
fn targets_take_up_to_twelve_arguments() {
    #[expect(clippy::too_many_arguments, reason = "the most there can be")]
    fn sum(
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
    ) -> mp::Result<u8> {
        Ok(a + b + c + d + e + f + g + h + i + j + k + l)
    }
    let p = mp::Process::start(sum, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)).unwrap();
    assert_eq!(p.result().unwrap(), &78);
}

#[test]
fn p_08_p_09_names() {
    fn names() -> mp::Result<Vec<String>> {
        let me = || Ok(mp::current_process().name().to_owned());
        let first = mp::Process::start(me, ())?;
        let unstarted = mp::Process::builder(me, ());
        let third = mp::Process::start(me, ())?;
        let named = mp::Process::builder(me, ()).name("a name").start()?;
        drop(unstarted);
        let mut names = vec![mp::current_process().name().to_owned()];
        for p in [first, third, named] {
            names.push(p.name().to_owned());
            names.push(p.into_result()?);
        }
        Ok(names)
    }
    let p = mp::Process::builder(names, ()).name("outer").start().unwrap();
    let names = p.into_result().unwrap();
    assert_eq!(names[0], "outer");
    assert_eq!(names[5..], ["a name", "a name"]);
    let (stem, number) = names[1].rsplit_once(':').unwrap();
    assert!(stem.starts_with("Process-") && number == "1", "{names:?}");
    assert_eq!(names[1], names[2]);
    assert_eq!(names[3], format!("{stem}:3"));
}

#[test]
fn p_11_au_01_the_key_is_inherited() {
    let key = || Ok(mp::current_process().authkey().as_bytes().to_vec());
    let theirs = mp::Process::start(key, ()).unwrap().into_result().unwrap();
    let ours = mp::current_process().authkey();
    assert_eq!(theirs, ours.as_bytes());
    assert_eq!(theirs.len(), 32);
    // AU-02: it does not show itself.
    assert_eq!(format!("{ours:?}"), "AuthKey(32 bytes)");
}

#[test]
fn p_18_p_19_p_20_p_81_joining_with_a_limit_leaves_the_child_alone() {
    let (p, gate) = gated();
    assert!(!p.join_timeout(Duration::ZERO).unwrap());
    let begun = Instant::now();
    assert!(!p.join_timeout(Duration::from_millis(50)).unwrap());
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(matches!(p.result_timeout(Duration::ZERO), Err(ProcessError::Timeout)));
    assert!(matches!(p.exception_timeout(Duration::ZERO), Err(ProcessError::Timeout)));
    assert!(p.is_alive());
    drop(gate);
    assert!(p.join_timeout(LONG).unwrap());
    p.join().unwrap(); // P-20
}

#[test]
fn p_22_many_threads_join_one_handle() {
    let (p, gate) = gated();
    std::thread::scope(|scope| {
        let joiners: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| (p.join().is_ok(), p.exitcode(), *p.result().unwrap())))
            .collect();
        drop(gate);
        for joiner in joiners {
            assert_eq!(joiner.join().unwrap(), (true, Some(0), p.pid()));
        }
    });
}

#[test]
fn p_24_a_stopped_child_is_alive() {
    let (p, gate) = gated();
    let pid = rustix::process::Pid::from_raw(p.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    assert!(!p.join_timeout(Duration::from_millis(50)).unwrap());
    assert!(p.is_alive() && p.exitcode().is_none());
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    drop(gate);
    p.join().unwrap();
}

#[test]
fn p_60_sg_16_terminating_right_after_start_during_bootstrap() {
    for round in 0..40 {
        let p = mp::Process::start(|| Ok(std::thread::sleep(LONG)), ()).unwrap();
        if round % 2 == 0 {
            p.terminate()
        } else {
            p.kill()
        }
        let signal = if round % 2 == 0 { 15 } else { 9 };
        let error = p.join().unwrap_err();
        assert!(
            matches!(error, ProcessError::Signaled { signal: s, .. } if s == signal),
            "{error}"
        );
        assert_eq!(p.exitcode(), Some(-signal));
    }
}

#[test]
fn sg_04_p_36_terminate_is_only_a_request() {
    fn ignores_sigterm(ready: DupFd) -> mp::Result<()> {
        // Blocked signals stay blocked over exec; the shell ignores the signal and says so.
        ready.into::<std::io::PipeWriter>().write_all(b"x")?;
        std::thread::sleep(LONG);
        Ok(())
    }
    // The wrapper makes the child ignore SIGTERM, as `trap ''` is inherited over exec.
    fn scenario() -> mp::Result<()> {
        let dir = tempfile::tempdir()?;
        let program = dir.path().join("ignores");
        std::fs::write(
            &program,
            format!(
                "#!/bin/sh\ntrap '' TERM\nexec '{}' \"$@\"\n",
                std::env::current_exe()?.display()
            ),
        )?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        mp::set_executable(&program); // P-36: children run through it
        let (mut reader, writer) = std::io::pipe()?;
        let p = mp::Process::start(ignores_sigterm, (writer.into(),))?;
        reader.read_exact(&mut [0])?;
        p.terminate();
        mp::ensure!(!p.join_timeout(Duration::from_millis(100))? && p.exitcode().is_none());
        p.kill();
        mp::ensure!(p.join().is_err() && p.exitcode() == Some(-9));
        Ok(())
    }
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

#[test]
fn sg_06_signals_to_an_ended_child_are_harmless() {
    let p = mp::Process::start(|| Ok(1), ()).unwrap();
    p.join().unwrap();
    p.interrupt();
    p.terminate();
    p.kill();
    assert_eq!(p.exitcode(), Some(0));
}

#[test]
fn sg_07_sg_08_the_sentinel_reacts_to_the_child_itself() {
    fn leaves_a_program_behind() -> mp::Result<u32> {
        let left = std::process::Command::new("sleep").arg("600").spawn()?;
        Ok(left.id())
    }
    let (quiet, _gate) = gated();
    assert!(!is_readable(&quiet));
    let p = mp::Process::start(leaves_a_program_behind, ()).unwrap();
    let left = *p.result_timeout(LONG).unwrap();
    assert!(is_readable(&p) && is_readable(&p), "it stays readable");
    assert!(!ends_within(left, Duration::ZERO).unwrap(), "the program that was left behind runs");
    let left = rustix::process::Pid::from_raw(left.cast_signed()).unwrap();
    rustix::process::kill_process(left, Signal::KILL).unwrap();
}

#[test]
fn sg_11_sg_12_sg_15_p_26_a_dropped_handle_is_still_reaped() {
    fn scenario() -> mp::Result<()> {
        let fresh = system::holdings();
        mp::Process::start(|| Ok(()), ())?.join()?;
        let (descriptors, threads) = (fresh.descriptors + 3, fresh.threads + 1);
        let before = system::Holdings { descriptors, threads, children: 0 };
        for _ in 0..20 {
            drop(mp::Process::start(|| Ok(()), ())?);
            drop(
                mp::Process::builder(|| -> mp::Result<()> { mp::bail!("x") }, ())
                    .on_failure(|_| ())
                    .start()?,
            );
        }
        let after = system::settle_at(before, LONG);
        mp::ensure!(after == before, "{after:?} instead of {before:?}");
        mp::ensure!(mp::active_children().is_empty());
        Ok(())
    }
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

#[test]
fn cp_01_cp_02_current_and_parent_process() {
    type Seen = (u32, String, bool, Option<(u32, String, bool)>);
    fn look() -> mp::Result<Seen> {
        let me = mp::current_process();
        let parent = mp::parent_process().map(|p| (p.pid(), p.name().to_owned(), p.is_alive()));
        Ok((me.pid(), me.name().to_owned(), me.is_daemon(), parent))
    }
    let me = mp::current_process();
    assert_eq!((me.pid(), me.name(), me.is_daemon()), (std::process::id(), "MainProcess", false));
    assert!(mp::parent_process().is_none());
    let p = mp::Process::builder(look, ()).name("child").daemon(true).start().unwrap();
    let parent = Some((std::process::id(), "MainProcess".to_owned(), true));
    assert_eq!(p.result().unwrap(), &(p.pid(), "child".to_owned(), true, parent));
}

#[test]
fn cp_04_waiting_for_the_parent_ends_at_the_limit() {
    let waits = || {
        let begun = Instant::now();
        let parent = mp::parent_process().expect("it has one");
        Ok((parent.join_timeout(Duration::from_millis(60)), begun.elapsed().as_millis()))
    };
    let (is_gone, took) = mp::Process::start(waits, ()).unwrap().into_result().unwrap();
    assert!(!is_gone && took >= 60, "{took} ms");
}

#[test]
fn cp_07_cp_08_daemons_inherit_the_flag_and_have_no_children() {
    fn starts_a_child() -> mp::Result<()> {
        mp::Process::builder(|| Ok(()), ()).name("grandchild").start()?.join()?;
        Ok(())
    }
    assert!(!mp::Process::start(|| Ok(()), ()).unwrap().is_daemon());
    let p = mp::Process::builder(starts_a_child, ()).name("d").daemon(true).start().unwrap();
    let error = p.exception().unwrap().expect("it may not");
    assert!(error.type_name().ends_with("ProcessError"), "{error:?}");
    assert!(error.message().contains("'d'") && error.message().contains("'grandchild'"), "{error}");
    let _variant: fn(std::sync::Arc<str>, std::sync::Arc<str>) -> StartError =
        |name, daemon| StartError::Daemon { name, daemon };
}

#[test]
fn p_39_cpu_count_honours_the_affinity() {
    assert!(mp::cpu_count() >= 1);
    let count = || Ok(mp::cpu_count());
    let p = mp::Process::builder(count, ()).cpu_affinity([0]).start().unwrap();
    assert_eq!(p.result().unwrap(), &1);
    let p = mp::Process::builder(count, ()).cpu_affinity([100_000]).start().unwrap();
    let error = p.join().unwrap_err().to_string();
    assert!(error.contains("no processor 100000"), "{error}");
    let p = mp::Process::builder(count, ()).cpu_affinity([1000]).start().unwrap();
    let error = p.join().unwrap_err().to_string();
    assert!(error.contains("[1000]"), "{error}");
}

#[test]
fn p_76_there_is_one_start_method() {
    assert_eq!(mp::get_start_method(), "spawn");
    assert_eq!(mp::get_all_start_methods(), ["spawn"]);
    let error = mp::get_context("fork").unwrap_err().to_string();
    assert_eq!(error, "unknown start method 'fork', expected one of: spawn");
    let p = mp::MP_SPAWN_CTX.process(|| Ok(mp::get_start_method().to_owned()), ()).start().unwrap();
    assert_eq!(p.result().unwrap(), "spawn");
}
