//! [`QueueObject`]: a queue as its server keeps it, of either kind.
//!
//! Items stay as they came, unopened. One that is put while somebody waits for it goes to that one at once, and one that waits
//! for room is in the line of those who put until there is some. How somebody waits in a line, and leaves it, is decided by
//! [`sync::core`](crate::sync::core).

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::call::Call;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::payload::{Item, Payload};
use crate::proxy::TypedProxy;
use crate::queue::{JoinableQueueProxy, QueueProxy, check};
use crate::registry::Registered;
use crate::sync::core::{Limit, Line, Waiter, abandoned};

inventory::submit! {
    Registered {
        name: QueueProxy::<()>::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| QueueObject::create(call, false),
    }
}

inventory::submit! {
    Registered {
        name: JoinableQueueProxy::<()>::TYPE,
        place: concat!(file!(), ":", line!()),
        create: |call| QueueObject::create(call, true),
    }
}

/// A queue as its server has it.
#[derive(Debug)]
struct QueueObject {
    is_joinable: bool,
    /// 0 for any number.
    maxsize: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None while anybody waits for one, but for clients that are gone.
    items: VecDeque<Item>,
    getters: Line<Item>,
    /// Nobody while there is room.
    putters: Line<(), Item>,
    /// How many were put and are not done.
    unfinished: u64,
    joiners: Line<()>,
}

impl State {
    /// Puts an item into the queue, or into the hands of who waits for one.
    fn put(&mut self, call: &Call<'_>, item: Item) {
        self.unfinished += 1;
        match self.getters.pop_living(call) {
            Some(turn) => turn.tell(item),
            None => self.items.push_back(item),
        }
    }

    /// Puts an item back that was taken off for a client that is gone.
    fn put_back(&mut self, call: &Call<'_>, item: Item) {
        match self.getters.pop_living(call) {
            Some(turn) => turn.tell(item),
            None => self.items.push_front(item),
        }
    }

    /// Takes an item off, and lets in one that waits for room.
    fn take(&mut self, maxsize: usize) -> Option<Item> {
        let item = self.items.pop_front()?;
        if self.items.len() < maxsize
            && let Some(turn) = self.putters.pop()
        {
            self.items.push_back(turn.tell(()));
            self.unfinished += 1;
        }
        Some(item)
    }
}

impl QueueObject {
    fn create(call: &Call<'_>, is_joinable: bool) -> Result<Box<dyn Hosted>, Failure> {
        let (maxsize,): (u64,) = call.args()?;
        let maxsize = check(maxsize).map_err(|error| Refusal::Value(error.to_string()))?;
        Ok(Box::new(QueueObject { is_joinable, maxsize, state: Mutex::default() }))
    }

    fn put(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (limit, item) = call.payload().split_number()?;
        // If it is not put, it is dropped after the lock is free: nested objects may go with it.
        let (limit, item) = (Limit(limit), item.to_item());
        let mut state = self.state.lock();
        if call.is_abandoned() {
            return Err(abandoned());
        }
        if self.maxsize == 0 || state.items.len() < self.maxsize {
            state.put(call, item);
            return Ok(());
        }
        if limit == Limit::NONE {
            return Err(Refusal::Full.into());
        }
        let deadline = limit.deadline();
        let waiter = state.putters.join(call, item);
        if waiter.sleep(&mut state, call, deadline).is_some() {
            return Ok(());
        }
        let refused = state.putters.leave(&waiter);
        drop(state);
        drop(refused);
        Err(Refusal::Full.into())
    }

    fn get(&self, call: &Call<'_>, limit: Limit) -> Result<Payload, Failure> {
        let client = call.caller().client;
        let mut state = self.state.lock();
        // Its call may have been here for longer than the client.
        if !call.is_there(client) {
            return Err(abandoned());
        }
        let item = match state.take(self.maxsize) {
            Some(item) => item,
            None if limit == Limit::NONE => return Err(Refusal::Empty.into()),
            None => {
                let deadline = limit.deadline();
                let waiter: Arc<Waiter<Item>> = state.getters.join(call, ());
                match waiter.sleep(&mut state, call, deadline) {
                    Some(item) if !call.is_there(client) => {
                        state.put_back(call, item);
                        return Err(abandoned());
                    }
                    Some(item) => item,
                    None => {
                        let _none = state.getters.leave(&waiter);
                        return Err(Refusal::Empty.into());
                    }
                }
            }
        };
        drop(state);
        Ok(item.into())
    }

    fn task_done(&self) -> Result<(), Failure> {
        let mut state = self.state.lock();
        state.unfinished = state.unfinished.checked_sub(1).ok_or(Refusal::TooManyTaskDone)?;
        if state.unfinished == 0 {
            for turn in state.joiners.pop_all() {
                turn.tell(());
            }
        }
        Ok(())
    }

    fn join(&self, call: &Call<'_>, limit: Limit) -> Result<bool, Failure> {
        let mut state = self.state.lock();
        if call.is_abandoned() {
            return Err(abandoned());
        }
        if state.unfinished == 0 || limit == Limit::NONE {
            return Ok(state.unfinished == 0);
        }
        let deadline = limit.deadline();
        let waiter = state.joiners.join(call, ());
        let is_done = waiter.sleep(&mut state, call, deadline).is_some();
        if !is_done {
            let _none = state.joiners.leave(&waiter);
        }
        Ok(is_done)
    }

    fn len(&self) -> usize {
        self.state.lock().items.len()
    }
}

impl Hosted for QueueObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "put" => {
                self.put(call)?;
                call.reply(&())
            }
            "get" => {
                let (limit,) = call.args()?;
                self.get(call, limit)
            }
            "qsize" => call.reply(&(self.len() as u64)),
            "is_full" => call.reply(&(self.maxsize > 0 && self.len() >= self.maxsize)),
            "maxsize" => call.reply(&(self.maxsize as u64)),
            "task_done" if self.is_joinable => call.reply(&self.task_done()?),
            "join" if self.is_joinable => {
                let (limit,) = call.args()?;
                call.reply(&self.join(call, limit)?)
            }
            "unfinished" if self.is_joinable => call.reply(&self.state.lock().unfinished),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        if self.is_joinable { JoinableQueueProxy::<()>::TYPE } else { QueueProxy::<()>::TYPE }
    }

    fn preview(&self) -> String {
        let name = if self.is_joinable { "JoinableQueue" } else { "Queue" };
        format!("<{name}(qsize={}, maxsize={})>", self.len(), self.maxsize)
    }

    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        // Those of calls that wait for room have the queue as well.
        self.state.lock().items.iter().filter_map(Item::full).for_each(visit);
    }

    fn clear(&self) {
        let items = mem::take(&mut self.state.lock().items);
        drop(items);
    }

    fn cares_for(&self) -> Clients {
        Clients::Holders
    }

    fn client_gone(&self, client: ClientId) {
        let mut state = self.state.lock();
        let _getters = state.getters.send_away(client);
        let _joiners = state.joiners.send_away(client);
        let items = state.putters.send_away(client);
        drop(state);
        drop(items);
    }
}
