//! Names whose makers were killed.

use std::fs;
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::file::{self, Fate};
use crate::error::SharedMemoryError as Error;

/// Several threads of a process may hear of the same death. The first finds all names of the dead, and tells of them at once.
static REMOVING: Mutex<()> = Mutex::new(());

/// Unlinks the blocks of this user, of any session, whose makers are gone, and tells of them.
pub(crate) fn remove() {
    let one_at_a_time = REMOVING.lock();
    let Ok(entries) = fs::read_dir(file::FOLDER) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // What cannot be examined is not ours, or is left to the next look.
    let removed = names.filter(|name| matches!(file::unlink_abandoned(name), Ok(Fate::Removed)));
    let removed: Vec<String> = removed.collect();
    // Before any code of the user.
    drop(one_at_a_time);
    warn_of_leaked(&removed);
}

/// Whether a name is in use, once nobody is about to remove it.
pub(super) fn is_in_use(name: &str) -> Result<bool, Error> {
    let deadline = Instant::now() + file::PATIENCE;
    while file::identity_of(name)?.is_some() {
        match file::unlink_abandoned(name)? {
            Fate::Stays => return Ok(true),
            Fate::Removed => warn_of_leaked(&[name.to_owned()]),
            Fate::BeingRemoved if Instant::now() > deadline => return Ok(true),
            Fate::BeingRemoved => thread::yield_now(),
        }
    }
    Ok(false)
}

/// Tells of blocks that their makers did not unlink, if there are any.
pub(super) fn warn_of_leaked(names: &[String]) {
    if !names.is_empty() {
        let (count, names) = (names.len(), names.join("', '"));
        log::warn!("{count} leaked shared_memory, removed after the end of its maker: '{names}'");
    }
}
