//! The blocks of a chain: a circle, of which the part from the head to the tail is in use.
//!
//! The tail goes on into the next block as long as the head is not there; so blocks are used again while
//! they are hot, and the head has nothing to give back. When the tail comes up to the head a new
//! block is put in after the tail's, and blocks after the tail's are taken out when there are many more than
//! are needed. Only who has the lock of the tail changes the circle.
//!
//! At every instant the links of the circle lead around it; the rest, the list of free slots and the two numbers,
//! is made anew from them when a holder was killed.

use std::ops::Range;
use std::sync::atomic::Ordering::{Relaxed, Release};

use mp_shared_memory::SharedMemoryError;
use mp_sync::parts::AtomicU32;

use super::end::Locked;
use crate::error::Stop;
use crate::store::Store;

/// A circle grows by this part of its length, if that is more than is needed.
const STEP_PART: u32 = 8;
/// But not by more than so many blocks.
const MAX_STEP: u32 = 16;

/// The numbers of a circle.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct Circle {
    /// How many blocks it has.
    len: AtomicU32,
    /// How many slots have ever been in use; they are the first ones.
    used: AtomicU32,
    /// When it grew last, on the clock of the store.
    grown_at: AtomicU32,
    /// One more than the first free slot among those, whose link is one more than the next; zero at the end.
    free: AtomicU32,
}

impl Circle {
    /// Makes a circle of two blocks; which of them is before the first.
    pub(crate) fn begin(&self, store: &impl Store) -> Result<u32, SharedMemoryError> {
        store.reserve_links(0, 2)?;
        store.reserve(0, 2)?;
        store.set_link(0, 1)?;
        store.set_link(1, 0)?;
        self.used.store(2, Relaxed);
        self.len.store(2, Relaxed);
        Ok(1)
    }

    /// How many blocks it has.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Relaxed)
    }

    /// As somebody else might write it.
    #[cfg(all(test, not(mp_loom)))]
    pub(crate) fn set_len(&self, len: u32) {
        self.len.store(len, Relaxed);
    }

    /// How many blocks it has, if that can be.
    pub(crate) fn checked_len(&self, store: &impl Store) -> Result<u32, Stop> {
        let most = self.used.load(Relaxed).min(store.slots());
        Some(self.len()).filter(|len| *len <= most).ok_or(Stop::Damaged)
    }

    /// For how many milliseconds it has not grown.
    pub(crate) fn since_growth(&self, store: &impl Store) -> u32 {
        store.clock().wrapping_sub(self.grown_at.load(Relaxed))
    }

    /// Puts at least `count` new blocks in after the tail's, or none. A large circle grows by some more, for it is
    /// likely to grow again, and a call for many blocks takes little longer than for one.
    pub(crate) fn grow(
        &self,
        store: &impl Store,
        tail: &Locked<'_>,
        count: u32,
    ) -> Result<(), SharedMemoryError> {
        self.grown_at.store(store.clock(), Relaxed);
        let likely = count.max((self.len() / STEP_PART).min(MAX_STEP));
        match self.grow_by(store, tail, likely) {
            Err(SharedMemoryError::NoSpace { .. }) if likely > count => {
                self.grow_by(store, tail, count)
            }
            grown => grown,
        }
    }

    fn grow_by(
        &self,
        store: &impl Store,
        tail: &Locked<'_>,
        count: u32,
    ) -> Result<(), SharedMemoryError> {
        let mut fresh = Vec::new();
        if let Err(error) = self.take(store, count, &mut fresh) {
            for slot in fresh {
                self.give_back(store, slot)?;
            }
            return Err(error);
        }
        // From the last to the first, so that they come in their order.
        for slot in fresh.into_iter().rev() {
            let tail = tail.block();
            store.set_link(slot, store.link(tail)?)?;
            store.set_link(tail, slot)?;
            self.len.store(self.len() + 1, Relaxed);
        }
        Ok(())
    }

    fn take(
        &self,
        store: &impl Store,
        count: u32,
        fresh: &mut Vec<u32>,
    ) -> Result<(), SharedMemoryError> {
        while (fresh.len() as u64) < u64::from(count) {
            let Some(slot) = self.free.load(Relaxed).checked_sub(1) else { break };
            self.free.store(store.link(slot)?, Relaxed);
            fresh.push(slot);
        }
        fresh.sort_unstable();
        for run in runs(fresh) {
            store.reserve(run.start, run.end - run.start)?;
        }
        let missing = count - u32::try_from(fresh.len()).unwrap_or(count);
        if missing == 0 {
            return Ok(());
        }
        let first = self.used.load(Relaxed);
        let left = store.slots().saturating_sub(first);
        if missing > left {
            let block = store.block_len() as u64;
            let (asked, available) = (u64::from(missing) * block, u64::from(left) * block);
            return Err(SharedMemoryError::NoSpace { asked, available });
        }
        // In use before it has memory, so that no memory is ever behind a slot that nobody knows of.
        store.reserve_links(first, missing)?;
        self.used.store(first + missing, Release);
        if let Err(error) = store.reserve(first, missing) {
            store.release(first, missing)?;
            self.used.store(first, Relaxed);
            return Err(error);
        }
        fresh.extend(first..first + missing);
        Ok(())
    }

    /// Takes `count` blocks out that come after the tail's, and gives their memory back. The caller knows
    /// them to be in no use.
    pub(crate) fn shrink(
        &self,
        store: &impl Store,
        tail: &Locked<'_>,
        count: u32,
    ) -> Result<(), SharedMemoryError> {
        let mut slots = Vec::new();
        let mut next = store.link(tail.block())?;
        for _ in 0..count {
            if next == tail.block() {
                break;
            }
            slots.push(next);
            next = store.link(next)?;
        }
        store.set_link(tail.block(), next)?;
        let taken_out = u32::try_from(slots.len()).unwrap_or(count);
        self.len.store(self.len().saturating_sub(taken_out), Relaxed);
        // They mostly come in runs, and go back from the last to the first, to be taken again in their order.
        slots.sort_unstable();
        for run in runs(&slots).rev() {
            store.release(run.start, run.end - run.start)?;
            run.rev().try_for_each(|slot| self.list(store, slot))?;
        }
        Ok(())
    }

    fn give_back(&self, store: &impl Store, slot: u32) -> Result<(), SharedMemoryError> {
        store.release(slot, 1)?;
        self.list(store, slot)
    }

    /// Notes that a slot without memory is free.
    fn list(&self, store: &impl Store, slot: u32) -> Result<(), SharedMemoryError> {
        store.set_link(slot, self.free.load(Relaxed))?;
        self.free.store(slot.saturating_add(1), Relaxed);
        Ok(())
    }

    /// Makes all of it anew from the links, after a holder was killed. The memory of what is not in the circle
    /// goes back.
    pub(crate) fn rebuild(&self, store: &impl Store, tail: &Locked<'_>) -> Result<(), Stop> {
        let used = self.used.load(Relaxed).min(store.slots());
        let mut is_linked = vec![false; used as usize];
        let (mut slot, mut len) = (tail.block(), 0);
        // It comes back to where it began, or it is no circle.
        loop {
            let mark = is_linked.get_mut(slot as usize).ok_or(Stop::Damaged)?;
            if std::mem::replace(mark, true) {
                break;
            }
            len += 1;
            slot = store.link(slot)?;
        }
        if slot != tail.block() {
            return Err(Stop::Damaged);
        }
        self.len.store(len, Relaxed);
        self.free.store(0, Relaxed);
        for (slot, _) in (0..used).zip(is_linked).rev().filter(|(_, is_linked)| !is_linked) {
            self.give_back(store, slot)?;
        }
        Ok(())
    }
}

/// The runs of consecutive slots among slots in ascending order.
fn runs(slots: &[u32]) -> impl DoubleEndedIterator<Item = Range<u32>> {
    slots
        .chunk_by(|slot, next| slot.saturating_add(1) == *next)
        .map(|run| run[0]..run[run.len() - 1].saturating_add(1))
}
