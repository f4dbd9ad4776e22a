//! Calls of objects that live in a server: by whom, at the same time as what, and what comes of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mp::{ManagerError, ServerProcess};
use mp_testing::limits::at_once;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Debug)]
struct Counter(AtomicI64);

#[mp::managed]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter(start.into())
    }

    pub fn add(&self, n: i64) -> i64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn thread(&self) -> String {
        format!("{:?}", std::thread::current().id())
    }

    pub fn process(&self) -> String {
        mp::current_process().name().to_owned()
    }

    pub fn fail(&self) -> mp::Result<()> {
        mp::bail!("no such luck")
    }

    pub fn fail_typed(&self) -> Result<(), OutOfStock> {
        Err(OutOfStock { wanted: 3 })
    }

    pub fn fail_typed_across(&self) -> mp::Result<()> {
        Err(mp::Error::typed(OutOfStock { wanted: 4 }))
    }

    pub fn panic(&mut self) {
        panic!("counted out");
    }

    pub fn child(&self) -> mp::Managed<Counter> {
        mp::managed(Counter(AtomicI64::new(100)))
    }

    pub fn unencodable(&self) -> Unencodable {
        Unencodable
    }

    pub fn takes(&self, unencodable: Unencodable) {
        let Unencodable = unencodable;
    }

    pub fn exit(&self) {
        std::process::exit(7);
    }
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize, PartialEq)]
#[error("{wanted} are not in stock")]
struct OutOfStock {
    wanted: u32,
}

#[derive(Deserialize)]
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it does not want to"))
    }
}

/// `&self` methods that wait for each other, and `&mut self` methods that notice if they do not run alone.
#[derive(Default)]
struct Meeting {
    inside: AtomicU32,
    most: AtomicU32,
    met: std::sync::Mutex<u32>,
    came: std::sync::Condvar,
}

#[mp::managed]
impl Meeting {
    pub fn new() -> Self {
        Meeting::default()
    }

    /// Returns when so many are in it at the same time.
    pub fn meet(&self, parties: u32) -> bool {
        let mut met = self.met.lock().unwrap();
        *met += 1;
        self.came.notify_all();
        let limit = Duration::from_secs(30);
        let (_met, waited) =
            self.came.wait_timeout_while(met, limit, |met| *met < parties).unwrap();
        !waited.timed_out()
    }

    pub fn alone(&mut self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn most(&self) -> u32 {
        self.most.load(Ordering::SeqCst)
    }

    pub fn sleep(&self, millis: u64) {
        std::thread::sleep(Duration::from_millis(millis));
    }
}

#[test]
fn mp_01_m_27_objects_of_a_server_share_its_process_and_two_servers_have_two() {
    let first = ServerProcess::builder().name("first").cpu_affinity([0]).start().unwrap();
    let second = ServerProcess::start().unwrap();
    let [a, b] = [(); 2].map(|()| first.create(Counter::args(0)).unwrap());
    let c = second.create(Counter::args(0)).unwrap();
    assert_eq!([a.pid().unwrap(), b.pid().unwrap()], [first.pid(); 2]);
    assert_eq!(c.pid().unwrap(), second.pid());
    assert_ne!(first.pid(), second.pid());
    assert_eq!((&*a.process().unwrap(), &*first.name()), ("first", "first"));
    assert!(c.process().unwrap().starts_with("Server-"));
    // M-26: the thread of a client has one of the server.
    assert_eq!(a.thread().unwrap(), b.thread().unwrap());
    let other = std::thread::spawn({
        let a = a.clone();
        move || a.thread().unwrap()
    });
    assert_ne!(other.join().unwrap(), a.thread().unwrap());
}

#[test]
fn m_21_m_22_an_error_of_a_method_is_raised_at_the_caller_with_the_trace_of_the_server() {
    let server = ServerProcess::builder().name("clerk").start().unwrap();
    let counter = server.create(Counter::args(5)).unwrap();
    let ManagerError::Exception(error) = counter.fail().unwrap_err() else { panic!() };
    assert_eq!((error.message(), error.process_name()), ("no such luck", "clerk"));
    assert_eq!(error.pid(), server.pid());
    assert!(error.traceback().contains("Counter::fail"), "{}", error.traceback());
    assert!(error.traceback().contains("tests/calls.rs"), "{}", error.traceback());
    let machinery = ["Shelf", "serving", "__mp_begin"];
    assert!(!machinery.iter().any(|name| error.traceback().contains(name)), "{error:?}");

    let ManagerError::Exception(error) = counter.fail_typed().unwrap_err() else { panic!() };
    assert!(error.type_name().ends_with("OutOfStock"), "{}", error.type_name());
    assert_eq!(error.message(), "3 are not in stock");
    let ManagerError::Exception(error) = counter.fail_typed_across().unwrap_err() else { panic!() };
    assert_eq!(error.downcast::<OutOfStock>().unwrap(), OutOfStock { wanted: 4 });

    let ManagerError::Exception(error) = counter.panic().unwrap_err() else { panic!() };
    assert!(error.is_panic());
    assert_eq!(error.message(), "counted out");
    assert!(error.traceback().contains("Counter::panic"), "{}", error.traceback());
    // Neither the server nor the object has suffered, though the method had it for itself.
    assert_eq!(counter.add(1).unwrap(), 6);
    assert!(matches!(counter.panic().unwrap_err(), ManagerError::Exception(_)));
    assert_eq!(counter.add(1).unwrap(), 7);
}

#[test]
fn m_06_m_23_what_cannot_be_encoded_is_an_error_and_the_next_call_works() {
    let server = ServerProcess::start().unwrap();
    let counter = server.create(Counter::args(5)).unwrap();
    let error = counter.unencodable().err().unwrap();
    assert!(matches!(error, ManagerError::Transfer { .. }), "{error:?}");
    assert!(error.to_string().contains("it does not want to"), "{error}");
    let error = counter.takes(Unencodable).unwrap_err();
    assert!(matches!(error, ManagerError::Encode(_)), "{error:?}");
    assert_eq!(counter.add(1).unwrap(), 6);
}

#[test]
fn m_20_names_that_no_method_has_cannot_be_called() {
    use mp::TypedProxy as _;
    let server = ServerProcess::start().unwrap();
    let counter = server.create(Counter::args(5)).unwrap();
    for name in ["new", "args", "", "no", "#text ", "\0", &"x".repeat(10_000)] {
        let error = counter.as_proxy().call::<(), _>(name, &()).unwrap_err();
        assert!(matches!(error, ManagerError::UnknownMethod { .. }), "{name}: {error:?}");
    }
    let error = counter.as_proxy().call::<i64, _>("add", &("no number",)).unwrap_err();
    assert!(matches!(error, ManagerError::Transfer { .. }), "{error:?}");
    let error = counter.as_proxy().call::<String, _>("add", &(1,)).unwrap_err();
    assert!(matches!(error, ManagerError::Decode(_)), "{error:?}");
    assert_eq!(counter.add(1).unwrap(), 7);
    // MP-02: so do types, and none is called as another.
    let list: Result<CounterProxy, _> =
        mp_reduction::encode(&server.create(Meeting::args()).unwrap()).unwrap().decode();
    assert!(list.unwrap_err().to_string().contains("Meeting"));
}

#[test]
fn m_28_shared_methods_overlap_and_exclusive_ones_do_not() {
    let server = ServerProcess::start().unwrap();
    let meeting = server.create(Meeting::args()).unwrap();
    // Two objects of one server, and one object, by processes and threads.
    let meet = |meeting: MeetingProxy| Ok(meeting.meet(6)?);
    let processes: Vec<_> =
        (0..3).map(|_| mp::Process::start(meet, (meeting.clone(),)).unwrap()).collect();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let meeting = meeting.clone();
            std::thread::spawn(move || meeting.meet(6).unwrap())
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    assert!(processes.into_iter().all(|process| process.into_result().unwrap()));

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| meeting.alone().unwrap()));
        }
    });
    assert_eq!(meeting.most().unwrap(), 1);
}

#[test]
fn eight_processes_with_four_threads_each_call_one_object_at_once() {
    fn many(counter: CounterProxy) -> mp::Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..250).try_for_each(|_| counter.add(1).map(drop))))
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
        })?;
        Ok(())
    }

    let server = ServerProcess::start().unwrap();
    let counter = server.create(Counter::args(0)).unwrap();
    let processes: Vec<_> =
        (0..8).map(|_| mp::Process::start(many, (counter.clone(),)).unwrap()).collect();
    for process in processes {
        process.into_result().unwrap();
    }
    assert_eq!(counter.add(0).unwrap(), 8000);
}

#[test]
fn a_slow_call_delays_nobody_else() {
    let server = ServerProcess::start().unwrap();
    let meeting = server.create(Meeting::args()).unwrap();
    let counter = server.create(Counter::args(0)).unwrap();
    let begin = Instant::now();
    let slow = std::thread::spawn({
        let meeting = meeting.clone();
        move || meeting.sleep(3000).unwrap()
    });
    for _ in 0..100 {
        counter.add(1).unwrap();
    }
    assert!(begin.elapsed() < Duration::from_millis(3000));
    slow.join().unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(3000));
}

#[test]
fn m_09_a_method_that_ends_the_server_disconnects_its_caller_and_all_others() {
    let server = ServerProcess::start().unwrap();
    let counter = server.create(Counter::args(0)).unwrap();
    let meeting = server.create(Meeting::args()).unwrap();
    let waiting = std::thread::spawn({
        let meeting = meeting.clone();
        move || meeting.meet(2).unwrap_err()
    });
    let error = at_once(|| counter.exit().unwrap_err());
    assert!(matches!(&error, ManagerError::Disconnected { pid, .. } if *pid == server.pid()));
    assert!(matches!(waiting.join().unwrap(), ManagerError::Disconnected { .. }));
    let error = at_once(|| counter.add(1).unwrap_err());
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    let error = at_once(|| server.create(Counter::args(0)).unwrap_err());
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    at_once(|| server.shutdown().unwrap());
    assert_eq!(server.exitcode(), Some(7));
}

#[test]
fn m_25_text_is_that_of_the_object_and_debug_text_names_the_proxy() {
    let server = ServerProcess::builder().name("texts").start().unwrap();
    let counter = server.create(Counter::args(5)).unwrap();
    assert_eq!(counter.to_string(), "Counter(5)");
    assert_eq!(format!("{counter:?}"), "<CounterProxy object 1 of server 'texts'>");
    // A type without a text.
    let meeting = server.create(Meeting::args()).unwrap();
    assert_eq!(meeting.to_string(), "Meeting");
}

#[test]
fn m_30_proxies_are_equal_when_they_stand_for_the_same_object() {
    let server = ServerProcess::start().unwrap();
    let [a, b] = [(); 2].map(|()| server.create(Counter::args(5)).unwrap());
    assert_ne!(a, b);
    assert_eq!(a, a.clone());
    let echo = |counter: CounterProxy| Ok(counter);
    let back = mp::Process::start(echo, (a.clone(),)).unwrap().into_result().unwrap();
    assert_eq!(back, a);
}

/// Calls its own methods and those of others from inside of the server.
struct Insider {
    own: std::sync::OnceLock<InsiderProxy>,
    counter: CounterProxy,
}

#[mp::managed]
impl Insider {
    pub fn new(counter: CounterProxy) -> Self {
        Insider { own: std::sync::OnceLock::new(), counter }
    }

    pub fn know_yourself(&self, own: InsiderProxy) {
        let _first = self.own.set(own);
    }

    pub fn add(&self, n: i64) -> mp::Result<i64> {
        Ok(self.counter.add(n)?)
    }

    pub fn add_through_itself(&self, n: i64) -> mp::Result<i64> {
        Ok(self.own.get().expect("it is known").add(n)?)
    }

    pub fn exclusively_through_itself(&mut self, n: i64) -> mp::Result<i64> {
        Ok(self.own.get().expect("it is known").add(n)?)
    }

    pub fn fail(&self) -> mp::Result<()> {
        Ok(self.counter.fail()?)
    }

    pub fn counter(&self) -> CounterProxy {
        self.counter.clone()
    }

    pub fn thread_of_counter(&self) -> mp::Result<(String, String)> {
        Ok((format!("{:?}", std::thread::current().id()), self.counter.thread()?))
    }
}

#[test]
fn mp_07_a_proxy_inside_of_the_server_calls_directly_with_the_same_results_and_errors() {
    let server = ServerProcess::start().unwrap();
    let counter = server.create(Counter::args(0)).unwrap();
    let insider = server.create(Insider::args(counter.clone())).unwrap();
    assert_eq!(insider.add(2).unwrap(), 2);
    let (insiders, counters) = insider.thread_of_counter().unwrap();
    assert_eq!(insiders, counters);
    let ManagerError::Exception(error) = insider.fail().unwrap_err() else { panic!() };
    assert_eq!(error.message(), "no such luck");
    // MP-09: what is stored there stays, and can be had as often as one likes.
    drop(counter);
    assert_eq!(insider.counter().unwrap().add(1).unwrap(), 3);
    assert_eq!(insider.counter().unwrap().add(1).unwrap(), 4);

    insider.know_yourself(insider.clone()).unwrap();
    assert_eq!(insider.add_through_itself(1).unwrap(), 5);
    let ManagerError::Exception(error) = insider.exclusively_through_itself(1).unwrap_err() else {
        panic!()
    };
    assert!(error.message().contains("from inside a method of it"), "{error}");
    assert_eq!(insider.add(1).unwrap(), 6);
}

#[test]
fn proxies_returned_by_methods_are_as_good_as_any() {
    // MP-06: also in other processes, and what their methods return.
    let server = ServerProcess::start().unwrap();
    let counter = server.create(Counter::args(5)).unwrap();
    let grandchild = |counter: CounterProxy| Ok(counter.child()?.child()?);
    let process = mp::Process::start(grandchild, (counter.child().unwrap(),)).unwrap();
    let grandchild = process.into_result().unwrap();
    assert_eq!(grandchild.add(1).unwrap(), 101);
    drop(grandchild);
    assert_eq!(server.debug_info().unwrap().len(), 1);
}
