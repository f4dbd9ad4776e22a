//! [`IteratorProxy`]: an iterator in a server, as its clients ask it for items, and how one is made.
//!
//! Who has an item, and who waits, is decided by [`IteratorObject`].

mod object;

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::host::Host;
use crate::iterator::object::IteratorObject;
use crate::manager::Manager;
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};
use crate::typed::{is_final, proxy_traits};

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
    let object = IteratorObject::of(items.into_iter());
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
    items: PhantomData<fn() -> T>,
}

impl<T: 'static> TypedProxy for IteratorProxy<T> {
    const TYPE: &'static str = "iterator";

    fn from_proxy(proxy: Proxy) -> Self {
        IteratorProxy { proxy, is_over: false, items: PhantomData }
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
