//! A server, or a client, that has no files, threads or memory left: errors that say so, and nobody else suffers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use mp::{DupFd, Event, ListProxy, Manager, ManagerError, Queue, ServerProcess};
use mp_testing::limits::comes_true;
use mp_testing::system::mapped_bytes;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde::{Deserialize, Serialize, Serializer};

mp::enable_test_support!();

/// Takes what the server has, up to its limits.
#[derive(Default)]
struct Hog {
    files: Mutex<Vec<std::fs::File>>,
}

#[mp::managed]
impl Hog {
    pub fn new() -> Self {
        Hog::default()
    }

    /// Opens files until there are only so many left.
    pub fn open_all_but(&self, left: usize) -> usize {
        let mut files = self.files.lock().unwrap();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        let kept = files.len().saturating_sub(left);
        files.truncate(kept);
        files.len()
    }

    pub fn close(&self) {
        self.files.lock().unwrap().clear();
    }

    pub fn takes(&self, queues: Vec<Queue<u8>>) -> usize {
        queues.len()
    }

    pub fn gives(&self, count: usize) -> mp::Result<Vec<Queue<u8>>> {
        Ok((0..count).map(|_| Queue::new()).collect::<Result<_, _>>()?)
    }

    pub fn gift(&self, path: String, len: usize) -> mp::Result<Gift> {
        let last = (len > 0).then_some(Last);
        Ok(Gift { file: std::fs::File::open(path)?.into(), text: "x".repeat(len), last })
    }

    pub fn len(&self, text: String) -> usize {
        text.len()
    }

    pub fn add(&self, n: u32) -> u32 {
        n + 1
    }
}

/// A descriptor, and a text for which there is no memory once it is encoded.
#[derive(Debug, Serialize, Deserialize)]
struct Gift {
    file: DupFd,
    text: String,
    last: Option<Last>,
}

/// Takes all memory but a little when it is encoded.
#[derive(Debug, Deserialize)]
struct Last;

impl Serialize for Last {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let most = mapped_bytes(std::process::id()).unwrap() + (1 << 20);
        setrlimit(Resource::As, Rlimit { current: Some(most), maximum: None }).unwrap();
        serializer.serialize_unit()
    }
}

fn few_files(most: u64) -> mp::Result<()> {
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}

fn little_memory(bytes: u64) -> mp::Result<()> {
    setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
    Ok(())
}

/// The outcome of a call that must not hang.
fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(call()));
    told.recv_timeout(Duration::from_secs(20)).expect("it hangs")
}

#[test]
fn a_server_without_files_refuses_handles_and_serves_on() {
    let server = ServerProcess::builder().initializer(few_files, (100,)).start().unwrap();
    let hog = server.create(Hog::args()).unwrap();
    hog.open_all_but(0).unwrap();
    let takes = {
        let hog = hog.clone();
        move || {
            // The thread has its line.
            let _before = hog.add(1);
            (hog.takes(vec![Queue::new().unwrap()]), hog.add(1))
        }
    };
    // A new thread has none, for there are no files for it.
    let (taken, after) = in_time(takes);
    let error = taken.unwrap_err();
    assert!(matches!(error, ManagerError::Transfer { .. }), "{error:?}");
    assert!(after.is_err());
    assert_eq!(hog.add(1).unwrap(), 2);
    hog.close().unwrap();
    assert_eq!(hog.takes(vec![Queue::new().unwrap()]).unwrap(), 1);
    let hog = hog.clone();
    assert_eq!(in_time(move || hog.add(2)).unwrap(), 3);
}

#[test]
fn a_server_that_cannot_take_what_belongs_to_a_call_says_so_and_serves_the_next() {
    let server = ServerProcess::builder().initializer(few_files, (100,)).start().unwrap();
    let hog = server.create(Hog::args()).unwrap();
    hog.open_all_but(0).unwrap();
    let queue = Queue::new().unwrap();
    let error = in_time({
        let hog = hog.clone();
        move || {
            let error = hog.takes(vec![queue]).unwrap_err();
            (error, hog.add(1))
        }
    });
    assert!(matches!(error.0, ManagerError::Transfer { .. }), "{error:?}");
    hog.close().unwrap();
    hog.open_all_but(8).unwrap();
    let error = in_time({
        let hog = hog.clone();
        move || hog.gives(3).map(|queues| queues.len()).unwrap_err()
    });
    let text = error.to_string();
    assert!(!matches!(error, ManagerError::Disconnected { .. }), "{text}");
    hog.close().unwrap();
    assert_eq!(hog.gives(3).unwrap().len(), 3);
}

#[test]
fn a_server_without_memory_for_a_call_says_so_and_serves_on() {
    let limit = 400_000_000;
    let server = ServerProcess::builder().initializer(little_memory, (limit,)).start().unwrap();
    let hog = server.create(Hog::args()).unwrap();
    assert_eq!(hog.add(1).unwrap(), 2);
    let (long, after) = in_time({
        let hog = hog.clone();
        move || (hog.len("x".repeat(300_000_000)), hog.add(1))
    });
    let error = long.unwrap_err();
    assert!(!matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    assert_eq!(after.unwrap(), 2);
    assert_eq!(hog.add(1).unwrap(), 2);
}

/// The next one who was given a descriptor had that of the answer that was not sent.
#[test]
fn what_came_with_an_answer_that_cannot_be_sent_is_not_taken_for_that_of_the_next() {
    let server = ServerProcess::start().unwrap();
    let pid = Pid::from_raw(server.pid().cast_signed());
    let hog = server.create(Hog::args()).unwrap();
    let is_of = |gift: &Gift, path: &str| {
        let link = format!("/proc/self/fd/{}", gift.file.as_fd().as_raw_fd());
        std::fs::read_link(link).unwrap() == Path::new(path)
    };
    assert!(is_of(&hog.gift("/dev/null".to_owned(), 0).unwrap(), "/dev/null"));
    for _ in 0..3 {
        let error = hog.gift("/dev/null".to_owned(), 100_000_000).unwrap_err();
        prlimit(pid, Resource::As, getrlimit(Resource::As)).unwrap();
        assert!(!matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
        assert!(error.to_string().contains("the server cannot send the result"), "{error}");
        assert!(is_of(&hog.gift("/dev/zero".to_owned(), 0).unwrap(), "/dev/zero"));
    }
}

/// Has a list, and calls it from a new thread when it is told to.
fn innocent(manager: Manager, has: Event, go: Event) -> mp::Result<(u64, bool, u64)> {
    let list = manager.list_from([1_u32, 2, 3])?;
    has.set();
    go.wait()?;
    let same = list.clone();
    let by_new_thread = std::thread::spawn(move || same.len().is_ok()).join().expect("no panic");
    Ok((list.len()? as u64, by_new_thread, list.to_vec()?.len() as u64))
}

#[test]
fn one_client_with_many_messages_costs_no_other_what_it_holds() {
    let server = ServerProcess::builder().initializer(few_files, (200,)).start().unwrap();
    let manager = Manager::from(server);
    let (has, go) = (Event::new().unwrap(), Event::new().unwrap());
    let args = (manager.clone(), has.clone(), go.clone());
    let other = mp::Process::start(innocent, args).unwrap();
    has.wait().unwrap();
    // Each message takes a file of the server.
    let queue = Queue::<ListProxy<u32>>::new().unwrap();
    let list = manager.list::<u32>().unwrap();
    let refused = (0..400).find_map(|_| queue.put(&list).err());
    let refused = refused.expect("the server has no files for so many").to_string();
    assert!(!refused.is_empty());
    go.set();
    let (len, _by_new_thread, again) = other.into_result().unwrap();
    assert_eq!((len, again), (3, 3));
    assert_eq!(list.len().unwrap(), 0);
    // What was put is there, and gives the files back.
    let taken = queue.get().unwrap();
    assert_eq!(taken, list);
    drop(queue);
    assert!(comes_true(|| {
        let list = list.clone();
        in_time(move || list.len()).is_ok()
    }));
}

#[test]
fn a_call_in_the_last_destructor_of_a_thread_is_a_call() {
    struct Last(RefCell<Option<ListProxy<u32>>>);

    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(list) = self.0.get_mut().take() {
                list.push(1).unwrap();
            }
        }
    }

    thread_local! {
        // Used before the first call of the thread: so its destructor runs last.
        static LAST: Last = const { Last(RefCell::new(None)) };
    }

    let manager = Manager::start().unwrap();
    let list = manager.list::<u32>().unwrap();
    let threads = || std::fs::read_dir(format!("/proc/{}/task", manager.pid())).unwrap().count();
    list.push(0).unwrap();
    let before = threads();
    for _ in 0..20 {
        let list = list.clone();
        let thread = std::thread::spawn(move || {
            LAST.with(|last| *last.0.borrow_mut() = Some(list.clone()));
            list.push(2).unwrap();
        });
        thread.join().unwrap();
    }
    assert_eq!(list.len().unwrap(), 41);
    // Nor does any of them leave a thread in the server.
    assert!(comes_true(|| threads() <= before), "{} threads, {before} before", threads());
}

#[test]
fn after_serve_forever_nobody_is_served() {
    fn serve(address: String, ended: Event, go: Event) -> mp::Result<()> {
        ServerProcess::builder().address(&*address).authkey(b"key").serve_forever()?;
        ended.set();
        go.wait()?;
        Ok(())
    }

    let address = format!("\0mp-test-after-{}", std::process::id());
    let (ended, go) = (Event::new().unwrap(), Event::new().unwrap());
    let args = (address.clone(), ended.clone(), go.clone());
    let process = mp::Process::start(serve, args).unwrap();
    let mut server = None;
    assert!(comes_true(|| {
        server = ServerProcess::connect(&*address, b"key").ok();
        server.is_some()
    }));
    let server = server.unwrap();
    let hog = server.create(Hog::args()).unwrap();
    let queue = Queue::new().unwrap();
    queue.put(&hog).unwrap();
    server.shutdown().unwrap();
    ended.wait().unwrap();
    assert!(matches!(hog.add(1).unwrap_err(), ManagerError::Disconnected { .. }));
    // Nor is anybody let in by what a message leads to.
    let late = mp::Process::start(|queue: Queue<HogProxy>| Ok(queue.get().is_ok()), (queue,));
    assert!(!late.unwrap().into_result().unwrap());
    go.set();
    process.join().unwrap();
}

#[test]
fn many_proxies_in_one_message_cost_as_much_each_as_few() {
    let manager = Manager::start().unwrap();
    let lists: Vec<_> = (0..20_000).map(|_| manager.list::<u8>().unwrap()).collect();
    let outer = manager.list::<Vec<ListProxy<u8>>>().unwrap();
    let begin = std::time::Instant::now();
    outer.push(lists).unwrap();
    let back = outer.get(0).unwrap();
    assert_eq!(back.len(), 20_000);
    // It was seconds when each looked at all others.
    println!("{:?}", begin.elapsed());
    drop((back, outer));
    assert!(comes_true(|| manager.number_of_objects().unwrap() == 0));
}

#[test]
fn a_server_that_gets_no_thread_drops_its_objects_all_the_same() {
    let server = ServerProcess::start().unwrap();
    let kept = server.create(Hog::args()).unwrap();
    assert_eq!(kept.add(1).unwrap(), 2);
    let dropped = server.create(Hog::args()).unwrap();
    let objects = server.number_of_objects().unwrap();
    // The stack of a thread does not fit in, and whatever else it does has room.
    let most =
        Rlimit { current: Some(mapped_bytes(server.pid()).unwrap() + (1 << 20)), maximum: None };
    let pid = Pid::from_raw(server.pid().cast_signed());
    let before = prlimit(pid, Resource::As, most).unwrap();
    drop(dropped);
    assert!(comes_true(|| server.number_of_objects().unwrap() < objects));
    assert_eq!(kept.add(2).unwrap(), 3);
    prlimit(pid, Resource::As, before).unwrap();
    drop(kept);
    assert!(comes_true(|| server.number_of_objects().unwrap() == objects - 2));
}
