//! Processes that wait for an event are killed at random instants, and the others go on.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use mp::Event;
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Board, Crew, Dice, ENTERING, OUT, kills, take_turn};

mp::enable_test_support!();

fn waits(e: Event, board: Board, place: usize) -> mp::Result<()> {
    board.count_round(place);
    while !board.is_over() {
        board.set_phase(place, ENTERING);
        mp::ensure!(e.wait_timeout(LONG)?, "nobody sets it");
        board.set_phase(place, OUT);
        board.count_round(place);
    }
    Ok(())
}

#[test]
fn e_07_e_08_a_storm_of_kills_does_not_keep_anybody_from_going_on() {
    let mut dice = Dice::of_this_storm();
    let e = Event::new().unwrap();
    let theirs = e.clone();
    let turn = take_turn();
    let mut crew = Crew::start(&turn, 4, move |board, place| {
        mp::Process::start(waits, (theirs.clone(), board, place)).unwrap()
    });
    let mut longest_set = Duration::ZERO;
    for _ in 0..kills(300) {
        assert!(comes_true(|| crew.all_sleep_in(ENTERING)), "somebody does not wait");
        let victim = crew.choose(&mut dice);
        let before = crew.all_rounds();
        let set_and_clear = || {
            let begun = Instant::now();
            e.set();
            e.clear();
            begun.elapsed()
        };
        let early = (dice.below(2) == 0).then(|| {
            let took = set_and_clear();
            dice.pass_less_than(Duration::from_micros(150));
            took
        });
        let killed = crew.kill(victim).since(before);
        longest_set = longest_set.max(early.unwrap_or_else(set_and_clear));
        crew.come_round_without(&killed, 1);
        crew.replace(victim);
    }
    crew.end_by(|| e.set());
    eprintln!("longest set and clear: {longest_set:?}");
}

/// The one who sets and clears is killed: either nobody goes on, or everybody does.
#[test]
fn e_08_a_storm_of_killed_setters_leaves_nobody_behind() {
    let sets = |e: Event, board: Board, place: usize| -> mp::Result<()> {
        board.count_round(place);
        while !board.is_over() {
            e.set();
            e.clear();
            board.count_round(place);
        }
        Ok(())
    };
    let mut dice = Dice::of_this_storm();
    let e = Event::new().unwrap();
    let theirs = e.clone();
    let turn = take_turn();
    let mut crew = Crew::start(&turn, 4, move |board, place| {
        let arguments = (theirs.clone(), board, place);
        // Two who set it and two who wait.
        match place % 2 {
            0 => mp::Process::start(sets, arguments).unwrap(),
            _ => mp::Process::start(waits, arguments).unwrap(),
        }
    });
    for _ in 0..kills(200) {
        dice.pass_less_than(Duration::from_millis(2));
        let victim = crew.choose(&mut dice);
        let killed = crew.kill(victim);
        crew.go_on_without(&killed);
        crew.replace(victim);
        assert!(comes_true(|| crew.is_born(victim)));
    }
    crew.end_by(|| e.set());
}
