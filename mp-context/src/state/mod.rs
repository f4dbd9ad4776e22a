//! What is decided without the operating system: how a process ended, and who hears of it.

pub(crate) mod completion;
pub(crate) mod ending;
