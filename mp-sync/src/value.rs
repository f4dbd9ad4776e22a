//! [`Value`]: a plain value in shared memory, with its lock.

use std::fmt::{self, Debug};
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use mp_shared_memory::{Guarded, Peer, SharedMemoryError};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::any_lock::{AnyGuard, AnyLock};
use crate::error::SyncError;
use crate::rlock::RLock;
use crate::sys::borrow::{self, Borrowed};

/// A plain value that processes share, with a lock of its own.
///
/// Each call takes the lock; to read and then write take it once, with [`lock`](Value::lock) or
/// [`update`](Value::update). The type is any plain data: numbers, arrays of them, structures that derive
/// [`bytemuck::Pod`].
///
/// # When a process dies
///
/// If the holder of the lock was killed, the next one takes it over, and the guard of [`lock`](Value::lock) says
/// so: the value may be half written then. The other calls have no guard to say it; there the warning in the log
/// is all. A value of up to eight bytes is written whole or not at all by [`set`](Value::set).
///
/// # Differences from Python
///
/// The value is typed, so nothing wraps around silently; what Python leaves to `RawValue` and a lock that is
/// `None` is [`RawValue`](mp_shared_memory::RawValue) here.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let counter = mp::Value::new(0_i64)?;
/// counter.update(|n| *n += 1)?;
/// *counter.lock()? += 1;
/// assert_eq!(counter.get()?, 2);
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Value")]
#[derive(Serialize)]
#[serde(bound(serialize = ""))]
pub struct Value<T> {
    value: Guarded<T>,
    lock: AnyLock,
}

/// Holds the lock of a [`Value`], and gives access to it, until it is dropped.
#[must_use = "dropping it releases the lock at once"]
pub struct ValueGuard<'a, T: Pod> {
    // In this order: the borrow ends before the lock is released.
    value: Borrowed<'a, T>,
    guard: AnyGuard<'a>,
}

impl<T: Pod> Value<T> {
    /// A new value with a re-entrant lock of its own.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn new(value: T) -> Result<Value<T>, SyncError> {
        Value::with_lock(value, RLock::new()?)
    }

    /// A new value under a lock that exists, a [`Lock`](crate::Lock) or an [`RLock`]; several values may
    /// share one.
    ///
    /// # Errors
    ///
    /// As [`new`](Value::new).
    #[track_caller]
    pub fn with_lock(value: T, lock: impl Into<AnyLock>) -> Result<Value<T>, SyncError> {
        let lock = lock.into();
        Ok(Value { value: Guarded::new(&[value], lock.id())?, lock })
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// [`SyncError::AlreadyBorrowed`] while this thread has a guard of it; as [`RLock::acquire`].
    pub fn get(&self) -> Result<T, SyncError> {
        let _held = self.enter()?;
        Ok(self.load())
    }

    fn load(&self) -> T {
        self.value.get(0).unwrap_or_else(T::zeroed)
    }

    /// Stores a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Value::get).
    pub fn set(&self, value: T) -> Result<(), SyncError> {
        let _held = self.enter()?;
        self.value.set(0, value);
        Ok(())
    }

    /// Changes the value under the lock, and gives what `change` gives.
    ///
    /// # Errors
    ///
    /// As [`get`](Value::get).
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R, SyncError> {
        Ok(change(&mut *self.lock()?))
    }

    /// Takes the lock and gives access to the value.
    ///
    /// # Errors
    ///
    /// As [`get`](Value::get).
    pub fn lock(&self) -> Result<ValueGuard<'_, T>, SyncError> {
        let guard = self.enter()?;
        let value = borrow::borrow(&self.value).ok_or(SyncError::AlreadyBorrowed)?;
        Ok(ValueGuard { value, guard })
    }

    fn enter(&self) -> Result<AnyGuard<'_>, SyncError> {
        if borrow::is_borrowed(self.value.id()) {
            return Err(SyncError::AlreadyBorrowed);
        }
        self.lock.acquire()
    }

    /// The lock.
    pub fn get_lock(&self) -> &AnyLock {
        &self.lock
    }

    /// See [`Lock::token`](crate::Lock::token).
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when the session cannot be reached.
    pub fn token(&self) -> Result<String, SyncError> {
        Ok(format!("{}+{}", self.value.token()?, self.lock.token()?))
    }

    /// See [`Lock::from_token`](crate::Lock::from_token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<Value<T>, SyncError> {
        let (value, lock) = token
            .split_once('+')
            .ok_or(SharedMemoryError::Foreign { reason: "it is no token of a value" })?;
        Ok(Value::of(Guarded::from_token(value)?, AnyLock::from_token(lock)?)?)
    }

    /// Puts the parts of a handle together, if they belong together.
    fn of(value: Guarded<T>, lock: AnyLock) -> Result<Value<T>, SharedMemoryError> {
        lock.check_owns(&value)?;
        if value.len() != 1 {
            return Err(SharedMemoryError::Foreign { reason: "it is not one value" });
        }
        Ok(Value { value, lock })
    }
}

impl<'de, T: Pod> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value<T>, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Value", bound(deserialize = "T: Pod"))]
        struct Parts<T> {
            value: Guarded<T>,
            lock: AnyLock,
        }
        let Parts { value, lock } = Parts::deserialize(deserializer)?;
        Value::of(value, lock).map_err(D::Error::custom)
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Value<T> {
        Value { value: self.value.clone(), lock: self.lock.clone() }
    }
}

/// Shows the value, unless somebody has the lock, and the lock.
impl<T: Pod + Debug> Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lock.try_acquire_free() {
            Some(held) => {
                let value = self.load();
                drop(held);
                write!(f, "<Value({value:?}, {:?})>", self.lock)
            }
            None => write!(f, "<Value(locked, {:?})>", self.lock),
        }
    }
}

impl<T: Pod> ValueGuard<'_, T> {
    /// The process that died while it held the lock, if this guard is the one that took it over: the
    /// value may be half written.
    pub fn owner_died(&self) -> Option<&Peer> {
        self.guard.owner_died()
    }
}

impl<T: Pod> Deref for ValueGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value[0]
    }
}

impl<T: Pod> DerefMut for ValueGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value[0]
    }
}

impl<T: Pod + Debug> Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueGuard").field(&**self).finish()
    }
}
