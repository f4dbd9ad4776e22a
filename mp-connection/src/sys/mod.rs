//! Everything that knows the operating system.

pub(crate) mod local;
pub(crate) mod poll;
pub(crate) mod random;
pub(crate) mod socket;
pub(crate) mod timer;
pub(crate) mod waker;
