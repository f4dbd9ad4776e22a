//! Who is at the other end of a local socket.
//!
//! # Safety
//!
//! The call gets an open descriptor and writes one structure and its length.
#![expect(unsafe_code, reason = "the safe binding does not allow for a peer without a pid here")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use rustix::process::Pid;

/// A process as it was when it connected or listened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials {
    /// `None` if it lives in a pid namespace that this process does not see.
    pub(crate) pid: Option<Pid>,
    /// Its effective user.
    pub(crate) uid: u32,
}

pub(crate) fn credentials(socket: &UnixStream) -> io::Result<Credentials> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or_default();
    // SAFETY: the call writes at most `len` bytes, one `ucred`, and the length.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    if rc == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Credentials { pid: Pid::from_raw(credentials.pid), uid: credentials.uid })
}
