#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod dead_lock;
mod error;
mod gather;
mod layout;
mod proc;
mod report;
mod table;

pub use error::InspectError;
pub use gather::{inspect, inspect_session, sessions};
pub use report::{
    Holder, Inspection, ObjectReport, PoolReport, ProcessReport, QueueReport, ServerReport,
    SyncReport, Unseen, WaitReport, WaitsFor,
};
