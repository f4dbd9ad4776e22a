//! A condition wakes whom it is to wake, in whatever process, and nobody's death keeps others asleep.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use mp::{Condition, Lock, RLock, RawValue, Value};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS, Way, first_to_speak};
use mp_testing::roles;
use mp_testing::storm::LIMIT;
use rustix::process::Signal;

mp::enable_test_support!();

roles!(
    waits,
    waits_with_lock,
    holds,
    notifies,
    waits_for_four,
    waits_until_released,
    says_when_awake,
    waits_or_inherits,
    shares_its_lock,
    notifies_as_told,
);

/// Waits to be notified, and counts itself among those who are awake.
fn waits((c, awake): (Condition, RawValue<u32>), _: &mut Link) -> mp::Result<()> {
    wait_once(&c, &awake)
}

fn wait_once(c: &Condition, awake: &RawValue<u32>) -> mp::Result<()> {
    let mut guard = c.acquire()?;
    mp::ensure!(guard.wait_timeout(LONG)?, "nobody notifies");
    awake.set(awake.get() + 1);
    Ok(())
}

/// The same with a condition whose lock came as well.
fn waits_with_lock(
    (c, lock, awake): (Condition, Lock, RawValue<u32>),
    _: &mut Link,
) -> mp::Result<()> {
    mp::ensure!(c.get_lock().is_same(&(&lock).into()), "it is another lock");
    wait_once(&c, &awake)
}

fn holds(c: Condition, link: &mut Link) -> mp::Result<()> {
    let _guard = c.acquire()?;
    link.say("held");
    link.hear()?;
    Ok(())
}

fn notifies(c: Condition, _: &mut Link) -> mp::Result<()> {
    let guard = c.acquire_timeout(LONG)?;
    guard.ok_or(mp::Error::msg("the lock is not given up"))?.notify(1);
    Ok(())
}

fn waits_for_four((c, n): (Condition, RawValue<u32>), link: &mut Link) -> mp::Result<()> {
    let mut guard = c.acquire()?;
    link.say("waiting");
    mp::ensure!(guard.wait_for_timeout(LONG, || n.get() == 4)?, "it stays at {}", n.get());
    Ok(())
}

fn waits_until_released(
    (c, is_released): (Condition, RawValue<u8>),
    _: &mut Link,
) -> mp::Result<()> {
    let mut guard = c.acquire()?;
    mp::ensure!(guard.wait_timeout(LONG)?);
    mp::ensure!(is_released.get() == 1, "it went on while the notifier held the lock");
    Ok(())
}

fn says_when_awake(c: Condition, link: &mut Link) -> mp::Result<()> {
    let mut guard = c.acquire()?;
    link.say_waiting();
    mp::ensure!(guard.wait_timeout(LONG)?, "nobody notifies");
    link.say(guard.owner_died().map_or(0, |dead| dead.pid));
    Ok(())
}

/// Says whether it was notified, and who died with the lock.
fn waits_or_inherits(c: Condition, link: &mut Link) -> mp::Result<()> {
    let mut guard = c.acquire()?;
    link.say_waiting();
    let is_notified = guard.wait_timeout(LONG)?;
    let dead = guard.owner_died().map_or(0, |dead| dead.pid);
    link.say(format_args!("{is_notified} {dead}"));
    Ok(())
}

fn shares_its_lock((c, lock): (Condition, Lock), link: &mut Link) -> mp::Result<()> {
    let guard = c.acquire()?;
    mp::ensure!(lock.try_acquire()?.is_none(), "they have different locks");
    link.say("held");
    link.hear()?;
    drop(guard);
    let _guard = lock.acquire()?;
    mp::ensure!(c.try_acquire()?.is_none(), "they have different locks");
    Ok(())
}

fn notifies_as_told(c: Condition, link: &mut Link) -> mp::Result<()> {
    while let Ok(count) = link.hear()?.parse() {
        c.acquire()?.notify(count);
        link.say("notified");
    }
    Ok(())
}

/// Three processes and three threads that wait; `test` is given the condition and the count of the awake.
fn with_six_waiters(way: Way, test: impl FnOnce(&Condition, &RawValue<u32>)) {
    let handles = (Condition::new().unwrap(), RawValue::new(0).unwrap());
    let (c, awake) = &handles;
    std::thread::scope(|scope| {
        let peers: Vec<_> = (0..3).map(|_| Peer::start(way, waits, &handles)).collect();
        for _ in 0..3 {
            scope.spawn(|| wait_once(c, awake).unwrap());
        }
        assert!(comes_true(|| c.waiting() == 6));
        test(c, awake);
        c.acquire().unwrap().notify_all();
        peers.into_iter().for_each(Peer::end);
    });
    assert_eq!((c.waiting(), awake.get()), (0, 6)); // C-07
}

/// Notifies, and sees that so many are awake then and so many still wait.
fn notify(c: &Condition, awake: &RawValue<u32>, count: usize, expected: (u32, usize)) {
    c.acquire().unwrap().notify(count);
    // Who was notified has given its seat up at once.
    assert_eq!(c.waiting(), expected.1, "after notify({count})");
    assert!(comes_true(|| awake.get() == expected.0), "{} are awake", awake.get());
}

#[test]
fn c_01_only_who_has_the_lock_has_the_guard_that_waits_and_notifies() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        let mut holder = Peer::start(way, holds, &c);
        holder.expect("held");
        assert!(c.try_acquire().unwrap().is_none());
        assert!(takes_at_least(SHORT, || c.acquire_timeout(SHORT).unwrap()).is_none());
        holder.say("stop");
        c.acquire().unwrap().notify_all();
        holder.end();
    }
}

#[test]
fn c_02_a_wait_without_notification_is_false_after_its_time() {
    let c = Condition::new().unwrap();
    let mut guard = c.acquire().unwrap();
    assert!(!takes_at_least(SHORT, || guard.wait_timeout(SHORT).unwrap()));
    assert!(!at_once(|| guard.wait_timeout(Duration::ZERO).unwrap()));
    assert_eq!(c.waiting(), 0);
}

#[test]
fn c_02_a_wait_is_true_when_notified() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        let mut guard = c.acquire().unwrap();
        let other = Peer::start(way, notifies, &c);
        assert!(guard.wait_timeout(LONG).unwrap());
        other.end();
        let other = Peer::start(way, notifies, &c);
        guard.wait().unwrap();
        other.end();
    }
}

#[test]
fn c_03_notify_wakes_one_of_those_who_wait() {
    for way in WAYS {
        let handles = (Condition::new().unwrap(), RawValue::new(0).unwrap());
        let (c, awake) = &handles;
        std::thread::scope(|scope| {
            let peer = Peer::start(way, waits, &handles);
            scope.spawn(|| wait_once(c, awake).unwrap());
            assert!(comes_true(|| c.waiting() == 2));
            assert_eq!(awake.get(), 0);
            notify(c, awake, 1, (1, 1));
            notify(c, awake, 1, (2, 0));
            peer.end();
        });
    }
}

#[test]
fn c_04_notify_all_wakes_everybody() {
    for way in WAYS {
        with_six_waiters(way, |c, awake| {
            c.acquire().unwrap().notify_all();
            assert!(comes_true(|| awake.get() == 6));
        });
    }
}

#[test]
fn c_05_notify_wakes_as_many_as_it_is_told_and_remembers_nothing() {
    for way in WAYS {
        with_six_waiters(way, |c, awake| {
            notify(c, awake, 2, (2, 4));
            notify(c, awake, 4, (6, 0));
            notify(c, awake, 3, (6, 0));
            let mut guard = c.acquire().unwrap();
            assert!(!guard.wait_timeout(SHORT).unwrap(), "a notification was remembered");
        });
    }
}

#[test]
fn c_06_c_07_waiters_whose_time_was_over_leave_no_trace() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| assert!(!c.acquire().unwrap().wait_timeout(SHORT).unwrap()));
            }
        });
        assert_eq!(c.waiting(), 0);
        // Nothing is spent on those who left, and nothing was kept for those who come.
        c.acquire().unwrap().notify(6);
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, says_when_awake, &c)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        for left in [2, 1, 0] {
            assert!(waiting.iter_mut().all(|peer| !peer.has_spoken()));
            c.acquire().unwrap().notify(1);
            assert_eq!(c.waiting(), left);
            let woken = first_to_speak(&mut waiting);
            let mut woken = waiting.swap_remove(woken);
            woken.expect("0");
            woken.end();
        }
    }
}

#[test]
fn c_08_notify_of_none_wakes_nobody() {
    for way in WAYS {
        with_six_waiters(way, |c, awake| {
            notify(c, awake, 0, (0, 6));
            assert_eq!(awake.get(), 0);
        });
    }
}

#[test]
fn c_09_a_wait_gives_the_lock_up_completely_and_has_it_as_often_afterwards() {
    for way in WAYS {
        let lock = RLock::new().unwrap();
        let c = Condition::with_rlock(&lock).unwrap();
        let (_first, _second) = (lock.acquire().unwrap(), lock.acquire().unwrap());
        let mut guard = c.acquire().unwrap();
        // The other can notify only if it gets the lock.
        let other = Peer::start(way, notifies, &c);
        assert!(guard.wait_timeout(LONG).unwrap());
        assert!(format!("{lock:?}").ends_with("count=3)>"), "{lock:?}");
        other.end();
        assert!(!guard.wait_timeout(SHORT).unwrap());
        assert!(format!("{lock:?}").ends_with("count=3)>"), "{lock:?}");
    }
}

#[test]
fn c_10_who_is_woken_goes_on_only_when_the_notifier_gave_the_lock_up() {
    for way in WAYS {
        let handles = (Condition::new().unwrap(), RawValue::new(0_u8).unwrap());
        let other = Peer::start(way, waits_until_released, &handles);
        let (c, is_released) = &handles;
        assert!(comes_true(|| c.waiting() == 1));
        let guard = c.acquire().unwrap();
        guard.notify(1);
        // Time for the other to do what it must not.
        std::thread::sleep(Duration::from_millis(50));
        is_released.set(1);
        drop(guard);
        other.end();
    }
}

#[test]
fn c_11_wait_for_waits_until_the_predicate_holds() {
    for way in WAYS {
        let handles = (Condition::new().unwrap(), RawValue::new(0_u32).unwrap());
        let (c, n) = &handles;
        let mut guard = c.acquire().unwrap();
        guard.wait_for(|| true).unwrap();
        assert!(guard.wait_for_timeout(Duration::ZERO, || true).unwrap());
        drop(guard);
        let mut other = Peer::start(way, waits_for_four, &handles);
        other.expect("waiting");
        for next in 1..=4 {
            let guard = c.acquire().unwrap();
            n.set(next);
            guard.notify(1);
        }
        other.end();
    }
}

#[test]
fn c_12_the_limit_of_wait_for_is_for_the_whole_call() {
    const LIMIT: Duration = Duration::from_secs(1);
    let c = Condition::new().unwrap();
    let mut other = Peer::start(Way::Argument, notifies_as_told, &c);
    let mut guard = c.acquire().unwrap();
    std::thread::scope(|scope| {
        let begun = Instant::now();
        scope.spawn(|| {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(600));
                other.say(1);
                other.expect("notified");
            }
            other.say("stop");
        });
        assert!(!takes_at_least(LIMIT, || guard.wait_for_timeout(LIMIT, || false).unwrap()));
        // With a new limit for each notification it would end after 2.8 s.
        assert!(begun.elapsed() < Duration::from_millis(2600), "{:?}", begun.elapsed());
        drop(guard);
    });
    other.end();
}

#[test]
fn c_13_wait_for_without_time_asks_once() {
    let c = Condition::new().unwrap();
    let mut guard = c.acquire().unwrap();
    let mut asked = 0;
    let holds = guard.wait_for_timeout(Duration::ZERO, || {
        asked += 1;
        false
    });
    assert!(!holds.unwrap());
    assert_eq!(asked, 1);
}

#[test]
fn c_15_a_condition_on_a_lock_shares_it() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let c = Condition::with_lock(&lock).unwrap();
        let guard = c.acquire().unwrap();
        assert!(lock.try_acquire().unwrap().is_none());
        drop(guard);
        let guard = lock.acquire().unwrap();
        assert!(c.try_acquire().unwrap().is_none());
        drop(guard);
        let mut other = Peer::start(way, shares_its_lock, &(c.clone(), lock.clone()));
        other.expect("held");
        assert!(lock.try_acquire().unwrap().is_none() && c.try_acquire().unwrap().is_none());
        other.say("go on");
        other.end();
    }
}

#[test]
fn c_15_two_conditions_on_one_lock_are_notified_one_by_one() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let counted = || {
            let c = Condition::with_lock(&lock).unwrap();
            (c, lock.clone(), RawValue::new(0).unwrap())
        };
        let both = [counted(), counted()];
        let peers = both.each_ref().map(|handles| Peer::start(way, waits_with_lock, handles));
        assert!(comes_true(|| both.iter().all(|(c, ..)| c.waiting() == 1)));
        let [(first, _, first_awake), (second, _, second_awake)] = &both;
        notify(first, first_awake, 9, (1, 0));
        assert_eq!((second.waiting(), second_awake.get()), (1, 0));
        notify(second, second_awake, 9, (1, 0));
        peers.into_iter().for_each(Peer::end);
    }
}

#[test]
fn c_16_waiters_that_were_killed_do_not_hold_a_notifier_up() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        for count in [1, 3, usize::MAX] {
            let start = |_| Peer::start(way, says_when_awake, &c);
            let mut waiting: Vec<_> = (0..3).map(start).collect();
            waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
            waiting.into_iter().for_each(|peer| assert!(peer.kill_9() > 0));
            at_once(|| c.acquire().unwrap().notify(count));
            assert_eq!(c.waiting(), 0, "those who were passed over are not counted");
        }
    }
}

#[test]
fn c_17_a_killed_waiter_takes_no_notification_from_a_living_one() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        let start = |_| {
            let mut peer = Peer::start(way, says_when_awake, &c);
            peer.hear_that_it_sleeps();
            peer
        };
        // They come in this order, and are notified in it.
        let mut waiting: Vec<_> = (0..3).map(start).collect();
        let mut living = waiting.pop().unwrap();
        waiting.into_iter().for_each(|peer| assert!(peer.kill_9() > 0));
        c.acquire().unwrap().notify(1);
        living.expect("0");
        living.end();
    }
}

#[test]
fn c_17_a_waiter_that_is_killed_when_it_was_notified_passes_that_on() {
    for way in WAYS {
        for idle in [Duration::ZERO, Duration::from_millis(1100)] {
            let c = Condition::new().unwrap();
            let start = |_| {
                let mut peer = Peer::start(way, says_when_awake, &c);
                peer.hear_that_it_sleeps();
                peer
            };
            let (first, mut second) = (start(0), start(1));
            // Who has waited for long looks around less often.
            std::thread::sleep(idle);
            first.signal(Signal::STOP);
            assert!(comes_true(|| mp_testing::system::is_stopped(first.pid())));
            c.acquire().unwrap().notify(1);
            assert_eq!(c.waiting(), 1);
            let killed = Instant::now();
            let _pid = first.kill_9();
            second.expect("0");
            let stall = killed.elapsed();
            assert!(stall < LIMIT + SHORT, "{stall:?} after {idle:?}");
            second.end();
        }
    }
}

#[test]
fn l_07_a_waiter_that_takes_the_lock_over_says_who_died() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        let mut waiting = Peer::start(way, says_when_awake, &c);
        waiting.hear_that_it_sleeps();
        let notifies_and_holds = |c: Condition, link: &mut Link| -> mp::Result<()> {
            let guard = c.acquire()?;
            guard.notify_all();
            link.hold_still()
        };
        let mut holder = Peer::start(Way::Argument, notifies_and_holds, &c);
        holder.expect("still");
        let pid = holder.kill_9();
        waiting.expect(&pid.to_string());
        waiting.end();
        assert!(c.acquire().unwrap().owner_died().is_none());
    }
}

#[test]
fn l_07_when_nobody_else_wants_the_lock_of_a_dead_holder_one_waiter_inherits_it() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        for c in [Condition::new().unwrap(), Condition::with_lock(&lock).unwrap()] {
            let start = |_| {
                let mut peer = Peer::start(way, waits_or_inherits, &c);
                peer.hear_that_it_sleeps();
                peer
            };
            let mut waiting: Vec<_> = (0..2).map(start).collect();
            let mut holder = Peer::start(way, holds, &c);
            holder.expect("held");
            let pid = holder.kill_9();
            let heir = first_to_speak(&mut waiting);
            let mut heir = waiting.swap_remove(heir);
            heir.expect(&format!("false {pid}"));
            heir.end();
            // It was told, so nobody else is, and the other one goes on waiting.
            let guard = c.acquire().unwrap();
            assert!(guard.owner_died().is_none());
            assert_eq!(c.waiting(), 1);
            guard.notify(1);
            drop(guard);
            waiting[0].expect("true 0");
            waiting.into_iter().for_each(Peer::end);
        }
    }
}

#[test]
fn a_wait_with_a_borrowed_value_under_the_same_lock_is_refused() {
    let lock = RLock::new().unwrap();
    let (c, v) = (Condition::with_rlock(&lock).unwrap(), Value::with_lock(5, &lock).unwrap());
    let mut guard = c.acquire().unwrap();
    let borrowed = v.lock().unwrap();
    let refused = guard.wait_timeout(LONG).unwrap_err();
    assert!(matches!(refused, mp::SyncError::AlreadyBorrowed), "{refused}");
    assert_eq!(*borrowed, 5);
    drop(borrowed);
    assert!(!guard.wait_timeout(Duration::ZERO).unwrap());
}
