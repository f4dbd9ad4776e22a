//! Pure decisions.

pub(crate) mod auth;
