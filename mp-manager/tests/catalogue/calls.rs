//! What can be called, from where, and over which connection.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use mp::connection::Address;
use mp::{
    Barrier, Connection, Event, Manager, ManagerError, Process, Queue, QueueProxy, ServerProcess,
    TypedProxy as _, managed,
};
use mp_testing::limits::{LONG, comes_true};
use serde::{Deserialize, Serialize};

use crate::{Counter, CounterProxy, counter};

const KEY: &[u8] = b"the key of the catalogue";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Any {
    Text(String),
    None,
    Bool(bool),
    Float(f64),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
}

fn all_kinds() -> Vec<Any> {
    vec![
        Any::Text("hello world".to_owned()),
        Any::None,
        Any::Bool(true),
        Any::Float(2.25),
        Any::Text(
            "\u{43f}\u{440}\u{438}\u{432}\u{456}\u{442} \u{441}\u{432}\u{456}\u{442}".to_owned(),
        ),
        Any::Bytes(b"hall\xe5 v\xe4rlden".to_vec()),
    ]
}

static SHOWN: Mutex<Option<QueueProxy<Any>>> = Mutex::new(None);

/// Where a program that has nothing but an address and a key finds a queue.
struct Window;

#[mp::managed]
impl Window {
    pub fn new() -> Self {
        Window
    }

    pub fn show(&self, queue: QueueProxy<Any>) {
        *SHOWN.lock().unwrap() = Some(queue);
    }

    pub fn shown(&self) -> mp::Result<QueueProxy<Any>> {
        SHOWN.lock().unwrap().clone().ok_or_else(|| mp::Error::msg("nothing is shown"))
    }
}

#[test]
fn m_05_a_queue_that_a_program_with_address_and_key_fills_is_read_here() {
    fn fill(address: Address) -> mp::Result<()> {
        let manager = Manager::connect(address, KEY)?;
        let queue = manager.create(Window::args())?.shown()?;
        all_kinds().iter().try_for_each(|value| queue.put(value))?;
        Ok(())
    }

    let here: Address = Address::Abstract(b"mp-test-catalogue-m-05".to_vec());
    let network: Address = ("127.0.0.1", 0).into();
    for address in [here, network] {
        let server = ServerProcess::builder().address(address).authkey(KEY).start().unwrap();
        let manager = Manager::from(server);
        let queue = manager.queue::<Any>(0).unwrap();
        manager.create(Window::args()).unwrap().show(queue.clone()).unwrap();
        let child = Process::start(fill, (manager.address(),)).unwrap();
        let got: Vec<Any> = (0..6).map(|_| queue.get_timeout(LONG).unwrap()).collect();
        assert_eq!(got, all_kinds());
        child.into_result().unwrap();
        assert!(queue.is_empty().unwrap());
    }
}

/// Stands between a server and its clients, and can cut all connections but the first.
struct Relay {
    address: Address,
    connections: Arc<Mutex<Vec<[TcpStream; 2]>>>,
}

impl Relay {
    fn to(server: &ServerProcess) -> Relay {
        let Address::Tcp { port: server, .. } = server.address() else { panic!() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let relay =
            Relay { address: ("127.0.0.1", port).into(), connections: Arc::clone(&connections) };
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { return };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _all = copy(&mut from, &mut to);
                        let _ended = to.shutdown(Shutdown::Both);
                    });
                }
                connections.lock().unwrap().push([near, far]);
            }
        });
        relay
    }

    fn cut(&self) -> usize {
        let all: Vec<_> = self.connections.lock().unwrap().drain(1..).collect();
        for stream in all.iter().flatten() {
            // One that has ended by itself may be closed already.
            let _cut = stream.shutdown(Shutdown::Both);
        }
        all.len()
    }
}

#[test]
fn m_10_m_31_after_a_lost_connection_the_next_call_of_the_thread_has_another() {
    fn client(address: Address, to_cut: Event, cut: Event) -> mp::Result<()> {
        let server = ServerProcess::connect(address, KEY)?;
        let (a, b) = (server.create(Counter::args(1))?, server.create(Counter::args(10))?);
        let held = a.clone();
        let thread = std::thread::spawn(move || {
            let lost = held.hold();
            (lost.is_err(), held.add(0))
        });
        while !a.is_held()? {
            std::thread::yield_now();
        }
        to_cut.set();
        mp::ensure!(cut.wait_timeout(LONG)?, "the test does not cut");
        let lost = a.add(1);
        mp::ensure!(lost.is_err(), "the connection is not lost");
        // The one whose call was on its way, and the one that makes the next.
        let (was_lost, next) = thread.join().map_err(|_| mp::Error::msg("it panicked"))?;
        mp::ensure!(was_lost && next? > 0);
        mp::ensure!(a.add(0)? > 0 && b.add(1)? == 11, "another object");
        a.release()?;
        mp::ensure!(server.is_alive() && server.create(Counter::args(7))?.add(0)? == 7);
        mp::ensure!(comes_true(|| server.number_of_objects().is_ok_and(|number| number == 2)));
        Ok(())
    }

    let builder = ServerProcess::builder().address(("127.0.0.1", 0)).authkey(KEY);
    let server = builder.start().unwrap();
    let relay = Relay::to(&server);
    let (to_cut, cut) = (Event::new().unwrap(), Event::new().unwrap());
    let args = (relay.address.clone(), to_cut.clone(), cut.clone());
    let child = Process::start(client, args).unwrap();
    assert!(to_cut.wait_timeout(LONG).unwrap());
    assert_eq!(relay.cut(), 2, "one for each thread");
    cut.set();
    child.into_result().unwrap();
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
}

#[test]
fn m_20_only_public_methods_of_an_object_are_exposed() {
    let server = ServerProcess::start().unwrap();
    let counter = counter(&server);
    for name in ["doubled", "of_this_crate", "skipped", "without_an_object", "add ", "Add"] {
        let error = counter.as_proxy().call::<i64, _>(name, &(1,)).unwrap_err();
        assert!(matches!(error, ManagerError::UnknownMethod { .. }), "{name}: {error:?}");
    }
    assert_eq!(counter.as_proxy().call::<i64, _>("add", &(1,)).unwrap(), 1);
    assert_eq!((Counter::without_an_object(), Counter::new(0).skipped()), (1, 2));
}

#[test]
fn t_18_m_28_workers_on_two_objects_and_on_one_are_in_the_server_at_the_same_time() {
    fn work(counter: CounterProxy, barrier: Barrier) -> mp::Result<()> {
        for _ in 0..2 {
            counter.meet(barrier.clone())?;
        }
        Ok(())
    }

    let server = ServerProcess::start().unwrap();
    let (a, b) = (counter(&server), counter(&server));
    for crew in [vec![a.clone(), b], vec![a.clone(), a.clone(), a]] {
        let new = || Barrier::builder(crew.len()).timeout(LONG).build().unwrap();
        let barrier = new();
        std::thread::scope(|scope| {
            for counter in &crew {
                scope.spawn(|| work(counter.clone(), barrier.clone()).unwrap());
            }
        });
        let barrier = new();
        let start = |c: &CounterProxy| Process::start(work, (c.clone(), barrier.clone())).unwrap();
        let processes: Vec<_> = crew.iter().map(start).collect();
        processes.into_iter().for_each(|process| process.into_result().unwrap());
    }
}

/// Calls when its thread is about to end.
struct CallsAtTheEnd(CounterProxy);

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        self.0.add(1).unwrap();
    }
}

thread_local! {
    static AT_THE_END: std::cell::RefCell<Option<CallsAtTheEnd>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn m_26_threads_of_the_server_end_with_those_of_the_client() {
    let server = ServerProcess::start().unwrap();
    let counter = counter(&server);
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    counter.add(0).unwrap();
    let before = threads();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| counter.hold())).collect();
        assert!(comes_true(|| threads() == before + 20), "{} after {before}", threads());
        // Those who come later hold, too, until everybody is free.
        while !all.iter().all(|thread| thread.is_finished()) {
            counter.release().unwrap();
        }
    });
    assert!(comes_true(|| threads() <= before), "{} after {before}", threads());
    // A call from the last that a thread does works as any, and so does the end of its proxy.
    let at_the_end = counter.clone();
    std::thread::spawn(move || {
        at_the_end.add(1).unwrap();
        AT_THE_END.set(Some(CallsAtTheEnd(at_the_end)));
    })
    .join()
    .unwrap();
    assert!(comes_true(|| counter.add(0).unwrap() == 2));
    drop(counter);
    assert_eq!(server.number_of_objects().unwrap(), 0);
}

#[test]
fn m_29_a_child_needs_nothing_but_the_proxy_whatever_the_key_and_however_it_came() {
    fn use_them(
        given: CounterProxy,
        queue: Queue<CounterProxy>,
        pipe: Connection,
    ) -> mp::Result<i64> {
        mp::ensure!(mp::current_process().authkey().as_bytes() != KEY);
        let sent: CounterProxy = pipe.recv()?;
        mp::ensure!(given == sent && queue.get()? == sent);
        given.add(1)?;
        Ok(sent.add(1)?)
    }

    let server = ServerProcess::builder().authkey(KEY).start().unwrap();
    let counter = counter(&server);
    let queue = Queue::new().unwrap();
    let (a, b) = mp::Pipe::duplex().unwrap();
    queue.put(&counter).unwrap();
    a.send(&counter).unwrap();
    let child = Process::start(use_them, (counter.clone(), queue, b)).unwrap();
    assert_eq!(child.into_result().unwrap(), 2);
    assert_eq!(counter.add(0).unwrap(), 2);
}

/// Is not made for every number.
struct Fussy;

#[mp::managed]
impl Fussy {
    pub fn new(number: i8) -> mp::Result<Self> {
        assert!(number >= 0, "{number} is below zero");
        mp::ensure!(number < 100, "{number} is too much");
        Ok(Fussy)
    }

    pub fn is_there(&self) -> bool {
        true
    }
}

#[test]
fn m_21_an_error_of_a_constructor_is_that_of_its_caller_and_makes_nothing() {
    let server = ServerProcess::start().unwrap();
    for (number, text, is_panic) in
        [(100, "100 is too much", false), (-1, "-1 is below zero", true)]
    {
        let error = server.create(Fussy::args(number)).unwrap_err();
        let ManagerError::Exception(remote) = error else { panic!("{error:?}") };
        assert_eq!((remote.message(), remote.is_panic()), (text, is_panic));
        assert!(remote.traceback().contains("Fussy::new"), "{}", remote.traceback());
    }
    assert_eq!(server.number_of_objects().unwrap(), 0);
    assert!(server.create(Fussy::args(1)).unwrap().is_there().unwrap());
}

/// Comes from methods of others alone.
struct Unborn;

#[mp::managed]
impl Unborn {
    pub fn is_there(&self) -> bool {
        true
    }
}

#[test]
fn m_20_a_type_without_a_constructor_cannot_be_created() {
    let server = ServerProcess::start().unwrap();
    let error = server.create(mp::Args::<Unborn>::new(())).unwrap_err();
    let ManagerError::UnknownType { server: name, name: type_name } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((&**name, &**type_name), (&*server.name(), "Unborn"));
    assert!(managed(Unborn).is_there().unwrap());
}
