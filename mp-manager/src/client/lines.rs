//! The lines of this process to one server: each thread has its own, so that a thread of the server serves one of the
//! client and nobody waits for another's call.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use mp_reduction::Attachments;
use parking_lot::Mutex;

use crate::frame::Request;
use crate::host::ask;
use crate::id::ObjectId;
use crate::line::{Line, SharedLine};

/// The lines of all threads to one server.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<HashMap<u64, Vec<Arc<OwnLine>>>>);

/// A line of one thread.
#[derive(Debug)]
pub(crate) struct OwnLine {
    pub(crate) line: Line,
    /// A call is on its way: what that encodes or decodes may call as well, over another line.
    is_busy: AtomicBool,
    /// The server has said something over it.
    is_answered: AtomicBool,
    /// The server has not taken it.
    is_refused: AtomicBool,
}

/// A line with no call on its way but the one that has this.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    lines: &'a Lines,
    thread: u64,
    own: Arc<OwnLine>,
    is_kept: bool,
    is_done: bool,
}

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
    static END: RefCell<ThreadEnd> = const { RefCell::new(ThreadEnd(Vec::new())) };
}

/// Has the lines of a thread end with it.
struct ThreadEnd(Vec<Weak<Lines>>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        for lines in self.0.drain(..).filter_map(|lines| lines.upgrade()) {
            let own = lines.0.lock().remove(&this_thread());
            for own in own.into_iter().flatten() {
                own.end();
            }
        }
    }
}

/// The number of this thread, never used twice in this process.
pub(crate) fn this_thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        thread.get()
    })
}

impl OwnLine {
    fn new(line: Line) -> OwnLine {
        let (is_answered, is_refused) = (AtomicBool::new(false), AtomicBool::new(false));
        OwnLine { line, is_busy: AtomicBool::new(true), is_answered, is_refused }
    }

    /// Tells the server that there are no more calls.
    fn end(&self) {
        let (method, references) = (ask::CLOSE, Vec::new());
        let mut frame = Vec::new();
        Request { object: ObjectId::SERVER, method, descriptors: 0, references }.append(&mut frame);
        // If it cannot be told, it is gone or will be told by the end of this process.
        let _told = self.line.send(&frame, &Attachments::default());
    }
}

impl Lines {
    /// A line of this thread. If there is none, `make` makes one, and `give` gives the server its end, if there is one to be
    /// given: the line is known here by then, so that the server can refuse it.
    pub(crate) fn take<E>(
        self: &Arc<Lines>,
        make: impl FnOnce(u64) -> Result<(Line, Option<SharedLine>), E>,
        give: impl FnOnce(u64, SharedLine) -> Result<(), E>,
    ) -> Result<Taken<'_>, E> {
        let thread = this_thread();
        let free = {
            let all = self.0.lock();
            let own = all.get(&thread).and_then(|own| own.iter().find(|own| !own.is_busy()));
            own.map(|own| {
                own.is_busy.store(true, Ordering::Relaxed);
                Arc::clone(own)
            })
        };
        if let Some(own) = free {
            return Ok(Taken { lines: self, thread, own, is_kept: true, is_done: false });
        }
        let (line, end) = make(thread)?;
        let own = Arc::new(OwnLine::new(line));
        self.0.lock().entry(thread).or_default().push(Arc::clone(&own));
        // One that is opened in the last destructors of a thread is not kept for another call.
        let is_kept = self.end_with_thread();
        let taken = Taken { lines: self, thread, own, is_kept, is_done: false };
        if let Some(end) = end {
            give(thread, end)?;
        }
        Ok(taken)
    }

    /// Whether the lines of this thread will end with it.
    fn end_with_thread(self: &Arc<Lines>) -> bool {
        let noted = END.try_with(|end| {
            let mut end = end.borrow_mut();
            end.0.retain(|lines| lines.strong_count() > 0);
            if !end.0.iter().any(|lines| std::ptr::eq(lines.as_ptr(), Arc::as_ptr(self))) {
                end.0.push(Arc::downgrade(self));
            }
        });
        noted.is_ok()
    }

    /// The server has lost what came with something that it was told: a line that it has never answered may be that.
    pub(crate) fn refuse_unanswered(&self) {
        for own in self.0.lock().values().flatten() {
            if !own.is_answered.load(Ordering::Acquire) {
                own.is_refused.store(true, Ordering::Release);
                own.line.wake();
            }
        }
    }

    /// Has all who wait for a reply ask whether the server is gone.
    pub(crate) fn wake_all(&self) {
        for own in self.0.lock().values().flatten() {
            own.line.wake();
        }
    }
}

impl OwnLine {
    fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }
}

impl Taken<'_> {
    pub(crate) fn line(&self) -> &Line {
        &self.own.line
    }

    /// Whether the server has not taken the line.
    pub(crate) fn is_refused(&self) -> bool {
        self.own.is_refused.load(Ordering::Acquire)
    }

    /// The call has its reply: the line can be used again.
    pub(crate) fn done(mut self) {
        self.own.is_answered.store(true, Ordering::Release);
        self.is_done = true;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.is_done && self.is_kept {
            self.own.is_busy.store(false, Ordering::Relaxed);
            return;
        }
        // Its reply may still come, and nobody would know to which call it belongs.
        let mut all = self.lines.0.lock();
        if let Some(own) = all.get_mut(&self.thread) {
            own.retain(|own| !Arc::ptr_eq(own, &self.own));
            if own.is_empty() {
                all.remove(&self.thread);
            }
        }
        drop(all);
        self.own.end();
    }
}
