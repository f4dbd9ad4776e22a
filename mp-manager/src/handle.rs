//! [`Handle`]: a server as one can ask it for something, from wherever.

use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::lines::this_thread;
use crate::client::server::Server;
use crate::error::ManagerError;
use crate::host::{Host, ask};
use crate::id::{Caller, ClientId, ObjectId, ServerId};
use crate::payload::Payload;
use crate::pledge::Pledged;
use crate::proxy::{Proxy, TypedProxy, here_name};
use mp_reduction::in_full;

/// A server, from one of its clients or from inside of it.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    Here,
    There(Arc<Server>),
}

impl Handle {
    pub(crate) fn id(&self) -> ServerId {
        match self {
            Handle::Here => Host::here().id(),
            Handle::There(server) => server.id(),
        }
    }

    /// Asks the server itself for something.
    pub(crate) fn ask<R: DeserializeOwned>(
        &self,
        what: &str,
        arguments: Payload,
        limit: Option<Duration>,
    ) -> Result<R, ManagerError> {
        let result = match self {
            Handle::There(server) => {
                server.call_encoded(ObjectId::SERVER, what, arguments, limit)?
            }
            Handle::Here => {
                let caller = Caller { client: ClientId::SERVER, thread: this_thread() };
                Host::here()
                    .ask(caller, what, &arguments)
                    .map_err(|failure| ManagerError::failed(failure, &here_name()))?
            }
        };
        result.decode().map_err(ManagerError::Decode)
    }

    /// Encodes arguments for it.
    pub(crate) fn encode(&self, args: &(impl Serialize + ?Sized)) -> Result<Payload, ManagerError> {
        Payload::encode(self.id(), args).map_err(ManagerError::Encode)
    }

    /// Has it make an object of a type that it knows by name.
    pub(crate) fn create<P: TypedProxy>(&self, arguments: Payload) -> Result<P, ManagerError> {
        self.create_named(P::TYPE, arguments).map(P::from_proxy)
    }

    /// As [`create`](Handle::create), without a type here.
    pub(crate) fn create_named(
        &self,
        type_name: &str,
        arguments: Payload,
    ) -> Result<Proxy, ManagerError> {
        self.ask(&format!("{}{type_name}", ask::CREATE), arguments, None)
    }
}

/// A server in an encoded value.
#[derive(Serialize, Deserialize)]
struct Wire(ServerId, Pledged);

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pledged = match self {
            Handle::Here => Pledged::here(),
            Handle::There(server) => Pledged::server(server),
        };
        let pledged = pledged.map_err(|error| S::Error::custom(in_full(&error)))?;
        Wire(self.id(), pledged).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Handle, D::Error> {
        let Wire(server, pledged) = Wire::deserialize(deserializer)?;
        if server == Host::here().id() {
            return Ok(Handle::Here);
        }
        let reached = pledged.reach(server).map(Handle::There);
        reached.map_err(|error| D::Error::custom(in_full(&error)))
    }
}
