//! A task, from the call that makes it to the one who is told of its outcome.

use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mp_context::__private::{Job, discard};
use mp_queues::QueueError;
use mp_reduction::{Attachments, EncodeError};

use crate::error::PoolError;
use crate::message::TaskHead;
use crate::options::TaskOptions;
use crate::order::{Order, place_of};

/// Who is told of the outcomes of tasks.
pub(crate) trait Sink: Send + Sync {
    /// Takes the outcome of a part of what it waits for, which it knows by its number.
    fn settle(&self, part: usize, outcome: Outcome<'_>);
}

/// What came of a task.
pub(crate) enum Outcome<'a> {
    /// A worker has run it.
    Ran(Ran<'a>),
    Failed(PoolError),
}

/// What a worker says of a task.
pub(crate) struct Ran<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) attachments: Result<Attachments, QueueError>,
    pub(crate) worker: &'a dyn Fn() -> String,
}

/// A task without an outcome.
pub(crate) struct Task {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) part: usize,
    pub(crate) head: TaskHead,
    /// Room for the head, and the encoded arguments; empty if they are not needed again.
    pub(crate) message: Vec<u8>,
    pub(crate) attachments: Attachments,
    pub(crate) retries: u32,
    pub(crate) idempotent: bool,
    /// What it will have failed with when its worker is dead, for it was killed for that.
    pub(crate) verdict: Option<PoolError>,
}

impl Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({:?})", self.head)
    }
}

impl Task {
    /// A task with the arguments that `encode` appends, about `len` bytes.
    pub(crate) fn new(
        (sink, part): (Arc<dyn Sink>, usize),
        (job, function): (Job, &'static str),
        options: &TaskOptions,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, EncodeError>,
    ) -> Result<Task, PoolError> {
        let order = Order::new(place_of(job, function)?, options);
        Task::ordered((sink, part), &order, len, encode)
    }

    /// One whose function is known by its place alone.
    pub(crate) fn ordered(
        (sink, part): (Arc<dyn Sink>, usize),
        order: &Order,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, EncodeError>,
    ) -> Result<Task, PoolError> {
        let head = TaskHead::new(order.job, order.limits);
        let mut message = Vec::with_capacity(TaskHead::LEN + len);
        message.resize(TaskHead::LEN, 0);
        let attachments = encode(&mut message).map_err(PoolError::Encode)?;
        let (retries, idempotent) = (order.retries, order.idempotent);
        Ok(Task { sink, part, head, message, attachments, retries, idempotent, verdict: None })
    }
}

/// Tells a sink. What it drops, and what it runs, is code of the user: a panic in that is logged and ends here.
pub(crate) fn tell(sink: Arc<dyn Sink>, part: usize, outcome: Outcome<'_>) {
    let told = catch_unwind(AssertUnwindSafe(move || sink.settle(part, outcome)));
    if let Err(panic) = told {
        log::error!("a pool tells of a result, and something in that panics");
        discard(panic);
    }
}
