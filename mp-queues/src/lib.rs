#![doc = include_str!("../README.md")]

mod buffer;
mod decode;
mod error;
mod frame;
mod handle;
mod inside;
mod iter;
mod joinable;
#[cfg(not(mp_loom))]
#[doc(hidden)]
pub mod look;
mod messages;
mod purpose;
mod queue;
mod simple;
mod state;
mod store;
mod sys;
mod ticket;

pub use error::QueueError;
pub use iter::{Iter, TryIter};
pub use joinable::JoinableQueue;
pub use queue::{Queue, QueueBuilder};
pub use simple::SimpleQueue;

#[doc(hidden)]
pub mod parts {
    pub use crate::messages::Messages;
    pub use crate::purpose::Purpose;
}
