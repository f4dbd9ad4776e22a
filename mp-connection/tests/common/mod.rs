//! What the suites share: times, waiting for what nothing announces, and roles that hold still.
#![allow(dead_code, reason = "no suite needs all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mp::connection::{Address, Client, Listener};
use mp::{Connection, Pipe};
use mp_testing::system::is_asleep;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The time of a wait that is to end without what it waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// Asks until the answer is yes; nothing announces what it is asked for.
pub(crate) fn comes_true(mut question: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + LONG;
    while !question() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Runs `wait` and sees that it takes at least `least`; what it gave.
pub(crate) fn takes_at_least<T>(least: Duration, wait: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = wait();
    assert!(begun.elapsed() >= least, "{:?} instead of {least:?}", begun.elapsed());
    result
}

/// Runs `call`, which must not wait for anybody; what it gave.
pub(crate) fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    result
}

/// The number of this thread, for [`sleeps`].
pub(crate) fn this_thread() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().try_into().unwrap()
}

/// Waits until a thread of a process sleeps; it is about to.
pub(crate) fn sleeps(pid: u32, thread: u32) {
    assert!(comes_true(|| is_asleep(pid, thread)), "it does not come to sleep");
}

/// Runs a scenario in a process of its own, where nothing else opens or maps anything.
pub(crate) fn alone(scenario: impl mp::Target<(), Output = ()>) {
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

/// Listeners of each family, at addresses of their own.
pub(crate) fn listeners(authkey: Option<&[u8]>) -> Vec<Listener> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("\0mp-test-{}-{number}", std::process::id());
    vec![
        Listener::new(authkey).unwrap(),
        Listener::bind(("127.0.0.1", 0), authkey).unwrap(),
        Listener::bind(name, authkey).unwrap(),
    ]
}

/// The two ends of a connection of each kind.
pub(crate) fn connections() -> Vec<(Connection, Connection)> {
    let mut pairs = vec![Pipe::duplex().unwrap()];
    for listener in listeners(None) {
        let client = Client::connect(listener.address(), None).unwrap();
        pairs.push((listener.accept().unwrap(), client));
    }
    pairs
}

/// Sends back whatever it gets, until there is no more.
pub(crate) fn echo(end: Connection) -> mp::Result<()> {
    loop {
        match end.recv_bytes() {
            Ok(message) => end.send_bytes(&message)?,
            Err(mp::ConnectionError::EndOfFile) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects, says hello, and waits for the answer.
pub(crate) fn hello(address: Address, key: Option<Vec<u8>>) -> mp::Result<String> {
    let server = Client::connect(&address, key.as_deref())?;
    server.send("hello")?;
    Ok(server.recv()?)
}
