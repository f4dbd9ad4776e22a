//! The published place of one end of a chain.
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | somebody may sleep until it moves |
//! | 1–31 | the position: how many units have gone by, modulo 2^31 |
//!
//! It moves by one store of whoever has the lock of its end, and that store tells whether to wake somebody. The
//! bit is cleared by it, so who was woken and did not find everything taken sets it again, and wakes
//! the next: a chain of wake-ups that breaks only if one of them is killed, and then the next look of
//! a sleeper mends it.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Instant;

use mp_sync::parts::{Futex, Looks, Sleep, Spin, has_passed};

const SLEEPERS: u32 = 1;
/// All bits of a position.
const POSITIONS: u32 = u32::MAX >> 1;

/// A number of units in a chain, since its beginning, of which the highest bits are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(u32);

impl Position {
    pub(crate) fn from_word(word: u32) -> Position {
        Position(word & POSITIONS)
    }

    pub(crate) fn to_word(self) -> u32 {
        self.0
    }

    /// The position `units` later.
    pub(crate) fn after(self, units: u32) -> Position {
        Position(self.0.wrapping_add(units) & POSITIONS)
    }

    /// How many units come after `earlier` and before this.
    pub(crate) fn since(self, earlier: Position) -> u32 {
        self.0.wrapping_sub(earlier.0) & POSITIONS
    }

    /// How far into its block it is, for blocks of `units`.
    pub(crate) fn in_block(self, units: u32) -> u32 {
        self.0 & (units - 1)
    }

    /// How many blocks of `units` have a part of what lies between `start` and this, and the unit before
    /// `start`.
    pub(crate) fn blocks_since(self, start: Position, units: u32) -> u32 {
        let block = |position: Position| (position.0.wrapping_sub(1) & POSITIONS) / units;
        (block(self).wrapping_sub(block(start)) & (POSITIONS / units)) + 1
    }
}

/// How a wait for a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It moved; whether this thread has slept meanwhile.
    Yes {
        /// Then it has to pass the wake-up on.
        slept: bool,
    },
    /// The deadline came first, or the caller gave up.
    No {
        /// As above.
        slept: bool,
    },
}

/// A position that is published, and the memory of spinning for it to move.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct Published {
    word: Futex,
    spin: Spin,
}

impl Published {
    /// Where it is; what was written before it was published is seen.
    pub(crate) fn get(&self) -> Position {
        Position(self.word.word.load(Acquire) >> 1)
    }

    /// Moves it; the caller has the lock of this end. Whether somebody may sleep: then the caller
    /// [wakes](Published::wake).
    #[must_use = "somebody may sleep"]
    pub(crate) fn publish(&self, position: Position) -> bool {
        self.word.word.swap(position.0 << 1, AcqRel) & SLEEPERS != 0
    }

    /// Has all who sleep, or are about to, look around; what they look for was stored before.
    pub(crate) fn wake_to_look(&self) {
        // Whoever has set the bit and not looked at anything else since would else go to sleep on it.
        self.word.word.fetch_and(!SLEEPERS, AcqRel);
        self.word.wake(u32::MAX);
    }

    /// Wakes up to `count` of those who sleep.
    pub(crate) fn wake(&self, count: u32) {
        self.word.wake(count);
    }

    /// To be called by one who has slept and goes its way: others may sleep still. `has_more` says whether
    /// there is something for them; it is asked after they can be seen to sleep.
    pub(crate) fn pass_on(&self, has_more: impl FnOnce() -> bool) {
        self.word.word.fetch_or(SLEEPERS, AcqRel);
        if has_more() {
            self.wake(1);
        }
    }

    /// Waits until it is elsewhere than at `from`, at most until `deadline`, or until `look` says to give up,
    /// which is asked after each wake-up and when `looks` says: for what nobody can wake a sleeper for.
    ///
    /// While it spins it waits for `enough`: who goes on at the first move may have to wait again at once.
    pub(crate) fn wait(
        &self,
        from: Position,
        deadline: Option<Instant>,
        enough: impl Fn(Position) -> bool,
        (mut looks, mut look): (Looks, impl FnMut() -> bool),
    ) -> io::Result<Moved> {
        if self.get() != from {
            return Ok(Moved::Yes { slept: false });
        }
        if has_passed(deadline) {
            return Ok(Moved::No { slept: false });
        }
        let ready = || Some(self.get()).filter(|now| *now != from && enough(*now));
        if self.spin.until(ready).is_some() {
            return Ok(Moved::Yes { slept: false });
        }
        let mut slept = false;
        loop {
            let seen = self.word.word.load(Acquire);
            if Position(seen >> 1) != from {
                return Ok(Moved::Yes { slept });
            }
            let marked = seen | SLEEPERS;
            // Before it looks, so that whoever is to be seen by that can tell that it is looked for.
            if seen != marked
                && self.word.word.compare_exchange(seen, marked, AcqRel, Relaxed).is_err()
            {
                continue;
            }
            if has_passed(deadline) || look() {
                return Ok(Moved::No { slept });
            }
            let _looked_at_again: Sleep = self.word.sleep(marked, looks.next(deadline))?;
            slept = true;
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn positions_wrap_and_their_distance_does_not() {
        let late = Position::from_word(u32::MAX);
        assert_eq!(late.after(3).to_word(), 2);
        assert_eq!(late.after(3).since(late), 3);
        assert_eq!(late.after(2048).in_block(2048), 2047);
    }

    #[test]
    fn blocks_are_counted_from_the_one_before_the_start() {
        let at = Position::from_word;
        assert_eq!(at(0).blocks_since(at(0), 4), 1);
        assert_eq!(at(1).blocks_since(at(0), 4), 2, "the block of unit -1 counts");
        assert_eq!(at(4).blocks_since(at(0), 4), 2);
        assert_eq!(at(5).blocks_since(at(1), 4), 2);
        assert_eq!(at(5).blocks_since(at(4), 4), 2);
        assert_eq!(at(5).blocks_since(at(5), 4), 1);
        assert_eq!(at(1).blocks_since(at(u32::MAX), 4), 2);
    }

    #[test]
    fn a_wait_ends_with_a_move_a_deadline_or_a_look() {
        let published = Published::default();
        let start = published.get();
        let soon = || Some(Instant::now() + Duration::from_millis(5));
        assert_eq!(
            published.wait(start, soon(), |_| true, (Looks::at_word(), || false)).unwrap(),
            Moved::No { slept: true }
        );
        assert_eq!(
            published.wait(start, None, |_| true, (Looks::at_word(), || true)).unwrap(),
            Moved::No { slept: false }
        );
        assert!(published.publish(start.after(1)), "the sleeper's mark");
        assert!(!published.publish(start.after(2)));
        assert_eq!(
            published.wait(start, None, |_| true, (Looks::at_word(), || false)).unwrap(),
            Moved::Yes { slept: false }
        );
    }
}
