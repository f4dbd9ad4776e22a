//! The first line of `main`: a parent goes on, a child goes to its target and never returns.

use std::ffi::c_int;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::handshake::kind;
use crate::sys::constructors::{Constructor, ConstructorArguments};
use crate::sys::socket::Stdin;
use crate::{child, exit, sys};

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Whether [`init`] was called.
pub(crate) fn is_initialised() -> bool {
    INITIALISED.load(Ordering::Acquire)
}

/// Makes this program able to start processes; must be the first line of `main`.
///
/// In a program started by a user it returns at once. In a child it runs the target and ends
/// the process, so nothing behind it runs there. `#[mp::main]` writes this line; a test calls
/// `mp::enable_test_support!();` instead.
///
/// At the end of `main` (and in [`std::process::exit`]) it waits for the children, as Python does:
/// daemonic ones get SIGTERM, all others are joined.
///
/// # Panics
///
/// In a child that has no descriptor left for its control socket, or no `/dev/null`.
///
/// # Examples
///
/// ```no_run
/// # use mp_context as mp;
/// fn main() -> mp::Result<()> {
///     mp::init();
///     let p = mp::Process::start(|n: u64| Ok(n * n), (12,))?;
///     println!("{}", p.into_result()?);
///     Ok(())
/// }
/// ```
pub fn init() {
    if INITIALISED.swap(true, Ordering::AcqRel) {
        return;
    }
    match control_socket() {
        Some(socket) => child::run(socket),
        None => exit::register(),
    }
}

/// The control socket, if this process was started as a child.
fn control_socket() -> Option<UnixStream> {
    match sys::socket::take_from_stdin(kind::BOOTSTRAP) {
        Ok(Stdin::Control(socket)) => Some(socket),
        Ok(Stdin::Other) => None,
        Ok(Stdin::Emptied(socket)) => child::refuse(
            &socket,
            "its `main` read standard input before `mp::init`, and its call with it",
        ),
        Err(error) => panic!("a child process cannot take over its control socket: {error}"),
    }
}

/// What [`enable_test_support!`](crate::enable_test_support) runs before `main`: `entry` is its
/// place in the list of the program's constructors.
#[doc(hidden)]
pub fn init_before_main(
    entry: &'static Constructor,
    arguments: (c_int, ConstructorArguments, ConstructorArguments),
) {
    if INITIALISED.swap(true, Ordering::AcqRel) {
        return;
    }
    sys::signal::ignore_sigpipe();
    if let Some(socket) = control_socket() {
        // The target may rely on what they set up, and this one never returns.
        sys::constructors::run_those_behind(entry, arguments);
        child::run(socket);
    }
    exit::register();
}

/// Lets a test binary or a documentation test start processes: one line, anywhere in it.
///
/// It does what [`init`](crate::init) does, before the test harness runs, so it works under `cargo test`, with
/// nextest, and in doctests, where no `main` can be written.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// let p = mp::Process::start(|| Ok(7), ())?;
/// assert_eq!(*p.result()?, 7);
/// # Ok::<(), mp::Error>(())
/// ```
#[macro_export]
macro_rules! enable_test_support {
    () => {
        const _: () = {
            use $crate::__private::{Constructor, ConstructorArguments, init_before_main};

            #[used]
            #[unsafe(link_section = ".init_array")]
            static ENTRY: Constructor = {
                extern "C" fn entry(
                    count: ::core::ffi::c_int,
                    words: ConstructorArguments,
                    environment: ConstructorArguments,
                ) {
                    init_before_main(&ENTRY, (count, words, environment));
                }
                entry
            };
        };
    };
}
