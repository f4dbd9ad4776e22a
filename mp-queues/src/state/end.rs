//! One end of a chain: its lock, and what only the holder of that lock changes.
//!
//! A holder may be killed between any two instructions. What it changes beside the published position
//! is written down before: so the next one knows, from the position alone, whether the move was made, and
//! sets the rest right.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

#[cfg(not(mp_loom))]
use mp_shared_memory::MemberId;
use mp_sync::parts::{AtomicU32, AtomicU64, Got, LockWord, Peers};

use super::position::{Position, Published};

/// The state of one end. Zero, it is at the beginning of a chain whose blocks it does not know yet.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct End {
    lock: LockWord,
    /// 1 from a death of its holder until all is set right.
    is_torn: AtomicU32,
    /// The block with the last unit before the position.
    block: AtomicU32,
    /// Where the other end was when last looked at.
    seen: AtomicU32,
    /// Where a move that has begun goes.
    next_position: AtomicU32,
    next_block: AtomicU32,
    /// Items that have gone by this end; a move that is not made yet may be counted.
    count: AtomicU64,
    next_count: AtomicU64,
    /// As `count`, without a move that is not made yet.
    settled: AtomicU64,
}

impl End {
    /// Tells the end which block is before the first, when its chain is made.
    pub(crate) fn begin_after(&self, block: u32) {
        self.next_block.store(block, Relaxed);
        self.block.store(block, Relaxed);
    }

    /// Takes the lock, at most until `deadline`; `None` if that came first.
    pub(crate) fn lock(
        &self,
        peers: &impl Peers,
        deadline: Option<Instant>,
    ) -> io::Result<Option<Locked<'_>>> {
        Ok(self.lock.acquire(peers, deadline)?.map(|got| self.locked(got)))
    }

    /// Who has the lock.
    #[cfg(not(mp_loom))]
    pub(crate) fn owner(&self) -> Option<MemberId> {
        self.lock.owner()
    }

    /// Takes the lock if nobody has it who lives.
    pub(crate) fn try_lock(&self, peers: &impl Peers) -> Option<Locked<'_>> {
        self.lock.try_acquire(peers).map(|got| self.locked(got))
    }

    fn locked(&self, got: Got) -> Locked<'_> {
        if let Got::From(_) = got {
            self.is_torn.store(1, Relaxed);
        }
        Locked(self)
    }

    /// Whether the lock has a holder that is dead, or left something behind.
    pub(crate) fn needs_mending(&self, peers: &impl Peers) -> bool {
        let is_dead = |owner| owner != peers.me() && !peers.is_alive(owner);
        self.lock.owner().is_some_and(is_dead) || self.is_torn.load(Relaxed) != 0
    }

    /// Whether the other end was last seen elsewhere than at `position`, where this one is: there is more then,
    /// unless it was taken meanwhile.
    pub(crate) fn has_more(&self, position: Position) -> bool {
        self.seen.load(Relaxed) != position.to_word()
    }

    /// How many items have gone by; one more, or several, while a move is being made.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// Whether a move is being made, or was when a holder of the lock died.
    pub(crate) fn is_moving(&self) -> bool {
        self.count.load(Relaxed) != self.settled.load(Relaxed)
    }
}

/// The lock of an end; unlocks it when dropped.
#[derive(Debug)]
pub(crate) struct Locked<'a>(&'a End);

impl Locked<'_> {
    /// Whether a holder before has died, and [`settle`](Locked::settle) and whatever else is needed has
    /// not been done.
    pub(crate) fn is_torn(&self) -> bool {
        self.0.is_torn.load(Relaxed) != 0
    }

    /// Sets right what a holder left that was killed, but for [`mended`](Locked::mended).
    pub(crate) fn settle(&self, published: &Published) {
        let end = self.0;
        if published.get().to_word() == end.next_position.load(Relaxed) {
            end.block.store(end.next_block.load(Relaxed), Relaxed);
            end.settled.store(end.next_count.load(Relaxed), Relaxed);
        }
        end.count.store(end.settled.load(Relaxed), Release);
    }

    /// All is right again.
    pub(crate) fn mended(&self) {
        self.0.is_torn.store(0, Release);
    }

    pub(crate) fn block(&self) -> u32 {
        self.0.block.load(Relaxed)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.count.load(Relaxed)
    }

    /// Where the other end was when last looked at.
    pub(crate) fn seen(&self) -> Position {
        Position::from_word(self.0.seen.load(Relaxed))
    }

    pub(crate) fn set_seen(&self, position: Position) {
        self.0.seen.store(position.to_word(), Relaxed);
    }

    /// Moves this end: `items` go by, up to `position`, the last of whose units is in `block`. Whether somebody
    /// may sleep until it moves.
    #[must_use = "somebody may sleep"]
    pub(crate) fn advance(
        &self,
        published: &Published,
        position: Position,
        block: u32,
        items: u32,
    ) -> bool {
        let end = self.0;
        let count = end.settled.load(Relaxed).wrapping_add(u64::from(items));
        // Each store is seen, by who takes the lock over from the dead, after those before it. The new place
        // comes first: from then on, what is written down does not count until the move is made.
        end.next_position.store(position.to_word(), Release);
        end.next_count.store(count, Release);
        end.next_block.store(block, Release);
        // Before the move, for who waits for it and then looks at the count.
        end.count.store(count, Release);
        let is_awaited = published.publish(position);
        end.settled.store(count, Release);
        end.block.store(block, Release);
        is_awaited
    }

    /// Moves this end over what cannot be read, to where the other one is.
    #[must_use = "somebody may sleep"]
    pub(crate) fn skip_to(
        &self,
        published: &Published,
        position: Position,
        other: &Locked<'_>,
    ) -> bool {
        let items = other.0.settled.load(Relaxed).wrapping_sub(self.0.settled.load(Relaxed));
        self.advance(published, position, other.block(), u32::try_from(items).unwrap_or(u32::MAX))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // A panic, of an item that is being decoded say, leaves no less behind than a kill.
        if std::thread::panicking() {
            self.0.is_torn.store(1, Relaxed);
        }
        self.0.lock.release();
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;
    use crate::state::chain::mock::Mock;

    #[test]
    fn a_move_counts_from_the_moment_it_is_published() {
        let (end, published) = (End::default(), Published::default());
        end.begin_after(7);
        let locked = end.try_lock(&Mock).unwrap();
        assert!(!locked.advance(&published, Position::from_word(3), 8, 2));
        assert_eq!((locked.block(), locked.count()), (8, 2));
        // As if killed before the store that publishes.
        end.next_position.store(5, Relaxed);
        end.next_count.store(9, Relaxed);
        end.next_block.store(9, Relaxed);
        end.count.store(9, Relaxed);
        locked.settle(&published);
        assert_eq!((locked.block(), locked.count()), (8, 2));
        // As if killed right behind it.
        end.next_position.store(5, Relaxed);
        end.next_count.store(3, Relaxed);
        end.next_block.store(9, Relaxed);
        end.count.store(3, Relaxed);
        assert!(!published.publish(Position::from_word(5)));
        locked.settle(&published);
        assert_eq!((locked.block(), locked.count()), (9, 3));
    }
}
