//! The window of a server: where whoever looks into the session from outside is told what objects there are.
//!
//! It is a socket of its own, which asks for no key, but only programs of the same user are told anything. They are told
//! types, numbers and counts; no code of a user runs for it. What is said there, [`look`](crate::look) knows.
//!
//! One thread tells all of them, a few at once, and waits for none: who does not read in time is given up. Nobody waits
//! for that thread, so whoever looks delays neither a client nor the end of the server.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_shared_memory::look::{Notice, Topic};
use mp_shared_memory::session;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::host::{Host, burial};
use crate::look::{self, View};
use crate::server::network::SHORTAGE_PAUSE;
use crate::server::note::ServerInfo;

/// So many are told at once; further ones wait in the queue of the system.
const PLACES: usize = 64;
/// How long one has to read what it is told.
const LIMIT: Duration = Duration::from_secs(1);
/// How long it has while all places are taken. An honest one on a busy machine reads it within this time.
const PATIENCE: Duration = Duration::from_millis(100);

/// Open from the beginning of a server to its end.
#[derive(Debug)]
pub(super) struct Window {
    /// Readable when it is to be closed.
    bell: Arc<OwnedFd>,
    /// Says where it is.
    _shown: Notice,
}

impl Window {
    /// Opens it; a server that cannot have one shows nothing of its objects.
    pub(super) fn open(info: &ServerInfo) -> Option<Window> {
        let opened = Window::try_open(info);
        opened.inspect_err(|error| log::debug!("a server shows no objects: {error}")).ok()
    }

    fn try_open(info: &ServerInfo) -> io::Result<Window> {
        let name = format!("mp-window-{}-{:016x}", std::process::id(), crate::id::random_word()?);
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let shown = Notice::post(Topic::Server, &name, 0).map_err(io::Error::other)?;
        let (heard, info) = (Arc::clone(&bell), info.clone());
        let thread = std::thread::Builder::new().name("mp-manager window".to_owned());
        let shows = move || {
            burial::leave_to_another();
            let (lookers, closed_until) = (Vec::new(), None);
            Showing { info, listener, bell: heard, lookers, closed_until }.run();
        };
        drop(thread.spawn(shows)?);
        Ok(Window { bell, _shown: shown })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _rung = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

/// What the thread has.
struct Showing {
    info: ServerInfo,
    listener: UnixListener,
    bell: Arc<OwnedFd>,
    /// Those who have been told a part. There are no more than places.
    lookers: Vec<Looker>,
    /// When the next may come, after the system had no descriptor for one.
    closed_until: Option<Instant>,
}

struct Looker {
    socket: UnixStream,
    answer: Rc<[u8]>,
    told_bytes: usize,
    since: Instant,
}

impl Showing {
    /// Shows until the bell rings.
    fn run(mut self) {
        loop {
            match self.sleep() {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    log::debug!("a server shows its objects no more: {error}");
                    return;
                }
            }
            let limit = self.limit();
            self.lookers.retain_mut(|looker| looker.since.elapsed() < limit && looker.tell());
            self.closed_until = self.closed_until.filter(|until| *until > Instant::now());
            if self.is_open() {
                self.welcome();
            }
        }
    }

    fn limit(&self) -> Duration {
        if self.lookers.len() < PLACES { LIMIT } else { PATIENCE }
    }

    fn is_open(&self) -> bool {
        self.lookers.len() < PLACES && self.closed_until.is_none()
    }

    /// Sleeps until there is something to do; whether that is to end.
    fn sleep(&self) -> io::Result<bool> {
        let ends = self.lookers.iter().map(|looker| looker.since + self.limit());
        let next = ends.chain(self.closed_until).min();
        let left = next.map(|next| next.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = vec![PollFd::new(&*self.bell, PollFlags::IN)];
        fds.extend(self.lookers.iter().map(|looker| PollFd::new(&looker.socket, PollFlags::OUT)));
        if self.is_open() {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => Ok(!fds[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in those who wait. They are told the same, of a moment after all of them had come.
    fn welcome(&mut self) {
        let mut come = Vec::new();
        for _ in self.lookers.len()..PLACES {
            match self.listener.accept() {
                Ok((socket, _)) => come.push(socket),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    io::ErrorKind::WouldBlock => break,
                    _ => {
                        log::debug!("a server cannot show its objects: {error}");
                        self.closed_until = Some(Instant::now() + SHORTAGE_PAUSE);
                        break;
                    }
                },
            }
        }
        come.retain(|socket| session::is_trusted(socket).unwrap_or(false));
        if come.is_empty() {
            return;
        }
        let answer: Rc<[u8]> = match look::answer(&view(&self.info)) {
            Ok(answer) => answer.into(),
            Err(error) => {
                log::debug!("a server cannot say what objects it has: {error}");
                return;
            }
        };
        let since = Instant::now();
        for socket in come {
            let mut looker = Looker { socket, answer: Rc::clone(&answer), told_bytes: 0, since };
            if looker.tell() {
                self.lookers.push(looker);
            }
        }
    }
}

impl Looker {
    /// Tells it as much as it has room for; whether there is more.
    fn tell(&mut self) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match send(&self.socket, &self.answer[self.told_bytes..], flags) {
            Ok(count) => {
                self.told_bytes += count;
                self.told_bytes < self.answer.len()
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            // It has left.
            Err(_) => false,
        }
    }
}

fn view(info: &ServerInfo) -> View {
    let host = Host::here();
    let (objects, clients) = (host.counts(), host.pids());
    let address = info.address.to_string();
    View { name: info.name.clone(), pid: info.pid, address, clients, objects }
}
