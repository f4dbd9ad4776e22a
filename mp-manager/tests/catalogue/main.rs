//! What the catalogue of Python's behaviours says of managers and no file beside this folder shows.
#![allow(clippy::unwrap_used, reason = "tests")]

mod built_in;
mod calls;
mod proxies;
mod servers;
mod trouble;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use mp::{Barrier, ServerProcess};

mp::enable_test_support!();

/// Runs what must not hang; what it gave.
fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs, or has panicked")
}

#[derive(Default)]
struct Counter {
    value: AtomicI64,
    is_held: Mutex<bool>,
    released: Condvar,
}

#[mp::managed]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start.into(), ..Counter::default() }
    }

    pub fn add(&self, n: i64) -> i64 {
        self.value.fetch_add(self.doubled(n) / 2, Ordering::SeqCst) + n
    }

    /// Returns after `release`.
    pub fn hold(&self) {
        let mut is_held = self.is_held.lock().unwrap();
        *is_held = true;
        while *is_held {
            is_held = self.released.wait(is_held).unwrap();
        }
    }

    pub fn is_held(&self) -> bool {
        *self.is_held.lock().unwrap()
    }

    pub fn release(&self) {
        *self.is_held.lock().unwrap() = false;
        self.released.notify_all();
    }

    /// Two workers that are in it, in this or another object of the server, are there at the same time.
    pub fn meet(&self, barrier: Barrier) -> mp::Result<usize> {
        Ok(barrier.wait()?)
    }

    pub fn fail(&self) -> mp::Result<()> {
        mp::bail!("no more numbers")
    }

    pub fn processors(&self) -> mp::Result<String> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Ok(line.unwrap_or_default().trim().to_owned())
    }

    fn doubled(&self, n: i64) -> i64 {
        2 * n
    }

    pub(crate) fn of_this_crate(&self) -> i64 {
        self.doubled(1)
    }

    #[managed(skip)]
    pub fn skipped(&self) -> i64 {
        self.of_this_crate()
    }

    pub fn without_an_object() -> i64 {
        1
    }
}

fn counter(server: &ServerProcess) -> CounterProxy {
    server.create(Counter::args(0)).unwrap()
}
