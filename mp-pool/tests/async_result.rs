//! The handle of a task: asked, waited for, called back with, cancelled, and dropped, in every state.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mp::{
    ALL_COMPLETED, AsyncResult, Event, FIRST_COMPLETED, FIRST_EXCEPTION, Pool, PoolError,
    TaskOptions, Value, Worker,
};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::system::ends_within;

mp::enable_test_support!();

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn fails(n: u64) -> mp::Result<u64> {
    mp::bail!("no {n}")
}

/// Gives its number when it may; 0 fails.
fn held(n: u64, begun: Event, go: Event) -> mp::Result<u64> {
    begun.set();
    go.wait()?;
    mp::ensure!(n != 0, "it is 0");
    Ok(n)
}

/// A pool of one worker, which is busy until it may go on.
struct Busy {
    pool: Pool,
    begun: Event,
    go: Event,
    running: AsyncResult<u64>,
}

impl Busy {
    fn new() -> Busy {
        let (pool, begun, go) =
            (Pool::new(1).unwrap(), Event::new().unwrap(), Event::new().unwrap());
        let running = pool.apply_async(held, (1, begun.clone(), go.clone())).unwrap();
        assert!(begun.wait_timeout(LONG).unwrap());
        Busy { pool, begun, go, running }
    }

    /// A task that waits for the worker.
    fn pending(&self) -> AsyncResult<u64> {
        self.pool.apply_async(square, (2,)).unwrap()
    }
}

fn is_timeout<T>(outcome: Result<T, PoolError>) -> bool {
    matches!(outcome, Err(PoolError::Timeout))
}

fn is_cancelled<T>(outcome: Result<T, PoolError>) -> bool {
    matches!(outcome, Err(PoolError::Cancelled))
}

#[test]
fn pl_06_pl_07_f_05_f_06_a_task_that_is_not_ready_says_so_and_goes_on() {
    let busy = Busy::new();
    let pending = busy.pending();
    let mapped = busy.pool.map_async(square, 0..10).unwrap();
    for _ in 0..2 {
        assert!(is_timeout(takes_at_least(SHORT, || busy.running.get_timeout(SHORT))));
        assert!(is_timeout(takes_at_least(SHORT, || pending.get_timeout(SHORT))));
        assert!(is_timeout(mapped.get_timeout(Duration::ZERO)));
        assert!(is_timeout(busy.running.get_timeout(Duration::ZERO)));
        assert!(!takes_at_least(SHORT, || mapped.wait_timeout(SHORT)));
        assert!(!busy.running.wait_timeout(Duration::ZERO));
        assert!(!busy.running.ready() && !pending.ready() && !mapped.ready());
        assert_eq!(busy.running.successful(), None);
        assert_eq!(pending.successful(), None);
        assert_eq!(mapped.successful(), None);
    }
    assert!(format!("{pending:?}").contains("pending"), "{pending:?}");
    busy.go.set();
    for _ in 0..2 {
        assert_eq!(*busy.running.get().unwrap(), 1);
        assert_eq!(*pending.get_timeout(LONG).unwrap(), 4);
        assert_eq!(mapped.get_timeout(Duration::MAX).unwrap().len(), 10);
        assert_eq!(*pending.get_timeout(Duration::ZERO).unwrap(), 4);
        assert!(pending.wait_timeout(Duration::ZERO) && pending.ready());
        pending.wait();
    }
    assert_eq!(pending.successful(), Some(true));
    assert!(format!("{pending:?}").contains("finished"), "{pending:?}");
    assert!(pending.name().starts_with(busy.pool.name()), "{}", pending.name());
    assert!(std::ptr::eq(pending.get().unwrap(), pending.get().unwrap()));
    let failed = busy.pool.apply_async(fails, (1,)).unwrap();
    for _ in 0..2 {
        let error = failed.get().unwrap_err();
        assert_eq!(error.as_exception().unwrap().message(), "no 1");
    }
    assert_eq!(failed.successful(), Some(false));
    assert!(format!("{failed:?}").contains("failed"), "{failed:?}");
    assert_eq!(failed.into_result().unwrap_err().as_exception().unwrap().message(), "no 1");
}

#[test]
fn f_07_whoever_waits_is_woken_by_a_result_and_by_a_cancellation_from_another_thread() {
    let busy = Busy::new();
    let (pending, mapped) = (busy.pending(), busy.pool.map_async(square, 0..3).unwrap());
    std::thread::scope(|scope| {
        let waits = [(); 4].map(|()| scope.spawn(|| busy.running.get().copied()));
        let cancelled = [(); 2].map(|()| scope.spawn(|| pending.get().copied()));
        let also = scope.spawn(|| mapped.wait());
        assert!(!pending.wait_timeout(SHORT));
        assert!(pending.cancel());
        cancelled.into_iter().for_each(|waiter| assert!(is_cancelled(waiter.join().unwrap())));
        assert!(waits.iter().all(|waiter| !waiter.is_finished()) && !also.is_finished());
        busy.go.set();
        waits.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap().unwrap(), 1));
    });
    assert_eq!(*mapped.get().unwrap(), [0, 1, 4]);
}

#[test]
fn f_04_a_task_can_be_cancelled_until_it_has_begun() {
    let busy = Busy::new();
    let ran = Value::new(0_u64).unwrap();
    let counts = |ran: Value<u64>| Ok(ran.update(|ran| *ran += 1)?);
    let near = busy.pool.apply_async(counts, (ran.clone(),)).unwrap();
    // More than are on their way to a worker at a time.
    let many: Vec<_> =
        (0..500).map(|_| busy.pool.apply_async(counts, (ran.clone(),)).unwrap()).collect();
    assert!(!busy.running.cancel(), "it runs");
    assert!(!busy.running.ready());
    for task in many.iter().rev().chain([&near]) {
        assert!(task.cancel());
        assert!(task.ready() && task.successful() == Some(false));
        assert!(task.cancel(), "it is");
        assert!(is_cancelled(task.get()) && is_cancelled(task.get_timeout(Duration::ZERO)));
    }
    let last = busy.pool.apply_async(counts, (ran.clone(),)).unwrap();
    busy.go.set();
    assert_eq!(*busy.running.get().unwrap(), 1);
    last.get().unwrap();
    assert!(!last.cancel() && !busy.running.cancel(), "they have finished");
    last.get().unwrap();
    assert_eq!(ran.get().unwrap(), 1, "none that was cancelled has run");
    let failed = busy.pool.apply_async(fails, (1,)).unwrap();
    failed.wait();
    assert!(!failed.cancel());
    assert!(failed.get().unwrap_err().as_exception().is_some());
    busy.pool.close();
    assert!(!last.cancel());
    busy.pool.join().unwrap();
}

#[test]
fn f_04_cancelling_a_map_ends_it_when_the_chunks_that_have_begun_are_finished() {
    let pool = Pool::new(1).unwrap();
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let ran = Value::new(0_u64).unwrap();
    let counts = |begun: Event, go: Event, ran: Value<u64>| {
        ran.update(|ran| *ran += 1)?;
        held(1, begun, go)
    };
    let items: Vec<_> = (0..20).map(|_| (begun.clone(), go.clone(), ran.clone())).collect();
    let calls = pool.with_options(TaskOptions::new().chunksize(1));
    let mapped = calls.starmap_async(counts, items).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    assert!(mapped.cancel());
    assert!(!mapped.wait_timeout(SHORT), "the first chunk runs");
    go.set();
    assert!(is_cancelled(mapped.get_timeout(LONG)));
    assert_eq!(ran.get().unwrap(), 1);
    assert!(mapped.cancel());
    let finished = pool.map_async(square, 0..5).unwrap();
    finished.wait();
    assert!(!finished.cancel() && finished.get().is_ok());
}

#[test]
fn terminate_ends_a_task_whatever_it_is_at_and_touches_no_other() {
    let pool = Pool::new(2).unwrap();
    let (begun, never) = (Event::new().unwrap(), Event::new().unwrap());
    let (other_begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let other = pool.apply_async(held, (2, other_begun.clone(), go.clone())).unwrap();
    assert!(other_begun.wait_timeout(LONG).unwrap());
    let running = pool.apply_async(held, (3, begun.clone(), never.clone())).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let pending = pool.apply_async(square, (3,)).unwrap();
    let before = pool.worker_pids();
    at_once(|| pending.terminate());
    assert!(is_cancelled(pending.get_timeout(Duration::ZERO)), "it had not begun");
    assert!(!running.cancel());
    at_once(|| running.terminate());
    assert!(is_cancelled(at_once(|| running.get())));
    running.terminate();
    assert!(comes_true(|| {
        let now = pool.worker_pids();
        now.len() == 2 && now.iter().filter(|pid| before.contains(pid)).count() == 1
    }));
    assert_eq!(pool.map(square, 0..10).unwrap().len(), 10);
    go.set();
    assert_eq!(*other.get().unwrap(), 2);
    other.terminate();
    assert_eq!(*other.get().unwrap(), 2, "it has a result");
    // A map ends with all its chunks.
    let begun = Event::new().unwrap();
    let items: Vec<_> = (0..10).map(|n| (n, begun.clone(), never.clone())).collect();
    let mapped = pool.starmap_async(held, items).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    mapped.terminate();
    assert!(is_cancelled(at_once(|| mapped.get())));
    assert_eq!(pool.map(square, 0..10).unwrap().len(), 10);
}

#[test]
fn terminate_ends_the_processes_that_the_task_has_started() {
    let starts = |pid: Value<u32>, begun: Event| {
        let child = std::process::Command::new("sleep").arg("1000").spawn()?;
        pid.set(child.id())?;
        held(1, begun, Event::new()?)
    };
    let pool = Pool::new(1).unwrap();
    let (pid, begun) = (Value::new(0).unwrap(), Event::new().unwrap());
    let task = pool.apply_async(starts, (pid.clone(), begun.clone())).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let pid = pid.get().unwrap();
    assert!(!ends_within(pid, Duration::ZERO).unwrap());
    task.terminate();
    assert!(is_cancelled(task.get()));
    assert!(ends_within(pid, LONG).unwrap());
}

/// Has what the task gave sent; texts for errors.
fn report_to<R: Clone + Send + 'static>(
    sender: &mpsc::Sender<Result<R, String>>,
) -> impl FnOnce(&Result<R, PoolError>) + Send + 'static {
    let sender = sender.clone();
    move |outcome| sender.send(outcome.clone().map_err(|error| error.to_string())).unwrap()
}

#[test]
fn pl_03_f_01_callbacks_are_called_once_with_the_outcome_before_whoever_waits_goes_on() {
    let busy = Busy::new();
    let (sender, told) = mpsc::channel();
    for _ in 0..3 {
        busy.running.on_done(report_to(&sender));
    }
    let (list_sender, list_told) = mpsc::channel();
    let mapped = busy.pool.map_async(square, 0..5).unwrap();
    mapped.on_done(report_to(&list_sender));
    let failed = busy.pool.apply_async(fails, (8,)).unwrap();
    let (failed_sender, failed_told) = mpsc::channel();
    failed.on_done(report_to(&failed_sender));
    let cancelled = busy.pending();
    let (cancelled_sender, cancelled_told) = mpsc::channel();
    cancelled.on_done(report_to(&cancelled_sender));
    assert!(told.try_recv().is_err());
    assert!(cancelled.cancel());
    assert!(is_cancelled(cancelled.get()));
    assert_eq!(cancelled_told.try_recv().unwrap(), Err("the task was cancelled".to_owned()));
    busy.go.set();
    assert_eq!(*busy.running.get().unwrap(), 1);
    let three: Vec<_> = told.try_iter().collect();
    assert_eq!(three, [Ok(1), Ok(1), Ok(1)], "before get returns");
    mapped.wait();
    assert_eq!(list_told.try_recv().unwrap(), Ok(vec![0, 1, 4, 9, 16]));
    assert!(failed.wait_timeout(LONG));
    assert_eq!(failed_told.try_recv().unwrap(), Err("the task failed: no 8".to_owned()));
    drop((sender, list_sender, failed_sender, cancelled_sender));
    assert!(told.recv().is_err() && list_told.recv().is_err(), "and never again");
    assert!(failed_told.recv().is_err() && cancelled_told.recv().is_err());
}

#[test]
fn f_02_a_callback_that_is_added_late_is_called_at_once_by_whoever_adds_it() {
    let pool = Pool::new(1).unwrap();
    let finished = pool.apply_async(square, (3,)).unwrap();
    let failed = pool.apply_async(fails, (3,)).unwrap();
    finished.wait();
    failed.wait();
    let here = std::thread::current().id();
    for task in [&finished, &failed] {
        let (sender, told) = mpsc::channel();
        task.on_done(move |outcome| {
            sender.send((std::thread::current().id(), outcome.is_ok())).unwrap();
        });
        assert_eq!(told.try_recv().unwrap(), (here, task.successful().unwrap()));
    }
    assert_eq!(*finished.get().unwrap(), 9, "it is still there");
    assert_eq!(finished.into_result().unwrap(), 9);
}

#[test]
fn f_01_callbacks_come_also_when_the_handle_is_dropped_and_when_the_pool_ends() {
    let busy = Busy::new();
    let (sender, told) = mpsc::channel();
    let pending = busy.pending();
    pending.on_done(report_to(&sender));
    drop(pending);
    busy.go.set();
    assert_eq!(told.recv_timeout(LONG).unwrap(), Ok(4));

    let busy = Busy::new();
    let Busy { pool, running, .. } = busy;
    running.on_done(report_to(&sender));
    drop(pool);
    let text = told.try_recv().unwrap().unwrap_err();
    assert!(text.contains("terminated"), "{text}");

    // Join waits for them.
    let busy = Busy::new();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    busy.running.on_done(move |_| {
        std::thread::sleep(SHORT);
        count.fetch_add(1, SeqCst);
    });
    busy.go.set();
    busy.pool.close();
    busy.pool.join().unwrap();
    assert_eq!(done.load(SeqCst), 1);
}

#[test]
fn a_callback_may_submit_tasks_and_wait_for_tasks_without_callbacks() {
    let pool = Arc::new(Pool::new(2).unwrap());
    let go = Event::new().unwrap();
    let first = pool.apply_async(held, (5, Event::new().unwrap(), go.clone())).unwrap();
    let without = pool.apply_async(held, (6, Event::new().unwrap(), go.clone())).unwrap();
    let (sender, told) = mpsc::channel();
    let its_pool = Arc::clone(&pool);
    first.on_done(move |outcome| {
        let n = *outcome.as_ref().unwrap();
        let one = its_pool.apply(square, (n,)).unwrap();
        let later = its_pool.apply_async(square, (n + 1,)).unwrap();
        let mapped = its_pool.map(square, 0..n).unwrap();
        let read = its_pool.imap(square, 0..n).unwrap().count();
        let sum = *later.get().unwrap() + *without.get().unwrap();
        sender.send((one, sum, mapped.len(), read)).unwrap();
    });
    go.set();
    assert_eq!(told.recv_timeout(LONG).unwrap(), (25, 36 + 6, 5, 5));
    assert_eq!(*first.get().unwrap(), 5);
}

#[test]
fn a_callback_that_would_wait_for_itself_is_told_so() {
    let pool = Arc::new(Pool::new(2).unwrap());
    let (go, later_go) = (Event::new().unwrap(), Event::new().unwrap());
    let task = pool.apply_async(held, (5, Event::new().unwrap(), go.clone())).unwrap();
    let (task, its_pool) = (Arc::new(task), Arc::clone(&pool));
    let also = pool.apply_async(held, (6, Event::new().unwrap(), later_go.clone())).unwrap();
    let also = Arc::new(also);
    also.on_done(|_| ());
    let (sender, told) = mpsc::channel();
    let (itself, other) = (Arc::downgrade(&task), Arc::clone(&also));
    task.on_done(move |_| {
        let is_refused =
            |outcome: Result<&u64, PoolError>| matches!(outcome, Err(PoolError::InCallback));
        let itself = itself.upgrade().unwrap();
        sender.send(is_refused(itself.get())).unwrap();
        sender.send(is_refused(itself.get_timeout(LONG))).unwrap();
        sender.send(is_refused(other.get())).unwrap();
        later_go.set();
        its_pool.close();
        sender.send(matches!(its_pool.join(), Err(PoolError::InCallback))).unwrap();
    });
    go.set();
    for _ in 0..4 {
        assert!(told.recv_timeout(LONG).unwrap());
    }
    assert_eq!(*task.get().unwrap(), 5);
    assert_eq!(*also.get().unwrap(), 6);
    pool.join().unwrap();
}

#[test]
fn a_pool_may_be_dropped_by_a_callback() {
    let busy = Busy::new();
    let Busy { pool, go, running, .. } = busy;
    let pids = pool.worker_pids();
    let (sender, told) = mpsc::channel();
    running.on_done(move |_| {
        drop(pool);
        sender.send(()).unwrap();
    });
    go.set();
    told.recv_timeout(LONG).unwrap();
    assert_eq!(*running.get().unwrap(), 1);
    assert!(pids.iter().all(|pid| ends_within(*pid, LONG).unwrap()));
}

#[test]
fn f_09_wait_and_as_completed_take_tasks_processes_and_threads_together() {
    let pool = Pool::new(2).unwrap();
    let gates: Vec<Event> = (0..4).map(|_| Event::new().unwrap()).collect();
    let event = || Event::new().unwrap();
    let task = pool.apply_async(held, (1, event(), gates[0].clone())).unwrap();
    let process = mp::Process::start(held, (2, event(), gates[1].clone())).unwrap();
    let gate = gates[2].clone();
    let thread = mp::Thread::start(move || held(3, Event::new()?, gate));
    let failing = pool.apply_async(held, (0, event(), gates[3].clone())).unwrap();
    let cancelled = pool.apply_async(square, (9,)).unwrap();
    let all: [&dyn Worker; 5] = [&task, &process, &thread, &failing, &cancelled];

    let (done, not_done) = mp::wait(all, Some(SHORT), ALL_COMPLETED);
    assert_eq!((done.len(), not_done.len()), (0, 5));
    let mut order = mp::as_completed(all, Some(LONG));
    assert!(cancelled.cancel());
    assert_eq!(order.next().unwrap().unwrap().name(), cancelled.name());
    gates[1].set();
    assert_eq!(order.next().unwrap().unwrap().name(), process.name());
    gates[0].set();
    assert_eq!(order.next().unwrap().unwrap().name(), task.name());
    let (done, _) = mp::wait(all, Some(LONG), FIRST_COMPLETED);
    assert_eq!(done.len(), 3);
    gates[3].set();
    assert_eq!(order.next().unwrap().unwrap().name(), failing.name());
    let failures: [&dyn Worker; 2] = [&failing, &thread];
    let (done, not_done) = mp::wait(failures, Some(LONG), FIRST_EXCEPTION);
    assert_eq!((done.len(), not_done.len()), (1, 1));
    gates[2].set();
    assert_eq!(order.next().unwrap().unwrap().name(), thread.name());
    assert!(order.next().is_none());
    let (done, not_done) = mp::wait(all, Some(LONG), ALL_COMPLETED);
    assert_eq!((done.len(), not_done.len()), (5, 0));
    assert!(task.join().is_ok() && failing.join().is_err() && cancelled.join().is_err());
    // Tasks that end by themselves, many at once.
    let tasks: Vec<_> = (0..200).map(|n| pool.apply_async(square, (n,)).unwrap()).collect();
    let mut sum = 0;
    for task in mp::as_completed(&tasks, Some(LONG)) {
        sum += task.unwrap().get().unwrap();
    }
    assert_eq!(sum, (0..200).map(|n| n * n).sum::<u64>());
}

#[test]
fn dropping_a_handle_changes_nothing_for_its_task() {
    let busy = Busy::new();
    let ran = Value::new(0_u64).unwrap();
    let counts = |ran: Value<u64>| Ok(ran.update(|ran| *ran += 1)?);
    for _ in 0..100 {
        drop(busy.pool.apply_async(counts, (ran.clone(),)).unwrap());
    }
    drop(busy.pool.map_async(counts, vec![ran.clone(); 50]).unwrap());
    let mut read = busy.pool.imap(counts, vec![ran.clone(); 10]).unwrap();
    assert!(read.next_timeout(Duration::ZERO).is_err());
    drop(read);
    assert!(busy.begun.is_set());
    busy.go.set();
    drop(busy.running);
    busy.pool.close();
    busy.pool.join().unwrap();
    assert_eq!(ran.get().unwrap(), 160);
}

#[test]
fn a_handle_can_be_used_and_dropped_after_its_pool() {
    let (finished, failed, running);
    {
        let busy = Busy::new();
        running = busy.running;
        busy.go.set();
        finished = busy.pool.apply_async(square, (3,)).unwrap();
        failed = busy.pool.apply_async(fails, (3,)).unwrap();
        finished.wait();
        failed.wait();
    }
    assert_eq!(*finished.get().unwrap(), 9);
    assert!(failed.get().unwrap_err().as_exception().is_some());
    assert_eq!(running.into_result().unwrap(), 1);
    let (sender, told) = mpsc::channel();
    finished.on_done(report_to(&sender));
    assert_eq!(told.try_recv().unwrap(), Ok(9));
    assert!(!finished.cancel());
    finished.terminate();
    drop(finished);
}

/// The same outcome in every form, also after `late` has come.
fn keeps(task: &AsyncResult<u64>, late: impl FnOnce()) -> Result<u64, String> {
    let outcome = || {
        assert_eq!(task.successful(), Some(task.get().is_ok()));
        assert!(task.ready() && task.wait_timeout(Duration::ZERO));
        task.get_timeout(Duration::ZERO).copied().map_err(|error| error.to_string())
    };
    let first = outcome();
    late();
    task.cancel();
    task.terminate();
    assert_eq!(outcome(), first);
    first
}

#[test]
fn f_08_the_first_outcome_stays() {
    const CANCELLED: &str = "the task was cancelled";
    const LIMIT: Duration = Duration::from_millis(20);
    let busy = Busy::new();
    let pending = busy.pending();
    assert!(pending.cancel());
    let free_the_worker = || {
        busy.go.set();
        assert_eq!(busy.pool.apply(square, (3,)).unwrap(), 9);
    };
    assert_eq!(keeps(&pending, free_the_worker), Err(CANCELLED.to_owned()));
    assert_eq!(keeps(&busy.running, || busy.pool.terminate()), Ok(1));

    // What a task ends with comes late: it is held until it has had its time, or was ended.
    let pool = Pool::new(1).unwrap();
    for is_terminated in [false, true] {
        let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
        let options = TaskOptions::new().timeout(if is_terminated { LONG } else { LIMIT });
        let calls = pool.with_options(options);
        let task = calls.apply_async(held, (1, begun.clone(), go.clone())).unwrap();
        assert!(begun.wait_timeout(LONG).unwrap());
        if is_terminated {
            task.terminate();
        }
        task.wait();
        let lets_it_go_on = || {
            go.set();
            assert_eq!(pool.apply(square, (3,)).unwrap(), 9);
        };
        let expected =
            if is_terminated { CANCELLED } else { "the task was ended at its time limit" };
        assert_eq!(keeps(&task, lets_it_go_on), Err(expected.to_owned()));
    }

    // All three come at about the same time.
    let naps = |micros: u64| {
        std::thread::sleep(Duration::from_micros(micros));
        Ok(micros)
    };
    for round in 0..60_u64 {
        let [micros, before_the_end] = [19_000 + 50 * (round % 40), 18_000 + 60 * (round % 50)];
        let calls = pool.with_options(TaskOptions::new().timeout(LIMIT));
        let task = calls.apply_async(naps, (micros,)).unwrap();
        let (sender, told) = mpsc::channel();
        task.on_done(report_to(&sender));
        drop(sender);
        std::thread::sleep(Duration::from_micros(before_the_end));
        task.terminate();
        task.wait();
        let first = keeps(&task, || assert_eq!(pool.apply(square, (3,)).unwrap(), 9));
        assert_eq!(told.iter().collect::<Vec<_>>(), [first], "round {round}");
    }
}
