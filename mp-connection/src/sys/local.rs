//! Local sockets by name: listening through `interprocess`, connecting with a deadline.
//!
//! `interprocess` takes a local socket whose listener has no room yet for a connected one when there is a
//! time limit; so connecting is done here.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use interprocess::local_socket::{
    GenericFilePath, GenericNamespaced, ListenerNonblockingMode, ListenerOptions, ToFsName as _,
    ToNsName as _,
};
use interprocess::os::unix::uds_local_socket::Listener;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with,
};

/// The name of a local socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    Path(&'a Path),
    Abstract(&'a [u8]),
}

/// A listener that never waits.
pub(crate) fn listen(name: Name<'_>) -> io::Result<UnixListener> {
    let name = match name {
        Name::Path(path) => path.to_fs_name::<GenericFilePath>()?,
        Name::Abstract(name) => OsStr::from_bytes(name).to_ns_name::<GenericNamespaced>()?,
    };
    let options = ListenerOptions::new().name(name).reclaim_name(false);
    let options = options.nonblocking(ListenerNonblockingMode::Accept);
    let listener: Listener = options.create_sync_as()?;
    Ok(UnixListener::from(OwnedFd::from(listener)))
}

/// Connects to a listener; sleeps while there are too many who wait for it.
pub(crate) fn connect(name: Name<'_>, deadline: Option<Instant>) -> io::Result<UnixStream> {
    let address = match name {
        Name::Path(path) => SocketAddrUnix::new(path)?,
        Name::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    loop {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean for ever. The system rounds up to what its clock can do.
            let left = left.clamp(Duration::from_micros(1), Duration::from_secs(1 << 30));
            set_socket_timeout(&socket, Timeout::Send, Some(left))?;
        }
        match connect_to(&socket, &address) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
    if deadline.is_some() {
        set_socket_timeout(&socket, Timeout::Send, None)?;
    }
    Ok(UnixStream::from(socket))
}
