//! [`Condition`]: waiting, under a lock, for others to change something.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::time::{Duration, Instant};

use mp_shared_memory::{Object, Peer, SharedMemoryError};
use serde::{Deserialize, Serialize};

use crate::any_lock::{AnyGuard, AnyLock};
use crate::deadline::{after, has_passed};
use crate::error::SyncError;
use crate::lock::Lock;
use crate::rlock::RLock;
use crate::state::condition::{ConditionState, SEATS};
use crate::sys::borrow;

/// A place where processes and threads wait until another notifies them, under a lock that they share.
///
/// Waiters are notified in the order in which they came. A notification goes to those who wait at that
/// moment, and is not remembered.
///
/// # When a process dies
///
/// A waiter that was killed is passed over, and nobody waits for it; if it was killed after it was notified
/// and before it could do anything with that, another waiter gets its notification. A holder of the lock
/// that was killed loses it, as told for [`Lock`]; if nobody else wants the lock, one of the waiters takes it over
/// and returns.
///
/// # Differences from Python
///
/// Waiting and notifying are methods of the guard, so they cannot be called without the lock. A
/// condition has room for a thousand waiting threads.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let (ready, condition) = (mp::Value::new(false as u8)?, mp::Condition::new()?);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let mut guard = condition.acquire().unwrap();
///         ready.set(1).unwrap();
///         guard.notify_all();
///     });
///     let mut guard = condition.acquire().unwrap();
///     guard.wait_for(|| ready.get().is_ok_and(|ready| ready == 1)).unwrap();
/// });
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Condition")]
#[derive(Clone, Serialize, Deserialize)]
pub struct Condition {
    state: Object<ConditionState>,
    lock: AnyLock,
}

/// Holds the lock of a [`Condition`] until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it releases the lock at once"]
pub struct ConditionGuard<'a> {
    // In this order: the lock is released before those are woken who want it.
    guard: AnyGuard<'a>,
    wakes: Wakes<'a>,
}

/// Wakes those who were notified through a guard, when that is dropped.
#[derive(Debug)]
struct Wakes<'a>(&'a Condition);

impl Drop for Wakes<'_> {
    fn drop(&mut self) {
        wake_due(|condition| condition.is_same(self.0));
    }
}

thread_local! {
    /// The conditions whose waiters this thread has notified and is to wake once it has given the lock up.
    static DUE: RefCell<Vec<Condition>> = const { RefCell::new(Vec::new()) };
}

/// Wakes the waiters of those conditions that are due; this thread has given their lock up.
fn wake_due(concerned: impl Fn(&Condition) -> bool) {
    // Where the thread ends and its list is gone, sleepers look for themselves.
    let due = DUE.try_with(|due| {
        let mut due = due.borrow_mut();
        due.extract_if(.., |condition| concerned(condition)).collect::<Vec<_>>()
    });
    for Condition { state, lock } in due.unwrap_or_default() {
        // If somebody else has the lock, a sleeper that looks around passes on what a dead one got.
        while state.wake(&state)
            && let Some(guard) = lock.try_acquire_free()
        {
            state.pass_on(&state);
            drop(guard);
        }
    }
}

impl Condition {
    /// A new condition with a re-entrant lock of its own.
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<Condition, SyncError> {
        Condition::with_any(RLock::new()?.into())
    }

    /// A new condition on a lock that exists; several conditions may share it.
    ///
    /// # Errors
    ///
    /// As [`new`](Condition::new).
    #[track_caller]
    pub fn with_lock(lock: &Lock) -> Result<Condition, SyncError> {
        Condition::with_any(lock.into())
    }

    /// A new condition on a re-entrant lock that exists.
    ///
    /// # Errors
    ///
    /// As [`new`](Condition::new).
    #[track_caller]
    pub fn with_rlock(lock: &RLock) -> Result<Condition, SyncError> {
        Condition::with_any(lock.into())
    }

    #[track_caller]
    fn with_any(lock: AnyLock) -> Result<Condition, SyncError> {
        Ok(Condition { state: Object::create()?, lock })
    }

    /// Its lock.
    pub fn get_lock(&self) -> &AnyLock {
        &self.lock
    }

    /// Takes the lock, sleeping until it is free.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep.
    pub fn acquire(&self) -> Result<ConditionGuard<'_>, SyncError> {
        Ok(self.guard(self.lock.acquire()?))
    }

    /// Takes the lock if it is free; never sleeps.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Condition::acquire).
    pub fn try_acquire(&self) -> Result<Option<ConditionGuard<'_>>, SyncError> {
        let guard = self.lock.try_acquire()?;
        Ok(guard.map(|guard| self.guard(guard)))
    }

    /// Takes the lock, sleeping no longer than `timeout`; `None` if it was not free by then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Condition::acquire).
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<ConditionGuard<'_>>, SyncError> {
        let guard = self.lock.acquire_timeout(timeout)?;
        Ok(guard.map(|guard| self.guard(guard)))
    }

    fn guard<'a>(&'a self, guard: AnyGuard<'a>) -> ConditionGuard<'a> {
        ConditionGuard { guard, wakes: Wakes(self) }
    }

    /// Whether both are handles to the same condition.
    pub fn is_same(&self, other: &Condition) -> bool {
        self.state.is_same(&other.state)
    }

    /// How many wait and have not been notified, at this moment.
    pub fn waiting(&self) -> usize {
        self.state.waiting()
    }

    /// See [`Lock::token`].
    ///
    /// # Errors
    ///
    /// [`SyncError::Memory`] when the session cannot be reached.
    pub fn token(&self) -> Result<String, SyncError> {
        Ok(format!("{}+{}", self.state.token()?, self.lock.token()?))
    }

    /// See [`Lock::from_token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<Condition, SyncError> {
        let (state, lock) = token
            .split_once('+')
            .ok_or(SharedMemoryError::Foreign { reason: "it is no token of a condition" })?;
        Ok(Condition { state: Object::from_token(state)?, lock: AnyLock::from_token(lock)? })
    }
}

/// Shows its lock and how many wait.
impl Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Condition({:?}, waiting={})>", self.lock, self.waiting())
    }
}

impl ConditionGuard<'_> {
    /// Gives the lock up, however often it is held, sleeps until notified, and holds it again as often.
    ///
    /// It also returns when another holder of the lock was killed and this waiter is the one that took the
    /// lock over: then [`owner_died`](ConditionGuard::owner_died) says so, for what it had waited for may never come.
    ///
    /// # Errors
    ///
    /// [`SyncError::TooManyWaiters`], [`SyncError::AlreadyBorrowed`] while this thread has a guard
    /// of a value under the same lock, and [`SyncError::NotOwner`] if the lock was taken from under the
    /// guard. The lock is held after an error as before.
    pub fn wait(&mut self) -> Result<(), SyncError> {
        self.wait_until(None).map(drop)
    }

    /// [`wait`](ConditionGuard::wait), sleeping no longer than `timeout`; whether it was notified.
    ///
    /// Taking the lock again at the end may take longer.
    ///
    /// # Errors
    ///
    /// As `wait`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool, SyncError> {
        self.wait_until(after(timeout))
    }

    /// Waits until `predicate` holds, looking at once and after each notification.
    ///
    /// # Errors
    ///
    /// As [`wait`](ConditionGuard::wait).
    pub fn wait_for(&mut self, mut predicate: impl FnMut() -> bool) -> Result<(), SyncError> {
        while !predicate() {
            self.wait()?;
        }
        Ok(())
    }

    /// [`wait_for`](ConditionGuard::wait_for), no longer than `timeout` in all; what the predicate
    /// gave last.
    ///
    /// # Errors
    ///
    /// As [`wait`](ConditionGuard::wait).
    pub fn wait_for_timeout(
        &mut self,
        timeout: Duration,
        mut predicate: impl FnMut() -> bool,
    ) -> Result<bool, SyncError> {
        let deadline = after(timeout);
        loop {
            let holds = predicate();
            if holds || has_passed(deadline) {
                return Ok(holds);
            }
            self.wait_until(deadline)?;
        }
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<bool, SyncError> {
        let Condition { state, lock } = self.wakes.0;
        lock.check_mine()?;
        if borrow::is_borrowed_under(lock.id()) {
            return Err(SyncError::AlreadyBorrowed);
        }
        loop {
            let full = |_| SyncError::TooManyWaiters { max: SEATS };
            let seat = state.sit_down(state).map_err(full)?;
            let depth = lock.release_for_wait();
            wake_due(|condition| condition.lock.is_same(lock));
            let slept = state.sleep(seat, deadline, || {
                if let Some(guard) = lock.try_acquire_free() {
                    state.pass_on(state);
                    drop(guard);
                    state.wake(state);
                }
                lock.is_abandoned()
            });
            let died = lock.acquire_after_wait(depth);
            let is_heir = died.is_some();
            if is_heir {
                self.guard.set_died(died);
            }
            let is_notified = state.stand_up(seat);
            slept?;
            if is_notified || is_heir || has_passed(deadline) {
                return Ok(is_notified);
            }
            // Its holder was dead, and another waiter has taken the lock over in the meantime.
        }
    }

    /// Notifies the `count` who have waited the longest, or as many as there are. They go on once the
    /// lock is free.
    pub fn notify(&self, count: usize) {
        let condition = self.wakes.0;
        let Condition { state, lock } = condition;
        // Only a lock that was released from under this guard is not held here.
        if lock.check_mine().is_err() {
            return;
        }
        state.notify(state, count);
        if lock.is_nested() {
            // Who knows when the outermost guard is dropped: those who wake have to wait for it.
            while state.wake(state) {
                state.pass_on(state);
            }
        } else {
            DUE.with_borrow_mut(|due| {
                if !due.iter().any(|other| other.is_same(condition)) {
                    due.push(condition.clone());
                }
            });
        }
    }

    /// Notifies everybody who waits.
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    /// The process that died while it held the lock, if this guard took it over when it was made or in its
    /// last wait.
    pub fn owner_died(&self) -> Option<&Peer> {
        self.guard.owner_died()
    }
}
