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
use crate::line::Line;

/// The lines of all threads to one server.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<HashMap<u64, Vec<Arc<OwnLine>>>>);

/// A line of one thread.
#[derive(Debug)]
pub(crate) struct OwnLine {
    pub(crate) line: Line,
    /// A call is on its way: what that encodes or decodes may call as well, over another line.
    is_busy: AtomicBool,
}

/// A line with no call on its way but the one that has this.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    lines: &'a Lines,
    thread: u64,
    own: Arc<OwnLine>,
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
    /// A line of this thread; `open` makes one if there is none.
    pub(crate) fn take<E>(
        self: &Arc<Lines>,
        open: impl FnOnce(u64) -> Result<Line, E>,
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
        let own = match free {
            Some(own) => own,
            None => {
                let own = Arc::new(OwnLine { line: open(thread)?, is_busy: AtomicBool::new(true) });
                self.0.lock().entry(thread).or_default().push(Arc::clone(&own));
                self.end_with_thread();
                own
            }
        };
        Ok(Taken { lines: self, thread, own, is_done: false })
    }

    fn end_with_thread(self: &Arc<Lines>) {
        // In the last destructors of a thread, the line ends with the process or the server.
        let _noted = END.try_with(|end| {
            let mut end = end.borrow_mut();
            end.0.retain(|lines| lines.strong_count() > 0);
            if !end.0.iter().any(|lines| std::ptr::eq(lines.as_ptr(), Arc::as_ptr(self))) {
                end.0.push(Arc::downgrade(self));
            }
        });
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

    /// The call has its reply: the line can be used again.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.is_done {
            self.own.is_busy.store(false, Ordering::Relaxed);
            return;
        }
        // Its reply may still come, and nobody would know to which call it belongs.
        let mut all = self.lines.0.lock();
        if let Some(own) = all.get_mut(&self.thread) {
            own.retain(|own| !Arc::ptr_eq(own, &self.own));
        }
        drop(all);
        self.own.end();
    }
}
