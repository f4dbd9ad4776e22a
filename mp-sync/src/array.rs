//! [`Array`]: plain values in shared memory, with one lock.

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

/// A fixed number of plain values that processes share, with one lock for all.
///
/// Each call takes the lock; to do more under it, take it once with [`lock`](Array::lock), whose guard
/// is a slice.
///
/// # When a process dies
///
/// As for [`Value`](crate::Value): the guard that took the lock over says so, and the elements that
/// were being written may be half written.
///
/// # Differences from Python
///
/// Indices are not negative; slices are those of the guard.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let array = mp::Array::new(&[1.0, 2.0, 3.0])?;
/// array.set(0, 10.0)?;
/// array.lock()?[1..].fill(0.5);
/// assert_eq!(array.to_vec()?, [10.0, 0.5, 0.5]);
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Array")]
#[derive(Serialize)]
#[serde(bound(serialize = ""))]
pub struct Array<T> {
    elements: Guarded<T>,
    lock: AnyLock,
}

/// Holds the lock of an [`Array`], and gives access to it as a slice, until it is dropped.
#[must_use = "dropping it releases the lock at once"]
pub struct ArrayGuard<'a, T: Pod> {
    // In this order: the borrow ends before the lock is released.
    elements: Borrowed<'a, T>,
    guard: AnyGuard<'a>,
}

impl<T: Pod> Array<T> {
    /// A new array with these elements, and a re-entrant lock of its own.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when there is no memory for it, with what was asked for and what there is.
    #[track_caller]
    pub fn new(elements: &[T]) -> Result<Array<T>, SyncError> {
        Array::with_lock(elements, RLock::new()?)
    }

    /// A new array of `len` elements, all of whose bytes are zero.
    ///
    /// # Errors
    ///
    /// As [`new`](Array::new).
    #[track_caller]
    pub fn zeroed(len: usize) -> Result<Array<T>, SyncError> {
        Array::zeroed_with_lock(len, RLock::new()?)
    }

    /// A new array under a lock that exists; several arrays and values may share one.
    ///
    /// # Errors
    ///
    /// As [`new`](Array::new).
    #[track_caller]
    pub fn with_lock(elements: &[T], lock: impl Into<AnyLock>) -> Result<Array<T>, SyncError> {
        let lock = lock.into();
        Ok(Array { elements: Guarded::new(elements, lock.id())?, lock })
    }

    /// [`zeroed`](Array::zeroed) under a lock that exists.
    ///
    /// # Errors
    ///
    /// As [`new`](Array::new).
    #[track_caller]
    pub fn zeroed_with_lock(len: usize, lock: impl Into<AnyLock>) -> Result<Array<T>, SyncError> {
        let lock = lock.into();
        Ok(Array { elements: Guarded::zeroed(len, lock.id())?, lock })
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// An element.
    ///
    /// # Errors
    ///
    /// [`SyncError::Index`]; [`SyncError::AlreadyBorrowed`] while this thread has a guard of the array;
    /// as [`RLock::acquire`].
    pub fn get(&self, index: usize) -> Result<T, SyncError> {
        let _held = self.enter()?;
        self.elements.get(index).ok_or_else(|| self.out_of_range(index))
    }

    /// Stores an element.
    ///
    /// # Errors
    ///
    /// As [`get`](Array::get).
    pub fn set(&self, index: usize, value: T) -> Result<(), SyncError> {
        let _held = self.enter()?;
        self.elements.set(index, value).ok_or_else(|| self.out_of_range(index))
    }

    fn out_of_range(&self, index: usize) -> SyncError {
        SyncError::Index { index, len: self.len() }
    }

    /// A copy of all elements.
    ///
    /// # Errors
    ///
    /// As [`get`](Array::get).
    pub fn to_vec(&self) -> Result<Vec<T>, SyncError> {
        let _held = self.enter()?;
        Ok(self.elements.to_vec())
    }

    /// Takes the lock and gives access to the elements.
    ///
    /// # Errors
    ///
    /// As [`get`](Array::get).
    pub fn lock(&self) -> Result<ArrayGuard<'_, T>, SyncError> {
        let guard = self.enter()?;
        let elements = borrow::borrow(&self.elements);
        Ok(ArrayGuard { elements: elements.ok_or(SyncError::AlreadyBorrowed)?, guard })
    }

    fn enter(&self) -> Result<AnyGuard<'_>, SyncError> {
        if borrow::is_borrowed(self.elements.id()) {
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
        Ok(format!("{}+{}", self.elements.token()?, self.lock.token()?))
    }

    /// See [`Lock::from_token`](crate::Lock::from_token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<Array<T>, SyncError> {
        let (elements, lock) = token
            .split_once('+')
            .ok_or(SharedMemoryError::Foreign { reason: "it is no token of an array" })?;
        let (elements, lock) = (Guarded::from_token(elements)?, AnyLock::from_token(lock)?);
        lock.check_owns(&elements)?;
        Ok(Array { elements, lock })
    }
}

impl<'de, T: Pod> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Array<T>, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Array", bound(deserialize = "T: Pod"))]
        struct Parts<T> {
            elements: Guarded<T>,
            lock: AnyLock,
        }
        let Parts { elements, lock } = Parts::deserialize(deserializer)?;
        lock.check_owns(&elements).map_err(D::Error::custom)?;
        Ok(Array { elements, lock })
    }
}

impl<T> Clone for Array<T> {
    fn clone(&self) -> Array<T> {
        Array { elements: self.elements.clone(), lock: self.lock.clone() }
    }
}

/// Shows the number of elements and the lock.
impl<T: Pod> Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Array(len={}, {:?})>", self.len(), self.lock)
    }
}

impl<T: Pod> ArrayGuard<'_, T> {
    /// The process that died while it held the lock, if this guard is the one that took it over: some
    /// elements may be half written.
    pub fn owner_died(&self) -> Option<&Peer> {
        self.guard.owner_died()
    }
}

impl<T: Pod> Deref for ArrayGuard<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<T: Pod> DerefMut for ArrayGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }
}

impl<T: Pod + Debug> Debug for ArrayGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArrayGuard").field(&&**self).finish()
    }
}
