//! Pure decisions.

pub(crate) mod auth;
pub(crate) mod spin;
