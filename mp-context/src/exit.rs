//! The end of a process that starts others: daemons are terminated, everybody else is waited for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{supervisor, sys, thread};

/// What a daemon has to end in after SIGTERM before it is killed.
const DAEMON_GRACE: Duration = Duration::from_secs(1);

/// The process that registered; a forked copy of it has nobody to wait for.
static OWNER: OnceLock<u32> = OnceLock::new();

/// Whether this process ends, in [`finish`].
static FINISHING: AtomicBool = AtomicBool::new(false);

/// Whether this process is ending and terminates its daemons: what they leave is not to be replaced.
pub fn is_finishing() -> bool {
    FINISHING.load(Ordering::SeqCst)
}

/// Has the end of this process wait for its children; see [`finish`].
pub(crate) fn register() {
    OWNER.get_or_init(std::process::id);
    sys::exit::at_exit(finish);
}

/// Joins the threads that are no daemons, sends SIGTERM to daemonic children, joins the other
/// children, and then what is left of the daemons, with SIGKILL after a second.
///
/// Runs when `main` returns, after `std::process::exit`, and at the end of a child's target; not on
/// death by a signal, where the lifeline ends the children, nor when a logger that handles a
/// child's record ends the process: there it would wait for itself.
pub fn finish() {
    if OWNER.get() != Some(&std::process::id()) || supervisor::is_serving() {
        return;
    }
    thread::end_current();
    thread::join_all();
    FINISHING.store(true, Ordering::SeqCst);
    for daemon in supervisor::children().iter().filter(|child| child.is_daemon()) {
        daemon.signal(Signal::TERM);
    }
    // A child may be started while another is waited for.
    while let Some(child) = supervisor::children().iter().find(|child| !child.is_daemon()) {
        let _end = child.completion().wait(None);
    }
    let deadline = Instant::now() + DAEMON_GRACE;
    for daemon in supervisor::children() {
        if daemon.completion().wait(Some(deadline)).is_none() {
            daemon.signal(Signal::KILL);
            let _end = daemon.completion().wait(None);
        }
    }
}
