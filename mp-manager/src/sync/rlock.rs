//! [`RLockProxy`]: a lock of a server that its holder can take again.

use std::marker::PhantomData;
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
        name: RLockProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| MutualObject::create(call, true),
    }
}

typed_proxy! {
    /// A lock that lives in a server and that the thread which holds it can take again; it is free after as many releases.
    ///
    /// Its owner is a thread of a process: another thread of the same process, or one that runs later under the same
    /// identifier, is a stranger. Waiting, and what `mp::RLock` does better on one machine, are as for
    /// [`LockProxy`](crate::LockProxy).
    ///
    /// # When a process dies
    ///
    /// When the process is gone whose thread holds it, however often and with or without guards, the next who has waited
    /// gets it at once, and its guard says so.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let lock = manager.rlock()?;
    /// let outer = lock.acquire()?;
    /// let inner = lock.acquire()?;
    /// drop((inner, outer));
    /// let refused = lock.release().unwrap_err();
    /// assert!(matches!(refused, mp::ManagerError::Sync(mp::SyncError::NotOwner { .. })));
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.RLock")]
    pub struct RLockProxy = "rlock";
}

/// Holds a re-entrant lock that lives in a server once until it is dropped.
///
/// It stays in its thread:
///
/// ```compile_fail,E0277
/// let manager = mp::Manager::start().unwrap();
/// let lock = manager.rlock().unwrap();
/// let guard = lock.acquire().unwrap();
/// std::thread::scope(|scope| scope.spawn(move || drop(guard)).join());
/// ```
#[derive(Debug)]
#[must_use = "dropping it releases the lock at once"]
pub struct ManagedRLockGuard<'a> {
    lock: &'a RLockProxy,
    died: Option<u32>,
    _stays_in_its_thread: PhantomData<*const ()>,
}

impl Manager {
    /// A new re-entrant lock, free.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    #[doc(alias = "RLock")]
    pub fn rlock(&self) -> Result<RLockProxy, ManagerError> {
        self.handle().create(self.handle().encode(&())?)
    }
}

impl RLockProxy {
    /// Takes the lock once, sleeping until it is free if another thread holds it.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn acquire(&self) -> Result<ManagedRLockGuard<'_>, ManagerError> {
        Ok(self.guard(acquire(self.as_proxy())?))
    }

    /// Takes the lock once, sleeping no longer than `timeout`; `None` if another thread still held it then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](RLockProxy::acquire).
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<ManagedRLockGuard<'_>>, ManagerError> {
        Ok(acquire_limited(self.as_proxy(), Limit::of(timeout))?.map(|got| self.guard(got)))
    }

    /// Takes the lock once if it is free or this thread's; waits for nobody but the server.
    ///
    /// # Errors
    ///
    /// As [`acquire`](RLockProxy::acquire).
    #[doc(alias = "acquire(blocking=False)")]
    pub fn try_acquire(&self) -> Result<Option<ManagedRLockGuard<'_>>, ManagerError> {
        Ok(acquire_limited(self.as_proxy(), Limit::NONE)?.map(|got| self.guard(got)))
    }

    fn guard(&self, Got { died }: Got) -> ManagedRLockGuard<'_> {
        ManagedRLockGuard { lock: self, died, _stays_in_its_thread: PhantomData }
    }

    /// Gives one time back whose guard was [leaked](ManagedRLockGuard::leak), in the same thread.
    ///
    /// # Errors
    ///
    /// [`NotOwner`](mp_sync::SyncError::NotOwner) if this thread does not hold it,
    /// [`Guarded`](mp_sync::SyncError::Guarded) if only guards do; [`ManagerError::Disconnected`].
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

impl ManagedRLockGuard<'_> {
    /// The pid, on its machine, of the process that was gone while it held the lock, if this guard is the one that took it
    /// over.
    pub fn owner_died(&self) -> Option<u32> {
        self.died
    }

    /// Leaves this time taken; this thread can [`release`](RLockProxy::release) it. It stays this thread's: the lock is free
    /// when this process is gone.
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

impl Drop for ManagedRLockGuard<'_> {
    fn drop(&mut self) {
        give_back(self.lock.as_proxy(), "release_guard");
    }
}
