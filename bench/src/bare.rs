//! What the system itself offers to two processes: words to sleep on, memory, and a robust mutex.
//!
//! # Safety
//!
//! All of it lies in a shared memory that is zero at first, longer than what lies there, aligned
//! to a page, and mapped while the handle lives. The kernel and the C library are its only other users.
#![expect(unsafe_code, reason = "the system's own calls are what is measured")]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use serde::{Deserialize, Serialize};

const LEN: usize = 4096;
/// The words lie in cache lines of their own.
const WORD_LEN: usize = 64;

/// The word with a number, in the first page of a shared memory.
fn word(memory: &mp::SharedMemory, index: usize) -> &AtomicU32 {
    let bytes = &memory.bytes()[..LEN][index * WORD_LEN..][..size_of::<AtomicU32>()];
    // SAFETY: four bytes of a page from a multiple of 64 on, which live as long as the handle.
    unsafe { AtomicU32::from_ptr(bytes.as_ptr().cast_mut().cast()) }
}

fn wake(word: &AtomicU32) {
    // SAFETY: the kernel looks the address up and neither reads nor writes it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// Sleeps while the word is `seen`; may return early.
fn sleep(word: &AtomicU32, seen: u32) {
    let forever = ptr::null::<libc::timespec>();
    // SAFETY: the word outlives the call, which only reads it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, forever) };
}

/// Two words; each is 1 while a signal is under way.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Signals(mp::SharedMemory);

impl Signals {
    pub(crate) fn new() -> mp::Result<Signals> {
        Ok(Signals(mp::SharedMemory::create(LEN)?))
    }

    pub(crate) fn send(&self, index: usize) {
        let word = word(&self.0, index);
        word.store(1, Release);
        wake(word);
    }

    pub(crate) fn receive(&self, index: usize) {
        let word = word(&self.0, index);
        while word.load(Acquire) == 0 {
            sleep(word, 0);
        }
        word.store(0, Release);
    }
}

/// The bit of a word that says that somebody sleeps; the others are its number.
const SLEEPS: u32 = 1;
/// How often who waits for a number looks at it before it sleeps: some tens of microseconds.
const SPINS: u32 = 2000;

fn set(word: &AtomicU32, number: u32) {
    if word.swap(number << 1, AcqRel) & SLEEPS != 0 {
        wake(word);
    }
}

fn wait_for(word: &AtomicU32, number: u32) {
    for _ in 0..SPINS {
        if word.load(Acquire) >> 1 == number {
            return;
        }
        std::hint::spin_loop();
    }
    loop {
        let seen = word.load(Acquire);
        if seen >> 1 == number {
            return;
        }
        let marked = seen | SLEEPS;
        if seen == marked || word.compare_exchange(seen, marked, Relaxed, Relaxed).is_ok() {
            sleep(word, marked);
        }
    }
}

/// Words with numbers of 31 bits. Who waits for a number spins before it sleeps.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Numbers(mp::SharedMemory);

impl Numbers {
    pub(crate) fn new() -> mp::Result<Numbers> {
        Ok(Numbers(mp::SharedMemory::create(LEN)?))
    }

    pub(crate) fn set(&self, index: usize, number: u32) {
        set(word(&self.0, index), number);
    }

    pub(crate) fn wait_for(&self, index: usize, number: u32) {
        wait_for(word(&self.0, index), number);
    }
}

/// A ring of slots between one who copies in and one who copies out, each slot with a word that
/// says whether it is full.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ring {
    memory: mp::SharedMemory,
    slot_len: usize,
}

const SLOTS: usize = 4;
const EMPTY: u32 = 0;
const FULL: u32 = 1;

impl Ring {
    pub(crate) fn new(slot_len: usize) -> mp::Result<Ring> {
        Ok(Ring { memory: mp::SharedMemory::create(LEN + SLOTS * slot_len)?, slot_len })
    }

    fn slot(&self, round: usize) -> (&AtomicU32, *mut u8) {
        let slot = round % SLOTS;
        let bytes = &self.memory.bytes()[LEN + slot * self.slot_len..][..self.slot_len];
        (word(&self.memory, slot), bytes.as_ptr().cast_mut().cast())
    }

    /// Copies as many bytes as fit into the slot of a round, when it is empty.
    pub(crate) fn put(&self, round: usize, bytes: &[u8]) {
        let (word, slot) = self.slot(round);
        wait_for(word, EMPTY);
        // SAFETY: the slot is that long, and an empty one is only used by the one who fills it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), slot, bytes.len().min(self.slot_len)) };
        set(word, FULL);
    }

    /// Copies as many bytes as fit out of the slot of a round, when it is full.
    pub(crate) fn get(&self, round: usize, bytes: &mut [u8]) {
        let (word, slot) = self.slot(round);
        wait_for(word, FULL);
        let len = bytes.len().min(self.slot_len);
        // SAFETY: the slot is that long, and a full one is only used by the one who empties it.
        unsafe { ptr::copy_nonoverlapping(slot, bytes.as_mut_ptr(), len) };
        set(word, EMPTY);
    }
}

/// Binds this thread to a core.
pub(crate) fn bind_thread(core: usize) -> mp::Result<()> {
    // SAFETY: the set is plain bits, of which a core that it has none for sets none, and is only read.
    let outcome = unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    mp::ensure!(outcome == 0, "core {core}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// The time that this process has had a processor.
pub(crate) fn cpu_time() -> mp::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time and nothing else.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    mp::ensure!(outcome == 0, "no processor time: {}", std::io::Error::last_os_error());
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
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
