#![doc = include_str!("../README.md")]

mod arena;
mod error;
mod heap;
mod member;
mod named;
mod object;
mod region;
mod segment;
pub mod session;
mod sys;

pub use error::SharedMemoryError;
pub use heap::MAX_LEN;
pub use member::{MemberId, Process};
pub use object::Object;
pub use region::{Kind, ShmLayout};
