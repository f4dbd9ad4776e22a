//! [`Barrier`]: a number of parties that go on together.

use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mp_remote_exception::{Error, RemoteException};
use mp_shared_memory::Object;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::deadline::after;
use crate::error::{BarrierError, Broken, SyncError};
use crate::owner;
use crate::state::barrier::{Arrival, BarrierState, PARTIES, Reason};
use crate::sys::action::{self, Action, Reference};

/// A point that a number of processes and threads reach before any of them goes on, again and again.
///
/// # When a process dies
///
/// A process takes part from its first `wait` until it drops the handle. If it is killed before that, inside
/// of `wait` or between two rounds, the barrier breaks: everybody who waits, and everybody who comes, gets
/// [`Broken::PartyDied`] with its name, until somebody [resets](Barrier::reset) the barrier. A process that
/// ends by itself drops its handles, unless it does so by `std::process::exit`.
///
/// # Examples
///
/// ```
/// # use mp_sync as mp;
/// let barrier = mp::Barrier::new(2)?;
/// let mut numbers = std::thread::scope(|scope| {
///     let threads = [0, 1].map(|_| scope.spawn(|| barrier.wait().unwrap()));
///     threads.map(|thread| thread.join().unwrap())
/// });
/// numbers.sort();
/// assert_eq!(numbers, [0, 1]);
/// # Ok::<(), mp::SyncError>(())
/// ```
#[doc(alias = "multiprocessing.Barrier")]
#[derive(Clone, Serialize)]
pub struct Barrier {
    party: Arc<Party>,
    limit: Option<Duration>,
    action: Option<Reference>,
}

/// All clones of a handle, which leave the barrier together.
struct Party {
    state: Object<BarrierState>,
    has_joined: AtomicBool,
}

impl Party {
    fn new(state: Object<BarrierState>) -> Arc<Party> {
        Arc::new(Party { state, has_joined: AtomicBool::new(false) })
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.state.serialize(serializer)
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if self.has_joined.load(Relaxed) {
            // Fails only where nobody can sleep, and so nobody waits.
            let _left = self.state.leave(&self.state);
        }
    }
}

/// A barrier before it is made.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BarrierBuilder {
    parties: usize,
    limit: Option<Duration>,
    action: Option<Action>,
}

impl BarrierBuilder {
    /// What one of the parties does in each round, after all have come and before any goes on: a
    /// function or a closure that captures nothing.
    ///
    /// If it fails or panics, the barrier breaks.
    pub fn action(mut self, action: fn() -> mp_remote_exception::Result<()>) -> BarrierBuilder {
        self.action = Some(action);
        self
    }

    /// How long [`wait`](Barrier::wait) waits before it breaks the barrier. Default: for ever.
    pub fn timeout(mut self, timeout: Duration) -> BarrierBuilder {
        self.limit = Some(timeout);
        self
    }

    /// Makes the barrier.
    ///
    /// # Errors
    ///
    /// [`SyncError::InvalidParties`] for none or more than 1024, [`SyncError::ForeignAction`] for an
    /// action in a shared library, [`SyncError::Memory`] when there is no memory for it.
    #[track_caller]
    pub fn build(self) -> Result<Barrier, SyncError> {
        let invalid = SyncError::InvalidParties { parties: self.parties, max: PARTIES };
        let parties = u32::try_from(self.parties).map_err(|_| invalid.clone())?;
        if parties == 0 || self.parties > PARTIES {
            return Err(invalid);
        }
        let reference = |action| action::reference(action).ok_or(SyncError::ForeignAction);
        let action = self.action.map(reference).transpose()?;
        let state: Object<BarrierState> = Object::create()?;
        state.begin(parties);
        Ok(Barrier { party: Party::new(state), limit: self.limit, action })
    }
}

impl Barrier {
    /// A barrier for this number of parties.
    ///
    /// # Errors
    ///
    /// As [`BarrierBuilder::build`].
    #[track_caller]
    pub fn new(parties: usize) -> Result<Barrier, SyncError> {
        Barrier::builder(parties).build()
    }

    /// Describes a barrier before it is made.
    pub fn builder(parties: usize) -> BarrierBuilder {
        BarrierBuilder { parties, limit: None, action: None }
    }

    /// Sleeps until all parties have come; the number of this one among them, from 0 in the order of
    /// their coming.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`] if the barrier is broken or breaks, by a party whose time is over, that
    /// aborts or that dies; [`BarrierError::Action`] if this party ran the action and it failed.
    pub fn wait(&self) -> Result<usize, BarrierError> {
        self.wait_limited(self.limit)
    }

    /// [`wait`](Barrier::wait), breaking the barrier after `timeout`, whatever its own limit is.
    ///
    /// # Errors
    ///
    /// As `wait`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<usize, BarrierError> {
        self.wait_limited(Some(timeout))
    }

    fn wait_limited(&self, limit: Option<Duration>) -> Result<usize, BarrierError> {
        let Party { state, has_joined } = &*self.party;
        let act = self.action.as_ref().map(action::find).transpose()?;
        let arrival = state.arrive(state, has_joined, limit.and_then(after), act.is_some());
        match (arrival.map_err(SyncError::from)?, act) {
            (Arrival::Act(number), Some(act)) => {
                // A panic has been printed by its hook; the other parties must not wait for it.
                let outcome = catch_unwind(AssertUnwindSafe(act))
                    .unwrap_or_else(|_| Err(Error::msg("the action of the barrier panicked")));
                let arrival = state.acted(state, number, outcome.is_ok());
                let arrival = arrival.map_err(SyncError::from)?;
                outcome.map_err(|error| BarrierError::Action(RemoteException::new(error)))?;
                self.result(arrival, limit)
            }
            (arrival, _) => self.result(arrival, limit),
        }
    }

    fn result(&self, arrival: Arrival, limit: Option<Duration>) -> Result<usize, BarrierError> {
        let reason = match arrival {
            Arrival::Passed(number) | Arrival::Act(number) => return Ok(number),
            Arrival::Broken(reason) => reason,
        };
        Err(BarrierError::Broken(match reason {
            Reason::Aborted => Broken::Aborted,
            Reason::TimedOut => Broken::TimedOut { limit },
            Reason::ActionFailed => Broken::ActionFailed,
            Reason::Reset => Broken::Reset,
            Reason::Died(member) => Broken::PartyDied {
                process: member.map(|member| owner::peer(&self.party.state, member)),
            },
        }))
    }

    /// Breaks the barrier until it is reset.
    ///
    /// # Errors
    ///
    /// [`SyncError::System`] when the system lets nobody sleep.
    pub fn abort(&self) -> Result<(), SyncError> {
        Ok(self.party.state.abort(&self.party.state)?)
    }

    /// Makes the barrier whole and empty. Parties that wait get [`Broken::Reset`].
    ///
    /// # Errors
    ///
    /// As [`abort`](Barrier::abort).
    pub fn reset(&self) -> Result<(), SyncError> {
        Ok(self.party.state.reset(&self.party.state)?)
    }

    /// The number of parties.
    pub fn parties(&self) -> usize {
        self.party.state.parties() as usize
    }

    /// How many wait for the others, at this moment; 0 while it is broken.
    pub fn n_waiting(&self) -> usize {
        self.party.state.waiting() as usize
    }

    /// Whether it is broken.
    pub fn broken(&self) -> bool {
        self.party.state.is_broken()
    }

    /// See [`Lock::token`](crate::Lock::token). The limit and the action of this handle do not go into it.
    ///
    /// # Errors
    ///
    /// [`SyncError::ForeignAction`] for a barrier with an action, which another program would not have;
    /// [`SyncError::Memory`] when the session cannot be reached.
    pub fn token(&self) -> Result<String, SyncError> {
        if self.action.is_some() {
            return Err(SyncError::ForeignAction);
        }
        Ok(self.party.state.token()?)
    }

    /// See [`Lock::from_token`](crate::Lock::from_token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<Barrier, SyncError> {
        let party = Party::new(Object::from_token(token)?);
        Ok(Barrier { party, limit: None, action: None })
    }
}

impl<'de> Deserialize<'de> for Barrier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Barrier, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Barrier")]
        struct Parts {
            party: Object<BarrierState>,
            limit: Option<Duration>,
            action: Option<Reference>,
        }
        let Parts { party: state, limit, action } = Parts::deserialize(deserializer)?;
        if let Some(reference) = &action {
            action::find(reference).map_err(D::Error::custom)?;
        }
        Ok(Barrier { party: Party::new(state), limit, action })
    }
}

/// Shows parties, waiting ones, and whether it is broken.
impl Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parties, waiting) = (self.parties(), self.n_waiting());
        let broken = if self.broken() { ", broken" } else { "" };
        write!(f, "<Barrier(parties={parties}, waiting={waiting}{broken})>")
    }
}
