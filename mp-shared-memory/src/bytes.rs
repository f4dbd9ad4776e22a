//! [`Bytes`]: memory of any length, and how it travels.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::SharedMemoryError as Error;
use crate::heap;
use crate::object::{Hold, ObjectId, Wire};
use crate::own_memory::{OwnMemory, OwnWire};
use crate::region::Kind;
use crate::segment::Segment;
#[cfg(test)]
use crate::session::parking::Owner;
use crate::session::token;
use crate::sys::map::Map;

/// Bytes in shared memory: in a block when they are few, else in memory of their own. They are of one kind, and
/// a handle to bytes of one kind is none to those of another.
#[derive(Clone, Debug)]
pub(crate) struct Bytes<const KIND: Kind>(Place);

/// Bytes that are stored to at any time.
pub(crate) const PLAIN: Kind = u32::from_le_bytes(*b"byte");

#[derive(Clone, Debug)]
enum Place {
    /// Its length is what was in the block when it was made or decoded.
    Block(Arc<Hold>, usize),
    Own(OwnMemory<Map>),
}

#[derive(Serialize, Deserialize)]
enum BytesWire {
    Block(Wire),
    Own(OwnWire),
}

impl<const KIND: Kind> Bytes<KIND> {
    #[track_caller]
    pub(crate) fn create(len: usize) -> Result<Bytes<KIND>, Error> {
        if len <= heap::MAX_LEN {
            return Ok(Bytes::of_block(Hold::create(KIND, len)?));
        }
        Ok(Bytes(Place::Own(OwnMemory::create(KIND, Segment::create(len)?)?)))
    }

    pub(crate) fn get(&self) -> &[AtomicU8] {
        match &self.0 {
            Place::Block(hold, len) => hold.bytes(*len),
            Place::Own(memory) => memory.segment().bytes(),
        }
    }

    /// What tells these bytes from all others.
    pub(crate) fn id(&self) -> ObjectId {
        match &self.0 {
            Place::Block(hold, _) => hold.id(),
            Place::Own(memory) => memory.id(),
        }
    }

    pub(crate) fn is_same(&self, other: &Bytes<KIND>) -> bool {
        std::ptr::eq(self.get().as_ptr(), other.get().as_ptr())
    }

    pub(crate) fn token(&self) -> Result<String, Error> {
        match &self.0 {
            Place::Block(hold, _) => hold.token(KIND),
            Place::Own(memory) => memory.token(),
        }
    }

    pub(crate) fn from_token(text: &str) -> Result<Bytes<KIND>, Error> {
        if token::read(text, KIND).is_ok() {
            return Ok(Bytes::of_block(Hold::from_token(text, KIND, None)?));
        }
        OwnMemory::from_token(text, KIND).map(|memory| Bytes(Place::Own(memory)))
    }

    #[cfg(test)]
    pub(crate) fn as_owner(&self) -> Option<Owner<'_>> {
        let Place::Own(memory) = &self.0 else { return None };
        Some(memory.as_owner())
    }

    fn of_block(hold: Hold) -> Bytes<KIND> {
        let len = hold.len();
        Bytes(Place::Block(Arc::new(hold), len))
    }
}

impl<const KIND: Kind> Serialize for Bytes<KIND> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match &self.0 {
            Place::Block(hold, _) => hold.to_wire().map(BytesWire::Block),
            Place::Own(memory) => memory.to_wire().map(BytesWire::Own),
        };
        wire.map_err(|error| S::Error::custom(mp_reduction::in_full(&error)))?.serialize(serializer)
    }
}

impl<'de, const KIND: Kind> Deserialize<'de> for Bytes<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes<KIND>, D::Error> {
        let bytes = match BytesWire::deserialize(deserializer)? {
            BytesWire::Block(wire) => Hold::from_wire(&wire, KIND, None).map(Bytes::of_block),
            BytesWire::Own(wire) => {
                OwnMemory::from_wire(&wire, KIND).map(|memory| Bytes(Place::Own(memory)))
            }
        };
        bytes.map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}
