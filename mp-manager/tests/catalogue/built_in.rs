//! Lists, queues, locks and whatever else a manager makes without a type of the program.

use std::time::Duration;

use mp::{
    BarrierProxy, BoundedSemaphoreProxy, ConditionProxy, DictProxy, EventProxy, ListProxy,
    LockProxy, Manager, ManagerError, Process, Queue, QueueProxy, RLockProxy, SemaphoreProxy,
};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::system::{is_asleep, is_stopped, signal};
use rustix::process::Signal;

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
