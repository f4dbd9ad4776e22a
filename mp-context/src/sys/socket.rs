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

/// The length of the option that marks a control socket, an integer.
const OFFSET_LEN: libc::socklen_t = 4;

/// Marks the child's end of a control socket, so that it is known even when its bytes are gone.
///
/// The mark is an offset for peeking, which is off unless asked for; nothing else looks at it.
pub(crate) fn mark_as_control(socket: &OwnedFd) -> io::Result<()> {
    let offset: i32 = 0;
    // SAFETY: the descriptor is open; the call reads one integer.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw const offset).cast(),
            OFFSET_LEN,
        )
    };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether standard input is the child's end of a control socket.
fn is_marked_as_control() -> bool {
    let mut offset: i32 = -1;
    let mut len = OFFSET_LEN;
    // SAFETY: the call writes at most `len` bytes, an integer, and the length.
    let rc = unsafe {
        libc::getsockopt(
            libc::STDIN_FILENO,
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw mut offset).cast(),
            &raw mut len,
        )
    };
    rc == 0 && offset >= 0
}

/// What was found on standard input.
pub(crate) enum Stdin {
    /// Nothing of ours.
    Other,
    /// The control socket, with the call in it.
    Control(UnixStream),
    /// The control socket, but other code of this program has read from it.
    Emptied(UnixStream),
}

/// Takes the control socket off standard input, if this process was started as a child.
///
/// A child is told by what it finds there: a local socket with a bootstrap message already
/// in it, sent by the same user. Nothing is taken from the standard input of any other program,
/// nothing is added to the environment or the arguments, and a set-user-id program is never a child:
/// whoever starts it must not choose what it calls.
pub(crate) fn take_from_stdin(bootstrap_kind: u8) -> io::Result<Stdin> {
    let stdin = rustix::stdio::stdin();
    if !is_marked_as_control() {
        return Ok(Stdin::Other);
    }
    let mut header = [0; wire::HEADER_LEN];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let found = rustix::net::recv(stdin, &mut header[..], flags);
    let has_call = found.is_ok_and(|(n, _)| wire::starts_frame(&header[..n], bootstrap_kind));
    let same_user =
        sockopt::socket_peercred(stdin).is_ok_and(|peer| peer.uid == rustix::process::geteuid());
    let is_local = sockopt::socket_domain(stdin).is_ok_and(|family| family == AddressFamily::UNIX);
    if !is_local || !same_user || is_privileged_by_exec() {
        return Ok(Stdin::Other);
    }
    let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(stdin, 3)?);
    let null = OwnedFd::from(File::open("/dev/null")?);
    rustix::stdio::dup2_stdin(&null)?;
    Ok(if has_call { Stdin::Control(socket) } else { Stdin::Emptied(socket) })
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
