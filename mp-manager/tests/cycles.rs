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

/// One of the numbers below `below`, of a sequence that a seed begins.
fn next(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % below
}

/// Each ring that was looked at while the plain list in it was called stayed for ever, and all that was looked at with it.
#[test]
fn rings_end_and_nothing_else_while_all_is_called_and_moved() {
    const TIME: std::time::Duration = std::time::Duration::from_secs(2);

    fn make_rings(manager: Manager) -> mp::Result<()> {
        let begin = std::time::Instant::now();
        while begin.elapsed() < TIME {
            let [ring, other] = [manager.list::<Proxy>()?, manager.list::<Proxy>()?];
            let plain = manager.list::<u32>()?;
            ring.extend([item(&other), item(&plain)])?;
            other.extend([item(&ring), item(&other)])?;
            drop(ring);
            for n in 0..5 {
                plain.push(n)?;
            }
            other.len()?;
            drop(other);
            for n in 0..10 {
                plain.push(n)?;
            }
            mp::ensure!(plain.len()? == 15);
        }
        Ok(())
    }

    /// Each token has a mark and itself in it, also when nothing but another one that is in itself refers to it.
    fn move_tokens(roots: Vec<ListProxy<Proxy>>, mut seed: u64) -> mp::Result<()> {
        let as_list = |proxy: &Proxy| ListProxy::<Proxy>::from_proxy(proxy.clone());
        let begin = std::time::Instant::now();
        while begin.elapsed() < TIME {
            let [from, to] = [(); 2].map(|()| next(&mut seed, roots.len()));
            let Ok(token) = roots[from].pop_at(0) else { continue };
            let list = as_list(&token);
            match next(&mut seed, 3) {
                0 => roots[to].push(token)?,
                1 => {
                    let itself = list.pop()?;
                    list.push(itself)?;
                    mp::ensure!(list.len()? == 2, "a token is empty");
                    roots[to].push(token)?;
                }
                _ => {
                    let Ok(other) = roots[to].pop_at(0) else {
                        roots[to].push(token)?;
                        continue;
                    };
                    let around = as_list(&other);
                    around.push(token)?;
                    drop(list);
                    around.push(item(&around))?;
                    around.pop()?;
                    let back = around.pop()?;
                    mp::ensure!(as_list(&back).len()? == 2, "a token was emptied");
                    roots[from].push(back)?;
                    roots[to].push(other)?;
                }
            }
        }
        Ok(())
    }

    let manager = Manager::start().unwrap();
    let roots: Vec<ListProxy<Proxy>> = (0..3).map(|_| manager.list().unwrap()).collect();
    for number in 0..20 {
        let token = manager.list::<Proxy>().unwrap();
        let mark = manager.list_from([number]).unwrap();
        token.extend([item(&mark), item(&token)]).unwrap();
        roots[number % 3].push(item(&token)).unwrap();
    }
    let makers = (0..3).map(|_| mp::Process::start(make_rings, (manager.clone(),)).unwrap());
    let movers = (1..4).map(|seed| mp::Process::start(move_tokens, (roots.clone(), seed)).unwrap());
    for process in makers.chain(movers).collect::<Vec<_>>() {
        process.into_result().unwrap();
    }

    let mut marks = Vec::new();
    for token in roots.iter().flat_map(|root| root.to_vec().unwrap()) {
        let mark = ListProxy::<Proxy>::from_proxy(token).get(0).unwrap();
        marks.push(ListProxy::<usize>::from_proxy(mark).get(0).unwrap());
    }
    marks.sort_unstable();
    assert!(marks.iter().copied().eq(0..20), "{marks:?}");
    let expected = roots.len() + 2 * marks.len();
    assert!(comes_true(|| manager.number_of_objects().unwrap() == expected));
    drop(roots);
    assert!(comes_true(|| is_empty(&manager)), "{:?}", manager.debug_info());
}

/// An object whose destructor never returns.
struct Endless;

#[mp::managed]
impl Endless {
    pub fn new() -> Self {
        Endless
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Nothing was dropped any more, and no ring found, behind such a one.
#[test]
fn a_destructor_that_never_returns_holds_up_nothing_but_destructors() {
    fn hold(lock: mp::LockProxy, ring: ListProxy<Proxy>, holds: mp::Event) -> mp::Result<()> {
        let _guard = lock.acquire()?;
        ring.push(item(&ring))?;
        holds.set();
        loop {
            std::thread::park();
        }
    }

    let manager = Manager::start().unwrap();
    drop(manager.create(Endless::args()).unwrap());
    let lists: Vec<ListProxy<Vec<u8>>> =
        (0..100).map(|_| manager.list_from([vec![1; 100_000]]).unwrap()).collect();
    drop(lists);
    let ring = manager.list::<Proxy>().unwrap();
    ring.push(item(&ring)).unwrap();
    // The destructor of what is in a ring does not hold up who finds the ring, either.
    ring.push(item(&manager.create(Endless::args()).unwrap())).unwrap();
    drop(ring);
    let (lock, holds) = (manager.lock().unwrap(), mp::Event::new().unwrap());
    let ring = manager.list::<Proxy>().unwrap();
    let holder = mp::Process::start(hold, (lock.clone(), ring, holds.clone())).unwrap();
    holds.wait().unwrap();
    holder.kill();
    holder.join().unwrap_err();
    assert!(lock.acquire().unwrap().owner_died().is_some());
    drop(lock);
    assert!(comes_true(|| is_empty(&manager)), "{:?}", manager.debug_info());
}
