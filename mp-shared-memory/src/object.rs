//! [`Object`]: a reference of this process to a block, and how it travels.

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use mp_reduction::transfer;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::arena::{Arena, BlockId, block_byte};
use crate::error::SharedMemoryError as Error;
use crate::heap;
use crate::member::{MemberId, Peer};
use crate::region::{Kind, ShmLayout};
use crate::session::token::{self, Token};
use crate::session::{self, SessionName};
use crate::sys::map::{Map, View};
use crate::sys::memfd;

/// One reference of this process to a block.
#[derive(Debug)]
pub(crate) struct Hold {
    arena: Arc<Arena>,
    id: BlockId,
}

/// What tells an object from all others, in all processes and at all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    pub(crate) nonce: u64,
    pub(crate) block: u32,
    pub(crate) generation: u32,
}

impl ObjectId {
    /// The id as two words, to be kept in shared memory.
    pub fn to_words(self) -> [u64; 2] {
        [self.nonce, u64::from(self.block) << 32 | u64::from(self.generation)]
    }
}

/// A block in an encoded value: which attachment its arena is, and the block.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wire(usize, u32, u32);

impl Hold {
    #[track_caller]
    pub(crate) fn create(kind: Kind, len: usize) -> Result<Hold, Error> {
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

    pub(crate) fn to_wire(&self) -> Result<Wire, Error> {
        let reopen = || memfd::reopen(self.arena.fd()).map_err(Error::system("open shared memory"));
        let lock = |fd: BorrowedFd<'_>| self.arena.lock_for_message(fd, self.id.block);
        let byte = block_byte(self.id.block).start;
        let attachment = transfer::attach_shared(self.arena.identity(), byte, reopen, lock)?;
        Ok(Wire(attachment, self.id.block, self.id.generation))
    }

    pub(crate) fn from_wire(wire: &Wire, kind: Kind, len: Option<usize>) -> Result<Hold, Error> {
        let &Wire(attachment, block, generation) = wire;
        let arena = transfer::with_attachment(attachment, Arena::attach);
        let arena = arena.ok_or(Error::foreign("its memory did not come with the message"))??;
        Hold::acquire(arena, BlockId { block, generation }, kind, len)
    }

    pub(crate) fn token(&self, kind: Kind) -> Result<String, Error> {
        self.arena.mark_shared(self.id.block);
        let (session, nonce) = (self.arena.session(), self.arena.nonce());
        session::register(self.arena.is_registered(), session, nonce, self.arena.fd())?;
        let BlockId { block, generation } = self.id;
        Ok(token::write(Token { session, nonce, block, generation }, kind))
    }

    pub(crate) fn from_token(text: &str, kind: Kind, len: Option<usize>) -> Result<Hold, Error> {
        let Token { session, nonce, block, generation } = token::read(text, kind)?;
        let arena = Arena::attach(session::resolve(session, nonce)?.as_fd())?;
        if arena.nonce() != nonce {
            return Err(Error::foreign("its session gave other memory"));
        }
        Hold::acquire(arena, BlockId { block, generation }, kind, len)
    }

    pub(crate) fn id(&self) -> ObjectId {
        let BlockId { block, generation } = self.id;
        ObjectId { nonce: self.arena.nonce(), block, generation }
    }

    /// How much of the block is in use; another process may change that at any time.
    pub(crate) fn len(&self) -> usize {
        self.arena.len_of(self.id.block)
    }

    /// The first `len` bytes of the block.
    pub(crate) fn bytes(&self, len: usize) -> &[AtomicU8] {
        self.arena.bytes(self.id.block, len)
    }
}

impl AsRef<Map> for Hold {
    fn as_ref(&self) -> &Map {
        self.arena.as_ref().as_ref()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.arena.release(self.id.block) {
            heap::give_back(&self.arena, self.id.block);
        }
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
    #[track_caller]
    pub fn create() -> Result<Object<T>, Error> {
        const { assert!(size_of::<T>() <= heap::MAX_LEN, "longer than MAX_LEN") };
        Ok(Object::of(Hold::create(T::KIND, size_of::<T>())?))
    }

    pub(crate) fn of(hold: Hold) -> Object<T> {
        let offset = hold.arena.payload_at(hold.id.block);
        Object { view: View::new(Arc::new(hold), offset) }
    }

    pub(crate) fn hold(&self) -> &Hold {
        self.view.keep()
    }

    pub(crate) fn from_wire(wire: &Wire) -> Result<Object<T>, Error> {
        Ok(Object::of(Hold::from_wire(wire, T::KIND, Some(size_of::<T>()))?))
    }

    pub(crate) fn session(&self) -> SessionName {
        self.hold().arena.session()
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

    /// Keeps this process alive in the eyes of others, whatever handles it drops, until it ends or
    /// [unpins](Object::unpin) as often.
    pub fn pin(&self) {
        self.hold().arena.pin();
    }

    /// Takes a [`pin`](Object::pin) of this process back, if there is one.
    pub fn unpin(&self) {
        self.hold().arena.unpin();
    }

    /// What tells the object from all others.
    pub fn id(&self) -> ObjectId {
        self.hold().id()
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
        self.hold()
            .to_wire()
            .map_err(|error| S::Error::custom(mp_reduction::in_full(&error)))?
            .serialize(serializer)
    }
}

impl<'de, T: ShmLayout> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Object::from_wire(&wire).map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}
