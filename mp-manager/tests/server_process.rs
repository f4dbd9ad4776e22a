//! The life of a server: start, connections of other programs, end.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use mp::{Event, Manager, ManagerError, ProcessError, ServerProcess};
use mp_testing::limits::{LONG, alone, at_once, comes_true};
use mp_testing::system::{ends_within, is_asleep, signal};
use rustix::process::Signal;

mp::enable_test_support!();

#[derive(Debug, Default)]
struct Diary(Mutex<Vec<String>>);

static WRITTEN_BEFORE: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[mp::managed]
impl Diary {
    pub fn new() -> Self {
        Diary(Mutex::new(WRITTEN_BEFORE.lock().unwrap().clone()))
    }

    pub fn write(&self, line: &str) -> usize {
        let mut lines = self.0.lock().unwrap();
        lines.push(line.to_owned());
        lines.len()
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn park(&self) {
        loop {
            std::thread::park();
        }
    }
}

fn prepare(line: String) -> mp::Result<()> {
    WRITTEN_BEFORE.lock().unwrap().push(line);
    Ok(())
}

#[test]
fn m_01_m_02_a_server_is_started_used_and_shut_down_twice() {
    let server = ServerProcess::start().unwrap();
    assert_eq!(server.create(Diary::args()).unwrap().write("one").unwrap(), 1);
    assert!(server.is_alive());
    assert_eq!(server.exitcode(), None);
    server.shutdown().unwrap();
    assert_eq!((server.exitcode(), server.is_alive()), (Some(0), false));
    server.shutdown().unwrap();
    let error = at_once(|| server.create(Diary::args()).unwrap_err());
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    let error = at_once(|| server.debug_info().unwrap_err());
    assert!(error.to_string().contains(&server.name()), "{error}");
}

#[test]
fn m_03_an_initializer_runs_once_before_anything_is_served() {
    let line = "before".to_owned();
    let server = ServerProcess::builder().initializer(prepare, (line,)).start().unwrap();
    for _ in 0..2 {
        assert_eq!(server.create(Diary::args()).unwrap().lines().unwrap(), ["before"]);
    }
    let fails = |_: u8| mp::bail!("not ready");
    let error = ServerProcess::builder().initializer(fails, (1,)).start().unwrap_err();
    let ManagerError::Start(ProcessError::Exception(error)) = error else { panic!("{error:?}") };
    assert_eq!(error.message(), "not ready");
    let panics = |_: u8| -> mp::Result<()> { panic!("not at all") };
    let error = ServerProcess::builder().initializer(panics, (1,)).start().unwrap_err();
    assert!(matches!(error, ManagerError::Start(ProcessError::Exception(_))), "{error:?}");
    let ends = |_: u8| std::process::exit(3);
    let error = ServerProcess::builder().initializer(ends, (1,)).start().unwrap_err();
    assert!(
        matches!(error, ManagerError::Start(ProcessError::Exited { code: 3, .. })),
        "{error:?}"
    );
    let hangs = |_: u8| loop {
        std::thread::park();
    };
    let limit = Duration::from_millis(300);
    let builder = ServerProcess::builder().initializer(hangs, (1,)).start_timeout(limit);
    let error = builder.start().unwrap_err();
    assert!(matches!(error, ManagerError::Timeout { .. }), "{error:?}");
}

#[test]
fn m_04_sh_16_a_server_leaves_an_interrupt_alone() {
    let server = ServerProcess::start().unwrap();
    let diary = server.create(Diary::args()).unwrap();
    for _ in 0..3 {
        signal(server.pid(), Signal::INT);
    }
    assert_eq!(diary.write("still here").unwrap(), 1);
    server.shutdown().unwrap();
    assert_eq!(server.exitcode(), Some(0));
}

#[test]
fn m_05_m_08_programs_with_the_key_connect_and_others_do_not() {
    for address in ["\0mp-test-of-servers".to_owned(), file("m_05.sock")] {
        let server =
            ServerProcess::builder().address(&*address).authkey(b"secret").start().unwrap();
        let diary = server.create(Diary::args()).unwrap();
        for key in [b"guessed".as_slice(), b"secre", b"secret "] {
            let error = at_once(|| ServerProcess::connect(&*address, key).unwrap_err());
            assert!(matches!(error, ManagerError::Authentication { .. }), "{error:?}");
        }
        let error = ServerProcess::connect(&*address, b"").unwrap_err();
        assert!(!matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
        // A process with the key alone.
        fn connect(address: String) -> mp::Result<usize> {
            let same = ServerProcess::connect(&*address, b"secret")?;
            let diary = same.create(Diary::args())?;
            diary.write("by another")?;
            Ok(same.number_of_objects()?)
        }
        let process = mp::Process::start(connect, (address.clone(),)).unwrap();
        assert_eq!(process.into_result().unwrap(), 2);
        assert_eq!(diary.write("by its maker").unwrap(), 1);
        assert_eq!(server.number_of_objects().unwrap(), 1);
        // This process is one client, whichever way it came.
        let same = ServerProcess::connect(&*address, b"secret").unwrap();
        assert_eq!((same.pid(), same.name()), (server.pid(), server.name()));
        same.shutdown().unwrap();
        at_once(|| server.shutdown().unwrap());
        assert_eq!(server.exitcode(), Some(0));
        let error = ServerProcess::connect(&*address, b"secret").unwrap_err();
        assert!(matches!(error, ManagerError::Connection(_)), "{error:?}");
    }
}

fn file(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("{}-{name}", std::process::id()));
    path.to_str().unwrap().to_owned()
}

#[test]
fn m_07_a_server_can_be_started_at_the_address_that_was_just_freed() {
    let start = |address| ServerProcess::builder().address(address).start();
    let first = start(("127.0.0.1", 0)).unwrap();
    let mp::connection::Address::Tcp { port, .. } = first.address() else { panic!() };
    let again = start(("127.0.0.1", port)).unwrap_err();
    let ManagerError::Start(ProcessError::Exception(error)) = &again else { panic!("{again:?}") };
    assert!(format!("{error:#}").contains(&port.to_string()), "{error:#}");
    let diary = first.create(Diary::args()).unwrap();
    diary.write("one").unwrap();
    first.shutdown().unwrap();
    let second = start(("127.0.0.1", port)).unwrap();
    assert_eq!(second.address(), first.address());
}

#[test]
fn m_11_shutdown_ends_a_server_whose_methods_do_not_return() {
    let server = ServerProcess::start().unwrap();
    let diary = server.create(Diary::args()).unwrap();
    let parked = std::thread::spawn(move || diary.park().unwrap_err());
    at_once(|| server.shutdown().unwrap());
    assert!(matches!(parked.join().unwrap(), ManagerError::Disconnected { .. }));
    assert_eq!(server.exitcode(), Some(0));
    // One that does not even hear.
    let limit = Duration::from_millis(100);
    let server = ServerProcess::builder().shutdown_timeout(limit).start().unwrap();
    let diary = server.create(Diary::args()).unwrap();
    signal(server.pid(), Signal::STOP);
    let begin = Instant::now();
    server.shutdown().unwrap();
    assert!(begin.elapsed() >= 2 * limit);
    assert_eq!(server.exitcode(), Some(-9));
    assert!(matches!(diary.lines().unwrap_err(), ManagerError::Disconnected { .. }));
}

#[test]
fn m_12_m_13_the_server_is_a_child_as_any_other_and_ends_with_its_maker() {
    fn make(tell: mp::Queue<u32>, ends: u8) -> mp::Result<()> {
        let server = ServerProcess::start()?;
        let children: Vec<_> = mp::active_children().iter().map(|child| child.pid()).collect();
        mp::ensure!(children == [server.pid()], "{children:?}");
        tell.put(&server.pid())?;
        match ends {
            0 => drop(server),
            // The end of the process finds it.
            1 => std::mem::forget(server),
            2 => mp::bail!("it fails"),
            _ => loop {
                std::thread::park();
            },
        }
        Ok(())
    }

    for ends in 0..4 {
        let tell = mp::Queue::new().unwrap();
        let process = mp::Process::builder(make, (tell.clone(), ends)).on_failure(|_| ()).start();
        let process = process.unwrap();
        let pid = tell.get().unwrap();
        if ends == 3 {
            process.kill();
        }
        let _ended = process.join();
        assert!(ends_within(pid, LONG).unwrap(), "{ends}");
    }
}

#[test]
fn mp_08_a_handle_that_was_passed_to_a_child_makes_objects_there_and_ends_nothing() {
    fn use_it(server: ServerProcess, child_of: u32) -> mp::Result<DiaryProxy> {
        mp::ensure!(server.pid() == child_of);
        mp::ensure!(server.exitcode().is_none());
        let diary = server.create(Diary::args())?;
        diary.write("from the child")?;
        Ok(diary)
    }

    let server = ServerProcess::builder().authkey(b"another one").start().unwrap();
    let copy = server.clone();
    let pid = server.pid();
    let process = mp::Process::start(use_it, (copy, pid)).unwrap();
    let diary = process.into_result().unwrap();
    assert_eq!(diary.write("from the parent").unwrap(), 2);
    // A manager as well.
    let manager = Manager::from(server);
    let copy = manager.clone();
    drop(copy);
    assert_eq!(manager.number_of_objects().unwrap(), 1);
}

#[test]
fn a_killed_server_disconnects_everybody_within_a_second() {
    fn call(diary: DiaryProxy, calls: Event) -> mp::Result<(bool, Duration)> {
        diary.write("one")?;
        calls.set();
        let ended = diary.park().unwrap_err();
        let at = Instant::now();
        let again = diary.write("two").unwrap_err();
        mp::ensure!(matches!(again, ManagerError::Disconnected { .. }), "{again:?}");
        Ok((matches!(ended, ManagerError::Disconnected { .. }), at.elapsed()))
    }

    for _ in 0..mp_testing::storm::kills(10) {
        let server = ServerProcess::start().unwrap();
        let diary = server.create(Diary::args()).unwrap();
        let crew: Vec<_> = (0..3)
            .map(|_| {
                let calls = Event::new().unwrap();
                let args = (diary.clone(), calls.clone());
                let process = mp::Process::start(call, args).unwrap();
                calls.wait().unwrap();
                process
            })
            .collect();
        let own = std::thread::spawn({
            let diary = diary.clone();
            move || diary.park().unwrap_err()
        });
        assert!(crew.iter().all(|process| comes_true(|| is_asleep(process.pid(), process.pid()))));
        signal(server.pid(), Signal::KILL);
        let begin = Instant::now();
        assert!(matches!(own.join().unwrap(), ManagerError::Disconnected { .. }));
        for process in crew {
            let (is_right, time) = process.into_result().unwrap();
            assert!(is_right && time < Duration::from_secs(1), "{time:?}");
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        at_once(|| server.shutdown().unwrap());
        assert_eq!(server.exitcode(), Some(-9));
    }
}

#[test]
fn an_idle_server_uses_no_processor() {
    let server = ServerProcess::start().unwrap();
    let diaries: Vec<_> = (0..10).map(|_| server.create(Diary::args()).unwrap()).collect();
    std::thread::scope(|scope| {
        for diary in &diaries {
            scope.spawn(|| diary.write("line").unwrap());
        }
    });
    diaries[0].write("line").unwrap();
    // Long enough for the threads of the server to have gone to sleep.
    std::thread::sleep(Duration::from_millis(500));
    let before = ticks(server.pid());
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks(server.pid()) - before;
    assert!(used <= 1, "{used} hundredths of a second in three seconds");
}

/// Processor time of a process in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn serve_forever_makes_this_process_the_server_until_it_is_shut_down() {
    fn serve(address: String) -> mp::Result<()> {
        let builder = ServerProcess::builder().name("for ever").address(&*address).authkey(b"key");
        builder.initializer(prepare, ("before".to_owned(),)).serve_forever()?;
        let again = ServerProcess::builder().serve_forever().unwrap_err();
        mp::ensure!(matches!(again, ManagerError::AlreadyServing), "{again:?}");
        Ok(())
    }

    for address in [file("forever.sock"), "\0mp-test-for-ever".to_owned()] {
        let process = mp::Process::start(serve, (address.clone(),)).unwrap();
        let mut server = None;
        assert!(comes_true(|| {
            server = ServerProcess::connect(&*address, b"key").ok();
            server.is_some() || process.done()
        }));
        let server = server.unwrap();
        assert_eq!((&*server.name(), server.pid()), ("for ever", process.pid()));
        let diary = server.create(Diary::args()).unwrap();
        assert_eq!(diary.lines().unwrap(), ["before"]);
        server.shutdown().unwrap();
        process.join().unwrap();
        assert!(!std::path::Path::new(&address).exists());
    }
}

#[test]
fn a_thousand_servers_leave_nothing_behind() {
    fn live() -> mp::Result<()> {
        let server = ServerProcess::start()?;
        let diary = server.create(Diary::args())?;
        diary.write("line")?;
        let block = server.memory_block(100_000)?;
        block.write_at(5, b"x")?;
        std::thread::scope(|scope| scope.spawn(|| diary.write("line").map(drop)).join())
            .unwrap()?;
        Ok(())
    }

    alone(|| {
        use mp_testing::system::{at_rest, settle_at};
        for _ in 0..3 {
            live()?;
        }
        let before = at_rest();
        for _ in 0..mp_testing::storm::kills(30) {
            live()?;
        }
        let after = settle_at(before, LONG / 3);
        mp::ensure!(after <= before, "{after:?}, {before:?} before");
        Ok(())
    });
}
