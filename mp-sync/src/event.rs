//! [`Event`]: a flag that others wait for.

use std::fmt::{self, Debug};
use std::time::Duration;

use mp_shared_memory::Object;
use serde::{Deserialize, Serialize};

use crate::deadline::after;
use crate::error::SyncError;
use crate::state::event::EventState;

/// A flag that processes set, clear and wait for.
///
/// Everybody who waits when it is set goes on, also if it is cleared at once. None of its calls takes a
/// lock: `set` may be called in a signal handler that interrupted any other.
///
/// # When a process dies
///
/// A waiter that was killed is not missed. A process that was killed inside of `set` has either set the event
/// or not; who waits sees it at the latest an eighth of a second later.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// # use std::time::Duration;
/// let event = mp::Event::new()?;
/// assert!(!event.wait_timeout(Duration::from_millis(1))?);
/// event.set();
/// event.wait()?;
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Event")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Event(Object<EventState>);

impl Event {
    /// A new event, not set.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<Event, SyncError> {
        Ok(Event(Object::create()?))
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.is_set()
    }

    /// Sets it: who waits goes on, and nobody waits until it is cleared.
    pub fn set(&self) {
        self.0.set();
    }

    /// Makes it not set.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Sleeps until it is set.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep.
    pub fn wait(&self) -> Result<(), SyncError> {
        while !self.0.wait(None)? {}
        Ok(())
    }

    /// Sleeps until it is set, no longer than `timeout`; whether it was set meanwhile.
    ///
    /// # Errors
    ///
    /// As [`wait`](Event::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, SyncError> {
        Ok(self.0.wait(after(timeout))?)
    }

    /// Whether both are handles to the same event.
    pub fn is_same(&self, other: &Event) -> bool {
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
    pub fn from_token(token: &str) -> Result<Event, SyncError> {
        Ok(Event(Object::from_token(token)?))
    }
}

/// Shows whether it is set.
impl Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Event {}>", if self.is_set() { "set" } else { "unset" })
    }
}
