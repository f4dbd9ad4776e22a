//! Queues as seen from outside: by one who is no peer of theirs and changes nothing.

use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;

use mp_shared_memory::look::SeenObject;
use mp_shared_memory::{MemberId, Peer};

use crate::frame::UNIT;
pub use crate::purpose::Purpose;
use crate::state::chain::{ChainState, Line};
use crate::state::position::Published;
use crate::state::unfinished::Unfinished;

/// What a thread waits for that sleeps on a word of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenWait {
    /// An item to get.
    Item,
    /// Room to put one.
    Room,
    /// Its turn at one of the ends.
    Turn,
    /// That all items are done.
    Join,
}

/// What a queue is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenQueue {
    /// Whose it is.
    pub purpose: Purpose,
    /// How many items are in it, or one more or less while some move.
    pub items: u64,
    /// How many there may be.
    pub max_items: Option<u64>,
    /// How many bytes they take, headers included.
    pub bytes: u64,
    /// How many there may be.
    pub max_bytes: Option<u64>,
    /// How many items were ever put.
    pub put: u64,
    /// How many items are not done, once any was: it is a `JoinableQueue` then.
    pub unfinished: Option<u64>,
    /// Who is just putting something in, or getting something out.
    pub inside: Vec<Peer>,
}

/// Reads an object; `None` if it is no queue.
pub fn read(object: &SeenObject<'_>) -> Option<SeenQueue> {
    let state = object.get::<ChainState>()?;
    let (got, put) = state.counts();
    let units = state.limits.0.units.load(Relaxed);
    let peer = |id: MemberId| object.is_alive(id).then(|| object.process(id))?;
    Some(SeenQueue {
        purpose: Purpose::from_word(state.limits.0.purpose.load(Relaxed)),
        items: put.saturating_sub(got),
        max_items: Some(state.limits.0.items.load(Relaxed)).filter(|items| *items > 0),
        bytes: u64::from(state.units()) * UNIT as u64,
        max_bytes: (units < i32::MAX as u32).then(|| u64::from(units) * UNIT as u64),
        put,
        unfinished: state.unfinished.0.seen(put),
        inside: state.owners().filter_map(peer).collect(),
    })
}

/// What somebody waits for who sleeps on the word at `offset` of a queue.
pub fn wait_at(offset: usize) -> SeenWait {
    let is_in = |start: usize, len: usize| (start..start + len).contains(&offset);
    if is_in(offset_of!(ChainState, tail_at), size_of::<Line<Published>>()) {
        SeenWait::Item
    } else if is_in(offset_of!(ChainState, head_at), size_of::<Line<Published>>()) {
        SeenWait::Room
    } else if is_in(offset_of!(ChainState, unfinished), size_of::<Line<Unfinished>>()) {
        SeenWait::Join
    } else {
        SeenWait::Turn
    }
}
