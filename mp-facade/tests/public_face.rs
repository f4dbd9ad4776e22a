//! Every call of the public page for errors, processes and threads, as a user writes it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Stdio;
use std::time::Duration;

use mp::{ProcessError, ReturnWhen, Worker};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("no such job {0}")]
struct NoSuchJob(u32);

fn worker(name: String, times: u32) -> mp::Result<String> {
    mp::ensure!(times < 100, "{times} times is too often");
    if times == 0 {
        return Err(mp::Error::typed(NoSuchJob(times)).context("cannot work"));
    }
    Ok(name.repeat(usize::try_from(times)?))
}

#[test]
fn errors() {
    fn fails() -> mp::Result<()> {
        let _n: u8 = "300".parse()?;
        mp::bail!("not reached")
    }
    let error: mp::Error = fails().unwrap_err();
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    assert_eq!(error.location().file(), file!());
    let remote = mp::RemoteException::new(error);
    assert!(mp::is_remote_exception(&remote));
    assert_eq!(mp::get_remote_traceback(&remote), Some(remote.traceback()));
    assert!(format!("{remote:#}").contains("Traceback") && !format!("{remote}").contains('['));
    let boxed: Box<dyn std::error::Error> = mp::Error::msg("text").into();
    assert_eq!(boxed.to_string(), "text");
}

#[test]
fn processes() {
    let p: mp::Process<String> = mp::Process::start(worker, ("ab".to_owned(), 3)).unwrap();
    assert_eq!(p.result().unwrap(), "ababab");

    let p = mp::Process::builder(worker, ("a".to_owned(), 0))
        .name("counter")
        .daemon(true)
        .env("K", "V")
        .current_dir("/")
        .cpu_affinity([0])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .log_level(log::LevelFilter::Warn)
        .start_timeout(Duration::from_secs(20))
        .start()
        .unwrap();
    assert_eq!((p.name(), p.is_daemon()), ("counter", true));
    let _fd: std::os::fd::BorrowedFd<'_> = p.sentinel();
    let seen = match p.result_timeout(Duration::from_secs(60)) {
        Err(ProcessError::Exception(remote)) => remote,
        Err(ProcessError::Exited { code, .. }) => panic!("{code}"),
        Err(ProcessError::Signaled { signal, core_dumped, .. }) => panic!("{signal} {core_dumped}"),
        Err(ProcessError::Timeout | ProcessError::NotInitialised) => panic!("too slow"),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen.message(), "cannot work");
    assert_eq!(seen.downcast::<NoSuchJob>(), Some(NoSuchJob(0)));
    assert_eq!((seen.process_name(), seen.pid(), seen.is_panic()), ("counter", p.pid(), false));
    assert!(p.exception_timeout(Duration::ZERO).unwrap().is_some());
    assert_eq!((p.done(), p.is_alive(), p.exitcode()), (true, false, Some(1)));
    p.interrupt();
    p.terminate();
    p.kill();
    assert!(p.join().is_err() && p.join_timeout(Duration::ZERO).is_err());
    assert!(p.into_result().is_err());
}

#[test]
fn workers() {
    let t = mp::Thread::start(move || -> mp::Result<u32> { Ok(5) });
    let p = mp::Process::start(|| Ok(6), ()).unwrap();
    let workers: Vec<Box<dyn Worker>> = vec![Box::new(t), Box::new(p)];
    let (done, not_done) = mp::wait(&workers, None, ReturnWhen::AllCompleted);
    assert_eq!((done.len(), not_done.len()), (2, 0));
    for worker in mp::as_completed(&workers, Some(Duration::from_secs(60))) {
        worker.unwrap().join().unwrap();
    }
    let modes = [mp::ALL_COMPLETED, mp::FIRST_COMPLETED, mp::FIRST_EXCEPTION];
    assert_eq!(modes[1], ReturnWhen::FirstCompleted);
}

#[test]
fn who_is_who() {
    assert!(mp::parent_process().is_none());
    assert!(mp::current_process().pid() > 0 && mp::cpu_count() > 0);
    let p = mp::MP_SPAWN_CTX.process(worker, ("x".to_owned(), 2)).start().unwrap();
    let listed = mp::active_children().iter().any(|child| child.pid() == p.pid());
    assert!(listed || p.done());
    p.join().unwrap();
    assert_eq!(mp::SpawnContext::new(), mp::MP_SPAWN_CTX);
}
