//! Blocks of memory: as seen by several processes, and freed with the last of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use mp::{
    Event, Managed, ManagerError, MemoryBlock, MemoryBlockProxy, Queue, ServerProcess,
    SharedMemoryError, managed_memoryblock,
};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Dice, kills};
use mp_testing::system::{ends_within, signal};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

struct Painter;

/// Blocks beside plain data.
#[derive(Serialize, Deserialize)]
struct Pictures {
    title: String,
    one: Managed<MemoryBlock>,
    many: Vec<Managed<MemoryBlock>>,
    named: BTreeMap<String, (u32, Managed<MemoryBlock>)>,
}

fn painted(size: usize) -> mp::Result<MemoryBlockProxy> {
    let block = MemoryBlock::new(size)?;
    block.write_at(3, &[26])?;
    Ok(managed_memoryblock(block))
}

#[mp::managed]
impl Painter {
    pub fn new() -> Self {
        Painter
    }

    pub fn paint(&self, size: usize) -> mp::Result<Managed<MemoryBlock>> {
        painted(size)
    }

    pub fn pictures(&self) -> mp::Result<Pictures> {
        Ok(Pictures {
            title: "all".to_owned(),
            one: painted(10)?,
            many: vec![painted(20)?, painted(30)?],
            named: BTreeMap::from([("x".to_owned(), (4, painted(40)?))]),
        })
    }

    pub fn look(&self, block: MemoryBlockProxy, at: usize) -> mp::Result<u8> {
        let mut byte = [0];
        block.read_at(at, &mut byte)?;
        Ok(byte[0])
    }
}

fn byte(block: &MemoryBlockProxy, at: usize) -> u8 {
    let mut byte = [0];
    block.read_at(at, &mut byte).unwrap();
    byte[0]
}

#[test]
fn mb_01_a_block_has_its_size_is_zero_and_is_written_without_the_server() {
    let server = ServerProcess::start().unwrap();
    let block = server.memory_block(1000).unwrap();
    assert_eq!(block.size(), 1000);
    assert!((0..1000).all(|at| byte(&block, at) == 0));
    block.write_at(7, b"abc").unwrap();
    let painter = server.create(Painter::args()).unwrap();
    assert_eq!(painter.look(block.clone(), 8).unwrap(), b'b');
    // The server cannot have a part in it: it is stopped.
    signal(server.pid(), Signal::STOP);
    block.write_at(8, b"x").unwrap();
    let look = |block: MemoryBlockProxy| {
        let mut bytes = [0; 3];
        block.read_at(7, &mut bytes)?;
        Ok(bytes)
    };
    assert_eq!(byte(&block, 8), b'x');
    signal(server.pid(), Signal::CONT);
    let process = mp::Process::start(look, (block.clone(),)).unwrap();
    assert_eq!(&process.into_result().unwrap(), b"axc");
    assert!(matches!(block.write_at(999, b"ab"), Err(SharedMemoryError::OutOfBounds { .. })));
}

#[test]
fn mb_02_a_block_in_a_queue_outlives_its_sender_and_is_the_same_for_the_receiver() {
    fn make(server: ServerProcess, queue: Queue<MemoryBlockProxy>) -> mp::Result<()> {
        let block = server.memory_block(100)?;
        block.write_at(0, b"sent")?;
        Ok(queue.put(&block)?)
    }

    let server = ServerProcess::start().unwrap();
    let queue = Queue::new().unwrap();
    let copy = server.clone();
    mp::Process::start(make, (copy, queue.clone())).unwrap().join().unwrap();
    assert_eq!(server.number_of_objects().unwrap(), 1);
    let block = queue.get().unwrap();
    let holder = block.clone();
    block.write_at(0, b"SE").unwrap();
    let mut bytes = [0; 4];
    holder.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"SEnt");
    drop((block, holder));
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
}

#[test]
fn mb_03_mb_08_a_block_of_no_bytes_or_too_many_is_an_error_and_only_that() {
    let server = ServerProcess::start().unwrap();
    let error = server.memory_block(0).unwrap_err();
    assert!(
        matches!(error, ManagerError::Memory(SharedMemoryError::InvalidSize { size: 0 })),
        "{error:?}"
    );
    for size in [1 << 46, usize::MAX] {
        let error = server.memory_block(size).unwrap_err();
        assert!(matches!(error, ManagerError::Memory(_)), "{error:?}");
    }
    assert_eq!(server.number_of_objects().unwrap(), 0);
}

#[test]
fn mb_04_the_memory_is_given_back_with_the_last_proxy_whoever_dies() {
    fn hold(block: MemoryBlockProxy, holds: Event) -> mp::Result<()> {
        block.write_at(0, b"x")?;
        holds.set();
        loop {
            std::thread::park();
        }
    }

    let server = ServerProcess::start().unwrap();
    // Others on this machine have shared memory as well, but not as much.
    const SIZE: usize = 256 << 20;
    const MOST: u64 = SIZE as u64 / 2;
    let before = shared_memory();
    let block = server.memory_block(SIZE).unwrap();
    assert!(shared_memory() >= before + MOST);
    let holds = Event::new().unwrap();
    let holder = mp::Process::start(hold, (block.clone(), holds.clone())).unwrap();
    holds.wait().unwrap();
    drop(block);
    assert!(shared_memory() >= before + MOST);
    holder.kill();
    holder.join().unwrap_err();
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
    assert!(comes_true(|| shared_memory() < before + MOST));
    // When the server ends first, who holds the block has it as long as they want.
    let block = server.memory_block(1000).unwrap();
    block.write_at(0, b"x").unwrap();
    signal(server.pid(), Signal::KILL);
    assert!(ends_within(server.pid(), LONG).unwrap());
    assert_eq!(byte(&block, 0), b'x');
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("memfd:mp-") && !maps.contains("/dev/shm/"), "it has no name: {maps}");
}

/// Bytes of shared memory in the system.
fn shared_memory() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = info.lines().find(|line| line.starts_with("Shmem:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn mb_05_mb_07_blocks_come_alone_and_in_structures_with_name_and_size() {
    let server = ServerProcess::start().unwrap();
    let painter = server.create(Painter::args()).unwrap();
    // MP-03: what the method returns is a block there, and a proxy here.
    let one = painter.paint(10).unwrap();
    assert_eq!((one.size(), byte(&one, 3)), (10, 26));
    let pictures = painter.pictures().unwrap();
    assert_eq!(pictures.title, "all");
    let blocks = |pictures: &Pictures| {
        let Pictures { one, many, named, .. } = pictures;
        [one.clone(), many[0].clone(), many[1].clone(), named["x"].1.clone()]
    };
    let all = blocks(&pictures);
    assert_eq!(
        all.each_ref().map(|block| (block.size(), byte(block, 3))),
        [(10, 26), (20, 26), (30, 26), (40, 26)]
    );
    let names = all.each_ref().map(MemoryBlockProxy::name);
    assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1));

    // A child writes, and knows names and sizes without a call of the server.
    let write = |pictures: Pictures| {
        pictures.many[1].write_at(3, &[62])?;
        Ok((pictures.many[1].name(), pictures.many[1].size(), pictures.named["x"].0))
    };
    let process = mp::Process::start(write, (pictures,)).unwrap();
    assert_eq!(process.into_result().unwrap(), (names[2].clone(), 30, 4));
    assert_eq!(byte(&all[2], 3), 62);
}

/// Makes, sends, takes and drops blocks until it is killed.
fn trade(server: ServerProcess, queue: Queue<MemoryBlockProxy>) -> mp::Result<()> {
    let mut held = Vec::new();
    for round in 0_u32.. {
        let block = server.memory_block(100_000)?;
        block.write_at(0, &round.to_le_bytes())?;
        queue.put(&block)?;
        held.push(block);
        if let Ok(other) = queue.get_nowait() {
            other.write_at(4, b"seen")?;
            held.push(other);
        }
        if held.len() > 10 {
            held.clear();
        }
    }
    Ok(())
}

#[test]
fn mb_04_holders_killed_at_any_moment_leave_no_memory_behind() {
    let server = ServerProcess::start().unwrap();
    let mut dice = Dice::of_this_storm();
    {
        let queue = Queue::<MemoryBlockProxy>::new().unwrap();
        let start = || {
            let copy = server.clone();
            mp::Process::start(trade, (copy, queue.clone())).unwrap()
        };
        let mut crew = [start(), start()];
        for _ in 0..kills(20) {
            dice.pass_less_than(std::time::Duration::from_millis(30));
            let place = dice.index(crew.len());
            let killed = std::mem::replace(&mut crew[place], start());
            killed.kill();
            killed.join().unwrap_err();
        }
        for process in &crew {
            process.kill();
            process.join().unwrap_err();
        }
    }
    let nothing = || server.debug_info().unwrap().is_empty();
    assert!(comes_true(nothing), "{:?}", server.debug_info().unwrap());
}
