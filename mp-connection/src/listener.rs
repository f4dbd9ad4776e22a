//! [`Listener`]: where clients connect.
//!
//! A client is accepted when its handshake is done. All that are not done are looked after together, none is
//! waited for, so whoever says nothing keeps nobody out. The listening socket, those of the unfinished clients and a
//! timer are in one `epoll` descriptor, which is what [`accept`](Listener::accept) and [`wait`](crate::wait()) sleep
//! on.
//!
//! When there are as many as there may be, further ones stay in the queue of the system until one of them is done or
//! has kept the others waiting for long enough. Until then the listening socket does not make the descriptor
//! readable, or a thread would spin; the timer does when that time has come.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFlags, epoll};
use rustix::io::Errno;

use crate::address::Address;
use crate::closable::Closable;
use crate::connection::{Connection, Direction};
use crate::deadline::{after, has_passed};
use crate::error::ConnectionError;
use crate::handshake::{Progress, Talk};
use crate::socket_file::{PrivateFolder, SocketFile};
use crate::state::auth::{Handshake, Key};
use crate::sys::local::{self, Name};
use crate::sys::random;
use crate::sys::socket::Socket;
use crate::sys::timer::Timer;
use crate::wait::{Descriptor, Waitable};

/// How long a client has for each thing that it has to say.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How long it has while others wait for its place. An honest one on a busy machine says it within this time.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most clients whose handshake goes on at once, unless the listener is told otherwise; further ones wait for a
/// place.
const MAX_CLIENTS: usize = 128;
/// So many may wait for a place as the system allows.
const BACKLOG: i32 = i32::MAX;

/// What cannot be done, in an error.
const WATCH: &str = "watch a listening socket";

/// Waits for clients at an address.
///
/// Clients of this library only: what connects says first whether it has a key. With a key, a client and the
/// listener show each other that they have the same one; nothing is encrypted.
///
/// A client that says nothing delays nobody: 128 are looked after at once, and each has five seconds for each thing
/// that it has to say; half a second while others wait for its place, so a flood of such clients costs half a second
/// for every 128 of them. Time during which nobody accepts or waits here does not count. A silent client is dropped
/// without a word to the caller, and so is one that leaves without a word. A client that says something wrong takes
/// no place, and is an error of one [`accept`](Listener::accept).
///
/// A listener stays in its process; the connections that it accepts can go to others.
///
/// # When a process dies
///
/// Its clients get an end of file. The file of a local socket is removed when the listener is closed or dropped,
/// but not when its process is killed: then the address stays in use until somebody removes the file. An
/// abstract name leaves nothing behind.
///
/// # Examples
///
/// ```
/// # use mp_connection as mp;
/// let listener = mp::Listener::new(Some(b"secret"))?;
/// let address = listener.address().clone();
/// let client = std::thread::spawn(move || { // a process, in a program
///     mp::Client::connect(address, Some(b"secret"))?.send("hello")
/// });
/// assert_eq!(listener.accept()?.recv::<String>()?, "hello");
/// client.join().expect("it does not panic")?;
/// # Ok::<(), mp::ConnectionError>(())
/// ```
#[doc(alias = "multiprocessing.connection.Listener")]
pub struct Listener {
    open: Closable<Open>,
    address: Address,
    file: Mutex<Option<SocketFile>>,
    last_accepted: Mutex<Option<Address>>,
}

/// What a listener has while it is open.
struct Open {
    socket: ListeningSocket,
    /// The socket, those of the clients, and the timer.
    epoll: OwnedFd,
    key: Option<Key>,
    clients: Mutex<Clients>,
}

enum ListeningSocket {
    Local(UnixListener),
    Tcp(TcpListener),
}

/// Those who have connected and were not accepted yet.
struct Clients {
    /// Those who have been silent for longest come first.
    unknown: VecDeque<Client>,
    /// What the next calls of `accept` give.
    outcomes: VecDeque<Result<Known, ConnectionError>>,
    /// How many of the unknown there may be.
    places: usize,
    /// Whether the listening socket makes the `epoll` descriptor readable.
    is_open: bool,
    /// When somebody has been silent for too long.
    timer: Timer,
}

struct Client {
    socket: Socket,
    address: Address,
    talk: Talk,
    /// Since when it is its turn to say something.
    silent_since: Instant,
}

struct Known {
    socket: Socket,
    address: Address,
}

impl Listener {
    /// Listens at an address of its own: a local socket in a temporary folder that only this user can look into.
    ///
    /// # Errors
    ///
    /// As [`bind`](Listener::bind).
    pub fn new(authkey: Option<&[u8]>) -> Result<Listener, ConnectionError> {
        let folder = PrivateFolder::new()?;
        Listener::listen(Address::Path(folder.file()), authkey, Some(folder))
    }

    /// Listens at `address`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Bind`] when it is in use, or no address of this machine. A socket file counts as
    /// in use also if nobody listens there any more: whoever knows that removes it.
    /// [`ConnectionError::Address`] for what can be no address, [`ConnectionError::Authentication`] for
    /// an empty key.
    pub fn bind<A>(address: A, authkey: Option<&[u8]>) -> Result<Listener, ConnectionError>
    where
        A: TryInto<Address>,
        ConnectionError: From<A::Error>,
    {
        Listener::listen(address.try_into()?, authkey, None)
    }

    fn listen(
        address: Address,
        authkey: Option<&[u8]>,
        folder: Option<PrivateFolder>,
    ) -> Result<Listener, ConnectionError> {
        address.check()?;
        let key = authkey.map(Key::new).transpose()?;
        let failed =
            |source| ConnectionError::Bind { address: address.clone(), source: Arc::new(source) };
        let (socket, address, file) = bind(&address, folder).map_err(failed)?;
        let (epoll, timer) = watch(&socket).map_err(ConnectionError::io(WATCH))?;
        let open = Open { socket, epoll, key, clients: Mutex::new(Clients::new(timer)) };
        let (file, last_accepted) = (Mutex::new(file), Mutex::new(None));
        Ok(Listener { open: Closable::new(open), address, file, last_accepted })
    }

    /// How many clients are looked after at once that have not shown that they know the key; for a process that has
    /// more descriptors than others. Each takes one.
    #[doc(hidden)]
    pub fn set_places(&self, places: usize) {
        if let Ok(open) = self.open.get() {
            open.clients.lock().places = places;
        }
    }

    /// Sleeps until a client has connected, and shown that it knows the key if there is one.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Authentication`] for one client that could not; call again for the next.
    /// [`ConnectionError::Closed`], also when it is closed meanwhile. [`ConnectionError::Io`] when the system has
    /// no descriptor for a client, who then waits on.
    pub fn accept(&self) -> Result<Connection, ConnectionError> {
        loop {
            if let Some(connection) = self.accept_until(None)? {
                return Ok(connection);
            }
        }
    }

    /// [`accept`](Listener::accept), for at most `timeout`; `Ok(None)` when it is over.
    ///
    /// # Errors
    ///
    /// As `accept`.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<Option<Connection>, ConnectionError> {
        self.accept_until(after(timeout))
    }

    fn accept_until(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Option<Connection>, ConnectionError> {
        loop {
            let open = self.open.get()?;
            // What another thread finds for this one after it has looked ends its sleep.
            let sleeper = self.open.sleepers().enter()?;
            let outcome = {
                let mut clients = open.clients.lock();
                clients.advance(&open);
                let outcome = clients.outcomes.pop_front();
                if !clients.outcomes.is_empty() {
                    // Nothing else tells the others who sleep here that there is something for them.
                    self.open.sleepers().wake_all();
                }
                outcome
            };
            if let Some(outcome) = outcome {
                let Known { socket, address } = outcome?;
                *self.last_accepted.lock() = Some(address);
                return Ok(Some(Connection::over(socket, Direction::Duplex)));
            }
            if has_passed(deadline) {
                return Ok(None);
            }
            sleeper.sleep(open.as_fd(), PollFlags::IN, deadline)?;
        }
    }

    /// Where it listens; a port of 0 has become the real one.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where the client that was accepted last came from; `None` before the first one.
    pub fn last_accepted(&self) -> Option<Address> {
        self.last_accepted.lock().clone()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Stops listening and removes the file of a local socket; nothing if that was done. Connections
    /// that were accepted stay; threads that wait here are woken and get [`ConnectionError::Closed`].
    pub fn close(&self) {
        self.open.close();
        drop(self.file.lock().take());
    }
}

impl Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = if self.is_closed() { " closed" } else { "" };
        write!(f, "<Listener {}{closed}>", self.address)
    }
}

/// Ready when [`accept`](Listener::accept) would not sleep: the client, or the error about it, is kept for the
/// next call. Only another thread that accepts can be faster.
impl Waitable for Listener {
    fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
        Ok(Descriptor::shared(self.open.get()?, self.open.sleepers()))
    }

    fn is_ready(&self, _: bool) -> Result<bool, ConnectionError> {
        let open = self.open.get()?;
        let mut clients = open.clients.lock();
        clients.advance(&open);
        let is_ready = !clients.outcomes.is_empty();
        drop(clients);
        if is_ready {
            // What made the descriptor readable is gone, and others may sleep on it.
            self.open.sleepers().wake_all();
        }
        Ok(is_ready)
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ListeningSocket::Local(listener) => listener.as_fd(),
            ListeningSocket::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl ListeningSocket {
    fn accept(&self) -> io::Result<(Socket, Address)> {
        Ok(match self {
            ListeningSocket::Local(listener) => {
                let (stream, address) = listener.accept()?;
                (stream.into(), address.into())
            }
            ListeningSocket::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                (stream.into(), address.into())
            }
        })
    }
}

fn bind(
    address: &Address,
    folder: Option<PrivateFolder>,
) -> io::Result<(ListeningSocket, Address, Option<SocketFile>)> {
    Ok(match address {
        Address::Tcp { host, port } => {
            let listener = TcpListener::bind((host.as_str(), *port))?;
            listener.set_nonblocking(true)?;
            rustix::net::listen(&listener, BACKLOG)?;
            let address = listener.local_addr()?.into();
            (ListeningSocket::Tcp(listener), address, None)
        }
        Address::Path(path) => {
            let listener = local::listen(Name::Path(path))?;
            let file = SocketFile::at(path, folder)?;
            (ListeningSocket::Local(listener), address.clone(), Some(file))
        }
        Address::Abstract(name) => {
            let listener = local::listen(Name::Abstract(name))?;
            (ListeningSocket::Local(listener), address.clone(), None)
        }
        Address::Unnamed => return Err(io::ErrorKind::InvalidInput.into()),
    })
}

fn watch(socket: &ListeningSocket) -> io::Result<(OwnedFd, Timer)> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let timer = Timer::new()?;
    add(&epoll, socket)?;
    add(&epoll, &timer)?;
    Ok((epoll, timer))
}

/// Has `epoll` become readable when `socket` is.
fn add(epoll: &OwnedFd, socket: impl AsFd) -> io::Result<()> {
    Ok(epoll::add(epoll, socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
}

impl Clients {
    fn new(timer: Timer) -> Clients {
        let (unknown, outcomes) = (VecDeque::new(), VecDeque::new());
        Clients { unknown, outcomes, places: MAX_CLIENTS, is_open: true, timer }
    }

    /// Goes as far as possible without waiting, until there is an outcome or nobody is left who has said
    /// something. Then what has to happen next, be it that time passes, makes the descriptor readable.
    fn advance(&mut self, open: &Open) {
        self.hear_unknown(open);
        let next_place = self.let_in(open);
        if let Err(error) = self.await_next(open, next_place) {
            self.outcomes.push_back(Err(ConnectionError::io(WATCH)(error)));
        }
    }

    fn hear_unknown(&mut self, open: &Open) {
        let now = Instant::now();
        for client in std::mem::take(&mut self.unknown) {
            let may_stay = client.silent_since + HANDSHAKE_LIMIT > now;
            self.hear(open, client, may_stay);
        }
        self.unknown.make_contiguous().sort_by_key(|client| client.silent_since);
    }

    /// Hears one of the unknown, who is the last of them afterwards unless that was all.
    fn hear(&mut self, open: &Open, mut client: Client, may_stay: bool) {
        match client.talk.advance(&client.socket) {
            Progress::Waits if may_stay => self.unknown.push_back(client),
            Progress::Answered => {
                client.silent_since = Instant::now();
                self.unknown.push_back(client);
            }
            progress => {
                let _removed = epoll::delete(&open.epoll, &client.socket);
                self.conclude(client, progress);
            }
        }
    }

    /// Lets in those who have connected while there are places; when there is one for the next, if somebody
    /// has to go first.
    fn let_in(&mut self, open: &Open) -> Option<Instant> {
        let mut is_exhausted = false;
        // So many at a time, that a flood of new ones keeps nobody from being heard.
        for _ in 0..self.places {
            if !self.outcomes.is_empty() || self.next_place(is_exhausted).is_some() {
                break;
            }
            match open.socket.accept() {
                Ok((socket, address)) => {
                    if self.is_full() {
                        self.make_room(open);
                    }
                    self.welcome(open, socket, address);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The system has no room: those who have said nothing make some.
                Err(error) if is_exhausted_system(&error) => {
                    if self.unknown.is_empty() {
                        self.outcomes.push_back(Err(ConnectionError::io("accept a client")(error)));
                    } else if self.next_place(true).is_none() {
                        self.make_room(open);
                    } else {
                        is_exhausted = true;
                    }
                }
                // A client that left meanwhile, or an error of the network on its way here.
                Err(_) => {}
            }
        }
        self.next_place(is_exhausted)
    }

    fn is_full(&self) -> bool {
        self.unknown.len() >= self.places
    }

    /// When the one who has been silent for longest has to make room; `None` if there is room, or can be now.
    fn next_place(&self, is_exhausted: bool) -> Option<Instant> {
        let first = self.unknown.front().filter(|_| is_exhausted || self.is_full())?;
        Some(first.silent_since + PATIENCE).filter(|time| *time > Instant::now())
    }

    /// Sends away who has been silent for longest, unless it has said something just now.
    fn make_room(&mut self, open: &Open) {
        if let Some(client) = self.unknown.pop_front() {
            self.hear(open, client, false);
        }
    }

    fn welcome(&mut self, open: &Open, socket: Socket, address: Address) {
        let nonce = match random::bytes() {
            Ok(nonce) => nonce,
            Err(error) => return self.outcomes.push_back(Err(error)),
        };
        let talk = Talk::new(Handshake::listener(open.key.clone(), nonce));
        let mut client = Client { socket, address, talk, silent_since: Instant::now() };
        // Most have said everything already.
        match client.talk.advance(&client.socket) {
            Progress::Waits | Progress::Answered => match add(&open.epoll, &client.socket) {
                Ok(()) => self.unknown.push_back(client),
                Err(error) => {
                    let error = ConnectionError::io("watch a client")(error);
                    self.outcomes.push_back(Err(error));
                }
            },
            progress => self.conclude(client, progress),
        }
    }

    /// Has the descriptor become readable by the next client only if there is a place for it, and by time.
    fn await_next(&mut self, open: &Open, next_place: Option<Instant>) -> io::Result<()> {
        let is_open = next_place.is_none();
        if is_open != self.is_open {
            let events = if is_open { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(0);
            epoll::modify(&open.epoll, &open.socket, data, events)?;
            self.is_open = is_open;
        }
        let next_limit = self.unknown.front().map(|client| client.silent_since + HANDSHAKE_LIMIT);
        self.timer.set(next_place.or(next_limit))
    }

    fn conclude(&mut self, client: Client, progress: Progress) {
        let Client { socket, address, .. } = client;
        match progress {
            Progress::Done => self.outcomes.push_back(Ok(Known { socket, address })),
            Progress::Failed(error) => self.outcomes.push_back(Err(error)),
            // It is too late, or has left.
            Progress::Waits | Progress::Answered | Progress::Nobody => {}
        }
    }
}

fn is_exhausted_system(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
