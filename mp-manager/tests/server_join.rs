//! Waiting for the end of a server without asking for it: who started it, who was given it, who connected to it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use mp::connection::Address;
use mp::{Event, ManagerError, Process, ServerProcess};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, ends_in_time, takes_at_least};
use mp_testing::system::{is_asleep, signal};
use rustix::process::Signal;

mp::enable_test_support!();

const KEY: &[u8] = b"the key of those who wait";

#[derive(Debug)]
struct Inside;

#[mp::managed]
impl Inside {
    pub fn new() -> Self {
        Inside
    }

    /// What the server says of waiting for itself, with a limit and without.
    pub fn waits(&self, server: ServerProcess) -> Vec<String> {
        let errors = [server.join().unwrap_err(), server.join_timeout(Duration::MAX).unwrap_err()];
        errors.iter().map(|error| format!("{error:?}")).collect()
    }

    pub fn log(&self, text: &str) {
        log::info!("{text}");
    }
}

/// Waits for the end of a server and sees that all agree on it.
fn wait_for(server: &ServerProcess, sleeps: &Event) -> mp::Result<()> {
    mp::ensure!(!server.join_timeout(Duration::ZERO)? && server.is_alive());
    sleeps.set();
    server.join()?;
    mp::ensure!(!server.is_alive());
    server.join()?;
    mp::ensure!(server.join_timeout(Duration::ZERO)? && server.exitcode().is_none());
    Ok(())
}

fn given(server: ServerProcess, sleeps: Event) -> mp::Result<()> {
    wait_for(&server, &sleeps)
}

fn connected(address: Address, sleeps: Event) -> mp::Result<()> {
    wait_for(&ServerProcess::connect(address, KEY)?, &sleeps)
}

#[test]
fn the_one_who_started_it_waits_for_the_process_and_asks_it_for_nothing() {
    let server = ServerProcess::start().unwrap();
    assert!(!takes_at_least(SHORT, || server.join_timeout(SHORT)).unwrap());
    assert!(server.is_alive() && server.exitcode().is_none());
    assert_eq!(server.number_of_objects().unwrap(), 0);
    let other = server.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.join().unwrap();
            assert_eq!((server.exitcode(), server.is_alive()), (Some(0), false));
        });
        // Others may call it meanwhile.
        assert!(!other.join_timeout(SHORT).unwrap());
        assert_eq!(other.number_of_objects().unwrap(), 0);
        other.shutdown().unwrap();
    });
    at_once(|| server.join().unwrap());
    assert!(at_once(|| server.join_timeout(LONG)).unwrap());
    at_once(|| server.shutdown().unwrap());
}

#[test]
fn a_server_that_is_killed_or_shut_down_has_ended_for_whoever_waits_and_wherever() {
    let addresses: [Option<(&str, u16)>; 2] = [None, Some(("127.0.0.1", 0))];
    for (address, kills) in addresses.into_iter().zip([true, false]).chain([(addresses[1], true)]) {
        let builder = ServerProcess::builder().authkey(KEY);
        let builder = match address {
            Some(address) => builder.address(address),
            None => builder,
        };
        let server = builder.start().unwrap();
        let events = [Event::new().unwrap(), Event::new().unwrap()];
        let crew = [
            Process::start(given, (server.clone(), events[0].clone())).unwrap(),
            Process::start(connected, (server.address(), events[1].clone())).unwrap(),
        ];
        for (process, sleeps) in crew.iter().zip(&events) {
            assert!(sleeps.wait_timeout(LONG).unwrap(), "{:?}", process.exception_timeout(LONG));
            assert!(comes_true(|| is_asleep(process.pid(), process.pid())));
        }
        let copy = server.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                copy.join().unwrap();
                assert!(!copy.is_alive());
            });
            if kills {
                signal(server.pid(), Signal::KILL);
            } else {
                copy.shutdown().unwrap();
            }
            server.join().unwrap();
            assert!(!server.is_alive());
        });
        assert_eq!(server.exitcode(), Some(if kills { -9 } else { 0 }));
        for process in crew {
            process.into_result().unwrap();
        }
    }
}

#[test]
fn a_stopped_server_has_not_ended_and_is_heard_of_when_it_is_killed() {
    let server = ServerProcess::start().unwrap();
    let copy = server.clone();
    signal(server.pid(), Signal::STOP);
    assert!(!server.join_timeout(SHORT).unwrap() && !copy.join_timeout(SHORT).unwrap());
    signal(server.pid(), Signal::KILL);
    copy.join().unwrap();
    server.join().unwrap();
    assert_eq!(server.exitcode(), Some(-9));
}

#[test]
fn a_process_that_was_the_server_may_outlive_it() {
    fn serve(address: String, goes_on: Event) -> mp::Result<()> {
        ServerProcess::builder().address(&*address).authkey(KEY).serve_forever()?;
        goes_on.wait()?;
        Ok(())
    }

    let address = format!("\0mp-test-of-joins-{}", std::process::id());
    let goes_on = Event::new().unwrap();
    let process = Process::start(serve, (address.clone(), goes_on.clone())).unwrap();
    let mut server = None;
    assert!(comes_true(|| {
        server = ServerProcess::connect(&*address, KEY).ok();
        server.is_some() || process.done()
    }));
    let server = server.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| server.join().unwrap());
        assert!(!server.join_timeout(SHORT).unwrap());
        server.shutdown().unwrap();
    });
    assert!(!server.is_alive() && process.is_alive());
    goes_on.set();
    process.into_result().unwrap();
}

#[test]
fn a_server_does_not_wait_for_itself() {
    let server = ServerProcess::builder().name("patient").start().unwrap();
    let inside = server.create(Inside::args()).unwrap();
    let said = at_once(|| inside.waits(server.clone()).unwrap());
    assert_eq!(said, [r#"Value("server 'patient' cannot wait for its own end")"#; 2]);
    assert!(server.is_alive());
}

#[test]
fn a_logger_that_handles_records_of_a_server_cannot_wait_for_its_end() {
    static SERVER: OnceLock<ServerProcess> = OnceLock::new();
    static SAID: Mutex<Option<Result<(), ManagerError>>> = Mutex::new(None);

    struct Waits;

    impl log::Log for Waits {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            if record.args().to_string() == "wait" {
                *SAID.lock().unwrap() = Some(SERVER.get().unwrap().join());
            }
        }

        fn flush(&self) {}
    }

    let scenario = || {
        log::set_logger(&Waits).map(|()| log::set_max_level(log::LevelFilter::Info))?;
        let server = SERVER.get_or_init(|| ServerProcess::start().unwrap());
        server.create(Inside::args())?.log("wait")?;
        mp::ensure!(comes_true(|| SAID.lock().unwrap().is_some()));
        let said = SAID.lock().unwrap().take();
        mp::ensure!(matches!(said, Some(Err(ManagerError::Value(_)))), "{said:?}");
        server.shutdown()?;
        Ok(())
    };
    let p = Process::builder(scenario, ()).forward_logs(false).start().unwrap();
    ends_in_time(&p);
    p.into_result().unwrap();
}
