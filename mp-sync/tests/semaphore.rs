//! A semaphore gives out as many permits as it has, to whatever process, and gets those of the dead back.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{BoundedSemaphore, Semaphore, SyncError, Value};
use mp_testing::limits::{LONG, SHORT, at_once, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS, first_to_speak};
use mp_testing::roles;

mp::enable_test_support!();

roles!(tries, holds, acquires, works_with_permits, releases, bounded_walk, forgets);

/// The highest value of a semaphore.
const MAX: u32 = 0x7fff_ffff;

/// Says whether there is a permit, as often as it is asked.
fn tries(s: Semaphore, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "try" {
        let has = s.try_acquire()?.is_some();
        link.say(has);
    }
    Ok(())
}

/// Holds a permit until it is told something.
fn holds(s: Semaphore, link: &mut Link) -> mp::Result<()> {
    let _permit = s.acquire()?;
    link.say("held");
    link.hear()?;
    Ok(())
}

/// Waits for a permit and keeps it.
fn acquires(s: Semaphore, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let permit = s.acquire_timeout(LONG)?.ok_or(mp::Error::msg("no permit came"))?;
    permit.forget()?;
    link.say("got it");
    Ok(())
}

fn releases(s: Semaphore, _: &mut Link) -> mp::Result<()> {
    Ok(s.release()?)
}

fn forgets(s: Semaphore, link: &mut Link) -> mp::Result<()> {
    s.acquire()?.forget()?;
    let _permit = s.acquire()?;
    link.hold_still()
}

/// Counts who is inside, and never sees more than there are permits.
fn works_with_permits((s, inside): (Semaphore, Value<u32>), link: &mut Link) -> mp::Result<()> {
    let permits: u32 = link.hear()?.parse()?;
    for _ in 0..500 {
        let _permit = s.acquire()?;
        inside.update(|n| *n += 1)?;
        let now = inside.get()?;
        mp::ensure!(now <= permits, "{now} are inside");
        mp::ensure!(s.get_value() <= permits, "{}", s.get_value());
        inside.update(|n| *n -= 1)?;
    }
    Ok(())
}

fn bounded_walk(s: BoundedSemaphore, link: &mut Link) -> mp::Result<()> {
    let (first, second) = (s.acquire()?, s.acquire()?);
    mp::ensure!(s.try_acquire()?.is_none() && s.get_value() == 0);
    link.say("empty");
    link.hear()?;
    drop((first, second));
    let refused = s.release().unwrap_err();
    mp::ensure!(matches!(refused, SyncError::BoundExceeded { bound: 2 }), "{refused}");
    Ok(())
}

#[test]
fn se_01_permits_are_taken_to_zero_and_come_back() {
    for way in WAYS {
        let s = Semaphore::new(2).unwrap();
        let mut other = Peer::start(way, tries, &s);
        let mut has_for_it = || {
            other.say("try");
            other.hear() == "true"
        };
        let first = s.acquire().unwrap();
        assert_eq!(s.get_value(), 1);
        assert!(has_for_it());
        let second = s.acquire().unwrap();
        assert_eq!(s.get_value(), 0);
        assert!(at_once(|| s.try_acquire().unwrap()).is_none() && !has_for_it());
        assert_eq!(s.get_value(), 0);
        drop(second);
        assert_eq!(s.get_value(), 1);
        drop(first);
        assert_eq!(s.get_value(), 2);
        other.say("stop");
        other.end();
    }
}

#[test]
fn se_01_the_text_shows_the_value() {
    let s = Semaphore::new(2).unwrap();
    let _permit = s.acquire().unwrap();
    assert_eq!(format!("{s:?}"), "<Semaphore(value=1)>");
    assert_eq!(format!("{:?}", BoundedSemaphore::new(3).unwrap()), "<BoundedSemaphore(value=3)>");
}

#[test]
fn se_02_a_plain_semaphore_is_released_above_its_start() {
    for way in WAYS {
        let s = Semaphore::new(2).unwrap();
        s.release().unwrap();
        assert_eq!(s.get_value(), 3);
        Peer::start(way, releases, &s).end();
        assert_eq!(s.get_value(), 4);
        s.release_many(6).unwrap();
        assert_eq!(s.get_value(), 10);
        s.release_many(0).unwrap();
        assert_eq!(s.get_value(), 10);
    }
}

#[test]
fn se_03_a_bounded_one_comes_back_to_its_start_and_not_above() {
    for way in WAYS {
        let s = BoundedSemaphore::new(2).unwrap();
        assert!(matches!(s.release(), Err(SyncError::BoundExceeded { bound: 2 })));
        assert_eq!((s.get_value(), s.bound()), (2, 2));
        let mut other = Peer::start(way, bounded_walk, &s);
        other.expect("empty");
        assert!(s.try_acquire().unwrap().is_none());
        other.say("go on");
        other.end();
        assert_eq!(s.get_value(), 2);
        s.acquire().unwrap().forget().unwrap();
        assert_eq!(s.get_value(), 1);
        s.release().unwrap();
        assert!(matches!(s.release(), Err(SyncError::BoundExceeded { bound: 2 })));
        assert_eq!(s.get_value(), 2);
    }
}

#[test]
fn se_04_without_a_permit_a_call_gives_up_at_once_or_after_its_time() {
    let s = Semaphore::new(0).unwrap();
    assert!(at_once(|| s.try_acquire().unwrap()).is_none());
    assert!(at_once(|| s.acquire_timeout(Duration::ZERO).unwrap()).is_none());
    assert!(takes_at_least(SHORT, || s.acquire_timeout(SHORT).unwrap()).is_none());
    assert_eq!(s.get_value(), 0);
    s.release().unwrap();
    assert!(s.acquire_timeout(Duration::MAX).unwrap().is_some());
    assert!(s.acquire_timeout(Duration::ZERO).unwrap().is_some());
}

#[test]
fn se_05_impossible_values_are_errors_and_nothing_wraps_around() {
    for value in [MAX + 1, u32::MAX] {
        let error = Semaphore::new(value).unwrap_err();
        assert!(matches!(error, SyncError::InvalidValue { max: MAX, .. }), "{error}");
        BoundedSemaphore::new(value).unwrap_err();
    }
    let s = Semaphore::new(MAX).unwrap();
    assert!(matches!(s.release(), Err(SyncError::BoundExceeded { bound: MAX })));
    assert_eq!(s.get_value(), MAX);
    s.acquire().unwrap().forget().unwrap();
    for count in [2, u32::MAX] {
        assert!(matches!(s.release_many(count), Err(SyncError::BoundExceeded { .. })));
        assert_eq!(s.get_value(), MAX - 1, "none is added");
    }
    s.release().unwrap();
    assert_eq!(s.get_value(), MAX);
}

#[test]
fn se_06_a_bounded_semaphore_of_zero_gives_nothing_and_takes_nothing() {
    let s = BoundedSemaphore::new(0).unwrap();
    assert!(s.try_acquire().unwrap().is_none());
    assert!(s.acquire_timeout(SHORT).unwrap().is_none());
    assert!(matches!(s.release(), Err(SyncError::BoundExceeded { bound: 0 })));
    assert_eq!(s.get_value(), 0);
}

#[test]
fn se_07_se_08_one_release_lets_exactly_one_waiter_go_and_the_value_is_never_negative() {
    for way in WAYS {
        let s = Semaphore::new(0).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, acquires, &s)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        assert_eq!(s.get_value(), 0);
        while !waiting.is_empty() {
            s.release().unwrap();
            let gone = first_to_speak(&mut waiting);
            let mut gone = waiting.swap_remove(gone);
            gone.expect("got it");
            gone.end();
            // The permit is used up, and kept; whoever else had gone on would have taken it from nothing.
            assert_eq!(s.get_value(), 0);
            assert!(waiting.iter_mut().all(|peer| !peer.has_spoken()));
        }
        assert!(s.try_acquire().unwrap().is_none());
    }
}

#[test]
fn se_07_many_releases_at_once_let_as_many_go() {
    for way in WAYS {
        let s = Semaphore::new(0).unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Peer::start(way, acquires, &s)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        s.release_many(5).unwrap();
        waiting.iter_mut().for_each(|peer| peer.expect("got it"));
        assert_eq!(s.get_value(), 1);
        waiting.into_iter().for_each(Peer::end);
    }
}

#[test]
fn se_07_permits_are_never_exceeded_and_all_come_back() {
    const PERMITS: u32 = 2;
    for way in WAYS {
        let handles = (Semaphore::new(PERMITS).unwrap(), Value::new(0_u32).unwrap());
        let start = |_| Peer::start(way, works_with_permits, &handles);
        let mut peers: Vec<_> = (0..4).map(start).collect();
        peers.iter_mut().for_each(|peer| peer.say(PERMITS));
        peers.into_iter().for_each(Peer::end);
        assert_eq!(handles.0.get_value(), PERMITS);
    }
}

#[test]
fn a_permit_of_a_killed_process_comes_back_to_who_waits() {
    for way in WAYS {
        let s = Semaphore::new(1).unwrap();
        let mut holder = Peer::start(way, holds, &s);
        holder.expect("held");
        let mut waiting = Peer::start(way, acquires, &s);
        waiting.hear_that_it_sleeps();
        let _pid = holder.kill_9();
        waiting.expect("got it");
        waiting.end();
    }
}

#[test]
fn a_permit_that_was_forgotten_stays_taken_when_its_process_is_killed() {
    for way in WAYS {
        let s = Semaphore::new(2).unwrap();
        let mut holder = Peer::start(way, forgets, &s);
        holder.expect("still");
        let _pid = holder.kill_9();
        assert!(s.try_acquire().unwrap().is_some(), "the permit with a guard comes back");
        let _one = s.try_acquire().unwrap();
        assert!(s.try_acquire().unwrap().is_none(), "the other one does not");
        s.release().unwrap();
        assert!(s.try_acquire().unwrap().is_some());
    }
}
