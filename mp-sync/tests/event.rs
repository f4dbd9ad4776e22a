//! An event lets everybody through who waits for it, in whatever process, and hangs on nobody's death.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::Event;
use mp_testing::limits::{LONG, SHORT, at_once, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;

mp::enable_test_support!();

roles!(tells, waits, sets);

/// Says whether the event is set, as often as it is asked.
fn tells(e: Event, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "tell" {
        link.say(e.is_set());
    }
    Ok(())
}

fn waits(e: Event, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let is_through = e.wait_timeout(LONG)?;
    link.say(is_through);
    Ok(())
}

fn sets(e: Event, link: &mut Link) -> mp::Result<()> {
    link.hear()?;
    e.set();
    Ok(())
}

#[test]
fn e_01_a_new_event_is_not_set_and_a_wait_for_it_ends_after_its_time() {
    let e = Event::new().unwrap();
    assert!(!e.is_set());
    assert!(!at_once(|| e.wait_timeout(Duration::ZERO).unwrap()));
    assert!(!takes_at_least(SHORT, || e.wait_timeout(SHORT).unwrap()));
}

#[test]
fn e_02_e_03_what_is_set_and_cleared_is_seen_everywhere() {
    for way in WAYS {
        let e = Event::new().unwrap();
        let mut other = Peer::start(way, tells, &e);
        let mut is_set_there = || {
            other.say("tell");
            other.hear() == "true"
        };
        assert!(!is_set_there());
        e.set();
        assert!(e.is_set() && is_set_there());
        at_once(|| e.wait().unwrap());
        for timeout in [Duration::ZERO, SHORT, Duration::MAX] {
            assert!(at_once(|| e.wait_timeout(timeout).unwrap()));
        }
        e.clear();
        assert!(!e.is_set() && !is_set_there());
        assert!(!e.wait_timeout(SHORT).unwrap());
        other.say("stop");
        other.end();
    }
}

#[test]
fn e_03_a_child_that_sets_it_wakes_a_parent_that_waits_without_limit() {
    for way in WAYS {
        let e = Event::new().unwrap();
        let mut other = Peer::start(way, sets, &e);
        other.say("go");
        e.wait().unwrap();
        other.end();
        e.clear();
        let mut other = Peer::start(way, sets, &e);
        other.say("go");
        assert!(e.wait_timeout(LONG).unwrap());
        other.end();
    }
}

#[test]
fn e_04_set_and_clear_are_idempotent() {
    let e = Event::new().unwrap();
    (0..3).for_each(|_| e.clear());
    assert!(!e.is_set());
    (0..3).for_each(|_| e.set());
    assert!(e.is_set());
    (0..3).for_each(|_| e.clear());
    assert!(!e.is_set() && !e.wait_timeout(Duration::ZERO).unwrap());
}

#[test]
fn e_05_set_wakes_all_who_wait_in_all_processes() {
    for way in WAYS {
        let e = Event::new().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Peer::start(way, waits, &e)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| e.wait().unwrap());
            }
            e.set();
        });
        waiting.iter_mut().for_each(|peer| peer.expect("true"));
        waiting.into_iter().for_each(Peer::end);
    }
}

#[test]
fn e_06_the_text_shows_whether_it_is_set() {
    let e = Event::new().unwrap();
    assert_eq!(format!("{e:?}"), "<Event unset>");
    e.set();
    assert_eq!(format!("{e:?}"), "<Event set>");
}

#[test]
fn e_07_set_and_clear_at_once_let_everybody_through_who_waited() {
    for way in WAYS {
        let e = Event::new().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Peer::start(way, waits, &e)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        e.set();
        e.clear();
        waiting.iter_mut().for_each(|peer| peer.expect("true"));
        waiting.into_iter().for_each(Peer::end);
        assert!(!e.is_set());
    }
}

#[test]
fn e_08_set_and_is_set_do_not_wait_for_a_killed_waiter() {
    for way in WAYS {
        let e = Event::new().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Peer::start(way, waits, &e)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        let mut living = waiting.pop().unwrap();
        waiting.into_iter().for_each(|peer| assert!(peer.kill_9() > 0));
        assert!(!at_once(|| e.is_set()));
        at_once(|| e.set());
        assert!(at_once(|| e.is_set()));
        living.expect("true");
        living.end();
        at_once(|| e.clear());
        assert!(!at_once(|| e.wait_timeout(Duration::ZERO).unwrap()));
    }
}
