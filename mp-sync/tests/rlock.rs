//! A re-entrant lock belongs to one thread of one process, as often as that took it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{RLock, RawValue, SyncError};
use mp_testing::limits::{LONG, SHORT, at_once, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;

mp::enable_test_support!();

roles!(tries, holds_twice, releases_what_is_not_its_own, adds, acquires);

/// Says whether the lock is free for it, as often as it is asked.
fn tries(lock: RLock, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "try" {
        let is_free = lock.try_acquire()?.is_some();
        link.say(is_free);
    }
    Ok(())
}

/// Holds the lock twice, then once, then not.
fn holds_twice(lock: RLock, link: &mut Link) -> mp::Result<()> {
    let outer = lock.acquire()?;
    let inner = lock.acquire()?;
    link.say("twice");
    link.hear()?;
    drop(inner);
    link.say("once");
    link.hear()?;
    drop(outer);
    link.say("not");
    link.hear()?;
    Ok(())
}

fn releases_what_is_not_its_own(lock: RLock, link: &mut Link) -> mp::Result<()> {
    let error = lock.release().unwrap_err();
    mp::ensure!(matches!(error, SyncError::NotOwner { .. }), "{error}");
    link.say(error);
    Ok(())
}

fn adds((lock, counter): (RLock, RawValue<u64>), link: &mut Link) -> mp::Result<()> {
    let times: u64 = link.hear()?.parse()?;
    for _ in 0..times {
        let _outer = lock.acquire()?;
        let _inner = lock.acquire()?;
        counter.set(counter.get() + 1);
    }
    Ok(())
}

/// Waits for the lock, and says who died.
fn acquires(lock: RLock, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let guard = lock.acquire_timeout(LONG)?.ok_or(mp::Error::msg("it stays locked"))?;
    link.say(guard.owner_died().map_or(0, |dead| dead.pid));
    Ok(())
}

#[test]
fn rl_01_the_owner_acquires_again_and_as_many_releases_free_it() {
    for way in WAYS {
        let lock = RLock::new().unwrap();
        let mut other = Peer::start(way, tries, &lock);
        let mut is_free_for_it = || {
            other.say("try");
            other.hear() == "true"
        };
        assert!(is_free_for_it());
        let mut guards = vec![lock.acquire().unwrap()];
        guards.push(lock.try_acquire().unwrap().unwrap());
        guards.push(lock.acquire_timeout(Duration::ZERO).unwrap().unwrap());
        while let Some(guard) = guards.pop() {
            assert!(!is_free_for_it());
            drop(guard);
        }
        assert!(is_free_for_it());
        assert!(matches!(lock.release(), Err(SyncError::NotOwner { .. })), "one more");
        // The same without guards.
        (0..3).for_each(|_| lock.acquire().unwrap().leak());
        (0..2).for_each(|_| lock.release().unwrap());
        assert!(!is_free_for_it());
        lock.release().unwrap();
        assert!(is_free_for_it());
        assert!(matches!(lock.release(), Err(SyncError::NotOwner { .. })), "one more");
        other.say("stop");
        other.end();
    }
}

#[test]
fn rl_01_a_release_gives_back_only_what_has_no_guard() {
    let lock = RLock::new().unwrap();
    let guard = lock.acquire().unwrap();
    assert!(matches!(lock.release(), Err(SyncError::Guarded)));
    lock.acquire().unwrap().leak();
    lock.release().unwrap();
    assert!(matches!(lock.release(), Err(SyncError::Guarded)));
    assert!(format!("{lock:?}").contains("count=1"), "{lock:?}");
    drop(guard);
}

#[test]
fn rl_02_others_get_it_only_when_the_last_time_is_given_back() {
    for way in WAYS {
        let lock = RLock::new().unwrap();
        let mut holder = Peer::start(way, holds_twice, &lock);
        for state in ["twice", "once"] {
            holder.expect(state);
            assert!(at_once(|| lock.try_acquire().unwrap()).is_none(), "{state}");
            let got = takes_at_least(SHORT, || lock.acquire_timeout(SHORT).unwrap());
            assert!(got.is_none(), "{state}");
            holder.say("go on");
        }
        holder.expect("not");
        let guard = lock.try_acquire().unwrap().unwrap();
        assert!(guard.owner_died().is_none());
        holder.say("go on");
        holder.end();
    }
}

#[test]
fn rl_02_another_thread_of_the_same_process_is_another_owner() {
    let lock = RLock::new().unwrap();
    let guard = lock.acquire().unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert!(lock.try_acquire().unwrap().is_none());
            assert!(lock.acquire_timeout(SHORT).unwrap().is_none());
            assert!(matches!(lock.release(), Err(SyncError::NotOwner { .. })));
        });
        other.join().unwrap();
        drop(guard);
        scope.spawn(|| assert!(lock.try_acquire().unwrap().is_some())).join().unwrap();
    });
}

#[test]
fn rl_02_processes_that_add_at_depth_two_lose_nothing() {
    const TIMES: u64 = 3000;
    for way in WAYS {
        let handles = (RLock::new().unwrap(), RawValue::new(0_u64).unwrap());
        let mut peers: Vec<_> = (0..4).map(|_| Peer::start(way, adds, &handles)).collect();
        peers.iter_mut().for_each(|peer| peer.say(TIMES));
        peers.into_iter().for_each(Peer::end);
        assert_eq!(handles.1.get(), 4 * TIMES);
    }
}

#[test]
fn rl_03_a_release_by_who_does_not_own_it_is_an_error_and_changes_nothing() {
    for way in WAYS {
        let lock = RLock::new().unwrap();
        assert!(matches!(lock.release(), Err(SyncError::NotOwner { .. })));
        let mut other = Peer::start(way, releases_what_is_not_its_own, &lock);
        let text = other.hear();
        assert!(text.contains("its owner is"), "{text}");
        other.end();

        lock.acquire().unwrap().leak();
        lock.acquire().unwrap().leak();
        let mut other = Peer::start(way, releases_what_is_not_its_own, &lock);
        let text = other.hear();
        assert!(text.contains(&format!("(pid {})", std::process::id())), "{text}");
        other.end();
        assert!(format!("{lock:?}").contains("count=2"), "{lock:?}");
        lock.release().unwrap();
        lock.release().unwrap();
    }
}

#[test]
fn rl_04_the_text_gives_owner_and_depth() {
    for way in WAYS {
        let lock = RLock::new().unwrap();
        assert_eq!(format!("{lock:?}"), "<RLock(owner=None, count=0)>");
        let name = std::thread::current().name().unwrap().to_owned();
        let (outer, inner) = (lock.acquire().unwrap(), lock.acquire().unwrap());
        let expected = format!("<RLock(owner=MainProcess|{name}, count=2)>");
        assert_eq!(format!("{lock:?}"), expected);
        let text = std::thread::scope(|scope| scope.spawn(|| format!("{lock:?}")).join()).unwrap();
        assert_eq!(text, "<RLock(owner=MainProcess|another thread, count=2)>");
        drop((outer, inner));
        let mut holder = Peer::start(way, holds_twice, &lock);
        holder.expect("twice");
        let text = format!("{lock:?}");
        assert!(text.contains(&format!("(pid {})", holder.pid())), "{text}");
        assert!(text.ends_with(", count=2)>"), "{text}");
    }
}

#[test]
fn rl_06_a_thread_that_comes_after_the_owner_has_ended_is_not_the_owner() {
    let lock = RLock::new().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| lock.acquire().unwrap().leak()).join().unwrap();
        // The system gives the identifiers of ended threads to the next ones.
        for _ in 0..100 {
            let next = scope.spawn(|| {
                assert!(matches!(lock.release(), Err(SyncError::NotOwner { .. })));
                assert!(lock.try_acquire().unwrap().is_none());
            });
            next.join().unwrap();
        }
    });
}

#[test]
fn l_07_killing_the_holder_of_depth_two_hands_it_over_once() {
    for way in WAYS {
        let lock = RLock::new().unwrap();
        let mut holder = Peer::start(way, holds_twice, &lock);
        holder.expect("twice");
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, acquires, &lock)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        let pid = holder.kill_9();
        let mut told: Vec<_> = waiting.iter_mut().map(Peer::hear).collect();
        told.sort();
        assert_eq!(told, ["0".to_owned(), "0".to_owned(), pid.to_string()]);
        waiting.into_iter().for_each(Peer::end);
        assert_eq!(format!("{lock:?}"), "<RLock(owner=None, count=0)>");
    }
}
