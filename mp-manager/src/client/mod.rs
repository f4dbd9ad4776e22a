//! The side of those who hold proxies.

pub(crate) mod connect;
pub(crate) mod held;
pub(crate) mod lines;
mod route;
pub(crate) mod server;
