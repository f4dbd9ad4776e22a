#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod builder;
mod callbacks;
mod calls;
mod claims;
mod clock;
mod current_task;
mod error;
mod error_wire;
mod hub;
mod imap;
mod job;
#[doc(hidden)]
pub mod look;
mod map;
mod message;
mod options;
mod order;
mod pool;
#[cfg(feature = "progress-bar")]
mod progress_bar;
mod raw;
mod result;
mod runner;
mod state;
mod task;
mod worker;

pub use builder::PoolBuilder;
pub use calls::Calls;
pub use current_task::{CurrentTask, current_task};
pub use error::PoolError;
pub use imap::Imap;
pub use options::{Progress, TaskOptions};
pub use pool::Pool;
#[cfg(feature = "progress-bar")]
pub use progress_bar::progress_bar;
pub use result::AsyncResult;
pub use runner::builder::ProcessRunnerBuilder;
pub use runner::{ProcessRunnee, ProcessRunner, RunnerError};

/// A pool for callers in other processes, for authors of server processes: see [`Call`](parts::Call) for their side and
/// [`submit`](parts::submit) for that of the pool. Not covered by the version of this crate.
#[doc(hidden)]
pub mod parts {
    pub use crate::error_wire::PoolErrorWire;
    pub use crate::options::{chunksize, look_ahead, progress};
    pub use crate::order::Order;
    pub use crate::raw::{Call, Chunk, Encoded, Stream, abandon, run, submit, submit_all, wait};
}
