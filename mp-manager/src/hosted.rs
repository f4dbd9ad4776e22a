//! Objects of a server as it sees them: what can be called, by whom, and what comes of it.

use std::any::Any;
use std::cell::RefCell;

use mp_context::__private::__mp_begin_short_backtrace;
use mp_pool::parts::PoolErrorWire;
use mp_remote_exception::{Error, Origin, RemoteException};
use mp_shared_memory::SharedMemory;
use mp_sync::Broken;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::id::{Caller, ClientId};
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};

/// What comes of a call.
pub type Reply = Result<Payload, Failure>;

/// Why a call has no result. This is what crosses; the caller gets a [`ManagerError`](crate::ManagerError).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// The method returned an error, or panicked.
    Raised(Box<RemoteException>),
    /// The object has no such method.
    UnknownMethod {
        /// What the object is.
        type_name: String,
        /// What was asked for.
        method: String,
    },
    /// There is no such object.
    UnknownObject {
        /// Its number.
        object: u64,
    },
    /// The server has no such type.
    UnknownType {
        /// Its name.
        name: String,
    },
    /// The arguments cannot be decoded there.
    Arguments(String),
    /// The result cannot be encoded there.
    Result(String),
    /// An object of this library says no.
    Refused(Refusal),
    /// The call of an object from inside a call of it, one of which is exclusive.
    Reentrant {
        /// What the object is.
        type_name: String,
    },
}

/// Why an object of this library says no.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no item at this place.
    Index {
        /// As it was asked for.
        index: i64,
        /// How many there are.
        len: u64,
    },
    /// There is no such key, attribute or item.
    Missing {
        /// As text.
        key: String,
    },
    /// A value that cannot be.
    Value(String),
    /// The list was changed since it was read.
    Changed,
    /// A queue has no room.
    Full,
    /// A queue has no item.
    Empty,
    /// More tasks are done than there were.
    TooManyTaskDone,
    /// Nobody holds the lock.
    NotHeld,
    /// A guard of somebody holds the lock.
    Guarded,
    /// Another thread holds the lock.
    NotOwner {
        /// Which.
        owner: String,
    },
    /// The semaphore is at its bound.
    BoundExceeded {
        /// The highest value.
        bound: u32,
    },
    /// The barrier is broken.
    BarrierBroken(BarrierBreak),
    /// What a pool says.
    Pool(Box<PoolErrorWire>),
    /// There is no memory.
    NoSpace {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that the system could give.
        available: u64,
    },
    /// No memory has that size.
    InvalidSize {
        /// The size.
        size: u64,
    },
    /// The system says no.
    System(String),
}

/// What broke a barrier, as it crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarrierBreak {
    /// Somebody aborted it.
    Aborted,
    /// A party did not wait longer.
    TimedOut,
    /// Somebody reset it.
    Reset,
    /// A process that takes part is gone.
    PartyGone,
}

impl From<BarrierBreak> for Broken {
    fn from(broken: BarrierBreak) -> Broken {
        match broken {
            BarrierBreak::Aborted => Broken::Aborted,
            BarrierBreak::TimedOut => Broken::TimedOut { limit: None },
            BarrierBreak::Reset => Broken::Reset,
            BarrierBreak::PartyGone => Broken::PartyDied { process: None },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl Failure {
    /// The error of a method.
    pub fn raised(error: impl Into<Error>) -> Failure {
        let error = error.into();
        Failure::Raised(Box::new(RemoteException::from_raised(&error, Origin::current())))
    }
}

/// An object as its server keeps it.
pub trait Hosted: Any + Send + Sync {
    /// Calls a method.
    ///
    /// # Errors
    ///
    /// Why there is no result.
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply;

    /// What its type is called.
    fn type_name(&self) -> &'static str;

    /// A short text that shows it.
    fn preview(&self) -> String;

    /// Shows what is in it, if it is a container whose contents are known.
    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        let _none = visit;
    }

    /// Lets go of everything in it: nobody can reach it any more.
    fn clear(&self) {}

    /// The memory of it, if it is a block of memory.
    fn memory(&self) -> Option<&SharedMemory> {
        None
    }

    /// Takes back what a client holds here that is gone.
    fn client_gone(&self, client: ClientId) {
        let _nothing = client;
    }

    /// Hears, before [`client_gone`](Hosted::client_gone), that a client is gone that had not given this object back, as it
    /// does before it ends by itself.
    fn holder_gone(&self, client: ClientId) {
        let _nothing = client;
    }
}

/// One call of a method.
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) host: &'a Host,
    pub(crate) caller: Caller,
    pub(crate) method: &'a str,
    pub(crate) arguments: &'a Payload,
}

impl<'a> Call<'a> {
    /// The arguments: a tuple.
    ///
    /// # Errors
    ///
    /// That they are none of this kind.
    pub fn args<Args: DeserializeOwned>(&self) -> Result<Args, Failure> {
        self.arguments.decode().map_err(|error| Failure::Arguments(crate::error::in_full(&error)))
    }

    /// The arguments as they came.
    pub fn payload(&self) -> &'a Payload {
        self.arguments
    }

    /// Who calls.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Whether the process of the caller is gone, so that nobody waits for the result.
    pub fn is_abandoned(&self) -> bool {
        self.host.is_gone(self.caller.client)
    }

    /// Whether the process of a client is there, as the system says at this moment.
    pub(crate) fn is_there(&self, client: ClientId) -> bool {
        self.host.is_there(client)
    }

    /// The pid of the caller, on its machine; `None` if it is gone.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self.caller.client {
            ClientId::SERVER => Some(std::process::id()),
            client => self.host.client(client).map(|client| client.pid()),
        }
    }

    /// What a call gives that returned a value.
    ///
    /// # Errors
    ///
    /// That the value cannot be encoded.
    pub fn reply<T: Serialize + ?Sized>(&self, value: &T) -> Reply {
        Payload::encode(self.host.id(), value)
            .map_err(|error| Failure::Result(crate::error::in_full(&error)))
    }

    /// What a call gives that returned an error or a value.
    ///
    /// # Errors
    ///
    /// The error, or that the value cannot be encoded.
    pub fn reply_result<T: Serialize, E: Into<Error>>(&self, result: Result<T, E>) -> Reply {
        match result {
            Ok(value) => self.reply(&value),
            Err(error) => Err(Failure::raised(error)),
        }
    }

    /// What a call gives for a method that the object does not have.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn unknown_method(&self, type_name: &str) -> Reply {
        let (type_name, method) = (type_name.to_owned(), self.method.to_owned());
        Err(Failure::UnknownMethod { type_name, method })
    }
}

/// A type whose objects can live in a server: what `#[mp::managed]` implements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not managed",
    label = "has no proxy",
    note = "put `#[mp::managed]` on the `impl` block with its methods"
)]
pub trait Manageable: Sized + Send + Sync + 'static {
    /// What everybody else has.
    type Proxy: TypedProxy;

    /// What the type is called.
    const NAME: &'static str;

    /// Calls a method.
    ///
    /// # Errors
    ///
    /// Why there is no result.
    fn serve(object: &Shelf<Self>, method: &str, call: &Call<'_>) -> Reply;

    /// A short text that shows the object, if its type has one.
    fn preview(&self) -> Option<String> {
        None
    }

    /// The object as its server keeps it.
    fn into_hosted(self) -> Box<dyn Hosted> {
        Box::new(Shelf::new(self))
    }
}

/// An object of a user's type: `&self` methods run at the same time, `&mut self` methods alone.
#[derive(Debug)]
pub struct Shelf<T>(RwLock<T>);

thread_local! {
    /// The objects whose methods this thread is in, and whether exclusively.
    static INSIDE: RefCell<Vec<(usize, bool)>> = const { RefCell::new(Vec::new()) };
}

/// This thread is in a method of an object, until this is dropped.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}

impl<T: Manageable> Shelf<T> {
    /// Puts an object on it.
    pub fn new(object: T) -> Shelf<T> {
        Shelf(RwLock::new(object))
    }

    /// Runs a `&self` method, at the same time as others.
    ///
    /// # Errors
    ///
    /// That this thread is in a `&mut self` method of the same object.
    pub fn shared<R>(&self, method: impl FnOnce(&T) -> R) -> Result<R, Failure> {
        let before = self.inside();
        if before == Some(true) {
            return Err(Failure::Reentrant { type_name: T::NAME.to_owned() });
        }
        // Who has the lock already must not queue behind a writer that waits for it.
        let object = if before.is_some() { self.0.read_recursive() } else { self.0.read() };
        let _inside = self.enter(false);
        Ok(__mp_begin_short_backtrace(|| method(&object)))
    }

    /// Runs a `&mut self` method, when no other method runs.
    ///
    /// # Errors
    ///
    /// That this thread is in a method of the same object.
    pub fn exclusive<R>(&self, method: impl FnOnce(&mut T) -> R) -> Result<R, Failure> {
        if self.inside().is_some() {
            return Err(Failure::Reentrant { type_name: T::NAME.to_owned() });
        }
        let mut object = self.0.write();
        let _inside = self.enter(true);
        Ok(__mp_begin_short_backtrace(|| method(&mut object)))
    }

    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread is in a method of this object, and if so, whether in an exclusive one.
    fn inside(&self) -> Option<bool> {
        let place = self.place();
        INSIDE.with_borrow(|all| {
            let mut of_this = all.iter().filter(|(known, _)| *known == place);
            of_this.next().map(|_| all.contains(&(place, true)))
        })
    }

    fn enter(&self, is_exclusive: bool) -> Inside {
        INSIDE.with_borrow_mut(|all| all.push((self.place(), is_exclusive)));
        Inside
    }
}

impl<T: Manageable> Hosted for Shelf<T> {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        T::serve(self, method, call)
    }

    fn type_name(&self) -> &'static str {
        T::NAME
    }

    fn preview(&self) -> String {
        let text = match self.0.try_read() {
            Some(object) => object.preview(),
            None => Some("(busy)".to_owned()),
        };
        text.unwrap_or_else(|| T::NAME.to_owned())
    }
}

/// What encodes the arguments of a constructor for a server.
type EncodeArgs =
    Box<dyn Fn(crate::id::ServerId) -> Result<Payload, mp_reduction::EncodeError> + Send>;

/// The arguments of a constructor, `Counter::args(5)`, for [`ServerProcess::create`](crate::ServerProcess::create).
#[must_use = "arguments make nothing until they are given to `create`"]
pub struct Args<T> {
    pub(crate) encode: EncodeArgs,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: Manageable> Args<T> {
    /// Of a tuple.
    pub fn new<A: Serialize + Send + 'static>(args: A) -> Args<T> {
        let encode = Box::new(move |server| Payload::encode(server, &args));
        Args { encode, of: std::marker::PhantomData }
    }
}

impl<T: Manageable> std::fmt::Debug for Args<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Args<{}>", T::NAME)
    }
}

/// What lives in a server, as everybody has it: the proxy of a type. A method of a managed type that returns `Managed<T>`
/// leaves the object in the server, and its caller gets the proxy.
pub type Managed<T> = <T as Manageable>::Proxy;

/// Has an object live in this process, if it is a server, and gives a proxy to it, to be returned from a method, or put
/// into what is returned, or kept.
///
/// The object lives as long as any proxy to it. In a process that is no server it lives in that process, and its proxy
/// can be called there and not be sent.
pub fn managed<T: Manageable>(object: T) -> Managed<T> {
    T::Proxy::from_proxy(Proxy::of(Host::here().add(object.into_hosted())))
}
