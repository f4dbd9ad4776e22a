//! [`Server`]: a server as a process knows it that holds proxies.
//!
//! A process is one client of each server, whichever way it came to know it: it started the server, connected to it, or
//! found a proxy in a message. From then on a socket (a connection, if the server is on another machine) stands for its
//! life: its end, at either side, is the end of the other for this one. A thread of this process waits for that.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mp_connection::{Address, Client, Connection, ConnectionError, Waitable};
use mp_reduction::{Attachments, DupFd, decode_from};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::held::{Held, Holdings};
use crate::client::lines::Lines;
use crate::error::ManagerError;
use crate::frame::{Answer, Kind, Request};
use crate::host::ask;
use crate::hosted::Failure;
use crate::id::{ClientId, ObjectId, ServerId};
use crate::line::{Line, LineError, SharedLine, Waited};
use crate::payload::Payload;
use crate::reference::Reference;
use crate::server::note::{Membership, Note, Opened, Opening, Release, ServerInfo, Welcome};
use crate::sys::network;
use crate::sys::packet::{self, Received};

/// What a server has to take this process as a client.
const WELCOME_LIMIT: Duration = Duration::from_secs(10);

/// A server, as a client of it.
pub(crate) struct Server {
    info: ServerInfo,
    client: ClientId,
    route: Route,
    life: Arc<Life>,
    lines: Arc<Lines>,
    holdings: Holdings,
    last_pledge: AtomicU64,
}

/// How the server is told things beside calls.
enum Route {
    /// Through shared memory and a socket.
    Local(Arc<Local>),
    /// Over connections.
    Network(Network),
}

/// The socket of this process to a server of this machine.
struct Local {
    control: OwnedFd,
    /// Readable when the thread that waits here has to look what else there is.
    bell: OwnedFd,
    /// What there was no room for.
    unsent: Mutex<Vec<(ObjectId, u64)>>,
    is_closed: AtomicBool,
}

/// What further connections are made with.
struct Network {
    control: Connection,
    releases: Sender<Release>,
    membership: Membership,
    authkey: Box<[u8]>,
}

/// Whether the server lives.
#[derive(Debug, Default)]
struct Life {
    is_gone: AtomicBool,
}

/// The servers that this process is a client of.
static SERVERS: Mutex<Option<HashMap<ServerId, Weak<Server>>>> = Mutex::new(None);

/// The client of this server, if this process is one and the server lives.
fn known(id: ServerId) -> Option<Arc<Server>> {
    let servers = SERVERS.lock();
    let server = servers.as_ref()?.get(&id)?.upgrade()?;
    drop(servers);
    (!server.is_gone()).then_some(server)
}

/// Makes it the client of its server, unless another thread was faster.
fn make_known(server: Server) -> Arc<Server> {
    let mut servers = SERVERS.lock();
    let servers = servers.get_or_insert_default();
    servers.retain(|_, known| known.strong_count() > 0);
    let id = server.id();
    if let Some(known) = servers.get(&id).and_then(Weak::upgrade)
        && !known.is_gone()
    {
        return known;
    }
    let server = Arc::new(server);
    servers.insert(id, Arc::downgrade(&server));
    server
}

/// Makes this process a client of a server, which is given a socket with `send`.
pub(crate) fn join(
    send: impl FnOnce(DupFd) -> Result<(), ManagerError>,
) -> Result<Arc<Server>, ManagerError> {
    let resources = "make a socket for a server";
    let (control, theirs) = packet::pair().map_err(ManagerError::system(resources))?;
    send(DupFd::from(theirs))?;
    let welcome = receive_welcome(&control, WELCOME_LIMIT)?;
    join_with(control, welcome)
}

/// As [`join`], when the server has answered.
pub(crate) fn join_with(control: OwnedFd, welcome: Welcome) -> Result<Arc<Server>, ManagerError> {
    let resources = ManagerError::system("make a descriptor for a server");
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(resources)?;
    let (unsent, is_closed) = (Mutex::default(), AtomicBool::new(false));
    let local = Arc::new(Local { control, bell, unsent, is_closed });
    let (life, lines) = (Arc::<Life>::default(), Arc::<Lines>::default());
    let watched = (Arc::clone(&local), Arc::clone(&life), Arc::clone(&lines));
    spawn("mp-manager watch", move || watch(&watched.0, &watched.1, &watched.2))?;
    Ok(make_known(Server::new(welcome, Route::Local(local), life, lines)))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ManagerError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let failed = ManagerError::system("start a thread that watches over a server");
    thread.spawn(run).map(drop).map_err(failed)
}

/// Waits for what a server says first.
pub(crate) fn receive_welcome(control: &OwnedFd, limit: Duration) -> Result<Welcome, ManagerError> {
    let failed = || ManagerError::system("hear a server");
    let deadline = Instant::now() + limit;
    loop {
        match packet::receive(control).map_err(failed())? {
            Received::Message(message) => return message.decode().map_err(ManagerError::Decode),
            Received::End => {
                return Err(ManagerError::Disconnected { server: "(unknown)".to_owned(), pid: 0 });
            }
            Received::Nothing if Instant::now() >= deadline => {
                let what = "being taken as a client by a server".to_owned();
                return Err(ManagerError::Timeout { what, limit });
            }
            Received::Nothing => {
                packet::wait(&[(control.as_fd(), PollFlags::IN)], Some(deadline))
                    .map_err(failed())?;
            }
        }
    }
}

/// Makes this process a client of the server at an address.
pub(crate) fn connect(address: Address, authkey: &[u8]) -> Result<Arc<Server>, ManagerError> {
    let connection = dial(&address, authkey)?;
    let pid = std::process::id();
    if !matches!(address, Address::Tcp { .. }) {
        return join(|socket| Ok(connection.send(&Opening::Adopt { socket, pid })?));
    }
    network::watch_over(&connection);
    connection.send(&Opening::Control { pid })?;
    if !connection.poll(Some(WELCOME_LIMIT))? {
        let what = format!("being taken as a client by the server at {address}");
        return Err(ManagerError::Timeout { what, limit: WELCOME_LIMIT });
    }
    let Opened::Client { mut welcome, secret } = connection.recv()? else {
        let server = address.to_string();
        return Err(ManagerError::Disconnected { server, pid: 0 });
    };
    // The address that leads there from here.
    welcome.server.address = address;
    let membership = Membership { client: welcome.client, secret };
    let (releases, to_send) = mpsc::channel::<Release>();
    let (life, lines) = (Arc::<Life>::default(), Arc::<Lines>::default());
    let watched = (connection.clone(), Arc::clone(&life), Arc::clone(&lines));
    spawn("mp-manager watch", move || {
        // Nothing ever comes but the end.
        let _end = watched.0.recv_bytes_limited(0);
        watched.1.end(&watched.2);
    })?;
    let sending = connection.clone();
    spawn("mp-manager release", move || {
        // When the other side is gone, there is nothing to give back.
        while to_send.recv().is_ok_and(|release| sending.send(&release).is_ok()) {}
    })?;
    let network = Network { control: connection, releases, membership, authkey: authkey.into() };
    Ok(make_known(Server::new(welcome, Route::Network(network), life, lines)))
}

fn dial(address: &Address, authkey: &[u8]) -> Result<Connection, ManagerError> {
    Client::connect(address, Some(authkey)).map_err(|source| match source {
        ConnectionError::Authentication { .. } => {
            ManagerError::Authentication { address: address.to_string(), source }
        }
        source => ManagerError::Connection(source),
    })
}

/// The client of a server that is known by a socket which came with a proxy.
pub(crate) fn reach(id: ServerId, socket: BorrowedFd<'_>) -> Result<Arc<Server>, ManagerError> {
    if let Some(server) = known(id) {
        return Ok(server);
    }
    let pid = std::process::id();
    join(|theirs| {
        packet::send(socket, &Note::Adopt { socket: theirs, pid }, true)
            .map_err(ManagerError::system("reach the server of a proxy"))
    })
}

/// The client of a server on another machine.
pub(crate) fn reach_far(
    id: ServerId,
    address: Address,
    authkey: &[u8],
) -> Result<Arc<Server>, ManagerError> {
    match known(id) {
        Some(server) => Ok(server),
        None => connect(address, authkey),
    }
}

impl Life {
    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    fn end(&self, lines: &Lines) {
        self.is_gone.store(true, Ordering::Release);
        lines.wake_all();
    }
}

/// Waits for the end of a server of this machine, and sends what there was no room for.
fn watch(local: &Local, life: &Life, lines: &Lines) {
    loop {
        let mut events = PollFlags::IN;
        if !local.unsent.lock().is_empty() {
            events |= PollFlags::OUT;
        }
        let sockets = [(local.control.as_fd(), events), (local.bell.as_fd(), PollFlags::IN)];
        let Ok(ready) = packet::wait(&sockets, None) else { break };
        if local.is_closed.load(Ordering::Acquire) {
            return;
        }
        if ready[1].contains(PollFlags::IN) {
            let _rung = rustix::io::read(&local.bell, &mut [0; 8]);
        }
        if ready[0].intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
            && !matches!(packet::receive(&local.control), Ok(Received::Nothing))
        {
            // A server says nothing more to a client than its end.
            break;
        }
        local.send_unsent();
    }
    life.end(lines);
}

impl Local {
    /// Gives an object back without ever waiting.
    fn release(&self, object: ObjectId, count: u64) {
        let mut unsent = self.unsent.lock();
        if unsent.is_empty() {
            match packet::send(&self.control, &Note::Release { object, count }, false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Who is gone has it back.
                _ => return,
            }
            self.ring();
        }
        unsent.push((object, count));
    }

    fn send_unsent(&self) {
        let mut unsent = self.unsent.lock();
        let mut sent = 0;
        for (object, count) in &*unsent {
            let note = Note::Release { object: *object, count: *count };
            match packet::send(&self.control, &note, false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                _ => sent += 1,
            }
        }
        unsent.drain(..sent);
    }

    fn ring(&self) {
        let _rung = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Server {
    fn new(welcome: Welcome, route: Route, life: Arc<Life>, lines: Arc<Lines>) -> Server {
        let Welcome { server: info, client } = welcome;
        let (holdings, last_pledge) = (Holdings::default(), AtomicU64::new(0));
        Server { info, client, route, life, lines, holdings, last_pledge }
    }

    pub(crate) fn id(&self) -> ServerId {
        self.info.id
    }

    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    pub(super) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.life.is_gone()
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.route, Route::Local(_))
    }

    fn gone(&self) -> ManagerError {
        ManagerError::Disconnected { server: self.info.name.clone(), pid: self.info.pid }
    }

    /// Calls a method and gives its result.
    pub(crate) fn call<R: DeserializeOwned>(
        self: &Arc<Self>,
        object: ObjectId,
        method: &str,
        args: &(impl Serialize + ?Sized),
        limit: Option<Duration>,
    ) -> Result<R, ManagerError> {
        let arguments = Payload::encode(self.id(), args).map_err(ManagerError::Encode)?;
        let result = self.call_encoded(object, method, arguments, limit)?;
        result.decode().map_err(ManagerError::Decode)
    }

    /// Calls a method with arguments that are encoded, and gives its result so.
    pub(crate) fn call_encoded(
        self: &Arc<Self>,
        object: ObjectId,
        method: &str,
        arguments: Payload,
        limit: Option<Duration>,
    ) -> Result<Payload, ManagerError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        if self.is_gone() {
            return Err(self.gone());
        }
        let taken = self.lines.take(|thread| self.open_line(thread))?;
        // The references live until there is a reply: the server takes its own.
        let Payload { bytes: mut frame, attachments, references } = arguments;
        let descriptors = attachments.descriptors().len();
        Request {
            object,
            method,
            descriptors: u32::try_from(descriptors).unwrap_or(u32::MAX),
            references: references.iter().map(Reference::object).collect(),
        }
        .append(&mut frame);
        let line = taken.line();
        line.send(&frame, &attachments).map_err(|error| self.line_error(error, "arguments"))?;
        drop(attachments);
        match line.receive(&mut frame, deadline, || self.is_gone()) {
            Ok(Waited::Received) => {}
            Ok(Waited::Over) => return Err(self.gone()),
            Ok(Waited::TimedOut) => {
                let what = format!("a call of server '{}'", self.info.name);
                return Err(ManagerError::Timeout { what, limit: limit.unwrap_or_default() });
            }
            Err(error) => return Err(self.line_error(error, "result")),
        }
        let Some((len, answer)) = Answer::read(&frame) else {
            return Err(ManagerError::Transfer {
                server: self.info.name.clone(),
                what: "be understood: it is none of this library's version".to_owned(),
            });
        };
        frame.truncate(len);
        // What was given to this process is given back with them, if nobody takes it.
        let references: Vec<Reference> = answer
            .references
            .into_iter()
            .map(|object| Reference::There(Held::given(self, object)))
            .collect();
        let attachments = line
            .receive_attachments(answer.descriptors)
            .map_err(|error| self.line_error(error, "result"))?;
        taken.done();
        if answer.kind == Kind::Failed {
            let failure: Failure =
                decode_from(&frame, &Attachments::default()).map_err(ManagerError::Decode)?;
            return Err(ManagerError::failed(failure, &self.info.name));
        }
        Ok(Payload { bytes: frame, attachments, references })
    }

    fn line_error(&self, error: LineError, what: &str) -> ManagerError {
        match error {
            LineError::Over => self.gone(),
            LineError::Queue(error) => ManagerError::Queue(error),
            LineError::Connection(error) => ManagerError::Connection(error),
            LineError::Descriptors { count } => ManagerError::Transfer {
                server: self.info.name.clone(),
                what: format!(
                    "take the {what}: {count} handles or descriptors in them cannot leave this machine"
                ),
            },
        }
    }

    fn open_line(&self, thread: u64) -> Result<Line, ManagerError> {
        match &self.route {
            Route::Local(local) => {
                let pair = SharedLine::pair();
                let (ours, theirs) = pair.map_err(|error| self.line_error(error, "call"))?;
                let note = Note::Open { line: Box::new(theirs), thread };
                packet::send(&local.control, &note, true).map_err(|error| self.told(error))?;
                Ok(Line::Shared(ours))
            }
            Route::Network(network) => {
                let opening = Opening::Open { client: network.membership, thread };
                Ok(Line::Network(self.open(network, &opening)?))
            }
        }
    }

    /// Why the server could not be told something.
    fn told(&self, error: io::Error) -> ManagerError {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => self.gone(),
            _ => ManagerError::system("tell a server something")(error),
        }
    }

    /// A further connection to a server on another machine.
    fn open(&self, network: &Network, opening: &Opening) -> Result<Connection, ManagerError> {
        match self.try_open(network, opening) {
            Ok(Some(connection)) => Ok(connection),
            Ok(None) => {
                let what = format!("a further connection to server '{}'", self.info.name);
                Err(ManagerError::Timeout { what, limit: WELCOME_LIMIT })
            }
            // This process is at its limits.
            Err(error @ ConnectionError::Io { .. }) => Err(ManagerError::Connection(error)),
            // It did take this process as a client, so whatever it is that does not now is another one.
            Err(_) => Err(self.gone()),
        }
    }

    /// `None` when the server does not answer in time.
    fn try_open(
        &self,
        network: &Network,
        opening: &Opening,
    ) -> Result<Option<Connection>, ConnectionError> {
        let connection = Client::connect(&self.info.address, Some(&network.authkey))?;
        network::watch_over(&connection);
        connection.send(opening)?;
        if !connection.poll(Some(WELCOME_LIMIT))? {
            return Ok(None);
        }
        match connection.recv()? {
            Opened::Done => Ok(Some(connection)),
            Opened::Client { .. } | Opened::Refused => Err(ConnectionError::EndOfFile),
        }
    }

    /// Gives an object back that this process was given so often.
    pub(super) fn release(&self, object: ObjectId, count: u64) {
        if self.is_gone() {
            return;
        }
        match &self.route {
            Route::Local(local) => local.release(object, count),
            Route::Network(network) => {
                let _sent = network.releases.send(Release { object, count });
            }
        }
    }

    /// A reference to an object that is kept alive by something else just now.
    pub(crate) fn retain(self: &Arc<Self>, object: ObjectId) -> Result<Reference, ManagerError> {
        let arguments = Payload::encode(self.id(), &(object,)).map_err(ManagerError::Encode)?;
        let reply = self.call_encoded(ObjectId::SERVER, ask::RETAIN, arguments, None)?;
        reply.references.into_iter().next().ok_or_else(|| ManagerError::UnknownObject {
            server: self.info.name.clone(),
            object: object.0,
        })
    }

    /// What keeps objects alive that are in a message: a descriptor to be attached to it, and its number.
    pub(crate) fn open_pledge(&self) -> Result<(OwnedFd, u64), ManagerError> {
        let Route::Local(local) = &self.route else {
            return Err(self.gone());
        };
        let resources = ManagerError::system("make a socket for a message with a proxy");
        let (ours, theirs) = packet::pair().map_err(resources)?;
        let number = self.last_pledge.fetch_add(1, Ordering::Relaxed);
        let note = Note::Pledge { number, socket: DupFd::from(theirs) };
        packet::send(&local.control, &note, true).map_err(|error| self.told(error))?;
        Ok((ours, number))
    }

    /// Has an object that this process holds live as long as the message with the pledge of this number.
    pub(crate) fn promise(&self, number: u64, object: ObjectId) -> Result<(), ManagerError> {
        let Route::Local(local) = &self.route else {
            return Err(self.gone());
        };
        let note = Note::Promise { number, object };
        packet::send(&local.control, &note, true).map_err(|error| self.told(error))
    }

    /// For a server on another machine: a descriptor that keeps objects alive while it is open, and the key.
    pub(crate) fn far_pledge(
        &self,
        objects: Vec<ObjectId>,
    ) -> Result<(OwnedFd, &[u8]), ManagerError> {
        let Route::Network(network) = &self.route else {
            return Err(self.gone());
        };
        let opening = Opening::Pledge { client: network.membership, objects };
        let connection = self.open(network, &opening)?;
        let descriptor = connection.descriptor()?;
        let copy = descriptor.as_fd().try_clone_to_owned();
        let copy = copy.map_err(ManagerError::system("duplicate a descriptor"))?;
        Ok((copy, &network.authkey))
    }

    /// Sleeps until the server is gone, for at most `limit`; whether it is.
    pub(crate) fn wait_until_gone(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let socket = match &self.route {
            Route::Local(local) => local.control.as_fd().try_clone_to_owned(),
            Route::Network(network) => {
                let descriptor = network.control.descriptor();
                descriptor
                    .map_err(io::Error::other)
                    .and_then(|descriptor| descriptor.as_fd().try_clone_to_owned())
            }
        };
        let Ok(socket) = socket else { return self.is_gone() };
        // Nothing comes over it but its end, and that stays.
        let ready = packet::wait(&[(socket.as_fd(), PollFlags::IN)], Some(deadline));
        self.is_gone() || ready.is_ok_and(|ready| !ready[0].is_empty())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match &self.route {
            Route::Local(local) => {
                local.is_closed.store(true, Ordering::Release);
                // The server hears it now, not when the thread here has ended.
                let _closed = rustix::net::shutdown(&local.control, rustix::net::Shutdown::Both);
                local.ring();
            }
            Route::Network(network) => network.control.close(),
        }
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerInfo { name, pid, address, .. } = &self.info;
        write!(f, "server '{name}' (pid {pid}, {address}) as client {}", self.client.0)
    }
}
