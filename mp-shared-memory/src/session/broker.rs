//! The thread of the root that keeps descriptors and hands them out.
//!
//! It sleeps in `poll`. Each connection carries one request, but for those of makers of named memory, which stay
//! until their process is gone. A client that breaks the protocol is cut off; one that says
//! nothing costs a descriptor until it has said nothing for too long.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use interprocess::local_socket::ListenerOptions;
use interprocess::os::unix::uds_local_socket::Listener;
use mp_reduction::wire::{self, FrameReader};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use super::{SessionName, is_trusted, kind, socket_name};
use crate::named::abandoned;
use crate::sys::lock::{self, Range};
use crate::sys::peer;

/// How long a client has for its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(1);
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
    let listener: Listener =
        ListenerOptions::new().name(socket_name(session)?).create_sync_as::<Listener>()?;
    let listener = UnixListener::from(OwnedFd::from(listener));
    listener.set_nonblocking(true)?;
    let (clients, kept, looked_at) = (Vec::new(), HashMap::new(), Instant::now());
    let broker = Broker { listener, clients, kept, looked_at, accepts_from: None };
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
    /// Descriptors without locks, by nonce.
    kept: HashMap<u64, OwnedFd>,
    /// When it was last looked for those that nobody uses.
    looked_at: Instant,
    /// Set when there was no descriptor for a connection.
    accepts_from: Option<Instant>,
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
        // The end of its last user is announced by nobody; a token is rare, and so is this look.
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
            Err(_) => return Next::Leaves,
        };
        let Ok(nonce) = frame.body.as_ref().try_into().map(u64::from_le_bytes) else {
            return Next::Leaves;
        };
        // An answer is so short that it fits into the socket; a client that does not read it has left.
        let answer = |kind: u8, fd: Option<&OwnedFd>| {
            let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
            let _sent = wire::send_frame(&*socket, kind, &[], &fds);
            Next::Leaves
        };
        match (frame.kind, frame.descriptors.into_iter().next()) {
            (kind::REGISTER, Some(fd)) => {
                self.kept.insert(nonce, fd);
                answer(kind::DONE, None)
            }
            (kind::RESOLVE, _) => match self.kept.get(&nonce) {
                Some(fd) => answer(kind::DONE, Some(fd)),
                None => answer(kind::UNKNOWN, None),
            },
            (kind::WATCH, _) => {
                *deadline = None;
                // Without it, what the maker leaves may wait for the next process that looks.
                let pid = peer::credentials(socket).ok().and_then(|peer| peer.pid);
                *process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
                Next::Stays
            }
            _ => Next::Leaves,
        }
    }

    /// Closes the descriptors of memory that nobody uses any more.
    fn forget_unused(&mut self) {
        if self.looked_at.elapsed() >= LOOK_INTERVAL {
            self.kept.retain(|_, fd| lock::is_locked_by_other(fd, Range::ALL).unwrap_or(true));
            self.looked_at = Instant::now();
        }
    }
}
