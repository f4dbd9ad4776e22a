//! All that knows the operating system or the memory behind an object. Everything unsafe is in here.

pub(crate) mod action;
pub(crate) mod borrow;
#[cfg(not(mp_loom))]
pub(crate) mod fork;
#[cfg(not(mp_loom))]
pub(crate) mod futex;
pub(crate) mod layout;
