//! [`Manageable`]: what makes objects of a type ones that can live in a server, as `#[mp::managed]` writes it, and
//! [`managed`], which has one live there.
//!
//! How such an object is called is left to [`Shelf`]. A type of the language that implements it becomes an object of this
//! library: `Vec` a list.

use std::fmt::{self, Debug};
use std::marker::PhantomData;

use mp_reduction::EncodeError;
use serde::Serialize;

use crate::call::Call;
use crate::host::Host;
use crate::hosted::{Hosted, Reply};
use crate::id::ServerId;
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};
use crate::shelf::Shelf;

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

/// What encodes the arguments of a constructor for a server.
type EncodeArgs = Box<dyn Fn(ServerId) -> Result<Payload, EncodeError> + Send>;

/// The arguments of a constructor, `Counter::args(5)`, for [`ServerProcess::create`](crate::ServerProcess::create).
#[must_use = "arguments make nothing until they are given to `create`"]
pub struct Args<T> {
    pub(crate) encode: EncodeArgs,
    of: PhantomData<fn() -> T>,
}

impl<T: Manageable> Args<T> {
    /// Of a tuple.
    pub fn new<A: Serialize + Send + 'static>(args: A) -> Args<T> {
        let encode = Box::new(move |server| Payload::encode(server, &args));
        Args { encode, of: PhantomData }
    }
}

impl<T: Manageable> Debug for Args<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
