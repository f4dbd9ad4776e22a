//! What of the catalogue no other file shows: what needs several crates at once, or is seen by its absence.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::marker::PhantomData;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use mp::{Connection, Event, Queue, RemoteException, ShareableItem};
use mp_testing::limits::{LONG, alone};
use mp_testing::system::{children_of, ends_within};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

fn sets(event: Event) -> mp::Result<()> {
    event.set();
    Ok(())
}

#[test]
fn p_01_what_is_built_and_not_started_does_not_run() {
    alone(|| {
        let (never, event) = (Event::new()?, Event::new()?);
        let builder = mp::Process::builder(sets, (never.clone(),));
        mp::ensure!(mp::active_children().is_empty());
        mp::ensure!(children_of(std::process::id()).is_empty());
        drop(builder);
        mp::Process::builder(sets, (event.clone(),)).start()?.join()?;
        mp::ensure!(event.is_set() && !never.is_set());
        Ok(())
    });
}

#[test]
fn p_10_two_processes_may_have_one_name() {
    let name = || Ok(mp::current_process().name().to_owned());
    let twins = [(); 2].map(|()| mp::Process::builder(name, ()).name("twin").start().unwrap());
    for twin in &twins {
        assert_eq!((twin.name(), twin.result().unwrap().as_str()), ("twin", "twin"));
    }
    assert_ne!(twins[0].pid(), twins[1].pid());
}

#[test]
fn p_16_p_17_a_target_that_does_nothing_ends_with_0_and_gives_nothing() {
    let p = mp::Process::start(|| Ok(()), ()).unwrap();
    assert_eq!(p.result().unwrap(), &());
    assert!(p.join().is_ok() && p.exception().unwrap().is_none());
    assert_eq!(p.exitcode(), Some(0));
}

/// Tells at compile time what a type is: the constants of the type itself go before those of [`Otherwise`].
struct Probe<T>(PhantomData<T>);

impl<T: Serialize> Probe<T> {
    const TRAVELS: bool = true;
}

impl<T: Clone> Probe<T> {
    const IS_CLONE: bool = true;
}

impl<T: mp::Worker> Probe<T> {
    const IS_WORKER: bool = true;
}

impl<T: Into<ShareableItem>> Probe<T> {
    const IS_ITEM: bool = true;
}

trait Otherwise {
    const TRAVELS: bool = false;
    const IS_CLONE: bool = false;
    const IS_WORKER: bool = false;
    const IS_ITEM: bool = false;
}

impl<T> Otherwise for Probe<T> {}

/// Methods that a type may lack: its own would be taken before these.
mod missing {
    #[derive(Debug, PartialEq)]
    pub(super) struct Absent;

    macro_rules! missing {
        ($($method:ident($($argument:ty)?)),* $(,)?) => {
            pub(super) trait Missing {
                $(fn $method(&self $(, _: $argument)?) -> Absent { Absent })*
            }
        };
    }

    missing!(pid(), is_alive(), join(), result(), exception(), terminate(), kill(), push(i64));

    impl<T> Missing for T {}
}

#[test]
fn p_02_p_12_p_13_p_14_p_15_p_97_there_is_nothing_to_ask_before_the_start_and_one_start() {
    use missing::{Absent, Missing};
    type Builder = mp::ProcessBuilder<fn() -> mp::Result<u8>, ()>;

    let builder = mp::Process::builder(|| Ok(1_u8), ());
    assert_eq!([builder.pid(), builder.is_alive(), builder.join()], [Absent, Absent, Absent]);
    assert_eq!([builder.result(), builder.exception()], [Absent, Absent]);
    assert_eq!([builder.terminate(), builder.kill()], [Absent, Absent]);
    let can_be_waited_for = [Probe::<Builder>::IS_WORKER, Probe::<mp::Process<u8>>::IS_WORKER];
    assert_eq!(can_be_waited_for, [false, true]);
    let thread = mp::Thread::builder(|| Ok(1_u8));
    assert_eq!([thread.is_alive(), thread.join()], [Absent, Absent]);
    assert_eq!([thread.result(), thread.exception()], [Absent, Absent]);
    // What is given away and has no copy is started once.
    fn give_away<B, T>(builder: B, start: impl FnOnce(B) -> T) -> T {
        start(builder)
    }
    assert_eq!([Probe::<Builder>::IS_CLONE, Probe::<Queue<u8>>::IS_CLONE], [false, true]);
    let p = give_away(builder, mp::ProcessBuilder::start).unwrap();
    assert!(p.pid() > 0);
    assert_eq!(p.result().unwrap(), &1);
}

#[test]
fn p_21_a_handle_of_a_process_does_not_travel_and_one_of_a_queue_does() {
    let travels = [Probe::<Queue<u8>>::TRAVELS, Probe::<mp::Process<u8>>::TRAVELS];
    assert_eq!(travels, [true, false]);
    assert_eq!([Probe::<mp::Thread<u8>>::TRAVELS, Probe::<mp::AuthKey>::TRAVELS], [false; 2]);
}

#[test]
fn sl_12_a_list_has_items_of_its_kinds_only_and_keeps_its_length() {
    use missing::{Absent, Missing};
    let items = [Probe::<i64>::IS_ITEM, Probe::<&str>::IS_ITEM, Probe::<Option<f64>>::IS_ITEM];
    assert_eq!(items, [true; 3]);
    let others = [Probe::<u64>::IS_ITEM, Probe::<i128>::IS_ITEM, Probe::<Vec<i64>>::IS_ITEM];
    assert_eq!(others, [false; 3]);
    let list = mp::ShareableList::new([1_i64]).unwrap();
    assert_eq!(list.push(2), Absent);
    let sets = |list: mp::ShareableList| Ok(list.set(0, i64::MIN)?);
    mp::Process::start(sets, (list.clone(),)).unwrap().join().unwrap();
    assert_eq!(list.get(0).unwrap(), ShareableItem::Int(i64::MIN));
    assert_eq!(list.len(), 1);
}

#[test]
fn the_context_makes_every_object_and_a_child_uses_them() {
    const CONTEXT: mp::SpawnContext = mp::MP_SPAWN_CTX;
    type Locks = (mp::Lock, mp::RLock, mp::Semaphore, mp::BoundedSemaphore, mp::Condition);
    type Queues = (Queue<u8>, mp::JoinableQueue<u8>, mp::SimpleQueue<u8>);
    type Values = (mp::Value<u8>, mp::Array<u8>, mp::RawValue<u8>, mp::RawArray<u8>);

    fn makes(
        barrier: mp::Barrier,
        event: Event,
    ) -> mp::Result<(Locks, Queues, Values, Connection)> {
        let (receiver, sender) = CONTEXT.pipe(false)?;
        sender.send(&1_u8)?;
        let locks = (
            CONTEXT.lock()?,
            CONTEXT.rlock()?,
            CONTEXT.semaphore(2)?,
            CONTEXT.bounded_semaphore(3)?,
            CONTEXT.condition()?,
        );
        let queues = (CONTEXT.queue(4)?, CONTEXT.joinable_queue(5)?, CONTEXT.simple_queue()?);
        queues.0.put(&6)?;
        queues.1.put(&7)?;
        queues.2.put(&8)?;
        let values = (
            CONTEXT.value(9)?,
            CONTEXT.array(&[10])?,
            CONTEXT.raw_value(11)?,
            CONTEXT.raw_array(&[12])?,
        );
        barrier.wait()?;
        event.wait()?;
        Ok((locks, queues, values, receiver))
    }
    let (barrier, event) = (CONTEXT.barrier(2).unwrap(), CONTEXT.event().unwrap());
    let p = CONTEXT.process(makes, (barrier.clone(), event.clone())).start().unwrap();
    assert!(CONTEXT.active_children().iter().any(|child| child.pid() == p.pid()));
    barrier.wait().unwrap();
    event.set();
    let (locks, queues, values, receiver) = p.into_result().unwrap();
    drop((locks.0.acquire().unwrap(), locks.1.acquire().unwrap(), locks.4.acquire().unwrap()));
    assert_eq!((locks.2.get_value(), locks.3.get_value(), locks.3.bound()), (2, 3, 3));
    assert_eq!((queues.0.maxsize(), queues.1.maxsize()), (4, 5));
    let got = [queues.0.get().unwrap(), queues.1.get().unwrap(), queues.2.get().unwrap()];
    assert_eq!(got, [6, 7, 8]);
    assert_eq!((values.0.get().unwrap(), values.1.to_vec().unwrap()), (9, vec![10]));
    assert_eq!((values.2.get(), values.3.to_vec()), (11, vec![12]));
    assert_eq!(receiver.recv::<u8>().unwrap(), 1);
    assert_eq!(CONTEXT.get_start_method(), "spawn");
    assert_eq!(CONTEXT.current_process().pid(), std::process::id());
    assert!(CONTEXT.parent_process().is_none() && CONTEXT.cpu_count() > 0);
    assert_eq!(*CONTEXT.thread(|| Ok(13)).start().result().unwrap(), 13);
}

#[test]
fn p_41_a_child_hands_its_queue_to_a_child_of_its_own() {
    fn inner(queue: Queue<u32>) -> mp::Result<()> {
        Ok(queue.put(&1)?)
    }
    fn outer(queue: Queue<u32>) -> mp::Result<()> {
        let p = mp::Process::start(inner, (queue.clone(),))?;
        queue.put(&2)?;
        Ok(p.join()?)
    }
    let queue = Queue::new().unwrap();
    let p = mp::Process::start(outer, (queue.clone(),)).unwrap();
    let mut got = [(); 2].map(|()| queue.get_timeout(LONG).unwrap());
    got.sort_unstable();
    assert_eq!(got, [1, 2]);
    p.join().unwrap();
    assert!(queue.is_empty());
}

/// A process with a state: the same value has one end here and the other there.
#[derive(Serialize, Deserialize)]
struct UpperCaser {
    there: Connection,
    stop: Option<String>,
}

impl UpperCaser {
    fn run(self) -> mp::Result<u32> {
        let mut answers = 0;
        loop {
            let text: Option<String> = self.there.recv()?;
            if text == self.stop {
                return Ok(answers);
            }
            self.there.send(&text.unwrap().to_uppercase())?;
            answers += 1;
        }
    }
}

#[test]
fn p_74_a_type_with_a_run_method_carries_its_state_into_the_process() {
    let (here, there) = mp::Pipe::duplex().unwrap();
    let p = mp::Process::start(UpperCaser::run, (UpperCaser { there, stop: None },)).unwrap();
    for (text, answer) in [("hello", "HELLO"), ("world", "WORLD")] {
        here.send(&Some(text)).unwrap();
        assert_eq!(here.recv::<String>().unwrap(), answer);
    }
    here.send(&None::<String>).unwrap();
    assert_eq!(p.into_result().unwrap(), 2);
}

#[test]
fn p_79_q_33_a_queue_is_made_and_used_while_a_static_is_initialised() {
    static LATE: LazyLock<Queue<u32>> = LazyLock::new(|| {
        let queue = Queue::new().unwrap();
        let fill = |queue: Queue<u32>| Ok(queue.put(&41)?);
        mp::Process::start(fill, (queue.clone(),)).unwrap().join().unwrap();
        let got = queue.get_timeout(LONG).unwrap();
        queue.put(&(got + 1)).unwrap();
        queue
    });
    let p = mp::Process::start(|| Ok(LATE.get()?), ()).unwrap();
    assert_eq!(p.into_result().unwrap(), 42, "in the child it is another one");
    assert_eq!(LATE.get().unwrap(), 42);
}

struct SetsWhenDropped(Event);

impl Drop for SetsWhenDropped {
    fn drop(&mut self) {
        self.0.set();
    }
}

#[test]
fn p_88_sg_14_terminate_cleans_nothing_up_in_the_child_and_says_that_it_was_terminated() {
    fn sleeps(told: Queue<u32>) -> mp::Result<()> {
        told.put(&std::process::id())?;
        loop {
            std::thread::park();
        }
    }
    fn guarded(told: Queue<u32>, cleaned: Event) -> mp::Result<u32> {
        let _guard = SetsWhenDropped(cleaned);
        mp::Process::start(sleeps, (told,))?.join()?;
        Ok(1)
    }
    let (told, cleaned) = (Queue::new().unwrap(), Event::new().unwrap());
    let p = mp::Process::start(guarded, (told.clone(), cleaned.clone())).unwrap();
    let grandchild = told.get_timeout(LONG).unwrap();
    p.terminate();
    let (done, _) = mp::wait([&p], Some(LONG), mp::ALL_COMPLETED);
    assert_eq!((done.len(), p.exitcode()), (1, Some(-15)));
    for error in [p.join().unwrap_err(), p.result().unwrap_err(), p.exception().unwrap_err()] {
        assert!(matches!(error, mp::ProcessError::Signaled { signal: 15, .. }), "{error}");
    }
    // DIFFERENCE from SG-14: its own children end with it, and are no orphans.
    assert!(ends_within(grandchild, LONG).unwrap());
    assert!(!cleaned.is_set());
}

#[test]
fn p_95_a_failing_daemon_prints_its_trace() {
    let fails = || -> mp::Result<()> { mp::bail!("the daemon fails") };
    let p = mp::Process::builder(fails, ())
        .name("watchful")
        .daemon(true)
        .stderr(Stdio::piped())
        .start()
        .unwrap();
    let mut text = String::new();
    p.take_stderr().unwrap().read_to_string(&mut text).unwrap();
    assert!(p.join().is_err());
    for part in
        ["watchful", "Traceback (most recent call last)", "the daemon fails", "catalogue_rest"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

// DIFFERENCE from SG-09: Python's `close` refuses it; the child is unharmed in both.
#[test]
fn sg_09_a_running_child_does_not_notice_that_its_handle_is_dropped() {
    fn goes_on(go: Event, done: Event) -> mp::Result<()> {
        go.wait()?;
        done.set();
        Ok(())
    }
    let (go, done) = (Event::new().unwrap(), Event::new().unwrap());
    drop(mp::Process::start(goes_on, (go.clone(), done.clone())).unwrap());
    assert!(!done.is_set());
    go.set();
    assert!(done.wait_timeout(LONG).unwrap());
}

// DIFFERENCE from SG-10: nothing is closed; a handle answers until it is dropped, and then no call of it compiles.
#[test]
fn sg_10_the_handle_of_a_child_that_was_joined_answers_every_call() {
    let p = mp::Process::builder(|| Ok(5), ()).name("ended").daemon(true).start().unwrap();
    let pid = p.pid();
    for _ in 0..2 {
        p.join().unwrap();
        assert!(p.join_timeout(Duration::ZERO).unwrap());
        assert_eq!((p.is_alive(), p.done(), p.exitcode(), p.pid()), (false, true, Some(0), pid));
        assert_eq!((p.name(), p.is_daemon(), p.result().unwrap()), ("ended", true, &5));
        p.terminate();
        p.kill();
        assert_eq!(mp::connection::wait(&[&p], Some(Duration::ZERO)).unwrap(), [0]);
    }
}

#[test]
fn t_16_t_17_threads_use_what_processes_use() {
    let (here, there) = mp::Pipe::duplex().unwrap();
    let tasks = mp::JoinableQueue::<u32>::new().unwrap();
    let (sum, start) = (mp::Value::new(0_u32).unwrap(), mp::Barrier::new(3).unwrap());
    let seen = Queue::<u32>::new().unwrap();
    let threads = [(); 2].map(|()| {
        let (tasks, sum, start, seen) = (tasks.clone(), sum.clone(), start.clone(), seen.clone());
        let adds = move || -> mp::Result<u32> {
            start.wait()?;
            let mut got = 0;
            loop {
                let n = tasks.get()?;
                if n > 0 {
                    sum.update(|sum| *sum += n)?;
                    seen.put(&n)?;
                    got += 1;
                }
                tasks.task_done()?;
                if n == 0 {
                    return Ok(got);
                }
            }
        };
        mp::Thread::builder(adds).name("adder").start()
    });
    assert!(threads.iter().all(|t| t.is_alive() && !t.done() && t.name() == "adder"));
    // DIFFERENCE from T-16: the active children are processes; Python's twin lists its threads.
    assert!(mp::active_children().iter().all(|child| child.name() != "adder"));
    start.wait().unwrap();
    for n in (1..=10).chain([0, 0]) {
        tasks.put(&n).unwrap();
    }
    tasks.join().unwrap();
    assert_eq!(sum.get().unwrap(), 55);
    assert_eq!((0..10).map(|_| seen.get().unwrap()).sum::<u32>(), 55);
    assert_eq!(threads.map(|t| *t.result().unwrap()).iter().sum::<u32>(), 10);

    let echo = mp::Thread::start(move || -> mp::Result<()> {
        let text: String = there.recv()?;
        Ok(there.send(&text)?)
    });
    assert!(!here.poll(Some(Duration::ZERO)).unwrap());
    here.send("there and back").unwrap();
    assert!(here.poll(Some(LONG)).unwrap());
    assert_eq!(here.recv::<String>().unwrap(), "there and back");
    echo.join().unwrap();
}

#[test]
fn f_10_a_result_shows_its_state_as_text() {
    fn waits(go: Event, n: u32) -> mp::Result<u32> {
        go.wait()?;
        mp::ensure!(n > 0, "nothing");
        Ok(n)
    }
    let (pool, go) = (mp::Pool::new(1).unwrap(), Event::new().unwrap());
    let good = pool.apply_async(waits, (go.clone(), 1)).unwrap();
    let bad = pool.apply_async(waits, (go.clone(), 0)).unwrap();
    assert!(format!("{good:?}").ends_with("pending>"), "{good:?}");
    go.set();
    good.wait();
    bad.wait();
    assert!(format!("{good:?}").ends_with("finished>"), "{good:?}");
    assert!(format!("{bad:?}").ends_with("failed>"), "{bad:?}");
}

// DIFFERENCE from X-22: Python's worker prints the trace unless it is told not to; here the caller has it.
#[test]
fn x_22_a_task_that_fails_prints_nothing() {
    fn uses_a_pool() -> mp::Result<String> {
        let pool = mp::Pool::new(1)?;
        let error =
            pool.apply(|| -> mp::Result<()> { mp::bail!("the task fails") }, ()).unwrap_err();
        Ok(error.as_exception().unwrap().traceback().to_owned())
    }
    let p = mp::Process::builder(uses_a_pool, ()).stderr(Stdio::piped()).start().unwrap();
    let mut text = String::new();
    p.take_stderr().unwrap().read_to_string(&mut text).unwrap();
    let trace = p.into_result().unwrap();
    assert!(trace.contains("the task fails") && trace.contains("uses_a_pool"), "{trace}");
    assert_eq!(text, "");
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{0} is odd")]
struct Odd(u32);

#[test]
fn re_04_re_12_before_it_leaves_a_remote_exception_shows_the_error_and_can_be_raised() {
    fn raises(error: RemoteException) -> mp::Result<()> {
        Err(error)?
    }
    let wrapped = RemoteException::new(mp::Error::typed(Odd(3)));
    assert!(wrapped.type_name().ends_with("Odd"));
    assert_eq!((wrapped.message(), wrapped.downcast()), ("3 is odd", Some(Odd(3))));
    let raised = raises(wrapped).unwrap_err();
    assert_eq!(raised.to_string(), "3 is odd");
    assert!(raised.downcast_ref::<RemoteException>().is_some());
}

/// Results of many calls, some of which failed.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{} of {} failed", failed.len(), finished.len() + failed.len())]
struct Ensemble {
    finished: Vec<u32>,
    failed: Vec<RemoteException>,
}

#[test]
fn re_11_errors_inside_of_a_value_keep_their_traces_on_each_hop() {
    fn halves(numbers: Vec<u32>) -> mp::Result<u32> {
        let half =
            |n: u32| if n.is_multiple_of(2) { Ok(n / 2) } else { Err(mp::Error::typed(Odd(n))) };
        let mut all = Ensemble { finished: Vec::new(), failed: Vec::new() };
        for n in numbers {
            match half(n) {
                Ok(half) => all.finished.push(half),
                Err(error) => all.failed.push(RemoteException::new(error)),
            }
        }
        Err(mp::Error::typed(all))
    }
    fn between(numbers: Vec<u32>) -> mp::Result<u32> {
        Ok(mp::Process::builder(halves, (numbers,)).name("inner").start()?.into_result()?)
    }
    let p = mp::Process::builder(between, (vec![1, 2, 3, 4],)).name("between").start().unwrap();
    let error = p.exception().unwrap().unwrap();
    assert_eq!(error.message(), "2 of 4 failed");
    let all: Ensemble = error.downcast().unwrap();
    assert_eq!(all.finished, [1, 2]);
    for (n, failed) in [1, 3].into_iter().zip(&all.failed) {
        assert_eq!((failed.downcast(), failed.process_name()), (Some(Odd(n)), "inner"));
        assert!(
            failed.traceback().starts_with("[inner] ") && failed.traceback().contains("halves")
        );
    }
}
