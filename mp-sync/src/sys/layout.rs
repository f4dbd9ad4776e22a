//! The types of this crate that lie in shared memory.
//!
//! # Safety
//!
//! All of them are `repr(C)`, made of atomics only, and their zero is a new object; indices and counts in
//! them are checked or wrap where they are used. (In a build for loom they are something else, and are only
//! compiled, never made: models know no memory.)
#![expect(unsafe_code, reason = "the layouts of shared memory are vouched for")]

use mp_shared_memory::{Kind, ShmLayout};

use crate::lock::LockState;
use crate::state::barrier::BarrierState;
use crate::state::condition::ConditionState;
use crate::state::event::EventState;
use crate::state::rlock::RLockState;
use crate::state::semaphore::SemaphoreState;

macro_rules! layouts {
    ($($type:ty = $kind:literal),* $(,)?) => {
        $(
            // SAFETY: see the head of the file.
            unsafe impl ShmLayout for $type {
                const KIND: Kind = u32::from_le_bytes(*$kind);
            }
        )*
    };
}

layouts! {
    LockState = b"lock",
    RLockState = b"rloc",
    SemaphoreState = b"sema",
    ConditionState = b"cond",
    EventState = b"evnt",
    BarrierState = b"barr",

}
