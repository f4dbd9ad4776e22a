//! Servers on the network, and what comes over it that is no client.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mp::connection::{Address, Client};
use mp::{Event, ManagerError, Queue, ServerProcess};
use mp_testing::limits::{LONG, at_once, comes_true};
use mp_testing::system::{ends_within, signal};
use rustix::process::Signal;

mp::enable_test_support!();

#[derive(Debug)]
struct Meter(AtomicU64);

#[mp::managed]
impl Meter {
    pub fn new(start: u64) -> Self {
        Meter(start.into())
    }

    pub fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }

    pub fn copy(&self) -> mp::Managed<Meter> {
        mp::managed(Meter(self.0.load(Ordering::Relaxed).into()))
    }

    pub fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    pub fn add_to(&self, other: MeterProxy, n: u64) -> mp::Result<u64> {
        Ok(other.add(n)?)
    }

    pub fn queue(&self) -> mp::Result<Queue<u8>> {
        Ok(Queue::new()?)
    }

    pub fn takes(&self, queue: Queue<u8>) {
        drop(queue);
    }

    pub fn park(&self) {
        loop {
            std::thread::park();
        }
    }
}

const KEY: &[u8] = b"the key of the network";

/// A server that a program of its own has started, and this program's connection to it.
struct Remote {
    process: mp::Process<()>,
    server: ServerProcess,
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _gone = self.server.shutdown();
        self.process.join().unwrap();
    }
}

fn remote() -> Remote {
    fn serve(address: Queue<Address>) -> mp::Result<()> {
        let server = ServerProcess::builder().name("far").address(("127.0.0.1", 0)).authkey(KEY);
        let server = server.start()?;
        address.put(&server.address())?;
        while server.is_alive() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    let addresses = Queue::new().unwrap();
    let process = mp::Process::builder(serve, (addresses.clone(),)).daemon(false).start().unwrap();
    let server = ServerProcess::connect(addresses.get().unwrap(), KEY).unwrap();
    Remote { process, server }
}

#[test]
fn objects_are_called_and_released_over_the_network_as_on_this_machine() {
    let remote = remote();
    let server = &remote.server;
    assert_eq!(server.name(), "far");
    let meter = server.create(Meter::args(5)).unwrap();
    assert_eq!(meter.add(1).unwrap(), 6);
    let copy = meter.copy().unwrap();
    // A proxy goes back to its server, and is the object itself there.
    assert_eq!(meter.add_to(copy.clone(), 10).unwrap(), 16);
    assert_eq!(copy.add(0).unwrap(), 16);
    assert_eq!(server.number_of_objects().unwrap(), 2);
    drop(copy);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let meter = meter.clone();
            std::thread::spawn(move || (0..100).for_each(|_| assert!(meter.add(1).unwrap() > 0)))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(meter.add(0).unwrap(), 406);
    let long = vec![7; 2 << 20];
    assert_eq!(meter.echo(long.clone()).unwrap(), long);
    server.shutdown().unwrap();
    remote.process.join().unwrap();
    let error = at_once(|| meter.add(1).unwrap_err());
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
}

#[test]
fn a_proxy_of_a_far_server_goes_to_other_processes_and_keeps_its_object_alive_on_the_way() {
    let remote = remote();
    let server = &remote.server;
    let queue = Queue::<MeterProxy>::new().unwrap();
    queue.put(&server.create(Meter::args(5)).unwrap()).unwrap();
    assert_eq!(server.number_of_objects().unwrap(), 1);
    let take = |queue: Queue<MeterProxy>| {
        let meter = queue.get()?;
        meter.add(1)?;
        Ok(meter.copy()?)
    };
    let copy = mp::Process::start(take, (queue,)).unwrap().into_result().unwrap();
    assert_eq!(copy.add(0).unwrap(), 6);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
    drop(copy);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
}

#[test]
fn what_cannot_leave_its_machine_is_an_error_that_says_so_and_the_next_call_works() {
    let remote = remote();
    let server = &remote.server;
    let meter = server.create(Meter::args(5)).unwrap();
    let error = meter.queue().unwrap_err();
    assert!(error.to_string().contains("machine"), "{error:?}");
    let error = meter.takes(Queue::new().unwrap()).unwrap_err();
    assert!(error.to_string().contains("machine"), "{error:?}");
    let error = server.memory_block(100).unwrap_err();
    assert!(error.to_string().contains("machine"), "{error:?}");
    assert_eq!(meter.add(1).unwrap(), 6);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
}

#[test]
fn m_72_a_far_client_that_is_killed_gives_back_what_it_held() {
    fn hold(address: Address, holds: Event) -> mp::Result<()> {
        let server = ServerProcess::connect(address, KEY)?;
        let meters: Vec<_> =
            (0..10).map(|n| server.create(Meter::args(n))).collect::<Result<_, _>>()?;
        mp::ensure!(meters.len() == 10);
        holds.set();
        loop {
            std::thread::park();
        }
    }

    let remote = remote();
    let server = &remote.server;
    for _ in 0..mp_testing::storm::kills(5) {
        let holds = Event::new().unwrap();
        let holder = mp::Process::start(hold, (server.address(), holds.clone())).unwrap();
        holds.wait().unwrap();
        assert_eq!(server.number_of_objects().unwrap(), 10);
        holder.kill();
        holder.join().unwrap_err();
        assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
    }
}

#[test]
fn a_killed_far_server_disconnects_everybody_within_a_second() {
    let remote = remote();
    let server = &remote.server;
    let meter = server.create(Meter::args(0)).unwrap();
    let waiting = std::thread::spawn({
        let meter = meter.clone();
        move || meter.park().unwrap_err()
    });
    meter.add(1).unwrap();
    let begin = Instant::now();
    signal(server.pid(), Signal::KILL);
    assert!(matches!(waiting.join().unwrap(), ManagerError::Disconnected { .. }));
    assert!(begin.elapsed() < Duration::from_secs(1));
    let error = at_once(|| meter.add(1).unwrap_err());
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    assert!(ends_within(server.pid(), LONG).unwrap());
    let error = at_once(|| ServerProcess::connect(server.address(), KEY).unwrap_err());
    assert!(matches!(error, ManagerError::Connection(_)), "{error:?}");
}

/// Something that connects without being a client.
trait Stranger: Read + Write {}

impl<T: Read + Write> Stranger for T {}

/// Whether the other side hangs up within a second, or has said something that no client accepts.
fn is_turned_away(mut stranger: impl Stranger) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stranger.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn refuses_strangers(server: &ServerProcess, connect: impl Fn() -> Box<dyn Stranger>) {
    let meter = server.create(Meter::args(0)).unwrap();
    let resident = || resident_of(server.pid());
    let before = resident();
    // No key at all: as a client of a listener without one.
    let mut header = vec![0xf7, b'm', b'p', b'1', 1, 0, 0, 0];
    header.extend((2_u64 << 30).to_le_bytes());
    let first_words: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 4096],
        &[0; 36],
        &header, // two gibibytes follow
        b"\xf7mp",
    ];
    for words in first_words {
        let mut stranger = connect();
        let begin = Instant::now();
        let _taken = stranger.write_all(words);
        assert!(at_once(|| meter.add(1)).is_ok());
        if words.len() > 3 {
            assert!(is_turned_away(stranger), "{words:?}");
            assert!(begin.elapsed() < Duration::from_secs(1), "{words:?}: {:?}", begin.elapsed());
        }
    }
    assert!(resident() < before + (32 << 20), "{} before, {} after", before, resident());
    assert!(meter.add(1).is_ok());
}

fn resident_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn au_03_strangers_are_turned_away_within_a_second_over_the_network() {
    let server = ServerProcess::builder().address(("127.0.0.1", 0)).authkey(KEY).start().unwrap();
    let Address::Tcp { port, .. } = server.address() else { panic!() };
    refuses_strangers(&server, || Box::new(TcpStream::connect(("127.0.0.1", port)).unwrap()));
}

#[test]
fn au_03_strangers_are_turned_away_within_a_second_on_this_machine() {
    let path = std::env::temp_dir().join(format!("{}-strangers.sock", std::process::id()));
    let server = ServerProcess::builder().address(&path).authkey(KEY).start().unwrap();
    refuses_strangers(&server, || Box::new(UnixStream::connect(&path).unwrap()));
}

#[test]
fn five_hundred_who_say_nothing_keep_nobody_out_for_a_second() {
    let server = ServerProcess::builder().address(("127.0.0.1", 0)).authkey(KEY).start().unwrap();
    let Address::Tcp { port, .. } = server.address() else { panic!() };
    let meter = server.create(Meter::args(0)).unwrap();
    let before = resident_of(server.pid());
    let silent: Vec<_> =
        (0..500).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    assert!(at_once(|| meter.add(1)).is_ok());
    let connect = |address: Address| {
        let begin = Instant::now();
        ServerProcess::connect(address, KEY)?.create(Meter::args(1))?.add(1)?;
        Ok(begin.elapsed())
    };
    let process = mp::Process::start(connect, (server.address(),)).unwrap();
    let time = process.into_result().unwrap();
    assert!(time < Duration::from_secs(1), "{time:?}");
    assert!(resident_of(server.pid()) < before + (64 << 20));
    drop(silent);
    assert!(meter.add(1).is_ok());
}

#[test]
fn who_has_the_key_and_no_manners_is_dropped_as_well() {
    let server = ServerProcess::builder().address(("127.0.0.1", 0)).authkey(KEY).start().unwrap();
    let meter = server.create(Meter::args(0)).unwrap();
    let before = resident_of(server.pid());
    // Garbage, and a message that says it is two gibibytes long.
    for _ in 0..20 {
        let client = Client::connect(server.address(), Some(KEY)).unwrap();
        client.send_bytes(b"garbage").unwrap();
        assert!(at_once(|| client.recv_bytes()).is_err());
        let client = Client::connect(server.address(), Some(KEY)).unwrap();
        client.send_bytes(&vec![0; 1 << 20]).ok();
        assert!(at_once(|| client.recv_bytes()).is_err());
    }
    // Half an opening, and silence.
    let quiet: Vec<_> =
        (0..50).map(|_| Client::connect(server.address(), Some(KEY)).unwrap()).collect();
    assert!(at_once(|| meter.add(1)).is_ok());
    assert!(resident_of(server.pid()) < before + (64 << 20));
    drop(quiet);
    assert!(meter.add(1).is_ok());
}
