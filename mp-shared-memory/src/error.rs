//! Every public error of the crate.

use std::io;
use std::sync::Arc;

use mp_reduction::transfer::OutsideTransfer;

/// Why shared memory was not made, found or reached.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedMemoryError {
    /// There is not enough memory. Nothing was taken.
    #[error("no space for {asked} bytes of shared memory, {available} available")]
    NoSpace {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that the system could give at that moment.
        available: u64,
    },
    /// The system refused a call.
    #[error("cannot {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The object behind a token or in a message does not exist any more: its last handle is gone.
    #[error("the shared object is gone: its last handle was dropped")]
    Gone,
    /// A token or a message names something that is not such a shared object.
    #[error("not a handle of a shared object: {reason}")]
    Foreign {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// So many processes use objects of one creator that it can know no more.
    #[error("{max} processes share objects of one process already")]
    TooManyProcesses {
        /// The limit.
        max: usize,
    },
    /// Serialised other than for another process.
    #[error(transparent)]
    OutsideTransfer(#[from] OutsideTransfer),
    /// The process that keeps the session has ended, or does not answer.
    #[error(
        "cannot reach the session that the shared memory belongs to: its root has ended, or does not answer"
    )]
    SessionUnreachable {
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The process that keeps the session has no descriptor left to keep or give what is asked for, or as little
    /// of something else. Nothing was kept.
    #[error(
        "the process at the root of the session cannot keep or give a descriptor; at its limit of open files, \
         raise that (RLIMIT_NOFILE)"
    )]
    SessionExhausted {
        /// What the system said to it.
        source: Arc<io::Error>,
    },
    /// A position outside of the memory.
    #[error("{len} bytes at {offset} do not lie in shared memory of {size} bytes")]
    OutOfBounds {
        /// Where the access starts.
        offset: usize,
        /// How long it is.
        len: usize,
        /// How long the memory is.
        size: usize,
    },
    /// An index outside of an array or list.
    #[error("index {index} is out of range for {len} elements")]
    Index {
        /// The index.
        index: isize,
        /// The number of elements.
        len: usize,
    },
    /// A size that no shared memory can have.
    #[error("shared memory cannot have a size of {size} bytes")]
    InvalidSize {
        /// The size.
        size: u64,
    },
    /// A name that no shared memory can have.
    #[error("'{name}' cannot be a name of shared memory: {reason}")]
    InvalidName {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A name that is in use.
    #[error("shared memory named '{name}' exists")]
    Exists {
        /// The name.
        name: String,
    },
    /// A name that nothing has, or not any more.
    #[error("no shared memory is named '{name}'")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A block without a name was to lose it.
    #[error("anonymous shared memory has no name to unlink")]
    Anonymous,
    /// A value that a slot of a list has no room for; the slot keeps what it had.
    #[error("a slot of {capacity} bytes has no room for {needed} bytes")]
    SlotTooSmall {
        /// Bytes that the value needs.
        needed: usize,
        /// Bytes that the slot has.
        capacity: usize,
    },
    /// A slot or a list whose bytes mean nothing: a process died or is just writing there.
    #[error("slot {index} of a shared list holds no value: {reason}")]
    Torn {
        /// The slot.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value that is not in a list.
    #[error("the value is not in the shared list")]
    NotInList,
}

impl SharedMemoryError {
    /// For `map_err`: the system refused to do `what`.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| SharedMemoryError::System { what, source: Arc::new(source.into()) }
    }

    pub(crate) fn foreign(reason: &'static str) -> SharedMemoryError {
        SharedMemoryError::Foreign { reason }
    }
}
