//! [`RLock`]: a lock that its holder can take again.

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use mp_shared_memory::{Object, ObjectId, Peer};
use serde::{Deserialize, Serialize};

use crate::deadline::after;
use crate::error::SyncError;
use crate::owner;
use crate::state::lock::Got;
use crate::state::rlock::{Depth, RLockState, Refused};

/// A lock that the thread which holds it can take again, and that is free after as many releases.
///
/// Its owner is a thread: another thread of the same process, or one that runs later under the same
/// identifier, is a stranger.
///
/// # When a process dies
///
/// As for [`Lock`](crate::Lock): the next one takes the lock over, however often the dead process had taken it, and its
/// guard says so.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let lock = mp::RLock::new()?;
/// let outer = lock.acquire()?;
/// let inner = lock.acquire()?;
/// drop((inner, outer));
/// assert!(matches!(lock.release(), Err(mp::SyncError::NotOwner { .. })));
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.RLock")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RLock(Object<RLockState>);

/// Holds an [`RLock`] once until it is dropped.
///
/// It stays in its thread:
///
/// ```compile_fail,E0277
/// let lock = mp_sync::RLock::new().unwrap();
/// let guard = lock.acquire().unwrap();
/// std::thread::scope(|scope| scope.spawn(move || drop(guard)).join());
/// ```
#[must_use = "dropping it releases the lock at once"]
pub struct RLockGuard<'a> {
    lock: &'a RLock,
    died: Option<Box<Peer>>,
    _stays_in_its_thread: PhantomData<*const ()>,
}

impl RLock {
    /// A new lock, free.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<RLock, SyncError> {
        Ok(RLock(Object::create()?))
    }

    /// Takes the lock once, sleeping until it is free if another thread holds it.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep.
    #[inline]
    pub fn acquire(&self) -> Result<RLockGuard<'_>, SyncError> {
        loop {
            if let Some(guard) = self.acquire_until(None)? {
                return Ok(guard);
            }
        }
    }

    /// Takes the lock once, sleeping no longer than `timeout`; `None` if another thread still held
    /// it then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](RLock::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<RLockGuard<'_>>, SyncError> {
        self.acquire_until(after(timeout))
    }

    fn acquire_until(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Option<RLockGuard<'_>>, SyncError> {
        let got = self.0.acquire(&self.0, deadline)?;
        Ok(got.map(|got| self.guard(got)))
    }

    /// Takes the lock once if it is free, this thread's, or its holder's process is dead; never sleeps.
    ///
    /// # Errors
    ///
    /// None so far; the result is that of its siblings.
    #[doc(alias = "acquire(block=False)")]
    pub fn try_acquire(&self) -> Result<Option<RLockGuard<'_>>, SyncError> {
        Ok(self.0.try_acquire(&self.0).map(|got| self.guard(got)))
    }

    fn guard(&self, got: Got) -> RLockGuard<'_> {
        let died = owner::dead_owner("a re-entrant lock", &self.0, got);
        RLockGuard { lock: self, died, _stays_in_its_thread: PhantomData }
    }

    /// Gives one time back whose guard was [leaked](RLockGuard::leak), in the same thread.
    ///
    /// # Errors
    ///
    /// [`SyncError::NotOwner`] if this thread does not hold it, [`SyncError::Guarded`] if only guards do.
    pub fn release(&self) -> Result<(), SyncError> {
        self.0.release_leaked(&self.0).map_err(|refused| match refused {
            Refused::NotOwner => self.not_owner(),
            Refused::Guarded => SyncError::Guarded,
        })?;
        self.0.unpin();
        Ok(())
    }

    /// Whether both are handles to the same lock.
    pub fn is_same(&self, other: &RLock) -> bool {
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
    pub fn from_token(token: &str) -> Result<RLock, SyncError> {
        Ok(RLock(Object::from_token(token)?))
    }

    /// What tells it from all other objects.
    pub(crate) fn id(&self) -> ObjectId {
        self.0.id()
    }

    /// Whether this thread holds it.
    pub(crate) fn is_mine(&self) -> bool {
        self.0.is_mine(&self.0)
    }

    pub(crate) fn not_owner(&self) -> SyncError {
        SyncError::NotOwner { owner: self.owner_text() }
    }

    /// Gives up all times for the sake of a wait.
    pub(crate) fn release_for_wait(&self) -> Depth {
        self.0.release_all()
    }

    /// Whether a dead process holds it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.lock.owner().is_some_and(|owner| !self.0.is_alive(owner))
    }

    /// How often its holder holds it.
    pub(crate) fn depth(&self) -> u32 {
        self.0.holder().1
    }

    /// Takes it for a look around, if nobody has it, not even the dead: their end is for others to tell.
    pub(crate) fn try_acquire_free(&self) -> Option<RLockGuard<'_>> {
        self.0.try_acquire_free(&self.0).then(|| self.guard(Got::Clean))
    }

    /// Takes it again as often as before the wait.
    pub(crate) fn acquire_after_wait(&self, depth: Depth) -> Result<Option<Box<Peer>>, SyncError> {
        loop {
            if let Some(got) = self.0.acquire_at(&self.0, None, depth)? {
                return Ok(owner::dead_owner("a re-entrant lock", &self.0, got));
            }
        }
    }

    fn owner_text(&self) -> String {
        owner::text(&self.0, self.0.lock.owner(), self.0.holder().0)
    }
}

/// Shows who holds it, and how often.
impl Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<RLock(owner={}, count={})>", self.owner_text(), self.0.holder().1)
    }
}

impl RLockGuard<'_> {
    /// The process that died while it held the lock, if this guard is the one that took it over.
    pub fn owner_died(&self) -> Option<&Peer> {
        self.died.as_deref()
    }

    /// Leaves this time taken; this thread can [`release`](RLock::release) it.
    pub fn leak(self) {
        self.lock.0.pin();
        self.lock.0.leak();
        let mut this = std::mem::ManuallyDrop::new(self);
        drop(this.died.take());
    }

    pub(crate) fn set_died(&mut self, died: Option<Box<Peer>>) {
        self.died = died;
    }
}

impl Debug for RLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLockGuard").field("owner_died", &self.died).finish_non_exhaustive()
    }
}

impl Drop for RLockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.0.release_guard();
    }
}
