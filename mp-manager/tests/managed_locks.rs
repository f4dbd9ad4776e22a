//! Locks and semaphores that live in a server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{
    BoundedSemaphoreProxy, Event, LockProxy, Manager, ManagerError, RLockProxy, RawValue,
    SemaphoreProxy, SyncError,
};
use mp_testing::limits::{SHORT, at_once, takes_at_least};

mp::enable_test_support!();

fn manager() -> Manager {
    Manager::start().unwrap()
}

fn sync_error<T: std::fmt::Debug>(result: Result<T, ManagerError>) -> SyncError {
    match result {
        Err(ManagerError::Sync(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn l_01_l_02_l_04_a_lock_is_taken_once_and_released_once() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    assert!(!lock.is_locked().unwrap());
    let guard = lock.acquire().unwrap();
    assert!(guard.owner_died().is_none());
    assert!(lock.is_locked().unwrap());
    assert!(at_once(|| lock.try_acquire().unwrap().is_none()), "not for the same thread either");
    assert!(takes_at_least(SHORT, || lock.acquire_timeout(SHORT).unwrap().is_none()));
    assert!(at_once(|| lock.acquire_timeout(Duration::ZERO).unwrap().is_none()));
    assert!(matches!(sync_error(lock.release()), SyncError::Guarded));
    drop(guard);
    assert!(matches!(sync_error(lock.release()), SyncError::NotHeld));
    assert!(lock.try_acquire().unwrap().is_some());
    assert!(lock.acquire_timeout(SHORT).unwrap().is_some());
    assert!(!lock.is_locked().unwrap());
}

#[test]
fn m_47_a_lock_that_a_child_leaked_stays_held_after_its_end_and_anybody_releases_it() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let leak = |lock: LockProxy| Ok(lock.acquire()?.leak()?);
    mp::Process::start(leak, (lock.clone(),)).unwrap().into_result().unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    let release = |lock: LockProxy| Ok(lock.release()?);
    mp::Process::start(release, (lock.clone(),)).unwrap().into_result().unwrap();
    assert!(lock.try_acquire().unwrap().is_some_and(|guard| guard.owner_died().is_none()));
    mp::Process::start(leak, (lock.clone(),)).unwrap().into_result().unwrap();
    lock.release().unwrap();
    assert!(matches!(sync_error(lock.release()), SyncError::NotHeld));
}

#[test]
fn l_05_a_guard_may_be_dropped_in_another_thread_and_a_leaked_lock_be_released_there() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let guard = lock.acquire().unwrap();
    std::thread::scope(|scope| scope.spawn(|| drop(guard)).join().unwrap());
    lock.acquire().unwrap().leak().unwrap();
    std::thread::scope(|scope| scope.spawn(|| lock.release().unwrap()).join().unwrap());
    assert!(!lock.is_locked().unwrap());
}

#[test]
fn l_06_eight_processes_of_four_threads_keep_a_counter_right() {
    fn count(lock: LockProxy, total: RawValue<u64>) -> mp::Result<()> {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _held = lock.acquire().unwrap();
                        let before = total.get();
                        std::thread::yield_now();
                        total.set(before + 1);
                    }
                });
            }
        });
        Ok(())
    }

    let manager = manager();
    let (lock, total) = (manager.lock().unwrap(), RawValue::new(0).unwrap());
    let processes: Vec<_> =
        (0..8).map(|_| mp::Process::start(count, (lock.clone(), total.clone())).unwrap()).collect();
    processes.into_iter().for_each(|process| process.into_result().unwrap());
    assert_eq!(total.get(), 8 * 4 * 50);
}

#[test]
fn threads_of_one_client_exclude_each_other_and_have_the_lock_in_the_order_of_their_coming() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let (order, ready) = (std::sync::Mutex::new(Vec::new()), Event::new().unwrap());
    let guard = lock.acquire().unwrap();
    std::thread::scope(|scope| {
        let (lock, order, ready) = (&lock, &order, &ready);
        for number in 0..5 {
            ready.clear();
            scope.spawn(move || {
                ready.set();
                let _held = lock.acquire().unwrap();
                order.lock().unwrap().push(number);
            });
            ready.wait().unwrap();
            // Nothing tells that it waits; from there it is one call.
            std::thread::sleep(SHORT);
        }
        drop(guard);
    });
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_waiter_gets_the_lock_when_another_process_releases_it() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let hold = |lock: LockProxy, is_held: Event, go: Event| {
        let _held = lock.acquire()?;
        is_held.set();
        Ok(go.wait()?)
    };
    let (is_held, go) = (Event::new().unwrap(), Event::new().unwrap());
    let args = (lock.clone(), is_held.clone(), go.clone());
    let holder = mp::Process::start(hold, args).unwrap();
    is_held.wait().unwrap();
    assert!(lock.acquire_timeout(SHORT).unwrap().is_none());
    go.set();
    assert!(lock.acquire().unwrap().owner_died().is_none());
    holder.into_result().unwrap();
}

#[test]
fn a_server_that_is_shut_down_while_somebody_waits_ends_the_wait() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let guard = lock.acquire().unwrap();
    let wait = |lock: LockProxy, ready: Event| {
        ready.set();
        match lock.acquire() {
            Err(ManagerError::Disconnected { .. }) => Ok(()),
            other => mp::bail!("{other:?}"),
        }
    };
    let ready = Event::new().unwrap();
    let waiter = mp::Process::start(wait, (lock.clone(), ready.clone())).unwrap();
    ready.wait().unwrap();
    let thread = {
        let lock = lock.clone();
        std::thread::spawn(move || lock.acquire().map(drop).unwrap_err())
    };
    std::thread::sleep(SHORT);
    manager.shutdown().unwrap();
    waiter.into_result().unwrap();
    let error = thread.join().unwrap();
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    // It has nothing to give back to.
    at_once(|| drop(guard));
    at_once(|| lock.acquire().map(drop).unwrap_err());
}

#[test]
fn l_08_rl_04_the_text_shows_who_holds_it() {
    let manager = manager();
    let (lock, rlock) = (manager.lock().unwrap(), manager.rlock().unwrap());
    assert_eq!(lock.to_string(), "<Lock(owner=none)>");
    assert_eq!(rlock.to_string(), "<RLock(owner=none, count=0)>");
    let _guards = (lock.acquire().unwrap(), rlock.acquire().unwrap(), rlock.acquire().unwrap());
    let owner = format!("of process {}", std::process::id());
    assert!(lock.to_string().contains(&owner), "{lock}");
    assert!(rlock.to_string().contains(&format!("{owner}, count=2")), "{rlock}");
    assert!(format!("{lock:?}").contains("lockProxy"), "{lock:?}");
}

#[test]
fn rl_01_rl_02_the_owner_acquires_repeatedly_and_others_after_as_many_releases() {
    let manager = manager();
    let lock = manager.rlock().unwrap();
    let tries = |lock: RLockProxy| Ok(lock.try_acquire()?.is_some());
    let is_free = || {
        let here = std::thread::scope(|scope| {
            scope.spawn(|| lock.try_acquire().unwrap().is_some()).join().unwrap()
        });
        let there = mp::Process::start(tries, (lock.clone(),)).unwrap().into_result().unwrap();
        assert_eq!(here, there);
        here
    };
    assert!(is_free());
    let guards = [lock.acquire().unwrap(), lock.acquire().unwrap(), lock.acquire().unwrap()];
    for guard in guards {
        assert!(!is_free());
        drop(guard);
    }
    assert!(is_free());
    assert!(matches!(sync_error(lock.release()), SyncError::NotOwner { .. }));
}

#[test]
fn rl_03_only_the_owner_releases_and_only_what_was_leaked() {
    let manager = manager();
    let lock = manager.rlock().unwrap();
    let guard = lock.acquire().unwrap();
    assert!(matches!(sync_error(lock.release()), SyncError::Guarded));
    let release = |lock: RLockProxy| match lock.release() {
        Err(ManagerError::Sync(SyncError::NotOwner { owner })) => Ok(owner),
        other => mp::bail!("{other:?}"),
    };
    let owner = mp::Process::start(release, (lock.clone(),)).unwrap().into_result().unwrap();
    assert!(owner.contains(&std::process::id().to_string()), "{owner}");
    std::thread::scope(|scope| {
        let error = scope.spawn(|| sync_error(lock.release())).join().unwrap();
        assert!(matches!(error, SyncError::NotOwner { .. }), "{error:?}");
    });
    lock.acquire().unwrap().leak().unwrap();
    drop(guard);
    assert!(lock.is_locked().unwrap());
    lock.release().unwrap();
    assert!(!lock.is_locked().unwrap());
}

#[test]
fn rl_06_a_thread_that_comes_later_is_not_the_owner() {
    let manager = manager();
    let lock = manager.rlock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| lock.acquire().unwrap().leak().unwrap()).join().unwrap();
        for _ in 0..10 {
            let other = scope.spawn(|| sync_error(lock.release())).join().unwrap();
            assert!(matches!(other, SyncError::NotOwner { .. }), "{other:?}");
        }
    });
    assert!(lock.try_acquire().unwrap().is_none());
}

#[test]
fn se_01_se_02_a_semaphore_counts_its_permits() {
    let manager = manager();
    let s = manager.semaphore(2).unwrap();
    let first = s.acquire().unwrap();
    assert_eq!(s.get_value().unwrap(), 1);
    let second = s.acquire().unwrap();
    assert_eq!(s.get_value().unwrap(), 0);
    assert!(at_once(|| s.try_acquire().unwrap().is_none()));
    assert!(takes_at_least(SHORT, || s.acquire_timeout(SHORT).unwrap().is_none()));
    drop(first);
    assert_eq!(s.get_value().unwrap(), 1);
    second.forget().unwrap();
    s.release().unwrap();
    s.release().unwrap();
    s.release_many(2).unwrap();
    assert_eq!(s.get_value().unwrap(), 5);
    assert_eq!(s.to_string(), "<Semaphore(value=5)>");
}

#[test]
fn se_03_se_06_m_48_a_bounded_semaphore_is_not_released_beyond_its_bound() {
    let manager = manager();
    let s = manager.bounded_semaphore(2).unwrap();
    assert_eq!(s.bound().unwrap(), 2);
    assert!(matches!(sync_error(s.release()), SyncError::BoundExceeded { bound: 2 }));
    s.acquire().unwrap().forget().unwrap();
    let permit = s.acquire().unwrap();
    assert!(matches!(sync_error(s.release_many(2)), SyncError::BoundExceeded { bound: 2 }));
    s.release().unwrap();
    // What is missing now is in the hands of a permit.
    assert!(matches!(sync_error(s.release()), SyncError::BoundExceeded { bound: 2 }));
    drop(permit);
    assert_eq!(s.get_value().unwrap(), 2);
    let none = manager.bounded_semaphore(0).unwrap();
    assert!(none.try_acquire().unwrap().is_none());
    assert!(matches!(sync_error(none.release()), SyncError::BoundExceeded { bound: 0 }));
}

#[test]
fn se_05_values_that_cannot_be_are_errors() {
    let manager = manager();
    let too_high = 1 << 31;
    let error = sync_error(manager.semaphore(too_high));
    assert!(matches!(error, SyncError::InvalidValue { value, .. } if value == too_high));
    sync_error(manager.bounded_semaphore(u32::MAX));
    let s = manager.semaphore(too_high - 1).unwrap();
    assert!(matches!(sync_error(s.release()), SyncError::BoundExceeded { .. }));
    sync_error(s.release_many(u32::MAX));
    assert_eq!(s.get_value().unwrap(), too_high - 1);
    assert_eq!(manager.number_of_objects().unwrap(), 1);
}

#[test]
fn se_07_permits_are_never_exceeded_and_all_come_back() {
    fn work(s: SemaphoreProxy, inside: RawValue<u64>, lock: LockProxy) -> mp::Result<u64> {
        let change = |by: i64| -> mp::Result<u64> {
            let _held = lock.acquire()?;
            inside.set(inside.get().wrapping_add_signed(by));
            Ok(inside.get())
        };
        let mut most = 0;
        for _ in 0..30 {
            let _permit = s.acquire()?;
            most = most.max(change(1)?);
            std::thread::yield_now();
            change(-1)?;
        }
        Ok(most)
    }

    let manager = manager();
    let (s, lock) = (manager.semaphore(3).unwrap(), manager.lock().unwrap());
    let inside = RawValue::new(0).unwrap();
    let start = |_| mp::Process::start(work, (s.clone(), inside.clone(), lock.clone())).unwrap();
    let processes: Vec<_> = (0..6).map(start).collect();
    let most = processes.into_iter().map(|process| process.into_result().unwrap()).max();
    assert!(most <= Some(3), "{most:?}");
    assert_eq!((inside.get(), s.get_value().unwrap()), (0, 3));
}

#[test]
fn a_release_of_many_wakes_as_many() {
    let manager = manager();
    let s = manager.semaphore(0).unwrap();
    let wait = |s: SemaphoreProxy| Ok(s.acquire()?.forget()?);
    let waiters: Vec<_> = (0..3).map(|_| mp::Process::start(wait, (s.clone(),)).unwrap()).collect();
    s.release_many(3).unwrap();
    waiters.into_iter().for_each(|waiter| waiter.into_result().unwrap());
    assert_eq!(s.get_value().unwrap(), 0);
}

#[derive(Debug)]
struct Keeper;

#[mp::managed]
impl Keeper {
    pub fn new() -> Self {
        Keeper
    }

    pub fn holds(&self, lock: LockProxy, s: BoundedSemaphoreProxy) -> mp::Result<bool> {
        let _guards = (lock.acquire()?, s.acquire()?);
        let error = lock.release().unwrap_err();
        mp::ensure!(matches!(error, ManagerError::Sync(SyncError::Guarded)), "{error:?}");
        Ok(lock.try_acquire()?.is_none() && s.get_value()? == 0)
    }

    pub fn leak(&self, lock: LockProxy) -> mp::Result<()> {
        Ok(lock.acquire()?.leak()?)
    }
}

#[test]
fn mp_07_locks_are_as_good_inside_of_their_server() {
    let manager = manager();
    let keeper = manager.create(Keeper::args()).unwrap();
    let (lock, s) = (manager.lock().unwrap(), manager.bounded_semaphore(1).unwrap());
    assert!(keeper.holds(lock.clone(), s.clone()).unwrap());
    assert!(!lock.is_locked().unwrap());
    assert_eq!(s.get_value().unwrap(), 1);
    let guard = lock.acquire().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| keeper.leak(lock.clone()).unwrap());
        std::thread::sleep(SHORT);
        assert!(!waits.is_finished());
        drop(guard);
    });
    assert!(lock.is_locked().unwrap());
    lock.release().unwrap();
}
