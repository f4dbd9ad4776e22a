//! [`Worker`]: a thread of a server that does one kind of work, in the order in which it is given.
//!
//! It is started with the first piece of work, or before, and ends with the process. What the work is, its own file says.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What a worker is given.
pub(super) enum Task<T> {
    Do(T),
    /// Somebody wants to know when all that came before is done.
    Tell(Sender<()>),
}

/// A thread that does something with each `T`.
pub(super) struct Worker<T: Send + 'static> {
    name: &'static str,
    run: fn(&Receiver<Task<T>>),
    /// `None` until it is started. If the system has no thread for it now, it may have one later.
    tasks: Mutex<Option<Sender<Task<T>>>>,
}

/// How much was given to all of them.
static GIVEN: AtomicU64 = AtomicU64::new(0);

impl<T: Send + 'static> Worker<T> {
    pub(super) const fn new(name: &'static str, run: fn(&Receiver<Task<T>>)) -> Worker<T> {
        Worker { name, run, tasks: Mutex::new(None) }
    }

    /// Starts it, so that nothing that it is given comes back.
    pub(super) fn start(&self) -> io::Result<()> {
        self.started().map(drop)
    }

    fn started(&self) -> io::Result<Sender<Task<T>>> {
        let mut tasks = self.tasks.lock();
        if let Some(tasks) = &*tasks {
            return Ok(tasks.clone());
        }
        let (given, received) = mpsc::channel();
        let (thread, run) = (std::thread::Builder::new().name(self.name.to_owned()), self.run);
        let _runs_on = thread.spawn(move || run(&received))?;
        Ok(tasks.insert(given).clone())
    }

    /// Gives it something to do, and never waits; back if there is no thread.
    pub(super) fn give(&self, work: T) -> Result<(), T> {
        let Ok(tasks) = self.started() else { return Err(work) };
        GIVEN.fetch_add(1, Ordering::SeqCst);
        match tasks.send(Task::Do(work)) {
            Err(mpsc::SendError(Task::Do(work))) => Err(work),
            _ => Ok(()),
        }
    }

    /// Waits until everything is done that it was given before, for at most `limit`.
    pub(super) fn settle(&self, limit: Duration) {
        let tasks = self.tasks.lock().clone();
        if let Some(tasks) = tasks {
            let (tell, told) = mpsc::channel();
            if tasks.send(Task::Tell(tell)).is_ok() {
                let _in_time = told.recv_timeout(limit);
            }
        }
    }
}

/// Does the same with each piece of work.
pub(super) fn do_each<T>(tasks: &Receiver<Task<T>>, mut work: impl FnMut(T)) {
    for task in tasks {
        match task {
            Task::Do(given) => work(given),
            Task::Tell(tell) => {
                let _listens = tell.send(());
            }
        }
    }
}

/// Waits until nothing is left to do that was given before, nor what came of that, for at most `limit`. `settle_each` waits
/// for each worker once, for at most the time that it is given.
pub(super) fn settle_all(limit: Duration, settle_each: impl Fn(&dyn Fn() -> Duration)) {
    /// In a busy server there is always something.
    const ROUNDS: u32 = 4;
    let begin = Instant::now();
    let left = || limit.saturating_sub(begin.elapsed());
    for _ in 0..ROUNDS {
        let given = GIVEN.load(Ordering::SeqCst);
        settle_each(&left);
        if GIVEN.load(Ordering::SeqCst) == given || left().is_zero() {
            return;
        }
    }
}
