#![doc = include_str!("../README.md")]

mod arena;
mod bytes;
mod error;
mod guarded;
mod heap;
#[doc(hidden)]
pub mod look;
mod mapped;
mod member;
mod named;
mod notice;
mod object;
mod own_memory;
mod place;
mod raw;
mod region;
mod segment;
pub mod session;
mod shareable_list;
mod shared_memory;
mod sparse;
mod sys;

pub use error::SharedMemoryError;
pub use guarded::Guarded;
pub use heap::MAX_LEN;
pub use member::{MemberId, Peer};
pub use object::{Object, ObjectId};
pub use raw::{RawArray, RawValue};
pub use region::{Kind, ShmLayout};
pub use shareable_list::{Iter, ShareableItem, ShareableList};
pub use shared_memory::SharedMemory;
pub use sparse::SparseMemory;
