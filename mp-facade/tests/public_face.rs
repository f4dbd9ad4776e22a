//! Every call of the public page, as a user writes it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mp::{
    Managed, ManagerError, ProcessError, ReturnWhen, Worker, managed, managed_array, managed_dict,
    managed_iterator, managed_list, managed_memoryblock, managed_namespace, managed_value,
};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("no such job {0}")]
struct NoSuchJob(u32);

fn worker(name: String, times: u32) -> mp::Result<String> {
    mp::ensure!(times < 100, "{times} times is too often");
    if times == 0 {
        return Err(mp::Error::typed(NoSuchJob(times)).context("cannot work"));
    }
    Ok(name.repeat(usize::try_from(times)?))
}

#[test]
fn errors() {
    fn fails() -> mp::Result<()> {
        let _n: u8 = "300".parse()?;
        mp::bail!("not reached")
    }
    let error: mp::Error = fails().unwrap_err();
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    assert_eq!(error.location().file(), file!());
    let remote = mp::RemoteException::new(error);
    assert!(mp::is_remote_exception(&remote));
    assert_eq!(mp::get_remote_traceback(&remote), Some(remote.traceback()));
    assert!(format!("{remote:#}").contains("Traceback") && !format!("{remote}").contains('['));
    let boxed: Box<dyn std::error::Error> = mp::Error::msg("text").into();
    assert_eq!(boxed.to_string(), "text");
}

#[test]
fn processes() {
    let p: mp::Process<String> = mp::Process::start(worker, ("ab".to_owned(), 3)).unwrap();
    assert_eq!(p.result().unwrap(), "ababab");

    let p = mp::Process::builder(worker, ("a".to_owned(), 0))
        .name("counter")
        .daemon(true)
        .authkey(b"secret")
        .env("K", "V")
        .current_dir("/")
        .cpu_affinity([0])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .log_level(log::LevelFilter::Warn)
        .start_timeout(Duration::from_secs(20))
        .start()
        .unwrap();
    assert_eq!((p.name(), p.is_daemon()), ("counter", true));
    let _fd: std::os::fd::BorrowedFd<'_> = p.sentinel();
    let seen = match p.result_timeout(Duration::from_secs(60)) {
        Err(ProcessError::Exception(remote)) => remote,
        Err(ProcessError::Exited { code, .. }) => panic!("{code}"),
        Err(ProcessError::Signaled { signal, core_dumped, .. }) => panic!("{signal} {core_dumped}"),
        Err(ProcessError::Timeout | ProcessError::NotInitialised) => panic!("too slow"),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen.message(), "cannot work");
    assert_eq!(seen.downcast::<NoSuchJob>(), Some(NoSuchJob(0)));
    assert_eq!((seen.process_name(), seen.pid(), seen.is_panic()), ("counter", p.pid(), false));
    assert!(p.exception_timeout(Duration::ZERO).unwrap().is_some());
    assert_eq!((p.done(), p.is_alive(), p.exitcode()), (true, false, Some(1)));
    p.interrupt();
    p.terminate();
    p.kill();
    assert!(p.join().is_err() && p.join_timeout(Duration::ZERO).is_err());
    assert!(p.into_result().is_err());
}

#[test]
fn workers() {
    let t = mp::Thread::start(move || -> mp::Result<u32> { Ok(5) });
    let (tell, told) = std::sync::mpsc::channel();
    let failed = mp::Thread::builder(|| -> mp::Result<u32> { mp::bail!("no") })
        .on_failure(move |error| tell.send(error.message().to_owned()).unwrap())
        .start();
    assert!(failed.join().is_err());
    assert_eq!(told.recv().unwrap(), "no");
    let p = mp::Process::start(|| Ok(6), ()).unwrap();
    let workers: Vec<Box<dyn Worker>> = vec![Box::new(t), Box::new(p)];
    let (done, not_done) = mp::wait(&workers, None, ReturnWhen::AllCompleted);
    assert_eq!((done.len(), not_done.len()), (2, 0));
    for worker in mp::as_completed(&workers, Some(Duration::from_secs(60))) {
        worker.unwrap().join().unwrap();
    }
    let modes = [mp::ALL_COMPLETED, mp::FIRST_COMPLETED, mp::FIRST_EXCEPTION];
    assert_eq!(modes[1], ReturnWhen::FirstCompleted);
}

#[test]
fn who_is_who() {
    assert!(mp::parent_process().is_none());
    assert!(mp::current_process().pid() > 0 && mp::cpu_count() > 0);
    let p = mp::MP_SPAWN_CTX.process(worker, ("x".to_owned(), 2)).start().unwrap();
    let listed = mp::active_children().iter().any(|child| child.pid() == p.pid());
    assert!(listed || p.done());
    p.join().unwrap();
    assert_eq!(mp::SpawnContext::new(), mp::MP_SPAWN_CTX);
}

#[test]
fn locks() {
    let lock = mp::Lock::new().unwrap();
    {
        let guard = lock.acquire().unwrap();
        let died: Option<&mp::DeadOwner> = guard.owner_died();
        assert!(died.is_none_or(|mp::DeadOwner { pid, name }| *pid > 0 && !name.is_empty()));
        assert!(lock.acquire_timeout(Duration::ZERO).unwrap().is_none());
        assert!(lock.try_acquire().unwrap().is_none());
        guard.leak();
    }
    lock.release().unwrap();

    let r = mp::RLock::new().unwrap();
    let _twice = (r.acquire().unwrap(), r.acquire().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(r.release(), Err(mp::SyncError::NotOwner { .. }))));
    });

    let s = mp::Semaphore::new(3).unwrap();
    s.acquire().unwrap().forget().unwrap();
    s.release().unwrap();
    s.release_many(2).unwrap();
    assert_eq!(s.get_value(), 5);
    let b = mp::BoundedSemaphore::new(3).unwrap();
    assert!(matches!(b.release(), Err(mp::SyncError::BoundExceeded { .. })));
}

#[test]
fn meetings() {
    let c = mp::Condition::new().unwrap();
    let lock = mp::Lock::new().unwrap();
    let _others =
        (mp::Condition::with_lock(&lock), mp::Condition::with_rlock(&mp::RLock::new().unwrap()));
    let mut g = c.acquire().unwrap();
    assert!(!g.wait_timeout(Duration::ZERO).unwrap());
    g.wait_for(|| true).unwrap();
    g.notify(1);
    g.notify_all();

    let e = mp::Event::new().unwrap();
    assert!(!e.is_set() && !e.wait_timeout(Duration::ZERO).unwrap());
    e.set();
    e.wait().unwrap();
    e.clear();

    let barrier = mp::Barrier::builder(1).action(|| Ok(())).timeout(LONG).build().unwrap();
    let number: Result<usize, mp::BarrierError> = barrier.wait();
    assert_eq!((number.unwrap(), barrier.parties(), barrier.n_waiting()), (0, 1, 0));
    barrier.abort().unwrap();
    assert!(barrier.broken());
    barrier.reset().unwrap();
    assert_eq!(mp::Barrier::new(3).unwrap().parties(), 3);
}

#[test]
fn connections() {
    use mp::connection::{Client, Listener};

    let (a, b): (mp::Connection, mp::Connection) = mp::Pipe::duplex().unwrap();
    a.send(&(1, "x")).unwrap();
    assert!(b.poll(Some(LONG)).unwrap());
    let x: (i32, String) = b.recv().unwrap();
    a.send_bytes(x.1.as_bytes()).unwrap();
    assert_eq!(b.recv_bytes().unwrap(), b"x");
    a.send_bytes(&[0; 9]).unwrap();
    assert_eq!(b.recv_bytes_limited(9).unwrap(), [0; 9]);
    assert!(a.is_readable() && a.is_writable());
    a.close();
    assert!(matches!(b.recv::<u8>(), Err(mp::ConnectionError::EndOfFile)));

    let authkey: &[u8] = b"secret";
    let l = mp::connection::Listener::bind(("localhost", 0), Some(authkey)).unwrap();
    let p = mp::Process::start(
        |address: mp::connection::Address| {
            let c = Client::connect(address, Some(b"secret"))?;
            Ok(c.send("hello")?)
        },
        (l.address().clone(),),
    );
    let p = p.unwrap();
    let c = l.accept().unwrap();
    assert_eq!(c.recv::<String>().unwrap(), "hello");
    let (receiver, sender) = mp::MP_SPAWN_CTX.pipe(false).unwrap();
    let ready = mp::connection::wait(&[&receiver, &c, &p], Some(LONG)).unwrap();
    assert!(!ready.is_empty() && !ready.contains(&0));
    p.join().unwrap();
    assert_eq!(mp::connection::wait(&[&receiver, &c, &p, &l], None).unwrap(), [1, 2]);
    sender.send(&c).unwrap();
    assert!(receiver.recv::<mp::Connection>().unwrap().is_readable());

    let path = std::env::temp_dir().join(format!("mp-public-face-{}", std::process::id()));
    for listener in
        [Listener::new(None), Listener::bind(&path, None), Listener::bind("\0mp-face", None)]
    {
        let listener = listener.unwrap();
        let _client = Client::connect(listener.address(), None).unwrap();
        assert!(listener.accept_timeout(LONG).unwrap().is_some());
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn values_and_memory() {
    let v = mp::Value::new(0_i64).unwrap();
    v.set(v.get().unwrap() + 1).unwrap();
    v.update(|x| *x += 1).unwrap();
    *v.lock().unwrap() += 1;
    let _lock: &mp::AnyLock = v.get_lock();
    assert_eq!(v.get().unwrap(), 3);

    let a = mp::Array::new(&[1.0_f64, 2.0]).unwrap();
    a.lock().unwrap()[0] = 3.0;
    a.set(1, a.get(0).unwrap()).unwrap();
    assert_eq!((a.len(), mp::Array::<u8>::zeroed(7).unwrap().len()), (2, 7));

    let rv = mp::RawValue::new(0_u32).unwrap();
    rv.set(rv.get() + 1);
    let ra = mp::RawArray::<u8>::zeroed(1 << 20).unwrap();
    ra.set(5, 1).unwrap();
    assert_eq!((ra.get(5).unwrap(), ra.len()), (1, 1 << 20));

    let l = mp::ShareableList::new([1.into(), "two".into(), mp::ShareableItem::None]).unwrap();
    l.set(0, 2_i64).unwrap();
    assert_eq!((l.len(), l.index(&2.into()).unwrap(), l.count(&"two".into()).unwrap()), (3, 0, 1));

    let m = mp::SharedMemory::create(1 << 20).unwrap();
    m.write_at(0, b"bytes").unwrap();
    let mut bytes = [0; 5];
    m.read_at(0, &mut bytes).unwrap();
    assert_eq!((&bytes, m.size(), m.name()), (b"bytes", 1 << 20, None));

    let ctx = mp::SpawnContext::new();
    let made = (ctx.lock(), ctx.rlock(), ctx.condition(), ctx.event(), ctx.semaphore(1));
    assert!(made.0.is_ok() && made.1.is_ok() && made.2.is_ok() && made.3.is_ok() && made.4.is_ok());
    assert!(ctx.bounded_semaphore(1).is_ok() && ctx.barrier(2).is_ok() && ctx.value(1_u8).is_ok());
    assert!(
        ctx.array(&[1_u8]).is_ok() && ctx.raw_value(1_u8).is_ok() && ctx.raw_array(&[1_u8]).is_ok()
    );
}

#[test]
fn queues() {
    let q = mp::Queue::<String>::new().unwrap();
    let bounded = mp::Queue::<u8>::bounded(1).unwrap();
    let limited = mp::Queue::<u8>::builder().maxsize(5).max_bytes(1 << 16).build().unwrap();
    let items = ["a", "b", "c"].map(str::to_owned);
    q.put(&items[0]).unwrap();
    q.put_timeout(&items[1], LONG).unwrap();
    q.put_nowait(&items[2]).unwrap();
    assert_eq!((q.qsize(), q.is_empty(), q.is_full(), limited.maxsize()), (3, false, false, 5));
    assert_eq!(q.get().unwrap(), "a");
    assert_eq!(q.get_timeout(LONG).unwrap(), "b");
    assert_eq!(q.get_nowait().unwrap(), "c");
    assert!(matches!(q.get_nowait(), Err(mp::QueueError::Empty)));
    bounded.put(&1).unwrap();
    assert!(matches!(bounded.put_nowait(&2), Err(mp::QueueError::Full)));
    q.put_many(&items).unwrap();
    assert_eq!(q.get_many(10).unwrap(), items);
    q.put_bytes(b"bytes").unwrap();
    let mut bytes = Vec::new();
    q.get_bytes(&mut bytes).unwrap();
    assert_eq!(bytes, b"bytes");
    q.put_bytes(b"\xc1").unwrap();
    assert!(matches!(q.get(), Err(mp::QueueError::Decode(_))));
    assert!(matches!(limited.put_bytes(&[0; 1 << 17]), Err(mp::QueueError::TooLarge { .. })));
    q.close();
    assert!(matches!(q.put(&items[0]), Err(mp::QueueError::Closed)));

    let j = mp::JoinableQueue::<u8>::new().unwrap();
    j.put(&1).unwrap();
    assert!(!j.join_timeout(Duration::ZERO).unwrap());
    j.task_done().unwrap();
    j.join().unwrap();
    assert!(matches!(j.task_done(), Err(mp::QueueError::TooManyTaskDone)));

    let s = mp::SimpleQueue::<Option<()>>::new().unwrap();
    s.put(&None).unwrap();
    assert!(!s.is_empty() && s.get().unwrap().is_none());
    s.close();

    let ctx = mp::SpawnContext::new();
    let made = (ctx.queue::<u8>(3), ctx.joinable_queue::<u8>(0), ctx.simple_queue::<u8>());
    assert!(made.0.is_ok_and(|q| q.maxsize() == 3) && made.1.is_ok() && made.2.is_ok());
}

#[derive(Debug)]
struct Adder(u64);

impl mp::ProcessRunnee for Adder {
    type Init = u64;
    type Args = u64;
    type Out = u64;

    fn new(start: u64) -> mp::Result<Adder> {
        Ok(Adder(start))
    }

    fn call(&mut self, n: u64) -> mp::Result<u64> {
        self.0 += n;
        Ok(self.0)
    }
}

#[test]
fn pools() {
    fn power(base: u64, exponent: u32) -> mp::Result<u64> {
        Ok(base.pow(exponent))
    }
    fn load(_words: Vec<String>, _n: i32) -> mp::Result<()> {
        Ok(())
    }
    const D: Duration = Duration::from_secs(60);
    let pool: mp::Pool = mp::Pool::new(4).unwrap();
    drop(pool);
    let pool = mp::Pool::builder()
        .processes(2)
        .initializer(load, (vec!["a".to_owned()], 1))
        .max_tasks_per_child(50)
        .name("powers")
        .start()
        .unwrap();
    assert_eq!(pool.apply(power, (2, 10)).unwrap(), 1024);
    let later: mp::AsyncResult<u64> = pool.apply_async(power, (2, 3)).unwrap();
    let (sender, outcomes) = std::sync::mpsc::channel();
    later.on_done(move |outcome| sender.send(outcome.is_ok()).unwrap());
    assert_eq!(*later.get_timeout(D).unwrap(), 8);
    assert!(outcomes.recv().unwrap() && later.ready() && !later.cancel());
    assert_eq!(later.successful(), Some(true));
    later.wait();
    assert!(later.wait_timeout(D));
    assert_eq!(later.into_result().unwrap(), 8);

    assert_eq!(pool.map(|n: i32| Ok(n + 1), vec![1, 2, 3]).unwrap(), [2, 3, 4]);
    let squares = pool.map_async(|n| Ok(n * n), 1..4_u8).unwrap();
    assert_eq!(squares.get().unwrap(), &[1, 4, 9]);
    assert_eq!(pool.starmap(power, [(2, 2), (3, 2)]).unwrap(), [4, 9]);
    assert_eq!(pool.starmap_async(power, [(5, 1)]).unwrap().into_result().unwrap(), [5]);
    let in_order: Result<Vec<u32>, mp::PoolError> =
        pool.imap(|n| Ok(n * 2), 0..5).unwrap().collect();
    assert_eq!(in_order.unwrap(), [0, 2, 4, 6, 8]);
    let sum: u32 = pool.imap_unordered(|n| Ok(n * 2), 0..5).unwrap().map(Result::unwrap).sum();
    assert_eq!(sum, 20);
    let options = mp::TaskOptions::new().chunksize(64).timeout(D).retries(2);
    assert_eq!(pool.with_options(options).map(|n: u8| Ok(n), 0..5).unwrap().len(), 5);

    let tasks =
        [pool.apply_async(power, (1, 1)).unwrap(), pool.apply_async(power, (2, 2)).unwrap()];
    assert_eq!(mp::wait(&tasks, Some(D), ReturnWhen::AllCompleted).0.len(), 2);
    assert_eq!(mp::as_completed(&tasks, Some(D)).count(), 2);

    match pool.apply(|| -> mp::Result<()> { mp::bail!("no") }, ()) {
        Err(mp::PoolError::Exception(remote)) => assert_eq!(remote.message(), "no"),
        other => panic!("{other:?}"),
    }
    match pool.apply(|| -> mp::Result<()> { std::process::exit(3) }, ()) {
        Err(mp::PoolError::WorkerDied { pid, exitcode, started }) => {
            assert!(pid > 0 && exitcode == Some(3) && started);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(pool.join(), Err(mp::PoolError::StillOpen)));
    pool.close();
    assert!(matches!(pool.apply(power, (1, 1)), Err(mp::PoolError::Closed)));
    pool.join().unwrap();
    pool.terminate();

    let runner = mp::ProcessRunner::start::<Adder>(40).unwrap();
    runner.restart(1).unwrap();
    assert_eq!(runner.rejoin().unwrap(), 41);
    assert_eq!(runner.call(1).unwrap(), 42);
    runner.join().unwrap();
}

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

    pub fn reset(&mut self) {
        self.0 = AtomicI64::new(self.halved(0));
    }

    pub fn fail(&self) -> mp::Result<()> {
        mp::bail!("no more numbers")
    }

    pub fn child(&self) -> Managed<Counter> {
        managed(Counter(AtomicI64::new(self.halved(self.0.load(Ordering::Relaxed)))))
    }

    fn halved(&self, n: i64) -> i64 {
        n / 2
    }
}

#[test]
fn servers() {
    let server = mp::ServerProcess::start().unwrap();
    let args: mp::Args<Counter> = Counter::args(5);
    let c: CounterProxy = server.create(args).unwrap();
    let sum: i64 = c.add(3).unwrap();
    assert_eq!(sum, 8);
    match c.fail() {
        Err(ManagerError::Exception(remote)) => {
            let remote: mp::RemoteException = remote;
            assert!(remote.traceback().contains("Counter::fail") && remote.pid() == server.pid());
        }
        other => panic!("{other:?}"),
    }
    let child: Managed<Counter> = c.child().unwrap();
    assert_eq!(child.add(0).unwrap(), 4);
    c.reset().unwrap();

    fn anywhere<T: Clone + Serialize + serde::de::DeserializeOwned + Send + Sync>(_: &T) {}
    anywhere(&c);
    let p = mp::Process::start(|c: CounterProxy| Ok(c.add(1)?), (c.clone(),)).unwrap();
    assert_eq!(p.into_result().unwrap(), 1);

    // The handle itself goes to a child, which makes objects there and ends nothing.
    let handles = mp::Queue::<mp::ServerProcess>::new().unwrap();
    handles.put(&server).unwrap();
    let make = |server: mp::ServerProcess| Ok(server.create(Counter::args(7))?);
    let p = mp::Process::start(make, (handles.get().unwrap(),)).unwrap();
    assert_eq!(p.into_result().unwrap().add(0).unwrap(), 7);
    let info: Vec<mp::ObjectInfo> = server.debug_info().unwrap();
    assert_eq!(
        info.iter().map(|info| &*info.preview).collect::<Vec<_>>(),
        ["Counter(1)", "Counter(4)"]
    );
    drop(server);
    assert!(matches!(c.add(1), Err(ManagerError::Disconnected { .. })));
}

#[test]
fn servers_with_an_address() {
    let address = format!("\0mp-public-face-of-servers-{}", std::process::id());
    let server = mp::ServerProcess::builder()
        .name("numbers")
        .cpu_affinity([0])
        .authkey(b"secret")
        .address(&*address)
        .initializer(|_: u8| Ok(()), (1,))
        .start_timeout(LONG)
        .shutdown_timeout(LONG)
        .start()
        .unwrap();
    assert_eq!((&*server.name(), server.is_alive(), server.exitcode()), ("numbers", true, None));
    let addr: mp::connection::Address = server.address();
    let authkey: &[u8] = b"secret";
    let s2 = mp::ServerProcess::connect(addr, authkey).unwrap();
    assert_eq!(s2.create(Counter::args(1)).unwrap().add(1).unwrap(), 2);
    let guessed = mp::ServerProcess::connect(&*address, b"guessed");
    assert!(matches!(guessed, Err(ManagerError::Authentication { .. })));
    assert!(!s2.join_timeout(Duration::ZERO).unwrap());
    s2.shutdown().unwrap();
    s2.join().unwrap();
    assert!(server.join_timeout(LONG).unwrap());
    server.shutdown().unwrap();
    assert_eq!(server.exitcode(), Some(0));
    // The other variants that are named; what else there is, is not for everybody.
    let is_named = |error: &ManagerError| match error {
        ManagerError::Disconnected { server, pid } => !server.is_empty() && *pid > 0,
        ManagerError::UnknownType { server, name } => server == name,
        ManagerError::UnknownObject { object, .. } => *object == 0,
        ManagerError::Timeout { limit, .. } => limit.is_zero(),
        _ => false,
    };
    assert!(is_named(&s2.debug_info().unwrap_err()));
}

#[test]
fn blocks_of_memory() {
    let server = mp::ServerProcess::start().unwrap();
    let m: mp::MemoryBlockProxy = server.memory_block(1000).unwrap();
    m.write_at(3, b"abc").unwrap();
    let mut bytes = [0; 3];
    m.read_at(3, &mut bytes).unwrap();
    assert_eq!((&bytes, m.size(), m.name().is_empty()), (b"abc", 1000, false));
    #[expect(unsafe_code, reason = "whoever has the bytes themselves sees that nobody else has")]
    // SAFETY: no other process has the block, and no other thread of this one.
    let buf: &mut [u8] = unsafe { m.buf() };
    assert_eq!(buf.len(), 1000);
    buf[3] = b'x';
    m.read_at(3, &mut bytes).unwrap();
    assert_eq!(&bytes, b"xbc");
}

#[test]
fn managers() {
    let manager: mp::SyncManager = mp::Manager::start().unwrap();

    let l: mp::ListProxy<String> = manager.list::<String>().unwrap();
    l.push("b".to_owned()).unwrap();
    l.extend(["c", "d"].map(str::to_owned)).unwrap();
    l.insert(0, "a".to_owned()).unwrap();
    l.set(-1, "a".to_owned()).unwrap();
    assert_eq!(l.get(1).unwrap(), "b");
    assert_eq!((l.index("a").unwrap(), l.count("a").unwrap(), l.len().unwrap()), (0, 2, 4));
    assert!(l.contains("c").unwrap() && !l.contains("d").unwrap());
    l.remove("a").unwrap();
    assert_eq!(l.pop().unwrap(), "a");
    l.reverse().unwrap();
    assert_eq!(l.to_vec().unwrap(), ["c", "b"]);
    l.sort().unwrap();
    let items: Vec<String> = l.iter().map(Result::unwrap).collect();
    assert_eq!(items, ["b", "c"]);

    let d: mp::DictProxy<String, u32> = manager.dict::<String, u32>().unwrap();
    assert_eq!(d.insert("a".to_owned(), 1).unwrap(), None);
    d.update([("b".to_owned(), 2), ("c".to_owned(), 3)]).unwrap();
    assert_eq!(d.setdefault("a".to_owned(), 9).unwrap(), 1);
    assert_eq!((d.get("a").unwrap(), d.get("z").unwrap()), (Some(1), None));
    assert!(d.contains_key("b").unwrap() && d.len().unwrap() == 3);
    assert_eq!(
        (d.keys().unwrap(), d.values().unwrap()),
        (["a", "b", "c"].map(str::to_owned).to_vec(), vec![1, 2, 3])
    );
    assert_eq!(d.items().unwrap()[0], ("a".to_owned(), 1));
    assert_eq!(d.pop("b").unwrap(), 2);
    assert!(matches!(d.pop("b"), Err(ManagerError::Missing { .. })));
    assert_eq!(d.popitem().unwrap(), ("c".to_owned(), 3));
    assert_eq!(d.to_map().unwrap(), HashMap::from([("a".to_owned(), 1)]));
    assert_eq!(d.remove("a").unwrap(), Some(1));
    d.clear().unwrap();

    let v: mp::ValueProxy<f64> = manager.value(1.5).unwrap();
    v.set(v.get().unwrap() + 1.0).unwrap();
    assert_eq!(v.get().unwrap(), 2.5);
    let a: mp::ArrayProxy<u8> = manager.array(&[1, 2, 3]).unwrap();
    a.set(0, 7).unwrap();
    assert_eq!((a.get(0).unwrap(), a.len().unwrap()), (7, 3));
    let n: mp::NamespaceProxy = manager.namespace().unwrap();
    n.set("k", &v).unwrap();
    n.set("words", &["x"]).unwrap();
    assert_eq!(n.get::<mp::ValueProxy<f64>>("k").unwrap().get().unwrap(), 2.5);
    assert_eq!(n.get::<Vec<String>>("words").unwrap(), ["x"]);
    n.delete("k").unwrap();
    assert!(matches!(n.get::<u8>("k"), Err(ManagerError::Missing { .. })));
    let i: mp::IteratorProxy<u8> = manager.iterator([1, 2, 3]).unwrap();
    assert_eq!(i.map(Result::unwrap).sum::<u8>(), 6);

    // Proxies are items of others.
    let lists = manager.list::<mp::ListProxy<String>>().unwrap();
    lists.push(l).unwrap();
    assert_eq!(lists.get(0).unwrap().len().unwrap(), 2);
    let s2: mp::Manager = mp::ServerProcess::builder().name("other").start().unwrap().into();
    assert_eq!((&*s2.name(), s2.list_from([1]).unwrap().len().unwrap()), ("other", 1));
}

#[test]
fn managed_sync_objects() {
    let manager = mp::Manager::start().unwrap();
    let lock: mp::LockProxy = manager.lock().unwrap();
    {
        let guard: mp::ManagedLockGuard<'_> = lock.acquire().unwrap();
        assert!(guard.owner_died().is_none() && lock.try_acquire().unwrap().is_none());
        assert!(lock.acquire_timeout(Duration::ZERO).unwrap().is_none());
        guard.leak().unwrap();
    }
    lock.release().unwrap();
    let rlock: mp::RLockProxy = manager.rlock().unwrap();
    let _twice = (rlock.acquire().unwrap(), rlock.acquire().unwrap());
    let s: mp::SemaphoreProxy = manager.semaphore(3).unwrap();
    s.acquire().unwrap().forget().unwrap();
    s.release_many(2).unwrap();
    assert_eq!(s.get_value().unwrap(), 4);
    let b: mp::BoundedSemaphoreProxy = manager.bounded_semaphore(3).unwrap();
    assert!(matches!(b.release(), Err(ManagerError::Sync(mp::SyncError::BoundExceeded { .. }))));

    let c: mp::ConditionProxy = manager.condition().unwrap();
    let mut g = c.acquire().unwrap();
    assert!(!g.wait_timeout(Duration::ZERO).unwrap());
    g.wait_for(|| true).unwrap();
    g.notify(1).unwrap();
    g.notify_all().unwrap();
    let e: mp::EventProxy = manager.event().unwrap();
    assert!(!e.is_set().unwrap() && !e.wait_timeout(Duration::ZERO).unwrap());
    e.set().unwrap();
    e.wait().unwrap();
    e.clear().unwrap();
    let barrier: mp::BarrierProxy = manager.barrier(1).unwrap();
    assert_eq!((barrier.wait().unwrap(), barrier.parties().unwrap()), (0, 1));
    barrier.abort().unwrap();
    assert!(barrier.broken().unwrap() && barrier.n_waiting().unwrap() == 0);
    barrier.reset().unwrap();
}

#[test]
fn managed_queues_and_pools() {
    let manager = mp::Manager::start().unwrap();
    let q: mp::QueueProxy<String> = manager.queue::<String>(3).unwrap();
    for item in ["a", "b", "c"].map(str::to_owned) {
        q.put(&item).unwrap();
    }
    assert!(q.is_full().unwrap() && q.qsize().unwrap() == 3 && q.maxsize().unwrap() == 3);
    let full = q.put_nowait(&String::new());
    assert!(matches!(full, Err(ManagerError::Queue(mp::QueueError::Full))));
    assert_eq!(q.get().unwrap(), "a");
    assert_eq!(q.get_timeout(LONG).unwrap(), "b");
    assert_eq!(q.get_nowait().unwrap(), "c");
    q.put_timeout(&"d".to_owned(), LONG).unwrap();
    assert!(!q.is_empty().unwrap());
    let j: mp::JoinableQueueProxy<u8> = manager.joinable_queue(0).unwrap();
    j.put(&1).unwrap();
    assert!(!j.join_timeout(Duration::ZERO).unwrap());
    j.task_done().unwrap();
    j.join().unwrap();

    let pool: mp::PoolProxy = manager.pool(2).unwrap();
    let power = |base: u64, exponent: u32| Ok(base.pow(exponent));
    assert_eq!(pool.apply(power, (2, 10)).unwrap(), 1024);
    let later: mp::PoolResult<u64> = pool.apply_async(power, (2, 3)).unwrap();
    assert_eq!(later.into_result().unwrap(), 8);
    assert_eq!(pool.map(|n: i32| Ok(n + 1), vec![1, 2]).unwrap(), [2, 3]);
    assert_eq!(pool.starmap(power, [(2, 2), (3, 2)]).unwrap(), [4, 9]);
    assert_eq!(pool.imap(|n: u8| Ok(n), [1, 2]).unwrap().map(Result::unwrap).sum::<u8>(), 3);
    pool.close().unwrap();
    pool.join().unwrap();
}

/// One of each, in a structure with plain data.
#[derive(Serialize, Deserialize)]
struct Outfit {
    title: String,
    counters: Vec<Managed<Counter>>,
    by_name: BTreeMap<String, mp::ListProxy<u8>>,
    rest: (mp::DictProxy<String, u8>, mp::ValueProxy<u8>, mp::ArrayProxy<u8>, mp::NamespaceProxy),
    squares: mp::IteratorProxy<u32>,
    block: Option<mp::MemoryBlockProxy>,
}

struct Outfitter;

#[mp::managed]
impl Outfitter {
    pub fn new() -> Self {
        Outfitter
    }

    pub fn outfit(&self) -> mp::Result<Outfit> {
        let namespace = managed_namespace();
        namespace.set("k", &1)?;
        Ok(Outfit {
            title: "all".to_owned(),
            counters: vec![managed(Counter(1.into())), managed(Counter(2.into()))],
            by_name: BTreeMap::from([("a".to_owned(), managed_list([1, 2]))]),
            rest: (
                managed_dict(HashMap::from([("a".to_owned(), 1)])),
                managed_value(3),
                managed_array([4, 5]),
                namespace,
            ),
            squares: managed_iterator((0..4).map(|n| n * n)),
            block: Some(managed_memoryblock(mp::MemoryBlock::new(6)?)),
        })
    }
}

#[test]
fn managed_parts_of_a_structure() {
    let server = mp::ServerProcess::start().unwrap();
    let outfit = server.create(Outfitter::args()).unwrap().outfit().unwrap();
    assert_eq!((&*outfit.title, outfit.counters[1].add(0).unwrap()), ("all", 2));
    assert_eq!(outfit.by_name["a"].to_vec().unwrap(), [1, 2]);
    let (dict, value, array, namespace) = outfit.rest;
    assert_eq!((dict.get("a").unwrap(), value.get().unwrap()), (Some(1), 3));
    assert_eq!((array.get(-1).unwrap(), namespace.get::<u8>("k").unwrap()), (5, 1));
    let squares: Result<Vec<u32>, ManagerError> = outfit.squares.collect();
    assert_eq!((squares.unwrap(), outfit.block.unwrap().size()), (vec![0, 1, 4, 9], 6));
}
