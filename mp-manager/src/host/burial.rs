//! Where objects end that nothing refers to any more.
//!
//! What an object drops may be the last reference to others, and so on: they are dropped one after the other, not one
//! inside of the other, so a chain of any length ends. The thread that hears the clients never runs code of the user: it
//! leaves that to another one.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mp_context::__private::discard;

use crate::call::Call;
use crate::host::Host;
use crate::host::entry::Entry;
use crate::hosted::{Hosted, Reply};

thread_local! {
    /// What this thread has still to drop, while it drops something.
    static WAITING: RefCell<Option<Vec<Box<dyn Hosted>>>> = const { RefCell::new(None) };
    static LEAVES_IT: Cell<bool> = const { Cell::new(false) };
}

/// What is in the place of an object that was taken out.
pub(super) struct Nothing;

impl Hosted for Nothing {
    fn serve(&self, _: &str, call: &Call<'_>) -> Reply {
        call.unknown_method("nothing")
    }

    fn type_name(&self) -> &'static str {
        "nothing"
    }

    fn preview(&self) -> String {
        String::new()
    }
}

enum Task {
    Drop(Box<dyn Hosted>),
    /// An object that may keep itself alive.
    Suspect(Arc<Entry>),
    /// Somebody wants to know when all that came before is dealt with.
    Tell(Sender<()>),
}

/// Has this thread leave the dropping of objects to another one from now on.
pub(crate) fn leave_to_another() {
    LEAVES_IT.set(true);
}

/// Drops an object.
pub(super) fn bury(object: Box<dyn Hosted>) {
    if LEAVES_IT.try_with(Cell::get).unwrap_or(false)
        && let Some(tasks) = undertaker()
    {
        // It ends with the process only.
        let _taken = tasks.send(Task::Drop(object));
        return;
    }
    // The thread may be beyond the destructors of its variables.
    let mut object = Some(object);
    let is_first = WAITING.try_with(|waiting| match &mut *waiting.borrow_mut() {
        Some(waiting) => {
            waiting.extend(object.take());
            false
        }
        waiting => {
            *waiting = Some(Vec::new());
            true
        }
    });
    if let Some(object) = object {
        end(object);
    }
    while let Ok(true) = is_first {
        let next = WAITING.with_borrow_mut(|waiting| waiting.as_mut().and_then(Vec::pop));
        match next {
            Some(object) => end(object),
            None => break,
        }
    }
    if let Ok(true) = is_first {
        WAITING.set(None);
    }
}

/// Drops one object, whose destructor is code of the user.
fn end(object: Box<dyn Hosted>) {
    let type_name = object.type_name();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(object))) {
        log::error!("the destructor of an object of type {type_name} panicked");
        discard(panic);
    }
}

/// Waits until everything is dropped that was left to the other thread before, for at most `limit`: a destructor may take
/// its time.
pub(crate) fn settle(limit: Duration) {
    if let Some(tasks) = UNDERTAKER.get().and_then(Option::as_ref) {
        let (tell, told) = mpsc::channel();
        if tasks.send(Task::Tell(tell)).is_ok() {
            let _in_time = told.recv_timeout(limit);
        }
    }
}

static UNDERTAKER: OnceLock<Option<Sender<Task>>> = OnceLock::new();

/// `None` if the system has no thread for that.
fn undertaker() -> Option<&'static Sender<Task>> {
    let started = UNDERTAKER.get_or_init(|| {
        let (tasks, work) = mpsc::channel();
        let thread = std::thread::Builder::new().name("mp-manager drops".to_owned());
        thread.spawn(move || run(&work)).ok().map(|_runs_on| tasks)
    });
    started.as_ref()
}

fn run(work: &Receiver<Task>) {
    // All that come within a while are looked at together: in a busy server one look is as good as a hundred.
    let mut suspects: Vec<Arc<Entry>> = Vec::new();
    let (mut look_at, mut patience) = (None::<Instant>, PATIENCE);
    loop {
        let task = match look_at {
            None => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => work.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match task {
            Ok(Task::Drop(object)) => bury(object),
            Ok(Task::Suspect(entry)) => {
                suspects.push(entry);
                look_at = look_at.or_else(|| Instant::now().checked_add(patience));
            }
            Ok(Task::Tell(tell)) => {
                look_at = None;
                look(&mut suspects);
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

fn look(suspects: &mut Vec<Arc<Entry>>) {
    suspects.iter().for_each(|entry| entry.clear_suspicion());
    Host::here().collect(mem::take(suspects));
}

/// How long a suspect waits for others.
const PATIENCE: Duration = Duration::from_millis(20);

/// Has an object be looked at that may keep itself alive.
pub(super) fn suspect(entry: Arc<Entry>) {
    if let Some(tasks) = undertaker() {
        let _taken = tasks.send(Task::Suspect(entry));
    }
}
