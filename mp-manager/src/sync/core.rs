//! Threads of a server that wait until they are told something, in the order in which they came.
//!
//! A thread of the server serves one of a client, so a call that has to wait keeps its thread asleep, and its deadline is
//! kept there. Whoever changes an object decides under the lock of that object who goes on, and tells it: the one who is
//! told has what it waited for before it wakes, so nobody who comes later gets it first.
//!
//! When a client is gone, that is known before [`Hosted::client_gone`](crate::hosted::Hosted::client_gone) of an object
//! is called. So a call that asks under the lock of the object whether it is abandoned, before it takes something or waits
//! there, either takes nothing or is found by `client_gone`, which takes back what it took and sends it away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_sync::parts::{after, has_passed};
use parking_lot::{Condvar, Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::failure::{Failure, Refusal};
use crate::id::{Caller, ClientId};

/// How long a call may wait, in nanoseconds; for ever if it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Limit(pub(crate) i64);

impl Limit {
    pub(crate) const FOR_EVER: Limit = Limit(-1);
    pub(crate) const NONE: Limit = Limit(0);

    /// Longer than 292 years is that.
    pub(crate) fn of(time: Duration) -> Limit {
        Limit(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    }

    /// When it is over, if it begins now.
    pub(crate) fn deadline(self) -> Option<Instant> {
        let nanos = u64::try_from(self.0).ok()?;
        after(Duration::from_nanos(nanos))
    }
}

/// Why a call has no result that nobody waits for any more.
pub(crate) fn abandoned() -> Failure {
    Refusal::System("serve a client that is gone".to_owned()).into()
}

/// A call that waits until it is told a `T`.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    caller: Caller,
    told: Mutex<Option<T>>,
    bell: Condvar,
}

impl<T> Waiter<T> {
    /// Sleeps until it is told something; `None` when the time is over, or the client is gone.
    pub(crate) fn sleep<S>(
        &self,
        state: &mut MutexGuard<'_, S>,
        call: &Call<'_>,
        deadline: Option<Instant>,
    ) -> Option<T> {
        loop {
            let told = self.told.lock().take();
            if told.is_some() || call.is_abandoned() || has_passed(deadline) {
                return told;
            }
            match deadline {
                Some(deadline) => drop(self.bell.wait_until(state, deadline)),
                None => self.bell.wait(state),
            }
        }
    }
}

/// Calls that wait, the one who came first in front. Each has something with it that it wants.
#[derive(Debug)]
pub(crate) struct Line<T, W = ()>(VecDeque<Turn<T, W>>);

/// A call that has left the line, and is to be told why.
#[derive(Debug)]
pub(crate) struct Turn<T, W = ()> {
    waiter: Arc<Waiter<T>>,
    pub(crate) wish: W,
}

impl<T, W> Turn<T, W> {
    /// Whose call it is.
    pub(crate) fn client(&self) -> ClientId {
        self.waiter.caller.client
    }

    /// Has it go on; gives what it wanted.
    pub(crate) fn tell(self, what: T) -> W {
        *self.waiter.told.lock() = Some(what);
        self.waiter.bell.notify_one();
        self.wish
    }
}

impl<T, W> Default for Line<T, W> {
    fn default() -> Self {
        Line(VecDeque::new())
    }
}

impl<T, W> Line<T, W> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts a call at the end.
    pub(crate) fn join(&mut self, call: &Call<'_>, wish: W) -> Arc<Waiter<T>> {
        let (told, bell) = (Mutex::new(None), Condvar::new());
        let waiter = Arc::new(Waiter { caller: call.caller(), told, bell });
        self.0.push_back(Turn { waiter: Arc::clone(&waiter), wish });
        waiter
    }

    /// Takes out a call that does not wait any longer; gives what it wanted, if nobody has taken it out before.
    pub(crate) fn leave(&mut self, waiter: &Arc<Waiter<T>>) -> Option<W> {
        let position = self.0.iter().position(|turn| Arc::ptr_eq(&turn.waiter, waiter))?;
        self.0.remove(position).map(|turn| turn.wish)
    }

    /// Takes out the first one.
    pub(crate) fn pop(&mut self) -> Option<Turn<T, W>> {
        self.0.pop_front()
    }

    /// Takes out the first one whose process is still there. The system says so: the server may not have heard of its end
    /// yet.
    pub(crate) fn pop_living(&mut self, call: &Call<'_>) -> Option<Turn<T, W>> {
        let position = self.0.iter().position(|turn| call.is_there(turn.client()))?;
        self.0.remove(position)
    }

    /// Takes out everybody.
    pub(crate) fn pop_all(&mut self) -> impl Iterator<Item = Turn<T, W>> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// Takes out the calls of a client that is gone, and has them end; gives what they wanted.
    pub(crate) fn send_away(&mut self, client: ClientId) -> Vec<W> {
        let mut wishes = Vec::new();
        for turn in std::mem::take(&mut self.0) {
            if turn.client() == client {
                turn.waiter.bell.notify_one();
                wishes.push(turn.wish);
            } else {
                self.0.push_back(turn);
            }
        }
        wishes
    }
}
