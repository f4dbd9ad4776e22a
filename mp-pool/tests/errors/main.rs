//! Whatever goes wrong with one task is told of that task, with its kind and place, and of no other.
#![allow(clippy::unwrap_used, reason = "tests")]

mod crossing;
mod deaths;
mod messages;
mod raised;
mod whole_pool;

use mp::{Event, Pool, PoolError, RemoteException, TaskOptions};
use mp_testing::limits::comes_true;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn chunks_of(items: usize) -> TaskOptions {
    TaskOptions::new().chunksize(items)
}

/// Sees that a pool of so many workers works and has all of them.
fn is_sound(pool: &Pool) {
    assert_eq!(pool.map(square, 0..100).unwrap(), (0..100).map(|n| n * n).collect::<Vec<_>>());
    assert!(comes_true(|| pool.worker_pids().len() == pool.processes()));
}

fn exception(error: PoolError) -> RemoteException {
    match error {
        PoolError::Exception(remote) => remote,
        other => panic!("{other:?}"),
    }
}

fn died<T: std::fmt::Debug>(outcome: Result<T, PoolError>) -> Option<i32> {
    match outcome {
        Err(PoolError::WorkerDied { pid, exitcode, started: true }) if pid > 0 => exitcode,
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("key {key} is not in {table}")]
struct KeyError {
    key: u64,
    table: String,
}

fn fails(key: u64) -> mp::Result<u64> {
    Err(mp::Error::typed(KeyError { key, table: "the table".to_owned() }))
}
const FAILS_AT: u32 = line!() - 2;

fn waits(begun: Event) -> mp::Result<u64> {
    begun.set();
    loop {
        std::thread::park();
    }
}
