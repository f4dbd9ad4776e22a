//! What is decided without a process at hand: who has a task, which task is next, when a worker is to be started.

pub(crate) mod claim;
pub(crate) mod desk;
pub(crate) mod pace;
pub(crate) mod staff;
