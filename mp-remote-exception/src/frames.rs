//! The call stack of an error: captured as addresses, resolved to names only on request.
//!
//! Capturing costs a stack walk; resolving reads debug information and is left to the
//! moment at which the error really leaves its process.

use std::ffi::c_void;
use std::path::Path;

/// Deeper stacks keep their newest frames; the cut is where recursion repeats itself anyway.
const MAX_FRAMES: usize = 128;

/// A function whose name contains this ends the part of the stack that is shown.
const OUR_MARKER: &str = "__mp_begin_short_backtrace";
/// The same mark, set by the standard library around `main` and threads.
const STD_MARKER: &str = "__rust_begin_short_backtrace";

/// Names that make a frame at the newest end machinery of raising, not the place of the error.
const RAISING: [&str; 19] = [
    "backtrace::",
    "mp_remote_exception::error::Error",
    "mp_remote_exception::error::Raised",
    "mp_remote_exception::frames::Frames",
    "mp_remote_exception::remote::RemoteException",
    "core::convert::",
    "core::ops::try_trait::",
    "core::ops::function::",
    "core::panicking::",
    "core::option::",
    "core::result::",
    "core::slice::index::",
    "alloc::boxed::",
    "std::panicking::",
    "std::sys::backtrace::",
    "rust_begin_unwind",
    "mp_context::panic",
    "__rust_end_short_backtrace",
    "__rust_panic",
];

/// Names that make a frame at the oldest end machinery of calling.
const CALLING: [&str; 12] = [
    "core::ops::function::",
    "core::iter::",
    "core::result::",
    "alloc::boxed::",
    "alloc::vec::",
    "mp_context::",
    "mp_manager::managed::",
    "mp_manager::shelf::",
    "mp_pool::job::",
    "mp_pool::runner::worker::",
    "std::panicking::",
    "std::panic::",
];

/// Addresses of the frames of a call stack, newest first.
#[derive(Clone, Debug, Default)]
pub struct Frames(Vec<usize>);

/// One resolved line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) function: String,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

impl Frames {
    /// Walks the stack of the calling thread.
    #[inline(never)]
    pub fn capture() -> Frames {
        let mut addresses = Vec::with_capacity(32);
        backtrace::trace(|frame| {
            addresses.push(frame.ip() as usize);
            addresses.len() < MAX_FRAMES
        });
        Frames(addresses)
    }

    /// Names and places, oldest first, without the frames of raising and of the runtime.
    pub(crate) fn resolve(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &address in &self.0 {
            backtrace::resolve(address as *mut c_void, |symbol| {
                let file = symbol.filename();
                if let Some(name) = symbol.name()
                    && !file.is_some_and(is_of_the_standard_library)
                {
                    frames.push(Frame {
                        function: format!("{name:#}"),
                        file: file.map(|path| path.display().to_string()),
                        line: symbol.lineno(),
                    });
                }
            });
        }
        let mut frames = trim(frames);
        frames.reverse();
        frames
    }
}

/// Whether a frame comes from the sources that the standard library was built from.
///
/// Without debug information it cannot be told, and the frame stays.
fn is_of_the_standard_library(file: &Path) -> bool {
    file.starts_with("/rustc")
}

/// Cuts machinery off both ends of a stack that is given newest first.
fn trim(mut frames: Vec<Frame>) -> Vec<Frame> {
    let marked = |f: &Frame| f.function.contains(OUR_MARKER) || f.function.contains(STD_MARKER);
    if let Some(end) = frames.iter().position(marked) {
        frames.truncate(end);
    }
    while frames.last().is_some_and(|f| is_one_of(&f.function, &CALLING)) {
        frames.pop();
    }
    let start = frames.iter().position(|f| !is_one_of(&f.function, &RAISING));
    frames.drain(..start.unwrap_or(frames.len()));
    frames
}

/// Whether a demangled name belongs to one of `prefixes`, also as `<… as prefix…>`.
fn is_one_of(name: &str, prefixes: &[&str]) -> bool {
    let implementor = name.trim_start_matches(['<', '&']);
    let interface = name.strip_prefix('<').and_then(|rest| rest.split_once(" as ")).map(|(_, t)| t);
    prefixes.iter().any(|prefix| {
        implementor.starts_with(prefix)
            || interface.is_some_and(|interface| interface.starts_with(prefix))
            || name.contains(prefix) && prefix.starts_with("__rust") | prefix.starts_with("rust_")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str) -> Frame {
        Frame { function: function.to_owned(), file: None, line: None }
    }

    fn names(frames: &[Frame]) -> Vec<&str> {
        frames.iter().map(|f| f.function.as_str()).collect()
    }

    #[test]
    fn machinery_is_cut_off_both_ends_and_nothing_in_between() {
        let stack = [
            "backtrace::trace",
            "mp_remote_exception::frames::Frames::capture",
            "<mp_remote_exception::error::Error as core::convert::From<E>>::from",
            "<core::result::Result<T,F> as core::ops::try_trait::FromResidual<R>>::from_residual",
            "app::load",
            "core::ops::function::FnOnce::call_once",
            "app::work",
            "<F as mp_context::target::Target<(A,)>>::call",
            "mp_context::child::__mp_begin_short_backtrace",
            "main",
        ];
        let kept = trim(stack.into_iter().map(frame).collect());
        assert_eq!(
            names(&kept),
            [
                "app::load",
                "core::ops::function::FnOnce::call_once",
                "app::work",
                "<F as mp_context::target::Target<(A,)>>::call"
            ][..3]
                .to_vec()
        );
    }

    #[test]
    fn what_calls_the_tasks_of_a_pool_is_machinery() {
        let stack = [
            "app::work",
            "<mp_pool::job::One<F> as mp_pool::job::Takes<T>>::call",
            "core::iter::adapters::map::map_fold",
            "<alloc::vec::Vec<T> as core::iter::traits::collect::FromIterator<T>>::from_iter",
            "mp_pool::job::chunk::{{closure}}::{{closure}}",
            "mp_pool::job::__mp_begin_short_backtrace",
        ];
        assert_eq!(names(&trim(stack.into_iter().map(frame).collect())), ["app::work"]);
    }

    #[test]
    fn frames_of_a_panic_start_at_the_panicking_function() {
        let stack = [
            "mp_context::panic::hook",
            "std::panicking::rust_panic_with_hook",
            "__rustc::rust_begin_unwind",
            "core::panicking::panic_fmt",
            "core::result::unwrap_failed",
            "core::result::Result<T,E>::unwrap",
            "app::work",
            "std::sys::backtrace::__rust_begin_short_backtrace",
        ];
        assert_eq!(names(&trim(stack.into_iter().map(frame).collect())), ["app::work"]);
    }

    #[test]
    fn a_stack_of_machinery_alone_is_empty() {
        assert!(trim(vec![frame("std::panicking::x"), frame("core::panicking::y")]).is_empty());
    }

    #[test]
    fn capture_resolves_to_this_function() {
        let frames = Frames::capture().resolve();
        let here = frames.last().expect("one frame at least");
        assert!(here.function.contains("capture_resolves_to_this_function"), "{here:?}");
    }
}
