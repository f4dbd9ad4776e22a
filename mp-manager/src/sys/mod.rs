//! What knows the operating system.

pub(crate) mod packet;
