//! Panics: in a child printed once, headed by the process name; everywhere kept for whoever joins.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use mp_remote_exception::{Frames, Origin, RemoteException};

use crate::current::Identity;

/// What this thread runs, as far as its panics are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// Nothing of ours.
    Other,
    /// The target of this process.
    Target,
    /// The function of a `Thread`.
    Thread,
}

thread_local! {
    static RUNS: Cell<Runs> = const { Cell::new(Runs::Other) };
    /// Where the last panic of this thread happened, and its text.
    static LAST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// A panic as the hook saw it.
struct Panicked {
    text: Option<String>,
    location: Option<(String, u32, u32)>,
    frames: Frames,
}

impl Panicked {
    fn seen(info: &PanicHookInfo<'_>) -> Panicked {
        let location = info.location().map(|l| (l.file().to_owned(), l.line(), l.column()));
        Panicked { text: text_of(info.payload()), location, frames: Frames::capture() }
    }

    fn describe(&self, origin: Origin) -> RemoteException {
        let location = self.location.as_ref().map(|(file, line, column)| (&**file, *line, *column));
        RemoteException::from_panic(self.text.as_deref(), location, &self.frames, origin)
    }
}

/// The text of a panic, if what it carried is one.
pub fn text_of(payload: &dyn Any) -> Option<String> {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&'static str>().map(ToString::to_string))
}

/// Keeps a panic of this thread; one in the last destructors of the thread has no taker.
fn keep(panicked: Panicked) {
    let _kept = LAST.try_with(|last| last.replace(Some(panicked)));
}

/// Makes the panics of this child tell where and in which process they happened.
///
/// `prints_target` says whether the target's own panics are printed; those of other threads
/// always are. `before_abort` runs on the target's thread in a program that aborts on panic.
pub(crate) fn install(prints_target: bool, before_abort: fn(RemoteException)) {
    panic::set_hook(Box::new(move |info| {
        let panicked = Panicked::seen(info);
        let remote = panicked.describe(Origin::current());
        if RUNS.get() != Runs::Target {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("<unnamed>");
            print(&format!(", thread '{thread}'"), &remote);
        } else {
            if prints_target {
                print("", &remote);
            }
            if cfg!(panic = "abort") {
                before_abort(remote);
            }
        }
        keep(panicked);
    }));
    CHAINED.call_once(|| ()); // this hook keeps panics of threads as well
}

static CHAINED: Once = Once::new();

/// Has the hook of a process that is no child keep the panics of our threads, and do what it did.
fn keep_panics_of_threads() {
    CHAINED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if RUNS.get() == Runs::Thread {
                keep(Panicked::seen(info));
            }
            before(info);
        }));
    });
}

/// Runs what belongs to the target, turning a panic into what crosses.
///
/// # Errors
///
/// The panic.
pub fn catch<R>(target: impl FnOnce() -> R) -> Result<R, RemoteException> {
    catch_as(Runs::Target, target, Origin::current)
}

/// Runs the function of a `Thread`, turning a panic into what its joiners get.
pub(crate) fn catch_in_thread<R>(
    function: impl FnOnce() -> R,
    origin: impl FnOnce() -> Origin,
) -> Result<R, RemoteException> {
    // Not while this thread panics: the hook cannot be changed then.
    if !std::thread::panicking() {
        keep_panics_of_threads();
    }
    catch_as(Runs::Thread, function, origin)
}

fn catch_as<R>(
    runs: Runs,
    function: impl FnOnce() -> R,
    origin: impl FnOnce() -> Origin,
) -> Result<R, RemoteException> {
    let before = RUNS.replace(runs);
    let outcome = catch_unwind(AssertUnwindSafe(function));
    RUNS.set(before);
    outcome.map_err(|payload| {
        let text = text_of(&*payload);
        // Without a record of this very panic the user's code replaced the hook, or it goes on
        // with a panic that it had caught.
        let last = LAST.try_with(RefCell::take).ok().flatten().filter(|last| last.text == text);
        discard(payload);
        last.unwrap_or(Panicked { text, location: None, frames: Frames::default() })
            .describe(origin())
    })
}

/// Drops what a panic carried; its destructor is the user's code and may panic again.
pub fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
        && text_of(&*again).is_none()
    {
        std::mem::forget(again); // no end to this in sight
    }
}

/// Marks the place in a stack from which on it is the user's; see `Frames`.
#[inline(never)]
pub fn __mp_begin_short_backtrace<T>(call: impl FnOnce() -> T) -> T {
    let value = call();
    // Keeps this frame on the stack: the call above must not become a jump.
    std::hint::black_box(());
    value
}

/// Prints a trace on standard error in one piece, as Python does: first the process.
pub(crate) fn print(thread: &str, remote: &RemoteException) {
    let name = &Identity::get().name;
    let text = format!("Process {name}{thread}:\n{}\n", remote.traceback());
    // Standard error may be closed; there is nowhere else to tell it.
    let _written = std::io::stderr().write_all(text.as_bytes());
}
