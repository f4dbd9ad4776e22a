//! How an object is kept alive, and its server found, while a proxy of it is in a message: one that goes through a queue
//! or a pipe, or to a process that is being started.
//!
//! The message has one end of a socket whose other end the server has. While any copy of the message exists, wherever it
//! is and whoever has died, that end is open; with the last one the server sees the end of the file, and lets go of what
//! was promised to it. Who takes the message becomes a client of the server through the same socket, without an address
//! or a key.
//!
//! To a server on another machine no socket can be passed: there it is a connection of its own, and the address and the
//! key are in the message, which cannot leave this machine.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mp_connection::Address;
use mp_reduction::transfer::{self, OutsideTransfer};
use serde::{Deserialize, Serialize};

use crate::client::connect::{reach, reach_far};
use crate::client::server::Server;
use crate::error::ManagerError;
use crate::host::Host;
use crate::id::ServerId;
use crate::reference::Reference;
use crate::server::keeper::Order;
use crate::sys::packet;

/// What leads to a server from a message.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pledged {
    attachment: usize,
    /// Of a server on another machine: where it is, and the key.
    far: Option<(Address, serde_bytes::ByteBuf)>,
}

/// Why a proxy cannot be in a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotTravel {
    #[error(transparent)]
    Outside(#[from] OutsideTransfer),
    #[error("a proxy of an object of this process cannot be sent, for it is no server")]
    NoServer,
    #[error("cannot make a socket for a message with a proxy")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Server(#[from] ManagerError),
}

/// The one descriptor for all objects of a server in a message, and its number.
type Opened = Result<(OwnedFd, u64), CannotTravel>;

impl Pledged {
    /// Has the message that is being made keep an object alive.
    pub(crate) fn object(reference: &Reference) -> Result<Pledged, CannotTravel> {
        match reference {
            // Where it arrives it is a proxy of a server that has ended.
            Reference::There(held) if held.server().is_gone() => {
                Ok(Pledged::near(held.server().id(), open_nobody)?.0)
            }
            Reference::There(held) if held.server().is_local() => {
                let server = held.server();
                let (pledged, number) = Pledged::near(server.id(), || Ok(server.open_pledge()?))?;
                server.promise(number, held.object())?;
                Ok(pledged)
            }
            Reference::There(held) => Pledged::far(held.server(), vec![held.object()]),
            Reference::Here(entry) => {
                let service = Host::here().service().ok_or(CannotTravel::NoServer)?;
                let (pledged, number) = Pledged::near(entry.server(), open_own)?;
                service.order(Order::Promise { number, entry: Arc::clone(entry) });
                Ok(pledged)
            }
        }
    }

    /// Has the message that is being made lead to a server.
    pub(crate) fn server(server: &Server) -> Result<Pledged, CannotTravel> {
        if server.is_gone() {
            return Ok(Pledged::near(server.id(), open_nobody)?.0);
        }
        if server.is_local() {
            let (pledged, _) = Pledged::near(server.id(), || Ok(server.open_pledge()?))?;
            return Ok(pledged);
        }
        Pledged::far(server, Vec::new())
    }

    /// As [`server`](Pledged::server), for this process.
    pub(crate) fn here() -> Result<Pledged, CannotTravel> {
        Ok(Pledged::near(Host::here().id(), open_own)?.0)
    }

    fn near(
        server: ServerId,
        open: impl FnOnce() -> Opened,
    ) -> Result<(Pledged, u64), CannotTravel> {
        let (attachment, number) = transfer::attach_once(server.words(), open)?;
        Ok((Pledged { attachment, far: None }, number))
    }

    fn far(server: &Server, objects: Vec<crate::id::ObjectId>) -> Result<Pledged, CannotTravel> {
        let (fd, authkey) = server.far_pledge(objects)?;
        let far = Some((server.info().address.clone(), serde_bytes::ByteBuf::from(authkey)));
        Ok(Pledged { attachment: transfer::attach(fd)?, far })
    }

    /// The server, of which this process becomes a client if it is none.
    pub(crate) fn reach(&self, server: ServerId) -> Result<Arc<Server>, ManagerError> {
        let reached = transfer::with_attachment(self.attachment, |socket| match &self.far {
            None => reach(server, socket),
            Some((address, key)) => reach_far(server, address.clone(), key),
        });
        reached.unwrap_or_else(|| {
            let missing = "no descriptor came with a proxy".to_owned();
            Err(ManagerError::Value(missing))
        })
    }
}

/// A socket to nobody, as one is to a server that has ended.
fn open_nobody() -> Opened {
    let (ours, _closed) = packet::pair().map_err(CannotTravel::Socket)?;
    Ok((ours, 0))
}

/// A socket to this process for a message.
fn open_own() -> Opened {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let service = Host::here().service().ok_or(CannotTravel::NoServer)?;
    let (ours, socket) = packet::pair().map_err(CannotTravel::Socket)?;
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    service.order(Order::Pledge { number, socket });
    Ok((ours, number))
}
