//! Pools as seen from outside, by one who changes nothing.

use mp_shared_memory::look::{Seen, Topic};

/// What a pool shows of itself. A task is what goes to a worker at once: of a `map`, a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPool {
    /// Its name.
    pub name: String,
    /// How many workers it is to have.
    pub processes: u64,
    /// How many it has.
    pub workers: u64,
    /// How many tasks wait for their turn in the memory of its process.
    pub waiting: u64,
    /// How many are on their way, in the hands of workers, or done and not reported.
    pub in_flight: u64,
    /// How many have an outcome.
    pub done: u64,
}

/// Reads a notice; `None` if it is not one of a pool.
pub fn read(seen: &Seen) -> Option<SeenPool> {
    let &[processes, workers, waiting, in_flight, submitted] = seen.words.as_slice() else {
        return None;
    };
    (seen.topic == Topic::Pool).then(|| SeenPool {
        name: seen.text.clone(),
        processes,
        workers,
        waiting,
        in_flight,
        done: submitted.saturating_sub(waiting).saturating_sub(in_flight),
    })
}
