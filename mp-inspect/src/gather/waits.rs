//! Who waits for what.

use std::collections::HashMap;
use std::time::Duration;

use mp_queues::look::{Purpose, SeenWait as SeenQueueWait};
use mp_sync::look::{SeenOwner, SeenThread, SeenWait, What};

use super::memory::{self, Memory, Posted};
use super::names::{self, Names};
use crate::dead_lock;
use crate::proc::{self, Mappings};
use crate::report::{Unseen, WaitReport, WaitsFor};

/// A thread: its process, and its number there.
type Thread = (u32, u32);

/// All threads that wait.
pub(super) struct Waits(Vec<Wait>);

struct Wait {
    thread: Thread,
    /// When it began, which tells it from all others of the thread.
    began: u64,
    report: WaitReport,
    /// The one thread without which it does not end, if it is certain which that is.
    needs: Option<Thread>,
}

/// Threads of which each waits for the next, and when these waits began. The same at two looks, it is there to stay.
#[derive(Debug)]
pub(super) struct Circle(Vec<(Thread, u64, WaitReport)>);

impl PartialEq for Circle {
    fn eq(&self, other: &Circle) -> bool {
        let key = |circle: &Circle| {
            let waits = circle.0.iter();
            waits
                .map(|(thread, began, report)| (*thread, *began, report.waits_for.clone()))
                .collect::<Vec<_>>()
        };
        key(self) == key(other)
    }
}

impl Circle {
    pub(super) fn reports(&self) -> Vec<WaitReport> {
        self.0.iter().map(|(_, _, report)| report.clone()).collect()
    }
}

impl Waits {
    pub(super) fn read(
        memory: &Memory,
        posted: &[Posted],
        names: &Names,
        unseen: &mut Vec<Unseen>,
    ) -> Waits {
        let threads: Vec<(u32, SeenThread)> = names::threads(posted).collect();
        let mut waits = Vec::new();
        let mut mappings = HashMap::new();
        let now = mp_sync::look::now();
        for (pid, thread) in &threads {
            let Some(SeenWait { what, since: began, is_limited }) = thread.wait else { continue };
            let (waits_for, owners, needs) = match what {
                What::Process(child) => {
                    let name = names.of(child);
                    // It ends with its first thread, if no other ends it.
                    let first =
                        threads.iter().find(|(pid, thread)| *pid == child && thread.is_first);
                    let needs = first.map(|(pid, thread)| (*pid, thread.number));
                    (WaitsFor::Process { pid: child, name }, Vec::new(), needs)
                }
                What::Word(address) => {
                    let maps = mappings.entry(*pid).or_insert_with(|| read_mappings(*pid, unseen));
                    // With a process, its waits have ended.
                    let Some(maps) = maps else { continue };
                    at_word(memory, maps, address)
                }
            };
            let held_by = owners.iter().map(|owner| names.holder(owner)).collect();
            let report = WaitReport {
                pid: *pid,
                process: names.of(*pid),
                thread: thread.name.clone(),
                waited: Duration::from_nanos(now.saturating_sub(began)),
                has_deadline: is_limited,
                waits_for,
                held_by,
            };
            // A wait with a deadline ends.
            let needs = needs.filter(|_| !is_limited);
            waits.push(Wait { thread: (*pid, thread.number), began, report, needs });
        }
        waits.sort_by_key(|wait| (wait.thread, wait.began));
        Waits(waits)
    }

    pub(super) fn of_process(&self, pid: u32) -> Vec<WaitReport> {
        let waits = self.0.iter().filter(|wait| wait.thread.0 == pid);
        waits.map(|wait| wait.report.clone()).collect()
    }

    /// Those who wait for an object.
    pub(super) fn at(&self, object: &str) -> Vec<WaitReport> {
        let waits = self.0.iter().filter(|wait| match &wait.report.waits_for {
            WaitsFor::Sync { id, .. } | WaitsFor::Queue { id, .. } => id == object,
            WaitsFor::Process { .. } | WaitsFor::Pool | WaitsFor::Server | WaitsFor::Unknown => {
                false
            }
        });
        waits.map(|wait| wait.report.clone()).collect()
    }

    pub(super) fn circles(&self) -> Vec<Circle> {
        let needs = self.0.iter().filter_map(|wait| Some((wait.thread, wait.needs?)));
        let next: HashMap<Thread, Thread> = needs.collect();
        let wait = |thread: Thread| {
            let wait = self.0.iter().find(|wait| wait.thread == thread)?;
            Some((thread, wait.began, wait.report.clone()))
        };
        dead_lock::circles(&next)
            .into_iter()
            .map(|circle| Circle(circle.into_iter().filter_map(wait).collect()))
            .collect()
    }
}

/// Where the arenas are in the memory of a process, or nowhere if that could not be looked at; `None` if it has ended meanwhile.
fn read_mappings(pid: u32, unseen: &mut Vec<Unseen>) -> Option<Mappings> {
    match Mappings::read(pid) {
        Ok(mappings) => Some(mappings),
        Err(error) if proc::is_of_ended(&error) => None,
        Err(error) => {
            let what = "what its threads wait for".to_owned();
            unseen.push(Unseen { pid, what, reason: error.to_string() });
            Some(Mappings::default())
        }
    }
}

/// What the word at an address in the memory of a process belongs to, who has that, and who alone can give it up.
fn at_word(
    memory: &Memory,
    maps: &Mappings,
    address: usize,
) -> (WaitsFor, Vec<SeenOwner>, Option<Thread>) {
    let unknown = (WaitsFor::Unknown, Vec::new(), None);
    let Some((inode, offset)) = maps.find(address) else { return unknown };
    let Some(object) = memory.find(inode, offset) else { return unknown };
    let (id, place) = (memory::name(&object), object.place());
    if let Some(seen) = mp_sync::look::read(&object) {
        let needs = match seen.owners.as_slice() {
            [owner] if matches!(seen.kind, "Lock" | "RLock") && owner.is_alive => {
                owner.thread.map(|thread| (owner.process.pid, thread))
            }
            _ => None,
        };
        // What was leaked is released by anybody.
        let needs = needs.filter(|_| !seen.is_leaked);
        let kind = seen.kind.to_owned();
        return (WaitsFor::Sync { id, kind, place }, seen.owners, needs);
    }
    if let Some(queue) = mp_queues::look::read(&object) {
        match queue.purpose {
            Purpose::Program => {}
            Purpose::Pool => return (WaitsFor::Pool, Vec::new(), None),
            Purpose::Server => return (WaitsFor::Server, Vec::new(), None),
        }
        let what = match mp_queues::look::wait_at(offset - object.range().start) {
            SeenQueueWait::Item => "an item",
            SeenQueueWait::Room => "room",
            SeenQueueWait::Turn => "its turn",
            SeenQueueWait::Join => "the end of the work",
        };
        return (WaitsFor::Queue { id, what: what.to_owned(), place }, Vec::new(), None);
    }
    unknown
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn that_a_process_has_just_ended_is_nothing_that_could_not_be_seen() {
        let mut ended =
            Command::new("/proc/self/exe").arg("--list").stdout(Stdio::null()).spawn().unwrap();
        ended.wait().unwrap();
        let mut unseen = Vec::new();
        assert!(read_mappings(ended.id(), &mut unseen).is_none());
        assert_eq!(unseen, []);
        assert!(read_mappings(std::process::id(), &mut unseen).is_some());
    }
}
