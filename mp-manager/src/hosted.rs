//! [`Hosted`]: an object as its server sees it.
//!
//! What can be asked of an object, and what it hears of its clients, is here. Who asks, and how, is [`Call`]'s; whose the
//! object is, and when it ends, is decided by [`host`](crate::host).

use std::any::Any;

use mp_shared_memory::SharedMemory;

use crate::call::Call;
use crate::failure::Failure;
use crate::id::ClientId;
use crate::payload::Payload;

/// What comes of a call.
pub type Reply = Result<Payload, Failure>;

/// Of which clients an object wants to hear that they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Of none.
    None,
    /// Of those that hold it, or have held it.
    Holders,
    /// Of all, also those that never held it. There should be few such objects, and they should not take long to hear it.
    All,
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

    /// Whether something else than memory is given back when it is dropped, which may take its time or never end.
    fn has_destructor(&self) -> bool {
        false
    }

    /// Who has to be gone for [`client_gone`](Hosted::client_gone) to be called. It is always the same.
    fn cares_for(&self) -> Clients {
        Clients::None
    }

    /// Takes back what a client holds here that is gone. A thread that tells all objects waits for it.
    fn client_gone(&self, client: ClientId) {
        let _nothing = client;
    }

    /// Hears, before [`client_gone`](Hosted::client_gone), that a client is gone that had not given this object back, as it
    /// does before it ends by itself.
    fn holder_gone(&self, client: ClientId) {
        let _nothing = client;
    }

    /// Hears that a client has given this object back: it holds it no more. The thread that hears all clients says so, which
    /// must not be kept waiting.
    fn given_back(&self, client: ClientId) {
        let _nothing = client;
    }
}
