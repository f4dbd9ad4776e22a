//! A dict in a server, and [`DictProxy`].
//!
//! Keys and values are kept as they came, encoded. A key is known by its bytes.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, hash_map};
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::host::Host;
use crate::hosted::{Call, Failure, Hosted, Manageable, Refusal, Reply, Shelf};
use crate::manager::Manager;
use crate::parts::{Malformed, Packing};
use crate::payload::{Item, Payload};
use crate::preview::{self, Preview};
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::typed::{encode_here, is_final, typed_proxy};

inventory::submit! {
    Registered {
        name: "dict",
        place: concat!(file!(), ":", line!()),
        create: |call| {
            let mut entries = Entries::default();
            drop(entries.update(pairs(call)?));
            Ok(Box::new(DictObject(Mutex::new(entries))))
        },
    }
}

/// A dict as its server keeps it.
#[derive(Debug, Default)]
pub(crate) struct DictObject(Mutex<Entries>);

/// Keys and values in the order in which the keys came.
#[derive(Debug, Default)]
struct Entries {
    places: HashMap<Key, u64>,
    in_order: BTreeMap<u64, (Key, Item)>,
    last: u64,
}

/// A key, which is what its bytes are.
#[derive(Clone, Debug)]
struct Key(Arc<Item>);

impl Key {
    fn new(item: Item) -> Key {
        Key(Arc::new(item))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Key {}

/// As its bytes are.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Entries {
    fn get(&self, key: &[u8]) -> Option<&Item> {
        let place = self.places.get(key)?;
        self.in_order.get(place).map(|(_, value)| value)
    }

    /// Gives what it displaces, to be dropped elsewhere. A key that is there keeps its place.
    fn insert(&mut self, key: Key, value: Item) -> Option<(Key, Item)> {
        match self.places.entry(key.clone()) {
            hash_map::Entry::Occupied(place) => {
                let (_, known) = self.in_order.get_mut(place.get())?;
                Some((key, mem::replace(known, value)))
            }
            hash_map::Entry::Vacant(place) => {
                self.last += 1;
                place.insert(self.last);
                self.in_order.insert(self.last, (key, value));
                None
            }
        }
    }

    /// As [`insert`](Entries::insert), many times.
    fn update(&mut self, pairs: Vec<(Key, Item)>) -> Vec<(Key, Item)> {
        self.places.reserve(pairs.len().saturating_sub(self.places.len()));
        pairs.into_iter().filter_map(|(key, value)| self.insert(key, value)).collect()
    }

    fn remove(&mut self, key: &[u8]) -> Option<(Key, Item)> {
        let place = self.places.remove(key)?;
        self.in_order.remove(&place)
    }

    fn pop_last(&mut self) -> Option<(Key, Item)> {
        let (_, last) = self.in_order.pop_last()?;
        self.places.remove(&last.0);
        Some(last)
    }
}

/// Keys and values, which came by turns.
fn pairs(call: &Call<'_>) -> Result<Vec<(Key, Item)>, Failure> {
    let mut items = call.items()?.into_iter();
    let mut pairs = Vec::with_capacity(items.len() / 2);
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((Key::new(key), value));
    }
    Ok(pairs)
}

/// A key and a value.
fn pair(call: &Call<'_>) -> Result<(Key, Item), Failure> {
    let [key, value] = call.parts()?;
    Ok((Key::new(key.to_item()?), value.to_item()?))
}

fn missing(key: &Payload) -> Failure {
    Refusal::Missing { key: format!("key {}", preview::of(key.as_item())) }.into()
}

/// No bytes for no value.
fn optional(value: Option<Item>) -> Payload {
    value.map(Payload::from).unwrap_or_default()
}

impl DictObject {
    fn of(entries: impl IntoIterator<Item = (Item, Item)>) -> DictObject {
        let mut all = Entries::default();
        for (key, value) in entries {
            drop(all.insert(Key::new(key), value));
        }
        DictObject(Mutex::new(all))
    }

    fn insert(&self, call: &Call<'_>) -> Reply {
        let (key, value) = pair(call)?;
        let displaced = self.0.lock().insert(key, value);
        Ok(optional(displaced.map(|(_, value)| value)))
    }

    fn set_default(&self, call: &Call<'_>) -> Reply {
        let (key, value) = pair(call)?;
        let mut pair = Some((key, value));
        let mut entries = self.0.lock();
        if let Some((key, value)) = pair.take_if(|(key, _)| !entries.places.contains_key(key)) {
            let reply = value.to_payload();
            drop(entries.insert(key, value));
            return Ok(reply);
        }
        let bytes = pair.as_ref().map_or(&[][..], |(key, _)| key.0.bytes());
        Ok(entries.get(bytes).map(Item::to_payload).unwrap_or_default())
    }

    fn pop(&self, call: &Call<'_>) -> Reply {
        let key = call.payload();
        let removed = self.0.lock().remove(&key.bytes);
        removed.map(|(_, value)| value.into()).ok_or_else(|| missing(key))
    }

    fn pop_item(&self, call: &Call<'_>) -> Reply {
        let popped = self.0.lock().pop_last();
        let nothing = || Refusal::Missing { key: "item in an empty dict".to_owned() };
        let (key, value) = popped.ok_or_else(nothing)?;
        let mut packing = Packing::new(call.host.id());
        packing.add_items([&*key.0, &value])?;
        Ok(packing.finish())
    }

    /// Some of what is in it.
    fn read<const N: usize>(&self, call: &Call<'_>, of: fn(&(Key, Item)) -> [&Item; N]) -> Reply {
        let mut packing = Packing::new(call.host.id());
        packing.add_items(self.0.lock().in_order.values().flat_map(of))?;
        Ok(packing.finish())
    }

    /// The key behind a place, with the place and the number of all keys; nothing if there is none.
    fn key_after(&self, call: &Call<'_>) -> Reply {
        let (place, len) = call.args::<(u64, Option<u64>)>()?;
        let entries = self.0.lock();
        let len_now = entries.in_order.len() as u64;
        if len.is_some_and(|len| len != len_now) {
            let text = "the dict has changed its size during the iteration".to_owned();
            return Err(Refusal::Value(text).into());
        }
        let next = entries.in_order.range(place.saturating_add(1)..).next();
        Ok(next.map_or_else(Payload::default, |(place, (key, _))| {
            let key = key.0.to_payload();
            key.with_number(*place as i64).with_number(len_now as i64)
        }))
    }
}

impl Hosted for DictObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        let key = &call.payload().bytes[..];
        match method {
            "get" => Ok(self.0.lock().get(key).map(Item::to_payload).unwrap_or_default()),
            "insert" => self.insert(call),
            "remove" => {
                let removed = self.0.lock().remove(key);
                Ok(optional(removed.map(|(_, value)| value)))
            }
            "contains_key" => call.reply(&self.0.lock().places.contains_key(key)),
            "len" => call.reply(&self.0.lock().in_order.len()),
            "keys" => self.read(call, |(key, _)| [&*key.0]),
            "values" => self.read(call, |(_, value)| [value]),
            "items" => self.read(call, |(key, value)| [&*key.0, value]),
            "key_after" => self.key_after(call),
            "update" => {
                let pairs = pairs(call)?;
                let displaced = self.0.lock().update(pairs);
                drop(displaced);
                Ok(Payload::default())
            }
            "setdefault" => self.set_default(call),
            "pop" => self.pop(call),
            "popitem" => self.pop_item(call),
            "clear" => {
                Hosted::clear(self);
                Ok(Payload::default())
            }
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        "dict"
    }

    fn preview(&self) -> String {
        let entries = self.0.lock();
        preview::text(|text| show(text, &entries))
    }

    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        let entries = self.0.lock();
        let items = entries.in_order.values().flat_map(|(key, value)| [&*key.0, value]);
        items.filter_map(Item::full).for_each(visit);
    }

    fn clear(&self) {
        let entries = mem::take(&mut *self.0.lock());
        drop(entries);
    }
}

fn show(text: &mut Preview, entries: &Entries) -> fmt::Result {
    text.write_str("{")?;
    for (index, (key, value)) in entries.in_order.values().enumerate() {
        text.separate(index)?;
        text.value(key.0.as_ref().as_ref())?;
        text.write_str(": ")?;
        text.value(value.as_ref())?;
    }
    text.write_str("}")
}

fn encode_pair<K: Serialize, V: Serialize>((key, value): (K, V)) -> (Item, Item) {
    (encode_here(&key), encode_here(&value))
}

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
    let dict = DictObject::of(entries.into_iter().map(encode_pair));
    DictProxy::from_proxy(Proxy::of(Host::here().add(Box::new(dict))))
}

/// A map of the language in a server is a dict; `$map` is its type with the parameters that it has.
macro_rules! manageable {
    ($map:ident<K, V $(, $extra:ident: $bound:ident)?>) => {
        /// `managed` makes a dict of it.
        impl<K, V $(, $extra)?> Manageable for $map<K, V $(, $extra)?>
        where
            K: Serialize + Send + Sync + 'static,
            V: Serialize + Send + Sync + 'static,
            $($extra: $bound + Send + Sync + 'static,)?
        {
            type Proxy = DictProxy<K, V>;

            const NAME: &'static str = "dict";

            fn serve(_: &Shelf<Self>, _: &str, call: &Call<'_>) -> Reply {
                // It never lives there: see `into_hosted`.
                call.unknown_method("dict")
            }

            fn into_hosted(self) -> Box<dyn Hosted> {
                Box::new(DictObject::of(self.into_iter().map(encode_pair)))
            }
        }
    };
}

manageable!(HashMap<K, V, S: BuildHasher>);
manageable!(BTreeMap<K, V>);

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u16),
        Update(Vec<(u8, u16)>),
        SetDefault(u8, u16),
        Remove(u8),
        Pop(u8),
        PopItem,
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..8_u8;
        prop_oneof![
            5 => (key.clone(), any::<u16>()).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => prop::collection::vec((key.clone(), any::<u16>()), 0..4).prop_map(Step::Update),
            2 => (key.clone(), any::<u16>()).prop_map(|(key, value)| Step::SetDefault(key, value)),
            2 => key.clone().prop_map(Step::Remove),
            2 => key.prop_map(Step::Pop),
            2 => Just(Step::PopItem),
            1 => Just(Step::Clear),
        ]
    }

    /// Keys with their values in order.
    type Model = Vec<(u8, u16)>;

    fn find(all: &Model, key: u8) -> Option<usize> {
        all.iter().position(|(known, _)| *known == key)
    }

    fn put(all: &mut Model, key: u8, value: u16) -> Option<u16> {
        let Some(place) = find(all, key) else {
            all.push((key, value));
            return None;
        };
        Some(mem::replace(&mut all[place].1, value))
    }

    fn take_step(all: &mut Model, dict: &DictProxy<u8, u16>, step: Step) {
        match step {
            Step::Insert(key, value) => {
                assert_eq!(dict.insert(key, value).unwrap(), put(all, key, value));
            }
            Step::Update(entries) => {
                dict.update(entries.iter().copied()).unwrap();
                for (key, value) in entries {
                    put(all, key, value);
                }
            }
            Step::SetDefault(key, value) => {
                let place = find(all, key);
                let known = place.map_or(value, |place| all[place].1);
                assert_eq!(dict.setdefault(key, value).unwrap(), known);
                put(all, key, known);
            }
            Step::Remove(key) => {
                let removed = find(all, key).map(|place| all.remove(place).1);
                assert_eq!(dict.remove(&key).unwrap(), removed);
            }
            Step::Pop(key) => {
                let removed = find(all, key).map(|place| all.remove(place).1);
                match dict.pop(&key) {
                    Err(ManagerError::Missing { key: text }) => {
                        assert_eq!((removed, text), (None, format!("key {key}")));
                    }
                    popped => assert_eq!(Some(popped.unwrap()), removed),
                }
            }
            Step::PopItem => match dict.popitem() {
                Err(ManagerError::Missing { .. }) => assert!(all.is_empty()),
                popped => assert_eq!(Some(popped.unwrap()), all.pop()),
            },
            Step::Clear => {
                dict.clear().unwrap();
                all.clear();
            }
        }
    }

    proptest! {
        #[test]
        fn a_dict_keeps_the_order_of_its_keys(steps in prop::collection::vec(step(), 0..60)) {
            let dict = managed_dict(Model::new());
            let mut all = Model::new();
            for step in steps {
                take_step(&mut all, &dict, step);
                prop_assert_eq!(dict.len().unwrap(), all.len());
                prop_assert_eq!(&dict.items().unwrap(), &all);
                let (keys, values): (Vec<u8>, Vec<u16>) = all.iter().copied().unzip();
                prop_assert_eq!(dict.values().unwrap(), values);
                prop_assert_eq!(&dict.keys().unwrap(), &keys);
                let one_by_one: Vec<u8> = dict.iter_keys().map(Result::unwrap).collect();
                prop_assert_eq!(one_by_one, keys);
                let place = find(&all, 0);
                prop_assert_eq!(dict.contains_key(&0).unwrap(), place.is_some());
                prop_assert_eq!(dict.get(&0).unwrap(), place.map(|place| all[place].1));
            }
        }
    }

    #[test]
    fn nothing_and_no_value_are_two() {
        let dict = managed_dict([(1, None), (2, Some(2))]);
        assert_eq!(dict.get(&1).unwrap(), Some(None));
        assert_eq!(dict.get(&2).unwrap(), Some(Some(2)));
        assert_eq!(dict.get(&3).unwrap(), None);
        assert_eq!(dict.insert(1, Some(1)).unwrap(), Some(None));
        assert_eq!(dict.remove(&1).unwrap(), Some(Some(1)));
    }

    #[test]
    fn what_is_left_of_a_dict_is_as_much_as_is_in_it() {
        let dict = DictObject::default();
        let mut entries = dict.0.lock();
        for number in 0..1000_u32 {
            let (key, value) = encode_pair((number, number));
            assert!(entries.insert(Key::new(key), value).is_none());
            if number % 2 == 1 {
                assert!(entries.remove(encode_here(&(number - 1)).bytes()).is_some());
                assert!(entries.remove(encode_here(&(number - 1)).bytes()).is_none());
            }
        }
        assert_eq!((entries.places.len(), entries.in_order.len()), (500, 500));
    }
}
