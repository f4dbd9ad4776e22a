//! All that knows the operating system: anonymous memory, mappings, locks that end with a process.

pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod map;
pub(crate) mod memfd;
pub(crate) mod space;
