//! `wait` and `as_completed` over processes and threads.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{PipeReader, PipeWriter, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp::{ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, ReturnWhen, Worker};
use mp_context as mp;
use mp_reduction::DupFd;

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// Ends when the other end of its pipe is closed; fails if told so.
fn gated_target(gate: DupFd, fails: bool) -> mp::Result<()> {
    gate.into::<PipeReader>().read_to_end(&mut Vec::new())?;
    mp::ensure!(!fails, "told to fail");
    Ok(())
}

fn gated(fails: bool) -> (mp::Process<()>, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let builder = mp::Process::builder(gated_target, (reader.into(), fails)).on_failure(|_| ());
    (builder.start().unwrap(), writer)
}

fn names<W: Worker>(workers: &[W]) -> Vec<&str> {
    workers.iter().map(Worker::name).collect()
}

#[test]
fn w_01_w_02_all_completed_gives_everything_in_done() {
    let workers: Vec<_> = (0..3).map(|n| gated(n == 1)).collect();
    let (processes, gates): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
    drop(gates);
    let (done, not_done) = mp::wait(&processes, None, ALL_COMPLETED);
    assert_eq!(names(&done), names(&processes));
    assert!(not_done.is_empty());
    assert!(processes[1].join().is_err(), "the error is given by the member, not by wait");
}

#[test]
fn w_03_w_20_an_expired_timeout_is_no_error_and_takes_nothing_away() {
    let (p, gate) = gated(false);
    let (q, gate_of_q) = gated(false);
    drop(gate_of_q);
    q.join().unwrap();
    for _ in 0..2 {
        let begun = Instant::now();
        let (done, not_done) = mp::wait([&p, &q], Some(Duration::from_millis(30)), ALL_COMPLETED);
        assert!(begun.elapsed() >= Duration::from_millis(30));
        assert_eq!((names(&done), names(&not_done)), (vec![q.name()], vec![p.name()]));
    }
    drop(gate);
    let (done, _) = mp::wait([&p, &q], Some(LONG), ALL_COMPLETED);
    assert_eq!(done.len(), 2);
}

#[test]
fn w_04_first_completed_gives_all_that_ended_before() {
    let (p, _gate_of_p) = gated(false);
    let (q, gate_of_q) = gated(false);
    let (r, gate_of_r) = gated(true);
    drop(gate_of_q);
    let (done, not_done) = mp::wait([&p, &q, &r], Some(LONG), FIRST_COMPLETED);
    assert_eq!((names(&done), names(&not_done)), (vec![q.name()], vec![p.name(), r.name()]));
    drop(gate_of_r);
    let _ended = r.join();
    let (done, _) = mp::wait([&p, &q, &r], Some(LONG), FIRST_COMPLETED);
    assert_eq!(names(&done), [q.name(), r.name()]);
}

#[test]
fn w_05_w_06_w_12_first_exception() {
    let (ok, gate_of_ok) = gated(false);
    let (bad, gate_of_bad) = gated(true);
    let (slow, gate_of_slow) = gated(false);
    drop(gate_of_ok);
    ok.join().unwrap();
    let waiter = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (done, not_done) = mp::wait([&slow, &ok, &bad], Some(LONG), FIRST_EXCEPTION);
            (done.len(), names(&done) == [ok.name(), bad.name()], not_done.len())
        });
        drop(gate_of_bad);
        waiter.join().unwrap()
    });
    assert_eq!(waiter, (2, true, 1));
    // A failure that predates the call.
    let (done, _) = mp::wait([&slow, &bad], None, FIRST_EXCEPTION);
    assert_eq!(names(&done), [bad.name()]);
    // W-06: without any failure it waits for all.
    drop(gate_of_slow);
    let (done, not_done) = mp::wait([&slow, &ok], Some(LONG), FIRST_EXCEPTION);
    assert_eq!((done.len(), not_done.len()), (2, 0));
}

#[test]
fn w_07_w_08_duplicates_count_once_and_nothing_is_nothing() {
    let (p, gate) = gated(false);
    drop(gate);
    let (done, not_done) = mp::wait([&p, &p, &p], Some(LONG), ALL_COMPLETED);
    assert_eq!((done.len(), not_done.len()), (1, 0));
    assert_eq!(mp::as_completed([&p, &p], Some(LONG)).count(), 1);

    let none: [&mp::Process<()>; 0] = [];
    let (done, not_done) = mp::wait(none, None, FIRST_COMPLETED);
    assert!(done.is_empty() && not_done.is_empty());
    assert!(mp::as_completed(none, None).next().is_none());
}

#[test]
fn w_09_w_10_modes_by_name() {
    assert_eq!("first_Completed".parse::<ReturnWhen>().unwrap(), FIRST_COMPLETED);
    assert_eq!("ALL_COMPLETED".parse::<ReturnWhen>().unwrap(), ReturnWhen::default());
    let error = "ANY".parse::<ReturnWhen>().unwrap_err().to_string();
    assert!(error.contains("'ANY'") && error.contains("FIRST_EXCEPTION"), "{error}");
}

#[test]
fn w_11_processes_and_threads_of_every_form_mix() {
    let (p, gate) = gated(false);
    let t = Arc::new(mp::Thread::start(|| Ok("text")));
    drop(gate);
    let workers: Vec<Box<dyn Worker>> = vec![Box::new(p), Box::new(Arc::clone(&t))];
    let (done, _) = mp::wait(workers, Some(LONG), ALL_COMPLETED);
    assert_eq!(done.len(), 2);
    for worker in &done {
        assert!(worker.done());
        worker.join().unwrap();
    }
    assert_eq!(t.result().unwrap(), &"text");

    // A pair carries what belongs to its worker.
    let jobs = [1, 2, 3].map(|n| (mp::Thread::start(move || Ok(n * 10)), n));
    for done in mp::as_completed(jobs, Some(LONG)) {
        let (worker, n) = done.unwrap();
        assert_eq!(worker.into_result().unwrap(), n * 10);
    }
}

#[test]
fn w_13_w_14_as_completed_yields_in_the_order_of_the_ends() {
    let (a, gate_of_a) = gated(false);
    let (b, gate_of_b) = gated(false);
    let (c, gate_of_c) = gated(true);
    drop(gate_of_b);
    b.join().unwrap();
    let mut order = mp::as_completed([&a, &b, &c], Some(LONG));
    assert_eq!(order.next().unwrap().unwrap().name(), b.name());
    drop(gate_of_c);
    assert_eq!(order.next().unwrap().unwrap().name(), c.name());
    drop(gate_of_a);
    assert_eq!(order.next().unwrap().unwrap().name(), a.name());
    assert!(order.next().is_none());
}

#[test]
fn w_15_the_limit_of_as_completed_counts_for_the_whole_iteration() {
    let (a, _gate_of_a) = gated(false);
    let (b, gate_of_b) = gated(false);
    drop(gate_of_b);
    b.join().unwrap();
    for limit in [Duration::ZERO, Duration::from_millis(40)] {
        let begun = Instant::now();
        let mut order = mp::as_completed([&a, &b], Some(limit));
        assert_eq!(order.next().unwrap().unwrap().name(), b.name());
        let error = order.next().unwrap().unwrap_err();
        assert!(begun.elapsed() >= limit);
        assert_eq!(error.to_string(), "1 (of 2) workers unfinished");
        assert!(order.next().is_none());
    }
}

#[test]
fn w_16_a_hundred_members_that_end_at_the_same_instant() {
    for _ in 0..3 {
        let (reader, gate) = std::io::pipe().unwrap();
        let gate_end = DupFd::from(reader);
        let processes: Vec<_> = (0..100)
            .map(|_| {
                mp::Process::start(gated_target, (gate_end.try_clone().unwrap(), false)).unwrap()
            })
            .collect();
        drop(gate_end);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let (done, not_done) = mp::wait(&processes, Some(LONG), ALL_COMPLETED);
                    assert_eq!((done.len(), not_done.len()), (100, 0));
                });
                scope.spawn(|| {
                    let seen = mp::as_completed(&processes, Some(LONG)).filter(Result::is_ok);
                    assert_eq!(seen.count(), 100);
                });
            }
            drop(gate);
        });
    }
}

#[test]
fn w_17_what_was_yielded_is_not_held() {
    let (p, gate) = gated(false);
    drop(gate);
    let mut order = mp::as_completed([Arc::new(p)], Some(LONG));
    let yielded = order.next().unwrap().unwrap();
    assert_eq!(Arc::strong_count(&yielded), 1);
    drop(order);
}

#[test]
fn w_18_w_19_a_killed_member_is_done_and_has_an_exit_code() {
    for _ in 0..20 {
        let (p, _gate) = gated(false);
        p.kill();
        let (done, _) = mp::wait([&p], Some(LONG), FIRST_COMPLETED);
        assert_eq!(done.len(), 1);
        assert_eq!(p.exitcode(), Some(-9));
        assert!(p.join_timeout(Duration::ZERO).is_err());
    }
}

#[test]
fn an_end_is_noticed_within_5_ms_at_the_median_whatever_the_task_took() {
    fn until(lives: Duration) -> mp::Result<Duration> {
        std::thread::sleep(lives);
        Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?)
    }
    let mut late: Vec<Duration> = (0..41)
        .map(|n| {
            let lives = Duration::from_millis(if n % 4 == 0 { 300 } else { 3 });
            let p = mp::Process::start(until, (lives,)).unwrap();
            mp::wait([&p], None, FIRST_COMPLETED);
            let noticed = std::time::SystemTime::now();
            let ended = std::time::UNIX_EPOCH + *p.result().unwrap();
            noticed.duration_since(ended).unwrap_or_default()
        })
        .collect();
    late.sort();
    assert!(late[20] < Duration::from_millis(5), "{late:?}");
}
