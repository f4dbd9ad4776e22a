//! The re-entrant lock: a lock word, the thread that holds it, and how often.
//!
//! `holder` and `depth` are stored by the owner alone. Another thread that reads them races with that, but
//! what it compares with is its own name, which nobody else ever stores; a name is never given
//! twice.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{
    AtomicU32 as ThreadCounter,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Instant;

use crate::peers::Peers;
use crate::prim::{AtomicU32, AtomicU64};
use crate::state::lock::{Got, LockWord};

/// A lock that its holder can take again.
#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct RLockState {
    pub(crate) lock: LockWord,
    /// The process in the high half, the thread in the low half; zero if nobody has it.
    holder: AtomicU64,
    /// How often the holder has it.
    depth: AtomicU32,
    /// How many of these times are leaked, and may be released without a guard.
    leaked: AtomicU32,
}

/// Why a release was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another thread, or nobody, holds it.
    NotOwner,
    /// Only guards hold it.
    Guarded,
}

/// How often a lock was held, to be restored after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    depth: u32,
    leaked: u32,
}

/// The number of this thread in this process: from 1 up, never used again.
pub(crate) fn thread_number() -> u32 {
    static NEXT: ThreadCounter = ThreadCounter::new(1);
    thread_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Relaxed));
        }
        number.get()
    })
}

fn name(peers: &impl Peers) -> u64 {
    u64::from(peers.me().to_word()) << 32 | u64::from(thread_number())
}

impl RLockState {
    /// Whether this thread holds it.
    pub(crate) fn is_mine(&self, peers: &impl Peers) -> bool {
        self.holder.load(Relaxed) == name(peers)
    }

    /// Takes it once more if this thread holds it; `None` if it does not, or if it holds it as often
    /// as can be counted.
    fn again(&self, peers: &impl Peers) -> Option<Got> {
        if !self.is_mine(peers) {
            return None;
        }
        let deeper = self.depth.load(Relaxed).checked_add(1)?;
        self.depth.store(deeper, Relaxed);
        Some(Got::Clean)
    }

    fn begin(&self, peers: &impl Peers, depth: Depth) {
        self.depth.store(depth.depth, Relaxed);
        self.leaked.store(depth.leaked, Relaxed);
        self.holder.store(name(peers), Relaxed);
    }

    pub(crate) fn try_acquire(&self, peers: &impl Peers) -> Option<Got> {
        let got = match self.again(peers) {
            Some(got) => return Some(got),
            None => self.lock.try_acquire(peers)?,
        };
        self.begin(peers, Depth::ONCE);
        Some(got)
    }

    /// Takes it if nobody has it, not even this thread or the dead.
    pub(crate) fn try_acquire_free(&self, peers: &impl Peers) -> bool {
        let is_taken = self.lock.try_acquire_free(peers);
        if is_taken {
            self.begin(peers, Depth::ONCE);
        }
        is_taken
    }

    pub(crate) fn acquire(
        &self,
        peers: &impl Peers,
        deadline: Option<Instant>,
    ) -> io::Result<Option<Got>> {
        match self.again(peers) {
            Some(got) => Ok(Some(got)),
            None => self.acquire_at(peers, deadline, Depth::ONCE),
        }
    }

    /// Takes it, which this thread does not hold, as often as it was held before.
    pub(crate) fn acquire_at(
        &self,
        peers: &impl Peers,
        deadline: Option<Instant>,
        depth: Depth,
    ) -> io::Result<Option<Got>> {
        let got = self.lock.acquire(peers, deadline)?;
        if got.is_some() {
            self.begin(peers, depth);
        }
        Ok(got)
    }

    /// Gives one time back, which a guard of this thread stands for.
    pub(crate) fn release_guard(&self) {
        let depth = self.depth.load(Relaxed).saturating_sub(1);
        self.depth.store(depth, Relaxed);
        if depth == 0 {
            self.holder.store(0, Release);
            self.lock.release();
        }
    }

    /// The guard's time stays taken, and may be released without it.
    pub(crate) fn leak(&self) {
        self.leaked.store(self.leaked.load(Relaxed).saturating_add(1), Relaxed);
    }

    /// Gives one leaked time back.
    pub(crate) fn release_leaked(&self, peers: &impl Peers) -> Result<(), Refused> {
        if !self.is_mine(peers) {
            return Err(Refused::NotOwner);
        }
        let leaked = self.leaked.load(Relaxed).checked_sub(1).ok_or(Refused::Guarded)?;
        self.leaked.store(leaked, Relaxed);
        self.release_guard();
        Ok(())
    }

    /// Gives up all times that this thread holds it; how many they were.
    pub(crate) fn release_all(&self) -> Depth {
        let depth = Depth { depth: self.depth.load(Relaxed), leaked: self.leaked.load(Relaxed) };
        self.depth.store(0, Relaxed);
        self.leaked.store(0, Relaxed);
        self.holder.store(0, Release);
        self.lock.release();
        depth
    }

    /// The number of the thread of its owner that holds it, and how often; zeros while the owner has just taken it.
    #[cfg(not(mp_loom))]
    pub(crate) fn held_by(&self, owner: mp_shared_memory::MemberId) -> (u32, u32) {
        let is_its = self.holder.load(Acquire) >> 32 == u64::from(owner.to_word());
        if is_its { self.holder() } else { (0, 0) }
    }

    /// The number of the thread that holds it, in its process, and how often.
    pub(crate) fn holder(&self) -> (u32, u32) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half")]
        let thread = self.holder.load(Acquire) as u32;
        (thread, self.depth.load(Relaxed))
    }
}

impl Depth {
    pub(crate) const ONCE: Depth = Depth { depth: 1, leaked: 0 };
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;
    use crate::peers::mock::Mock;

    fn new() -> RLockState {
        RLockState {
            lock: LockWord::default(),
            holder: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            leaked: AtomicU32::new(0),
        }
    }

    #[test]
    fn as_many_releases_as_acquisitions_free_it() {
        let (lock, me) = (new(), Mock(1, 9));
        for _ in 0..3 {
            assert_eq!(lock.try_acquire(&me), Some(Got::Clean));
        }
        lock.leak();
        assert_eq!(lock.release_leaked(&me), Ok(()));
        assert_eq!(lock.release_leaked(&me), Err(Refused::Guarded));
        let all = lock.release_all();
        assert_eq!(lock.holder(), (0, 0));
        lock.acquire_at(&me, None, all).unwrap();
        lock.release_guard();
        assert!(lock.is_mine(&me));
        lock.release_guard();
        assert_eq!(lock.release_leaked(&me), Err(Refused::NotOwner));
        assert_eq!(lock.lock.owner(), None);
    }

    #[test]
    fn another_thread_is_another_owner_also_in_the_same_process() {
        let (lock, me) = (new(), Mock(1, 9));
        lock.try_acquire(&me);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(lock.try_acquire(&me), None);
                assert_eq!(lock.release_leaked(&me), Err(Refused::NotOwner));
            });
        });
        assert_eq!(lock.holder().1, 1);
    }
}
