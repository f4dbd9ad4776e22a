//! [`DictProxy`]: a dict in a server, as its clients call it, and how one is made.
//!
//! What a call does, and which keys are the same, is decided by [`DictObject`].

mod object;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dict::object::DictObject;
use crate::error::ManagerError;
use crate::host::Host;
use crate::manager::Manager;
use crate::parts::Malformed;
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};
use crate::typed::{is_final, typed_proxy};

/// Has a dict live in this process, if it is a server, and gives a proxy to it, to be returned from a method, or put into
/// what is returned, or kept.
///
/// # Panics
///
/// When a key or a value cannot be encoded: in a method that is the error of its caller.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Office;
///
/// #[mp::managed]
/// impl Office {
///     pub fn new() -> Self {
///         Office
///     }
///     pub fn phones(&self) -> mp::DictProxy<String, u32> {
///         mp::managed_dict([("Bob".to_owned(), 42)])
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let phones = server.create(Office::args())?.phones()?;
/// assert_eq!(phones.get("Bob")?, Some(42));
/// # Ok::<(), mp::Error>(())
/// ```
pub fn managed_dict<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> DictProxy<K, V>
where
    K: Serialize + 'static,
    V: Serialize + 'static,
{
    let dict = DictObject::of(entries);
    DictProxy::from_proxy(Proxy::of(Host::here().add(Box::new(dict))))
}

impl Manager {
    /// Makes an empty dict.
    ///
    /// # Errors
    ///
    /// As any call of the server.
    pub fn dict<K: 'static, V: 'static>(&self) -> Result<DictProxy<K, V>, ManagerError> {
        self.handle().create(Payload::default())
    }

    /// Makes a dict of keys with their values.
    ///
    /// # Errors
    ///
    /// As any call of the server; [`ManagerError::Encode`] when a key or a value cannot be encoded.
    pub fn dict_from<K, V>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<DictProxy<K, V>, ManagerError>
    where
        K: Serialize + 'static,
        V: Serialize + 'static,
    {
        self.handle().create(self.handle().pack_pairs(entries)?)
    }
}

typed_proxy! {
    /// A dict that lives in a server: values by their keys, in the order in which the keys came.
    ///
    /// Every method is one call: nobody sees it half done, whoever else works with the dict.
    ///
    /// Keys and values are kept encoded. What is got is a copy: to change a value, [`insert`](DictProxy::insert) it again. A
    /// proxy or another handle among them stays what it is, and its object lives as long as it is in the dict. Two keys are
    /// the same when their encoded forms are; so `0.0` and `-0.0` are two, and a `HashMap` is no key.
    ///
    /// # When a process dies
    ///
    /// With the server the dict is gone: calls fail with [`ManagerError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let ages = manager.dict::<String, u32>()?;
    /// ages.insert("Bob".to_owned(), 41)?;
    /// let p = mp::Process::start(
    ///     |ages: mp::DictProxy<String, u32>| Ok(ages.insert("Bob".to_owned(), 42)?),
    ///     (ages.clone(),),
    /// )?;
    /// assert_eq!(p.into_result()?, Some(41));
    /// assert_eq!(ages.get("Bob")?, Some(42));
    /// assert_eq!(ages.to_string(), "{'Bob': 42}");
    /// # Ok::<(), mp::Error>(())
    /// ```
    ///
    /// # Differences from Python
    ///
    /// `d[k]` of a key that is not there is no error but `None`, as that of a `HashMap`; [`pop`](DictProxy::pop) is one.
    /// `for k in d` is [`iter_keys`](DictProxy::iter_keys), `copy` is [`to_map`](DictProxy::to_map).
    #[doc(alias = "multiprocessing.managers.DictProxy")]
    pub struct DictProxy<K, V> = "dict";
}

impl<K, V> DictProxy<K, V>
where
    K: Serialize + DeserializeOwned + 'static,
    V: Serialize + DeserializeOwned + 'static,
{
    /// Puts a value to a key; gives the one that was there.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Encode`] when one of them cannot be encoded, and as any call.
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, ManagerError> {
        self.0.ask_optional("insert", self.0.pack_pairs([(key, value)])?)
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn get<Q>(&self, key: &Q) -> Result<Option<V>, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask_optional("get", self.0.encode(key)?)
    }

    /// Removes a key; gives its value, if there was one.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn remove<Q>(&self, key: &Q) -> Result<Option<V>, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask_optional("remove", self.0.encode(key)?)
    }

    /// Removes a key that has to be there; gives its value.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Missing`] if it is not there, and as any call.
    pub fn pop<Q>(&self, key: &Q) -> Result<V, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask("pop", self.0.encode(key)?)
    }

    /// Removes the key that came last; gives it with its value.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Missing`] when the dict is empty, and as any call.
    pub fn popitem(&self) -> Result<(K, V), ManagerError> {
        let reply = self.0.call_encoded("popitem", Payload::default())?;
        let pair = self.0.unpack_pairs(&reply)?.pop();
        pair.ok_or_else(|| self.0.misunderstood(&Malformed))
    }

    /// Whether a key is there.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn contains_key<Q>(&self, key: &Q) -> Result<bool, ManagerError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask("contains_key", self.0.encode(key)?)
    }

    /// The value of a key; if there is none, it gets this one.
    ///
    /// # Errors
    ///
    /// As [`insert`](DictProxy::insert).
    pub fn setdefault(&self, key: K, default: V) -> Result<V, ManagerError> {
        self.0.ask("setdefault", self.0.pack_pairs([(key, default)])?)
    }

    /// Puts values to many keys, in one call.
    ///
    /// # Errors
    ///
    /// As [`insert`](DictProxy::insert); then nothing is changed.
    pub fn update(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<(), ManagerError> {
        self.0.tell("update", self.0.pack_pairs(entries)?)
    }

    /// How many keys there are.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn len(&self) -> Result<usize, ManagerError> {
        self.0.call("len", &())
    }

    /// Whether there is no key.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn is_empty(&self) -> Result<bool, ManagerError> {
        Ok(self.len()? == 0)
    }

    /// Removes all keys.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn clear(&self) -> Result<(), ManagerError> {
        self.0.tell("clear", Payload::default())
    }

    /// All keys in their order, as they are at one time.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn keys(&self) -> Result<Vec<K>, ManagerError> {
        self.0.ask_all("keys", Payload::default())
    }

    /// All values in the order of their keys, as they are at one time.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn values(&self) -> Result<Vec<V>, ManagerError> {
        self.0.ask_all("values", Payload::default())
    }

    /// All keys with their values in order, as they are at one time.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn items(&self) -> Result<Vec<(K, V)>, ManagerError> {
        let reply = self.0.call_encoded("items", Payload::default())?;
        self.0.unpack_pairs(&reply)
    }

    /// All keys with their values, as they are at one time.
    ///
    /// # Errors
    ///
    /// As any call.
    #[doc(alias = "copy")]
    pub fn to_map(&self) -> Result<HashMap<K, V>, ManagerError>
    where
        K: Eq + Hash,
    {
        Ok(self.items()?.into_iter().collect())
    }

    /// As [`to_map`](DictProxy::to_map), sorted by the keys.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn to_btree_map(&self) -> Result<BTreeMap<K, V>, ManagerError>
    where
        K: Ord,
    {
        Ok(self.items()?.into_iter().collect())
    }

    /// The keys one after the other, each got when its turn comes.
    ///
    /// When the number of keys has changed since the first, that is an error [`ManagerError::Value`], and the end.
    /// [`keys`](DictProxy::keys) is at one time and one call.
    pub fn iter_keys(&self) -> DictKeys<'_, K> {
        DictKeys { proxy: &self.0, place: 0, len: None, is_over: false, keys: PhantomData }
    }
}

/// The keys of a [`DictProxy`], one after the other; see [`iter_keys`](DictProxy::iter_keys).
#[derive(Debug)]
#[must_use = "an iterator gets nothing until it is asked for a key"]
pub struct DictKeys<'a, K> {
    proxy: &'a Proxy,
    /// That of the last one.
    place: i64,
    len: Option<i64>,
    is_over: bool,
    keys: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned> DictKeys<'_, K> {
    fn step(&mut self) -> Result<Option<K>, ManagerError> {
        let arguments = self.proxy.encode(&(self.place, self.len))?;
        let reply = self.proxy.call_encoded("key_after", arguments)?;
        if reply.bytes.is_empty() {
            return Ok(None);
        }
        let failed = |error| self.proxy.misunderstood(&error);
        let (len, rest) = reply.as_item().split_number().map_err(failed)?;
        let (place, key) = rest.split_number().map_err(failed)?;
        (self.place, self.len) = (place, Some(len));
        key.decode().map(Some).map_err(ManagerError::Decode)
    }
}

impl<K: DeserializeOwned> Iterator for DictKeys<'_, K> {
    type Item = Result<K, ManagerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let key = self.step().transpose();
        self.is_over = match &key {
            None => true,
            Some(Err(error)) => is_final(error),
            Some(Ok(_)) => false,
        };
        key
    }
}
