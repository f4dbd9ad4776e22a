//! What the tests of the workspace share: other processes that play a role, storms of kills, times to wait for what
//! nothing announces, counts of what a process holds, ends of processes that are not ours, tests that run again as another
//! user, and a logger that keeps what it is given.
#![forbid(unsafe_code)]

pub mod again;
pub mod keeper;
pub mod limits;
pub mod peer;
pub mod storm;
pub mod system;
