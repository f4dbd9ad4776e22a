//! The thread that looks for containers which only keep themselves alive.
//!
//! All suspects that come within a while are looked at together: in a busy server one look is as good as a hundred. What is
//! garbage is decided by [`cycles`](crate::host::cycles); what cannot be decided yet is looked at again.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::host::entry::Entry;
use crate::host::worker::{Task, Worker};
use crate::host::{Host, burial};

static WORKER: Worker<Arc<Entry>> = Worker::new("mp-manager collector", run);

/// How long a suspect waits for others.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often somebody who wants to know at once has suspects looked at that are called meanwhile.
const LOOKS: u32 = 3;

/// Has an object be looked at that may keep itself alive.
pub(super) fn suspect(entry: Arc<Entry>) {
    // Without a thread for that it stays.
    let _taken = WORKER.give(entry);
}

/// Waits until everything is looked at that was suspected before, for at most `limit`.
pub(super) fn settle(limit: Duration) {
    WORKER.settle(limit);
}

fn run(tasks: &Receiver<Task<Arc<Entry>>>) {
    burial::leave_destructors_to_another();
    let mut suspects: Vec<Arc<Entry>> = Vec::new();
    let (mut look_at, mut patience) = (None::<Instant>, PATIENCE);
    loop {
        if look_at.is_none() && !suspects.is_empty() {
            look_at = Instant::now().checked_add(patience);
        }
        let task = match look_at {
            None => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            // However many come.
            Some(at) if at <= Instant::now() => Err(RecvTimeoutError::Timeout),
            Some(at) => tasks.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match task {
            Ok(Task::Do(entry)) => suspects.push(entry),
            Ok(Task::Tell(tell)) => {
                look_at = None;
                for _ in 0..LOOKS {
                    look(&mut suspects);
                }
                let _listens = tell.send(());
            }
            Err(RecvTimeoutError::Timeout) => {
                look_at = None;
                let begin = Instant::now();
                look(&mut suspects);
                // A server with much in it does not look all the time.
                patience = PATIENCE.max(10 * begin.elapsed());
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Leaves those that are to be looked at again.
fn look(suspects: &mut Vec<Arc<Entry>>) {
    if suspects.is_empty() {
        return;
    }
    suspects.iter().for_each(|entry| entry.clear_suspicion());
    let undecided = Host::here().collect(mem::take(suspects));
    // Others may have been suspected anew, and are on their way.
    suspects.extend(undecided.into_iter().filter(|entry| entry.renew_suspicion()));
}
