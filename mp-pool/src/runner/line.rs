//! What goes between a runner and its process, as it lies in the two queues.
//!
//! A message is a byte that says what it is, and a value or a text behind it. Neither side numbers anything:
//! calls are answered one by one in their order, so the place of a message is its number.

use mp_queues::QueueError;
use mp_queues::parts::{Messages, Purpose};
use mp_shared_memory::RawValue;
use serde::{Deserialize, Serialize};

/// What comes first in a message to the process.
pub(super) mod to_worker {
    /// A call; its arguments follow.
    pub(crate) const CALL: u8 = 0;
    /// There are no more calls.
    pub(crate) const END: u8 = 1;
}

/// What comes first in a message from the process.
pub(super) mod to_runner {
    /// The object is there.
    pub(crate) const READY: u8 = 0;
    /// The calls are done, and the object is about to be finished.
    pub(crate) const FINISHING: u8 = 1;
    /// A call returned the value that follows.
    pub(crate) const RETURNED: u8 = 2;
    /// A call raised the error that follows, or panicked.
    pub(crate) const RAISED: u8 = 3;
    /// The arguments of a call are no such values; a text says why.
    pub(crate) const ARGUMENTS_LOST: u8 = 4;
    /// What a call returned cannot be sent; a text says why.
    pub(crate) const RESULT_LOST: u8 = 5;
}

/// Both queues, as the two sides share them. Neither has a limit: who puts something never waits for the
/// other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) calls: Messages,
    pub(super) results: Messages,
    /// Not zero when nobody will ask for results any more.
    unwanted: RawValue<u8>,
}

impl Line {
    pub(super) fn new() -> Result<Line, QueueError> {
        let unwanted = RawValue::new(0)?;
        Ok(Line {
            calls: Messages::new(Purpose::Pool)?,
            results: Messages::new(Purpose::Pool)?,
            unwanted,
        })
    }

    /// Says that nobody will ask for results any more.
    pub(super) fn hang_up(&self) {
        self.unwanted.set(1);
    }

    /// Whether somebody may ask for a result.
    pub(super) fn is_heard(&self) -> bool {
        self.unwanted.get() == 0
    }
}
