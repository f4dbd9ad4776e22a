//! Lists that live in a server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use mp::{Event, ListProxy, Manager, ManagerError, Process};
use mp_testing::limits::{LONG, SHORT};

mp::enable_test_support!();

#[test]
fn m_40_a_list_is_a_list() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from(0..10_i64).unwrap();
    assert_eq!(list.to_vec().unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(list.slice(2..5).unwrap(), [2, 3, 4]);
    assert_eq!(list.slice(-2..).unwrap(), [8, 9]);
    assert_eq!(list.slice(5..100).unwrap(), [5, 6, 7, 8, 9]);

    let other = manager.list::<i64>().unwrap();
    assert!(other.is_empty().unwrap());
    other.extend(0..5).unwrap();
    other.repeat(2).unwrap();
    assert_eq!(other.to_vec().unwrap(), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    let mut both = other.to_vec().unwrap();
    both.extend([6, 7]);
    assert_eq!(both.len(), 12);

    list.push(3).unwrap();
    list.insert(-100, 3).unwrap();
    assert_eq!((list.len().unwrap(), list.count(&3).unwrap()), (12, 3));
    assert_eq!((list.index(&3).unwrap(), list.index(&2).unwrap()), (0, 3));
    assert!(list.contains(&9).unwrap() && !list.contains(&10).unwrap());
    assert_eq!((list.pop().unwrap(), list.pop_at(0).unwrap()), (3, 3));
    list.reverse().unwrap();
    assert_eq!(list.get(0).unwrap(), 9);
    list.sort().unwrap();
    assert_eq!(list.get(-1).unwrap(), 9);
    list.sort_by_key(|item| (item % 2, -item)).unwrap();
    assert_eq!(list.to_vec().unwrap(), [8, 6, 4, 2, 0, 9, 7, 5, 3, 1]);
    list.remove(&9).unwrap();
    list.set(-1, 11).unwrap();
    assert_eq!(list.slice(-3..).unwrap(), [5, 3, 11]);
    list.clear().unwrap();
    assert!(list.is_empty().unwrap());
}

#[test]
fn m_40_what_a_child_changes_is_seen() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([5]).unwrap();
    let pop = |list: ListProxy<u32>| Ok(list.pop_at(0)?);
    let p = Process::start(pop, (list.clone(),)).unwrap();
    assert_eq!(p.into_result().unwrap(), 5);
    assert_eq!(list.to_vec().unwrap(), []);
}

#[test]
fn m_21_what_is_not_there_is_an_error_that_says_so() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from(["pen".to_owned()]).unwrap();
    let error = list.get(1).unwrap_err();
    assert!(matches!(error, ManagerError::Index { index: 1, len: 1 }));
    assert_eq!(error.to_string(), "index 1 is out of range for 1 items");
    assert!(matches!(list.set(-2, String::new()), Err(ManagerError::Index { index: -2, len: 1 })));
    let error = list.remove("ink").unwrap_err();
    assert_eq!(error.to_string(), "there is no item 'ink'");
    assert!(matches!(list.index("ink"), Err(ManagerError::Missing { .. })));
    assert_eq!(list.pop().unwrap(), "pen");
    assert!(matches!(list.pop(), Err(ManagerError::Index { index: -1, len: 0 })));
    let too_many = usize::MAX / 4;
    list.extend(["a".to_owned(), "b".to_owned()]).unwrap();
    assert!(matches!(list.repeat(too_many), Err(ManagerError::Transfer { .. })));
    assert_eq!(list.to_vec().unwrap(), ["a", "b"]);
}

#[test]
fn m_41_an_item_that_changes_during_the_iteration_is_seen() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from(0..5).unwrap();
    let mut seen = Vec::new();
    for item in &list {
        let item = item.unwrap();
        if item == 1 {
            list.set(3, 30).unwrap();
            list.push(50).unwrap();
        }
        seen.push(item);
    }
    assert_eq!(seen, [0, 1, 2, 30, 4, 50]);
}

#[test]
fn m_25_text_is_that_of_the_list_and_debug_that_of_the_proxy() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([(1, "a".to_owned()), (2, "b".to_owned())]).unwrap();
    assert_eq!(list.to_string(), "[[1, 'a'], [2, 'b']]");
    let debug = format!("{list:?}");
    assert!(debug.starts_with("<listProxy object 1 of server '"), "{debug}");
    let long = manager.list_from(0..1000).unwrap().to_string();
    assert!(long.len() < 300 && long.ends_with('…'), "{long}");
}

#[test]
fn m_30_proxies_are_compared_by_the_object_and_not_by_its_contents() {
    let manager = Manager::start().unwrap();
    let (one, two) = (manager.list_from([1]).unwrap(), manager.list_from([1]).unwrap());
    assert_ne!(one, two);
    assert_eq!(one, one.clone());
}

#[test]
fn a_million_items_cross_in_one_call() {
    const COUNT: u32 = 1_000_000;
    let manager = Manager::start().unwrap();
    let list = manager.list::<u32>().unwrap();
    let before = resident_kib(manager.pid());
    list.extend(0..COUNT).unwrap();
    let all = list.to_vec().unwrap();
    assert_eq!(all.len(), COUNT as usize);
    assert!(all.iter().copied().eq(0..COUNT));
    // 24 bytes for each, what they need on their way and back, and what allocators keep.
    let grown = resident_kib(manager.pid()) - before;
    assert!(grown < 100_000, "the server has grown by {grown} KiB");
    list.reverse().unwrap();
    list.sort().unwrap();
    assert_eq!((list.get(0).unwrap(), list.get(-1).unwrap()), (0, COUNT - 1));
}

/// The memory of a process, in KiB.
fn resident_kib(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn nobody_loses_an_item_to_a_sort() {
    let manager = Manager::start().unwrap();
    let list = manager.list::<(u32, u32)>().unwrap();
    let push = |list: ListProxy<(u32, u32)>, who: u32| {
        for number in 0..300 {
            list.push((number, who))?;
        }
        Ok(())
    };
    let children: Vec<_> =
        (0..3).map(|who| Process::start(push, (list.clone(), who)).unwrap()).collect();
    while children.iter().any(|child| child.is_alive()) {
        list.sort().unwrap();
    }
    for child in children {
        child.into_result().unwrap();
    }
    list.sort().unwrap();
    let all: Vec<_> = (0..300).flat_map(|number| (0..3).map(move |who| (number, who))).collect();
    assert_eq!(list.to_vec().unwrap(), all);
}

#[test]
fn who_never_stops_changing_a_list_keeps_nobody_from_sorting_it() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([3, 1, 2]).unwrap();
    let over = Event::new().unwrap();
    let rotate = |list: ListProxy<u32>, over: Event| {
        while !over.is_set() {
            let item = list.pop()?;
            list.insert(0, item)?;
        }
        Ok(())
    };
    let child = Process::start(rotate, (list.clone(), over.clone())).unwrap();
    let start = list.to_vec().unwrap();
    let deadline = Instant::now() + LONG;
    while list.to_vec().unwrap() == start {
        assert!(Instant::now() < deadline, "the child changes nothing");
    }
    // Slow enough for others to come between.
    let slow = |a: &u32, b: &u32| {
        std::thread::sleep(Duration::from_millis(5));
        a.cmp(b)
    };
    list.sort_by(slow).unwrap();
    over.set();
    child.into_result().unwrap();
    assert_eq!(list.len().unwrap(), 3);
}

/// Sorts a list of two items, which takes one comparison. It changes the list every time so often that it takes hold of it,
/// and stays there.
fn sort_without_end(list: ListProxy<u32>, has_hold: Event) -> mp::Result<()> {
    let mut comparisons = 0;
    list.sort_by(|_, _| {
        comparisons += 1;
        if comparisons > 4 {
            has_hold.set();
            loop {
                std::thread::park();
            }
        }
        list.set(0, comparisons).unwrap();
        Ordering::Less
    })?;
    Ok(())
}

#[test]
fn killing_who_has_hold_of_a_list_lets_others_change_it() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([1, 2]).unwrap();
    let has_hold = Event::new().unwrap();
    let child = Process::start(sort_without_end, (list.clone(), has_hold.clone())).unwrap();
    assert!(has_hold.wait_timeout(LONG).unwrap());
    let pushing = std::thread::spawn({
        let list = list.clone();
        move || list.push(7)
    });
    std::thread::sleep(SHORT);
    assert!(!pushing.is_finished());
    assert_eq!(list.to_vec().unwrap(), [4, 2], "reading does not wait");
    child.kill();
    pushing.join().unwrap().unwrap();
    assert_eq!(list.to_vec().unwrap(), [4, 2, 7]);
}

#[test]
fn a_list_goes_with_its_server() {
    let manager = Manager::start().unwrap();
    let list = manager.list_from([1]).unwrap();
    manager.shutdown().unwrap();
    assert!(matches!(list.get(0), Err(ManagerError::Disconnected { .. })));
    let items: Vec<_> = list.iter().collect();
    assert!(matches!(items[..], [Err(ManagerError::Disconnected { .. })]), "{items:?}");
}
