//! Locks on bytes of a file, owned by an open file description.
//!
//! The kernel gives such a lock up when the last descriptor of its description is closed: by a drop, by
//! any death of the process, or with the last copy of a message that it travels in. So "does anybody
//! still live who ..." is a question to the kernel that no pid and no broken heart-beat can falsify,
//! and that is answered also while every other process is stopped. The bytes need not exist.
//!
//! Two threads of a process that use the same description are one owner: they must take turns.
//!
//! # Safety
//!
//! `fcntl` gets an open descriptor and the address of a local structure.
#![expect(unsafe_code, reason = "rustix has no call for locks of open file descriptions")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Range {
    pub(crate) const ALL: Range = Range { start: 0, len: u32::MAX };

    pub(crate) const fn byte(start: u32) -> Range {
        Range { start, len: 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Any number of owners, and no exclusive one.
    Shared,
    /// One owner.
    Exclusive,
}

/// Takes the lock if no other description has one that excludes it; whether it did.
pub(crate) fn try_lock(fd: impl AsFd, range: Range, mode: Mode) -> io::Result<bool> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    match call(fd, libc::F_OFD_SETLK, kind, range) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives up what this description has locked there.
pub(crate) fn unlock(fd: impl AsFd, range: Range) -> io::Result<()> {
    call(fd, libc::F_OFD_SETLK, libc::F_UNLCK, range).map(drop)
}

/// Whether another description holds any lock there.
pub(crate) fn is_locked_by_other(fd: impl AsFd, range: Range) -> io::Result<bool> {
    let found = call(fd, libc::F_OFD_GETLK, libc::F_WRLCK, range)?;
    Ok(found != libc::F_UNLCK)
}

/// Runs the command; gives the kind of lock that the kernel wrote back.
fn call(fd: impl AsFd, command: i32, kind: i32, range: Range) -> io::Result<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "kinds and SEEK_SET are small numbers")]
    let mut lock = libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: i64::from(range.start),
        l_len: i64::from(range.len),
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the commands read and write one `flock`.
    let rc = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), command, &raw mut lock) };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(i32::from(lock.l_type)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memfd;

    #[test]
    fn a_lock_belongs_to_a_description_and_ends_with_it() {
        let ours = memfd::create(c"mp-test", 4096).unwrap();
        let theirs = memfd::reopen(&ours).unwrap();
        let byte = Range::byte(7);
        assert!(try_lock(&theirs, byte, Mode::Shared).unwrap());
        assert!(is_locked_by_other(&ours, byte).unwrap());
        assert!(!is_locked_by_other(&theirs, byte).unwrap());
        assert!(!is_locked_by_other(&ours, Range::byte(8)).unwrap());
        assert!(!try_lock(&ours, byte, Mode::Exclusive).unwrap());
        assert!(try_lock(&ours, byte, Mode::Shared).unwrap());
        unlock(&ours, byte).unwrap();
        let copy = theirs.try_clone().unwrap();
        drop(theirs);
        assert!(is_locked_by_other(&ours, Range::ALL).unwrap(), "a copy is the same description");
        drop(copy);
        assert!(try_lock(&ours, byte, Mode::Exclusive).unwrap());
    }
}
