//! What the tests of the workspace share: counts of what a process holds, ends of processes that are
//! not ours, and a logger that keeps what it is given.
#![forbid(unsafe_code)]

pub mod keeper;
pub mod system;
