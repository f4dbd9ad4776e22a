//! A lock excludes all but its holder, in whatever process, and no death leaves it held.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{Lock, RawValue, SyncError};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;
use rustix::process::Signal;

mp::enable_test_support!();

roles!(tries, holds, leaks, releases, adds, acquires, acquires_and_tells);

/// Says whether the lock is free, as often as it is asked.
fn tries(lock: Lock, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "try" {
        let is_free = lock.try_acquire()?.is_some();
        link.say(is_free);
    }
    Ok(())
}

/// Holds the lock until it is told something.
fn holds(lock: Lock, link: &mut Link) -> mp::Result<()> {
    let _guard = lock.acquire()?;
    link.say("held");
    link.hear()?;
    Ok(())
}

fn leaks(lock: Lock, link: &mut Link) -> mp::Result<()> {
    lock.acquire()?.leak();
    link.say("leaked");
    drop(lock);
    link.hear()?;
    Ok(())
}

fn releases(lock: Lock, _: &mut Link) -> mp::Result<()> {
    Ok(lock.release()?)
}

/// Adds 1 without any protection but that of the lock.
fn adds((lock, counter): (Lock, RawValue<u64>), link: &mut Link) -> mp::Result<()> {
    let times: u64 = link.hear()?.parse()?;
    for _ in 0..times {
        let _guard = lock.acquire()?;
        counter.set(counter.get() + 1);
    }
    Ok(())
}

/// Waits for the lock, and says who died.
fn acquires(lock: Lock, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let guard = lock.acquire_timeout(LONG)?.ok_or(mp::Error::msg("it stays locked"))?;
    link.say(guard.owner_died().map_or(0, |dead| dead.pid));
    Ok(())
}

/// Takes the lock and shows it.
fn acquires_and_tells(lock: Lock, link: &mut Link) -> mp::Result<()> {
    link.hear()?;
    let _guard = lock.acquire()?;
    link.say(format_args!("{lock:?}"));
    link.hear()?;
    Ok(())
}

#[test]
fn l_01_a_free_lock_is_taken_and_a_held_one_is_refused_at_once_also_to_its_holder() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut other = Peer::start(way, tries, &lock);
        let mut is_free_for_it = || {
            other.say("try");
            other.hear() == "true"
        };
        assert!(is_free_for_it());
        let guard = lock.acquire().unwrap();
        assert!(!is_free_for_it());
        assert!(at_once(|| lock.try_acquire().unwrap()).is_none(), "its holder has it only once");
        assert!(lock.clone().try_acquire().unwrap().is_none(), "a clone is the same lock");
        assert!(lock.is_locked());
        drop(guard);
        assert!(!lock.is_locked() && is_free_for_it());
        other.say("stop");
        other.end();
    }
}

#[test]
fn l_02_a_release_of_what_is_not_held_is_an_error_and_does_not_free_it_twice() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        assert!(matches!(lock.release(), Err(SyncError::NotHeld)));
        let guard = lock.acquire().unwrap();
        let mut other = Peer::start(way, tries, &lock);
        other.say("try");
        other.expect("false");
        drop(guard);
        other.say("try");
        other.expect("true");
        assert!(matches!(lock.release(), Err(SyncError::NotHeld)));
        other.say("stop");
        other.end();
    }
}

#[test]
fn l_02_a_lock_with_a_guard_is_not_released_by_others() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut holder = Peer::start(way, holds, &lock);
        holder.expect("held");
        assert!(matches!(lock.release(), Err(SyncError::Guarded)));
        assert!(lock.try_acquire().unwrap().is_none());
        holder.say("stop");
        holder.end();
        assert!(!lock.is_locked());
    }
}

#[test]
fn l_03_a_scope_releases_at_its_end_also_on_errors_and_panics() {
    let lock = Lock::new().unwrap();
    let fails = || -> mp::Result<()> {
        let _guard = lock.acquire()?;
        assert!(lock.is_locked());
        mp::bail!("on the way")
    };
    fails().unwrap_err();
    assert!(!lock.is_locked());
    let panics = || {
        let _guard = lock.acquire().unwrap();
        panic!("inside");
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
    assert!(!lock.is_locked());

    // In another process it is the same.
    let child = |lock: Lock| -> mp::Result<()> {
        let _guard = lock.acquire()?;
        panic!("inside")
    };
    mp::Process::start(child, (lock.clone(),)).unwrap().join().unwrap_err();
    assert!(lock.try_acquire().unwrap().is_some_and(|guard| guard.owner_died().is_none()));
}

#[test]
fn l_03_a_holder_that_exits_in_the_middle_counts_as_dead() {
    let lock = Lock::new().unwrap();
    let child = |lock: Lock| -> mp::Result<()> {
        let _guard = lock.acquire()?;
        std::process::exit(3)
    };
    let p = mp::Process::start(child, (lock.clone(),)).unwrap();
    p.join().unwrap_err();
    let guard = lock.acquire_timeout(LONG).unwrap().unwrap();
    assert_eq!(guard.owner_died().map(|dead| dead.pid), Some(p.pid()));
}

#[test]
fn l_04_a_timed_acquire_of_a_held_lock_gives_up_after_its_time_and_not_before() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut holder = Peer::start(way, holds, &lock);
        holder.expect("held");
        let got = takes_at_least(SHORT, || lock.acquire_timeout(SHORT).unwrap());
        assert!(got.is_none());
        assert!(at_once(|| lock.acquire_timeout(Duration::ZERO).unwrap()).is_none());
        holder.say("stop");
        assert!(lock.acquire_timeout(LONG).unwrap().is_some(), "it was free within the time");
        assert!(lock.acquire_timeout(Duration::ZERO).unwrap().is_some());
        assert!(lock.acquire_timeout(Duration::MAX).unwrap().is_some());
        holder.end();
    }
}

#[test]
fn l_05_another_thread_or_process_releases_a_lock_that_was_given_up() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        lock.acquire().unwrap().leak();
        assert!(lock.try_acquire().unwrap().is_none());
        std::thread::scope(|scope| scope.spawn(|| lock.release().unwrap()).join()).unwrap();
        assert!(!lock.is_locked());

        lock.acquire().unwrap().leak();
        Peer::start(way, releases, &lock).end();
        assert!(!lock.is_locked());

        let mut other = Peer::start(way, leaks, &lock);
        other.expect("leaked");
        assert!(lock.try_acquire().unwrap().is_none(), "its process lives and has not released it");
        lock.release().unwrap();
        assert!(matches!(lock.release(), Err(SyncError::NotHeld)));
        other.say("stop");
        other.end();
    }
}

#[test]
fn l_06_four_processes_that_add_under_the_lock_lose_nothing() {
    const TIMES: u64 = 5000;
    for way in WAYS {
        let handles = (Lock::new().unwrap(), RawValue::new(0_u64).unwrap());
        let mut peers: Vec<_> = (0..4).map(|_| Peer::start(way, adds, &handles)).collect();
        peers.iter_mut().for_each(|peer| peer.say(TIMES));
        peers.into_iter().for_each(Peer::end);
        assert_eq!(handles.1.get(), 4 * TIMES);
        assert!(!handles.0.is_locked());
    }
}

#[test]
fn l_06_threads_and_processes_exclude_each_other() {
    const TIMES: u64 = 3000;
    let handles = (Lock::new().unwrap(), RawValue::new(0_u64).unwrap());
    let mut peers: Vec<_> = WAYS.map(|way| Peer::start(way, adds, &handles)).into();
    peers.iter_mut().for_each(|peer| peer.say(TIMES));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    let _guard = handles.0.acquire().unwrap();
                    handles.1.set(handles.1.get() + 1);
                }
            });
        }
    });
    peers.into_iter().for_each(Peer::end);
    assert_eq!(handles.1.get(), 5 * TIMES);
}

#[test]
fn l_07_killing_the_holder_hands_the_lock_over_and_one_guard_says_so() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut holder = Peer::start(way, holds, &lock);
        holder.expect("held");
        let pid = holder.kill_9();
        let guard = lock.try_acquire().unwrap().expect("it is taken over");
        let dead = guard.owner_died().expect("it says so");
        assert_eq!(dead.pid, pid);
        assert!(dead.to_string().contains(&format!("(pid {pid})")), "{dead}");
        drop(guard);
        assert!(lock.acquire().unwrap().owner_died().is_none(), "the second one says nothing");
    }
}

#[test]
fn l_07_of_those_who_wait_when_the_holder_is_killed_all_go_on_and_one_is_told() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut holder = Peer::start(way, holds, &lock);
        holder.expect("held");
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, acquires, &lock)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        let pid = holder.kill_9();
        let mut told: Vec<_> = waiting.iter_mut().map(|peer| peer.hear()).collect();
        told.sort();
        assert_eq!(told, ["0".to_owned(), "0".to_owned(), pid.to_string()]);
        waiting.into_iter().for_each(Peer::end);
    }
}

#[test]
fn l_07_a_stopped_holder_is_no_dead_one() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut holder = Peer::start(way, holds, &lock);
        holder.expect("held");
        holder.signal(Signal::STOP);
        assert!(comes_true(|| mp_testing::system::is_stopped(holder.pid())));
        assert!(lock.acquire_timeout(Duration::from_millis(300)).unwrap().is_none());
        holder.say("stop");
        holder.signal(Signal::CONT);
        holder.end();
        assert!(lock.acquire().unwrap().owner_died().is_none());
    }
}

#[test]
fn l_07_a_stopped_waiter_keeps_no_wake_up_to_itself() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let guard = lock.acquire().unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, acquires, &lock)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        // Those who sleep are woken in the order in which they came.
        let mut stopped = waiting.remove(0);
        stopped.signal(Signal::STOP);
        assert!(comes_true(|| mp_testing::system::is_stopped(stopped.pid())));
        drop(guard);
        waiting.iter_mut().for_each(|peer| peer.expect("0"));
        waiting.into_iter().for_each(Peer::end);
        stopped.signal(Signal::CONT);
        stopped.expect("0");
        stopped.end();
    }
}

#[test]
fn l_07_a_lock_that_a_killed_process_had_given_up_is_taken_over_too() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let mut holder = Peer::start(way, leaks, &lock);
        holder.expect("leaked");
        assert!(lock.try_acquire().unwrap().is_none());
        let pid = holder.kill_9();
        let guard = lock.acquire_timeout(LONG).unwrap().unwrap();
        assert_eq!(guard.owner_died().map(|dead| dead.pid), Some(pid));
    }
}

#[test]
fn l_07_a_chain_of_holders_who_die_is_told_one_by_one() {
    let lock = Lock::new().unwrap();
    for _ in 0..20 {
        let mut first = Peer::start(WAYS[0], holds, &lock);
        first.expect("held");
        let mut second = Peer::start(WAYS[0], holds, &lock);
        let _first = first.kill_9();
        second.expect("held");
        let second = second.kill_9();
        let guard = lock.acquire_timeout(LONG).unwrap().unwrap();
        assert_eq!(guard.owner_died().map(|dead| dead.pid), Some(second));
    }
}

#[test]
fn l_08_the_text_names_the_owner() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        assert_eq!(format!("{lock:?}"), "<Lock(owner=None)>");
        let mut other = Peer::start(way, acquires_and_tells, &lock);
        let guard = lock.acquire().unwrap();
        let name = std::thread::current().name().unwrap().to_owned();
        assert_eq!(format!("{lock:?}"), format!("<Lock(owner=MainProcess|{name})>"));
        let text = std::thread::scope(|scope| scope.spawn(|| format!("{lock:?}")).join()).unwrap();
        assert_eq!(text, "<Lock(owner=MainProcess|another thread)>");
        drop(guard);
        other.say("go");
        let theirs = other.hear();
        assert!(theirs.starts_with("<Lock(owner=") && theirs.contains('|'), "{theirs}");
        let text = format!("{lock:?}");
        assert!(text.contains(&format!("(pid {})", other.pid())), "{text}");
        other.say("stop");
        other.end();
        assert_eq!(format!("{lock:?}"), "<Lock(owner=None)>");
    }
}
