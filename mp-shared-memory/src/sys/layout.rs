//! What an arena looks like in memory: a header, the table of its members, then blocks of one size.
//!
//! # Safety
//!
//! All of it is `repr(C)` and made of atomics, whose every value is checked before it counts.
#![expect(unsafe_code, reason = "the layouts of shared memory are vouched for")]

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use crate::region::{Kind, ShmLayout};

/// How many processes can use one arena at once.
pub(crate) const MEMBERS: usize = 1024;
/// The longest name of a process that is kept, in bytes.
pub(crate) const NAME_LEN: usize = 48;

/// The longest text of a place in a program that is kept, in bytes: what alignment leaves free.
pub(crate) const PLACE_LEN: usize = 44;

/// The first bytes of an arena.
#[repr(C, align(64))]
pub(crate) struct Header {
    /// Stored last by the creator, so what has it is complete.
    pub(crate) magic: AtomicU64,
    /// Random; what a token calls the arena.
    pub(crate) nonce: AtomicU64,
    /// The session of the creator; zero if it has none.
    pub(crate) session: [AtomicU64; 2],
    /// The length of what a block holds, in bytes.
    pub(crate) payload_len: AtomicU32,
    pub(crate) blocks: AtomicU32,
    /// Where the next process looks for a free member first.
    pub(crate) next_member: AtomicU32,
    /// 1 once the session keeps a descriptor of it.
    pub(crate) is_registered: AtomicU32,
}

/// A process that uses the arena. It holds the lock on the byte with the number of its entry for as long as
/// it lives; only who holds that lock may store here.
#[repr(C, align(64))]
pub(crate) struct Member {
    /// Counts the processes that have had this entry; 0 is none so far.
    pub(crate) generation: AtomicU32,
    /// 0 once it has left, or its death was tidied up.
    pub(crate) is_active: AtomicU32,
    pub(crate) pid: AtomicU32,
    pub(crate) name_len: AtomicU32,
    pub(crate) name: [AtomicU8; NAME_LEN],
}

/// What stands before the payload of a block.
#[repr(C, align(64))]
pub(crate) struct BlockHeader {
    /// Twice the number of times that it was taken, plus one while it is. Only the creator of the arena
    /// takes a block; whoever sees that nobody holds it gives it back, under an exclusive lock
    /// of its byte once it is shared.
    pub(crate) state: AtomicU32,
    pub(crate) kind: AtomicU32,
    /// How much of the payload is used, in bytes.
    pub(crate) len: AtomicU32,
    /// 1 once it may be in a message or behind a token.
    pub(crate) is_shared: AtomicU32,
    /// Where in a program it was made, as text: the end of `file:line`.
    pub(crate) place_len: AtomicU32,
    pub(crate) place: [AtomicU8; PLACE_LEN],
    /// A bit for each member that has a handle. A bit is set by its member, under a shared lock of
    /// the byte of the block, and cleared by it or, after its death, by whoever holds its lock.
    pub(crate) holders: [AtomicU64; MEMBERS / 64],
}

/// The block that stands for memory of its own.
#[repr(C)]
pub(crate) struct Control {
    pub(crate) len: AtomicU64,
    /// Random; what the session calls the memory.
    pub(crate) nonce: AtomicU64,
    /// 1 once the session keeps a descriptor of it.
    pub(crate) is_registered: AtomicU32,
    /// The kind of what is in the memory.
    pub(crate) kind: AtomicU32,
}

/// What an arena begins with, and the version of this layout.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"mp-aren2");

pub(crate) const MEMBERS_AT: usize = size_of::<Header>();
pub(crate) const BLOCKS_AT: usize = MEMBERS_AT + MEMBERS * size_of::<Member>();

// SAFETY: `repr(C)`, atomics only, zero is an arena that is not ready.
unsafe impl ShmLayout for Header {
    const KIND: Kind = u32::from_le_bytes(*b"head");
}

// SAFETY: `repr(C)`, atomics only, zero is an entry that nobody has had.
unsafe impl ShmLayout for Member {
    const KIND: Kind = u32::from_le_bytes(*b"memb");
}

// SAFETY: `repr(C)`, atomics only, zero is a free block.
unsafe impl ShmLayout for BlockHeader {
    const KIND: Kind = u32::from_le_bytes(*b"blok");
}

// SAFETY: `repr(C)`, atomics only, zero is memory of no bytes.
unsafe impl ShmLayout for Control {
    const KIND: Kind = u32::from_le_bytes(*b"ctrl");
}
