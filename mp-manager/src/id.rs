//! What servers, objects and clients are called among themselves.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// A server, in all processes and at all times: random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ServerId(u64, u64);

impl ServerId {
    pub(crate) fn random() -> std::io::Result<ServerId> {
        Ok(ServerId(random_word()?, random_word()?))
    }

    pub(crate) fn words(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

/// A number that nobody can foresee.
pub(crate) fn random_word() -> std::io::Result<u64> {
    Ok(getrandom::u64()?)
}

/// An object of one server; never used twice there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ObjectId(pub(crate) u64);

impl ObjectId {
    /// The server itself, as far as it can be called.
    pub(crate) const SERVER: ObjectId = ObjectId(0);
}

impl Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A process that holds proxies, as one server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub(crate) u64);

impl ClientId {
    /// The process of the server.
    pub const SERVER: ClientId = ClientId(0);
}

/// Who calls: a thread of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its process.
    pub client: ClientId,
    /// The thread, as its process counts them.
    pub thread: u64,
}

impl Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} of client {}", self.thread, self.client.0)
    }
}
