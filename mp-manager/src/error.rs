//! Every public error of the crate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mp_connection::ConnectionError;
use mp_context::ProcessError;
use mp_pool::PoolError;
use mp_queues::QueueError;
use mp_reduction::{DecodeError, EncodeError};
use mp_remote_exception::RemoteException;
use mp_shared_memory::SharedMemoryError;
use mp_sync::{BarrierError, SyncError};

use crate::failure::{Failure, Refusal};

/// Why a server did not start or was not reached, or a call of a proxy has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The method returned an error or panicked, in the server. The object and the server go on.
    #[error(transparent)]
    Exception(RemoteException),
    /// The server is gone: it ended, was shut down or killed, or the connection to its machine was lost. In that last case a
    /// further call may reach it again.
    #[error("server '{server}' (pid {pid}) is gone")]
    Disconnected {
        /// Its name.
        server: String,
        /// Its pid, on its machine.
        pid: u32,
    },
    /// The server and this program do not have the same key.
    #[error("the server at {address} does not accept the key")]
    Authentication {
        /// Where it listens.
        address: String,
        /// What the two found out about each other.
        #[source]
        source: ConnectionError,
    },
    /// The server was not reached, or cannot listen there.
    #[error("cannot use the address of a server")]
    Connection(#[from] ConnectionError),
    /// The process of the server was not started, or ended before it served.
    #[error("cannot start a server")]
    Start(#[source] ProcessError),
    /// Something was not done in time.
    #[error("{what} took longer than {limit:?}")]
    Timeout {
        /// What.
        what: String,
        /// The time it had.
        limit: Duration,
    },
    /// The server knows no type of this name: it is another program, or another version of this one.
    #[error("server '{server}' has no type '{name}'")]
    UnknownType {
        /// Its name.
        server: String,
        /// What was asked for.
        name: String,
    },
    /// The server has no such object (any more).
    #[error("server '{server}' has no object {object}")]
    UnknownObject {
        /// Its name.
        server: String,
        /// The number of the object.
        object: u64,
    },
    /// The type has no such method in the server, which is another program or another version of this one.
    #[error("type '{type_name}' of server '{server}' has no method '{method}'")]
    UnknownMethod {
        /// Its name.
        server: String,
        /// What the object is.
        type_name: String,
        /// What was called.
        method: String,
    },
    /// Two types of this program are managed under one name.
    #[error("two managed types are called '{name}': {first} and {second}")]
    DuplicateType {
        /// The name.
        name: String,
        /// Where one of them is.
        first: String,
        /// Where the other one is.
        second: String,
    },
    /// This process is a server already.
    #[error("this process is a server already")]
    AlreadyServing,
    /// An object was called from inside a call of it in the same thread, and one of the two has it for itself.
    #[error(
        "an object of type '{type_name}' was called from inside a method of it, where it would wait for itself"
    )]
    Reentrant {
        /// What it is.
        type_name: String,
    },
    /// The arguments cannot be encoded.
    #[error("cannot send the arguments")]
    Encode(#[source] EncodeError),
    /// What the server gave is not what was to come.
    #[error("cannot take the result")]
    Decode(#[source] DecodeError),
    /// The arguments cannot be taken by the server, or its result cannot leave it.
    #[error("server '{server}' cannot {what}")]
    Transfer {
        /// Its name.
        server: String,
        /// What it cannot do, and why.
        what: String,
    },
    /// There is no item at this place of a list or an array.
    #[error("index {index} is out of range for {len} items")]
    Index {
        /// As it was asked for.
        index: i64,
        /// How many there are.
        len: u64,
    },
    /// There is no such key, attribute or item.
    #[error("there is no {key}")]
    Missing {
        /// As text.
        key: String,
    },
    /// What cannot be.
    #[error("{0}")]
    Value(String),
    /// What a queue says.
    #[error(transparent)]
    Queue(QueueError),
    /// What a lock, a semaphore, a condition or an event says.
    #[error(transparent)]
    Sync(SyncError),
    /// What a barrier says.
    #[error(transparent)]
    Barrier(BarrierError),
    /// What a pool says.
    #[error(transparent)]
    Pool(PoolError),
    /// What shared memory says.
    #[error(transparent)]
    Memory(#[from] SharedMemoryError),
    /// The system refused something.
    #[error("cannot {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        #[source]
        source: Arc<io::Error>,
    },
}

impl ManagerError {
    /// For `map_err`: the system refused to do `what`.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| ManagerError::System { what, source: Arc::new(source.into()) }
    }

    /// What a server says in place of a result.
    pub(crate) fn failed(failure: Failure, server: &str) -> ManagerError {
        let server = || server.to_owned();
        match failure {
            Failure::Raised(remote) => ManagerError::Exception(*remote),
            Failure::UnknownMethod { type_name, method } => {
                ManagerError::UnknownMethod { server: server(), type_name, method }
            }
            Failure::UnknownObject { object } => {
                ManagerError::UnknownObject { server: server(), object }
            }
            Failure::UnknownType { name } => ManagerError::UnknownType { server: server(), name },
            Failure::Arguments(text) => ManagerError::Transfer {
                server: server(),
                what: format!("take the arguments: {text}"),
            },
            Failure::Result(text) => ManagerError::Transfer {
                server: server(),
                what: format!("send the result: {text}"),
            },
            Failure::Reentrant { type_name } => ManagerError::Reentrant { type_name },
            Failure::Refused(refusal) => ManagerError::refused(refusal, server),
        }
    }

    fn refused(refusal: Refusal, server: impl FnOnce() -> String) -> ManagerError {
        match refusal {
            Refusal::Index { index, len } => ManagerError::Index { index, len },
            Refusal::Missing { key } => ManagerError::Missing { key },
            Refusal::Value(text) => ManagerError::Value(text),
            Refusal::Full => ManagerError::Queue(QueueError::Full),
            Refusal::Empty => ManagerError::Queue(QueueError::Empty),
            Refusal::TooManyTaskDone => ManagerError::Queue(QueueError::TooManyTaskDone),
            Refusal::NotHeld => ManagerError::Sync(SyncError::NotHeld),
            Refusal::Guarded => ManagerError::Sync(SyncError::Guarded),
            Refusal::NotOwner { owner } => ManagerError::Sync(SyncError::NotOwner { owner }),
            Refusal::BoundExceeded { bound } => {
                ManagerError::Sync(SyncError::BoundExceeded { bound })
            }
            Refusal::BarrierBroken(broken) => {
                ManagerError::Barrier(BarrierError::Broken(broken.into()))
            }
            Refusal::Pool(error) => ManagerError::Pool(error.into_error()),
            Refusal::NoSpace { asked, available } => {
                ManagerError::Memory(SharedMemoryError::NoSpace { asked, available })
            }
            Refusal::InvalidSize { size } => {
                ManagerError::Memory(SharedMemoryError::InvalidSize { size })
            }
            Refusal::System(text) => ManagerError::Transfer { server: server(), what: text },
        }
    }

    fn as_exception(&self) -> Option<&RemoteException> {
        match self {
            ManagerError::Exception(remote)
            | ManagerError::Pool(PoolError::Exception(remote) | PoolError::Initializer(remote)) => {
                Some(remote)
            }
            _ => None,
        }
    }
}

mp_remote_exception::carrier!(|error| error.downcast_ref::<ManagerError>()?.as_exception());
