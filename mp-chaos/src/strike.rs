//! Who strikes: hears the steps of the actors, and delivers what is planned for them.

use std::collections::BTreeSet;
use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mp_testing::system::mapped_bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, prlimit,
};

use crate::plan::{Blow, Strike};
use crate::stage::{CUE_LEN, Cue};

/// A strike that was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Struck {
    pub(crate) strike: Strike,
    pub(crate) pid: u32,
}

/// The thread that strikes.
pub(crate) struct Striker {
    done: Arc<Mutex<Vec<Struck>>>,
    thread: JoinHandle<()>,
}

impl Striker {
    /// Delivers the strikes when their steps are announced, until nobody can announce any more.
    pub(crate) fn start(strikes: Vec<Strike>, cues: PipeReader) -> Striker {
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut work = Work { strikes, agenda: Vec::new(), done: Arc::clone(&done) };
        let thread = std::thread::spawn(move || work.run(cues));
        Striker { done, thread }
    }

    /// Tells what was delivered so far.
    pub(crate) fn delivered(&self) -> impl Fn() -> Vec<Struck> + Send + use<> {
        let done = Arc::clone(&self.done);
        move || lock(&done).clone()
    }

    /// What was delivered, when nobody can announce anything any more.
    pub(crate) fn end(self) -> Vec<Struck> {
        let has_panicked = self.thread.join().is_err();
        assert!(!has_panicked, "the one who strikes panicked");
        lock(&self.done).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done to a process, and when.
struct Due {
    at: Instant,
    pid: u32,
    process: Arc<OwnedFd>,
    deed: Deed,
}

enum Deed {
    Strike(Strike),
    GoOn,
    Restore(Resource, Rlimit),
}

struct Work {
    strikes: Vec<Strike>,
    agenda: Vec<Due>,
    done: Arc<Mutex<Vec<Struck>>>,
}

impl Work {
    fn run(&mut self, mut cues: PipeReader) {
        let mut is_open = true;
        while is_open || !self.agenda.is_empty() {
            let next = self.agenda.iter().map(|due| due.at).min();
            let left = next.map(|at| at.saturating_duration_since(Instant::now()));
            if is_open && left != Some(Duration::ZERO) {
                is_open = self.hear(&mut cues, left);
            } else if let Some(left) = left {
                std::thread::sleep(left);
            }
            let now = Instant::now();
            let (due, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.agenda).into_iter().partition(|due| due.at <= now);
            self.agenda = later;
            due.into_iter().for_each(|due| self.act(due));
        }
    }

    /// Waits for a cue, no longer than `limit`; `false` when there will be none any more.
    fn hear(&mut self, cues: &mut PipeReader, limit: Option<Duration>) -> bool {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let is_there =
            poll(&mut [PollFd::new(cues, PollFlags::IN)], limit.as_ref()).unwrap_or_default() > 0;
        if !is_there {
            return true;
        }
        let mut bytes = [0; CUE_LEN];
        if cues.read_exact(&mut bytes).is_err() {
            return false;
        }
        let cue = Cue::from_bytes(&bytes);
        if let Some(cue) = cue
            && let Some(process) = open(cue.pid)
        {
            let heard = Instant::now();
            let strikes = self
                .strikes
                .extract_if(.., |strike| (strike.actor, strike.step) == (cue.actor, cue.step));
            self.agenda.extend(strikes.map(|strike| Due {
                at: heard + Duration::from_micros(strike.delay_us),
                pid: cue.pid,
                process: Arc::clone(&process),
                deed: Deed::Strike(strike),
            }));
        }
        true
    }

    fn act(&mut self, Due { pid, process, deed, .. }: Due) {
        let strike = match deed {
            Deed::GoOn => {
                let _it_may_be_gone = pidfd_send_signal(&process, Signal::CONT);
                return;
            }
            Deed::Restore(resource, limit) => {
                let _it_may_be_gone = limit_of(pid, &process, resource, limit);
                return;
            }
            Deed::Strike(strike) => strike,
        };
        let later = |ms, deed| Due {
            at: Instant::now() + Duration::from_millis(ms),
            pid,
            process: Arc::clone(&process),
            deed,
        };
        let delivered = match strike.blow {
            Blow::Kill => pidfd_send_signal(&process, Signal::KILL).is_ok(),
            Blow::Pause { ms } => {
                let is_sent = pidfd_send_signal(&process, Signal::STOP).is_ok();
                self.agenda.push(later(ms, Deed::GoOn));
                is_sent
            }
            Blow::FewFiles { spare, ms } => descriptors(pid).is_some_and(|open| {
                let limit = limit_with_spare(&open, spare);
                self.curb(pid, &process, Resource::Nofile, limit, |old| {
                    later(ms, Deed::Restore(Resource::Nofile, old))
                })
            }),
            Blow::LittleMemory { spare_kib, ms } => mapped_bytes(pid).is_ok_and(|mapped| {
                self.curb(pid, &process, Resource::As, mapped + (spare_kib << 10), |old| {
                    later(ms, Deed::Restore(Resource::As, old))
                })
            }),
        };
        if delivered {
            lock(&self.done).push(Struck { strike, pid });
        }
    }

    /// Lowers a limit of a process; whether that was possible.
    fn curb(
        &mut self,
        pid: u32,
        process: &OwnedFd,
        resource: Resource,
        most: u64,
        later: impl FnOnce(Rlimit) -> Due,
    ) -> bool {
        // The highest that it may give itself is that of this process, which started it.
        let lower =
            Rlimit { current: Some(most), maximum: rustix::process::getrlimit(resource).maximum };
        let old = limit_of(pid, process, resource, lower);
        old.map(|old| self.agenda.push(later(old))).is_some()
    }
}

/// The process, if it is still there.
fn open(pid: u32) -> Option<Arc<OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok().map(Arc::new)
}

/// Sets a limit of a process that is still there; what it was.
fn limit_of(pid: u32, process: &OwnedFd, resource: Resource, limit: Rlimit) -> Option<Rlimit> {
    // Not a zombie, whose pid may go to another process.
    let is_over =
        poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&Timespec::default())).ok()? > 0;
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    if is_over { None } else { prlimit(Some(pid), resource, limit).ok() }
}

/// The numbers of the descriptors that a process has.
fn descriptors(pid: u32) -> Option<BTreeSet<u64>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The limit that leaves so many numbers to one who has these descriptors. It keeps all of them, also those beyond.
fn limit_with_spare(open: &BTreeSet<u64>, mut spare: u64) -> u64 {
    let mut limit = 0;
    while spare > 0 || open.contains(&limit) {
        spare -= u64::from(!open.contains(&limit));
        limit += 1;
    }
    limit
}

/// The pids of those who were killed.
pub(crate) fn killed(struck: &[Struck]) -> BTreeSet<u32> {
    let kills = struck.iter().filter(|struck| struck.strike.blow == Blow::Kill);
    kills.map(|struck| struck.pid).collect()
}

/// How shortages are spoken of: EAGAIN, ENOMEM, ENFILE and EMFILE, and errors of the library that have no such cause.
const SHORTAGES: [&str; 7] = [
    "(os error 11)",
    "(os error 12)",
    "(os error 23)",
    "(os error 24)",
    "no space for",
    "no memory for",
    "limit of open files",
];

/// Whether an error, or what has caused it, speaks of a shortage of files or memory. Its words are looked at, for some errors
/// come from other processes as text.
pub(crate) fn is_shortage(error: &(dyn std::error::Error + 'static)) -> bool {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).any(|text| SHORTAGES.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use mp::{QueueError, SharedMemoryError};
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_shortage_is_known_by_its_cause_and_nothing_else_is_one() {
        let system = |errno: Errno| QueueError::System(Arc::new(io::Error::from(errno)));
        assert!(is_shortage(&system(Errno::MFILE)));
        assert!(is_shortage(&system(Errno::NOMEM)));
        assert!(is_shortage(&QueueError::Memory(SharedMemoryError::SessionExhausted {
            source: Arc::new(Errno::NFILE.into())
        })));
        assert!(is_shortage(&QueueError::NoSpace { asked: 3, available: 2 }));
        assert!(!is_shortage(&system(Errno::BADF)));
        assert!(!is_shortage(&QueueError::Memory(SharedMemoryError::Gone)));
        assert!(!is_shortage(&QueueError::Damaged));
    }

    #[test]
    fn a_limit_leaves_as_many_numbers_as_are_spared() {
        let open = BTreeSet::from([0, 1, 2, 4, 5, 9]);
        let limits = [0, 1, 2, 5].map(|spare| limit_with_spare(&open, spare));
        assert_eq!(limits, [3, 6, 7, 11]);
    }
}
