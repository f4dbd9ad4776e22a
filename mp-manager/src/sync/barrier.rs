//! [`BarrierProxy`]: a number of parties that go on together, as a server sees to it.

use std::collections::HashSet;
use std::time::Duration;

use mp_sync::{BarrierError, Broken, SyncError};
use parking_lot::Mutex;

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::{BarrierBreak, Failure, Refusal};
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::manager::Manager;
use crate::proxy::TypedProxy;
use crate::registry::Registered;
use crate::sync::core::{Limit, Line, abandoned};
use crate::typed::typed_proxy;

/// The most parties, as a barrier in shared memory has them.
const MAX_PARTIES: usize = 1024;

inventory::submit! {
    Registered {
        name: BarrierProxy::TYPE,
        place: concat!(file!(), ":", line!()),
        create: BarrierObject::create,
    }
}

/// A barrier as its server has it.
#[derive(Debug)]
struct BarrierObject {
    parties: usize,
    /// How long a party waits that does not say.
    limit: Limit,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who has come in this round; nobody while it is broken.
    line: Line<Result<(), BarrierBreak>>,
    broken: Option<BarrierBreak>,
    /// The processes that have taken part.
    members: HashSet<ClientId>,
}

impl State {
    fn tell_all(&mut self, what: Result<(), BarrierBreak>) {
        for turn in self.line.pop_all() {
            turn.tell(what);
        }
    }

    fn break_by(&mut self, reason: BarrierBreak) {
        self.broken.get_or_insert(reason);
        self.tell_all(Err(reason));
    }
}

impl BarrierObject {
    fn create(call: &Call<'_>) -> Result<Box<dyn Hosted>, Failure> {
        let (parties, limit): (u64, Limit) = call.args()?;
        let parties = usize::try_from(parties).unwrap_or(usize::MAX);
        check(parties).map_err(|error| Refusal::Value(error.to_string()))?;
        Ok(Box::new(BarrierObject { parties, limit, state: Mutex::default() }))
    }

    /// Gives the number of the party, or nothing if it did not wait any longer.
    fn wait(&self, call: &Call<'_>, limit: Option<Limit>) -> Result<Option<u64>, Failure> {
        let limit = limit.unwrap_or(self.limit);
        let mut state = self.state.lock();
        if call.is_abandoned() {
            return Err(abandoned());
        }
        state.members.insert(call.caller().client);
        if let Some(reason) = state.broken {
            return Err(Refusal::BarrierBroken(reason).into());
        }
        let number = state.line.len();
        if number + 1 == self.parties {
            state.tell_all(Ok(()));
            return Ok(Some(number as u64));
        }
        let deadline = limit.deadline();
        let waiter = state.line.join(call, ());
        match waiter.sleep(&mut state, call, deadline) {
            Some(Ok(())) => return Ok(Some(number as u64)),
            Some(Err(reason)) => return Err(Refusal::BarrierBroken(reason).into()),
            None => {}
        }
        let _none = state.line.leave(&waiter);
        if call.is_abandoned() {
            return Err(abandoned());
        }
        state.break_by(BarrierBreak::TimedOut);
        Ok(None)
    }

    fn reset(&self) {
        let mut state = self.state.lock();
        state.broken = None;
        state.tell_all(Err(BarrierBreak::Reset));
    }
}

/// That a barrier can have so many parties.
fn check(parties: usize) -> Result<(), SyncError> {
    if parties == 0 || parties > MAX_PARTIES {
        return Err(SyncError::InvalidParties { parties, max: MAX_PARTIES });
    }
    Ok(())
}

impl Hosted for BarrierObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "wait" => {
                let (limit,) = call.args()?;
                call.reply(&self.wait(call, limit)?)
            }
            "abort" => {
                self.state.lock().break_by(BarrierBreak::Aborted);
                call.reply(&())
            }
            "reset" => {
                self.reset();
                call.reply(&())
            }
            "parties" => call.reply(&(self.parties as u64)),
            "n_waiting" => call.reply(&(self.state.lock().line.len() as u64)),
            "broken" => call.reply(&self.state.lock().broken.is_some()),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        BarrierProxy::TYPE
    }

    fn preview(&self) -> String {
        let (parties, state) = (self.parties, self.state.lock());
        let broken = if state.broken.is_some() { ", broken" } else { "" };
        format!("<Barrier(parties={parties}, waiting={}{broken})>", state.line.len())
    }

    fn cares_for(&self) -> Clients {
        Clients::All
    }

    fn given_back(&self, client: ClientId) {
        self.state.lock().members.remove(&client);
    }

    fn holder_gone(&self, client: ClientId) {
        let mut state = self.state.lock();
        if state.members.contains(&client) {
            state.break_by(BarrierBreak::PartyGone);
        }
    }

    fn client_gone(&self, client: ClientId) {
        let mut state = self.state.lock();
        state.members.remove(&client);
        // Who waits holds it, so those are told already.
        let _wishes = state.line.send_away(client);
    }
}

typed_proxy! {
    /// A point in a server that a number of processes and threads reach before any of them goes on, again and again.
    ///
    /// A call that waits sleeps, and a thread of the server with it. It works between machines as well; on one machine
    /// [`mp::Barrier`](mp_sync::Barrier) is by far the faster choice, and can have an action.
    ///
    /// # When a process dies
    ///
    /// A process takes part from its first `wait` until it drops its last proxy. If it is gone before that, inside of
    /// `wait` or between two rounds, the barrier breaks: everybody who waits, and everybody who comes, gets
    /// [`Broken::PartyDied`] until somebody [resets](BarrierProxy::reset) the barrier. A process that ends by itself drops its
    /// proxies, unless it does so by `std::process::exit` or has them in a `static`. When the server is gone, every call
    /// is [`ManagerError::Disconnected`], those that wait included.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let barrier = manager.barrier(2)?;
    /// let p = mp::Process::start(|b: mp::BarrierProxy| Ok(b.wait()?), (barrier.clone(),))?;
    /// let mut numbers = [barrier.wait()?, p.into_result()?];
    /// numbers.sort();
    /// assert_eq!(numbers, [0, 1]);
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.Barrier")]
    pub struct BarrierProxy = "barrier";
}

impl Manager {
    /// A new barrier for this number of parties.
    ///
    /// # Errors
    ///
    /// [`InvalidParties`](SyncError::InvalidParties) for none or more than 1024; [`ManagerError::Disconnected`].
    #[doc(alias = "Barrier")]
    pub fn barrier(&self, parties: usize) -> Result<BarrierProxy, ManagerError> {
        self.barrier_limited(parties, Limit::FOR_EVER)
    }

    /// A new barrier at which [`wait`](BarrierProxy::wait) breaks it after `timeout`.
    ///
    /// # Errors
    ///
    /// As [`barrier`](Manager::barrier).
    pub fn barrier_with_timeout(
        &self,
        parties: usize,
        timeout: Duration,
    ) -> Result<BarrierProxy, ManagerError> {
        self.barrier_limited(parties, Limit::of(timeout))
    }

    fn barrier_limited(&self, parties: usize, limit: Limit) -> Result<BarrierProxy, ManagerError> {
        check(parties).map_err(ManagerError::Sync)?;
        self.handle().create(self.handle().encode(&(parties as u64, limit))?)
    }
}

impl BarrierProxy {
    /// Sleeps until all parties have come; the number of this one among them, from 0 in the order of their coming.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`] if the barrier is broken or breaks, by a party whose time is over, that aborts or that dies;
    /// [`ManagerError::Disconnected`].
    pub fn wait(&self) -> Result<usize, ManagerError> {
        self.wait_limited(None)
    }

    /// [`wait`](BarrierProxy::wait), breaking the barrier after `timeout`, whatever its own limit is.
    ///
    /// # Errors
    ///
    /// As `wait`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<usize, ManagerError> {
        self.wait_limited(Some(timeout))
    }

    fn wait_limited(&self, timeout: Option<Duration>) -> Result<usize, ManagerError> {
        let number: Option<u64> = self.as_proxy().call("wait", &(timeout.map(Limit::of),))?;
        let number = number.ok_or(Broken::TimedOut { limit: timeout });
        let number =
            number.map_err(|broken| ManagerError::Barrier(BarrierError::Broken(broken)))?;
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Breaks the barrier until it is reset.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn abort(&self) -> Result<(), ManagerError> {
        self.as_proxy().call("abort", &())
    }

    /// Makes the barrier whole and empty. Parties that wait get [`Broken::Reset`].
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn reset(&self) -> Result<(), ManagerError> {
        self.as_proxy().call("reset", &())
    }

    /// The number of parties.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn parties(&self) -> Result<usize, ManagerError> {
        let parties: u64 = self.as_proxy().call("parties", &())?;
        Ok(usize::try_from(parties).unwrap_or(usize::MAX))
    }

    /// How many wait for the others, at this moment; 0 while it is broken.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn n_waiting(&self) -> Result<usize, ManagerError> {
        let waiting: u64 = self.as_proxy().call("n_waiting", &())?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }

    /// Whether it is broken.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn broken(&self) -> Result<bool, ManagerError> {
        self.as_proxy().call("broken", &())
    }
}
