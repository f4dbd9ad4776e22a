//! Foreign forks and waits, exits and panics in odd places, closed descriptors: nothing hangs.
#![expect(unsafe_code, reason = "what other code of a program does has no safe call")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use log::LevelFilter;
use mp::{ProcessError, ThreadError};
use mp_context as mp;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// Runs a scenario in a process of its own, which must end in time.
fn alone<T: Serialize + serde::de::DeserializeOwned>(
    scenario: impl mp::Target<(), Output = T>,
) -> T {
    let p = mp::Process::builder(scenario, ()).forward_logs(false).start().unwrap();
    p.result_timeout(LONG).unwrap_or_else(|error| panic!("{error:?}"));
    p.into_result().unwrap()
}

#[test]
fn a_forked_copy_neither_reads_nor_waits_for_the_children_of_the_original() {
    #[expect(clippy::disallowed_methods, reason = "the point")]
    fn forks() -> mp::Result<(usize, i32)> {
        let p = mp::Process::start(|| Ok("x".repeat(10 << 20)), ())?;
        // SAFETY: the copy only calls what does not need the threads that it does not have.
        let copy = unsafe { libc::fork() };
        if copy == 0 {
            let refused = mp::Process::start(|| Ok(()), ()).is_err();
            let none = mp::active_children().is_empty();
            std::process::exit(if refused && none { 7 } else { 1 });
        }
        let mut status = 0;
        // SAFETY: writes the status of that child.
        unsafe { libc::waitpid(copy, &raw mut status, 0) };
        Ok((p.into_result()?.len(), libc::WEXITSTATUS(status)))
    }
    assert_eq!(alone(forks), (10 << 20, 7));
}

#[test]
fn children_of_a_program_that_ignores_sigchld_give_their_results() {
    let scenario = || {
        // SAFETY: "ignore" installs no code.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        for n in 0..300_u32 {
            let p = mp::Process::start(|n: u32| Ok(n), (n,))?;
            mp::ensure!(*p.result()? == n);
        }
        let p = mp::Process::start(|| -> mp::Result<u32> { std::process::exit(3) }, ())?;
        let error = p.join().unwrap_err();
        mp::ensure!(matches!(error, ProcessError::StatusUnknown { .. }), "{error}");
        Ok(())
    };
    alone(scenario);
}

#[test]
fn closed_standard_descriptors_are_not_taken_for_ours() {
    let scenario = || {
        for fd in 0..3 {
            // SAFETY: this process uses none of them before it opens nothing else.
            unsafe { libc::close(fd) };
        }
        let limit = Duration::from_millis(200);
        let lives = || Ok(std::thread::sleep(Duration::from_millis(500)));
        let p = mp::Process::builder(lives, ()).start_timeout(limit).start()?;
        // Standard output has no descriptor, whatever that gives; it must not be one of ours.
        let _written = std::io::Write::write_all(&mut std::io::stdout(), b"into the void\n");
        p.join()?;
        Ok(())
    };
    alone(scenario);
}

#[test]
fn exit_in_a_thread_ends_a_child_that_has_returned() {
    let exits_later = || {
        let t = mp::Thread::start(|| -> mp::Result<()> {
            std::thread::sleep(Duration::from_millis(100));
            std::process::exit(3)
        });
        drop(t);
        Ok(1)
    };
    let p = mp::Process::start(exits_later, ()).unwrap();
    assert!(p.join_timeout(LONG).unwrap());
    assert_eq!(p.exitcode(), Some(3));
}

#[test]
fn exit_in_a_thread_that_another_thread_joins_ends_the_process() {
    let scenario = || {
        let (go, wait) = channel::<()>();
        let exiting = Arc::new(mp::Thread::start(move || -> mp::Result<()> {
            let _closed = wait.recv();
            std::process::exit(4)
        }));
        let joining = mp::Thread::start({
            let exiting = Arc::clone(&exiting);
            move || Ok(matches!(exiting.join(), Err(ThreadError::Exited { .. })))
        });
        drop(go);
        mp::ensure!(*joining.result()?);
        std::thread::sleep(LONG);
        Ok(())
    };
    let p = mp::Process::start(scenario, ()).unwrap();
    let (done, _) = mp::wait([&p], Some(LONG), mp::ALL_COMPLETED);
    assert_eq!((done.len(), p.exitcode()), (1, Some(4)));
}

/// Calls a function for the first record that it gets.
struct Calls(fn());

impl log::Log for Calls {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        (self.0)();
    }

    fn flush(&self) {}
}

fn logs_to(calls: &'static Calls) -> mp::Result<mp::Process<()>> {
    log::set_logger(calls)?;
    log::set_max_level(LevelFilter::Info);
    let logs = || {
        log::info!("a record");
        Ok(std::thread::sleep(Duration::from_millis(100)))
    };
    Ok(mp::Process::start(logs, ())?)
}

#[test]
fn a_logger_that_ends_the_process_ends_it() {
    static EXITS: Calls = Calls(|| std::process::exit(9));
    let scenario = || {
        let p = logs_to(&EXITS)?;
        Ok(p.join()?)
    };
    let p = mp::Process::builder(scenario, ()).forward_logs(false).start().unwrap();
    let (done, _) = mp::wait([&p], Some(LONG), mp::ALL_COMPLETED);
    assert_eq!((done.len(), p.exitcode()), (1, Some(9)));
}

#[test]
fn a_logger_that_waits_for_a_child_gets_an_error_instead_of_itself() {
    static SEEN: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);
    static JOINS: Calls = Calls(|| {
        let p =
            mp::Process::start(|| Ok(std::thread::sleep(Duration::from_millis(50))), ()).unwrap();
        *SEEN.lock().unwrap() = p.join().err().map(|error| error.to_string());
    });
    let text = alone(|| {
        logs_to(&JOINS)?.join()?;
        Ok(SEEN.lock().unwrap().clone())
    });
    assert!(text.unwrap().contains("in a logger"));
}

/// An error whose text cannot be made.
#[derive(Debug)]
struct NoText;

impl std::fmt::Display for NoText {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text for this error")
    }
}

impl std::error::Error for NoText {}

/// A value that cannot be dropped.
#[derive(Debug, Serialize, Deserialize)]
struct NoDrop(u8);

impl Drop for NoDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0 != 1, "not to be dropped");
    }
}

#[test]
fn a_panic_in_the_text_of_an_error_is_an_error_like_any() {
    let p = mp::Process::start(|| -> mp::Result<()> { Err(NoText.into()) }, ()).unwrap();
    let error = p.exception().unwrap().unwrap();
    assert!(error.is_panic() && error.message().contains("no text"), "{error:?}");

    let t = mp::Thread::start(|| -> mp::Result<()> { Err(NoText.into()) });
    assert!(t.exception().unwrap().unwrap().message().contains("no text"));
}

#[test]
fn a_panic_in_the_destructor_of_a_result_or_a_payload_is_reported() {
    let p = mp::Process::start(|| Ok(NoDrop(1)), ()).unwrap();
    let error = p.exception().unwrap().unwrap();
    assert!(error.is_panic() && error.message().contains("not to be dropped"), "{error:?}");

    let panics = || -> mp::Result<()> { std::panic::panic_any(NoDrop(1)) };
    let p = mp::Process::start(panics, ()).unwrap();
    assert!(p.exception().unwrap().unwrap().is_panic());
    assert!(mp::Thread::start(panics).exception().unwrap().unwrap().is_panic());
}

#[test]
fn a_deserialize_that_panics_here_is_a_decode_error_every_time() {
    #[derive(Debug, Serialize)]
    struct Panics;
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Panics, D::Error> {
            panic!("on arrival")
        }
    }
    let p = mp::Process::start(|| Ok(Panics), ()).unwrap();
    for _ in 0..2 {
        let error = p.result().unwrap_err();
        assert!(matches!(error, ProcessError::Decode(_)), "{error:?}");
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}

#[test]
fn re_15_a_panic_tells_its_place_in_processes_and_threads_and_is_not_mixed_up_with_another() {
    let t = mp::Thread::start(|| -> mp::Result<()> { panic!("here") });
    let raised = t.exception().unwrap().unwrap();
    assert!(raised.location().unwrap().starts_with(file!()), "{raised:?}");

    let resumes = || -> mp::Result<()> {
        let _caught = std::panic::catch_unwind(|| panic!("caught"));
        std::panic::resume_unwind(Box::new("resumed"))
    };
    let p = mp::Process::start(resumes, ()).unwrap();
    assert_eq!(p.exception().unwrap().unwrap().message(), "resumed");
}

#[test]
fn arguments_beyond_the_file_size_limit_are_an_error_and_no_signal() {
    alone(|| {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Fsize, Rlimit { current: Some(4096), maximum: None })?;
        let started = mp::Process::start(|_: String| Ok(()), ("x".repeat(1 << 20),));
        let error = started.unwrap_err().to_string();
        mp::ensure!(error.contains("memory for the arguments"), "{error}");
        Ok(())
    });
}

#[test]
fn impossible_variables_and_processors_are_errors() {
    for key in ["A=B", "", "A\0"] {
        let error = mp::Process::builder(|| Ok(()), ()).env(key, "x").start().unwrap_err();
        assert!(error.to_string().contains("environment variable"), "{error}");
    }
    let p = mp::Process::builder(|| Ok(()), ()).cpu_affinity([]).start().unwrap();
    assert!(p.join().unwrap_err().to_string().contains("processors []"));
}

#[test]
fn thirty_thousand_contexts_harm_nobody() {
    let nested = || -> mp::Result<()> {
        let mut error = mp::Error::msg("first");
        for n in 0..30_000 {
            error = error.context(n);
        }
        Err(error)
    };
    let p = mp::Process::builder(nested, ()).on_failure(|_| ()).start().unwrap();
    assert_eq!(p.exception().unwrap().unwrap().message(), "29999");
}

#[test]
fn p_34_a_timed_join_keeps_its_time_while_a_logger_is_slow() {
    static SLOW: Calls = Calls(|| std::thread::sleep(Duration::from_millis(600)));
    alone(|| {
        let p = logs_to(&SLOW)?;
        std::thread::sleep(Duration::from_millis(300)); // the child has ended, its record is handled
        let begun = Instant::now();
        let _listed = mp::active_children();
        mp::ensure!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        Ok(p.join()?)
    });
}

#[test]
#[ignore = "run by a test in a pid namespace of its own"]
fn starts_a_child() {
    assert_eq!(mp::Process::start(|| Ok(7), ()).unwrap().into_result().unwrap(), 7);
}

#[test]
fn children_start_where_the_process_group_is_one_of_another_pid_namespace() {
    let unshared = |program: &std::path::Path| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]).arg(program);
        command.stdin(std::process::Stdio::null());
        command
    };
    let is_possible = unshared("true".as_ref()).status().is_ok_and(|status| status.success());
    if !is_possible {
        eprintln!("skipped: this user can make no pid namespace with `unshare`");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = unshared(&program);
    command.args(["--exact", "starts_a_child", "--ignored"]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
}
