//! The lifeline: a pipe of which the parent alone holds the writing end.
//!
//! When the last writer is gone, and a SIGKILL of the parent closes it too, the kernel itself sends
//! SIGKILL to the child. So no thread has to watch, no code of the child has to run, a
//! stopped or blocked child ends as well, and it does not matter which thread started it.
//!
//! # Safety
//!
//! `fcntl` gets an open descriptor and integers, no address.
#![expect(unsafe_code, reason = "rustix has no call for F_SETSIG")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The command of `fcntl` that names the signal of an event; the same on every architecture we run on.
const F_SETSIG: i32 = 10;

/// The child's end.
#[derive(Debug)]
pub(crate) struct Lifeline(OwnedFd);

impl Lifeline {
    /// Ties the life of this process to the writing end of the pipe.
    ///
    /// If that is closed already, the process ends here and now.
    pub(crate) fn arm(reader: OwnedFd) -> io::Result<Lifeline> {
        let lifeline = Lifeline(reader);
        lifeline.fcntl(F_SETSIG, libc::SIGKILL)?;
        // Of a group that this process leads, as of no other, all are killed.
        let me = std::process::id().cast_signed();
        // SAFETY: the call takes nothing and cannot fail. (Its answer is 0 for a group from outside of the pid namespace, which is
        // no `Pid`.)
        let leads_group = unsafe { libc::getpgrp() } == me;
        lifeline.fcntl(libc::F_SETOWN, if leads_group { -me } else { me })?;
        lifeline.fcntl(libc::F_SETFL, libc::O_ASYNC)?;
        if lifeline.is_cut() {
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
        }
        Ok(lifeline)
    }

    fn fcntl(&self, command: i32, argument: i32) -> io::Result<()> {
        // SAFETY: the descriptor is open, and these commands take an integer.
        let rc = unsafe { libc::fcntl(self.0.as_raw_fd(), command, argument) };
        if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether the parent is gone.
    pub(crate) fn is_cut(&self) -> bool {
        wait_for_hangup(self.0.as_fd(), Some(Timespec::default())).unwrap_or(true)
    }

    /// Sleeps until the parent is gone or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Option<Timespec>) -> io::Result<bool> {
        wait_for_hangup(self.0.as_fd(), timeout)
    }
}

fn wait_for_hangup(fd: BorrowedFd<'_>, timeout: Option<Timespec>) -> io::Result<bool> {
    let mut fds = [PollFd::new(&fd, PollFlags::empty())];
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(fds[0].revents().contains(PollFlags::HUP)),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
