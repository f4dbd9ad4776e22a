//! What the catalogue of Python's behaviours says of managers and no other file here shows.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use mp::connection::Address;
use mp::{
    Barrier, BarrierProxy, BoundedSemaphoreProxy, ConditionProxy, Connection, DictProxy, Event,
    EventProxy, ListProxy, LockProxy, Managed, Manager, ManagerError, MemoryBlock,
    MemoryBlockProxy, Process, Queue, QueueProxy, RLockProxy, RawValue, SemaphoreProxy,
    ServerProcess, ShareableItem, ShareableList, SharedMemory, SharedMemoryError, TypedProxy as _,
    ValueProxy, managed,
};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::system::{ends_within, is_asleep, is_stopped, signal};
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

/// Runs what must not hang; what it gave.
fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs, or has panicked")
}

#[derive(Default)]
struct Counter {
    value: AtomicI64,
    is_held: Mutex<bool>,
    released: Condvar,
}

#[mp::managed]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start.into(), ..Counter::default() }
    }

    pub fn add(&self, n: i64) -> i64 {
        self.value.fetch_add(self.doubled(n) / 2, Ordering::SeqCst) + n
    }

    /// Returns after `release`.
    pub fn hold(&self) {
        let mut is_held = self.is_held.lock().unwrap();
        *is_held = true;
        while *is_held {
            is_held = self.released.wait(is_held).unwrap();
        }
    }

    pub fn is_held(&self) -> bool {
        *self.is_held.lock().unwrap()
    }

    pub fn release(&self) {
        *self.is_held.lock().unwrap() = false;
        self.released.notify_all();
    }

    /// Two workers that are in it, in this or another object of the server, are there at the same time.
    pub fn meet(&self, barrier: Barrier) -> mp::Result<usize> {
        Ok(barrier.wait()?)
    }

    pub fn fail(&self) -> mp::Result<()> {
        mp::bail!("no more numbers")
    }

    pub fn processors(&self) -> mp::Result<String> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Ok(line.unwrap_or_default().trim().to_owned())
    }

    fn doubled(&self, n: i64) -> i64 {
        2 * n
    }

    pub(crate) fn of_this_crate(&self) -> i64 {
        self.doubled(1)
    }

    #[managed(skip)]
    pub fn skipped(&self) -> i64 {
        self.of_this_crate()
    }

    pub fn without_an_object() -> i64 {
        1
    }
}

fn counter(server: &ServerProcess) -> CounterProxy {
    server.create(Counter::args(0)).unwrap()
}

const KEY: &[u8] = b"the key of the catalogue";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Any {
    Text(String),
    None,
    Bool(bool),
    Float(f64),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
}

fn all_kinds() -> Vec<Any> {
    vec![
        Any::Text("hello world".to_owned()),
        Any::None,
        Any::Bool(true),
        Any::Float(2.25),
        Any::Text(
            "\u{43f}\u{440}\u{438}\u{432}\u{456}\u{442} \u{441}\u{432}\u{456}\u{442}".to_owned(),
        ),
        Any::Bytes(b"hall\xe5 v\xe4rlden".to_vec()),
    ]
}

static SHOWN: Mutex<Option<QueueProxy<Any>>> = Mutex::new(None);

/// Where a program that has nothing but an address and a key finds a queue.
struct Window;

#[mp::managed]
impl Window {
    pub fn new() -> Self {
        Window
    }

    pub fn show(&self, queue: QueueProxy<Any>) {
        *SHOWN.lock().unwrap() = Some(queue);
    }

    pub fn shown(&self) -> mp::Result<QueueProxy<Any>> {
        SHOWN.lock().unwrap().clone().ok_or_else(|| mp::Error::msg("nothing is shown"))
    }
}

#[test]
fn m_05_a_queue_that_a_program_with_address_and_key_fills_is_read_here() {
    fn fill(address: Address) -> mp::Result<()> {
        let manager = Manager::connect(address, KEY)?;
        let queue = manager.create(Window::args())?.shown()?;
        all_kinds().iter().try_for_each(|value| queue.put(value))?;
        Ok(())
    }

    let here: Address = Address::Abstract(b"mp-test-catalogue-m-05".to_vec());
    let network: Address = ("127.0.0.1", 0).into();
    for address in [here, network] {
        let server = ServerProcess::builder().address(address).authkey(KEY).start().unwrap();
        let manager = Manager::from(server);
        let queue = manager.queue::<Any>(0).unwrap();
        manager.create(Window::args()).unwrap().show(queue.clone()).unwrap();
        let child = Process::start(fill, (manager.address(),)).unwrap();
        let got: Vec<Any> = (0..6).map(|_| queue.get_timeout(LONG).unwrap()).collect();
        assert_eq!(got, all_kinds());
        child.into_result().unwrap();
        assert!(queue.is_empty().unwrap());
    }
}

/// Stands between a server and its clients, and can cut all connections but the first.
struct Relay {
    address: Address,
    connections: Arc<Mutex<Vec<[TcpStream; 2]>>>,
}

impl Relay {
    fn to(server: &ServerProcess) -> Relay {
        let Address::Tcp { port: server, .. } = server.address() else { panic!() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let relay =
            Relay { address: ("127.0.0.1", port).into(), connections: Arc::clone(&connections) };
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { return };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _all = copy(&mut from, &mut to);
                        let _ended = to.shutdown(Shutdown::Both);
                    });
                }
                connections.lock().unwrap().push([near, far]);
            }
        });
        relay
    }

    fn cut(&self) -> usize {
        let all: Vec<_> = self.connections.lock().unwrap().drain(1..).collect();
        for stream in all.iter().flatten() {
            // One that has ended by itself may be closed already.
            let _cut = stream.shutdown(Shutdown::Both);
        }
        all.len()
    }
}

#[test]
fn m_10_m_31_after_a_lost_connection_the_next_call_of_the_thread_has_another() {
    fn client(address: Address, to_cut: Event, cut: Event) -> mp::Result<()> {
        let server = ServerProcess::connect(address, KEY)?;
        let (a, b) = (server.create(Counter::args(1))?, server.create(Counter::args(10))?);
        let held = a.clone();
        let thread = std::thread::spawn(move || {
            let lost = held.hold();
            (lost.is_err(), held.add(0))
        });
        while !a.is_held()? {
            std::thread::yield_now();
        }
        to_cut.set();
        mp::ensure!(cut.wait_timeout(LONG)?, "the test does not cut");
        let lost = a.add(1);
        mp::ensure!(lost.is_err(), "the connection is not lost");
        // The one whose call was on its way, and the one that makes the next.
        let (was_lost, next) = thread.join().map_err(|_| mp::Error::msg("it panicked"))?;
        mp::ensure!(was_lost && next? > 0);
        mp::ensure!(a.add(0)? > 0 && b.add(1)? == 11, "another object");
        a.release()?;
        mp::ensure!(server.is_alive() && server.create(Counter::args(7))?.add(0)? == 7);
        mp::ensure!(comes_true(|| server.number_of_objects().is_ok_and(|number| number == 2)));
        Ok(())
    }

    let builder = ServerProcess::builder().address(("127.0.0.1", 0)).authkey(KEY);
    let server = builder.start().unwrap();
    let relay = Relay::to(&server);
    let (to_cut, cut) = (Event::new().unwrap(), Event::new().unwrap());
    let args = (relay.address.clone(), to_cut.clone(), cut.clone());
    let child = Process::start(client, args).unwrap();
    assert!(to_cut.wait_timeout(LONG).unwrap());
    assert_eq!(relay.cut(), 2, "one for each thread");
    cut.set();
    child.into_result().unwrap();
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
}

#[test]
fn m_20_only_public_methods_of_an_object_are_exposed() {
    let server = ServerProcess::start().unwrap();
    let counter = counter(&server);
    for name in ["doubled", "of_this_crate", "skipped", "without_an_object", "add ", "Add"] {
        let error = counter.as_proxy().call::<i64, _>(name, &(1,)).unwrap_err();
        assert!(matches!(error, ManagerError::UnknownMethod { .. }), "{name}: {error:?}");
    }
    assert_eq!(counter.as_proxy().call::<i64, _>("add", &(1,)).unwrap(), 1);
    assert_eq!((Counter::without_an_object(), Counter::new(0).skipped()), (1, 2));
}

#[test]
fn t_18_m_28_workers_on_two_objects_and_on_one_are_in_the_server_at_the_same_time() {
    fn work(counter: CounterProxy, barrier: Barrier) -> mp::Result<()> {
        for _ in 0..2 {
            counter.meet(barrier.clone())?;
        }
        Ok(())
    }

    let server = ServerProcess::start().unwrap();
    let (a, b) = (counter(&server), counter(&server));
    for crew in [vec![a.clone(), b], vec![a.clone(), a.clone(), a]] {
        let new = || Barrier::builder(crew.len()).timeout(LONG).build().unwrap();
        let barrier = new();
        std::thread::scope(|scope| {
            for counter in &crew {
                scope.spawn(|| work(counter.clone(), barrier.clone()).unwrap());
            }
        });
        let barrier = new();
        let start = |c: &CounterProxy| Process::start(work, (c.clone(), barrier.clone())).unwrap();
        let processes: Vec<_> = crew.iter().map(start).collect();
        processes.into_iter().for_each(|process| process.into_result().unwrap());
    }
}

/// Calls when its thread is about to end.
struct CallsAtTheEnd(CounterProxy);

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        self.0.add(1).unwrap();
    }
}

thread_local! {
    static AT_THE_END: std::cell::RefCell<Option<CallsAtTheEnd>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn m_26_threads_of_the_server_end_with_those_of_the_client() {
    let server = ServerProcess::start().unwrap();
    let counter = counter(&server);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    counter.add(0).unwrap();
    let before = threads();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| counter.hold())).collect();
        assert!(comes_true(|| threads() == before + 20), "{} after {before}", threads());
        // Those who come later hold, too, until everybody is free.
        while !all.iter().all(|thread| thread.is_finished()) {
            counter.release().unwrap();
        }
    });
    assert!(comes_true(|| threads() <= before), "{} after {before}", threads());
    // A call from the last that a thread does works as any, and so does the end of its proxy.
    let at_the_end = counter.clone();
    std::thread::spawn(move || {
        at_the_end.add(1).unwrap();
        AT_THE_END.set(Some(CallsAtTheEnd(at_the_end)));
    })
    .join()
    .unwrap();
    assert!(comes_true(|| counter.add(0).unwrap() == 2));
    drop(counter);
    assert_eq!(server.number_of_objects().unwrap(), 0);
}

#[test]
fn m_29_a_child_needs_nothing_but_the_proxy_whatever_the_key_and_however_it_came() {
    fn use_them(
        given: CounterProxy,
        queue: Queue<CounterProxy>,
        pipe: Connection,
    ) -> mp::Result<i64> {
        mp::ensure!(mp::current_process().authkey().as_bytes() != KEY);
        let sent: CounterProxy = pipe.recv()?;
        mp::ensure!(given == sent && queue.get()? == sent);
        given.add(1)?;
        Ok(sent.add(1)?)
    }

    let server = ServerProcess::builder().authkey(KEY).start().unwrap();
    let counter = counter(&server);
    let queue = Queue::new().unwrap();
    let (a, b) = mp::Pipe::duplex().unwrap();
    queue.put(&counter).unwrap();
    a.send(&counter).unwrap();
    let child = Process::start(use_them, (counter.clone(), queue, b)).unwrap();
    assert_eq!(child.into_result().unwrap(), 2);
    assert_eq!(counter.add(0).unwrap(), 2);
}

#[test]
fn m_40_places_that_cannot_be_are_errors() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([1, 2, 3]).unwrap();
    for index in [isize::MIN, -4, 3, isize::MAX] {
        let refused = [list.get(index).err(), list.set(index, 0).err(), list.pop_at(index).err()];
        for error in refused {
            let Some(ManagerError::Index { index: i, len: 3 }) = error else { panic!("{error:?}") };
            assert_eq!(i, index as i64);
        }
    }
    list.insert(isize::MAX, 4).unwrap();
    list.insert(isize::MIN, 0).unwrap();
    assert_eq!(list.to_vec().unwrap(), [0, 1, 2, 3, 4]);
    let array = manager.array(&[1, 2]).unwrap();
    assert!(array.get(isize::MIN).is_err() && array.set(2, 0).is_err());
}

#[test]
fn m_40_a_slice_ends_where_its_list_does() {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    let manager = Manager::start().unwrap();
    let list = manager.list_from([1, 2, 3]).unwrap();
    assert_eq!(list.slice((Excluded(-3), Included(-2))).unwrap(), [2]);
    assert_eq!(list.slice(isize::MIN..isize::MAX).unwrap(), [1, 2, 3]);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the question")]
    let (none, rest) = (list.slice(2..1).unwrap(), list.slice(1..=-1).unwrap());
    assert_eq!((none, rest), (vec![], vec![2, 3]), "the last one is included");
    assert_eq!(list.slice(..isize::MIN).unwrap(), []);
    assert_eq!(list.slice((Excluded(-1), Unbounded)).unwrap(), [], "there is none after the last");
    assert_eq!(list.slice(..=isize::MAX).unwrap(), [1, 2, 3]);
    assert_eq!(list.slice((Excluded(isize::MAX), Unbounded)).unwrap(), []);
    let array = manager.array(&[1, 2]).unwrap();
    assert_eq!(array.slice(-1..=isize::MAX).unwrap(), [2]);
}

#[test]
fn m_48_limits_without_end_are_limits() {
    const MAX: Duration = Duration::MAX;
    let manager = Manager::start().unwrap();
    let (lock, rlock) = (manager.lock().unwrap(), manager.rlock().unwrap());
    let (semaphore, event) = (manager.semaphore(1).unwrap(), manager.event().unwrap());
    let (condition, queue) = (manager.condition().unwrap(), manager.joinable_queue(1).unwrap());
    assert!(lock.acquire_timeout(MAX).unwrap().is_some());
    assert!(rlock.acquire_timeout(MAX).unwrap().is_some());
    assert!(semaphore.acquire_timeout(MAX).unwrap().is_some());
    assert_eq!(manager.barrier_with_timeout(1, MAX).unwrap().wait().unwrap(), 0);
    assert_eq!(manager.barrier(1).unwrap().wait_timeout(MAX).unwrap(), 0);
    queue.put_timeout(&1, MAX).unwrap();
    std::thread::scope(|scope| {
        let mut guard = condition.acquire_timeout(MAX).unwrap().unwrap();
        let event_waits = scope.spawn(|| event.wait_timeout(MAX).unwrap());
        let putter = scope.spawn(|| queue.put_timeout(&2, MAX).unwrap());
        let joiner = scope.spawn(|| queue.join_timeout(MAX).unwrap());
        let taker = scope.spawn(|| lock.acquire_timeout(MAX).unwrap().is_some());
        let notifier = scope.spawn(|| condition.acquire().unwrap().notify(1).unwrap());
        assert!(guard.wait_timeout(MAX).unwrap());
        drop(guard);
        notifier.join().unwrap();
        std::thread::sleep(SHORT);
        assert!(!event_waits.is_finished() && !putter.is_finished() && !joiner.is_finished());
        event.set().unwrap();
        assert_eq!((queue.get_timeout(MAX).unwrap(), queue.get_timeout(MAX).unwrap()), (1, 2));
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        assert!(event_waits.join().unwrap() && joiner.join().unwrap() && taker.join().unwrap());
        putter.join().unwrap();
    });
    semaphore.release_many(0).unwrap();
    condition.acquire().unwrap().notify(usize::MAX).unwrap();
}

#[test]
fn m_01_a_server_that_may_take_any_time_is_started_and_shut_down() {
    let builder = ServerProcess::builder();
    let builder = builder.start_timeout(Duration::MAX).shutdown_timeout(Duration::MAX);
    let server = builder.start().unwrap();
    assert_eq!(counter(&server).add(1).unwrap(), 1);
    server.shutdown().unwrap();
    assert_eq!(server.exitcode(), Some(0));
}

#[test]
fn m_47_sync_objects_of_all_kinds_work_through_a_child() {
    type Sync =
        (RLockProxy, SemaphoreProxy, BoundedSemaphoreProxy, ConditionProxy, EventProxy, LockProxy);

    fn use_them((rlock, semaphore, bounded, condition, event, lock): Sync) -> mp::Result<()> {
        drop((rlock.acquire()?, rlock.acquire()?));
        mp::ensure!(rlock.release().is_err());
        semaphore.acquire()?.forget()?;
        bounded.acquire()?.forget()?;
        drop(condition.acquire()?);
        mp::ensure!(!event.is_set()?);
        event.set()?;
        mp::ensure!(event.is_set()?);
        Ok(lock.acquire()?.leak()?)
    }

    let manager = Manager::start().unwrap();
    let all: Sync = (
        manager.rlock().unwrap(),
        manager.semaphore(3).unwrap(),
        manager.bounded_semaphore(1).unwrap(),
        manager.condition().unwrap(),
        manager.event().unwrap(),
        manager.lock().unwrap(),
    );
    Process::start(use_them, (all.clone(),)).unwrap().into_result().unwrap();
    let (rlock, semaphore, bounded, condition, event, lock) = all;
    assert!(!rlock.is_locked().unwrap() && condition.try_acquire().unwrap().is_some());
    // What was not given back stays taken when who took it has ended well.
    assert_eq!((semaphore.get_value().unwrap(), bounded.get_value().unwrap()), (2, 0));
    assert!(event.is_set().unwrap() && lock.is_locked().unwrap());
    bounded.release().unwrap();
    bounded.release().unwrap_err();
    lock.release().unwrap();
    lock.release().unwrap_err();
}

#[test]
fn m_51_l_03_a_guard_gives_back_on_every_way_out() {
    let manager = Manager::start().unwrap();
    let (lock, rlock) = (manager.lock().unwrap(), manager.rlock().unwrap());
    let semaphore = manager.semaphore(1).unwrap();
    let fails = |lock: LockProxy, rlock: RLockProxy, s: SemaphoreProxy, panics: bool| {
        let _held = (lock.acquire()?, rlock.acquire()?, s.acquire()?);
        assert!(!panics, "it panics");
        mp::bail!("it fails")
    };
    for panics in [false, true] {
        let args = (lock.clone(), rlock.clone(), semaphore.clone(), panics);
        let child: Process<()> = Process::builder(fails, args).on_failure(|_| ()).start().unwrap();
        child.join().unwrap_err();
        let is_free = lock.try_acquire().unwrap();
        assert!(is_free.is_some_and(|guard| guard.owner_died().is_none()), "{lock}");
        assert!(rlock.try_acquire().unwrap().is_some_and(|guard| guard.owner_died().is_none()));
        assert_eq!(semaphore.get_value().unwrap(), 1);
    }
}

#[test]
fn m_51_se_04_a_semaphore_of_none_has_nothing_for_anybody() {
    let manager = Manager::start().unwrap();
    let semaphore = manager.semaphore(0).unwrap();
    assert!(at_once(|| semaphore.try_acquire().unwrap().is_none()));
    assert!(at_once(|| semaphore.acquire_timeout(Duration::ZERO).unwrap().is_none()));
    assert!(takes_at_least(SHORT, || semaphore.acquire_timeout(SHORT).unwrap().is_none()));
    assert_eq!(semaphore.get_value().unwrap(), 0);
}

#[test]
fn m_51_c_02_c_07_a_notification_in_time_is_said_and_nothing_is_left() {
    let manager = Manager::start().unwrap();
    let condition = manager.condition().unwrap();
    let wait = |condition: ConditionProxy| Ok(condition.acquire()?.wait_timeout(LONG)?);
    let waiters: Vec<_> =
        (0..2).map(|_| Process::start(wait, (condition.clone(),)).unwrap()).collect();
    assert!(comes_true(|| condition.waiting().unwrap() == 2));
    condition.acquire().unwrap().notify(5).unwrap();
    assert!(waiters.into_iter().all(|waiter| waiter.into_result().unwrap()));
    assert_eq!(condition.waiting().unwrap(), 0);
    assert!(!condition.acquire().unwrap().wait_timeout(SHORT).unwrap());
}

#[test]
fn m_51_c_14_a_stop_and_a_continuation_end_no_wait() {
    let wait = |condition: ConditionProxy, event: EventProxy, queue: QueueProxy<u8>, wakes: u32| {
        match wakes {
            0 => condition.acquire()?.wait()?,
            1 => event.wait()?,
            _ => mp::ensure!(queue.get()? == 7),
        }
        Ok(())
    };
    let manager = Manager::start().unwrap();
    let (condition, event) = (manager.condition().unwrap(), manager.event().unwrap());
    let queue = manager.queue(0).unwrap();
    let waiters: Vec<_> = (0..3)
        .map(|which| {
            let args = (condition.clone(), event.clone(), queue.clone(), which);
            Process::start(wait, args).unwrap()
        })
        .collect();
    assert!(comes_true(|| condition.waiting().unwrap() == 1));
    for waiter in &waiters {
        assert!(comes_true(|| is_asleep(waiter.pid(), waiter.pid())));
        for _ in 0..3 {
            signal(waiter.pid(), Signal::STOP);
            assert!(comes_true(|| is_stopped(waiter.pid())));
            signal(waiter.pid(), Signal::CONT);
            assert!(comes_true(|| is_asleep(waiter.pid(), waiter.pid())));
        }
        assert!(waiter.is_alive());
    }
    assert_eq!(condition.waiting().unwrap(), 1);
    condition.acquire().unwrap().notify(1).unwrap();
    event.set().unwrap();
    queue.put(&7).unwrap();
    waiters.into_iter().for_each(|waiter| waiter.into_result().unwrap());
}

#[test]
fn m_51_b_11_a_thousand_rounds_of_five_are_in_step() {
    fn pass(barrier: BarrierProxy, rounds: Queue<u32>) -> mp::Result<()> {
        for round in 0..1000 {
            barrier.wait()?;
            rounds.put(&round)?;
        }
        Ok(())
    }

    let manager = Manager::start().unwrap();
    let barrier = manager.barrier_with_timeout(5, LONG).unwrap();
    let rounds = Queue::new().unwrap();
    let start = |_| Process::start(pass, (barrier.clone(), rounds.clone())).unwrap();
    let parties: Vec<_> = (0..5).map(start).collect();
    for round in 0..1000 {
        for _ in 0..5 {
            assert_eq!(rounds.get_timeout(LONG).unwrap(), round);
        }
    }
    parties.into_iter().for_each(|party| party.into_result().unwrap());
    assert!(!barrier.broken().unwrap() && barrier.n_waiting().unwrap() == 0);
}

#[test]
fn m_51_b_12_the_waiting_are_counted_until_the_barrier_is_full() {
    let manager = Manager::start().unwrap();
    let barrier = manager.barrier(4).unwrap();
    let pass = |barrier: BarrierProxy| Ok(barrier.wait()?);
    let mut parties = Vec::new();
    for waiting in 1..4 {
        parties.push(Process::start(pass, (barrier.clone(),)).unwrap());
        assert!(comes_true(|| barrier.n_waiting().unwrap() == waiting));
        assert!(!barrier.broken().unwrap());
    }
    assert_eq!((barrier.wait().unwrap(), barrier.parties().unwrap()), (3, 4));
    let mut numbers: Vec<_> =
        parties.into_iter().map(|party| party.into_result().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!((numbers, barrier.n_waiting().unwrap()), (vec![0, 1, 2], 0));
}

#[test]
fn m_51_q_04_a_full_queue_is_empty_when_another_process_took_all() {
    let manager = Manager::start().unwrap();
    let queue = manager.queue::<u8>(6).unwrap();
    (0..6).for_each(|n| queue.put(&n).unwrap());
    let take = |queue: QueueProxy<u8>| {
        let taken: Result<Vec<u8>, ManagerError> = (0..6).map(|_| queue.get()).collect();
        Ok(taken?)
    };
    let child = Process::start(take, (queue.clone(),)).unwrap();
    assert_eq!(child.into_result().unwrap(), [0, 1, 2, 3, 4, 5]);
    assert!(queue.is_empty().unwrap() && !queue.is_full().unwrap());
}

#[test]
fn m_60_managed_queues_and_dicts_are_items_of_a_managed_list() {
    type Items = ListProxy<(QueueProxy<u8>, DictProxy<u8, LockProxy>)>;

    let manager = Manager::start().unwrap();
    let outer: Items = manager.list().unwrap();
    let (queue, dict) = (manager.queue(0).unwrap(), manager.dict().unwrap());
    outer.push((queue.clone(), dict.clone())).unwrap();
    let change = |outer: Items, lock: LockProxy| {
        let (queue, dict) = outer.get(-1)?;
        queue.put(&3)?;
        dict.insert(1, lock.clone())?;
        Ok(lock.acquire()?.leak()?)
    };
    let lock = manager.lock().unwrap();
    Process::start(change, (outer.clone(), lock)).unwrap().into_result().unwrap();
    assert_eq!(queue.get_timeout(LONG).unwrap(), 3);
    // The lock lives in the dict alone, and is what it was.
    let lock = dict.get(&1).unwrap().unwrap();
    assert!(lock.is_locked().unwrap());
    queue.put(&4).unwrap();
    assert_eq!(outer.get(0).unwrap().0.get_nowait().unwrap(), 4);
    assert_eq!(manager.number_of_objects().unwrap(), 4);
    drop((queue, dict, lock));
    outer.clear().unwrap();
    assert_eq!(manager.number_of_objects().unwrap(), 1);
}

#[test]
fn mp_01_a_server_is_bound_to_its_processors() {
    let server = ServerProcess::builder().cpu_affinity([0]).start().unwrap();
    assert_eq!(counter(&server).processors().unwrap(), "0");
}

/// Is not made for every number.
struct Fussy;

#[mp::managed]
impl Fussy {
    pub fn new(number: i8) -> mp::Result<Self> {
        assert!(number >= 0, "{number} is below zero");
        mp::ensure!(number < 100, "{number} is too much");
        Ok(Fussy)
    }

    pub fn is_there(&self) -> bool {
        true
    }
}

#[test]
fn m_21_an_error_of_a_constructor_is_that_of_its_caller_and_makes_nothing() {
    let server = ServerProcess::start().unwrap();
    for (number, text, is_panic) in
        [(100, "100 is too much", false), (-1, "-1 is below zero", true)]
    {
        let error = server.create(Fussy::args(number)).unwrap_err();
        let ManagerError::Exception(remote) = error else { panic!("{error:?}") };
        assert_eq!((remote.message(), remote.is_panic()), (text, is_panic));
        assert!(remote.traceback().contains("Fussy::new"), "{}", remote.traceback());
    }
    assert_eq!(server.number_of_objects().unwrap(), 0);
    assert!(server.create(Fussy::args(1)).unwrap().is_there().unwrap());
}

/// Comes from methods of others alone.
struct Unborn;

#[mp::managed]
impl Unborn {
    pub fn is_there(&self) -> bool {
        true
    }
}

#[test]
fn m_20_a_type_without_a_constructor_cannot_be_created() {
    let server = ServerProcess::start().unwrap();
    let error = server.create(mp::Args::<Unborn>::new(())).unwrap_err();
    let ManagerError::UnknownType { server: name, name: type_name } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((&**name, &**type_name), (&*server.name(), "Unborn"));
    assert!(managed(Unborn).is_there().unwrap());
}

#[test]
fn m_02_several_threads_shut_a_server_down_at_once() {
    let server = ServerProcess::start().unwrap();
    let counter = counter(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| at_once(|| server.shutdown().unwrap()));
        }
    });
    assert_eq!((server.exitcode(), server.is_alive()), (Some(0), false));
    assert!(matches!(counter.add(1), Err(ManagerError::Disconnected { .. })));
}

struct Zoomer(i64);

/// Makes objects of other types, and of its own.
#[mp::managed]
impl Zoomer {
    pub fn new(factor: i64) -> Self {
        Zoomer(factor)
    }

    pub fn scale(&self, n: i64) -> i64 {
        self.0 * n
    }

    pub fn zoomer(&self, factor: i64) -> Managed<Zoomer> {
        managed(Zoomer(factor))
    }

    pub fn memory(&self, size: usize) -> mp::Result<Managed<MemoryBlock>> {
        let block = MemoryBlock::new(size)?;
        block.write_at(0, &[u8::try_from(self.0)?])?;
        Ok(managed(block))
    }

    pub fn several(&self) -> Several {
        Several {
            plain: [1, 2],
            pair: (7, managed(Zoomer(2)), Some(managed(Zoomer(3)))),
            of_a_kind: vec![
                Kind::Plain(5),
                Kind::Managed { zoomer: managed(Zoomer(4)), name: "four".to_owned() },
                Kind::List(managed(vec![1, 2])),
                Kind::Nothing,
            ],
            deep: HashMap::from([(
                1,
                vec![Some((managed(BTreeMap::from([("x".to_owned(), 1)])), "plain".to_owned()))],
            )]),
            result: Ok(managed(Zoomer(6))),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Plain(i64),
    Managed { zoomer: Managed<Zoomer>, name: String },
    List(ListProxy<i64>),
    Nothing,
}

/// A managed and a plain part.
type Pair = (DictProxy<String, i64>, String);

/// Plain and managed parts at any depth.
#[derive(Serialize, Deserialize)]
struct Several {
    plain: [i64; 2],
    pair: (i64, Managed<Zoomer>, Option<Managed<Zoomer>>),
    of_a_kind: Vec<Kind>,
    deep: HashMap<u8, Vec<Option<Pair>>>,
    result: Result<Managed<Zoomer>, String>,
}

#[test]
fn mp_03_mp_06_a_proxy_from_a_method_gives_others_here_and_in_another_process() {
    let server = ServerProcess::start().unwrap();
    let doubler = server.create(Zoomer::args(2)).unwrap();
    assert_eq!(doubler.scale(32).unwrap(), 64);
    let work = |doubler: ZoomerProxy| {
        let tripler = doubler.zoomer(3)?;
        mp::ensure!(tripler.scale(8)? == 24);
        Ok((tripler.zoomer(5)?, tripler.memory(10)?, tripler))
    };
    let child = Process::start(work, (doubler.clone(),)).unwrap();
    let (five, memory, tripler) = child.into_result().unwrap();
    assert_eq!((five.scale(5).unwrap(), tripler.scale(8).unwrap()), (25, 24));
    let mut byte = [0];
    memory.read_at(0, &mut byte).unwrap();
    assert_eq!((byte, memory.size()), ([3], 10));
    let far = |zoomer: ZoomerProxy| Ok(zoomer.zoomer(7)?.memory(1)?);
    let other: MemoryBlockProxy =
        Process::start(far, (five.clone(),)).unwrap().into_result().unwrap();
    other.read_at(0, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    assert_eq!(server.number_of_objects().unwrap(), 5, "{:?}", server.debug_info());
    drop((doubler, five, memory, other, tripler));
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
}

#[test]
fn mp_05_managed_parts_are_proxies_at_any_depth_and_plain_parts_are_copies() {
    fn change(mut several: Several) -> mp::Result<()> {
        several.plain[0] = 100;
        several.pair.0 = 100;
        for kind in &mut several.of_a_kind {
            match kind {
                Kind::Plain(n) => *n = 100,
                Kind::Managed { zoomer, name } => {
                    mp::ensure!(zoomer.scale(2)? == 8);
                    name.clear();
                }
                Kind::List(list) => list.push(3)?,
                Kind::Nothing => {}
            }
        }
        let Some((dict, plain)) = &mut several.deep.get_mut(&1).unwrap()[0] else { mp::bail!("-") };
        dict.insert("y".to_owned(), 2)?;
        plain.clear();
        mp::ensure!(several.result.is_ok_and(|zoomer| zoomer.scale(1).is_ok_and(|n| n == 6)));
        Ok(())
    }

    let server = ServerProcess::start().unwrap();
    let zoomer = server.create(Zoomer::args(1)).unwrap();
    let several = zoomer.several().unwrap();
    assert_eq!(server.number_of_objects().unwrap(), 7);
    assert_eq!(several.pair.1.scale(1).unwrap(), 2);
    assert_eq!(several.pair.2.as_ref().unwrap().scale(1).unwrap(), 3);
    let for_child: Several = mp_reduction::encode(&several).unwrap().decode().unwrap();
    Process::start(change, (for_child,)).unwrap().into_result().unwrap();
    assert_eq!((several.plain, several.pair.0), ([1, 2], 7));
    let [Kind::Plain(5), Kind::Managed { name, .. }, Kind::List(list), Kind::Nothing] =
        &*several.of_a_kind
    else {
        panic!()
    };
    assert_eq!((&**name, list.to_vec().unwrap()), ("four", vec![1, 2, 3]));
    let (dict, plain) = several.deep[&1][0].as_ref().unwrap();
    assert_eq!((dict.get("y").unwrap(), &**plain), (Some(2), "plain"));
    drop(several);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
}

#[test]
fn mp_04_outside_of_a_server_what_is_managed_works_here_and_goes_nowhere() {
    let zoomer: ZoomerProxy = managed(Zoomer(2));
    assert_eq!(zoomer.scale(4).unwrap(), 8);
    assert_eq!(zoomer.zoomer(3).unwrap().scale(4).unwrap(), 12);
    let list = mp::managed_list([1, 2]);
    list.push(3).unwrap();
    assert_eq!(list.to_vec().unwrap(), [1, 2, 3]);
    assert_eq!(mp::managed_dict(HashMap::from([(1, 2)])).get(&1).unwrap(), Some(2));
    let value: ValueProxy<u8> = mp::managed_value(1);
    value.update(|value| *value += 1).unwrap();
    assert_eq!(value.get().unwrap(), 2);
    assert_eq!(mp::managed_array([1, 2]).get(-1).unwrap(), 2);
    let namespace = mp::managed_namespace();
    namespace.set("x", &1).unwrap();
    assert_eq!(namespace.get::<u8>("x").unwrap(), 1);
    assert_eq!(mp::managed_iterator([1, 2]).map(Result::unwrap).sum::<u8>(), 3);
    let block = mp::managed_memoryblock(MemoryBlock::new(5).unwrap());
    block.write_at(0, b"x").unwrap();
    assert_eq!(block.size(), 5);

    let start: Result<Process<()>, _> = Process::start(|_: ZoomerProxy| Ok(()), (zoomer.clone(),));
    start.unwrap_err();
    assert!(Queue::new().unwrap().put(&list).is_err());
    let manager = Manager::start().unwrap();
    let lists = manager.list::<ListProxy<i32>>().unwrap();
    assert!(matches!(lists.push(list), Err(ManagerError::Encode(_))));
    assert_eq!((lists.len().unwrap(), zoomer.scale(1).unwrap()), (0, 2));
}

#[test]
fn mp_10_an_error_of_a_method_ends_the_scope_of_the_server_and_reaches_its_caller() {
    fn scope(pid: &mut u32) -> mp::Result<()> {
        let server = ServerProcess::start()?;
        *pid = server.pid();
        server.create(Counter::args(0))?.fail()?;
        Ok(())
    }

    let mut pid = 0;
    let error = at_once(|| scope(&mut pid).unwrap_err());
    let Some(ManagerError::Exception(remote)) = error.downcast_ref() else { panic!("{error:?}") };
    assert_eq!((remote.message(), remote.pid()), ("no more numbers", pid));
    assert!(ends_within(pid, Duration::ZERO).unwrap());
}

/// Whether a type can be encoded; the inherent constant hides that of the trait where it can.
struct IsSerialize<T>(std::marker::PhantomData<T>);

impl<T: Serialize> IsSerialize<T> {
    const ANSWER: bool = true;
}

trait IsNot {
    const ANSWER: bool = false;
}

impl<T> IsNot for IsSerialize<T> {}

#[test]
fn mb_06_au_02_a_block_that_is_not_managed_and_a_key_cannot_be_sent() {
    const { assert!(IsSerialize::<MemoryBlockProxy>::ANSWER) };
    const { assert!(!IsSerialize::<MemoryBlock>::ANSWER) };
    const { assert!(!IsSerialize::<mp::AuthKey>::ANSWER) };
    let key = mp::current_process().authkey();
    let shown = format!("{key:?} {:?}", ServerProcess::builder().authkey(b"in plain"));
    assert!(shown.contains("32 bytes") && !shown.contains("in plain"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", key.as_bytes())));
}

#[test]
fn au_01_a_server_without_a_key_of_its_own_has_that_of_the_process_tree() {
    let connect = |address: Address| {
        let key = mp::current_process().authkey();
        mp::ensure!(key.as_bytes().len() == 32);
        let server = ServerProcess::connect(address, key.as_bytes())?;
        Ok(server.create(Counter::args(3))?)
    };
    let server = ServerProcess::start().unwrap();
    let counter = Process::start(connect, (server.address(),)).unwrap().into_result().unwrap();
    assert_eq!(counter.add(0).unwrap(), 3);
}

#[test]
fn au_01_mp_01_a_key_of_no_bytes_and_processors_that_are_not_there_are_errors() {
    let error = at_once(|| ServerProcess::builder().authkey(b"").start().unwrap_err());
    assert!(!matches!(error, ManagerError::Timeout { .. }), "{error:?}");
    for cpus in [vec![], vec![100_000]] {
        let error = at_once(|| ServerProcess::builder().cpu_affinity(cpus).start().unwrap_err());
        assert!(matches!(error, ManagerError::Start(_)), "{error:?}");
    }
}

/// Uses its own server as a client does.
struct Native;

#[mp::managed]
impl Native {
    pub fn new() -> Self {
        Native
    }

    pub fn make(&self, server: ServerProcess) -> mp::Result<(CounterProxy, MemoryBlockProxy)> {
        let manager = Manager::from(server);
        mp::ensure!(manager.pid() == std::process::id() && manager.is_alive());
        mp::ensure!(manager.name() == mp::current_process().name());
        let counter = manager.create(Counter::args(4))?;
        counter.add(1)?;
        let block = manager.memory_block(10)?;
        block.write_at(0, b"x")?;
        let list = manager.list_from([counter.clone()])?;
        let objects = manager.number_of_objects()?;
        // Itself, the counter, the block and the list.
        mp::ensure!(objects == 4, "{objects}: {:?}", manager.debug_info()?);
        mp::ensure!(list.get(0)? == counter);
        let lock = manager.lock()?;
        let _held = lock.acquire()?;
        mp::ensure!(lock.is_locked()? && manager.memory_block(0).is_err());
        let error = manager.create(Zoomer::args(1))?.memory(0).unwrap_err();
        mp::ensure!(matches!(error, ManagerError::Exception(_)), "{error:?}");
        Ok((counter, block))
    }

    pub fn end(&self, server: ServerProcess) -> mp::Result<()> {
        Ok(server.shutdown()?)
    }

    pub fn address_of(&self, server: ServerProcess) -> Address {
        server.address()
    }
}

/// Keeps its thread from ending.
struct Clinging;

impl Drop for Clinging {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

thread_local! {
    static CLINGING: Clinging = const { Clinging };
}

#[test]
fn m_01_m_11_a_server_that_does_not_end_when_it_is_asked_is_terminated() {
    let clings = |_: u8| Ok(CLINGING.with(|_| ()));
    let builder = ServerProcess::builder().initializer(clings, (1,));
    let server = builder.shutdown_timeout(SHORT).start().unwrap();
    assert_eq!(counter(&server).add(1).unwrap(), 1);
    at_once(|| server.shutdown().unwrap());
    assert_eq!(server.exitcode(), Some(-15));
}

/// Another handle to a server, as a child gets one.
fn handle_of(server: &ServerProcess) -> ServerProcess {
    mp_reduction::encode(server).unwrap().decode().unwrap()
}

#[test]
fn mp_07_mp_08_a_server_is_used_inside_of_itself_through_a_handle_that_it_was_given() {
    let server = ServerProcess::start().unwrap();
    let native = server.create(Native::args()).unwrap();
    let copy = handle_of(&server);
    let inside = native.clone();
    let (counter, block) = in_time(move || inside.make(copy).unwrap());
    assert_eq!((counter.add(1).unwrap(), block.size()), (6, 10));
    assert_eq!(server.number_of_objects().unwrap(), 3);
    assert_eq!(native.address_of(handle_of(&server)).unwrap(), server.address());
    let copy = handle_of(&server);
    let ended = in_time(move || native.end(copy));
    assert!(matches!(ended, Ok(()) | Err(ManagerError::Disconnected { .. })), "{ended:?}");
    assert!(comes_true(|| !server.is_alive()));
    at_once(|| server.shutdown().unwrap());
    assert_eq!(server.exitcode(), Some(0));
}

#[test]
fn a_comparison_or_a_change_that_panics_while_it_has_hold_lets_others_go_on() {
    let manager = Manager::start().unwrap();
    let (list, value) = (manager.list_from([1, 2]).unwrap(), manager.value(1).unwrap());
    let (sorted, changed) = (list.clone(), value.clone());
    // Who comes too late four times has hold of it the fifth time.
    let sort = std::thread::spawn(move || {
        let mut comparisons = 0;
        sorted.sort_by(|_, _| {
            comparisons += 1;
            assert!(comparisons <= 4, "it panics");
            sorted.set(0, comparisons).unwrap();
            std::cmp::Ordering::Less
        })
    });
    sort.join().unwrap_err();
    let change = std::thread::spawn(move || {
        let mut changes = 0;
        changed.update(|_| {
            changes += 1;
            assert!(changes <= 4, "it panics");
            changed.set(changes).unwrap();
        })
    });
    change.join().unwrap_err();
    let others = (list.clone(), value.clone());
    in_time(move || {
        others.0.push(7).unwrap();
        others.1.set(7).unwrap();
    });
    assert_eq!((list.to_vec().unwrap(), value.get().unwrap()), (vec![4, 2, 7], 7));
}

/// Makes named memory, which is there while it is in the server.
#[derive(Default)]
struct Segments(Mutex<(Vec<SharedMemory>, Vec<ShareableList>)>);

#[mp::managed]
impl Segments {
    pub fn new() -> Self {
        Segments::default()
    }

    pub fn make(&self, memory: &str, list: &str) -> mp::Result<()> {
        let memory = SharedMemory::create_named(memory, 100)?;
        memory.write_at(0, b"made there")?;
        let list = ShareableList::create_named(list, [ShareableItem::from(1), "two".into()])?;
        let mut all = self.0.lock().unwrap();
        all.0.push(memory);
        all.1.push(list);
        Ok(())
    }
}

#[test]
fn sh_15_named_memory_of_a_server_is_attached_by_name_and_goes_with_the_server() {
    let look = |memory: String, list: String| {
        let memory = SharedMemory::open(&memory)?;
        let mut bytes = [0; 10];
        memory.read_at(0, &mut bytes)?;
        memory.write_at(0, b"seen")?;
        Ok((bytes, ShareableList::open(&list)?.len()))
    };
    let server = ServerProcess::start().unwrap();
    let segments = server.create(Segments::args()).unwrap();
    let pid = std::process::id();
    let names = (format!("mp-sh-15-memory-{pid}"), format!("mp-sh-15-list-{pid}"));
    segments.make(&names.0, &names.1).unwrap();
    let child = Process::start(look, names.clone()).unwrap();
    assert_eq!(child.into_result().unwrap(), (*b"made there", 2));
    let memory = SharedMemory::open(&names.0).unwrap();
    let mut bytes = [0; 4];
    memory.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"seen");
    drop(memory);
    server.shutdown().unwrap();
    assert!(comes_true(|| matches!(
        SharedMemory::open(&names.0),
        Err(SharedMemoryError::NotFound { .. })
    )));
    assert!(comes_true(|| ShareableList::open(&names.1).is_err()));
}

/// Whether SIGINT is ignored, blocked and caught.
fn interrupts(pid: u32) -> Vec<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let masks = status.lines().filter_map(|line| {
        let (name, mask) = line.split_once(":\t")?;
        let of_sigint = u64::from_str_radix(mask, 16).ok()? >> 1 & 1;
        name.starts_with("Sig").then(|| format!("{name} {of_sigint}"))
    });
    masks.filter(|mask| !mask.starts_with("SigQ") && !mask.starts_with("SigPnd")).collect()
}

#[test]
fn sh_16_the_handling_of_interrupts_is_that_of_the_server_alone() {
    let run = || {
        let before = interrupts(std::process::id());
        let server = ServerProcess::start()?;
        let block = server.memory_block(10)?;
        mp::ensure!(interrupts(server.pid()).contains(&"SigIgn 1".to_owned()));
        mp::ensure!(interrupts(std::process::id()) == before, "{before:?}");
        signal(server.pid(), Signal::INT);
        mp::ensure!(server.memory_block(7)?.size() == 7);
        block.write_at(0, b"x")?;
        drop(server);
        mp::ensure!(interrupts(std::process::id()) == before, "{before:?}");
        Ok(())
    };
    Process::start(run, ()).unwrap().into_result().unwrap();
}

#[test]
fn sh_17_mb_08_a_clean_program_and_a_block_of_no_bytes_say_nothing() {
    let run = || {
        let manager = Manager::start()?;
        mp::ensure!(manager.memory_block(0).is_err());
        let blocks = manager.list::<MemoryBlockProxy>()?;
        blocks.push(manager.memory_block(100)?)?;
        mp::ensure!(manager.create(Zoomer::args(1))?.memory(0).is_err());
        let segments = manager.create(Segments::args())?;
        let pid = std::process::id();
        segments.make(&format!("mp-sh-17-memory-{pid}"), &format!("mp-sh-17-list-{pid}"))?;
        blocks.get(0)?.write_at(0, b"x")?;
        drop((segments, blocks));
        Ok(())
    };
    let program: Process<()> = Process::builder(run, ()).stderr(Stdio::piped()).start().unwrap();
    let mut text = String::new();
    program.take_stderr().unwrap().read_to_string(&mut text).unwrap();
    program.into_result().unwrap();
    assert_eq!(text, "");
}

/// Panics where nobody expects it.
struct Touchy(How);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum How {
    Shown,
    ShownWithAnError,
    Dropped,
    DroppedForEver,
    Fine,
}

impl std::fmt::Debug for Touchy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            How::Shown => panic!("it does not want to be shown"),
            How::ShownWithAnError => Err(std::fmt::Error),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        match self.0 {
            How::Dropped => panic!("it does not want to be dropped"),
            How::DroppedForEver => loop {
                std::thread::park();
            },
            _ => {}
        }
    }
}

/// Panics on its way in or out.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Crossing {
    panics_going: bool,
    panics_coming: bool,
}

impl Serialize for Crossing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.panics_going, "it does not go");
        self.panics_coming.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Crossing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Crossing, D::Error> {
        let panics_coming = bool::deserialize(deserializer)?;
        assert!(!panics_coming, "it does not come");
        Ok(Crossing { panics_going: false, panics_coming })
    }
}

#[mp::managed]
impl Touchy {
    pub fn new(how: How) -> Self {
        Touchy(how)
    }

    pub fn how(&self) -> How {
        self.0
    }

    pub fn give(&self, panics_going: bool, panics_coming: bool) -> Crossing {
        Crossing { panics_going, panics_coming }
    }

    pub fn take(&self, crossing: Crossing) -> bool {
        crossing.panics_coming
    }
}

#[test]
fn m_23_a_value_that_panics_on_its_way_is_an_error_of_its_call_and_the_next_one_works() {
    let server = ServerProcess::start().unwrap();
    let touchy = server.create(Touchy::args(How::Fine)).unwrap();
    let proxy = touchy.clone();
    let error = in_time(move || proxy.give(true, false).unwrap_err());
    let ManagerError::Exception(remote) = &error else { panic!("{error:?}") };
    assert!(remote.is_panic() && remote.message() == "it does not go", "{remote:?}");
    let proxy = touchy.clone();
    let coming = Crossing { panics_going: false, panics_coming: true };
    let error = in_time(move || proxy.take(coming).unwrap_err());
    let ManagerError::Exception(remote) = &error else { panic!("{error:?}") };
    assert!(remote.is_panic() && remote.message() == "it does not come", "{remote:?}");
    // Here it is the caller who panics, and nobody else is harmed.
    let caught = std::thread::scope(|scope| {
        let gives = scope.spawn(|| touchy.give(false, true)).join().is_err();
        let proxy = touchy.clone();
        let going = Crossing { panics_going: true, panics_coming: false };
        gives && scope.spawn(move || proxy.take(going)).join().is_err()
    });
    assert!(caught);
    assert_eq!(touchy.how().unwrap(), How::Fine);
    assert_eq!(server.number_of_objects().unwrap(), 1);
}

#[test]
fn m_25_an_object_whose_text_panics_can_be_used_all_the_same() {
    let server = ServerProcess::start().unwrap();
    let touchy = server.create(Touchy::args(How::Shown)).unwrap();
    let proxy = touchy.clone();
    let text = in_time(move || proxy.to_string());
    assert!(text.contains("Touchy"), "{text}");
    let failing = server.create(Touchy::args(How::ShownWithAnError)).unwrap();
    in_time(move || failing.to_string());
    assert_eq!(touchy.how().unwrap(), How::Shown);
}

#[test]
fn m_78_an_object_whose_text_panics_keeps_nobody_from_the_others() {
    let server = Arc::new(ServerProcess::start().unwrap());
    let fine = server.create(Touchy::args(How::Fine)).unwrap();
    let _touchy = server.create(Touchy::args(How::Shown)).unwrap();
    let _failing = server.create(Touchy::args(How::ShownWithAnError)).unwrap();
    let same = Arc::clone(&server);
    let info = in_time(move || same.debug_info().unwrap());
    assert_eq!((info.len(), &*info[0].preview), (3, "Fine"));
    assert_eq!(fine.how().unwrap(), How::Fine);
    at_once(|| server.shutdown().unwrap());
}

#[test]
fn m_11_m_70_a_destructor_that_panics_or_does_not_return_is_no_harm_to_others() {
    let server = ServerProcess::start().unwrap();
    let fine = server.create(Touchy::args(How::Fine)).unwrap();
    drop(server.create(Touchy::args(How::Dropped)).unwrap());
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
    drop(server.create(Touchy::args(How::DroppedForEver)).unwrap());
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
    assert_eq!(fine.how().unwrap(), How::Fine);
    // What comes after it is not kept for ever either.
    let awake = RawValue::new(0_u32).unwrap();
    let hold = |touchy: TouchyProxy, awake: RawValue<u32>| {
        awake.set(1);
        mp::ensure!(touchy.how()? == How::Fine);
        Ok(())
    };
    let child = Process::start(hold, (fine, awake.clone())).unwrap();
    child.into_result().unwrap();
    assert_eq!(awake.get(), 1);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
    at_once(|| server.shutdown().unwrap());
    assert!(matches!(server.exitcode(), Some(0 | -15)), "{:?}", server.exitcode());
}
