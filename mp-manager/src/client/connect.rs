//! How this process becomes a client of a server: it started the server, connects to it, or found a proxy in a message.
//!
//! It becomes one once: here is known of which servers it is one. What is said and heard from then on is left to [`Server`]
//! and to its [`Route`].

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mp_connection::{Address, Client, Connection, ConnectionError};
use mp_reduction::DupFd;
use mp_sync::parts::{after, has_passed};
use parking_lot::Mutex;
use rustix::event::PollFlags;

use crate::client::lines::Lines;
use crate::client::route::{Life, Local, Network, Route, WELCOME_LIMIT};
use crate::client::server::Server;
use crate::error::ManagerError;
use crate::id::ServerId;
use crate::server::note::{Membership, Note, Opened, Opening, Welcome};
use crate::sys::network;
use crate::sys::packet::{self, Received};

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
fn join(send: impl FnOnce(DupFd) -> Result<(), ManagerError>) -> Result<Arc<Server>, ManagerError> {
    let resources = "make a socket for a server";
    let (control, theirs) = packet::pair().map_err(ManagerError::system(resources))?;
    send(DupFd::from(theirs))?;
    let welcome = receive_welcome(&control, WELCOME_LIMIT)?;
    join_with(control, welcome)
}

/// As [`join`], when the server has answered.
pub(crate) fn join_with(control: OwnedFd, welcome: Welcome) -> Result<Arc<Server>, ManagerError> {
    let (life, lines) = (Arc::<Life>::default(), Arc::<Lines>::default());
    let local = Local::open(control, &life, &lines)?;
    Ok(make_known(Server::new(welcome, Route::Local(local), life, lines)))
}

/// Waits for what a server says first.
pub(crate) fn receive_welcome(control: &OwnedFd, limit: Duration) -> Result<Welcome, ManagerError> {
    let failed = || ManagerError::system("hear a server");
    let deadline = after(limit);
    loop {
        match packet::receive(control).map_err(failed())? {
            Received::Message(message) => return message.decode().map_err(ManagerError::Decode),
            Received::Lost | Received::End => {
                return Err(ManagerError::Disconnected { server: "(unknown)".to_owned(), pid: 0 });
            }
            Received::Nothing if has_passed(deadline) => {
                let what = "being taken as a client by a server".to_owned();
                return Err(ManagerError::Timeout { what, limit });
            }
            Received::Nothing => {
                packet::wait(&[(control.as_fd(), PollFlags::IN)], deadline).map_err(failed())?;
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
    let (life, lines) = (Arc::<Life>::default(), Arc::<Lines>::default());
    let network = Network::open(connection, membership, authkey, &life, &lines)?;
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
    let joined = join(|theirs| {
        packet::send(socket, &Note::Adopt { socket: theirs, pid }, true)
            .map_err(ManagerError::system("reach the server of a proxy"))
    });
    // What else is in the message is not lost with a server that has ended: its proxies say so when they are called.
    joined.or_else(|error| match packet::has_ended(socket) {
        true => Ok(Arc::new(Server::ended(id))),
        false => Err(error),
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
