//! [`Failure`]: why a call has no result, as it crosses.
//!
//! What the caller makes of it is decided by [`ManagerError::failed`](crate::ManagerError::failed).

use mp_pool::parts::PoolErrorWire;
use mp_remote_exception::{Error, Origin, RemoteException};
use mp_sync::Broken;
use serde::{Deserialize, Serialize};

/// Why a call has no result. This is what crosses; the caller gets a [`ManagerError`](crate::ManagerError).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// The method returned an error, or panicked.
    Raised(Box<RemoteException>),
    /// The object has no such method.
    UnknownMethod {
        /// What the object is.
        type_name: String,
        /// What was asked for.
        method: String,
    },
    /// There is no such object.
    UnknownObject {
        /// Its number.
        object: u64,
    },
    /// The server has no such type.
    UnknownType {
        /// Its name.
        name: String,
    },
    /// The arguments cannot be decoded there.
    Arguments(String),
    /// The result cannot be encoded there.
    Result(String),
    /// An object of this library says no.
    Refused(Refusal),
    /// The call of an object from inside a call of it, one of which is exclusive.
    Reentrant {
        /// What the object is.
        type_name: String,
    },
}

/// Why an object of this library says no.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no item at this place.
    Index {
        /// As it was asked for.
        index: i64,
        /// How many there are.
        len: u64,
    },
    /// There is no such key, attribute or item.
    Missing {
        /// As text.
        key: String,
    },
    /// A value that cannot be.
    Value(String),
    /// A queue has no room.
    Full,
    /// A queue has no item.
    Empty,
    /// More tasks are done than there were.
    TooManyTaskDone,
    /// Nobody holds the lock.
    NotHeld,
    /// A guard of somebody holds the lock.
    Guarded,
    /// Another thread holds the lock.
    NotOwner {
        /// Which.
        owner: String,
    },
    /// The semaphore is at its bound.
    BoundExceeded {
        /// The highest value.
        bound: u32,
    },
    /// The barrier is broken.
    BarrierBroken(BarrierBreak),
    /// What a pool says.
    Pool(Box<PoolErrorWire>),
    /// There is no memory.
    NoSpace {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that the system could give.
        available: u64,
    },
    /// No memory has that size.
    InvalidSize {
        /// The size.
        size: u64,
    },
    /// The system says no.
    System(String),
}

/// What broke a barrier, as it crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarrierBreak {
    /// Somebody aborted it.
    Aborted,
    /// A party did not wait longer.
    TimedOut,
    /// Somebody reset it.
    Reset,
    /// A process that takes part is gone.
    PartyGone,
}

impl From<BarrierBreak> for Broken {
    fn from(broken: BarrierBreak) -> Broken {
        match broken {
            BarrierBreak::Aborted => Broken::Aborted,
            BarrierBreak::TimedOut => Broken::TimedOut { limit: None },
            BarrierBreak::Reset => Broken::Reset,
            BarrierBreak::PartyGone => Broken::PartyDied { process: None },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl Failure {
    /// The error of a method.
    pub fn raised(error: impl Into<Error>) -> Failure {
        let error = error.into();
        Failure::Raised(Box::new(RemoteException::from_raised(&error, Origin::current())))
    }
}
