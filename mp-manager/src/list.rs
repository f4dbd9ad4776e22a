//! A list in a server, and [`ListProxy`].
//!
//! The server keeps the items as they came, encoded, and opens none. So it cannot compare them but for being the same: who
//! sorts has all of them come, sorts, and tells the server the order.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Bound, RangeBounds};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::host::Host;
use crate::hosted::{Call, Failure, Hosted, Manageable, Refusal, Reply, Shelf};
use crate::id::ClientId;
use crate::manager::Manager;
use crate::parts::Packing;
use crate::payload::{Item, Payload};
use crate::preview;
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::typed::{encode_here, is_final, typed_proxy};
use crate::versioned::{Versioned, until_unchanged};

inventory::submit! {
    Registered {
        name: "list",
        place: concat!(file!(), ":", line!()),
        create: |call| Ok(Box::new(ListObject::new(call.items()?))),
    }
}

/// A list as its server keeps it.
#[derive(Debug)]
pub(crate) struct ListObject(Versioned<VecDeque<Item>>);

/// The position that an index means, which counts from the end if it is negative.
fn position(index: i64, len: usize) -> Result<usize, Refusal> {
    let position = match usize::try_from(index) {
        Ok(position) => Some(position),
        Err(_) => {
            let from_end = usize::try_from(index.unsigned_abs()).ok();
            from_end.and_then(|from_end| len.checked_sub(from_end))
        }
    };
    let position = position.filter(|position| *position < len);
    position.ok_or(Refusal::Index { index, len: len as u64 })
}

/// As [`position`], but what is beyond an end is that end.
fn clamped(index: i64, len: usize) -> usize {
    match usize::try_from(index) {
        Ok(position) => position.min(len),
        Err(_) => {
            let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            len.saturating_sub(from_end)
        }
    }
}

/// Whether an order names each position once.
fn is_permutation(order: &[usize]) -> bool {
    let mut seen = vec![false; order.len()];
    order
        .iter()
        .all(|position| seen.get_mut(*position).is_some_and(|seen| !mem::replace(seen, true)))
}

impl ListObject {
    pub(crate) fn new(items: Vec<Item>) -> ListObject {
        ListObject(Versioned::new(items.into()))
    }

    fn get(&self, call: &Call<'_>) -> Reply {
        let (index,) = call.args()?;
        self.0.read(|items| Ok(items[position(index, items.len())?].to_payload()))
    }

    fn set(&self, call: &Call<'_>) -> Reply {
        let (index, value) = call.payload().split_number()?;
        let mut item = value.to_item();
        self.0.change(call.caller(), |items| {
            let position = position(index, items.len())?;
            mem::swap(&mut items[position], &mut item);
            Ok(Payload::default())
        })
    }

    fn insert(&self, call: &Call<'_>) -> Reply {
        let (index, value) = call.payload().split_number()?;
        let item = value.to_item();
        self.0.change(call.caller(), |items| items.insert(clamped(index, items.len()), item));
        Ok(Payload::default())
    }

    fn extend(&self, call: &Call<'_>) -> Reply {
        let more = call.items()?;
        self.0.change(call.caller(), |items| items.extend(more));
        Ok(Payload::default())
    }

    fn pop(&self, call: &Call<'_>) -> Reply {
        let (index,) = call.args()?;
        let popped = self.0.change(call.caller(), |items| {
            let position = position(index, items.len())?;
            Ok::<_, Failure>(items.remove(position))
        });
        // There is one at every position.
        Ok(popped?.map(Payload::from).unwrap_or_default())
    }

    fn remove(&self, call: &Call<'_>) -> Reply {
        let removed = self.0.change(call.caller(), |items| {
            let position = find(items, call.payload())?;
            items.remove(position)
        });
        removed.map(|_item| Payload::default()).ok_or_else(|| missing(call.payload()))
    }

    fn index(&self, call: &Call<'_>) -> Reply {
        let found = self.0.read(|items| find(items, call.payload()));
        call.reply(&found.ok_or_else(|| missing(call.payload()))?)
    }

    fn count(&self, call: &Call<'_>) -> Reply {
        let value = &call.payload().bytes;
        let equal =
            |items: &VecDeque<Item>| items.iter().filter(|item| item.bytes() == value).count();
        call.reply(&self.0.read(equal))
    }

    fn clear(&self, call: &Call<'_>) -> Reply {
        drop(self.0.change(call.caller(), mem::take));
        Ok(Payload::default())
    }

    fn reverse(&self, call: &Call<'_>) -> Reply {
        self.0.change(call.caller(), |items| items.make_contiguous().reverse());
        Ok(Payload::default())
    }

    fn repeat(&self, call: &Call<'_>) -> Reply {
        let (times,) = call.args::<(usize,)>()?;
        let Some(more) = times.checked_sub(1) else { return self.clear(call) };
        self.0.change(call.caller(), |items| {
            let once = items.len();
            let added = once.checked_mul(more);
            if added.is_none_or(|added| items.try_reserve(added).is_err()) {
                let text = format!("keep a list of {once} items {times} times: there is no memory");
                return Err(Refusal::System(text).into());
            }
            for position in 0..once * more {
                let copy = items[position].clone();
                items.push_back(copy);
            }
            Ok(Payload::default())
        })
    }

    fn slice(&self, call: &Call<'_>) -> Reply {
        let (start, end) = call.args::<(i64, Option<i64>)>()?;
        let mut packing = Packing::new(call.host.id());
        self.0.read(|items| {
            let end = end.map_or(items.len(), |end| clamped(end, items.len()));
            let start = clamped(start, items.len()).min(end);
            packing.add_items(items.range(start..end))
        })?;
        Ok(packing.finish())
    }

    /// All items with the number of their version, for [`rearrange`](ListObject::rearrange).
    fn snapshot(&self, call: &Call<'_>) -> Reply {
        let (is_held,) = call.args()?;
        let mut packing = Packing::new(call.host.id());
        let read = |items: &VecDeque<Item>| packing.add_items(items);
        let (version, packed) = self.0.read_version(call, is_held, read);
        packed?;
        Ok(packing.finish().with_number(version))
    }

    /// Puts the items of a version in another order; gives whether it is still that version.
    fn rearrange(&self, call: &Call<'_>) -> Reply {
        let (version, order) = call.args::<(i64, Vec<usize>)>()?;
        if !is_permutation(&order) {
            return Err(
                Refusal::Value("an order has to name every position once".to_owned()).into()
            );
        }
        let done = self.0.change_version(call.caller(), version, |items| {
            if items.len() != order.len() {
                return false;
            }
            let mut before: Vec<Option<Item>> = items.drain(..).map(Some).collect();
            items.extend(order.iter().filter_map(|position| before[*position].take()));
            true
        });
        call.reply(&done.unwrap_or(false))
    }
}

fn find(items: &VecDeque<Item>, value: &Payload) -> Option<usize> {
    items.iter().position(|item| item.bytes() == value.bytes)
}

fn missing(value: &Payload) -> Failure {
    Refusal::Missing { key: format!("item {}", preview::of(value.as_item())) }.into()
}

impl Hosted for ListObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "get" => self.get(call),
            "set" => self.set(call),
            "push" => {
                let item = call.item();
                self.0.change(call.caller(), |items| items.push_back(item));
                Ok(Payload::default())
            }
            "pop" => self.pop(call),
            "len" => call.reply(&self.0.read(VecDeque::len)),
            "slice" => self.slice(call),
            "extend" => self.extend(call),
            "insert" => self.insert(call),
            "remove" => self.remove(call),
            "index" => self.index(call),
            "count" => self.count(call),
            "contains" => call.reply(&self.0.read(|items| find(items, call.payload()).is_some())),
            "reverse" => self.reverse(call),
            "repeat" => self.repeat(call),
            "clear" => self.clear(call),
            "snapshot" => self.snapshot(call),
            "rearrange" => self.rearrange(call),
            "let_go" => {
                self.0.let_go(call.caller());
                Ok(Payload::default())
            }
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        "list"
    }

    fn preview(&self) -> String {
        self.0.read(|items| preview::of_all("[", items.iter().map(Item::as_ref), "]"))
    }

    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        self.0.read(|items| items.iter().filter_map(Item::full).for_each(visit));
    }

    fn clear(&self) {
        drop(self.0.clear(mem::take));
    }

    fn client_gone(&self, client: ClientId) {
        self.0.client_gone(client);
    }
}

/// Has a list live in this process, if it is a server, and gives a proxy to it, to be returned from a method, or put into
/// what is returned, or kept.
///
/// # Panics
///
/// When an item cannot be encoded: in a method that is the error of its caller.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Shop;
///
/// #[mp::managed]
/// impl Shop {
///     pub fn new() -> Self {
///         Shop
///     }
///     pub fn basket(&self) -> mp::ListProxy<String> {
///         mp::managed_list(["pen".to_owned()])
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let basket = server.create(Shop::args())?.basket()?;
/// basket.push("ink".to_owned())?;
/// assert_eq!(basket.to_vec()?, ["pen", "ink"]);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn managed_list<T>(items: impl IntoIterator<Item = T>) -> ListProxy<T>
where
    T: Serialize + 'static,
{
    let items = items.into_iter().map(|item| encode_here(&item)).collect();
    let entry = Host::here().add(Box::new(ListObject::new(items)));
    ListProxy::from_proxy(Proxy::of(entry))
}

/// `managed(vec![..])` is a list.
impl<T: Serialize + Send + Sync + 'static> Manageable for Vec<T> {
    type Proxy = ListProxy<T>;

    const NAME: &'static str = "list";

    fn serve(_: &Shelf<Vec<T>>, _: &str, call: &Call<'_>) -> Reply {
        // It never lives there: see `into_hosted`.
        call.unknown_method("list")
    }

    fn into_hosted(self) -> Box<dyn Hosted> {
        Box::new(ListObject::new(self.iter().map(encode_here).collect()))
    }
}

impl Manager {
    /// Makes an empty list.
    ///
    /// # Errors
    ///
    /// As any call of the server.
    pub fn list<T: 'static>(&self) -> Result<ListProxy<T>, ManagerError> {
        self.handle().create(Payload::default())
    }

    /// Makes a list of items.
    ///
    /// # Errors
    ///
    /// As any call of the server; [`ManagerError::Encode`] when an item cannot be encoded.
    pub fn list_from<T>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<ListProxy<T>, ManagerError>
    where
        T: Serialize + 'static,
    {
        self.handle().create(self.handle().pack(items)?)
    }
}

typed_proxy! {
    /// A list that lives in a server.
    ///
    /// Every method is one call: nobody sees it half done, whoever else works with the list. An index below zero counts
    /// from the end.
    ///
    /// Items are kept encoded. What is got is a copy: to change an item, [`set`](ListProxy::set) it. A proxy or another handle
    /// among them stays what it is, and its object lives as long as it is in the list. Two items are the same for
    /// [`remove`](ListProxy::remove), [`index`](ListProxy::index), [`count`](ListProxy::count) and
    /// [`contains`](ListProxy::contains) when their encoded forms are; those of two equal `HashMap`s may differ.
    ///
    /// # When a process dies
    ///
    /// With the server the list is gone: calls fail with [`ManagerError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let list = manager.list::<u32>()?;
    /// list.extend([3, 1, 2])?;
    /// let p = mp::Process::start(|list: mp::ListProxy<u32>| Ok(list.sort()?), (list.clone(),))?;
    /// p.join()?;
    /// assert_eq!(list.to_vec()?, [1, 2, 3]);
    /// assert_eq!(list.get(-1)?, 3);
    /// assert_eq!(list.to_string(), "[1, 2, 3]");
    /// # Ok::<(), mp::Error>(())
    /// ```
    ///
    /// # Differences from Python
    ///
    /// `append` is [`push`](ListProxy::push), `l[a:b]` is [`slice`](ListProxy::slice), `l * n` in place is
    /// [`repeat`](ListProxy::repeat). Iteration gives the items of the time when their turn comes, as in Python.
    #[doc(alias = "multiprocessing.managers.ListProxy")]
    pub struct ListProxy<T> = "list";
}

/// Start and end of a range as the server takes them.
pub(crate) fn bounds(range: &impl RangeBounds<isize>) -> (i64, Option<i64>) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start as i64,
        Bound::Excluded(-1) => i64::MAX,
        Bound::Excluded(before) => *before as i64 + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(-1) | Bound::Unbounded => None,
        Bound::Included(last) => Some((*last as i64).saturating_add(1)),
        Bound::Excluded(end) => Some(*end as i64),
    };
    (start, end)
}

impl<T: Serialize + DeserializeOwned + 'static> ListProxy<T> {
    /// Adds an item at the end.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Encode`] when it cannot be encoded, and as any call.
    #[doc(alias = "append")]
    pub fn push(&self, item: T) -> Result<(), ManagerError> {
        self.0.tell("push", self.0.encode(&item)?)
    }

    /// Adds items at the end, in one call.
    ///
    /// # Errors
    ///
    /// As [`push`](ListProxy::push); then none is added.
    pub fn extend(&self, items: impl IntoIterator<Item = T>) -> Result<(), ManagerError> {
        self.0.tell("extend", self.0.pack(items)?)
    }

    /// The item at a place.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Index`] if there is none, and as any call.
    pub fn get(&self, index: isize) -> Result<T, ManagerError> {
        self.0.call("get", &(index,))
    }

    /// Puts an item in the place of another.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Index`] if there is none, and as [`push`](ListProxy::push).
    pub fn set(&self, index: isize, item: T) -> Result<(), ManagerError> {
        self.0.tell("set", self.0.encode(&item)?.with_number(index as i64))
    }

    /// Puts an item before the one at a place. Beyond an end it comes to that end.
    ///
    /// # Errors
    ///
    /// As [`push`](ListProxy::push).
    pub fn insert(&self, index: isize, item: T) -> Result<(), ManagerError> {
        self.0.tell("insert", self.0.encode(&item)?.with_number(index as i64))
    }

    /// Takes the last item.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Index`] when the list is empty, and as any call.
    pub fn pop(&self) -> Result<T, ManagerError> {
        self.pop_at(-1)
    }

    /// Takes the item at a place.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Index`] if there is none, and as any call.
    pub fn pop_at(&self, index: isize) -> Result<T, ManagerError> {
        self.0.call("pop", &(index,))
    }

    /// Removes the first item that is the same as this.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Missing`] if there is none, and as any call.
    pub fn remove<Q>(&self, item: &Q) -> Result<(), ManagerError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.tell("remove", self.0.encode(item)?)
    }

    /// The place of the first item that is the same as this.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Missing`] if there is none, and as any call.
    pub fn index<Q>(&self, item: &Q) -> Result<usize, ManagerError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask("index", self.0.encode(item)?)
    }

    /// How many items are the same as this.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn count<Q>(&self, item: &Q) -> Result<usize, ManagerError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask("count", self.0.encode(item)?)
    }

    /// Whether an item is the same as this.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn contains<Q>(&self, item: &Q) -> Result<bool, ManagerError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.0.ask("contains", self.0.encode(item)?)
    }

    /// How many items there are.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn len(&self) -> Result<usize, ManagerError> {
        self.0.call("len", &())
    }

    /// Whether there is no item.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn is_empty(&self) -> Result<bool, ManagerError> {
        Ok(self.len()? == 0)
    }

    /// Sorts the items; equal ones stay as they were to each other.
    ///
    /// They are compared in this process. Who changes the list meanwhile makes it start anew; after some times others wait
    /// with their changes until it is sorted, or this process is gone. Reading never waits. What compares the items must not
    /// change the list, nor wait for somebody who does.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Decode`] when an item is none of this type, and as any call; the list is as it was then.
    pub fn sort(&self) -> Result<(), ManagerError>
    where
        T: Ord,
    {
        self.sort_by(T::cmp)
    }

    /// As [`sort`](ListProxy::sort), by what `key` makes of the items.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn sort_by_key<K: Ord>(&self, mut key: impl FnMut(&T) -> K) -> Result<(), ManagerError> {
        self.sort_by(|a, b| key(a).cmp(&key(b)))
    }

    /// As [`sort`](ListProxy::sort), as `compare` says.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn sort_by(&self, mut compare: impl FnMut(&T, &T) -> Ordering) -> Result<(), ManagerError> {
        until_unchanged(&self.0, |is_held| {
            let reply = self.0.call_encoded("snapshot", self.0.encode(&(is_held,))?)?;
            let split = reply.split_number();
            let (version, items) = split.map_err(|error| self.0.misunderstood(&error))?;
            let items: Vec<T> = self.0.unpack(items.parts())?;
            let mut order: Vec<usize> = (0..items.len()).collect();
            order.sort_by(|a, b| compare(&items[*a], &items[*b]));
            let is_done: bool = self.0.call("rearrange", &(version, order))?;
            Ok(is_done.then_some(()))
        })
    }

    /// Turns the order of the items round.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn reverse(&self) -> Result<(), ManagerError> {
        self.0.tell("reverse", self.0.encode(&())?)
    }

    /// Has the items there `times` as often, one after the other: `repeat(2)` makes `[1, 2, 1, 2]` of `[1, 2]`.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Transfer`] when the server has no memory for that, and as any call.
    pub fn repeat(&self, times: usize) -> Result<(), ManagerError> {
        self.0.tell("repeat", self.0.encode(&(times,))?)
    }

    /// Removes all items.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn clear(&self) -> Result<(), ManagerError> {
        self.0.tell("clear", Payload::default())
    }

    /// All items, as they are at one time.
    ///
    /// # Errors
    ///
    /// As any call.
    #[doc(alias = "copy")]
    pub fn to_vec(&self) -> Result<Vec<T>, ManagerError> {
        self.slice(..)
    }

    /// The items of a range, as they are at one time; `slice(-2..)` are the last two. What is beyond an end is left out.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn slice(&self, range: impl RangeBounds<isize>) -> Result<Vec<T>, ManagerError> {
        self.0.ask_all("slice", self.0.encode(&bounds(&range))?)
    }

    /// The items one after the other, each as it is when its turn comes.
    pub fn iter(&self) -> ListIter<'_, T> {
        ListIter::new(&self.0)
    }
}

impl<'a, T: Serialize + DeserializeOwned + 'static> IntoIterator for &'a ListProxy<T> {
    type Item = Result<T, ManagerError>;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

/// The items of a [`ListProxy`] or an [`ArrayProxy`](crate::ArrayProxy), each as it is when its turn comes.
///
/// It ends where the list does by then. After an error it goes on with the next item, if there can be one.
#[derive(Debug)]
#[must_use = "an iterator gets nothing until it is asked for an item"]
pub struct ListIter<'a, T> {
    proxy: &'a Proxy,
    next: u64,
    is_over: bool,
    items: PhantomData<fn() -> T>,
}

impl<'a, T> ListIter<'a, T> {
    pub(crate) fn new(proxy: &'a Proxy) -> ListIter<'a, T> {
        ListIter { proxy, next: 0, is_over: false, items: PhantomData }
    }
}

impl<T: DeserializeOwned> Iterator for ListIter<'_, T> {
    type Item = Result<T, ManagerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.proxy.call("get", &(self.next,));
        self.next += 1;
        if let Err(error) = &item {
            self.is_over = is_final(error);
        }
        match item {
            Err(ManagerError::Index { .. }) => None,
            item => Some(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8),
        Extend(Vec<u8>),
        Set(isize, u8),
        Insert(isize, u8),
        Pop,
        PopAt(isize),
        Remove(u8),
        Sort,
        Reverse,
        Repeat(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let index = -8..8_isize;
        let item = 0..6_u8;
        prop_oneof![
            4 => item.clone().prop_map(Step::Push),
            2 => prop::collection::vec(item.clone(), 0..5).prop_map(Step::Extend),
            2 => (index.clone(), item.clone()).prop_map(|(index, item)| Step::Set(index, item)),
            2 => (index.clone(), item.clone()).prop_map(|(index, item)| Step::Insert(index, item)),
            1 => Just(Step::Pop),
            1 => index.prop_map(Step::PopAt),
            1 => item.prop_map(Step::Remove),
            1 => Just(Step::Sort),
            1 => Just(Step::Reverse),
            1 => (0..3_usize).prop_map(Step::Repeat),
            1 => Just(Step::Clear),
        ]
    }

    /// The position in the model, if there is an item.
    fn place(index: isize, len: usize) -> Option<usize> {
        (0..len).find(|place| *place as isize == index || *place as isize - len as isize == index)
    }

    /// Takes a step with the model; gives whether it could be taken.
    fn model(all: &mut Vec<u8>, step: Step) -> bool {
        let len = all.len();
        match step {
            Step::Push(item) => all.push(item),
            Step::Extend(items) => all.extend(items),
            Step::Set(index, item) => match place(index, len) {
                Some(place) => all[place] = item,
                None => return false,
            },
            Step::Insert(index, item) => {
                let from_start = if index < 0 { index + len as isize } else { index };
                all.insert(from_start.clamp(0, len as isize).unsigned_abs(), item);
            }
            Step::Pop => return all.pop().is_some(),
            Step::PopAt(index) => {
                return place(index, len).map(|place| all.remove(place)).is_some();
            }
            Step::Remove(item) => match all.iter().position(|known| *known == item) {
                Some(place) => drop(all.remove(place)),
                None => return false,
            },
            Step::Sort => all.sort(),
            Step::Reverse => all.reverse(),
            Step::Repeat(times) => *all = all.repeat(times),
            Step::Clear => all.clear(),
        }
        true
    }

    fn real(list: &ListProxy<u8>, step: Step) -> Result<(), ManagerError> {
        match step {
            Step::Push(item) => list.push(item),
            Step::Extend(items) => list.extend(items),
            Step::Set(index, item) => list.set(index, item),
            Step::Insert(index, item) => list.insert(index, item),
            Step::Pop => list.pop().map(drop),
            Step::PopAt(index) => list.pop_at(index).map(drop),
            Step::Remove(item) => list.remove(&item),
            Step::Sort => list.sort(),
            Step::Reverse => list.reverse(),
            Step::Repeat(times) => list.repeat(times),
            Step::Clear => list.clear(),
        }
    }

    proptest! {
        #[test]
        fn a_list_is_as_a_vec_is(
            steps in prop::collection::vec(step(), 0..40),
            start in -8..8_isize,
            end in -8..8_isize,
        ) {
            let list = managed_list(Vec::<u8>::new());
            let mut all = Vec::new();
            for step in steps {
                if all.len() > 1000 {
                    break;
                }
                let can_be = model(&mut all, step.clone());
                let done = real(&list, step);
                prop_assert_eq!(done.is_ok(), can_be, "{:?}", done);
                prop_assert_eq!(&list.to_vec().unwrap(), &all);
                prop_assert_eq!(list.len().unwrap(), all.len());
                prop_assert_eq!(list.count(&1).unwrap(), all.iter().filter(|item| **item == 1).count());
                prop_assert_eq!(list.index(&1).ok(), all.iter().position(|item| *item == 1));
                prop_assert_eq!(list.contains(&1).unwrap(), all.contains(&1));
                prop_assert_eq!(list.get(end).ok(), place(end, all.len()).map(|place| all[place]));
            }
            let from_start = |index: isize| {
                let len = all.len() as isize;
                (if index < 0 { index + len } else { index }).clamp(0, len).unsigned_abs()
            };
            let (first, last) = (from_start(start), from_start(end));
            let part = if first < last { &all[first..last] } else { &[] };
            prop_assert_eq!(list.slice(start..end).unwrap(), part);
            prop_assert_eq!(list.slice(start..).unwrap(), &all[first..]);
            prop_assert_eq!(list.slice(..end).unwrap(), &all[..last]);
            let items: Vec<u8> = list.iter().map(Result::unwrap).collect();
            prop_assert_eq!(items, all);
        }
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "an index below zero counts from the end")]
    fn the_last_item_can_be_the_end_of_a_range() {
        let list = managed_list([1, 2, 3]);
        assert_eq!(list.slice(..=-1).unwrap(), [1, 2, 3]);
        assert_eq!(list.slice(1..=-2).unwrap(), [2]);
        let after = |index| (Bound::Excluded(index), Bound::Unbounded);
        assert_eq!(list.slice(after(0)).unwrap(), [2, 3]);
        assert_eq!(list.slice(after(-1)).unwrap(), []);
        assert_eq!(list.slice(isize::MIN..isize::MAX).unwrap(), [1, 2, 3]);
        assert!(list.get(isize::MIN).is_err() && list.get(isize::MAX).is_err());
    }

    #[test]
    fn an_order_that_is_none_is_refused() {
        let list = managed_list([1, 2, 3]);
        for order in [vec![0, 0, 1], vec![0, 1, 3]] {
            let error = list.0.call::<bool, _>("rearrange", &(0, order)).unwrap_err();
            assert!(matches!(error, ManagerError::Value(_)), "{error}");
        }
        assert!(!list.0.call::<bool, _>("rearrange", &(0, [1, 0])).unwrap());
        assert_eq!(list.to_vec().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn who_is_in_the_way_of_its_own_sort_is_told() {
        let list = managed_list([2, 1]);
        let error = list.sort_by(|a, b| {
            list.push(3).unwrap();
            a.cmp(b)
        });
        assert!(matches!(error, Err(ManagerError::Value(_))), "{error:?}");
        list.sort().unwrap();
        assert_eq!(list.slice(..3).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_sort_that_panics_lets_go_of_the_list() {
        let list = managed_list([2, 1]);
        let mut sorts = 0;
        let sort = std::panic::AssertUnwindSafe(|| {
            list.sort_by(|_, _| {
                sorts += 1;
                if sorts > 4 {
                    panic!("on purpose");
                }
                list.set(0, 3).unwrap();
                Ordering::Less
            })
        });
        assert!(std::panic::catch_unwind(sort).is_err());
        let other = list.clone();
        std::thread::spawn(move || other.clear().unwrap()).join().unwrap();
        assert!(list.is_empty().unwrap());
    }
}
