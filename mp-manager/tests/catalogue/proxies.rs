//! Proxies that come from methods, and what is managed outside of a server or inside of its own.

use std::collections::{BTreeMap, HashMap};

use mp::connection::Address;
use mp::{
    DictProxy, ListProxy, Managed, Manager, ManagerError, MemoryBlock, MemoryBlockProxy, Process,
    Queue, ServerProcess, ValueProxy, managed,
};
use mp_testing::limits::{at_once, comes_true};
use serde::{Deserialize, Serialize};

use crate::{Counter, CounterProxy, in_time};

pub(crate) struct Zoomer(i64);

/// Makes objects of other types, and of its own.
#[mp::managed]
impl Zoomer {
    pub fn new(factor: i64) -> Self {
        Zoomer(factor)
    }

    pub fn scale(&self, n: i64) -> i64 {
        self.0 * n
    }

    pub fn zoomer(&self, factor: i64) -> Managed<Zoomer> {
        managed(Zoomer(factor))
    }

    pub fn memory(&self, size: usize) -> mp::Result<Managed<MemoryBlock>> {
        let block = MemoryBlock::new(size)?;
        block.write_at(0, &[u8::try_from(self.0)?])?;
        Ok(managed(block))
    }

    pub fn several(&self) -> Several {
        Several {
            plain: [1, 2],
            pair: (7, managed(Zoomer(2)), Some(managed(Zoomer(3)))),
            of_a_kind: vec![
                Kind::Plain(5),
                Kind::Managed { zoomer: managed(Zoomer(4)), name: "four".to_owned() },
                Kind::List(managed(vec![1, 2])),
                Kind::Nothing,
            ],
            deep: HashMap::from([(
                1,
                vec![Some((managed(BTreeMap::from([("x".to_owned(), 1)])), "plain".to_owned()))],
            )]),
            result: Ok(managed(Zoomer(6))),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Kind {
    Plain(i64),
    Managed { zoomer: Managed<Zoomer>, name: String },
    List(ListProxy<i64>),
    Nothing,
}

/// A managed and a plain part.
pub(crate) type Pair = (DictProxy<String, i64>, String);

/// Plain and managed parts at any depth.
#[derive(Serialize, Deserialize)]
pub(crate) struct Several {
    plain: [i64; 2],
    pair: (i64, Managed<Zoomer>, Option<Managed<Zoomer>>),
    of_a_kind: Vec<Kind>,
    deep: HashMap<u8, Vec<Option<Pair>>>,
    result: Result<Managed<Zoomer>, String>,
}

#[test]
fn mp_03_mp_06_a_proxy_from_a_method_gives_others_here_and_in_another_process() {
    let server = ServerProcess::start().unwrap();
    let doubler = server.create(Zoomer::args(2)).unwrap();
    assert_eq!(doubler.scale(32).unwrap(), 64);
    let work = |doubler: ZoomerProxy| {
        let tripler = doubler.zoomer(3)?;
        mp::ensure!(tripler.scale(8)? == 24);
        Ok((tripler.zoomer(5)?, tripler.memory(10)?, tripler))
    };
    let child = Process::start(work, (doubler.clone(),)).unwrap();
    let (five, memory, tripler) = child.into_result().unwrap();
    assert_eq!((five.scale(5).unwrap(), tripler.scale(8).unwrap()), (25, 24));
    let mut byte = [0];
    memory.read_at(0, &mut byte).unwrap();
    assert_eq!((byte, memory.size()), ([3], 10));
    let far = |zoomer: ZoomerProxy| Ok(zoomer.zoomer(7)?.memory(1)?);
    let other: MemoryBlockProxy =
        Process::start(far, (five.clone(),)).unwrap().into_result().unwrap();
    other.read_at(0, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    assert_eq!(server.number_of_objects().unwrap(), 5, "{:?}", server.debug_info());
    drop((doubler, five, memory, other, tripler));
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
}

#[test]
fn mp_05_managed_parts_are_proxies_at_any_depth_and_plain_parts_are_copies() {
    fn change(mut several: Several) -> mp::Result<()> {
        several.plain[0] = 100;
        several.pair.0 = 100;
        for kind in &mut several.of_a_kind {
            match kind {
                Kind::Plain(n) => *n = 100,
                Kind::Managed { zoomer, name } => {
                    mp::ensure!(zoomer.scale(2)? == 8);
                    name.clear();
                }
                Kind::List(list) => list.push(3)?,
                Kind::Nothing => {}
            }
        }
        let Some((dict, plain)) = &mut several.deep.get_mut(&1).unwrap()[0] else { mp::bail!("-") };
        dict.insert("y".to_owned(), 2)?;
        plain.clear();
        mp::ensure!(several.result.is_ok_and(|zoomer| zoomer.scale(1).is_ok_and(|n| n == 6)));
        Ok(())
    }

    let server = ServerProcess::start().unwrap();
    let zoomer = server.create(Zoomer::args(1)).unwrap();
    let several = zoomer.several().unwrap();
    assert_eq!(server.number_of_objects().unwrap(), 7);
    assert_eq!(several.pair.1.scale(1).unwrap(), 2);
    assert_eq!(several.pair.2.as_ref().unwrap().scale(1).unwrap(), 3);
    let for_child: Several = mp_reduction::encode(&several).unwrap().decode().unwrap();
    Process::start(change, (for_child,)).unwrap().into_result().unwrap();
    assert_eq!((several.plain, several.pair.0), ([1, 2], 7));
    let [Kind::Plain(5), Kind::Managed { name, .. }, Kind::List(list), Kind::Nothing] =
        &*several.of_a_kind
    else {
        panic!()
    };
    assert_eq!((&**name, list.to_vec().unwrap()), ("four", vec![1, 2, 3]));
    let (dict, plain) = several.deep[&1][0].as_ref().unwrap();
    assert_eq!((dict.get("y").unwrap(), &**plain), (Some(2), "plain"));
    drop(several);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
}

#[test]
fn mp_04_outside_of_a_server_what_is_managed_works_here_and_goes_nowhere() {
    let zoomer: ZoomerProxy = managed(Zoomer(2));
    assert_eq!(zoomer.scale(4).unwrap(), 8);
    assert_eq!(zoomer.zoomer(3).unwrap().scale(4).unwrap(), 12);
    let list = mp::managed_list([1, 2]);
    list.push(3).unwrap();
    assert_eq!(list.to_vec().unwrap(), [1, 2, 3]);
    assert_eq!(mp::managed_dict(HashMap::from([(1, 2)])).get(&1).unwrap(), Some(2));
    let value: ValueProxy<u8> = mp::managed_value(1);
    value.update(|value| *value += 1).unwrap();
    assert_eq!(value.get().unwrap(), 2);
    assert_eq!(mp::managed_array([1, 2]).get(-1).unwrap(), 2);
    let namespace = mp::managed_namespace();
    namespace.set("x", &1).unwrap();
    assert_eq!(namespace.get::<u8>("x").unwrap(), 1);
    assert_eq!(mp::managed_iterator([1, 2]).map(Result::unwrap).sum::<u8>(), 3);
    let block = mp::managed_memoryblock(MemoryBlock::new(5).unwrap());
    block.write_at(0, b"x").unwrap();
    assert_eq!(block.size(), 5);

    let start: Result<Process<()>, _> = Process::start(|_: ZoomerProxy| Ok(()), (zoomer.clone(),));
    start.unwrap_err();
    assert!(Queue::new().unwrap().put(&list).is_err());
    let manager = Manager::start().unwrap();
    let lists = manager.list::<ListProxy<i32>>().unwrap();
    assert!(matches!(lists.push(list), Err(ManagerError::Encode(_))));
    assert_eq!((lists.len().unwrap(), zoomer.scale(1).unwrap()), (0, 2));
}

/// Whether a type can be encoded; the inherent constant hides that of the trait where it can.
struct IsSerialize<T>(std::marker::PhantomData<T>);

impl<T: Serialize> IsSerialize<T> {
    const ANSWER: bool = true;
}

trait IsNot {
    const ANSWER: bool = false;
}

impl<T> IsNot for IsSerialize<T> {}

#[test]
fn mb_06_au_02_a_block_that_is_not_managed_and_a_key_cannot_be_sent() {
    const { assert!(IsSerialize::<MemoryBlockProxy>::ANSWER) };
    const { assert!(!IsSerialize::<MemoryBlock>::ANSWER) };
    const { assert!(!IsSerialize::<mp::AuthKey>::ANSWER) };
    let key = mp::current_process().authkey();
    let shown = format!("{key:?} {:?}", ServerProcess::builder().authkey(b"in plain"));
    assert!(shown.contains("32 bytes") && !shown.contains("in plain"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", key.as_bytes())));
}

/// Uses its own server as a client does.
struct Native;

#[mp::managed]
impl Native {
    pub fn new() -> Self {
        Native
    }

    pub fn make(&self, server: ServerProcess) -> mp::Result<(CounterProxy, MemoryBlockProxy)> {
        let manager = Manager::from(server);
        mp::ensure!(manager.pid() == std::process::id() && manager.is_alive());
        mp::ensure!(manager.name() == mp::current_process().name());
        let counter = manager.create(Counter::args(4))?;
        counter.add(1)?;
        let block = manager.memory_block(10)?;
        block.write_at(0, b"x")?;
        let list = manager.list_from([counter.clone()])?;
        let objects = manager.number_of_objects()?;
        // Itself, the counter, the block and the list.
        mp::ensure!(objects == 4, "{objects}: {:?}", manager.debug_info()?);
        mp::ensure!(list.get(0)? == counter);
        let lock = manager.lock()?;
        let _held = lock.acquire()?;
        mp::ensure!(lock.is_locked()? && manager.memory_block(0).is_err());
        let error = manager.create(Zoomer::args(1))?.memory(0).unwrap_err();
        mp::ensure!(matches!(error, ManagerError::Exception(_)), "{error:?}");
        Ok((counter, block))
    }

    pub fn end(&self, server: ServerProcess) -> mp::Result<()> {
        Ok(server.shutdown()?)
    }

    pub fn address_of(&self, server: ServerProcess) -> Address {
        server.address()
    }
}

/// Another handle to a server, as a child gets one.
fn handle_of(server: &ServerProcess) -> ServerProcess {
    mp_reduction::encode(server).unwrap().decode().unwrap()
}

#[test]
fn mp_07_mp_08_a_server_is_used_inside_of_itself_through_a_handle_that_it_was_given() {
    let server = ServerProcess::start().unwrap();
    let native = server.create(Native::args()).unwrap();
    let copy = handle_of(&server);
    let inside = native.clone();
    let (counter, block) = in_time(move || inside.make(copy).unwrap());
    assert_eq!((counter.add(1).unwrap(), block.size()), (6, 10));
    assert_eq!(server.number_of_objects().unwrap(), 3);
    assert_eq!(native.address_of(handle_of(&server)).unwrap(), server.address());
    let copy = handle_of(&server);
    let ended = in_time(move || native.end(copy));
    assert!(matches!(ended, Ok(()) | Err(ManagerError::Disconnected { .. })), "{ended:?}");
    assert!(comes_true(|| !server.is_alive()));
    at_once(|| server.shutdown().unwrap());
    assert_eq!(server.exitcode(), Some(0));
}
