//! What knows the operating system.

pub(crate) mod network;
pub(crate) mod packet;
