//! A value in a server, and [`ValueProxy`].

use std::mem;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::ManagerError;
use crate::host::Host;
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::manager::Manager;
use crate::payload::{Item, Payload};
use crate::preview;
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::typed::{encode_here, typed_proxy};
use crate::versioned::{Versioned, until_unchanged};

inventory::submit! {
    Registered {
        name: "value",
        place: concat!(file!(), ":", line!()),
        create: |call| Ok(Box::new(ValueObject(Versioned::new(call.item())))),
    }
}

/// A value as its server keeps it.
#[derive(Debug)]
struct ValueObject(Versioned<Item>);

impl ValueObject {
    fn set(&self, call: &Call<'_>) -> Reply {
        let mut item = call.item();
        self.0.change(call.caller(), |value| mem::swap(value, &mut item));
        Ok(Payload::default())
    }

    /// The value and the number of its version, for [`replace`](ValueObject::replace).
    fn snapshot(&self, call: &Call<'_>) -> Reply {
        let (is_held,) = call.args()?;
        let (version, value) = self.0.read_version(call, is_held, Item::to_payload);
        Ok(value.with_number(version))
    }

    /// Sets it if it is still that version; gives whether it is.
    fn replace(&self, call: &Call<'_>) -> Reply {
        let (version, value) = call.payload().split_number()?;
        let mut item = value.to_item();
        let swap = |value: &mut Item| mem::swap(value, &mut item);
        let done = self.0.change_version(call.caller(), version, swap);
        call.reply(&done.is_some())
    }
}

impl Hosted for ValueObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "get" => Ok(self.0.read(Item::to_payload)),
            "set" => self.set(call),
            "snapshot" => self.snapshot(call),
            "replace" => self.replace(call),
            "let_go" => {
                self.0.let_go(call.caller());
                Ok(Payload::default())
            }
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        "value"
    }

    fn preview(&self) -> String {
        self.0.read(|value| preview::of(value.as_ref()))
    }

    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        self.0.read(|value| value.full().into_iter().for_each(visit));
    }

    fn clear(&self) {
        drop(self.0.clear(|value| mem::replace(value, Item::plain(&[]))));
    }

    fn cares_for(&self) -> Clients {
        Clients::Holders
    }

    fn client_gone(&self, client: ClientId) {
        self.0.client_gone(client);
    }
}

/// Has a value live in this process, if it is a server, and gives a proxy to it, to be returned from a method, or put into
/// what is returned, or kept.
///
/// # Panics
///
/// When it cannot be encoded: in a method that is the error of its caller.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Station;
///
/// #[mp::managed]
/// impl Station {
///     pub fn new() -> Self {
///         Station
///     }
///     pub fn celsius(&self) -> mp::ValueProxy<f64> {
///         mp::managed_value(21.5)
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let celsius = server.create(Station::args())?.celsius()?;
/// assert_eq!(celsius.get()?, 21.5);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn managed_value<T: Serialize + 'static>(value: T) -> ValueProxy<T> {
    let object = ValueObject(Versioned::new(encode_here(&value)));
    ValueProxy::from_proxy(Proxy::of(Host::here().add(Box::new(object))))
}

impl Manager {
    /// Makes a value that everybody can read and set.
    ///
    /// # Errors
    ///
    /// As any call of the server; [`ManagerError::Encode`] when it cannot be encoded.
    pub fn value<T: Serialize + 'static>(&self, value: T) -> Result<ValueProxy<T>, ManagerError> {
        self.handle().create(self.handle().encode(&value)?)
    }
}

typed_proxy! {
    /// A value that lives in a server.
    ///
    /// It is kept encoded; what is got is a copy. A proxy or another handle in it stays what it is, and its object lives as
    /// long as it is there.
    ///
    /// # When a process dies
    ///
    /// With the server the value is gone: calls fail with [`ManagerError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let best = manager.value(("nobody".to_owned(), 0))?;
    /// let p = mp::Process::start(
    ///     |best: mp::ValueProxy<(String, u32)>| Ok(best.set(("Bob".to_owned(), 7))?),
    ///     (best.clone(),),
    /// )?;
    /// p.join()?;
    /// best.update(|best| best.1 += 1)?;
    /// assert_eq!(best.get()?, ("Bob".to_owned(), 8));
    /// # Ok::<(), mp::Error>(())
    /// ```
    ///
    /// # Differences from Python
    ///
    /// [`update`](ValueProxy::update) cannot lose what others do; `v.value += 1` can. There is no type code: it is of any
    /// type.
    #[doc(alias = "multiprocessing.managers.ValueProxy")]
    pub struct ValueProxy<T> = "value";
}

impl<T: Serialize + DeserializeOwned + 'static> ValueProxy<T> {
    /// The value.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Decode`] when it is none of this type, and as any call.
    pub fn get(&self) -> Result<T, ManagerError> {
        self.0.ask("get", Payload::default())
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Encode`] when it cannot be encoded, and as any call.
    pub fn set(&self, value: T) -> Result<(), ManagerError> {
        self.0.tell("set", self.0.encode(&value)?)
    }

    /// Changes the value, without losing what others do meanwhile; gives what `change` returns.
    ///
    /// It is changed in this process. When somebody else was faster, `change` is called again, with the value of then; after
    /// some times others wait with theirs until it is done, or this process is gone. Reading never waits. `change` must not
    /// set the value, nor wait for somebody who does.
    ///
    /// # Errors
    ///
    /// As [`get`](ValueProxy::get) and [`set`](ValueProxy::set); the value is as it was then.
    pub fn update<R>(&self, mut change: impl FnMut(&mut T) -> R) -> Result<R, ManagerError> {
        until_unchanged(&self.0, |is_held| {
            let reply = self.0.call_encoded("snapshot", self.0.encode(&(is_held,))?)?;
            let split = reply.split_number();
            let (version, value) = split.map_err(|error| self.0.misunderstood(&error))?;
            let mut value: T = value.decode().map_err(ManagerError::Decode)?;
            let result = change(&mut value);
            let replacement = self.0.encode(&value)?.with_number(version);
            let is_done: bool = self.0.ask("replace", replacement)?;
            Ok(is_done.then_some(result))
        })
    }
}
