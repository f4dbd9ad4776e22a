//! The thread of the root that keeps descriptors and hands them out: who asks, and when.
//! What is kept, and how long, is decided by [`kept`](super::kept).
//!
//! It sleeps in `poll`. Each connection carries one request, but for those of makers of named memory, which stay
//! until their process is gone. A client that breaks the protocol is cut off; one that says
//! nothing costs a descriptor until it has said nothing for too long.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use interprocess::local_socket::{GenericNamespaced, ListenerOptions, ToNsName};
use interprocess::os::unix::uds_local_socket::Listener;
use mp_reduction::wire::{self, FrameReader, WireError};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use super::kept::{Kept, Refusal};
use super::{REQUEST_LIMIT, SessionName, is_trusted, kind, parking, socket_name};
use crate::named::abandoned;
use crate::sys::peer;

/// How often it is looked for memory that nobody uses any more, while there is any at all.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long nobody is accepted after the system had no descriptor for it.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// The most requests that are served at once; more wait to be accepted.
const MAX_REQUESTS: usize = 256;

/// The process whose thread runs; a forked copy has none.
static RUNNING: OnceLock<(SessionName, u32)> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());
/// The session that this process is the root of, whether or not its thread could be started.
static ROOT_OF: OnceLock<SessionName> = OnceLock::new();

/// Makes this process the root of a session.
pub(crate) fn start(session: SessionName) -> io::Result<()> {
    let _first = ROOT_OF.set(session);
    start_if_root(session)
}

/// Starts the thread, if this process is the root and it does not run yet.
pub(crate) fn start_if_root(session: SessionName) -> io::Result<()> {
    if ROOT_OF.get() != Some(&session) {
        return Ok(());
    }
    let _one_at_a_time = STARTING.lock();
    if let Some((_, pid)) = RUNNING.get() {
        let is_copy = *pid != std::process::id();
        let forked = || io::Error::other("this process is a forked copy of a session's root");
        return if is_copy { Err(forked()) } else { Ok(()) };
    }
    let name = socket_name(session).to_ns_name::<GenericNamespaced>()?;
    let listener: Listener = ListenerOptions::new().name(name).create_sync_as::<Listener>()?;
    let listener = UnixListener::from(OwnedFd::from(listener));
    listener.set_nonblocking(true)?;
    let spare = spare(&listener);
    let (clients, kept, looked_at) = (Vec::new(), Kept::default(), Instant::now());
    let broker = Broker { listener, clients, kept, looked_at, accepts_from: None, spare };
    let thread = std::thread::Builder::new().name("mp-session".to_owned());
    thread.stack_size(256 * 1024).spawn(move || broker.run())?;
    let _first = RUNNING.set((session, std::process::id()));
    Ok(())
}

pub(crate) fn is_root(session: SessionName) -> bool {
    ROOT_OF.get() == Some(&session)
}

struct Broker {
    listener: UnixListener,
    clients: Vec<Client>,
    kept: Kept,
    /// When it was last looked for what nobody uses.
    looked_at: Instant,
    /// Set when there was no descriptor for a connection.
    accepts_from: Option<Instant>,
    /// A descriptor to give up for a connection when the process has no other left: so that who asks is told why
    /// it is refused, or gets what needs none.
    spare: Option<OwnedFd>,
}

fn spare(listener: &UnixListener) -> Option<OwnedFd> {
    listener.as_fd().try_clone_to_owned().ok()
}

struct Client {
    socket: UnixStream,
    reader: FrameReader,
    /// When it is cut off; `None` for a maker of named memory.
    deadline: Option<Instant>,
    /// The process of a maker. A connection ends while its process is still ending, and may still have
    /// its locks.
    process: Option<OwnedFd>,
    /// Whether its connection has ended, and only the end of the process is waited for.
    is_ending: bool,
}

/// What becomes of a client.
#[derive(PartialEq)]
enum Next {
    Stays,
    Leaves,
}

impl Broker {
    fn run(mut self) {
        abandoned::remove();
        loop {
            let ready = self.wait();
            let now = Instant::now();
            let mut has_lost_maker = false;
            // From the back, for served clients leave.
            for (position, is_ready) in ready.iter().enumerate().skip(1).rev() {
                let client = position - 1;
                let next = if *is_ready { self.serve(client) } else { Next::Stays };
                let is_late = self.clients[client].deadline.is_some_and(|limit| limit <= now);
                if next == Next::Leaves || is_late {
                    has_lost_maker |= self.clients.swap_remove(client).deadline.is_none();
                }
            }
            if ready[0] {
                self.accept();
            }
            if has_lost_maker {
                abandoned::remove();
            }
            self.forget_unused();
            if self.spare.is_none() {
                self.spare = spare(&self.listener);
                self.accepts_from = self.accepts_from.filter(|_| self.spare.is_none());
            }
        }
    }

    /// Sleeps until somebody has something to say; whether the listener and each client has.
    fn wait(&self) -> Vec<bool> {
        let pauses = self.accepts_from.filter(|from| *from > Instant::now());
        let is_deaf = self.is_full() || pauses.is_some();
        let listens = if is_deaf { PollFlags::empty() } else { PollFlags::IN };
        let mut fds = vec![PollFd::new(&self.listener, listens)];
        fds.extend(self.clients.iter().map(|client| match &client.process {
            Some(process) if client.is_ending => PollFd::new(process, PollFlags::IN),
            _ => PollFd::new(&client.socket, PollFlags::IN),
        }));
        // The end of the last user is announced by nobody.
        let look = (!self.kept.is_empty()).then(|| self.looked_at + LOOK_INTERVAL);
        let deadlines = self.clients.iter().filter_map(|client| client.deadline);
        let timeout = deadlines.chain(look).chain(pauses).min().and_then(|limit| {
            Timespec::try_from(limit.saturating_duration_since(Instant::now())).ok()
        });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted, or the system is out of memory for a moment: nobody is ready.
            fds.iter_mut().for_each(PollFd::clear_revents);
            std::thread::yield_now();
        }
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    }

    /// Makers do not count: they ask for nothing more.
    fn is_full(&self) -> bool {
        self.clients.iter().filter(|client| client.deadline.is_some()).count() >= MAX_REQUESTS
    }

    fn accept(&mut self) {
        while !self.is_full() {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
                        && self.spare.take().is_some() =>
                {
                    continue;
                }
                Err(_) => {
                    // No descriptor, most likely: the listener stays ready, and must not be asked
                    // again at once.
                    self.accepts_from = Some(Instant::now() + EXHAUSTED_PAUSE);
                    return;
                }
            };
            if is_trusted(&socket).unwrap_or(false) && socket.set_nonblocking(true).is_ok() {
                let deadline = Some(Instant::now() + REQUEST_LIMIT);
                let (reader, process, is_ending) = (FrameReader::new(), None, false);
                self.clients.push(Client { socket, reader, deadline, process, is_ending });
            }
        }
    }

    fn serve(&mut self, client: usize) -> Next {
        let Client { socket, reader, deadline, process, is_ending } = &mut self.clients[client];
        if *is_ending {
            return Next::Leaves;
        }
        match reader.fill(socket) {
            Ok(n) if n > 0 => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Stays,
            Ok(_) | Err(_) if process.is_some() => {
                *is_ending = true;
                return Next::Stays;
            }
            Ok(_) | Err(_) => return Next::Leaves,
        }
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Next::Stays,
            Err(WireError::Descriptors { .. }) => {
                refuse(socket, &io::Error::from(Errno::MFILE));
                return Next::Leaves;
            }
            Err(_) => return Next::Leaves,
        };
        let (numbers, rest) = frame.body.as_chunks();
        let Some((&nonce, numbers)) = numbers.split_first().filter(|_| rest.is_empty()) else {
            return Next::Leaves;
        };
        let nonce = u64::from_le_bytes(nonce);
        let numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let request = Request { nonce, numbers: numbers.collect(), descriptors: frame.descriptors };
        if frame.kind == kind::WATCH {
            *deadline = None;
            // Without it, what the maker leaves may wait for the next process that looks.
            let pid = peer::credentials(socket).ok().and_then(|peer| peer.pid);
            *process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            return Next::Stays;
        }
        match answer(&mut self.kept, socket, frame.kind, request) {
            Ok(()) | Err(Refusal::Absurd) => {}
            Err(Refusal::Unknown) => {
                let _sent = wire::send_frame(&*socket, kind::UNKNOWN, &[], &[]);
            }
            Err(Refusal::System(error)) => refuse(socket, &error),
        }
        Next::Leaves
    }

    /// Closes the descriptors of memory that nobody uses any more.
    fn forget_unused(&mut self) {
        if self.looked_at.elapsed() >= LOOK_INTERVAL {
            self.kept.forget_unused();
            self.looked_at = Instant::now();
        }
    }
}

struct Request {
    nonce: u64,
    numbers: Vec<u64>,
    descriptors: Vec<OwnedFd>,
}

/// Does what a client asks for and says so. An answer is so short that it fits into the socket.
fn answer(kept: &mut Kept, socket: &UnixStream, kind: u8, request: Request) -> Result<(), Refusal> {
    let Request { nonce, numbers, descriptors } = request;
    let done =
        |body: &[u8], fds: &[BorrowedFd<'_>]| wire::send_frame(socket, kind::DONE, body, fds);
    match (kind, numbers.as_slice(), descriptors.as_slice()) {
        (kind::REGISTER, [], [fd]) => {
            kept.register(nonce, fd)?;
            done(&[], &[])?;
        }
        (kind::RESOLVE, [], []) => done(&[], &[kept.resolve(nonce)?.as_fd()])?,
        (kind::PARK, _, [_, ..]) => {
            let parts = numbers.into_iter().map(parking::from_number).collect();
            let ticket = kept.park(nonce, descriptors, parts)?;
            if done(&ticket.to_le_bytes(), &[]).is_err() {
                kept.unpark(nonce, ticket); // whoever has asked is gone
            }
        }
        (kind::FETCH, [ticket], []) => {
            let given = kept.fetch(nonce, *ticket)?;
            done(&[], &given.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        }
        (kind::UNPARK, [ticket], []) => {
            kept.unpark(nonce, *ticket);
            done(&[], &[])?;
        }
        _ => return Err(Refusal::Absurd),
    }
    Ok(())
}

fn refuse(socket: &UnixStream, error: &io::Error) {
    let errno = error.raw_os_error().and_then(|errno| u64::try_from(errno).ok());
    let body = errno.unwrap_or_default().to_le_bytes();
    let _sent = wire::send_frame(socket, kind::REFUSED, &body, &[]);
}
