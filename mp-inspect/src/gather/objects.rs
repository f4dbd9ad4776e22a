//! Locks and queues, with those who have them and wait for them.

use mp_queues::look::Purpose;
use mp_shared_memory::look::SeenArena;

use super::memory::{self, Memory};
use super::names::Names;
use super::waits::Waits;
use crate::report::{QueueReport, SyncReport};

/// What is shared in a session, as far as anybody has it.
pub(super) fn read(
    memory: &Memory,
    names: &Names,
    waits: &Waits,
) -> (Vec<SyncReport>, Vec<QueueReport>) {
    let (mut locks, mut queues) = (Vec::new(), Vec::new());
    for object in memory.arenas().flat_map(SeenArena::objects) {
        let id = memory::name(&object);
        let made_by = object.creator().map_or_else(|| "unknown".to_owned(), |peer| peer.name);
        let (place, handles) = (object.place(), object.holders().len());
        if handles == 0 && !object.is_in_message() {
            continue; // the dead held it
        }
        if let Some(seen) = mp_sync::look::read(&object) {
            locks.push(SyncReport {
                place,
                made_by,
                handles,
                kind: seen.kind.to_owned(),
                holders: seen.owners.iter().map(|owner| names.holder(owner)).collect(),
                state: seen.state,
                waiters: waits.at(&id),
                id,
            });
        } else if let Some(seen) = mp_queues::look::read(&object)
            && seen.purpose == Purpose::Program
        {
            queues.push(QueueReport {
                place,
                made_by,
                handles,
                items: seen.items,
                max_items: seen.max_items,
                bytes: seen.bytes,
                max_bytes: seen.max_bytes,
                put: seen.put,
                unfinished: seen.unfinished,
                waiters: waits.at(&id),
                id,
            });
        }
    }
    locks.sort_by(|a, b| (&a.place, &a.id).cmp(&(&b.place, &b.id)));
    queues.sort_by(|a, b| (&a.place, &a.id).cmp(&(&b.place, &b.id)));
    (locks, queues)
}
