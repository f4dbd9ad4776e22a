//! [`Versioned`]: a value that somebody elsewhere can read, work on, and put back without losing what others did meanwhile.
//!
//! Who works on it says of which version, and begins anew when there is another. Who has done so in vain too often takes
//! hold of the value: until it lets go, or its process is gone, changes by others wait. Reading never waits.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::call::Call;
use crate::error::ManagerError;
use crate::id::{Caller, ClientId};
use crate::payload::Payload;
use crate::proxy::Proxy;

/// A value, the number of its changes, and who has hold of it.
#[derive(Debug)]
pub(crate) struct Versioned<S> {
    state: Mutex<State<S>>,
    let_go: Condvar,
    /// The client of the holder, or [`NOBODY`]; for who must not wait for a method.
    held_by: AtomicU64,
}

#[derive(Debug)]
struct State<S> {
    value: S,
    version: i64,
    holder: Option<Caller>,
}

/// No client has this number.
const NOBODY: u64 = u64::MAX;

impl<S> Versioned<S> {
    pub(crate) fn new(value: S) -> Versioned<S> {
        let state = State { value, version: 0, holder: None };
        let (let_go, held_by) = (Condvar::new(), AtomicU64::new(NOBODY));
        Versioned { state: Mutex::new(state), let_go, held_by }
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        read(&self.state.lock().value)
    }

    /// Reads it with its version; if it `is_held` from then on, nobody else changes it before the caller has let go of it.
    pub(crate) fn read_version<R>(
        &self,
        call: &Call<'_>,
        is_held: bool,
        read: impl FnOnce(&S) -> R,
    ) -> (i64, R) {
        let mut state = self.state.lock();
        if is_held {
            self.wait(call.caller(), &mut state);
            // Who is gone lets go of nothing; who goes after this is heard of here, and finds this number.
            self.held_by.store(call.caller().client.0, Ordering::Release);
            state.holder = (!call.is_abandoned()).then_some(call.caller());
            if state.holder.is_none() {
                self.held_by.store(NOBODY, Ordering::Release);
            }
        }
        (state.version, read(&state.value))
    }

    /// Changes it, whoever has hold of it: nobody will read it any more.
    pub(crate) fn clear<R>(&self, clear: impl FnOnce(&mut S) -> R) -> R {
        let mut state = self.state.lock();
        state.version += 1;
        clear(&mut state.value)
    }

    /// Changes it. What has to be dropped outside of the lock is what `change` gives.
    pub(crate) fn change<R>(&self, caller: Caller, change: impl FnOnce(&mut S) -> R) -> R {
        let mut state = self.state.lock();
        self.wait(caller, &mut state);
        state.version += 1;
        change(&mut state.value)
    }

    /// Changes it if it still has this version.
    pub(crate) fn change_version<R>(
        &self,
        caller: Caller,
        version: i64,
        change: impl FnOnce(&mut S) -> R,
    ) -> Option<R> {
        let mut state = self.state.lock();
        self.wait(caller, &mut state);
        if state.version != version {
            return None;
        }
        state.version += 1;
        Some(change(&mut state.value))
    }

    /// Ends the hold of a caller, if it has one.
    pub(crate) fn let_go(&self, caller: Caller) {
        self.let_go_if(|holder| holder == caller);
    }

    /// Ends the hold of a client that is gone. If it has none, that is known without waiting for a method.
    pub(crate) fn client_gone(&self, client: ClientId) {
        if self.held_by.load(Ordering::Acquire) == client.0 {
            self.let_go_if(|holder| holder.client == client);
        }
    }

    fn let_go_if(&self, is_over: impl FnOnce(Caller) -> bool) {
        let mut state = self.state.lock();
        if state.holder.is_some_and(is_over) {
            state.holder = None;
            self.held_by.store(NOBODY, Ordering::Release);
            self.let_go.notify_all();
        }
    }

    /// Waits until nobody but this caller has hold of it.
    fn wait(&self, caller: Caller, state: &mut MutexGuard<'_, State<S>>) {
        while state.holder.is_some_and(|holder| holder != caller) {
            self.let_go.wait(state);
        }
    }
}

/// How often somebody begins anew before it takes hold.
const ATTEMPTS: u32 = 4;

/// Ends a hold of this thread, also when what it works with panics.
struct Hold<'a>(&'a Proxy);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        // A server that is gone has no holds.
        let _told = self.0.tell("let_go", Payload::default());
    }
}

/// Has `attempt` read a versioned object, work on it and put it back, until nobody else has changed it meanwhile. It is told
/// whether it is to take hold when it reads, and gives nothing when the object was changed.
pub(crate) fn until_unchanged<R>(
    proxy: &Proxy,
    mut attempt: impl FnMut(bool) -> Result<Option<R>, ManagerError>,
) -> Result<R, ManagerError> {
    for _ in 0..ATTEMPTS {
        if let Some(done) = attempt(false)? {
            return Ok(done);
        }
    }
    let _hold = Hold(proxy);
    attempt(true)?.ok_or_else(|| {
        ManagerError::Value(
            "what was to be put back was changed on the way by the same thread".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;
    use crate::host::Host;

    fn client() -> (Arc<crate::host::client::Client>, Caller) {
        let client = Host::here().admit(1, None);
        let caller = Caller { client: client.id(), thread: 1 };
        (client, caller)
    }

    fn hold(value: &Versioned<u32>, caller: Caller) -> i64 {
        let arguments = Payload::default();
        let call = Call { host: Host::here(), caller, method: "", arguments: &arguments };
        value.read_version(&call, true, |_| ()).0
    }

    #[test]
    fn changes_wait_for_who_has_hold_until_it_is_gone() {
        let value = Arc::new(Versioned::new(0));
        let (holder, its_thread) = client();
        let (_other, other_thread) = client();
        let version = hold(&value, its_thread);

        let (tell, told) = mpsc::channel();
        let changed = Arc::clone(&value);
        let changing = std::thread::spawn(move || {
            tell.send(()).unwrap();
            changed.change(other_thread, |value| *value += 1);
        });
        told.recv().unwrap();
        value.read(|value| assert_eq!(*value, 0));
        assert_eq!(value.change_version(its_thread, version, |value| *value += 10), Some(()));

        Host::here().dismiss(&holder);
        value.client_gone(holder.id());
        changing.join().unwrap();
        value.read(|value| assert_eq!(*value, 11));
        assert_eq!(value.change_version(other_thread, version, |value| *value = 0), None);
    }

    #[test]
    fn who_is_gone_takes_no_hold() {
        let value = Versioned::new(0);
        let (gone, its_thread) = client();
        Host::here().dismiss(&gone);
        hold(&value, its_thread);
        let (_other, other_thread) = client();
        value.change(other_thread, |value| *value += 1);
        value.read(|value| assert_eq!(*value, 1));
    }
}
