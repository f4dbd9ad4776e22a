//! [`IteratorObject`]: an iterator as its server keeps it.
//!
//! One call at a time is in it, and others wait for their turn; one from inside of it is refused. An item is encoded when it
//! is asked for.

use std::fmt::{self, Debug};
use std::mem;
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::call::Call;
use crate::failure::Failure;
use crate::host::Host;
use crate::hosted::{Hosted, Reply};
use crate::payload::Payload;
use crate::registry::Registered;
use mp_reduction::in_full;

inventory::submit! {
    Registered {
        name: "iterator",
        place: concat!(file!(), ":", line!()),
        create: |call| {
            let items = call.items()?.into_iter().map(|item| Ok(Payload::from(item)));
            Ok(Box::new(IteratorObject::new(Box::new(items))))
        },
    }
}

/// What gives the items, each encoded or not to be encoded.
type Source = Box<dyn Iterator<Item = Reply> + Send>;

/// An iterator as its server keeps it.
pub(super) struct IteratorObject {
    state: Mutex<State>,
    /// Somebody has got an item, and another one can.
    is_free: Condvar,
}

enum State {
    Idle(Source),
    /// In the iterator.
    Running(ThreadId),
    Over,
}

/// The iterator while it runs; it is over when it panics.
struct Turn<'a> {
    object: &'a IteratorObject,
    after: State,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.object.state.lock() = mem::replace(&mut self.after, State::Over);
        self.object.is_free.notify_all();
    }
}

impl IteratorObject {
    fn new(source: Source) -> IteratorObject {
        IteratorObject { state: Mutex::new(State::Idle(source)), is_free: Condvar::new() }
    }

    /// Of an iterator, whose items are encoded one by one.
    pub(super) fn of<T: Serialize + 'static>(
        items: impl Iterator<Item = T> + Send + 'static,
    ) -> IteratorObject {
        let encode = |item: T| {
            let item = Payload::encode(Host::here().id(), &item);
            item.map_err(|error| Failure::Result(in_full(&error)))
        };
        IteratorObject::new(Box::new(items.map(encode)))
    }

    fn next(&self, call: &Call<'_>) -> Reply {
        let Some(mut source) = self.take()? else { return Ok(Payload::default()) };
        let mut turn = Turn { object: self, after: State::Over };
        if call.is_abandoned() {
            // The item is for somebody else.
            turn.after = State::Idle(source);
            return Ok(Payload::default());
        }
        match source.next() {
            Some(item) => {
                turn.after = State::Idle(source);
                item
            }
            None => Ok(Payload::default()),
        }
    }

    /// Waits for the iterator, and takes it until the turn is over; nothing if it has ended.
    fn take(&self) -> Result<Option<Source>, Failure> {
        let this_thread = thread::current().id();
        let mut state = self.state.lock();
        loop {
            match mem::replace(&mut *state, State::Running(this_thread)) {
                State::Idle(source) => return Ok(Some(source)),
                State::Over => {
                    *state = State::Over;
                    return Ok(None);
                }
                State::Running(thread) => {
                    *state = State::Running(thread);
                    if thread == this_thread {
                        let type_name = self.type_name().to_owned();
                        return Err(Failure::Reentrant { type_name });
                    }
                    self.is_free.wait(&mut state);
                }
            }
        }
    }
}

impl Hosted for IteratorObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "next" => self.next(call),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        "iterator"
    }

    fn preview(&self) -> String {
        let text = match *self.state.lock() {
            State::Idle(_) | State::Running(_) => "iterator",
            State::Over => "iterator (at its end)",
        };
        text.to_owned()
    }

    fn has_destructor(&self) -> bool {
        true
    }

    fn clear(&self) {
        let mut state = self.state.lock();
        if let State::Idle(source) = mem::replace(&mut *state, State::Over) {
            drop(state);
            drop(source);
        }
    }
}

impl Debug for IteratorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.preview())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ManagerError;
    use crate::iterator::{IteratorProxy, managed_iterator};

    #[test]
    fn an_iterator_that_asks_itself_is_told_so() {
        let (give, given) = std::sync::mpsc::channel::<IteratorProxy<u8>>();
        let given = Mutex::new(given);
        let mut itself = managed_iterator(std::iter::from_fn(move || {
            let mut itself = given.lock().recv().unwrap();
            match itself.next() {
                Some(Err(ManagerError::Reentrant { .. })) => Some(7),
                _ => None,
            }
        }));
        give.send(itself.clone()).unwrap();
        assert_eq!(itself.next().unwrap().unwrap(), 7);
    }

    #[test]
    fn what_cannot_be_encoded_is_lost_and_the_next_item_comes() {
        struct Odd(u8);

        impl Serialize for Odd {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if self.0 % 2 == 1 {
                    return Err(serde::ser::Error::custom("too odd"));
                }
                serializer.serialize_u8(self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for Odd {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Odd, D::Error> {
                u8::deserialize(deserializer).map(Odd)
            }
        }

        let items: Vec<Result<u8, ManagerError>> =
            managed_iterator((0..3).map(Odd)).map(|item| item.map(|odd| odd.0)).collect();
        assert!(
            matches!(items[..], [Ok(0), Err(ManagerError::Transfer { .. }), Ok(2)]),
            "{items:?}"
        );
    }
}
