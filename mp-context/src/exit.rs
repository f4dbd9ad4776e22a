//! The end of a process that starts others: daemons are terminated, everybody else is waited for.

use std::time::{Duration, Instant};

use crate::{supervisor, sys, thread};

/// What a daemon has to end in after SIGTERM before it is killed.
const DAEMON_GRACE: Duration = Duration::from_secs(1);

/// Has the end of this process wait for its children; see [`finish`].
pub(crate) fn register() {
    sys::exit::at_exit(finish);
}

/// Joins the threads that are no daemons, sends SIGTERM to daemonic children, joins the other
/// children, and then what is left of the daemons, with SIGKILL after a second.
///
/// Runs when `main` returns, after `std::process::exit`, and at the end of a child's target; not on
/// death by a signal, where the lifeline ends the children.
fn finish() {
    thread::join_all();
    let children = supervisor::children();
    let daemons = || children.iter().filter(|child| child.is_daemon());
    for daemon in daemons() {
        daemon.signal(rustix::process::Signal::TERM);
    }
    for child in children.iter().filter(|child| !child.is_daemon()) {
        let _end = child.completion().wait(None);
    }
    let deadline = Instant::now() + DAEMON_GRACE;
    for daemon in daemons() {
        if daemon.completion().wait(Some(deadline)).is_none() {
            daemon.signal(rustix::process::Signal::KILL);
            let _end = daemon.completion().wait(None);
        }
    }
}
