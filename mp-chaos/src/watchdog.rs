//! What a round may take, and what is done about one that takes more: it hangs, so everybody is asked what they wait
//! for, and killed.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mp_testing::system::{children_of, signal};
use rustix::process::Signal;

/// Bites when a round takes too long.
pub(crate) struct Watchdog {
    calm: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    /// Lets a round have so much time; then says what everybody waits for, and `bite` says the rest.
    pub(crate) fn watch(limit: Duration, bite: impl FnOnce(String) + Send + 'static) -> Watchdog {
        let (calm, is_over) = channel();
        let thread = std::thread::spawn(move || {
            if is_over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let seen = what_they_wait_for();
                end_descendants();
                bite(seen);
            }
        });
        Watchdog { calm, thread }
    }

    /// The round is over.
    pub(crate) fn calm(self) {
        let _is_gone_when_it_bites = self.calm.send(());
        assert!(self.thread.join().is_ok(), "the watchdog panicked");
    }
}

/// The pids of all processes below this one, zombies included.
pub(crate) fn descendants() -> Vec<u32> {
    let mut found = children_of(std::process::id());
    let mut at = 0;
    while at < found.len() {
        let mut below = children_of(found[at]);
        found.append(&mut below);
        at += 1;
    }
    found
}

/// Kills everybody below this process.
pub(crate) fn end_descendants() {
    for pid in descendants() {
        signal(pid, Signal::KILL);
    }
}

/// What is seen of the session, and for each thread of this process and of those below it: its state, and where in the kernel it
/// sleeps.
fn what_they_wait_for() -> String {
    let mut text = match mp::inspect() {
        Ok(seen) => seen.to_string(),
        Err(error) => format!("{error}\n"),
    };
    for pid in [std::process::id()].into_iter().chain(descendants()) {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let read = |name: &str| {
                std::fs::read_to_string(task.path().join(name))
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            };
            let stat = read("stat");
            let state = stat.rsplit_once(") ").map_or("?", |(_, rest)| &rest[..1]).to_owned();
            text += &format!(
                "  process {pid} thread {} {} {state} wchan={} syscall={}\n",
                task.file_name().display(),
                read("comm"),
                read("wchan"),
                read("syscall"),
            );
            if let Ok(stack) = std::fs::read_to_string(task.path().join("stack")) {
                stack.lines().for_each(|line| text += &format!("      {line}\n"));
            }
        }
    }
    text
}
