//! The claims on all tasks that are on their way, in memory that the pool and its workers share.

use std::sync::atomic::AtomicU32;

use mp_queues::QueueError;
use mp_shared_memory::SparseMemory;
use serde::{Deserialize, Serialize};

use crate::state::claim::ClaimWord;

const WORD: usize = size_of::<u32>();

/// A word for each task that can be on its way; clones are handles to the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(SparseMemory);

impl Claims {
    /// Words that are all free.
    pub(crate) fn new(count: u32) -> Result<Claims, QueueError> {
        let len = count as usize * WORD;
        let memory = SparseMemory::create(len, len)?;
        memory.reserve(0, len)?;
        Ok(Claims(memory))
    }

    /// The word with this number, which may come from a message; `None` if there is none.
    pub(crate) fn word(&self, slot: u32) -> Option<ClaimWord<&AtomicU32>> {
        self.0.word((slot as usize).checked_mul(WORD)?).ok().map(ClaimWord)
    }
}
