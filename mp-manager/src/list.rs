//! [`ListProxy`]: a list in a server, as its clients call it, and how one is made.
//!
//! What a call does is decided by [`ListObject`]. But the items have a type only here: so it is here that they are sorted.

pub(crate) mod object;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::host::Host;
use crate::list::object::ListObject;
use crate::manager::Manager;
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};
use crate::typed::{encode_here, is_final, typed_proxy};
use crate::versioned::until_unchanged;

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
        Bound::Excluded(before) => (*before as i64).saturating_add(1),
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
    use super::*;

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
