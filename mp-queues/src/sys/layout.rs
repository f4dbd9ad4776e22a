//! The part of a queue that lies in an arena.
//!
//! # Safety
//!
//! It is `repr(C)`, made of atomics only, and its zero is a chain without blocks; positions, blocks and counts in
//! it are checked or wrap where they are used. (In a build for loom it is something else, and is only compiled,
//! never made: models know no memory.)
#![expect(unsafe_code, reason = "the layout of shared memory is vouched for")]

use mp_shared_memory::{Kind, ShmLayout};

use crate::state::chain::ChainState;

// SAFETY: see the head of the file.
unsafe impl ShmLayout for ChainState {
    const KIND: Kind = u32::from_le_bytes(*b"chan");
}
