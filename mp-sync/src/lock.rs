//! [`Lock`]: mutual exclusion between processes.

use std::fmt::{self, Debug};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mp_shared_memory::{Object, ObjectId, Peer};
use serde::{Deserialize, Serialize};

use crate::deadline::after;
use crate::error::SyncError;
use crate::owner;
use crate::prim::AtomicU32;
use crate::state::lock::{Got, LockWord};
use crate::state::rlock::thread_number;

/// The lock word, and which thread of its owner has it, for the text form.
#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct LockState {
    word: LockWord,
    thread: AtomicU32,
}

impl LockState {
    /// Who has it, and which thread of it, as one sees it who is no peer.
    #[cfg(not(mp_loom))]
    pub(crate) fn seen_owner(&self) -> Option<(mp_shared_memory::MemberId, u32)> {
        Some((self.word.owner()?, self.thread.load(Relaxed)))
    }

    /// Whether anybody may release it.
    #[cfg(not(mp_loom))]
    pub(crate) fn is_leaked(&self) -> bool {
        self.word.is_leaked()
    }
}

/// A lock that any number of processes and threads share; not re-entrant.
///
/// Handles are cheap to clone, and go to other processes inside arguments, results and messages, or
/// as a [`token`](Lock::token). A free lock is taken without a system call.
///
/// # When a process dies
///
/// A lock whose holder was killed is taken over by the next who wants it; that one guard, and no other, says
/// so by [`owner_died`](LockGuard::owner_died), and a warning that names the dead process is logged. What
/// the lock protects may be half changed then. A waiter that is killed is not missed.
///
/// # Differences from Python
///
/// `acquire` gives a guard, whose drop releases. To release without it, in another thread or process, give
/// it up with [`leak`](LockGuard::leak). Queues and pipes carry locks, too.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let lock = mp::Lock::new()?;
/// {
///     let guard = lock.acquire()?;
///     assert!(guard.owner_died().is_none());
///     assert!(lock.try_acquire()?.is_none(), "it is not re-entrant");
/// }
/// lock.acquire()?.leak();
/// lock.release()?;
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Lock")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lock(Object<LockState>);

/// Holds a [`Lock`] until it is dropped.
#[must_use = "dropping it releases the lock at once"]
pub struct LockGuard<'a> {
    lock: &'a Lock,
    died: Option<Box<Peer>>,
}

impl Lock {
    /// A new lock, free.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<Lock, SyncError> {
        Ok(Lock(Object::create()?))
    }

    /// Takes the lock, sleeping until it is free.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep.
    #[inline]
    pub fn acquire(&self) -> Result<LockGuard<'_>, SyncError> {
        loop {
            if let Some(guard) = self.acquire_until(None)? {
                return Ok(guard);
            }
        }
    }

    /// Takes the lock, sleeping no longer than `timeout`; `None` if it was not free by then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Lock::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard<'_>>, SyncError> {
        self.acquire_until(after(timeout))
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> Result<Option<LockGuard<'_>>, SyncError> {
        let got = self.0.word.acquire(&self.0, deadline)?;
        Ok(got.map(|got| self.guard(got)))
    }

    /// Takes the lock if it is free or its holder is dead; never sleeps.
    ///
    /// # Errors
    ///
    /// None so far; the result is that of its siblings.
    #[doc(alias = "acquire(block=False)")]
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>, SyncError> {
        Ok(self.0.word.try_acquire(&self.0).map(|got| self.guard(got)))
    }

    #[inline]
    fn guard(&self, got: Got) -> LockGuard<'_> {
        self.0.thread.store(thread_number(), Relaxed);
        let died = if got == Got::Clean { None } else { owner::dead_owner("a lock", &self.0, got) };
        LockGuard { lock: self, died }
    }

    /// Releases a lock whose guard was [leaked](LockGuard::leak), in whichever thread or process.
    ///
    /// # Errors
    ///
    /// [`SyncError::NotHeld`] if it is free, [`SyncError::Guarded`] if its guard will release it.
    pub fn release(&self) -> Result<(), SyncError> {
        let owner = self.0.word.owner();
        if self.0.word.release_leaked() {
            // The pin is that of the process which leaked.
            if owner == Some(self.0.me()) {
                self.0.unpin();
            }
            return Ok(());
        }
        Err(if self.is_locked() { SyncError::Guarded } else { SyncError::NotHeld })
    }

    /// Whether somebody holds it, at this moment.
    pub fn is_locked(&self) -> bool {
        self.0.word.owner().is_some()
    }

    /// Whether both are handles to the same lock.
    pub fn is_same(&self, other: &Lock) -> bool {
        self.0.is_same(&other.0)
    }

    /// A text from which other processes of this user make a handle, also such that were started by
    /// other means. It keeps neither the lock nor the process at the root of the session.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when the session cannot be reached.
    pub fn token(&self) -> Result<String, SyncError> {
        Ok(self.0.token()?)
    }

    /// The handle that a [`token`](Lock::token) stands for.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] for a text that is no such token, when the lock is gone, or when its
    /// session cannot be reached.
    pub fn from_token(token: &str) -> Result<Lock, SyncError> {
        Ok(Lock(Object::from_token(token)?))
    }

    /// What tells it from all other objects.
    pub(crate) fn id(&self) -> ObjectId {
        self.0.id()
    }

    /// Whether this process holds it.
    pub(crate) fn is_mine(&self) -> bool {
        self.0.word.owner() == Some(self.0.me())
    }

    /// Releases it for the sake of a wait; its guard takes it again.
    pub(crate) fn release_for_wait(&self) {
        self.0.word.release();
    }

    /// Whether a dead process holds it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.word.owner().is_some_and(|owner| !self.0.is_alive(owner))
    }

    /// Takes it for a look around, if nobody has it, not even the dead: their end is for others to tell.
    pub(crate) fn try_acquire_free(&self) -> Option<LockGuard<'_>> {
        self.0.word.try_acquire_free(&self.0).then(|| self.guard(Got::Clean))
    }

    /// Takes it again after a wait.
    pub(crate) fn acquire_after_wait(&self) -> Result<Option<Box<Peer>>, SyncError> {
        let mut guard = self.acquire()?;
        let died = guard.died.take();
        std::mem::forget(guard);
        Ok(died)
    }
}

/// Shows who holds it.
impl Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.0.word.owner();
        let owner = owner::text(&self.0, owner, self.0.thread.load(Relaxed));
        write!(f, "<Lock(owner={owner})>")
    }
}

impl LockGuard<'_> {
    /// The process that died while it held the lock, if this guard is the one that took it over.
    pub fn owner_died(&self) -> Option<&Peer> {
        self.died.as_deref()
    }

    /// Leaves the lock taken; whoever has a handle can [`release`](Lock::release) it. It stays this
    /// process's: if that is killed, the lock is taken over.
    pub fn leak(self) {
        // A process that has dropped all its handles is taken for dead, unless it is pinned.
        self.lock.0.pin();
        self.lock.0.word.leak();
        let mut this = std::mem::ManuallyDrop::new(self);
        drop(this.died.take());
    }

    pub(crate) fn set_died(&mut self, died: Option<Box<Peer>>) {
        self.died = died;
    }
}

impl Debug for LockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("owner_died", &self.died).finish_non_exhaustive()
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.0.word.release();
    }
}
