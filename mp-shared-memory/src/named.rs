//! Names.

/// Placeholder removed below.
pub(crate) fn remove_abandoned() {}
