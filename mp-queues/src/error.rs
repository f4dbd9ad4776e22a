//! Every public error of the crate.

use std::io;
use std::sync::Arc;

use mp_reduction::{DecodeError, EncodeError};
use mp_shared_memory::SharedMemoryError;

/// Why an item was not put, or none was got.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// There was no room for the item, until the deadline if there was one, or another process was in the midst of a `put` for
    /// longer than the call waits for that. The queue is as it was.
    #[error("the queue is full")]
    Full,
    /// There was no item, until the deadline if there was one, or another process was in the midst of a `get` for longer than
    /// the call waits for that.
    #[error("the queue is empty")]
    Empty,
    /// This handle was closed in this process.
    #[error("the queue is closed in this process")]
    Closed,
    /// The item is longer than the queue may ever be.
    #[error("an item of {size} bytes is too large for a queue of at most {max} bytes")]
    TooLarge {
        /// Bytes that the item takes in the queue.
        size: u64,
        /// Bytes that the queue may have.
        max: u64,
    },
    /// The system has no room for the item. The queue is as it was.
    #[error("no space for {asked} bytes of shared memory, {available} available")]
    NoSpace {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that the system could give at that moment.
        available: u64,
    },
    /// The item cannot be encoded. The queue is as it was.
    #[error("cannot put an item")]
    Encode(#[source] EncodeError),
    /// An item was taken off that is not what was to be got; the next one is not concerned.
    #[error("cannot get an item")]
    Decode(#[source] DecodeError),
    /// What stands in the shared memory is no queue: a foreign program has written there. Everything that was in
    /// the queue is lost, and taken off.
    #[error("the queue is damaged: its memory was overwritten")]
    Damaged,
    /// Some of several items were put, and then there was an error.
    #[error("only {put} items were put")]
    Partial {
        /// How many; they are the first ones.
        put: usize,
        /// What became of the next.
        #[source]
        source: Box<QueueError>,
    },
    /// The `Deserialize` of an item gets from the queue that the item is just coming from.
    #[error("cannot get from a queue while an item of it is being decoded in this thread")]
    Reentrant,
    /// More tasks were reported as done than items were put.
    #[error("task_done was called more often than items were put")]
    TooManyTaskDone,
    /// A number of items that no queue can have as its limit.
    #[error("a queue cannot be limited to {maxsize} items, at most to {}", i32::MAX)]
    InvalidMaxsize {
        /// The number.
        maxsize: u64,
    },
    /// The shared memory of the queue cannot be made, found or reached.
    #[error("cannot use the shared memory of a queue")]
    Memory(#[source] SharedMemoryError),
    /// The system refused a call.
    #[error("cannot wait for a queue")]
    System(#[source] Arc<io::Error>),
}

impl From<SharedMemoryError> for QueueError {
    fn from(error: SharedMemoryError) -> QueueError {
        match error {
            SharedMemoryError::NoSpace { asked, available } => {
                QueueError::NoSpace { asked, available }
            }
            error => QueueError::Memory(error),
        }
    }
}

/// Why a call on a chain ended without what it was for.
#[derive(Debug)]
pub(crate) enum Stop {
    Full,
    Empty,
    /// The caller of a wait gave up.
    GaveUp,
    /// No chain of that kind can hold it.
    TooLong,
    /// What stands in shared memory is no chain.
    Damaged,
    /// This process has no memory for a message.
    NoMemory {
        len: u64,
    },
    Memory(SharedMemoryError),
    System(io::Error),
}

impl From<SharedMemoryError> for Stop {
    fn from(error: SharedMemoryError) -> Stop {
        match error {
            // A number in shared memory led out of it.
            SharedMemoryError::OutOfBounds { .. } => Stop::Damaged,
            error => Stop::Memory(error),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::System(error)
    }
}
