//! Clients of locks, barriers and queues in a server are killed at chosen instants and at random ones, and the others go on.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::connection::Address;
use mp::{
    BarrierError, BarrierProxy, BoundedSemaphoreProxy, Broken, ConditionProxy, Event, LockProxy,
    Manager, ManagerError, Queue, QueueProxy, RLockProxy, RawArray, RawValue, SemaphoreProxy,
    ServerProcess,
};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Dice, kills};

mp::enable_test_support!();

fn manager() -> Manager {
    Manager::start().unwrap()
}

fn park() -> mp::Result<()> {
    loop {
        std::thread::park();
    }
}

/// Kills a process, and waits until it has ended.
fn kill(process: &mp::Process<()>) {
    process.kill();
    process.join().unwrap_err();
    assert_eq!(process.exitcode(), Some(-9));
}

#[test]
fn m_14_a_holder_that_is_killed_frees_the_lock_for_one_who_waits_and_that_one_alone_is_told() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let hold = |lock: LockProxy, ready: Event| {
        let _held = lock.acquire()?;
        ready.set();
        park()
    };
    for _ in 0..kills(50) {
        let ready = Event::new().unwrap();
        let holder = mp::Process::start(hold, (lock.clone(), ready.clone())).unwrap();
        ready.wait().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock.acquire_timeout(LONG).unwrap().unwrap().owner_died());
            std::thread::sleep(Duration::from_millis(2));
            kill(&holder);
            assert_eq!(waiter.join().unwrap(), Some(holder.pid()));
        });
        assert_eq!(lock.acquire().unwrap().owner_died(), None);
    }
}

#[test]
fn m_14_a_waiter_that_is_killed_does_not_get_the_lock() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let wait = |lock: LockProxy, ready: Event| {
        ready.set();
        let _held = lock.acquire()?;
        park()
    };
    for round in 0..kills(50) {
        let guard = lock.acquire().unwrap();
        let ready = Event::new().unwrap();
        let waiter = mp::Process::start(wait, (lock.clone(), ready.clone())).unwrap();
        ready.wait().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        // Before the release, after it, and at the same time.
        match round % 3 {
            0 => {
                kill(&waiter);
                drop(guard);
            }
            1 => {
                drop(guard);
                kill(&waiter);
            }
            _ => {
                waiter.kill();
                drop(guard);
                waiter.join().unwrap_err();
            }
        }
        drop(lock.acquire_timeout(LONG).unwrap().expect("it is taken by one who is gone"));
    }
}

#[test]
fn a_holder_that_is_killed_frees_a_lock_that_it_holds_more_than_once_and_its_permits() {
    let manager = manager();
    let (lock, s) = (manager.rlock().unwrap(), manager.bounded_semaphore(4).unwrap());
    let hold = |lock: RLockProxy, s: BoundedSemaphoreProxy, ready: Event| {
        let _twice = (lock.acquire()?, lock.acquire()?);
        lock.acquire()?.leak()?;
        let _permits = (s.acquire()?, s.acquire()?);
        s.acquire()?.forget()?;
        ready.set();
        park()
    };
    for _ in 0..kills(20) {
        let ready = Event::new().unwrap();
        let args = (lock.clone(), s.clone(), ready.clone());
        let holder = mp::Process::start(hold, args).unwrap();
        ready.wait().unwrap();
        assert_eq!(s.get_value().unwrap(), 1);
        kill(&holder);
        assert_eq!(lock.acquire().unwrap().owner_died(), Some(holder.pid()));
        assert!(comes_true(|| s.get_value().unwrap() == 3));
        s.release().unwrap();
        s.release().unwrap_err();
    }
}

#[test]
fn c_16_c_17_a_waiter_of_a_condition_that_was_killed_takes_no_notification_from_a_living_one() {
    let manager = manager();
    let condition = manager.condition().unwrap();
    let wait = |condition: ConditionProxy| {
        condition.acquire()?.wait()?;
        park()
    };
    for _ in 0..kills(50) {
        let dying = mp::Process::start(wait, (condition.clone(),)).unwrap();
        assert!(comes_true(|| condition.waiting().unwrap() == 1));
        std::thread::scope(|scope| {
            let living = scope.spawn(|| condition.acquire().unwrap().wait_timeout(LONG).unwrap());
            assert!(comes_true(|| condition.waiting().unwrap() == 2));
            kill(&dying);
            condition.acquire().unwrap().notify(1).unwrap();
            assert!(living.join().unwrap(), "its notification went to one who is gone");
        });
        assert!(comes_true(|| condition.waiting().unwrap() == 0));
    }
}

#[test]
fn c_17_a_waiter_that_is_killed_when_it_was_notified_passes_that_on() {
    let manager = manager();
    let condition = manager.condition().unwrap();
    let wait = |condition: ConditionProxy| {
        condition.acquire()?.wait()?;
        park()
    };
    for _ in 0..kills(50) {
        let dying = mp::Process::start(wait, (condition.clone(),)).unwrap();
        assert!(comes_true(|| condition.waiting().unwrap() == 1));
        std::thread::scope(|scope| {
            // If the dead one had been given the lock, it may be inherited before the notification is passed on.
            let living = scope.spawn(|| {
                let mut guard = condition.acquire().unwrap();
                guard.wait_timeout(LONG).unwrap() || guard.owner_died().is_some()
            });
            assert!(comes_true(|| condition.waiting().unwrap() == 2));
            let guard = condition.acquire().unwrap();
            guard.notify(1).unwrap();
            kill(&dying);
            drop(guard);
            assert!(living.join().unwrap(), "its notification is gone with it");
        });
    }
}

#[test]
fn l_07_when_nobody_else_wants_the_lock_of_a_dead_holder_one_waiter_inherits_it() {
    let manager = manager();
    let condition = manager.condition().unwrap();
    let hold = |condition: ConditionProxy, ready: Event| {
        let _held = condition.acquire()?;
        ready.set();
        park()
    };
    for _ in 0..kills(20) {
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut guard = condition.acquire().unwrap();
                let is_notified = guard.wait_timeout(LONG).unwrap();
                (is_notified, guard.owner_died())
            });
            assert!(comes_true(|| condition.waiting().unwrap() == 1));
            let ready = Event::new().unwrap();
            let holder = mp::Process::start(hold, (condition.clone(), ready.clone())).unwrap();
            ready.wait().unwrap();
            kill(&holder);
            assert_eq!(waiter.join().unwrap(), (false, Some(holder.pid())));
        });
    }
}

fn is_party_gone<T: std::fmt::Debug>(waited: Result<T, ManagerError>) -> bool {
    match waited {
        Err(ManagerError::Barrier(BarrierError::Broken(Broken::PartyDied { .. }))) => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn b_16_a_party_that_is_killed_while_it_waits_breaks_the_barrier() {
    let manager = manager();
    let barrier = manager.barrier(3).unwrap();
    let wait = |barrier: BarrierProxy| {
        barrier.wait()?;
        Ok(())
    };
    for _ in 0..kills(50) {
        let party = mp::Process::start(wait, (barrier.clone(),)).unwrap();
        assert!(comes_true(|| barrier.n_waiting().unwrap() == 1));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| barrier.wait_timeout(LONG));
            assert!(comes_true(|| barrier.n_waiting().unwrap() == 2));
            kill(&party);
            assert!(is_party_gone(other.join().unwrap()));
        });
        assert!(is_party_gone(barrier.wait()));
        barrier.reset().unwrap();
    }
}

#[test]
fn b_16_a_party_that_is_killed_between_two_rounds_breaks_the_barrier() {
    let manager = manager();
    let barrier = manager.barrier(2).unwrap();
    let pass = |barrier: BarrierProxy| {
        barrier.wait()?;
        park()
    };
    for _ in 0..kills(50) {
        let party = mp::Process::start(pass, (barrier.clone(),)).unwrap();
        barrier.wait().unwrap();
        kill(&party);
        assert!(is_party_gone(barrier.wait_timeout(LONG)));
        barrier.reset().unwrap();
    }
}

/// Kills one consumer after the other that waits, and puts an item then.
fn starve(manager: &Manager, rounds: usize) {
    let queue = manager.queue::<usize>(0).unwrap();
    let take = |queue: QueueProxy<usize>, ready: Event| {
        ready.set();
        queue.get()?;
        park()
    };
    for round in 0..rounds {
        let ready = Event::new().unwrap();
        let consumer = mp::Process::start(take, (queue.clone(), ready.clone())).unwrap();
        ready.wait().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        kill(&consumer);
        queue.put(&round).unwrap();
        assert_eq!(queue.get_timeout(LONG).unwrap(), round, "one who was gone has got it");
    }
}

#[test]
fn q_26_a_consumer_that_was_killed_while_it_waited_gets_no_item() {
    starve(&manager(), kills(100));
}

#[test]
fn q_27_a_producer_that_is_killed_while_it_waits_for_room_has_put_all_or_nothing() {
    let manager = manager();
    let queue = manager.queue::<Vec<u8>>(1).unwrap();
    let put = |queue: QueueProxy<Vec<u8>>, ready: Event| {
        let long = vec![1; 100_000];
        ready.set();
        queue.put(&long)?;
        park()
    };
    let mut put_after_all = 0;
    for round in 0..kills(50) {
        queue.put(&vec![0]).unwrap();
        let ready = Event::new().unwrap();
        let producer = mp::Process::start(put, (queue.clone(), ready.clone())).unwrap();
        ready.wait().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        if round % 2 == 0 {
            kill(&producer);
            assert_eq!(queue.get().unwrap(), [0]);
        } else {
            producer.kill();
            assert_eq!(queue.get().unwrap(), [0]);
            producer.join().unwrap_err();
        }
        // Whoever waited is gone for the server, too.
        manager.debug_info().unwrap();
        if let Ok(item) = queue.get_nowait() {
            assert_eq!(item, vec![1; 100_000]);
            put_after_all += 1;
        }
        assert!(queue.is_empty().unwrap());
    }
    eprintln!("{put_after_all} were put after all");
}

/// Adds to both numbers under the lock, again and again.
fn add_twice(lock: LockProxy, numbers: RawArray<u64>, rounds: RawValue<u64>) -> mp::Result<()> {
    loop {
        let guard = lock.acquire()?;
        if guard.owner_died().is_some() {
            // Half of it may be done.
            numbers.set(1, numbers.get(0)?)?;
        }
        mp::ensure!(numbers.get(0)? == numbers.get(1)?, "two hold the lock");
        numbers.set(0, numbers.get(0)? + 1)?;
        std::thread::yield_now();
        numbers.set(1, numbers.get(1)? + 1)?;
        drop(guard);
        rounds.set(rounds.get() + 1);
    }
}

#[test]
fn m_14_a_storm_of_kills_never_leaves_a_lock_with_the_dead_nor_with_two() {
    let manager = manager();
    let (lock, mut dice) = (manager.lock().unwrap(), Dice::of_this_storm());
    let numbers = RawArray::<u64>::zeroed(2).unwrap();
    let start = || {
        let rounds = RawValue::new(0_u64).unwrap();
        let args = (lock.clone(), numbers.clone(), rounds.clone());
        (mp::Process::start(add_twice, args).unwrap(), rounds)
    };
    let mut crew: Vec<_> = (0..3).map(|_| start()).collect();
    for _ in 0..kills(100) {
        let victim = dice.index(crew.len());
        assert!(comes_true(|| crew[victim].1.get() > 0));
        dice.pass_less_than(Duration::from_millis(3));
        kill(&crew[victim].0);
        crew[victim] = start();
        let before: Vec<u64> = crew.iter().map(|(_, rounds)| rounds.get()).collect();
        let came = |place: usize| crew[place].1.get() > before[place];
        assert!(comes_true(|| (0..crew.len()).all(came)), "somebody waits for ever: {lock}");
    }
    crew.iter().for_each(|(process, _)| kill(process));
    drop(lock.acquire_timeout(LONG).unwrap().unwrap());
}

#[test]
fn q_26_a_storm_of_kills_loses_no_item_but_those_in_the_hands_of_the_dead() {
    fn consume(queue: QueueProxy<usize>, got: RawArray<u32>) -> mp::Result<()> {
        loop {
            let n = queue.get()?;
            got.set(n, got.get(n)? + 1)?;
        }
    }

    let manager = manager();
    let (queue, mut dice) = (manager.queue::<usize>(4).unwrap(), Dice::of_this_storm());
    let rounds = kills(100);
    let each = 20;
    let got = RawArray::<u32>::zeroed((rounds + 1) * each).unwrap();
    let start = || mp::Process::start(consume, (queue.clone(), got.clone())).unwrap();
    let mut consumers: Vec<_> = (0..3).map(|_| start()).collect();
    for round in 0..rounds {
        let victim = dice.index(consumers.len());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..each).for_each(|n| queue.put_timeout(&(round * each + n), LONG).unwrap());
            });
            dice.pass_less_than(Duration::from_millis(3));
            kill(&consumers[victim]);
            consumers[victim] = start();
        });
    }
    assert!(comes_true(|| queue.is_empty().unwrap()));
    // The living have what they were given when they have asked for more.
    let last = rounds * each;
    (last..last + each).for_each(|n| queue.put_timeout(&n, LONG).unwrap());
    assert!(comes_true(|| (last..last + each).all(|n| got.get(n).unwrap() == 1)));
    let counts: Vec<u32> = (0..last).map(|n| got.get(n).unwrap()).collect();
    assert!(counts.iter().all(|count| *count <= 1), "one was delivered twice");
    let lost = counts.iter().filter(|count| **count == 0).count();
    eprintln!("{lost} of {last} items were in the hands of the {rounds} who were killed");
    assert!(lost <= rounds, "{lost} items are lost");
    consumers.iter().for_each(kill);
}

/// A connection to a server over the network.
struct Far {
    manager: Manager,
    /// The program that has started the server, and ends with it.
    program: mp::Process<()>,
}

impl Far {
    fn start() -> Far {
        const KEY: &[u8] = b"a key";

        fn serve(address: Queue<Address>) -> mp::Result<()> {
            let server = ServerProcess::builder().address(("127.0.0.1", 0)).authkey(KEY).start()?;
            address.put(&server.address())?;
            while server.is_alive() {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }

        let addresses = Queue::new().unwrap();
        let program = mp::Process::builder(serve, (addresses.clone(),)).daemon(false);
        let program = program.start().unwrap();
        Far { manager: Manager::connect(addresses.get().unwrap(), KEY).unwrap(), program }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ended = self.manager.shutdown();
        let _ended = self.program.join();
    }
}

#[test]
fn m_14_over_the_network_a_holder_that_is_killed_gives_the_lock_and_its_permit_back() {
    let far = Far::start();
    let (lock, s) = (far.manager.lock().unwrap(), far.manager.semaphore(1).unwrap());
    let hold = |lock: LockProxy, s: SemaphoreProxy, ready: Event| {
        let _guards = (lock.acquire()?, s.acquire()?);
        ready.set();
        park()
    };
    for _ in 0..kills(20) {
        let ready = Event::new().unwrap();
        let args = (lock.clone(), s.clone(), ready.clone());
        let holder = mp::Process::start(hold, args).unwrap();
        ready.wait().unwrap();
        assert!(lock.try_acquire().unwrap().is_none() && s.try_acquire().unwrap().is_none());
        kill(&holder);
        assert_eq!(lock.acquire().unwrap().owner_died(), Some(holder.pid()));
        drop(s.acquire().unwrap());
    }
    far.manager.shutdown().unwrap();
    assert!(matches!(lock.acquire(), Err(ManagerError::Disconnected { .. })));
}

#[test]
fn q_26_over_the_network_a_consumer_that_was_killed_while_it_waited_gets_no_item() {
    starve(&Far::start().manager, kills(30));
}

#[test]
fn who_has_given_a_barrier_back_takes_no_part_though_the_proxy_comes_again() {
    fn come_and_forward(
        barrier: BarrierProxy,
        again: Queue<BarrierProxy>,
        has: Event,
    ) -> mp::Result<()> {
        barrier.wait()?;
        drop(barrier);
        let _only_held = again.get()?;
        has.set();
        loop {
            std::thread::park();
        }
    }

    let manager = Manager::start().unwrap();
    let barrier = manager.barrier(2).unwrap();
    let (again, has) = (Queue::new().unwrap(), Event::new().unwrap());
    let args = (barrier.clone(), again.clone(), has.clone());
    let process = mp::Process::start(come_and_forward, args).unwrap();
    barrier.wait().unwrap();
    again.put(&barrier).unwrap();
    has.wait().unwrap();
    process.kill();
    process.join().unwrap_err();
    // Until the server has heard of it.
    assert_eq!(manager.number_of_objects().unwrap(), 1);
    assert!(!barrier.broken().unwrap());
}

#[test]
fn a_waiter_hears_of_a_repair_though_another_was_faster_to_take_the_lock_over() {
    fn wait_for_repair(
        condition: ConditionProxy,
        repaired: mp::RawValue<u8>,
        waits: Event,
    ) -> mp::Result<()> {
        let mut guard = condition.acquire()?;
        waits.set();
        guard.wait_for(|| repaired.get() == 1)?;
        Ok(())
    }

    fn hold(condition: ConditionProxy, holds: Event) -> mp::Result<()> {
        let _guard = condition.acquire()?;
        holds.set();
        loop {
            std::thread::park();
        }
    }

    let manager = Manager::start().unwrap();
    for _ in 0..mp_testing::storm::kills(40) {
        let condition = manager.condition().unwrap();
        let repaired = mp::RawValue::new(0_u8).unwrap();
        let (waits, holds) = (Event::new().unwrap(), Event::new().unwrap());
        let args = (condition.clone(), repaired.clone(), waits.clone());
        let waiter = mp::Process::start(wait_for_repair, args).unwrap();
        waits.wait().unwrap();
        let holder = mp::Process::start(hold, (condition.clone(), holds.clone())).unwrap();
        holds.wait().unwrap();
        holder.kill();
        // Whoever takes the lock over, repairs and notifies.
        let guard = loop {
            if let Some(guard) = condition.try_acquire().unwrap() {
                break guard;
            }
        };
        repaired.set(1);
        guard.notify_all().unwrap();
        drop(guard);
        assert!(matches!(waiter.join_timeout(Duration::from_secs(20)), Ok(true)));
        holder.join().unwrap_err();
    }
}
