//! The barrier: who has arrived, what became of them, and who takes part.
//!
//! All of it changes under a lock word of its own; waiters sleep on `turn`, which changes with everything
//! that concerns them. Each waiter has a seat, in which it finds what became of its round:
//!
//! | state | meaning |
//! |---|---|
//! | `FREE` | nobody's |
//! | `WAITING` | its owner has arrived |
//! | `PASSED` | all have arrived |
//! | from `BROKEN` on | the barrier broke, and why |
//!
//! A handle takes part from its first arrival until it is dropped, and its process is noted for as long. If
//! that is killed meanwhile, inside or between two rounds, the barrier is broken: the others would wait for it
//! for ever. If it is killed in the middle of a change, that is found by the next who takes the lock.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use mp_shared_memory::MemberId;

use crate::deadline::{Looks, has_passed};
use crate::peers::Peers;
use crate::prim::{AtomicU32, Futex};
use crate::spin::Spin;
use crate::state::lock::{Got, LockWord};

/// The most parties of a barrier.
pub(crate) const PARTIES: usize = if cfg!(mp_loom) { 3 } else { 1024 };

const FREE: u32 = 0;
const WAITING: u32 = 1;
const PASSED: u32 = 2;
const BROKEN: u32 = 3;

/// The phases of a round.
const FILLING: u32 = 0;
/// All have arrived, and one of them runs the action.
const ACTING: u32 = 1;

#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct BarrierState {
    lock: LockWord,
    spin: Spin,
    parties: AtomicU32,
    /// How many have arrived in this round.
    arrived: AtomicU32,
    phase: AtomicU32,
    /// Zero while it is whole, else a [`Reason`].
    broken: AtomicU32,
    /// Who died, for that reason.
    victim: AtomicU32,
    turn: Futex,
    seats: [Seat; PARTIES],
    /// The processes that take part, once for each handle; zero is free.
    members: [AtomicU32; PARTIES],
}

#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
struct Seat {
    state: AtomicU32,
    owner: AtomicU32,
}

/// Why a barrier broke, or a round of it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Aborted,
    TimedOut,
    ActionFailed,
    Reset,
    Died(Option<MemberId>),
}

/// What an arrival leads to.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The number of the arrival in its round; the round is over.
    Passed(usize),
    /// This is the last one, and it is to run the action and then say how that went.
    Act(usize),
    Broken(Reason),
}

/// The lock is held.
struct Inside<'a>(&'a BarrierState);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock.release();
    }
}

impl Reason {
    fn to_word(self) -> u32 {
        BROKEN
            + match self {
                Reason::Aborted => 0,
                Reason::TimedOut => 1,
                Reason::ActionFailed => 2,
                Reason::Reset => 3,
                Reason::Died(_) => 4,
            }
    }
}

impl BarrierState {
    /// Sets a new barrier up, before it is shared.
    pub(crate) fn begin(&self, parties: u32) {
        self.parties.store(parties, Release);
    }

    pub(crate) fn parties(&self) -> u32 {
        self.parties.load(Relaxed)
    }

    /// How many wait for the round to fill.
    pub(crate) fn waiting(&self) -> u32 {
        let is_filling = self.phase.load(Acquire) == FILLING && !self.is_broken();
        if is_filling { self.arrived.load(Acquire) } else { 0 }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Acquire) != 0
    }

    /// Arrives and sleeps until the round is over, at most until `deadline`: then it breaks.
    ///
    /// `has_joined` says whether the handle takes part already. With `acts`, the last one to arrive returns
    /// before the others go, and calls [`acted`](Self::acted).
    pub(crate) fn arrive(
        &self,
        peers: &impl Peers,
        has_joined: &AtomicBool,
        deadline: Option<Instant>,
        acts: bool,
    ) -> io::Result<Arrival> {
        let mut looks = Looks::at_others();
        let (seat, index) = loop {
            let inside = self.enter(peers)?;
            if let Some(reason) = inside.broken() {
                return Ok(Arrival::Broken(reason));
            }
            inside.join(peers, has_joined);
            // More arrivals than parties, or seats whose owners have not looked yet.
            let full = self.phase.load(Relaxed) == ACTING;
            if let Some(seat) = inside.free_seat(peers).filter(|_| !full) {
                let index = self.arrived.load(Relaxed).saturating_add(1);
                self.arrived.store(index, Relaxed);
                if index < self.parties() {
                    self.seats[seat].owner.store(peers.me().to_word(), Relaxed);
                    self.seats[seat].state.store(WAITING, Relaxed);
                    break (seat, index as usize - 1);
                }
                // One of those who have arrived may be dead by now, and nobody may have looked.
                inside.break_if_a_member_died(peers);
                if let Some(reason) = inside.broken() {
                    return Ok(Arrival::Broken(reason));
                }
                if acts {
                    self.phase.store(ACTING, Relaxed);
                    return Ok(Arrival::Act(index as usize - 1));
                }
                inside.end_round(PASSED);
                return Ok(Arrival::Passed(index as usize - 1));
            }
            inside.break_if_a_member_died(peers);
            if has_passed(deadline) {
                inside.break_for(Reason::TimedOut);
            }
            if let Some(reason) = inside.broken() {
                return Ok(Arrival::Broken(reason));
            }
            let turn = self.turn.word.load(Relaxed);
            drop(inside);
            self.turn.sleep(turn, looks.next(deadline))?;
        };
        let outcome = || {
            let state = self.seats[seat].state.load(Acquire);
            (state != WAITING).then_some(state)
        };
        let mut found = self.spin.until(outcome);
        while found.is_none() {
            let turn = self.turn.word.load(Acquire);
            if outcome().is_none() {
                self.turn.sleep(turn, looks.next(deadline))?;
            }
            found = outcome();
            if found.is_none() {
                let inside = self.enter(peers)?;
                inside.break_if_a_member_died(peers);
                if outcome().is_none() && has_passed(deadline) {
                    inside.break_for(Reason::TimedOut);
                }
                found = outcome();
            }
        }
        let reason = self.reason(found.unwrap_or(BROKEN));
        self.seats[seat].state.store(FREE, Release);
        Ok(reason.map_or(Arrival::Passed(index), Arrival::Broken))
    }

    /// Ends the round of a last arrival that was to act.
    pub(crate) fn acted(
        &self,
        peers: &impl Peers,
        index: usize,
        well: bool,
    ) -> io::Result<Arrival> {
        let inside = self.enter(peers)?;
        if let Some(reason) = inside.broken() {
            return Ok(Arrival::Broken(reason));
        }
        // A reset in the meantime has begun another round.
        if self.phase.load(Relaxed) != ACTING {
            return Ok(Arrival::Broken(Reason::Reset));
        }
        if !well {
            inside.break_for(Reason::ActionFailed);
            return Ok(Arrival::Broken(Reason::ActionFailed));
        }
        inside.end_round(PASSED);
        Ok(Arrival::Passed(index))
    }

    /// Breaks it.
    pub(crate) fn abort(&self, peers: &impl Peers) -> io::Result<()> {
        self.enter(peers)?.break_for(Reason::Aborted);
        Ok(())
    }

    /// Makes it whole and empty; who waits finds its round broken.
    pub(crate) fn reset(&self, peers: &impl Peers) -> io::Result<()> {
        let inside = self.enter(peers)?;
        inside.end_round(Reason::Reset.to_word());
        inside.dead_members(peers).for_each(|(word, _)| word.store(0, Relaxed));
        self.broken.store(0, Release);
        Ok(())
    }

    /// A handle takes part no more.
    pub(crate) fn leave(&self, peers: &impl Peers) -> io::Result<()> {
        let _inside = self.enter(peers)?;
        let me = peers.me().to_word();
        if let Some(word) = self.members.iter().find(|word| word.load(Relaxed) == me) {
            word.store(0, Relaxed);
        }
        Ok(())
    }

    fn enter(&self, peers: &impl Peers) -> io::Result<Inside<'_>> {
        loop {
            match self.lock.acquire(peers, None)? {
                Some(Got::Clean) => return Ok(Inside(self)),
                Some(Got::From(dead)) => {
                    let inside = Inside(self);
                    // It may have died while it broke the barrier, before it had told everybody.
                    match self.broken.load(Relaxed) {
                        0 => inside.break_for(Reason::Died(Some(dead))),
                        outcome => inside.end_round(outcome),
                    }
                    return Ok(inside);
                }
                None => {}
            }
        }
    }

    fn reason(&self, word: u32) -> Option<Reason> {
        const REASONS: [Reason; 4] =
            [Reason::Aborted, Reason::TimedOut, Reason::ActionFailed, Reason::Reset];
        let number = word.checked_sub(BROKEN)? as usize;
        Some(
            REASONS
                .get(number)
                .copied()
                .unwrap_or_else(|| Reason::Died(MemberId::from_word(self.victim.load(Relaxed)))),
        )
    }
}

impl Inside<'_> {
    fn broken(&self) -> Option<Reason> {
        self.0.reason(self.0.broken.load(Relaxed))
    }

    fn break_for(&self, reason: Reason) {
        if self.broken().is_some() {
            return;
        }
        if let Reason::Died(Some(victim)) = reason {
            self.0.victim.store(victim.to_word(), Relaxed);
        }
        self.0.broken.store(reason.to_word(), Release);
        self.end_round(reason.to_word());
    }

    /// Tells everybody who waits what became of the round, and begins the next.
    fn end_round(&self, outcome: u32) {
        self.0.arrived.store(0, Relaxed);
        self.0.phase.store(FILLING, Relaxed);
        for seat in &self.0.seats {
            let _if_waiting = seat.state.compare_exchange(WAITING, outcome, AcqRel, Relaxed);
        }
        self.0.turn.word.store(self.0.turn.word.load(Relaxed).wrapping_add(1), Release);
        self.0.turn.wake(u32::MAX);
    }

    fn break_if_a_member_died(&self, peers: &impl Peers) {
        if let Some((_, member)) = self.dead_members(peers).next() {
            self.break_for(Reason::Died(Some(member)));
        }
    }

    fn dead_members(&self, peers: &impl Peers) -> impl Iterator<Item = (&AtomicU32, MemberId)> {
        let members = self.0.members.iter().filter_map(|word| {
            MemberId::from_word(word.load(Relaxed)).map(|member| (word, member))
        });
        members.filter(|(_, member)| *member != peers.me() && !peers.is_alive(*member))
    }

    /// Notes the process of a handle. (If there is no room, its death goes unnoticed.)
    fn join(&self, peers: &impl Peers, has_joined: &AtomicBool) {
        if !has_joined.load(Relaxed)
            && let Some(free) = self.0.members.iter().find(|word| word.load(Relaxed) == 0)
        {
            free.store(peers.me().to_word(), Relaxed);
            has_joined.store(true, Relaxed);
        }
    }

    /// A seat that is nobody's, or that of a process which has died.
    fn free_seat(&self, peers: &impl Peers) -> Option<usize> {
        let seats = &self.0.seats;
        let is_dead = |seat: &Seat| {
            let owner = MemberId::from_word(seat.owner.load(Relaxed));
            owner.is_none_or(|owner| owner != peers.me() && !peers.is_alive(owner))
        };
        seats
            .iter()
            .position(|seat| seat.state.load(Acquire) == FREE)
            .or_else(|| seats.iter().position(is_dead))
    }
}

#[cfg(test)]
impl BarrierState {
    pub(crate) fn new(parties: u32) -> BarrierState {
        let zero = || AtomicU32::new(0);
        let state = BarrierState {
            #[cfg(mp_loom)]
            lock: LockWord::default(),
            #[cfg(not(mp_loom))]
            lock: LockWord::default(),
            spin: Spin(zero()),
            parties: zero(),
            arrived: zero(),
            phase: zero(),
            broken: zero(),
            victim: zero(),
            #[cfg(mp_loom)]
            turn: Futex::new(0),
            #[cfg(not(mp_loom))]
            turn: Futex { word: zero() },
            seats: std::array::from_fn(|_| Seat { state: zero(), owner: zero() }),
            members: std::array::from_fn(|_| zero()),
        };
        state.begin(parties);
        state
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peers::mock::Mock;

    fn new_handle() -> AtomicBool {
        AtomicBool::new(false)
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(5))
    }

    #[test]
    fn one_party_never_waits() {
        let barrier = BarrierState::new(1);
        for _ in 0..3 {
            assert!(matches!(
                barrier.arrive(&Mock(1, 9), &new_handle(), None, false),
                Ok(Arrival::Passed(0))
            ));
        }
        assert_eq!(barrier.waiting(), 0);
    }

    #[test]
    fn a_timeout_breaks_it_and_a_reset_mends_it() {
        let (barrier, me) = (BarrierState::new(2), Mock(1, 9));
        let broken = |arrival| match arrival {
            Ok(Arrival::Broken(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken(barrier.arrive(&me, &new_handle(), soon(), false)), Reason::TimedOut);
        assert_eq!(broken(barrier.arrive(&me, &new_handle(), None, false)), Reason::TimedOut);
        barrier.reset(&me).unwrap();
        assert!(!barrier.is_broken());
        barrier.abort(&me).unwrap();
        barrier.abort(&me).unwrap();
        assert_eq!(broken(barrier.arrive(&me, &new_handle(), None, false)), Reason::Aborted);
    }

    #[test]
    fn a_member_that_is_killed_between_two_rounds_breaks_it() {
        let barrier = BarrierState::new(1);
        barrier.arrive(&Mock(7, 9), &new_handle(), None, false).unwrap();
        barrier.begin(2);
        let arrival = barrier.arrive(&Mock(1, 7), &new_handle(), None, false).unwrap();
        let Arrival::Broken(reason) = arrival else { panic!("{arrival:?}") };
        assert_eq!(reason, Reason::Died(Some(Mock::id(7))));
    }

    #[test]
    fn a_process_that_has_left_is_not_missed() {
        let barrier = BarrierState::new(1);
        barrier.arrive(&Mock(7, 9), &new_handle(), None, false).unwrap();
        barrier.leave(&Mock(7, 9)).unwrap();
        barrier.begin(2);
        let arrival = barrier.arrive(&Mock(1, 7), &new_handle(), soon(), false);
        assert!(matches!(arrival, Ok(Arrival::Broken(Reason::TimedOut))));
    }

    #[test]
    fn breaking_it_is_finished_for_who_was_killed_in_the_middle() {
        let barrier = BarrierState::new(2);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| barrier.arrive(&Mock(1, 5), &new_handle(), None, false));
            while barrier.waiting() == 0 {
                std::thread::yield_now();
            }
            // Process 7 has broken it, has told nobody yet, and is killed there.
            barrier.lock.acquire(&Mock(7, 9), None).unwrap();
            barrier.broken.store(Reason::Aborted.to_word(), Relaxed);
            let arrival = waiter.join().unwrap();
            assert!(matches!(arrival, Ok(Arrival::Broken(Reason::Aborted))), "{arrival:?}");
        });
    }

    #[test]
    fn the_last_one_acts_before_the_others_go() {
        let (barrier, me) = (BarrierState::new(1), Mock(1, 9));
        let Ok(Arrival::Act(index)) = barrier.arrive(&me, &new_handle(), None, true) else {
            panic!()
        };
        assert!(matches!(barrier.acted(&me, index, true), Ok(Arrival::Passed(0))));
        let Ok(Arrival::Act(index)) = barrier.arrive(&me, &new_handle(), None, true) else {
            panic!()
        };
        let arrival = barrier.acted(&me, index, false);
        assert!(matches!(arrival, Ok(Arrival::Broken(Reason::ActionFailed))));
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::peers::mock::Mock;

    fn new_handle() -> AtomicBool {
        AtomicBool::new(false)
    }

    fn run(number: u32, barrier: &BarrierState, inside: &AtomicU32) {
        for round in 1..=2 {
            inside.fetch_add(1, AcqRel);
            let arrival = barrier.arrive(&Mock(number, 8), &new_handle(), None, false).unwrap();
            assert!(matches!(arrival, Arrival::Passed(0 | 1)), "{arrival:?}");
            assert!(inside.load(Acquire) >= 2 * round, "passed before all arrived");
        }
    }

    /// Two parties pass two rounds, in step, with all numbers of arrival.
    #[test]
    fn loom_two_parties_pass_two_rounds() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let barrier = Arc::new(BarrierState::new(2));
            let inside = Arc::new(AtomicU32::new(0));
            let (b, i) = (Arc::clone(&barrier), Arc::clone(&inside));
            let other = thread::spawn(move || run(2, &b, &i));
            run(1, &barrier, &inside);
            other.join().unwrap();
        });
    }

    #[test]
    fn loom_an_abort_lets_a_waiter_go() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let barrier = Arc::new(BarrierState::new(2));
            let theirs = Arc::clone(&barrier);
            let waiter = thread::spawn(move || {
                let arrival = theirs.arrive(&Mock(2, 8), &new_handle(), None, false).unwrap();
                assert!(matches!(arrival, Arrival::Broken(Reason::Aborted)));
            });
            barrier.abort(&Mock(1, 8)).unwrap();
            waiter.join().unwrap();
        });
    }
}
