//! What this thread waits for, shown to whoever looks into the session from outside.
//!
//! Each thread that has ever slept has a [`Notice`] of its own, stored to before a sleep and after it. Nobody acts on it.

use std::cell::{Cell, OnceCell};

use mp_shared_memory::look::{Notice, Seen, Topic};
use rustix::process::getpid;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use crate::state::rlock::thread_number;

/// What a notice of a wait has in its words.
mod word {
    /// One of [`What`](super::What).
    pub(super) const WHAT: usize = 0;
    /// Where the word is in the memory of the thread, or which process it is.
    pub(super) const WHICH: usize = 1;
    /// When the wait began, in nanoseconds of the monotonic clock.
    pub(super) const SINCE: usize = 2;
    /// The number by which an [`RLock`](crate::RLock) knows the thread.
    pub(super) const THREAD: usize = 3;
    pub(super) const COUNT: usize = 4;
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A word of shared memory, at this place in the memory of its process.
    Word(usize),
    /// The end of the process with this pid.
    Process(u32),
}

const NOTHING: u64 = 0;
const WORD: u64 = 1;
const PROCESS: u64 = 2;

struct Wait {
    notice: OnceCell<Option<Notice>>,
    /// When the wait began of which the next sleep is a part; zero if it has not.
    since: Cell<u64>,
}

thread_local! {
    static WAIT: Wait = const { Wait { notice: OnceCell::new(), since: Cell::new(0) } };
}

/// The next sleep of this thread is the first of a wait.
pub(crate) fn begin() {
    let _is_shown_no_more = WAIT.try_with(|wait| wait.since.set(0));
}

/// Shows that this thread waits, until this is dropped.
#[derive(Debug)]
#[must_use = "it is shown for as long as this lives"]
pub struct Shown(());

impl Shown {
    /// A part of a wait: the thread sleeps on a word.
    pub(crate) fn word(address: usize) -> Shown {
        Shown::store(WORD, address as u64)
    }

    /// A whole wait for the end of a process.
    pub fn process(pid: u32) -> Shown {
        begin();
        Shown::store(PROCESS, pid.into())
    }

    fn store(what: u64, which: u64) -> Shown {
        // A thread that ends shows nothing any more.
        let _shown = WAIT.try_with(|wait| {
            let Some(notice) = wait.notice() else { return };
            if wait.since.get() == 0 {
                wait.since.set(now());
                notice.set(word::SINCE, wait.since.get());
            }
            notice.set(word::WHICH, which);
            notice.set(word::WHAT, what);
        });
        Shown(())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _shown = WAIT.try_with(|wait| {
            if let Some(Some(notice)) = wait.notice.get() {
                notice.set(word::WHAT, NOTHING);
            }
        });
    }
}

impl Wait {
    /// Made at the first sleep; without memory for it, or a session in which somebody could look, nothing is shown.
    fn notice(&self) -> Option<&Notice> {
        if self.notice.get().is_none() && !mp_shared_memory::session::is_there() {
            return None;
        }
        let post = || {
            let notice = Notice::post(Topic::Wait, &thread_name(), word::COUNT).ok()?;
            notice.set(word::THREAD, thread_number().into());
            Some(notice)
        };
        self.notice.get_or_init(post).as_ref()
    }
}

/// What this thread is called. The first of a process is `main`, also if it never came to be that of Rust.
fn thread_name() -> String {
    if gettid() == getpid() {
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
    /// What it waits for, and since when, in nanoseconds of the monotonic clock.
    pub wait: Option<(What, u64)>,
}

/// Reads what a thread shows.
pub fn read(seen: &Seen) -> Option<SeenThread> {
    let &[what, which, since, thread] = seen.words.as_slice() else { return None };
    let what = match what {
        WORD => Some(What::Word(usize::try_from(which).ok()?)),
        PROCESS => Some(What::Process(u32::try_from(which).ok()?)),
        _ => None,
    };
    let (name, number) = (seen.text.clone(), u32::try_from(thread).ok()?);
    Some(SeenThread { name, number, wait: what.map(|what| (what, since)) })
}
