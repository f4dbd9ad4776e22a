//! [`LockProxy`]: mutual exclusion by a server.

use std::time::Duration;

use crate::error::ManagerError;
use crate::manager::Manager;
use crate::proxy::TypedProxy;
use crate::registry::Registered;
use crate::sync::core::Limit;
use crate::sync::mutual::{Got, MutualObject};
use crate::sync::{acquire, acquire_limited, give_back};
use crate::typed::typed_proxy;

inventory::submit! {
    Registered {
        name: LockProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| MutualObject::create(call, false),
    }
}

typed_proxy! {
    /// A lock that lives in a server; not re-entrant.
    ///
    /// A call that waits sleeps, and a thread of the server with it. Waiters have the lock in the order in which they came.
    /// It works between machines as well; on one machine [`mp::Lock`](mp_sync::Lock) is by far the faster choice, for it
    /// needs no server.
    ///
    /// Proxies are cheap to clone, and go to other processes inside arguments, results and messages.
    ///
    /// # When a process dies
    ///
    /// The server frees the lock when the process is gone that has its guard. The next who has waited gets it at
    /// once; that guard, and no other, tells the pid by [`owner_died`](ManagedLockGuard::owner_died), for what the lock protects
    /// may be half changed. A waiter that is killed is not missed. A [leaked](ManagedLockGuard::leak) lock stays taken.
    ///
    /// When the server is gone, every call is [`ManagerError::Disconnected`], and those who wait get that at once.
    ///
    /// # Differences from Python
    ///
    /// `acquire` gives a guard, whose drop releases. To release without it, in another thread or process, give it up with
    /// [`leak`](ManagedLockGuard::leak). Python's manager leaves the lock taken when its holder is killed.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let (lock, total) = (manager.lock()?, mp::RawValue::new(0_u64)?);
    /// let add = |lock: mp::LockProxy, total: mp::RawValue<u64>| {
    ///     for _ in 0..10 {
    ///         let _held = lock.acquire()?;
    ///         total.set(total.get() + 1);
    ///     }
    ///     Ok(())
    /// };
    /// let p = mp::Process::start(add, (lock.clone(), total.clone()))?;
    /// add(lock, total.clone())?;
    /// p.into_result()?;
    /// assert_eq!(total.get(), 20);
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.Lock")]
    pub struct LockProxy = "lock";
}

/// Holds a lock that lives in a server until it is dropped.
///
/// To drop it is a call of the server, which does not wait for others.
#[derive(Debug)]
#[must_use = "dropping it releases the lock at once"]
pub struct ManagedLockGuard<'a> {
    lock: &'a LockProxy,
    died: Option<u32>,
}

impl Manager {
    /// A new lock, free.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    #[doc(alias = "Lock")]
    pub fn lock(&self) -> Result<LockProxy, ManagerError> {
        self.handle().create(self.handle().encode(&())?)
    }
}

impl LockProxy {
    /// Takes the lock, sleeping until it is free.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn acquire(&self) -> Result<ManagedLockGuard<'_>, ManagerError> {
        Ok(self.guard(acquire(self.as_proxy())?))
    }

    /// Takes the lock, sleeping no longer than `timeout`; `None` if it was not free by then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](LockProxy::acquire).
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<ManagedLockGuard<'_>>, ManagerError> {
        Ok(acquire_limited(self.as_proxy(), Limit::of(timeout))?.map(|got| self.guard(got)))
    }

    /// Takes the lock if it is free; waits for nobody but the server.
    ///
    /// # Errors
    ///
    /// As [`acquire`](LockProxy::acquire).
    #[doc(alias = "acquire(blocking=False)")]
    pub fn try_acquire(&self) -> Result<Option<ManagedLockGuard<'_>>, ManagerError> {
        Ok(acquire_limited(self.as_proxy(), Limit::NONE)?.map(|got| self.guard(got)))
    }

    fn guard(&self, Got { died }: Got) -> ManagedLockGuard<'_> {
        ManagedLockGuard { lock: self, died }
    }

    /// Releases a lock whose guard was [leaked](ManagedLockGuard::leak), in whichever thread or process.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](mp_sync::SyncError::NotHeld) if it is free, [`Guarded`](mp_sync::SyncError::Guarded) if its guard will
    /// release it; [`ManagerError::Disconnected`].
    pub fn release(&self) -> Result<(), ManagerError> {
        self.as_proxy().call("release", &())
    }

    /// Whether somebody holds it, at this moment.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn is_locked(&self) -> Result<bool, ManagerError> {
        self.as_proxy().call("is_locked", &())
    }
}

impl ManagedLockGuard<'_> {
    /// The pid, on its machine, of the process that was gone while it held the lock, if this guard is the one that took it
    /// over.
    pub fn owner_died(&self) -> Option<u32> {
        self.died
    }

    /// Leaves the lock taken, by nobody in particular: whoever has a proxy can [`release`](LockProxy::release) it, and
    /// nothing else does, not the end of this process either.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn leak(self) -> Result<(), ManagerError> {
        self.lock.as_proxy().call::<(), _>("leak", &())?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for ManagedLockGuard<'_> {
    fn drop(&mut self) {
        give_back(self.lock.as_proxy(), "release_guard");
    }
}
