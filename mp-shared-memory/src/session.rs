//! The session: what processes that were started by other means need to find shared memory.
//!
//! A token names a session and memory in it. The process that first uses shared memory in a process
//! tree is the root of its session: a thread of it, the `broker`, keeps a descriptor of all memory for which
//! there is a token, and hands it out to processes of the same user. It also keeps what cannot lie in a
//! queue, by `parking`. Nothing else goes through
//! it: that an owner of a lock died, that memory is free, what a message contains, is known without.

pub(crate) mod broker;
mod kept;
pub(crate) mod parking;
pub(crate) mod token;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mp_reduction::wire::{self, FrameReader, WireError};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::error::SharedMemoryError as Error;
use crate::sys::{memfd, peer};

/// How long the root of a session has to answer; it does so at once, unless it is stopped.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long a client has for its request once it was accepted.
const REQUEST_LIMIT: Duration = Duration::from_secs(1);

/// The kinds of frames to and from the broker. A body is a list of numbers of eight bytes, and that of a
/// request begins with the nonce of the memory.
pub(crate) mod kind {
    /// Comes with a descriptor to keep.
    pub(crate) const REGISTER: u8 = 1;
    pub(crate) const RESOLVE: u8 = 2;
    /// The sender makes named memory; when it is gone, what it left is to be removed.
    pub(crate) const WATCH: u8 = 3;
    /// Comes with descriptors, when it answers `RESOLVE` and `FETCH`; its body is the ticket for `PARK`.
    pub(crate) const DONE: u8 = 4;
    pub(crate) const UNKNOWN: u8 = 5;
    /// Comes with the descriptors of a message, and the numbers of its parts.
    pub(crate) const PARK: u8 = 6;
    /// These two have a ticket.
    pub(crate) const FETCH: u8 = 7;
    pub(crate) const UNPARK: u8 = 8;
    /// The body is the error of the system.
    pub(crate) const REFUSED: u8 = 9;
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

/// Whether this process has a session.
pub fn is_there() -> bool {
    SESSION.get().is_some()
}

/// The session of this process as a text for its children. Makes one if there is none, so that the root is the process at
/// the top of the tree and not one of its children, who may end before others need it.
pub fn to_inherit() -> String {
    token::write_session(current_name())
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
    keep(is_registered, session, nonce, fd)
}

fn keep(
    is_registered: &AtomicU32,
    session: SessionName,
    nonce: u64,
    fd: BorrowedFd<'_>,
) -> Result<(), Error> {
    // The root must not share our description: our locks would outlive us.
    let fd = memfd::reopen(fd).map_err(Error::system("open shared memory"))?;
    request(session, kind::REGISTER, &[nonce], &[fd.as_fd()])?;
    is_registered.store(1, Ordering::Release);
    Ok(())
}

/// A descriptor of the memory that a session knows under this nonce. While it is open the memory is in use.
pub(crate) fn resolve(session: SessionName, nonce: u64) -> Result<OwnedFd, Error> {
    let answer = request(session, kind::RESOLVE, &[nonce], &[])?;
    let descriptor = answer.descriptors.into_iter().next();
    descriptor.ok_or(Error::foreign("its session answered without a descriptor"))
}

/// Has the session look for named memory that was left behind when this process is gone: as long as
/// the returned socket is open, it is not.
pub(crate) fn watch() -> Result<UnixStream, Error> {
    let session = current_name();
    let socket = connect(session).map_err(unreachable)?;
    wire::send_frame(&socket, kind::WATCH, &0_u64.to_le_bytes(), &[]).map_err(unreachable)?;
    Ok(socket)
}

/// Whether this process is the root of its session.
pub(crate) fn is_root() -> bool {
    broker::is_root(current_name())
}

fn unreachable(source: io::Error) -> Error {
    // At a limit of its own a process says nothing of the root.
    let full = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::TOOMANYREFS];
    if full.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) {
        return Error::system("ask the session")(source);
    }
    Error::SessionUnreachable { source: Arc::new(source) }
}

/// What the broker says when it has done what it was asked for.
struct Answer {
    number: Option<u64>,
    descriptors: Vec<OwnedFd>,
}

fn request(
    session: SessionName,
    kind: u8,
    body: &[u64],
    fds: &[BorrowedFd<'_>],
) -> Result<Answer, Error> {
    if SESSION.get() == Some(&session) {
        broker::start_if_root(session).map_err(unreachable)?;
    }
    let body: Vec<u8> = body.iter().flat_map(|number| number.to_le_bytes()).collect();
    loop {
        let socket = connect(session).map_err(unreachable)?;
        let connected = Instant::now();
        match ask(&socket, kind, &body, fds) {
            // This process was stopped, or had no turn, for so long that it was given up.
            Err(Error::SessionUnreachable { source })
                if is_cut_off(&source) && connected.elapsed() >= REQUEST_LIMIT => {}
            outcome => return outcome,
        }
    }
}

fn ask(
    socket: &UnixStream,
    kind: u8,
    body: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<Answer, Error> {
    wire::send_frame(socket, kind, body, fds).map_err(unreachable)?;
    let mut reader = FrameReader::new();
    let frame = loop {
        match reader.next_frame() {
            Ok(Some(frame)) => break frame,
            Ok(None) => {}
            Err(WireError::Descriptors { .. }) => {
                return Err(Error::system("take descriptors of the session")(Errno::MFILE));
            }
            Err(error) => return Err(unreachable(io::Error::other(error))),
        }
        if reader.fill(socket).map_err(unreachable)? == 0 {
            return Err(unreachable(io::ErrorKind::ConnectionAborted.into()));
        }
    };
    let number = frame.body.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match frame.kind {
        kind::DONE => Ok(Answer { number, descriptors: frame.descriptors }),
        kind::UNKNOWN => Err(Error::Gone),
        kind::REFUSED => {
            let errno = number.and_then(|errno| i32::try_from(errno).ok()).unwrap_or_default();
            let source = Arc::new(io::Error::from_raw_os_error(errno));
            Err(Error::SessionExhausted { source })
        }
        _ => Err(Error::foreign("its session speaks another language")),
    }
}

fn is_cut_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// A connection to the root of a session, if that runs as this user or as the system's.
fn connect(session: SessionName) -> io::Result<UnixStream> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Before it connects: while the root is stopped and many have asked, that waits as well.
    for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&socket, direction, Some(ANSWER_LIMIT))?;
    }
    let address = SocketAddrUnix::new_abstract_name(socket_name(session).as_bytes())?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    let socket = UnixStream::from(socket);
    if !is_trusted(&socket)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(socket)
}

/// The pid and the user of the other end; no pid if that is in a pid namespace which this process does not see.
///
/// # Errors
///
/// What the system says.
#[doc(hidden)]
pub fn peer_of(socket: &UnixStream) -> io::Result<(Option<u32>, u32)> {
    let peer = peer::credentials(socket)?;
    Ok((peer.pid.map(|pid| pid.as_raw_pid().cast_unsigned()), peer.uid))
}

/// Whether the other end belongs to this user, or to the one who may do everything anyway.
///
/// # Errors
///
/// What the system says.
#[doc(hidden)]
pub fn is_trusted(socket: &UnixStream) -> io::Result<bool> {
    let peer = peer::credentials(socket)?.uid;
    Ok(peer == rustix::process::geteuid().as_raw() || peer == 0)
}

/// The abstract socket of a session: it has no file, and is gone with the process.
fn socket_name(session: SessionName) -> String {
    format!("mp-session-{}", token::write_session(session))
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
