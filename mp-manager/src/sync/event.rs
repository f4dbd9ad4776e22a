//! [`EventProxy`]: a flag in a server that others wait for.

use std::time::Duration;

use parking_lot::Mutex;

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::Failure;
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::manager::Manager;
use crate::proxy::TypedProxy;
use crate::registry::Registered;
use crate::sync::core::{Limit, Line, abandoned};
use crate::typed::typed_proxy;

inventory::submit! {
    Registered {
        name: EventProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| {
            let () = call.args()?;
            Ok(Box::new(EventObject::default()))
        },
    }
}

/// An event as its server has it.
#[derive(Debug, Default)]
struct EventObject(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_set: bool,
    /// Empty while it is set.
    line: Line<()>,
}

impl EventObject {
    fn set(&self) {
        let mut state = self.0.lock();
        state.is_set = true;
        for turn in state.line.pop_all() {
            turn.tell(());
        }
    }

    fn wait(&self, call: &Call<'_>, limit: Limit) -> Result<bool, Failure> {
        let mut state = self.0.lock();
        if call.is_abandoned() {
            return Err(abandoned());
        }
        if state.is_set || limit == Limit::NONE {
            return Ok(state.is_set);
        }
        let deadline = limit.deadline();
        let waiter = state.line.join(call, ());
        let was_set = waiter.sleep(&mut state, call, deadline).is_some();
        if !was_set {
            let _none = state.line.leave(&waiter);
        }
        Ok(was_set)
    }
}

impl Hosted for EventObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "set" => {
                self.set();
                call.reply(&())
            }
            "clear" => {
                self.0.lock().is_set = false;
                call.reply(&())
            }
            "is_set" => call.reply(&self.0.lock().is_set),
            "wait" => {
                let (limit,) = call.args()?;
                call.reply(&self.wait(call, limit)?)
            }
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        EventProxy::TYPE
    }

    fn preview(&self) -> String {
        format!("<Event {}>", if self.0.lock().is_set { "set" } else { "unset" })
    }

    fn cares_for(&self) -> Clients {
        Clients::All
    }

    fn client_gone(&self, client: ClientId) {
        let _wishes = self.0.lock().line.send_away(client);
    }
}

typed_proxy! {
    /// A flag in a server that processes set, clear and wait for.
    ///
    /// Everybody who waits when it is set goes on, also if it is cleared at once. A call that waits sleeps, and a thread of
    /// the server with it. It works between machines as well; on one machine [`mp::Event`](mp_sync::Event) is by far the
    /// faster choice, and can be set in a signal handler, which this one cannot.
    ///
    /// Its `Display` text says whether it is set.
    ///
    /// # When a process dies
    ///
    /// A waiter that was killed is not missed. When the server is gone, every call is [`ManagerError::Disconnected`], those
    /// that wait included.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let event = manager.event()?;
    /// assert_eq!(event.to_string(), "<Event unset>");
    /// let p = mp::Process::start(|event: mp::EventProxy| Ok(event.set()?), (event.clone(),))?;
    /// event.wait()?;
    /// assert!(event.is_set()?);
    /// p.join()?;
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.Event")]
    pub struct EventProxy = "event";
}

impl Manager {
    /// A new event, not set.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    #[doc(alias = "Event")]
    pub fn event(&self) -> Result<EventProxy, ManagerError> {
        self.handle().create(self.handle().encode(&())?)
    }
}

impl EventProxy {
    /// Whether it is set.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn is_set(&self) -> Result<bool, ManagerError> {
        self.as_proxy().call("is_set", &())
    }

    /// Sets it: who waits goes on, and nobody waits until it is cleared.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn set(&self) -> Result<(), ManagerError> {
        self.as_proxy().call("set", &())
    }

    /// Makes it not set.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn clear(&self) -> Result<(), ManagerError> {
        self.as_proxy().call("clear", &())
    }

    /// Sleeps until it is set.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn wait(&self) -> Result<(), ManagerError> {
        while !self.wait_limited(Limit::FOR_EVER)? {}
        Ok(())
    }

    /// Sleeps until it is set, no longer than `timeout`; whether it was set meanwhile.
    ///
    /// # Errors
    ///
    /// As [`wait`](EventProxy::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, ManagerError> {
        self.wait_limited(Limit::of(timeout))
    }

    fn wait_limited(&self, limit: Limit) -> Result<bool, ManagerError> {
        self.as_proxy().call("wait", &(limit,))
    }
}
