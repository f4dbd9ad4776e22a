#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod array;
mod call;
mod checks;
mod client;
mod dict;
mod error;
mod failure;
mod frame;
mod handle;
mod host;
mod hosted;
mod id;
mod iterator;
mod line;
mod list;
#[doc(hidden)]
pub mod look;
mod managed;
mod manager;
mod memory_block;
mod namespace;
mod parts;
mod passage;
mod payload;
mod pledge;
mod pool;
mod preview;
mod proxy;
mod queue;
mod reference;
mod registry;
mod server;
mod server_process;
mod shelf;
mod sync;
mod sys;
mod typed;
mod value;
mod versioned;

pub use array::{ArrayProxy, managed_array};
pub use dict::{DictKeys, DictProxy, managed_dict};
pub use error::ManagerError;
pub use host::ObjectInfo;
pub use iterator::{IteratorProxy, managed_iterator};
pub use list::{ListIter, ListProxy, managed_list};
pub use managed::{Args, Manageable, Managed, managed};
pub use manager::{Manager, SyncManager};
pub use memory_block::{MemoryBlock, MemoryBlockProxy, managed_memoryblock};
pub use mp_macros::managed;
pub use namespace::{NamespaceProxy, managed_namespace};
pub use pool::{PoolCalls, PoolImap, PoolProxy, PoolResult};
pub use proxy::{Proxy, TypedProxy};
pub use queue::{JoinableQueueProxy, QueueProxy};
pub use server_process::ServerProcess;
pub use server_process::builder::ServerProcessBuilder;
pub use sync::barrier::BarrierProxy;
pub use sync::condition::{ConditionProxy, ManagedConditionGuard};
pub use sync::event::EventProxy;
pub use sync::lock::{LockProxy, ManagedLockGuard};
pub use sync::rlock::{ManagedRLockGuard, RLockProxy};
pub use sync::semaphore::{BoundedSemaphoreProxy, ManagedPermit, SemaphoreProxy};
pub use value::{ValueProxy, managed_value};

#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use mp_context::__private::__mp_begin_short_backtrace;
    pub use serde;

    pub use crate::call::Call;
    pub use crate::checks::*;
    pub use crate::failure::Failure;
    pub use crate::hosted::{Hosted, Reply};
    pub use crate::managed::{Args, Manageable};
    pub use crate::proxy::{Proxy, TypedProxy, deserialize_typed};
    pub use crate::registry::{Named, Registered};
    pub use crate::shelf::Shelf;
}
