//! All that knows the operating system: anonymous memory, mappings, locks that end with a process; and
//! references into shared memory that are the caller's promise.

pub(crate) mod at_exit;
mod direct;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod map;
pub(crate) mod memfd;
pub(crate) mod named_map;
pub(crate) mod peer;
pub(crate) mod space;
