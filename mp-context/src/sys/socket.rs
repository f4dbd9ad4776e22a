//! The control socket: found on standard input by a child, asked about unread bytes by a parent.
//!
//! # Safety
//!
//! Each call gets an open descriptor; the only address is that of a local integer.
#![expect(unsafe_code, reason = "neither the auxiliary vector nor SIOCOUTQ has a safe binding")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use mp_reduction::wire;
use rustix::net::{AddressFamily, RecvFlags, sockopt};

/// Takes the control socket off standard input, if this process was started as a child.
///
/// A child is told by what it finds there: a local socket with a bootstrap message already
/// in it, sent by the same user. Nothing is taken from the standard input of any other program,
/// nothing is added to the environment or the arguments, and a set-user-id program is never a child:
/// whoever starts it must not choose what it calls.
pub(crate) fn take_from_stdin(bootstrap_kind: u8) -> io::Result<Option<UnixStream>> {
    let stdin = rustix::stdio::stdin();
    let mut header = [0; wire::HEADER_LEN];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match rustix::net::recv(stdin, &mut header[..], flags) {
        Ok((n, _)) if wire::starts_frame(&header[..n], bootstrap_kind) => {}
        _ => return Ok(None),
    }
    let same_user =
        sockopt::socket_peercred(stdin).is_ok_and(|peer| peer.uid == rustix::process::geteuid());
    let is_local = sockopt::socket_domain(stdin).is_ok_and(|family| family == AddressFamily::UNIX);
    if !is_local || !same_user || is_privileged_by_exec() {
        return Ok(None);
    }
    let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(stdin, 3)?);
    let null = OwnedFd::from(File::open("/dev/null")?);
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Some(socket))
}

/// Whether `exec` gave this process rights that its caller does not have.
fn is_privileged_by_exec() -> bool {
    // SAFETY: reads a value that the kernel left for the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// How many bytes of memory the other end has not read yet.
pub(crate) fn unread_by_peer(socket: &UnixStream) -> io::Result<i32> {
    let mut len: i32 = 0;
    // SAFETY: the socket is open, and the request writes one integer to `len`.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut len) };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(len) }
}
