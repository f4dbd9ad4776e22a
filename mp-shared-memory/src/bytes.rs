//! [`Bytes`]: memory of any length, and how it travels.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use mp_reduction::transfer;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::SharedMemoryError as Error;
use crate::heap;
use crate::object::{Hold, Object, ObjectId, Wire};
use crate::region::{Kind, ShmLayout};
use crate::segment::{self, Segment};
use crate::session::{self, token};
use crate::sys::layout::Control;
use crate::sys::memfd;

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
    Segment {
        control: Object<Control>,
        segment: Arc<Segment>,
    },
}

#[derive(Serialize, Deserialize)]
enum BytesWire {
    Block(Wire),
    Segment(Wire, usize),
}

impl<const KIND: Kind> Bytes<KIND> {
    pub(crate) fn create(len: usize) -> Result<Bytes<KIND>, Error> {
        if len <= heap::MAX_LEN {
            return Ok(Bytes::of_block(Hold::create(KIND, len)?));
        }
        let segment = Segment::create(len)?;
        let control = Object::<Control>::create()?;
        control.len.store(len as u64, Ordering::Relaxed);
        let nonce = memfd::random().map_err(Error::system("get random bytes"))?;
        control.nonce.store(nonce, Ordering::Relaxed);
        control.kind.store(KIND, Ordering::Relaxed);
        Ok(Bytes(Place::Segment { control, segment }))
    }

    pub(crate) fn get(&self) -> &[AtomicU8] {
        match &self.0 {
            Place::Block(hold, len) => hold.bytes(*len),
            Place::Segment { segment, .. } => segment.bytes(),
        }
    }

    /// What tells these bytes from all others.
    pub(crate) fn id(&self) -> ObjectId {
        match &self.0 {
            Place::Block(hold, _) => hold.id(),
            Place::Segment { control, .. } => control.id(),
        }
    }

    pub(crate) fn is_same(&self, other: &Bytes<KIND>) -> bool {
        std::ptr::eq(self.get().as_ptr(), other.get().as_ptr())
    }

    pub(crate) fn token(&self) -> Result<String, Error> {
        match &self.0 {
            Place::Block(hold, _) => hold.token(KIND),
            Place::Segment { control, segment } => {
                let token = control.token()?;
                let nonce = control.nonce.load(Ordering::Relaxed);
                session::register(&control.is_registered, control.session(), nonce, segment.fd())?;
                Ok(token)
            }
        }
    }

    pub(crate) fn from_token(text: &str) -> Result<Bytes<KIND>, Error> {
        if token::read(text, KIND).is_ok() {
            return Ok(Bytes::of_block(Hold::from_token(text, KIND, None)?));
        }
        let control = Object::<Control>::from_token(text)?;
        let fd = session::resolve(control.session(), control.nonce.load(Ordering::Relaxed))?;
        Bytes::of_segment(control, |len| Segment::attach(fd.as_fd(), len))
    }

    #[cfg(test)]
    pub(crate) fn as_owner(&self) -> Option<session::parking::Owner<'_>> {
        let Place::Segment { control, segment } = &self.0 else { return None };
        Some(session::parking::Owner {
            session: control.session(),
            nonce: control.nonce.load(Ordering::Relaxed),
            is_registered: &control.is_registered,
            fd: segment.fd(),
        })
    }

    fn of_block(hold: Hold) -> Bytes<KIND> {
        let len = hold.len();
        Bytes(Place::Block(Arc::new(hold), len))
    }

    fn of_segment(
        control: Object<Control>,
        attach: impl FnOnce(usize) -> Result<Arc<Segment>, Error>,
    ) -> Result<Bytes<KIND>, Error> {
        if control.kind.load(Ordering::Relaxed) != KIND {
            return Err(Error::foreign("it is memory of another kind"));
        }
        let len = usize::try_from(control.len.load(Ordering::Relaxed));
        let segment = attach(len.map_err(|_| Error::foreign("its length is absurd"))?)?;
        Ok(Bytes(Place::Segment { control, segment }))
    }
}

impl<const KIND: Kind> Serialize for Bytes<KIND> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match &self.0 {
            Place::Block(hold, _) => hold.to_wire().map(BytesWire::Block),
            Place::Segment { control, segment } => control.hold().to_wire().and_then(|wire| {
                let make = || segment.for_message();
                let done = |_: BorrowedFd<'_>| Ok::<(), Error>(());
                let (key, byte) = (segment.identity(), segment::IN_USE.start);
                let attachment = transfer::attach_shared(key, byte, make, done)?;
                Ok(BytesWire::Segment(wire, attachment))
            }),
        };
        wire.map_err(|error| S::Error::custom(error.in_full()))?.serialize(serializer)
    }
}

impl<'de, const KIND: Kind> Deserialize<'de> for Bytes<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes<KIND>, D::Error> {
        let bytes = match BytesWire::deserialize(deserializer)? {
            BytesWire::Block(wire) => Hold::from_wire(&wire, KIND, None).map(Bytes::of_block),
            BytesWire::Segment(wire, attachment) => {
                let len = Some(size_of::<Control>());
                Hold::from_wire(&wire, Control::KIND, len).and_then(|hold| {
                    Bytes::of_segment(Object::of(hold), |len| {
                        transfer::with_attachment(attachment, |fd| Segment::attach(fd, len))
                            .ok_or(Error::foreign("its memory did not come with the message"))?
                    })
                })
            }
        };
        bytes.map_err(|error| D::Error::custom(error.in_full()))
    }
}
