//! An iterator in a server, and [`IteratorProxy`].

use std::fmt::{self, Debug};
use std::mem;
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ManagerError, in_full};
use crate::host::Host;
use crate::hosted::{Call, Failure, Hosted, Reply};
use crate::manager::Manager;
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::typed::{is_final, proxy_traits};

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
struct IteratorObject {
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

    fn clear(&self) {
        let mut state = self.state.lock();
        if let State::Idle(source) = mem::replace(&mut *state, State::Over) {
            drop(state);
            drop(source);
        }
    }
}

/// Has an iterator live in this process, if it is a server, and gives a proxy to it, to be returned from a method, or put
/// into what is returned, or kept.
///
/// It is asked for an item when somebody asks the proxy for one, in the thread that serves the caller, and encodes items one
/// by one. One that cannot be encoded is lost, and its caller told.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Mathematician;
///
/// #[mp::managed]
/// impl Mathematician {
///     pub fn new() -> Self {
///         Mathematician
///     }
///     pub fn squares(&self) -> mp::IteratorProxy<u64> {
///         mp::managed_iterator((0..10).map(|n| n * n))
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let squares = server.create(Mathematician::args())?.squares()?;
/// let squares: Vec<u64> = squares.collect::<Result<_, _>>()?;
/// assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn managed_iterator<T, I>(items: I) -> IteratorProxy<T>
where
    T: Serialize + 'static,
    I: IntoIterator<Item = T>,
    I::IntoIter: Send + 'static,
{
    let encode = |item: T| {
        let item = Payload::encode(Host::here().id(), &item);
        item.map_err(|error| Failure::Result(in_full(&error)))
    };
    let object = IteratorObject::new(Box::new(items.into_iter().map(encode)));
    IteratorProxy::from_proxy(Proxy::of(Host::here().add(Box::new(object))))
}

impl Manager {
    /// Makes an iterator over these items, which are sent there now.
    ///
    /// # Errors
    ///
    /// As any call of the server; [`ManagerError::Encode`] when an item cannot be encoded.
    pub fn iterator<T>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<IteratorProxy<T>, ManagerError>
    where
        T: Serialize + 'static,
    {
        self.handle().create(self.handle().pack(items)?)
    }
}

/// An iterator that lives in a server.
///
/// Each item comes once, to whoever asks first, in whichever process. When one asks while the iterator works for another,
/// it waits for its turn. At its end it stays at its end: to iterate twice gives nothing the second time.
///
/// After an error the next item may come: one cannot be decoded, say. When the iterator panicked, that is
/// [`ManagerError::Exception`], and it is at its end. After an error of the server as a whole this proxy is at its end, too.
///
/// # When a process dies
///
/// An item that was on the way to it is lost. With the server the iterator is gone: the next item is
/// [`ManagerError::Disconnected`].
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let manager = mp::Manager::start()?;
/// let mut tasks = manager.iterator(["wash".to_owned(), "dry".to_owned()])?;
/// let p = mp::Process::start(
///     |mut tasks: mp::IteratorProxy<String>| Ok(tasks.next().transpose()?),
///     (tasks.clone(),),
/// )?;
/// assert_eq!(p.into_result()?.as_deref(), Some("wash"));
/// assert_eq!(tasks.next().transpose()?.as_deref(), Some("dry"));
/// assert!(tasks.next().is_none());
/// # Ok::<(), mp::Error>(())
/// ```
///
/// # Differences from Python
///
/// There are no `send`, `throw` and `close`: iterators have none.
#[doc(alias = "multiprocessing.managers.IteratorProxy")]
#[must_use = "an iterator gets nothing until it is asked for an item"]
pub struct IteratorProxy<T> {
    proxy: Proxy,
    is_over: bool,
    items: std::marker::PhantomData<fn() -> T>,
}

impl<T: 'static> TypedProxy for IteratorProxy<T> {
    const TYPE: &'static str = "iterator";

    fn from_proxy(proxy: Proxy) -> Self {
        IteratorProxy { proxy, is_over: false, items: std::marker::PhantomData }
    }

    fn as_proxy(&self) -> &Proxy {
        &self.proxy
    }
}

proxy_traits!(IteratorProxy<T>);

impl<T: DeserializeOwned + 'static> Iterator for IteratorProxy<T> {
    type Item = Result<T, ManagerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.proxy.ask_optional("next", Payload::default()).transpose();
        self.is_over = match &item {
            None => true,
            Some(Err(error)) => is_final(error),
            Some(Ok(_)) => false,
        };
        item
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
