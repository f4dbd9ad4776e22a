#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod checks;
mod client;
mod error;
mod frame;
mod handle;
mod host;
mod hosted;
mod id;
mod line;
mod manager;
mod memory_block;
mod passage;
mod payload;
mod pledge;
mod proxy;
mod reference;
mod registry;
mod server;
mod server_process;
mod sys;

pub use error::ManagerError;
pub use host::ObjectInfo;
pub use hosted::{Args, Manageable, Managed, managed};
pub use manager::{Manager, SyncManager};
pub use mp_macros::managed;
pub use memory_block::{MemoryBlock, MemoryBlockProxy, managed_memoryblock};
pub use proxy::{Proxy, TypedProxy};
pub use server_process::ServerProcess;
pub use server_process::builder::ServerProcessBuilder;

#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use mp_context::__private::__mp_begin_short_backtrace;
    pub use serde;

    pub use crate::checks::*;
    pub use crate::hosted::{Args, Call, Failure, Hosted, Manageable, Reply, Shelf};
    pub use crate::proxy::{Proxy, TypedProxy, deserialize_typed};
    pub use crate::registry::Registered;
}
