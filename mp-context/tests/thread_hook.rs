//! The failure hook of a thread: when it runs, and that it changes nothing of what its joiners get.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mp::ThreadError;
use mp_context as mp;

mp::enable_test_support!();

fn fails(panics: bool) -> mp::Result<u8> {
    assert!(!panics, "it panics");
    mp::bail!("it fails")
}

fn message(panics: bool) -> &'static str {
    if panics { "it panics" } else { "it fails" }
}

/// What a child writes to standard error.
fn said_by(target: impl mp::Target<(bool,), Output = ()>, panics: bool) -> String {
    let builder = mp::Process::builder(target, (panics,)).name("child");
    let p = builder.stderr(Stdio::piped()).start().unwrap();
    let mut text = String::new();
    p.take_stderr().unwrap().read_to_string(&mut text).unwrap();
    p.into_result().unwrap();
    text
}

#[test]
fn t_09_the_failure_hook_runs_once_in_the_thread_before_anybody_hears_of_the_failure() {
    for panics in [false, true] {
        let (tell, told) = channel();
        let (go, wait) = channel::<()>();
        let t = mp::Thread::builder(move || fails(panics))
            .name("hooked")
            .on_failure(move |raised| {
                let name = std::thread::current().name().map(str::to_owned);
                tell.send((raised.message().to_owned(), raised.is_panic(), name)).unwrap();
                let _closed = wait.recv();
            })
            .start();
        let (text, is_panic, name) = told.recv().unwrap();
        assert_eq!((&*text, is_panic, name.as_deref()), (message(panics), panics, Some("hooked")));
        // Who joins waits for the hook as well.
        assert!(!t.join_timeout(Duration::from_millis(50)).unwrap());
        assert!(!t.done() && t.is_alive());
        drop(go);
        let raised = t.exception().unwrap().unwrap();
        assert_eq!((raised.message(), raised.is_panic()), (message(panics), panics));
        assert!(told.recv().is_err(), "the hook ran twice, or is kept");
    }
}

#[test]
fn a_function_that_succeeds_runs_no_hook_and_the_last_hook_counts() {
    let (tell, told) = channel::<&str>();
    let of = |what: &'static str| {
        let tell = tell.clone();
        move |_: &mp::RemoteException| tell.send(what).unwrap()
    };
    let good = mp::Thread::builder(|| Ok(5)).on_failure(of("good")).start();
    assert_eq!(good.into_result().unwrap(), 5);
    let bad = mp::Thread::builder(|| fails(false));
    bad.on_failure(of("first")).on_failure(of("second")).start().join().unwrap_err();
    drop(tell);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["second"]);
}

/// Says that it is dropped, and panics then.
struct Awkward(Sender<()>);

impl Drop for Awkward {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
        panic!("what the hook holds panics");
    }
}

#[test]
fn a_hook_that_panics_or_whose_captures_do_changes_nothing_of_the_outcome() {
    for panics in [false, true] {
        let t = mp::Thread::builder(move || fails(panics))
            .on_failure(|raised| panic!("the hook panics after {:?}", raised.message()))
            .start();
        let raised = t.exception().unwrap().unwrap();
        assert_eq!((raised.message(), raised.is_panic()), (message(panics), panics));
        assert!(t.done());
    }
    for succeeds in [false, true] {
        let (tell, told) = channel();
        let held = Awkward(tell);
        let t = mp::Thread::builder(move || if succeeds { Ok(5) } else { fails(false) })
            .on_failure(move |_| drop(held))
            .start();
        match t.result() {
            Ok(value) => assert!(succeeds && *value == 5),
            Err(ThreadError::Exception(raised)) => {
                assert!(!succeeds && raised.message() == "it fails", "{raised:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
        told.try_recv().unwrap(); // dropped before the end was announced
    }
}

// DIFFERENCE from T-09 and T-10: without a hook, Python's threads print a line, and daemons the trace as well.
#[test]
fn without_a_hook_an_error_prints_nothing_and_a_panic_what_it_prints_in_any_thread() {
    let target = |panics: bool| {
        for daemon in [false, true] {
            let t = mp::Thread::builder(move || fails(panics)).name("quiet").daemon(daemon).start();
            mp::ensure!(t.join().is_err());
        }
        Ok(())
    };
    assert_eq!(said_by(target, false), "");
    let said = said_by(target, true);
    assert_eq!(said.matches("Process child, thread 'quiet':").count(), 2, "{said}");
}

#[test]
fn a_hook_of_a_thread_in_a_child_says_what_it_likes() {
    let target = |panics: bool| {
        let t = mp::Thread::builder(move || fails(panics)).name("loud");
        let t = t.on_failure(|raised| eprintln!("hook: {raised}")).start();
        mp::ensure!(t.join().is_err());
        Ok(())
    };
    assert_eq!(said_by(target, false), "hook: it fails\n");
    let said = said_by(target, true);
    assert!(said.starts_with("Process child, thread 'loud':\n"), "{said}");
    assert!(said.ends_with("\nhook: it panics\n"), "{said}");
}

#[test]
fn a_hook_that_ends_the_process_ends_it() {
    let target = || -> mp::Result<()> {
        let t = mp::Thread::builder(|| fails(false)).on_failure(|_| std::process::exit(7));
        let _ends_all = t.start();
        loop {
            std::thread::park();
        }
    };
    let error = mp::Process::start(target, ()).unwrap().join().unwrap_err();
    assert!(matches!(error, mp::ProcessError::Exited { code: 7, .. }), "{error:?}");
}
