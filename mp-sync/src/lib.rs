#![doc = include_str!("../README.md")]

mod any_lock;
mod array;
mod barrier;
mod condition;
mod deadline;
mod error;
mod event;
mod lock;
#[cfg(not(mp_loom))]
#[doc(hidden)]
pub mod look;
mod owner;
mod peers;
mod prim;
mod rlock;
mod semaphore;
mod spin;
mod state;
mod sys;
mod value;
#[cfg_attr(mp_loom, path = "waiting_unseen.rs")]
mod waiting;

pub use any_lock::{AnyGuard, AnyLock};
pub use array::{Array, ArrayGuard};
pub use barrier::{Barrier, BarrierBuilder};
pub use condition::{Condition, ConditionGuard};
pub use error::{BarrierError, Broken, SyncError};
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use mp_shared_memory::Peer as DeadOwner;
pub use rlock::{RLock, RLockGuard};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
pub use value::{Value, ValueGuard};

/// What shared objects are made of, for authors of other objects: words that processes sleep on, a lock
/// that a death unlocks, and how long to spin. Not covered by the version of this crate.
#[doc(hidden)]
pub mod parts {
    pub use crate::deadline::{Looks, after, has_passed};
    pub use crate::peers::Peers;
    pub use crate::prim::{AtomicU32, AtomicU64, Futex, Sleep, pause};
    pub use crate::spin::Spin;
    pub use crate::state::lock::{Got, LockWord};
    pub use crate::waiting::Shown;
}
