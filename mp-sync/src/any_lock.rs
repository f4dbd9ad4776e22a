//! [`AnyLock`]: a lock of either kind, as a condition, a value or an array has one.

use std::fmt::{self, Debug};
use std::time::Duration;

use bytemuck::Pod;
use mp_shared_memory::{Guarded, ObjectId, Peer, SharedMemoryError};
use serde::{Deserialize, Serialize};

use crate::error::SyncError;
use crate::lock::{Lock, LockGuard};
use crate::rlock::{RLock, RLockGuard};
use crate::state::rlock::Depth;

/// A [`Lock`] or an [`RLock`].
#[derive(Clone, Serialize, Deserialize)]
pub enum AnyLock {
    /// Not re-entrant.
    Lock(Lock),
    /// Re-entrant.
    RLock(RLock),
}

/// Holds an [`AnyLock`] until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it releases the lock at once"]
pub enum AnyGuard<'a> {
    /// Of a lock that is not re-entrant.
    Lock(LockGuard<'a>),
    /// Of one that is.
    RLock(RLockGuard<'a>),
}

/// Shows the lock.
impl Debug for AnyLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyLock::Lock(lock) => lock.fmt(f),
            AnyLock::RLock(lock) => lock.fmt(f),
        }
    }
}

impl From<Lock> for AnyLock {
    fn from(lock: Lock) -> AnyLock {
        AnyLock::Lock(lock)
    }
}

impl From<RLock> for AnyLock {
    fn from(lock: RLock) -> AnyLock {
        AnyLock::RLock(lock)
    }
}

impl From<&Lock> for AnyLock {
    fn from(lock: &Lock) -> AnyLock {
        AnyLock::Lock(lock.clone())
    }
}

impl From<&RLock> for AnyLock {
    fn from(lock: &RLock) -> AnyLock {
        AnyLock::RLock(lock.clone())
    }
}

impl AnyLock {
    /// Takes the lock, sleeping until it is free.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep.
    pub fn acquire(&self) -> Result<AnyGuard<'_>, SyncError> {
        match self {
            AnyLock::Lock(lock) => lock.acquire().map(AnyGuard::Lock),
            AnyLock::RLock(lock) => lock.acquire().map(AnyGuard::RLock),
        }
    }

    /// Takes the lock if it is free; never sleeps.
    ///
    /// # Errors
    ///
    /// As [`acquire`](AnyLock::acquire).
    pub fn try_acquire(&self) -> Result<Option<AnyGuard<'_>>, SyncError> {
        Ok(match self {
            AnyLock::Lock(lock) => lock.try_acquire()?.map(AnyGuard::Lock),
            AnyLock::RLock(lock) => lock.try_acquire()?.map(AnyGuard::RLock),
        })
    }

    /// Takes the lock, sleeping no longer than `timeout`; `None` if it was not free by then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](AnyLock::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<AnyGuard<'_>>, SyncError> {
        Ok(match self {
            AnyLock::Lock(lock) => lock.acquire_timeout(timeout)?.map(AnyGuard::Lock),
            AnyLock::RLock(lock) => lock.acquire_timeout(timeout)?.map(AnyGuard::RLock),
        })
    }

    /// Whether both are handles to the same lock.
    pub fn is_same(&self, other: &AnyLock) -> bool {
        match (self, other) {
            (AnyLock::Lock(a), AnyLock::Lock(b)) => a.is_same(b),
            (AnyLock::RLock(a), AnyLock::RLock(b)) => a.is_same(b),
            _ => false,
        }
    }

    /// What tells it from all other objects.
    pub(crate) fn id(&self) -> ObjectId {
        match self {
            AnyLock::Lock(lock) => lock.id(),
            AnyLock::RLock(lock) => lock.id(),
        }
    }

    /// An error unless the values belong to this lock.
    pub(crate) fn check_owns<T: Pod>(&self, values: &Guarded<T>) -> Result<(), SharedMemoryError> {
        let reason = "its values belong to another lock";
        let is_theirs = values.lock() == self.id();
        is_theirs.then_some(()).ok_or(SharedMemoryError::Foreign { reason })
    }

    pub(crate) fn token(&self) -> Result<String, SyncError> {
        match self {
            AnyLock::Lock(lock) => lock.token(),
            AnyLock::RLock(lock) => lock.token(),
        }
    }

    pub(crate) fn from_token(token: &str) -> Result<AnyLock, SyncError> {
        match Lock::from_token(token) {
            Ok(lock) => Ok(AnyLock::Lock(lock)),
            // A token says of which kind its object is.
            Err(SyncError::Memory(SharedMemoryError::Foreign { .. })) => {
                RLock::from_token(token).map(AnyLock::RLock)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a dead process holds it.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            AnyLock::Lock(lock) => lock.is_abandoned(),
            AnyLock::RLock(lock) => lock.is_abandoned(),
        }
    }

    /// Whether this thread, which holds it, will still do so after one release.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(self, AnyLock::RLock(lock) if lock.depth() > 1)
    }

    /// Takes it for a look around, if nobody has it, not even the dead.
    pub(crate) fn try_acquire_free(&self) -> Option<AnyGuard<'_>> {
        match self {
            AnyLock::Lock(lock) => lock.try_acquire_free().map(AnyGuard::Lock),
            AnyLock::RLock(lock) => lock.try_acquire_free().map(AnyGuard::RLock),
        }
    }

    /// An error unless the caller may wait or notify: the thread, or for a plain lock the process,
    /// holds it.
    pub(crate) fn check_mine(&self) -> Result<(), SyncError> {
        match self {
            AnyLock::Lock(lock) if lock.is_mine() => Ok(()),
            AnyLock::Lock(_) => Err(SyncError::NotHeld),
            AnyLock::RLock(lock) if lock.is_mine() => Ok(()),
            AnyLock::RLock(lock) => Err(lock.not_owner()),
        }
    }

    /// Gives the lock up completely.
    pub(crate) fn release_for_wait(&self) -> Depth {
        match self {
            AnyLock::Lock(lock) => {
                lock.release_for_wait();
                Depth::ONCE
            }
            AnyLock::RLock(lock) => lock.release_for_wait(),
        }
    }

    /// Takes the lock as often as it was held before.
    ///
    /// The guard that is to hold it cannot be told that it does not, so where the system lets nobody sleep this
    /// tries until it has it.
    pub(crate) fn acquire_after_wait(&self, depth: Depth) -> Option<Box<Peer>> {
        loop {
            let taken = match self {
                AnyLock::Lock(lock) => lock.acquire_after_wait(),
                AnyLock::RLock(lock) => lock.acquire_after_wait(depth),
            };
            match taken {
                Ok(died) => return died,
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

impl AnyGuard<'_> {
    /// The process that died while it held the lock, if this guard is the one that took it over.
    pub fn owner_died(&self) -> Option<&Peer> {
        match self {
            AnyGuard::Lock(guard) => guard.owner_died(),
            AnyGuard::RLock(guard) => guard.owner_died(),
        }
    }

    pub(crate) fn set_died(&mut self, died: Option<Box<Peer>>) {
        match self {
            AnyGuard::Lock(guard) => guard.set_died(died),
            AnyGuard::RLock(guard) => guard.set_died(died),
        }
    }
}
