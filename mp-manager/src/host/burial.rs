//! Where objects end that nothing refers to any more.
//!
//! What an object drops may be the last reference to others, and so on: they are dropped one after the other, not one
//! inside of the other, so a chain of any length ends.
//!
//! An object of this library is quickly dropped. One of the user has a destructor, which may take its time or never return.
//! So those that are due in a thread which has other things to do have a thread of their own: there they wait for each
//! other, and nothing else waits for them. In a thread that runs methods anyway they come after all others that are due.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mp_context::__private::discard;

use crate::call::Call;
use crate::host::collector;
use crate::host::departure::{self, Chore};
use crate::host::worker::{self, Task, Worker, do_each};
use crate::hosted::{Hosted, Reply};

/// What a thread drops itself.
#[derive(Clone, Copy)]
enum Duty {
    Everything,
    /// What has no destructor of the user.
    Quick,
    Nothing,
}

/// What a thread has still to drop, while it drops something.
struct Due {
    quick: Vec<Box<dyn Hosted>>,
    slow: Vec<Box<dyn Hosted>>,
    /// Whether the thread is at it, further down in its stack.
    at_quick: bool,
    at_slow: bool,
}

thread_local! {
    static DUTY: Cell<Duty> = const { Cell::new(Duty::Everything) };
    static DUE: RefCell<Due> = const { RefCell::new(Due::NONE) };
}

/// Runs destructors of the user.
static DESTRUCTORS: Worker<Box<dyn Hosted>> = Worker::new("mp-manager destructors", run);

fn run(objects: &Receiver<Task<Box<dyn Hosted>>>) {
    do_each(objects, bury);
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

/// Has this thread leave the dropping of objects to another one from now on.
pub(crate) fn leave_to_another() {
    DUTY.set(Duty::Nothing);
}

/// Has this thread leave objects of the user to another one from now on.
pub(super) fn leave_destructors_to_another() {
    DUTY.set(Duty::Quick);
}

/// Drops an object.
pub(super) fn bury(object: Box<dyn Hosted>) {
    let left = match DUTY.try_with(Cell::get).unwrap_or(Duty::Everything) {
        Duty::Nothing => return departure::leave(Chore::Drop(object)),
        Duty::Quick if object.has_destructor() => DESTRUCTORS.give(object),
        Duty::Quick | Duty::Everything => Err(object),
    };
    if let Err(object) = left {
        bury_here(object);
    }
}

impl Due {
    const NONE: Due = Due { quick: Vec::new(), slow: Vec::new(), at_quick: false, at_slow: false };

    fn add(&mut self, object: Box<dyn Hosted>) {
        if object.has_destructor() { &mut self.slow } else { &mut self.quick }.push(object);
    }

    /// What is to be dropped next. What is quick does not wait for the destructor that drops it, and nothing is dropped
    /// inside of what is quick.
    fn next(&mut self) -> Option<Box<dyn Hosted>> {
        if self.at_quick {
            return None;
        }
        if let Some(object) = self.quick.pop() {
            self.at_quick = true;
            return Some(object);
        }
        if self.at_slow {
            return None;
        }
        self.at_slow = !self.slow.is_empty();
        self.slow.pop()
    }

    fn is_dropped(&mut self, was_slow: bool) {
        *(if was_slow { &mut self.at_slow } else { &mut self.at_quick }) = false;
    }
}

/// Drops an object in this thread, whatever else that has to do.
pub(super) fn bury_here(object: Box<dyn Hosted>) {
    // The thread may be beyond the destructors of its variables.
    if DUE.try_with(|_| ()).is_err() {
        return end(object);
    }
    DUE.with_borrow_mut(|due| due.add(object));
    while let Some(object) = DUE.with_borrow_mut(Due::next) {
        let was_slow = object.has_destructor();
        end(object);
        DUE.with_borrow_mut(|due| due.is_dropped(was_slow));
    }
}

/// Drops one object, whose destructor may be code of the user.
fn end(object: Box<dyn Hosted>) {
    let type_name = object.type_name();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(object))) {
        log::error!("the destructor of an object of type {type_name} panicked");
        discard(panic);
    }
}

/// Waits until everything is dealt with that clients left behind who are gone, that is to be dropped, and that may be garbage,
/// for at most `limit`: a destructor may take its time.
pub(crate) fn settle(limit: Duration) {
    worker::settle_all(limit, |left| {
        departure::settle(left());
        collector::settle(left());
        DESTRUCTORS.settle(left());
    });
}
