//! What this thread waits for, shown to whoever looks into the session from outside.
//!
//! Each thread that has ever slept has a [`Notice`] of its own, stored to before a sleep and after it. Nobody acts on it.

use std::cell::{Cell, OnceCell};

use mp_shared_memory::look::{Notice, Seen, Topic};
use rustix::process::getpid;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use crate::state::rlock::thread_number;
use crate::sys::fork;

/// What a notice of a wait has in its words.
mod word {
    /// Who waits, and for what: the bits below.
    pub(super) const STATE: usize = 0;
    /// Where the word is in the memory of the thread, or which process it is.
    pub(super) const WHICH: usize = 1;
    /// When the wait began, in nanoseconds of the monotonic clock.
    pub(super) const SINCE: usize = 2;
    pub(super) const COUNT: usize = 3;
}

/// The number by which an [`RLock`](crate::RLock) knows the thread is in the low half of its state; above it are these.
mod bit {
    /// It sleeps on a word of shared memory.
    pub(super) const WORD: u64 = 1 << 32;
    /// It waits for the end of a process.
    pub(super) const PROCESS: u64 = 1 << 33;
    /// It is the thread with which the process began.
    pub(super) const FIRST: u64 = 1 << 34;
    /// The wait has a deadline.
    pub(super) const LIMITED: u64 = 1 << 35;
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A word of shared memory, at this place in the memory of its process.
    Word(usize),
    /// The end of the process with this pid.
    Process(u32),
}

struct Wait {
    notice: OnceCell<Notice>,
    /// What of its state does not change.
    thread: Cell<u64>,
    /// When the wait began of which the next sleep is a part; zero if it has not.
    since: Cell<u64>,
    /// Whether that wait has a deadline.
    is_limited: Cell<bool>,
}

thread_local! {
    static WAIT: Wait = const {
        Wait {
            notice: OnceCell::new(),
            thread: Cell::new(0),
            since: Cell::new(0),
            is_limited: Cell::new(false),
        }
    };
}

/// The next sleep of this thread is the first of a wait, which may have a deadline.
pub(crate) fn begin(is_limited: bool) {
    let _is_shown_no_more = WAIT.try_with(|wait| {
        wait.since.set(0);
        wait.is_limited.set(is_limited);
    });
}

/// Shows that this thread waits, until this is dropped.
#[derive(Debug)]
#[must_use = "it is shown for as long as this lives"]
pub struct Shown {
    /// Not without memory for it, and not by a copy of the process.
    is_shown: bool,
}

impl Shown {
    /// A part of a wait: the thread sleeps on a word.
    pub(crate) fn word(address: usize) -> Shown {
        Shown::store(bit::WORD, address as u64)
    }

    /// A whole wait for the end of a process, which may have a deadline.
    pub fn process(pid: u32, is_limited: bool) -> Shown {
        begin(is_limited);
        Shown::store(bit::PROCESS, pid.into())
    }

    fn store(what: u64, which: u64) -> Shown {
        // A thread that ends shows nothing any more.
        let shown = WAIT.try_with(|wait| {
            let is_first = wait.since.get() == 0;
            if is_first {
                wait.since.set(now());
            }
            let Some(notice) = wait.notice(is_first) else { return false };
            if is_first {
                notice.set(word::SINCE, wait.since.get());
            }
            let limited = if wait.is_limited.get() { bit::LIMITED } else { 0 };
            notice.set(word::WHICH, which);
            notice.set(word::STATE, wait.thread.get() | what | limited);
            true
        });
        Shown { is_shown: shown.unwrap_or(false) }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if !self.is_shown {
            return;
        }
        let _shown = WAIT.try_with(|wait| {
            if let Some(notice) = wait.notice.get() {
                notice.set(word::STATE, wait.thread.get());
            }
        });
    }
}

impl Wait {
    /// Made at the beginning of a wait; without memory for it, or a session in which somebody could look, that wait is not
    /// shown. Nor is any wait of a copy that was made by a foreign `fork`: it has the notice of its original, too, and must
    /// not store there.
    fn notice(&self, is_first: bool) -> Option<&Notice> {
        if fork::is_copy() {
            return None;
        }
        if self.notice.get().is_none()
            && is_first
            && mp_shared_memory::session::is_there()
            && fork::watch()
        {
            let notice = Notice::post(Topic::Wait, &thread_name(), word::COUNT).ok()?;
            let first = if is_first_thread() { bit::FIRST } else { 0 };
            self.thread.set(u64::from(thread_number()) | first);
            let _new = self.notice.set(notice);
        }
        self.notice.get()
    }
}

/// Whether this is the thread with which the process began.
fn is_first_thread() -> bool {
    gettid() == getpid()
}

/// What this thread is called. The first of a process is `main`, also if it never came to be that of Rust.
fn thread_name() -> String {
    if is_first_thread() {
        return "main".to_owned();
    }
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Nanoseconds of the monotonic clock, which all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// A thread that has slept, as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenThread {
    /// Its name, which may be empty.
    pub name: String,
    /// The number by which an [`RLock`](crate::RLock) knows it.
    pub number: u32,
    /// Whether it is the one with which its process began.
    pub is_first: bool,
    /// What it waits for.
    pub wait: Option<SeenWait>,
}

/// What a thread waits for, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenWait {
    /// What it is.
    pub what: What,
    /// Since when, in nanoseconds of the monotonic clock.
    pub since: u64,
    /// Whether the wait has a deadline.
    pub is_limited: bool,
}

/// Reads what a thread shows.
pub fn read(seen: &Seen) -> Option<SeenThread> {
    let &[state, which, since] = seen.words.as_slice() else { return None };
    let has = |bit: u64| state & bit != 0;
    let what = if has(bit::WORD) {
        Some(What::Word(usize::try_from(which).ok()?))
    } else if has(bit::PROCESS) {
        Some(What::Process(u32::try_from(which).ok()?))
    } else {
        None
    };
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    let number = state as u32;
    Some(SeenThread {
        name: seen.text.clone(),
        number,
        is_first: has(bit::FIRST),
        wait: what.map(|what| SeenWait { what, since, is_limited: has(bit::LIMITED) }),
    })
}
