//! The named blocks that this process has made: their locks, and what becomes of their names.
//!
//! A process that ends by itself unlinks what it has not; one that is killed loses its locks, and
//! the root of the session, which notices its death, unlinks for it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use parking_lot::Mutex;

use super::abandoned::warn_of_leaked;
use super::file::{self, Identity};
use crate::session;
use crate::sys::at_exit::at_exit;

struct Made {
    name: String,
    identity: Identity,
    /// Has the maker's lock.
    file: OwnedFd,
    /// A forked copy of the process is no maker.
    pid: u32,
}

static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
/// The connection whose end tells the root of the session, and the process that made it.
static WATCH: Mutex<Option<(UnixStream, u32)>> = Mutex::new(None);

/// Sees to it that what is made now will be unlinked in any case.
pub(super) fn prepare() {
    at_exit(unlink_rest);
    let mut watch = WATCH.lock();
    let pid = std::process::id();
    if session::is_root() || watch.as_ref().is_some_and(|(_, of)| *of == pid) {
        return;
    }
    // Without a root the next process that makes a named block unlinks what we leave.
    *watch = session::watch().ok().map(|socket| (socket, pid));
}

/// Notes a block.
pub(super) fn add(name: &str, identity: Identity, file: OwnedFd) {
    let (name, pid) = (name.to_owned(), std::process::id());
    MADE.lock().push(Made { name, identity, file, pid });
}

/// Drops a block of which the name is gone.
pub(super) fn forget(identity: Identity) {
    MADE.lock().retain(|made| made.identity != identity);
}

/// Drops the blocks that other processes have unlinked.
pub(super) fn prune() {
    MADE.lock().retain(|made| file::is_linked(&made.file));
}

/// Runs at the end of the process.
fn unlink_rest() {
    let made = std::mem::take(&mut *MADE.lock());
    let leaked: Vec<String> = made
        .into_iter()
        .filter(|made| made.pid == std::process::id())
        .filter(|made| file::unlink(&made.name, made.identity).unwrap_or(false))
        .map(|made| made.name)
        .collect();
    warn_of_leaked(&leaked);
}
