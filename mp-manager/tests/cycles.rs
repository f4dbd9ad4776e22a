//! Containers that refer to themselves or each other end when nobody else refers to them.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{DictProxy, ListProxy, Manager, Proxy, TypedProxy};
use mp_testing::limits::comes_true;

mp::enable_test_support!();

/// A proxy as an item of whatever type.
fn item(list: &impl TypedProxy) -> Proxy {
    list.as_proxy().clone()
}

fn is_empty(manager: &Manager) -> bool {
    manager.debug_info().unwrap().is_empty()
}

#[test]
fn m_63_a_list_in_itself_ends_with_its_last_proxy() {
    let manager = Manager::start().unwrap();
    for _ in 0..20 {
        let list = manager.list::<Proxy>().unwrap();
        list.push(item(&list)).unwrap();
        list.push(item(&list)).unwrap();
        assert_eq!(list.get(0).unwrap(), item(&list));
        assert_eq!(list.len().unwrap(), 2);
        drop(list);
        assert!(is_empty(&manager), "{:?}", manager.debug_info());
    }
}

#[test]
fn two_lists_in_each_other_and_all_that_is_in_them_end() {
    let manager = Manager::start().unwrap();
    let [a, b] = [(); 2].map(|()| manager.list::<Proxy>().unwrap());
    let dict: DictProxy<String, Proxy> = manager.dict().unwrap();
    let plain = manager.list::<u8>().unwrap();
    a.push(item(&b)).unwrap();
    b.push(item(&dict)).unwrap();
    dict.insert("a".to_owned(), item(&a)).unwrap();
    dict.insert("plain".to_owned(), item(&plain)).unwrap();
    drop((b, dict, plain));
    assert_eq!(manager.number_of_objects().unwrap(), 4);
    // While one is held, all are: this one through three others.
    let plain: ListProxy<u8> = {
        let dict = a.get(0).unwrap().call::<Vec<u8>, _>("len", &()).err();
        assert!(dict.is_some());
        manager.list().unwrap()
    };
    drop(plain);
    assert_eq!(manager.number_of_objects().unwrap(), 4);
    drop(a);
    assert!(comes_true(|| is_empty(&manager)), "{:?}", manager.debug_info());
}

#[test]
fn a_ring_ends_when_its_container_lets_go_of_it() {
    let manager = Manager::start().unwrap();
    let outer = manager.list::<Proxy>().unwrap();
    let ring = manager.list::<Proxy>().unwrap();
    ring.push(item(&ring)).unwrap();
    outer.push(item(&ring)).unwrap();
    drop(ring);
    assert_eq!(manager.number_of_objects().unwrap(), 2);
    outer.clear().unwrap();
    assert_eq!(manager.number_of_objects().unwrap(), 1);
}

#[test]
fn a_ring_ends_with_a_client_that_is_killed() {
    fn hold(manager: Manager, holds: mp::Event) -> mp::Result<()> {
        let list = manager.list::<Proxy>()?;
        list.push(item(&list))?;
        holds.set();
        loop {
            std::thread::park();
        }
    }

    let manager = Manager::start().unwrap();
    for _ in 0..5 {
        let holds = mp::Event::new().unwrap();
        let copy = manager.clone();
        let holder = mp::Process::start(hold, (copy, holds.clone())).unwrap();
        holds.wait().unwrap();
        assert_eq!(manager.number_of_objects().unwrap(), 1);
        holder.kill();
        holder.join().unwrap_err();
        assert!(is_empty(&manager));
    }
}

#[test]
fn a_chain_of_any_length_ends_without_a_stack_as_long() {
    let manager = Manager::start().unwrap();
    let mut last = manager.list::<Proxy>().unwrap();
    for _ in 0..20_000 {
        let next = manager.list::<Proxy>().unwrap();
        next.push(item(&last)).unwrap();
        last = next;
    }
    drop(last);
    assert!(comes_true(|| is_empty(&manager)));
}
