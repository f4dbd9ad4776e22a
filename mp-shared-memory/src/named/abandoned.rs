//! Names whose makers were killed.

use std::fs;

use super::{file, warn_of_leaked};

/// Unlinks the blocks of this user, of any session, whose makers are gone, and tells of them.
pub(crate) fn remove_abandoned() {
    let Ok(entries) = fs::read_dir(file::FOLDER) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // What cannot be examined is not ours, or is left to the next look.
    let removed = names.filter(|name| file::unlink_abandoned(name).unwrap_or(false));
    warn_of_leaked(&removed.collect::<Vec<_>>());
}
