//! What once went wrong: handles put together from parts, deaths that nobody looked for, wake-ups left undone.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use mp::{BarrierError, Broken, DeadOwner};
use mp_testing::limits::comes_true;
use mp_testing::system::ends_within;

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// Does what `work` does, says so, and stays.
fn stays<T>(work: impl FnOnce() -> mp::Result<T>, done: &mp::Event) -> mp::Result<()> {
    let _kept = work()?;
    done.set();
    loop {
        std::thread::park();
    }
}

fn killed<T>(process: &mp::Process<T>) {
    process.kill();
    assert!(ends_within(process.pid(), LONG).unwrap());
}

#[test]
fn a_value_is_not_opened_with_the_lock_of_another() {
    let (mine, other) = (mp::Value::new(1_u32).unwrap(), mp::Value::new(2_u32).unwrap());
    let (mine, other) = (mine.token().unwrap(), other.token().unwrap());
    let (value, lock) = (mine.split_once('+').unwrap().0, other.split_once('+').unwrap().1);
    let error = mp::Value::<u32>::from_token(&format!("{value}+{lock}")).unwrap_err();
    assert!(error.to_string().contains("belong to another lock"), "{error}");
    let error = mp::RawValue::<u32>::from_token(value).unwrap_err();
    assert!(error.to_string().contains("another kind"), "{error}");

    let raw = mp::RawArray::<u32>::zeroed(1).unwrap();
    let lock = mp::AnyLock::from(mp::Lock::new().unwrap());
    let message = mp_reduction::encode(&(raw, lock)).unwrap();
    message.decode::<mp::Value<u32>>().unwrap_err();
    message.decode::<mp::Array<u32>>().unwrap_err();
}

#[test]
fn b_16_the_last_to_arrive_sees_that_another_was_killed_in_the_wait() {
    fn waits(barrier: mp::Barrier) -> mp::Result<()> {
        barrier.wait()?;
        Ok(())
    }
    let barrier = mp::Barrier::new(2).unwrap();
    let p = mp::Process::builder(waits, (barrier.clone(),)).name("party").start().unwrap();
    let deadline = Instant::now() + LONG;
    while barrier.n_waiting() == 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    killed(&p);
    match barrier.wait() {
        Err(BarrierError::Broken(Broken::PartyDied { process: Some(DeadOwner { name, .. }) })) => {
            assert_eq!(name, "party");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn b_16_a_barrier_whose_party_was_killed_in_the_action_is_broken_for_newcomers() {
    fn acts(barrier: mp::Barrier) -> mp::Result<()> {
        barrier.wait()?;
        Ok(())
    }
    let barrier = mp::Barrier::builder(1)
        .action(|| {
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
            Ok(())
        })
        .build()
        .unwrap();
    let p = mp::Process::start(acts, (barrier.clone(),)).unwrap();
    p.join().unwrap_err();
    let outcome = barrier.wait_timeout(LONG);
    assert!(matches!(outcome, Err(BarrierError::Broken(Broken::PartyDied { .. }))), "{outcome:?}");
}

#[test]
fn l_07_a_waiter_of_a_condition_inherits_from_a_holder_that_was_killed() {
    fn holds(condition: mp::Condition, held: mp::Event) -> mp::Result<()> {
        stays(|| Ok(std::mem::forget(condition.acquire()?)), &held)
    }
    let (condition, held) = (mp::Condition::new().unwrap(), mp::Event::new().unwrap());
    let mut guard = condition.acquire().unwrap();
    let arguments = (condition.clone(), held.clone());
    let p = mp::Process::builder(holds, arguments).name("holder").start().unwrap();
    let killer = std::thread::spawn(move || {
        held.wait().unwrap();
        killed(&p);
    });
    guard.wait().unwrap();
    assert_eq!(guard.owner_died().unwrap().name, "holder");
    killer.join().unwrap();
}

#[test]
fn c_03_a_notification_is_not_held_back_by_a_second_condition_on_the_lock() {
    let lock = mp::RLock::new().unwrap();
    let condition = || mp::Condition::with_rlock(&lock).unwrap();
    let (ours, theirs) = (condition(), condition());
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..21 {
            let mut own = ours.acquire().unwrap();
            let waiter = scope.spawn(|| {
                let mut guard = theirs.acquire().unwrap();
                ours.acquire().unwrap().notify(1);
                guard.wait().unwrap();
                ours.acquire().unwrap().notify(1);
            });
            own.wait().unwrap(); // the waiter waits, for it could notify only then
            let begun = Instant::now();
            let other = theirs.acquire().unwrap();
            other.notify(1);
            own.wait().unwrap();
            times.push(begun.elapsed());
            drop((other, own));
            waiter.join().unwrap();
        }
    });
    // A sleeper that has to look for itself does so after 32 ms at the earliest.
    times.sort();
    assert!(times[times.len() / 2] < Duration::from_millis(30), "{times:?}");
}

#[test]
fn se_03_permits_that_guards_hold_are_not_given_back_twice() {
    fn releases_too_often(s: mp::BoundedSemaphore) -> mp::Result<()> {
        let _held = (s.acquire()?, s.acquire()?);
        mp::ensure!(matches!(s.release(), Err(mp::SyncError::BoundExceeded { bound: 2 })));
        Ok(())
    }
    let s = mp::BoundedSemaphore::new(2).unwrap();
    mp::Process::start(releases_too_often, (s.clone(),)).unwrap().into_result().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| s.try_acquire().unwrap()).collect();
    assert_eq!(held.len(), 2);
}

#[test]
fn a_value_in_memory_used_again_is_not_taken_for_a_forgotten_one() {
    for n in 0..100_u32 {
        let value = mp::Value::new(n).unwrap();
        std::mem::forget(value.lock().unwrap());
        drop(value);
        assert_eq!(mp::Value::new(n).unwrap().get().unwrap(), n);
    }
}

#[test]
fn rt_09_what_was_leaked_and_released_is_given_back() {
    fn makes() -> mp::Result<mp::Lock> {
        Ok(mp::Lock::new()?)
    }
    fn leaks_and_releases(_: u32) -> mp::Result<()> {
        let lock = mp::Process::start(makes, ())?.into_result()?;
        lock.acquire()?.leak();
        Ok(lock.release()?)
    }
    fn scenario() -> mp::Result<()> {
        leaks_and_releases(0)?;
        let before = mp_testing::system::holdings();
        (1..10).try_for_each(leaks_and_releases)?;
        // Something of the first round may have been on its way out when that was counted.
        let is_back = || {
            let now = mp_testing::system::holdings();
            now.descriptors <= before.descriptors && now.threads <= before.threads
        };
        mp::ensure!(comes_true(is_back), "{:?} after {before:?}", mp_testing::system::holdings());
        Ok(())
    }
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}
