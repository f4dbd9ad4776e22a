//! The side of those who hold proxies.

pub(crate) mod held;
pub(crate) mod lines;
pub(crate) mod server;
