//! Every way in which a process can end is told apart, and all calls agree on it.
#![expect(unsafe_code, reason = "an exit without any clean-up has no safe call")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{ProcessError, StartError};
use mp_context as mp;
use mp_testing::system::{is_ignored, raise};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// Checks that every call of the handle says the same of a process that ended in error.
fn fails(
    p: mp::Process<u32>,
    exitcode: i32,
    is_expected: impl Fn(&ProcessError) -> bool,
) -> ProcessError {
    let (done, not_done) = mp::wait([&p], Some(LONG), mp::FIRST_EXCEPTION);
    assert_eq!((done.len(), not_done.len()), (1, 0), "{p:?} has not ended");
    // W-19: what `wait` calls done has an exit code and joins at once.
    assert_eq!(p.exitcode(), Some(exitcode), "{p:?}");
    assert!(p.done() && !p.is_alive());
    let error = p.join().unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    let text = error.to_string();
    let others = [
        p.join().unwrap_err(),
        p.join_timeout(Duration::ZERO).unwrap_err(),
        p.result().unwrap_err(),
        p.result_timeout(Duration::ZERO).unwrap_err(),
    ];
    for other in others {
        assert_eq!(other.to_string(), text);
    }
    match (p.exception(), &error) {
        (Ok(Some(remote)), ProcessError::Exception(same)) => {
            assert_eq!(remote.traceback(), same.traceback());
        }
        (Err(other), _) => assert_eq!(other.to_string(), text),
        (other, _) => panic!("{error:?} but exception() is {other:?}"),
    }
    let completed = mp::as_completed([&p], Some(LONG)).next().unwrap().unwrap();
    assert_eq!(completed.pid(), p.pid());
    let names_it = text.contains(p.name()) && text.contains(&p.pid().to_string());
    assert!(
        names_it || matches!(error, ProcessError::Decode(_) | ProcessError::Encode(_)),
        "{text}"
    );
    assert!(text.contains(p.name()), "{text}");
    assert_eq!(p.into_result().unwrap_err().to_string(), text);
    error
}

fn signaled(error: &ProcessError, expected: Signal, name: &str) -> bool {
    let is_it =
        matches!(error, ProcessError::Signaled { signal, .. } if *signal == expected.as_raw());
    is_it && error.to_string().contains(name)
}

#[test]
fn p_80_p_05_p_96_returned() {
    let p = mp::Process::start(|n: u32| Ok(n + 1), (4,)).unwrap();
    assert_eq!(p.result().unwrap(), &5);
    assert_eq!(p.result_timeout(Duration::ZERO).unwrap(), &5);
    assert!(p.join().is_ok() && p.join_timeout(Duration::ZERO).unwrap());
    assert!(p.exception().unwrap().is_none());
    assert_eq!((p.done(), p.is_alive(), p.exitcode()), (true, false, Some(0)));
    assert_eq!(p.into_result().unwrap(), 5);
}

#[test]
fn p_82_p_83_p_85_p_96_re_02_raised() {
    fn load(path: String) -> mp::Result<u32> {
        Ok(std::fs::read(path)?.len().try_into()?)
    }
    let p = mp::Process::start(load, ("/no/such/file".to_owned(),)).unwrap();
    let error = fails(p, 1, |e| matches!(e, ProcessError::Exception(_)));
    let remote = error.as_exception().unwrap();
    assert_eq!(remote.type_name(), "std::io::error::Error");
    assert!(remote.message().contains("No such file"), "{remote}");
    assert!(remote.location().unwrap().starts_with(file!()), "{remote:?}");
    assert!(!remote.is_panic());
    let trace = remote.traceback();
    assert!(trace.starts_with("[Process-") && trace.contains("load"), "{trace}");
    assert!(!trace.contains("mp_context") && !trace.contains("call_once"), "{trace}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("code {0} is wrong")]
struct WrongCode(u8);

#[test]
fn re_02_a_typed_error_arrives_as_itself_and_over_two_hops() {
    fn inner() -> mp::Result<u32> {
        Err(mp::Error::typed(WrongCode(9)))
    }
    fn outer() -> mp::Result<u32> {
        Ok(mp::Process::builder(inner, ()).name("inner").start()?.into_result()?)
    }
    let p = mp::Process::builder(outer, ()).name("outer").start().unwrap();
    let error = fails(p, 1, |e| matches!(e, ProcessError::Exception(_)));
    let remote = error.as_exception().unwrap();
    // P-85: neither kind nor message nor value become those of the wrapper.
    assert!(remote.type_name().ends_with("WrongCode"), "{remote:?}");
    assert_eq!(remote.message(), "code 9 is wrong");
    assert_eq!(remote.downcast::<WrongCode>(), Some(WrongCode(9)));
    assert_eq!(remote.process_name(), "outer");
    // RE-07: one block per hop, the newest last.
    let (first, second) = remote.traceback().split_once("raised again here").unwrap();
    assert!(first.starts_with("[inner] ") && second.contains("[outer] "), "{remote:?}");
}

#[test]
fn panicked() {
    fn panics(n: u32) -> mp::Result<u32> {
        assert!(n < 3, "{n} is too much");
        Ok(n)
    }
    let p = mp::Process::start(panics, (7,)).unwrap();
    let error = fails(p, 1, |e| matches!(e, ProcessError::Exception(_)));
    let remote = error.as_exception().unwrap();
    assert!(remote.is_panic());
    assert_eq!((remote.type_name(), remote.message()), ("panic", "7 is too much"));
    assert!(remote.location().unwrap().starts_with(file!()));
    assert!(remote.traceback().contains("panics"), "{remote:?}");
}

#[test]
fn p_87_re_15_panicked_with_a_payload_that_is_not_text() {
    let target = || -> mp::Result<u32> { std::panic::panic_any(vec![1_u8]) };
    let p = mp::Process::start(target, ()).unwrap();
    let error = fails(p, 1, |e| matches!(e, ProcessError::Exception(_)));
    assert!(error.as_exception().unwrap().is_panic());
    assert!(error.to_string().contains("not text"), "{error}");
}

#[test]
fn p_89_p_90_p_54_p_56_exited_without_a_result() {
    for (code, seen) in [(0, 0), (8, 8), (300, 44), (-1, 255)] {
        let p = mp::Process::start(|code: i32| std::process::exit(code), (code,)).unwrap();
        let error =
            fails(p, seen, |e| matches!(e, ProcessError::Exited { code, .. } if *code == seen));
        assert!(error.to_string().contains(&format!("code {seen}")), "{error}");
    }
}

#[test]
fn p_57_exited_immediately() {
    let target = || -> mp::Result<u32> {
        // SAFETY: ends the process, with nothing behind it.
        unsafe { libc::_exit(7) }
    };
    let p = mp::Process::start(target, ()).unwrap();
    fails(p, 7, |e| matches!(e, ProcessError::Exited { code: 7, .. }));
}

#[test]
fn sg_01_sg_02_sg_03_p_89_ended_by_a_signal() {
    let cases = [
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::USR1, "SIGUSR1"),
    ];
    // What is ignored here is ignored by children, as in every program.
    for (signal, name) in cases.into_iter().filter(|(signal, _)| !is_ignored(*signal)) {
        let target = |signal: i32| -> mp::Result<u32> {
            raise(Signal::from_named_raw(signal).unwrap());
            loop {
                std::thread::park();
            }
        };
        let p = mp::Process::start(target, (signal.as_raw(),)).unwrap();
        fails(p, -signal.as_raw(), |e| signaled(e, signal, name));
    }
}

#[test]
fn aborted() {
    let p = mp::Process::start(|| -> mp::Result<u32> { std::process::abort() }, ()).unwrap();
    fails(p, -6, |e| signaled(e, Signal::ABORT, "SIGABRT"));
}

#[test]
fn overflowed_the_stack() {
    #[expect(unconditional_recursion, reason = "the point")]
    fn deeper(n: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(n) + 1)) + 1
    }
    let p = mp::Process::start(|| Ok(u32::try_from(deeper(0))?), ()).unwrap();
    p.join().unwrap_err();
    // The runtime reports it and aborts; before `main`, where tests run children, it is a fault.
    let code = p.exitcode().unwrap();
    assert!([-6, -11].contains(&code), "{code}");
    fails(p, code, |e| matches!(e, ProcessError::Signaled { .. }));
}

#[derive(Debug)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(0)
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Stubborn, D::Error> {
        Err(serde::de::Error::custom("it will not be decoded"))
    }
}

#[test]
fn p_71_arguments_that_cannot_be_decoded() {
    let p = mp::Process::start(|_: Stubborn| Ok(1), (Stubborn,)).unwrap();
    let error = fails(p, 1, |e| matches!(e, ProcessError::Decode(_)));
    assert!(error.to_string().contains("arguments"), "{error}");
    assert!(error.to_string().contains("it will not be decoded"), "{error}");
}

#[derive(Debug, Deserialize)]
struct Unsendable;

impl Serialize for Unsendable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it will not be encoded"))
    }
}

#[test]
fn p_91_a_result_that_cannot_be_encoded() {
    let p = mp::Process::start(|| Ok(Unsendable), ()).unwrap();
    let error = p.result().unwrap_err();
    assert!(matches!(error, ProcessError::Encode(_)), "{error:?}");
    assert!(error.to_string().contains("result"), "{error}");
    assert!(error.to_string().contains("it will not be encoded"), "{error}");
    assert_eq!(p.exitcode(), Some(1));
    assert_eq!(p.join().unwrap_err().to_string(), error.to_string());
}

#[test]
fn p_92_a_result_that_cannot_be_decoded_is_an_error_of_whoever_asks() {
    let p = mp::Process::start(|| Ok(Stubborn), ()).unwrap();
    p.join().unwrap();
    for _ in 0..2 {
        let error = p.result().unwrap_err();
        assert!(matches!(error, ProcessError::Decode(_)), "{error:?}");
        assert!(error.to_string().contains(p.name()), "{error}");
    }
}

#[test]
fn p_70_an_argument_that_cannot_be_encoded_starts_nothing() {
    let error = mp::Process::start(|_: Unsendable| Ok(1), (Unsendable,)).unwrap_err();
    assert!(matches!(error, ProcessError::Encode(_)), "{error:?}");
    assert!(error.to_string().contains("arguments"), "{error}");
}

#[test]
fn a_result_that_was_delivered_stands_though_the_exit_crashes() {
    extern "C" fn crash() {
        std::process::abort();
    }
    let target = || {
        // SAFETY: a plain function for the whole life of the program.
        unsafe { libc::atexit(crash) };
        Ok(3)
    };
    let p = mp::Process::start(target, ()).unwrap();
    assert_eq!(p.result().unwrap(), &3);
    assert_eq!(p.exitcode(), Some(-6));
}

#[test]
fn p_23_a_child_reaped_by_other_code_has_ended_with_an_unknown_status() {
    // In a process of its own: it takes the exit status of every child.
    fn steals() -> mp::Result<Option<i32>> {
        let p = mp::Process::start(
            || -> mp::Result<u32> {
                loop {
                    std::thread::park()
                }
            },
            (),
        )?;
        let thief = std::thread::spawn(|| {
            // SAFETY: waits for any child and writes no status.
            unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) }
        });
        while mp_testing::system::threads_waiting_in_wait() == 0 {
            std::thread::yield_now();
        }
        p.kill();
        let error = p.join().unwrap_err();
        let stolen = thief.join().unwrap();
        mp::ensure!(p.done(), "not done");
        match error {
            ProcessError::StatusUnknown { .. } => mp::ensure!(p.exitcode().is_none()),
            ProcessError::Signaled { .. } => mp::bail!("nothing was stolen ({stolen})"),
            other => mp::bail!("{other}"),
        }
        Ok(p.exitcode())
    }
    // Whoever comes first gets the status; both outcomes end the wait. Look for the theft.
    let mut was_stolen = false;
    for _ in 0..200 {
        match mp::Process::start(steals, ()).unwrap().into_result() {
            Ok(None) => {
                was_stolen = true;
                break;
            }
            Err(ProcessError::Exception(e)) if e.message().contains("nothing was stolen") => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(was_stolen);
}

#[test]
fn the_end_before_the_hand_shake_is_told_within_a_second() {
    fn start_through(program: &str) -> mp::Result<(String, Option<i32>)> {
        mp::set_executable(program);
        let p = mp::Process::builder(|| Ok(1_u32), ()).name("early").start()?;
        let begun = std::time::Instant::now();
        let error = p.join().unwrap_err();
        mp::ensure!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        let is_start = matches!(error, ProcessError::Start(StartError::ExitedEarly { .. }));
        mp::ensure!(is_start || matches!(error, ProcessError::Signaled { .. }), "{error:?}");
        Ok((error.to_string(), p.exitcode()))
    }
    let dir = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = |program: String| {
        let target = |program: String| start_through(&program);
        mp::Process::start(target, (program,)).unwrap().into_result().unwrap()
    };
    let (text, code) = run(script("exits", "exit 3"));
    assert!(text.contains("code 3 before it called `mp::init`"), "{text}");
    assert_eq!(code, Some(3));
    let (text, code) = run(script("aborts", "kill -ABRT $$"));
    assert!(text.contains("SIGABRT"), "{text}");
    assert_eq!(code, Some(-6));
    let (text, code) = run(script("killed", "kill -KILL $$"));
    assert!(text.contains("SIGKILL"), "{text}");
    assert_eq!(code, Some(-9));
    let (text, code) = run("/bin/true".to_owned());
    assert!(text.contains("code 0 before"), "{text}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_child_that_stalls_before_the_hand_shake_is_killed_at_the_start_limit() {
    fn stalls() -> mp::Result<()> {
        let dir = tempfile::tempdir()?;
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU)?;
        let program = dir.path().join("stalls");
        // Opening the pipe blocks for ever, and runs no program that would outlive the shell.
        std::fs::write(&program, format!("#!/bin/sh\nread x < {}\n", fifo.display()))?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        mp::set_executable(&program);
        let limit = Duration::from_millis(300);
        let begun = std::time::Instant::now();
        let p = mp::Process::builder(|| Ok(1_u32), ()).name("slow").start_timeout(limit).start()?;
        let error = p.join().unwrap_err();
        mp::ensure!(begun.elapsed() >= limit && begun.elapsed() < limit + Duration::from_secs(1));
        let stalled = matches!(error, ProcessError::Start(StartError::Stalled { .. }));
        mp::ensure!(stalled && p.exitcode() == Some(-9), "{error}");
        mp::ensure!(error.to_string().contains("'slow'") && error.to_string().contains("300ms"));
        // A child that has come to its target is left alone, however long it runs.
        mp::set_executable("/proc/self/exe");
        let runs = || Ok(std::thread::sleep(Duration::from_millis(700)));
        mp::Process::builder(runs, ()).start_timeout(limit).start()?.into_result()?;
        Ok(())
    }
    mp::Process::start(stalls, ()).unwrap().into_result().unwrap();
}

#[test]
fn another_build_refuses_the_call() {
    fn starts_another_build() -> mp::Result<String> {
        let own = std::fs::read("/proc/self/exe")?;
        let note = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
        let at = own.windows(note.len()).position(|bytes| bytes == note);
        let Some(at) = at else { mp::bail!("this program has no build id to change") };
        let mut other = own;
        other[at + note.len()] ^= 1;
        let dir = tempfile::tempdir()?;
        let program = dir.path().join("other");
        std::fs::write(&program, other)?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        mp::set_executable(&program);
        let p = mp::Process::builder(|| Ok(1_u32), ()).name("other").start()?;
        let error = p.join().unwrap_err();
        mp::ensure!(matches!(error, ProcessError::Start(StartError::Refused { .. })), "{error:?}");
        mp::ensure!(p.exitcode() == Some(1));
        Ok(error.to_string())
    }
    match mp::Process::start(starts_another_build, ()).unwrap().into_result() {
        Ok(text) => assert!(text.contains("another build") && text.contains("'other'"), "{text}"),
        // A linker without build ids: the identity is then computed from the layout.
        Err(error) => assert!(error.to_string().contains("no build id"), "{error}"),
    }
}

#[test]
fn a_child_that_scribbles_on_its_control_socket_is_reported() {
    fn scribbles() -> mp::Result<u32> {
        use std::io::Write;
        for fd in 3..20 {
            let socket = format!("/proc/self/fd/{fd}");
            if std::fs::read_link(&socket).is_ok_and(|l| l.to_string_lossy().starts_with("socket"))
            {
                // SAFETY: the number was just seen to be open; the program is doing this on purpose.
                let fd = unsafe {
                    <std::os::unix::net::UnixStream as std::os::fd::FromRawFd>::from_raw_fd(fd)
                };
                (&fd).write_all(b"this is not a frame at all")?;
                std::mem::forget(fd);
            }
        }
        loop {
            std::thread::park();
        }
    }
    let p = mp::Process::start(scribbles, ()).unwrap();
    fails(p, -9, |e| matches!(e, ProcessError::Protocol { .. }));
}

#[test]
fn p_86_sg_05_a_handled_sigterm_with_an_exit_code_is_that_code() {
    extern "C" fn exit_5(_: i32) {
        // SAFETY: ends the process; allowed in a signal handler.
        unsafe { libc::_exit(5) }
    }
    fn waits(ready: mp_reduction::DupFd) -> mp::Result<u32> {
        // SAFETY: the handler only calls what is allowed in one.
        unsafe { libc::signal(libc::SIGTERM, exit_5 as *const () as libc::sighandler_t) };
        drop(ready);
        loop {
            std::thread::park();
        }
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let p = mp::Process::start(waits, (writer.into(),)).unwrap();
    std::io::Read::read_to_end(&mut &reader, &mut Vec::new()).unwrap();
    p.terminate();
    fails(p, 5, |e| matches!(e, ProcessError::Exited { code: 5, .. }));
}

#[test]
fn sg_13_a_handled_signal_during_join_does_not_end_it() {
    extern "C" fn handler(_: i32) {
        HANDLED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    static HANDLED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    fn joins_under_signals() -> mp::Result<u32> {
        // SAFETY: the handler only adds to an atomic number.
        unsafe { libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t) };
        // SAFETY: asks for the name of the calling thread.
        let joiner = unsafe { libc::pthread_self() };
        std::thread::spawn(move || {
            loop {
                // SAFETY: the main thread outlives the process's other threads.
                unsafe { libc::pthread_kill(joiner, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let p = mp::Process::start(|| Ok(std::thread::sleep(Duration::from_millis(300))), ())?;
        let begun = std::time::Instant::now();
        mp::ensure!(!p.join_timeout(Duration::from_millis(100))?, "it cannot have ended");
        mp::ensure!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
        p.join()?;
        mp::ensure!(p.exitcode() == Some(0));
        Ok(HANDLED.load(std::sync::atomic::Ordering::Relaxed))
    }
    let handled = mp::Process::start(joins_under_signals, ()).unwrap().into_result().unwrap();
    assert!(handled >= 10, "only {handled} signals came");
}

#[test]
fn p_58_destructors_run_on_return_error_and_panic() {
    struct Tells(std::io::PipeWriter);
    impl Drop for Tells {
        fn drop(&mut self) {
            use std::io::Write;
            self.0.write_all(b"dropped").expect("the test reads it");
        }
    }
    fn ends(how: u8, writer: mp_reduction::DupFd) -> mp::Result<u32> {
        let _tells = Tells(writer.into());
        match how {
            0 => Ok(1),
            1 => mp::bail!("an error"),
            _ => panic!("a panic"),
        }
    }
    for how in 0..3 {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let p =
            mp::Process::builder(ends, (how, writer.into())).on_failure(|_| ()).start().unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "dropped");
        assert_eq!(p.join().is_ok(), how == 0);
        assert_eq!(p.exitcode(), Some(i32::from(how != 0)));
    }
}

#[test]
fn p_94_the_failure_hook_runs_once_in_the_child_and_replaces_the_printed_trace() {
    for panics in [false, true] {
        let target = |panics: bool| -> mp::Result<u32> {
            assert!(!panics, "it panics");
            mp::bail!("it fails")
        };
        let p = mp::Process::builder(target, (panics,))
            .name("hooked")
            .on_failure(|error| eprintln!("hook of {}: {error}", mp::current_process().name()))
            .stderr(std::process::Stdio::piped())
            .start()
            .unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut p.take_stderr().unwrap(), &mut text).unwrap();
        let message = if panics { "it panics" } else { "it fails" };
        assert_eq!(text, format!("hook of hooked: {message}\n"));
        assert!(p.join().unwrap_err().to_string().contains(message));
    }
}
