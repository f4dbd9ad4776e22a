//! Processes that hold or want permits are killed at random instants, and no permit is lost or made.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{BoundedSemaphore, Permit, Semaphore, SyncError};
use mp_testing::limits::comes_true;
use mp_testing::storm::{Board, Crew, Dice, ENTERING, INSIDE, LEAVING, OUT, kills, take_turn};
use serde::Serialize;
use serde::de::DeserializeOwned;

mp::enable_test_support!();

const PERMITS: u32 = 4;

/// Both kinds of semaphores.
trait Gives: Clone + Serialize + DeserializeOwned + 'static {
    fn new() -> Self;
    fn acquire(&self) -> Result<Permit<'_>, SyncError>;
    fn try_acquire(&self) -> Result<Option<Permit<'_>>, SyncError>;
    fn value(&self) -> u32;
}

macro_rules! gives {
    ($($type:ty),*) => {
        $(
            impl Gives for $type {
                fn new() -> Self {
                    <$type>::new(PERMITS).unwrap()
                }

                fn acquire(&self) -> Result<Permit<'_>, SyncError> {
                    self.acquire()
                }

                fn try_acquire(&self) -> Result<Option<Permit<'_>>, SyncError> {
                    self.try_acquire()
                }

                fn value(&self) -> u32 {
                    self.get_value()
                }
            }
        )*
    };
}

gives!(Semaphore, BoundedSemaphore);

fn works<S: Gives>(s: S, board: Board, place: usize) -> mp::Result<()> {
    let mut dice = Dice::with_seed(std::process::id().into());
    while !board.is_over() {
        board.set_phase(place, ENTERING);
        let permit = s.acquire()?;
        board.set_phase(place, INSIDE);
        dice.pass_less_than(Duration::from_micros(100));
        let value = s.value();
        mp::ensure!(value < PERMITS, "{value} are free although one is taken");
        board.set_phase(place, LEAVING);
        drop(permit);
        board.set_phase(place, OUT);
        board.count_round(place);
        dice.pass_less_than(Duration::from_micros(50));
    }
    Ok(())
}

fn storm<S: Gives>(usual_kills: usize) {
    let mut dice = Dice::of_this_storm();
    let s = S::new();
    let theirs = s.clone();
    let turn = take_turn();
    let mut crew = Crew::start(&turn, 6, move |board, place| {
        mp::Process::start(works::<S>, (theirs.clone(), board, place)).unwrap()
    });
    let mut inside = 0;
    for _ in 0..kills(usual_kills) {
        dice.pass_less_than(Duration::from_millis(3));
        let victim = crew.choose(&mut dice);
        let killed = crew.kill(victim);
        inside += usize::from(crew.board.phase(victim) == INSIDE);
        crew.go_on_without(&killed);
        assert!(s.value() <= PERMITS);
        crew.replace(victim);
    }
    crew.end();
    eprintln!("{inside} died with a permit");
    // What the dead held comes back when somebody wants it.
    let permits: Vec<_> = std::iter::from_fn(|| s.try_acquire().unwrap()).collect();
    assert_eq!((permits.len(), s.value()), (PERMITS as usize, 0));
    drop(permits);
    assert_eq!(s.value(), PERMITS);
}

#[test]
fn se_07_a_storm_of_kills_loses_and_makes_no_permit() {
    storm::<Semaphore>(300);
}

#[test]
fn se_03_a_storm_of_kills_loses_and_makes_no_permit_of_a_bounded_one() {
    storm::<BoundedSemaphore>(150);
}

/// Waits for a permit that only the test gives, and keeps it for a moment.
fn takes_turns(s: Semaphore, board: Board, place: usize) -> mp::Result<()> {
    board.count_round(place);
    while !board.is_over() {
        board.set_phase(place, ENTERING);
        let permit = s.acquire()?;
        board.set_phase(place, INSIDE);
        board.count_round(place);
        drop(permit);
    }
    Ok(())
}

#[test]
fn se_07_a_killed_waiter_takes_no_wake_up_with_it() {
    let mut dice = Dice::of_this_storm();
    let s = Semaphore::new(1).unwrap();
    let theirs = s.clone();
    let permit = s.acquire().unwrap();
    let turn = take_turn();
    let mut crew = Crew::start(&turn, 4, move |board, place| {
        mp::Process::start(takes_turns, (theirs.clone(), board, place)).unwrap()
    });
    let mut permit = Some(permit);
    for _ in 0..kills(200) {
        assert!(comes_true(|| crew.all_sleep_in(ENTERING)), "somebody does not wait");
        let victim = crew.choose(&mut dice);
        drop(permit.take());
        dice.pass_less_than(Duration::from_micros(150));
        let killed = crew.kill(victim);
        crew.go_on_without(&killed);
        permit = Some(s.acquire().unwrap());
        crew.replace(victim);
    }
    drop(permit);
    crew.end();
    assert_eq!(s.get_value(), 1);
}
