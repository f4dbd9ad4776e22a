//! [`Call`]: one call as the object sees that is called.
//!
//! It knows the arguments and the caller, and makes the reply. What a method does is left to the object, and how a call comes
//! and its reply goes to [`server`](crate::server).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::host::Host;
use crate::hosted::Reply;
use crate::id::{Caller, ClientId};
use crate::payload::Payload;
use mp_reduction::in_full;

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
        self.arguments.decode().map_err(|error| Failure::Arguments(in_full(&error)))
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
        Payload::encode(self.host.id(), value).map_err(|error| Failure::Result(in_full(&error)))
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
