//! Names of signals, and the one disposition that every Rust program expects.
//!
//! # Safety
//!
//! Only the disposition "ignore" is ever set: no handler of ours runs in a signal.
#![expect(unsafe_code, reason = "rustix has no call for signal dispositions")]

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// The name of a signal, as `SIGKILL`.
        pub fn name(signal: i32) -> String {
            match signal {
                $(libc::$name => stringify!($name).to_owned(),)*
                other => format!("signal {other}"),
            }
        }
    };
}

names!(
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
    SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS,
);

/// Makes a write to a closed pipe an error, as the runtime does before `main`.
///
/// A child of a test runs before the runtime has done so.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: "ignore" installs no code, and nothing else of the process depends on it yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Has Ctrl-C leave this process alone.
pub fn ignore_interrupt() {
    // SAFETY: "ignore" installs no code, and who calls it wants nothing else of the signal.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_are_named() {
        assert_eq!(super::name(9), "SIGKILL");
        assert_eq!(super::name(40), "signal 40");
    }
}
