//! The lock and the condition variable in use: the real ones, or loom's.

use std::time::Instant;

#[cfg(mp_loom)]
use loom::sync as real;
#[cfg(not(mp_loom))]
use parking_lot as real;

pub(crate) use real::{Condvar, Mutex, MutexGuard};

/// Locks; poisoning does not exist here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(not(mp_loom))]
    return mutex.lock();
    #[cfg(mp_loom)]
    return mutex.lock().expect("no thread panics in a model");
}

/// Sleeps until woken or until `deadline`; may return early.
///
/// A model has no clock: there a deadline never comes.
pub(crate) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> MutexGuard<'a, T> {
    #[cfg(not(mp_loom))]
    {
        let mut guard = guard;
        match deadline {
            Some(deadline) => drop(condvar.wait_until(&mut guard, deadline)),
            None => condvar.wait(&mut guard),
        }
        guard
    }
    #[cfg(mp_loom)]
    {
        assert!(deadline.is_none(), "a model has no clock");
        condvar.wait(guard).expect("no thread panics in a model")
    }
}
