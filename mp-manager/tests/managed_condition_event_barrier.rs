//! Conditions, events and barriers that live in a server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{
    BarrierError, BarrierProxy, Broken, ConditionProxy, EventProxy, Manager, ManagerError,
    RawValue, SyncError, TypedProxy,
};
use mp_testing::limits::{SHORT, at_once, comes_true, takes_at_least};

mp::enable_test_support!();

fn manager() -> Manager {
    Manager::start().unwrap()
}

/// Waits once, and counts itself then.
fn wait_once(condition: &ConditionProxy, awake: &RawValue<u32>) -> mp::Result<()> {
    let mut guard = condition.acquire()?;
    guard.wait()?;
    awake.set(awake.get() + 1);
    Ok(())
}

/// Three processes and three threads that wait.
fn with_six_waiters(test: impl FnOnce(&ConditionProxy, &RawValue<u32>)) {
    let manager = manager();
    let (condition, awake) = (manager.condition().unwrap(), RawValue::new(0).unwrap());
    let wait = |c: ConditionProxy, awake: RawValue<u32>| wait_once(&c, &awake);
    let processes: Vec<_> = (0..3)
        .map(|_| mp::Process::start(wait, (condition.clone(), awake.clone())).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| wait_once(&condition, &awake).unwrap());
        }
        assert!(comes_true(|| condition.waiting().unwrap() == 6));
        test(&condition, &awake);
        condition.acquire().unwrap().notify_all().unwrap();
    });
    processes.into_iter().for_each(|process| process.into_result().unwrap());
    assert_eq!((awake.get(), condition.waiting().unwrap()), (6, 0));
}

/// Notifies some, and waits until as many are awake as there should be.
fn notify(condition: &ConditionProxy, awake: &RawValue<u32>, count: usize, expected: u32) {
    condition.acquire().unwrap().notify(count).unwrap();
    assert!(comes_true(|| awake.get() == expected));
    std::thread::sleep(SHORT);
    assert_eq!(awake.get(), expected);
    assert_eq!(condition.waiting().unwrap(), 6 - expected as usize);
}

#[test]
fn c_03_c_04_c_05_notify_wakes_as_many_as_it_is_told_and_remembers_nothing() {
    with_six_waiters(|condition, awake| {
        notify(condition, awake, 0, 0);
        notify(condition, awake, 1, 1);
        notify(condition, awake, 2, 3);
        notify(condition, awake, 100, 6);
        let mut guard = condition.acquire().unwrap();
        assert!(!guard.wait_timeout(SHORT).unwrap());
    });
    with_six_waiters(|_, _| ());
}

#[test]
fn c_02_c_06_waiters_whose_time_is_over_leave_no_trace() {
    let manager = manager();
    let condition = manager.condition().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut guard = condition.acquire().unwrap();
                assert!(!takes_at_least(SHORT, || guard.wait_timeout(SHORT).unwrap()));
            });
        }
    });
    assert_eq!(condition.waiting().unwrap(), 0);
    assert!(!at_once(|| condition.acquire().unwrap().wait_timeout(Duration::ZERO).unwrap()));
    let wait = |c: ConditionProxy| Ok(c.acquire()?.wait()?);
    let waiter = mp::Process::start(wait, (condition.clone(),)).unwrap();
    assert!(comes_true(|| condition.waiting().unwrap() == 1));
    condition.acquire().unwrap().notify(1).unwrap();
    waiter.into_result().unwrap();
}

#[test]
fn c_09_a_wait_gives_the_lock_up_completely_and_has_it_as_often_afterwards() {
    let manager = manager();
    let rlock = manager.rlock().unwrap();
    let condition = manager.condition_with_rlock(&rlock).unwrap();
    let outer = [rlock.acquire().unwrap(), rlock.acquire().unwrap()];
    let mut guard = condition.acquire().unwrap();
    let notify = |c: ConditionProxy| Ok(c.acquire()?.notify(1)?);
    let other = mp::Process::start(notify, (condition.clone(),)).unwrap();
    guard.wait().unwrap();
    other.into_result().unwrap();
    assert!(rlock.to_string().contains("count=3"), "{rlock}");
    assert!(!guard.wait_timeout(Duration::from_millis(1)).unwrap());
    assert!(rlock.to_string().contains("count=3"), "{rlock}");
    drop((guard, outer));
    assert!(!rlock.is_locked().unwrap());
}

#[test]
fn c_10_who_is_woken_goes_on_only_when_the_notifier_gave_the_lock_up() {
    let manager = manager();
    let (condition, awake) = (manager.condition().unwrap(), RawValue::new(0).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| wait_once(&condition, &awake).unwrap());
        assert!(comes_true(|| condition.waiting().unwrap() == 1));
        let guard = condition.acquire().unwrap();
        guard.notify_all().unwrap();
        std::thread::sleep(SHORT);
        assert_eq!(awake.get(), 0);
        drop(guard);
        assert!(comes_true(|| awake.get() == 1));
    });
}

#[test]
fn c_11_c_12_c_13_wait_for_asks_its_predicate_after_each_notification() {
    let manager = manager();
    let (condition, state) = (manager.condition().unwrap(), RawValue::new(0_u32).unwrap());
    let count = |c: ConditionProxy, state: RawValue<u32>| {
        for n in 1..=4 {
            std::thread::sleep(Duration::from_millis(10));
            let guard = c.acquire()?;
            state.set(n);
            guard.notify(1)?;
        }
        Ok(())
    };
    let counter = mp::Process::start(count, (condition.clone(), state.clone())).unwrap();
    let mut guard = condition.acquire().unwrap();
    guard.wait_for(|| state.get() == 4).unwrap();
    drop(guard);
    counter.into_result().unwrap();

    let mut guard = condition.acquire().unwrap();
    let mut asked = 0;
    let is_true = guard.wait_for_timeout(Duration::ZERO, || {
        asked += 1;
        false
    });
    assert_eq!((is_true.unwrap(), asked), (false, 1));
    assert!(at_once(|| guard.wait_for_timeout(SHORT, || true).unwrap()));
    drop(guard);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut guard = condition.acquire().unwrap();
            takes_at_least(SHORT, || guard.wait_for_timeout(SHORT, || false).unwrap())
        });
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(10));
            condition.acquire().unwrap().notify_all().unwrap();
        }
        assert!(!waiter.join().unwrap());
    });
}

#[test]
fn c_15_conditions_on_a_lock_share_it() {
    let manager = manager();
    let lock = manager.lock().unwrap();
    let (a, b) =
        (manager.condition_with_lock(&lock).unwrap(), manager.condition_with_lock(&lock).unwrap());
    let guard = a.acquire().unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    assert!(b.try_acquire().unwrap().is_none());
    drop(guard);
    std::thread::scope(|scope| {
        let on_a = scope.spawn(|| a.acquire().unwrap().wait().unwrap());
        let on_b = scope.spawn(|| b.acquire().unwrap().wait().unwrap());
        assert!(comes_true(|| a.waiting().unwrap() + b.waiting().unwrap() == 2));
        b.acquire().unwrap().notify_all().unwrap();
        on_b.join().unwrap();
        assert!(!on_a.is_finished());
        a.acquire().unwrap().notify_all().unwrap();
    });
    // The lock lives as long as a condition on it.
    drop((lock, b));
    assert!(!a.acquire().unwrap().wait_timeout(Duration::from_millis(1)).unwrap());
}

#[test]
fn a_lock_of_another_server_is_refused_for_a_condition() {
    let (manager, other) = (manager(), manager());
    let lock = other.lock().unwrap();
    let error = manager.condition_with_lock(&lock).unwrap_err();
    assert!(matches!(error, ManagerError::Value(_)), "{error:?}");
}

#[test]
fn c_01_m_48_to_wait_or_notify_without_the_lock_is_refused() {
    let manager = manager();
    let condition = manager.condition().unwrap();
    for (method, number) in [("wait", 0_i64), ("notify", 1)] {
        let error = condition.as_proxy().call::<(), _>(method, &(number,)).unwrap_err();
        let is_refused = matches!(error, ManagerError::Sync(SyncError::NotOwner { .. }));
        assert!(is_refused, "{method}: {error:?}");
    }
}

#[test]
fn e_01_e_02_e_03_e_04_an_event_is_set_and_cleared() {
    let manager = manager();
    let event = manager.event().unwrap();
    assert!(!event.is_set().unwrap());
    assert!(!at_once(|| event.wait_timeout(Duration::ZERO).unwrap()));
    assert!(!takes_at_least(SHORT, || event.wait_timeout(SHORT).unwrap()));
    event.set().unwrap();
    event.set().unwrap();
    assert!(event.is_set().unwrap());
    event.wait().unwrap();
    assert!(event.wait_timeout(Duration::ZERO).unwrap());
    event.clear().unwrap();
    event.clear().unwrap();
    assert!(!event.is_set().unwrap());
    let set = |event: EventProxy| Ok(event.set()?);
    let child = mp::Process::start(set, (event.clone(),)).unwrap();
    event.wait().unwrap();
    child.into_result().unwrap();
}

#[test]
fn m_50_e_06_the_text_of_an_event_shows_whether_it_is_set_and_that_of_its_proxy_what_it_is() {
    let manager = manager();
    let event = manager.event().unwrap();
    assert_eq!(event.to_string(), "<Event unset>");
    assert!(format!("{event:?}").starts_with("<eventProxy object"), "{event:?}");
    event.set().unwrap();
    assert_eq!(event.to_string(), "<Event set>");
    assert!(format!("{event:?}").starts_with("<eventProxy object"), "{event:?}");
}

#[test]
fn e_05_e_07_everybody_who_waits_is_woken_also_when_it_is_cleared_at_once() {
    let manager = manager();
    let (event, waiting) = (manager.event().unwrap(), manager.semaphore(0).unwrap());
    let wait = |event: EventProxy, waiting: mp::SemaphoreProxy| {
        waiting.release()?;
        mp::ensure!(event.wait_timeout(Duration::from_secs(60))?, "it was not woken");
        Ok(())
    };
    let waiters: Vec<_> = (0..4)
        .map(|_| mp::Process::start(wait, (event.clone(), waiting.clone())).unwrap())
        .collect();
    for _ in 0..4 {
        waiting.acquire().unwrap().forget().unwrap();
    }
    // From there it is one call.
    std::thread::sleep(Duration::from_millis(300));
    event.set().unwrap();
    event.clear().unwrap();
    waiters.into_iter().for_each(|waiter| waiter.into_result().unwrap());
}

fn is_broken_by<T>(waited: Result<T, ManagerError>, by: &Broken) -> bool {
    matches!(waited, Err(ManagerError::Barrier(BarrierError::Broken(broken))) if broken == *by)
}

#[test]
fn b_01_b_02_parties_go_in_step_and_each_round_has_all_numbers() {
    fn pass(barrier: BarrierProxy, counts: [RawValue<u64>; 2]) -> mp::Result<Vec<usize>> {
        let mut numbers = Vec::new();
        for round in 1..=10 {
            for count in &counts {
                numbers.push(barrier.wait()?);
                // Only one party has this number, and the others wait for it at the next barrier.
                if numbers.last() == Some(&2) {
                    count.set(count.get() + 1);
                }
            }
            barrier.wait()?;
            let counted = counts.each_ref().map(RawValue::get);
            mp::ensure!(counted == [round, round], "{counted:?} in round {round}");
            barrier.wait()?;
        }
        Ok(numbers)
    }

    let manager = manager();
    let barrier = manager.barrier(5).unwrap();
    let counts = [RawValue::new(0).unwrap(), RawValue::new(0).unwrap()];
    let start = |_| mp::Process::start(pass, (barrier.clone(), counts.clone())).unwrap();
    let processes: Vec<_> = (0..5).map(start).collect();
    let numbers: Vec<_> =
        processes.into_iter().map(|process| process.into_result().unwrap()).collect();
    for round in 0..20 {
        let mut of_round: Vec<_> = numbers.iter().map(|numbers| numbers[round]).collect();
        of_round.sort_unstable();
        assert_eq!(of_round, [0, 1, 2, 3, 4]);
    }
    assert_eq!((barrier.n_waiting().unwrap(), barrier.broken().unwrap()), (0, false));
}

#[test]
fn m_47_a_barrier_of_five_is_seen_and_reset_by_a_child() {
    let manager = manager();
    let barrier = manager.barrier(5).unwrap();
    let look = |barrier: BarrierProxy| {
        let parties = barrier.parties()?;
        barrier.reset()?;
        Ok(parties)
    };
    assert_eq!(mp::Process::start(look, (barrier,)).unwrap().into_result().unwrap(), 5);
}

#[test]
fn b_05_b_06_b_07_an_abort_and_a_reset_reach_those_who_wait() {
    let manager = manager();
    let barrier = manager.barrier(3).unwrap();
    let two_wait = |end: &dyn Fn(), by: &Broken| {
        std::thread::scope(|scope| {
            let waiters = [0, 1].map(|_| scope.spawn(|| barrier.wait()));
            assert!(comes_true(|| barrier.n_waiting().unwrap() == 2));
            end();
            assert!(waiters.into_iter().all(|waiter| is_broken_by(waiter.join().unwrap(), by)));
        });
    };
    two_wait(&|| barrier.abort().unwrap(), &Broken::Aborted);
    assert!(barrier.broken().unwrap());
    assert_eq!(barrier.to_string(), "<Barrier(parties=3, waiting=0, broken)>");
    barrier.abort().unwrap();
    assert!(at_once(|| is_broken_by(barrier.wait(), &Broken::Aborted)));
    barrier.reset().unwrap();
    barrier.reset().unwrap();
    assert!(!barrier.broken().unwrap());
    two_wait(&|| barrier.reset().unwrap(), &Broken::Reset);
    assert!(!barrier.broken().unwrap());
    std::thread::scope(|scope| {
        let waiters = [0, 1, 2].map(|_| scope.spawn(|| barrier.wait().unwrap()));
        let mut numbers = waiters.map(|waiter| waiter.join().unwrap());
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
    });
}

#[test]
fn b_08_b_09_b_13_a_party_that_waits_no_longer_breaks_it_for_all() {
    let manager = manager();
    let barrier = manager.barrier_with_timeout(3, SHORT).unwrap();
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| barrier.wait_timeout(Duration::from_secs(60)));
        assert!(comes_true(|| barrier.n_waiting().unwrap() == 1));
        let by = Broken::TimedOut { limit: None };
        assert!(takes_at_least(SHORT, || is_broken_by(barrier.wait(), &by)));
        assert!(is_broken_by(patient.join().unwrap(), &by));
        assert!(is_broken_by(barrier.wait(), &by));
    });
    barrier.reset().unwrap();
    let limit = Some(Duration::ZERO);
    let waited = at_once(|| barrier.wait_timeout(Duration::ZERO));
    assert!(is_broken_by(waited, &Broken::TimedOut { limit }));
}

#[test]
fn b_10_b_15_a_barrier_has_at_least_one_party_who_then_never_waits() {
    let manager = manager();
    for parties in [0, 1025, usize::MAX] {
        let error = manager.barrier(parties).unwrap_err();
        let is_refused = matches!(
            error,
            ManagerError::Sync(SyncError::InvalidParties { parties: refused, .. }) if refused == parties
        );
        assert!(is_refused, "{error:?}");
    }
    let barrier = manager.barrier(1).unwrap();
    assert_eq!([barrier.wait().unwrap(), barrier.wait().unwrap()], [0, 0]);
}

#[test]
fn b_16_a_party_that_has_ended_well_is_not_missed() {
    let manager = manager();
    let barrier = manager.barrier(2).unwrap();
    let pass = |barrier: BarrierProxy| Ok(barrier.wait()?);
    for _ in 0..10 {
        let party = mp::Process::start(pass, (barrier.clone(),)).unwrap();
        barrier.wait().unwrap();
        party.into_result().unwrap();
        // The server knows of its end.
        manager.debug_info().unwrap();
        assert!(!barrier.broken().unwrap());
    }
}

#[test]
fn a_server_that_is_shut_down_ends_all_waits() {
    let manager = manager();
    let (condition, event) = (manager.condition().unwrap(), manager.event().unwrap());
    let barrier = manager.barrier(2).unwrap();
    std::thread::scope(|scope| {
        let waits = [
            scope.spawn(|| condition.acquire().unwrap().wait().unwrap_err()),
            scope.spawn(|| event.wait().unwrap_err()),
            scope.spawn(|| barrier.wait().map(drop).unwrap_err()),
        ];
        assert!(comes_true(|| condition.waiting().unwrap() == 1));
        assert!(comes_true(|| barrier.n_waiting().unwrap() == 1));
        std::thread::sleep(SHORT);
        manager.shutdown().unwrap();
        for wait in waits {
            let error = wait.join().unwrap();
            assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
        }
    });
}
