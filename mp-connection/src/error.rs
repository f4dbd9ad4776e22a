//! Every public error of the crate.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use mp_reduction::{DecodeError, EncodeError};

use crate::address::Address;

/// Why a message was not sent or received, or a connection not made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Everything that was sent has been received, and nobody can send any more.
    #[error("end of file: the other side is closed")]
    EndOfFile,
    /// The other side died or was closed in the middle of a message. What follows is the end of the file.
    #[error("the other side is gone in the middle of a message, after {got} of {len} bytes")]
    Truncated {
        /// How much of the message arrived, its header included.
        got: u64,
        /// How long it is, its header included.
        len: u64,
    },
    /// Nobody can receive at the other side any more. Part of the message may have been received.
    #[error("broken pipe: nobody receives at the other side")]
    BrokenPipe,
    /// It was closed here.
    #[error("it is closed")]
    Closed,
    /// This end does not receive.
    #[error("this end of the connection is not readable")]
    NotReadable,
    /// This end does not send.
    #[error("this end of the connection is not writable")]
    NotWritable,
    /// The message is longer than allowed. It was left where it is, so nothing more can be received here.
    #[error("bad message length: {len} bytes, at most {max} are allowed")]
    MessageTooLong {
        /// The length of the message.
        len: u64,
        /// What was allowed.
        max: u64,
    },
    /// The message is longer than the room for it. It is in here.
    #[error("a message of {} bytes does not fit into {room} bytes", message.len())]
    BufferTooShort {
        /// The whole message.
        message: Vec<u8>,
        /// The room that there was.
        room: usize,
    },
    /// A range that does not lie in the buffer. Nothing was sent or received.
    #[error("{len} bytes at {offset} do not lie in a buffer of {size} bytes")]
    InvalidRange {
        /// Where the range starts.
        offset: usize,
        /// How long it is.
        len: usize,
        /// How long the buffer is.
        size: usize,
    },
    /// The value cannot be encoded. Nothing was sent.
    #[error("failed to send a value")]
    Encode(#[from] EncodeError),
    /// The message is no such value. It was taken, and the next one can be received.
    #[error("failed to receive a value")]
    Decode(#[from] DecodeError),
    /// What arrives is no message. Nothing more can be received here.
    #[error("no message starts with the bytes {header:02x?}")]
    Protocol {
        /// What was found where a message has to start.
        header: [u8; 16],
    },
    /// There is no memory for the message. It was left where it is, so nothing more can be received here.
    #[error("no memory for a message of {len} bytes")]
    NoMemory {
        /// The length that the message says it has.
        len: u64,
    },
    /// Descriptors in a message were lost on the way. The message was taken, and the next one can be received.
    #[error(
        "a message came with {expected} descriptors but only {arrived} arrived; is the limit of open files reached?"
    )]
    DescriptorsLost {
        /// How many were sent.
        expected: usize,
        /// How many the process could take.
        arrived: usize,
    },
    /// The value holds handles or descriptors, which a network connection cannot carry. Nothing was sent.
    #[error("a network connection cannot carry a value with {count} descriptors")]
    DescriptorsUnsupported {
        /// How many it holds.
        count: usize,
    },
    /// The other side could not show that it knows the key, or did not accept this one.
    ///
    /// For a listener this concerns one client: it serves the next one.
    #[error("authentication failed")]
    Authentication {
        /// What went wrong.
        #[from]
        source: AuthenticationFailure,
    },
    /// An address that cannot be one here.
    #[error("'{address}' is no address: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// Why it is none.
        reason: &'static str,
    },
    /// The system did not give the address to a listener: it is in use, say.
    #[error("cannot listen at {address}")]
    Bind {
        /// The address.
        address: Address,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Nobody could be reached at the address.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: Address,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A descriptor that is no connected stream socket.
    #[error("a descriptor cannot be a connection: {reason}")]
    NotASocket {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// One of the objects that were to be waited for cannot be.
    #[error("cannot wait for object {index}")]
    Wait {
        /// Its position.
        index: usize,
        /// Why not.
        source: Box<ConnectionError>,
    },
    /// Nothing was to be waited for, without a time limit: that would never end.
    #[error("there is nothing to wait for, and no time limit")]
    Nothing,
    /// The system refused a call.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

/// What went wrong when two sides were to show each other that they know a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationFailure {
    /// The two sides have different keys.
    #[error("the keys differ")]
    WrongKey,
    /// This side has a key and the other has none.
    #[error("the other side has no key")]
    NoKeyThere,
    /// The other side has a key and this one has none.
    #[error("the other side asks for a key")]
    NoKeyHere,
    /// The other side said something that does not belong there.
    #[error("the other side does not speak as it should")]
    Malformed,
    /// The other side left before it was done.
    #[error("the other side left")]
    Left,
    /// An empty key is no secret; both sides refuse to use one.
    #[error("the key is empty")]
    EmptyKey,
}

impl ConnectionError {
    /// For `map_err`: the system refused to do `what`.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| ConnectionError::Io { what, source: Arc::new(source.into()) }
    }

    /// What kind of refusal of the system this is, if it is one: `NotFound` or `ConnectionRefused` where
    /// nobody listens, `AddrInUse`, `TimedOut` and so on.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            ConnectionError::Bind { source, .. }
            | ConnectionError::Connect { source, .. }
            | ConnectionError::Io { source, .. } => Some(source.kind()),
            ConnectionError::Wait { source, .. } => source.io_kind(),
            _ => None,
        }
    }
}

/// For addresses whose conversion cannot fail.
impl From<Infallible> for ConnectionError {
    fn from(never: Infallible) -> ConnectionError {
        match never {}
    }
}
