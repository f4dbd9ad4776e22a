//! Panics in a child: printed once, headed by the process name, and kept for the parent.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{self, PanicHookInfo};

use mp_remote_exception::{Frames, Origin, RemoteException};

use crate::current::Identity;

thread_local! {
    /// Whether this thread runs the target.
    static RUNS_TARGET: Cell<bool> = const { Cell::new(false) };
    /// The last panic of the target's thread.
    static LAST: RefCell<Option<RemoteException>> = const { RefCell::new(None) };
}

/// Makes the panics of this process tell where and in which process they happened.
///
/// `prints_target` says whether the target's own panics are printed; those of other threads
/// always are. `before_abort` runs on the target's thread in a program that aborts on panic.
pub(crate) fn install(prints_target: bool, before_abort: fn(RemoteException)) {
    panic::set_hook(Box::new(move |info| {
        let remote = describe(info);
        if !RUNS_TARGET.get() {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("<unnamed>");
            print(&format!(", thread '{thread}'"), &remote);
            return;
        }
        if prints_target {
            print("", &remote);
        }
        if cfg!(panic = "abort") {
            before_abort(remote);
        } else {
            LAST.set(Some(remote));
        }
    }));
}

/// Runs `target`, turning a panic into what crosses.
pub(crate) fn catch<R>(target: impl FnOnce() -> R) -> Result<R, RemoteException> {
    RUNS_TARGET.set(true);
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(target));
    RUNS_TARGET.set(false);
    outcome.map_err(|payload| {
        // Without a record the target replaced the hook, or unwinds without panicking.
        LAST.take().unwrap_or_else(|| {
            RemoteException::from_panic(&*payload, None, &Frames::default(), Origin::current())
        })
    })
}

fn describe(info: &PanicHookInfo<'_>) -> RemoteException {
    // The payload is borrowed as `Any` without `Send`; only its text is of interest here.
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&'static str>().copied());
    let (location, frames) = (info.location(), Frames::capture());
    match text {
        Some(text) => {
            RemoteException::from_panic(&text.to_owned(), location, &frames, Origin::current())
        }
        None => RemoteException::from_panic(&(), location, &frames, Origin::current()),
    }
}

/// Prints a trace on standard error in one piece, as Python does: first the process.
pub(crate) fn print(thread: &str, remote: &RemoteException) {
    let name = &Identity::get().name;
    let text = format!("Process {name}{thread}:\n{}\n", remote.traceback());
    // Standard error may be closed; there is nowhere else to tell it.
    let _written = std::io::stderr().write_all(text.as_bytes());
}
