//! A server from its start to its end: its key, its processors, its interrupts, and the memory that goes with it.

use std::io::Read;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use mp::connection::Address;
use mp::{
    Manager, ManagerError, MemoryBlockProxy, Process, ServerProcess, ShareableItem, ShareableList,
    SharedMemory, SharedMemoryError,
};
use mp_testing::limits::{SHORT, at_once, comes_true};
use mp_testing::system::{ends_within, signal};
use rustix::process::Signal;

use crate::proxies::Zoomer;
use crate::{Counter, counter};

#[test]
fn m_01_a_server_that_may_take_any_time_is_started_and_shut_down() {
    let builder = ServerProcess::builder();
    let builder = builder.start_timeout(Duration::MAX).shutdown_timeout(Duration::MAX);
    let server = builder.start().unwrap();
    assert_eq!(counter(&server).add(1).unwrap(), 1);
    server.shutdown().unwrap();
    assert_eq!(server.exitcode(), Some(0));
}

#[test]
fn m_02_several_threads_shut_a_server_down_at_once() {
    let server = ServerProcess::start().unwrap();
    let counter = counter(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| at_once(|| server.shutdown().unwrap()));
        }
    });
    assert_eq!((server.exitcode(), server.is_alive()), (Some(0), false));
    assert!(matches!(counter.add(1), Err(ManagerError::Disconnected { .. })));
}

/// Keeps its thread from ending.
struct Clinging;

impl Drop for Clinging {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

thread_local! {
    static CLINGING: Clinging = const { Clinging };
}

#[test]
fn m_01_m_11_a_server_that_does_not_end_when_it_is_asked_is_terminated() {
    let clings = |_: u8| Ok(CLINGING.with(|_| ()));
    let builder = ServerProcess::builder().initializer(clings, (1,));
    let server = builder.shutdown_timeout(SHORT).start().unwrap();
    assert_eq!(counter(&server).add(1).unwrap(), 1);
    at_once(|| server.shutdown().unwrap());
    assert_eq!(server.exitcode(), Some(-15));
}

#[test]
fn mp_01_a_server_is_bound_to_its_processors() {
    let server = ServerProcess::builder().cpu_affinity([0]).start().unwrap();
    assert_eq!(counter(&server).processors().unwrap(), "0");
}

#[test]
fn mp_10_an_error_of_a_method_ends_the_scope_of_the_server_and_reaches_its_caller() {
    fn scope(pid: &mut u32) -> mp::Result<()> {
        let server = ServerProcess::start()?;
        *pid = server.pid();
        server.create(Counter::args(0))?.fail()?;
        Ok(())
    }

    let mut pid = 0;
    let error = at_once(|| scope(&mut pid).unwrap_err());
    let Some(ManagerError::Exception(remote)) = error.downcast_ref() else { panic!("{error:?}") };
    assert_eq!((remote.message(), remote.pid()), ("no more numbers", pid));
    assert!(ends_within(pid, Duration::ZERO).unwrap());
}

#[test]
fn au_01_a_server_without_a_key_of_its_own_has_that_of_the_process_tree() {
    let connect = |address: Address| {
        let key = mp::current_process().authkey();
        mp::ensure!(key.as_bytes().len() == 32);
        let server = ServerProcess::connect(address, key.as_bytes())?;
        Ok(server.create(Counter::args(3))?)
    };
    let server = ServerProcess::start().unwrap();
    let counter = Process::start(connect, (server.address(),)).unwrap().into_result().unwrap();
    assert_eq!(counter.add(0).unwrap(), 3);
}

#[test]
fn au_01_mp_01_a_key_of_no_bytes_and_processors_that_are_not_there_are_errors() {
    let error = at_once(|| ServerProcess::builder().authkey(b"").start().unwrap_err());
    assert!(!matches!(error, ManagerError::Timeout { .. }), "{error:?}");
    for cpus in [vec![], vec![100_000]] {
        let error = at_once(|| ServerProcess::builder().cpu_affinity(cpus).start().unwrap_err());
        assert!(matches!(error, ManagerError::Start(_)), "{error:?}");
    }
}

/// Makes named memory, which is there while it is in the server.
#[derive(Default)]
struct Segments(Mutex<(Vec<SharedMemory>, Vec<ShareableList>)>);

#[mp::managed]
impl Segments {
    pub fn new() -> Self {
        Segments::default()
    }

    pub fn make(&self, memory: &str, list: &str) -> mp::Result<()> {
        let memory = SharedMemory::create_named(memory, 100)?;
        memory.write_at(0, b"made there")?;
        let list = ShareableList::create_named(list, [ShareableItem::from(1), "two".into()])?;
        let mut all = self.0.lock().unwrap();
        all.0.push(memory);
        all.1.push(list);
        Ok(())
    }
}

#[test]
fn sh_15_named_memory_of_a_server_is_attached_by_name_and_goes_with_the_server() {
    let look = |memory: String, list: String| {
        let memory = SharedMemory::open(&memory)?;
        let mut bytes = [0; 10];
        memory.read_at(0, &mut bytes)?;
        memory.write_at(0, b"seen")?;
        Ok((bytes, ShareableList::open(&list)?.len()))
    };
    let server = ServerProcess::start().unwrap();
    let segments = server.create(Segments::args()).unwrap();
    let pid = std::process::id();
    let names = (format!("mp-sh-15-memory-{pid}"), format!("mp-sh-15-list-{pid}"));
    segments.make(&names.0, &names.1).unwrap();
    let child = Process::start(look, names.clone()).unwrap();
    assert_eq!(child.into_result().unwrap(), (*b"made there", 2));
    let memory = SharedMemory::open(&names.0).unwrap();
    let mut bytes = [0; 4];
    memory.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"seen");
    drop(memory);
    server.shutdown().unwrap();
    assert!(comes_true(|| matches!(
        SharedMemory::open(&names.0),
        Err(SharedMemoryError::NotFound { .. })
    )));
    assert!(comes_true(|| ShareableList::open(&names.1).is_err()));
}

/// Whether SIGINT is ignored, blocked and caught.
fn interrupts(pid: u32) -> Vec<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let masks = status.lines().filter_map(|line| {
        let (name, mask) = line.split_once(":\t")?;
        let of_sigint = u64::from_str_radix(mask, 16).ok()? >> 1 & 1;
        name.starts_with("Sig").then(|| format!("{name} {of_sigint}"))
    });
    masks.filter(|mask| !mask.starts_with("SigQ") && !mask.starts_with("SigPnd")).collect()
}

#[test]
fn sh_16_the_handling_of_interrupts_is_that_of_the_server_alone() {
    let run = || {
        let before = interrupts(std::process::id());
        let server = ServerProcess::start()?;
        let block = server.memory_block(10)?;
        mp::ensure!(interrupts(server.pid()).contains(&"SigIgn 1".to_owned()));
        mp::ensure!(interrupts(std::process::id()) == before, "{before:?}");
        signal(server.pid(), Signal::INT);
        mp::ensure!(server.memory_block(7)?.size() == 7);
        block.write_at(0, b"x")?;
        drop(server);
        mp::ensure!(interrupts(std::process::id()) == before, "{before:?}");
        Ok(())
    };
    Process::start(run, ()).unwrap().into_result().unwrap();
}

#[test]
fn sh_17_mb_08_a_clean_program_and_a_block_of_no_bytes_say_nothing() {
    let run = || {
        let manager = Manager::start()?;
        mp::ensure!(manager.memory_block(0).is_err());
        let blocks = manager.list::<MemoryBlockProxy>()?;
        blocks.push(manager.memory_block(100)?)?;
        mp::ensure!(manager.create(Zoomer::args(1))?.memory(0).is_err());
        let segments = manager.create(Segments::args())?;
        let pid = std::process::id();
        segments.make(&format!("mp-sh-17-memory-{pid}"), &format!("mp-sh-17-list-{pid}"))?;
        blocks.get(0)?.write_at(0, b"x")?;
        drop((segments, blocks));
        Ok(())
    };
    let program: Process<()> = Process::builder(run, ()).stderr(Stdio::piped()).start().unwrap();
    let mut text = String::new();
    program.take_stderr().unwrap().read_to_string(&mut text).unwrap();
    program.into_result().unwrap();
    assert_eq!(text, "");
}
