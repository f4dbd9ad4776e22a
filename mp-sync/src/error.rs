//! Every public error of the crate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mp_remote_exception::RemoteException;
use mp_shared_memory::{Peer, SharedMemoryError};

/// Why a synchronisation object was not made, or a call to one was refused. A refused call has changed
/// nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The memory of the object was not to be had or not found.
    #[error(transparent)]
    Memory(#[from] SharedMemoryError),
    /// A release of a lock that nobody holds.
    #[error("the lock is not held")]
    NotHeld,
    /// A release of a lock that its holder's guard will release.
    #[error(
        "the lock is held through a guard, which releases it; only a leaked guard leaves that to others"
    )]
    Guarded,
    /// The calling thread does not hold the lock.
    #[error("the lock is not held by this thread: its owner is {owner}")]
    NotOwner {
        /// Who holds it.
        owner: String,
    },
    /// A release beyond the bound of a semaphore.
    #[error("semaphore released too many times: its value cannot exceed {bound}")]
    BoundExceeded {
        /// The highest value.
        bound: u32,
    },
    /// A value that no semaphore can start with.
    #[error("a semaphore cannot start with the value {value}, the highest is {max}")]
    InvalidValue {
        /// The value.
        value: u32,
        /// The highest value.
        max: u32,
    },
    /// A number of parties that no barrier can have.
    #[error("a barrier cannot have {parties} parties, only 1 to {max}")]
    InvalidParties {
        /// The number.
        parties: usize,
        /// The highest number.
        max: usize,
    },
    /// So many threads wait on a condition that it has no room for another.
    #[error("{max} threads wait on the condition already")]
    TooManyWaiters {
        /// The highest number.
        max: usize,
    },
    /// So many processes hold permits that there is no room to note another.
    #[error("{max} processes hold permits of the semaphore already")]
    TooManyHolders {
        /// The highest number.
        max: usize,
    },
    /// This thread has a guard of the same value or array.
    #[error("this thread has borrowed the value already, through a guard or in `update`")]
    AlreadyBorrowed,
    /// An index outside of an array.
    #[error("index {index} is out of range for an array of {len} elements")]
    Index {
        /// The index.
        index: usize,
        /// The length of the array.
        len: usize,
    },
    /// The action of a barrier is a function of another program or another build of this one.
    #[error(
        "the action of the barrier belongs to another program, or to another build of this one"
    )]
    ForeignAction,
    /// The system refused to let the caller sleep.
    #[error("cannot sleep on shared memory")]
    System {
        /// What it said.
        source: Arc<io::Error>,
    },
}

impl From<io::Error> for SyncError {
    fn from(source: io::Error) -> SyncError {
        SyncError::System { source: Arc::new(source) }
    }
}

/// Why a wait at a barrier did not pass.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// The barrier is broken; a reset makes it whole.
    #[error("the barrier is broken: {0}")]
    Broken(Broken),
    /// The action that this party was to run failed, which broke the barrier.
    #[error("the action of the barrier failed")]
    Action(#[source] RemoteException),
    /// The call was refused.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// What broke a barrier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// Somebody aborted it.
    #[error("it was aborted")]
    Aborted,
    /// A party did not wait longer.
    #[error("not all parties came in time{}", .limit.map(|limit| format!(" ({limit:?})")).unwrap_or_default())]
    TimedOut {
        /// The time that this party had, if it was the one.
        limit: Option<Duration>,
    },
    /// The action failed in the party that ran it.
    #[error("its action failed in another party")]
    ActionFailed,
    /// Somebody reset it in the middle of a round.
    #[error("it was reset while parties waited")]
    Reset,
    /// A process that takes part was killed.
    #[error("{} was killed", .process.as_ref().map_or("a process that takes part".to_owned(), ToString::to_string))]
    PartyDied {
        /// Which, if it is still known.
        process: Option<Peer>,
    },
}
