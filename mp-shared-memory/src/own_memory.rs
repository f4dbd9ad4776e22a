//! [`OwnMemory`]: a block of an arena that stands for memory of its own, and how the two travel together.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mp_reduction::transfer;
use serde::{Deserialize, Serialize};

use crate::error::SharedMemoryError as Error;
use crate::object::{Object, ObjectId, Wire};
use crate::region::Kind;
use crate::segment::{self, Mapping, Segment};
use crate::session;
use crate::session::parking::Owner;
use crate::sys::layout::Control;
use crate::sys::memfd;

/// Memory of its own, of one kind: a handle to memory of another kind is none to it.
#[derive(Debug)]
pub(crate) struct OwnMemory<M: Mapping> {
    control: Object<Control>,
    segment: Arc<Segment<M>>,
}

/// It in an encoded value: its block, and which attachment its memory is.
#[derive(Serialize, Deserialize)]
pub(crate) struct OwnWire(Wire, usize);

impl<M: Mapping> OwnMemory<M> {
    /// Has a new block stand for memory that nobody else has yet.
    #[track_caller]
    pub(crate) fn create(kind: Kind, segment: Arc<Segment<M>>) -> Result<OwnMemory<M>, Error> {
        let control = Object::<Control>::create()?;
        control.len.store(segment.len() as u64, Ordering::Relaxed);
        let nonce = memfd::random().map_err(Error::system("get random bytes"))?;
        control.nonce.store(nonce, Ordering::Relaxed);
        control.kind.store(kind, Ordering::Relaxed);
        Ok(OwnMemory { control, segment })
    }

    fn of(
        control: Object<Control>,
        kind: Kind,
        attach: impl FnOnce(usize) -> Result<Arc<Segment<M>>, Error>,
    ) -> Result<OwnMemory<M>, Error> {
        if control.kind.load(Ordering::Relaxed) != kind {
            return Err(Error::foreign("it is memory of another kind"));
        }
        let len = usize::try_from(control.len.load(Ordering::Relaxed));
        let segment = attach(len.map_err(|_| Error::foreign("its length is absurd"))?)?;
        Ok(OwnMemory { control, segment })
    }

    pub(crate) fn segment(&self) -> &Segment<M> {
        &self.segment
    }

    /// What tells it from all others.
    pub(crate) fn id(&self) -> ObjectId {
        self.control.id()
    }

    /// It, as the session knows it.
    pub(crate) fn as_owner(&self) -> Owner<'_> {
        Owner {
            session: self.control.session(),
            nonce: self.control.nonce.load(Ordering::Relaxed),
            is_registered: &self.control.is_registered,
            fd: self.segment.fd(),
        }
    }

    pub(crate) fn token(&self) -> Result<String, Error> {
        let token = self.control.token()?;
        let Owner { session, nonce, is_registered, fd } = self.as_owner();
        session::register(is_registered, session, nonce, fd)?;
        Ok(token)
    }

    pub(crate) fn from_token(text: &str, kind: Kind) -> Result<OwnMemory<M>, Error> {
        let control = Object::<Control>::from_token(text)?;
        let fd = session::resolve(control.session(), control.nonce.load(Ordering::Relaxed))?;
        OwnMemory::of(control, kind, |len| Segment::attach(fd.as_fd(), len))
    }

    pub(crate) fn to_wire(&self) -> Result<OwnWire, Error> {
        let wire = self.control.hold().to_wire()?;
        let (key, byte) = (self.segment.identity(), segment::IN_USE.start);
        let done = |_: BorrowedFd<'_>| Ok::<(), Error>(());
        let make = || segment::open_in_use(self.segment.fd());
        let attachment = transfer::attach_shared(key, byte, make, done)?;
        Ok(OwnWire(wire, attachment))
    }

    pub(crate) fn from_wire(wire: &OwnWire, kind: Kind) -> Result<OwnMemory<M>, Error> {
        let OwnWire(block, attachment) = wire;
        OwnMemory::of(Object::from_wire(block)?, kind, |len| {
            transfer::with_attachment(*attachment, |fd| Segment::attach(fd, len))
                .ok_or(Error::foreign("its memory did not come with the message"))?
        })
    }
}

impl<M: Mapping> Clone for OwnMemory<M> {
    fn clone(&self) -> OwnMemory<M> {
        OwnMemory { control: self.control.clone(), segment: Arc::clone(&self.segment) }
    }
}
