//! A thread with the handle of a process.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mp::ThreadError;
use mp_context as mp;
use mp_testing::system::mapped_bytes;

mp::enable_test_support!();

#[test]
fn t_01_t_05_result_and_state() {
    let (go, wait) = channel::<()>();
    let t = mp::Thread::builder(move || Ok(wait.recv().is_err())).name("worker").start();
    assert_eq!((t.name(), t.done(), t.is_alive()), ("worker", false, true));
    assert_eq!(format!("{t:?}"), "<Thread name='worker' started>");
    drop(go);
    assert!(t.result().unwrap() == &true && *t.result().unwrap());
    assert!(t.done() && !t.is_alive() && t.exception().unwrap().is_none());
    assert!(t.into_result().unwrap());
}

#[test]
fn t_02_t_04_an_expired_limit_is_silent_for_join_and_an_error_for_the_rest() {
    let (go, wait) = channel::<()>();
    let t = mp::Thread::start(move || Ok(wait.recv().is_err()));
    assert!(!t.join_timeout(Duration::from_millis(20)).unwrap());
    assert!(matches!(t.result_timeout(Duration::ZERO), Err(ThreadError::Timeout)));
    assert!(matches!(t.exception_timeout(Duration::ZERO), Err(ThreadError::Timeout)));
    drop(go);
    assert!(t.join_timeout(Duration::from_secs(60)).unwrap());
}

#[test]
fn t_03_t_04_t_08_an_error_is_given_every_time_with_its_trace_and_is_not_remote() {
    fn load() -> mp::Result<u8> {
        Ok("x".parse()?)
    }
    let t = mp::Thread::builder(load).name("loader").start();
    for _ in 0..2 {
        let error = t.join().unwrap_err();
        assert!(error.to_string().contains("thread 'loader' raised"), "{error}");
        assert!(t.result().is_err());
    }
    let raised = t.exception().unwrap().unwrap();
    assert!(raised.traceback().starts_with("[loader] Traceback"), "{raised:?}");
    assert!(raised.traceback().contains("load"), "{raised:?}");
    assert!(!mp_remote_exception::is_remote_exception(&raised));
    // Raised on, it keeps its kind.
    let again = mp::RemoteException::new(mp::Error::from(t.join().unwrap_err()));
    assert!(again.type_name().ends_with("ParseIntError"), "{again:?}");
}

#[test]
fn t_07_a_panic_is_an_error() {
    for (t, text) in [
        (mp::Thread::start(|| -> mp::Result<()> { panic!("no {}", 5) }), "no 5"),
        (mp::Thread::start(|| -> mp::Result<()> { std::panic::panic_any(1) }), "not text"),
    ] {
        let raised = t.exception().unwrap().unwrap();
        assert!(raised.is_panic() && raised.message().contains(text), "{raised:?}");
    }
}

#[test]
fn t_11_a_thread_cannot_wait_for_itself() {
    let own: Arc<OnceLock<mp::Thread<bool>>> = Arc::default();
    let (go, wait) = channel::<()>();
    let t = mp::Thread::start({
        let own = Arc::clone(&own);
        move || {
            let _closed = wait.recv();
            let me = own.get().expect("it is set before the thread goes on");
            Ok(matches!(me.join(), Err(ThreadError::WaitsForItself { .. })))
        }
    });
    let t = own.get_or_init(|| t);
    drop(go);
    assert!(t.result().unwrap());
}

#[test]
fn a_thread_that_the_system_refuses_is_an_ended_one() {
    fn scenario() -> mp::Result<()> {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let mapped = mapped_bytes(std::process::id())?;
        setrlimit(Resource::As, Rlimit { current: Some(mapped + (1 << 20)), maximum: None })?;
        let t = mp::Thread::start(|| Ok(()));
        let error = t.join();
        setrlimit(Resource::As, Rlimit { current: None, maximum: None })?;
        mp::ensure!(t.done() && matches!(error, Err(ThreadError::Start { .. })), "{error:?}");
        Ok(())
    }
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}
