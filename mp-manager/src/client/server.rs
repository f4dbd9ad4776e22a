//! [`Server`]: a server as a process knows it that holds proxies: what it can be asked, and told of what is held.
//!
//! A process is one client of each server, whichever way it came to know it; which way is left to
//! [`connect`](crate::client::connect). From then on a socket (a connection, if the server is on another machine) stands for
//! its life: its end, at either side, is the end of the other for this one. That socket is its [`Route`]'s.

use std::fmt::{self, Debug};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mp_connection::{Address, Connection, ConnectionError, Waitable};
use mp_reduction::{Attachments, DupFd, decode_from};
use mp_sync::parts::after;
use rustix::event::PollFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::held::{Held, Holdings};
use crate::client::lines::Lines;
use crate::client::route::{Life, Network, Route, WELCOME_LIMIT};
use crate::error::ManagerError;
use crate::failure::Failure;
use crate::frame::{Answer, Kind, Request};
use crate::host::ask;
use crate::id::{ClientId, ObjectId, ServerId};
use crate::line::{Line, LineError, SharedLine, Waited};
use crate::payload::Payload;
use crate::reference::Reference;
use crate::server::note::{Note, Opening, ServerInfo, Welcome};
use crate::sys::packet::{self, Received};

/// Within this time after one of its sockets a server that dies has closed all of them.
const END_IS_HEARD: Duration = Duration::from_millis(200);

/// A server, as a client of it.
pub(crate) struct Server {
    info: ServerInfo,
    client: ClientId,
    route: Route,
    life: Arc<Life>,
    lines: Arc<Lines>,
    holdings: Holdings,
    last_pledge: AtomicU64,
    /// The process that is the client.
    maker: u32,
}

impl Server {
    pub(super) fn new(
        welcome: Welcome,
        route: Route,
        life: Arc<Life>,
        lines: Arc<Lines>,
    ) -> Server {
        let Welcome { server: info, client } = welcome;
        let (holdings, last_pledge) = (Holdings::default(), AtomicU64::new(0));
        let maker = std::process::id();
        Server { info, client, route, life, lines, holdings, last_pledge, maker }
    }

    /// One that has ended before this process came to know it, of which nothing is known but its number.
    pub(super) fn ended(id: ServerId) -> Server {
        let (life, lines) = (Arc::<Life>::default(), Arc::<Lines>::default());
        life.end(&lines);
        let (name, address) = ("(ended)".to_owned(), Address::Abstract(Vec::new()));
        let server = ServerInfo { id, name, pid: 0, address };
        Server::new(Welcome { server, client: ClientId::SERVER }, Route::Ended, life, lines)
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

    /// Whether this process is the client, and not one that other code has forked from it.
    pub(crate) fn is_own(&self) -> bool {
        self.maker == std::process::id()
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
        let deadline = limit.and_then(after);
        if self.is_gone() {
            return Err(self.gone());
        }
        let taken = self
            .lines
            .take(|thread| self.make_line(thread), |thread, end| self.give(thread, end))?;
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
        match line.receive(&mut frame, deadline, || self.is_gone() || taken.is_refused()) {
            Ok(Waited::Received) => {}
            Ok(Waited::Over) if taken.is_refused() && !self.is_gone() => {
                return Err(self.exhausted("serve this thread"));
            }
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
        // A line that nobody serves any more ends here.
        if answer.kind != Kind::Ended {
            taken.done();
        }
        if answer.kind != Kind::Returned {
            let failure: Failure =
                decode_from(&frame, &Attachments::default()).map_err(ManagerError::Decode)?;
            return Err(ManagerError::failed(failure, &self.info.name));
        }
        Ok(Payload { bytes: frame, attachments, references })
    }

    fn line_error(&self, error: LineError, what: &str) -> ManagerError {
        match error {
            // Its end is heard of now; else the server has never had the line.
            LineError::Over if self.is_local() && !self.is_gone_within(END_IS_HEARD) => {
                self.exhausted("serve this thread")
            }
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

    /// A line, and the end of it that the server is to have, if it does not have that.
    fn make_line(&self, thread: u64) -> Result<(Line, Option<SharedLine>), ManagerError> {
        match &self.route {
            Route::Local(_) => {
                let pair = SharedLine::pair();
                let (ours, theirs) = pair.map_err(|error| self.line_error(error, "call"))?;
                Ok((Line::Shared(ours), Some(theirs)))
            }
            Route::Network(network) => {
                let opening = Opening::Open { client: network.membership, thread };
                Ok((Line::Network(self.open(network, &opening)?), None))
            }
            Route::Ended => Err(self.gone()),
        }
    }

    /// Gives the server its end of a line.
    fn give(&self, thread: u64, end: SharedLine) -> Result<(), ManagerError> {
        let Route::Local(local) = &self.route else { return Ok(()) };
        let note = Note::Open { line: Box::new(end), thread };
        local.tell(&note).map_err(|error| self.told(error))
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
        match network.further(&self.info.address, opening) {
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

    /// Gives an object back that this process was given so often.
    pub(super) fn release(&self, object: ObjectId, count: u64) {
        if self.is_gone() || !self.is_own() {
            return;
        }
        self.route.release(object, count);
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
        local.tell(&note).map_err(|error| self.told(error))?;
        // What is not kept must not be sent.
        drop(note);
        let deadline = after(WELCOME_LIMIT);
        let hear = ManagerError::system("hear whether a server keeps what is in a message");
        packet::wait(&[(ours.as_fd(), PollFlags::IN)], deadline).map_err(hear)?;
        match packet::receive(&ours) {
            Ok(Received::Message(_)) => Ok((ours, number)),
            Ok(Received::Nothing) => {
                let what = format!("what server '{}' has to say", self.info.name);
                Err(ManagerError::Timeout { what, limit: WELCOME_LIMIT })
            }
            _ if self.is_gone() => Err(self.gone()),
            _ => Err(self.exhausted("keep the objects in a message alive")),
        }
    }

    fn exhausted(&self, what: &str) -> ManagerError {
        let (server, limit) = (self.info.name.clone(), "it can open no more files (RLIMIT_NOFILE)");
        ManagerError::Transfer { server, what: format!("{what}: {limit}") }
    }

    /// Has an object that this process holds live as long as the message with the pledge of this number.
    pub(crate) fn promise(&self, number: u64, object: ObjectId) -> Result<(), ManagerError> {
        let Route::Local(local) = &self.route else {
            return Err(self.gone());
        };
        let note = Note::Promise { number, object };
        local.tell(&note).map_err(|error| self.told(error))
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

    /// Waits until a server of this machine can hear all that this process has given back.
    pub(crate) fn settle(&self) {
        self.route.settle();
    }

    /// Sleeps until the server is gone, at most until `deadline`; whether it is.
    pub(crate) fn wait_until_gone(&self, deadline: Option<Instant>) -> Result<bool, ManagerError> {
        if !self.is_gone() {
            let closed = self.route.wait_until_closed(deadline);
            if closed.map_err(ManagerError::system("wait for the end of a server"))? {
                // The thread that waits for this may be a moment behind.
                self.life.end(&self.lines);
            }
        }
        Ok(self.is_gone())
    }

    /// Whether the server is gone, within `limit`.
    pub(crate) fn is_gone_within(&self, limit: Duration) -> bool {
        self.wait_until_gone(after(limit)).unwrap_or_else(|_| self.is_gone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_own() {
            self.route.close();
        }
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerInfo { name, pid, address, .. } = &self.info;
        write!(f, "server '{name}' (pid {pid}, {address}) as client {}", self.client.0)
    }
}
