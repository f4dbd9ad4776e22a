//! Locks and their kin as seen from outside: by one who is no peer of theirs and changes nothing.

use mp_shared_memory::look::SeenObject;
use mp_shared_memory::{MemberId, Peer};

use crate::lock::LockState;
use crate::state::barrier::BarrierState;
use crate::state::condition::ConditionState;
use crate::state::event::EventState;
use crate::state::rlock::RLockState;
use crate::state::semaphore::SemaphoreState;
pub use crate::waiting::{SeenThread, SeenWait, What, now, read as read_thread};

/// Who has a lock, or permits of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenOwner {
    /// The process.
    pub process: Peer,
    /// Whether it lives; who wants the lock of a dead one takes it over.
    pub is_alive: bool,
    /// The number of the thread, where it is known.
    pub thread: Option<u32>,
    /// How often it has it.
    pub times: u32,
}

/// What a lock or one of its kin is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSync {
    /// What it is.
    pub kind: &'static str,
    /// Who has it.
    pub owners: Vec<SeenOwner>,
    /// Whether the owner has leaked its guard, so that others may release it.
    pub is_leaked: bool,
    /// What else is to be said of it.
    pub state: String,
}

fn owner(object: &SeenObject<'_>, id: MemberId, thread: u32, times: u32) -> SeenOwner {
    let unknown = || Peer { pid: 0, name: "unknown".to_owned() };
    SeenOwner {
        process: object.process(id).unwrap_or_else(unknown),
        is_alive: object.is_alive(id),
        thread: Some(thread).filter(|thread| *thread > 0),
        times,
    }
}

fn held(owners: &[SeenOwner]) -> String {
    (if owners.is_empty() { "free" } else { "held" }).to_owned()
}

/// Reads an object; `None` if it is nothing of this crate.
pub fn read(object: &SeenObject<'_>) -> Option<SeenSync> {
    let (mut owners, mut is_leaked, mut state) = (Vec::new(), false, String::new());
    let kind = if let Some(lock) = object.get::<LockState>() {
        owners.extend(lock.seen_owner().map(|(id, thread)| owner(object, id, thread, 1)));
        is_leaked = lock.is_leaked();
        state = held(&owners);
        "Lock"
    } else if let Some(lock) = object.get::<RLockState>() {
        owners.extend(lock.lock.owner().map(|id| {
            let (thread, times) = lock.held_by(id);
            owner(object, id, thread, times)
        }));
        state = held(&owners);
        "RLock"
    } else if let Some(semaphore) = object.get::<SemaphoreState>() {
        let permits = semaphore.holders();
        owners.extend(permits.map(|(id, times)| owner(object, id, 0, times)));
        state = format!("value {}", semaphore.value());
        if semaphore.bound() < crate::state::semaphore::MAX_VALUE {
            state.push_str(&format!(" of {}", semaphore.bound()));
            "BoundedSemaphore"
        } else {
            "Semaphore"
        }
    } else if let Some(condition) = object.get::<ConditionState>() {
        state = format!("{} waiting", condition.waiting());
        "Condition"
    } else if let Some(event) = object.get::<EventState>() {
        (if event.is_set() { "set" } else { "not set" }).clone_into(&mut state);
        "Event"
    } else {
        let barrier = object.get::<BarrierState>()?;
        state = format!("{} of {} arrived", barrier.waiting(), barrier.parties());
        if barrier.is_broken() {
            state.push_str(", broken");
        }
        "Barrier"
    };
    Some(SeenSync { kind, owners, is_leaked, state })
}
