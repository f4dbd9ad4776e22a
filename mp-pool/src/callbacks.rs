//! The thread on which a pool calls back: so a callback may take its time, and wait for other tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread::{JoinHandle, ThreadId};

use mp_context::__private::discard;
use parking_lot::Mutex;

type Callback = Box<dyn FnOnce() + Send>;

/// Calls one; what is dropped by that may panic.
fn run(callback: Callback) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(callback)) {
        log::error!("a pool calls back, and something in that panics");
        discard(panic);
    }
}

/// A thread that is started when it is first needed.
#[derive(Debug)]
pub(crate) struct Callbacks {
    name: String,
    thread: Mutex<Option<(Sender<Callback>, JoinHandle<()>)>>,
    id: OnceLock<ThreadId>,
}

impl Callbacks {
    pub(crate) fn new(pool: &str) -> Callbacks {
        let name = format!("{}-callbacks", pool.replace('\0', ""));
        Callbacks { name, thread: Mutex::new(None), id: OnceLock::new() }
    }

    /// Whether the caller is one.
    pub(crate) fn is_this_thread(&self) -> bool {
        self.id.get() == Some(&std::thread::current().id())
    }

    /// Has it called, after those before it; here and now, if there can be no thread.
    pub(crate) fn call(&self, callback: impl FnOnce() + Send + 'static) {
        let callback: Callback = Box::new(callback);
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let (sender, callbacks) = mpsc::channel::<Callback>();
            let serve = move || callbacks.into_iter().for_each(run);
            if let Ok(handle) = std::thread::Builder::new().name(self.name.clone()).spawn(serve) {
                let _first = self.id.set(handle.thread().id());
                *thread = Some((sender, handle));
            }
        }
        let unsent = match &*thread {
            Some((sender, _)) => match sender.send(callback) {
                Ok(()) => return,
                Err(unsent) => unsent.0,
            },
            None => callback,
        };
        drop(thread);
        run(unsent);
    }

    /// Waits until all are called and the thread is gone, unless this is the thread.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some((sender, handle)) = thread {
            drop(sender);
            if handle.thread().id() != std::thread::current().id() {
                // Callbacks that panic are caught.
                let _ended = handle.join();
            }
        }
    }
}
