//! [`Proxy`]: what stands for an object that lives elsewhere.

use std::fmt::{self, Debug, Display};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::held::Held;
use crate::client::lines::this_thread;
use crate::error::ManagerError;
use crate::host::Host;
use crate::host::entry::Entry;
use crate::id::{Caller, ClientId, ObjectId, ServerId};
use crate::passage;
use crate::payload::Payload;
use crate::pledge::{CannotTravel, Pledged};
use crate::reference::Reference;
use mp_reduction::in_full;

/// Stands for an object that lives in a server; clones stand for the same.
///
/// What a typed proxy is made of, which has the methods of the object. The object lives while any proxy does, in
/// whichever process, and any message with one in it.
///
/// Two proxies are equal if they stand for the same object.
#[derive(Clone)]
pub struct Proxy {
    reference: Reference,
    type_name: Arc<str>,
}

/// A proxy of one type, which `#[mp::managed]` makes.
pub trait TypedProxy: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the type is called.
    const TYPE: &'static str;

    /// Of a proxy for an object of this type.
    fn from_proxy(proxy: Proxy) -> Self;

    /// The proxy without its type.
    fn as_proxy(&self) -> &Proxy;
}

/// A proxy in an encoded value.
#[derive(Serialize, Deserialize)]
struct Wire(ServerId, ObjectId, String, Option<Pledged>);

impl Proxy {
    /// For an object of this process.
    pub(crate) fn of(entry: Arc<Entry>) -> Proxy {
        let type_name = entry.object().type_name().into();
        Proxy { reference: Reference::Here(entry), type_name }
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The number of the object in its server.
    pub fn object_id(&self) -> u64 {
        self.reference.object().0
    }

    /// What the type of the object is called.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Calls a method by its name with a tuple of arguments, and sleeps until it has returned.
    ///
    /// # When a process dies
    ///
    /// A call of a server that dies is [`ManagerError::Disconnected`] at once.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Exception`] when the method returned an error or panicked; all others say why it could not be
    /// called, or its result not be taken.
    pub fn call<R, A>(&self, method: &str, args: &A) -> Result<R, ManagerError>
    where
        R: DeserializeOwned,
        A: Serialize + ?Sized,
    {
        match &self.reference {
            Reference::There(held) => held.server().call(held.object(), method, args, None),
            Reference::Here(entry) => {
                let arguments =
                    Payload::encode(entry.server(), args).map_err(ManagerError::Encode)?;
                let result = call_here(entry, method, &arguments)?;
                result.decode().map_err(ManagerError::Decode)
            }
        }
    }

    /// As [`call`](Proxy::call), without decoding the result.
    pub(crate) fn call_encoded(
        &self,
        method: &str,
        arguments: Payload,
    ) -> Result<Payload, ManagerError> {
        match &self.reference {
            Reference::There(held) => {
                held.server().call_encoded(held.object(), method, arguments, None)
            }
            Reference::Here(entry) => call_here(entry, method, &arguments),
        }
    }

    /// The server of the object.
    pub(crate) fn server(&self) -> ServerId {
        self.reference.server()
    }

    /// The name of the server of the object.
    fn server_name(&self) -> String {
        match &self.reference {
            Reference::There(held) => held.server().info().name.clone(),
            Reference::Here(_) => here_name(),
        }
    }

    fn to_wire(&self) -> Result<Wire, CannotTravel> {
        let (server, object) = (self.reference.server(), self.reference.object());
        let pledged = if passage::comes_along(&self.reference) {
            None
        } else {
            Some(Pledged::object(&self.reference)?)
        };
        Ok(Wire(server, object, self.type_name.to_string(), pledged))
    }

    fn from_wire(wire: Wire) -> Result<Proxy, String> {
        let Wire(server, object, type_name, pledged) = wire;
        let reference = match (passage::arrived(server, object), pledged) {
            (Some(reference), _) => reference,
            (None, _) if server == Host::here().id() => {
                let entry = Host::here().find(object);
                Reference::Here(entry.ok_or_else(|| format!("this server has no object {object}"))?)
            }
            (None, None) => {
                return Err("a proxy came without what keeps its object alive".to_owned());
            }
            (None, Some(pledged)) => {
                let reference =
                    pledged.reach(server).and_then(|server| match server.retain(object) {
                        // It is a proxy all the same, which says so when it is called.
                        Err(_) if server.is_gone() => {
                            Ok(Reference::There(Held::given(&server, object)))
                        }
                        retained => retained,
                    });
                reference.map_err(|error| in_full(&error))?
            }
        };
        Ok(Proxy { reference, type_name: type_name.into() })
    }
}

/// What this process is called as a server.
pub(crate) fn here_name() -> String {
    match Host::here().service() {
        Some(service) => service.info().name.clone(),
        None => mp_context::current_process().name().to_owned(),
    }
}

/// Calls an object of this process, in this thread.
fn call_here(
    entry: &Arc<Entry>,
    method: &str,
    arguments: &Payload,
) -> Result<Payload, ManagerError> {
    let caller = Caller { client: ClientId::SERVER, thread: this_thread() };
    Host::here()
        .call(caller, entry, method, arguments)
        .map_err(|failure| ManagerError::failed(failure, &here_name()))
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Proxy) -> bool {
        let of = |proxy: &Proxy| (proxy.reference.server(), proxy.reference.object());
        of(self) == of(other)
    }
}

impl Eq for Proxy {}

impl Hash for Proxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reference.server().hash(state);
        self.reference.object().hash(state);
    }
}

/// What it is, and of which server.
impl Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (object, server) = (self.reference.object(), self.server_name());
        write!(f, "<{}Proxy object {object} of server '{server}'>", self.type_name)
    }
}

/// What the object itself looks like, if its server can say.
impl Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call::<String, _>(crate::host::ask::TEXT, &()) {
            Ok(text) => f.write_str(&text),
            Err(error) => write!(f, "{self:?} ({error})"),
        }
    }
}

impl Serialize for Proxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_wire().map_err(|error| S::Error::custom(in_full(&error)))?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Proxy, D::Error> {
        Proxy::from_wire(Wire::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Decodes a proxy that has to be one of this type.
///
/// # Errors
///
/// That it is one of another type, or that its server lives and cannot be reached or has no such object. One of a server that
/// has ended is a proxy like any other, whose calls are [`Disconnected`](ManagerError::Disconnected).
pub fn deserialize_typed<'de, P, D>(deserializer: D) -> Result<P, D::Error>
where
    P: TypedProxy,
    D: Deserializer<'de>,
{
    let proxy = Proxy::deserialize(deserializer)?;
    if proxy.type_name() == P::TYPE {
        return Ok(P::from_proxy(proxy));
    }
    let found = proxy.type_name();
    Err(D::Error::custom(format_args!("it is a proxy of a '{found}', not of a '{}'", P::TYPE)))
}
