//! Gathering what there is to see of a session.
//!
//! Nobody is asked but servers, for their objects: all else is read out of the memory that the processes share,
//! and out of `/proc`. So it does not matter whether the processes run, sleep or are stopped.

mod memory;
mod names;
mod objects;
mod waits;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mp_shared_memory::look::Seen;

use self::memory::{Memory, Posted};
use self::names::Names;
use self::waits::Waits;
use crate::error::InspectError;
use crate::proc::{self, Stat};
use crate::report::{Inspection, ObjectReport, PoolReport, ProcessReport, ServerReport, Unseen};

/// How long a server has to say what objects it has.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Looks into the session of this process.
///
/// It waits for nobody but for servers, each of which has a second to say what objects it has; the rest of the session may
/// be stopped, or wait for ever.
///
/// # Errors
///
/// [`InspectError::NoSession`] when this process has started no process and shares nothing.
///
/// # Examples
///
/// ```
/// # mod mp { pub use mp_inspect::*; pub use ::mp::Lock; }
/// let lock = mp::Lock::new()?;
/// let guard = lock.acquire()?;
/// let session = mp::inspect()?;
/// let seen = session.locks.iter().find(|seen| seen.kind == "Lock").unwrap();
/// assert_eq!(seen.holders[0].pid, std::process::id());
/// println!("{session}");
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inspect() -> Result<Inspection, InspectError> {
    inspect_session(std::process::id())
}

/// Looks into the session that a process is in: by its pid, which may be that of the root or of any other process of it.
///
/// Only processes of the same user can be looked at, by the superuser all. The processes have to be in the same pid
/// namespace as this one. It waits as [`inspect`] does.
///
/// # Errors
///
/// When there is no such process, when it is in no session, or must not be looked at.
pub fn inspect_session(pid: u32) -> Result<Inspection, InspectError> {
    // Each look has its descriptors for itself.
    let (mut report, circles) = Look::at(pid)?.report();
    if !circles.is_empty() {
        // What is seen of two processes is not of the same moment: a circle is one if it is still there.
        let again = Look::at(pid)?.circles();
        let lasting: Vec<_> = circles.into_iter().filter(|circle| again.contains(circle)).collect();
        report.dead_locks = lasting.iter().map(|circle| circle.reports()).collect();
    }
    Ok(report)
}

/// The roots of all sessions of this user, of the superuser's look those of all users.
///
/// # Errors
///
/// When the system does not list its processes.
pub fn sessions() -> Result<Vec<u32>, InspectError> {
    let stats = all()?;
    let memory = Memory::read(&stats, None);
    let roots = stats.keys().filter_map(|pid| {
        let session = memory.session_of(*pid)?;
        Some(root(*pid, session, &memory, &stats))
    });
    Ok(roots.collect::<BTreeSet<u32>>().into_iter().collect())
}

fn all() -> Result<HashMap<u32, Stat>, InspectError> {
    let failed =
        |source| InspectError::System { what: "list the processes", source: Arc::new(source) };
    proc::all().map_err(failed)
}

/// The highest ancestor that is in the session of a process.
fn root(pid: u32, session: [u64; 2], memory: &Memory, stats: &HashMap<u32, Stat>) -> u32 {
    let parent = |pid: &u32| {
        let parent = stats.get(pid)?.parent;
        memory.uses(parent, session).then_some(parent)
    };
    std::iter::successors(Some(pid), parent).last().unwrap_or(pid)
}

/// A session and the system at one moment.
struct Look {
    root: u32,
    stats: HashMap<u32, Stat>,
    memory: Memory,
    session: [u64; 2],
    at: SystemTime,
}

impl Look {
    fn at(pid: u32) -> Result<Look, InspectError> {
        let stats = all()?;
        let stat = stats.get(&pid).filter(|stat| !stat.has_ended());
        let program = stat.ok_or(InspectError::NoProcess { pid })?.program.clone();
        let mut memory = Memory::read(&stats, Some(pid));
        let Some(session) = memory.session_of(pid) else {
            return Err(match memory.hidden.remove(&pid) {
                Some(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    InspectError::NotPermitted { pid, program }
                }
                Some(error) => {
                    let what = "open the shared memory of a process";
                    InspectError::System { what, source: Arc::new(error) }
                }
                None => InspectError::NoSession { pid, program },
            });
        };
        let root = root(pid, session, &memory, &stats);
        Ok(Look { root, stats, memory, session, at: SystemTime::now() })
    }

    /// The circles alone, for which nobody is asked.
    fn circles(&self) -> Vec<waits::Circle> {
        let mut said_before = Vec::new();
        self.waits(&mut said_before).2.circles()
    }

    /// What the living show, what they are called, and what they wait for.
    fn waits(&self, unseen: &mut Vec<Unseen>) -> (Vec<Posted>, Names, Waits) {
        let posted = self.memory.posted(unseen);
        let names = Names::read(&self.stats, &self.memory, &posted);
        let waits = Waits::read(&self.memory, &posted, &names, unseen);
        (posted, names, waits)
    }

    /// What is seen, and the circles, which may not be any.
    fn report(&self) -> (Inspection, Vec<waits::Circle>) {
        let mut unseen = Vec::new();
        let (posted, names, waits) = self.waits(&mut unseen);
        let pids = self.pids();
        let processes = pids.iter().filter_map(|pid| self.process(*pid, &names, &waits)).collect();
        for (pid, error) in &self.memory.hidden {
            if pids.contains(pid) {
                let (what, reason) = ("what it shares".to_owned(), error.to_string());
                unseen.push(Unseen { pid: *pid, what, reason });
            }
        }
        let servers = self.servers(&posted, &mut unseen);
        let (locks, queues) = objects::read(&self.memory, &names, &waits);
        let report = Inspection {
            at: self.at,
            root: self.root,
            processes,
            dead_locks: Vec::new(),
            locks,
            queues,
            pools: posted.iter().filter_map(pool).collect(),
            servers,
            unseen,
        };
        (report, waits.circles())
    }

    /// The processes of the session, each before its children.
    fn pids(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for stat in self.stats.values() {
            children.entry(stat.parent).or_default().push(stat.pid);
        }
        children.values_mut().for_each(|pids| pids.sort_unstable());
        let mut pids = Vec::new();
        let mut next = vec![self.root];
        while let Some(pid) = next.pop() {
            pids.push(pid);
            next.extend(children.get(&pid).into_iter().flatten().rev());
        }
        // Those that came by a token.
        let mut guests: Vec<u32> =
            self.stats.keys().copied().filter(|pid| self.memory.uses(*pid, self.session)).collect();
        guests.retain(|pid| !pids.contains(pid));
        guests.sort_unstable();
        pids.extend(guests);
        pids
    }

    fn process(&self, pid: u32, names: &Names, waits: &Waits) -> Option<ProcessReport> {
        let stat = self.stats.get(&pid)?;
        Some(ProcessReport {
            pid,
            parent: stat.parent,
            name: names.of(pid),
            is_daemon: names.daemons.get(&pid).copied(),
            state: stat.state_name().to_owned(),
            cpu: stat.cpu,
            memory_bytes: stat.memory_bytes,
            threads: stat.threads,
            age: stat.age,
            start_tick: stat.start_tick,
            waits: waits.of_process(pid),
        })
    }

    /// Asks all servers at once.
    fn servers(&self, posted: &[Posted], unseen: &mut Vec<Unseen>) -> Vec<ServerReport> {
        let asked: Vec<_> = std::thread::scope(|scope| {
            let ask = |posted: &Posted| {
                let (pid, seen) = (posted.pid, posted.seen.clone());
                let is_stopped = self.stats.get(&pid).is_some_and(Stat::is_stopped);
                (pid, scope.spawn(move || server(&seen, pid, is_stopped)))
            };
            let asking: Vec<_> =
                posted.iter().filter(|posted| is_server(&posted.seen)).map(ask).collect();
            asking.into_iter().map(|(pid, asking)| (pid, asking.join())).collect()
        });
        let mut servers = Vec::new();
        for (pid, answer) in asked {
            match answer {
                Ok(Ok(server)) => servers.push(server),
                Ok(Err(reason)) => {
                    unseen.push(Unseen { pid, what: "its objects".to_owned(), reason });
                }
                Err(_panic) => {
                    let reason = "asking the server has panicked".to_owned();
                    unseen.push(Unseen { pid, what: "its objects".to_owned(), reason });
                }
            }
        }
        servers
    }
}

fn is_server(seen: &Seen) -> bool {
    seen.topic == mp_shared_memory::look::Topic::Server
}

fn server(seen: &Seen, pid: u32, is_stopped: bool) -> Result<ServerReport, String> {
    if is_stopped {
        return Err("the server is stopped".to_owned());
    }
    let view = match mp_manager::look::ask(seen, pid, ANSWER_LIMIT) {
        Some(Ok(view)) => view,
        Some(Err(error)) => {
            return Err(format!("the server {}", mp_manager::look::in_full(&error)));
        }
        None => return Err("it is no server".to_owned()),
    };
    let object = |object: mp_manager::look::ObjectView| ObjectReport {
        id: object.id,
        type_name: object.type_name,
        references: object.references,
    };
    Ok(ServerReport {
        name: view.name,
        pid: view.pid,
        address: view.address,
        clients: view.clients,
        objects: view.objects.into_iter().map(object).collect(),
    })
}

fn pool(posted: &Posted) -> Option<PoolReport> {
    let pool = mp_pool::look::read(&posted.seen)?;
    Some(PoolReport {
        name: pool.name,
        pid: posted.pid,
        processes: pool.processes,
        workers: pool.workers,
        waiting: pool.waiting,
        in_flight: pool.in_flight,
        done: pool.done,
    })
}
