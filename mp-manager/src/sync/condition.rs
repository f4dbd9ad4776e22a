//! [`ConditionProxy`]: waiting in a server, under a lock of it, for others to change something.

use std::any::Any;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_sync::parts::after;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::manager::Manager;
use crate::proxy::{Proxy, TypedProxy};
use crate::reference::Reference;
use crate::registry::Registered;
use crate::sync::core::{Limit, Line};
use crate::sync::lock::LockProxy;
use crate::sync::mutual::{Got, Mutual, MutualObject};
use crate::sync::rlock::RLockProxy;
use crate::sync::{acquire, acquire_limited, give_back};
use crate::typed::typed_proxy;

inventory::submit! {
    Registered {
        name: ConditionProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: ConditionObject::create,
    }
}

/// A condition as its server has it.
#[derive(Debug)]
struct ConditionObject {
    lock: Arc<Mutual>,
    /// Who has this locked may lock the state of `lock`, and not the other way round.
    line: Mutex<Line<Told>>,
}

/// Why a waiter goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Notified,
    /// The holder of the lock is gone, nobody else wants it, and what is waited for may never come.
    Heir,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Waited {
    is_notified: bool,
    /// The process that was gone while it held the lock.
    died: Option<u32>,
}

impl ConditionObject {
    fn create(call: &Call<'_>) -> Result<Box<dyn Hosted>, Failure> {
        let (lock,): (Option<Proxy>,) = call.args()?;
        let lock = match &lock {
            None => Arc::new(Mutual::new(true)),
            Some(proxy) => lock_of(proxy).ok_or_else(|| {
                Refusal::Value("the lock of a condition lives in its server".to_owned())
            })?,
        };
        Ok(Box::new(ConditionObject { lock, line: Mutex::default() }))
    }

    fn wait(&self, call: &Call<'_>, limit: Limit) -> Result<Waited, Failure> {
        let deadline = limit.deadline();
        let mut line = self.line.lock();
        self.lock.check_held(call)?;
        // Who notifies has the lock, and so comes after this.
        let waiter = line.join(call, ());
        let hold = self.lock.give_up(call)?;
        let told = waiter.sleep(&mut line, call, deadline);
        if told.is_none() {
            let _none = line.leave(&waiter);
        }
        drop(line);
        let taken = self.lock.take_again(call, hold);
        if told == Some(Told::Notified) && !call.is_there(call.caller().client) {
            // It was killed before it could do anything with that.
            self.notify(call, 1);
        }
        let Got { died } = taken?;
        // If somebody else was faster than the heir to take the lock over, that one may have notified those who waited, of
        // whom this is none any more.
        let is_notified = told == Some(Told::Notified) || (told.is_some() && died.is_none());
        Ok(Waited { is_notified, died })
    }

    fn notify(&self, call: &Call<'_>, count: u64) {
        let mut line = self.line.lock();
        for _ in 0..count {
            match line.pop_living(call) {
                Some(turn) => turn.tell(Told::Notified),
                None => return,
            }
        }
    }
}

/// The lock that a proxy stands for, if it is one of this server.
fn lock_of(proxy: &Proxy) -> Option<Arc<Mutual>> {
    let Reference::Here(entry) = proxy.reference() else { return None };
    let object: &dyn Any = entry.object();
    object.downcast_ref::<MutualObject>().map(|object| Arc::clone(&object.0))
}

impl Hosted for ConditionObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "acquire" => {
                let (limit,) = call.args()?;
                call.reply(&self.lock.acquire(call, limit)?)
            }
            "release_guard" => call.reply(&self.lock.release_guard(call)?),
            "wait" => {
                let (limit,) = call.args()?;
                call.reply(&self.wait(call, limit)?)
            }
            "notify" => {
                let (count,) = call.args()?;
                self.lock.check_held(call)?;
                self.notify(call, count);
                call.reply(&())
            }
            "waiting" => call.reply(&(self.line.lock().len() as u64)),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        ConditionProxy::TYPE
    }

    fn preview(&self) -> String {
        format!("<Condition({}, waiting={})>", self.lock.text(), self.line.lock().len())
    }

    fn cares_for(&self) -> Clients {
        Clients::All
    }

    fn client_gone(&self, client: ClientId) {
        // The lock may be an object of its own as well, or that of another condition: whoever comes first takes it back.
        self.lock.client_gone(client);
        let mut line = self.line.lock();
        let _wishes = line.send_away(client);
        if self.lock.is_orphaned()
            && let Some(turn) = line.pop()
        {
            turn.tell(Told::Heir);
        }
    }
}

typed_proxy! {
    /// A place in a server where processes and threads wait until another notifies them, under a lock that they share.
    ///
    /// Waiters are notified in the order in which they came. A notification goes to those who wait at that moment, and is
    /// not remembered. A call that waits sleeps, and a thread of the server with it. It works between machines as well; on
    /// one machine [`mp::Condition`](mp_sync::Condition) is by far the faster choice.
    ///
    /// # When a process dies
    ///
    /// A waiter that was killed is passed over; if it was killed after it was notified and before it had the lock again,
    /// another waiter gets its notification. A holder of the lock that was killed loses it, as told for [`LockProxy`]; if
    /// nobody else wants the lock, one of the waiters takes it over and returns. When the server is gone, every call is
    /// [`ManagerError::Disconnected`], those that wait included.
    ///
    /// # Differences from Python
    ///
    /// Waiting and notifying are methods of the guard, so they cannot be called without the lock. The predicate of
    /// [`wait_for`](ManagedConditionGuard::wait_for) runs here and not in the server.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let (ready, condition) = (mp::RawValue::new(0_u8)?, manager.condition()?);
    /// let p = mp::Process::start(
    ///     |ready: mp::RawValue<u8>, condition: mp::ConditionProxy| {
    ///         let guard = condition.acquire()?;
    ///         ready.set(1);
    ///         Ok(guard.notify_all()?)
    ///     },
    ///     (ready.clone(), condition.clone()),
    /// )?;
    /// let mut guard = condition.acquire()?;
    /// guard.wait_for(|| ready.get() == 1)?;
    /// drop(guard);
    /// p.join()?;
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.Condition")]
    pub struct ConditionProxy = "condition";
}

/// Holds the lock of a condition that lives in a server until it is dropped. It stays in its thread.
#[must_use = "dropping it releases the lock at once"]
pub struct ManagedConditionGuard<'a> {
    condition: &'a ConditionProxy,
    died: Option<u32>,
    _stays_in_its_thread: PhantomData<*const ()>,
}

impl Manager {
    /// A new condition with a re-entrant lock of its own.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    #[doc(alias = "Condition")]
    pub fn condition(&self) -> Result<ConditionProxy, ManagerError> {
        self.condition_on(None)
    }

    /// A new condition on a lock of this server; several conditions may share it.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Value`] for a lock of another server; [`ManagerError::Disconnected`].
    pub fn condition_with_lock(&self, lock: &LockProxy) -> Result<ConditionProxy, ManagerError> {
        self.condition_on(Some(lock.as_proxy()))
    }

    /// A new condition on a re-entrant lock of this server; several conditions may share it.
    ///
    /// # Errors
    ///
    /// As [`condition_with_lock`](Manager::condition_with_lock).
    pub fn condition_with_rlock(&self, lock: &RLockProxy) -> Result<ConditionProxy, ManagerError> {
        self.condition_on(Some(lock.as_proxy()))
    }

    fn condition_on(&self, lock: Option<&Proxy>) -> Result<ConditionProxy, ManagerError> {
        self.handle().create(self.handle().encode(&(lock,))?)
    }
}

impl ConditionProxy {
    /// Takes the lock, sleeping until it is free.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn acquire(&self) -> Result<ManagedConditionGuard<'_>, ManagerError> {
        Ok(self.guard(acquire(self.as_proxy())?))
    }

    /// Takes the lock, sleeping no longer than `timeout`; `None` if it was not free by then.
    ///
    /// # Errors
    ///
    /// As [`acquire`](ConditionProxy::acquire).
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<ManagedConditionGuard<'_>>, ManagerError> {
        Ok(acquire_limited(self.as_proxy(), Limit::of(timeout))?.map(|got| self.guard(got)))
    }

    /// Takes the lock if it is free; waits for nobody but the server.
    ///
    /// # Errors
    ///
    /// As [`acquire`](ConditionProxy::acquire).
    pub fn try_acquire(&self) -> Result<Option<ManagedConditionGuard<'_>>, ManagerError> {
        Ok(acquire_limited(self.as_proxy(), Limit::NONE)?.map(|got| self.guard(got)))
    }

    fn guard(&self, Got { died }: Got) -> ManagedConditionGuard<'_> {
        ManagedConditionGuard { condition: self, died, _stays_in_its_thread: PhantomData }
    }

    /// How many wait and have not been notified, at this moment.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn waiting(&self) -> Result<usize, ManagerError> {
        let waiting: u64 = self.as_proxy().call("waiting", &())?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }
}

impl ManagedConditionGuard<'_> {
    /// Gives the lock up, however often it is held, sleeps until notified, and holds it again as often.
    ///
    /// It also returns when another holder of the lock was killed and this waiter is to take the lock over, for what it had
    /// waited for may never come: [`owner_died`](ManagedConditionGuard::owner_died) says so, unless somebody else was
    /// faster. So look at what you wait for.
    ///
    /// # Errors
    ///
    /// [`NotOwner`](mp_sync::SyncError::NotOwner) if a plain lock was released from under the guard;
    /// [`ManagerError::Disconnected`].
    pub fn wait(&mut self) -> Result<(), ManagerError> {
        self.wait_limited(Limit::FOR_EVER).map(drop)
    }

    /// [`wait`](ManagedConditionGuard::wait), sleeping no longer than `timeout`; whether it was notified.
    ///
    /// Taking the lock again at the end may take longer.
    ///
    /// # Errors
    ///
    /// As `wait`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool, ManagerError> {
        self.wait_limited(Limit::of(timeout))
    }

    /// Waits until `predicate` holds, looking at once and after each notification.
    ///
    /// # Errors
    ///
    /// As [`wait`](ManagedConditionGuard::wait).
    pub fn wait_for(&mut self, mut predicate: impl FnMut() -> bool) -> Result<(), ManagerError> {
        while !predicate() {
            self.wait()?;
        }
        Ok(())
    }

    /// [`wait_for`](ManagedConditionGuard::wait_for), no longer than `timeout` in all; what the predicate gave last.
    ///
    /// # Errors
    ///
    /// As [`wait`](ManagedConditionGuard::wait).
    pub fn wait_for_timeout(
        &mut self,
        timeout: Duration,
        mut predicate: impl FnMut() -> bool,
    ) -> Result<bool, ManagerError> {
        let deadline = after(timeout);
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let holds = predicate();
            if holds || left.is_some_and(|left| left.is_zero()) {
                return Ok(holds);
            }
            self.wait_limited(left.map_or(Limit::FOR_EVER, Limit::of))?;
        }
    }

    fn wait_limited(&mut self, limit: Limit) -> Result<bool, ManagerError> {
        let waited: Waited = self.condition.as_proxy().call("wait", &(limit,))?;
        if waited.died.is_some() {
            self.died = waited.died;
        }
        Ok(waited.is_notified)
    }

    /// Notifies the `count` who have waited the longest, or as many as there are. They go on once the lock is free.
    ///
    /// # Errors
    ///
    /// As [`wait`](ManagedConditionGuard::wait).
    pub fn notify(&self, count: usize) -> Result<(), ManagerError> {
        self.condition.as_proxy().call("notify", &(count as u64,))
    }

    /// Notifies everybody who waits.
    ///
    /// # Errors
    ///
    /// As [`wait`](ManagedConditionGuard::wait).
    pub fn notify_all(&self) -> Result<(), ManagerError> {
        self.notify(usize::MAX)
    }

    /// The pid, on its machine, of the process that was gone while it held the lock, if this guard took it over when it was
    /// made or in its last wait that did.
    pub fn owner_died(&self) -> Option<u32> {
        self.died
    }
}

impl Debug for ManagedConditionGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut guard = f.debug_struct("ManagedConditionGuard");
        guard.field("condition", self.condition).field("owner_died", &self.died).finish()
    }
}

impl Drop for ManagedConditionGuard<'_> {
    fn drop(&mut self) {
        give_back(self.condition.as_proxy(), "release_guard");
    }
}
