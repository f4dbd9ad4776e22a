//! Pools that live in a server.
#![allow(clippy::unwrap_used, reason = "tests")]

mod calls;
mod crossing;
mod ends;
mod errors;

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};

use mp::{Event, Manager, ManagerError, PoolError, PoolProxy, ServerProcess};
use mp_testing::limits::comes_true;

mp::enable_test_support!();

#[derive(Debug)]
struct Tally(AtomicI64);

#[mp::managed]
impl Tally {
    pub fn new(start: i64) -> Self {
        Tally(start.into())
    }
    pub fn add(&self, n: i64) -> i64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }
    /// Uses a pool of the server in the server.
    pub fn squares_in(&self, pool: PoolProxy, up_to: u64) -> mp::Result<Vec<u64>> {
        let mut squares = pool.map(|n: u64| Ok(n * n), 0..up_to)?;
        squares.push(pool.apply(|a: u64, b: u64| Ok(a * b), (up_to, up_to))?);
        let after = up_to + 1..up_to + 3;
        let more: Result<Vec<u64>, _> = pool.imap(|n: u64| Ok(n * n), after)?.collect();
        squares.extend(more?);
        Ok(squares)
    }
}

const SERVER: &str = "server of pools";

fn manager() -> Manager {
    ServerProcess::builder().name(SERVER).start().unwrap().into()
}

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn add(a: u64, b: u64) -> mp::Result<u64> {
    Ok(a + b)
}

fn park(begun: Event) -> mp::Result<u64> {
    begun.set();
    loop {
        std::thread::park();
    }
}

/// What a pool says.
fn refusal<T: Debug>(outcome: Result<T, ManagerError>) -> PoolError {
    match outcome {
        Err(ManagerError::Pool(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Sees that a pool has all of its workers and works.
fn is_as_new(pool: &PoolProxy) {
    let processes = pool.processes().unwrap();
    assert!(comes_true(|| pool.worker_pids().unwrap().len() == processes));
    let squares = pool.map(square, 0..50).unwrap();
    assert!(squares.into_iter().eq((0..50).map(|n| n * n)));
}

/// What lives in a server, but for how it looks.
fn objects(server: &ServerProcess) -> Vec<(u64, String, usize)> {
    let all = server.debug_info().unwrap().into_iter();
    all.map(|object| (object.id, object.type_name, object.references)).collect()
}
