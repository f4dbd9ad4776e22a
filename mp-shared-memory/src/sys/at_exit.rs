//! Code that runs when the process ends by itself.
//!
//! # Safety
//!
//! The handler given to the C library is a plain function that never unwinds.
#![expect(unsafe_code, reason = "the standard library has no hook for the end of a process")]

use std::panic::catch_unwind;
use std::sync::OnceLock;

static HANDLER: OnceLock<fn()> = OnceLock::new();

extern "C" fn run() {
    if let Some(handler) = HANDLER.get() {
        // A panic has been printed by its hook; the process goes on ending.
        let _ended = catch_unwind(handler);
    }
}

/// Runs `handler` when `main` returns or the process exits; the first call wins.
pub(crate) fn at_exit(handler: fn()) {
    if HANDLER.set(handler).is_ok() {
        // SAFETY: `run` is a function for the whole life of the program and does not unwind.
        let _full = unsafe { libc::atexit(run) };
    }
}
