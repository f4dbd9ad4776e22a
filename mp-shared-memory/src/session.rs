//! The session: what processes that were started by other means need to find shared memory.
//!
//! A token names a session and memory in it. The process that first uses shared memory in a process
//! tree is the root of its session: a thread of it, the `broker`, keeps a descriptor of all memory for which
//! there is a token, and hands it out to processes of the same user. Nothing else goes through
//! it: that an owner of a lock died, that memory is free, what a message contains, is known without.

pub(crate) mod broker;
pub(crate) mod token;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use interprocess::local_socket::traits::Stream as _;
use interprocess::local_socket::{GenericNamespaced, Name, ToNsName};
use interprocess::os::unix::uds_local_socket::Stream;
use mp_reduction::wire::{self, Frame, FrameReader};
use rustix::io::Errno;

use crate::error::SharedMemoryError as Error;
use crate::sys::{memfd, peer};

/// How long the root of a session has to answer; it does so at once, unless it is stopped.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The kinds of frames to and from the broker; the body of a request is the nonce of the memory.
pub(crate) mod kind {
    /// Comes with a descriptor to keep.
    pub(crate) const REGISTER: u8 = 1;
    pub(crate) const RESOLVE: u8 = 2;
    /// The sender makes named memory; when it is gone, what it left is to be removed.
    pub(crate) const WATCH: u8 = 3;
    /// Comes with a descriptor, when it answers `RESOLVE`.
    pub(crate) const DONE: u8 = 4;
    pub(crate) const UNKNOWN: u8 = 5;
}

static SESSION: OnceLock<SessionName> = OnceLock::new();

/// The name of a session: 128 random bits.
pub(crate) type SessionName = [u64; 2];

/// The session of this process; makes one if the process has not been given any.
pub(crate) fn current_name() -> SessionName {
    *SESSION.get_or_init(|| {
        let random = || memfd::random().unwrap_or_default();
        let name = [random() | 1, random()];
        // Without a thread for it there are no tokens, which is an error when one is made.
        let _started = broker::start(name);
        name
    })
}

/// The session of this process as a text for its children; `None` if it has not come to one.
pub fn to_inherit() -> Option<String> {
    SESSION.get().map(|name| token::write_session(*name))
}

/// Removes the names of shared memory whose makers were killed; to be called by whoever sees that a process
/// was. The root of a session does so for the makers in it that it knows.
pub fn remove_abandoned_names() {
    crate::named::abandoned::remove();
}

/// Puts this process, which has just started, into the session of its parent.
pub fn inherit(session: &str) {
    if let Some(name) = token::read_session(session) {
        let _first = SESSION.set(name);
    }
}

/// Has the session keep a descriptor of memory, unless `is_registered` says that it does.
pub(crate) fn register(
    is_registered: &AtomicU32,
    session: SessionName,
    nonce: u64,
    fd: BorrowedFd<'_>,
) -> Result<(), Error> {
    if is_registered.load(Ordering::Acquire) != 0 {
        // Nobody can use a token when the root is gone.
        return connect(session).map(drop).map_err(unreachable);
    }
    // The root must not share our description: our locks would outlive us.
    let fd = memfd::reopen(fd).map_err(Error::system("open shared memory"))?;
    request(session, kind::REGISTER, nonce, Some(fd.as_fd()))?;
    is_registered.store(1, Ordering::Release);
    Ok(())
}

/// A descriptor of the memory that a session knows under this nonce.
pub(crate) fn resolve(session: SessionName, nonce: u64) -> Result<OwnedFd, Error> {
    let descriptor = request(session, kind::RESOLVE, nonce, None)?;
    descriptor.ok_or(Error::foreign("its session answered without a descriptor"))
}

/// Has the session look for named memory that was left behind when this process is gone: as long as
/// the returned socket is open, it is not.
pub(crate) fn watch() -> Result<UnixStream, Error> {
    let session = current_name();
    let socket = connect(session).map_err(unreachable)?;
    wire::send_frame(&socket, kind::WATCH, &[0; 8], &[]).map_err(unreachable)?;
    Ok(socket)
}

/// Whether this process is the root of its session.
pub(crate) fn is_root() -> bool {
    broker::is_root(current_name())
}

fn unreachable(source: io::Error) -> Error {
    // At a limit of its own a process says nothing of the root.
    let full = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    if full.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) {
        return Error::system("connect to the session")(source);
    }
    Error::SessionUnreachable { source: Arc::new(source) }
}

fn request(
    session: SessionName,
    kind: u8,
    nonce: u64,
    fd: Option<BorrowedFd<'_>>,
) -> Result<Option<OwnedFd>, Error> {
    if SESSION.get() == Some(&session) {
        broker::start_if_root(session).map_err(unreachable)?;
    }
    let socket = connect(session).map_err(unreachable)?;
    wire::send_frame(&socket, kind, &nonce.to_le_bytes(), fd.as_slice()).map_err(unreachable)?;
    let mut reader = FrameReader::new();
    loop {
        match reader.next_frame().map_err(|e| unreachable(io::Error::other(e)))? {
            Some(Frame { kind: kind::DONE, descriptors, .. }) => {
                return Ok(descriptors.into_iter().next());
            }
            Some(Frame { kind: kind::UNKNOWN, .. }) => return Err(Error::Gone),
            Some(_) => return Err(Error::foreign("its session speaks another language")),
            None => {}
        }
        if reader.fill(&socket).map_err(unreachable)? == 0 {
            return Err(unreachable(io::ErrorKind::ConnectionAborted.into()));
        }
    }
}

/// A connection to the root of a session, if that runs as this user or as the system's.
fn connect(session: SessionName) -> io::Result<UnixStream> {
    let socket = UnixStream::from(OwnedFd::from(Stream::connect(socket_name(session)?)?));
    if !is_trusted(&socket)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    socket.set_write_timeout(Some(ANSWER_LIMIT))?;
    Ok(socket)
}

/// Whether the other end belongs to this user, or to the one who may do everything anyway.
pub(crate) fn is_trusted(socket: &UnixStream) -> io::Result<bool> {
    let peer = peer::credentials(socket)?.uid;
    Ok(peer == rustix::process::geteuid().as_raw() || peer == 0)
}

/// The abstract socket of a session: it has no file, and is gone with the process.
pub(crate) fn socket_name(session: SessionName) -> io::Result<Name<'static>> {
    format!("mp-session-{}", token::write_session(session)).to_ns_name::<GenericNamespaced>()
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit, setrlimit};

    use super::*;
    use crate::RawValue;

    /// Makers of named memory stay connected; once they used up the places of those who ask.
    #[test]
    fn three_hundred_makers_leave_room_for_requests() {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum.map(|most| most.min(4096));
        setrlimit(Resource::Nofile, limit).unwrap();
        let makers: Vec<UnixStream> = (0..300).map(|_| watch().unwrap()).collect();
        let value = RawValue::new(5_u8).unwrap();
        let same = RawValue::<u8>::from_token(&value.token().unwrap()).unwrap();
        assert!(same.is_same(&value));
        drop(makers);
    }
}
