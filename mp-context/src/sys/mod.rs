//! All that knows the operating system: the program's image, the control socket, the lifeline,
//! signals, the end of the process. Everything unsafe of this crate is in here.

pub(crate) mod constructors;
pub(crate) mod exit;
pub(crate) mod image;
pub(crate) mod lifeline;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod zero_sized;
