//! What the suites share: connections and listeners of each kind, and roles at their other ends.
#![allow(dead_code, reason = "no suite needs all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mp::connection::{Address, Client, Listener};
use mp::{Connection, Pipe};
use mp_testing::limits::comes_true;
use mp_testing::system::is_asleep;

/// The number of this thread, for [`sleeps`].
pub(crate) fn this_thread() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().try_into().unwrap()
}

/// What this thread has worked.
pub(crate) fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

/// Waits until a thread of a process sleeps; it is about to.
pub(crate) fn sleeps(pid: u32, thread: u32) {
    assert!(comes_true(|| is_asleep(pid, thread)), "it does not come to sleep");
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
