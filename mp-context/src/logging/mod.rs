//! Log records of a child come out of its parent's logger.
//!
//! [`uplink`] is the child's logger: it writes each record to the control socket before the logging
//! call returns, so what was logged survives whatever happens next. [`replay`] hands a
//! record that arrived to the parent's logger; if that is itself a forwarding child's, the record goes on up
//! with its origin unchanged. [`record`] is the form in between.

pub(crate) mod origin;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod uplink;
