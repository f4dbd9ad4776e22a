//! What processes and threads are called.

use std::collections::HashMap;

use mp_shared_memory::look::Topic;
use mp_sync::look::{SeenOwner, SeenThread};

use super::memory::{Memory, Posted};
use crate::proc::Stat;
use crate::report::Holder;

/// What processes and threads are called.
pub(super) struct Names {
    processes: HashMap<u32, String>,
    /// Whether a process is a daemon.
    pub(super) daemons: HashMap<u32, bool>,
    /// By process, and number in it.
    threads: HashMap<(u32, u32), String>,
}

impl Names {
    /// As their parents say, or they themselves, or else what they run.
    pub(super) fn read(stats: &HashMap<u32, Stat>, memory: &Memory, posted: &[Posted]) -> Names {
        let programs = stats.values().map(|stat| (stat.pid, stat.program.clone()));
        let mut processes: HashMap<u32, String> = programs.collect();
        for peer in memory.creators() {
            processes.insert(peer.pid, peer.name);
        }
        let mut daemons = HashMap::new();
        for child in posted.iter().filter_map(|posted| mp_context::look::read(&posted.seen)) {
            daemons.insert(child.pid, child.is_daemon);
            processes.insert(child.pid, child.name);
        }
        let threads = threads(posted).map(|(pid, thread)| ((pid, thread.number), thread.name));
        Names { processes, daemons, threads: threads.collect() }
    }

    pub(super) fn of(&self, pid: u32) -> String {
        self.processes.get(&pid).cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// Who has a lock, in words.
    pub(super) fn holder(&self, owner: &SeenOwner) -> Holder {
        let pid = owner.process.pid;
        // The pid of a dead one may be another's by now.
        let process = if owner.is_alive { self.of(pid) } else { owner.process.name.clone() };
        let thread = owner.thread.filter(|_| owner.is_alive);
        // Threads that have never waited are not known.
        let thread = thread.and_then(|number| self.threads.get(&(pid, number)));
        Holder {
            pid,
            process,
            thread: thread.filter(|name| !name.is_empty()).cloned(),
            is_alive: owner.is_alive,
            times: owner.times,
        }
    }
}

/// The threads that have ever waited, each with the pid of its process.
pub(super) fn threads(posted: &[Posted]) -> impl Iterator<Item = (u32, SeenThread)> {
    let waits = posted.iter().filter(|posted| posted.seen.topic == Topic::Wait);
    waits.filter_map(|posted| Some((posted.pid, mp_sync::look::read_thread(&posted.seen)?)))
}
