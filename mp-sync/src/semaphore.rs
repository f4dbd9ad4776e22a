//! [`Semaphore`] and [`BoundedSemaphore`]: a number of permits.

use std::fmt::{self, Debug};
use std::time::{Duration, Instant};

use mp_shared_memory::Object;
use serde::{Deserialize, Serialize};

use crate::deadline::after;
use crate::error::SyncError;
use crate::state::semaphore::{HOLDERS, MAX_VALUE, Refused, SemaphoreState};

impl From<Refused> for SyncError {
    fn from(refused: Refused) -> SyncError {
        match refused {
            Refused::BoundExceeded { bound } => SyncError::BoundExceeded { bound },
            Refused::TooManyHolders => SyncError::TooManyHolders { max: HOLDERS },
            Refused::System(error) => error.into(),
        }
    }
}

#[track_caller]
fn create(value: u32, bound: u32) -> Result<Object<SemaphoreState>, SyncError> {
    if value > MAX_VALUE {
        return Err(SyncError::InvalidValue { value, max: MAX_VALUE });
    }
    let state: Object<SemaphoreState> = Object::create()?;
    state.begin(value, bound);
    Ok(state)
}

/// A permit of a [`Semaphore`] or [`BoundedSemaphore`]; dropping it gives it back.
#[must_use = "dropping it gives the permit back at once"]
pub struct Permit<'a>(&'a Object<SemaphoreState>);

impl Permit<'_> {
    /// Keeps the permit taken without a guard: it comes back by a `release` only, and not by the death of
    /// this process.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep; the permit is given back then.
    pub fn forget(self) -> Result<(), SyncError> {
        self.0.forget(self.0)?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Err(refused) = self.0.release_guard(self.0) {
            let error = SyncError::from(refused);
            log::error!("a permit of a semaphore could not be given back: {error}");
        }
    }
}

/// The methods that both kinds have.
macro_rules! methods {
    ($name:ident) => {
        impl $name {
            /// Takes a permit, sleeping until there is one.
            ///
            /// # Errors
            ///
            /// [`SyncError::TooManyHolders`] when 500 processes hold permits, [`SyncError::System`] when the
            /// system lets nobody sleep.
            pub fn acquire(&self) -> Result<Permit<'_>, SyncError> {
                loop {
                    if let Some(permit) = self.acquire_until(None)? {
                        return Ok(permit);
                    }
                }
            }

            /// Takes a permit, sleeping no longer than `timeout`; `None` if there was none by then.
            ///
            /// # Errors
            ///
            /// As [`acquire`](Self::acquire).
            pub fn acquire_timeout(
                &self,
                timeout: Duration,
            ) -> Result<Option<Permit<'_>>, SyncError> {
                self.acquire_until(after(timeout))
            }

            fn acquire_until(
                &self,
                deadline: Option<Instant>,
            ) -> Result<Option<Permit<'_>>, SyncError> {
                // Not `then_some`: a permit that is made is given back.
                Ok(self.0.acquire(&self.0, deadline)?.then(|| Permit(&self.0)))
            }

            /// Takes a permit if there is one, also one that a dead process held.
            ///
            /// # Errors
            ///
            /// As [`acquire`](Self::acquire).
            #[doc(alias = "acquire(block=False)")]
            pub fn try_acquire(&self) -> Result<Option<Permit<'_>>, SyncError> {
                Ok(self.0.try_acquire(&self.0)?.then(|| Permit(&self.0)))
            }

            /// The number of free permits, at this moment.
            pub fn get_value(&self) -> u32 {
                self.0.value()
            }

            /// Whether both are handles to the same semaphore.
            pub fn is_same(&self, other: &$name) -> bool {
                self.0.is_same(&other.0)
            }

            /// See [`Lock::token`](crate::Lock::token).
            ///
            /// # Errors
            ///
            /// [`SyncError::Memory`] when the session cannot be reached.
            pub fn token(&self) -> Result<String, SyncError> {
                Ok(self.0.token()?)
            }

            /// See [`Lock::from_token`](crate::Lock::from_token).
            ///
            /// # Errors
            ///
            /// As there.
            pub fn from_token(token: &str) -> Result<$name, SyncError> {
                Ok($name(Object::from_token(token)?))
            }
        }

        /// Shows the number of free permits.
        impl Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "<{}(value={})>", stringify!($name), self.get_value())
            }
        }
    };
}

/// A number of permits that processes take and give back.
///
/// A release beyond the number at the start makes permits.
///
/// # When a process dies
///
/// The permits that its [`Permit`]s stand for are given back as soon as somebody wants one;
/// those that it had [forgotten](Permit::forget) stay taken. A waiter that is killed takes nothing with it.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let s = mp::Semaphore::new(2)?;
/// let (first, second) = (s.acquire()?, s.acquire()?);
/// assert!(s.try_acquire()?.is_none());
/// drop(first);
/// second.forget()?;
/// s.release()?;
/// assert_eq!(s.get_value(), 2);
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Semaphore")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Semaphore(Object<SemaphoreState>);

/// A [`Semaphore`] that cannot be released beyond the number at its start.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let s = mp::BoundedSemaphore::new(1)?;
/// s.acquire()?.forget()?;
/// s.release()?;
/// assert!(matches!(s.release(), Err(mp::SyncError::BoundExceeded { bound: 1 })));
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.BoundedSemaphore")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoundedSemaphore(Object<SemaphoreState>);

methods!(Semaphore);
methods!(BoundedSemaphore);

impl Semaphore {
    /// A new semaphore with this number of permits, at most `2^31 - 1`.
    ///
    /// # Errors
    ///
    /// [`SyncError::InvalidValue`] for more, [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn new(value: u32) -> Result<Semaphore, SyncError> {
        Ok(Semaphore(create(value, MAX_VALUE)?))
    }

    /// Adds a permit and wakes one waiter.
    ///
    /// # Errors
    ///
    /// [`SyncError::BoundExceeded`] at `2^31 - 1` permits.
    pub fn release(&self) -> Result<(), SyncError> {
        self.release_many(1)
    }

    /// Adds permits and wakes as many waiters.
    ///
    /// # Errors
    ///
    /// [`SyncError::BoundExceeded`] if there were more than `2^31 - 1` then; none is added.
    pub fn release_many(&self, count: u32) -> Result<(), SyncError> {
        Ok(self.0.release(&self.0, count)?)
    }
}

impl BoundedSemaphore {
    /// A new semaphore with this number of permits, and never more.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::new`].
    #[track_caller]
    pub fn new(value: u32) -> Result<BoundedSemaphore, SyncError> {
        Ok(BoundedSemaphore(create(value, value)?))
    }

    /// Gives a permit back that was taken by [`Permit::forget`], and wakes one waiter.
    ///
    /// # Errors
    ///
    /// [`SyncError::BoundExceeded`] if none is missing.
    pub fn release(&self) -> Result<(), SyncError> {
        Ok(self.0.release(&self.0, 1)?)
    }

    /// The number of permits at the start.
    pub fn bound(&self) -> u32 {
        self.0.bound()
    }
}
