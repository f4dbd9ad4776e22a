//! The file behind a named block: how it is made, found, locked and unlinked.
//!
//! The sticky bit, which means nothing for a file, tells ours from others' in the folder. Two bytes
//! far behind the end are locked: one by the maker for as long as it lives, one by
//! whoever unlinks, so that no two do and nobody unlinks a name that has been given away meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::SharedMemoryError as Error;
use crate::sys::lock::{self, Mode as Lock, Range};
use crate::sys::space;

/// Where the C libraries look for what has a name.
pub(super) const FOLDER: &str = "/dev/shm";
const MAKER: Range = Range::byte(u32::MAX - 1);
const UNLINKING: Range = Range::byte(u32::MAX - 2);
/// How long another process that is just unlinking is waited for; it may have been stopped at it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What tells a block from all others of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What is to be known of a file before it is mapped.
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) len: u64,
    /// Bytes that the system has given it.
    reserved: u64,
}

/// Makes a file without a name, reserved, with its maker's lock.
pub(super) fn make(len: u64, contents: &[u8]) -> Result<OwnedFd, Error> {
    check_available(len)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(FOLDER, flags, mode).map_err(|error| no_space(len, error))?;
    // Set apart, for the mask of the process may take it away.
    rustix::fs::fchmod(&file, mode | Mode::SVTX).map_err(Error::system("mark named memory"))?;
    lock::try_lock(&file, MAKER, Lock::Exclusive).map_err(Error::system("lock named memory"))?;
    reserve(&file, len)?;
    let file = File::from(file);
    file.write_all_at(contents, 0).map_err(Error::system("write to named memory"))?;
    Ok(file.into())
}

/// Gives a file its name.
pub(super) fn link(file: &OwnedFd, name: &str, len: u64) -> Result<(), Error> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    let linked = rustix::fs::linkat(CWD, unnamed, CWD, path(name), AtFlags::SYMLINK_FOLLOW);
    linked.map_err(|error| match error {
        Errno::EXIST => Error::Exists { name: name.to_owned() },
        error => no_space(len, error),
    })
}

/// Opens what has a name; `None` if nothing has.
pub(super) fn open(name: &str) -> Result<Option<OwnedFd>, Error> {
    // Neither a link nor the other end of a pipe is waited for.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::open(path(name), flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => {
            // A name is only missing where names could be.
            rustix::fs::stat(FOLDER).map_err(Error::system(FOLDER_IS_NEEDED))?;
            Ok(None)
        }
        Err(error) => Err(Error::system("open named memory")(error)),
    }
}

const FOLDER_IS_NEEDED: &str = "use named memory without a file system for it at /dev/shm";

/// What a file is, if it can be a block.
pub(super) fn examine(file: &OwnedFd) -> Result<Found, Error> {
    let stat = rustix::fs::fstat(file).map_err(Error::system("examine named memory"))?;
    let number = |n: i64| u64::try_from(n).unwrap_or_default();
    let len = number(stat.st_size);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || len == 0 {
        return Err(Error::foreign("what has its name is no shared memory, or empty"));
    }
    let reserved = number(stat.st_blocks).saturating_mul(512);
    Ok(Found { identity: Identity::of(&stat), len, reserved })
}

/// Reserves what another program has only promised, and would be a signal at the first access.
pub(super) fn reserve_rest(file: &OwnedFd, found: &Found) -> Result<(), Error> {
    if found.reserved >= found.len {
        return Ok(());
    }
    check_available(found.len - found.reserved)?;
    reserve(file, found.len)
}

fn reserve(file: &OwnedFd, len: u64) -> Result<(), Error> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(no_space(len, error)),
        }
    }
}

/// Refuses what the kernel would have to end a process for.
fn check_available(len: u64) -> Result<(), Error> {
    if space::check(len).is_err() || space::check_file_limit(len).is_err() {
        return Err(Error::NoSpace { asked: len, available: available() });
    }
    Ok(())
}

fn no_space(len: u64, error: Errno) -> Error {
    match error {
        Errno::NOSPC | Errno::FBIG | Errno::NOMEM | Errno::DQUOT => {
            Error::NoSpace { asked: len, available: available() }
        }
        Errno::NOENT | Errno::NOTDIR | Errno::OPNOTSUPP => Error::system(FOLDER_IS_NEEDED)(error),
        error => Error::system("make named memory")(error),
    }
}

/// Bytes that a new block can have.
fn available() -> u64 {
    // A file system without a limit says that it has no blocks at all.
    let folder = rustix::fs::statvfs(FOLDER).ok().filter(|folder| folder.f_blocks > 0);
    let free = folder.map_or(u64::MAX, |folder| folder.f_bavail.saturating_mul(folder.f_frsize));
    free.min(space::available())
}

/// What has a name now.
pub(super) fn identity_of(name: &str) -> Result<Option<Identity>, Error> {
    match rustix::fs::lstat(path(name)) {
        Ok(stat) => Ok(Some(Identity::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::system("look for named memory")(error)),
    }
}

/// Takes the name of a block away; whether it had it.
pub(super) fn unlink(name: &str, identity: Identity) -> Result<bool, Error> {
    let deadline = Instant::now() + PATIENCE;
    while identity_of(name)? == Some(identity) {
        let Some(file) = open(name)? else { break };
        if lock::try_lock(&file, UNLINKING, Lock::Exclusive).map_err(failed_to_unlink)? {
            return unlink_locked(&file, name, identity);
        }
        if Instant::now() > deadline {
            return Err(failed_to_unlink(io::ErrorKind::ResourceBusy));
        }
        thread::yield_now();
    }
    Ok(false)
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its maker lives, or it is not ours.
    Stays,
    /// It was abandoned, and is gone now.
    Removed,
    /// Somebody else removes it just now, or has.
    BeingRemoved,
}

/// Takes the name of a block away if it is ours and its maker is gone.
pub(super) fn unlink_abandoned(name: &str) -> Result<Fate, Error> {
    let stat = match rustix::fs::lstat(path(name)) {
        Err(Errno::NOENT) => return Ok(Fate::BeingRemoved),
        stat => stat.map_err(Error::system("look for named memory"))?,
    };
    let is_marked = Mode::from_raw_mode(stat.st_mode) == Mode::RUSR | Mode::WUSR | Mode::SVTX
        && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_marked {
        return Ok(Fate::Stays);
    }
    let Some(file) = open(name)? else { return Ok(Fate::BeingRemoved) };
    // Asked and not taken: a lock of ours would look like a maker's to others. Nobody becomes the maker
    // of what has a name.
    if lock::is_locked_by_other(&file, MAKER).map_err(failed_to_unlink)? {
        return Ok(Fate::Stays);
    }
    let is_ours = lock::try_lock(&file, UNLINKING, Lock::Exclusive).map_err(failed_to_unlink)?;
    if is_ours && unlink_locked(&file, name, Identity::of(&stat))? {
        return Ok(Fate::Removed);
    }
    Ok(Fate::BeingRemoved)
}

fn failed_to_unlink<E: Into<io::Error>>(error: E) -> Error {
    Error::system("unlink named memory")(error)
}

/// As only who has the lock unlinks, what is compared here stays so until it has happened.
fn unlink_locked(file: &OwnedFd, name: &str, identity: Identity) -> Result<bool, Error> {
    let is_it = Identity::of(&rustix::fs::fstat(file).map_err(failed_to_unlink)?) == identity;
    if !is_it || identity_of(name)? != Some(identity) {
        return Ok(false);
    }
    match rustix::fs::unlink(path(name)) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(failed_to_unlink(error)),
    }
}

impl Identity {
    fn of(stat: &Stat) -> Identity {
        Identity { device: stat.st_dev, inode: stat.st_ino }
    }
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Whether the file still has a name.
pub(super) fn is_linked(file: impl AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0)
}
