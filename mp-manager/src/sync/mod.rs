//! Locks, semaphores, conditions, events and barriers that live in a server.
//!
//! [`core`] lets threads of the server wait, and [`mutual`] is what both kinds of locks and conditions are made of; the
//! others have a file each, with the object as the server has it and the proxy.

pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod core;
pub(crate) mod event;
pub(crate) mod lock;
pub(crate) mod mutual;
pub(crate) mod rlock;
pub(crate) mod semaphore;

use crate::error::ManagerError;
use crate::proxy::Proxy;
use crate::sync::core::Limit;
use crate::sync::mutual::Got;

/// Takes a lock, or that of a condition, sleeping until it is free.
fn acquire(proxy: &Proxy) -> Result<Got, ManagerError> {
    loop {
        if let Some(got) = acquire_limited(proxy, Limit::FOR_EVER)? {
            return Ok(got);
        }
    }
}

/// Takes a lock, or that of a condition; `None` if it was not free in time.
fn acquire_limited(proxy: &Proxy, limit: Limit) -> Result<Option<Got>, ManagerError> {
    proxy.call("acquire", &(limit,))
}

/// Gives back what a guard stands for, when that is dropped.
fn give_back(proxy: &Proxy, method: &str) {
    // Who is gone has nothing that could be given back, and a server that is gone needs nothing.
    if let Err(error) = proxy.call::<(), _>(method, &()) {
        log::debug!("a guard of {proxy:?} cannot give it back: {error}");
    }
}
