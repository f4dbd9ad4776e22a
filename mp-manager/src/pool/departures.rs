//! [`Departures`]: calls that wait in a server, and what ends that when nobody waits for them any more.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::call::Call;
use crate::id::ClientId;

type Hook = Arc<dyn Fn() + Send + Sync>;

/// What is to be done when clients are gone that wait here.
#[derive(Default)]
pub(super) struct Departures(Mutex<State>);

#[derive(Default)]
struct State {
    hooks: HashMap<u64, (ClientId, Hook)>,
    last: u64,
}

/// One who waits, until this is dropped.
struct Waiting<'a>(&'a Departures, u64);

impl Departures {
    /// Runs `wait`; `end` is called when the client of the call is gone meanwhile, or was before.
    pub(super) fn during<R>(
        &self,
        call: &Call<'_>,
        end: impl Fn() + Send + Sync + 'static,
        wait: impl FnOnce() -> R,
    ) -> R {
        let hook: Hook = Arc::new(end);
        let key = {
            let mut state = self.0.lock();
            state.last += 1;
            let key = state.last;
            state.hooks.insert(key, (call.caller().client, Arc::clone(&hook)));
            key
        };
        let _waiting = Waiting(self, key);
        // One that was gone before is not told of again.
        if call.is_abandoned() {
            hook();
        }
        wait()
    }

    /// A client is gone.
    pub(super) fn note(&self, client: ClientId) {
        let state = self.0.lock();
        let of_client = state.hooks.values().filter(|(known, _)| *known == client);
        let hooks: Vec<Hook> = of_client.map(|(_, hook)| Arc::clone(hook)).collect();
        drop(state);
        hooks.into_iter().for_each(|hook| hook());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let hook = self.0.0.lock().hooks.remove(&self.1);
        drop(hook);
    }
}

impl Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.0.lock().hooks.len())
    }
}
