//! Faults that are made on purpose, to see that a storm notices them. No user needs them.

use serde::{Deserialize, Serialize};

use crate::scenes::Kind;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sabotage {
    /// A consumer gets an item and does not note it.
    LoseItem,
    /// A consumer notes an item twice.
    RepeatItem,
    /// Somebody keeps a lock locked.
    LeakLock,
    /// Somebody counts what it has not done.
    Miscount,
    /// Somebody keeps a permit.
    KeepPermit,
    /// A task gives a wrong result.
    WrongResult,
    /// The director keeps an object of a server.
    KeepObject,
    /// A record does not come.
    SwallowRecord,
    /// The director forgets a child.
    ForgetChild,
    /// The director keeps a descriptor.
    KeepDescriptor,
    /// The director keeps an object that has no lock.
    KeepMemory,
    /// An actor panics.
    Panic,
    /// An actor ends by a signal that nobody sent.
    Abort,
    /// An actor never ends.
    Hang,
}

/// Each with its word on the command line, and the scene in which it can be seen.
const SABOTAGES: [(&str, Sabotage, Kind); 14] = [
    ("lose-item", Sabotage::LoseItem, Kind::Queue),
    ("repeat-item", Sabotage::RepeatItem, Kind::Queue),
    ("leak-lock", Sabotage::LeakLock, Kind::Locks),
    ("miscount", Sabotage::Miscount, Kind::Locks),
    ("keep-permit", Sabotage::KeepPermit, Kind::Permits),
    ("wrong-result", Sabotage::WrongResult, Kind::Pool),
    ("keep-object", Sabotage::KeepObject, Kind::Server),
    ("swallow-record", Sabotage::SwallowRecord, Kind::Tree),
    ("forget-child", Sabotage::ForgetChild, Kind::Locks),
    ("keep-descriptor", Sabotage::KeepDescriptor, Kind::Locks),
    ("keep-memory", Sabotage::KeepMemory, Kind::Memory),
    ("panic", Sabotage::Panic, Kind::Locks),
    ("abort", Sabotage::Abort, Kind::Locks),
    ("hang", Sabotage::Hang, Kind::Locks),
];

impl Sabotage {
    /// The names of all.
    pub(crate) fn names() -> String {
        SABOTAGES.map(|(name, ..)| name).join(", ")
    }

    /// The one of this name, and its scene.
    pub(crate) fn named(word: &str) -> Option<(Sabotage, Kind)> {
        let found = SABOTAGES.iter().find(|(name, ..)| *name == word)?;
        Some((found.1, found.2))
    }
}
