//! The atomics in use, and a word that can be slept on: the real ones, or loom's.

use std::io;
use std::time::Instant;

#[cfg(mp_loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(mp_loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64};

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// Woken, interrupted, or the word had another value: look again.
    Over,
    /// The deadline came.
    TimedOut,
}

/// A word that processes can sleep on.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(transparent))]
pub struct Futex {
    /// The word itself.
    pub word: AtomicU32,
    #[cfg(mp_loom)]
    sleepers: loom::sync::Mutex<()>,
    #[cfg(mp_loom)]
    wakes: loom::sync::Condvar,
}

#[cfg(not(mp_loom))]
impl Futex {
    /// Sleeps while the word holds `expected`, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// When the system lets nobody sleep.
    pub fn sleep(&self, expected: u32, deadline: Option<Instant>) -> io::Result<Sleep> {
        let _shown = crate::waiting::Shown::word(self.word.as_ptr().addr());
        crate::sys::futex::wait(&self.word, expected, deadline)
    }

    /// Wakes up to `count` sleepers; how many there were.
    pub fn wake(&self, count: u32) -> u32 {
        crate::sys::futex::wake(&self.word, count)
    }
}

#[cfg(mp_loom)]
impl Futex {
    /// A word for a model.
    pub fn new(value: u32) -> Futex {
        Futex { word: AtomicU32::new(value), ..Futex::default() }
    }

    /// A model has no clock: there a deadline never comes, so a wake-up that was lost is a dead-lock.
    ///
    /// # Errors
    ///
    /// Never.
    ///
    /// # Panics
    ///
    /// Never in a model.
    pub fn sleep(&self, expected: u32, _: Option<Instant>) -> io::Result<Sleep> {
        let guard = self.sleepers.lock().expect("no thread panics in a model");
        if self.word.load(std::sync::atomic::Ordering::SeqCst) == expected {
            drop(self.wakes.wait(guard));
        }
        Ok(Sleep::Over)
    }

    /// Wakes up to `count` sleepers: one, or all.
    ///
    /// # Panics
    ///
    /// Never in a model.
    pub fn wake(&self, count: u32) -> u32 {
        let _guard = self.sleepers.lock().expect("no thread panics in a model");
        match count {
            1 => self.wakes.notify_one(),
            _ => self.wakes.notify_all(),
        }
        count
    }
}

/// Tells the processor, or the model, that this thread waits for another.
pub fn pause() {
    #[cfg(mp_loom)]
    loom::thread::yield_now();
    #[cfg(not(mp_loom))]
    std::hint::spin_loop();
}
