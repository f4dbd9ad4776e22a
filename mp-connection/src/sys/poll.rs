//! Sleeping until a descriptor is ready, whatever its number, whatever signals arrive meanwhile.

use std::io;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// Sleeps until one of `fds` is ready or the deadline has come; whether one is.
///
/// An end of file and an error of the socket count as ready: the next call on it tells which.
pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A time that the system cannot express is longer than anybody waits.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(fds, left.as_ref()) {
            Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Ok(false);
            }
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) if fds.iter().any(|fd| fd.revents().contains(PollFlags::NVAL)) => {
                return Err(Errno::BADF.into());
            }
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether something happened at a descriptor.
pub(crate) fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}
