//! [`SemaphoreProxy`] and [`BoundedSemaphoreProxy`]: a number of permits in a server.

use std::collections::HashMap;
use std::time::Duration;

use mp_sync::SyncError;
use parking_lot::Mutex;

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::manager::Manager;
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::sync::core::{Limit, Line, abandoned};
use crate::sync::give_back;
use crate::typed::typed_proxy;

/// The highest value, as in Python.
const MAX_VALUE: u32 = i32::MAX as u32;

inventory::submit! {
    Registered {
        name: SemaphoreProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| SemaphoreObject::create(call, false),
    }
}

inventory::submit! {
    Registered {
        name: BoundedSemaphoreProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| SemaphoreObject::create(call, true),
    }
}

/// A semaphore as its server has it.
#[derive(Debug)]
struct SemaphoreObject {
    is_bounded: bool,
    bound: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The free permits; none while anybody waits.
    value: u32,
    /// How many the guards of each client hold.
    held: HashMap<ClientId, u32>,
    line: Line<()>,
}

impl State {
    fn grant(&mut self, client: ClientId) {
        self.value -= 1;
        *self.held.entry(client).or_default() += 1;
    }

    /// Adds permits, and gives them to those who wait.
    fn add(&mut self, count: u32) {
        self.value += count;
        while self.value > 0
            && let Some(turn) = self.line.pop()
        {
            self.grant(turn.client());
            turn.tell(());
        }
    }

    /// A client holds one less; whether it held one.
    fn forget(&mut self, client: ClientId) -> bool {
        let Some(held) = self.held.get_mut(&client) else { return false };
        *held -= 1;
        if *held == 0 {
            self.held.remove(&client);
        }
        true
    }
}

impl SemaphoreObject {
    fn create(call: &Call<'_>, is_bounded: bool) -> Result<Box<dyn Hosted>, Failure> {
        let (value,): (u32,) = call.args()?;
        check(value).map_err(|error| Refusal::Value(error.to_string()))?;
        let bound = if is_bounded { value } else { MAX_VALUE };
        let state = State { value, held: HashMap::new(), line: Line::default() };
        Ok(Box::new(SemaphoreObject { is_bounded, bound, state: Mutex::new(state) }))
    }

    fn acquire(&self, call: &Call<'_>, limit: Limit) -> Result<bool, Failure> {
        let mut state = self.state.lock();
        if call.is_abandoned() {
            return Err(abandoned());
        }
        if state.value > 0 {
            state.grant(call.caller().client);
            return Ok(true);
        }
        if limit == Limit::NONE {
            return Ok(false);
        }
        let deadline = limit.deadline();
        let waiter = state.line.join(call, ());
        let is_granted = waiter.sleep(&mut state, call, deadline).is_some();
        if !is_granted {
            let _none = state.line.leave(&waiter);
        }
        Ok(is_granted)
    }

    fn release(&self, count: u32) -> Result<(), Failure> {
        let mut state = self.state.lock();
        // What guards hold they give back themselves: only others can be missing.
        let held: u32 = if self.is_bounded { state.held.values().sum() } else { 0 };
        let after = [count, held].into_iter().try_fold(state.value, u32::checked_add);
        if after.is_none_or(|after| after > self.bound) {
            return Err(Refusal::BoundExceeded { bound: self.bound }.into());
        }
        state.add(count);
        Ok(())
    }

    /// Gives the permit of a guard of the caller back.
    fn release_guard(&self, call: &Call<'_>) {
        let mut state = self.state.lock();
        if state.forget(call.caller().client) && state.value < self.bound {
            state.add(1);
        }
    }
}

/// That a semaphore can start with a value.
fn check(value: u32) -> Result<(), SyncError> {
    if value > MAX_VALUE {
        return Err(SyncError::InvalidValue { value, max: MAX_VALUE });
    }
    Ok(())
}

impl Hosted for SemaphoreObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "acquire" => {
                let (limit,) = call.args()?;
                call.reply(&self.acquire(call, limit)?)
            }
            "release_guard" => {
                self.release_guard(call);
                call.reply(&())
            }
            "forget" => {
                let _was_held = self.state.lock().forget(call.caller().client);
                call.reply(&())
            }
            "release" => {
                let (count,) = call.args()?;
                call.reply(&self.release(count)?)
            }
            "get_value" => call.reply(&self.state.lock().value),
            "bound" => call.reply(&self.bound),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        if self.is_bounded { BoundedSemaphoreProxy::TYPE } else { SemaphoreProxy::TYPE }
    }

    fn preview(&self) -> String {
        let name = if self.is_bounded { "BoundedSemaphore" } else { "Semaphore" };
        format!("<{name}(value={})>", self.state.lock().value)
    }

    fn cares_for(&self) -> Clients {
        Clients::All
    }

    fn client_gone(&self, client: ClientId) {
        let mut state = self.state.lock();
        let _wishes = state.line.send_away(client);
        if let Some(held) = state.held.remove(&client) {
            let room = self.bound - state.value;
            state.add(held.min(room));
        }
    }
}

typed_proxy! {
    /// A number of permits in a server that processes take and give back.
    ///
    /// A release beyond the number at the start makes permits. A call that waits sleeps, and a thread of the server with
    /// it; waiters are served in the order in which they came. It works between machines as well; on one machine
    /// [`mp::Semaphore`](mp_sync::Semaphore) is by far the faster choice.
    ///
    /// # When a process dies
    ///
    /// The permits that its [`ManagedPermit`]s stand for are given back as soon as it is gone, and waiters have them at
    /// once; those that it had [forgotten](ManagedPermit::forget) stay taken. A waiter that is killed takes nothing with
    /// it. When the server is gone, every call is [`ManagerError::Disconnected`], those that wait included.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let s = manager.semaphore(2)?;
    /// let (first, second) = (s.acquire()?, s.acquire()?);
    /// assert!(s.try_acquire()?.is_none());
    /// drop(first);
    /// second.forget()?;
    /// s.release()?;
    /// assert_eq!(s.get_value()?, 2);
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.Semaphore")]
    pub struct SemaphoreProxy = "semaphore";
}

typed_proxy! {
    /// A [`SemaphoreProxy`] of a semaphore that cannot be released beyond the number at its start.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let s = manager.bounded_semaphore(1)?;
    /// s.acquire()?.forget()?;
    /// s.release()?;
    /// let refused = s.release().unwrap_err();
    /// assert!(matches!(refused, mp::ManagerError::Sync(mp::SyncError::BoundExceeded { bound: 1 })));
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.BoundedSemaphore")]
    pub struct BoundedSemaphoreProxy = "bounded_semaphore";
}

/// A permit of a semaphore that lives in a server; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the permit back at once"]
pub struct ManagedPermit<'a>(&'a Proxy);

impl ManagedPermit<'_> {
    /// Keeps the permit taken without a guard: it comes back by a `release` only, and not by the end of this process.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn forget(self) -> Result<(), ManagerError> {
        self.0.call::<(), _>("forget", &())?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for ManagedPermit<'_> {
    fn drop(&mut self) {
        give_back(self.0, "release_guard");
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
            /// [`ManagerError::Disconnected`].
            pub fn acquire(&self) -> Result<ManagedPermit<'_>, ManagerError> {
                loop {
                    if let Some(permit) = self.acquire_limited(Limit::FOR_EVER)? {
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
            ) -> Result<Option<ManagedPermit<'_>>, ManagerError> {
                self.acquire_limited(Limit::of(timeout))
            }

            /// Takes a permit if there is one; waits for nobody but the server.
            ///
            /// # Errors
            ///
            /// As [`acquire`](Self::acquire).
            #[doc(alias = "acquire(blocking=False)")]
            pub fn try_acquire(&self) -> Result<Option<ManagedPermit<'_>>, ManagerError> {
                self.acquire_limited(Limit::NONE)
            }

            fn acquire_limited(
                &self,
                limit: Limit,
            ) -> Result<Option<ManagedPermit<'_>>, ManagerError> {
                let is_granted: bool = self.as_proxy().call("acquire", &(limit,))?;
                // Not `then_some`: a permit that is made is given back.
                Ok(is_granted.then(|| ManagedPermit(self.as_proxy())))
            }

            /// The number of free permits, at this moment.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn get_value(&self) -> Result<u32, ManagerError> {
                self.as_proxy().call("get_value", &())
            }
        }
    };
}

methods!(SemaphoreProxy);
methods!(BoundedSemaphoreProxy);

impl SemaphoreProxy {
    /// Adds a permit, which the one has who has waited the longest.
    ///
    /// # Errors
    ///
    /// [`BoundExceeded`](SyncError::BoundExceeded) at `2^31 - 1` permits; [`ManagerError::Disconnected`].
    pub fn release(&self) -> Result<(), ManagerError> {
        self.release_many(1)
    }

    /// Adds permits.
    ///
    /// # Errors
    ///
    /// [`BoundExceeded`](SyncError::BoundExceeded) if there were more than `2^31 - 1` then; none is added.
    pub fn release_many(&self, count: u32) -> Result<(), ManagerError> {
        self.as_proxy().call("release", &(count,))
    }
}

impl BoundedSemaphoreProxy {
    /// Gives a permit back that was taken by [`ManagedPermit::forget`]; the one has it who has waited the longest.
    ///
    /// # Errors
    ///
    /// [`BoundExceeded`](SyncError::BoundExceeded) if none is missing but those that permits stand for, which they give
    /// back themselves; [`ManagerError::Disconnected`].
    pub fn release(&self) -> Result<(), ManagerError> {
        self.release_many(1)
    }

    /// Gives permits back, as [`release`](BoundedSemaphoreProxy::release).
    ///
    /// # Errors
    ///
    /// [`BoundExceeded`](SyncError::BoundExceeded) if fewer are missing; none is given back.
    pub fn release_many(&self, count: u32) -> Result<(), ManagerError> {
        self.as_proxy().call("release", &(count,))
    }

    /// The number of permits at the start.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn bound(&self) -> Result<u32, ManagerError> {
        self.as_proxy().call("bound", &())
    }
}

impl Manager {
    /// A new semaphore with this number of permits, at most `2^31 - 1`.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`](SyncError::InvalidValue) for more; [`ManagerError::Disconnected`].
    #[doc(alias = "Semaphore")]
    pub fn semaphore(&self, value: u32) -> Result<SemaphoreProxy, ManagerError> {
        check(value).map_err(ManagerError::Sync)?;
        self.handle().create(self.handle().encode(&(value,))?)
    }

    /// A new semaphore with this number of permits, and never more.
    ///
    /// # Errors
    ///
    /// As [`semaphore`](Manager::semaphore).
    #[doc(alias = "BoundedSemaphore")]
    pub fn bounded_semaphore(&self, value: u32) -> Result<BoundedSemaphoreProxy, ManagerError> {
        check(value).map_err(ManagerError::Sync)?;
        self.handle().create(self.handle().encode(&(value,))?)
    }
}
