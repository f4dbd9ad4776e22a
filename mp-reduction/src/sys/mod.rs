//! All that knows how a program lies in memory.

pub(crate) mod image;
