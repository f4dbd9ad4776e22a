//! Handles travel wherever values do, and what they stand for lives as long as one of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use mp::{
    Array, Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore, SyncError, Value,
};
use mp_testing::limits::{LONG, alone, comes_true};
use mp_testing::system::{Holdings, holdings};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

fn resident_kib() -> mp::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Everything at once, inside of everything.
#[derive(Serialize, Deserialize)]
struct Everything {
    lock: Lock,
    locks: Vec<RLock>,
    by_name: BTreeMap<String, Semaphore>,
    maybe: Option<Event>,
    none: Option<Event>,
    tuple: (BoundedSemaphore, (Condition, Barrier)),
    boxed: Box<Value<u64>>,
    outcome: Result<Array<u8>, String>,
}

fn everything() -> Result<Everything, SyncError> {
    Ok(Everything {
        lock: Lock::new()?,
        locks: vec![RLock::new()?, RLock::new()?],
        by_name: BTreeMap::from([("a".to_owned(), Semaphore::new(3)?)]),
        maybe: Some(Event::new()?),
        none: None,
        tuple: (BoundedSemaphore::new(2)?, (Condition::new()?, Barrier::new(1)?)),
        boxed: Box::new(Value::new(5)?),
        outcome: Ok(Array::new(&[1, 2, 3])?),
    })
}

/// Leaves a trace in each.
fn use_everything(all: Everything) -> mp::Result<Everything> {
    all.lock.acquire()?.leak();
    for lock in &all.locks {
        drop((lock.acquire()?, lock.acquire()?));
    }
    all.by_name["a"].acquire()?.forget()?;
    all.maybe.as_ref().ok_or(mp::Error::msg("it is lost"))?.set();
    mp::ensure!(all.none.is_none());
    let (bounded, (condition, barrier)) = &all.tuple;
    drop(bounded.acquire()?);
    condition.acquire()?.notify_all();
    barrier.wait_timeout(LONG)?;
    all.boxed.update(|n| *n += 1)?;
    all.outcome.as_ref().map_err(|error| mp::Error::msg(error.clone()))?.lock()?.fill(9);
    Ok(all)
}

fn check_everything(all: &Everything) {
    assert!(all.lock.is_locked());
    assert!(all.locks.iter().all(|lock| lock.try_acquire().unwrap().is_some()));
    assert_eq!(all.by_name["a"].get_value(), 2);
    assert!(all.maybe.as_ref().unwrap().is_set());
    assert_eq!(all.tuple.0.get_value(), 2);
    assert!(!all.tuple.1.1.broken());
    assert_eq!(all.boxed.get().unwrap(), 6);
    assert_eq!(all.outcome.as_ref().unwrap().to_vec().unwrap(), [9, 9, 9]);
}

#[test]
fn l_09_handles_travel_inside_structures_vectors_maps_options_and_back() {
    let sent = everything().unwrap();
    let message = Everything {
        lock: sent.lock.clone(),
        locks: sent.locks.clone(),
        by_name: sent.by_name.clone(),
        maybe: sent.maybe.clone(),
        none: None,
        tuple: sent.tuple.clone(),
        boxed: sent.boxed.clone(),
        outcome: sent.outcome.clone(),
    };
    let p = mp::Process::start(use_everything, (message,)).unwrap();
    let back = p.result().unwrap();
    check_everything(back);
    check_everything(&sent);
    assert!(back.lock.is_same(&sent.lock) && back.locks[1].is_same(&sent.locks[1]));
    assert!(back.tuple.1.0.get_lock().is_same(sent.tuple.1.0.get_lock()));
}

#[test]
fn l_09_what_the_sender_drops_at_once_arrives() {
    for round in 0..50_u64 {
        let child = |lock: Lock, event: Event, value: Value<u64>| {
            let _guard = lock.acquire()?;
            event.set();
            Ok(value.get()?)
        };
        let arguments = (Lock::new().unwrap(), Event::new().unwrap(), Value::new(round).unwrap());
        let p = mp::Process::start(child, arguments).unwrap();
        // What would be free now would be taken and zeroed by these.
        let others: Vec<_> = (0..100).map(|_| Value::new(0_u64).unwrap()).collect();
        assert_eq!(p.into_result().unwrap(), round);
        assert!(others.iter().all(|other| other.get().unwrap() == 0));
    }
}

#[test]
fn l_09_what_a_process_made_outlives_it() {
    for round in 0..20_u64 {
        let child = |round: u64| -> mp::Result<(Lock, Event, Value<u64>, Everything)> {
            let event = Event::new()?;
            event.set();
            Ok((Lock::new()?, event, Value::new(round)?, use_everything(everything()?)?))
        };
        let p = mp::Process::start(child, (round,)).unwrap();
        let (lock, event, value, all) = p.into_result().unwrap();
        assert!(event.is_set() && value.get().unwrap() == round);
        // Its maker had left it locked, and has ended: somebody takes it over.
        let taken = all.lock.acquire_timeout(LONG).unwrap();
        assert!(taken.is_some_and(|guard| guard.owner_died().is_some()));
        // It goes on to a third process.
        let next = |lock: Lock, event: Event, value: Value<u64>| {
            let _guard = lock.acquire()?;
            event.clear();
            value.update(|n| *n += 1)?;
            Ok(())
        };
        let arguments = (lock.clone(), event.clone(), value.clone());
        mp::Process::start(next, arguments).unwrap().join().unwrap();
        assert!(!event.is_set() && !lock.is_locked());
        assert_eq!(value.get().unwrap(), round + 1);
    }
}

#[test]
fn a_child_of_a_child_uses_what_its_grandparent_made() {
    let child = |lock: Lock, value: Value<u64>| {
        let grandchild = |lock: Lock, value: Value<u64>| {
            let _guard = lock.acquire()?;
            Ok(value.update(|n| *n += 1)?)
        };
        mp::Process::start(grandchild, (lock.clone(), value.clone()))?.join()?;
        grandchild(lock, value)
    };
    let (lock, value) = (Lock::new().unwrap(), Value::new(0).unwrap());
    mp::Process::start(child, (lock.clone(), value.clone())).unwrap().join().unwrap();
    assert_eq!(value.get().unwrap(), 2);
    assert!(!lock.is_locked());
}

#[test]
fn ten_thousand_locks_are_one_argument_and_take_few_descriptors() {
    alone(|| {
        let before = holdings().descriptors;
        let locks = (0..10_000).map(|_| Lock::new()).collect::<Result<Vec<_>, _>>()?;
        let more = holdings().descriptors - before;
        mp::ensure!(more < 50, "{more} descriptors");
        let child = |locks: Vec<Lock>| {
            for lock in &locks {
                mp::ensure!(lock.try_acquire()?.is_none(), "it is another lock");
                lock.release()?;
            }
            Ok(holdings().descriptors)
        };
        let without = mp::Process::start(child, (Vec::new(),))?.into_result()?;
        for lock in &locks {
            lock.acquire()?.leak();
        }
        let with = mp::Process::start(child, (locks.clone(),))?.into_result()?;
        mp::ensure!(with < without + 50, "{with} descriptors instead of {without}");
        mp::ensure!(locks.iter().all(|lock| !lock.is_locked()));
        drop(locks);
        mp::ensure!(comes_true(|| holdings().descriptors < before + 50));
        Ok(())
    });
}

#[test]
fn ten_thousand_of_each_leave_descriptors_and_memory_as_before() {
    alone(|| {
        let cycle = || {
            let all = everything()?;
            mp::ensure!(!all.lock.is_locked() && all.boxed.get()? == 5);
            drop((all.lock.acquire()?, all.by_name["a"].acquire()?));
            all.tuple.1.1.wait()?;
            Ok(())
        };
        (0..1000).try_for_each(|_| cycle())?;
        let (before, resident) = (holdings(), resident_kib()?);
        (0..10_000).try_for_each(|_| cycle())?;
        mp::ensure!(holdings() == before);
        let grown = resident_kib()?.saturating_sub(resident);
        mp::ensure!(grown < 2048, "{grown} KiB more");
        Ok(())
    });
}

#[test]
fn a_thousand_children_with_a_lock_leave_descriptors_and_memory_as_before() {
    alone(|| {
        let lock = Lock::new()?;
        let cycle = |n: u32| {
            let child = |lock: Lock, n: u32| {
                let _guard = lock.acquire()?;
                if n.is_multiple_of(2) {
                    mp_testing::system::raise(rustix::process::Signal::KILL);
                }
                Ok(())
            };
            let outcome = mp::Process::start(child, (lock.clone(), n))?.join();
            mp::ensure!(outcome.is_err() == n.is_multiple_of(2));
            let guard = lock.acquire()?;
            mp::ensure!(guard.owner_died().is_some() == n.is_multiple_of(2), "round {n}");
            Ok(())
        };
        (0..50).try_for_each(cycle)?;
        let (before, resident) = (holdings(), resident_kib()?);
        // More than there are entries for the processes that share objects of one.
        (0..1100).try_for_each(cycle)?;
        // The first look may have come before the last child's descriptors were closed.
        let is_back =
            |now: Holdings| now.descriptors <= before.descriptors && now.threads <= before.threads;
        mp::ensure!(comes_true(|| is_back(holdings())), "{:?} and not {before:?}", holdings());
        let grown = resident_kib()?.saturating_sub(resident);
        mp::ensure!(grown < 2048, "{grown} KiB more");
        Ok(())
    });
}
