//! Objects in a server process: what a call takes, and what memory and idleness cost.
//!
//! The server is on the second core. A client that is busy is on the first one: a process of its own, which lives as long
//! as its case, or a thread of this one.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bare;
use crate::duet::{Duet, Part, Parts, Players};
use crate::pair::{Measured, Pairs, time};
use crate::python::{self, Against, Peer};

const WARM_UP: usize = 1;
const ROUNDS: usize = 11;
const PYTHON: Against = Against { script: "manager.py", warm_up: WARM_UP, rounds: ROUNDS };

/// How many calls take some tenths of a second.
const CALLS: u32 = 50_000;
const PYTHON_CALLS: u32 = 4000;
const CREATIONS: u32 = 5000;
const PYTHON_CREATIONS: u32 = 150;

/// How many items a list or a dict has.
const ITEMS: u32 = 100;

const BLOCK_LEN: usize = 64 << 20;
const STAMP_LEN: usize = size_of::<u32>();
const BLOCKS: u32 = 4;
const PYTHON_BLOCKS: u32 = 1;
const BLOCK_ROUNDS: usize = 7;
/// How long the server may work while so many blocks go by: not a quarter of what it takes to copy them once.
const SERVER_TIME: Duration = Duration::from_millis(10);

/// How long a server waits for a call.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_ROUNDS: usize = 3;

/// What is called.
struct Counter {
    count: AtomicI64,
}

#[mp::managed]
impl Counter {
    pub fn new(start: i64) -> Counter {
        Counter { count: AtomicI64::new(start) }
    }

    pub fn add(&self, n: i64) -> i64 {
        self.count.fetch_add(n, Relaxed) + n
    }

    /// The processor time that the server has taken.
    pub fn cpu_time(&self) -> mp::Result<Duration> {
        bare::cpu_time()
    }
}

/// What keeps its caller until it is told to let go.
struct Keeper {
    entered: mp::Event,
    leave: mp::Event,
}

#[mp::managed]
impl Keeper {
    pub fn new(entered: mp::Event, leave: mp::Event) -> Keeper {
        Keeper { entered, leave }
    }

    pub fn keep(&self) -> mp::Result<()> {
        self.entered.set();
        Ok(self.leave.wait()?)
    }
}

fn server() -> mp::Result<mp::ServerProcess> {
    Ok(mp::ServerProcess::builder().cpu_affinity([1]).start()?)
}

/// What one client does.
trait Job: Clone + Serialize + DeserializeOwned + 'static {
    fn work(&self) -> mp::Result<()>;
}

/// A job of side 0, while side 1 has nothing to do.
#[derive(Clone, Serialize, Deserialize)]
struct Alone<J>(J);

impl<J: Job> Duet for Alone<J> {
    fn play(&self, side: usize) -> mp::Result<()> {
        if side == 0 { self.0.work() } else { Ok(()) }
    }
}

/// The client of a case.
struct Client {
    players: Players,
    parts: u32,
}

impl Client {
    /// Does a job that has so many parts.
    fn start(job: impl Job, parts: u32) -> mp::Result<Client> {
        Ok(Client { players: Players::start(&Alone(job))?, parts })
    }

    /// The time of one part.
    fn measure(&mut self) -> mp::Result<Duration> {
        Ok(self.players.play()? / self.parts)
    }
}

impl Job for CounterProxy {
    fn work(&self) -> mp::Result<()> {
        let first = self.add(0)?;
        for expected in first + 1..=first + i64::from(CALLS) {
            let count = self.add(1)?;
            mp::ensure!(count == expected, "{count} were counted, not {expected}");
        }
        Ok(())
    }
}

fn calling(server: &mp::ServerProcess) -> mp::Result<Client> {
    Client::start(server.create(Counter::args(0))?, CALLS)
}

pub(crate) fn call() -> mp::Result<Measured> {
    let server = server()?;
    let mut client = calling(&server)?;
    PYTHON.measure("call", PYTHON_CALLS, PYTHON_CALLS, || client.measure())
}

pub(crate) fn call_mpservice() -> mp::Result<Measured> {
    let Some(python) = python::with_package("mpservice") else {
        return Ok(Measured::Skipped("mpservice not installed".to_owned()));
    };
    let server = server()?;
    let mut client = calling(&server)?;
    let mut peer = Peer::start(&python, "mpservice_manager.py")?;
    let request = format!("call {PYTHON_CALLS}");
    let other = || Ok(peer.ask(&request)? / PYTHON_CALLS);
    Pairs::measure(WARM_UP, ROUNDS, || client.measure(), other)
}

/// A busy client while another one is kept by a method of another object, against the same client alone.
pub(crate) fn one_slow_client() -> mp::Result<Measured> {
    let server = server()?;
    let (entered, leave) = (mp::Event::new()?, mp::Event::new()?);
    let keeper = server.create(Keeper::args(entered.clone(), leave.clone()))?;
    let client = RefCell::new(calling(&server)?);
    let beside_slow = || {
        thread::scope(|scope| {
            let kept = scope.spawn(|| keeper.keep());
            let is_kept = entered.wait_timeout(Duration::from_secs(5))?;
            entered.clear();
            let elapsed = client.borrow_mut().measure();
            leave.set();
            let left = kept.join();
            leave.clear();
            mp::ensure!(is_kept && matches!(left, Ok(Ok(()))), "nobody was kept: {left:?}");
            elapsed
        })
    };
    Pairs::measure(WARM_UP, ROUNDS, beside_slow, || client.borrow_mut().measure())
}

/// A value is set and got, so many times.
impl Job for mp::ListProxy<u32> {
    fn work(&self) -> mp::Result<()> {
        for number in 0..CALLS / 2 {
            let index = (number % ITEMS) as isize;
            self.set(index, number)?;
            let item = self.get(index)?;
            mp::ensure!(item == number, "{item} is where {number} was set");
        }
        Ok(())
    }
}

/// As above.
impl Job for mp::DictProxy<u32, u32> {
    fn work(&self) -> mp::Result<()> {
        for number in 0..CALLS / 2 {
            let key = number % ITEMS;
            self.insert(key, number)?;
            let item = self.get(&key)?;
            mp::ensure!(item == Some(number), "{item:?} is where {number} was inserted");
        }
        Ok(())
    }
}

pub(crate) fn list_item() -> mp::Result<Measured> {
    let manager = mp::Manager::from(server()?);
    let list = manager.list::<u32>()?;
    list.extend(0..ITEMS)?;
    let mut client = Client::start(list, CALLS)?;
    PYTHON.measure("list", PYTHON_CALLS / 2, PYTHON_CALLS, || client.measure())
}

pub(crate) fn dict_item() -> mp::Result<Measured> {
    let manager = mp::Manager::from(server()?);
    let dict = manager.dict::<u32, u32>()?;
    dict.update((0..ITEMS).map(|item| (item, item)))?;
    let mut client = Client::start(dict, CALLS)?;
    PYTHON.measure("dict", PYTHON_CALLS / 2, PYTHON_CALLS, || client.measure())
}

/// Objects that are made and given up one by one, by a thread of this process on the first core, until the server has
/// none of them.
pub(crate) fn create() -> mp::Result<Measured> {
    let server = server()?;
    let create = || {
        bare::bind_thread(0)?;
        let elapsed = time(|| {
            for start in 0..CREATIONS {
                drop(server.create(Counter::args(start.into()))?);
            }
            wait_until_empty(&server)
        })?;
        Ok(elapsed / CREATIONS)
    };
    let ours = || match thread::scope(|scope| scope.spawn(create).join()) {
        Ok(outcome) => outcome,
        Err(_) => mp::bail!("a thread has panicked"),
    };
    PYTHON.measure("create", PYTHON_CREATIONS, PYTHON_CREATIONS, ours)
}

/// What was given up may still be on its way.
fn wait_until_empty(server: &mp::ServerProcess) -> mp::Result<()> {
    for _ in 0..5000 {
        if server.number_of_objects()? == 0 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    mp::bail!("{} objects are left of {CREATIONS}", server.number_of_objects()?)
}

/// A block that one writes as a whole and the other reads as a whole, in turns. It begins and ends with its number.
#[derive(Clone, Serialize, Deserialize)]
struct Passing {
    block: mp::MemoryBlockProxy,
    written: mp::Event,
    read: mp::Event,
}

impl Parts for Passing {
    fn part(self, side: usize) -> mp::Result<Part> {
        let Passing { block, written, read } = self;
        let mut bytes = vec![1; BLOCK_LEN];
        if side == 0 {
            return Ok(Box::new(move || {
                for number in 0..BLOCKS {
                    stamp(&mut bytes, number);
                    block.write_at(0, &bytes)?;
                    written.set();
                    read.wait()?;
                    read.clear();
                }
                Ok(())
            }));
        }
        Ok(Box::new(move || {
            for number in 0..BLOCKS {
                written.wait()?;
                written.clear();
                block.read_at(0, &mut bytes)?;
                check_stamp(&bytes, number)?;
                read.set();
            }
            Ok(())
        }))
    }
}

fn stamp(block: &mut [u8], number: u32) {
    let (stamp, end) = (number.to_le_bytes(), block.len() - STAMP_LEN);
    block[..STAMP_LEN].copy_from_slice(&stamp);
    block[end..].copy_from_slice(&stamp);
}

fn check_stamp(block: &[u8], number: u32) -> mp::Result<()> {
    let stamp = number.to_le_bytes();
    mp::ensure!(block.starts_with(&stamp) && block.ends_with(&stamp), "block {number} is wrong");
    Ok(())
}

/// Blocks that go by a server which does next to nothing for them.
struct BlockPassing {
    /// First to be dropped.
    players: Players,
    clock: CounterProxy,
    _server: mp::ServerProcess,
}

impl BlockPassing {
    fn start() -> mp::Result<BlockPassing> {
        let server = server()?;
        let clock = server.create(Counter::args(0))?;
        let (written, read) = (mp::Event::new()?, mp::Event::new()?);
        let passing = Passing { block: server.memory_block(BLOCK_LEN)?, written, read };
        Ok(BlockPassing { players: Players::start(&passing)?, clock, _server: server })
    }

    /// The time of one block.
    fn measure(&mut self) -> mp::Result<Duration> {
        let before = self.clock.cpu_time()?;
        let elapsed = self.players.play()?;
        let worked = self.clock.cpu_time()? - before;
        mp::ensure!(worked < SERVER_TIME, "the server worked {worked:?} for {BLOCKS} blocks");
        Ok(elapsed / BLOCKS)
    }
}

/// Against a dict of Python's manager, through which all bytes go.
pub(crate) fn block_64mib() -> mp::Result<Measured> {
    let mut ours = BlockPassing::start()?;
    let python = Against { rounds: BLOCK_ROUNDS, ..PYTHON };
    python.measure("block", PYTHON_BLOCKS, PYTHON_BLOCKS, || ours.measure())
}

/// Against the two copies alone, within one process and with no regard to what another might do meanwhile.
pub(crate) fn block_64mib_copied() -> mp::Result<Measured> {
    let mut ours = BlockPassing::start()?;
    let [mut source, mut middle, mut target] = [1, 2, 3].map(|byte| vec![byte; BLOCK_LEN]);
    let mut copy_twice = |number| {
        stamp(&mut source, number);
        middle.copy_from_slice(black_box(&source));
        target.copy_from_slice(black_box(&middle));
        check_stamp(black_box(&target), number)
    };
    let other = || Ok(time(|| (0..BLOCKS).try_for_each(&mut copy_twice))? / BLOCKS);
    Pairs::measure(WARM_UP, BLOCK_ROUNDS, || ours.measure(), other)
}

/// The processor time that a server takes in a second, with a client that has called it just before.
pub(crate) fn idle() -> mp::Result<Measured> {
    let Some(python) = python::plain() else {
        return Ok(Measured::Skipped("python3 not installed".to_owned()));
    };
    let mut peer = Peer::start(&python, PYTHON.script)?;
    let server = server()?;
    let clock = server.create(Counter::args(0))?;
    let request = format!("idle {}", IDLE.as_secs());
    let per_second = |time: Duration| time.div_f64(IDLE.as_secs_f64());
    let ours = || {
        let before = clock.cpu_time()?;
        thread::sleep(IDLE);
        Ok(per_second(clock.cpu_time()? - before))
    };
    Pairs::measure(0, IDLE_ROUNDS, ours, || peer.ask(&request).map(per_second))
}
