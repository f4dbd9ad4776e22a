//! Handles: a reference of this process to a block, typed or as bytes, and how it travels.

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use mp_reduction::transfer;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::arena::{Arena, BlockId};
use crate::error::SharedMemoryError as Error;
use crate::heap;
use crate::member::{MemberId, Peer};
use crate::region::{Kind, ShmLayout};
use crate::segment::Segment;
use crate::session::{self, token};
use crate::sys::map::{Map, View};
use crate::sys::memfd;

/// One reference of this process to a block.
#[derive(Debug)]
struct Hold {
    arena: Arc<Arena>,
    id: BlockId,
}

/// A block in an encoded value: which attachment its arena is, and the block.
#[derive(Serialize, Deserialize)]
struct Wire(usize, u32, u32);

impl Hold {
    fn create(kind: Kind, len: usize) -> Result<Hold, Error> {
        let (arena, id) = heap::allocate(kind, len)?;
        Ok(Hold { arena, id })
    }

    fn acquire(
        arena: Arc<Arena>,
        id: BlockId,
        kind: Kind,
        len: Option<usize>,
    ) -> Result<Hold, Error> {
        arena.acquire(id, kind, len)?;
        Ok(Hold { arena, id })
    }

    fn to_wire(&self) -> Result<Wire, Error> {
        let reopen = || memfd::reopen(self.arena.fd()).map_err(Error::system("open shared memory"));
        let lock = |fd: BorrowedFd<'_>| self.arena.lock_for_message(fd, self.id.block);
        let attachment = transfer::attach_shared(self.arena.identity(), reopen, lock)?;
        Ok(Wire(attachment, self.id.block, self.id.generation))
    }

    fn from_wire(wire: &Wire, kind: Kind, len: Option<usize>) -> Result<Hold, Error> {
        let &Wire(attachment, block, generation) = wire;
        let arena = transfer::with_attachment(attachment, Arena::attach);
        let arena = arena.ok_or(Error::foreign("its memory did not come with the message"))??;
        Hold::acquire(arena, BlockId { block, generation }, kind, len)
    }

    fn token(&self, kind: Kind) -> Result<String, Error> {
        self.arena.mark_shared(self.id.block);
        session::register_arena(&self.arena)?;
        Ok(token::write(self.arena.session(), kind, self.arena.nonce(), self.id))
    }

    fn from_token(text: &str, kind: Kind, len: Option<usize>) -> Result<Hold, Error> {
        let (session, nonce, id) = token::read(text, kind)?;
        let arena = Arena::attach(session::resolve(session, nonce)?.as_fd())?;
        if arena.nonce() != nonce {
            return Err(Error::foreign("its session gave other memory"));
        }
        Hold::acquire(arena, id, kind, len)
    }
}

impl AsRef<Map> for Hold {
    fn as_ref(&self) -> &Map {
        self.arena.as_ref().as_ref()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.arena.release(self.id.block);
    }
}

/// A handle to an object in shared memory; clones are handles to the same object.
///
/// It goes into messages and tokens as a reference, not as a copy, and the object lives as long as any
/// handle, or any message with one in it, anywhere. A process that is killed gives up its own.
///
/// This is what the types of `mp-sync` and `mp-queues` are made of.
///
/// # Examples
///
/// ```
/// # mod layout { // a `ShmLayout` is unsafe to implement
/// # use std::sync::atomic::AtomicU64;
/// #[repr(C)]
/// pub struct Hits(pub AtomicU64);
/// // SAFETY: one atomic, `repr(C)`, and zero hits are a number of hits.
/// unsafe impl mp_shared_memory::ShmLayout for Hits {
///     const KIND: u32 = u32::from_le_bytes(*b"hits");
/// }
/// # }
/// # use layout::Hits;
/// # use std::sync::atomic::Ordering::Relaxed;
/// let hits = mp_shared_memory::Object::<Hits>::create()?;
/// let message = mp_reduction::encode(&hits)?; // for another process
/// let same: mp_shared_memory::Object<Hits> = message.decode()?;
/// same.0.fetch_add(1, Relaxed);
/// assert_eq!(hits.0.load(Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Object<T: ShmLayout> {
    view: View<T, Hold>,
}

impl<T: ShmLayout> Object<T> {
    /// A new object, all of its bytes zero.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is no memory for it; nothing is taken then.
    pub fn create() -> Result<Object<T>, Error> {
        const { assert!(size_of::<T>() <= heap::MAX_LEN, "longer than MAX_LEN") };
        Ok(Object::of(Hold::create(T::KIND, size_of::<T>())?))
    }

    fn of(hold: Hold) -> Object<T> {
        let offset = hold.arena.payload_at(hold.id.block);
        Object { view: View::new(Arc::new(hold), offset) }
    }

    fn hold(&self) -> &Hold {
        self.view.keep()
    }

    /// This process, as words of this object name it.
    pub fn me(&self) -> MemberId {
        self.hold().arena.me()
    }

    /// Whether a process that a word of this object names lives. Costs a system call, unless it is this
    /// one.
    ///
    /// A process that has dropped all its handles to objects of the same creator counts as gone.
    pub fn is_alive(&self, id: MemberId) -> bool {
        self.hold().arena.is_alive(id)
    }

    /// The pid and name of a process that a word of this object names, also after its death; `None`
    /// once a thousand other processes have come since.
    pub fn process(&self, id: MemberId) -> Option<Peer> {
        self.hold().arena.process(id)
    }

    /// Keeps this process alive in the eyes of others until it ends, whatever handles it drops.
    pub fn pin(&self) {
        std::mem::forget(Arc::clone(&self.hold().arena));
    }

    /// Whether both are handles to the same object.
    pub fn is_same(&self, other: &Object<T>) -> bool {
        let (mine, theirs) = (self.hold(), other.hold());
        Arc::ptr_eq(&mine.arena, &theirs.arena) && mine.id == theirs.id
    }

    /// A text from which any process of the same user on this machine can make a handle, while the
    /// object lives and the process at the root of the session does. The text itself keeps neither.
    ///
    /// # Errors
    ///
    /// [`SessionUnreachable`](Error::SessionUnreachable) when the root is gone or does not answer.
    pub fn token(&self) -> Result<String, Error> {
        self.hold().token(T::KIND)
    }

    /// The handle that a [`token`](Object::token) stands for.
    ///
    /// # Errors
    ///
    /// [`Foreign`](Error::Foreign) for a text that is no token of such an object,
    /// [`Gone`](Error::Gone) when the object is gone, and as `token`.
    pub fn from_token(token: &str) -> Result<Object<T>, Error> {
        Ok(Object::of(Hold::from_token(token, T::KIND, Some(size_of::<T>()))?))
    }
}

impl<T: ShmLayout> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.view.get()
    }
}

impl<T: ShmLayout> Clone for Object<T> {
    fn clone(&self) -> Object<T> {
        Object { view: self.view.clone() }
    }
}

impl<T: ShmLayout> Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({:?})", self.hold().id)
    }
}

impl<T: ShmLayout> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.hold().to_wire().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: ShmLayout> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let hold = Hold::from_wire(&wire, T::KIND, Some(size_of::<T>()));
        hold.map(Object::of).map_err(D::Error::custom)
    }
}

/// Bytes in shared memory: in a block when they are few, else in memory of their own.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(Place);

#[derive(Clone, Debug)]
enum Place {
    /// Its length is what was in the block when it was made or decoded.
    Block(Arc<Hold>, usize),
    Segment {
        control: Object<Control>,
        segment: Arc<Segment>,
    },
}

/// The block that stands for memory of its own.
#[repr(C)]
pub(crate) struct Control {
    pub(crate) len: AtomicU64,
    /// Random; what the session calls the memory.
    pub(crate) nonce: AtomicU64,
    /// 1 once the session keeps a descriptor of it.
    pub(crate) is_registered: AtomicU64,
}

const BYTES: Kind = u32::from_le_bytes(*b"byte");

#[derive(Serialize, Deserialize)]
enum BytesWire {
    Block(Wire),
    Segment(Wire, usize),
}

impl Bytes {
    pub(crate) fn create(len: usize) -> Result<Bytes, Error> {
        if len <= heap::MAX_LEN {
            return Ok(Bytes::of_block(Hold::create(BYTES, len)?));
        }
        let segment = Segment::create(len)?;
        let control = Object::<Control>::create()?;
        control.len.store(len as u64, Ordering::Relaxed);
        let nonce = memfd::random().map_err(Error::system("get random bytes"))?;
        control.nonce.store(nonce, Ordering::Relaxed);
        Ok(Bytes(Place::Segment { control, segment }))
    }

    pub(crate) fn get(&self) -> &[AtomicU8] {
        match &self.0 {
            Place::Block(hold, len) => hold.arena.bytes(hold.id.block, *len),
            Place::Segment { segment, .. } => segment.bytes(),
        }
    }

    pub(crate) fn is_same(&self, other: &Bytes) -> bool {
        std::ptr::eq(self.get().as_ptr(), other.get().as_ptr())
    }

    pub(crate) fn token(&self) -> Result<String, Error> {
        match &self.0 {
            Place::Block(hold, _) => hold.token(BYTES),
            Place::Segment { control, segment } => {
                let token = control.token()?;
                session::register_segment(control, control.hold().arena.session(), segment)?;
                Ok(token)
            }
        }
    }

    pub(crate) fn from_token(text: &str) -> Result<Bytes, Error> {
        if token::read(text, BYTES).is_ok() {
            return Ok(Bytes::of_block(Hold::from_token(text, BYTES, None)?));
        }
        let control = Object::<Control>::from_token(text)?;
        let session = control.hold().arena.session();
        let fd = session::resolve(session, control.nonce.load(Ordering::Relaxed))?;
        Bytes::of_segment(control, |len| Segment::attach(fd.as_fd(), len))
    }

    fn of_block(hold: Hold) -> Bytes {
        let len = hold.arena.len_of(hold.id.block);
        Bytes(Place::Block(Arc::new(hold), len))
    }

    fn of_segment(
        control: Object<Control>,
        attach: impl FnOnce(usize) -> Result<Arc<Segment>, Error>,
    ) -> Result<Bytes, Error> {
        let len = usize::try_from(control.len.load(Ordering::Relaxed));
        let segment = attach(len.map_err(|_| Error::foreign("its length is absurd"))?)?;
        Ok(Bytes(Place::Segment { control, segment }))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match &self.0 {
            Place::Block(hold, _) => hold.to_wire().map(BytesWire::Block),
            Place::Segment { control, segment } => control.hold().to_wire().and_then(|wire| {
                let make = || segment.for_message();
                let done = |_: BorrowedFd<'_>| Ok::<(), Error>(());
                let attachment = transfer::attach_shared(segment.identity(), make, done)?;
                Ok(BytesWire::Segment(wire, attachment))
            }),
        };
        wire.map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let bytes = match BytesWire::deserialize(deserializer)? {
            BytesWire::Block(wire) => Hold::from_wire(&wire, BYTES, None).map(Bytes::of_block),
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
        bytes.map_err(D::Error::custom)
    }
}
