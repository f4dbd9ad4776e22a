//! Mutual exclusion: who holds a lock, how often, and who has it next.

use std::fmt::{self, Display};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::{Caller, ClientId};
use crate::sync::core::{Limit, Line, abandoned};

/// A lock, re-entrant or not, without its place among the objects of the server: a condition may share it.
#[derive(Debug)]
pub(crate) struct Mutual {
    is_reentrant: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hold: Option<Hold>,
    /// Empty while nobody holds it.
    line: Line<Got, Hold>,
    /// The process that held it and is gone, until the next one is told.
    orphaned_by: Option<u32>,
}

/// How it is held. Guards are those of its owner. What is leaked is that of the owner if the lock is re-entrant, and
/// nobody's if it is not: then there is no owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    owner: Option<Owner>,
    guards: u32,
    leaked: u32,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    caller: Caller,
    pid: u32,
}

/// That a lock was taken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Got {
    /// The process that held it last, if that is gone.
    pub(crate) died: Option<u32>,
}

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} of process {}", self.caller.thread, self.pid)
    }
}

impl State {
    fn take(&mut self, hold: Hold) -> Got {
        self.hold = Some(hold);
        Got { died: self.orphaned_by.take() }
    }

    /// Nobody holds it any more but the next one who waits.
    fn pass_on(&mut self) {
        self.hold = None;
        if let Some(turn) = self.line.pop() {
            let got = self.take(turn.wish);
            turn.tell(got);
        }
    }

    /// Frees it if nothing is left of a hold.
    fn keep(&mut self, hold: Hold) {
        self.hold = Some(hold);
        if hold.guards == 0 && hold.leaked == 0 {
            self.pass_on();
        }
    }

    fn owner_text(&self) -> String {
        match self.hold {
            None => "none".to_owned(),
            Some(Hold { owner: None, .. }) => "nobody in particular".to_owned(),
            Some(Hold { owner: Some(owner), .. }) => owner.to_string(),
        }
    }
}

impl Mutual {
    pub(crate) fn new(is_reentrant: bool) -> Mutual {
        Mutual { is_reentrant, state: Mutex::default() }
    }

    /// Takes it for a guard of the caller.
    pub(crate) fn acquire(&self, call: &Call<'_>, limit: Limit) -> Result<Option<Got>, Failure> {
        let caller = call.caller();
        let mut state = self.state.lock();
        let pid = call.pid().ok_or_else(abandoned)?;
        if self.is_reentrant
            && let Some(hold) = &mut state.hold
            && hold.owner.is_some_and(|owner| owner.caller == caller)
        {
            hold.guards += 1;
            return Ok(Some(Got { died: None }));
        }
        let hold = Hold { owner: Some(Owner { caller, pid }), guards: 1, leaked: 0 };
        if state.hold.is_none() {
            return Ok(Some(state.take(hold)));
        }
        if limit == Limit::NONE {
            return Ok(None);
        }
        let deadline = limit.deadline();
        let waiter = state.line.join(call, hold);
        let got = waiter.sleep(&mut state, call, deadline);
        if got.is_none() {
            let _hold = state.line.leave(&waiter);
        }
        Ok(got)
    }

    /// What the caller holds.
    fn held_by(&self, state: &State, caller: Caller) -> Result<Hold, Failure> {
        let is_owner = |owner: Owner| {
            owner.caller == caller || !self.is_reentrant && owner.caller.client == caller.client
        };
        let hold = state.hold.filter(|hold| hold.owner.is_some_and(is_owner));
        Ok(hold.ok_or_else(|| Refusal::NotOwner { owner: state.owner_text() })?)
    }

    /// Gives back what a guard of the caller stands for.
    pub(crate) fn release_guard(&self, call: &Call<'_>) -> Result<(), Failure> {
        let mut state = self.state.lock();
        let hold = self.held_by(&state, call.caller())?;
        // What has no guard is leaked, and for others to release.
        let guards = hold.guards.checked_sub(1).ok_or(Refusal::NotHeld)?;
        state.keep(Hold { guards, ..hold });
        Ok(())
    }

    /// A guard of the caller gives up what it stands for, and leaves it taken.
    fn leak(&self, call: &Call<'_>) -> Result<(), Failure> {
        let mut state = self.state.lock();
        let hold = self.held_by(&state, call.caller())?;
        let guards = hold.guards.checked_sub(1).ok_or(Refusal::NotHeld)?;
        let owner = if self.is_reentrant { hold.owner } else { None };
        state.keep(Hold { owner, guards, leaked: hold.leaked + 1 });
        Ok(())
    }

    /// Gives back what was leaked.
    fn release(&self, call: &Call<'_>) -> Result<(), Failure> {
        let mut state = self.state.lock();
        let hold = if self.is_reentrant {
            self.held_by(&state, call.caller())?
        } else {
            state.hold.ok_or(Refusal::NotHeld)?
        };
        let leaked = hold.leaked.checked_sub(1).ok_or(Refusal::Guarded)?;
        state.keep(Hold { leaked, ..hold });
        Ok(())
    }

    fn is_locked(&self) -> bool {
        self.state.lock().hold.is_some()
    }

    /// That the caller holds it.
    pub(crate) fn check_held(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.held_by(&self.state.lock(), call.caller()).map(drop)
    }

    /// Gives it up for the sake of a wait, however often the caller holds it.
    pub(crate) fn give_up(&self, call: &Call<'_>) -> Result<Hold, Failure> {
        let mut state = self.state.lock();
        let hold = self.held_by(&state, call.caller())?;
        state.pass_on();
        Ok(hold)
    }

    /// Takes it again as it was held before a wait, however long that takes.
    pub(crate) fn take_again(&self, call: &Call<'_>, hold: Hold) -> Result<Got, Failure> {
        let mut state = self.state.lock();
        if call.is_abandoned() {
            return Err(abandoned());
        }
        if state.hold.is_none() {
            return Ok(state.take(hold));
        }
        let waiter = state.line.join(call, hold);
        waiter.sleep(&mut state, call, None).ok_or_else(abandoned)
    }

    /// Whether its holder is gone, and nobody has taken it since.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.state.lock().orphaned_by.is_some()
    }

    /// Takes it from a client that is gone, for the next one who waits. Once more does nothing.
    pub(crate) fn client_gone(&self, client: ClientId) {
        let mut state = self.state.lock();
        let _wishes = state.line.send_away(client);
        if let Some(Hold { owner: Some(owner), .. }) = state.hold
            && owner.caller.client == client
        {
            log::warn!("process {} is gone and held a lock of this server", owner.pid);
            state.orphaned_by = Some(owner.pid);
            state.pass_on();
        }
    }

    /// Who holds it and, if it is re-entrant, how often.
    pub(crate) fn text(&self) -> String {
        let state = self.state.lock();
        let owner = state.owner_text();
        if self.is_reentrant {
            let count = state.hold.map_or(0, |hold| hold.guards + hold.leaked);
            format!("<RLock(owner={owner}, count={count})>")
        } else {
            format!("<Lock(owner={owner})>")
        }
    }
}

/// A lock as an object of the server.
#[derive(Debug)]
pub(crate) struct MutualObject(pub(crate) Arc<Mutual>);

impl MutualObject {
    pub(crate) fn create(call: &Call<'_>, is_reentrant: bool) -> Result<Box<dyn Hosted>, Failure> {
        let () = call.args()?;
        Ok(Box::new(MutualObject(Arc::new(Mutual::new(is_reentrant)))))
    }
}

impl Hosted for MutualObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        let mutual = &self.0;
        match method {
            "acquire" => {
                let (limit,) = call.args()?;
                call.reply(&mutual.acquire(call, limit)?)
            }
            "release_guard" => call.reply(&mutual.release_guard(call)?),
            "leak" => call.reply(&mutual.leak(call)?),
            "release" => call.reply(&mutual.release(call)?),
            "is_locked" => call.reply(&mutual.is_locked()),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        if self.0.is_reentrant { "rlock" } else { "lock" }
    }

    fn preview(&self) -> String {
        self.0.text()
    }

    fn cares_for(&self) -> Clients {
        Clients::All
    }

    fn client_gone(&self, client: ClientId) {
        self.0.client_gone(client);
    }
}
