//! Processes that wait at a condition, or have just been notified, are killed at random instants.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{Condition, Lock, RawValue};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Board, Crew, Dice, ENTERING, INSIDE, OUT, kills, take_turn};

mp::enable_test_support!();

fn consumes(c: Condition, items: RawValue<u64>, board: Board, place: usize) -> mp::Result<()> {
    board.count_round(place);
    while !board.is_over() {
        board.set_phase(place, ENTERING);
        let mut guard = c.acquire()?;
        mp::ensure!(guard.wait_for_timeout(LONG, || items.get() > 0 || board.is_over())?);
        board.set_phase(place, INSIDE);
        items.set(items.get().saturating_sub(1));
        board.count_round(place);
        drop(guard);
        board.set_phase(place, OUT);
    }
    Ok(())
}

/// One item at a time, one notification for it, and one of the consumers is killed then: another one, who
/// gets no notification but that one, takes the item.
fn storm(c: &Condition, kills: usize) {
    let mut dice = Dice::of_this_storm();
    let items = RawValue::new(0_u64).unwrap();
    let theirs = (c.clone(), items.clone());
    let turn = take_turn();
    let mut crew = Crew::start(&turn, 4, move |board, place| {
        let (c, items) = theirs.clone();
        mp::Process::start(consumes, (c, items, board, place)).unwrap()
    });
    let mut told = 0;
    for _ in 0..kills {
        // The dead are counted until a notification comes to them.
        assert!(comes_true(|| c.waiting() >= 4 && crew.all_sleep_in(ENTERING)));
        let victim = crew.choose(&mut dice);
        let pid = crew.pid(victim);
        let mut notify = |is_first: bool| {
            let guard = c.acquire().unwrap();
            if let Some(dead) = guard.owner_died() {
                assert_eq!(dead.pid, pid);
                told += 1;
            }
            items.set(u64::from(is_first || items.get() > 0));
            guard.notify(1);
        };
        let kills_first = dice.below(4) == 0;
        let killed = kills_first.then(|| crew.kill(victim));
        notify(true);
        let killed = killed.unwrap_or_else(|| {
            dice.pass_less_than(Duration::from_micros(200));
            crew.kill(victim)
        });
        let owner = format!("(pid {pid})");
        crew.wait_without(&killed, || {
            // One who died with the lock may have done nothing yet: whoever is told of it notifies again.
            if format!("{:?}", c.get_lock()).contains(&owner) {
                notify(false);
            }
            items.get() == 0
        });
        crew.replace(victim);
    }
    eprintln!("{told} died with the lock");
    crew.end_by(|| c.acquire().unwrap().notify_all());
    assert_eq!(c.waiting(), 0);
    assert!(c.acquire().unwrap().owner_died().is_none());
}

#[test]
fn c_16_c_17_a_storm_of_kills_loses_no_notification() {
    storm(&Condition::new().unwrap(), kills(300));
}

#[test]
fn c_16_c_17_a_storm_of_kills_loses_no_notification_on_a_plain_lock() {
    let lock = Lock::new().unwrap();
    storm(&Condition::with_lock(&lock).unwrap(), kills(300));
}

/// Two who put and two who take, any of whom may die at any moment.
fn passes_items(c: Condition, items: RawValue<u64>, board: Board, place: usize) -> mp::Result<()> {
    let puts = place.is_multiple_of(2);
    while !board.is_over() {
        let mut guard = c.acquire()?;
        let may_go = || match items.get() {
            _ if board.is_over() => true,
            0 => puts,
            n => !puts || n < 3,
        };
        if guard.owner_died().is_some() {
            // Whom the dead one was about to notify, nobody knows.
            guard.notify_all();
        }
        while !may_go() {
            let is_notified = guard.wait_timeout(LONG)?;
            match guard.owner_died() {
                Some(_) => guard.notify_all(),
                None => mp::ensure!(is_notified, "nobody notifies"),
            }
        }
        let now = items.get();
        items.set(if puts { now + 1 } else { now.saturating_sub(1) });
        guard.notify_all();
        drop(guard);
        board.count_round(place);
    }
    Ok(())
}

#[test]
fn c_16_a_storm_among_producers_and_consumers_leaves_nobody_hanging() {
    let mut dice = Dice::of_this_storm();
    let (c, items) = (Condition::new().unwrap(), RawValue::new(0_u64).unwrap());
    let theirs = (c.clone(), items.clone());
    let turn = take_turn();
    let mut crew = Crew::start(&turn, 4, move |board, place| {
        let (c, items) = theirs.clone();
        mp::Process::start(passes_items, (c, items, board, place)).unwrap()
    });
    for _ in 0..kills(300) {
        dice.pass_less_than(Duration::from_millis(2));
        let victim = dice.index(crew.size());
        // Both kinds are needed to go on.
        assert!(comes_true(|| (0..4).all(|place| crew.is_born(place))));
        let killed = crew.kill(victim);
        // The lock is wanted by somebody, as it would be in any program that goes on.
        let guard = c.acquire().unwrap();
        if guard.owner_died().is_some() {
            guard.notify_all();
        }
        drop(guard);
        crew.go_on_without(&killed);
        assert!(items.get() <= 3, "{} items", items.get());
        crew.replace(victim);
    }
    crew.end_by(|| c.acquire().unwrap().notify_all());
    assert_eq!(c.waiting(), 0);
}
