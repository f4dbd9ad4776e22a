//! A list of plain values in shared memory, with a fixed number of slots of fixed capacity.
//!
//! This file decides the layout: three words and more, each of eight bytes: what it is, how many slots
//! there are, the capacity of each, and then the slots one after the other. Layout and capacities
//! never change, so they are checked once, when a handle is made. What is in a slot is
//! [`slot`]'s business, and which values there are is [`item`]'s.

mod item;
mod slot;

use std::fmt::{self, Debug};
use std::iter::FusedIterator;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::slot::{Contents, Place};
use crate::error::SharedMemoryError as Error;
use crate::region;
use crate::shared_memory::SharedMemory;

pub use item::ShareableItem;

const MAGIC: u64 = u64::from_le_bytes(*b"mp-list1");
const WORD: usize = 8;
/// Where the capacities begin: behind the magic number and the number of slots.
const CAPACITIES_AT: usize = 2 * WORD;

/// A list in shared memory of numbers, truth values, texts, bytes and nothing; clones are handles to the
/// same list.
///
/// Each slot keeps the capacity that its first value gave it: eight bytes for a number, the encoded length
/// rounded up to a multiple of eight for a text or bytes. A slot can change its kind, as long as the
/// new value fits. Every text comes back as it was, whatever is in it.
///
/// There is no lock. A reader sees the old or the new value, never a mixture, unless two
/// processes store into the same slot at once: who wants that takes a lock.
///
/// # When a process dies
///
/// The list stays as long as any handle, or, if it has a name, as [`SharedMemory`] says. A process that is
/// killed while it stores leaves that slot [`Torn`](Error::Torn), until the next value is stored there.
///
/// # Examples
///
/// ```
/// use mp_shared_memory::{ShareableItem, ShareableList};
///
/// let list = ShareableList::new([
///     ShareableItem::from("howdy"),
///     ShareableItem::from(-273.154),
///     ShareableItem::from(100),
///     ShareableItem::None,
/// ])?;
/// let same = list.clone(); // in another process, say
/// same.set(-1, "some")?;
/// assert_eq!(list.get(3)?, "some".into());
/// assert_eq!(list.index(&100.into())?, 2);
/// assert!(list.set(0, "too long for eight bytes").is_err());
/// # Ok::<(), mp_shared_memory::SharedMemoryError>(())
/// ```
///
/// # Differences from Python
///
/// Indices below `-len` are errors, room is counted in encoded bytes, and zero bytes at the end of a
/// text or of bytes survive. A value of one kind never equals one of another: `1`, `1.0` and `true` are
/// three. A list has a name only if it is given one.
#[derive(Clone)]
pub struct ShareableList {
    memory: SharedMemory,
    places: Arc<[Place]>,
}

impl ShareableList {
    /// A new list of these items, which give the slots their capacities.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is no memory for it; nothing is taken then.
    pub fn new<I>(items: I) -> Result<ShareableList, Error>
    where
        I: IntoIterator,
        I::Item: Into<ShareableItem>,
    {
        ShareableList::create(None, &collect(items), slot::capacity_for)
    }

    /// A new list with a name; see [`SharedMemory::create_named`].
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::create_named`].
    pub fn create_named<I>(name: &str, items: I) -> Result<ShareableList, Error>
    where
        I: IntoIterator,
        I::Item: Into<ShareableItem>,
    {
        ShareableList::create(Some(name), &collect(items), slot::capacity_for)
    }

    /// The list that has a name.
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::open`]; [`Foreign`](Error::Foreign) when what has the name is no list.
    pub fn open(name: &str) -> Result<ShareableList, Error> {
        ShareableList::of(SharedMemory::open(name)?)
    }

    fn create(
        name: Option<&str>,
        items: &[Contents],
        capacity: impl Fn(usize, &Contents) -> usize,
    ) -> Result<ShareableList, Error> {
        let mut image = Vec::new();
        image.extend(MAGIC.to_ne_bytes());
        image.extend((items.len() as u64).to_ne_bytes());
        let capacities: Vec<usize> =
            items.iter().enumerate().map(|(index, item)| capacity(index, item)).collect();
        for capacity in &capacities {
            image.extend((*capacity as u64).to_ne_bytes());
        }
        for (item, capacity) in items.iter().zip(capacities) {
            image.extend(slot::first_tag(item).to_ne_bytes());
            let end = image.len() + capacity;
            image.extend(&item.payload);
            image.resize(end, 0);
        }
        ShareableList::of(SharedMemory::create_with(name, image.len(), &image)?)
    }

    /// Checks once and for all where everything is.
    fn of(memory: SharedMemory) -> Result<ShareableList, Error> {
        let bytes = memory.bytes();
        let word = |offset| {
            let word = region::word(bytes, offset).ok_or(Error::foreign("it is too short"))?;
            Ok::<_, Error>(word.load(Ordering::Relaxed))
        };
        if word(0)? != MAGIC {
            return Err(Error::foreign("it is no list of this version of the library"));
        }
        let len = usize::try_from(word(WORD)?).ok();
        // Each slot takes at least a capacity, a tag and a word.
        let len = len.filter(|len| *len <= bytes.len() / (3 * WORD));
        let len = len.ok_or(Error::foreign("it has no room for its slots"))?;
        let mut at = CAPACITIES_AT + len * WORD;
        let mut places = Vec::with_capacity(len);
        for index in 0..len {
            let capacity = usize::try_from(word(CAPACITIES_AT + index * WORD)?).ok();
            let end = capacity
                .filter(|capacity| *capacity >= WORD && capacity.is_multiple_of(WORD))
                .and_then(|capacity| capacity.checked_add(at + WORD))
                .filter(|end| *end <= bytes.len());
            let end = end.ok_or(Error::foreign("a slot lies outside of it"))?;
            places.push(Place { at, capacity: end - at - WORD });
            at = end;
        }
        Ok(ShareableList { places: places.into(), memory })
    }

    /// The number of slots; it never changes.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The value in a slot; a negative index counts from the end.
    ///
    /// # Errors
    ///
    /// [`Index`](Error::Index) outside of the list; [`Torn`](Error::Torn) when the slot holds no value.
    pub fn get(&self, index: isize) -> Result<ShareableItem, Error> {
        self.at(self.position(index)?)
    }

    fn at(&self, index: usize) -> Result<ShareableItem, Error> {
        let torn = |reason| Error::Torn { index, reason };
        let contents = slot::load(self.memory.bytes(), self.places[index]).map_err(torn)?;
        ShareableItem::from_contents(contents).map_err(torn)
    }

    /// Stores a value in a slot; a negative index counts from the end.
    ///
    /// # Errors
    ///
    /// [`Index`](Error::Index) outside of the list; [`SlotTooSmall`](Error::SlotTooSmall) when the value
    /// does not fit: the slot keeps what it had.
    pub fn set(&self, index: isize, item: impl Into<ShareableItem>) -> Result<(), Error> {
        let place = self.places[self.position(index)?];
        let contents = item.into().into_contents();
        let (needed, capacity) = (contents.payload.len(), place.capacity);
        if needed > capacity {
            return Err(Error::SlotTooSmall { needed, capacity });
        }
        slot::store(self.memory.bytes(), place, &contents);
        Ok(())
    }

    fn position(&self, index: isize) -> Result<usize, Error> {
        let len = self.len();
        let position = match usize::try_from(index) {
            Ok(position) => Some(position),
            Err(_) => len.checked_sub(index.unsigned_abs()),
        };
        position.filter(|position| *position < len).ok_or(Error::Index { index, len })
    }

    /// The first position that holds `item`.
    ///
    /// # Errors
    ///
    /// [`NotInList`](Error::NotInList) when none does; [`Torn`](Error::Torn) when a slot before it holds no
    /// value.
    pub fn index(&self, item: &ShareableItem) -> Result<usize, Error> {
        for (index, found) in self.iter().enumerate() {
            if found? == *item {
                return Ok(index);
            }
        }
        Err(Error::NotInList)
    }

    /// How many slots hold `item`.
    ///
    /// # Errors
    ///
    /// [`Torn`](Error::Torn) when a slot holds no value.
    pub fn count(&self, item: &ShareableItem) -> Result<usize, Error> {
        let mut count = 0;
        for found in self.iter() {
            count += usize::from(found? == *item);
        }
        Ok(count)
    }

    /// The values, each as it is when its turn comes.
    pub fn iter(&self) -> Iter<'_> {
        Iter { list: self, next: 0 }
    }

    /// All values.
    ///
    /// # Errors
    ///
    /// [`Torn`](Error::Torn) when a slot holds no value.
    pub fn to_vec(&self) -> Result<Vec<ShareableItem>, Error> {
        self.iter().collect()
    }

    /// What kind each slot holds, in the letters of Python's `struct`: `q` for an integer, `d` for a float,
    /// `xxxxxxx?` for a truth value, `xxxxxx?x` for nothing, and a text or bytes as capacity and `s`.
    ///
    /// # Errors
    ///
    /// [`Torn`](Error::Torn) when a slot holds no value.
    pub fn format(&self) -> Result<String, Error> {
        self.iter()
            .zip(self.places.iter())
            .map(|(item, place)| Ok(item?.format(place.capacity)))
            .collect()
    }

    /// A new list without a name, with the same values and capacities.
    ///
    /// # Errors
    ///
    /// As [`new`](ShareableList::new); [`Torn`](Error::Torn) when a slot holds no value.
    pub fn copy(&self) -> Result<ShareableList, Error> {
        self.copy_to(None)
    }

    /// A new list with a name, with the same values and capacities.
    ///
    /// # Errors
    ///
    /// As [`create_named`](ShareableList::create_named); [`Torn`](Error::Torn) when a slot holds no
    /// value.
    pub fn copy_named(&self, name: &str) -> Result<ShareableList, Error> {
        self.copy_to(Some(name))
    }

    fn copy_to(&self, name: Option<&str>) -> Result<ShareableList, Error> {
        let items = collect(self.to_vec()?);
        ShareableList::create(name, &items, |index, _| self.places[index].capacity)
    }

    /// The memory that it is in, with its name and size.
    #[doc(alias = "shm")]
    pub fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Takes the name away; see [`SharedMemory::unlink`].
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::unlink`].
    pub fn unlink(&self) -> Result<(), Error> {
        self.memory.unlink()
    }

    /// Whether both are handles to the same list.
    pub fn is_same(&self, other: &ShareableList) -> bool {
        self.memory.is_same(&other.memory)
    }

    /// A text for other processes; see [`SharedMemory::token`].
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::token`].
    pub fn token(&self) -> Result<String, Error> {
        self.memory.token()
    }

    /// The handle that a [`token`](ShareableList::token) stands for.
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::from_token`]; [`Foreign`](Error::Foreign) for a token of something else.
    pub fn from_token(token: &str) -> Result<ShareableList, Error> {
        ShareableList::of(SharedMemory::from_token(token)?)
    }
}

fn collect<I>(items: I) -> Vec<Contents>
where
    I: IntoIterator,
    I::Item: Into<ShareableItem>,
{
    items.into_iter().map(|item| item.into().into_contents()).collect()
}

/// The values of a [`ShareableList`], each as it is when its turn comes.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    list: &'a ShareableList,
    next: usize,
}

impl Iterator for Iter<'_> {
    type Item = Result<ShareableItem, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.list.len() {
            return None;
        }
        self.next += 1;
        Some(self.list.at(self.next - 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.list.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a ShareableList {
    type Item = Result<ShareableItem, Error>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Debug for ShareableList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareableList(")?;
        if let Some(name) = self.memory.name() {
            write!(f, "{name:?}, ")?;
        }
        let mut list = f.debug_list();
        for item in self {
            match item {
                Ok(item) => list.entry(&item),
                Err(_) => list.entry(&format_args!("<torn>")),
            };
        }
        list.finish()?;
        f.write_str(")")
    }
}

impl Serialize for ShareableList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.memory.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ShareableList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ShareableList, D::Error> {
        ShareableList::of(SharedMemory::deserialize(deserializer)?)
            .map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_item() -> impl Strategy<Value = ShareableItem> {
        prop_oneof![
            any::<i64>().prop_map(ShareableItem::Int),
            any::<f64>().prop_map(ShareableItem::Float),
            any::<bool>().prop_map(ShareableItem::Bool),
            any::<String>().prop_map(ShareableItem::Text),
            any::<Vec<u8>>().prop_map(ShareableItem::Bytes),
            Just(ShareableItem::None),
        ]
    }

    proptest! {
        #[test]
        fn a_list_is_what_a_vector_is(
            start in prop::collection::vec(any_item(), 0..12),
            changes in prop::collection::vec((-14_isize..14, any_item()), 0..40),
        ) {
            let list = ShareableList::new(start.clone()).unwrap();
            let capacities: Vec<usize> = list.places.iter().map(|place| place.capacity).collect();
            let mut model = start;
            for (index, item) in changes {
                let len = isize::try_from(model.len()).unwrap();
                let position = if index < 0 { index + len } else { index };
                let position = usize::try_from(position).ok().filter(|p| *p < model.len());
                match (list.set(index, item.clone()), position) {
                    (Err(Error::Index { .. }), None) => prop_assert!(list.get(index).is_err()),
                    (Err(Error::SlotTooSmall { needed, capacity }), Some(position)) => {
                        prop_assert!(needed > capacity && capacity == capacities[position]);
                    }
                    (Ok(()), Some(position)) => {
                        prop_assert_eq!(&list.get(index).unwrap(), &item);
                        model[position] = item;
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
                prop_assert_eq!(&list.to_vec().unwrap(), &model);
            }
            let copy = list.copy().unwrap();
            prop_assert_eq!(copy.to_vec().unwrap(), model);
            prop_assert_eq!(copy.format().unwrap(), list.format().unwrap());
        }

        #[test]
        fn hostile_bytes_are_errors_or_values_and_never_a_panic(
            start in prop::collection::vec(any_item(), 0..6),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..9),
            is_attached_before: bool,
        ) {
            let list = ShareableList::new(start).unwrap();
            let memory = list.memory().clone();
            for (at, word) in damage {
                memory.write_at(at.index(memory.size() / 8) * 8, &word.to_ne_bytes()).unwrap();
            }
            let list = if is_attached_before { Ok(list) } else { ShareableList::of(memory) };
            if let Ok(list) = list {
                for index in 0..list.len() {
                    let index = isize::try_from(index).unwrap();
                    if let Err(error) = list.get(index) {
                        prop_assert!(matches!(error, Error::Torn { .. }), "{}", error);
                        list.set(index, 5).unwrap();
                        prop_assert_eq!(list.get(index).unwrap(), ShareableItem::Int(5));
                    }
                }
                let _text = format!("{list:?} {:?} {:?}", list.format(), list.copy());
            }
        }
    }

    #[test]
    fn a_slot_whose_writer_died_is_torn_until_the_next_value() {
        let list = ShareableList::new(["first", "second"]).unwrap();
        slot::begin(list.memory.bytes(), list.places[1]);
        assert!(matches!(list.get(1), Err(Error::Torn { index: 1, .. })));
        assert_eq!(format!("{list:?}"), r#"ShareableList([Text("first"), <torn>])"#);
        assert_eq!(list.get(0).unwrap(), "first".into());
        list.set(1, "third").unwrap();
        assert_eq!(list.get(1).unwrap(), "third".into());
    }

    #[test]
    fn a_reader_never_sees_half_a_value() {
        let (ones, twos) = ("1".repeat(4000), "2".repeat(4000));
        let list = ShareableList::new([&*ones]).unwrap();
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..5000 {
                    list.set(0, if round % 2 == 0 { &*twos } else { &*ones }).unwrap();
                }
                is_done.store(true, Ordering::Relaxed);
            });
            while !is_done.load(Ordering::Relaxed) {
                match list.get(0) {
                    Ok(ShareableItem::Text(text)) => assert!(text == ones || text == twos),
                    Err(Error::Torn { .. }) => {} // the writer did not get to run for long
                    other => panic!("{other:?}"),
                }
            }
        });
    }
}
