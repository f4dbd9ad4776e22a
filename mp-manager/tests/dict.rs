//! Dicts that live in a server.

use std::collections::{BTreeMap, HashMap};

use mp::{DictProxy, Manager, ManagerError, Process};

mp::enable_test_support!();

#[test]
fn m_42_a_dict_is_a_dict() {
    let manager = Manager::start().unwrap();
    let dict = manager.dict::<u32, char>().unwrap();
    let pairs: Vec<(u32, char)> =
        (65..70).map(|code| (code, char::from_u32(code).unwrap())).collect();
    for (code, char) in pairs.iter().rev() {
        assert_eq!(dict.insert(*code, *char).unwrap(), None);
    }
    assert_eq!(dict.to_map().unwrap(), pairs.iter().copied().collect::<HashMap<_, _>>());
    assert_eq!(dict.to_btree_map().unwrap(), pairs.iter().copied().collect::<BTreeMap<_, _>>());
    let mut keys = dict.keys().unwrap();
    assert_eq!(keys, [69, 68, 67, 66, 65], "in the order in which they came");
    keys.sort();
    assert_eq!(keys, [65, 66, 67, 68, 69]);
    assert_eq!(dict.values().unwrap(), ['E', 'D', 'C', 'B', 'A']);
    assert_eq!(dict.items().unwrap()[0], (69, 'E'));

    assert_eq!((dict.get(&65).unwrap(), dict.get(&1).unwrap()), (Some('A'), None));
    assert_eq!(dict.insert(69, 'e').unwrap(), Some('E'));
    assert_eq!(dict.keys().unwrap()[0], 69, "a key keeps its place");
    assert_eq!((dict.setdefault(65, '?').unwrap(), dict.setdefault(70, 'F').unwrap()), ('A', 'F'));
    assert_eq!(dict.popitem().unwrap(), (70, 'F'));
    assert_eq!((dict.pop(&66).unwrap(), dict.remove(&66).unwrap()), ('B', None));
    dict.update([(1, 'x'), (65, 'a')]).unwrap();
    assert_eq!(dict.items().unwrap(), [(69, 'e'), (68, 'D'), (67, 'C'), (65, 'a'), (1, 'x')]);
    assert!(dict.contains_key(&1).unwrap() && !dict.contains_key(&2).unwrap());
    assert_eq!(dict.to_string(), "{69: 'e', 68: 'D', 67: 'C', 65: 'a', 1: 'x'}");
    assert_eq!(dict.len().unwrap(), 5);
    dict.clear().unwrap();
    assert!(dict.is_empty().unwrap());
}

#[test]
fn m_42_a_child_can_empty_it() {
    let manager = Manager::start().unwrap();
    let dict = manager.dict_from([("foo".to_owned(), 5)]).unwrap();
    let pop = |dict: DictProxy<String, u32>| Ok(dict.popitem()?);
    let p = Process::start(pop, (dict.clone(),)).unwrap();
    assert_eq!(p.into_result().unwrap(), ("foo".to_owned(), 5));
    assert!(dict.is_empty().unwrap());
    let error = dict.popitem().unwrap_err();
    assert!(matches!(error, ManagerError::Missing { .. }), "{error}");
    assert_eq!(dict.pop("foo").unwrap_err().to_string(), "there is no key 'foo'");
}

#[test]
fn m_43_mp_13_keys_come_in_order_and_once() {
    // MP-13: `keys` has them all at once, `iter_keys` one by one.
    let manager = Manager::start().unwrap();
    let dict = manager.dict_from((0..10).map(|number| (9 - number, ()))).unwrap();
    let keys: Vec<u32> = dict.iter_keys().map(Result::unwrap).collect();
    assert_eq!(keys, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);

    let mut keys = dict.iter_keys();
    assert_eq!(keys.next().unwrap().unwrap(), 9);
    dict.insert(8, ()).unwrap();
    assert_eq!(keys.next().unwrap().unwrap(), 8, "a new value is no new size");
    dict.clear().unwrap();
    let error = keys.next().unwrap().unwrap_err();
    assert!(matches!(&error, ManagerError::Value(text) if text.contains("size")), "{error}");
    assert!(keys.next().is_none());
}

#[test]
fn many_insert_at_the_same_time_and_nothing_is_lost() {
    let manager = Manager::start().unwrap();
    let dict = manager.dict::<(u32, u32), u32>().unwrap();
    let fill = |dict: DictProxy<(u32, u32), u32>, who: u32| {
        for number in 0..200 {
            dict.insert((who, number), number)?;
        }
        Ok(())
    };
    let children: Vec<_> =
        (0..3).map(|who| Process::start(fill, (dict.clone(), who)).unwrap()).collect();
    for child in children {
        child.into_result().unwrap();
    }
    assert_eq!(dict.len().unwrap(), 600);
    assert_eq!(dict.values().unwrap().into_iter().sum::<u32>(), 3 * 199 * 100);
}

#[test]
fn a_key_can_be_removed_from_a_large_dict_at_once() {
    const COUNT: u32 = 100_000;
    let manager = Manager::start().unwrap();
    let dict = manager.dict_from((0..COUNT).map(|number| (number, number))).unwrap();
    for number in 0..1000 {
        assert_eq!(dict.remove(&number).unwrap(), Some(number));
    }
    assert_eq!(dict.len().unwrap(), COUNT as usize - 1000);
    assert_eq!(dict.iter_keys().next().unwrap().unwrap(), 1000);
}

#[test]
fn a_proxy_can_be_a_key() {
    let manager = Manager::start().unwrap();
    let owners = manager.dict::<mp::ListProxy<u8>, String>().unwrap();
    let basket = manager.list_from([1, 2]).unwrap();
    owners.insert(basket.clone(), "Bob".to_owned()).unwrap();
    assert_eq!(owners.get(&basket).unwrap().as_deref(), Some("Bob"));
    drop(basket);
    let basket = owners.keys().unwrap().remove(0);
    assert_eq!(basket.to_vec().unwrap(), [1, 2]);
    owners.remove(&basket).unwrap();
    drop(basket);
    assert_eq!(manager.debug_info().unwrap().len(), 1);
}
