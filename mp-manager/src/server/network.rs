//! Who connects to a server: programs of this machine, which are given a socket of their own, and those of others, each
//! of whose connections has a thread here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use mp_connection::{Address, Connection, ConnectionError, Listener, Waitable};
use mp_shared_memory::session;

use crate::host::client::Client;
use crate::host::{Host, burial};
use crate::line::Line;
use crate::reference::Reference;
use crate::server::keeper::Order;
use crate::server::note::{Membership, Opened, Opening, Release, Welcome};
use crate::server::{Service, serving};
use crate::sys::network;

/// What a program has, from being accepted, to say what it wants.
const OPENING_LIMIT: Duration = Duration::from_secs(5);
/// No opening is longer than this.
const MAX_OPENING_LEN: usize = 64 * 1024;
/// How long a server waits that has no descriptor for a program that connects; nothing tells it when it has one.
pub(super) const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the listener is closed.
pub(super) fn accept_all(listener: &Listener, service: &Service) {
    loop {
        match listener.accept() {
            Ok(connection) => {
                let is_local = !matches!(listener.address(), Address::Tcp { .. });
                let info = service.info().clone();
                let thread = std::thread::Builder::new().name("mp-manager connection".to_owned());
                let spawned = thread.spawn(move || {
                    let welcome = |client: &Client| Welcome { server: info, client: client.id() };
                    let outcome = if is_local {
                        hear_neighbour(&connection)
                    } else {
                        hear_stranger(&connection, welcome)
                    };
                    if let Err(error) = outcome {
                        log::debug!("a server gives up a connection: {error}");
                    }
                });
                if let Err(error) = spawned {
                    log::warn!("a server has no thread for a program that connects: {error}");
                }
            }
            Err(ConnectionError::Closed) => return,
            Err(error @ ConnectionError::Authentication { .. }) => {
                log::warn!("a server refuses a program that connects: {error}");
            }
            Err(error) => {
                log::warn!("a server cannot accept a program that connects: {error}");
                std::thread::park_timeout(SHORTAGE_PAUSE);
            }
        }
    }
}

fn opening(connection: &Connection) -> Result<Opening, ConnectionError> {
    if !connection.poll(Some(OPENING_LIMIT))? {
        return Err(ConnectionError::EndOfFile);
    }
    connection.recv()
}

/// Whether a program of this machine is one of the same user.
fn is_trusted(connection: &Connection) -> Result<bool, ConnectionError> {
    let socket = connection.descriptor()?.as_fd().try_clone_to_owned().map(UnixStream::from);
    Ok(socket.and_then(|socket| session::is_trusted(&socket)).is_ok_and(|trusted| trusted))
}

/// Gives a program of this machine a socket of its own.
fn hear_neighbour(connection: &Connection) -> Result<(), ConnectionError> {
    if !is_trusted(connection)? {
        log::warn!("a server refuses a program of another user");
        return Ok(());
    }
    let Opening::Adopt { socket, pid } = opening(connection)? else { return Ok(()) };
    if let Some(service) = Host::here().service() {
        service.order(Order::Adopt { socket: socket.into::<OwnedFd>(), pid });
    }
    Ok(())
}

/// Hears a program of another machine, for as long as it is there.
fn hear_stranger(
    connection: &Connection,
    welcome: impl FnOnce(&Client) -> Welcome,
) -> Result<(), ConnectionError> {
    network::watch_over(connection);
    burial::leave_to_another();
    if !connection.poll(Some(OPENING_LIMIT))? {
        return Ok(());
    }
    let bytes = connection.recv_bytes_limited(MAX_OPENING_LEN)?;
    let opening: Opening = mp_reduction::decode_from(&bytes, &Default::default())?;
    let host = Host::here();
    let member = |membership: Membership| {
        host.client(membership.client).filter(|client| client.has_secret(membership.secret))
    };
    match opening {
        Opening::Adopt { .. } => {}
        Opening::Control { pid } => {
            let secret = crate::id::random_word().map_err(io_error)?;
            let client = host.admit(pid, Some(secret));
            if let Ok(socket) = connection.descriptor()?.as_fd().try_clone_to_owned() {
                client.set_life(Arc::new(socket));
            }
            let answer = Opened::Client { welcome: welcome(&client), secret };
            let sent = connection.send(&answer);
            let heard = sent.and_then(|()| hear_releases(connection, &client));
            host.dismiss(&client);
            heard?;
        }
        Opening::Open { client, thread } => match member(client) {
            Some(client) => {
                connection.send(&Opened::Done)?;
                serving::start(&client, Line::Network(connection.clone()), thread);
            }
            None => connection.send(&Opened::Refused)?,
        },
        Opening::Pledge { client, objects } => {
            let client = member(client);
            let find = |object| {
                client.as_ref().and_then(|client| client.find(object)).map(Reference::Here)
            };
            let promised: Option<Vec<Reference>> = objects.into_iter().map(find).collect();
            match &promised {
                Some(_) => {
                    connection.send(&Opened::Done)?;
                    // Nobody says anything more over it, until its last copy is closed.
                    let _end = connection.recv_bytes_limited(0);
                }
                None => connection.send(&Opened::Refused)?,
            }
        }
    }
    Ok(())
}

fn io_error(source: io::Error) -> ConnectionError {
    ConnectionError::Io { what: "get random bytes", source: Arc::new(source) }
}

fn hear_releases(connection: &Connection, client: &Client) -> Result<(), ConnectionError> {
    loop {
        let bytes = match connection.recv_bytes_limited(MAX_OPENING_LEN) {
            Ok(bytes) => bytes,
            Err(ConnectionError::EndOfFile | ConnectionError::Truncated { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Release { object, count } = mp_reduction::decode_from(&bytes, &Default::default())?;
        client.hears_back(object, count);
    }
}
