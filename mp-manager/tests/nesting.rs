//! Objects in objects: containers of a server that hold proxies and other handles.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};

use mp::{
    ArrayProxy, DictProxy, Event, ListProxy, Manager, NamespaceProxy, Process, Queue,
    ServerProcess, ValueProxy,
};
use mp_testing::limits::LONG;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

/// How many objects there are.
fn objects(server: &ServerProcess) -> usize {
    server.debug_info().unwrap().len()
}

#[test]
fn m_60_a_list_of_lists_gives_working_proxies() {
    let manager = Manager::start().unwrap();
    let outer = manager.list::<ListProxy<u32>>().unwrap();
    let inner = manager.list_from([1]).unwrap();
    outer.push(inner.clone()).unwrap();
    outer.get(0).unwrap().push(2).unwrap();
    assert_eq!(inner.to_vec().unwrap(), [1, 2]);
    inner.set(0, 10).unwrap();
    assert_eq!(outer.get(-1).unwrap().to_vec().unwrap(), [10, 2]);
    assert_eq!(outer.get(0).unwrap(), inner);
    assert!(outer.contains(&inner).unwrap());
    assert_eq!(outer.to_string(), "[<listProxy object 2>]");
}

#[test]
fn m_60_a_dict_in_a_dict_is_changed_by_a_child() {
    let manager = Manager::start().unwrap();
    let outer = manager.dict::<String, DictProxy<String, u32>>().unwrap();
    let inner = manager.dict_from([("a".to_owned(), 1)]).unwrap();
    outer.insert("inner".to_owned(), inner.clone()).unwrap();
    let change = |outer: DictProxy<String, DictProxy<String, u32>>| {
        let inner = outer.get("inner")?.ok_or_else(|| mp::Error::msg("no inner dict"))?;
        Ok(inner.insert("b".to_owned(), 2)?)
    };
    Process::start(change, (outer,)).unwrap().into_result().unwrap();
    assert_eq!(inner.items().unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}

#[test]
fn m_60_queues_and_events_of_shared_memory_are_items() {
    let manager = Manager::start().unwrap();
    let queues = manager.list::<Queue<u32>>().unwrap();
    queues.extend([Queue::new().unwrap(), Queue::new().unwrap()]).unwrap();
    let events = manager.dict::<u8, Event>().unwrap();
    events.insert(1, Event::new().unwrap()).unwrap();
    let put = |queues: ListProxy<Queue<u32>>, events: DictProxy<u8, Event>| {
        for (number, queue) in (1..).zip(&queues) {
            queue?.put(&number)?;
        }
        Ok(events.get(&1)?.ok_or_else(|| mp::Error::msg("no event"))?.set())
    };
    let child = Process::start(put, (queues.clone(), events.clone())).unwrap();
    assert!(events.get(&1).unwrap().unwrap().wait_timeout(LONG).unwrap());
    let both = queues.to_vec().unwrap();
    assert_eq!((both[0].get().unwrap(), both[1].get().unwrap()), (1, 2));
    child.into_result().unwrap();
    queues.reverse().unwrap();
    both[0].put(&7).unwrap();
    assert_eq!(queues.get(1).unwrap().get().unwrap(), 7);
}

#[test]
fn m_61_what_is_no_proxy_is_a_copy() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([vec![1], vec![2]]).unwrap();
    let mut first = list.get(0).unwrap();
    first.push(3);
    assert_eq!(list.get(0).unwrap(), [1]);
    list.set(0, first).unwrap();
    assert_eq!(list.get(0).unwrap(), [1, 3]);
}

#[test]
fn m_62_an_object_lives_as_long_as_its_container_or_its_client_has_it() {
    let manager = Manager::start().unwrap();
    let outer = manager.list::<ListProxy<u32>>().unwrap();
    let inner = manager.list_from([1]).unwrap();
    outer.push(inner.clone()).unwrap();
    drop(inner);
    assert_eq!(objects(&manager), 2);
    let inner = outer.get(0).unwrap();
    outer.clear().unwrap();
    assert_eq!(inner.to_vec().unwrap(), [1]);
    assert_eq!(objects(&manager), 2);
    drop(inner);
    assert_eq!(objects(&manager), 1);
}

#[test]
fn m_63_a_list_can_be_in_itself() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Itself(ListProxy<Itself>);

    let manager = Manager::start().unwrap();
    let list = manager.list::<Itself>().unwrap();
    list.push(Itself(list.clone())).unwrap();
    let inner = list.get(0).unwrap().0;
    assert_eq!(inner, list);
    assert_eq!(inner.get(0).unwrap().0.len().unwrap(), 1);
    assert_eq!(list.to_string(), "[<listProxy object 1>]");
    drop((list, inner));
    assert_eq!(manager.list::<u8>().unwrap().len().unwrap(), 0, "the server goes on");
}

#[test]
fn m_64_three_levels_and_one_dict_in_two_lists() {
    let manager = Manager::start().unwrap();
    let feeds = manager.dict_from([("feed".to_owned(), 1)]).unwrap();
    let middle = manager.list_from([feeds.clone()]).unwrap();
    let outer = manager.list_from([middle.clone()]).unwrap();
    let other = manager.list_from([feeds]).unwrap();
    let feed = |list: ListProxy<ListProxy<DictProxy<String, u32>>>| {
        list.get(-1).unwrap().get(-1).unwrap().get("feed").unwrap().unwrap()
    };
    assert_eq!(feed(outer.clone()), 1);
    other.get(0).unwrap().insert("feed".to_owned(), 2).unwrap();
    assert_eq!(feed(outer.clone()), 2);
    drop(middle);
    assert_eq!(objects(&manager), 4);
    drop(outer);
    assert_eq!(objects(&manager), 2);
}

#[test]
fn m_75_objects_go_with_their_container() {
    let manager = Manager::start().unwrap();
    let new = || manager.list_from([1_u32]).unwrap();
    let list = manager.list::<ListProxy<u32>>().unwrap();
    list.extend([new(), new(), new(), new(), new()]).unwrap();
    assert_eq!(objects(&manager), 6);
    list.set(0, list.get(1).unwrap()).unwrap();
    assert_eq!(objects(&manager), 5, "what is replaced");
    drop(list.pop().unwrap());
    assert_eq!(objects(&manager), 4, "what is taken");
    list.remove(&list.get(-1).unwrap()).unwrap();
    assert_eq!(objects(&manager), 3, "what is removed");
    list.repeat(2).unwrap();
    assert_eq!(objects(&manager), 3);
    list.repeat(0).unwrap();
    assert_eq!(objects(&manager), 1);

    let dict = manager.dict::<u8, ListProxy<u32>>().unwrap();
    dict.update([(1, new()), (2, new()), (3, new()), (1, new())]).unwrap();
    assert_eq!(objects(&manager), 5);
    drop(dict.insert(2, new()).unwrap());
    drop(dict.remove(&3).unwrap());
    assert_eq!(objects(&manager), 4);
    dict.clear().unwrap();
    assert_eq!(objects(&manager), 2);

    let value = manager.value(Some(new())).unwrap();
    let array = manager.array(&[new(), new()]).unwrap();
    let namespace = manager.namespace().unwrap();
    namespace.set("list", &new()).unwrap();
    let iterator = manager.iterator([new(), new()]).unwrap();
    assert_eq!(objects(&manager), 12);
    value.set(None).unwrap();
    array.set(0, array.get(1).unwrap()).unwrap();
    namespace.delete("list").unwrap();
    drop(iterator);
    assert_eq!(objects(&manager), 6);
    drop((array, list, dict, value, namespace));
    assert_eq!(objects(&manager), 0);
}

#[test]
fn a_sort_keeps_each_object_with_its_item() {
    let manager = Manager::start().unwrap();
    let list = manager.list::<(u32, ListProxy<u32>)>().unwrap();
    for number in [3, 1, 2] {
        list.push((number, manager.list_from([number]).unwrap())).unwrap();
    }
    list.sort_by_key(|(number, _)| *number).unwrap();
    for item in &list {
        let (number, inner) = item.unwrap();
        assert_eq!(inner.to_vec().unwrap(), [number]);
    }
    assert_eq!(objects(&manager), 4);
    list.clear().unwrap();
    assert_eq!(objects(&manager), 1);
}

#[test]
fn an_object_of_another_server_is_an_item_too() {
    let (one, two) = (Manager::start().unwrap(), Manager::start().unwrap());
    let here = one.list::<ListProxy<u32>>().unwrap();
    here.push(two.list_from([1]).unwrap()).unwrap();
    let inner = here.get(0).unwrap();
    inner.push(2).unwrap();
    assert_eq!(here.get(0).unwrap().to_vec().unwrap(), [1, 2]);
    assert_eq!(objects(&two), 1);
    drop(inner);
    here.clear().unwrap();
    assert!(mp_testing::limits::comes_true(|| objects(&two) == 0));
}

/// Makes all kinds of containers in the server itself: MP-04 in the forms of their own, MP-11 by the type of what they hold.
struct Office;

/// Plain and managed parts.
#[derive(Serialize, Deserialize)]
struct Report {
    title: String,
    numbers: ListProxy<u32>,
    by_name: BTreeMap<String, DictProxy<u32, String>>,
}

#[mp::managed]
impl Office {
    pub fn new() -> Self {
        Office
    }

    pub fn report(&self) -> Report {
        let names = HashMap::from([(1, "one".to_owned())]);
        Report {
            title: "plain".to_owned(),
            numbers: mp::managed(vec![1, 2]),
            by_name: BTreeMap::from([("names".to_owned(), mp::managed(names))]),
        }
    }

    pub fn tree(&self) -> ListProxy<DictProxy<String, ListProxy<u32>>> {
        let leaves = mp::managed_list([1, 2]);
        let branch = mp::managed(BTreeMap::from([("leaves".to_owned(), leaves)]));
        mp::managed_list([branch])
    }

    pub fn others(&self) -> mp::Result<(ValueProxy<u32>, ArrayProxy<u32>, NamespaceProxy)> {
        let namespace = mp::managed_namespace();
        namespace.set("list", &mp::managed_list([7_u32]))?;
        Ok((mp::managed_value(1), mp::managed_array([1, 2]), namespace))
    }

    /// MP-07: calls of objects of this process are direct.
    pub fn total(&self, lists: ListProxy<ListProxy<u32>>) -> mp::Result<u32> {
        let mut total = 0;
        for list in &lists {
            let list = list?;
            list.sort()?;
            total += list.to_vec()?.into_iter().sum::<u32>();
        }
        Ok(total)
    }
}

#[test]
fn mp_05_mp_11_a_child_changes_the_managed_parts_of_a_report() {
    let manager = Manager::start().unwrap();
    let mut report = manager.create(Office::args()).unwrap().report().unwrap();
    let change = |mut report: Report| {
        report.title.push_str(" changed");
        report.numbers.push(3)?;
        Ok(report.by_name["names"].insert(2, "two".to_owned())?)
    };
    Process::start(
        change,
        (Report {
            title: report.title.clone(),
            numbers: report.numbers.clone(),
            by_name: report.by_name.clone(),
        },),
    )
    .unwrap()
    .into_result()
    .unwrap();
    assert_eq!(report.title, "plain");
    assert_eq!(report.numbers.to_vec().unwrap(), [1, 2, 3]);
    assert_eq!(report.by_name.remove("names").unwrap().len().unwrap(), 2);
}

#[test]
fn mp_09_a_tree_that_was_made_in_the_server_lives_with_its_root() {
    let manager = Manager::start().unwrap();
    let office = manager.create(Office::args()).unwrap();
    let tree = office.tree().unwrap();
    assert_eq!(objects(&manager), 4);
    let leaves = tree.get(0).unwrap().pop("leaves").unwrap();
    drop(tree);
    assert_eq!(leaves.to_vec().unwrap(), [1, 2]);
    assert_eq!(objects(&manager), 2);
    let (value, array, namespace) = office.others().unwrap();
    assert_eq!(value.update(|value| *value + 1).unwrap(), 2);
    assert_eq!(array.get(-1).unwrap(), 2);
    let list: ListProxy<u32> = namespace.get("list").unwrap();
    assert_eq!(list.to_vec().unwrap(), [7]);
}

#[test]
fn mp_07_a_proxy_works_in_its_own_server() {
    let manager = Manager::start().unwrap();
    let office = manager.create(Office::args()).unwrap();
    let lists = manager.list_from([manager.list_from([2, 1]).unwrap()]).unwrap();
    lists.push(manager.list_from([4]).unwrap()).unwrap();
    assert_eq!(office.total(lists.clone()).unwrap(), 7);
    assert_eq!(lists.get(0).unwrap().to_vec().unwrap(), [1, 2]);
}
