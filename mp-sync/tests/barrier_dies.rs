//! Parties of a barrier are killed at random instants: the others are told, and a reset mends it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{Barrier, BarrierError, Broken, Event};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Board, Crew, Dice, ENTERING, LEAVING, OUT, kills, take_turn};

mp::enable_test_support!();

const PARTIES: usize = 4;
/// So long a party waits for the others; none is to come to that.
const LIMIT: Duration = Duration::from_secs(30);

/// Passes rounds; says when it finds the barrier broken, and goes on when it was mended.
fn takes_part(barrier: Barrier, is_mended: Event, board: Board, place: usize) -> mp::Result<()> {
    let mut dice = Dice::with_seed(std::process::id().into());
    while !board.is_over() {
        board.set_phase(place, ENTERING);
        match barrier.wait_timeout(LIMIT) {
            Ok(_) => {
                board.set_phase(place, OUT);
                board.count_round(place);
                dice.pass_less_than(Duration::from_micros(50));
            }
            Err(BarrierError::Broken(Broken::PartyDied { .. } | Broken::Aborted)) => {
                board.set_phase(place, LEAVING);
                mp::ensure!(is_mended.wait_timeout(LONG)?, "nobody mends it");
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

#[test]
fn b_16_a_storm_of_kills_breaks_the_barrier_each_time_and_a_reset_mends_it() {
    let mut dice = Dice::of_this_storm();
    let (barrier, is_mended) = (Barrier::new(PARTIES).unwrap(), Event::new().unwrap());
    let theirs = (barrier.clone(), is_mended.clone());
    let turn = take_turn();
    let mut crew = Crew::start(&turn, PARTIES, move |board, place| {
        let (barrier, is_mended) = theirs.clone();
        mp::Process::start(takes_part, (barrier, is_mended, board, place)).unwrap()
    });
    for number in 0..kills(200) {
        dice.pass_less_than(Duration::from_millis(2));
        let victim = dice.index(PARTIES);
        // A process takes part from its first wait on.
        assert!(comes_true(|| (0..PARTIES).all(|place| crew.is_born(place))), "{barrier:?}");
        // It stays set until the next death: who comes late to wait for it has missed nothing.
        is_mended.clear();
        let killed = crew.kill(victim);
        let board = crew.board.clone();
        crew.wait_without(&killed, || {
            (0..PARTIES).all(|place| place == victim || board.phase(place) == LEAVING)
        });
        assert!(barrier.broken(), "kill {number}");
        let Err(BarrierError::Broken(Broken::PartyDied { process })) = barrier.wait() else {
            panic!("kill {number}: {barrier:?}");
        };
        assert_eq!(process.map(|process| process.pid), Some(crew.pid(victim)), "kill {number}");
        barrier.reset().unwrap();
        is_mended.set();
        crew.replace(victim);
        // Four parties again: whole rounds are passed.
        let before = crew.all_rounds();
        assert!(
            comes_true(|| (0..PARTIES).all(|place| crew.board.rounds(place) > before[place])),
            "kill {number}: {barrier:?}"
        );
    }
    crew.end_by(|| {
        barrier.abort().unwrap();
        is_mended.set();
    });
}
