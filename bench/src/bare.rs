//! What the system itself offers to two processes: words to sleep on, and a robust mutex.
//!
//! # Safety
//!
//! All of it lies at the start of a shared memory that is zero at first, longer than what lies there, aligned
//! to a page, and mapped while the handle lives. The kernel and the C library are its only other users.
#![expect(unsafe_code, reason = "the system's own calls are what is measured")]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};

use serde::{Deserialize, Serialize};

const LEN: usize = 4096;
/// The words lie in cache lines of their own.
const WORD_LEN: usize = 64;

/// Two words; each is 1 while a signal is under way.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Signals(mp::SharedMemory);

impl Signals {
    pub(crate) fn new() -> mp::Result<Signals> {
        Ok(Signals(mp::SharedMemory::create(LEN)?))
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        let bytes = &self.0.bytes()[index * WORD_LEN..][..size_of::<AtomicU32>()];
        // SAFETY: four bytes of a page from a multiple of 64 on, which live as long as the handle.
        unsafe { AtomicU32::from_ptr(bytes.as_ptr().cast_mut().cast()) }
    }

    pub(crate) fn send(&self, index: usize) {
        let word = self.word(index);
        word.store(1, Release);
        // SAFETY: the kernel looks the address up and neither reads nor writes it.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    }

    pub(crate) fn receive(&self, index: usize) {
        let (word, forever) = (self.word(index), ptr::null::<libc::timespec>());
        while word.load(Acquire) == 0 {
            // SAFETY: the word outlives the call, which only reads it.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, 0, forever) };
        }
        word.store(0, Release);
    }
}

/// A `pthread_mutex_t` that processes share and that survives the death of its owner.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RobustMutex(mp::SharedMemory);

impl RobustMutex {
    pub(crate) fn new() -> mp::Result<RobustMutex> {
        let mutex = RobustMutex(mp::SharedMemory::create(LEN)?);
        let mut attributes = std::mem::MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are set up by the first call, and the mutex, which nobody else has yet, by
        // the last.
        let failures = unsafe {
            [
                libc::pthread_mutexattr_init(attributes),
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST),
                libc::pthread_mutex_init(mutex.as_ptr(), attributes),
            ]
        };
        mp::ensure!(failures == [0; 4], "no robust mutex: {failures:?}");
        Ok(mutex)
    }

    fn as_ptr(&self) -> *mut libc::pthread_mutex_t {
        self.0.bytes().as_ptr().cast_mut().cast()
    }

    /// Runs `inside` while it is held.
    pub(crate) fn hold(&self, inside: impl FnOnce()) -> mp::Result<()> {
        // SAFETY: `new` has set it up.
        let locked = unsafe { libc::pthread_mutex_lock(self.as_ptr()) };
        mp::ensure!(locked == 0, "the robust mutex gave {locked}");
        inside();
        // SAFETY: as above, and this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.as_ptr()) };
        Ok(())
    }
}
