//! [`DictObject`]: a dict as its server keeps it.
//!
//! Keys and values stay as they came, encoded, and none is opened. A key is known by its bytes, and has its place in the order
//! in which the keys came.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, hash_map};
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher};
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::call::Call;
use crate::dict::DictProxy;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Hosted, Reply};
use crate::managed::Manageable;
use crate::parts::Packing;
use crate::payload::{Item, Payload};
use crate::preview::{self, Preview};
use crate::registry::Registered;
use crate::shelf::Shelf;
use crate::typed::encode_here;

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
pub(super) struct DictObject(Mutex<Entries>);

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
    /// Of keys with their values, which are encoded now.
    ///
    /// # Panics
    ///
    /// When one of them cannot be encoded.
    pub(super) fn of<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> DictObject
    where
        K: Serialize,
        V: Serialize,
    {
        let mut all = Entries::default();
        for (key, value) in entries {
            let (key, value) = (encode_here(&key), encode_here(&value));
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
                Box::new(DictObject::of(self))
            }
        }
    };
}

manageable!(HashMap<K, V, S: BuildHasher>);
manageable!(BTreeMap<K, V>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dict::managed_dict;
    use crate::error::ManagerError;

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
            let (key, value) = (encode_here(&number), encode_here(&number));
            assert!(entries.insert(Key::new(key), value).is_none());
            if number % 2 == 1 {
                assert!(entries.remove(encode_here(&(number - 1)).bytes()).is_some());
                assert!(entries.remove(encode_here(&(number - 1)).bytes()).is_none());
            }
        }
        assert_eq!((entries.places.len(), entries.in_order.len()), (500, 500));
    }
}
