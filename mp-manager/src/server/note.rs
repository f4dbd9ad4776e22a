//! What processes tell a server beside calls, and what it tells them.

use mp_connection::Address;
use mp_reduction::DupFd;
use serde::{Deserialize, Serialize};

use crate::id::{ClientId, ObjectId, ServerId};
use crate::line::SharedLine;

/// What a client tells the server, over a socket of its own or one that came with a proxy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Note {
    /// Who holds the other end of this socket becomes a client.
    Adopt { socket: DupFd, pid: u32 },
    /// A thread of the client calls over this line.
    Open { line: Box<SharedLine>, thread: u64 },
    /// The client gives objects back that it was given so often, each.
    Release(Vec<(ObjectId, u64)>),
    /// What is promised under this number lives while the other end of this socket is open somewhere.
    Pledge { number: u64, socket: DupFd },
    /// An object that the client holds lives as long as a pledge.
    Promise { number: u64, object: ObjectId },
}

/// What a server tells a client beside its replies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// What came with a note was lost: the server can open no more files. If that was a line, nobody serves it.
    Unheard,
}

/// What a server says to a pledge that it keeps. Without this, none is kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pledge;

/// What a server tells a client that it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) server: ServerInfo,
    pub(crate) client: ClientId,
}

/// What everybody may know of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerInfo {
    pub(crate) id: ServerId,
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) address: Address,
}

/// The first thing that is said on a connection that a server has accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Opening {
    /// From this machine: all else is said over this socket.
    Adopt { socket: DupFd, pid: u32 },
    /// From another machine: this connection is what the life of the client is known by.
    Control { pid: u32 },
    /// A thread of a client calls over this connection.
    Open { client: Membership, thread: u64 },
    /// Objects of a client live while this connection is open.
    Pledge { client: Membership, objects: Vec<ObjectId> },
}

/// A client, as it proves to be one on further connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) client: ClientId,
    /// Random; known to the client alone.
    pub(crate) secret: u64,
}

/// What a server says to an [`Opening`] from another machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Opened {
    /// To `Control`.
    Client { welcome: Welcome, secret: u64 },
    /// To the others.
    Done,
    /// There is no such client any more, or no such object.
    Refused,
}

/// What a client from another machine says on the connection of its life.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) object: ObjectId,
    pub(crate) count: u64,
}
