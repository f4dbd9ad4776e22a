//! [`Ticket`]: what the session keeps for one item, as long as somebody answers for it.

use mp_reduction::Attachments;
use mp_shared_memory::{SharedMemoryError, SparseMemory};

/// The number under which attachments are parked, of an item that is not in the queue, yet or any more. Dropping it
/// has the session let go of them, also in a panic of what encodes or decodes.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    pub(crate) memory: &'a SparseMemory,
    pub(crate) number: u64,
}

impl<'a> Ticket<'a> {
    /// Has the session keep the attachments of an item of the queue with this memory.
    pub(crate) fn park(
        memory: &'a SparseMemory,
        attachments: &Attachments,
    ) -> Result<Ticket<'a>, SharedMemoryError> {
        let number = memory.park(attachments)?;
        Ok(Ticket { memory, number })
    }

    /// The item is in the queue, and answers for them.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // A root that cannot be reached lets go of them with the queue, or has ended.
        let _kept_as_long_as_the_queue = self.memory.unpark(self.number);
    }
}
