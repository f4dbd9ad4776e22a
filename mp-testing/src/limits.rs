//! How long the tests wait for what, and what must not take long.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, and says why"
)]

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::system::ends_within;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);
/// The time of a wait that is to end without what it waits for.
pub const SHORT: Duration = Duration::from_millis(100);

/// Asks until the answer is yes; nothing announces what it is asked for.
pub fn comes_true(mut question: impl FnMut() -> bool) -> bool {
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
pub fn takes_at_least<T>(least: Duration, wait: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = wait();
    assert!(begun.elapsed() >= least, "{:?} instead of {least:?}", begun.elapsed());
    result
}

/// Runs `call`, which must not wait for anybody; what it gave.
pub fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    result
}

/// Runs a scenario in a process of its own, where nothing else opens or maps anything, or has children.
pub fn alone(scenario: impl mp::Target<(), Output = ()>) {
    alone_for(LONG, scenario, ());
}

/// The same with arguments, and a limit of its own.
pub fn alone_for<A: Serialize + DeserializeOwned>(
    limit: Duration,
    scenario: impl mp::Target<A, Output = ()>,
    arguments: A,
) {
    let p = mp::Process::start(scenario, arguments).unwrap();
    ends_in(limit, &p);
    p.into_result().unwrap();
}

/// Sees that a process ends, and does not hang; if it does, it is killed.
pub fn ends_in_time<T>(process: &mp::Process<T>) {
    ends_in(LONG, process);
}

fn ends_in<T>(limit: Duration, process: &mp::Process<T>) {
    if !ends_within(process.pid(), limit).unwrap() {
        process.kill();
        panic!("{} hangs", process.name());
    }
}
