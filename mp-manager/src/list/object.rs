//! [`ListObject`]: a list as its server keeps it.
//!
//! The items stay as they came, encoded, and none is opened. So they cannot be compared here but for being the same: who sorts
//! has all of them come, sorts, and says the order. Whether the list is still as it was then is for [`Versioned`] to know.

use std::collections::VecDeque;
use std::mem;

use serde::Serialize;

use crate::call::Call;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::list::ListProxy;
use crate::managed::Manageable;
use crate::parts::Packing;
use crate::payload::{Item, Payload};
use crate::preview;
use crate::registry::Registered;
use crate::shelf::Shelf;
use crate::typed::encode_here;
use crate::versioned::Versioned;

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

    fn cares_for(&self) -> Clients {
        Clients::Holders
    }

    fn client_gone(&self, client: ClientId) {
        self.0.client_gone(client);
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::error::ManagerError;
    use crate::list::{ListProxy, managed_list};

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
    fn an_order_that_is_none_is_refused() {
        let list = managed_list([1, 2, 3]);
        for order in [vec![0, 0, 1], vec![0, 1, 3]] {
            let error = list.0.call::<bool, _>("rearrange", &(0, order)).unwrap_err();
            assert!(matches!(error, ManagerError::Value(_)), "{error}");
        }
        assert!(!list.0.call::<bool, _>("rearrange", &(0, [1, 0])).unwrap());
        assert_eq!(list.to_vec().unwrap(), [1, 2, 3]);
    }
}
