//! Where a chain keeps its blocks: the memory, and nothing of what they mean.

use std::sync::atomic::Ordering::{Relaxed, Release};

use mp_shared_memory::{SharedMemoryError, SparseMemory};

use crate::frame::UNIT;

/// Blocks of memory, each in a slot with a number, and for each slot a link to another.
///
/// Numbers come from memory that others store to: all calls check them.
pub(crate) trait Store {
    /// How many units a block has: a power of two.
    const BLOCK_UNITS: u32;

    /// How many slots there can be.
    fn slots(&self) -> u32;

    /// The length of a block in bytes.
    fn block_len(&self) -> usize {
        Self::BLOCK_UNITS as usize * UNIT
    }

    /// Milliseconds that have passed, for all processes from the same moment on; they wrap.
    fn clock(&self) -> u32;

    /// The link of a slot that has been in use. It is set by who has the lock of the tail, and read by others only
    /// after a position beyond it was published.
    fn link(&self, slot: u32) -> Result<u32, SharedMemoryError>;

    /// Changes the link of a slot.
    fn set_link(&self, slot: u32, link: u32) -> Result<(), SharedMemoryError>;

    /// Takes memory for the links of `count` slots from `first` on.
    fn reserve_links(&self, first: u32, count: u32) -> Result<(), SharedMemoryError>;

    /// Takes memory for the blocks of `count` slots from `first` on.
    fn reserve(&self, first: u32, count: u32) -> Result<(), SharedMemoryError>;

    /// Gives the memory of `count` blocks from that of slot `first` on back.
    fn release(&self, first: u32, count: u32) -> Result<(), SharedMemoryError>;

    /// Copies bytes out of a block.
    fn read(&self, slot: u32, offset: usize, to: &mut [u8]) -> Result<(), SharedMemoryError>;

    /// Copies bytes into a block.
    fn write(&self, slot: u32, offset: usize, from: &[u8]) -> Result<(), SharedMemoryError>;
}

/// The length of a block.
pub(crate) const BLOCK_LEN: usize = 32 << 10;
/// The most that the blocks of a queue can be, so that positions suffice to tell its two ends apart.
const MAX_SLOTS: usize = (32 << 30) / BLOCK_LEN;
/// How much of the memory the links take, at its start.
const LINKS_LEN: usize = MAX_SLOTS * size_of::<u32>();
/// Links are reserved in pages.
const PAGE_LEN: usize = 4096;

/// The length of the memory of a queue.
pub(crate) const MEMORY_LEN: usize = LINKS_LEN + MAX_SLOTS * BLOCK_LEN;
/// The least that a queue can do with: two blocks.
pub(crate) const LEAST_LEN: usize = LINKS_LEN + 2 * BLOCK_LEN;

const _: () = assert!(LINKS_LEN.is_multiple_of(BLOCK_LEN), "blocks are aligned to their length");

impl Store for SparseMemory {
    #[expect(clippy::cast_possible_truncation, reason = "a constant")]
    const BLOCK_UNITS: u32 = (BLOCK_LEN / UNIT) as u32;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only differences count, so the high bits may go"
    )]
    fn clock(&self) -> u32 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        (now.tv_sec as u32).wrapping_mul(1000).wrapping_add(now.tv_nsec as u32 / 1_000_000)
    }

    fn slots(&self) -> u32 {
        let slots = self.len().saturating_sub(LINKS_LEN) / BLOCK_LEN;
        // Two positions may never be a whole round apart.
        u32::try_from(slots.min(MAX_SLOTS - 1)).unwrap_or(u32::MAX)
    }

    fn link(&self, slot: u32) -> Result<u32, SharedMemoryError> {
        Ok(self.word(link_at(slot))?.load(Relaxed))
    }

    fn set_link(&self, slot: u32, link: u32) -> Result<(), SharedMemoryError> {
        // Before it, in the order of this process, what it leads to was made; a kill between keeps that order.
        self.word(link_at(slot))?.store(link, Release);
        Ok(())
    }

    fn reserve_links(&self, first: u32, count: u32) -> Result<(), SharedMemoryError> {
        let start = link_at(first) / PAGE_LEN * PAGE_LEN;
        let end = (link_at(first) + count as usize * size_of::<u32>()).next_multiple_of(PAGE_LEN);
        SparseMemory::reserve(self, start, end - start)
    }

    fn reserve(&self, first: u32, count: u32) -> Result<(), SharedMemoryError> {
        SparseMemory::reserve(self, block_at(first), count as usize * BLOCK_LEN)
    }

    fn release(&self, first: u32, count: u32) -> Result<(), SharedMemoryError> {
        SparseMemory::release(self, block_at(first), count as usize * BLOCK_LEN)
    }

    fn read(&self, slot: u32, offset: usize, to: &mut [u8]) -> Result<(), SharedMemoryError> {
        self.read_at(block_at(slot) + offset, to)
    }

    fn write(&self, slot: u32, offset: usize, from: &[u8]) -> Result<(), SharedMemoryError> {
        self.write_at(block_at(slot) + offset, from)
    }
}

/// Where the link of a slot lies; beyond the memory if there is no such slot.
fn link_at(slot: u32) -> usize {
    let slot = slot as usize;
    if slot < MAX_SLOTS { slot * size_of::<u32>() } else { MEMORY_LEN }
}

/// Where a block lies; beyond the memory if the slot does.
fn block_at(slot: u32) -> usize {
    LINKS_LEN + slot as usize * BLOCK_LEN
}
